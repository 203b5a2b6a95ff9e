"""Two machines joined in memory bring each other what the other wants and lacks."""

from collections import deque
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from tests.gossip.proto.conftest import End, Pair, Store, account, item, key, operation

from unhush.gossip.errors import LocalProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Read, ReadRun
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import (
    Closed,
    Committed,
    HoleSeen,
    Opened,
    ReadAnswer,
    Received,
    Refolded,
    RunRead,
    SummaryRead,
    Tick,
)
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import (
    Carries,
    CaughtUp,
    Credit,
    Entries,
    Hello,
    Item,
    Reason,
    RunsFrame,
    Want,
)
from unhush.gossip.proto.position import find_seqs
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.session import Stage
from unhush.identity.codec import encode

X, Y, Z = account("x"), account("y"), account("z")
K, L = key("k"), key("l")


def spans(end: End) -> list[tuple[str, int, int]]:
    """What an end sent of which account, in order: the account's name, first and last number; ops as -1."""
    names = {X: "x", Y: "y", Z: "z"}
    seen: list[tuple[str, int, int]] = []
    for sent in end.sent_entries():
        if sent.key is None:
            seen.append((names[sent.account], -1, -1))
        else:
            seqs = find_seqs(sent.key, (record.entry for record in sent.items)) or []
            seen.append((names[sent.account], seqs[0], seqs[-1]))
    return seen


def config(**changes: object) -> SessionConfig:
    return SessionConfig(network="test", agent="test", **changes)  # type: ignore[arg-type]  # by keyword


def one_way(store: Store, **changes: object) -> Pair:
    """``a`` has ``store`` and carries all of it, ``b`` has nothing and wants all of it."""
    pair = Pair(config(**changes), config(**changes), stores=(store, Store()))
    accounts = set(store.logs) | set(store.ops)
    pair.a.interest(carries=accounts)
    pair.b.interest(interests=accounts)
    return pair


def test_a_new_follower_catches_up_fully() -> None:
    store = Store()
    store.fill(X, K, range(3000))
    store.fill(X, L, range(7))
    store.put_op(X, operation("incept"))
    pair = one_way(store).open().run()
    assert pair.b.store.logs == store.logs
    assert pair.b.store.ops == store.ops
    assert pair.b.caught_up == [X]
    assert pair.b.repeated == 0
    assert pair.a.delivered == 0


def test_operations_go_before_anything_else_of_their_account() -> None:
    store = Store()
    for name, account_ in (("x", X), ("y", Y)):
        store.fill(account_, key(name), range(10))
        for number in range(20):
            store.put_op(account_, operation(f"{name}{number}"))
    pair = one_way(store).open().run()
    for name in ("x", "y"):
        order = [first for account_, first, _ in spans(pair.a) if account_ == name]
        assert order == sorted(order), "an operation came after a record"
    assert list(pair.b.store.ops[X]) == list(store.ops[X])


def test_all_first_screens_go_before_any_history() -> None:
    store = Store()
    for account_, name in ((X, "x"), (Y, "y"), (Z, "z")):
        store.fill(account_, key(name), range(100))
    pair = one_way(store, depth=10).open().run()
    sent = spans(pair.a)
    assert sorted(sent[:3]) == [("x", 90, 99), ("y", 90, 99), ("z", 90, 99)]
    assert all(last < 90 for _, _, last in sent[3:])


def test_history_comes_backwards_in_bounded_runs_and_accounts_take_turns() -> None:
    store = Store()
    for account_, name in ((X, "x"), (Y, "y")):
        store.fill(account_, key(name), range(120), body_bytes=10_000)
    pair = one_way(store, depth=2).open().run()
    history = spans(pair.a)[2:]
    assert len(history) >= 8
    assert [name for name, _, _ in history[:6]] in (["x", "y"] * 3, ["y", "x"] * 3)
    for name in ("x", "y"):
        runs = [(first, last) for account_, first, last in history if account_ == name]
        # The newest entry of a run is the `prev` of the oldest one sent before.
        assert [last + 1 for _, last in runs] == [118, *(first for first, _ in runs[:-1])]
    assert all(len(sent.items) * 10_000 <= limits.RUN_BYTES for sent in pair.a.sent_entries())
    assert pair.b.store.logs == store.logs


def test_only_what_is_missing_is_sent() -> None:
    store = Store()
    store.fill(X, K, range(100))
    pair = one_way(store)
    pair.b.store.fill(X, K, [*range(20), *range(30, 60), 99])
    pair.open().run()
    assert pair.b.store.logs == store.logs
    assert pair.b.repeated == 0
    assert pair.b.delivered == 49


