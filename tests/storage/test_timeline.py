"""Timelines: pages that neither repeat nor skip, and snapshots that do not change while they are read."""

import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.people import Clock, Home, Person, arrivals_of, ingest, texts

from unhush.storage.errors import NotFound
from unhush.storage.folds.timeline import Position, parse_position
from unhush.storage.kinds import Delete, Follow
from unhush.storage.records import Record
from unhush.storage.snapshot import take
from unhush.storage.store import Store


def page(store: Store, limit: int, before: Position | None = None) -> tuple[list[Record], Position | None]:
    with store.snapshot() as snapshot:
        return take(snapshot.home(before), limit)


def pages(store: Store, limit: int) -> list[list[Record]]:
    found, cursor = page(store, limit)
    all_pages = [found]
    while cursor is not None:
        found, cursor = page(store, limit, cursor)
        all_pages.append(found)
    return all_pages


@pytest.mark.parametrize("limit", [1, 3, 5, 10, 11])
def test_pages_cover_the_timeline_once_whatever_their_size(home: Home, clock: Clock, limit: int) -> None:
    for number in range(10):
        home.post(str(number))
        clock.advance(number % 3)  # some at the same time

    read = pages(home.store, limit)

    assert [text for some in read for text in texts(some)] == [str(number) for number in reversed(range(10))]
    assert all(len(some) == limit for some in read[:-1])
    assert read[-1], "a cursor led to an empty page"


def test_posts_that_come_while_someone_reads_move_nothing_below_the_cursor(home: Home, bob: Person) -> None:
    home.publish(Follow(bob.account))
    old = [bob.post(f"old {number}", time_ms=1_000 + number) for number in range(6)]
    ingest(home.store, bob.incept, *arrivals_of(old))
    first, cursor = page(home.store, 3)

    home.post("newer than all")
    ingest(home.store, bob.post("older, but above the cursor", time_ms=1_005).arrival)
    second, end = page(home.store, 3, cursor)

    assert texts(first) == ["old 5", "old 4", "old 3"]
    assert texts(second) == ["old 2", "old 1", "old 0"]
    assert end is None


def test_an_old_post_that_comes_late_is_found_further_down(home: Home, bob: Person) -> None:
    home.publish(Follow(bob.account))
    ingest(home.store, bob.incept, *arrivals_of([bob.post(str(time), time_ms=time) for time in (10, 20, 30)]))
    _, cursor = page(home.store, 2)

    ingest(home.store, bob.post("15", time_ms=15).arrival)

    assert texts(page(home.store, 9, cursor)[0]) == ["15", "10"]


def test_a_cursor_whose_post_was_deleted_still_marks_its_place(home: Home) -> None:
    for number in range(4):
        home.post(str(number))
    found, cursor = page(home.store, 2)

    home.publish(Delete(found[-1].cid))

    assert texts(page(home.store, 9, cursor)[0]) == ["1", "0"]


def test_the_posts_of_an_account_are_paged_alike(store: Store, known_bob: Person) -> None:
    ingest(store, *arrivals_of(known_bob.posts(5)))
    with store.snapshot() as snapshot:
        account = snapshot.account(known_bob.account)
        assert account is not None
        first, cursor = take(snapshot.posts(account), 2)
        second, end = take(snapshot.posts(account, cursor), 9)
        count = snapshot.count_posts(account)

    assert texts(first) + texts(second) == [f"post {number}" for number in (4, 3, 2, 1, 0)]
    assert (end, count) == (None, 5)


@given(st.builds(Position, *[st.integers(0, 2**64 - 1)] * 3))
def test_a_cursor_reads_back_from_its_text(position: Position) -> None:
    assert parse_position(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "--",
        "1",
        "1-2",
        "1-2-",
        "-1-2",
        "1-2-3-4",
        "a-b-c",
        " 1-2-3",
        "1-2-3\n",
        "+1-2-3",
        "1_0-2-3",
        "٣-٤-٥",
        "²-1-1",
        f"{2**64}-1-1",
        f"1-{2**64}-1",
        f"1-1-{2**64}",
        "9" * 5_000 + "-1-1",
    ],
)
def test_what_is_no_cursor_is_refused_by_name(text: str) -> None:
    with pytest.raises(NotFound):
        parse_position(text)


def test_every_possible_cursor_can_be_asked_for(home: Home) -> None:
    home.post("one")

    assert texts(page(home.store, 9, Position(2**64 - 1, 2**64 - 1, 2**64 - 1))[0]) == ["one"]
    assert page(home.store, 9, Position(0, 0, 0)) == ([], None)


def test_a_snapshot_does_not_change_while_others_write(home: Home, bob: Person) -> None:
    home.publish(Follow(bob.account))
    ingest(home.store, bob.incept, *arrivals_of(bob.posts(5)))
    with home.store.snapshot() as snapshot:
        before = [record.cid for _, record in snapshot.home()]
        writer = threading.Thread(target=lambda: ingest(home.store, *arrivals_of(bob.posts(50))))
        writer.start()
        writer.join(30)

        assert [record.cid for _, record in snapshot.home()] == before
        assert snapshot.count_records() == len(list(snapshot.journal(0)))
    assert len(page(home.store, 100)[0]) == 55


def test_every_snapshot_taken_during_ingest_is_whole(home: Home, bob: Person) -> None:
    """Batches of five: a reader sees all of one or nothing of it, in journal, log and home alike."""
    home.publish(Follow(bob.account))
    ingest(home.store, bob.incept)
    written = bob.posts(300)
    done = threading.Event()

    def write() -> None:
        for start in range(0, len(written), 5):
            ingest(home.store, *arrivals_of(written[start : start + 5]))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    sizes: list[int] = []
    while not done.is_set() or not sizes or sizes[-1] < 300:
        with home.store.snapshot() as snapshot:
            in_home = sum(1 for _ in snapshot.home())
            in_journal = sum(1 for record in snapshot.journal(0) if record.account == bob.account)
            runs = snapshot.summary(bob.account).logs.get(bob.key, ())
        assert in_journal == in_home + 1
        assert runs == (((0, in_home - 1),) if in_home else ())
        assert in_home % 5 == 0
        sizes.append(in_home)
    writer.join(30)

    assert all(before <= after for before, after in pairwise(sizes))


@pytest.mark.parametrize("ahead_ms", [-1_000_000, 60_000], ids=["author's clock right", "author's clock ahead"])
def test_history_of_one_moment_is_read_as_it_was_written_whichever_part_came_first(
    home: Home, bob: Person, clock: Clock, ahead_ms: int
) -> None:
    home.publish(Follow(bob.account))
    posts = [bob.post(str(number), time_ms=clock() + ahead_ms) for number in range(6)]

    ingest(home.store, bob.incept, *arrivals_of(posts[4:]))
    clock.advance(10)
    ingest(home.store, *arrivals_of(posts[2:4]))
    clock.advance(10)
    ingest(home.store, *arrivals_of(posts[:2]))

    assert texts(page(home.store, 9)[0]) == ["5", "4", "3", "2", "1", "0"]
