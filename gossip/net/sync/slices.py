"""Reading a long run of a log in slices, so that nobody waits for it.

The store is read on the network's loop, and while that reads nothing else
happens there. A run of a quarter of a megabyte takes twice the 10 ms that
others may be kept waiting; so it is read in parts, with a turn for the others
between them. What was stored meanwhile may have changed the branch that is
shown: a part that does not lead to the one above it is left for the next read.
"""

from typing import Final

import trio

from unhush.gossip.proto.actions import ReadRun
from unhush.storage.records import Record
from unhush.storage.store import Store

# Some 200 of the smallest records at 25…40 µs each.
SLICE_BYTES: Final = 65_536


async def read_run(store: Store, read: ReadRun) -> list[Record]:
    """The newest unbroken run inside the range that fits, ascending, as one snapshot would give it or shorter."""
    run: list[Record] = []
    high, left = read.hi, read.max_bytes
    while True:
        with store.snapshot() as snapshot:
            part = snapshot.run(read.account, read.key, read.lo, high, min(left, SLICE_BYTES))
        if run and not _leads_to(part, run[0], left):
            return run
        run = part + run
        left -= sum(len(record.block) + len(record.body or b"") for record in part)
        if not part or left <= 0:
            return run
        high = part[0].entry.header.seq - 1
        if high < read.lo:
            return run
        await trio.lowlevel.checkpoint()


def _leads_to(part: list[Record], above: Record, left: int) -> bool:
    """Whether a part ends with the very entry that the one above names, and its last, if it is alone, fits."""
    if not part or part[-1].cid != above.entry.header.prev:
        return False
    return len(part) > 1 or len(part[0].block) + len(part[0].body or b"") <= left
