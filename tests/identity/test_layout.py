"""The pattern of an entry block accepts what the long way accepts, gives the same header, and accepts nothing else."""

import random

import pytest

from unhush.identity.cid import DAG_CBOR_PREFIX, RAW_PREFIX, Cid
from unhush.identity.codec import decode, encode
from unhush.identity.entry import MAX_ENTRY_BYTES, Header, Place, _parse_pair, _read_header, glance
from unhush.identity.errors import IdentityError
from unhush.identity.keys import PublicKey

NUMBERS = (1, 2, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53, 2**63 - 1)
KINDS = (
    "post",
    "p",
    "a" * 23,
    "b" * 24,
    "c" * 64,
    "org.example.recipe",
    "dprev",
    "xdprev\x64"[:6],
    "dsizedtime",
    "-.9",
)


def link(dice: random.Random) -> Cid:
    return Cid(DAG_CBOR_PREFIX + dice.randbytes(32))


def random_block(dice: random.Random) -> bytes:
    seq = dice.choice((0, *NUMBERS))
    header = Header(
        account=link(dice),
        key=PublicKey(dice.randbytes(32)),
        seq=seq,
        prev=link(dice) if seq else None,
        time=dice.choice((0, *NUMBERS)),
        kind=dice.choice(KINDS),
        body=link(dice),
        size=dice.choice((1, 23, 24, 255, 256, 65_535, 65_536)),
        identity=link(dice) if dice.random() < 0.3 else None,
    )
    return encode([header.value(), dice.randbytes(64)])


def the_long_way(block: bytes) -> Header | None:
    try:
        return _parse_pair(decode(block, max_bytes=MAX_ENTRY_BYTES))
    except IdentityError:
        return None


def test_a_glance_finds_an_entry_where_its_header_says_it_stands() -> None:
    dice = random.Random(2)
    for _ in range(2_000):
        block = random_block(dice)
        header = the_long_way(block)
        assert header is not None
        assert header.account is not None
        assert glance(block) == Place(header.account.bytes, header.key.bytes, header.seq, header.time, header.kind)


def test_a_glance_at_damage_sees_an_entry_only_where_the_long_way_does() -> None:
    dice = random.Random(4)
    for _ in range(20):
        block = random_block(dice)
        for bit in range(8 * len(block)):
            changed = bytearray(block)
            changed[bit // 8] ^= 1 << bit % 8
            if glance(bytes(changed)) is not None:
                assert the_long_way(bytes(changed)) is not None, bit


def test_a_glance_leaves_operations_and_damage_to_the_long_way() -> None:
    block = random_block(random.Random(3))
    assert glance(block[:-1]) is None
    assert glance(block.replace(b"\x64kind", b"\x64kine")) is None
    operation = encode([{"key": bytes(32), "kind": "identity.add"}, bytes(64)])
    assert glance(operation) is None


def test_every_entry_of_a_log_is_read_by_its_layout() -> None:
    dice = random.Random(1)
    for _ in range(2_000):
        block = random_block(dice)
        header = _read_header(block)
        assert header is not None
        assert header == the_long_way(block)
        assert encode([header.value(), block[-64:]]) == block


@pytest.mark.parametrize("seed", range(4))
def test_what_the_layout_accepts_of_50_000_mutations_the_long_way_accepts_alike(seed: int) -> None:
    dice = random.Random(seed)
    accepted = 0
    for _ in range(12_500):
        block = mutate(dice, random_block(dice))
        header = _read_header(block)
        if header is not None:
            accepted += 1
            assert header == the_long_way(block)
    assert accepted > 1_000  # else the mutations say nothing: most change a digest, which stays well-formed


def mutate(dice: random.Random, block: bytes) -> bytes:
    changed = bytearray(block)
    for _ in range(dice.randint(1, 2)):
        at = dice.randrange(len(changed))
        match dice.randrange(4):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                changed[at] = dice.choice((0x00, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x60, 0x78, 0xA8, 0xA9, 0xF6, 0xFF))
            case 2:
                del changed[at]
            case 3:
                changed.insert(at, dice.randrange(256))
    return bytes(changed)


def long_heads() -> list[tuple[str, bytes, bytes]]:
    """Numbers in heads longer than they need, and texts whose head says another length."""
    return [
        ("seq in two bytes", b"\x63seq\x05", b"\x63seq\x18\x05"),
        ("seq in three bytes", b"\x63seq\x05", b"\x63seq\x19\x00\x05"),
        ("seq in five bytes", b"\x63seq\x05", b"\x63seq\x1a\x00\x00\x00\x05"),
        ("seq in nine bytes", b"\x63seq\x05", b"\x63seq\x1b" + bytes(7) + b"\x05"),
        ("seq of 2^63", b"\x63seq\x05", b"\x63seq\x1b\x80" + bytes(7)),
        ("a negative seq", b"\x63seq\x05", b"\x63seq\x25"),
        ("kind with a long head", b"\x64kind\x64post", b"\x64kind\x78\x04post"),
        ("kind with too small a length", b"\x64kind\x64post", b"\x64kind\x63post"),
        ("kind with too large a length", b"\x64kind\x64post", b"\x64kind\x65post"),
        ("kind in capitals", b"\x64kind\x64post", b"\x64kind\x64Post"),
        ("a body of size 0", b"\x64size\x07", b"\x64size\x00"),
        ("a body of 65,537 bytes", b"\x64size\x07", b"\x64size\x1a\x00\x01\x00\x01"),
        ("nine pairs announced, eight there", b"\x82\xa8", b"\x82\xa9"),
        ("a raw link", DAG_CBOR_PREFIX, RAW_PREFIX),
    ]


@pytest.mark.parametrize(("was", "becomes"), [row[1:] for row in long_heads()], ids=[row[0] for row in long_heads()])
def test_no_second_encoding_of_a_header_is_read(was: bytes, becomes: bytes) -> None:
    dice = random.Random(7)
    header = Header(link(dice), PublicKey(dice.randbytes(32)), 5, link(dice), 9, "post", link(dice), 7)
    block = encode([header.value(), bytes(64)])
    assert block.count(was) >= 1
    assert _read_header(block) is not None
    spoiled = block.replace(was, becomes, 1)
    assert _read_header(spoiled) is None
    assert the_long_way(spoiled) is None


def test_what_names_no_account_or_is_an_operation_goes_the_long_way() -> None:
    dice = random.Random(3)
    header = Header(None, PublicKey(dice.randbytes(32)), 0, None, 9, "identity.incept", link(dice), 7)
    block = encode([header.value(), bytes(64)])
    assert _read_header(block) is None
    assert the_long_way(block) == header
