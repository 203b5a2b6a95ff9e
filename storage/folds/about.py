"""About a record or an account: how many others name it, in one row.

One look tells a page all its numbers, and the writing path that nothing waits
for a record that comes: most have no row. Who puts a row that names something
counts it here only if that row is new, so everything stays a fold over a set.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Of a digest in keys: nobody finds a second block for one, and who makes two of his own alike mixes up his own.
TAIL_BYTES: Final = 16


class Relation(IntEnum):
    """How something is named. Those named often come first: zeros at the end are not stored."""

    ANSWERS = 0
    STRAYS = 1  # answers that name another root than the record they answer
    REACTIONS = 2
    REPOSTS = 3  # accounts
    QUOTES = 4
    FOLLOWERS = 5  # accounts
    LABELS = 6
    EDITS = 7
    DELETES = 8


_ROW: Final = struct.Struct(f">{len(Relation)}I")
_EMPTY: Final = (0,) * len(Relation)


@dataclass(frozen=True, slots=True)
class Counts:
    """What is shown beneath a record or a person; as far as it is known here."""

    answers: int = 0
    reactions: int = 0
    reposts: int = 0
    quotes: int = 0
    followers: int = 0
    labels: int = 0
    edits: int = 0  # of whomever: only those of the post's own account change it


_NOTHING: Final = Counts()


def tail_of(cid: Cid) -> bytes:
    return cid.bytes[4 : 4 + TAIL_BYTES]


def find_about(txn: Txn, tail: bytes) -> tuple[int, ...] | None:
    """Numbers by relation, None if nothing names it."""
    row = txn.get(Table.ABOUT, tail)
    return _ROW.unpack(row.ljust(_ROW.size, b"\x00")) if row is not None else None


def names_delete(row: bytes | None) -> bool:
    """Whether a row, as it is stored, counts a delete: that stands last, and zeros at the end are left out."""
    return row is not None and len(row) > _ROW.size - 4


def count(txn: Txn, tail: bytes, relation: Relation) -> int:
    found = find_about(txn, tail)
    return found[relation] if found is not None else 0


def counts_of(txn: Txn, cid: Cid) -> Counts:
    found = find_about(txn, tail_of(cid))
    if found is None:
        return _NOTHING
    return Counts(
        answers=found[Relation.ANSWERS],
        reactions=found[Relation.REACTIONS],
        reposts=found[Relation.REPOSTS],
        quotes=found[Relation.QUOTES],
        followers=found[Relation.FOLLOWERS],
        labels=found[Relation.LABELS],
        edits=found[Relation.EDITS],
    )


def add(txn: Txn, tail: bytes, relation: Relation, by: int = 1) -> None:
    """Count one more (or with −1 one less) of a relation."""
    numbers = list(find_about(txn, tail) or _EMPTY)
    numbers[relation] += by
    row = _ROW.pack(*numbers).rstrip(b"\x00")
    if row:
        txn.put(Table.ABOUT, tail, row)
    else:
        txn.delete(Table.ABOUT, tail)


def put_naming(txn: Txn, table: Table, key: bytes, tail: bytes, relation: Relation, *, value: bytes = b"") -> bool:
    """Put a row that names something and count it; False if it was there."""
    if txn.get(table, key) is not None:
        return False
    txn.put(table, key, value)
    add(txn, tail, relation)
    return True


def drop_naming(txn: Txn, table: Table, key: bytes, tail: bytes, relation: Relation) -> bool:
    """Take such a row back; False if it was not there."""
    if txn.get(table, key) is None:
        return False
    txn.delete(table, key)
    add(txn, tail, relation, -1)
    return True
