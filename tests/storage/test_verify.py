"""Verify: a store that is whole is called clean, and every kind of damage is found and counted once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.people import NETWORK, Clock, Home, Person, Written, arrivals_of, ingest

from unhush.identity.cid import Cid
from unhush.storage.journal import pack_aid
from unhush.storage.kinds import Follow, Post
from unhush.storage.logs import pack_u64
from unhush.storage.records import BodyState, unpack_record
from unhush.storage.schema import Table
from unhush.storage.store import Store
from unhush.storage.transaction import Txn
from unhush.storage.verify import Report, verify_store

ROW_HEAD = 11  # body state, first seen, length of the entry block


def verify(store: Store, check_cid: Callable[[bytes, bytes], bool] = lambda _cid, _block: True) -> Report:
    with store.snapshot() as snapshot:
        return verify_store(snapshot, network=NETWORK, check_cid=check_cid)


@pytest.fixture
def written(home: Home, bob: Person) -> list[Written]:
    """A home with ten posts of Bob, his two operations, and a post of our own."""
    home.publish(Follow(bob.account), Post("ours"))
    posts = bob.posts(10)
    _, added = bob.add_device()
    ingest(home.store, bob.incept, added, *arrivals_of(posts))
    return posts


def damage(store: Store, change: Callable[[Txn], object]) -> None:
    with store._environment.write() as txn:
        change(txn)


def row_key(txn: Txn, cid: Cid) -> bytes:
    key = txn.get(Table.IDS, cid.digest)
    assert key is not None
    return key


def flip(cid: Cid, at: int, bit: int = 1) -> Callable[[Txn], object]:
    """Turn a bit of the journal row of a record; ``at`` counts from the row's end if negative."""

    def change(txn: Txn) -> None:
        key = row_key(txn, cid)
        row = bytearray(txn.get(Table.JOURNAL, key) or b"")
        row[at] ^= bit
        txn.put(Table.JOURNAL, key, bytes(row))

    return change


def test_a_whole_store_is_clean(home: Home, written: list[Written]) -> None:
    report = verify(home.store)

    assert report == Report(entries=16, bad=0, missing=0, forks=0)
    assert report.is_clean


def test_an_empty_store_is_clean(store: Store) -> None:
    assert verify(store) == Report(0, 0, 0, 0)


@pytest.mark.parametrize("seq", [0, 4, 9])
@pytest.mark.parametrize(
    ("where", "at"),
    [
        ("in the header", ROW_HEAD + 60),
        ("in the head of the entry", ROW_HEAD),
        ("in the body", -1),
        ("in the state of the body", 0),
        ("in the length of the entry", 10),
        ("in the high byte of the length", 9),
    ],
)
def test_one_flipped_bit_is_one_bad_record(home: Home, written: list[Written], where: str, at: int, seq: int) -> None:
    damage(home.store, flip(written[seq].cid, at, bit=8))

    report = verify(home.store)

    assert (report.entries, report.bad, report.missing, report.forks) == (16, 1, 0, 0), where
    assert len(report.problems) == 1


@pytest.mark.parametrize("seq", [0, 4, 9])
def test_a_flipped_bit_in_a_signature_is_one_bad_record(home: Home, written: list[Written], seq: int) -> None:
    damage(home.store, flip(written[seq].cid, ROW_HEAD + len(written[seq].entry.block) - 1))

    assert verify(home.store).bad == 1


@pytest.mark.parametrize("at", [ROW_HEAD + 60, -1, 0])
def test_a_flipped_bit_in_an_operation_is_one_bad_record(
    home: Home, bob: Person, written: list[Written], at: int
) -> None:
    damage(home.store, flip(bob.account, at, bit=8))

    assert (verify(home.store).bad, verify(home.store).missing) == (1, 0)


def test_every_damaged_record_is_counted_and_the_others_are_still_looked_at(home: Home, written: list[Written]) -> None:
    for seq, at in ((1, 0), (3, ROW_HEAD + 60), (5, -1), (6, 0)):
        damage(home.store, flip(written[seq].cid, at, bit=8))

    report = verify(home.store)

    assert (report.entries, report.bad) == (16, 4)


def test_a_lost_slot_is_found(home: Home, written: list[Written]) -> None:
    def lose(txn: Txn) -> None:
        key = next(key for key, _ in txn.scan(Table.SLOTS) if key.endswith(pack_u64(4)))
        txn.delete(Table.SLOTS, key)

    damage(home.store, lose)

    report = verify(home.store)
    assert report.bad == 1
    assert "10 entries are counted as held, 9 are there" in report.problems[0]


def test_a_slot_that_leads_to_another_entry_is_found(home: Home, written: list[Written]) -> None:
    def confuse(txn: Txn) -> None:
        slots = {key[4:]: (key, value) for key, value in txn.scan(Table.SLOTS)}
        txn.put(Table.SLOTS, slots[pack_u64(4)][0], slots[pack_u64(7)][1])

    damage(home.store, confuse)

    report = verify(home.store)
    assert report.bad == 1
    assert "seq 4" in report.problems[0]


