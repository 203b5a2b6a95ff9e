"""Rows: the table of statements, one for each (about, type, speaker, device, subject), numbered in the order gained.

What a row says of its statement stands in its key and in front of its block, so
whoever ranks or clears rows parses none. How many bytes they take, with the
operations beside them (``speakers.py``), is counted as they come and go.

Nothing here asks whether a key may still speak; see ``hearing.py``.
"""

import struct
from collections.abc import Iterator
from enum import Enum
from hashlib import sha256
from typing import Final, NamedTuple

from unhush.identity.cid import Cid
from unhush.identity.errors import IdentityError
from unhush.identity.statement import (
    Absent,
    Card,
    Heads,
    Possession,
    Receipt,
    Statement,
    UnverifiedStatement,
    stored_statement,
)
from unhush.storage.logs import pack_u64
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# The parts of a key: digests of two accounts, a device key, and what the claim is about.
ABOUT: Final = slice(0, 32)
TYPE_AT: Final = 32
SPEAKER: Final = slice(33, 65)
DEVICE: Final = slice(65, 97)
KEY_BYTES: Final = 97 + 32
# All of one sort about one account.
SORT: Final = slice(0, 33)
# Of one sort, about one account, by one other.
SORT_BY_ONE: Final = slice(0, 65)

_LAST: Final = b"statement-last"  # in META: the number given last
_BYTES: Final = b"statement-bytes"  # in META: what all rows take

_HEAD: Final = struct.Struct(">QQQ32s")  # number, time, expires, digest of the block
_NUMBER_BYTES: Final = 8


class Type(Enum):
    """The types that are held; a possession is an answer to one question, and kept by who asked."""

    HEADS = 1
    CARD = 2
    RECEIPT = 3
    ABSENT = 4
    NAMED = 5  # a receipt that was the newest when an absent of the same device came that names it (decision 41)


class Row(NamedTuple):
    """What is known of a statement without reading it. ``size``: bytes, with the key."""

    key: bytes
    time: int
    expires: int
    digest: bytes
    size: int


# -- where a statement is filed


def about_of(statement: UnverifiedStatement | Statement) -> Cid:
    """The account a statement is about: its own, or whom its author keeps."""
    claim = statement.claim
    return claim.of if isinstance(claim, Receipt | Absent | Possession) else statement.account


def type_of(statement: UnverifiedStatement | Statement) -> Type:
    match statement.claim:
        case Heads():
            return Type.HEADS
        case Card():
            return Type.CARD
        case Receipt():
            return Type.RECEIPT
        case _:
            return Type.ABSENT


def key_of(statement: UnverifiedStatement | Statement) -> bytes:
    who = statement.account.digest + statement.key.bytes
    return sort_of(about_of(statement), type_of(statement)) + who + statement.claim.subject


def sort_of(about: Cid, kind: Type) -> bytes:
    """How the keys of all of one sort about one account begin."""
    return about.digest + bytes([kind.value])


def key_beside(key: bytes, kind: Type, subject: bytes | None = None) -> bytes:
    """The key of what the same device says of the same account, of another type, and perhaps of something else."""
    return key[ABOUT] + bytes([kind.value]) + key[33:97] + (key[97:] if subject is None else subject)


# -- putting and dropping


def put_row(txn: Txn, key: bytes, statement: Statement) -> None:
    """In place of what was there, with a number of its own."""
    drop_row(txn, key)
    number = pack_u64(last_number(txn) + 1)
    head = _HEAD.pack(int.from_bytes(number, "big"), statement.time, statement.expires, statement.digest)
    txn.put(Table.META, _LAST, number)
    txn.put(Table.STATEMENTS, key, head + statement.block)
    txn.put(Table.STATEMENT_LOG, number, key)
    add_bytes(txn, len(key) + len(head) + len(statement.block))


def drop_row(txn: Txn, key: bytes) -> None:
    value = txn.get(Table.STATEMENTS, key)
    if value is None:
        return
    txn.delete(Table.STATEMENTS, key)
    txn.delete(Table.STATEMENT_LOG, value[:_NUMBER_BYTES])
    add_bytes(txn, -len(key) - len(value))


