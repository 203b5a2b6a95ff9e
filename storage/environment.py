"""The LMDB environment: opening it, and transactions whose errors have names.

Everything kept is in one environment, so one commit makes a record, its log
and its indexes durable together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from unhush.storage.errors import HomeInUse, StoreFull, StoreUnreadable
from unhush.storage.schema import SCHEMA_VERSION, Table
from unhush.storage.transaction import Txn

# Address space, not disk: the file grows with what is stored. Larger than any quota we hand out.
MAP_BYTES: Final = 64 * 2**30
# Readers are one per thread and process; a page holds one for milliseconds.
MAX_READERS: Final = 512

# What lmdb says of a disk without room, beside its own classes; a write cut short by a full disk is an "I/O error".
_NO_ROOM: Final = ("No space left", "Input/output error", "File too large", "quota exceeded")


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
                txn = Txn(raw, self._dbs)
                yield txn
                txn.flush()
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
