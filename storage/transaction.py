"""One transaction over the tables, small enough to be read in one go."""

from collections.abc import Iterator
from typing import Any, Final, cast

import lmdb

from unhush.storage.schema import Table

# Rows of one table that wait in memory: more gain nothing, and a rebuild would gather everything there is.
_MOST_GATHERED: Final = 50_000
# Scanned again for nearly every row that is put: nothing would be gathered.
_AT_ONCE: Final = frozenset((Table.RUNS,))


class Txn:
    """A transaction over the tables; writing methods work only inside ``Environment.write``.

    What is put is gathered and goes to a table sorted, when the table is scanned or the transaction ends: several
    times faster than one by one, and pages that are appended to fill up. ``memo`` is for what is worth remembering
    until the transaction ends.
    """

    __slots__ = ("_dbs", "_gathered", "memo", "raw")

    def __init__(self, raw: lmdb.Transaction, dbs: dict[Table, lmdb._Database]) -> None:
        self.raw = raw
        self.memo: dict[object, Any] = {}
        self._dbs = dbs
        self._gathered: dict[Table, dict[bytes, bytes]] = {}

    def get(self, table: Table, key: bytes) -> bytes | None:
        gathered = self._gathered.get(table)
        if gathered:
            value = gathered.get(key)
            if value is not None:
                return value
        return cast("bytes | None", self.raw.get(key, db=self._dbs[table]))

    def get_many(self, table: Table, keys: list[bytes]) -> dict[bytes, bytes]:
        """The rows there are of these, in one go."""
        self._flush(table)
        with self.raw.cursor(self._dbs[table]) as cursor:
            return dict(cast("list[tuple[bytes, bytes]]", cursor.getmulti(keys)))

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        gathered = self._gathered.get(table)
        if gathered is None:
            if table in _AT_ONCE:
                self.raw.put(key, value, db=self._dbs[table])
            else:
                self._gathered[table] = {key: value}
            return
        gathered[key] = value
        if len(gathered) >= _MOST_GATHERED:
            self._flush(table)

    def delete(self, table: Table, key: bytes) -> bool:
        gathered = self._gathered.get(table)
        was_gathered = gathered is not None and gathered.pop(key, None) is not None
        return bool(self.raw.delete(key, db=self._dbs[table])) or was_gathered

    def clear(self, table: Table) -> None:
        """Drop every row of a table."""
        self._gathered.pop(table, None)
        self.memo.clear()
        self.raw.drop(self._dbs[table], delete=False)

    def flush(self) -> None:
        """Write what was gathered; the end of a transaction does it."""
        for table in list(self._gathered):
            self._flush(table)

    def _flush(self, table: Table) -> None:
        gathered = self._gathered.pop(table, None)
        if not gathered:
            return
        items = sorted(gathered.items())
        with self.raw.cursor(self._dbs[table]) as cursor:
            # Above all that is there, pages are filled instead of split in half.
            is_above = not cursor.last() or cast("bytes", cursor.key()) < items[0][0]
            cursor.putmulti(items, append=is_above)

    def database(self, table: Table) -> lmdb._Database:
        """What the binding calls a table."""
        return self._dbs[table]

    def count_pages(self, table: Table) -> int:
        """Pages of the file that a table takes."""
        self._flush(table)
        stat = self.raw.stat(self._dbs[table])
        return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

    def count(self, table: Table) -> int:
        self._flush(table)
        return int(self.raw.stat(self._dbs[table])["entries"])

    def last(self, table: Table) -> tuple[bytes, bytes] | None:
        self._flush(table)
        with self.raw.cursor(self._dbs[table]) as cursor:
            return cast("tuple[bytes, bytes]", cursor.item()) if cursor.last() else None

    def has(self, table: Table, prefix: bytes) -> bool:
        """Whether any key begins with ``prefix``; cheaper than a scan that ends at once."""
        if table in self._gathered:
            self._flush(table)
        with self.raw.cursor(self._dbs[table]) as cursor:
            return bool(cursor.set_range(prefix)) and cast("bytes", cursor.key()).startswith(prefix)

    def around(
        self, table: Table, prefix: bytes, key: bytes
    ) -> tuple[tuple[bytes, bytes] | None, tuple[bytes, bytes] | None]:
        """The rows with ``prefix`` next to a place: the last below ``key``, and the first at or above it."""
        self._flush(table)
        with self.raw.cursor(self._dbs[table]) as cursor:
            above = cursor.item() if cursor.set_range(key) else None
            below = cursor.item() if (cursor.prev() if above is not None else cursor.last()) else None
        return _with(prefix, below), _with(prefix, above)

    def scan(self, table: Table, prefix: bytes = b"", start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Items whose key has ``prefix``, upwards from ``start`` (inclusive)."""
        self._flush(table)
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
        self._flush(table)
        bound = before if before is not None else _after(prefix)
        with self.raw.cursor(self._dbs[table]) as cursor:
            if not (cursor.prev() if bound is not None and cursor.set_range(bound) else cursor.last()):
                return
            for key, value in cast("Iterator[tuple[bytes, bytes]]", cursor.iterprev()):
                if not key.startswith(prefix):
                    return
                yield key, value


def _with(prefix: bytes, item: object) -> tuple[bytes, bytes] | None:
    found = cast("tuple[bytes, bytes] | None", item)
    return found if found is not None and found[0].startswith(prefix) else None


def _after(prefix: bytes) -> bytes | None:
    """The lowest key above everything that starts with ``prefix``."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
