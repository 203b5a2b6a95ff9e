"""Taking a crowd's records into a store: how fast, at what cost of CPU, and how large it is on disk."""

import cProfile
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from crowd import NETWORK, Author, Crowd, author, cache_folder

from unhush.storage.arrivals import Arrival, Batch, Outcome, Status
from unhush.storage.kinds import Follow, Profile
from unhush.storage.publish import Publisher
from unhush.storage.store import Store

T = TypeVar("T")


@dataclass
class Spent:
    """Wall and CPU time of the work alone; what prepares it is not counted."""

    records: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    slowest_s: float = 0.0
    disk_bytes: int = 0

    @contextmanager
    def measure(self, records: int) -> Iterator["Spent"]:
        cpu, wall = cpu_time(), time.perf_counter()
        yield self
        wall = time.perf_counter() - wall
        self.cpu_s += cpu_time() - cpu
        self.wall_s += wall
        self.records += records
        self.slowest_s = max(self.slowest_s, wall)

    def unmeasured(self, source: Iterable[T]) -> Iterator[T]:
        """Take from a source inside what is measured, at no charge."""
        rest = iter(source)
        while True:
            cpu, wall = cpu_time(), time.perf_counter()
            item = next(rest, None)
            self.cpu_s -= cpu_time() - cpu
            self.wall_s -= time.perf_counter() - wall
            if item is None:
                return
            yield item

    @property
    def rate(self) -> float:
        return self.records / self.wall_s

    @property
    def cpu_rate(self) -> float:
        return self.records / self.cpu_s


def cpu_time() -> float:
    """CPU seconds of this process and of its children."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime + sum(map(_child_cpu_s, _children()))


def _children() -> list[str]:
    return [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]


def _child_cpu_s(pid: str) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def folder() -> Iterator[Path]:
    """A place on the disk that is measured, not in memory; ``UNHUSH_BENCH_CACHE`` moves it."""
    path = Path(tempfile.mkdtemp(prefix="run-", dir=cache_folder()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def open_store(home: Path, workers: int = 0) -> Store:
    """A store of the bench network; with ``workers`` processes that check signatures."""
    return Store(home, network=NETWORK, clock_ms=now_ms, verify_workers=workers)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def found_home(store: Store, crowd: Crowd, follows: int | None = None) -> tuple[Author, Publisher]:
    """The home's own account, which follows the crowd (or its first ``follows``), and everybody's inception."""
    me = author(-1)
    signer = Publisher(me.key, network=NETWORK, clock_ms=now_ms, random_bytes=os.urandom)
    store.found_account(signer, me.inception, Profile("home"))
    store.publish(signer, *(Follow(each.account) for each in crowd.authors[:follows]))
    store.ingest(Batch(tuple(crowd.inceptions), "bench", wanted_only=False))
    return me, signer


def fill(store: Store, batches: Iterable[list[Arrival]], *, wanted_only: bool = True, ahead: bool = False) -> Spent:
    """Take everything in; with ``ahead`` the store may look at the next batch while it stores one."""
    spent = Spent()
    prepared = (Batch(tuple(items), "bench", wanted_only=wanted_only) for items in batches)
    if ahead:
        taken_in = store.ingest_all(spent.unmeasured(prepared))
        while True:
            with spent.measure(0):
                outcomes = next(taken_in, None)
            if outcomes is None:
                break
            _check(outcomes)
            spent.records += len(outcomes)
    else:
        for batch in prepared:
            with spent.measure(len(batch.items)):
                outcomes = store.ingest(batch)
            _check(outcomes)
    spent.disk_bytes = taken(store.home / "store")
    return spent


def _check(outcomes: Iterable[Outcome]) -> None:
    odd = next((outcome for outcome in outcomes if outcome.status is not Status.STORED), None)
    assert odd is None, odd


def taken(path: Path) -> int:
    """Bytes on disk of a folder: blocks, not lengths, as LMDB's file may have holes."""
    return sum(file.lstat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def ingest_ours(crowd: Crowd, order: str, workers: int = 0, profiler: cProfile.Profile | None = None) -> Spent:
    """One round: a fresh home, everybody followed, all records in batches of about 1 MiB."""
    with folder() as home, open_store(home, workers) as store:
        found_home(store, crowd)
        with profiler or nullcontext():
            return fill(store, getattr(crowd, order)(), ahead=workers > 0)
