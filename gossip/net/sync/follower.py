"""Following the journal: every record, from whichever process, is told to sessions and, if ours, to the mesh.

The store wakes us after commits; we read on from our own cursor, so a wake-up
lost or doubled changes nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

import trio

from unhush.gossip.net.sync.concerning import find_concerns
from unhush.gossip.net.sync.travelling import grew
from unhush.gossip.proto.config import Own
from unhush.gossip.proto.events import Concerns, Forked, Grew, LogGrew
from unhush.gossip.proto.ranges import NOTHING, Ranges
from unhush.identity.cid import Cid, checked_cid
from unhush.identity.keys import PublicKey
from unhush.storage.errors import DamagedRow
from unhush.storage.kinds import DELETE, FOLLOW
from unhush.storage.records import BodyState, Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Records read between two looks at the loop: a few milliseconds of work.
STEP: Final = 200

# Records closer together than this are a burst: then a few are gathered for each frame, which costs each of them
# some milliseconds and spares both ends most of the work of a frame (a wake-up, two encryptions, a commit).
BURST_S: Final = 0.008
GATHER_S: Final = 0.004

# Somebody else may have the body.
_LACKING: Final = (BodyState.UNKNOWN, BodyState.WITHHELD)


@dataclass(frozen=True, slots=True)
class News:
    """What one step of the journal holds for the network."""

    grown: tuple[Grew | LogGrew, ...]
    holes: frozenset[Cid]  # accounts in whose logs an entry before a new one is missing
    refolded: frozenset[Cid]  # accounts whose operations changed
    concerning: tuple[Concerns, ...]  # fresh records that concern others than their authors
    lacking: tuple[tuple[Cid, Cid], ...]  # account and id of records whose bodies nobody has given us yet
    forked: tuple[Forked, ...]  # logs in which a record came to stand beside the shown branch
    written_here: tuple[Record, ...]  # by this device: to be announced
    own: Own | None  # this home's account and device
    clone_found: bool  # another home writes under this device's key
    may_change_interests: bool


class JournalFollower:
    """Calls ``tell`` with the news of each step, in order, on the network's loop."""

    def __init__(self, store: Store, tell: Callable[[News], None]) -> None:
        self._store = store
        self._tell = tell
        self._woken = trio.Event()
        with store.snapshot() as snapshot:
            self._cursor = snapshot.last_aid()
            self._home = find_own(snapshot), snapshot.clone_found()
        self._stepped_at = -BURST_S

    async def run(self) -> None:
        """Follow until cancelled."""
        token = trio.lowlevel.current_trio_token()
        unsubscribe = self._store.subscribe(lambda: _wake(token, self.wake))
        try:
            while True:
                self._woken = trio.Event()
                while self._step():  # noqa: ASYNC110  # the pause gathers; the event is for when nothing is left
                    await trio.sleep(self._pause())
                await self._woken.wait()
        finally:
            unsubscribe()

    def wake(self) -> None:
        self._woken.set()

    def _pause(self) -> float:
        """Nothing after a single record, so that it goes out at once; in a burst, time to gather a few."""
        now = trio.current_time()
        is_burst = now - self._stepped_at < BURST_S
        self._stepped_at = now
        return GATHER_S if is_burst else 0.0

    def _step(self) -> bool:
        with self._store.snapshot() as snapshot:
            records = list(islice(snapshot.unchecked_journal(self._cursor), STEP))
            home = own, clone_found = find_own(snapshot), snapshot.clone_found()
            # What the home itself is may change without a record.
            if not records and home == self._home:
                return False
            operations, entries = _part(records)
            holes = frozenset(
                log.account for log, part in entries.items() if any(map(snapshot.has_hole_below, _find_starts(part)))
            )
            forked = _find_forked(snapshot, entries)
            concerning = find_concerns(snapshot, chain.from_iterable(entries.values()))
            written_here = [each for each in entries.get(own, ()) if snapshot.is_sound(each)] if own is not None else []
        refolded = frozenset(record.account for record in operations)
        self._tell(
            News(
                grown=_find_growth(operations, entries),
                holes=holes,
                refolded=refolded,
                concerning=concerning,
                lacking=tuple(
                    (log.account, record.cid)
                    for log, part in entries.items()
                    for record in part
                    if record.body_state in _LACKING
                ),
                forked=forked,
                written_here=tuple(written_here),
                own=own,
                clone_found=clone_found,
                may_change_interests=own != self._home[0]
                or (own is not None and (own.account in refolded or _may_choose(own, entries))),
            )
        )
        self._home = home
        if records:
            self._cursor = records[-1].aid
        return bool(records)


def find_own(snapshot: Snapshot) -> Own | None:
    """The account and device of this home, if it has both."""
    account, device = snapshot.own_account(), snapshot.own_device()
    return Own(account, device) if account is not None and device is not None else None


def _part(records: list[Record]) -> tuple[list[Record], dict[Own, list[Record]]]:
    """Operations, and the entries of each log; what cannot be read is left out, as it is of everything."""
    operations: list[Record] = []
    logs: dict[tuple[bytes, bytes], list[Record]] = {}
    for record in records:
        try:
            place = record.place
        except DamagedRow as exc:
            log.error("a damaged record is not told of aid=%d problem=%s; run: unhush verify --repair", exc.aid, exc)
            continue
        if place is None:
            operations.append(record)
        else:
            logs.setdefault((place.account, place.key), []).append(record)
    return operations, {_log_of(part[0]): part for part in logs.values()}


def _log_of(record: Record) -> Own:
    place = record.place
    assert place is not None, "an operation among the entries of a log"
    return Own(checked_cid(place.account), PublicKey(place.key))


def _find_growth(operations: list[Record], entries: dict[Own, list[Record]]) -> tuple[Grew | LogGrew, ...]:
    """Operations one by one, entries by their logs."""
    logs = (LogGrew(log.account, log.key, _seqs_of(part)) for log, part in entries.items())
    return (*map(grew, operations), *logs)


def _seqs_of(part: list[Record]) -> Ranges:
    """Mostly one run, oldest first."""
    found = NOTHING
    low = high = _seq(part[0])
    for record in part[1:]:
        seq = _seq(record)
        if seq == high + 1:
            high = seq
        else:
            found = found.add(low, high)
            low = high = seq
    return found.add(low, high)


def _find_starts(part: list[Record]) -> list[Record]:
    """The entries of a log that do not follow upon one of the same step: only below these there may be a hole."""
    numbers = set(map(_seq, part))
    return [record for record in part if _seq(record) - 1 not in numbers]


def _seq(record: Record) -> int:
    place = record.place
    assert place is not None, "an operation among the entries of a log"
    return place.seq


def _find_forked(snapshot: Snapshot, entries: dict[Own, list[Record]]) -> tuple[Forked, ...]:
    logs = (
        log
        for log, part in entries.items()
        if snapshot.has_beside(log.account, log.key) and any(map(snapshot.is_beside, part))
    )
    points = ((log, snapshot.fork_point(log.account, log.key)) for log in logs)
    return tuple(Forked(log.account, log.key, seq) for log, seq in points if seq is not None)


def _may_choose(own: Own, entries: dict[Own, list[Record]]) -> bool:
    """Whether a record may change whom we carry."""
    return any(
        record.kind in (FOLLOW, DELETE)
        for log, part in entries.items()
        if log.account == own.account
        for record in part
    )


def _wake(token: trio.lowlevel.TrioToken, wake: Callable[[], None]) -> None:
    try:
        token.run_sync_soon(wake, idempotent=True)
    except trio.RunFinishedError:
        log.debug("a commit after the network ended")
