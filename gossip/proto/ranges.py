"""Sets of sequence numbers, as sorted disjoint ranges.

What a node holds of a log is mostly "everything up to n" with a few holes, so
a handful of pairs says it all. A hostile or unlucky log may have thousands of
holes; whoever must bound the pairs has two safe directions to choose from:
``shrink_to`` claims less (for "I hold": a bit is sent again, nothing is lost)
and ``widen_to`` claims more (for "still to be sent": a bit is looked up in
vain, nothing is forgotten).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from unhush.gossip.errors import GossipError

MAX_SEQ: Final = 2**63 - 1

Pair = tuple[int, int]


class BadRanges(GossipError):
    """Pairs that are no ascending disjoint ranges of sequence numbers."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """An immutable set of integers; build it with ``of`` or ``up_to`` or from other ranges.

    ``pairs`` are inclusive, ascending, disjoint and never adjacent, so that equal sets have equal pairs.
    """

    pairs: tuple[Pair, ...] = ()

    @staticmethod
    def of(pairs: Iterable[Pair]) -> "Ranges":
        """Check pairs from outside (lo ≤ hi, ascending, disjoint, 0…2^63−1); raises ``BadRanges``."""
        merged: list[Pair] = []
        for lo, hi in pairs:
            if not 0 <= lo <= hi <= MAX_SEQ:
                raise BadRanges(f"{lo}…{hi} is no range of sequence numbers")
            if merged and lo <= merged[-1][1]:
                raise BadRanges(f"the range from {lo} does not lie after {merged[-1][1]}")
            if merged and lo == merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], hi)
            else:
                merged.append((lo, hi))
        return Ranges(tuple(merged))

    @staticmethod
    def span(lo: int, hi: int) -> "Ranges":
        """All of ``lo``…``hi``; nothing if ``hi`` is below ``lo``."""
        return Ranges(((lo, hi),)) if lo <= hi else NOTHING

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __len__(self) -> int:
        """How many ranges, not how many numbers: see ``count``."""
        return len(self.pairs)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self.pairs, (seq, MAX_SEQ)) - 1
        return at >= 0 and seq <= self.pairs[at][1]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def count(self) -> int:
        """How many numbers."""
        return sum(hi - lo + 1 for lo, hi in self.pairs)

    def add(self, lo: int, hi: int | None = None) -> "Ranges":
        """With ``lo``…``hi`` (or ``lo`` alone) in it."""
        hi = lo if hi is None else hi
        pairs = self.pairs
        if not pairs:
            return Ranges(((lo, hi),))
        last_lo, last_hi = pairs[-1]
        # The common case by far: a log grows at its end.
        if lo > last_hi + 1:
            return Ranges((*pairs, (lo, hi)))
        if lo >= last_lo:
            return self if hi <= last_hi else Ranges((*pairs[:-1], (last_lo, hi)))
        return self.union(Ranges(((lo, hi),)))

    def union(self, other: "Ranges") -> "Ranges":
        """What is in either."""
        if not other.pairs or self.pairs == other.pairs:
            return self
        if not self.pairs:
            return other
        merged: list[Pair] = []
        for lo, hi in sorted(self.pairs + other.pairs):
            if merged and lo <= merged[-1][1] + 1:
                if hi > merged[-1][1]:
                    merged[-1] = (merged[-1][0], hi)
            else:
                merged.append((lo, hi))
        return Ranges(tuple(merged))

    def subtract(self, other: "Ranges") -> "Ranges":
        """What is in this and not in ``other``."""
        if not self.pairs or not other.pairs:
            return self
        left: list[Pair] = []
        holes = other.pairs
        at = 0
        for pair in self.pairs:
            lo, hi = pair
            while at < len(holes) and holes[at][1] < lo:
                at += 1
            probe = at
            while lo <= hi and probe < len(holes) and holes[probe][0] <= hi:
                hole_lo, hole_hi = holes[probe]
                if lo < hole_lo:
                    left.append((lo, hole_lo - 1))
                lo = max(lo, hole_hi + 1)
                probe += 1
            if lo <= hi:
                left.append((lo, hi))
        return Ranges(tuple(left))

    def newest(self, count: int) -> "Ranges":
        """The ``count`` highest numbers."""
        taken: list[Pair] = []
        for lo, hi in reversed(self.pairs):
            if count <= 0:
                break
            from_ = max(lo, hi - count + 1)
            taken.append((from_, hi))
            count -= hi - from_ + 1
        return Ranges(tuple(reversed(taken)))

    def shrink_to(self, limit: int) -> "Ranges":
        """A subset of at most ``limit`` ranges: the longest, of equals the newest."""
        if len(self.pairs) <= limit:
            return self
        longest = sorted(self.pairs, key=lambda pair: (pair[1] - pair[0], pair[0]), reverse=True)
        return Ranges(tuple(sorted(longest[:limit])))

    def widen_to(self, limit: int) -> "Ranges":
        """A superset of at most ``limit`` (≥ 1) ranges: the shortest gaps, of equals the oldest, are closed."""
        surplus = len(self.pairs) - limit
        if surplus <= 0:
            return self
        gaps = sorted(range(1, len(self.pairs)), key=lambda at: self.pairs[at][0] - self.pairs[at - 1][1])
        closed = set(gaps[:surplus])
        merged: list[Pair] = []
        for at, (lo, hi) in enumerate(self.pairs):
            if at in closed:
                merged[-1] = (merged[-1][0], hi)
            else:
                merged.append((lo, hi))
        return Ranges(tuple(merged))


NOTHING: Final = Ranges()
