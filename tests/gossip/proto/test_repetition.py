"""Asking for the same over and over: it leaves nothing behind, meets an allowance, and honest use never notices."""

from collections.abc import Sequence

from tests.gossip.proto.conftest import End, Pair, Store, account, item, key, operation
from tests.gossip.proto.test_meeting import carrier, carry, keep_tree

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Action, Purpose, ReadSummary
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import InterestsChanged, Opened, Received, Refolded, Tick
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import Carries, Entries, ErrorFrame, Frame, Hello, Want, WantedAccount
from unhush.gossip.proto.lookups import Lookups
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.serving import Serving
from unhush.gossip.proto.session import Session
from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import encode
from unhush.identity.keys import PublicKey

X = account("x")
K = key("k")
KEYS = [PublicKey(cid_of(b"%d" % number).digest) for number in range(20)]


class Asked:
    """An honest node that carries accounts, and says everything about a peer we play by hand."""

    def __init__(self, accounts: list[Cid], *, is_comparing: bool = False, wants_them: bool = False) -> None:
        self.now = 0.0
        config = carrier(1) if is_comparing else SessionConfig("test", "asked")
        self.end = End("asked", Store(), Session(config), lambda: self.now)
        for each in accounts:
            self.end.store.put_op(each, operation(f"{each}"))
            self.end.store.fill(each, K, range(3))
        self.end.journal.clear()
        self.looked_up = dict.fromkeys(Purpose, 0)
        if is_comparing:
            carry(self.end, accounts)
        self.end.feed(Opened())
        self.end.feed(
            InterestsChanged(carries=frozenset(accounts), interests=frozenset(accounts if wants_them else ()))
        )
        self.hear(Hello("test", "stranger", nonce=bytes(limits.NONCE_BYTES), accounts=100))

    def hear(self, frame: Frame) -> None:
        self.hear_bytes(encode_frame(frame))

    def hear_bytes(self, payload: bytes) -> None:
        actions = self.end.feed(Received(payload))
        while self.end.closed is None and (self.end.answers or self.end.unwritten):
            self._count(actions)
            if self.end.answers:
                actions = self.end.feed(self.end.answers.popleft())
            else:
                self.end.write()
                actions = []
        self._count(actions)

    def _count(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, ReadSummary):
                self.looked_up[action.purpose] += 1

    @property
    def serving(self) -> Serving:
        halves = self.end.session._halves
        assert halves is not None, "the session is over"
        return halves[1].serving

    @property
    def fault(self) -> str:
        assert self.end.closed is not None, "the session goes on"
        last = self.end.sent[-1]
        assert isinstance(last, ErrorFrame)
        return last.code


def made_up(number: int) -> WantedAccount:
    return WantedAccount(account(f"made up {number}"), logs={each: Ranges.span(0, number) for each in KEYS})


# --- wants that are never told to be answered --------------------------------------------------------------------


def test_what_is_wanted_again_leaves_nothing_behind_while_another_want_stays_open() -> None:
    asked = Asked([X], is_comparing=True)
    asked.hear(Want((WantedAccount(X),)))  # no credit: it is never answered
    for number in range(200):
        asked.now += 1.0
        asked.hear(Want(tuple(made_up(each % 7) for each in range(number, number + 3))))
    waiting = asked.serving._wants._finished
    assert sum(map(len, waiting.values())) <= len(asked.serving._served) == 8
    assert len(asked.serving._wants._open) == 1
    assert asked.serving._state_used == sum(served.cost for served in asked.serving._served.values())
    assert all(isinstance(each, Cid) for queue in waiting.values() for each in queue)


def test_accounts_that_are_answered_out_of_turn_are_not_counted_one_by_one() -> None:
    other = account("other")
    asked = Asked([X, other])
    asked.hear(Want((WantedAccount(X),)))
    held = WantedAccount(other, tuple(asked.end.store.ops[other]), {K: Ranges.span(0, 2)})
    for _ in range(200):
        asked.now += 1.0
        asked.hear(Want((held,)))
    assert len(asked.serving._wants._open) == 1


def test_wants_that_nobody_can_answer_come_to_an_end() -> None:
    asked = Asked([X])
    asked.hear(Want((WantedAccount(X),)))
    for _ in range(limits.MAX_WANTS_OPEN - 1):
        asked.now += 1.0
        asked.hear(Want())
    assert asked.end.closed is None
    asked.hear(Want())
    assert asked.fault == "too-many-frames"


def test_what_is_released_when_the_peer_hears_of_it_is_what_was_answered() -> None:
    asked = Asked([X], is_comparing=True)
    asked.hear(Want((WantedAccount(X),)))
    asked.hear(Want((made_up(1), made_up(2))))
    asked.hear(Want((made_up(2),)))  # named again: it waits for this want, not for the one before
    asked.hear(Want(drop=(X,)))  # nothing is open any more
    assert asked.serving._wants._finished == {}
    assert asked.serving._served == {}
    assert asked.serving._state_used == 0


def test_we_keep_to_as_many_open_wants_as_a_peer_puts_up_with() -> None:
    pair = Pair()
    pair.a.store.put_op(X, operation("x"))
    pair.a.store.fill(X, K, range(3))
    pair.a.interest(carries=[X])
    pair.b.is_committing = False  # nothing more is granted, and what comes first is not answered
    pair.open().run()
    receiving = pair.b.session._halves
    assert receiving is not None
    pair.a.to_peer.clear()
    for number in range(2 * limits.MAX_WANTS_OPEN):
        each = account(f"{number}")
        pair.b.feed(Received(encode_frame(Carries((each,)))))
        pair.b.interest(interests=[account(f"{other}") for other in range(number + 1)])
        while pair.b.answers:
            pair.b.answer_read()
        while pair.b.unwritten:
            pair.b.write()
        pair.now += 1.0
        pair.b.feed(Tick())
    assert len(receiving[0]._unanswered) == limits.MAX_WANTS_OPEN


