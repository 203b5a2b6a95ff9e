"""Who may come in: limits on inbound sockets per address and in all, before a byte is read.

libp2p counts inbound connections in one global pool, holds a place for ten seconds for a socket that says
nothing, and never gives the place back once a connection was made (the task behind it waits for the end of
the node). Here a socket takes a pending place, swaps it for a live one after the handshake, and gives it
back when it closes. When all live places are taken, whoever is of no use and had its time gives way to a newcomer;
most places are kept for those who are of use. Who comes again and again, under whatever name, is turned away
before the handshake (``proto/visits.py``).
"""

import ipaddress
import time
from collections import Counter
from collections.abc import Callable

from unhush.gossip.proto.tally import Met, Tally
from unhush.gossip.proto.visits import Visits

# Of 96 connections in all; the other 32 are ours to dial, so that strangers cannot choose all our neighbours.
MAX_LIVE_INBOUND = 64

# Per IPv4 address or IPv6 /64: a household with a few machines behind one address.
MAX_LIVE_PER_ADDRESS = 4
MAX_PENDING_PER_ADDRESS = 8

# Per IPv4 /24 or IPv6 /48: the cheapest unit an attacker rents.
MAX_LIVE_PER_BLOCK = 16

# When all live places are taken, a newcomer gets that of whoever is worth least, of those the one in the most crowded
# block, of those the one that has been there longest. These many, who are of any use, are never asked to go, so that
# nobody pushes our neighbours out by coming in great numbers; and the others are never enough to keep anybody out.
MAX_KEPT = 48
# Everybody has this long to be of use: a session that brings us what we lack takes seconds.
TRIAL_S = 60.0
# And who holds at least two places more in one block than the newcomer has this long.
CROWDED_TRIAL_S = 10.0
# Sockets come fast in a flood, and to weigh all neighbours takes a millisecond: so it is done no more often.
WEIGH_EVERY_S = 1.0

# Handshakes at a time from all addresses, each some 20 KiB while it lasts. When they are all taken, a newcomer gets
# the place of the oldest in the most crowded block: a flood pushes out itself, and an honest handshake takes a
# tenth of the five seconds that a silent one is borne with.
MAX_PENDING = 256


class Ticket:
    """One inbound socket's place. Give it back with :meth:`leave`, once or more often."""

    def __init__(self, doorman: "Doorman", address: str | None, block: str | None) -> None:
        self._doorman = doorman
        self.address = address
        self.block = block
        self.is_live = False
        self.peer_id = ""
        self.since = 0.0
        self.when_evicted: Callable[[], None] = _nothing
        """Called when the place is given to somebody else; it closes the socket."""
        self._is_out = False

    def came(self) -> None:
        """It took part in a handshake, which cost us something, however that ended."""
        if self.address is not None and self.block is not None:
            self._doorman._visits.came(self.address, self.block, self._doorman._clock())

    def admit(self, peer_id: str = "") -> bool:
        """The handshake is done: swap the pending place for a live one, if there is one or somebody gives way."""
        self.peer_id = peer_id
        return not self._is_out and self._doorman._admit(self)

    def leave(self) -> None:
        """The socket is closed."""
        if not self._is_out:
            self._is_out = True
            self._doorman._leave(self)


