"""Shares: an allowance for each peer, and one for all of them together."""

from collections import OrderedDict
from typing import Final

from unhush.gossip.proto.pacing import Allowance

# Peers of which it is remembered, whether they are connected or not; of more the longest silent are forgotten.
MAX_PEERS: Final = 1_024


class Shares:
    """So much for one peer and so much in all, over the same time."""

    def __init__(self, per_peer: int, in_all: int, interval_s: float) -> None:
        self._per_peer: Final = per_peer
        self._interval_s: Final = interval_s
        self._in_all: Final = Allowance(in_all, interval_s)
        self._by_peer: Final[OrderedDict[str, Allowance]] = OrderedDict()

    def spend(self, peer_id: str, amount: int, now: float) -> bool:
        """Take ``amount`` for a peer, if both allowances have it."""
        own = self._find(peer_id)
        return own.has(amount, now) and self._in_all.spend(amount, now) and own.spend(amount, now)

    def is_open(self, peer_id: str, now: float) -> bool:
        """Whether anything is left for a peer, where what it costs is known only when it is done: then ``charge``."""
        return self._find(peer_id).has(1, now) and self._in_all.has(1, now)

    def charge(self, peer_id: str, amount: int, now: float) -> None:
        """Take what something has cost; what is not there is owed, and paid before there is more."""
        self._find(peer_id).charge(amount, now)
        self._in_all.charge(amount, now)

    def _find(self, peer_id: str) -> Allowance:
        own = self._by_peer.setdefault(peer_id, Allowance(self._per_peer, self._interval_s))
        self._by_peer.move_to_end(peer_id)
        if len(self._by_peer) > MAX_PEERS:
            self._by_peer.popitem(last=False)
        return own
