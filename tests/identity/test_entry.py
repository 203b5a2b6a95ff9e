"""Entries: what is signed, what the chain proves, and what hostile blocks can do (nothing)."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.identity.cid import cid_of
from unhush.identity.codec import Value, decode, encode
from unhush.identity.entry import (
    MAX_ENTRY_BYTES,
    Entry,
    Header,
    UnverifiedEntry,
    check_body,
    decode_body,
    parse_entry,
    sign_entry,
    stored_entry,
    verify_signature,
    vouch,
)
from unhush.identity.errors import (
    IdentityError,
    MalformedBytes,
    MalformedEntry,
    SignatureMismatch,
    WrongBody,
)
from unhush.identity.keys import SigningKey

FOLDER = Path(__file__).parents[1] / "vectors"
KEY, OTHER = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
ACCOUNT = cid_of(b"\x01")
BODY = encode({"salt": bytes(16), "text": "unhush"})
FIRST = Header(ACCOUNT, KEY.public, 0, None, 1_900_000_000_000, "post", cid_of(BODY), len(BODY))

links = st.binary(max_size=4).map(cid_of)


@st.composite
def headers(draw: Any) -> Header:
    seq = draw(st.integers(0, 2**63 - 1) | st.integers(0, 2))
    return Header(
        account=draw(links),
        key=KEY.public,
        seq=seq,
        prev=draw(links) if seq else None,
        time=draw(st.integers(0, 2**63 - 1)),
        kind=draw(st.from_regex(r"\A(?!identity\.)[a-z0-9.-]{1,64}\Z")),
        body=draw(links),
        size=draw(st.integers(1, 65_536)),
        identity=draw(st.none() | links),
    )


def unverified(entry: Entry) -> UnverifiedEntry:
    return parse_entry(entry.block)


def write_log(length: int) -> list[Entry]:
    log = [sign_entry(KEY, FIRST, "main")]
    for seq in range(1, length):
        log.append(sign_entry(KEY, replace(FIRST, seq=seq, prev=log[-1].cid), "main"))
    return log


def with_bad_signature(entry: Entry) -> UnverifiedEntry:
    return parse_entry(entry.block[:-1] + bytes((entry.block[-1] ^ 1,)))


@given(header=headers())
def test_what_is_signed_is_read_and_verified(header: Header) -> None:
    signed = sign_entry(KEY, header, "main")

    parsed = parse_entry(signed.block)

    assert parsed.header == header
    assert parsed.cid == signed.cid == cid_of(signed.block)
    assert verify_signature(parsed, "main") == signed
    assert stored_entry(signed.block) == signed
    assert len(signed.block) < MAX_ENTRY_BYTES


@given(header=headers())
def test_the_signed_bytes_are_a_slice_of_the_block(header: Header) -> None:
    block = sign_entry(KEY, header, "main").block
    assert block[1:-66] == encode(header.value())


@given(header=headers(), bit=st.integers(0, 10_000))
def test_no_bit_of_an_entry_can_be_turned_unnoticed(header: Header, bit: int) -> None:
    block = bytearray(sign_entry(KEY, header, "main").block)
    block[bit // 8 % len(block)] ^= 1 << bit % 8
    with pytest.raises(IdentityError):
        verify_signature(parse_entry(bytes(block)), "main")


@pytest.mark.parametrize("network", ["test", "mai", "main-", "m"])
def test_an_entry_of_one_network_is_none_of_another(network: str) -> None:
    entry = unverified(sign_entry(KEY, FIRST, "main"))
    with pytest.raises(SignatureMismatch):
        verify_signature(entry, network)


def test_a_key_signs_only_headers_that_name_it() -> None:
    with pytest.raises(MalformedEntry):
        sign_entry(OTHER, FIRST, "main")


def test_a_chain_of_100_entries_needs_one_good_signature() -> None:
    # A bad signature makes another block with another CID, so each entry names a bad one from the start.
    chain = [with_bad_signature(sign_entry(KEY, FIRST, "main"))]
    for seq in range(1, 100):
        made = sign_entry(KEY, replace(FIRST, seq=seq, prev=chain[-1].cid), "main")
        chain.append(with_bad_signature(made) if seq < 99 else unverified(made))

    authentic = [verify_signature(chain[-1], "main")]
    for entry in reversed(chain[:-1]):
        with pytest.raises(SignatureMismatch):
            verify_signature(entry, "main")
        authentic.append(vouch(entry, by=authentic[-1]))

    assert [entry.header.seq for entry in authentic] == list(range(99, -1, -1))


def test_an_entry_vouches_only_for_the_one_right_before_it() -> None:
    log = write_log(4)
    for by in log:
        for entry in log:
            if by.header.seq == entry.header.seq + 1:
                assert vouch(unverified(entry), by=by) == entry
            else:
                with pytest.raises(SignatureMismatch):
                    vouch(unverified(entry), by=by)


@pytest.mark.parametrize(
    "change",
    [
        {"seq": -1},
        {"seq": 1},
        {"seq": 2**63},
        {"prev": ACCOUNT},
        {"time": -1},
        {"time": 2**63},
        {"size": 0},
        {"size": 65_537},
        {"kind": ""},
        {"kind": "a" * 65},
        {"kind": "Post"},
        {"kind": "post\n"},
        {"kind": "identity.incept"},
        {"kind": "identity.add"},
        {"account": None},
    ],
    ids=str,
)
def test_a_bad_header_cannot_even_be_made(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedEntry):
        replace(FIRST, **change)


# --- bodies ---------------------------------------------------------------------------


def test_the_named_bytes_are_the_body() -> None:
    check_body(FIRST, BODY)
    assert decode_body(BODY) == {"salt": bytes(16), "text": "unhush"}


@pytest.mark.parametrize(
    "body", [b"", BODY[:-1], BODY + b"\x00", BODY[:-1] + b"H"], ids=["none", "short", "long", "other"]
)
def test_other_bytes_are_not_the_body(body: bytes) -> None:
    with pytest.raises(WrongBody):
        check_body(FIRST, body)


def test_right_bytes_of_a_wrong_size_are_not_the_body() -> None:
    with pytest.raises(WrongBody):
        check_body(replace(FIRST, size=len(BODY) + 1), BODY)


@pytest.mark.parametrize(
    "body",
    [
        encode({}),
        encode({"salt": None}),
        encode({"salt": bytes(15)}),
        encode({"salt": bytes(17)}),
        encode({"salt": "a" * 16}),
        encode([{"salt": bytes(16)}]),
        encode(None),
        b"",
        b"\xff",
        BODY + b"\x00",
        b"\xb8\x01" + encode({"salt": bytes(16)})[1:],
    ],
    ids=bytes.hex,
)
def test_a_body_that_is_no_strict_map_with_a_salt_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBytes):
        decode_body(body)


# --- hostile blocks -------------------------------------------------------------------


def good_blocks() -> list[bytes]:
    return [bytes.fromhex(case["block"]) for case in json.loads((FOLDER / "entries.json").read_text())["good"]]


def replacements() -> list[Value]:
    accepted = json.loads((FOLDER / "codec.json").read_text())["accepted"]
    small = [case for case in accepted if len(case["bytes"]) < 300 and "depth" not in case["name"]]
    return [decode(bytes.fromhex(case["bytes"])) for case in small if isinstance(case["bytes"], str)]


def wounded_entries(count: int, seed: int) -> Any:
    """Blocks with a bit turned, a byte gone, or (well-encoded) a field gone, added or of another type."""
    rng, blocks, values = random.Random(seed), good_blocks(), replacements()
    for _ in range(count):
        block = bytearray(rng.choice(blocks))
        if rng.random() < 0.4:
            for _ in range(rng.choice((1, 1, 3))):
                block[rng.randrange(len(block))] ^= 1 << rng.randrange(8)
            at = rng.randrange(len(block))
            del block[at : at + rng.randrange(2)]
            yield bytes(block)
            continue
        header, signature = decode(bytes(block))  # type: ignore[misc]  # a good block is a pair
        name = rng.choice([*header, chr(rng.randrange(128))])
        if name in header and rng.random() < 0.2:
            del header[name]
        else:
            header[name] = rng.choice(values)
        yield encode([header, signature])


def refusal_of(block: bytes) -> str:
    """Why a block is no authentic entry, "" if it is; any error outside our family is a failure."""
    try:
        parsed = parse_entry(block)
        assert encode([parsed.header.value(), block[-64:]]) == block
        verify_signature(parsed, "main")
    except IdentityError as error:
        return str(error)
    return ""


def test_of_5_000_wounded_entries_each_is_refused_or_what_its_header_encodes_to() -> None:
    originals = set(good_blocks())
    for block in wounded_entries(5_000, seed=1):
        refusal = refusal_of(block)
        assert refusal.isprintable()
        assert bool(refusal) is (block not in originals)


def test_an_unknown_field_cannot_write_control_characters_into_a_log() -> None:
    header = FIRST.value() | {"\n\x1b[2J forged line": None}
    with pytest.raises(MalformedEntry) as caught:
        parse_entry(encode([header, bytes(64)]))
    assert str(caught.value).isprintable()


def test_an_entry_of_1_024_bytes_is_looked_at_and_one_of_1_025_is_not() -> None:
    def padded(size: int) -> bytes:
        empty = len(encode([FIRST.value() | {"pad": bytes(256)}, bytes(64)])) - 256
        return encode([FIRST.value() | {"pad": bytes(size - empty)}, bytes(64)])

    assert (len(padded(1_024)), len(padded(1_025))) == (1_024, 1_025)
    with pytest.raises(MalformedEntry, match="unknown header fields: 'pad'"):
        parse_entry(padded(1_024))
    with pytest.raises(MalformedBytes, match="1025 bytes"):
        parse_entry(padded(1_025))
