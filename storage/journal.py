"""The journal: aid → record, append-only; every other table can be rebuilt from it.

An aid is a record's local number. A record first stored without its body moves
to a new aid when the body comes, so whoever follows the journal by cursor sees
it then; the old row goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage.errors import StoreUnreadable
from unhush.storage.records import AID_BYTES, BodyState, Record, unpack_record
from unhush.storage.room import usage
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_LAST: Final = b"last-aid"  # in META: the highest aid, once the row that had it is gone


def pack_aid(aid: int) -> bytes:
    return aid.to_bytes(AID_BYTES, "big")


def last_aid(txn: Txn) -> int:
    """The highest aid given so far, also to a row that is gone; 0 in a new journal."""
    known: int | None = txn.memo.get(_LAST)
    if known is None:
        last, mark = txn.last(Table.JOURNAL), txn.get(Table.META, _LAST)
        known = max(int.from_bytes(last[0], "big") if last else 0, int.from_bytes(mark or b"", "big"))
        txn.memo[_LAST] = known
    return known


def find_aid(txn: Txn, cid: Cid) -> int | None:
    found = txn.get(Table.IDS, cid.digest)
    if found is None:
        return None
    if len(found) != AID_BYTES:
        raise StoreUnreadable("a row that says where a record is is damaged; mend it with: unhush verify --repair")
    return int.from_bytes(found, "big")


def find_record(txn: Txn, aid: int) -> Record | None:
    row = txn.get(Table.JOURNAL, pack_aid(aid))
    return unpack_record(aid, row) if row is not None else None


def find_record_by_cid(txn: Txn, cid: Cid) -> Record | None:
    aid = find_aid(txn, cid)
    return find_record(txn, aid) if aid is not None else None


def iter_journal(txn: Txn, since: int) -> Iterator[Record]:
    """Records with an aid above ``since``, oldest first."""
    for key, row in txn.scan(Table.JOURNAL, start=pack_aid(since + 1)):
        yield unpack_record(int.from_bytes(key, "big"), row)


def append_record(txn: Txn, record: Record) -> None:
    """Store a record whose aid is above all others."""
    append_records(txn, [record])


def append_records(txn: Txn, records: Sequence[Record]) -> None:
    """As ``append_record`` for several, whose aids ascend."""
    if records[0].aid <= last_aid(txn):
        raise RuntimeError(f"aid {records[0].aid} was given before")
    txn.memo[_LAST] = records[-1].aid
    for record in records:
        key = pack_aid(record.aid)
        txn.put(Table.JOURNAL, key, record.pack())
        txn.put(Table.IDS, record.cid.digest, key)
        if record.body is None:
            txn.put(Table.BODILESS, key, bytes([record.body_state]))
    usage.add_records(txn, records)


def mark_malformed(txn: Txn, record: Record) -> None:
    """Note of a record without body that the bytes its header names are none; nobody needs to see it again for that."""
    mark_bodiless(txn, record, BodyState.MALFORMED)


def mark_bodiless(txn: Txn, record: Record, state: BodyState) -> None:
    """Note of a record without body why it has none."""
    key = pack_aid(record.aid)
    txn.put(Table.JOURNAL, key, replace(record, body_state=state).pack())
    txn.put(Table.BODILESS, key, bytes([state]))


def erase_body(txn: Txn, record: Record, state: BodyState = BodyState.DELETED) -> None:
    """Keep of a record its entry alone; it keeps its aid."""
    key = pack_aid(record.aid)
    erased = replace(record, body=None, body_state=state)
    usage.add(txn, record.account.digest, usage.size_of(erased) - usage.size_of(record), 0)
    txn.put(Table.JOURNAL, key, erased.pack())
    txn.put(Table.BODILESS, key, bytes([state]))


def move_record(txn: Txn, record: Record) -> Record:
    """Give a record a new aid, above all others, so that whoever follows the journal sees it again."""
    drop_record(txn, record)
    moved = replace(record, aid=max(last_aid(txn), record.aid) + 1)
    append_record(txn, moved)
    return moved


def skip_aids(txn: Txn, aid: int) -> None:
    """Give no aid up to this one any more."""
    if aid > last_aid(txn):
        txn.put(Table.META, _LAST, pack_aid(aid))
        txn.memo[_LAST] = aid


def drop_record(txn: Txn, record: Record) -> None:
    key = pack_aid(record.aid)
    if record.aid == last_aid(txn):
        txn.put(Table.META, _LAST, key)  # or its number would be given again, and who follows would not look
    txn.delete(Table.JOURNAL, key)
    txn.delete(Table.IDS, record.cid.digest)
    txn.delete(Table.BODILESS, key)
    usage.drop_record(txn, record)
