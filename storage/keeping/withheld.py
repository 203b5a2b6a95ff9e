"""Withholding: bodies this home does without on purpose, and why.

The operator of a node may refuse or erase any body and has to say so (PROTOCOL
§6). The body goes from the disk at once and is not taken in again; the entry
stays, so the chain is whole, and who asks gets it with the word ``withheld``. A
receipt lists it with the reason. Nothing of this travels: other homes decide
for themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.statement import MAX_REASON_BYTES
from unhush.storage import accounts, indexes, journal, settings, standing
from unhush.storage.environment import Environment
from unhush.storage.errors import WithholdRefused
from unhush.storage.folds import deletes
from unhush.storage.kinds import DELETE
from unhush.storage.logs import pack_u64
from unhush.storage.records import BodyState, Record
from unhush.storage.room import erasing, scrubbing
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Each is a decision of a person; a list of somebody else's making may be long.
MAX_WITHHELD: Final = 100_000

_NONE: Final = "nothing is withheld"  # in a transaction's memo
_SINCE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class WithheldBody:
    """An entry whose body this home does without; ``since_ms``: Unix milliseconds."""

    entry: Cid
    reason: str
    since_ms: int


class WithheldBodies:
    """What one store withholds; thread- and process-safe as the store is.

    ``scrub`` takes out of its files what went.
    """

    def __init__(self, environment: Environment, scrub: Callable[[], None], announce: Callable[[], None]) -> None:
        self._environment = environment
        self._scrub = scrub
        self._announce = announce

    def add(self, cid: Cid, reason: str, now_ms: int) -> None:
        """Withhold the body of an entry, here or not yet; again only changes the reason. Raises ``WithholdRefused``."""
        try:
            words = reason.encode()
        except UnicodeEncodeError as exc:
            raise WithholdRefused("the reason is no text: it holds half a character") from exc
        if not cid.is_dag_cbor or len(words) > MAX_REASON_BYTES:
            raise WithholdRefused(f"an entry is withheld for a reason of at most {MAX_REASON_BYTES} bytes")

        def add(txn: Txn) -> bool:
            known = _find(txn, cid)
            if known is None and txn.count(Table.WITHHELD) >= MAX_WITHHELD:
                raise WithholdRefused(f"{MAX_WITHHELD:,} bodies are withheld here already")
            since_ms = known.since_ms if known is not None else now_ms
            record = journal.find_record_by_cid(txn, cid)
            if record is not None and (record.entry.header.is_identity or record.kind == DELETE):
                raise WithholdRefused(
                    "an identity operation or a delete is not withheld: others rely on what it undoes"
                )
            if record is not None and record.account == settings.find_own_account(txn):
                raise WithholdRefused("this is a record of your own: delete it, and others will know")
            txn.put(Table.WITHHELD, cid.digest, pack_u64(since_ms) + words)
            txn.memo.pop(_NONE, None)
            return record is not None and _take_body(txn, record)

        had_body = self._environment.run(add)
        self._announce()
        if had_body:
            self._scrub()

    def drop(self, cid: Cid) -> bool:
        """Let the body come again; False if it was not withheld."""

        def drop(txn: Txn) -> bool:
            if not txn.delete(Table.WITHHELD, cid.digest):
                return False
            record = journal.find_record_by_cid(txn, cid)
            if record is not None and record.body_state is BodyState.WITHHELD:
                journal.mark_bodiless(txn, record, BodyState.UNKNOWN)
            return True

        was_there = self._environment.run(drop)
        self._announce()
        return was_there

    def all(self) -> dict[Cid, WithheldBody]:
        """Everything that is withheld, by entry."""
        with self._environment.read() as txn:
            found = [_unpack(cid_of_digest(key), row) for key, row in txn.scan(Table.WITHHELD)]
        return {each.entry: each for each in found}

    def find(self, cid: Cid) -> WithheldBody | None:
        with self._environment.read() as txn:
            return _find(txn, cid)


def is_withheld(txn: Txn, cid: Cid) -> bool:
    """Asked with every record that comes; most homes withhold nothing."""
    if txn.memo.get(_NONE):
        return False
    if not txn.count(Table.WITHHELD):
        txn.memo[_NONE] = True
        return False
    return txn.get(Table.WITHHELD, cid.digest) is not None


def find_reason(txn: Txn, cid: Cid) -> str | None:
    """Why a body is withheld; None if it is not."""
    found = _find(txn, cid)
    return found.reason if found is not None else None


def _take_body(txn: Txn, record: Record) -> bool:
    """Take the body of a record out of the journal and out of what is shown; False if it was not here."""
    if record.body is None:
        journal.mark_bodiless(txn, record, BodyState.WITHHELD)
        return False
    account = accounts.find_account(txn, record.account)
    is_shown = account is not None and standing.is_shown(txn, account, record)
    if account is not None and is_shown and not deletes.is_deleted(txn, record):
        indexes.unindex(txn, account, record)
    else:
        indexes.forget_body(txn, record)
    journal.erase_body(txn, record, BodyState.WITHHELD)
    erasing.forget_erased(txn, record)
    scrubbing.mark_due(txn)
    return True


def _find(txn: Txn, cid: Cid) -> WithheldBody | None:
    row = txn.get(Table.WITHHELD, cid.digest) if cid.is_dag_cbor else None
    return _unpack(cid, row) if row is not None else None


def _unpack(entry: Cid, row: bytes) -> WithheldBody:
    reason = row[_SINCE_BYTES:].decode(errors="replace")
    return WithheldBody(entry, reason, int.from_bytes(row[:_SINCE_BYTES], "big"))
