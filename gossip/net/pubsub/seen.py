"""Which gossip messages we have met, bounded in number and without a thread.

The stock cache starts a thread per node that is never stopped, keeps every id for two minutes whatever
their number, and lets a sender keep an id alive by repeating it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

# Peers announce what they hold for three heartbeats and repair for five; two minutes is ample.
REMEMBER_S = 120.0

# At about 200 bytes an id this is 13 MiB, or 545 new messages a second for two minutes: twice what one core
# can deliver. Beyond it the oldest is forgotten, and may pass once more.
MAX_SEEN = 65_536


class SeenMessages:
    """Message ids in order of first sight. The same verbs as libp2p's cache, which it replaces."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def add(self, key: bytes) -> bool:
        """Note an id; true when it is new."""
        if self.has(key):
            return False
        self._until[key] = self._clock() + REMEMBER_S
        if len(self._until) > MAX_SEEN:
            self._until.popitem(last=False)
        return True

    def has(self, key: bytes) -> bool:
        self._forget_old()
        return key in self._until

    def forget(self, key: bytes) -> None:
        """As if it had not come."""
        self._until.pop(key, None)

    def length(self) -> int:
        return len(self._until)

    def _forget_old(self) -> None:
        now = self._clock()
        while self._until:
            oldest, until = next(iter(self._until.items()))
            if until > now:
                return
            del self._until[oldest]
