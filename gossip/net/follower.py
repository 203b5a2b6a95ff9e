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

from unhush.gossip.proto.events import Grew
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.storage.kinds import DELETE, FOLLOW
from unhush.storage.records import Record
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
    written_here: tuple[Record, ...]  # by this device: to be announced
    may_change_interests: bool


class JournalFollower:
    """Calls ``tell`` with the news of each step, in order, on the network's loop."""

    def __init__(self, store: Store, device: PublicKey, tell: Callable[[News], None]) -> None:
        self._store = store
        self._device = device
        self._tell = tell
        self._woken = trio.Event()
        self._cursor = store.last_aid()
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
            if not records:
                return False
            own = snapshot.own_account()
            holes = frozenset(
                record.account
                for record in records
                if not record.entry.header.is_identity and snapshot.has_hole_below(record)
            )
        self._cursor = records[-1].aid
        self._tell(
            News(
                grown=tuple(_grew(record) for record in records),
                holes=holes,
                written_here=tuple(record for record in records if record.entry.header.key == self._device),
                may_change_interests=any(
                    record.account == own and record.kind in (FOLLOW, DELETE) for record in records
                ),
            )
        )
        return True


def _grew(record: Record) -> Grew:
    header = record.entry.header
    return Grew(record.account, None if header.is_identity else header.key, header.seq, record.cid)


def _wake(token: trio.lowlevel.TrioToken, wake: Callable[[], None]) -> None:
    try:
        token.run_sync_soon(wake, idempotent=True)
    except trio.RunFinishedError:
        log.debug("a commit after the network ended")
