"""The statements protocol on the wire: what is said comes back as it was, and what is not one is a named fault."""

from random import Random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gossip.proto.test_hostile import mutate
from tests.support.people import NETWORK, Person

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.faults import MalformedFrame
from unhush.gossip.proto.frames import Operation
from unhush.gossip.proto.statements import (
    MAX_ACCOUNTS,
    MAX_ITEMS,
    MAX_ITEMS_BYTES,
    MAX_OPERATIONS,
    MAX_STATEMENT_BYTES,
    NO_EPOCH,
    About,
    Items,
    Prove,
    Question,
    Since,
    Taken,
    Tell,
    ToldStatement,
    Unknown,
    does_want,
    encode_answer,
    encode_question,
    fitting,
    parse_answer,
    parse_question,
    whom_it_concerns,
)
from unhush.identity.cid import cid_of
from unhush.identity.codec import encode
from unhush.identity.statement import Card, Heads, Receipt, sign_statement
from unhush.identity.statement import MediaPolicy as Media

ACCOUNTS: Final = [cid_of(bytes([number])) for number in range(40)]
NONCE: Final = bytes(range(16))

operations: Final = st.builds(Operation, st.binary(max_size=80), st.binary(max_size=200))
told: Final = st.builds(
    ToldStatement, st.binary(max_size=500), st.lists(operations, max_size=MAX_OPERATIONS).map(tuple)
)
items: Final = st.lists(told, max_size=8).map(tuple)
numbers: Final = st.integers(0, 2**63 - 1)
epochs: Final = st.binary(min_size=8, max_size=8)
links: Final = st.sampled_from(ACCOUNTS)
questions: Final = st.one_of(
    st.builds(Since, epochs, numbers, st.lists(links, max_size=30).map(pack_carriage)),
    st.builds(About, st.lists(links, min_size=1, max_size=MAX_ACCOUNTS, unique=True).map(tuple)),
    st.builds(Tell, items),
    st.builds(Prove, links, links, st.binary(min_size=16, max_size=16)),
)
answers: Final = st.one_of(
    st.builds(Items, items),
    st.builds(Items, items, epochs, numbers, st.booleans()),
    st.builds(Taken, st.integers(0, MAX_ITEMS)),
)


@given(questions)
def test_questions_survive_the_wire(question: Question) -> None:
    assert parse_question(encode_question(question)) == question


@given(answers)
def test_answers_survive_the_wire(answer: Items | Taken) -> None:
    assert parse_answer(encode_answer(answer)) == answer


def test_unknown_fields_are_skipped_and_an_unknown_question_is_no_fault() -> None:
    assert parse_question(encode({"type": "prove", "of": ACCOUNTS[0], "entry": ACCOUNTS[1], "nonce": NONCE, "x": 1}))
    assert parse_question(encode({"type": "sing", "loud": True})) == Unknown()
    assert parse_answer(encode({"type": "taken", "n": 3, "thanks": "yes"})) == Taken(3)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"type": 1},
        {"type": "since"},
        {"type": "since", "epoch": b"short", "n": 0, "for": b""},
        {"type": "since", "epoch": NO_EPOCH, "n": -1, "for": b""},
        {"type": "since", "epoch": NO_EPOCH, "n": True, "for": b""},
        {"type": "since", "epoch": NO_EPOCH, "n": 0, "for": b"123"},
        {"type": "since", "epoch": NO_EPOCH, "n": 0, "for": bytes(4_096)},
        {"type": "about", "accounts": []},
        {"type": "about", "accounts": [ACCOUNTS[0]] * (MAX_ACCOUNTS + 1)},
        {"type": "about", "accounts": ["an account"]},
        {"type": "tell", "items": 3},
        {"type": "tell", "items": [[b"block"]]},
        {"type": "tell", "items": [["block", []]]},
        {"type": "tell", "items": [[b"block", [[b"entry"]]]]},
        {"type": "tell", "items": [[b"block", [[bytes(1_025), b"body"]]]]},
        {"type": "tell", "items": [[b"block", [[b"entry", bytes(65_537)]]]]},
        {"type": "tell", "items": [[bytes(MAX_STATEMENT_BYTES + 1), []]]},
        {"type": "tell", "items": [[b"block", [[b"e", b"b"]] * (MAX_OPERATIONS + 1)]]},
        {"type": "tell", "items": [[b"block", []]] * (MAX_ITEMS + 1)},
        {"type": "prove", "of": ACCOUNTS[0], "entry": ACCOUNTS[1], "nonce": b"short"},
        {"type": "prove", "of": ACCOUNTS[0], "entry": None, "nonce": NONCE},
        {"type": "prove", "of": ACCOUNTS[0], "entry": ACCOUNTS[1], "nonce": NONCE, "x": bytes(5_000)},
    ],
)
def test_what_breaks_the_rules_of_a_question_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrame):
        parse_question(encode(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"type": "since"},
        {"type": "taken", "n": -1},
        {"type": "taken", "n": True},
        {"type": "taken", "n": MAX_ITEMS + 1},
        {"type": "statements"},
        {"type": "statements", "items": [b"block"]},
        {"type": "statements", "items": [], "epoch": b"short", "n": 1, "more": False},
    ],
)
def test_what_breaks_the_rules_of_an_answer_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrame):
        parse_answer(encode(fields))


