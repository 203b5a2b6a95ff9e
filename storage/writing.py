"""Putting one authentic record into journal, log and indexes, inside a write transaction.

Both ways in end here: what is published on this device and what arrives.
"""

from collections.abc import Callable
from dataclasses import replace

from unhush.identity.cid import Cid
from unhush.identity.entry import Header
from unhush.identity.operations import OPEN, Cut
from unhush.storage import indexes, journal, judging, logs, standing
from unhush.storage.accounts import Account
from unhush.storage.kinds import Body
from unhush.storage.records import Record
from unhush.storage.transaction import Txn


def put_entry(
    txn: Txn,
    account: Account,
    record: Record,
    body: Body | None,
    *,
    is_signed: Callable[[], bool] = lambda: True,
) -> bool:
    """Store a record that is not held yet, and show what its ``body`` means.

    False if it may not stand beside the shown branch of its log. There an entry must stand by itself
    (``is_signed``): who vouches for it in its batch may find no room.
    """
    entry, header = record.entry, record.entry.header
    cut = account.state.cut_of(header.key)
    log = logs.get_or_make_log(txn, account.id, header.key)
    above = logs.find_slot(txn, log, header.seq + 1)
    if logs.fits(
        header,
        logs.find_slot(txn, log, header.seq - 1),
        logs.find_slot(txn, log, header.seq),
        _prev_of(txn, above),
        entry.cid,
    ):
        record = _seen_no_later_than_what_follows(txn, log, header.seq, record)
        logs.put_slot(txn, log, header.seq, record.aid, entry.cid)
        journal.append_record(txn, record)
        if cut == OPEN and record.body is not None:
            indexes.index(txn, account, record, body)
    elif judging.is_awaited(txn, log, cut, header.seq, entry.cid) or (is_signed() and _has_room(txn, log, cut, header)):
        logs.put_beside(txn, log, header.seq, record.aid, entry.cid)
        journal.append_record(txn, record)
    else:
        return False
    if cut != OPEN or next(logs.iter_beside_at(txn, log, header.seq + 1), None) is not None:
        judging.extend(txn, account, header.key, entry.cid)
    return True


def _has_room(txn: Txn, log: bytes, cut: Cut | None, header: Header) -> bool:
    """Whether one more may stand beside; of an open log the lowest numbers stay, so that all find one fork point."""
    if not logs.is_full_beside(txn, log):
        return True
    highest = logs.find_highest_beside(txn, log)
    if cut != OPEN or highest is None or highest.seq <= header.seq:
        return False
    record = journal.find_record(txn, highest.aid)
    if record is not None:
        journal.drop_record(txn, record)
    logs.drop_beside(txn, log, highest.seq, highest.cid)
    return True


def _seen_no_later_than_what_follows(txn: Txn, log: bytes, seq: int, record: Record) -> Record:
    """History that comes after what it precedes must not stand above it, also if the author's clock is ahead."""
    above = next(logs.iter_slots(txn, log, seq + 1), None)
    later = journal.find_record(txn, above.aid) if above is not None else None
    if later is None or later.seen_at_ms >= record.seen_at_ms:
        return record
    return replace(record, seen_at_ms=later.seen_at_ms)


def _prev_of(txn: Txn, above: logs.Slot | None) -> Cid | None:
    if above is None:
        return None
    record = journal.find_record(txn, above.aid)
    return record.entry.header.prev if record is not None else None


def fill_body(txn: Txn, account: Account, held: Record, filled: Record, body: Body | None) -> None:
    """Give a held record its body: it moves to a new aid, and becomes visible if it is on the shown branch."""
    header = held.entry.header
    log = logs.get_or_make_log(txn, account.id, header.key)
    slot = logs.find_slot(txn, log, header.seq)
    journal.drop_record(txn, held)
    journal.append_record(txn, filled)
    if slot is not None and slot.cid == held.cid:
        logs.put_slot(txn, log, header.seq, filled.aid, held.cid)
    else:
        logs.put_beside(txn, log, header.seq, filled.aid, held.cid)
    if standing.is_shown(txn, account, filled):
        indexes.index(txn, account, filled, body)
