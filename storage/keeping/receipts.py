"""Receipts: what this home may sign that it holds of an account, read from the disk and hashed.

A receipt reaches in each log as far as the log is whole from its start, every
row still bears its id, and every body is here or excused: its author took it
back, or it is listed with a reason. Nothing is claimed by an index alone. A row
that was hashed is believed for a day, or until the process ends, as long as the
log leads to it as it did; what was dropped or erased meanwhile is seen at once.
Pictures are hashed as bodies are, each once a day.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from unhush.identity.cid import Cid, cid_of_digest
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
from unhush.storage.errors import BlobMismatch, BlobMissing, BlobsUnusable, StoreUnreadable
from unhush.storage.folds import blobrefs, deletes, profiles
from unhush.storage.journal import pack_aid
from unhush.storage.keeping import promises, withheld
from unhush.storage.logs import pack_u64
from unhush.storage.records import AID_BYTES, BodyState, Record
from unhush.storage.room import erasing
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# What was hashed is hashed again after so long: a disk may turn bits meanwhile.
BELIEVED_MS: Final = 24 * 60 * 60 * 1000
# Logs whose checks are remembered; of others everything is hashed each time.
MAX_LOGS: Final = 4_096
# What a receipt lists has to fit beside 256 heads into 64 KiB.
MAX_LISTED_BYTES: Final = 40_000
# Entries hashed in one snapshot, where there is a choice: half a second.
MOST_AT_ONCE: Final = 5_000
# Blobs whose checks are remembered. Of a home with more the rest is not claimed: nobody could hash it all each time.
MAX_BLOBS: Final = 200_000
# Of blobs at once, as of entries.
MOST_BYTES_AT_ONCE: Final = 64 * 2**20
RECENT_MS: Final = 90 * 24 * 60 * 60 * 1000

# A link, and the heads of the pair and of the reason.
_LISTED_BYTES: Final = 41 + 1 + 3
_AT_A_TIME: Final = 256

# In which row each entry of a log is, as the table has it: its aid and the digest of the entry; its place is its seq.
_Slots: TypeAlias = Sequence[bytes]


class _Media(NamedTuple):
    """A record that names blobs."""

    seq: int
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


_NOTHING_CHECKED: Final = _Checked(0, hashlib.sha256().digest(), 0)


class Checks:
    """What one process remembers of having hashed; one for each store, used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checked: OrderedDict[tuple[Cid, PublicKey], _Checked] = OrderedDict()
        self._blobs: dict[bytes, int] = {}  # digest → when it was hashed, the oldest first

    def find(self, account: Cid, key: PublicKey, now_ms: int) -> _Checked:
        with self._lock:
            known = self._checked.get((account, key))
        # A clock that was set back says nothing about how long ago it was.
        return known if known is not None and 0 <= now_ms - known.since_ms < BELIEVED_MS else _NOTHING_CHECKED

    def note(self, account: Cid, key: PublicKey, checked: _Checked) -> None:
        with self._lock:
            self._checked[account, key] = checked
            self._checked.move_to_end((account, key))
            if len(self._checked) > MAX_LOGS:
                self._checked.popitem(last=False)

    def is_blob_checked(self, blob: Cid, now_ms: int) -> bool:
        with self._lock:
            at_ms = self._blobs.get(blob.digest)
        return at_ms is not None and 0 <= now_ms - at_ms < BELIEVED_MS

    def may_check_blob(self, now_ms: int) -> bool:
        """Whether there is a place to remember one more."""
        with self._lock:
            while len(self._blobs) >= MAX_BLOBS:
                oldest = next(iter(self._blobs))
                if 0 <= now_ms - self._blobs[oldest] < BELIEVED_MS:
                    return False
                del self._blobs[oldest]
        return True

    def note_blob(self, blob: Cid, now_ms: int) -> None:
        with self._lock:
            self._blobs.pop(blob.digest, None)
            self._blobs[blob.digest] = now_ms

    def forget(self, account: Cid) -> None:
        """Something that was hashed is not there any more: all of the account is hashed again, but for pictures."""
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
    wanted = _find_wanted(txn, known, now_ms)
    media = _claim_media(txn, _Pictures(blobs, checks, now_ms), claim.media, wanted)
    return Receipt(account, tuple(claim.heads[:MAX_HEADS]), tuple(claim.listed), identity, media)