def last_number(txn: Txn) -> int:
    """The number given last; 0 if none was."""
    return int.from_bytes(txn.get(Table.META, _LAST) or b"", "big")


def bytes_held(txn: Txn) -> int:
    """What all rows take, with the operations beside them."""
    return int.from_bytes(txn.get(Table.META, _BYTES) or b"", "big")


def add_bytes(txn: Txn, delta: int) -> None:
    """Count what came or went beside the rows."""
    if delta:
        txn.put(Table.META, _BYTES, pack_u64(max(bytes_held(txn) + delta, 0)))


# -- reading


def find_row(txn: Txn, key: bytes) -> Row | None:
    """None as well for one that was cut short: whatever comes takes its place."""
    value = txn.get(Table.STATEMENTS, key)
    return _unpack(key, value) if value is not None and len(value) >= _HEAD.size else None


def find_block(txn: Txn, key: bytes) -> bytes | None:
    """The statement as it is stored, whole or not."""
    value = txn.get(Table.STATEMENTS, key)
    return value[_HEAD.size :] if value is not None else None


def list_rows(txn: Txn, sort: bytes) -> list[Row]:
    """All of one sort about one account."""
    return [_unpack(key, value) for key, value in txn.scan(Table.STATEMENTS, sort)]


def _unpack(key: bytes, value: bytes) -> Row:
    """A row that was cut short is older than any, and has ended."""
    _, time, expires, digest = _HEAD.unpack_from(value.ljust(_HEAD.size, b"\x00"))
    return Row(key, time, expires, digest, len(key) + len(value))


def iter_ended(txn: Txn, now_ms: int) -> Iterator[bytes]:
    """The keys of what ended, but for cards; reads the whole table."""
    for key, value in txn.scan(Table.STATEMENTS):
        if _has_ended(key, value, now_ms):
            yield key


def has_ended(txn: Txn, key: bytes, now_ms: int) -> bool:
    value = txn.get(Table.STATEMENTS, key)
    return value is not None and _has_ended(key, value, now_ms)


def _has_ended(key: bytes, value: bytes, now_ms: int) -> bool:
    if len(key) != KEY_BYTES or len(value) < _HEAD.size:
        return True
    return key[TYPE_AT] != Type.CARD.value and _HEAD.unpack_from(value)[2] <= now_ms


def iter_sizes(txn: Txn) -> Iterator[tuple[bytes, int]]:
    """Key and bytes of every row."""
    for key, value in txn.scan(Table.STATEMENTS):
        yield key, len(key) + len(value)


def iter_gained(txn: Txn, after: int = 0) -> Iterator[tuple[int, bytes]]:
    """Numbers above ``after``, and the keys of what was gained then; ascending."""
    for number, key in txn.scan(Table.STATEMENT_LOG, start=pack_u64(after + 1)):
        yield int.from_bytes(number, "big"), key


def find_statement(txn: Txn, key: bytes) -> Statement | None:
    """What a row holds, if it is what was stored under this key."""
    value = txn.get(Table.STATEMENTS, key)
    return _read(key, value) if value is not None else None


def iter_statements(txn: Txn, prefix: bytes) -> Iterator[Statement]:
    """Those whose keys begin so, but for damaged ones."""
    for key, value in txn.scan(Table.STATEMENTS, prefix):
        statement = _read(key, value)
        if statement is not None:
            yield statement


def _read(key: bytes, value: bytes) -> Statement | None:
    block = value[_HEAD.size :]
    if len(value) < _HEAD.size or _HEAD.unpack_from(value)[3] != sha256(block).digest():
        return None
    try:
        statement = stored_statement(block)
    except IdentityError:
        return None
    return statement if _is_filed_under(statement, key) else None


def _is_filed_under(statement: Statement, key: bytes) -> bool:
    own = key_of(statement)
    if key[TYPE_AT : TYPE_AT + 1] != bytes([Type.NAMED.value]):
        return own == key
    return isinstance(statement.claim, Receipt) and (own[ABOUT], own[33:97]) == (key[ABOUT], key[33:97])
