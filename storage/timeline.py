"""Timelines: posts of an account, and the home timeline of the people followed here.

Both are materialised, so a page is one range scan whatever the number of
follows. A position is (shown time, seq, aid): stable under inserts, and a log
whose records share a millisecond stays in the order it was written, in
whichever order its parts arrived.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from unhush.storage.errors import NotFound
from unhush.storage.journal import pack_aid
from unhush.storage.logs import pack_u64
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_CURSOR: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}-[0-9]{1,20}")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a timeline; its text form is the cursor people and pages hand back."""

    shown_at_ms: int
    seq: int
    aid: int

    def pack(self) -> bytes:
        return pack_u64(self.shown_at_ms) + pack_u64(self.seq) + pack_aid(self.aid)

    def __str__(self) -> str:
        return f"{self.shown_at_ms}-{self.seq}-{self.aid}"


def parse_position(text: str) -> Position:
    """Read a cursor; raises ``NotFound`` for anything that is none."""
    if not _CURSOR.fullmatch(text) or max(numbers := [int(part) for part in text.split("-")]) >= 2**64:
        raise NotFound(f"not a place in a timeline: {text[:60]!r}")
    return Position(*numbers)


def position_of(record: Record) -> Position:
    return Position(record.shown_at_ms, record.entry.header.seq, record.aid)


def _unpack(packed: bytes) -> Position:
    return Position(*(int.from_bytes(packed[at : at + 8], "big") for at in (0, 8, 16)))


def put_post(txn: Txn, account: bytes, record: Record, *, is_home: bool) -> None:
    at = position_of(record).pack()
    txn.put(Table.POSTS, account + at, b"")
    if is_home:
        txn.put(Table.HOME, at, account)


def drop_post(txn: Txn, account: bytes, record: Record) -> None:
    at = position_of(record).pack()
    txn.delete(Table.POSTS, account + at)
    txn.delete(Table.HOME, at)


def fill_home(txn: Txn, account: bytes) -> None:
    """Bring everything an account posted into the home timeline (on the first follow)."""
    for key, _ in list(txn.scan(Table.POSTS, account)):
        txn.put(Table.HOME, key[4:], account)


def empty_home(txn: Txn, account: bytes) -> None:
    """Take everything an account posted out of the home timeline (on the last unfollow)."""
    for key, _ in list(txn.scan(Table.POSTS, account)):
        txn.delete(Table.HOME, key[4:])


def iter_home(txn: Txn, before: Position | None) -> Iterator[Position]:
    """Newest first, strictly before a position."""
    for key, _ in txn.scan_down(Table.HOME, before=before.pack() if before else None):
        yield _unpack(key)


def is_in_home(txn: Txn, position: Position) -> bool:
    return txn.get(Table.HOME, position.pack()) is not None


def iter_posts(txn: Txn, account: bytes, before: Position | None) -> Iterator[Position]:
    for key, _ in txn.scan_down(Table.POSTS, account, before=account + before.pack() if before else None):
        yield _unpack(key[4:])


def count_posts(txn: Txn, account: bytes) -> int:
    return sum(1 for _ in txn.scan(Table.POSTS, account))
