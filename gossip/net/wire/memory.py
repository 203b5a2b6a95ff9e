"""Giving memory back to the machine after a peer made us take much of it.

The C library keeps what was freed, in pieces between others that are in use: peers that filled their windows and
were cut left three times as much behind as was ever held at once (measured with glibc: 345 MiB for 127).
"""

import contextlib
import ctypes
import logging
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

# It takes some milliseconds for a few hundred megabytes, so a flood cannot make us do nothing else.
LEAST_PAUSE_S: Final = 1.0


class Trimmer:
    """Asks the C library for it, at most so often."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = -LEAST_PAUSE_S
        self._trim: Callable[[int], object] | None = None
        with contextlib.suppress(AttributeError, OSError):  # not glibc
            self._trim = ctypes.CDLL(None).malloc_trim

    def give_back(self) -> None:
        """Now, unless it was just done or there is no such call here."""
        now = self._clock()
        if self._trim is None or now - self._last < LEAST_PAUSE_S:
            return
        self._last = now
        self._trim(0)
        log.debug("memory given back took_ms=%.1f", 1_000 * (self._clock() - now))