def test_the_senders_own_holes_are_no_obstacle() -> None:
    store = Store()
    store.fill(X, K, range(0, 400, 3))
    pair = one_way(store).open().run()
    assert pair.b.store.logs == store.logs


def test_a_log_in_too_many_pieces_is_described_coarsely_and_still_completed() -> None:
    store = Store()
    store.fill(X, K, range(1000))
    pair = one_way(store)
    pair.b.store.fill(X, K, range(0, 1000, 2))
    pair.open().run()
    (want,) = [sent for sent in pair.b.sent if isinstance(sent, Want)]
    assert len(want.accounts[0].logs[K]) == limits.MAX_RANGES
    assert pair.b.store.logs == store.logs


def test_both_directions_at_once() -> None:
    pair = Pair(config(), config())
    pair.a.store.fill(X, K, range(500))
    pair.b.store.fill(Y, L, range(500))
    pair.a.interest(carries=[X], interests=[Y])
    pair.b.interest(carries=[Y], interests=[X])
    pair.open().run()
    assert pair.a.store.held(Y, L) == pair.b.store.held(X, K) == Ranges.span(0, 499)
    assert (pair.a.caught_up, pair.b.caught_up) == ([Y], [X])


def test_two_nodes_complete_each_others_halves_of_one_log() -> None:
    pair = Pair(config(), config())
    pair.a.store.fill(X, K, range(60))
    pair.b.store.fill(X, K, range(40, 100))
    for end in (pair.a, pair.b):
        end.interest(carries=[X], interests=[X])
    pair.open().run()
    assert pair.a.store.logs == pair.b.store.logs
    assert pair.a.repeated == pair.b.repeated == 0


def test_growth_is_pushed_both_ways_and_never_comes_back() -> None:
    pair = Pair(config(), config())
    for end in (pair.a, pair.b):
        end.interest(carries=[X], interests=[X])
    pair.open().run()
    for start in range(0, 20, 5):
        pair.a.store.fill(X, K, range(start, start + 5))
        pair.b.store.fill(X, L, range(start, start + 5))
        # All at once, so that what waits for the first read goes as one run.
        for end in (pair.a, pair.b):
            while end.journal:
                end.hear_growth()
        pair.run()
    assert ("x", 1, 4) in spans(pair.a)
    pair.a.store.put_op(X, operation("add"))
    pair.run()
    assert pair.a.store.logs == pair.b.store.logs
    assert pair.a.store.ops == pair.b.store.ops
    assert (pair.a.delivered, pair.b.delivered) == (20, 21)
    assert pair.a.repeated == pair.b.repeated == 0


def test_growth_between_the_want_and_its_summary_is_not_lost() -> None:
    pair = Pair(config(), config())
    pair.a.interest(carries=[X])
    pair.b.interest(interests=[X])
    pair.a.store.fill(X, K, range(5))
    pair.open()
    pair.run_until(lambda: pair.a.answers)
    # The summary is a snapshot from before; the growth is told before the answer.
    pair.a.store.fill(X, K, [5])
    pair.a.store.put_op(X, operation("add"))
    while pair.a.journal:
        pair.a.hear_growth()
    pair.run()
    assert pair.b.store.held(X, K) == Ranges.span(0, 5)
    assert pair.b.store.ops == pair.a.store.ops


def test_growth_during_a_read_of_its_range_is_not_lost() -> None:
    store = Store()
    store.fill(X, K, [0, 1, 2, 4, 5])
    pair = one_way(store).open()
    pair.run_until(lambda: pair.a.answers and isinstance(pair.a.answers[0], RunRead))
    pair.a.store.fill(X, K, [3])
    while pair.a.journal:
        pair.a.hear_growth()
    pair.run()
    assert pair.b.store.held(X, K) == Ranges.span(0, 5)


def test_growth_into_the_holes_of_a_tattered_log_is_not_taken_for_held() -> None:
    store = Store()
    store.fill(X, K, range(0, 600, 2))
    pair = one_way(store).open().run()
    for seq in range(1, 600, 2):
        store.fill(X, K, [seq])
        pair.run()
    assert pair.b.store.logs == store.logs


