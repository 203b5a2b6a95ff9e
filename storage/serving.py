"""Reading rows of the journal for people and peers: what does not bear its own id is not here.

A disk can turn a bit of a row, and LMDB would not notice. So whatever is read
to be shown or sent is hashed again: the entry block must be the one filed
under its id, and the body the one its header names. A row that fails is absent
and logged; ``verify`` counts it, ``verify --repair`` forgets it.
"""

import logging
from collections.abc import Iterator

from unhush.identity.cid import Cid, cid_of
from unhush.storage import journal
from unhush.storage.errors import DamagedRow
from unhush.storage.records import Record
from unhush.storage.transaction import Txn

log = logging.getLogger(__name__)


def find_record(txn: Txn, aid: int) -> Record | None:
    """The record with a local number, if it is what was stored."""
    try:
        record = journal.find_record(txn, aid)
    except DamagedRow as exc:
        _note(aid, str(exc))
        return None
    return record if record is not None and is_sound(txn, record) else None


def find_record_by_cid(txn: Txn, cid: Cid) -> Record | None:
    """The record of that id, if it is what was stored."""
    aid = journal.find_aid(txn, cid)
    record = find_record(txn, aid) if aid is not None else None
    return record if record is not None and record.cid == cid else None


def iter_journal(txn: Txn, since: int) -> Iterator[Record]:
    """Sound records with an aid above ``since``, oldest first."""
    while True:
        try:
            for record in journal.iter_journal(txn, since):
                if is_sound(txn, record):
                    yield record
        except DamagedRow as exc:
            _note(exc.aid, str(exc))
            since = exc.aid
        else:
            return


def is_sound(txn: Txn, record: Record) -> bool:
    """Whether block and body still are what the id says; two hashes and a look-up."""
    # Hashed here and never taken from the record: that might remember what was parsed before it was stored.
    if journal.find_aid(txn, cid_of(record.block)) != record.aid:
        _note(record.aid, "its id leads elsewhere")
        return False
    # The block was found whole, so whichever link of it this is, it is the one; a page need not parse what it lists.
    if record.body is not None and cid_of(record.body).bytes not in record.block:
        _note(record.aid, "its body is another one")
        return False
    return True


def _note(aid: int, problem: str) -> None:
    log.error("a damaged record is not shown aid=%d problem=%s; run: unhush verify --repair", aid, problem)
