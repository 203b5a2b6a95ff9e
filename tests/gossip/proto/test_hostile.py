"""A peer that lies, floods or talks nonsense ends its own session, by name, and nothing else."""

from random import Random
from typing import Any

import pytest
from tests.gossip.proto.conftest import End, Store, account, item, key, operation

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Action, Close, Deliver, Send
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import Committed, InterestsChanged, Opened, Received, Tick
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frame_parsing import parse_frame
from unhush.gossip.proto.frames import (
    Carries,
    CaughtUp,
    Concerning,
    Credit,
    Entries,
    ErrorFrame,
    FindFrame,
    FoundFrame,
    Frame,
    Given,
    Hello,
    Item,
    Need,
    Offer,
    Operation,
    Points,
    Reason,
    ThreadFrame,
    Want,
    WantedAccount,
)
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.session import Session, Stage
from unhush.identity.cid import cid_of
from unhush.identity.codec import MAX_ITEMS_FRAME, decode_map, encode
from unhush.identity.keys import PublicKey

X, Y = account("x"), account("y")
K = key("k")
HELLO = Hello("test", "stranger")


class Victim:
    """An honest node that carries and wants X, and says everything about a peer we play by hand."""

    def __init__(self, *, greeted: bool = True) -> None:
        self.now = 0.0
        self.end = End("victim", Store(), Session(SessionConfig("test", "victim")), lambda: self.now)
        self.end.store.fill(X, K, range(10))
        self.end.feed(Opened())
        self.end.feed(InterestsChanged(frozenset([X]), frozenset([X])))
        if greeted:
            self.hear(HELLO)

    def is_closed(self) -> bool:
        return self.end.closed is not None

    def hear(self, *frames: Frame) -> list[Action]:
        actions: list[Action] = []
        for frame in frames:
            actions += self.hear_bytes(encode_frame(frame))
        return actions

    def hear_bytes(self, payload: bytes) -> list[Action]:
        actions = self.end.feed(Received(payload))
        self.settle()
        return actions

    def hear_without_reading(self, frame: Frame) -> list[Action]:
        return self.end.feed(Received(encode_frame(frame)))

    def settle(self) -> None:
        while self.end.closed is None and (self.end.answers or self.end.unwritten):
            (self.end.answer_read if self.end.answers else self.end.write)()

    def be_asked_for(self) -> "Victim":
        self.hear(Carries((X,)))
        assert any(isinstance(sent, Want) for sent in self.end.sent)
        return self

    def be_asked_for_by(self, want: Want) -> "Victim":
        self.hear(Carries((X,)), Credit(limits.DEFAULT_WINDOW_BYTES), want)
        return self

    def assert_closed(self, code: str, *, is_fault: bool = True) -> None:
        assert self.end.closed is not None, "the session goes on"
        assert self.end.closed.is_fault is is_fault
        last = self.end.sent[-1]
        assert isinstance(last, ErrorFrame)
        assert last.code == code
        assert self.end.session.stage is Stage.CLOSED
        assert self.end.feed(Tick()) == []


def entries(*seqs: int, of: PublicKey = K, body_bytes: int = 60) -> Entries:
    return Entries(X, (), of, tuple(item(of, seq, body_bytes) for seq in seqs))


def test_another_network_gets_an_error_and_nothing_else() -> None:
    victim = Victim(greeted=False)
    actions = victim.hear(Hello("other", "stranger"))
    assert [type(action) for action in actions] == [Send, Close]
    victim.assert_closed("network", is_fault=False)


def test_another_version_gets_an_error_and_nothing_else() -> None:
    victim = Victim(greeted=False)
    actions = victim.hear_bytes(encode({"type": "hello", "version": 2}))
    assert [type(action) for action in actions] == [Send, Close]
    victim.assert_closed("version", is_fault=False)


@pytest.mark.parametrize("frame", [Carries((X,)), Credit(1), Want(), CaughtUp(1), entries(0)], ids=repr)
def test_nothing_is_heard_before_hello(frame: Frame) -> None:
    victim = Victim(greeted=False)
    victim.hear(frame)
    victim.assert_closed("hello-expected")


