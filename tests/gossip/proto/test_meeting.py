"""Sessions of nodes that compare what they carry: as complete as those that name it all, and far less talk."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest
from tests.gossip.proto.conftest import End, Pair, Store, account, item, key, operation
from tests.gossip.proto.test_simulation import World

from unhush.gossip.proto import limits
from unhush.gossip.proto.config import Own, SessionConfig
from unhush.gossip.proto.events import Concerns, Grew, HoleSeen, Opened, Received, Refolded
from unhush.gossip.proto.fingerprints import AccountTree, state_of
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import Carries, Entries, Hello, Offer, RangesFrame, Want
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import Cid, cid_of

K = key("k")


def carrier(nonce: int, **changes: object) -> SessionConfig:
    salt = bytes([nonce]) * limits.NONCE_BYTES
    return replace(SessionConfig("test", "test"), tree=AccountTree(salt), nonce=salt, **changes)  # type: ignore[arg-type]


def tree_of(end: End) -> AccountTree:
    tree = end.session._config.tree
    assert tree is not None
    return tree


def carry(end: End, accounts: Iterable[Cid]) -> None:
    """Carry just these, and say so to the tree and the session."""
    tree, chosen = tree_of(end), frozenset(accounts)
    for gone in set(tree) - chosen:
        tree.drop(gone)
    for each in chosen:
        tree.put(each, state_of(end.store.summary(each)))
    end.interest(chosen, chosen)


def keep_tree(end: End, rng: Random | None = None) -> None:
    """From now on what the journal gains shows in the tree before the session hears of it."""
    hear = end.hear_growth

    def hear_growth() -> None:
        event = end.journal[0]
        if isinstance(event, Grew) and event.account in tree_of(end):
            if rng is not None and rng.random() < 0.3:
                tree_of(end).spoil(event.account)
            else:
                tree_of(end).put(event.account, state_of(end.store.summary(event.account)))
        hear()

    end.hear_growth = hear_growth  # type: ignore[method-assign]


CROWD = [account(f"{number}") for number in range(150)]


def meeting(left: Store, right: Store, own: Own | None = None) -> Pair:
    """Two carriers of the whole crowd."""
    pair = Pair(carrier(1, own=own), carrier(2), stores=(left, right))
    for end in (pair.a, pair.b):
        end.journal.clear()
        keep_tree(end)
        carry(end, CROWD)
    return pair


def crowd(records: int = 3) -> Store:
    store = Store()
    for each in CROWD:
        store.put_op(each, operation(f"{each}"))
        store.fill(each, K, range(records))
    return store


def named(end: End) -> set[Cid]:
    """The accounts an end asked for by name."""
    return {wanted.account for sent in end.sent if isinstance(sent, Want) for wanted in sent.accounts}


# --- what is said --------------------------------------------------------------------------------------------


def test_two_who_hold_the_same_say_so_in_a_few_frames() -> None:
    pair = meeting(crowd(), crowd()).open().run()
    said = [sent for end in (pair.a, pair.b) for sent in end.sent]
    assert sum(len(encode_frame(sent)) for sent in said) < 1_000
    assert not any(isinstance(sent, Carries | Entries) for sent in said)
    assert named(pair.a) | named(pair.b) == set()
    for end in (pair.a, pair.b):
        assert end.session.peer_carries == frozenset(CROWD)
        assert end.reconciled is not None
        assert end.reconciled.differing == 0


def test_who_writes_to_somebody_it_does_not_carry_asks_whether_the_peer_does() -> None:
    ann, ben, author = account("ann"), account("ben"), CROWD[3]
    pair = meeting(crowd(), crowd())
    carry(pair.b, [*CROWD[4:], ann])
    pair.open().run()
    record = item(key("writer"), 0)
    cid = pair.a.store.put_single(author, record)
    for each in ((CROWD[5], ben), (ann, ben)):  # of what both carry both know
        pair.a.feed(Concerns(cid if ann in each else cid_of(b"no such"), author, key("writer"), each))
    pair.run()
    assert [sent.sought for sent in pair.a.sent if isinstance(sent, Carries)] == [(ann, ben)]
    assert [sent.add for sent in pair.b.sent if isinstance(sent, Carries)] == [(ann,)]
    assert [(sent.about, sent.items) for sent in pair.a.sent if isinstance(sent, Offer)] == [(ann, (record,))]
    assert cid in pair.b.store.singles


def test_what_is_written_to_somebody_while_both_compare_is_offered_though_it_is_remembered_as_growth() -> None:
    ann, author = account("ann"), CROWD[3]
    pair = meeting(crowd(), crowd())
    carry(pair.b, [*CROWD[4:], ann])
    pair.open().run_until(lambda: pair.a.session.peer is not None)
    record = item(K, 3)
    cid = pair.a.store.put_single(author, record)
    pair.a.feed(Grew(author, K, 3, cid))
    assert pair.a.session._open_halves()[1].serving._served
    assert pair.a.reconciled is None
    pair.a.feed(Concerns(cid, author, K, (ann,)))
    pair.run()
    assert cid in pair.b.store.singles


def test_what_is_sought_is_bounded() -> None:
    pair = meeting(crowd(), crowd()).open().run()
    serving = pair.a.session._open_halves()[1].serving
    serving.seek(account(f"nobody {number}") for number in range(10_000))
    assert serving._compared is not None
    assert len(serving._compared._sought) == limits.MAX_WAITING_OFFERS


def test_only_accounts_that_differ_are_asked_for_by_name() -> None:
    left, right = crowd(), crowd()
    left.fill(CROWD[7], K, range(3, 9))
    right.put_op(CROWD[9], operation("another"))
    pair = meeting(left, right).open().run()
    assert named(pair.a) == named(pair.b) == {CROWD[7], CROWD[9]}
    assert left.logs == right.logs
    assert left.ops == right.ops
    assert (pair.a.repeated, pair.b.repeated) == (0, 0)
    assert set(pair.a.caught_up) == {CROWD[7], CROWD[9]}


def test_a_newcomer_gets_everything() -> None:
    pair = meeting(crowd(5), Store()).open().run()
    assert pair.a.store.logs == pair.b.store.logs
    assert pair.a.store.ops == pair.b.store.ops
    assert pair.b.repeated == 0


def test_more_differs_than_either_side_may_ask_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_STATE_BYTES", 40 * limits.ACCOUNT_COST)
    left = crowd(5)
    pair = Pair(carrier(1), carrier(2), stores=(left, Store()))
    for end in (pair.a, pair.b):
        end.journal.clear()
        carry(end, CROWD)
        # As a peer of another build would offer: little to remember.
        end.session.receive(Opened(), pair.now)
    hello = Hello("test", "test", state_bytes=limits.MAX_STATE_BYTES, accounts=150)
    for end, other in ((pair.a, 2), (pair.b, 1)):
        end.feed(Received(encode_frame(replace(hello, nonce=bytes([other]) * limits.NONCE_BYTES))))
    pair.run()
    assert pair.b.store.logs == left.logs
    assert max(len(sent.accounts) for sent in pair.b.sent if isinstance(sent, Want)) < 40


def test_with_few_accounts_or_a_trusted_or_older_peer_all_is_named() -> None:
    few = Pair(carrier(1), carrier(2), stores=(crowd(), crowd()))
    trusting = Pair(carrier(1), carrier(2, trusts_all=True), stores=(crowd(), crowd()))
    older = Pair(carrier(1), SessionConfig("test", "test"), stores=(crowd(), crowd()))
    same = Pair(carrier(1), carrier(1), stores=(crowd(), crowd()))
    for pair, accounts in ((few, CROWD[:20]), (trusting, CROWD), (older, CROWD), (same, CROWD)):
        for end in (pair.a, pair.b):
            if end.session._config.tree is not None:
                carry(end, accounts)
            else:
                end.interest(accounts, accounts)
        pair.open().run()
        assert named(pair.a) == named(pair.b) == set(accounts)
        assert not any(isinstance(sent, RangesFrame) for sent in pair.a.sent + pair.b.sent)
        assert pair.a.closed is None


def test_ranges_without_anything_to_compare_end_the_session() -> None:
    pair = Pair()
    pair.open().run()
    pair.a.feed(Received(encode_frame(RangesFrame(0))))
    assert pair.a.closed is not None
    assert pair.a.closed.is_fault


# --- live ----------------------------------------------------------------------------------------------------


def test_what_grows_in_an_account_nobody_named_is_pushed() -> None:
    pair = meeting(crowd(), crowd()).open().run()
    for seq in (3, 4):
        pair.a.store.put(CROWD[5], K, item(K, seq))
        pair.run()
        assert pair.b.store.held(CROWD[5], K) == Ranges.span(0, seq)
    pair.b.store.put(CROWD[5], K, item(K, 5))
    pair.a.store.put_op(CROWD[6], operation("late"))
    pair.run()
    assert pair.a.store.logs == pair.b.store.logs
    assert pair.a.store.ops == pair.b.store.ops
    assert (pair.a.repeated, pair.b.repeated) == (0, 0)
    assert named(pair.a) | named(pair.b) == set()


@pytest.mark.parametrize("steps", range(0, 60, 6))
def test_what_grows_while_they_compare_arrives(steps: int) -> None:
    pair = meeting(crowd(), crowd()).open()
    for _ in range(steps):
        for act in (pair.a.pending() + pair.b.pending())[:1]:
            act()
    for number, end in enumerate((pair.a, pair.b)):
        end.store.put(CROWD[number], K, item(K, 3))
    pair.run()
    assert pair.a.store.logs == pair.b.store.logs


def test_nothing_is_remembered_of_accounts_that_are_the_same() -> None:
    pair = meeting(crowd(), crowd()).open().run()
    for end in (pair.a, pair.b):
        halves = end.session._halves
        assert halves is not None
        assert halves[1].serving._served == {}
        assert halves[0]._wanted == {}


def test_growth_in_more_accounts_than_are_remembered_still_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_LIGHT", 5)
    pair = meeting(crowd(), crowd()).open().run()
    pair.a.is_writing = False  # the stream is stuck
    for each in CROWD:
        pair.a.store.put(each, K, item(K, 3, 20_000))
    pair.run()
    halves = pair.a.session._halves
    assert halves is not None
    assert len(halves[1].serving._served) <= 5
    pair.a.is_writing = True
    pair.run()
    for _ in range(5):
        pair.wait(3.0)
    assert pair.a.store.logs == pair.b.store.logs


def test_a_log_of_ours_that_nobody_named_waits_until_it_is_known_to_be_ours_alone() -> None:
    own = Own(CROWD[0], K)
    pair = meeting(crowd(), crowd(), own)
    pair.a.store.put(own.account, K, item(K, 3))
    pair.b.is_writing = False
    pair.open().run()
    assert pair.a.sent_entries() == []
    pair.b.is_writing = True
    pair.run()
    pair.a.store.put(own.account, K, item(K, 4))
    pair.run()
    assert pair.b.store.held(own.account, K) == Ranges.span(0, 4)
    assert pair.a.handed_on.pairs[-1][1] == 4


def test_a_clone_of_our_log_at_a_carrier_of_many_is_found() -> None:
    own = Own(CROWD[0], K)
    left, right = crowd(), crowd()
    right.fill(own.account, K, [3])  # another home wrote it
    left.put(own.account, K, item(K, 4))
    pair = meeting(left, right, own).open().run()
    assert left.clone_found
    assert own.account in named(pair.a)
    assert not right.held(own.account, K).subtract(Ranges.span(0, 3))
    assert pair.a.session.peer_carries >= {own.account}


# --- changes -------------------------------------------------------------------------------------------------


def settled() -> Pair:
    return meeting(crowd(), crowd()).open().run()


def test_an_account_that_is_no_longer_carried_is_not_pushed_and_not_blamed_for() -> None:
    pair = settled()
    pair.a.store.put(CROWD[1], K, item(K, 3))  # on its way when b drops it
    pair.a.hear_growth()
    carry(pair.b, CROWD[2:])
    pair.run()
    assert pair.b.closed is None
    assert CROWD[1] not in pair.a.session.peer_carries
    before = len(pair.a.sent_entries())
    pair.a.store.put(CROWD[1], K, item(K, 4))
    pair.a.store.put(CROWD[0], K, item(K, 3))
    pair.run()
    assert len(pair.a.sent_entries()) == before


def test_who_takes_an_account_up_later_gets_it() -> None:
    late = account("late")
    left = crowd()
    left.fill(late, K, range(4))
    pair = meeting(left, crowd())
    carry(pair.a, [*CROWD, late])
    pair.open().run()
    assert late not in pair.b.store.logs
    carry(pair.b, [*CROWD, late])
    pair.run()
    assert pair.b.store.held(late, K) == Ranges.span(0, 3)
    pair.b.store.put(late, K, item(K, 4))
    pair.a.store.put(late, K, item(K, 5))
    pair.run()
    assert pair.a.store.logs == pair.b.store.logs


def test_who_drops_an_account_and_takes_it_up_again_gets_what_it_missed() -> None:
    pair = settled()
    carry(pair.b, CROWD[1:])
    pair.run()
    pair.a.store.put(CROWD[0], K, item(K, 3))
    pair.run()
    carry(pair.b, CROWD)
    pair.run()
    for _ in range(3):
        pair.wait(3.0)
    assert pair.a.store.logs == pair.b.store.logs


def test_a_hole_in_an_account_nobody_named_has_it_asked_for_at_a_bounded_rate() -> None:
    pair = settled()
    for event in (HoleSeen(CROWD[3]), Refolded(CROWD[4]), HoleSeen(account("not carried"))):
        pair.b.feed(event)
    pair.wait(1.0)
    assert named(pair.b) == {CROWD[3], CROWD[4]}
    pair.b.sent.clear()
    for _ in range(5):
        pair.b.feed(HoleSeen(CROWD[3]))
        pair.wait(1.0)
    assert named(pair.b) == set()
    pair.wait(limits.REASK_INTERVAL_S)
    assert named(pair.b) == {CROWD[3]}


# --- any order -----------------------------------------------------------------------------------------------


class Carriers(World):
    """Nodes that compare: each carries what it wants."""

    def _config(self) -> SessionConfig:
        self.made = getattr(self, "made", 0) + 1
        return replace(super()._config(), trusts_all=False, tree=AccountTree(bytes([self.made])), nonce=self._nonce())

    def _nonce(self) -> bytes:
        return bytes([self.made]) + self.rng.randbytes(limits.NONCE_BYTES - 1)

    def choose(self, end: End) -> None:
        chance = self.rng.choice((0.3, 0.8, 1.0))
        chosen = frozenset(each for each in self.accounts if self.rng.random() < chance)
        self.choices = getattr(self, "choices", {})
        if end.name not in self.choices:
            keep_tree(end, self.rng)
        self.choices[end.name] = chosen, chosen
        if end.closed is None:
            carry(end, chosen)

    def assert_told(self) -> None:
        for end, other in (self.ends, self.ends[::-1]):
            assert end.reconciled is not None
            both = self.choices[end.name][0] & self.choices[other.name][0]
            assert end.session.peer_carries & self.choices[end.name][0] == both


def simulate(seed: int, monkeypatch: pytest.MonkeyPatch) -> Carriers:
    monkeypatch.setattr(limits, "RECONCILE_FROM", 0)
    monkeypatch.setattr(limits, "MAX_LIGHT", Random(seed).choice((1, 3, 100)))
    world = Carriers(seed)
    world.is_named = False
    world.pair.open()
    world.live(world.rng.choice((0, 50, 400)))
    world.pair.run(world.rng)
    for _ in range(4):  # what was said again is asked again on the next tick
        world.pair.wait(limits.REFOLD_INTERVAL_S)
    world.assert_satisfied()
    world.assert_told()
    return world


@pytest.mark.parametrize(
    "start", [0, 20, *(pytest.param(start, marks=pytest.mark.long) for start in range(40, 600, 20))]
)
def test_each_side_ends_up_with_all_it_wanted(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(start, start + 20):
        try:
            simulate(seed, monkeypatch)
        except BaseException:
            print(f"seed {seed}")
            raise


def test_in_peace_nothing_is_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECONCILE_FROM", 0)
    for seed in range(20):
        world = Carriers(5_000 + seed)
        world.pair.open().run(world.rng)
        for written in range(20):
            end = world.rng.choice(world.ends)
            account_, key_, length, _ = world.rng.choice(world.logs)
            end.store.put(account_, key_, item(key_, length + written))
            world.pair.run(world.rng)
        assert (world.pair.a.repeated, world.pair.b.repeated) == (0, 0), f"seed {5_000 + seed}"
