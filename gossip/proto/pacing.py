"""An allowance: so much at once, so much over time, and more for work done; for one, or for each of many."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)


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


class Allowances(Generic[K]):
    """An allowance for each of many, of which ``most`` are remembered; who was heard of longest ago begins anew."""

    __slots__ = ("_by_key", "_capacity", "_interval_s", "_most")

    def __init__(self, capacity: int, interval_s: float, most: int) -> None:
        self._capacity: Final = capacity
        self._interval_s: Final = interval_s
        self._most: Final = most
        self._by_key: Final[OrderedDict[K, Allowance]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, key: K) -> Allowance:
        """Its allowance, remembered from now on."""
        allowance = self._by_key.get(key)
        if allowance is None:
            allowance = self._by_key[key] = Allowance(self._capacity, self._interval_s)
            if len(self._by_key) > self._most:
                self._by_key.popitem(last=False)
        else:
            self._by_key.move_to_end(key)
        return allowance

    def find(self, key: K) -> Allowance | None:
        """Its allowance, if one is remembered; to look is not to be heard of."""
        return self._by_key.get(key)

    def spend(self, key: K, amount: int, now: float) -> bool:
        """Take ``amount`` of its allowance if it is there."""
        return self.of(key).spend(amount, now)
