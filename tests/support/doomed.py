"""A process that ends itself by SIGKILL at a named place: ``HOME SEED PLACE TIMES``.

It says ``own CID`` and ``theirs CID`` for what the store has acknowledged, as
``writer.py`` does, and ``done`` if what it does was done before it came to the
place for the ``TIMES``-th time.
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.support.breaking import after_each, before_each, die
from tests.support.people import NETWORK, Person, publisher_of
from tests.support.writer import now_ms, publish, say, take_in

from unhush.storage import backup, compacting, environment, indexes
from unhush.storage.environment import MIB, Environment
from unhush.storage.kinds import Delete, Post
from unhush.storage.news import News
from unhush.storage.pages import PageFile
from unhush.storage.room import erasing
from unhush.storage.store import Store
from unhush.storage.transaction import Txn

# A commit lasts about as long; what comes later than that is after it.
COMMIT_S: Final = 0.004


def die_soon() -> None:
    """At some moment of the commit that begins now; a thread of its own, for LMDB lets others run meanwhile."""
    moment = time.monotonic() + Random().random() * COMMIT_S

    def wait_and_die() -> None:
        while time.monotonic() < moment:
            pass
        die()

    threading.Thread(target=wait_and_die, daemon=True).start()


def open_store(home: Path) -> Store:
    return Store(home, network=NETWORK, clock_ms=now_ms)


def write_and_take_in(home: Path, seed: int) -> None:
    stranger = Person("Bob", int(time.time_ns()) % 2**32, clock_ms=now_ms)
    with open_store(home) as store:
        for own, theirs in zip(publish(store, seed, 0, stranger), take_in(store, 0, stranger), strict=True):
            say([own, theirs])


def outgrow_the_map(home: Path, seed: int) -> None:
    """With a map that is as small as it may be."""
    environment.FIRST_MAP_BYTES = environment.HEAD_ROOM_BYTES = environment.NEEDED_BYTES = MIB  # type: ignore[misc]
    publisher = publisher_of(Person("Ann", seed), now_ms, seed=time.time_ns())
    with open_store(home) as store:
        for number in count():
            records = store.publish(publisher, *(Post(f"{number} " + "x" * 40_000) for _ in range(3)))
            say(f"own {record.cid}" for record in records)


def rebuild(home: Path, _seed: int) -> None:
    with open_store(home) as store:
        store.rebuild_indexes()


def collect(home: Path, seed: int) -> None:
    """Posts that were deleted a moment ago, which do not wait if their author says so."""
    publisher = publisher_of(Person("Ann", seed), now_ms, seed=time.time_ns())
    with open_store(home) as store:
        posts = store.publish(publisher, *(Post("x" * (number % 4 + 1) * 900) for number in range(20)))
        deletes = store.publish(publisher, *(Delete(post.cid) for post in posts))
        say(f"own {record.cid}" for record in (*posts, *deletes))
        store.collect(is_now=True)


def back_up(home: Path, _seed: int) -> None:
    with open_store(home) as store:
        store.backup(home.parent / "backup.tar", now_ms=now_ms())


def compact(home: Path, _seed: int) -> None:
    compacting.compact(home / "store")


def migrate(home: Path, _seed: int) -> None:
    with open_store(home):
        pass


@dataclass(frozen=True)
class Place:
    """Where the end comes, and what has to be done to come there."""

    act: Callable[[Path, int], None]
    when: Callable[[Any, str, Callable[[], None]], AbstractContextManager[None]]
    owner: Any
    name: str
    often: int = 30  # it comes there at least as many times
    end: Callable[[], None] = die


PLACES: Final = {
    "before a record is indexed": Place(write_and_take_in, before_each, indexes, "index"),
    "after a record is indexed": Place(write_and_take_in, after_each, indexes, "index"),
    "while rows go to their tables": Place(write_and_take_in, after_each, Txn, "_flush", often=200),
    "before the commit": Place(write_and_take_in, after_each, Txn, "flush"),
    "in the middle of the commit": Place(write_and_take_in, after_each, Txn, "flush", end=die_soon),
    "after the commit, before the news": Place(write_and_take_in, before_each, News, "announce"),
    "before the map grows": Place(outgrow_the_map, before_each, Environment, "_remap", often=4),
    "after the map grew": Place(outgrow_the_map, after_each, Environment, "_remap", often=4),
    "while indexes are rebuilt": Place(rebuild, before_each, indexes, "index"),
    "after indexes are rebuilt, before the commit": Place(rebuild, before_each, Txn, "flush", often=1),
    "while bodies are erased": Place(collect, after_each, erasing, "erase", often=20),
    "while erased bytes are overwritten": Place(collect, after_each, PageFile, "_page", often=60),
    "when the database is copied for a backup": Place(back_up, after_each, Environment, "copy", often=1),
    "before a backup has its name": Place(back_up, before_each, backup, "_give_name", often=1),
    "after a backup has its name": Place(back_up, after_each, backup, "_give_name", often=1),
    "before a compact copy is used": Place(compact, before_each, compacting, "sync_file", often=1),
    "after a compact copy is used": Place(compact, before_each, compacting, "sync_folder", often=1),
}

MIGRATING: Final = {
    "while folds are filled for the first time": Place(migrate, before_each, indexes, "index", often=5),
    "after a migration, before the commit": Place(migrate, before_each, Txn, "flush", often=1),
}


def main() -> None:
    home, seed, where, times = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    place = (PLACES | MIGRATING)[where]
    left = times

    def look() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            place.end()

    with place.when(place.owner, place.name, look):
        place.act(home, seed)
    say(["done"])


if __name__ == "__main__":
    main()
