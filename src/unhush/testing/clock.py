"""Virtual time: what is to happen, in order of when; between two events nothing passes.

Events of the same instant happen in the order in which they were entered, so a
run is decided by its seed alone. No thread, no sleep, no wall clock.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

# More events than any sound run of this length has: a network that talks to itself for ever is an error, not a hang.
MAX_EVENTS: Final = 50_000_000


class VirtualClock:
    """Seconds since the network began, and the events to come."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0  # how many have happened
        self._entered = 0
        self._queue: list[tuple[float, int, Callable[[], object]]] = []

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Let ``act`` happen at that time, or now if that is past."""
        self._entered += 1
        heappush(self._queue, (max(when, self.now), self._entered, act))

    def after(self, delay_s: float, act: Callable[[], object]) -> None:
        """Let ``act`` happen in so many seconds."""
        self.at(self.now + delay_s, act)

    def run_until(self, when: float, is_done: Callable[[], bool] | None = None) -> bool:
        """Let everything happen up to that time, or until ``is_done``, which is asked after each event.

        Tells whether it was.
        """
        queue = self._queue
        while queue and queue[0][0] <= when:
            self.now, _, act = heappop(queue)
            self.events += 1
            assert self.events < MAX_EVENTS, "the network never comes to rest"
            act()
            if is_done is not None and is_done():
                return True
        self.now = max(self.now, when)
        return False
