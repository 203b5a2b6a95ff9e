"""The tree of fingerprints follows a real store: what is not looked up yet is equal to nobody's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from tests.support.people import Clock, Home, Person, ingest, open_home
from trio.testing import MockClock, wait_all_tasks_blocked

from unhush.gossip.net.sync import heads
from unhush.gossip.net.sync.heads import Heads, look_up
from unhush.identity.cid import Cid, cid_of
from unhush.storage.store import Store

ANN, CLEO = Person("Ann", seed=1), Person("Cleo", seed=3)
POST, ANOTHER = ANN.post("one"), ANN.post("two")


@contextmanager
def home_of(folder: Path) -> Iterator[Store]:
    with open_home(folder, Clock()) as store:
        yield Home(store, Person("Ben", seed=2), Clock()).store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with home_of(tmp_path / "ben") as opened:
        yield opened


def state(store: Store, account: Cid) -> bytes:
    with store.snapshot() as snapshot:
        return look_up(snapshot, account, is_own=False)


def test_two_stores_with_the_same_records_are_in_the_same_state(store: Store, tmp_path: Path) -> None:
    with home_of(tmp_path / "other") as other:
        for each in (store, other):
            ingest(each, ANN.incept, POST.arrival)
        assert state(store, ANN.account) == state(other, ANN.account)
        ingest(other, ANOTHER.arrival)
        assert state(store, ANN.account) != state(other, ANN.account)
        ingest(store, ANOTHER.without_body)
        assert state(store, ANN.account) != state(other, ANN.account), "a body is missing here"
        with home_of(tmp_path / "third") as third:
            ingest(third, ANN.incept, POST.arrival)
            assert state(store, ANN.account) != state(third, ANN.account), "an entry is missing there"
        ingest(store, ANOTHER.arrival)
        assert state(store, ANN.account) == state(other, ANN.account)


async def _looked_up(store: Store) -> None:
    kept = Heads(store)
    kept.set_carried(frozenset((ANN.account, CLEO.account)), None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.run)
        await kept.ready()
        assert sorted(kept.tree) == sorted((ANN.account, CLEO.account))
        before = kept.tree.state(ANN.account)
        assert before == state(store, ANN.account)

        ingest(store, ANOTHER.arrival)
        kept.touched([ANN.account, cid_of(b"not carried")])
        spoilt = kept.tree.state(ANN.account)
        assert spoilt not in (before, state(store, ANN.account))
        await trio.sleep(heads.REST_S / 2)
        assert kept.tree.state(ANN.account) == spoilt  # it may go on growing
        await trio.sleep(2 * heads.REST_S)
        assert kept.tree.state(ANN.account) == state(store, ANN.account)

        kept.set_carried(frozenset((ANN.account,)), None)
        assert list(kept.tree) == [ANN.account]
        kept.set_carried(frozenset((ANN.account, CLEO.account)), CLEO.account)
        await trio.sleep(2 * heads.REST_S)
        assert len(kept.tree) == 2
        nursery.cancel_scope.cancel()


def test_what_grows_is_spoilt_at_once_and_looked_up_when_it_rests(store: Store) -> None:
    ingest(store, ANN.incept, POST.arrival)
    trio.run(_looked_up, store, clock=MockClock(autojump_threshold=0))


async def _walked(store: Store) -> None:
    kept = Heads(store)
    kept.set_carried(frozenset((ANN.account,)), None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.run)
        await kept.ready()
        await wait_all_tasks_blocked()
        ingest(store, ANOTHER.arrival)  # and nobody says so
        await trio.sleep(heads.WALK_EVERY_S + 1)
        assert kept.tree.state(ANN.account) == state(store, ANN.account)
        nursery.cancel_scope.cancel()


def test_a_slow_walk_finds_what_nobody_told(store: Store) -> None:
    ingest(store, ANN.incept, POST.arrival)
    trio.run(_walked, store, clock=MockClock(autojump_threshold=0))
