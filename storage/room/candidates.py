"""What is to go: bodies that were taken back, and records that fell out of force.

Both can come back: a delete may fall out of force itself, a rotate may open a
device again. So each waits, from when gc first saw it, by the clock of this
home and not by anything its author says; what comes back meanwhile begins
anew.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.operations import NOTHING, OPEN
from unhush.identity.trunk import Standing
from unhush.storage import accounts, journal, logs, settings, standing
from unhush.storage.keeping import promises
from unhush.storage.records import Record
from unhush.storage.room import erasing, usage
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


class Reason(Enum):
    """Why something is to go."""

    DELETED = "deleted"  # its body goes
    VOID = "void"  # it goes altogether


class Candidate(NamedTuple):
    """A record that is to go; ``since_ms`` is None until gc has noted it."""

    cid: Cid
    reason: Reason
    is_own: bool
    size_bytes: int
    since_ms: int | None


def find_candidates(txn: Txn) -> Iterator[Candidate]:
    """Everything that is to go, now or in its time; what the own account deleted comes first."""
    own = settings.find_own_account(txn)
    if own is not None:
        for record in _iter_deleted(txn, own.digest):
            yield _candidate(txn, record, Reason.DELETED, len(record.body or b""), is_own=True)
    for record in _iter_deleted(txn):
        if record.account != own:
            yield _candidate(txn, record, Reason.DELETED, len(record.body or b""), is_own=False)
    for record in _iter_void(txn):
        yield _candidate(txn, record, Reason.VOID, usage.size_of(record), is_own=False)


def _candidate(txn: Txn, record: Record, reason: Reason, size: int, *, is_own: bool) -> Candidate:
    since = txn.get(Table.GRACE, record.cid.digest)
    return Candidate(record.cid, reason, is_own, size, int.from_bytes(since, "big") if since is not None else None)


def why(txn: Txn, record: Record) -> Reason | None:
    """Why a record is to go, if it is."""
    account = accounts.find_account(txn, record.account)
    if account is None or record.entry.header.is_identity:
        return None
    if _may_drop_void(txn, account.id) and standing.standing_of(txn, account, record) is Standing.VOID:
        return Reason.VOID
    is_taken_back = record.body is not None and erasing.find_taken_back(txn, record) is not None
    return Reason.DELETED if is_taken_back else None


def _iter_deleted(txn: Txn, account: bytes = b"") -> Iterator[Record]:
    """Records whose body is here though their account took them, or the post they edit, back; all, or one account's."""
    before = b""
    for key, _ in txn.scan(Table.DELETED, account):
        named = key[:64]
        if named == before:
            continue
        before = named
        aids = [txn.get(Table.IDS, named[32:]), *(aid for _, aid in txn.scan(Table.EDITS, named))]
        for aid in aids:
            if aid is None or txn.get(Table.BODILESS, aid) is not None:
                continue
            record = journal.find_record(txn, int.from_bytes(aid, "big"))
            if (
                record is not None
                and record.account == cid_of_digest(named[:32])
                and why(txn, record) is Reason.DELETED
            ):
                yield record


def _may_drop_void(txn: Txn, account: Cid) -> bool:
    """Not of the own account, nor of one that is kept (PROTOCOL §3)."""
    return account != settings.find_own_account(txn) and not promises.is_kept(txn, account)


def _iter_void(txn: Txn) -> Iterator[Record]:
    """Records of others that a cut, or a table without their device, made void; what is only unproven stays."""
    for of, key, log in logs.iter_logs(txn):
        account = accounts.find_account(txn, of) if _may_drop_void(txn, of) else None
        cut = account.state.cut_of(key) if account is not None else OPEN
        if account is None or cut == OPEN:
            continue
        low = cut[0] + 1 if cut is not None and cut != NOTHING else 0
        span = standing.span_of(txn, log, cut)
        slots = [*logs.iter_slots(txn, log, low)]
        slots += (slot for seq, slot in logs.iter_beside(txn, log) if seq >= low or seq in span)
        for slot in slots:
            record = journal.find_record(txn, slot.aid)
            if record is not None:
                yield record
