"""Turning pages while others write: nothing that was there at the first page comes twice or is left out."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from tests.support.people import Clock, Home, Person, Written, arrivals_of, ingest
from tests.support.processes import child

from unhush.identity.cid import Cid
from unhush.storage.folds.timeline import Position, parse_position
from unhush.storage.kinds import Follow, Post, Reply
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

PAGE = 7
TAG = "sea"
HISTORY = 2_000
AT_FIRST = 150
AT_ONCE = 5  # in one commit

# One listing from one snapshot, from a place on.
Turn = Callable[[Snapshot, Position | None], Iterator[tuple[Position, Record]]]


class Bob:
    """What Bob wrote: half of it answers his first post, all of it has a tag, and times go up and down."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self.home = home
        self.person = Person("Bob", seed=2, clock_ms=clock)
        home.publish(Follow(self.person.account))
        ingest(home.store, self.person.incept)
        self.root = self.person.post("root")
        to = Reply(self.root.cid, self.root.cid, self.person.account, self.person.account)
        self.waiting: list[Written] = []
        for number in range(HISTORY):
            post = Post(f"bob {number}", tags=(TAG,), reply=to if number % 2 else None)
            self.waiting.append(self.person.write(post, time_ms=clock() - number % 11 * 1_000))
        at_first = self.waiting[: 3 * AT_FIRST : 3]  # with holes that fill up later
        ingest(home.store, self.root.arrival, *arrivals_of(at_first))
        held = {written.cid for written in at_first}
        self.waiting = [written for written in self.waiting if written.cid not in held]
        self._ended = threading.Event()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """From a thread: by turns what is newest and what is oldest, some at once, until the block ends."""
        worker = threading.Thread(target=self._write)
        worker.start()
        try:
            yield
        finally:
            self._ended.set()
            worker.join(30)

    def _write(self) -> None:
        while len(self.waiting) > 2 * AT_ONCE and not self._ended.is_set():
            for part in (slice(-AT_ONCE, None), slice(AT_ONCE)):
                some = self.waiting[part]
                del self.waiting[part]
                ingest(self.home.store, *arrivals_of(some))


def listings(bob: Bob) -> dict[str, Turn]:
    """Everything that is read page by page, by name."""

    def posts(snapshot: Snapshot, before: Position | None) -> Iterator[tuple[Position, Record]]:
        account = snapshot.account(bob.person.account)
        assert account is not None
        return snapshot.posts(account, before)

    return {
        "home": lambda snapshot, before: snapshot.home(before),
        "posts": posts,
        "tag": lambda snapshot, before: snapshot.tagged(TAG, before),
        "thread": lambda snapshot, after: snapshot.thread(bob.root.cid, after),
        "answers": lambda snapshot, after: snapshot.answers(bob.root.cid, after),
    }


def all_at_once(store: Store, turn: Turn) -> list[Cid]:
    with store.snapshot() as snapshot:
        return [record.cid for _, record in turn(snapshot, None)]


def page_by_page(store: Store, turn: Turn) -> list[Cid]:
    """Each page from a snapshot of its own, as people turn them: all that is left between two is the cursor as text."""
    turned: list[Cid] = []
    cursor: str | None = None
    while True:
        with store.snapshot() as snapshot:
            page = list(islice(turn(snapshot, parse_position(cursor) if cursor else None), PAGE))
        if not page:
            return turned
        turned += [record.cid for _, record in page]
        cursor = str(page[-1][0])


def not_deleted(store: Store, cids: list[Cid]) -> list[Cid]:
    with store.snapshot() as snapshot:
        records = [snapshot.record(cid) for cid in cids]
        return [record.cid for record in records if record is not None and not snapshot.is_deleted(record)]


def test_pages_turned_while_others_write_are_whole(home: Home, clock: Clock) -> None:
    bob = Bob(home, clock)
    came: Counter[str] = Counter()
    with bob.writing(), child("tests.support.writer", str(home.store.home), "1", "posts=0") as writer:
        assert writer.line() == "ready"
        writer.say("go")
        writer.line()
        for name, turn in 2 * [*listings(bob).items()]:
            there = all_at_once(home.store, turn)
            turned = page_by_page(home.store, turn)
            there = not_deleted(home.store, there)  # the process takes a post back now and then
            turned = not_deleted(home.store, turned)
            assert len(set(turned)) == len(turned), name
            known = set(there)
            assert [cid for cid in turned if cid in known] == there, name
            came[name] += len(turned) - len(there)
        writer.kill()
    assert came.total() > 0, "nothing came while pages were turned"


def test_one_snapshot_says_the_same_however_long_others_write(home: Home, clock: Clock) -> None:
    bob = Bob(home, clock)
    with home.store.snapshot() as snapshot:
        turns = listings(bob).values()
        before = [[record.cid for _, record in turn(snapshot, None)] for turn in turns]
        with bob.writing():
            while home.store.count_records() < AT_FIRST + 40 * AT_ONCE:
                assert [[record.cid for _, record in turn(snapshot, None)] for turn in turns] == before
        assert [[record.cid for _, record in turn(snapshot, None)] for turn in turns] == before
    assert [all_at_once(home.store, turn) for turn in turns] != before
