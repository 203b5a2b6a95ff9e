"""Runs of several logs in one frame, for peers that take them."""

import pytest
from tests.gossip.proto.conftest import Pair, Store, account, item, key, operation
from tests.gossip.proto.test_session import config, one_way

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Deliver, Read, ReadRun, ReadSummary
from unhush.gossip.proto.events import Committed, LogGrew, ReadAnswer, Received
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import CaughtUp, Entries, Item, RunsFrame
from unhush.gossip.proto.ranges import Ranges

X, Y, Z = account("x"), account("y"), account("z")
K, L = key("k"), key("l")
MANY = [(account(f"a{number}"), key(f"k{number}")) for number in range(40)]


def full(seqs: range = range(5)) -> Store:
    store = Store()
    for number, (account_, key_) in enumerate(MANY):
        store.put_op(account_, operation(f"o{number}"))
        store.fill(account_, key_, seqs)
    return store


def wanting(pair: Pair) -> Pair:
    """``b`` has asked ``a`` for X and Y, and nothing has come."""
    store = pair.a.store
    store.put_op(X, operation("x"))
    store.put_op(Y, operation("y"))
    pair.a.interest(carries=[X, Y])
    pair.b.interest(interests=[X, Y])
    return pair.open().run()


def test_logs_of_many_accounts_go_in_a_few_frames() -> None:
    store = full()
    pair = one_way(store).open().run()
    assert (pair.b.store.logs, pair.b.store.ops, pair.b.repeated) == (store.logs, store.ops, 0)
    frames = [sent for sent in pair.a.sent if isinstance(sent, RunsFrame | Entries)]
    assert len(frames) < 20, "an account each"
    assert sorted(pair.b.caught_up) == sorted(account_ for account_, _ in MANY)


@pytest.mark.parametrize("which", ["giver", "taker"])
def test_who_does_not_know_the_frame_gets_entries(which: str) -> None:
    store = full()
    old, new = config(takes_runs=False), config()
    pair = Pair(*((old, new) if which == "giver" else (new, old)), stores=(store, Store()))
    accounts = [account_ for account_, _ in MANY]
    pair.a.interest(carries=accounts)
    pair.b.interest(interests=accounts)
    pair.open().run()
    assert (pair.b.store.logs, pair.b.store.ops, pair.b.repeated) == (store.logs, store.ops, 0)
    assert not [sent for sent in pair.a.sent if isinstance(sent, RunsFrame)]


def test_a_log_in_pieces_goes_in_one_frame() -> None:
    store = Store()
    store.fill(X, K, range(0, 80, 2))
    pair = one_way(store).open().run()
    assert pair.b.store.logs == store.logs
    assert pair.b.repeated == 0
    assert len([sent for sent in pair.a.sent if isinstance(sent, RunsFrame | Entries)]) <= 2
    assert pair.b.store.held(X, K) == Ranges.of((seq, seq) for seq in range(0, 80, 2))


def test_growth_that_came_together_goes_together() -> None:
    store = full(range(1))
    pair = one_way(store).open().run()
    pair.a.sent.clear()
    pair.b.is_committing = False
    for account_, key_ in MANY:
        store.logs[account_][key_] |= {seq: item(key_, seq) for seq in (1, 2, 4)}
        pair.a.journal.append(LogGrew(account_, key_, Ranges.of([(1, 2), (4, 4)])))
    pair.run()
    assert all(each.is_news for each in pair.b.ingest if isinstance(each, Deliver))
    pair.b.is_committing = True
    pair.run()
    assert pair.b.store.logs == store.logs
    assert pair.b.repeated == 0