class Doorman:
    """Counts inbound sockets by address."""

    def __init__(
        self, *, exempt_loopback: bool, tally: Tally | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._exempt_loopback = exempt_loopback
        self._clock = clock
        self.worth: Callable[[str], int] = _worthless
        """What a connected peer is to us, by its id: 0 is nothing, more is better. Set by who knows."""
        self._tally = tally if tally is not None else Tally()
        self._visits = Visits()
        self._pending: Counter[str] = Counter()
        self._waiting: dict[Ticket, None] = {}  # those with a pending place, longest first
        self._waiting_by_block: Counter[str | None] = Counter()
        self._inside: dict[Ticket, None] = {}  # those with a live place, longest first
        self._weighed: tuple[float, bool] | None = None  # when, and whether somebody could go
        self._live: Counter[str] = Counter()
        self._live_by_block: Counter[str] = Counter()
        self._pending_total = 0
        self._live_total = 0

    @property
    def pending_count(self) -> int:
        """Sockets whose handshake is not finished."""
        return self._pending_total

    @property
    def live_count(self) -> int:
        """Inbound connections."""
        return self._live_total

    def knock(self, host: str) -> Ticket | None:
        """A socket came in from this address: a pending place, or ``None`` when it must be closed."""
        address, block = self._groups(host)
        if address is not None and block is not None and not self._visits.may_come(address, block, self._clock()):
            self._tally.count(Met.VISIT_REFUSED)
            return None
        ticket = self._find_place(address, block)
        if ticket is None:
            self._tally.count(Met.SOCKET_REFUSED)
        return ticket

    def _find_place(self, address: str | None, block: str | None) -> Ticket | None:
        if self._live_total >= MAX_LIVE_INBOUND and not self._may_somebody_go(block):
            return None
        if address is not None and (self._pending[address] >= MAX_PENDING_PER_ADDRESS or self._is_full(address, block)):
            return None
        if self._pending_total >= MAX_PENDING and not self._make_room(block):
            return None
        self._pending_total += 1
        if address is not None:
            self._pending[address] += 1
        ticket = Ticket(self, address, block)
        self._waiting[ticket] = None
        self._waiting_by_block[block] += 1
        return ticket

    def _make_room(self, newcomer: str | None) -> bool:
        """Give up the oldest handshake of the block that has most, unless that is the newcomer's own."""
        crowded, most = self._waiting_by_block.most_common(1)[0]
        if most <= self._waiting_by_block[newcomer]:
            return False
        oldest = next(ticket for ticket in self._waiting if ticket.block == crowded)
        self._tally.count(Met.HANDSHAKE_CUT)
        oldest.leave()
        oldest.when_evicted()
        return True

    def _may_somebody_go(self, newcomer: str | None) -> bool:
        now = self._clock()
        if self._weighed is None or now - self._weighed[0] >= WEIGH_EVERY_S:
            self._weighed = now, self._find_useless(newcomer) is not None
        return self._weighed[1]

    def _find_useless(self, newcomer: str | None) -> Ticket | None:
        """Who gives way to somebody of this block."""
        now = self._clock()
        worths = {ticket: self.worth(ticket.peer_id) for ticket in self._inside}
        useful = sorted((ticket for ticket in worths if worths[ticket] > 0), key=lambda ticket: -worths[ticket])
        kept = set(useful[:MAX_KEPT])  # of equals those who have been there longest, as the sort keeps their order
        crowded = self._live_by_block[newcomer] + 2 if newcomer is not None else MAX_LIVE_INBOUND
        may_go = [
            ticket
            for ticket in worths
            if ticket not in kept
            and now - ticket.since >= (CROWDED_TRIAL_S if self._count_near(ticket) >= crowded else TRIAL_S)
        ]
        return min(may_go, key=lambda ticket: (worths[ticket], -self._count_near(ticket)), default=None)

    def _count_near(self, ticket: Ticket) -> int:
        return self._live_by_block[ticket.block] if ticket.block is not None else 0

    def _admit(self, ticket: Ticket) -> bool:
        if self._is_full(ticket.address, ticket.block):
            return False
        if self._live_total >= MAX_LIVE_INBOUND:
            useless = self._find_useless(ticket.block)
            if useless is None:
                return False
            self._tally.count(Met.PEER_REPLACED)
            useless.leave()
            useless.when_evicted()
        self._release_pending(ticket)
        ticket.is_live, ticket.since = True, self._clock()
        self._inside[ticket] = None
        self._live_total += 1
        if ticket.address is not None and ticket.block is not None:
            self._live[ticket.address] += 1
            self._live_by_block[ticket.block] += 1
        return True

    def _leave(self, ticket: Ticket) -> None:
        if not ticket.is_live:
            self._release_pending(ticket)
            return
        self._live_total -= 1
        del self._inside[ticket]
        if ticket.address is not None and ticket.block is not None:
            _decrement(self._live, ticket.address)
            _decrement(self._live_by_block, ticket.block)

    def _release_pending(self, ticket: Ticket) -> None:
        self._pending_total -= 1
        del self._waiting[ticket]
        self._waiting_by_block[ticket.block] -= 1
        if not self._waiting_by_block[ticket.block]:
            del self._waiting_by_block[ticket.block]
        if ticket.address is not None:
            _decrement(self._pending, ticket.address)

    def _is_full(self, address: str | None, block: str | None) -> bool:
        if address is None or block is None:
            return False
        return self._live[address] >= MAX_LIVE_PER_ADDRESS or self._live_by_block[block] >= MAX_LIVE_PER_BLOCK

    def _groups(self, host: str) -> tuple[str | None, str | None]:
        """The address and block a host counts under; ``None`` twice for one that is exempt."""
        address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if self._exempt_loopback and address.is_private:
            return None, None
        near, far = (32, 24) if address.version == 4 else (64, 48)
        return (
            str(ipaddress.ip_network((address, near), strict=False)),
            str(ipaddress.ip_network((address, far), strict=False)),
        )


def _nothing() -> None:
    """Until somebody sets what is to happen."""


def _worthless(_peer_id: str) -> int:
    """Until somebody knows better."""
    return 0


def _decrement(counter: Counter[str], key: str) -> None:
    # A zero left behind would be a memory of every address that ever knocked.
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
