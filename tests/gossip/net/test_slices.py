"""A run read in slices is the run one snapshot gives."""

import pytest
import trio
from tests.support.people import Clock, Home, Person, arrivals_of, ingest, open_home

from unhush.gossip.net.sync import slices
from unhush.gossip.net.sync.slices import read_run
from unhush.gossip.proto.actions import ReadRun
from unhush.storage.records import Record

BIG, ANN = Person("Big", seed=2), Person("Ann", seed=1)
WRITTEN = BIG.posts(200)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    with open_home(tmp_path_factory.mktemp("store"), Clock()) as store:
        Home(store, ANN, Clock())
        held = [each for number, each in enumerate(WRITTEN) if number != 50]
        ingest(store, BIG.incept, *arrivals_of(held))
        yield store


def seqs(run: list[Record]) -> list[int]:
    return [record.entry.header.seq for record in run]


@pytest.mark.parametrize("slice_bytes", [500, 10_000, 1_000_000])
@pytest.mark.parametrize("what", [(0, 199, 30_000), (0, 199, 10**9), (60, 60, 1), (0, 90, 7_777)])
def test_it_is_the_same(store, monkeypatch, slice_bytes: int, what: tuple[int, int, int]) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", slice_bytes)
    with store.snapshot() as snapshot:
        whole = snapshot.run(BIG.account, BIG.key, *what)
    assert whole
    read = ReadRun(BIG.account, BIG.key, *what)
    assert seqs(trio.run(read_run, store, read)) == seqs(whole)


def test_others_get_their_turn_between_slices(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", 4_000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async def scene() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            await read_run(store, ReadRun(BIG.account, BIG.key, 0, 199, 50_000))
            nursery.cancel_scope.cancel()

    trio.run(scene)
    assert turns >= 7


def test_a_part_that_does_not_lead_to_the_one_above_is_left_for_the_next_read(store) -> None:
    with store.snapshot() as snapshot:
        run = snapshot.run(BIG.account, BIG.key, 100, 120, 10**9)
    assert slices._leads_to(run[:10], run[10], 10**9)
    assert not slices._leads_to(run[:9], run[10], 10**9), "an entry is missing between"
    assert not slices._leads_to([], run[0], 10**9)
    assert not slices._leads_to(run[9:10], run[10], 100), "and one that does not fit"
