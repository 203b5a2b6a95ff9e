"""Usage: how many bytes and records of the journal each account takes, and all of them together.

Counted where rows of the journal are put and dropped, in the same transaction,
so it never disagrees with what is there; a rebuild counts again. It names
accounts by digest: an inception is counted before its account has a number.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage.errors import DamagedRow
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_ROW: Final = struct.Struct(">QQ")
_ALL: Final = b"all"  # no digest is as short


class Usage(NamedTuple):
    """Of entry blocks and bodies; what indexes and pages take comes on top."""

    size_bytes: int
    records: int


NOTHING: Final = Usage(0, 0)


def size_of(record: Record) -> int:
    return len(record.block) + len(record.body or b"")


def add(txn: Txn, account: bytes, bytes_delta: int, records_delta: int) -> None:
    """Count more, or with minus less, of an account (its digest)."""
    known = _known(txn)
    for key in (account, _ALL):
        size, records = known.get(key) or _find(txn, key)
        size, records = max(size + bytes_delta, 0), records + records_delta
        known[key] = Usage(size, records)
        if records > 0:
            txn.put(Table.USAGE, key, _ROW.pack(size, records))
        elif txn.get(Table.USAGE, key) is not None:
            txn.delete(Table.USAGE, key)


def add_records(txn: Txn, records: Iterable[Record]) -> None:
    """Count rows that are put into the journal; mostly of one account."""
    account, size, count = b"", 0, 0
    for record in records:
        of = record.account.digest
        if of != account:
            if count:
                add(txn, account, size, count)
            account, size, count = of, 0, 0
        size += size_of(record)
        count += 1
    if count:
        add(txn, account, size, count)


def drop_record(txn: Txn, record: Record) -> None:
    """Count a row that leaves the journal; of a damaged one nobody can say whose it was until all is rebuilt."""
    try:
        account = record.account.digest
    except DamagedRow:
        return
    add(txn, account, -size_of(record), -1)


def usage_of(txn: Txn, account: Cid) -> Usage:
    return _find(txn, account.digest)


def usage_of_all(txn: Txn) -> Usage:
    return _find(txn, _ALL)


def iter_usage(txn: Txn) -> Iterator[tuple[Cid, Usage]]:
    """Every account of which anything is kept."""
    for key, row in txn.scan(Table.USAGE):
        if key != _ALL:
            yield cid_of_digest(key), Usage(*_ROW.unpack(row))


def _find(txn: Txn, key: bytes) -> Usage:
    known = _known(txn)
    found = known.get(key)
    if found is None:
        row = txn.get(Table.USAGE, key)
        found = known[key] = Usage(*_ROW.unpack(row)) if row is not None else NOTHING
    return found


def _known(txn: Txn) -> dict[bytes, Usage]:
    """What was asked for or counted in this transaction: each run of records that comes asks twice and counts once."""
    known: dict[bytes, Usage] = txn.memo.setdefault(_MEMO, {})
    return known


_MEMO: Final = "usage"