# --- what it costs -----------------------------------------------------------------------------------------------


def test_wanting_the_same_accounts_without_end_looks_few_up_and_ends_the_session() -> None:
    accounts = [account(f"{number}") for number in range(100)]
    asked = Asked(accounts)
    logs = {each: Ranges.span(0, 1) for each in KEYS}
    frame = encode_frame(Want(tuple(WantedAccount(each, logs=logs) for each in accounts)))
    seconds = 0
    while asked.end.closed is None and seconds < 60:
        seconds += 1
        asked.now += 1.0
        for _ in range(20):
            if asked.end.closed is None:
                asked.hear_bytes(frame)
                asked.end.sent[:] = asked.end.sent[-1:]
    assert asked.fault == "too-many-frames"
    free = limits.SUMMARIES_ALLOWANCE + limits.SUMMARIES_AN_ACCOUNT * len(accounts)
    a_second = limits.SUMMARIES_ALLOWANCE / limits.SUMMARIES_INTERVAL_S
    assert asked.looked_up[Purpose.SERVE] <= free + seconds * a_second + 1


def test_carrying_and_not_carrying_what_we_want_looks_few_up() -> None:
    accounts = [account(f"{number}") for number in range(100)]
    asked = Asked(accounts, wants_them=True)
    seconds = 10
    for _ in range(seconds):
        asked.now += 1.0
        asked.end.feed(Tick())
        for _ in range(10):
            asked.hear(Carries(tuple(accounts)))
            asked.hear(Carries((), tuple(accounts)))
        asked.end.sent.clear()
    free = limits.SUMMARIES_ALLOWANCE + limits.SUMMARIES_AN_ACCOUNT * len(accounts)
    a_second = limits.SUMMARIES_ALLOWANCE / limits.SUMMARIES_INTERVAL_S
    assert asked.looked_up[Purpose.WANT] <= free + seconds * a_second + 1


def test_who_carries_something_else_every_moment_is_passed_on_once_a_second() -> None:
    asked = Asked([X], wants_them=True)
    for step in range(1_000):
        asked.now += 0.02
        asked.hear(Carries((X,)) if step % 2 else Carries((), (X,)))
        asked.end.sent.clear()
    assert asked.end.closed is None
    before = asked.end.session.carriage_changes
    assert before <= limits.CARRIAGE_AT_ONCE + 20
    asked.now += 2.0
    asked.end.feed(Tick())  # what came last is not lost
    assert asked.end.session.carriage_changes == before + 1


def test_frames_full_of_crumbs_are_paid_by_the_crumb() -> None:
    asked = Asked([X])
    crumbs = encode({"type": "later", "x": [0] * 30_000})
    heard = 0
    while asked.end.closed is None and heard < 100:
        asked.hear_bytes(crumbs)
        heard += 1
    assert asked.fault == "too-many-frames"
    assert heard <= limits.CONTROL_ALLOWANCE // (30_000 * limits.CONTROL_ITEM_COST) + 1


def test_no_frame_holds_more_items_than_a_full_want() -> None:
    asked = Asked([X])
    asked.hear_bytes(encode({"type": "later", "x": [0] * limits.MAX_FRAME_ITEMS}))
    assert asked.fault == "malformed"


def test_a_frame_without_records_is_no_longer_than_any_peer_reads() -> None:
    asked = Asked([X])
    asked.hear_bytes(encode({"type": "later", "x": bytes(limits.MAX_CONTROL_BYTES)}))
    assert asked.fault in ("frame-too-large", "credit-exceeded")


# --- honest use --------------------------------------------------------------------------------------------------


def test_a_first_meeting_and_what_follows_it_wait_for_no_clock() -> None:
    """Every account is looked up when it is wanted, when its operations came, and once again."""
    crowd = [account(f"{number}") for number in range(1_000)]
    left = Store()
    for each in crowd:
        left.put_op(each, operation(f"{each}"))
        left.put(each, K, item(K, 0))
    pair = Pair(carrier(1), carrier(2), stores=(left, Store()), keep_sent=False)
    for end in (pair.a, pair.b):
        end.journal.clear()
        keep_tree(end)
        carry(end, crowd)
    pair.open().run()
    assert set(pair.b.caught_up) == set(crowd)
    for round_ in range(2):
        for each in crowd:
            pair.b.feed(Refolded(each))
        pair.wait(limits.REFOLD_INTERVAL_S + 1)
        assert len(pair.b.caught_up) == (2 + round_) * len(crowd)


def test_records_that_travel_pay_for_looking_up_and_so_does_time() -> None:
    lookups = Lookups()
    while lookups.take():
        pass
    lookups.earn(10 * limits.BYTES_A_SUMMARY)
    assert [lookups.take() for _ in range(11)] == [True] * 10 + [False]
    lookups.cover(100)
    assert sum(lookups.take() for _ in range(1_000)) == limits.SUMMARIES_AN_ACCOUNT * 100
    lookups.pass_time(1.0)
    assert sum(lookups.take() for _ in range(1_000)) == limits.SUMMARIES_ALLOWANCE / limits.SUMMARIES_INTERVAL_S


def test_entries_are_no_control_frames() -> None:
    """However little is left of the allowance, records within the credit come in."""
    asked = Asked([X], wants_them=True)
    asked.hear(Carries((X,)))
    noise = encode({"type": "noise"})
    for _ in range(1_000):
        asked.hear_bytes(noise)
    assert asked.end.closed is None
    asked.hear(Entries(X, (), K, tuple(item(K, seq) for seq in range(3, 100))))
    assert asked.end.closed is None
    assert asked.end.ingest
