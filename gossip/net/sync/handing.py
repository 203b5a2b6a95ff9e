"""Which entries of our own log have left this home, kept in the store.

Sessions and announcements say so often, and a commit costs a synced write: what
is new is written at most once a second, and at the end. What a crash
leaves unwritten is at worst sent back to us.
"""

import logging

import trio

from unhush.gossip.proto.ranges import NOTHING
from unhush.identity.keys import PublicKey
from unhush.storage.clones import MAX_HANDED_ON
from unhush.storage.errors import StorageError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

SAVE_EVERY_S = 1.0


class HandedOnKeeper:
    """Remembers what left and writes it down in time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key: PublicKey | None = None
        self._unsaved = NOTHING
        self._is_new = trio.Event()

    def note(self, key: PublicKey, lo: int, hi: int) -> None:
        """Entries ``lo`` to ``hi`` by this key left; ignored if this home writes with another now."""
        if key == self._key:
            self._unsaved = self._unsaved.add(lo, hi).shrink_to(MAX_HANDED_ON)
            self._is_new.set()

    def restart(self, key: PublicKey | None) -> None:
        """This home writes the log of this key now."""
        self._key = key
        self._unsaved = NOTHING

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._is_new.wait()
            self._is_new = trio.Event()
            await self.save()
            await trio.sleep(SAVE_EVERY_S)

    async def save(self) -> None:
        """Write what is not written; on another thread, since a writer waits for ingest."""
        key, left = self._key, self._unsaved
        if key is None or not left:
            return
        try:
            await trio.to_thread.run_sync(self._store.put_handed_on, key, left.pairs)
        except StorageError as exc:
            log.error("what of our log was sent is not kept runs=%s error=%s", left.pairs[-1:], exc)
            return
        if key == self._key:
            self._unsaved = self._unsaved.subtract(left)
