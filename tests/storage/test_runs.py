"""A run stored at once leaves the same rows, byte for byte, as its entries stored one by one."""

import random
from pathlib import Path

import pytest
from tests.support.people import Clock, Person, Written, open_home

from unhush.storage import logs, runs
from unhush.storage.arrivals import IN_PIECES, Arrival, Batch, Outcome, Status
from unhush.storage.kinds import Delete, Post
from unhush.storage.schema import Table
from unhush.storage.store import Store


def rows(store: Store) -> dict[Table, list[tuple[bytes, bytes]]]:
    """Everything in the database."""
    with store._environment.read() as txn:
        return {table: list(txn.scan(table)) for table in Table}


def live(dice: random.Random, clock: Clock) -> tuple[list[tuple[Arrival, ...]], list[Arrival]]:
    """Batches of two people's logs as anybody might give them, and the operations that come first."""
    people = [Person(name, seed=dice.randrange(10**6), clock_ms=clock) for name in ("bob", "eve")]
    written: list[list[Written]] = []
    for person in people:
        log: list[Written] = []
        for number in range(dice.randint(5, 30)):
            clock.advance(dice.choice((0, 1, 1_000)))
            if log and dice.random() < 0.1:
                log.append(person.write(Delete(dice.choice(log).cid)))
            else:
                log.append(person.write(Post(f"{person.name} {number}", tags=("x",) if dice.random() < 0.2 else ())))
        if dice.random() < 0.3:  # another branch
            person.fork(dice.choice(log))
            log += person.posts(dice.randint(1, 4), "other")
        written.append(log)
    batches: list[tuple[Arrival, ...]] = []
    for _ in range(dice.randint(2, 8)):
        batch: list[Arrival] = []
        for log in written:
            low = dice.randrange(len(log))
            part = log[low : low + dice.randint(1, 12)]
            if dice.random() < 0.3:
                part = dice.sample(part, len(part))
            batch += [each.without_body if dice.random() < 0.05 else each.arrival for each in part]
        batches.append(tuple(batch))
    batches.append(tuple(each.arrival for log in written for each in log))
    return batches, [person.incept for person in people]


def fill(home: Path, seed: int) -> tuple[dict[Table, list[tuple[bytes, bytes]]], list[tuple[Outcome, ...]]]:
    dice, clock = random.Random(seed), Clock()
    batches, operations = live(dice, clock)
    clock.now_ms -= dice.choice((0, 0, 5_000))  # ours may be behind theirs
    with open_home(home, clock) as store:
        store.ingest(Batch(tuple(operations), "a test", wanted_only=False))
        outcomes = []
        for batch in batches:
            clock.advance(7)
            outcomes.append(store.ingest(Batch(batch, "a test", wanted_only=False)))
        return rows(store), outcomes


@pytest.mark.parametrize("seed", range(30))
def test_a_run_at_once_and_one_by_one_leave_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    at_once, said = fill(tmp_path / "at-once", seed)
    monkeypatch.setattr(runs, "find_gap", lambda *_: None)
    one_by_one, said_then = fill(tmp_path / "one-by-one", seed)
    for table in Table:
        assert at_once[table] == one_by_one[table], table
    assert said == said_then


def test_a_long_catch_up_takes_the_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the equality above would say nothing of it."""
    bob = Person("bob", seed=5)
    posts = bob.posts(50)
    put = []
    real = runs.put_run
    monkeypatch.setattr(runs, "put_run", lambda *args: (put.append(len(args[3])), real(*args)))
    with open_home(tmp_path / "home", Clock()) as store:
        store.ingest(Batch((bob.incept,), "a test", wanted_only=False))
        for part in (posts[20:30], posts[5:20], posts[40:], posts[30:40], posts[:5]):
            outcomes = store.ingest(Batch(tuple(each.arrival for each in part), "a test", wanted_only=False))
            assert {outcome.status for outcome in outcomes} == {Status.STORED}
        with store.snapshot() as snapshot:
            assert snapshot.summary(bob.account).logs == {bob.key: ((0, 49),)}
    assert put == [10, 15, 10, 10, 5]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_log_is_held_in_so_many_pieces_and_what_joins_them_still_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_by_one: bool
) -> None:
    """Else whoever signs a log, or gives every second entry of one, makes every session read and tell its crumbs."""
    monkeypatch.setattr(logs, "MAX_STRETCHES", 5)
    if one_by_one:
        monkeypatch.setattr(runs, "find_gap", lambda *_: None)
    person = Person("bob", seed=1)
    posts = person.posts(20, "crumbs")

    def give(store: Store, *numbers: int) -> list[Outcome]:
        arrivals = tuple(posts[number].arrival for number in numbers)
        return list(store.ingest(Batch(arrivals, "a test", wanted_only=False)))

    with open_home(tmp_path / "home", Clock()) as store:
        store.ingest(Batch((person.incept,), "a test", wanted_only=False))
        apart = give(store, *range(0, 20, 2))
        assert [each.status for each in apart] == [Status.STORED] * 5 + [Status.IGNORED] * 5
        assert {each.error for each in apart[5:]} == {IN_PIECES}
        # One piece is gone where two are joined, so there is room for another.
        assert [each.status for each in give(store, 9, 1)] == [Status.STORED, Status.STORED]
        assert [give(store, number)[0].status for number in (11, 13)] == [Status.STORED, Status.IGNORED]
        assert all(each.status in (Status.STORED, Status.KNOWN) for each in give(store, *range(20)))
        with store._environment.read() as txn:
            assert len(list(txn.scan(Table.RUNS))) == 1