def test_even_an_unknown_frame_may_not_come_before_hello() -> None:
    victim = Victim(greeted=False)
    victim.hear_bytes(encode({"type": "statements"}))
    victim.assert_closed("hello-expected")


def test_hello_is_said_once() -> None:
    victim = Victim()
    victim.hear(HELLO)
    victim.assert_closed("hello-repeated")


def test_a_peer_that_says_no_hello_is_given_up() -> None:
    victim = Victim(greeted=False)
    victim.now = limits.HELLO_DEADLINE_S - 0.1
    victim.end.feed(Tick())
    assert not victim.is_closed()
    victim.now = limits.HELLO_DEADLINE_S
    victim.end.feed(Tick())
    victim.assert_closed("hello-late", is_fault=False)


def test_entries_of_an_account_never_asked_for_are_a_fault() -> None:
    victim = Victim().be_asked_for()
    victim.hear(Entries(Y, (operation("o"),)))
    victim.assert_closed("unwanted-account")


def test_entries_before_the_want_are_a_fault() -> None:
    victim = Victim()
    victim.hear(entries(0))
    victim.assert_closed("unwanted-account")


def test_entries_beyond_the_credit_are_a_fault() -> None:
    victim = Victim().be_asked_for()
    for seq in range(0, 100, 10):
        victim.hear(entries(*range(seq, seq + 10), body_bytes=60_000))
        if victim.is_closed():
            break
    victim.assert_closed("credit-exceeded")
    taken = sum(delivery.wire_bytes for delivery in victim.end.ingest)
    assert taken <= limits.DEFAULT_WINDOW_BYTES


