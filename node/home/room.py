"""Room on this disk, for people: who takes what, gc, and the rounds of gc that a running node does by itself."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.node.errors import StorageError
from unhush.storage.room.collecting import Collected
from unhush.storage.room.report import RoomReport
from unhush.storage.room.tiers import Tier
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# A node that was just started has better things to do; then often enough that a quota is not full for long.
FIRST_S: Final = 5 * 60.0
EVERY_S: Final = 60 * 60.0
# Between two slices of 10 ms a running node lets others write.
REST_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Storage:
    """Who takes what of this disk, and what gc would do now."""

    report: RoomReport
    names: dict[Cid, str]  # of the accounts that are named one by one
    due: Collected


class Room:
    """Looks at the room a home takes, and makes some."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Storage:
        report = self._store.describe_room()
        with self._store.snapshot() as snapshot:
            names = {each.account: _name(snapshot, each.account) for each in report.largest}
        return Storage(report, names, self._store.collect(is_dry=True))

    def collect(
        self, *, is_now: bool = False, is_dry: bool = False, pause: Callable[[], None] = lambda: None
    ) -> Collected:
        """One round of gc. With ``is_now`` what you deleted yourself is erased without waiting thirty days.

        Raises ``StorageError``; what was done until then stays done, and the next round goes on from there.
        """
        return self._store.collect(is_now=is_now, is_dry=is_dry, pause=pause)


class _Stopped(Exception):
    """The node ends in the middle of a round."""


class Housekeeping:
    """Does a round now and then while a node runs; ``stop`` ends it between two slices."""

    def __init__(self, room: Room, *, first_s: float = FIRST_S, every_s: float = EVERY_S) -> None:
        self._room = room
        self._first_s = first_s
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="unhush-gc", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        wait_s = self._first_s
        while not self._stopping.wait(wait_s):
            wait_s = self._every_s
            try:
                done = self._room.collect(pause=self._rest)
            except _Stopped:
                return
            except StorageError as exc:
                log.error("gc could not finish its round: %s", exc)
            else:
                log.info(
                    "gc erased=%d dropped=%d evicted=%d forgotten=%d blobs=%d waiting=%d",
                    done.erased,
                    done.dropped,
                    done.evicted,
                    done.forgotten,
                    done.blobs.blocks,
                    done.waiting,
                )

    def _rest(self) -> None:
        if self._stopping.wait(REST_S):
            raise _Stopped


def _name(snapshot: Snapshot, account: Cid) -> str:
    """What you call somebody, or else what they call themselves."""
    profile = snapshot.profile(account)
    return snapshot.petname(account) or (profile.name if profile is not None else "")


__all__ = ["Collected", "Housekeeping", "Room", "RoomReport", "Storage", "Tier"]