def test_scattered_growth_that_must_wait_is_not_forgotten() -> None:
    store = Store()
    store.fill(X, K, range(1000, 1200), body_bytes=20_000)
    pair = one_way(store, window_bytes=limits.MIN_WINDOW_BYTES)
    pair.b.is_committing = False
    pair.open().run()
    store.fill(X, K, range(0, 600, 3))
    pair.run()
    pair.b.is_committing = True
    pair.run()
    assert pair.b.store.logs == store.logs


def test_a_store_that_reads_more_than_asked_is_sent_in_parts() -> None:
    class Generous(Store):
        def answer(self, read: Read) -> ReadAnswer:
            return super().answer(replace(read, max_bytes=10**7) if isinstance(read, ReadRun) else read)

    store = Generous()
    store.fill(X, K, range(300), body_bytes=20_000)
    pair = one_way(store, depth=0).open().run()
    assert pair.b.store.logs == store.logs
    assert pair.b.repeated == 0
    pair = one_way(store, depth=0, window_bytes=limits.MIN_WINDOW_BYTES).open().run()
    assert pair.b.store.logs == store.logs


def test_an_account_dropped_and_regained_before_the_peer_was_told_goes_on() -> None:
    store = Store()
    store.fill(X, K, range(10))
    pair = one_way(store).open().run()
    pace = pair.b.session._outbox._pace
    while pace.spend(1_000, pair.now):
        pass
    pair.b.interest()
    pair.b.interest(interests=[X])
    store.fill(X, K, [10])
    pair.run()
    assert pair.b.closed is None
    pair.wait(1)
    assert pair.b.store.logs == store.logs


def test_a_body_that_turns_up_later_is_sent_later() -> None:
    full = item(K, 0)
    pair = Pair(config(), config())
    pair.a.interest(carries=[X])
    pair.b.interest(interests=[X])
    pair.a.store.put(X, K, Item(full.entry, None, Reason.UNKNOWN))
    pair.open().run()
    assert pair.b.store.logs[X][K][0].body is None
    pair.a.store.put(X, K, full)
    pair.run()
    assert pair.b.store.logs[X][K][0] == full


def test_both_branches_of_a_fork_travel_in_one_run() -> None:
    branches = (item(K, 0), item(K, 1), item(K, 1, 61), item(K, 2))

    class Forked(Store):
        def answer(self, read: Read) -> ReadAnswer:
            answer = super().answer(read)
            return RunRead(X, K, branches) if isinstance(answer, RunRead) else answer

    store = Forked()
    store.fill(X, K, range(3))
    pair = one_way(store).open().run()
    assert pair.b.closed is None
    assert [sent.items for sent in pair.a.sent_entries()] == [branches]


