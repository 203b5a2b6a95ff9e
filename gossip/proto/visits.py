"""Visits: how many handshakes one address, and one rented network, may take part in over time.

Peer ids cost nothing, so whoever comes under a new one each time meets no limit that is kept for a peer; and each
visit costs two handshakes, what the two tell each other, and a session: some 46 ms on one core. A handshake that is
broken off costs 7 ms, and that of a peer which is shut out is for nothing; else nothing keeps either from beginning
again at once. What comes faster is turned away before any of that; a socket that says nothing is no visit. Many people
behind one router come back at once after it was off: that is what may be had at once.
"""

from typing import Final

from unhush.gossip.proto.pacing import Allowances

# Of one IPv4 address or IPv6 /64: 4 may be connected at a time. So many at once, and then one each second.
PER_ADDRESS: Final = 10
PER_ADDRESS_S: Final = 10.0
# Of one IPv4 /24 or IPv6 /48: 16 may be connected at a time. So many at once, and then two each second.
PER_BLOCK: Final = 32
PER_BLOCK_S: Final = 16.0

# Of each sort so many are remembered, ~300 bytes each; to push one out takes as many handshakes elsewhere.
MAX_REMEMBERED: Final = 4_096


class Visits:
    """Of one node; time is an argument."""

    def __init__(self) -> None:
        self._by_address: Final[Allowances[str]] = Allowances(PER_ADDRESS, PER_ADDRESS_S, MAX_REMEMBERED)
        self._by_block: Final[Allowances[str]] = Allowances(PER_BLOCK, PER_BLOCK_S, MAX_REMEMBERED)

    def may_come(self, address: str, block: str, now: float) -> bool:
        """Whether one more is borne with; nobody is remembered for asking."""
        known = self._by_address.find(address), self._by_block.find(block)
        return all(each is None or each.has(1, now) for each in known)

    def came(self, address: str, block: str, now: float) -> None:
        """A handshake is over. Several that went on at the same time may have cost more than there was."""
        self._by_address.of(address).charge(1, now)
        self._by_block.of(block).charge(1, now)
