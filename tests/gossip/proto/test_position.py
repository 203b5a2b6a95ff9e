"""Where an entry stands is read without parsing it, and agrees with the full parse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gossip.proto.conftest import account, key

from unhush.gossip.proto.position import find_seqs
from unhush.identity.cid import cid_of
from unhush.identity.codec import encode
from unhush.identity.entry import Header, parse_entry, sign_entry
from unhush.identity.keys import SigningKey

SIGNER = SigningKey(bytes(range(32)))
EDGES = [0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1]


@pytest.mark.parametrize("seq", EDGES)
@pytest.mark.parametrize("has_hint", [False, True])
def test_a_signed_entry_stands_where_its_header_says(seq: int, has_hint: bool) -> None:
    header = Header(
        account=account("x"),
        key=SIGNER.public,
        seq=seq,
        prev=account("p") if seq else None,
        time=1_700_000_000_000,
        kind="post",
        body=cid_of(b"body"),
        size=4,
        identity=account("i") if has_hint else None,
    )
    block = sign_entry(SIGNER, header, "test").block
    assert find_seqs(SIGNER.public, [block, block]) == [seq, seq]
    assert find_seqs(key("other"), [block]) is None
    assert parse_entry(block).header.seq == seq


@given(st.binary(max_size=120))
def test_junk_stands_nowhere(junk: bytes) -> None:
    assert find_seqs(key("k"), [junk]) is None


@given(st.data())
def test_a_truncated_entry_never_raises(data: st.DataObject) -> None:
    seq = data.draw(st.sampled_from(EDGES))
    block = encode([{"key": key("k").bytes, "seq": seq, **dict.fromkeys("abcdef", 0)}, b""])
    cut = data.draw(st.integers(0, len(block)))
    assert find_seqs(key("k"), [block[:cut]]) in (None, [seq])
