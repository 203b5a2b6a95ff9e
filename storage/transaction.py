"""One transaction over the tables, small enough to be read in one go."""

from collections.abc import Iterator
from typing import cast

import lmdb

from unhush.storage.schema import Table


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
