"""Two nodes with random stores, random interests and a random order of events end up with all they wanted.

Every seed is a history; a failure names its seed, and ``simulate(seed)`` replays it.
"""

from random import Random

import pytest
from tests.gossip.proto.conftest import End, Pair, Store, account, item, key, operation

from unhush.gossip.proto import limits
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import HoleSeen
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey

ACCOUNTS = [account(f"account {number}") for number in range(6)]
SEEDS = 200


class World:
    """All records there ever will be, and two nodes that each have some."""

    is_named = True  # every account is asked for by name

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.pair = Pair(self._config(), self._config(), keep_sent=False)
        self.ends = (self.pair.a, self.pair.b)
        self.logs: list[tuple[Cid, PublicKey, int, int]] = []
        for account_ in ACCOUNTS[: rng.randint(1, len(ACCOUNTS))]:
            for number in range(rng.randint(1, 3)):
                body_bytes = rng.choice((10, 60, 60, 5_000, 60_000))
                length = rng.randint(1, 12 if body_bytes > 1_000 else 200)
                self.logs.append((account_, key(f"{account_} {number}"), length, body_bytes))
        self.accounts = sorted({account_ for account_, _, _, _ in self.logs})
        for end in self.ends:
            for log in self.logs:
                self._stock(end.store, *log)
            for account_ in self.accounts:
                for number in range(rng.randint(0, 12)):
                    if rng.random() < 0.5:
                        end.store.put_op(account_, operation(f"{account_} {number}", rng.choice((60, 60_000))))
            end.journal.clear()
            self.choose(end)

    def _config(self) -> SessionConfig:
        return SessionConfig(
            network="test",
            agent="test",
            trusts_all=self.rng.random() < 0.1,
            depth=self.rng.choice((0, 1, 10, 50)),
            window_bytes=self.rng.choice((limits.MIN_WINDOW_BYTES, 400_000, limits.DEFAULT_WINDOW_BYTES)),
        )

    def _stock(self, store: Store, account_: Cid, key_: PublicKey, length: int, body_bytes: int) -> None:
        match self.rng.randrange(5):
            case 0:
                return
            case 1:
                seqs = list(range(length))
            case 2:
                seqs = list(range(self.rng.randrange(length), length))
            case 3:
                seqs = list(range(self.rng.randrange(length)))
            case _:
                density = self.rng.random()
                seqs = [seq for seq in range(length) if self.rng.random() < density]
        store.fill(account_, key_, seqs, body_bytes)

    def choose(self, end: End) -> None:
        def some() -> frozenset[Cid]:
            chance = self.rng.choice((0.3, 0.8, 1.0))
            return frozenset(account_ for account_ in self.accounts if self.rng.random() < chance)

        self.choices = getattr(self, "choices", {})
        self.choices[end.name] = carries, interests = some(), some()
        if end.closed is None:
            end.interest(carries, interests)

    def disturb(self) -> None:
        """Something that sessions must live with."""
        end = self.rng.choice(self.ends)
        account_, key_, length, body_bytes = self.rng.choice(self.logs)
        match self.rng.randrange(10):
            case 0:
                self.choose(end)
            case 1:
                end.store.put_op(account_, operation(f"late {self.rng.randrange(30)}"))
            case 2:
                end.feed(HoleSeen(account_))
            case _:
                start = self.rng.randrange(length + 5)
                end.store.fill(account_, key_, range(start, start + self.rng.randint(1, 3)), body_bytes)

    def live(self, steps: int) -> None:
        for _ in range(steps):
            pending = self.pair.a.pending() + self.pair.b.pending()
            if self.rng.random() < 0.03 or not pending:
                self.disturb()
            else:
                self.rng.choice(pending)()
            if self.rng.random() < 0.02:
                # A stream cuts and joins frames as it likes.
                self._recut(self.rng.choice(self.ends))

    def _recut(self, end: End) -> None:
        stream = b"".join(end.from_peer)
        end.from_peer.clear()
        while stream:
            cut = self.rng.randint(1, len(stream))
            end.from_peer.append(stream[:cut])
            stream = stream[cut:]

    def assert_satisfied(self) -> None:
        for end, other in (self.ends, self.ends[::-1]):
            assert end.closed is None, end.closed
            carried, interests = self.choices[other.name][0], self.choices[end.name][1]
            for account_ in carried & interests:
                theirs, ours = other.store, end.store
                missing_ops = theirs.ops.get(account_, {}).keys() - ours.ops.get(account_, {}).keys()
                assert not missing_ops, f"{end.name} lacks operations of {account_}"
                for key_ in theirs.logs.get(account_, {}):
                    missing = theirs.held(account_, key_).subtract(ours.held(account_, key_))
                    assert not missing, f"{end.name} lacks {missing} of {account_} {key_}"
            if self.is_named:
                assert interests & carried <= set(end.caught_up), f"{end.name} was not told that it is caught up"
            halves = end.session._halves
            assert halves is not None
            assert not halves[0]._dropped, "a drop is remembered for ever"
            assert not halves[1].serving._wants._open, "a want is never finished"
            credit = halves[0].deliveries._given + halves[0].deliveries._due + halves[0].deliveries._kept
            assert credit == end.session._config.window_bytes, "credit leaked"


def simulate(seed: int) -> World:
    world = World(seed)
    world.pair.open()
    world.live(world.rng.choice((0, 50, 400)))
    world.pair.run(world.rng)
    world.assert_satisfied()
    return world


@pytest.mark.parametrize("start", range(0, SEEDS, 20))
def test_each_side_ends_up_with_all_it_wanted(start: int) -> None:
    for seed in range(start, start + 20):
        try:
            simulate(seed)
        except BaseException:
            print(f"seed {seed}")
            raise


@pytest.mark.parametrize("seed", range(20))
def test_a_session_cut_anywhere_is_made_good_by_the_next(seed: int) -> None:
    world = World(1_000 + seed)
    world.pair.open()
    world.live(world.rng.randrange(300))
    stores = (world.pair.a.store, world.pair.b.store)
    for store in stores:
        store.followers.clear()
    world.pair = Pair(stores=stores, keep_sent=False)
    world.ends = (world.pair.a, world.pair.b)
    for end in world.ends:
        world.choose(end)
    world.pair.open().run(world.rng)
    world.assert_satisfied()


def test_in_peace_nothing_is_sent_twice() -> None:
    for seed in range(40):
        world = World(5_000 + seed)
        world.pair.open().run(world.rng)
        for written in range(20):
            end = world.rng.choice(world.ends)
            account_, key_, length, _ = world.rng.choice(world.logs)
            end.store.put(account_, key_, item(key_, length + written))
            world.pair.run(world.rng)
        assert (world.pair.a.repeated, world.pair.b.repeated) == (0, 0), f"seed {5_000 + seed}"
