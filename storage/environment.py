"""The LMDB environment: opening it, room in its map, and transactions whose errors have names.

Everything kept is in one environment, so one commit makes a record, its log
and its indexes durable together.

The map begins moderate and doubles before it is full, so that a home opens
where address space is short. It moves only while this process has no
transaction; other processes notice when they begin their next one. A home
that cannot be written opens for reading.
"""

import logging
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import lmdb

from unhush.storage import migration
from unhush.storage.errors import HomeInUse, HomeReadOnly, StoreFull, StoreUnreadable
from unhush.storage.gate import Gate
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

log = logging.getLogger(__name__)
T = TypeVar("T")

MIB: Final = 2**20
# The largest map there may be: more than any quota we hand out, and far less than an address has bits for.
MAP_BYTES: Final = 2**40
# A new home's map, and what is added to a file that is there: address space, not disk.
FIRST_MAP_BYTES: Final = 256 * MIB
# The map grows while this much of it, or a quarter, is still unused: no bounded transaction needs as much.
HEAD_ROOM_BYTES: Final = 64 * MIB
# With less than this the next transaction may not fit: it is worth waiting for readers to leave.
NEEDED_BYTES: Final = 16 * MIB
# Pages are read in milliseconds; what takes longer than this is an export or a check.
PATIENCE_S: Final = 10.0
# Two processes that grow in turn make a third look again; more than a few times is no growth any more.
_BEGIN_TRIES: Final = 8
# From the first map to the largest in doublings, and a few to spare.
_GROW_TRIES: Final = 16
# Readers are one per thread and process; a page holds one for milliseconds.
MAX_READERS: Final = 512

# What lmdb says of a disk without room, beside its own classes; a write cut short by a full disk is an "I/O error".
_NO_ROOM: Final = ("No space left", "Input/output error", "File too large", "quota exceeded")
_NO_WRITING: Final = ("Permission denied", "Read-only file system", "Operation not permitted")
_NO_MEMORY: Final = "Cannot allocate memory"


@dataclass(frozen=True, slots=True)
class Room:
    """What the database takes on the disk and how much more it could; ``is_limited`` by its map, not by the disk."""

    file_bytes: int
    growth_bytes: int
    largest_bytes: int
    is_limited: bool


