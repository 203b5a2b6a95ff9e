"""The LMDB environment: its tables, its version, and one small transaction type.

Everything kept is in one environment, so one commit makes a record, its log
and its indexes durable together. Table formats are declared here and nowhere
else; numbers in keys are big-endian, so that byte order is number order.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Final, cast

import lmdb

from unhush.storage.errors import HomeInUse, StoreFull, StoreUnreadable

SCHEMA_VERSION: Final = 1

# Address space, not disk: the file grows with what is stored. Larger than any quota we hand out.
MAP_BYTES: Final = 64 * 2**30
# Readers are one per thread and process; a page holds one for milliseconds.
MAX_READERS: Final = 512

# What lmdb says of a disk without room, beside its own classes; a write cut short by a full disk is an "I/O error".
_NO_ROOM: Final = ("No space left", "Input/output error", "File too large", "quota exceeded")


class Table(Enum):
    """Every table: key → value. Digests are 32 bytes, numbers big-endian."""

    META = b"meta"  # text → bytes
    JOURNAL = b"journal"  # aid u64 → row (records.py)
    IDS = b"ids"  # entry digest → aid
    ACCOUNTS = b"accounts"  # account digest → account number u32 + state (accounts.py)
    OPERATIONS = b"operations"  # account digest + operation digest → aid
    LOG_NUMBERS = b"log-numbers"  # account digest + key → log number u32
    LOGS = b"logs"  # log number → account digest + key
    RUNS = b"runs"  # log number + lowest seq of a held run u64 → highest seq u64
    SLOTS = b"slots"  # log number + seq → aid + entry digest
    FORKS = b"forks"  # log number + seq + entry digest → aid
    PROVEN = b"proven"  # log number → lowest seq u64 that held links reach from the log's cut
    ROOTS = b"roots"  # root key 0 + account digest → nothing
    BODILESS = b"bodiless"  # aid → body state u8
    POSTS = b"posts"  # account number + position (shown time u64 ms + seq + aid) → nothing
    HOME = b"home"  # position → account number
    THREADS = b"threads"  # root digest + position → nothing
    FOLLOWS = b"follows"  # account number + who digest + aid → nothing
    PROFILES = b"profiles"  # account number + time u64 + entry digest → aid
    DELETED = b"deleted"  # account digest + target digest + aid of the delete → nothing
    PETNAMES = b"petnames"  # account digest → text
    CONTACTS = b"contacts"  # multiaddr text → contact (contacts.py)


class Txn:
    """A transaction over the tables; writing methods work only inside ``Environment.write``.

    Casts say what lmdb does when a transaction is begun without ``buffers``: it gives bytes.
    """

    __slots__ = ("_dbs", "raw")

    def __init__(self, raw: lmdb.Transaction, dbs: dict[Table, lmdb._Database]) -> None:
        self.raw = raw
        self._dbs = dbs

    def get(self, table: Table, key: bytes) -> bytes | None:
        return cast("bytes | None", self.raw.get(key, db=self._dbs[table]))

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self.raw.put(key, value, db=self._dbs[table])

    def append(self, table: Table, key: bytes, value: bytes) -> None:
        """As ``put`` for a key above all others: pages fill instead of splitting in half."""
        if not self.raw.put(key, value, append=True, db=self._dbs[table]):
            raise RuntimeError(f"{table.name} was appended out of order")  # lmdb only says False, and stores nothing

    def delete(self, table: Table, key: bytes) -> bool:
        return bool(self.raw.delete(key, db=self._dbs[table]))

    def count(self, table: Table) -> int:
        return int(self.raw.stat(self._dbs[table])["entries"])

    def last(self, table: Table) -> tuple[bytes, bytes] | None:
        with self.raw.cursor(self._dbs[table]) as cursor:
            return cast("tuple[bytes, bytes]", cursor.item()) if cursor.last() else None

    def scan(self, table: Table, prefix: bytes = b"", start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Items whose key has ``prefix``, upwards from ``start`` (inclusive)."""
        with self.raw.cursor(self._dbs[table]) as cursor:
            if not cursor.set_range(start if start is not None else prefix):
                return
            for key, value in cast("Iterator[tuple[bytes, bytes]]", cursor):
                if not key.startswith(prefix):
                    return
                yield key, value

    def scan_down(
        self, table: Table, prefix: bytes = b"", before: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Items whose key has ``prefix``, downwards, strictly below ``before``."""
        bound = before if before is not None else _after(prefix)
        with self.raw.cursor(self._dbs[table]) as cursor:
            placed = cursor.prev() if bound is not None and cursor.set_range(bound) else cursor.last()
            while placed:
                key, value = cast("tuple[bytes, bytes]", cursor.item())
                if not key.startswith(prefix):
                    return
                yield key, value
                placed = cursor.prev()


def _after(prefix: bytes) -> bytes | None:
    """The lowest key above everything that starts with ``prefix``."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


class Environment:
    """One open database. Thread- and process-safe; never use it across ``fork``."""

    def __init__(self, path: Path, *, network: str, map_bytes: int = MAP_BYTES) -> None:
        self._dbs: dict[Table, lmdb._Database] = {}
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreUnreadable(f"the folder {path} cannot be made: {exc.strerror}") from exc
        try:
            # lib_version=0 pins the 0.9 file format; sync and metasync stay on: what is acknowledged is on disk.
            self._env = lmdb.open(
                str(path),
                map_size=map_bytes,
                max_dbs=len(Table) + 8,
                max_readers=MAX_READERS,
                mode=0o600,  # petnames and contacts are nobody else's business
                lib_version=0,
            )
        except lmdb.Error as exc:
            if "already open" in str(exc):
                raise HomeInUse(f"{path} is already open in this process; share one Node") from exc
            raise StoreUnreadable(f"the database in {path} cannot be opened: {exc}") from exc
        try:
            self._env.reader_check()  # slots of readers that were killed
            self._open_tables(path, network)
        except lmdb.Error as exc:
            self._env.close()
            raise StoreUnreadable(f"the database in {path} cannot be read: {exc}") from exc
        except BaseException:
            self._env.close()
            raise

    def _open_tables(self, path: Path, network: str) -> None:
        """In one commit, and only once the home is known to be ours: one we refuse stays as it was."""
        # A write transaction even for a home that has its tables: the binding forgets tables opened in a snapshot,
        # so an open waits for the commit of the moment.
        with self.write() as txn:
            self._dbs[Table.META] = self._env.open_db(Table.META.value, txn=txn.raw)
            _check_identity(txn, path, network)
            for table in Table:
                self._dbs[table] = self._env.open_db(table.value, txn=txn.raw)

    def close(self) -> None:
        self._env.close()

    @contextmanager
    def read(self) -> Iterator[Txn]:
        """A snapshot: what is read inside does not change under the reader."""
        try:
            with self._env.begin() as raw:
                yield Txn(raw, self._dbs)
        except lmdb.Error as exc:
            raise StoreUnreadable(f"the database cannot be read: {exc}") from exc

    @contextmanager
    def write(self) -> Iterator[Txn]:
        """One writer at a time, in all threads and processes; leaving the block is durable or raises."""
        try:
            with self._env.begin(write=True) as raw:
                yield Txn(raw, self._dbs)
        except lmdb.MapFullError as exc:
            raise StoreFull("the database has reached its largest size; nothing of this was stored") from exc
        except lmdb.DiskError as exc:
            raise StoreFull(f"the disk refused a write; nothing of this was stored: {exc}") from exc
        except lmdb.Error as exc:
            if any(words in str(exc) for words in _NO_ROOM):
                raise StoreFull(f"the disk refused a write; nothing of this was stored: {exc}") from exc
            raise


def _check_identity(txn: Txn, path: Path, network: str) -> None:
    for name, value in (("schema", str(SCHEMA_VERSION).encode()), ("network", network.encode())):
        found = txn.get(Table.META, name.encode())
        if found is None:
            txn.put(Table.META, name.encode(), value)
        elif found != value:
            raise StoreUnreadable(
                f"the database in {path} has {name} {found.decode(errors='replace')!r}, "
                f"this program works with {value.decode()!r}"
            )
