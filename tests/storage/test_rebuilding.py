"""Rebuilding gives back, byte for byte, what the folds said, and mends what was damaged."""

from random import Random

import pytest
from tests.support.bodies import random_body
from tests.support.people import Clock, Home, Person, arrivals_of, dump, ingest

from unhush.storage.folds import FOLD_TABLES, FOLDS
from unhush.storage.kinds import Edit, Follow, Post
from unhush.storage.schema import Table
from unhush.storage.store import Store

# What no fold writes: the journal and what is kept of logs and accounts, and what only this home knows.
KEPT = set(Table) - set(FOLD_TABLES)


def live(home: Home, clock: Clock, *, days: int) -> None:
    """A home whose account and two others do everything at random."""
    random = Random(7)
    others = [Person(name, seed=seed, clock_ms=clock) for name, seed in (("Bob", 2), ("Carol", 3))]
    people = [home.person.account, *(person.account for person in others)]
    ingest(home.store, *(person.incept for person in others))
    mine, written = [home.first.cid], [home.first.cid]
    for _ in range(days):
        clock.advance(random.choice((0, 1, 1_000)))
        if random.random() < 0.3:
            body = random_body(random, "Ann", own=mine, anything=written, people=people)
            (record,) = home.publish(body)
            mine.append(record.cid)
            written.append(record.cid)
        else:
            person = random.choice(others)
            body = random_body(random, person.name, own=written, anything=written, people=people)
            made = person.write(body)
            ingest(home.store, made.arrival)
            written.append(made.cid)


def test_a_rebuild_changes_no_byte_of_any_table(home: Home, clock: Clock) -> None:
    live(home, clock, days=250)
    before = dump(home.store)
    assert all(before[table] for table in FOLD_TABLES), "a fold was never written to"

    home.store.rebuild_indexes()

    after = dump(home.store)
    assert {table: after[table] for table in Table} == before


def test_a_rebuild_mends_every_fold(home: Home, clock: Clock) -> None:
    live(home, clock, days=100)
    before = dump(home.store)
    with home.store._environment.write() as txn:
        for table in FOLD_TABLES:
            rows = list(txn.scan(table))
            for key, _ in rows[::2]:
                txn.delete(table, key)
            txn.put(table, b"\xff" * 40, b"nonsense")

    home.store.rebuild_indexes()

    assert dump(home.store) == before


def test_a_rebuild_tells_how_far_it_is_and_how_much_is_shown(home: Home, known_bob: Person) -> None:
    ingest(home.store, *arrivals_of(known_bob.posts(1_500)))
    seen: list[int] = []

    shown = home.store.rebuild_indexes(seen.append)

    assert seen == [1_000]
    assert shown == 1_501  # and the own profile


def test_every_table_of_a_fold_is_named_once() -> None:
    assert len(set(FOLD_TABLES)) == len(FOLD_TABLES)
    assert all(fold.does and fold.tables for fold in FOLDS)
    assert Table.JOURNAL in KEPT
    assert Table.TEXT_DUE in KEPT


@pytest.mark.parametrize("is_late", [False, True])
def test_an_edit_that_is_rebuilt_before_its_post_is_shown_in_it(
    store: Store, known_bob: Person, clock: Clock, is_late: bool
) -> None:
    post = known_bob.post("original")
    edit = known_bob.write(Edit(post.cid, Post("changed")))
    ingest(store, *arrivals_of([edit, post] if is_late else [post, edit]))
    ingest(store, known_bob.write(Follow(known_bob.account)).arrival)
    before = dump(store)

    store.rebuild_indexes()

    assert dump(store) == before
    with store.snapshot() as snapshot:
        record = snapshot.record(post.cid)
        assert record is not None
        assert snapshot.shown_version(record) == Post("changed")
