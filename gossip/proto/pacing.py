"""An allowance: so much at once, so much over time, and more for work done."""

from typing import Final


class Allowance:
    """Refills evenly to ``capacity`` within ``interval_s``, and at once by what is earned."""

    __slots__ = ("_at", "_capacity", "_left", "_per_second")

    def __init__(self, capacity: int, interval_s: float) -> None:
        self._capacity = capacity
        self._per_second: Final = capacity / interval_s
        self._left = float(capacity)
        self._at: float | None = None

    def widen(self, capacity: int) -> None:
        """Let more be spent at once; it refills as fast as before."""
        if capacity > self._capacity:
            self._left += capacity - self._capacity
            self._capacity = capacity

    def earn(self, amount: float) -> None:
        self._left = min(float(self._capacity), self._left + amount)

    def has(self, amount: int, now: float) -> bool:
        """Whether ``amount`` could be spent now."""
        # A clock that steps back earns nothing and costs nothing.
        if self._at is not None and now > self._at:
            self._left = min(float(self._capacity), self._left + (now - self._at) * self._per_second)
        self._at = now
        return amount <= self._left

    def charge(self, amount: int, now: float) -> None:
        """Take ``amount`` for what was done already; what is not there is owed."""
        self.has(0, now)
        self._left -= amount

    def spend(self, amount: int, now: float) -> bool:
        """Take ``amount`` if it is there."""
        if not self.has(amount, now):
            return False
        self._left -= amount
        return True
