"""Runs that are longer than what is read at once: whole, unbroken, and without what the disk has damaged."""

import pytest
from tests.support.people import Person, arrivals_of, ingest

from unhush.storage import journal
from unhush.storage.schema import Table
from unhush.storage.snapshot import _RUN_STEP
from unhush.storage.store import Store

LENGTH = 3 * _RUN_STEP + 7


def served(store: Store, person: Person) -> list[int]:
    with store.snapshot() as snapshot:
        run = snapshot.run(person.account, person.key, 0, LENGTH, 10**9)
    return [record.entry.header.seq for record in run]


def damage(store: Store, aid: int) -> None:
    """Turn a bit of a record's body."""
    with store._environment.write() as txn:
        key = journal.pack_aid(aid)
        row = txn.get(Table.JOURNAL, key)
        assert row is not None
        txn.put(Table.JOURNAL, key, row[:-1] + bytes([row[-1] ^ 1]))


def test_a_long_run_is_served_whole(store: Store, known_bob: Person) -> None:
    written = known_bob.posts(LENGTH)
    ingest(store, *arrivals_of(written))

    with store.snapshot() as snapshot:
        run = snapshot.run(known_bob.account, known_bob.key, 0, LENGTH, 10**9)

    assert [(record.cid, record.body) for record in run] == [(each.cid, each.body) for each in written]


@pytest.mark.parametrize("hole", [0, 1, _RUN_STEP, LENGTH - _RUN_STEP - 1, LENGTH - _RUN_STEP, LENGTH - 2])
def test_a_long_run_ends_above_a_hole_wherever_that_is(hole: int, store: Store, known_bob: Person) -> None:
    written = known_bob.posts(LENGTH)
    ingest(store, *arrivals_of(written[:hole]), *arrivals_of(written[hole + 1 :]))

    assert served(store, known_bob) == list(range(hole + 1, LENGTH))


def test_a_damaged_record_is_served_to_nobody_and_what_is_below_comes_in_the_next_run(
    store: Store, known_bob: Person
) -> None:
    written = known_bob.posts(LENGTH)
    ingest(store, *arrivals_of(written))
    with store.snapshot() as snapshot:
        newest, middle = (snapshot.find_aid(written[seq].cid) for seq in (LENGTH - 1, LENGTH - _RUN_STEP - 5))
    assert newest is not None
    assert middle is not None
    damage(store, newest)
    damage(store, middle)

    assert served(store, known_bob) == list(range(LENGTH - _RUN_STEP - 4, LENGTH - 1))
    with store.snapshot() as snapshot:
        below = snapshot.run(known_bob.account, known_bob.key, 0, LENGTH - _RUN_STEP - 5, 10**9)
    assert [record.entry.header.seq for record in below] == list(range(LENGTH - _RUN_STEP - 5))
