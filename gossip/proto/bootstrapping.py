"""Bootstrapping: machines to begin with, called only while nobody else is there.

They are no peers of our choice. Whoever has a neighbour, of an invite, of the local
network or remembered from the last run, does not need them, and they are
spared a network's whole traffic. What is learned over a connection with one of them is
what keeps us connected afterwards. Pure: time is an argument.
"""

from collections.abc import Sequence
from typing import Final

MAX_BOOTSTRAP: Final = 32
# What the address book knows is tried first.
PATIENCE_S: Final = 5.0
FIRST_DELAY_S: Final = 2.0
LONGEST_DELAY_S: Final = 300.0


class Bootstrap:
    """When to call whom. They take turns, from a place that a seed decides, so that not all begin with the first."""

    def __init__(self, addresses: Sequence[str], *, seed: bytes, now: float) -> None:
        self._addresses: Final = tuple(dict.fromkeys(addresses))[:MAX_BOOTSTRAP]
        self._turn = int.from_bytes(seed[:4])
        self._delay_s = FIRST_DELAY_S
        self._due_at = now + PATIENCE_S

    def next_time(self) -> float:
        """When ``next`` may have something; never, without addresses."""
        return self._due_at if self._addresses else float("inf")

    def next(self, now: float) -> str | None:
        """Whom to call now, if nobody is connected."""
        if not self._addresses or now < self._due_at:
            return None
        address = self._addresses[self._turn % len(self._addresses)]
        self._turn += 1
        self._due_at = now + self._delay_s
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)
        return address

    def somebody_is_there(self, now: float) -> None:
        """Should they leave, the address book has its turn again before us."""
        self._delay_s = FIRST_DELAY_S
        self._due_at = now + PATIENCE_S
