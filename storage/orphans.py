"""Operations that came before the table they stand on: kept a while in memory, offered again when that comes.

Only what is authentic, well-formed and wanted gets here. Who signs for a table
nobody has seen may be anybody, so all of it is bounded (THREATS "orphans") and
nothing of it is stored.
"""

from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage.arrivals import Arrival

MAX_ORPHANS: Final = 1_024
MAX_FOR_ACCOUNT: Final = 64
# A body may have 64 KiB, and counting alone would let 1,024 of them take 64 MiB; honest ones have half a KiB.
MAX_BYTES: Final = 8 * 2**20
KEEP_MS: Final = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class _Orphan:
    account: Cid
    table: Cid  # what it waits for
    since_ms: int
    arrival: Arrival

    @property
    def size(self) -> int:
        return len(self.arrival.entry) + len(self.arrival.body or b"")


class Orphans:
    """Oldest first; not thread-safe, its owner locks."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Cid, _Orphan] = OrderedDict()
        self._of_account: defaultdict[Cid, OrderedDict[Cid, None]] = defaultdict(OrderedDict)
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, operation: Cid, arrival: Arrival, *, account: Cid, table: Cid, now_ms: int) -> None:
        """Keep one; the oldest go where a bound is reached, of the same account if it is that account's."""
        self._expire(now_ms)
        if operation in self._waiting:
            self._drop(operation)
        orphan = _Orphan(account, table, now_ms, arrival)
        if len(siblings := self._of_account.get(account, ())) >= MAX_FOR_ACCOUNT:
            self._drop(next(iter(siblings)))
        while self._waiting and (len(self._waiting) >= MAX_ORPHANS or self._size + orphan.size > MAX_BYTES):
            self._drop(next(iter(self._waiting)))
        self._waiting[operation] = orphan
        self._of_account[account][operation] = None
        self._size += orphan.size

    def take(self, table: Cid, now_ms: int) -> list[Arrival]:
        """What waits for this table; it waits no longer."""
        self._expire(now_ms)
        found = [cid for cid, orphan in self._waiting.items() if orphan.table == table]
        return [self._drop(cid).arrival for cid in found]

    def _expire(self, now_ms: int) -> None:
        while self._waiting:
            oldest, orphan = next(iter(self._waiting.items()))
            if now_ms - orphan.since_ms < KEEP_MS:
                return
            self._drop(oldest)

    def _drop(self, operation: Cid) -> _Orphan:
        orphan = self._waiting.pop(operation)
        siblings = self._of_account[orphan.account]
        del siblings[operation]
        if not siblings:
            del self._of_account[orphan.account]
        self._size -= orphan.size
        return orphan
