"""Timelines: what each account posted, shelf by shelf, and the home timeline of the people followed here.

Both are materialised, so a page is one range scan whatever the number of
follows. A position is (shown time, seq, aid): stable under inserts, and a log
whose records share a millisecond stays in the order it was written, in
whichever order its parts arrived. Several shelves, or several accounts, are
merged while they are read; they share their positions and so their cursors.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from heapq import merge
from itertools import groupby
from typing import Final, NamedTuple

from unhush.storage.errors import NotFound, StoreUnreadable
from unhush.storage.kinds import Post
from unhush.storage.logs import pack_u32
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_CURSOR: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}-[0-9]{1,20}")
_PACKED: Final = struct.Struct(">QQQ")
POSITION_BYTES: Final = _PACKED.size


class Shelf(IntEnum):
    """What of an account can be read by itself. A post stands on one of the first three; with media also on theirs."""

    POSTS = 0
    REPLIES = 1
    ARTICLES = 2
    REPOSTS = 3
    MEDIA = 4


# Each record stands on exactly one of these; what followers see.
MAIN_SHELVES: Final = (Shelf.POSTS, Shelf.REPLIES, Shelf.ARTICLES, Shelf.REPOSTS)
_SHELF_BYTE: Final = {shelf: bytes([shelf]) for shelf in Shelf}


class Position(NamedTuple):
    """A place in a timeline; its text form is the cursor people and pages hand back."""

    shown_at_ms: int
    seq: int
    aid: int

    def pack(self) -> bytes:
        return _PACKED.pack(self.shown_at_ms, self.seq, self.aid)

    def __str__(self) -> str:
        return f"{self.shown_at_ms}-{self.seq}-{self.aid}"


def parse_position(text: str) -> Position:
    """Read a cursor; raises ``NotFound`` for anything that is none."""
    if not _CURSOR.fullmatch(text) or max(numbers := [int(part) for part in text.split("-")]) >= 2**64:
        raise NotFound(f"not a place in a timeline: {text[:60]!r}")
    return Position(*numbers)


def position_of(record: Record) -> Position:
    return Position(record.shown_at_ms, record.entry.header.seq, record.aid)


def pack_position(record: Record) -> bytes:
    """As ``position_of(record).pack()``."""
    header = record.entry.header
    return _PACKED.pack(min(header.time, record.seen_at_ms), header.seq, record.aid)


def unpack_position(packed: bytes) -> Position:
    try:
        return Position._make(_PACKED.unpack(packed))
    except struct.error as exc:
        raise StoreUnreadable("a row of an index is damaged; mend it with: unhush index rebuild") from exc


def aid_at(packed: bytes) -> int:
    """The local number at the end of a packed position."""
    return int.from_bytes(packed[-8:], "big")


def shelf_of(post: Post) -> Shelf:
    if post.reply is not None:
        return Shelf.REPLIES
    return Shelf.ARTICLES if post.title is not None else Shelf.POSTS


# -- writing


def put_on_shelf(txn: Txn, account: bytes, shelf: Shelf, at: bytes, *, is_home: bool, is_new: bool = False) -> None:
    """``account``: its packed number; ``at``: the packed position; ``is_new``: it surely does not stand there yet."""
    name = account + _SHELF_BYTE[shelf]
    key = name + at
    if is_new or txn.get(Table.POSTS, key) is None:
        txn.put(Table.POSTS, key, b"")
        counted = txn.get(Table.SHELF_COUNTS, name)
        txn.put(Table.SHELF_COUNTS, name, pack_u32(int.from_bytes(counted, "big") + 1 if counted else 1))
    if is_home and shelf != Shelf.MEDIA:
        txn.put(Table.HOME, at, account)


def drop_from_shelf(txn: Txn, account: bytes, shelf: Shelf, at: bytes) -> None:
    name = account + _SHELF_BYTE[shelf]
    if txn.get(Table.POSTS, name + at) is None:
        return
    txn.delete(Table.POSTS, name + at)
    left = count_shelf(txn, account, shelf) - 1
    if left:
        txn.put(Table.SHELF_COUNTS, name, pack_u32(left))
    else:
        txn.delete(Table.SHELF_COUNTS, name)
    if shelf != Shelf.MEDIA:
        txn.delete(Table.HOME, at)


def is_on_shelf(txn: Txn, account: bytes, shelf: Shelf, at: bytes) -> bool:
    return txn.get(Table.POSTS, account + _SHELF_BYTE[shelf] + at) is not None


def fill_home(txn: Txn, account: bytes) -> None:
    """Bring everything an account posted into the home timeline (on the first follow)."""
    for shelf in MAIN_SHELVES:
        for key, _ in txn.scan(Table.POSTS, account + _SHELF_BYTE[shelf]):
            txn.put(Table.HOME, key[5:], account)


def empty_home(txn: Txn, account: bytes) -> None:
    """Take everything an account posted out of the home timeline (on the last unfollow)."""
    for shelf in MAIN_SHELVES:
        for key, _ in txn.scan(Table.POSTS, account + _SHELF_BYTE[shelf]):
            txn.delete(Table.HOME, key[5:])


# -- reading, newest first, strictly before a position


def iter_home(txn: Txn, before: Position | None, *, but: frozenset[bytes] = frozenset()) -> Iterator[Position]:
    """``but``: packed numbers of accounts that are passed over."""
    for key, account in txn.scan_down(Table.HOME, before=before.pack() if before else None):
        if account not in but:
            yield unpack_position(key)


def is_in_home(txn: Txn, position: Position) -> bool:
    return txn.get(Table.HOME, position.pack()) is not None


def iter_shelves(
    txn: Txn, accounts: Iterable[bytes], shelves: Iterable[Shelf], before: Position | None
) -> Iterator[Position]:
    """Some shelves of some accounts in one order; what stands on two of them comes once."""
    below = before.pack() if before else None
    names = [account + _SHELF_BYTE[shelf] for account in accounts for shelf in shelves]
    # Only shelves with something on them are opened: most of a long list of people have no articles.
    rows = [_iter_shelf(txn, name, below) for name in names if txn.get(Table.SHELF_COUNTS, name) is not None]
    found = rows[0] if len(rows) == 1 else merge(*rows, reverse=True)
    for at, _ in groupby(found):
        yield unpack_position(at)


def _iter_shelf(txn: Txn, name: bytes, below: bytes | None) -> Iterator[bytes]:
    for key, _ in txn.scan_down(Table.POSTS, name, before=name + below if below is not None else None):
        yield key[5:]


def count_shelf(txn: Txn, account: bytes, shelf: Shelf) -> int:
    counted = txn.get(Table.SHELF_COUNTS, account + _SHELF_BYTE[shelf])
    return int.from_bytes(counted, "big") if counted is not None else 0


def count_posts(txn: Txn, account: bytes) -> int:
    """What an account wrote itself: posts, replies and articles."""
    return sum(count_shelf(txn, account, shelf) for shelf in MAIN_SHELVES if shelf != Shelf.REPOSTS)
