"""Deliveries: what the peer sends for the credit we give it, until ingest is done with it.

What a frame costs is taken off what we granted, and granted again once all of
it is committed, or at once if it is passed over. Of the window a part is kept
back until something of what came first is committed, so that the newest records
are stored and shown before the flood comes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from unhush.gossip.errors import LocalProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.faults import CreditExceeded, RecordsRejected
from unhush.gossip.proto.frames import Credit
from unhush.gossip.proto.lookups import Lookups
from unhush.gossip.proto.outbox import Outbox
from unhush.identity.cid import Cid


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What ingest has and has not reported."""

    account: Cid
    cost: int
    is_news: bool


class Deliveries:
    """Numbered from 1, as they come. What is given, due, kept back and outstanding is always the window."""

    def __init__(self, window_bytes: int, outbox: Outbox, lookups: Lookups) -> None:
        """``lookups``: earned by what comes."""
        self._share: Final = window_bytes // limits.CREDIT_SHARE
        self._outbox: Final = outbox
        self._lookups: Final = lookups
        self._given = min(window_bytes, limits.FIRST_CREDIT)
        self._due = 0
        self._kept = window_bytes - self._given  # until something is committed
        self._outstanding: Final[dict[int, _Delivery]] = {}
        self._history: Final[dict[Cid, int]] = {}  # how many of those are of what the peer had before
        self.last = 0
        outbox.send(Credit(self._given))

    def __iter__(self) -> Iterator[int]:
        """Those that ingest has not reported, the oldest first."""
        return iter(self._outstanding)

    def __len__(self) -> int:
        return len(self._outstanding)

    def may_come(self, size_bytes: int) -> bool:
        """Whether a frame of so many bytes may be one of records."""
        return size_bytes <= self._given

    def charge(self, payload_bytes: int, rows: int = 1) -> int:
        """Take a frame that costs credit off what we granted; the cost. Raises ``CreditExceeded``."""
        cost = max(payload_bytes, rows * limits.MIN_ENTRIES_COST)
        if cost > self._given:
            raise CreditExceeded(f"{cost} bytes of records where {self._given} were welcome")
        self._given -= cost
        self._lookups.earn(payload_bytes)
        return cost

    def refund(self, cost: int) -> None:
        """Grant again what a frame cost that is passed over."""
        self._due += cost
        if not self._outstanding:
            self._open_window()

    def accept(self, account: Cid, cost: int, *, is_news: bool = True) -> int:
        """The number of a new delivery; its cost is granted again once it is committed."""
        self.last += 1
        self._outstanding[self.last] = _Delivery(account, cost, is_news)
        if not is_news:
            self._history[account] = self._history.get(account, 0) + 1
        return self.last

    def committed(self, delivery_id: int, *, is_faulty: bool) -> None:
        """Ingest is done with a delivery; raises ``RecordsRejected`` if the peer is to blame for it."""
        delivery = self._outstanding.pop(delivery_id, None)
        if delivery is None:
            raise LocalProtocolError(f"delivery {delivery_id} is not outstanding")
        account = delivery.account
        if is_faulty:
            raise RecordsRejected(f"records of {account} did not verify")
        self._due += delivery.cost
        if not (delivery.is_news and self._outstanding):
            self._open_window()
        if not delivery.is_news:
            left = self._history.pop(account) - 1
            if left:
                self._history[account] = left

    def _open_window(self) -> None:
        """What came first is committed: now anything may come."""
        self._due += self._kept
        self._kept = 0

    def has_history(self, account: Cid) -> bool:
        """Whether some of what the peer had before is outstanding."""
        return account in self._history

    def accounts(self) -> set[Cid]:
        """Of which something is outstanding."""
        return {delivery.account for delivery in self._outstanding.values()}

    def flush(self) -> None:
        """Grant what is due, if it is worth a frame."""
        if self._due >= self._share:
            self._outbox.send(Credit(self._due))
            self._given += self._due
            self._due = 0
