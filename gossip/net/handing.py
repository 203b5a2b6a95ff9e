"""How far our own log has left this home, kept in the store.

Sessions and announcements say so often, and a commit costs a synced write: the
highest number is written at most once a second, and at the end. What a crash
leaves unwritten is at worst sent back to us.
"""

import logging

import trio

from unhush.identity.keys import PublicKey
from unhush.storage.errors import StorageError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

SAVE_EVERY_S = 1.0


class HandedOnKeeper:
    """Remembers the highest number and writes it down in time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key: PublicKey | None = None
        self._highest = -1
        self._saved = -1
        self._is_new = trio.Event()

    def note(self, seq: int) -> None:
        """Entries up to this number left."""
        if seq > self._highest:
            self._highest = seq
            self._is_new.set()

    def restart(self, key: PublicKey | None) -> None:
        """This home writes the log of this key now."""
        self._key = key
        self._highest = self._saved = -1

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._is_new.wait()
            self._is_new = trio.Event()
            await self.save()
            await trio.sleep(SAVE_EVERY_S)

    async def save(self) -> None:
        """Write what is not written; on another thread, since a writer waits for ingest."""
        key, seq = self._key, self._highest
        if key is None or seq <= self._saved:
            return
        try:
            await trio.to_thread.run_sync(self._store.put_handed_on, key, seq)
        except StorageError as exc:
            log.error("how far our log was sent is not kept seq=%d error=%s", seq, exc)
            return
        if key == self._key:
            self._saved = seq