def test_a_frame_has_a_bound_and_what_fits_is_cut_at_it() -> None:
    large = [ToldStatement(bytes(MAX_STATEMENT_BYTES)) for _ in range(20)]
    chosen = fitting(large)
    assert 0 < len(chosen) < len(large)
    assert len(encode_answer(Items(chosen, NO_EPOCH, 1, is_more=True))) <= MAX_ITEMS_BYTES
    with pytest.raises(ValueError, match="bytes in a frame"):
        encode_answer(Items(tuple(large)))
    with pytest.raises(MalformedFrame):
        parse_answer(encode({"type": "statements", "items": [[bytes(60_000), []]] * 10}))
    many = [ToldStatement(b"", (Operation(bytes(900), bytes(300)),) * MAX_OPERATIONS) for _ in range(300)]
    assert len(encode_answer(Items(fitting(many)))) <= MAX_ITEMS_BYTES
    assert len(fitting([ToldStatement(b"small")] * 300)) == MAX_ITEMS


def test_mutated_questions_and_answers_raise_nothing_but_remote_protocol_errors() -> None:
    rng = Random(7)  # no secrets here
    statement = ToldStatement(bytes(200), (Operation(bytes(300), bytes(100)),))
    samples = [
        encode_question(Since(NO_EPOCH, 4, pack_carriage(ACCOUNTS))),
        encode_question(About(tuple(ACCOUNTS[:5]))),
        encode_question(Tell((statement,) * 3)),
        encode_question(Prove(ACCOUNTS[0], ACCOUNTS[1], NONCE)),
        encode_answer(Items((statement,), NO_EPOCH, 3, is_more=True)),
        encode_answer(Taken(2)),
    ]
    refused = 0
    for number in range(4_000):
        payload = mutate(rng, samples[number % len(samples)])
        for parse in (parse_question, parse_answer):
            try:
                parse(payload)
            except RemoteProtocolError:
                refused += 1
    assert refused > 4_000


def test_a_filter_chooses_by_who_speaks_and_of_whom() -> None:
    ann, ben = Person("Ann", seed=1), Person("Ben", seed=2)
    key = ben.device.key
    term = {"time": 1_000, "expires": 2_000, "network": NETWORK}
    receipt = sign_statement(key, ben.account, Receipt(ann.account, (), (), bytes(32), Media.NONE), **term)
    card = sign_statement(key, ben.account, Card(("/ip4/1.2.3.4/tcp/1",), ()), **term)
    heads = sign_statement(key, ben.account, Heads((), bytes(32)), **term)
    assert whom_it_concerns(receipt) == (ben.account, ann.account)
    assert whom_it_concerns(card) == whom_it_concerns(heads) == (ben.account,)
    of_ann = pack_carriage([ann.account])
    assert does_want(of_ann, whom_it_concerns(receipt))
    assert not does_want(of_ann, whom_it_concerns(card))
    assert does_want(b"", whom_it_concerns(card))
