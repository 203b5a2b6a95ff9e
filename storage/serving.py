"""Reading rows of the journal for people and peers: what does not bear its own id is not here.

A disk can turn a bit of a row, and LMDB would not notice. So whatever is read
to be shown or sent is hashed again: the entry block must be the one filed
under its id, and the body the one its header names. A row that fails is absent
and logged; ``verify`` counts it, ``verify --repair`` forgets it.
"""

import logging
from collections.abc import Iterator
from hashlib import sha256

from unhush.identity.cid import Cid
from unhush.storage import journal
from unhush.storage.errors import DamagedRow
from unhush.storage.records import Record, unpack_record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

log = logging.getLogger(__name__)


def find_record(txn: Txn, aid: int) -> Record | None:
    """The record with a local number, if it is what was stored."""
    row = txn.get(Table.JOURNAL, journal.pack_aid(aid))
    record = _unpack(aid, row) if row is not None else None
    return record if record is not None and is_sound(txn, record) else None


def find_records(txn: Txn, aids: list[int]) -> list[Record | None]:
    """As ``find_record`` for each, in half the time: pages and threads are read so."""
    keys = [journal.pack_aid(aid) for aid in aids]
    rows = txn.get_many(Table.JOURNAL, keys)
    found = [
        _unpack(aid, row) if (row := rows.get(key)) is not None else None for aid, key in zip(aids, keys, strict=True)
    ]
    digests = [sha256(record.block).digest() if record is not None else b"" for record in found]
    filed = txn.get_many(Table.IDS, [digest for digest in digests if digest])
    sound = [
        record if record is not None and _is_sound(record, filed.get(digest)) else None
        for record, digest in zip(found, digests, strict=True)
    ]
    for record, digest in zip(sound, digests, strict=True):
        if record is not None:
            record.know_digest(digest)
    return sound


def _unpack(aid: int, row: bytes) -> Record | None:
    try:
        return unpack_record(aid, row)
    except DamagedRow as exc:
        _note(aid, str(exc))
        return None


def find_record_by_cid(txn: Txn, cid: Cid) -> Record | None:
    """The record of that id, if it is what was stored."""
    aid = journal.find_aid(txn, cid)
    record = find_record(txn, aid) if aid is not None else None
    return record if record is not None and record.cid == cid else None


def iter_journal(txn: Txn, since: int, *, is_checked: bool = True) -> Iterator[Record]:
    """Sound records with an aid above ``since``, oldest first; without the check any that can be read."""
    while True:
        try:
            for record in journal.iter_journal(txn, since):
                if not is_checked or is_sound(txn, record):
                    yield record
        except DamagedRow as exc:
            _note(exc.aid, str(exc))
            since = exc.aid
        else:
            return


def is_sound(txn: Txn, record: Record) -> bool:
    """Whether block and body still are what the id says; two hashes and a look-up."""
    return _is_sound(record, txn.get(Table.IDS, sha256(record.block).digest()))


def _is_sound(record: Record, filed_at: bytes | None) -> bool:
    """``filed_at``: where the id leads that the block has now; a record might remember what it had before."""
    if filed_at != journal.pack_aid(record.aid):
        _note(record.aid, "its id leads elsewhere")
        return False
    # The block was found whole, so whichever link of it this is, it is the one; a page need not parse what it lists.
    if record.body is not None and sha256(record.body).digest() not in record.block:
        _note(record.aid, "its body is another one")
        return False
    return True


def _note(aid: int, problem: str) -> None:
    log.error("a damaged record is not shown aid=%d problem=%s; run: unhush verify --repair", aid, problem)
