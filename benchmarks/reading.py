"""Reading from a large store: the newest of home, threads, search; warm, and the first time after ingest."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from crowd import Crowd, Said, load_crowd, long_thread, vocabulary
from ingesting import Spent, fill, folder, found_home, open_store
from rivals import Sqlite, judge

from unhush.storage.arrivals import Batch
from unhush.storage.fulltext.query import parse_query
from unhush.storage.fulltext.searching import Wanted
from unhush.storage.indexes import find_body
from unhush.storage.kinds import Follow
from unhush.storage.snapshot import take
from unhush.storage.store import Store

PAGE: Final = 50
FOLLOWS: Final = 50, 500, 5_000
FOLLOWED_AT_ONCE: Final = 250  # in one commit, so that no write transaction gets too large
CALLS: Final = 3_000
THREADS: Final = 200
SEARCHES: Final = 400


@dataclass(frozen=True)
class Times:
    """Milliseconds of many calls, and the CPU part of them: cores here are shared."""

    p50: float
    p95: float
    p99: float
    worst: float
    calls: int
    cpu_p50: float = 0.0
    cpu_p99: float = 0.0


def times(work: Callable[[], object], calls: int) -> Times:
    work()
    spent, cpu = [], []
    for _ in range(calls):
        cpu_began = time.thread_time()
        spent.append(_once(work))
        cpu.append((time.thread_time() - cpu_began) * 1e3)
    return summary(spent, cpu)


def summary(spent: list[float], cpu: list[float] | None = None) -> Times:
    cuts = statistics.quantiles(spent if len(spent) > 1 else spent * 2, n=100, method="inclusive")
    cpu_cuts = statistics.quantiles(cpu, n=100, method="inclusive") if cpu else [0.0] * 99
    return Times(cuts[49], cuts[94], cuts[98], max(spent), len(spent), cpu_cuts[49], cpu_cuts[98])


def _once(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def newest(store: Store) -> int:
    """What every page begins with: a snapshot, and the newest records as they are stored."""
    with store.snapshot() as snapshot:
        return len(take(snapshot.home(), PAGE)[0])


def newest_read(store: Store) -> int:
    """As ``newest``, with entries and bodies parsed into values."""
    with store.snapshot() as snapshot:
        return sum(find_body(record) is not None for record in take(snapshot.home(), PAGE)[0] if record.entry)


def thread(store: Store, root: Said) -> int:
    with store.snapshot() as snapshot:
        return sum(1 for _ in snapshot.replies(root.cid))


def thread_read(store: Store, root: Said) -> int:
    with store.snapshot() as snapshot:
        return sum(find_body(record) is not None for record in snapshot.replies(root.cid) if record.entry)


@contextmanager
def filled(records: int) -> Iterator[tuple[Store, Any, Crowd, list[Batch]]]:
    """A home that follows nobody yet and holds a crowd of as many accounts as are followed at most.

    The last batches are held back, to see what the first query after one costs.
    """
    crowd = load_crowd(records, accounts=max(FOLLOWS))
    with folder() as home, open_store(home) as store:
        _, signer = found_home(store, crowd, follows=0)
        batches = list(crowd.chained())
        late = min(20, len(batches) // 3)
        fill(store, batches[:-late], wanted_only=False)
        yield store, signer, crowd, [Batch(tuple(items), "bench") for items in batches[-late:]]


def bench_reads(records: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"records": records, "home": {}}
    with filled(records) as (store, signer, crowd, late):
        followed = 0
        for follows in FOLLOWS:
            for low in range(followed, follows, FOLLOWED_AT_ONCE):
                high = min(low + FOLLOWED_AT_ONCE, follows)
                store.publish(signer, *(Follow(each.account) for each in crowd.authors[low:high]))
            followed = follows
            assert newest(store) == newest_read(store) == PAGE
            figures["home"][follows] = {
                "stored": times(lambda: newest(store), CALLS),
                "read": times(lambda: newest_read(store), CALLS // 5),
            }
        first = []
        last = late.pop()
        for batch in late:
            store.ingest(batch)
            first.append(_once(lambda: newest(store)))
        figures["first after ingest"] = summary(first)
        figures["later"] = times(lambda: newest(store), CALLS)
        root = long_thread()
        figures["replies"] = thread(store, root)
        figures["thread"] = {
            "stored": times(lambda: thread(store, root), THREADS),
            "read": times(lambda: thread_read(store, root), THREADS),
        }
        figures["search"] = bench_search(store, last)
    return figures


def bench_search(store: Store, batch: Batch) -> dict[str, Any]:
    """Full text: how long it takes to index, and to find the newest page, then right after ``batch`` came in."""
    with Spent().measure(0) as spent:
        assert store.fulltext.catch_up(3_600)
    found: dict[str, Any] = {
        "feeding": spent,
        "bytes": store.fulltext.size_bytes(),
        "sorts": {},
    }
    queries = queries_by_sort()
    for sort, texts in queries.items():
        search(store, texts[0])
        spent_ms, hits = zip(*(_timed_search(store, text) for text in texts), strict=True)
        found["sorts"][sort] = {"times": summary(list(spent_ms)), "hits": statistics.median(hits)}
    texts = [text for each in queries.values() for text in each]
    store.ingest(batch)
    found["before it is indexed"] = summary([_timed_search(store, text)[0] for text in texts])
    store.fulltext.catch_up(60)
    found["first after it is indexed"] = _timed_search(store, texts[0])[0]
    return found


def search(store: Store, text: str, *, ranked: bool = False) -> int:
    with store.snapshot() as snapshot:
        return len(snapshot.search(store.fulltext, Wanted(parse_query(text)), limit=PAGE, ranked=ranked).records)


def _timed_search(store: Store, text: str) -> tuple[float, int]:
    began = time.perf_counter()
    hits = search(store, text)
    return (time.perf_counter() - began) * 1e3, hits


def queries_by_sort() -> dict[str, list[str]]:
    """Searches as people make them: words used often and seldom, several at once, phrases, beginnings of words."""
    dice = Random(3)
    words, _ = vocabulary()
    often, usual, seldom = words[5:60], words[200:2_000], words[5_000:]
    long = [word for word in usual if len(word) >= 4]
    each = SEARCHES // 5
    return {
        "a word used often": [dice.choice(often) for _ in range(each)],
        "a word used seldom": [dice.choice(seldom) for _ in range(each)],
        "two words": [f"{dice.choice(often)} {dice.choice(usual)}" for _ in range(each)],
        "a phrase": [f'"{dice.choice(often)} {dice.choice(often)}"' for _ in range(each)],
        "the beginning of a word": [f"{dice.choice(long)[:4]}*" for _ in range(each)],
    }


def bench_rival_reads(records: int) -> dict[str, Any]:
    """The same reads from SQLite with the same indexes; everybody is followed."""
    crowd = load_crowd(records, accounts=max(FOLLOWS))
    with folder() as path:
        rival = Sqlite(path)
        rival.begin(crowd)
        for items in crowd.chained():
            rival.store(judge(items, rival.find_successor))
        root = long_thread()
        assert len(rival.newest(PAGE)) == PAGE
        figures = {
            "home": times(lambda: rival.newest(PAGE), CALLS),
            "thread": times(lambda: rival.thread(root.cid.digest[:16]), THREADS),
            "replies": len(rival.thread(root.cid.digest[:16])),
        }
        rival.close()
    return figures
