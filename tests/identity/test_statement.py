"""Statements: what is accepted is the one form of what it says, and holds for one network and one purpose only."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.notation import value_of

from unhush.identity.cid import Cid, cid_of, cid_of_digest, cid_of_raw, parse_cid
from unhush.identity.codec import Value, decode, encode
from unhush.identity.errors import (
    IdentityError,
    MalformedBytes,
    MalformedStatement,
    SignatureMismatch,
    UnknownStatement,
)
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.statement import (
    MAX_CARD_BYTES,
    MAX_STATEMENT_BYTES,
    MAX_TERM_MS,
    Absent,
    Card,
    Claim,
    Head,
    Heads,
    MediaPolicy,
    Possession,
    Receipt,
    Withheld,
    digest_operations,
    digest_possession,
    parse_statement,
    sign_statement,
    verify_statement,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "statements.json").read_text(encoding="ascii"))
KEY = SigningKey(b"\x05" * 32)
ACCOUNT = cid_of(b"an account")
OF = cid_of(b"another account")
ENTRY = cid_of(b"an entry")
TIME = 1_900_000_000_000


def named(cases: list[dict[str, Any]]) -> Any:
    ids = [" / ".join(case[key] for key in ("reason", "name") if key in case) for case in cases]
    return pytest.mark.parametrize("case", cases, ids=ids)


# -- vectors


@named(VECTORS["good"])
def test_a_statement_is_read_as_the_vector_says_and_written_as_its_bytes(case: dict[str, Any]) -> None:
    block, fields = bytes.fromhex(case["block"]), value_of(case["statement"])
    key = SigningKey(bytes.fromhex(case["seed"]))
    assert isinstance(fields, dict)

    parsed = parse_statement(block)
    signed = sign_statement(
        key, parsed.account, parsed.claim, time=parsed.time, expires=parsed.expires, network=case["network"]
    )

    assert signed.block == block
    assert signed.digest.hex() == case["digest"]
    assert verify_statement(parsed, case["network"]) == signed
    assert parsed.claim.fields() == {
        name: item for name, item in fields.items() if name not in ("type", "account", "key", "time", "expires")
    }
    assert (parsed.claim.type, parsed.account) == (fields["type"], fields["account"])
    assert (parsed.key.bytes, parsed.time, parsed.expires) == (fields["key"], fields["time"], fields["expires"])


@named(VECTORS["bad"])
def test_a_block_that_breaks_a_rule_is_no_statement(case: dict[str, Any]) -> None:
    wanted = {
        "strict DAG-CBOR": MalformedBytes,
        "a type of version 1": UnknownStatement,
    }.get(case["reason"], MalformedStatement)
    with pytest.raises(wanted) as caught:
        parse_statement(bytes.fromhex(case["block"]))
    assert type(caught.value) is wanted
    assert len(str(caught.value)) < 400


@named(VECTORS["operations"])
def test_a_set_of_operations_has_one_digest(case: dict[str, Any]) -> None:
    ids = [parse_cid(each) for each in case["ids"]]
    assert digest_operations(ids).hex() == digest_operations([*ids, *ids]).hex() == case["digest"]


# -- every claim there can be

cids = st.binary(min_size=32, max_size=32).map(cid_of_digest)
digests = st.binary(min_size=32, max_size=32)
reasons = st.text(st.characters(exclude_categories=["Cs"]), max_size=75)
seqs = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
heads = st.lists(st.builds(Head, digests.map(PublicKey), seqs, cids), max_size=5, unique_by=lambda head: head.key).map(
    tuple
)
places = st.lists(st.from_regex(r"\A[!-~]{1,40}\Z"), max_size=4, unique=True)
claims: st.SearchStrategy[Claim] = st.one_of(
    st.builds(Heads, heads, digests),
    st.builds(
        Card,
        places.map(lambda texts: tuple("/" + text for text in texts)),
        places.map(lambda texts: tuple("http://" + text for text in texts)),
    ),
    st.builds(
        Receipt,
        cids,
        heads,
        st.lists(st.builds(Withheld, cids, reasons), max_size=5, unique_by=lambda item: item.entry).map(tuple),
        digests,
        st.sampled_from(MediaPolicy),
    ),
    st.builds(Absent, cids, cids, reasons, st.none() | digests),
    st.builds(Possession, cids, cids, st.binary(min_size=16, max_size=16), digests),
)


@given(claim=claims, account=cids, time=st.integers(0, 2**62), term=st.integers(1, MAX_TERM_MS))
def test_every_claim_survives_its_block(claim: Claim, account: Cid, time: int, term: int) -> None:
    signed = sign_statement(KEY, account, claim, time=time, expires=time + term, network="main")
    parsed = parse_statement(signed.block)
    assert verify_statement(parsed, "main") == signed
    assert (parsed.claim, parsed.account, parsed.key) == (claim, account, KEY.public)
    assert len(claim.subject) == 32


@given(claim=claims, data=st.data())
def test_what_is_accepted_is_written_again_with_the_same_bytes(claim: Claim, data: st.DataObject) -> None:
    """Wounded at any place, a block is refused by our errors, or says something else in its one form."""
    block = sign_statement(KEY, ACCOUNT, claim, time=TIME, expires=TIME + 1, network="main").block
    at = data.draw(st.integers(0, len(block) - 1))
    wounded = block[:at] + data.draw(st.binary(max_size=3)) + block[at + data.draw(st.integers(0, 3)) :]
    try:
        parsed = parse_statement(wounded)
    except (MalformedBytes, MalformedStatement):
        return
    fields: dict[str, Value] = {
        "type": parsed.claim.type,
        "account": parsed.account,
        "key": parsed.key.bytes,
        "time": parsed.time,
        "expires": parsed.expires,
        **parsed.claim.fields(),
    }
    assert encode([fields, wounded[-64:]]) == wounded == parsed.block
    if wounded != block:
        with pytest.raises(SignatureMismatch):
            verify_statement(parsed, "main")


def test_of_5_000_wounded_blocks_each_is_refused_by_our_errors() -> None:
    rng = random.Random(8)
    blocks = [bytes.fromhex(case["block"]) for case in VECTORS["good"] if case["network"] == "main"]
    for _ in range(5_000):
        block = rng.choice(blocks)
        at = rng.randrange(len(block))
        wounded = block[:at] + rng.randbytes(rng.randrange(4)) + block[at + rng.randrange(4) :]
        if wounded in blocks:
            continue
        with pytest.raises(IdentityError):
            verify_statement(parse_statement(wounded), "main")


# -- bounds that a vector would be too long for, and what is made here


def test_a_statement_holds_on_its_network_and_in_its_context_only() -> None:
    signed = sign_statement(KEY, ACCOUNT, Absent(OF, ENTRY, ""), time=TIME, expires=TIME + 1, network="main")
    parsed = parse_statement(signed.block)
    with pytest.raises(SignatureMismatch):
        verify_statement(parsed, "test")
    as_entry = signed.block[:-64] + KEY.sign(b"unhush/1/main/entry\x00" + signed.block[1:-66])
    with pytest.raises(SignatureMismatch):
        verify_statement(parse_statement(as_entry), "main")


def test_a_key_of_small_order_signs_nothing() -> None:
    """Such a key has signatures that hold for many messages; no table lists it either."""
    block = sign_statement(KEY, ACCOUNT, Card((), ()), time=TIME, expires=TIME + 1, network="main").block
    small = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    assert KEY.public.bytes in block
    parsed = parse_statement(block.replace(KEY.public.bytes, small))
    with pytest.raises(SignatureMismatch):
        verify_statement(parsed, "main")


@pytest.mark.parametrize(
    ("claim", "term"),
    [
        pytest.param(Absent(OF, ENTRY, ""), MAX_TERM_MS + 1, id="a term of more than 30 days"),
        pytest.param(Absent(OF, ENTRY, ""), 0, id="no term"),
        pytest.param(Card((), tuple(f"https://{n}{'a' * 500}" for n in range(2))), 1, id="a long card"),
        pytest.param(
            Receipt(
                OF, (), tuple(Withheld(cid_of(b"%d" % n), "a" * 300) for n in range(200)), bytes(32), MediaPolicy.ALL
            ),
            1,
            id="more than 64 KiB",
        ),
    ],
)
def test_what_others_would_refuse_is_not_signed(claim: Claim, term: int) -> None:
    with pytest.raises(MalformedStatement):
        sign_statement(KEY, ACCOUNT, claim, time=TIME, expires=TIME + term, network="main")


def test_a_block_of_more_than_64_kib_is_refused_unread() -> None:
    with pytest.raises(MalformedBytes):
        parse_statement(bytes(MAX_STATEMENT_BYTES + 1))


def test_the_longest_card_is_accepted() -> None:
    block = bytes.fromhex(next(case["block"] for case in VECTORS["good"] if case["name"] == "a card of 1,000 bytes"))
    assert len(block) == MAX_CARD_BYTES
    assert parse_statement(block).claim.type == "card"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Absent(cid_of_raw(b""), ENTRY, ""),
        lambda: Absent(OF, ENTRY, "\ud800"),
        lambda: Heads((Head(KEY.public, 0, ENTRY), Head(KEY.public, 1, ENTRY)), bytes(32)),
        lambda: Heads((Head(KEY.public, 2**63, ENTRY),), bytes(32)),
        lambda: Card(("a",), ()),
        lambda: Possession(OF, ENTRY, bytes(16), bytes(31)),
    ],
)
def test_a_claim_that_cannot_be_is_not_made(make: Any) -> None:
    with pytest.raises(MalformedStatement):
        make()


def test_claims_of_several_things_do_not_displace_each_other() -> None:
    one, two = Receipt(OF, (), (), bytes(32), MediaPolicy.NONE), Receipt(ENTRY, (), (), bytes(32), MediaPolicy.NONE)
    assert one.subject != two.subject
    assert Absent(OF, ENTRY, "").subject != Absent(OF, OF, "").subject
    assert Heads((), bytes(32)).subject == Card((), ()).subject == bytes(32)


def test_possession_is_shown_for_one_nonce_and_one_signer() -> None:
    case = next(case for case in VECTORS["good"] if case["name"] == "a possession")
    said = parse_statement(bytes.fromhex(case["block"]))
    claim, body, other = said.claim, b"\xa1\x61a\x01", PublicKey(bytes(32))
    assert isinstance(claim, Possession)
    assert digest_possession(claim.nonce, said.account, said.key, body) == claim.digest
    assert digest_possession(bytes(16), said.account, said.key, body) != claim.digest
    assert digest_possession(claim.nonce, ENTRY, said.key, body) != claim.digest
    assert digest_possession(claim.nonce, said.account, other, body) != claim.digest


def test_blocks_are_strict_dag_cbor() -> None:
    for case in VECTORS["good"]:
        block = bytes.fromhex(case["block"])
        assert encode(decode(block)) == block
