"""Pools: how much accounts of one tier may still take together, without counting all of them each time.

A count is good as long as the whole home has hardly changed since: whoever grew,
no tier can have grown by more than that.
"""

import time
from typing import Final

from unhush.storage.room import usage
from unhush.storage.room.tiers import Limits, Tally, Tier, tally
from unhush.storage.transaction import Txn

# Counted again after so much of a pool, at the latest after so long (people are followed, and gc makes room).
_PART: Final = 32
_LONGEST_S: Final = 60.0


class Pools:
    """One for each way in; its user holds the write lock."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._counted: Tally | None = None
        self._all_then = 0
        self._counted_at_s = 0.0

    def take(self, txn: Txn, tier: Tier, most: int) -> int:
        """How many more bytes there is room for, if a tier may have ``most``; less than that, if in doubt."""
        now = usage.usage_of_all(txn).size_bytes
        if self._is_old(now, most) or self._left(tier, most, now) <= 0:
            self._count_again(txn, now, most)
        return self._left(tier, most, now)

    def _left(self, tier: Tier, most: int, now: int) -> int:
        assert self._counted is not None
        return most - self._counted.usage[tier].size_bytes - max(0, now - self._all_then)

    def _is_old(self, now: int, most: int) -> bool:
        if self._counted is None or time.monotonic() - self._counted_at_s > _LONGEST_S:
            return True
        return now < self._all_then - most // _PART

    def _count_again(self, txn: Txn, now: int, most: int) -> None:
        has_hardly_changed = self._counted is not None and abs(now - self._all_then) < most // _PART
        if has_hardly_changed and time.monotonic() - self._counted_at_s <= _LONGEST_S:
            return
        self._counted, self._all_then, self._counted_at_s = tally(txn), now, time.monotonic()
