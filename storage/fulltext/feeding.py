"""From the journal into the index: what is new by cursor, what has changed by ``TEXT_DUE``.

A step reads one snapshot, writes one commit of the index, and only then takes
from ``TEXT_DUE`` what it has done. So after a crash a step is done again, with
the same result.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from unhush.storage import journal
from unhush.storage.environment import Environment
from unhush.storage.errors import DamagedRow
from unhush.storage.fulltext.documents import Document, document_of
from unhush.storage.fulltext.engine import Engine, Place
from unhush.storage.reading import Reading
from unhush.storage.records import Record, unpack_record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

log = logging.getLogger(__name__)

# Records looked at in one step: a commit of a tenth of a second.
STEP: Final = 1_000
# Rows taken from TEXT_DUE in one transaction of the store: it has one writer, whom nobody should wait for.
DUE_STEP: Final = 200


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did; ``behind`` are the records and changes left for later ones."""

    looked_at: int
    behind: int


class Stale(Exception):  # never leaves the package
    """The index followed another journal than this one, a copy from before a backup came back: it is of no use."""


def take_step(environment: Environment, engine: Engine, *, most: int = STEP, most_due: int = DUE_STEP) -> Step:
    """Look at the next records; raises ``Stale``, ``StoreFull`` and what reading and writing may.

    With ``most_due`` 0 what has changed stays for whoever keeps the index up to date.
    """
    place = engine.place()
    with environment.read() as txn:
        check_place(txn, place)
        last = journal.last_aid(txn)
        due = list(islice(iter_due(txn), most_due))
        changed = {aid: find_document(txn, aid) for aid in due}
        seen = place
        found: dict[int, Document | None] = dict(changed)
        looked_at = 0
        for aid, record in islice(iter_rows(txn, place.aid), most):
            looked_at += 1
            seen = Place(aid, record.cid.digest if record is not None else b"")
            if record is not None:
                found[aid] = _document_of(Reading(txn), record)
        if looked_at < most and seen.aid < last:
            seen = Place(last, b"")  # the row that had the last number is gone
        behind = last - seen.aid + txn.count(Table.TEXT_DUE) - len(due)
    if seen == place and not due:
        return Step(0, behind)
    with engine.writing():
        engine.drop(aid for aid, document in found.items() if document is None)
        engine.put(document for document in found.values() if document is not None)
        engine.put_place(seen)
    if due:
        _take_from_due(environment, changed)
    return Step(looked_at + len(due), behind)


def _take_from_due(environment: Environment, done: dict[int, Document | None]) -> None:
    """What changed once more meanwhile stays for the next step."""
    with environment.write() as txn:
        for aid, document in done.items():
            if find_document(txn, aid) == document:
                txn.delete(Table.TEXT_DUE, journal.pack_aid(aid))


def check_place(txn: Txn, place: Place) -> None:
    """Raises ``Stale`` if the journal, as it is now, has not been at this place."""
    if place.aid > journal.last_aid(txn):
        raise Stale
    if not place.digest:
        return
    try:
        record = journal.find_record(txn, place.aid)
    except DamagedRow:
        return
    if record is not None and record.cid.digest != place.digest:
        raise Stale


def count_behind(txn: Txn, place: Place) -> int:
    """Records and changes an index at this place has not seen; at most, for some numbers are of no record any more."""
    return max(0, journal.last_aid(txn) - place.aid) + txn.count(Table.TEXT_DUE)


def iter_due(txn: Txn) -> Iterator[int]:
    for key, _ in txn.scan(Table.TEXT_DUE):
        yield int.from_bytes(key, "big")


def iter_rows(txn: Txn, since: int) -> Iterator[tuple[int, Record | None]]:
    """The journal after an aid, with None for rows that cannot be read."""
    for key, row in txn.scan(Table.JOURNAL, start=journal.pack_aid(since + 1)):
        aid = int.from_bytes(key, "big")
        try:
            record = unpack_record(aid, row)
            _ = record.entry
        except DamagedRow as exc:
            log.warning("a damaged row is not searched aid=%d problem=%s", aid, exc)
            yield aid, None
        else:
            yield aid, record


def find_document(txn: Txn, aid: int) -> Document | None:
    """What is searched of a post now; None if nothing is."""
    try:
        record = journal.find_record(txn, aid)
        return _document_of(Reading(txn), record) if record is not None else None
    except DamagedRow:
        return None


def _document_of(reading: Reading, record: Record) -> Document | None:
    post = reading.shown_version(record)
    return document_of(record, post) if post is not None else None
