"""Nodes that show different branches of a log find where they part, and pass the proof on."""

from dataclasses import replace
from random import Random

import pytest
from tests.gossip.proto.conftest import End, Pair, Store, account, chain, item, key, tip_of
from tests.gossip.proto.test_hostile import Victim

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Noted, Purpose, Read, ReadRun, ReadSummary, Send
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import BranchesRead, Forked, ReadAnswer, Refolded, RunRead, SummaryRead, Tick
from unhush.gossip.proto.forks import spread
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import Carries, Credit, Entries, Hello, Points, Want, WantedAccount
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.position import find_seqs
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.sending import Sending
from unhush.gossip.proto.tally import Met

X, Y = account("x"), account("y")
K = key("k")


def places() -> list[tuple[int, int]]:
    """Lengths of logs, and where they are forked: first, second, middle, last."""
    return [
        (length, at) for length in (1, 2, 100, 5_000) for at in sorted({0, min(1, length - 1), length // 2, length - 1})
    ]


def forked(length: int, at: int, *, theirs: int | None = None) -> Pair:
    """Two nodes that each hold one branch of a log and want all of it."""
    pair = Pair()
    pair.a.store.put_all(X, K, chain(K, length))
    pair.b.store.put_all(X, K, chain(K, length if theirs is None else theirs, fork_at=at, branch=1))
    for end in (pair.a, pair.b):
        end.journal.clear()
        end.interest(carries=[X], interests=[X])
    return pair


def branches_at(seq: int) -> set[bytes]:
    return {chain(K, seq + 1)[seq].entry, chain(K, seq + 1, fork_at=seq, branch=1)[seq].entry}


def points_sent(*ends: End) -> int:
    return sum(isinstance(sent, Points) for end in ends for sent in end.sent)


@pytest.mark.parametrize(("length", "at"), places())
def test_both_sides_find_the_fork_and_hold_both_entries_there(length: int, at: int) -> None:
    pair = forked(length, at).open().run()
    for end in (pair.a, pair.b):
        assert end.closed is None
        assert end.store.fork_point(X, K) == at
        assert end.store.at(X, K, at) == branches_at(at)
        assert points_sent(end) <= 5
    halves = [end.store.logs[X][K][at].entry for end in (pair.a, pair.b)]
    assert halves[0] != halves[1], "each goes on showing the branch it saw first"


@pytest.mark.parametrize("seed", range(60))
def test_the_fork_is_found_whatever_happens_in_which_order(seed: int) -> None:
    rng = Random(seed)
    length = rng.choice((1, 2, 64, 65, 300))
    at = rng.randrange(length)
    pair = forked(length, at, theirs=rng.randint(at + 1, length + 50)).open().run(rng)
    for end in (pair.a, pair.b):
        assert end.closed is None
        assert end.store.fork_point(X, K) == at, f"length {length}, fork at {at}"
        assert end.store.at(X, K, at) == branches_at(at)


@pytest.mark.parametrize("seed", range(30))
def test_the_proof_found_between_holes_is_one_where_both_hold_an_entry(seed: int) -> None:
    rng = Random(seed)
    ours, theirs = chain(K, 200), chain(K, 200, fork_at=100, branch=1)
    pair = Pair()
    held = [[seq for seq in range(200) if rng.random() < 0.7] + [199] for _ in range(2)]
    pair.a.store.put_all(X, K, [ours[seq] for seq in held[0]])
    pair.b.store.put_all(X, K, [theirs[seq] for seq in held[1]])
    for end in (pair.a, pair.b):
        end.interest(carries=[X], interests=[X])
    pair.open().run(rng)
    for end in (pair.a, pair.b):
        point = end.store.fork_point(X, K)
        assert point is not None
        assert point >= 100
    assert points_sent(pair.a, pair.b) <= 2 * limits.MAX_POINTS_FRAMES


def test_only_whoever_is_wanted_sends_its_entry() -> None:
    pair = forked(100, 30)
    pair.a.interest(carries=[X])
    pair.b.interest(interests=[X])
    pair.open().run()
    assert pair.b.store.fork_point(X, K) == 30
    assert pair.a.store.fork_point(X, K) is None
    assert pair.a.closed is None


def test_where_logs_agree_nothing_is_searched() -> None:
    pair = Pair()
    pair.a.store.put_all(X, K, chain(K, 500))
    pair.b.store.put_all(X, K, chain(K, 200))
    for end in (pair.a, pair.b):
        end.interest(carries=[X], interests=[X])
    pair.open().run()
    assert points_sent(pair.a, pair.b) == 0
    assert pair.a.store.logs == pair.b.store.logs


def join(first: End, *, others: Store | None = None) -> Pair:
    """A third node that follows what the first holds."""
    pair = Pair(stores=(first.store, others or Store()))
    pair.a.interest(carries=[X])
    pair.b.interest(interests=[X])
    return pair.open()


def test_branches_are_passed_on_to_a_third_node() -> None:
    pair = forked(100, 40).open().run()
    third = join(pair.a).run()
    assert third.b.store.logs == pair.a.store.logs
    assert third.b.store.at(X, K, 40) == branches_at(40)
    assert third.b.store.fork_point(X, K) == 40


def test_a_fork_that_shows_later_is_told_at_once_and_once() -> None:
    store = Store()
    store.put_all(X, K, chain(K, 100))
    pair = Pair(stores=(store, Store()))
    pair.a.interest(carries=[X])
    pair.b.interest(interests=[X])
    pair.open().run()
    store.put_all(X, K, chain(K, 42, fork_at=40, branch=1))
    pair.run()
    assert pair.b.store.at(X, K, 40) == branches_at(40)
    sent = len(pair.a.sent_entries())
    pair.a.feed(Forked(X, K, 40))
    pair.b.feed(Refolded(X))
    pair.wait(10)
    assert len(pair.a.sent_entries()) == sent


def test_a_lower_fork_is_told_again() -> None:
    store = Store()
    store.put_all(X, K, chain(K, 100))
    store.put_all(X, K, chain(K, 71, fork_at=70, branch=1))
    pair = join(End("first", store, Pair().a.session, lambda: 0.0)).run()
    assert pair.b.store.fork_point(X, K) == 70
    store.put_all(X, K, chain(K, 31, fork_at=30, branch=2))
    pair.run()
    assert pair.b.store.fork_point(X, K) == 30


def test_who_knows_the_fork_is_not_told_of_it() -> None:
    store = Store()
    store.put_all(X, K, chain(K, 100))
    store.put_all(X, K, chain(K, 71, fork_at=70, branch=1))
    theirs = Store()
    theirs.put_all(X, K, chain(K, 100))
    theirs.put_all(X, K, chain(K, 71, fork_at=70, branch=1))
    pair = join(End("first", store, Pair().a.session, lambda: 0.0), others=theirs).run()
    assert pair.a.sent_entries() == []


def test_branches_with_gaps_go_in_runs_that_have_none() -> None:
    store = Store()
    store.put_all(X, K, chain(K, 100))
    for branch, at in enumerate((10, 11, 40, 41, 42, 90), start=1):
        store.put(X, K, chain(K, at + 1, fork_at=at, branch=branch)[at])
    pair = join(End("first", store, Pair().a.session, lambda: 0.0)).run()
    assert pair.b.closed is None
    assert sorted(pair.b.store.beside[X, K], key=repr) == sorted(store.beside[X, K], key=repr)


def test_large_branches_wait_for_credit_and_all_arrive() -> None:
    store = Store()
    store.put_all(X, K, chain(K, 20))
    for body_bytes in range(60_000, 60_064):
        store.put(X, K, item(K, 7, body_bytes))
    config = SessionConfig("test", "test", window_bytes=limits.MIN_WINDOW_BYTES)
    pair = Pair(config, config, stores=(store, Store()))
    pair.a.interest(carries=[X])
    pair.b.interest(interests=[X])
    pair.open().run()
    assert len(store.beside[X, K]) == 64
    assert pair.b.store.at(X, K, 7) == store.at(X, K, 7)
    entries = [record for sent in pair.a.sent_entries() for record in sent.items if len(record.body or b"") >= 60_000]
    assert len(entries) == len(set(entries)) == 64


def test_branches_do_not_count_as_held_by_number() -> None:
    store = Store()
    for body_bytes in range(61, 65):
        store.put(X, K, item(K, 7, body_bytes))
    pair = join(End("first", store, Pair().a.session, lambda: 0.0)).run()
    store.put(X, K, item(K, 8))
    pair.run()
    assert pair.b.store.held(X, K) == Ranges.span(7, 8)


def test_a_tip_is_told_only_of_the_newest_number_that_is_told() -> None:
    class Bodiless(Store):
        def answer(self, read: Read) -> ReadAnswer:
            answer = super().answer(read)
            if isinstance(read, ReadSummary) and isinstance(answer, SummaryRead):
                return replace(answer, logs={K: Ranges.span(0, 8)})
            return answer

    for store, tips in ((Bodiless(), {}), (Store(), {K: tip_of(item(K, 9).entry)})):
        store.fill(X, K, range(10))
        pair = Pair(stores=(Store(), store))
        pair.a.interest(carries=[X])
        pair.b.interest(interests=[X])
        pair.open().run()
        (want,) = [sent for sent in pair.b.sent if isinstance(sent, Want)]
        assert want.accounts[0].tips == tips


def test_branches_asked_for_anew_while_they_are_read_go_on() -> None:
    store = Store()
    store.put_all(X, K, chain(K, 20))
    store.put_all(X, K, chain(K, 9, fork_at=7, branch=1))
    pair = join(End("first", store, Pair().a.session, lambda: 0.0))
    pair.run_until(lambda: any(isinstance(answer, BranchesRead) for answer in pair.a.answers))
    pair.now += limits.REASK_INTERVAL_S
    for event in (Refolded(X), Tick()):
        while pending := pair.b.pending():
            pending[0]()
        pair.b.feed(event)
    while pair.b.pending() or pair.a.from_peer:
        (pair.b.pending() or [pair.a.read_wire])[0]()
    assert sum(isinstance(sent, Want) for sent in pair.b.sent) == 2
    assert isinstance(pair.a.answers[0], BranchesRead)
    pair.run()
    assert pair.b.store.at(X, K, 7) == store.at(X, K, 7)
    assert pair.b.store.at(X, K, 8) == store.at(X, K, 8)


# --- hostile points ------------------------------------------------------------------------------------------


def served() -> Victim:
    """A victim that serves us X and wants it from us."""
    return Victim().be_asked_for_by(Want((WantedAccount(X, logs={K: Ranges.span(0, 9)}),)))


def proofs(victim: Victim) -> list[int]:
    sent = [entries for entries in victim.end.sent_entries() if entries.key == K]
    return [seq for entries in sent for seq in find_seqs(K, (record.entry for record in entries.items)) or []]


def test_made_up_points_get_a_few_entries_and_then_silence() -> None:
    victim = served()
    for number in range(200):
        victim.hear(Points(X, K, {seq: number.to_bytes(16) for seq in range(10)}))
    assert not victim.is_closed()
    assert points_sent(victim.end) <= limits.MAX_POINTS_FRAMES
    assert proofs(victim) == [0]


def test_points_that_fall_lower_and_lower_are_bounded() -> None:
    victim = served()
    for seq in reversed(range(10)):
        ours = {at: tip_of(victim.end.store.logs[X][K][at].entry) for at in range(seq)}
        victim.hear(Points(X, K, {**ours, seq: bytes(16)}))
    assert not victim.is_closed()
    assert points_sent(victim.end) <= limits.MAX_POINTS_FRAMES
    assert len(proofs(victim)) <= limits.MAX_POINTS_FRAMES


def test_huge_numbers_are_looked_up_in_vain() -> None:
    victim = served()
    victim.hear(Points(X, K, {2**63 - 2: bytes(16), 2**63 - 1: bytes(16)}))
    victim.hear(Points(X, K, {0: bytes(16), 2**63 - 1: bytes(16)}))
    assert not victim.is_closed()
    assert proofs(victim) == [0]


def test_points_of_an_account_we_do_not_share_are_skipped() -> None:
    victim = Victim()
    victim.end.store.fill(Y, K, range(10))
    for account_ in (X, Y):
        actions = victim.hear(Points(account_, K, {0: bytes(16)}))
        assert actions == []
    assert not victim.is_closed()


def test_points_of_keys_made_up_are_remembered_only_so_far() -> None:
    victim = served()
    for number in range(limits.MAX_SEARCHES + 50):
        victim.now += 1
        victim.hear(Points(X, key(f"{number}"), {0: bytes(16)}))
    assert not victim.is_closed()
    assert len(victim.end.session._forks._searches) == limits.MAX_SEARCHES
    assert victim.end.noted == [Noted(Met.FORK_SEARCH_LEFT)] * 50


def test_frames_that_wait_to_be_compared_are_bounded() -> None:
    victim = served()
    for number in range(limits.MAX_POINTS_WAITING + 50):
        victim.hear_without_reading(Points(X, key(f"{number}"), {0: bytes(16)}))
    assert len(victim.end.session._forks._waiting) == limits.MAX_POINTS_WAITING
    # One of them is being compared.
    assert victim.end.noted == [Noted(Met.FORK_SEARCH_LEFT)] * 49


def test_two_liars_do_not_keep_each_other_busy() -> None:
    """Ping-pong: whatever is answered comes back as something else, and ends."""
    victim = served()
    for _ in range(100):
        said = [sent for sent in victim.end.sent if isinstance(sent, Points)]
        at = said[-1].at if said else {0: bytes(16), 9: bytes(16)}
        victim.hear(Points(X, K, {seq: bytes(15) + b"x" for seq in at}))
    assert points_sent(victim.end) <= limits.MAX_POINTS_FRAMES


def test_a_tip_made_up_starts_one_search() -> None:
    victim = served()
    for _ in range(50):
        victim.hear(Want((WantedAccount(X, logs={K: Ranges.span(0, 9)}, tips={K: bytes(16)}),)))
    assert 0 < points_sent(victim.end) <= limits.MAX_POINTS_FRAMES
    assert set(victim.end.noted) == {Noted(Met.FORK_SEARCH_LEFT)}


def test_proofs_and_branches_need_credit_like_everything_else() -> None:
    victim = Victim()
    victim.hear(Carries((X,)), Want((WantedAccount(X, logs={K: Ranges.span(0, 9)}),)))
    victim.end.store.put(X, K, item(K, 4, 61))
    victim.end.feed(Forked(X, K, 4))
    victim.hear(Points(X, K, {0: bytes(16)}))
    assert victim.end.sent_entries() == []
    victim.hear(Credit(2 * limits.MIN_SENDING_CREDIT))
    assert sorted(proofs(victim)) == [0, 4, 4]


def test_a_proof_whose_room_is_taken_while_it_is_read_goes_later() -> None:
    outbox = Outbox()
    sending = Sending(SessionConfig("test", "test"), outbox, Hello("test", "test"))
    sending.serving.set_carries(frozenset({X}))
    sending.serving.peer_wants(Want((WantedAccount(X),)), 0.0)
    sending.freight.grant(limits.MIN_SENDING_CREDIT)
    assert sending.find_reads() == [ReadSummary(X, Purpose.SERVE)]
    sending.summary_read(SummaryRead(X))
    sending.prove(X, K, 4)
    proof = [ReadRun(X, K, 4, 4, 1)]
    assert sending.find_reads() == proof
    sending.freight.send_charged(bytes(limits.MIN_SENDING_CREDIT))
    outbox.take()
    sending.run_read(RunRead(X, K, (item(K, 4),)))
    assert outbox.take() == [], "no frame without records"
    sending.freight.grant(limits.MIN_SENDING_CREDIT)
    assert sending.find_reads() == proof
    sending.run_read(RunRead(X, K, (item(K, 4),)))
    assert outbox.take() == [Send(encode_frame(Entries(X, (), K, (item(K, 4),), is_beside=True)))]


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 1), (3, 4), (0, 63), (0, 64), (7, 5_000), (0, 2**63 - 1)])
def test_numbers_are_spread_from_end_to_end(low: int, high: int) -> None:
    seqs = spread(low, high)
    assert (seqs[0], seqs[-1]) == (low, high)
    assert list(seqs) == sorted(set(seqs))
    assert len(seqs) == min(limits.POINTS_PER_FRAME, high - low + 1)


def test_an_entries_frame_of_branches_is_a_run_a_peer_takes() -> None:
    victim = Victim().be_asked_for()
    victim.hear(Entries(X, (), K, (item(K, 3, 61), item(K, 3, 62), item(K, 4, 61))))
    assert not victim.is_closed()
