"""How far receipts reach: of the records held here, which of them a keeper says it holds.

A receipt covers every record of a log up to the head it names, but for those it lists as withheld. So nothing is
counted one by one: a log is runs of numbers, a receipt a number.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from unhush.identity.keys import PublicKey

Runs: TypeAlias = tuple[tuple[int, int], ...]  # ascending, of numbers held of a log, both ends included


@dataclass(frozen=True, slots=True)
class Cover:
    """What one receipt covers: of each log up to which number, and which of them not."""

    heads: Mapping[PublicKey, int]
    holes: frozenset[tuple[PublicKey, int]] = frozenset()


def unite(parts: Sequence[Cover]) -> Cover:
    """What any of several receipts covers, as those of the devices of one keeper."""
    heads: dict[PublicKey, int] = {}
    for part in parts:
        for key, seq in part.heads.items():
            heads[key] = max(seq, heads.get(key, -1))
    holes = frozenset[tuple[PublicKey, int]]().union(*(part.holes for part in parts))
    return Cover(heads, frozenset((key, seq) for key, seq in holes if not _covering(parts, key, seq)))


def count(logs: Mapping[PublicKey, Runs]) -> int:
    """Records held."""
    return sum(high - low + 1 for runs in logs.values() for low, high in runs)


def count_covered(logs: Mapping[PublicKey, Runs], cover: Cover) -> int:
    """Records held that a receipt covers."""
    return count_by(logs, [cover], 1)


def count_by(logs: Mapping[PublicKey, Runs], covers: Iterable[Cover], by: int) -> int:
    """Records held that so many receipts or more cover."""
    covers = list(covers)
    if by < 1 or len(covers) < by:
        return 0
    total = 0
    for key, runs in logs.items():
        highest = sorted((cover.heads.get(key, -1) for cover in covers), reverse=True)[by - 1]
        total += _up_to(runs, highest)
        # Single records that some receipt leaves out, where that makes a difference.
        left_out = {seq for cover in covers for hole_key, seq in cover.holes if hole_key == key and seq <= highest}
        total -= sum(_is_held(runs, seq) and _covering(covers, key, seq) < by for seq in left_out)
    return total


def least(logs: Mapping[PublicKey, Runs], covers: Iterable[Cover]) -> int:
    """How many receipts cover the record that fewest cover; 0 without records."""
    covers = list(covers)
    held = count(logs)
    found = 0
    while held and found < len(covers) and count_by(logs, covers, found + 1) == held:
        found += 1
    return found


def _up_to(runs: Runs, highest: int) -> int:
    return sum(min(high, highest) - low + 1 for low, high in runs if low <= highest)


def _is_held(runs: Runs, seq: int) -> bool:
    return any(low <= seq <= high for low, high in runs)


def _covering(covers: Iterable[Cover], key: PublicKey, seq: int) -> int:
    return sum(cover.heads.get(key, -1) >= seq and (key, seq) not in cover.holes for cover in covers)
