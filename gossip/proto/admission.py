"""Admission: how much gossip may bring, by who handed it on and by whose it is.

Gossip is a hint, so what is turned away here is late and never lost: sync
brings it. Limits by peer keep one neighbour from taking the room of the
others; limits by account keep one voice from filling every node that listens
on its shard, whoever hands its records on. Only records whose signatures were
checked count for an account, or strangers could use up somebody else's share.

Tables are bounded: what was not used for longest is forgotten, and begins
anew. Time is an argument.
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

from unhush.gossip.proto.pacing import Allowance
from unhush.identity.cid import Cid

K = TypeVar("K", bound=Hashable)

# Records that one peer may hand on. A mesh carries some 200 deliveries a second and core, from six peers and more.
PEER_PER_S: Final = 50
PEER_BURST: Final = 500
# Records of one account outside sync. Nobody writes faster than one a second; a burst is what a program imports.
ACCOUNT_PER_S: Final = 1
ACCOUNT_BURST: Final = 60
ACCOUNT_PER_DAY: Final = 2_000
DAY_S: Final = 86_400.0

# What is looked at of one peer's gossip, in units of a message, a frame or 4 KiB: far above what is taken in,
# because most of what an honest peer sends is known already. Beyond it nothing more is read for a while.
READ_PER_S: Final = 1_000
READ_BURST: Final = 5_000
READ_UNIT_BYTES: Final = 4_096

# At some 300 bytes each: 1 MiB and, for accounts with two allowances each, 10 MiB, whatever strangers do.
MAX_PEERS: Final = 4_096
MAX_ACCOUNTS: Final = 16_384


class Allowances(Generic[K]):
    """An allowance for each of many, at most so many."""

    def __init__(self, capacity: int, interval_s: float, most: int) -> None:
        self._capacity: Final = capacity
        self._interval_s: Final = interval_s
        self._most: Final = most
        self._by_key: OrderedDict[K, Allowance] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def has(self, key: K, amount: int, now: float) -> bool:
        """Whether so much could be spent now; more than fits at once counts as all that fits."""
        return self._of(key).has(min(amount, self._capacity), now)

    def spend(self, key: K, amount: int, now: float) -> bool:
        """Take so much if it is there."""
        return self._of(key).spend(min(amount, self._capacity), now)

    def _of(self, key: K) -> Allowance:
        allowance = self._by_key.get(key)
        if allowance is None:
            allowance = self._by_key[key] = Allowance(self._capacity, self._interval_s)
            if len(self._by_key) > self._most:
                self._by_key.popitem(last=False)
        else:
            self._by_key.move_to_end(key)
        return allowance


class Admission:
    """The rates of what gossip brings."""

    def __init__(self) -> None:
        self._peers: Allowances[str] = Allowances(PEER_BURST, PEER_BURST / PEER_PER_S, MAX_PEERS)
        self._accounts: Allowances[Cid] = Allowances(ACCOUNT_BURST, ACCOUNT_BURST / ACCOUNT_PER_S, MAX_ACCOUNTS)
        self._days: Allowances[Cid] = Allowances(ACCOUNT_PER_DAY, DAY_S, MAX_ACCOUNTS)

    def takes_from(self, peer_id: str, records: int, now: float) -> bool:
        """Whether this peer may hand so many records on now; if so, they are counted."""
        return self._peers.spend(peer_id, records, now)

    def takes_of(self, records: Mapping[Cid, int], now: float) -> bool:
        """Whether all these accounts may say so much more now; if so, it is counted, else nothing is."""
        for account, count in records.items():
            if not (self._accounts.has(account, count, now) and self._days.has(account, count, now)):
                return False
        for account, count in records.items():
            self._accounts.spend(account, count, now)
            self._days.spend(account, count, now)
        return True