def test_a_fork_is_not_cut_in_two_for_lack_of_credit() -> None:
    run = [(seq, item(K, seq, 60_000 + branch)) for seq, branch in ((0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (4, 0))]

    class Forked(Store):
        def answer(self, read: Read) -> ReadAnswer:
            if not isinstance(read, ReadRun):
                return super().answer(read)
            return RunRead(X, K, tuple(record for seq, record in run if read.lo <= seq <= read.hi))

    store = Forked()
    store.fill(X, K, range(5), body_bytes=60_000)
    # Room for four records: the cut would fall between the branches at 1.
    pair = one_way(store, window_bytes=limits.MIN_WINDOW_BYTES).open().run()
    sent = [sent.items for sent in pair.a.sent_entries()]
    assert sent == [tuple(record for _, record in run[3:]), tuple(record for _, record in run[:3])]


def test_without_credit_growth_waits_as_ranges_and_goes_on_when_credit_returns() -> None:
    store = Store()
    store.fill(X, K, range(200), body_bytes=20_000)
    pair = one_way(store, window_bytes=limits.MIN_WINDOW_BYTES)
    pair.b.is_committing = False
    pair.open().run()
    outstanding = sum(delivery.wire_bytes for delivery in pair.b.ingest)
    assert 0 < outstanding <= limits.MIN_WINDOW_BYTES
    assert limits.MIN_WINDOW_BYTES - outstanding < limits.MIN_SENDING_CREDIT
    assert not pair.a.session._reads, "something was read that could not be sent"
    store.fill(X, K, range(200, 400), body_bytes=20_000)
    pair.b.is_committing = True
    pair.run()
    assert pair.b.store.logs == store.logs
    assert pair.b.repeated == 0


def test_nothing_is_produced_while_the_stream_does_not_take_it() -> None:
    store = Store()
    store.fill(X, K, range(1000), body_bytes=20_000)
    pair = one_way(store, window_bytes=limits.MAX_WINDOW_BYTES)
    pair.open().run_until(lambda: len(pair.a.sent_entries()) > 12)  # then what is older goes
    pair.a.is_writing = False
    pair.run()
    waiting = sum(map(len, pair.a.unwritten))
    assert limits.MAX_UNWRITTEN_BYTES <= waiting < limits.MAX_UNWRITTEN_BYTES + limits.RUN_BYTES
    pair.a.is_writing = True
    pair.run()
    assert pair.b.store.logs == store.logs


def test_an_interest_gained_mid_session_is_asked_for_and_one_lost_is_dropped() -> None:
    store = Store()
    store.fill(X, K, range(100))
    store.fill(Y, L, range(100))
    pair = Pair(config(), config(), stores=(store, Store()))
    pair.a.interest(carries=[X])
    pair.b.interest(interests=[X, Y])
    pair.open().run()
    assert Y not in pair.b.store.logs
    pair.a.interest(carries=[X, Y])
    pair.run()
    assert pair.b.store.logs == store.logs
    pair.b.interest(interests=[Y])
    pair.run()
    store.fill(X, K, [100])
    store.fill(Y, L, [100])
    pair.run()
    assert pair.b.store.held(X, K) == Ranges.span(0, 99)
    assert pair.b.store.held(Y, L) == Ranges.span(0, 100)
    pair.b.interest(interests=[X, Y])
    pair.run()
    assert pair.b.store.logs == store.logs


def test_entries_under_way_when_their_account_is_dropped_are_ignored_and_credited() -> None:
    store = Store()
    store.fill(X, K, range(400), body_bytes=20_000)
    pair = one_way(store, window_bytes=4 * limits.MIN_WINDOW_BYTES)
    pair.open().run_until(lambda: pair.b.delivered)
    pair.b.is_committing = False
    pair.run_until(lambda: len(pair.b.ingest) >= 1 and (pair.b.from_peer or pair.a.unwritten))
    pair.b.interest()
    pair.b.is_committing = True
    pair.run()
    assert pair.b.delivered < sum(len(sent.items) for sent in pair.a.sent_entries())
    assert pair.b.closed is None
    assert len(pair.b.store.logs[X][K]) < 400
    pair.b.interest(interests=[X])
    pair.run()
    assert pair.b.store.logs == store.logs


def test_what_we_no_longer_carry_is_not_sent_on() -> None:
    store = Store()
    store.fill(X, K, range(10))
    pair = one_way(store).open().run()
    pair.a.interest()
    store.fill(X, K, [10])
    pair.run()
    assert pair.b.store.held(X, K) == Ranges.span(0, 9)
    assert pair.b.session.peer_carries == frozenset()


def test_an_account_that_is_not_carried_is_not_served_even_if_asked_for() -> None:
    store = Store()
    store.fill(X, K, range(10))
    pair = Pair(config(), config(trusts_all=True), stores=(store, Store()))
    pair.b.interest(interests=[X])
    pair.open().run()
    assert pair.b.store.logs == {}
    assert pair.a.sent_entries() == []
    assert pair.b.caught_up == [X]
    pair.a.interest(carries=[X])
    pair.run()
    assert pair.b.store.logs == store.logs


def test_nodes_that_trust_each_other_need_not_say_what_they_carry() -> None:
    store = Store()
    store.fill(X, K, range(10))
    pair = Pair(config(trusts_all=True), config(trusts_all=True), stores=(store, Store()))
    pair.b.interest(interests=[X])
    pair.open().run()
    assert pair.b.store.logs == store.logs


def test_interests_are_told_only_where_they_are_carried() -> None:
    pair = Pair(config(), config())
    pair.a.interest(carries=[X])
    pair.b.interest(interests=[X, Y, Z])
    pair.open().run()
    named = [wanted.account for sent in pair.b.sent if isinstance(sent, Want) for wanted in sent.accounts]
    assert named == [X]


def test_a_hole_is_asked_for_again_after_a_while() -> None:
    store = Store()
    store.fill(X, K, range(10))
    pair = one_way(store).open().run()
    del pair.b.store.logs[X][K][4]
    pair.b.feed(HoleSeen(X))
    pair.wait(1)
    assert 4 not in pair.b.store.logs[X][K], "asked again at once"
    pair.wait(limits.REASK_INTERVAL_S)
    assert pair.b.store.logs == store.logs
    assert pair.b.caught_up == [X, X]
    assert pair.b.repeated == 0


def test_changed_operations_make_us_ask_again_soon_and_not_more_often() -> None:
    store = Store()
    store.fill(X, K, range(10))
    pair = one_way(store).open().run()
    asked: list[float] = []
    for _ in range(40):
        pair.b.feed(Refolded(X))
        pair.wait(0.25)
        wants = sum(isinstance(sent, Want) for sent in pair.b.sent)
        asked += [pair.now] * (wants - 1 - len(asked))
    assert asked[0] - 1000.0 <= limits.REFOLD_INTERVAL_S
    assert {after - before for before, after in pairwise(asked)} == {limits.REFOLD_INTERVAL_S}


def test_what_a_change_of_operations_brings_into_force_arrives_before_the_account_is_caught_up() -> None:
    store = Store()
    store.fill(X, K, range(200), body_bytes=60_000)
    pair = one_way(store, window_bytes=limits.MIN_WINDOW_BYTES)
    pair.open().run_until(lambda: pair.b.delivered > 20)
    pair.b.is_committing = False
    pair.run()
    pair.b.feed(Refolded(X))
    pair.wait(60)
    assert sum(isinstance(sent, Want) for sent in pair.b.sent) == 1, "asked while deliveries were under way"
    del store.logs[X][K][199], pair.b.store.logs[X][K][199]  # no follower hears of its return
    store.logs[X][K][199] = item(K, 199, 60_000)
    while pair.b.ingest:
        pair.b.commit()
    assert pair.b.caught_up == []
    pair.b.feed(Tick())
    pair.b.is_committing = True
    pair.run()
    assert pair.b.store.logs == store.logs


def test_an_account_of_no_interest_is_not_asked_for_because_its_operations_change() -> None:
    pair = one_way(Store()).open().run()
    pair.b.feed(Refolded(X))
    pair.wait(10)
    assert not any(isinstance(sent, Want) for sent in pair.b.sent)


def test_caught_up_is_reported_only_when_all_is_committed() -> None:
    store = Store()
    store.fill(X, K, range(10))
    pair = one_way(store)
    pair.b.is_committing = False
    pair.open().run()
    assert any(isinstance(sent, CaughtUp) for sent in pair.a.sent)
    assert pair.b.caught_up == []
    pair.b.is_committing = True
    pair.run()
    assert pair.b.caught_up == [X]


def test_what_is_older_waits_until_the_newest_is_written_and_something_is_committed() -> None:
    store = Store()
    store.fill(X, K, range(1000), body_bytes=2_000)
    depth = 50
    pair = one_way(store, depth=depth)
    pair.b.is_committing = False
    pair.open().run()
    assert spans(pair.a) == [("x", 1000 - depth, 999)]
    pair.a.is_writing = False
    pair.b.is_committing = True
    pair.run()
    assert pair.b.delivered == depth
    pair.a.is_writing = True
    pair.run()
    assert pair.b.store.logs == store.logs


def test_an_account_comes_in_one_frame_with_its_newest_records() -> None:
    store = Store()
    store.fill(X, K, range(50))
    store.put_op(X, operation("inception"))
    pair = one_way(store).open().run()
    assert pair.b.store.ops == store.ops
    assert pair.b.store.logs == store.logs
    assert spans(pair.a) == [("x", -1, -1), ("x", 0, 49)]
    assert len([sent for sent in pair.a.sent if isinstance(sent, Entries | RunsFrame)]) == 1


def test_credit_comes_back_in_parts_of_the_window() -> None:
    store = Store()
    store.fill(X, K, range(1000), body_bytes=20_000)
    pair = one_way(store).open().run()
    grants = [sent.bytes for sent in pair.b.sent if isinstance(sent, Credit)]
    assert grants[0] == limits.FIRST_CREDIT
    assert sum(grants[:2]) >= limits.DEFAULT_WINDOW_BYTES, "something was committed"
    assert all(grant >= limits.DEFAULT_WINDOW_BYTES // limits.CREDIT_SHARE for grant in grants[1:])
    assert len(grants) > 10


def test_many_accounts_are_asked_for_in_batches_and_all_come() -> None:
    store = Store()
    accounts = [account(str(number)) for number in range(500)]
    for number, account_ in enumerate(accounts):
        store.fill(account_, key(str(number)), range(3))
    pair = one_way(store).open().run()
    wants = [sent for sent in pair.b.sent if isinstance(sent, Want)]
    assert [len(sent.accounts) for sent in wants] == [128, 128, 128, 116]
    assert pair.b.store.logs == store.logs
    assert sorted(pair.b.caught_up) == sorted(accounts)


def test_no_more_is_asked_than_the_peer_remembers_and_drops_make_room() -> None:
    accounts = sorted(account(str(number)) for number in range(60))
    store = Store()
    for account_ in accounts:
        store.fill(account_, K, range(2))
    pair = Pair(config(), config(), stores=(store, Store()))
    pair.b.to_peer = deque()  # nobody listens
    pair.b.feed(Opened())
    pair.b.interest(interests=accounts)
    # A peer with room for 36 accounts wanted, which says it carries more than it would let us say.
    small = Hello("test", "small", state_bytes=48 * limits.ACCOUNT_COST)
    carried = Carries(tuple(accounts))
    for frame in (small, carried):
        pair.b.feed(Received(encode_frame(frame)))
    pair.run()
    asked = [wanted.account for sent in pair.b.sent if isinstance(sent, Want) for wanted in sent.accounts]
    assert len(asked) == 36
    pair.b.interest(interests=set(accounts) - set(asked[:10]))
    pair.run()
    again = [wanted.account for sent in pair.b.sent if isinstance(sent, Want) for wanted in sent.accounts]
    assert len(again) == 46
    assert len(set(again)) == 46


def test_no_more_is_announced_than_the_peer_remembers() -> None:
    accounts = sorted(account(str(number)) for number in range(60))
    pair = Pair(config(), config())
    pair.a.feed(Opened())
    pair.a.interest(carries=accounts)
    pair.a.feed(Received(encode_frame(Hello("test", "small", state_bytes=4 * 48 * limits.CARRIED_COST))))
    pair.a.interest(carries=accounts[20:])
    told: set[object] = set()
    for sent in pair.a.sent:
        if isinstance(sent, Carries):
            told = (told - set(sent.drop)) | set(sent.add)
            assert len(told) <= 48
    assert told == set(accounts[20:])


def test_a_stream_that_ends_ends_the_session_quietly() -> None:
    store = Store()
    store.fill(X, K, range(10))
    pair = one_way(store).open()
    pair.run_until(lambda: pair.a.answers)
    assert pair.a.feed(Closed()) == []
    assert pair.a.session.stage is Stage.CLOSED
    pair.a.answer_read()
    assert pair.a.feed(Committed(99)) == []


def test_unknown_frames_and_fields_do_no_harm_mid_session() -> None:
    store = Store()
    store.fill(X, K, range(10))
    pair = one_way(store).open()
    for act in (pair.a.write, pair.b.write, pair.a.read_wire, pair.b.read_wire):
        act()
    pair.a.feed(Received(encode({"type": "statements", "statements": [b"x"]})))
    pair.b.feed(Received(encode({"type": "carries", "add": [], "drop": [], "since": 3})))
    pair.run()
    assert pair.b.store.logs == store.logs


def test_the_driver_is_told_when_it_breaks_its_side() -> None:
    pair = Pair()
    with pytest.raises(LocalProtocolError):
        pair.a.feed(Received(b""))
    pair.open().run()
    with pytest.raises(LocalProtocolError):
        pair.a.feed(Opened())
    with pytest.raises(LocalProtocolError):
        pair.a.feed(SummaryRead(X))
    with pytest.raises(LocalProtocolError):
        pair.a.feed(Committed(1))


def test_the_same_events_give_the_same_actions() -> None:
    def talk() -> list[object]:
        store = Store()
        for number in range(20):
            store.fill(account(str(number)), key(str(number)), range(number))
        pair = one_way(store).open().run(Random(7))
        return [*pair.a.sent, *pair.b.sent]

    assert talk() == talk()


def test_reads_alternate_so_that_neither_direction_waits_for_the_other() -> None:
    pair = Pair()
    mine = [account(f"m{number}") for number in range(50)]
    theirs = [account(f"t{number}") for number in range(50)]
    for account_ in mine:
        pair.a.store.fill(account_, K, [0])
    for account_ in theirs:
        pair.b.store.fill(account_, K, [0])
    pair.a.interest(carries=mine, interests=theirs)
    pair.b.interest(carries=theirs, interests=mine)
    pair.open().run_until(lambda: len(pair.a.sent_entries()) >= 25)
    assert len(pair.b.sent_entries()) >= 20
    pair.run()
    assert pair.a.store.logs == pair.b.store.logs