class Environment:
    """One open database. Thread- and process-safe; never use it across ``fork``.

    ``map_bytes`` is the most its map may grow to.
    """

    def __init__(self, path: Path, *, network: str, map_bytes: int = MAP_BYTES) -> None:
        self._path = path
        self._most = map_bytes
        self._dbs: dict[Table, lmdb._Database] = {}
        self._gate = Gate()
        self._writing = threading.Lock()
        self._is_short = False  # a transaction did not fit: the map grows before the next one
        self._lost_map = ""  # why there is no map any more; nothing may be touched then
        self.is_read_only = False
        self._make_folder(path)
        self._env = self._open(path)
        try:
            self._page_bytes = self._env.stat()["psize"]
            if not self.is_read_only:
                self._env.reader_check()  # slots of readers that were killed
            self._open_tables(network)
        except lmdb.Error as exc:
            self._env.close()
            raise StoreUnreadable(f"the database in {path} cannot be read: {exc}") from exc
        except BaseException:
            self._env.close()
            raise

    def _make_folder(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreUnreadable(f"the folder {path} cannot be made: {exc.strerror}") from exc

    # -- opening

    def _open(self, path: Path) -> lmdb.Environment:
        """For writing; else for reading, if the home cannot be written."""
        try:
            return _open_mapped(path, self._first_map())
        except lmdb.Error as exc:
            if not _says(exc, *_NO_WRITING) or not (path / "data.mdb").exists():
                raise _named(exc, path) from exc
            log.info("the home cannot be written and is opened for reading path=%s reason=%s", path, exc)
        self.is_read_only = True
        try:
            return _open_mapped(path, self._first_map(), readonly=True)
        except lmdb.Error as exc:
            if not _says(exc, *_NO_WRITING):
                raise _named(exc, path) from exc
        try:
            # Without a place in the lock file a writer does not see this reader. What it then may read of pages that
            # were used again does not bear the ids it should, and is not shown.
            return _open_mapped(path, self._first_map(), readonly=True, lock=False)
        except lmdb.Error as exc:
            raise _named(exc, path) from exc

    def _first_map(self) -> int:
        held = _file_bytes(self._path)
        return _whole_pages(max(min(max(FIRST_MAP_BYTES, 2 * held), self._limit(held)), held))

    def _open_tables(self, network: str) -> None:
        """In one commit, and only once the home is known to be ours: one we refuse stays as it was."""
        if self.is_read_only:
            self._open_tables_to_read(network)
            return

        # A write transaction even for a home that has its tables: the binding forgets tables opened in a snapshot,
        # so an open waits for the commit of the moment.
        def open_all(txn: Txn) -> None:
            self._dbs[Table.META] = self._env.open_db(Table.META.value, txn=txn.raw)
            migration.check_network(txn, self._path, network)
            version = migration.find_version(txn, self._path)
            for table in Table:
                self._dbs[table] = self._env.open_db(table.value, txn=txn.raw)
            migration.migrate(txn, version)

        self.run(open_all)

    def _open_tables_to_read(self, network: str) -> None:
        """A snapshot's tables stay open if the environment itself is read-only."""
        try:
            self._dbs[Table.META] = self._env.open_db(Table.META.value, create=False)
            with self.read() as txn:
                migration.check_network(txn, self._path, network)
                migration.check_is_current(migration.find_version(txn, self._path), self._path)
            for table in Table:
                self._dbs[table] = self._env.open_db(table.value, create=False)
        except (lmdb.NotFoundError, lmdb.ReadonlyError) as exc:
            raise HomeReadOnly(f"the database in {self._path} is not complete, and it cannot be written here") from exc

    def close(self) -> None:
        self._env.close()

    # -- transactions

    @contextmanager
    def read(self) -> Iterator[Txn]:
        """A snapshot: what is read inside does not change under the reader."""
        try:
            raw, place = self._begin(is_write=False)
            try:
                with raw:
                    yield Txn(raw, self._dbs)
            finally:
                self._gate.leave(place)
        except lmdb.Error as exc:
            raise StoreUnreadable(f"the database cannot be read: {exc}") from exc

    @contextmanager
    def write(self) -> Iterator[Txn]:
        """One writer at a time, in all threads and processes; leaving the block is durable or raises.

        There is room for a bounded transaction; one without a bound goes through ``run``.
        """
        if self.is_read_only:
            raise HomeReadOnly(f"{self._path.parent} cannot be written here; nothing of this was stored")
        try:
            with self._writing:
                self._make_room()
                raw, place = self._begin(is_write=True)
                try:
                    with raw:
                        txn = Txn(raw, self._dbs)
                        yield txn
                        txn.flush()
                finally:
                    self._gate.leave(place)
        except lmdb.MapFullError as exc:
            self._is_short = True
            raise StoreFull(self._why_full()) from exc
        except lmdb.DiskError as exc:
            raise StoreFull(f"the disk refused a write; nothing of this was stored: {exc}") from exc
        except lmdb.Error as exc:
            if _says(exc, *_NO_ROOM):
                raise StoreFull(f"the disk refused a write; nothing of this was stored: {exc}") from exc
            raise StoreUnreadable(f"the database cannot be written; nothing of this was stored: {exc}") from exc

    def run(self, work: Callable[[Txn], T]) -> T:
        """Do ``work`` in one transaction of any size: if the map is too small, it grows, and all begins again."""
        for _ in range(_GROW_TRIES):
            before = self._env.info()["map_size"]
            try:
                with self.write() as txn:
                    return work(txn)
            except StoreFull as exc:
                if not isinstance(exc.__cause__, lmdb.MapFullError):
                    raise
                self._make_room()
                if self._env.info()["map_size"] <= before:
                    raise
        raise StoreFull(self._why_full())

    def copy(self, target: Path) -> None:
        """Write a compact copy of the newest snapshot into the folder ``target``, while others read and write."""
        place = self._gate.enter()
        try:
            self._check_map()
            self._env.copy(str(target), compact=True)
        except lmdb.Error as exc:
            if _says(exc, *_NO_ROOM):
                raise StoreFull(f"there is no room for a copy in {target}: {exc}") from exc
            raise StoreUnreadable(f"the database cannot be copied: {exc}") from exc
        finally:
            self._gate.leave(place)

    def measure(self) -> Room:
        """How far the database can still grow."""
        info = self._env.info()
        used = (info["last_pgno"] + 1) * self._page_bytes
        try:
            disk = os.statvfs(self._path)
        except OSError as exc:
            raise StoreUnreadable(f"the disk of {self._path} cannot be asked for its room: {exc.strerror}") from exc
        held = _file_bytes(self._path)
        on_disk = disk.f_bavail * disk.f_frsize + max(0, held - used)
        in_map = max(0, self._most - used)
        largest = min(self._most, disk.f_blocks * disk.f_frsize)
        return Room(held, min(on_disk, in_map), largest, is_limited=in_map <= on_disk)

    def free_bytes(self, txn: Txn) -> int:
        """What of the file no table uses, the list of such pages included: written again before the file grows."""
        used = 2 + self._env.stat()["leaf_pages"] + sum(txn.count_pages(table) for table in Table)
        return max(0, self._env.info()["last_pgno"] + 1 - used) * self._page_bytes

    def oldest_reader(self) -> int | None:
        """The transaction of the oldest snapshot open in any process; None if there is none."""
        rows = [line.split() for line in str(self._env.readers()).splitlines()[1:]]
        return min((int(row[2]) for row in rows if len(row) == 3 and row[2].isdigit()), default=None)

    @property
    def folder(self) -> Path:
        return self._path

    def _begin(self, *, is_write: bool) -> tuple[lmdb.Transaction, int]:
        """A transaction and its place in the gate; follows the map if another process made it larger."""
        for _ in range(_BEGIN_TRIES):
            place = self._gate.enter()
            try:
                if self._lost_map:
                    self._check_map()
                return self._env.begin(write=is_write), place
            except lmdb.MapResizedError:
                self._gate.leave(place)
            except BaseException:
                self._gate.leave(place)
                raise
            self._follow()
        raise StoreUnreadable("the database grows faster than it can be read")

    # -- the map

    def _make_room(self) -> None:
        """Grow the map ahead of need; without room for that, what is free in it is used up."""
        self._check_map()
        info = self._env.info()
        size, used = info["map_size"], (info["last_pgno"] + 1) * self._page_bytes
        unused = size - used
        if unused >= max(HEAD_ROOM_BYTES, size // 4) and not self._is_short:
            return
        wanted = _whole_pages(min(2 * size, self._limit(max(used, _file_bytes(self._path)))))
        if wanted <= size:
            return
        is_pressing = self._is_short or unused < NEEDED_BYTES
        with self._gate.alone(PATIENCE_S if is_pressing else 0.0) as is_alone:
            if is_alone and _has_address_space(wanted):
                self._remap(wanted)
                self._is_short = False

    def _follow(self) -> None:
        """Map as much as another process made the database."""
        with self._gate.alone(PATIENCE_S) as is_alone:
            if not is_alone:
                raise StoreUnreadable("the database grew, and a long reader keeps this process from following; again")
            held = _file_bytes(self._path)
            if not _has_address_space(2 * held):
                raise StoreUnreadable(f"the database grew to {held} bytes, for which there is no address space")
            self._remap(0)

    def _remap(self, size: int) -> None:
        try:
            self._env.set_mapsize(size)
        except lmdb.Error as exc:
            self._lost_map = str(exc)  # the old map is gone by then: whoever reads on would end the process
            raise StoreUnreadable(f"the database could not be mapped again: {exc}") from exc
        log.debug("map size=%d", self._env.info()["map_size"])

    def _check_map(self) -> None:
        if self._lost_map:
            raise StoreUnreadable(f"the database has no map any more; open it again: {self._lost_map}")

    def _limit(self, held: int) -> int:
        """How far the map may grow: what the disk can hold, and some, so that the disk itself says no."""
        try:
            disk = os.statvfs(self._path)
        except OSError:
            return self._most
        return min(self._most, held + disk.f_bavail * disk.f_frsize + HEAD_ROOM_BYTES)

    def _why_full(self) -> str:
        if self._env.info()["map_size"] + mmap.PAGESIZE > self._most:
            return "the database has reached its largest size; nothing of this was stored"
        return "the database has no room to grow now; nothing of this was stored"


def _open_mapped(path: Path, map_bytes: int, **how: Any) -> lmdb.Environment:
    """Open; with a map as small as the file, if there is no address space for more."""
    # lib_version=0 pins the 0.9 file format; sync and metasync stay on: what is acknowledged is on disk.
    settings: dict[str, Any] = {
        "max_dbs": len(Table) + 8,
        "max_readers": MAX_READERS,
        "mode": 0o600,  # petnames and contacts are nobody else's business
        "lib_version": 0,
        **how,
    }
    try:
        return lmdb.open(str(path), map_size=map_bytes, **settings)
    except lmdb.Error as exc:
        if not isinstance(exc, lmdb.MemoryError) and not _says(exc, _NO_MEMORY):
            raise
    return lmdb.open(str(path), map_size=_whole_pages(_file_bytes(path) + NEEDED_BYTES), **settings)


def _named(exc: lmdb.Error, path: Path) -> StoreUnreadable | HomeInUse:
    if "already open" in str(exc):
        return HomeInUse(f"{path} is already open in this process; share one Node")
    return StoreUnreadable(f"the database in {path} cannot be opened: {exc}")


def _says(exc: lmdb.Error, *words: str) -> bool:
    return any(each in str(exc) for each in words)


def _has_address_space(size: int) -> bool:
    """Whether there is room for such a map beside the one there is: to try it on the database could lose that."""
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ).close()
    except (OSError, OverflowError, ValueError):
        return False
    return True


def _file_bytes(path: Path) -> int:
    try:
        return (path / "data.mdb").stat().st_size
    except OSError:
        return 0


def _whole_pages(size: int) -> int:
    return max(-(-size // mmap.PAGESIZE) * mmap.PAGESIZE, mmap.PAGESIZE)