def test_a_lost_journal_row_is_found(home: Home, written: list[Written]) -> None:
    damage(home.store, lambda txn: txn.delete(Table.JOURNAL, row_key(txn, written[4].cid)))

    report = verify(home.store)

    assert (report.entries, report.bad) == (15, 1)


def test_a_lost_operation_is_found(home: Home, bob: Person, written: list[Written]) -> None:
    damage(home.store, lambda txn: txn.delete(Table.JOURNAL, row_key(txn, bob.account)))

    report = verify(home.store)

    assert (report.entries, report.bad) == (15, 1)


def test_an_id_that_leads_elsewhere_is_found(home: Home, written: list[Written]) -> None:
    damage(home.store, lambda txn: txn.put(Table.IDS, written[4].cid.digest, pack_aid(1)))

    assert verify(home.store).bad == 1


def test_a_dropped_body_is_missing_and_not_bad(home: Home, written: list[Written]) -> None:
    def drop(txn: Txn) -> None:
        key = row_key(txn, written[4].cid)
        record = unpack_record(int.from_bytes(key), txn.get(Table.JOURNAL, key) or b"")
        bare = type(record)(record.aid, record.block, None, BodyState.UNKNOWN, record.seen_at_ms)
        txn.put(Table.JOURNAL, key, bare.pack())

    damage(home.store, drop)

    report = verify(home.store)
    assert (report.bad, report.missing) == (0, 1)
    assert str(written[4].cid) in report.problems[0]


def test_missing_entries_and_bodies_are_counted(store: Store, known_bob: Person) -> None:
    log = known_bob.posts(6)
    ingest(store, *(log[seq].arrival for seq in (1, 5)), log[3].without_body)

    report = verify(store)

    assert (report.entries, report.bad, report.missing) == (4, 0, 3 + 1)


def test_a_forked_log_is_reported_and_not_bad(store: Store, known_bob: Person) -> None:
    trunk = known_bob.posts(2)
    known_bob.fork(trunk[0])
    ingest(store, *arrivals_of([*trunk, *known_bob.posts(2)]))

    report = verify(store)

    assert (report.entries, report.bad, report.missing, report.forks) == (5, 0, 0, 1)


def test_a_body_that_is_none_is_counted_apart_and_is_no_damage(store: Store, known_bob: Person) -> None:
    ingest(store, known_bob.write_bytes("post", b"\xff no body").arrival, known_bob.post("good").arrival)

    report = verify(store)

    assert (report.bad, report.missing, report.malformed) == (0, 0, 1)
    assert report.is_clean
    assert not report.is_damaged


def test_a_fork_or_a_hole_is_no_damage(store: Store, known_bob: Person) -> None:
    trunk = known_bob.posts(3)
    known_bob.fork(trunk[0])
    ingest(store, *arrivals_of([trunk[0], trunk[2], *known_bob.posts(1)]))

    report = verify(store)

    assert report.missing or report.forks
    assert not report.is_damaged


def test_a_check_of_every_signature_still_takes_what_the_chain_vouches_for(store: Store, known_bob: Person) -> None:
    bad, good = known_bob.write_badly_signed(Post("one")), known_bob.post("two")
    ingest(store, bad.arrival, good.arrival)

    with store.snapshot() as snapshot:
        report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True, every_signature=True)

    assert report.is_clean


def test_an_entry_the_chain_vouches_for_is_authentic(store: Store, known_bob: Person) -> None:
    bad, good = known_bob.write_badly_signed(Post("one")), known_bob.post("two")
    ingest(store, bad.arrival, good.arrival)

    assert verify(store).is_clean


def test_an_entry_without_signature_or_voucher_is_bad(store: Store, known_bob: Person) -> None:
    bad, good = known_bob.write_badly_signed(Post("one")), known_bob.post("two")
    ingest(store, bad.arrival, good.arrival)
    damage(store, flip(good.cid, ROW_HEAD + 60, bit=8))

    assert verify(store).bad == 2  # the damaged one, and the one that nothing vouches for any more


def test_a_store_of_another_network_is_all_bad(home: Home) -> None:
    with home.store.snapshot() as snapshot:
        report = verify_store(snapshot, network="main", check_cid=lambda _cid, _block: True)

    assert (report.entries, report.bad) == (2, 2)


def test_an_independent_reader_that_disagrees_is_heard(home: Home) -> None:
    assert verify(home.store, check_cid=lambda _cid, _block: False).bad == 2


def test_progress_is_told_every_thousand_records(tmp_path: Path, store: Store, known_bob: Person, clock: Clock) -> None:
    ingest(store, *arrivals_of(known_bob.posts(2_100)))
    told: list[int] = []

    with store.snapshot() as snapshot:
        verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True, on_progress=told.append)

    assert told == [1_000, 2_000]


def test_problems_in_words_are_bounded_and_counts_are_not(store: Store, known_bob: Person) -> None:
    ingest(store, *(post.without_body for post in known_bob.posts(80)))

    report = verify(store)

    assert (report.missing, len(report.problems)) == (80, 50)
