"""Following the journal: every record, from whichever process, is told to sessions and, if ours, to the mesh.

The store wakes us after commits; we read on from our own cursor, so a wake-up
lost or doubled changes nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import trio

from unhush.gossip.proto.config import Own
from unhush.gossip.proto.events import Forked, Grew
from unhush.identity.cid import Cid
from unhush.storage.kinds import DELETE, FOLLOW
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Records read between two looks at the loop: a few milliseconds of work.
STEP: Final = 200

# Records closer together than this are a burst: then a few are gathered for each frame, which costs each of them
# some milliseconds and spares both ends most of the work of a frame (a wake-up, two encryptions, a commit).
BURST_S: Final = 0.008
GATHER_S: Final = 0.004


@dataclass(frozen=True, slots=True)
class News:
    """What one step of the journal holds for the network."""

    grown: tuple[Grew, ...]
    holes: frozenset[Cid]  # accounts in whose logs an entry before a new one is missing
    refolded: frozenset[Cid]  # accounts whose operations changed
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
            records = list(islice(snapshot.journal(self._cursor), STEP))
            home = own, clone_found = find_own(snapshot), snapshot.clone_found()
            # What the home itself is may change without a record.
            if not records and home == self._home:
                return False
            entries = [record for record in records if not record.entry.header.is_identity]
            holes = frozenset(record.account for record in entries if snapshot.has_hole_below(record))
            forked = _find_forked(snapshot, entries)
        refolded = frozenset(record.account for record in records if record.entry.header.is_identity)
        self._tell(
            News(
                grown=tuple(_grew(record) for record in records),
                holes=holes,
                refolded=refolded,
                forked=forked,
                written_here=tuple(record for record in entries if own == _writer(record)),
                own=own,
                clone_found=clone_found,
                may_change_interests=own != self._home[0]
                or (own is not None and (own.account in refolded or any(_is_choice(own, entry) for entry in entries))),
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


def _find_forked(snapshot: Snapshot, entries: list[Record]) -> tuple[Forked, ...]:
    logs = {_writer(record): None for record in entries if snapshot.is_beside(record)}
    points = ((log, snapshot.fork_point(log.account, log.key)) for log in logs)
    return tuple(Forked(log.account, log.key, seq) for log, seq in points if seq is not None)


def _writer(record: Record) -> Own:
    return Own(record.account, record.entry.header.key)


def _is_choice(own: Own, record: Record) -> bool:
    """Whether a record may change whom we carry."""
    return record.account == own.account and record.kind in (FOLLOW, DELETE)


def _grew(record: Record) -> Grew:
    header = record.entry.header
    return Grew(record.account, None if header.is_identity else header.key, header.seq, record.cid)


def _wake(token: trio.lowlevel.TrioToken, wake: Callable[[], None]) -> None:
    try:
        token.run_sync_soon(wake, idempotent=True)
    except trio.RunFinishedError:
        log.debug("a commit after the network ended")
