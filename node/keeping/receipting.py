"""When receipts are given: for each account that is kept, as soon as what came has come to rest, and not too often.

A receipt is read from the disk and not from an index, so giving one takes as
long as reading the account; what that costs bounds how soon the next is given.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from unhush.gossip.proto.pacing import Allowance
from unhush.identity.cid import Cid
from unhush.identity.statement import MediaPolicy, Receipt, Statement
from unhush.node.keeping.voice import Voice
from unhush.storage.errors import StorageError
from unhush.storage.keeping.promises import Promise
from unhush.storage.store import Store

log = logging.getLogger(__name__)

RENEW_MS: Final = 24 * 60 * 60 * 1000
# What comes in is waited for until it has been quiet for so long, or this long in all.
QUIET_S: Final = 1.0
GROWING_S: Final = 60.0
# Three receipts of an account at once, then one a minute.
RECEIPTS: Final = 3
INTERVAL_S: Final = 180.0
# Reading and hashing accounts takes at most this share of the time; and so does looking for what grew.
SHARE: Final = 0.2
# What is no longer withheld is asked of peers at once: so long it is waited for, before a receipt says it is not here.
COMING_S: Final = 5.0
# Records of the journal looked at in one go, for the accounts that grew.
_STEP: Final = 2_000
# Old receipts are looked for so often, and those that the own store gave up.
_AGES_EVERY_S: Final = 60.0
# What was hashed of one account is hashed again no sooner than this because somebody asked for what is not there.
LOOK_ANEW_S: Final = 600.0
# A receipt that the own store gave up is given again no sooner: it may be given up again.
AGAIN_S: Final = 600.0
# While pictures are not here that were promised, so often it is seen whether they are.
PICTURES_S: Final = 600.0

Say = Callable[[Receipt], Statement | None]


class ReceiptNotKept(Exception):
    """The own store did not take a receipt in, so nobody would hear of it; to be tried again."""


@dataclass(slots=True)
class _Due:
    """An account of which there may be something to say. Times are of the monotonic clock."""

    since: float
    grew_at: float
    not_before: float = 0.0
    is_anew: bool = False  # all is hashed again
    is_bidden: bool = False  # the person withheld something: it is said at once, however much was said lately


@dataclass(slots=True)
class _Kept:
    promise: Promise
    receipts: Allowance = field(default_factory=lambda: Allowance(RECEIPTS, INTERVAL_S))
    anew_at: float = 0.0  # when it may be looked at anew again
    again_at: float = 0.0  # when a receipt that was given up may be given again
    pictures_at: float = 0.0  # when it is seen again whether pictures came that were promised


class Receipting:
    """Used by one thread; ``say`` signs and stores."""

    def __init__(self, store: Store, voice: Voice, clock_ms: Callable[[], int], say: Say) -> None:
        self._store = store
        self._voice = voice
        self._clock_ms = clock_ms
        self._say = say
        self._kept: dict[Cid, _Kept] = {}
        self._due: dict[Cid, _Due] = {}
        self._withheld: dict[Cid, str] | None = None  # and why
        self._cursor: int | None = None
        self._read_at = 0.0  # when promises may be read again
        self._aged_at: float | None = None
        self._claim_at = 0.0  # when an account may be read again
        self._not_kept: set[Cid] = set()

    @property
    def problem(self) -> str:
        """Why receipts are given that nobody hears of; empty if there are none. Callable from any thread."""
        few = len(self._not_kept)
        return f"the store took in no receipt for {few} of the accounts, which is tried again" if few else ""

    def look(self, promises: Mapping[Cid, Promise], own: Cid, now: float, is_interrupted: Callable[[], bool]) -> float:
        """Give what is due; when to look again, at the latest."""
        if now < self._read_at:
            return self._read_at
        began = time.monotonic()
        self._note_promises(promises, own, now)
        self._note_withheld(now)
        is_behind = self._note_grown(now)
        self._note_old(now)
        self._end_dropped(promises)
        self._read_at = now + (time.monotonic() - began) / SHARE
        next_at = self._read_at if is_behind else float("inf")
        for of, due in list(self._due.items()):
            if is_interrupted():
                return now
            at = max(min(due.grew_at + QUIET_S, due.since + GROWING_S), due.not_before, self._claim_at)
            if due.is_bidden:
                at = self._claim_at
            if at <= now:
                may_give = due.is_bidden or self._kept[of].receipts.spend(1, now)
                due.is_bidden = False  # if it fails now it is tried as any other
                if may_give and self._try_to_give(of, is_anew=due.is_anew):
                    del self._due[of]
                    continue
                at = due.not_before = now + INTERVAL_S / RECEIPTS
            next_at = min(next_at, at)
        return next_at

    def may_look_anew(self, of: Cid, now: float) -> bool:
        """Whether all of an account may be hashed now because somebody asks; if so, that was the time for it."""
        kept = self._kept.get(of)
        if kept is None or now < max(kept.anew_at, self._claim_at):
            return False
        kept.anew_at = now + LOOK_ANEW_S
        return True

    def look_anew(self, of: Cid, now: float) -> None:
        """Something is not there that a receipt names: hash all of the account again, when it may be."""
        kept = self._kept.get(of)
        if kept is not None and now >= kept.anew_at:
            kept.anew_at = now + LOOK_ANEW_S
            self._touch(of, now)
            self._due[of].is_anew = True

    def _try_to_give(self, of: Cid, *, is_anew: bool = False) -> bool:
        """An account that cannot be read now keeps no other from its receipt."""
        try:
            self.give(of, is_anew=is_anew)
        except (StorageError, ReceiptNotKept) as exc:
            log.warning("no receipt now of=%s reason=%s", of, exc)
            if isinstance(exc, ReceiptNotKept):
                self._not_kept.add(of)
            return False
        self._not_kept.discard(of)
        return True

    def give(self, of: Cid, *, is_anew: bool = False) -> Statement | None:
        """Look at all that is on the disk of an account, and say it, if it was not said before or that was long ago.

        The newest receipt there is then; None if there is none. ``is_anew``: also what was hashed lately. Raises
        ``ReceiptNotKept``.
        """
        began = time.monotonic()
        # What is asked for in vain may have been hashed an hour ago, and damaged since. A large account in parts.
        is_hashed = False
        while not is_hashed:
            with self._store.snapshot() as snapshot:
                is_hashed, is_anew = snapshot.hash_some(of, is_anew=is_anew), False
        with self._store.snapshot() as snapshot:
            claim = snapshot.claim_receipt(of)
        self._claim_at = began + (time.monotonic() - began) / SHARE
        last = self._voice.last(Receipt.type, of.digest)
        if last is None and not claim.heads:
            return None  # nothing is here yet, and nothing was ever said
        if last is not None and last.claim == claim and not self._is_old(last) and self._is_held(last):
            return last
        said = self._say(claim)
        if said is None:
            raise ReceiptNotKept("the own store has no place for it")
        return said

    def _is_held(self, receipt: Statement) -> bool:
        """Whether a receipt is still in the own store, from where peers get it."""
        with self._store.snapshot() as snapshot:
            return snapshot.does_hold(receipt)

    # -- what there is to say

    def _touch(self, of: Cid, now: float, *, has_grown: bool = False) -> None:
        due = self._due.setdefault(of, _Due(now, now if has_grown else now - QUIET_S))
        if has_grown:
            due.grew_at = now

    def _note_promises(self, promises: Mapping[Cid, Promise], own: Cid, now: float) -> None:
        for of, promise in promises.items():
            if of != own and (of not in self._kept or self._kept[of].promise != promise):
                # Those of earlier runs too: what is on the disk may not be what it was.
                self._kept[of] = _Kept(promise)
                self._touch(of, now)
        for of in self._kept.keys() - promises.keys():
            del self._kept[of]
            self._due.pop(of, None)
            self._not_kept.discard(of)

    def _note_withheld(self, now: float) -> None:
        withheld = {entry: each.reason for entry, each in self._store.withheld.all().items()}
        before, self._withheld = self._withheld, withheld
        if before is None or withheld == before:
            return
        with self._store.snapshot() as snapshot:
            for entry, _ in withheld.items() ^ before.items():
                record = snapshot.record(entry)
                if record is None or record.account not in self._kept:
                    continue
                self._touch(record.account, now)
                if entry in withheld:
                    self._due[record.account].is_bidden = True
                else:
                    self._due[record.account].not_before = now + COMING_S

    def _note_grown(self, now: float) -> bool:
        """Whether there is more to look through."""
        with self._store.snapshot() as snapshot:
            if self._cursor is None or not self._kept:
                self._cursor = snapshot.last_aid()  # all that is kept is looked at anyway
                return False
            records = list(islice(snapshot.journal(self._cursor), _STEP))
            for record in records:
                self._cursor = record.aid
                if record.account in self._kept:
                    self._touch(record.account, now, has_grown=True)
            return len(records) == _STEP

    def _note_old(self, now: float) -> None:
        if self._aged_at is not None and now < self._aged_at + _AGES_EVERY_S:
            return
        self._aged_at = now
        for of, kept in self._kept.items():
            last = self._voice.last(Receipt.type, of.digest)
            # None: nothing was here yet, or this device has a new key.
            if last is None or self._is_old(last):
                self._touch(of, now)
            elif now >= kept.again_at and not self._is_held(last):
                log.warning("the own store gave up the own receipt, which is given again of=%s", of)
                kept.again_at = now + AGAIN_S
                self._touch(of, now)
            elif now >= kept.pictures_at and _lacks_pictures(last, kept.promise):
                kept.pictures_at = now + PICTURES_S  # they come after their records, and make no news
                self._touch(of, now)

    def _is_old(self, receipt: Statement) -> bool:
        return self._clock_ms() >= receipt.time + RENEW_MS

    def _end_dropped(self, promises: Mapping[Cid, Promise]) -> None:
        """A promise that was taken back: over at once, and said for as long as the one before might be believed."""
        for last in self._voice.last_receipts():
            claim = last.claim
            if isinstance(claim, Receipt) and claim.heads and claim.of not in promises:
                self._say(Receipt(claim.of, (), (), claim.identity, MediaPolicy.NONE))


def _lacks_pictures(receipt: Statement, promise: Promise) -> bool:
    return isinstance(receipt.claim, Receipt) and receipt.claim.media is not promise.media
