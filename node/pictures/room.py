"""How much room pictures take here, in all and for each account whose records name them.

Pictures that were promised have a room of their own for each account that is kept: as much again as its budget. All
others share one.

Counted when a node starts and now and then later: what is collected, or fetched because somebody looks at it, is
seen only so. In between what is fetched is added.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.statement import MediaPolicy
from unhush.storage.keeping.promises import Promise
from unhush.storage.store import Store

# Pictures fetched unasked stop here, in all and for one account; who looks at one still gets it. An account that shows
# a large picture each hour has its gibibyte full in five weeks, and others have room beside it.
MAX_KEPT_BYTES: Final = 4 * 1024**3
MAX_KEPT_OF_ACCOUNT: Final = 1024**3
# Every file is looked at for this, some ten thousand of them, and every record that names one.
COUNT_EVERY_S: Final = 600.0
# Blobs of which only a part is here and that are remembered for it.
MAX_PARTS: Final = 4_096


class MediaRoom:
    """Used by one thread."""

    def __init__(self, store: Store, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock_s = clock_s
        self._parts: dict[Cid, int] = {}  # bytes counted of blobs that are not here whole
        self._taken = 0
        self._taken_by: dict[Cid, int] = {}
        self._own: Cid | None = None
        self._near: frozenset[Cid] = frozenset()  # whose pictures are fetched without a promise
        self._limits: dict[Cid, int] = {}  # of those whose pictures were promised
        self._promised = 0  # bytes that are in the rooms of these
        self._counted_at = -COUNT_EVERY_S

    def freshen(self) -> None:
        """Count anew if that was long ago. Raises ``StorageError``."""
        if self._clock_s() - self._counted_at < COUNT_EVERY_S:
            return
        self._counted_at = self._clock_s()
        with self._store.snapshot() as snapshot:
            self._taken, self._taken_by = snapshot.media_taken()
            self._own = snapshot.own_account()
            me = snapshot.account(self._own) if self._own is not None else None
            self._near = frozenset(snapshot.follows(me)) if me is not None else frozenset()
        self._count_promised()
        # What is here of these was counted, whether it is whole or not.
        self._parts = {blob: self._store.blobs.bytes_here(blob) for blob in self._parts}

    def note_promises(self, promises: Mapping[Cid, Promise]) -> None:
        """Which accounts are kept now, and how much of each."""
        self._limits = {
            account: promise.budget_bytes
            for account, promise in promises.items()
            if promise.media is not MediaPolicy.NONE
        }
        self._count_promised()

    def is_full(self) -> bool:
        """Whether nothing more is fetched unasked, but for what was promised."""
        return self._taken - self._promised >= MAX_KEPT_BYTES

    def is_full_for(self, account: Cid) -> bool:
        """Whether nothing more of this account is; one's own pictures, from other devices, are all wanted."""
        return account != self._own and self._taken_by.get(account, 0) >= MAX_KEPT_OF_ACCOUNT

    def is_shared_by(self, account: Cid) -> bool:
        """Whether the room of all others is open to this account: it is not for somebody who is only kept."""
        return account not in self._limits or account == self._own or account in self._near

    def left_of_promise(self, account: Cid) -> int:
        """Bytes that may still come because they were promised; 0 if nothing was."""
        return max(0, self._limits.get(account, 0) - self._taken_by.get(account, 0))

    def ended(self, blob: Cid, account: Cid | None, *, is_here: bool) -> None:
        """A fetch is over; what came of one that never comes whole takes room as well. Raises ``StorageError``."""
        here = self._store.blobs.bytes_here(blob)
        more = here - self._parts.pop(blob, 0)
        self._taken += more
        if account is not None:
            before = self._in_promised_room(account)
            self._taken_by[account] = self._taken_by.get(account, 0) + more
            self._promised += self._in_promised_room(account) - before
        if here and not is_here:
            self._parts[blob] = here
            if len(self._parts) > MAX_PARTS:
                del self._parts[next(iter(self._parts))]

    def _count_promised(self) -> None:
        # What two of them show counts for both, so all together never take more than the limits say.
        self._promised = sum(map(self._in_promised_room, self._limits))

    def _in_promised_room(self, account: Cid) -> int:
        return min(self._taken_by.get(account, 0), self._limits.get(account, 0))
