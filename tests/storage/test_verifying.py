"""Signatures checked in workers are judged as in this process, and a worker's end costs time, never a verdict."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.people import NETWORK, Clock, Person

from unhush.identity.entry import UnverifiedEntry, parse_entry
from unhush.storage.arrivals import Arrival, Batch, Status
from unhush.storage.kinds import Post
from unhush.storage.store import Store
from unhush.storage.verifying import Verifier, pack_chunk, unpack_chunk


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    made = Verifier(NETWORK, workers=2)
    yield made
    made.close()


def entries(bob: Person, count: int) -> tuple[list[UnverifiedEntry], list[bool]]:
    """Some of them badly signed."""
    written = [bob.write_badly_signed(Post("x")) if number % 7 == 3 else bob.post("x") for number in range(count)]
    return [parse_entry(each.entry.block) for each in written], [number % 7 != 3 for number in range(count)]


def test_workers_judge_as_this_process_does(verifier: Verifier) -> None:
    parsed, expected = entries(Person("bob", seed=1), 300)
    verification = verifier.begin(parsed)
    assert [verification.is_signed(entry) for entry in parsed] == expected
    alone = Verifier(NETWORK).begin(parsed)
    assert [alone.is_signed(entry) for entry in parsed] == expected


def test_a_worker_that_is_killed_costs_no_verdict(verifier: Verifier) -> None:
    parsed, expected = entries(Person("bob", seed=1), 300)
    assert verifier.begin(parsed[:2]).is_signed(parsed[0])  # they run
    for _ in range(6):  # oftener than they are replaced
        for worker in list(verifier._workers):
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
        verification = verifier.begin(parsed)
        assert [verification.is_signed(entry) for entry in parsed] == expected
    assert not verifier.has_workers


def test_a_worker_that_dies_over_its_work_leaves_it_to_us(verifier: Verifier) -> None:
    parsed, expected = entries(Person("bob", seed=1), 600)
    verification = verifier.begin(parsed)
    for worker in list(verifier._workers):
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
    assert [verification.is_signed(entry) for entry in parsed] == expected


def test_verdicts_nobody_asks_for_are_not_kept_for_ever(verifier: Verifier) -> None:
    parsed, expected = entries(Person("bob", seed=1), 10)
    for _ in range(600):
        verifier.begin(parsed)
    verification = verifier.begin(parsed)
    assert [verification.is_signed(entry) for entry in parsed] == expected
    assert all(len(worker._verdicts) <= 256 for worker in verifier._workers)


def test_chunks_are_unpacked_as_they_were_packed() -> None:
    pairs = [(bytes([number]) * 32, bytes([number]) * number) for number in range(40)]
    assert unpack_chunk(pack_chunk(pairs)) == pairs


def test_a_store_with_workers_takes_in_what_one_without_does(tmp_path: Path) -> None:
    people = [Person(f"p{number}", seed=number) for number in range(20)]
    incepts = Batch(tuple(person.incept for person in people), "a test", wanted_only=False)
    batches = [
        Batch(
            tuple(
                person.write_badly_signed(Post("bad")).arrival if (place + turn) % 5 == 0 else person.post("x").arrival
                for place, person in enumerate(people)
            ),
            "a test",
            wanted_only=False,
        )
        for turn in range(6)
    ]
    said = []
    for workers in (0, 2):
        home = tmp_path / str(workers)
        home.mkdir()
        with Store(home, network=NETWORK, clock_ms=Clock(), verify_workers=workers) as store:
            store.ingest(incepts)
            said.append(list(store.ingest_all(batches)))
    assert said[0] == said[1]
    statuses = {outcome.status for outcomes in said[0] for outcome in outcomes}
    assert statuses == {Status.STORED, Status.REJECTED}


def test_a_store_of_which_nothing_is_asked_starts_no_process(tmp_path: Path) -> None:
    bob = Person("bob", seed=1)
    with Store(tmp_path, network=NETWORK, clock_ms=Clock(), verify_workers=2) as store:
        store.ingest(Batch((bob.incept, *(each.arrival for each in bob.posts(30))), "a test", wanted_only=False))
        store.ingest(Batch((Arrival(b"nothing", None),), "a test"))
        assert store._verifier._workers == []
