"""Which records here concern others than their authors, so that they are offered to whoever carries those."""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.config import Own
from unhush.gossip.proto.events import Concerns
from unhush.gossip.proto.hints import Hinted
from unhush.identity.cid import Cid
from unhush.identity.entry import decode_body
from unhush.identity.errors import MalformedBytes
from unhush.identity.trunk import Standing
from unhush.storage.concerns import find_concerned, may_concern
from unhush.storage.errors import StorageError
from unhush.storage.indexes import parse_known
from unhush.storage.kinds import Body, Delete, Edit, Post
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot

log = logging.getLogger(__name__)

# What was older than this when it came here is history: who wants it asks for it.
FRESH_MS: Final = 7 * 24 * 60 * 60 * 1000
# Own records looked at when a session begins, newest first: some of them may have been written while alone.
_LOOKED_AT: Final = 200
# Rows of the journal looked at when the network begins: some tens of milliseconds, on a thread.
_LAST_ROWS: Final = 1_000


def find_concerns(snapshot: Snapshot, records: Iterable[Record]) -> tuple[Concerns, ...]:
    """Of new records those that are fresh, shown here, and concern somebody."""
    fresh = (
        record
        for record in records
        if record.place is not None
        and record.seen_at_ms - record.place.time <= FRESH_MS
        and may_concern(record.place.kind, record.body)  # nearly all end here
        and snapshot.is_sound(record)
    )
    return tuple(_iter_concerns(snapshot, fresh))


def find_newest_concerns(snapshot: Snapshot) -> tuple[Concerns, ...]:
    """Of the last records that came here, whoever wrote them, those that were fresh and concern somebody."""
    since = max(0, snapshot.last_aid() - _LAST_ROWS)
    try:
        return find_concerns(snapshot, snapshot.unchecked_journal(since))
    except StorageError as exc:
        log.error("not known whom the last records concern error=%s; run: unhush verify", exc)
        return ()


def find_own_concerns(snapshot: Snapshot, own: Own) -> tuple[Concerns, ...]:
    """The newest records of this device that concern somebody, oldest first."""
    account = snapshot.account(own.account)
    if account is None:
        return ()
    newest = snapshot.newest_in_force(account, own.key, _LOOKED_AT)
    return tuple(islice(_iter_concerns(snapshot, newest), limits.OWN_OFFERED))[::-1]


def find_about(snapshot: Snapshot, hinted: Hinted, carried: frozenset[Cid]) -> Cid | None:
    """Whom a stranger's record concerns for whose sake it is taken in here, None if nobody.

    Our own account in whichever way, others only where it answers: what strangers like is no business of their
    followers.
    """
    own = snapshot.own_account()
    body = _parse(hinted)
    if own is None or body is None:
        return None
    if own in find_concerned(hinted.entry.account, body):
        return own
    if isinstance(body, Post) and body.reply is not None:
        answered = (body.reply.root_account, body.reply.parent_account)
        return next((who for who in answered if who in carried), None)
    if isinstance(body, Delete | Edit) and snapshot.find_aid(body.of) is not None:
        return own  # it changes what was taken in before
    return None


def _parse(hinted: Hinted) -> Body | None:
    try:
        return parse_known(hinted.entry.header.kind, decode_body(hinted.body or b""))
    except MalformedBytes:
        return None


def _iter_concerns(snapshot: Snapshot, records: Iterable[Record]) -> Iterator[Concerns]:
    for record in records:
        if not may_concern(record.kind, record.body):
            continue
        about = snapshot.concerned(record)
        if about and snapshot.standing(record) in (Standing.IN_FORCE, Standing.CONTESTED):
            yield Concerns(record.cid, record.account, record.entry.header.key, about)
