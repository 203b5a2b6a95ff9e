"""How much room pictures take here, in all and for each account whose records name them.

Counted when a node starts and now and then later: what is collected, or fetched because somebody looks at it, is
seen only so. In between what is fetched is added.
"""

import time
from collections.abc import Callable
from typing import Final

from unhush.identity.cid import Cid
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
        self._counted_at = -COUNT_EVERY_S

    def freshen(self) -> None:
        """Count anew if that was long ago. Raises ``StorageError``."""
        if self._clock_s() - self._counted_at < COUNT_EVERY_S:
            return
        self._counted_at = self._clock_s()
        with self._store.snapshot() as snapshot:
            self._taken, self._taken_by = snapshot.media_taken()
            self._own = snapshot.own_account()
        # What is here of these was counted, whether it is whole or not.
        self._parts = {blob: self._store.blobs.bytes_here(blob) for blob in self._parts}

    def is_full(self) -> bool:
        """Whether nothing more is fetched unasked."""
        return self._taken >= MAX_KEPT_BYTES

    def is_full_for(self, account: Cid) -> bool:
        """Whether nothing more of this account is; one's own pictures, from other devices, are all wanted."""
        return account != self._own and self._taken_by.get(account, 0) >= MAX_KEPT_OF_ACCOUNT

    def ended(self, blob: Cid, account: Cid | None, *, is_here: bool) -> None:
        """A fetch is over; what came of one that never comes whole takes room as well. Raises ``StorageError``."""
        here = self._store.blobs.bytes_here(blob)
        more = here - self._parts.pop(blob, 0)
        self._taken += more
        if account is not None:
            self._taken_by[account] = self._taken_by.get(account, 0) + more
        if here and not is_here:
            self._parts[blob] = here
            if len(self._parts) > MAX_PARTS:
                del self._parts[next(iter(self._parts))]