def test_tiny_entries_frames_exhaust_the_credit_too() -> None:
    victim = Victim().be_asked_for()
    payload = encode_frame(entries(0))
    for _ in range(limits.FIRST_CREDIT // limits.MIN_ENTRIES_COST):
        victim.end.feed(Received(payload))
    victim.end.commit()  # the first: now the rest of the window is granted
    for _ in range((limits.DEFAULT_WINDOW_BYTES - limits.FIRST_CREDIT) // limits.MIN_ENTRIES_COST + 2):
        victim.end.feed(Received(payload))
    victim.assert_closed("credit-exceeded")
    assert len(victim.end.ingest) == limits.DEFAULT_WINDOW_BYTES // limits.MIN_ENTRIES_COST


def test_before_anything_is_committed_only_a_part_of_the_window_may_come() -> None:
    victim = Victim().be_asked_for()
    payload = encode_frame(entries(0))
    for _ in range(limits.FIRST_CREDIT // limits.MIN_ENTRIES_COST + 1):
        victim.end.feed(Received(payload))
    victim.assert_closed("credit-exceeded")


@pytest.mark.parametrize(
    "items",
    [
        (item(K, 0), item(K, 2)),
        (item(K, 1), item(K, 0)),
        (item(key("other"), 0),),
        (Item(b"junk", b""),),
        (Item(item(K, 0).entry[:44], None, Reason.DELETED),),
    ],
    ids=["with a gap", "descending", "of another key", "junk", "cut short"],
)
def test_a_run_that_is_none_is_a_fault(items: tuple[Item, ...]) -> None:
    victim = Victim().be_asked_for()
    victim.hear(Entries(X, (), K, items))
    victim.assert_closed("malformed")


def test_records_that_ingest_blames_on_the_peer_end_the_session() -> None:
    victim = Victim().be_asked_for()
    (delivery,) = [action for action in victim.hear(entries(10)) if isinstance(action, Deliver)]
    victim.end.feed(Committed(delivery.delivery_id, is_faulty=True))
    victim.assert_closed("rejected")


@pytest.mark.parametrize("wants", [0, 2, 2**63 - 1])
def test_answers_to_what_was_not_asked_are_a_fault(wants: int) -> None:
    victim = Victim().be_asked_for()
    victim.hear(CaughtUp(wants))
    victim.assert_closed("caught-up")


def test_the_same_answer_twice_is_a_fault() -> None:
    victim = Victim().be_asked_for()
    victim.hear(CaughtUp(1))
    assert not victim.is_closed()
    victim.hear(CaughtUp(1))
    victim.assert_closed("caught-up")


def test_credit_without_end_is_a_fault() -> None:
    victim = Victim()
    victim.hear(Credit(limits.MAX_WINDOW_BYTES), Credit(1))
    victim.assert_closed("credit-overflow")


def cids(start: int, count: int) -> tuple[Any, ...]:
    return tuple(cid_of(number.to_bytes(8)) for number in range(start, start + count))


def test_a_peer_that_carries_the_world_is_refused() -> None:
    victim = Victim()
    for start in range(0, 40_000, 4_000):
        victim.hear(Carries(cids(start, 4_000)))
        if victim.is_closed():
            break
    victim.assert_closed("too-much-state")


def test_a_peer_that_wants_the_world_is_refused() -> None:
    victim = Victim()
    wanted = 0
    while not victim.is_closed():
        victim.hear(Want(tuple(map(WantedAccount, cids(wanted, 1_000)))))
        wanted += 1_000
    victim.assert_closed("too-much-state")
    allowed = limits.MAX_STATE_BYTES * 3 // 4 // limits.ACCOUNT_COST
    assert allowed < wanted <= allowed + 1_000


def test_wanting_the_same_again_and_again_costs_the_peer_no_state_but_patience() -> None:
    victim = Victim()
    frame = Want((WantedAccount(X, logs={K: Ranges.span(0, 9)}),))
    for _ in range(100):
        victim.hear(frame)
    assert not victim.is_closed()
    for _ in range(2_000):
        victim.hear(frame)
        if victim.is_closed():
            break
    victim.assert_closed("too-many-frames")


@pytest.mark.parametrize("payload", [encode({"type": "noise"}), encode_frame(Carries())], ids=["unknown", "carries"])
def test_a_flood_of_frames_is_a_fault_and_a_steady_trickle_is_none(payload: bytes) -> None:
    victim = Victim()
    for _ in range(3_000):
        victim.now += 0.02
        victim.hear_bytes(payload)
    assert not victim.is_closed()
    for _ in range(3_000):
        victim.hear_bytes(payload)
        if victim.is_closed():
            break
    victim.assert_closed("too-many-frames")


def test_a_stream_that_carries_no_frames_is_a_fault() -> None:
    victim = Victim()
    victim.end.from_peer.append(b"\xff\xff\xff\xff")
    victim.end.read_wire()
    victim.assert_closed("frame-too-large")


def test_an_error_from_the_peer_closes_without_blame_and_its_words_stay_quoted() -> None:
    victim = Victim()
    victim.hear(ErrorFrame("x", "first line\nERROR root logged in"))
    assert victim.end.closed is not None
    assert not victim.end.closed.is_fault
    assert "\n" not in victim.end.closed.reason
    assert not any(isinstance(sent, ErrorFrame) for sent in victim.end.sent)


def test_a_peer_that_never_reads_and_grants_much_makes_us_hold_little() -> None:
    victim = Victim()
    victim.end.store.fill(X, K, range(10, 600), body_bytes=60_000)
    victim.end.is_writing = False
    for frame in (Credit(limits.MAX_WINDOW_BYTES), Want((WantedAccount(X),))):
        victim.end.feed(Received(encode_frame(frame)))
    while victim.end.answers:
        victim.end.answer_read()
    assert sum(map(len, victim.end.unwritten)) < limits.MAX_UNWRITTEN_BYTES + limits.RUN_BYTES + 1024


def test_keys_made_up_by_a_peer_are_remembered_only_so_far() -> None:
    victim = Victim().be_asked_for()
    victim.hear(Want((WantedAccount(X),)))
    for number in range(limits.MAX_STRAY_LOGS + 50):
        made_up = PublicKey(number.to_bytes(32))
        for action in victim.hear(entries(0, of=made_up)):
            if isinstance(action, Deliver):
                victim.end.feed(Committed(action.delivery_id))
        victim.settle()
    assert not victim.is_closed()
    halves = victim.end.session._halves
    assert halves is not None
    assert len(halves[1].serving._served[X].logs) <= limits.MAX_STRAY_LOGS + 1


SEEDS: tuple[bytes, ...] = tuple(
    encode_frame(frame)
    for frame in (
        HELLO,
        Carries((X, Y)),
        Carries((), (X,)),
        Want((WantedAccount(X, (X,), {K: Ranges.of([(0, 3), (5, 9)])}, 50),), (Y,)),
        Want((WantedAccount(X, (), {K: Ranges.span(0, 9)}, tips={K: bytes(16)}, forks={K: 4}),)),
        FindFrame(K),
        FoundFrame(K, (operation("o"),)),
        Points(X, K, {0: bytes(16), 9: bytes(range(16))}),
        entries(10, 11, 12),
        Entries(X, (Operation(item(K, 0).entry, b"body"),)),
        Entries(X, (), K, (Item(item(K, 0).entry, None, Reason.WITHHELD),)),
        Need(1, X, (Y,)),
        ThreadFrame(2, Y, X, (bytes(16),)),
        Concerning(3, X, (bytes(16),)),
        Given(1, X, (operation("o"),), (item(K, 3),), True, item(K, 4)),
        Given(2),
        Offer(X, Y, (operation("o"),), (item(K, 5),)),
        Credit(100_000),
        CaughtUp(1),
        ErrorFrame("code", "text"),
    )
)


def mutate(rng: Random, payload: bytes) -> bytes:
    made = bytearray(payload)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(made) + 1)
        match rng.randrange(6):
            case 0 if at < len(made):
                made[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(made):
                made[at] = rng.randrange(256)
            case 2:
                made[at:at] = rng.randbytes(rng.randrange(4))
            case 3:
                del made[at : at + rng.randrange(1, 9)]
            case 4:
                other = rng.choice(SEEDS)
                cut = rng.randrange(len(other))
                made[at:] = other[cut:]
            case _:
                made += made[at : at + 20]
    return bytes(made)


def shuffled_fields(rng: Random, payload: bytes) -> bytes:
    """Well-encoded nonsense: fields of one frame under the type of another, or values swapped."""
    fields = dict(decode_map(payload, max_items=MAX_ITEMS_FRAME))
    other = decode_map(rng.choice(SEEDS), max_items=MAX_ITEMS_FRAME)
    names = sorted(fields)
    match rng.randrange(4):
        case 0:
            fields["type"] = other["type"]
        case 1:
            fields[rng.choice(names)] = rng.choice(list(other.values()))
        case 2:
            del fields[rng.choice(names)]
        case _:
            fields[rng.choice(names)] = rng.choice((None, True, -1, 2**63 - 1, "", b"", [], {}, [[]], X))
    return encode(fields)


def test_ten_thousand_mutated_frames_raise_nothing_but_remote_protocol_errors() -> None:
    rng = Random(20_240_607)
    refused = 0
    for number in range(10_000):
        make = mutate if number % 2 else shuffled_fields
        try:
            parse_frame(make(rng, rng.choice(SEEDS)))
        except RemoteProtocolError:
            refused += 1
    assert refused > 5_000


def test_mutated_frames_leave_a_session_open_or_closed_but_never_broken() -> None:
    rng = Random(7)
    victim = Victim().be_asked_for()
    closes = 0
    for number in range(5_000):
        make = mutate if number % 2 else shuffled_fields
        victim.hear_bytes(make(rng, rng.choice(SEEDS)))
        if victim.is_closed():
            closes += 1
            assert victim.end.session.stage is Stage.CLOSED
            victim = Victim(greeted=rng.random() < 0.9)
            if rng.random() < 0.7 and victim.end.session.stage is Stage.OPEN:
                victim.be_asked_for()
    assert closes > 500
