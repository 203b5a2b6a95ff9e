"""CIDs: 36 bytes, one text, and the same answer as a general CID library."""

import random
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

from unhush.identity.cid import Cid, cid_of, cid_of_digest, cid_of_raw, parse_cid
from unhush.identity.errors import MalformedCid

GOOD = str(cid_of(b"\xa0"))


@given(block=st.binary(max_size=100))
def test_an_independent_library_reads_and_writes_the_same_cids(block: bytes) -> None:
    for ours, codec in ((cid_of(block), "dag-cbor"), (cid_of_raw(block), "raw")):
        theirs = CID.decode(str(ours))
        assert (theirs.version, theirs.codec.name, theirs.hashfun.name) == (1, codec, "sha2-256")
        assert theirs.raw_digest == ours.digest
        assert bytes(theirs) == ours.bytes
        assert str(CID("base32", 1, codec, ("sha2-256", ours.digest))) == str(ours)


@given(digest=st.binary(min_size=32, max_size=32))
def test_a_cid_survives_its_text_and_its_bytes(digest: bytes) -> None:
    cid = cid_of_digest(digest)
    assert parse_cid(str(cid)) == cid == Cid(cid.bytes)
    assert cid.digest == digest


@given(block=st.binary(max_size=100))
def test_the_reference_hashes_and_spells_alike(block: bytes, reference: ModuleType) -> None:
    assert str(cid_of(block)) == reference.cid_of(block)
    assert cid_of_raw(block).bytes == reference.cid_bytes(reference.cid_of(block, 0x55))


def test_cids_are_ordered_by_their_bytes() -> None:
    cids = [cid_of(bytes((number,))) for number in range(50)]
    assert [cid.bytes for cid in sorted(cids)] == sorted(cid.bytes for cid in cids)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_has_32_bytes(length: int) -> None:
    with pytest.raises(MalformedCid):
        cid_of_digest(bytes(length))


STRANGE = "abckz27=018 \n\x00\x1bABZ\u0131\u017f\u212a\uff41\u3000\ud800\U0001f331"


def read(text: str) -> tuple[Cid | None, str]:
    """The CID, or why not; any other error is a failure."""
    try:
        return parse_cid(text), ""
    except MalformedCid as error:
        return None, str(error)


def wound(rng: random.Random, text: str) -> str:
    characters = list(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(characters) + 1)
        match rng.randrange(4):
            case 0 if at < len(characters):
                characters[at] = rng.choice(STRANGE)
            case 1 if at < len(characters):
                characters[at] = rng.choice("abcdefghijklmnopqrstuvwxyz234567")
            case 2:
                del characters[at : at + 1]
            case _:
                characters.insert(at, rng.choice(STRANGE))
    return "".join(characters)


def test_of_3_000_wounded_texts_each_is_the_one_text_of_its_cid_or_refused() -> None:
    rng, accepted = random.Random(1), 0
    for _ in range(3_000):
        text = wound(rng, GOOD)
        cid, refusal = read(text)
        assert refusal.isprintable()
        assert cid is None or str(cid) == text
        accepted += cid is not None
    assert accepted > 100


def test_a_huge_text_is_refused_with_a_short_message() -> None:
    with pytest.raises(MalformedCid) as caught:
        parse_cid("b" * 1_000_000)
    assert len(str(caught.value)) < 300
