"""gc: what is to go goes, when its time has come, a few records at a time.

A round looks at a snapshot, and then acts in short transactions in which every
candidate is looked at again; it may be ended anywhere and begun anew. A dry
round only looks.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

from unhush.identity.cid import cid_of_digest
from unhush.identity.trunk import Standing
from unhush.storage import accounts, indexes, journal, logs, standing
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.blobs.folder import DigestFolder
from unhush.storage.blobs.sweeping import Swept, sweep
from unhush.storage.environment import Environment
from unhush.storage.folds import blobrefs
from unhush.storage.keeping import promises
from unhush.storage.logs import pack_u64
from unhush.storage.records import Record
from unhush.storage.room import dropping, erasing, evicting, floors, scrubbing
from unhush.storage.room.candidates import Candidate, Reason, find_candidates, why
from unhush.storage.room.evicting import Eviction
from unhush.storage.room.scrubbing import scrub
from unhush.storage.room.tiers import Limits
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

T = TypeVar("T")

# The write lock is held for so long at a time, so that whoever posts does not notice.
SLICE_S: Final = 0.01
# Candidates of one round, in memory; what is left comes next time.
MAX_CANDIDATES: Final = 200_000
# A file that no record names yet may belong to a post that is being written: whoever attaches it has a day.
YOUNG_S: Final = 24 * 60 * 60.0


@dataclass(slots=True)
class Collected:
    """What a round did, or would do."""

    is_dry: bool
    erased: int = 0  # bodies of deleted records
    erased_bytes: int = 0
    dropped: int = 0  # void records
    dropped_bytes: int = 0
    waiting: int = 0  # records that go when their time has come
    next_ms: int | None = None  # when that is for the first of them
    evicted: int = 0  # records, to make room
    evicted_bytes: int = 0
    overdrawn: int = 0  # accounts that take more than they may
    forgotten: int = 0  # accounts
    blobs: Swept = field(default_factory=lambda: Swept(0, 0, 0))
    scrubbed: int = 0  # pages of the file that were overwritten
    held_back: int = 0  # pages that a reader still held, and that the next round overwrites


class Collector:
    """Does rounds for one home. ``purge`` takes out of the full text what is not shown any more."""

    def __init__(
        self,
        environment: Environment,
        *,
        network: str,
        clock_ms: Callable[[], int],
        limits: Limits,
        blobs: Blobs,
        thumbs: DigestFolder | None,
        purge: Callable[[], bool],
    ) -> None:
        self._environment = environment
        self._network = network
        self._clock_ms = clock_ms
        self._limits = limits
        self._blobs = blobs
        self._thumbs = thumbs
        self._purge = purge

    def collect(
        self, *, is_now: bool = False, is_dry: bool = False, pause: Callable[[], None] = lambda: None
    ) -> Collected:
        """One round. With ``is_now`` what the own account deleted does not wait: its owner says so.

        ``pause`` is called between two transactions; what it raises ends the round.
        """
        done = Collected(is_dry)
        with self._environment.read() as txn:
            found = list(islice(find_candidates(txn), MAX_CANDIDATES))
            overdrawn = evicting.find_overdrawn(txn, self._limits)
            liftable = evicting.find_liftable(txn, self._limits)
            listed = {candidate.cid.digest for candidate in found}
            stale = [key for key, _ in txn.scan(Table.GRACE) if key not in listed]
        done.overdrawn = len(overdrawn)
        if is_dry:
            self._foresee(done, found, is_now=is_now)
            done.evicted_bytes = sum(each.size_bytes for each in overdrawn)
            with self._environment.read() as txn:
                done.blobs = self.sweep(txn, is_dry=True)
            return done
        gone: set[bytes] = set()  # blobs that go with what their owner does not let wait
        self._in_slices(found, lambda txn, each: self._settle(txn, each, done, gone, is_now=is_now), pause)
        self._in_slices(stale, self._let_come_back, pause)
        for each in overdrawn:
            self._evict(Eviction(each, self._limits, self._network), done, pause)
        self._in_slices(liftable, floors.lift_floor, pause)
        with self._environment.read() as txn:
            roomy = evicting.find_roomy(txn, self._limits)
            done.blobs = self.sweep(txn, at_once=gone)
        self._in_slices(roomy, promises.want_again, pause)
        with self._environment.read() as txn:
            is_due = scrubbing.is_due(txn)
        if is_due or is_now:
            self.scrub(done, pause)
        return done

    def scrub(self, done: Collected, pause: Callable[[], None] = lambda: None) -> None:
        """Take what is gone out of the files too; what a reader holds back is done in a later round."""
        is_purged = self._purge()
        scrubbed = scrub(self._environment, pause=pause)
        done.scrubbed, done.held_back = scrubbed.pages, scrubbed.held_back
        if is_purged and not scrubbed.held_back:
            with self._environment.write() as txn:
                scrubbing.note_done(txn)

    # -- deleted and void records

    def _is_due(self, candidate: Candidate, now: int, *, is_now: bool) -> bool:
        if is_now and candidate.is_own:
            return True
        return candidate.since_ms is not None and now - candidate.since_ms >= self._limits.grace_ms

    def _foresee(self, done: Collected, found: Iterable[Candidate], *, is_now: bool) -> None:
        now = self._clock_ms()
        for candidate in found:
            if self._is_due(candidate, now, is_now=is_now):
                _count(done, candidate)
            else:
                self._count_waiting(done, candidate.since_ms if candidate.since_ms is not None else now)

    def _count_waiting(self, done: Collected, since_ms: int) -> None:
        due = since_ms + self._limits.grace_ms
        done.waiting += 1
        done.next_ms = due if done.next_ms is None else min(done.next_ms, due)

    def _settle(self, txn: Txn, candidate: Candidate, done: Collected, gone: set[bytes], *, is_now: bool) -> None:
        """Let a candidate wait, or go; ``gone`` takes the blobs it names if it goes before its time."""
        record = journal.find_record_by_cid(txn, candidate.cid)
        account = accounts.find_account(txn, record.account) if record is not None else None
        if record is None or account is None or why(txn, record) is not candidate.reason:
            return
        now = self._clock_ms()
        if self._is_due(candidate, now, is_now=is_now):
            if is_now and candidate.is_own:
                gone.update(blob.digest for blob in blobrefs.blobs_of(indexes.find_body(record)))
            if candidate.reason is Reason.DELETED:
                erasing.erase(txn, account, record)
            elif not self._drop_void(txn, record):
                return
            txn.delete(Table.GRACE, candidate.cid.digest)
            scrubbing.mark_due(txn)
            _count(done, candidate)
            return
        # A clock that once ran ahead must not keep anything for longer.
        since = now if candidate.since_ms is None else min(candidate.since_ms, now)
        if since != candidate.since_ms:
            txn.put(Table.GRACE, candidate.cid.digest, pack_u64(since))
        self._count_waiting(done, since)

    def _drop_void(self, txn: Txn, record: Record) -> bool:
        """False if a record in force has nobody else to vouch for it."""
        account = accounts.find_account(txn, record.account)
        header = record.entry.header
        log = logs.find_log(txn, record.account, header.key)
        assert account is not None, "a record of an unknown account was judged void"
        assert log is not None, "a record without a log was judged void"
        below = journal.find_record_by_cid(txn, header.prev) if header.prev is not None else None
        if (
            below is not None
            and standing.standing_of(txn, account, below) is not Standing.VOID
            and not dropping.stands_alone(below, self._network)
        ):
            return False
        dropping.drop(txn, account, log, record)
        return True

    @staticmethod
    def _let_come_back(txn: Txn, digest: bytes) -> None:
        """Whatever is no candidate any more waits the whole time if it becomes one again."""
        record = journal.find_record_by_cid(txn, cid_of_digest(digest))
        if record is None or why(txn, record) is None:
            txn.delete(Table.GRACE, digest)

    # -- room

    def _evict(self, eviction: Eviction, done: Collected, pause: Callable[[], None]) -> None:
        is_over = False
        while not is_over:
            with self._environment.write() as txn:
                is_over = _for_a_while(eviction.iter_steps(txn))
                scrubbing.mark_due(txn)
            pause()
        done.evicted += eviction.records
        done.evicted_bytes += eviction.size_bytes
        done.forgotten += eviction.is_forgotten

    def sweep(self, txn: Txn, *, is_dry: bool = False, at_once: Set[bytes] = frozenset()) -> Swept:
        """Take away the files no record names, but for young ones that are not to go at once."""
        return sweep(self._blobs, txn, older_than_s=YOUNG_S, dry_run=is_dry, thumbs=self._thumbs, at_once=at_once)

    # -- in short transactions

    def _in_slices(self, items: Iterable[T], work: Callable[[Txn, T], None], pause: Callable[[], None]) -> None:
        waiting = list(items)
        at = 0
        while at < len(waiting):
            with self._environment.write() as txn:
                until_s = time.monotonic() + SLICE_S
                while at < len(waiting):
                    work(txn, waiting[at])
                    at += 1
                    if time.monotonic() > until_s:
                        break
            pause()


def _for_a_while(steps: Iterator[None]) -> bool:
    """Take steps for one slice; whether there are no more."""
    until_s = time.monotonic() + SLICE_S
    return all(time.monotonic() <= until_s for _ in steps)


def _count(done: Collected, candidate: Candidate) -> None:
    match candidate.reason:
        case Reason.DELETED:
            done.erased += 1
            done.erased_bytes += candidate.size_bytes
        case Reason.VOID:
            done.dropped += 1
            done.dropped_bytes += candidate.size_bytes
