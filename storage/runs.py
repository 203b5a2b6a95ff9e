"""Storing an unbroken run of one log at once, where nothing disputes its places.

That is how nearly everything comes: a run of entries that name each other, none
of them held, on top of what is held, below it or beside a hole. Then one look
at the log stands for all. Wherever anything else is the case, ``find_gap`` says
None and the entries go one by one through ``writing.put_entry``, which ends in
the same rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

from unhush.identity.entry import Entry
from unhush.identity.operations import OPEN
from unhush.storage import indexes, journal, logs
from unhush.storage.accounts import Account
from unhush.storage.kinds import Body
from unhush.storage.logs import pack_u64
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


class Gap(NamedTuple):
    """Where a run has its place: in an open log, between what it names and what names it, or beside holes."""

    log: bytes
    low: int
    high: int
    run_low: int  # the held stretch it becomes part of
    run_high: int
    seen_at_ms: int | None  # when what follows was first seen: history must not stand above it


def find_gap(txn: Txn, account: Account, first: Entry, last: Entry) -> Gap | None:
    """The place for an unbroken run; None if any of it is held, disputed, or the log is not open."""
    header = first.header
    low, high = header.seq, last.header.seq
    if account.state.cut_of(header.key) != OPEN:
        return None
    log = logs.get_or_make_log(txn, account.id, header.key)
    if logs.has_beside(txn, log):
        return None
    below, above = logs.find_neighbours(txn, log, high)
    run_low, run_high, seen = low, high, None
    if below is not None:
        if below[1] >= low:
            return None
        if below[1] == low - 1:
            if header.prev is None or logs.find_digest(txn, log, low - 1) != header.prev.digest:
                return None
            run_low = below[0]
    if above is not None:
        slot = logs.find_slot(txn, log, above[0])
        record = journal.find_record(txn, slot.aid) if slot is not None else None
        if record is None:
            return None
        if above[0] == high + 1:
            if record.entry.header.prev != last.cid:
                return None
            run_high = above[1]
        seen = record.seen_at_ms
    return Gap(log, low, high, run_low, run_high, seen)


def put_run(txn: Txn, account: Account, gap: Gap, records: Sequence[Record], bodies: Sequence[Body | None]) -> None:
    """Store records that ``find_gap`` found a place for; their aids ascend above all others."""
    log = gap.log
    for seq, record in enumerate(records, gap.low):
        txn.put(Table.SLOTS, log + pack_u64(seq), journal.pack_aid(record.aid) + record.cid.digest)
    logs.put_run(txn, log, gap.run_low, gap.run_high, replaces=gap.high + 1)
    journal.append_records(txn, records)
    for record, body in zip(records, bodies, strict=True):
        if record.body is not None:
            indexes.index(txn, account, record, body)
