"""Withholding: bodies this home does without on purpose, and why.

The operator of a node may refuse or erase any body and has to say so (PROTOCOL
§6). The body goes from the disk at once, with the pictures that it alone named,
and is not taken in again; the entry stays, so the chain is whole, and who asks
gets it with the word ``withheld``. A receipt lists it with the reason. Nothing
of this travels: other homes decide for themselves.

The edits of a post say what it said, so they go with it, those that come later
too, and come again with it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.statement import MAX_REASON_BYTES
from unhush.storage import accounts, indexes, journal, logs, serving, settings, standing
from unhush.storage.environment import Environment
from unhush.storage.errors import WithholdRefused
from unhush.storage.folds import blobrefs, deletes, edits
from unhush.storage.kinds import DELETE, EDIT, POST, Body, Edit
from unhush.storage.logs import pack_u64
from unhush.storage.records import BodyState, Record
from unhush.storage.room import erasing, scrubbing
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Each is a decision of a person; a list of somebody else's making may be long.
MAX_WITHHELD: Final = 100_000

# With edits that go with their posts. Beyond it they are left out as well, and asked for in vain.
MAX_ROWS: Final = 1_000_000

_NONE: Final = "nothing is withheld"  # in a transaction's memo
_SINCE_BYTES: Final = 8
# In front of the digest of the post, in the row of an edit that goes with it; no time has it, for none is so late.
_WITH: Final = b"\xff"


@dataclass(frozen=True, slots=True)
class WithheldBody:
    """An entry whose body this home does without; ``since_ms``: Unix milliseconds.

    ``of``: the post that is withheld, if this is an edit of it that goes with it.
    """

    entry: Cid
    reason: str
    since_ms: int
    of: Cid | None = None


class WithheldBodies:
    """What one store withholds; thread- and process-safe as the store is.

    ``scrub`` takes out of its files what went; ``erase_blobs`` takes away those of some blobs that no record names
    any more, and says how many.
    """

    def __init__(
        self,
        environment: Environment,
        scrub: Callable[[], None],
        erase_blobs: Callable[[Iterable[Cid]], int],
        announce: Callable[[], None],
    ) -> None:
        self._environment = environment
        self._scrub = scrub
        self._erase_blobs = erase_blobs
        self._announce = announce

    def add(self, cid: Cid, reason: str, now_ms: int) -> int:
        """Withhold the body of an entry, here or not yet; again only changes the reason. How many blobs went with it.

        Raises ``WithholdRefused``.
        """
        try:
            words = reason.encode()
        except UnicodeEncodeError as exc:
            raise WithholdRefused("the reason is no text: it holds half a character") from exc
        if not cid.is_dag_cbor or len(words) > MAX_REASON_BYTES:
            raise WithholdRefused(f"an entry is withheld for a reason of at most {MAX_REASON_BYTES} bytes")

        with self._environment.read() as txn:
            held = _find_edits(txn, cid)

        def add(txn: Txn) -> tuple[bool, set[Cid]]:
            row = txn.get(Table.WITHHELD, cid.digest)
            is_own_decision = row is not None and not row.startswith(_WITH)
            if not is_own_decision and _count_decisions(txn) >= MAX_WITHHELD:
                raise WithholdRefused(f"{MAX_WITHHELD:,} bodies are withheld here already")
            since = row[:_SINCE_BYTES] if row is not None and is_own_decision else pack_u64(now_ms)
            record = journal.find_record_by_cid(txn, cid)
            if record is not None and (record.entry.header.is_identity or record.kind == DELETE):
                raise WithholdRefused(
                    "an identity operation or a delete is not withheld: others rely on what it undoes"
                )
            if record is not None and record.account == settings.find_own_account(txn):
                raise WithholdRefused("this is a record of your own: delete it, and others will know")
            txn.put(Table.WITHHELD, cid.digest, since + words)
            txn.memo.pop(_NONE, None)
            if record is None:
                return False, set()
            blobs = _find_blobs(txn, (cid, *held))
            had_edits = _withhold_edits(txn, record, held)
            return _take_body(txn, record) or had_edits, blobs

        had_body, blobs = self._environment.run(add)
        self._announce()
        erased = self._erase_blobs(blobs)
        if had_body:
            self._scrub()
        return erased

    def drop(self, cid: Cid) -> bool:
        """Let the body come again, of a post with its edits; False if it was not withheld.

        Raises ``WithholdRefused`` for an edit that goes with its post.
        """

        def drop(txn: Txn) -> bool:
            row = txn.get(Table.WITHHELD, cid.digest)
            if row is None:
                return False
            if row.startswith(_WITH):
                of = cid_of_digest(row[len(_WITH) :])
                raise WithholdRefused(f"this is an edit of a post that is withheld; undo that: {of}")
            for edit in _edits_that_go_with(txn, cid):
                _let_come(txn, edit)
            _let_come(txn, cid)
            return True

        was_there = self._environment.run(drop)
        self._announce()
        return was_there

    def all(self) -> dict[Cid, WithheldBody]:
        """Everything that is withheld, by entry."""
        with self._environment.read() as txn:
            found = [_unpack(txn, cid_of_digest(key), row) for key, row in txn.scan(Table.WITHHELD)]
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


def goes_with(txn: Txn, account: Cid, body: Body | None) -> Cid | None:
    """The post, if this is an edit of one that is withheld. ``account``: of whoever wrote the edit."""
    if not isinstance(body, Edit) or not is_withheld(txn, body.of):
        return None
    post = journal.find_record_by_cid(txn, body.of)
    # What others say of it changes nothing there.
    return body.of if post is None or post.account == account else None


def note_stored(txn: Txn, cid: Cid, of: Cid | None) -> None:
    """Call when a record was stored without its body: what is withheld, or (``of``) an edit that goes with its post."""
    record = journal.find_record_by_cid(txn, cid)
    if record is None:
        return  # it was refused
    if of is None:
        for edit in list(edits.iter_edits_of(txn, record.account, cid)):  # they may have come before their post
            _note_with(txn, edit.cid, cid)
            _take_body(txn, edit)
        return
    _note_with(txn, cid, of)
    if record.body is None and record.body_state is not BodyState.WITHHELD:
        journal.mark_bodiless(txn, record, BodyState.WITHHELD)


# -- edits


def _find_edits(txn: Txn, cid: Cid) -> list[Cid]:
    """Every edit of a post that is here with its body, in force or not; reads all its account wrote."""
    post = journal.find_record_by_cid(txn, cid)
    if post is None or post.kind != POST:
        return []
    found = []
    for _, _, log in logs.iter_logs(txn, post.account):
        aids = [slot.aid for slot in logs.iter_slots(txn, log)]
        aids += [slot.aid for _, slot in logs.iter_beside(txn, log)]
        for aid in aids:
            record = serving.find_record(txn, aid)
            if record is not None and record.kind == EDIT and record.body is not None:
                body = indexes.find_body(record)
                if isinstance(body, Edit) and body.of == cid:
                    found.append(record.cid)
    return found


def _find_blobs(txn: Txn, cids: Iterable[Cid]) -> set[Cid]:
    """What records name that are here with their bodies."""
    records = (journal.find_record_by_cid(txn, cid) for cid in cids)
    return {blob for record in records if record is not None for blob in blobrefs.blobs_of(indexes.find_body(record))}


def _withhold_edits(txn: Txn, post: Record, held: list[Cid]) -> bool:
    """``held``: those seen a moment ago. Whether one of them had a body."""
    known = dict.fromkeys((*held, *(edit.cid for edit in edits.iter_edits(txn, post))))
    had_body = False
    for cid in known:
        edit = journal.find_record_by_cid(txn, cid)
        if edit is not None and edit.account == post.account:
            _note_with(txn, cid, post.cid)
            had_body = _take_body(txn, edit) or had_body
    return had_body


def _note_with(txn: Txn, edit: Cid, of: Cid) -> None:
    is_known = txn.get(Table.WITHHELD, edit.digest) is not None  # a decision about the edit itself stands
    if not is_known and txn.count(Table.WITHHELD) < MAX_ROWS:
        txn.put(Table.WITHHELD, edit.digest, _WITH + of.digest)
        txn.memo.pop(_NONE, None)


def _edits_that_go_with(txn: Txn, of: Cid) -> list[Cid]:
    row_of_each = _WITH + of.digest
    return [cid_of_digest(key) for key, row in txn.scan(Table.WITHHELD) if row == row_of_each]


def _count_decisions(txn: Txn) -> int:
    """Edits that go with a post do not count: their author could make any number of them."""
    if txn.count(Table.WITHHELD) < MAX_WITHHELD:
        return 0
    return sum(not row.startswith(_WITH) for _, row in txn.scan(Table.WITHHELD))


# -- bodies


def _let_come(txn: Txn, cid: Cid) -> None:
    txn.delete(Table.WITHHELD, cid.digest)
    record = journal.find_record_by_cid(txn, cid)
    if record is not None and record.body_state is BodyState.WITHHELD:
        journal.mark_bodiless(txn, record, BodyState.UNKNOWN)


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
    return _unpack(txn, cid, row) if row is not None else None


def _unpack(txn: Txn, entry: Cid, row: bytes) -> WithheldBody:
    """An edit that goes with its post has its reason and time from there."""
    of = cid_of_digest(row[len(_WITH) :]) if row.startswith(_WITH) else None
    if of is not None:
        row = txn.get(Table.WITHHELD, of.digest) or b""
    reason = row[_SINCE_BYTES:].decode(errors="replace")
    return WithheldBody(entry, reason, int.from_bytes(row[:_SINCE_BYTES], "big"), of)