def test_reads_are_of_one_kind_and_bounded_together() -> None:
    asked: list[list[Read]] = []

    class Watched(Store):
        def answer(self, read: Read) -> ReadAnswer:
            asked[-1].append(read)
            return super().answer(read)

    store = Watched()
    for account_, key_ in MANY:
        store.fill(account_, key_, range(200), body_bytes=2_000)
    pair = one_way(store)
    feed = pair.a.feed

    def watched(*events: object) -> object:
        asked.append([])
        return feed(*events)  # type: ignore[arg-type]

    pair.a.feed = watched  # type: ignore[method-assign, assignment]
    pair.open().run()
    assert pair.b.store.logs == store.logs
    for reads in asked:
        assert len({type(read) for read in reads}) <= 1
        assert sum(read.max_bytes for read in reads if isinstance(read, ReadRun)) <= limits.RUN_BYTES
        assert sum(isinstance(read, ReadSummary) for read in reads) <= limits.SUMMARIES_AT_ONCE
    assert max(map(len, asked)) > 10


def test_each_run_costs_what_a_frame_costs_at_least_and_that_comes_back() -> None:
    pair = wanting(Pair())
    session = pair.b.session
    before = session._halves[0].deliveries._given if session._halves else 0
    rows = tuple(Entries(who, (), K, (item(K, 7),)) for who in (X, Y, X))
    rows = (*rows[:2], Entries(X, (), L, (item(L, 1),)))
    actions = session.receive(Received(encode_frame(RunsFrame(rows))), pair.now)
    delivered = [each for each in actions if isinstance(each, Deliver)]
    assert [each.account for each in delivered] == [X, Y, X]
    assert sum(each.wire_bytes for each in delivered) == 3 * limits.MIN_ENTRIES_COST
    assert session._halves is not None
    assert session._halves[0].deliveries._given == before - 3 * limits.MIN_ENTRIES_COST
    for each in delivered:
        session.receive(Committed(each.delivery_id), pair.now)
    assert session._halves[0].deliveries._due >= 3 * limits.MIN_ENTRIES_COST


def test_a_run_of_an_account_that_was_dropped_is_passed_over_and_the_others_are_taken() -> None:
    pair = wanting(Pair())
    pair.b.interest(interests=[Y])
    frame = RunsFrame((Entries(X, (), K, (item(K, 0),)), Entries(Y, (), L, (item(L, 0),))))
    actions = pair.b.session.receive(Received(encode_frame(frame)), pair.now)
    assert [each.account for each in actions if isinstance(each, Deliver)] == [Y]


def items(*seqs: int) -> tuple[Item, ...]:
    return tuple(item(K, seq) for seq in seqs)


@pytest.mark.parametrize(
    "frame",
    [
        Entries(X, (), K, items(1, 3)),
        Entries(X, (), K, items(3, 2)),
        RunsFrame((Entries(X, (), K, items(1, 3)), Entries(X, (), K, items(9, 7)))),
        RunsFrame((Entries(X, (), L, items(1)),)),
        RunsFrame((Entries(Z, (), K, items(1)),)),
    ],
)
def test_runs_that_are_none_end_the_session(frame: Entries | RunsFrame) -> None:
    pair = wanting(Pair())
    pair.b.feed(Received(encode_frame(frame)))
    assert pair.b.closed is not None
    assert pair.b.closed.is_fault


def test_what_comes_while_history_is_on_its_way_is_no_news() -> None:
    """Or it would be stored before the operations of its account."""
    store = Store()
    store.put_op(X, operation("x"))
    store.fill(X, K, range(20))
    pair = one_way(store)
    pair.b.is_committing = False
    pair.open().run()
    assert any(isinstance(sent, CaughtUp) for sent in pair.a.sent)
    store.fill(X, K, [20])
    pair.run()
    assert [each.is_news for each in pair.b.ingest if isinstance(each, Deliver)] == [False] * len(pair.b.ingest)
    pair.b.is_committing = True
    pair.run()
    pair.b.is_committing = False
    store.fill(X, K, [21])
    pair.run()
    assert [each.is_news for each in pair.b.ingest if isinstance(each, Deliver)] == [True]
