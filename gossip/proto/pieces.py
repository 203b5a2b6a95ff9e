"""Cutting what is to be sent into frames: as much as credit and the peer's frames allow, from the newest end.

The newer of two pieces goes first, so that its oldest entry, once committed,
vouches for the newest of the next.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.frames import Item, Operation
from unhush.gossip.proto.position import find_seqs
from unhush.identity.keys import PublicKey

# More than what an item and its frame, or its run in one, take beside entry and body, whatever their heads.
_ITEM_OVERHEAD: Final = 24
FRAME_OVERHEAD: Final = 192

# A record of a log and its number.
Placed = tuple[int, Item]


def place(key: PublicKey, items: Iterable[Item]) -> list[Placed] | None:
    """The records with their numbers; None if they are not of this log, or do not ascend."""
    records = tuple(items)
    seqs = find_seqs(key, (item.entry for item in records))
    if seqs is None or seqs != sorted(seqs):
        return None
    return list(zip(seqs, records, strict=True))


def size_of_items(items: Iterable[Item]) -> int:
    """No less than what the records of a run take in a frame."""
    return sum(len(item.entry) + len(item.body or b"") + _ITEM_OVERHEAD for item in items)


def size_of_ops(ops: Iterable[Operation]) -> int:
    """No less than what operations take in a frame."""
    return sum(len(op.entry) + len(op.body) + _ITEM_OVERHEAD for op in ops)


def count_fitting(ops: Sequence[Operation], room: int) -> int:
    """How many of ``ops`` fit in one frame."""
    left = _payload_room(room)
    for count, op in enumerate(ops):
        left -= len(op.entry) + len(op.body) + _ITEM_OVERHEAD
        if left < 0:
            return count
    return len(ops)


def cut_newest(run: Sequence[Placed], room: int) -> Sequence[Placed]:
    """The end of ``run`` that has no gaps and fits in one frame."""
    left = _payload_room(room)
    at = len(run)
    while at > 0 and len(run) - at < limits.MAX_RUN_ITEMS:
        seq, item = run[at - 1]
        left -= len(item.entry) + len(item.body or b"") + _ITEM_OVERHEAD
        if left < 0 or (at < len(run) and run[at][0] - seq > 1):
            break
        at -= 1
    return run[at:]


def cut_newest_whole(run: Sequence[Placed], room: int, *, may_cut: bool) -> Sequence[Placed]:
    """As ``cut_newest``, but what stands at one number goes together, or the others would count as sent."""
    piece = cut_newest(run, room)
    start = at = len(run) - len(piece)
    while 0 < start < len(run) and run[start - 1][0] == run[start][0]:
        start += 1
    # Only a fork that no full frame can carry is cut: waiting would not help it.
    return run[start:] or (run[at:] if may_cut else run[:0])


def _payload_room(room: int) -> int:
    return room - FRAME_OVERHEAD if room >= limits.MIN_ENTRIES_COST else 0
