"""Receipts: what this home may sign that it holds of an account, read from the disk and hashed.

A receipt reaches in each log as far as the log is whole from its start, every
row still bears its id, and every body is here or excused: its author took it
back, or it is listed with a reason. Nothing is claimed by an index alone. A row
that was hashed is believed for a day, or until the process ends, as long as the
log leads to it as it did; what was dropped or erased meanwhile is seen at once.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import NOTHING, OPEN, Cut
from unhush.identity.statement import (
    MAX_HEADS,
    MAX_WITHHELD,
    Head,
    MediaPolicy,
    Receipt,
    Withheld,
    digest_operations,
)
from unhush.storage import accounts, indexes, logs, serving
from unhush.storage.accounts import Account
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.errors import StoreUnreadable
from unhush.storage.folds import blobrefs, deletes
from unhush.storage.journal import pack_aid
from unhush.storage.keeping import promises, withheld
from unhush.storage.records import BodyState, Record
from unhush.storage.room import erasing
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# What was hashed is hashed again after so long: a disk may turn bits meanwhile.
BELIEVED_MS: Final = 24 * 60 * 60 * 1000
# Logs whose checks are remembered; of others everything is hashed each time.
MAX_LOGS: Final = 4_096
# What a receipt lists has to fit beside 256 heads into 64 KiB.
MAX_LISTED_BYTES: Final = 40_000
RECENT_MS: Final = 90 * 24 * 60 * 60 * 1000

# A link, and the heads of the pair and of the reason.
_LISTED_BYTES: Final = 41 + 1 + 3
_AT_A_TIME: Final = 256

_Slots: TypeAlias = Sequence[logs.Slot]


class _Media(NamedTuple):
    """A record that names blobs."""

    aid: int
    time_ms: int
    blobs: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class _Checked:
    """Of one log: so many entries from its start were hashed, the first of them at ``since_ms``."""

    count: int
    led_there: bytes  # digest over the slots that led to them
    since_ms: int
    bodiless: frozenset[int] = frozenset()  # their numbers
    media: tuple[_Media, ...] = ()


NOTHING_CHECKED: Final = _Checked(0, hashlib.sha256().digest(), 0)


class Checks:
    """What one process remembers of having hashed; one for each store, used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checked: OrderedDict[tuple[Cid, PublicKey], _Checked] = OrderedDict()

    def find(self, account: Cid, key: PublicKey, now_ms: int) -> _Checked:
        with self._lock:
            known = self._checked.get((account, key))
        # A clock that was set back says nothing about how long ago it was.
        return known if known is not None and 0 <= now_ms - known.since_ms < BELIEVED_MS else NOTHING_CHECKED

    def note(self, account: Cid, key: PublicKey, checked: _Checked) -> None:
        with self._lock:
            self._checked[account, key] = checked
            self._checked.move_to_end((account, key))
            if len(self._checked) > MAX_LOGS:
                self._checked.popitem(last=False)

    def forget(self, account: Cid) -> None:
        """Something that was hashed is not there any more: all of the account is hashed again."""
        with self._lock:
            for log in [log for log in self._checked if log[0] == account]:
                del self._checked[log]


def claim_receipt(txn: Txn, blobs: Blobs, checks: Checks, account: Cid, now_ms: int) -> Receipt:
    """What may be signed about an account now; without heads, if that is nothing."""
    known = accounts.find_account(txn, account)
    operations = _find_operations(txn, account)
    if known is None or not operations:
        return Receipt(account, (), (), digest_operations(()), MediaPolicy.NONE)
    claim = _Claim()
    for key, cut in sorted(known.state.cuts.items()):
        checked, slots = _check_log(txn, checks, known, key, cut=cut, now_ms=now_ms)
        claim.add_log(txn, key, slots[: checked.count], checked)
    identity = digest_operations(record.cid for record in operations)
    media = _claim_media(txn, blobs, claim.media, _promised(txn, account), now_ms)
    return Receipt(account, tuple(claim.heads[:MAX_HEADS]), tuple(claim.listed), identity, media)


def _find_operations(txn: Txn, account: Cid) -> list[Record]:
    """The operations held, if each of them is what was stored: by them everything else is judged."""
    try:
        found = accounts.iter_operations(txn, account)
    except StoreUnreadable:
        return []
    return found if all(record.body is not None and serving.is_sound(txn, record) for record in found) else []


def _promised(txn: Txn, account: Cid) -> MediaPolicy:
    promise = promises.find_promise(txn, account)
    return promise.media if promise is not None else MediaPolicy.NONE


# -- hashing


def _check_log(
    txn: Txn, checks: Checks, account: Account, key: PublicKey, *, cut: Cut, now_ms: int
) -> tuple[_Checked, _Slots]:
    """How many entries of a log are whole from its start, and where they are."""
    slots = _slots_from_start(txn, account.id, key, cut)
    before = checks.find(account.id, key, now_ms)
    if before.count > len(slots) or _lead(slots[: before.count]) != before.led_there:
        before = NOTHING_CHECKED
    since_ms = before.since_ms if before.count else now_ms
    bodiless, media, count = set(before.bodiless), list(before.media), before.count
    below = slots[count - 1].cid if count else None
    for part in _parts(slots[count:]):
        for slot, record in zip(part, serving.find_records(txn, [each.aid for each in part]), strict=True):
            if record is None or not _belongs(record, slot, account.id, key, below):
                break
            if record.body is None:
                bodiless.add(slot.seq)
            elif named := _find_media(record):
                media.append(named)
            below, count = slot.cid, count + 1
        else:
            continue
        break
    checked = _Checked(count, _lead(slots[:count]), since_ms, frozenset(bodiless), tuple(media))
    checks.note(account.id, key, checked)
    return checked, slots


