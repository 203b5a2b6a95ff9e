"""Shares: so much for each peer, and so much for all of them together, of which nobody has more than others miss.

Peer ids cost nothing and addresses something, so what strangers take is counted
by network (``sightings.block_of``) too. When all of it is taken, who took least
goes before: a network that took less than its even part of the last minute or
two is let through on credit, which those who took more wait for. Half is kept
for whom we know.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from unhush.gossip.proto.pacing import Allowance, Allowances

# Peers of which it is remembered, whether they are connected or not; of more the longest silent are forgotten.
MAX_PEERS: Final = 1_024
# One network has what two peers have: a household, or a few machines of one owner.
PEERS_PER_BLOCK: Final = 2


class Asker(NamedTuple):
    """A peer; the network it is in, if it matters; and whether we chose it or it keeps something with us."""

    peer_id: str
    block: str | None = None
    is_known: bool = False


class _Taken:
    """What a network took in this interval and the one before."""

    __slots__ = ("_before", "_began", "_now")

    def __init__(self) -> None:
        self._began = 0.0
        self._now = self._before = 0.0

    def add(self, amount: int) -> None:
        self._now += amount

    def look(self, now: float, interval_s: float) -> float:
        """Of the last interval, about."""
        passed = int((now - self._began) // interval_s)
        if passed > 0:
            self._before, self._now = (self._now if passed == 1 else 0.0), 0.0
            self._began += passed * interval_s
        return self._now + self._before * max(0.0, 1.0 - (now - self._began) / interval_s)


class Shares:
    """So much for one peer, for its network and in all, over the same time; half of it all for whom we know."""

    def __init__(self, per_peer: int, in_all: int, interval_s: float) -> None:
        self._interval_s: Final = interval_s
        self._pool: Final = in_all - in_all // 2
        self._strangers: Final = Allowance(self._pool, interval_s)
        self._known: Final = Allowance(max(1, in_all // 2), interval_s)
        self._by_peer: Final[Allowances[str]] = Allowances(per_peer, interval_s, MAX_PEERS)
        self._by_block: Final[Allowances[str]] = Allowances(PEERS_PER_BLOCK * per_peer, interval_s, MAX_PEERS)
        self._taken: Final[OrderedDict[str, _Taken]] = OrderedDict()

    def spend(self, asker: Asker, amount: int, now: float) -> bool:
        """Take ``amount`` for a peer, if it may have that."""
        if not self._may(asker, amount, now):
            return False
        self.charge(asker, amount, now)
        return True

    def is_open(self, asker: Asker, now: float) -> bool:
        """Whether anything is left for a peer, where what it costs is known only when it is done: then ``charge``."""
        return self._may(asker, 1, now)

    def charge(self, asker: Asker, amount: int, now: float) -> None:
        """Take what something has cost; what is not there is owed, and paid before there is more."""
        self._by_peer.of(asker.peer_id).charge(amount, now)
        if asker.is_known and self._known.has(1, now):
            self._known.charge(amount, now)
            return
        if not asker.is_known and asker.block is not None:
            self._by_block.of(asker.block).charge(amount, now)
        self._strangers.charge(amount, now)
        taken = self._taken_by(asker)
        taken.look(now, self._interval_s)
        taken.add(amount)

    def _may(self, asker: Asker, amount: int, now: float) -> bool:
        if not self._by_peer.of(asker.peer_id).has(amount, now):
            return False
        if asker.is_known and self._known.has(amount, now):
            return True
        if not asker.is_known and asker.block is not None and not self._by_block.of(asker.block).has(amount, now):
            return False
        return self._strangers.has(amount, now) or self._goes_before(asker, amount, now)

    def _goes_before(self, asker: Asker, amount: int, now: float) -> bool:
        """Whether somebody took so little that it is let through although all is taken; others pay by waiting."""
        if not self._strangers.has(amount - self._pool, now):
            return False  # as much again is owed already
        mine = self._taken_by(asker).look(now, self._interval_s)
        active = sum(each.look(now, self._interval_s) > 0 for each in self._taken.values())
        even = self._pool / max(1, active + (not mine))
        return not mine or mine + amount <= even

    def _taken_by(self, asker: Asker) -> _Taken:
        # Peers without a network of their own count by themselves, and so do those we know.
        who = f"peer {asker.peer_id}" if asker.is_known or asker.block is None else asker.block
        taken = self._taken.setdefault(who, _Taken())
        self._taken.move_to_end(who)
        if len(self._taken) > MAX_PEERS:
            self._taken.popitem(last=False)
        return taken
