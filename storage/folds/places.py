"""Rows of accounts: who did something to a record or an account, each once, in an order of this home.

Such rows end in the number of the account and the aid of its record, so two
devices of one person may both have done it, and both must take it back to end
it. The order is that in which accounts became known here: it says nothing, and
nothing that comes later moves what was read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from unhush.storage.errors import NotFound
from unhush.storage.logs import pack_u32
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_CURSOR: Final = re.compile(r"[0-9]{1,10}")
_MOST: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a listing of accounts goes on; its text form is the cursor."""

    account: int

    def __str__(self) -> str:
        return str(self.account)


def parse_place(text: str) -> Place:
    """Read a cursor; raises ``NotFound`` for anything that is none."""
    if not _CURSOR.fullmatch(text) or int(text) > _MOST:
        raise NotFound(f"not a place in a list of accounts: {text[:60]!r}")
    return Place(int(text))


def is_named_by(txn: Txn, table: Table, prefix: bytes, account: bytes) -> bool:
    """Whether any record of an account stands in such a row."""
    return txn.has(table, prefix + account)


def iter_places(txn: Txn, table: Table, prefix: bytes, after: Place | None) -> Iterator[tuple[Place, int]]:
    """Each account once, with the aid of its first record, strictly after a place."""
    if after is not None and after.account >= _MOST:
        return
    start = prefix + pack_u32(after.account + 1) if after is not None else None
    before = b""
    for key, _ in txn.scan(table, prefix, start=start):
        account = key[len(prefix) : len(prefix) + 4]
        if account != before:
            yield Place(int.from_bytes(account, "big")), int.from_bytes(key[-8:], "big")
        before = account


def iter_aids(txn: Txn, table: Table, prefix: bytes) -> Iterator[int]:
    """The aid of every record in such rows."""
    for key, _ in txn.scan(table, prefix):
        yield int.from_bytes(key[-8:], "big")