def _slots_from_start(txn: Txn, account: Cid, key: PublicKey, cut: Cut) -> _Slots:
    """The places of a log from its first entry to the first hole, or to its cut."""
    log = logs.find_log(txn, account, key)
    if log is None or cut == NOTHING:
        return ()
    found: list[logs.Slot] = []
    for slot in logs.iter_slots(txn, log):
        if slot.seq != len(found) or (cut != OPEN and slot.seq > cut[0]):
            break
        found.append(slot)
    return found


def _lead(slots: Iterable[logs.Slot]) -> bytes:
    """A digest over which rows a log leads to."""
    digest = hashlib.sha256()
    for slot in slots:
        digest.update(pack_aid(slot.aid) + slot.cid.digest)
    return digest.digest()


def _parts(slots: _Slots) -> Iterator[_Slots]:
    return (slots[at : at + _AT_A_TIME] for at in range(0, len(slots), _AT_A_TIME))


def _belongs(record: Record, slot: logs.Slot, account: Cid, key: PublicKey, below: Cid | None) -> bool:
    """Whether the record is the one that is said to stand there, on top of the one below it."""
    header = record.entry.header
    return (
        record.cid == slot.cid
        and record.account == account
        and header.key == key
        and header.seq == slot.seq
        and header.prev == below
    )


def _find_media(record: Record) -> _Media | None:
    if record.body is None or not blobrefs.may_name_blobs(record.body):
        return None
    blobs = blobrefs.blobs_of(indexes.find_body(record))
    return _Media(record.aid, record.entry.header.time, blobs) if blobs else None


# -- claiming


@dataclass(slots=True)
class _Claim:
    """A receipt that grows log by log."""

    heads: list[Head] = field(default_factory=list)
    listed: list[Withheld] = field(default_factory=list)
    media: list[_Media] = field(default_factory=list)
    _listed_bytes: int = 0

    def add_log(self, txn: Txn, key: PublicKey, slots: _Slots, checked: _Checked) -> None:
        """``slots``: of the entries that are whole; ``checked``: what is known of them."""
        reach = len(slots)
        for slot in _iter_bodiless(txn, slots, checked):
            if not self._excuse(txn, slot):
                reach = slot.seq
                break
        if reach:
            self.heads.append(Head(key, slots[reach - 1].seq, slots[reach - 1].cid))
        covered = {slot.aid for slot in slots[:reach]}
        self.media += (each for each in checked.media if each.aid in covered)

    def _excuse(self, txn: Txn, slot: logs.Slot) -> bool:
        """Whether an entry without its body may be covered; lists it where that needs a word."""
        record = serving.find_record(txn, slot.aid)
        if record is None or record.cid != slot.cid:
            return False
        reason = withheld.find_reason(txn, slot.cid)
        if reason is None:
            if deletes.is_deleted(txn, record) or erasing.is_erased(txn, record):
                if record.body_state is BodyState.DELETED:
                    return True
                reason = "its author took it back"
            else:
                reason = _HEARSAY.get(record.body_state)
        if reason is None:
            return False
        size = _LISTED_BYTES + len(reason.encode())
        if len(self.listed) == MAX_WITHHELD or self._listed_bytes + size > MAX_LISTED_BYTES:
            return False
        self.listed.append(Withheld(slot.cid, reason))
        self._listed_bytes += size
        return True


# What nobody gave to this home either. The reasons are others' word, so the entries are listed.
_HEARSAY: Final = {
    BodyState.MALFORMED: "its bytes are no body",
    BodyState.DELETED: "others gave it as deleted",
    BodyState.WITHHELD: "others withheld it",
}


def _iter_bodiless(txn: Txn, slots: _Slots, checked: _Checked) -> Iterable[logs.Slot]:
    """Entries without their bodies, by the rows that were read and by what was erased since; ascending."""
    if not txn.count(Table.BODILESS):
        yield from (slots[seq] for seq in sorted(checked.bodiless) if seq < len(slots))
        return
    for part in _parts(slots):
        keys = [pack_aid(slot.aid) for slot in part]
        lacking = txn.get_many(Table.BODILESS, keys)
        yield from (
            slot for slot, key in zip(part, keys, strict=True) if key in lacking or slot.seq in checked.bodiless
        )


def _claim_media(txn: Txn, blobs: Blobs, media: Iterable[_Media], promised: MediaPolicy, now_ms: int) -> MediaPolicy:
    """The most that was promised and is here: of what the entries covered name and nobody took back."""
    if promised is MediaPolicy.NONE:
        return promised
    is_all = is_recent = True
    for each in media:
        wanted = [blob for blob in each.blobs if txn.get(Table.BLOB_REFS, blob.digest + pack_aid(each.aid)) is not None]
        if not all(map(blobs.has, wanted)):
            is_all = False
            is_recent = is_recent and each.time_ms < now_ms - RECENT_MS
    if is_all:
        return promised
    return MediaPolicy.RECENT if is_recent else MediaPolicy.NONE
