"""Admission: how much gossip may bring, by who handed it on and by whose it is.

Gossip is a hint, so what is turned away here is late and never lost: sync
brings it. Limits by peer keep one neighbour from taking the room of the
others; limits by account keep one voice from filling every node that listens
on its shard, whoever hands its records on. Only records whose signatures were
checked count for an account, or strangers could use up somebody else's share.

More than fits at once counts as all that fits. Time is an argument.
"""

from collections.abc import Mapping
from typing import Final

from unhush.gossip.proto.pacing import Allowances
from unhush.identity.cid import Cid

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


class Admission:
    """The rates of what gossip brings."""

    def __init__(self) -> None:
        self._peers: Allowances[str] = Allowances(PEER_BURST, PEER_BURST / PEER_PER_S, MAX_PEERS)
        self._accounts: Allowances[Cid] = Allowances(ACCOUNT_BURST, ACCOUNT_BURST / ACCOUNT_PER_S, MAX_ACCOUNTS)
        self._days: Allowances[Cid] = Allowances(ACCOUNT_PER_DAY, DAY_S, MAX_ACCOUNTS)

    def takes_from(self, peer_id: str, records: int, now: float) -> bool:
        """Whether this peer may hand so many records on now; if so, they are counted."""
        return self._peers.spend(peer_id, min(records, PEER_BURST), now)

    def takes_of(self, records: Mapping[Cid, int], now: float) -> bool:
        """Whether all these accounts may say so much more now; if so, it is counted, else nothing is."""
        for account, count in records.items():
            has_now = self._accounts.of(account).has(min(count, ACCOUNT_BURST), now)
            if not (has_now and self._days.of(account).has(min(count, ACCOUNT_PER_DAY), now)):
                return False
        for account, count in records.items():
            self._accounts.spend(account, min(count, ACCOUNT_BURST), now)
            self._days.spend(account, min(count, ACCOUNT_PER_DAY), now)
        return True
