"""Every frame survives the trip, and what breaks a rule is refused by name."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gossip.proto.conftest import account, item, key

from unhush.gossip.proto import limits
from unhush.gossip.proto.faults import MalformedFrame, OtherVersion
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frame_parsing import parse_frame
from unhush.gossip.proto.frames import (
    Carries,
    CaughtUp,
    Credit,
    Entries,
    ErrorFrame,
    FindFrame,
    FoundFrame,
    Frame,
    Hello,
    Item,
    Operation,
    Points,
    Reason,
    RunsFrame,
    Want,
    WantedAccount,
)
from unhush.gossip.proto.ranges import NOTHING, Ranges
from unhush.identity.cid import RAW_PREFIX, Cid, cid_of_digest
from unhush.identity.codec import decode_map, encode
from unhush.identity.keys import PublicKey

INT = st.integers(0, 2**63 - 1)
CID = st.binary(min_size=32, max_size=32).map(cid_of_digest)
KEY = st.binary(min_size=32, max_size=32).map(PublicKey)


@st.composite
def ranges(draw: st.DrawFn) -> Ranges:
    made = NOTHING
    for lo, length in draw(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**61)), max_size=6)):
        made = made.add(lo, lo + length)
    return made


TIP = st.binary(min_size=limits.TIP_BYTES, max_size=limits.TIP_BYTES)


@st.composite
def wanted(draw: st.DrawFn) -> WantedAccount:
    logs = draw(st.dictionaries(KEY, ranges(), max_size=4))
    return WantedAccount(
        account=draw(CID),
        ops=tuple(draw(st.lists(CID, max_size=4, unique=True))),
        logs=logs,
        depth=draw(st.integers(0, 1000)),
        is_live=draw(st.booleans()),
        tips={key: draw(TIP) for key, held in logs.items() if held and draw(st.booleans())},
        forks=draw(st.dictionaries(KEY, INT, max_size=3)),
    )


WANTED = wanted()
ENTRY = st.binary(min_size=1, max_size=80)
ITEM = st.one_of(
    st.builds(Item, ENTRY, st.binary(max_size=80)),
    st.builds(Item, ENTRY, st.none(), st.sampled_from(Reason)),
)


def _apart(first: list[Cid], second: list[Cid]) -> tuple[tuple[Cid, ...], tuple[Cid, ...]]:
    return tuple(first), tuple(cid for cid in second if cid not in first)


OPERATION = st.builds(Operation, ENTRY, st.binary(max_size=80))
LINKS = st.lists(CID, max_size=5, unique=True)
RUN = st.builds(
    Entries,
    account=CID,
    ops=st.lists(OPERATION, max_size=2).map(tuple),
    key=KEY,
    items=st.lists(ITEM, min_size=1, max_size=4).map(tuple),
)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(RunsFrame, st.lists(RUN, min_size=1, max_size=4).map(tuple)),
    st.builds(
        Hello,
        network=st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True),
        agent=st.text(max_size=30),
        frame_bytes=st.integers(limits.MIN_FRAME_LIMIT_BYTES, 2**40),
        state_bytes=INT,
        takes_runs=st.booleans(),
    ),
    st.builds(
        lambda pair, again, sought: Carries(*pair, tuple(again), tuple(sought)),
        st.builds(_apart, LINKS, LINKS),
        LINKS,
        LINKS,
    ),
    st.builds(
        lambda accounts, drop: Want(
            tuple(accounts), tuple(cid for cid in drop if cid not in {wanted.account for wanted in accounts})
        ),
        st.lists(WANTED, max_size=3, unique_by=lambda wanted: wanted.account),
        LINKS,
    ),
    st.builds(
        Entries,
        account=CID,
        ops=st.lists(OPERATION, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(FindFrame, KEY),
    st.builds(FoundFrame, KEY, st.lists(OPERATION, max_size=limits.MAX_FOUND).map(tuple)),
    st.builds(
        Points, CID, KEY, st.dictionaries(INT, TIP, min_size=1, max_size=9).map(lambda at: dict(sorted(at.items())))
    ),
    st.builds(
        Entries,
        account=CID,
        key=KEY,
        items=st.lists(ITEM, min_size=1, max_size=4).map(tuple),
        is_beside=st.booleans(),
    ),
    st.builds(Credit, st.integers(1, 2**63 - 1)),
    st.builds(CaughtUp, INT),
    st.builds(ErrorFrame, st.text(max_size=16), st.text(max_size=100)),
)


@given(FRAMES)
def test_a_frame_survives_the_trip(frame: Frame) -> None:
    assert parse_frame(encode_frame(frame)) == frame


@given(FRAMES, st.integers())
def test_unknown_fields_are_skipped(frame: Frame, value: int) -> None:
    fields = decode_map(encode_frame(frame))
    fields["unheard-of"] = [value % 2**60, {"deep": None}]
    assert parse_frame(encode(fields)) == frame


def test_unknown_fields_inside_a_wanted_account_are_skipped() -> None:
    wanted: dict[str, Any] = {"account": account("x"), "ops": [], "logs": [], "live": True, "thread": account("t")}
    frame = parse_frame(encode({"type": "want", "accounts": [wanted], "drop": []}))
    assert frame == Want((WantedAccount(account("x")),))


@pytest.mark.parametrize("type_", ["statements", "prove", "x"])
def test_unknown_frames_are_skipped(type_: str) -> None:
    assert parse_frame(encode({"type": type_, "anything": [1, 2]})) is None


def test_a_reason_of_a_later_version_reads_as_unknown() -> None:
    record = item(key("k"), 0)
    payload = encode(
        {"type": "entries", "account": account("x"), "key": key("k").bytes, "items": [[record.entry, None, "eaten"]]}
    )
    assert parse_frame(payload) == Entries(account("x"), (), key("k"), (Item(record.entry, None, Reason.UNKNOWN),))


def test_another_version_is_told_apart_from_nonsense_whatever_else_it_says() -> None:
    with pytest.raises(OtherVersion):
        parse_frame(encode({"type": "hello", "version": 2}))


X = account("x")
RAW = Cid(RAW_PREFIX + bytes(32))
HELLO: dict[str, Any] = {
    "type": "hello",
    "version": 1,
    "network": "main",
    "agent": "a",
    "limits": {"frame": 2**20, "state": 0},
}
WANTED_MAP: dict[str, Any] = {"account": X, "ops": [], "logs": [], "live": True}


def want(**changes: Any) -> dict[str, Any]:
    return {"type": "want", "accounts": [WANTED_MAP | changes], "drop": []}


def log(*pairs: list[int]) -> list[Any]:
    return [[bytes(32), list(pairs)]]


def points(*at: Any, **changes: Any) -> dict[str, Any]:
    return {"type": "points", "account": X, "key": bytes(32), "at": list(at)} | changes


MALFORMED: dict[str, Any] = {
    "no map": [1],
    "no type": {"x": 1},
    "a type that is no text": {"type": 7},
    "an empty type": {"type": ""},
    "a hello without version": {"type": "hello"},
    "a hello whose version is true": HELLO | {"version": True},
    "a hello with a network of capitals": HELLO | {"network": "Main"},
    "a hello without a network": HELLO | {"network": ""},
    "a hello with a long agent": HELLO | {"agent": "a" * 129},
    "a hello without limits": HELLO | {"limits": None},
    "a hello with tiny frames": HELLO | {"limits": {"frame": 1000, "state": 0}},
    "a hello with negative state": HELLO | {"limits": {"frame": 2**20, "state": -1}},
    "carries without drop": {"type": "carries", "add": []},
    "carries of a text": {"type": "carries", "add": ["x"], "drop": []},
    "carries of a raw block": {"type": "carries", "add": [RAW], "drop": []},
    "carries that adds what it drops": {"type": "carries", "add": [X], "drop": [X]},
    "a want without accounts": {"type": "want", "drop": []},
    "a want of one account twice": {"type": "want", "accounts": [WANTED_MAP, WANTED_MAP], "drop": []},
    "a want that drops what it wants": {"type": "want", "accounts": [WANTED_MAP], "drop": [X]},
    "a want of a number": {"type": "want", "accounts": [1], "drop": []},
    "a want of a raw block": want(account=RAW),
    "a want with live as number": want(live=1),
    "a want with negative depth": want(depth=-1),
    "a want with null depth": want(depth=None),
    "a want with too many operations": want(ops=[X] * (limits.MAX_OPERATIONS + 1)),
    "a want with too many logs": want(logs=[[bytes(32), []]] * (limits.MAX_LOGS + 1)),
    "a want with one log twice": want(logs=[[bytes(32), []], [bytes(32), []]]),
    "a want with a short key": want(logs=[[bytes(31), []]]),
    "a want with a range backwards": want(logs=log([2, 1])),
    "a want with a negative range": want(logs=log([-1, 1])),
    "a want with ranges that overlap": want(logs=log([0, 5], [5, 9])),
    "a want with ranges out of order": want(logs=log([7, 8], [0, 1])),
    "a want with a range of three": want(logs=log([1, 2, 3])),
    "a want with a range of truths": want(logs=[[bytes(32), [[False, True]]]]),
    "a want with 65 ranges": want(logs=log(*([2 * n, 2 * n] for n in range(limits.MAX_RANGES + 1)))),
    "a want with more tips than logs": want(tips=[bytes(16)]),
    "a want with fewer tips than logs": want(logs=log([0, 1]), tips=[]),
    "a want with a short tip": want(logs=log([0, 1]), tips=[bytes(15)]),
    "a want with a tip of nothing held": want(logs=log(), tips=[bytes(16)]),
    "a want with a tip that is a text": want(logs=log([0, 1]), tips=[""]),
    "a want with null tips": want(tips=None),
    "a want with a fork of a short key": want(forks=[[bytes(31), 0]]),
    "a want with a fork at true": want(forks=[[bytes(32), True]]),
    "a want with a fork below nothing": want(forks=[[bytes(32), -1]]),
    "a want with one fork twice": want(forks=[[bytes(32), 1], [bytes(32), 2]]),
    "a want with 65 forks": want(forks=[[n.to_bytes(32), 1] for n in range(limits.MAX_FORKS + 1)]),
    "a find of nothing": {"type": "find"},
    "a find of a short root": {"type": "find", "root": bytes(31)},
    "found without operations": {"type": "found", "root": bytes(32)},
    "found with an operation without its body": {"type": "found", "root": bytes(32), "ops": [[b"e", None]]},
    "found with too many tables": {"type": "found", "root": bytes(32), "ops": [[b"e", b"b"]] * 17},
    "no points": points(),
    "points without an account": points([0, bytes(16)], account=None),
    "points without a key": points([0, bytes(16)], key=None),
    "points that do not ascend": points([1, bytes(16)], [0, bytes(16)]),
    "points twice at one number": points([1, bytes(16)], [1, bytes(16)]),
    "points below nothing": points([-1, bytes(16)]),
    "points at true": points([True, bytes(16)]),
    "points with a long digest": points([0, bytes(32)]),
    "65 points": points(*([n, bytes(16)] for n in range(65))),
    "entries of nothing": {"type": "entries", "account": X},
    "entries of empty lists": {"type": "entries", "account": X, "ops": [], "items": []},
    "entries without an account": {"type": "entries", "ops": [[b"e", b"b"]]},
    "entries with a key and no items": {"type": "entries", "account": X, "ops": [[b"e", b"b"]], "key": bytes(32)},
    "entries with items and no key": {"type": "entries", "account": X, "items": [[b"e", b"b"]]},
    "entries with a short key": {"type": "entries", "account": X, "items": [[b"e", b"b"]], "key": b"k"},
    "entries beside a number": {"type": "entries", "account": X, "ops": [[b"e", b"b"]], "beside": 1},
    "an operation without its body": {"type": "entries", "account": X, "ops": [[b"e", None]]},
    "an empty entry": {"type": "entries", "account": X, "ops": [[b"", b"b"]]},
    "a long entry": {"type": "entries", "account": X, "ops": [[bytes(1025), b"b"]]},
    "a long body": {"type": "entries", "account": X, "ops": [[b"e", bytes(65537)]]},
    "a body with a reason": {"type": "entries", "account": X, "key": bytes(32), "items": [[b"e", b"b", "deleted"]]},
    "a long reason": {"type": "entries", "account": X, "key": bytes(32), "items": [[b"e", None, "x" * 33]]},
    "credit of nothing": {"type": "credit", "bytes": 0},
    "negative credit": {"type": "credit", "bytes": -5},
    "credit of true": {"type": "credit", "bytes": True},
    "caught up with a text": {"type": "caught_up", "wants": "1"},
    "an error without text": {"type": "error", "code": "x"},
    "an error with a long text": {"type": "error", "code": "x", "text": "y" * 513},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_breaks_a_rule_is_refused(name: str) -> None:
    with pytest.raises(MalformedFrame):
        parse_frame(encode(MALFORMED[name]))


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\xa0", encode(HELLO) + b"\x00"], ids=bytes.hex)
def test_bytes_that_are_no_strict_map_are_refused(payload: bytes) -> None:
    with pytest.raises(MalformedFrame):
        parse_frame(payload)


def test_the_cost_of_a_want_is_the_agreed_sum() -> None:
    logs: Mapping[PublicKey, Ranges] = {key("k"): Ranges.of([(0, 1), (5, 6)]), key("l"): NOTHING}
    wanted = WantedAccount(X, (X, X), logs)
    assert wanted.cost == 640 + 2 * 176 + 2 * 384 + 2 * 128
    more = replace(wanted, tips={key("k"): bytes(16)}, forks={key("k"): 1, key("z"): 2})
    assert more.cost == wanted.cost + 128 + 2 * 192


def test_the_largest_wanted_account_fits_in_the_smallest_frame() -> None:
    each = limits.MAX_RANGES_PER_ACCOUNT // limits.MAX_LOGS
    far = 2**62
    pieces = Ranges.of((far + 2 * n, far + 2 * n) for n in range(each))
    logs = {PublicKey(n.to_bytes(32)): pieces for n in range(limits.MAX_LOGS)}
    wanted = WantedAccount(
        X,
        tuple(cid_of_digest(n.to_bytes(32)) for n in range(limits.MAX_OPERATIONS)),
        logs,
        2**62,
        tips={key: bytes(limits.TIP_BYTES) for key in logs},
        forks={PublicKey(n.to_bytes(32)): far for n in range(limits.MAX_FORKS)},
    )
    payload = encode_frame(Want((wanted,)))
    assert len(payload) <= min(limits.MIN_FRAME_LIMIT_BYTES, limits.WANT_BYTES + 64)
    assert parse_frame(payload) == Want((wanted,))


_RUN = {"account": account("x"), "key": key("k").bytes, "items": [(item(key("k"), 0).entry, b"body")]}


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [_RUN] * (limits.MAX_RUNS + 1),
        [b"no map"],
        [_RUN | {"beside": True}],
        [_RUN | {"items": []}],
        [_RUN, {"account": account("x")}],
        None,
    ],
)
def test_runs_that_break_a_rule_are_refused(runs: Any) -> None:
    with pytest.raises(MalformedFrame):
        parse_frame(encode({"type": "runs", "runs": runs}))