def hash_some(txn: Txn, blobs: Blobs, checks: Checks, account: Cid, now_ms: int) -> bool:
    """Hash a part of what a claim would have to; whether nothing is left of it.

    The first claim of a large account takes seconds, and no snapshot should be open for so long.
    """
    known = accounts.find_account(txn, account)
    if known is None:
        return True
    media: list[_Media] = []
    for key, cut in sorted(known.state.cuts.items()):
        before = checks.find(account, key, now_ms)
        checked, _ = _check_log(txn, checks, known, key, cut=cut, now_ms=now_ms, most=MOST_AT_ONCE)
        if checked.count - before.count >= MOST_AT_ONCE or checked.count < before.count:
            return False
        media += checked.media
    pictures = _Pictures(blobs, checks, now_ms)
    wanted = _find_wanted(txn, known, now_ms)
    for each in filter(wanted.is_promised, media):
        for blob in _named_now(txn, each):
            pictures.is_here(blob)
            if pictures.hashed_bytes >= MOST_BYTES_AT_ONCE:
                return False
    return True


def _find_operations(txn: Txn, account: Cid) -> list[Record]:
    """The operations held, if each of them is what was stored: by them everything else is judged."""
    try:
        found = accounts.iter_operations(txn, account)
    except StoreUnreadable:
        return []
    return found if all(record.body is not None and serving.is_sound(txn, record) for record in found) else []


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which pictures were promised: nobody hashes what is not claimed."""

    promised: MediaPolicy
    since_ms: int
    profile: int | None  # the aid of the one that stands: its pictures are shown however old it is

    def is_promised(self, media: _Media) -> bool:
        return self.promised is MediaPolicy.ALL or (self.promised is MediaPolicy.RECENT and self.is_recent(media))

    def is_recent(self, media: _Media) -> bool:
        return media.time_ms >= self.since_ms or media.aid == self.profile


def _find_wanted(txn: Txn, account: Account, now_ms: int) -> _Wanted:
    promise = promises.find_promise(txn, account.id)
    media = promise.media if promise is not None else MediaPolicy.NONE
    return _Wanted(media, now_ms - RECENT_MS, profiles.find_profile_aid(txn, account.number))


# -- hashing


def _check_log(
    txn: Txn, checks: Checks, account: Account, key: PublicKey, *, cut: Cut, now_ms: int, most: int = logs.LAST_SEQ
) -> tuple[_Checked, _Slots]:
    """How many entries of a log are whole from its start, and where they are; ``most`` are hashed now."""
    slots = _slots_from_start(txn, account.id, key, cut)
    before = checks.find(account.id, key, now_ms)
    if before.count > len(slots) or _lead(slots[: before.count]) != before.led_there:
        before = _NOTHING_CHECKED
    since_ms = before.since_ms if before.count else now_ms
    bodiless, media, count = set(before.bodiless), list(before.media), before.count
    below = _digest_of(slots[count - 1]) if count else None
    for part in _parts(slots[: count + most], count):
        for slot, record in zip(part, serving.find_records(txn, [_aid_of(each) for each in part]), strict=True):
            if record is None or not _belongs(record, _digest_of(slot), account.id, key, seq=count, below=below):
                break
            if record.body is None:
                bodiless.add(count)
            elif named := _find_media(record):
                media.append(named)
            below, count = _digest_of(slot), count + 1
        else:
            continue
        break
    if count == before.count:
        return before, slots
    checked = _Checked(count, _lead(slots[:count]), since_ms, frozenset(bodiless), tuple(media))
    checks.note(account.id, key, checked)
    return checked, slots


def _slots_from_start(txn: Txn, account: Cid, key: PublicKey, cut: Cut) -> _Slots:
    """The places of a log from its first entry to the first hole, or to its cut."""
    log = logs.find_log(txn, account, key)
    if log is None or cut == NOTHING:
        return ()
    found: list[bytes] = []
    for place, slot in txn.scan(Table.SLOTS, log):
        if place[4:] != pack_u64(len(found)) or (cut != OPEN and len(found) > cut[0]) or len(slot) != _SLOT_BYTES:
            break
        found.append(slot)
    return found


_SLOT_BYTES: Final = AID_BYTES + 32


def _aid_of(slot: bytes) -> int:
    return int.from_bytes(slot[:AID_BYTES], "big")


def _digest_of(slot: bytes) -> bytes:
    return slot[AID_BYTES:]


def _lead(slots: _Slots) -> bytes:
    """A digest over which rows a log leads to."""
    return hashlib.sha256(b"".join(slots)).digest()


def _parts(slots: _Slots, start: int = 0) -> Iterator[_Slots]:
    return (slots[at : at + _AT_A_TIME] for at in range(start, len(slots), _AT_A_TIME))


def _belongs(record: Record, digest: bytes, account: Cid, key: PublicKey, *, seq: int, below: bytes | None) -> bool:
    """Whether the record is the one that is said to stand there, on top of the one below it."""
    header = record.entry.header
    return (
        record.cid.digest == digest
        and record.account == account
        and header.key == key
        and header.seq == seq
        and (header.prev.digest if header.prev is not None else None) == below
    )


def _find_media(record: Record) -> _Media | None:
    if record.body is None or not blobrefs.may_name_blobs(record.body):
        return None
    blobs = blobrefs.blobs_of(indexes.find_body(record))
    header = record.entry.header
    return _Media(header.seq, record.aid, header.time, blobs) if blobs else None


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
        for seq in _iter_bodiless(txn, slots, checked):
            if not self._excuse(txn, slots[seq]):
                reach = seq
                break
        if reach:
            self.heads.append(Head(key, reach - 1, cid_of_digest(_digest_of(slots[reach - 1]))))
        self.media += (each for each in checked.media if each.seq < reach)

    def _excuse(self, txn: Txn, slot: bytes) -> bool:
        """Whether an entry without its body may be covered; lists it where that needs a word."""
        record = serving.find_record(txn, _aid_of(slot))
        if record is None or record.cid.digest != _digest_of(slot):
            return False
        reason = withheld.find_reason(txn, record.cid)
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
        self.listed.append(Withheld(record.cid, reason))
        self._listed_bytes += size
        return True


# What nobody gave to this home either. The reasons are others' word, so the entries are listed.
_HEARSAY: Final = {
    BodyState.MALFORMED: "its bytes are no body",
    BodyState.DELETED: "others gave it as deleted",
    BodyState.WITHHELD: "others withheld it",
}


def _iter_bodiless(txn: Txn, slots: _Slots, checked: _Checked) -> Iterator[int]:
    """Entries without their bodies, by the rows that were read and by what was erased since; ascending."""
    if not txn.count(Table.BODILESS):
        yield from (seq for seq in sorted(checked.bodiless) if seq < len(slots))
        return
    at = 0
    for part in _parts(slots):
        lacking = txn.get_many(Table.BODILESS, [slot[:AID_BYTES] for slot in part])
        for seq, slot in enumerate(part, at):
            if slot[:AID_BYTES] in lacking or seq in checked.bodiless:
                yield seq
        at += len(part)


class _Pictures:
    """Blobs on this disk, read and hashed unless they were within a day."""

    def __init__(self, blobs: Blobs, checks: Checks, now_ms: int) -> None:
        self._blobs = blobs
        self._checks = checks
        self._now_ms = now_ms
        self.hashed_bytes = 0

    def is_here(self, blob: Cid) -> bool:
        """Whether it is here whole; one that is damaged is put aside, and counts as not here from then on."""
        if not self._blobs.has(blob):
            return False
        if self._checks.is_blob_checked(blob, self._now_ms):
            return True
        if not self._checks.may_check_blob(self._now_ms):
            return False
        try:
            size = sum(map(len, self._blobs.iter_range(blob)))
        except (BlobMissing, BlobMismatch, BlobsUnusable):
            return False
        self.hashed_bytes += size  # of what was remembered alone, so that whoever goes on in parts comes to an end
        self._checks.note_blob(blob, self._now_ms)
        return True


def _claim_media(txn: Txn, pictures: _Pictures, media: Iterable[_Media], wanted: _Wanted) -> MediaPolicy:
    """The most that was promised and is here: of what the entries covered name and nobody took back."""
    is_all = is_recent = True
    for each in filter(wanted.is_promised, media):
        if not all(map(pictures.is_here, _named_now(txn, each))):
            is_all = False
            is_recent = is_recent and not wanted.is_recent(each)
    if is_all:
        return wanted.promised
    return MediaPolicy.RECENT if is_recent else MediaPolicy.NONE


def _named_now(txn: Txn, media: _Media) -> list[Cid]:
    """The blobs that nobody took back since."""
    return [blob for blob in media.blobs if txn.get(Table.BLOB_REFS, blob.digest + pack_aid(media.aid)) is not None]
