"""The door before acceptances of invites: whose requests are read, looked up and judged, and how often.

A request is read before it takes anything that others wait for, and its token is looked up before it is judged: so who
has none of ours only meets others who have none, and who dribbles only those who read.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from unhush.gossip.proto.faults import TooManyFrames
from unhush.gossip.proto.pacing import Allowances
from unhush.gossip.proto.shares import Asker, Shares

# A peer that keeps trying comes a few times in the first minute, and then every ten; a household shares no peer.
_PER_PEER: Final = 6
# A look at the open invites is some hundred microseconds, five milliseconds if there are 256 of them. Half of these
# are for strangers, as below: a minute of them is three seconds of work at most.
_LOOKS: Final = 1_200
_LOOKS_PER_PEER: Final = 30  # so that a network has 60; of one peer no more come in than above
# A judgement costs a write and some signatures, and only who has a token of ours gets one: 60 of strangers in a minute,
# and as many of peers we dialled, are a second or two of work.
_JUDGEMENTS: Final = 120
_PER_S: Final = 60.0
_MAX_PEERS: Final = 1_024

# Requests that are being read: with the frame each has, 6.4 MiB.
MAX_READING: Final = 16
# Of one IPv4 /24, IPv6 /48 or relay; of one peer it is one.
MAX_READING_PER_BLOCK: Final = 4
# Acceptances with a token of ours that wait or are judged, in all and from one network; of one peer it is one.
MAX_JUDGING: Final = 4
MAX_JUDGING_PER_BLOCK: Final = 2
# A request is one frame that the peer has ready: nearly all are one packet. Larger ones have more time as they come.
READ_S: Final = 2.0
READ_BYTES_PER_S: Final = 65_536


class Knocks:
    """How often who may ask. Of what all may ask together nobody has more than others miss: see ``shares.py``."""

    def __init__(self) -> None:
        self._by_peer: Final[Allowances[str]] = Allowances(_PER_PEER, _PER_S, _MAX_PEERS)
        self._looks: Final = Shares(_LOOKS_PER_PEER, _LOOKS, _PER_S)
        self._judgements: Final = Shares(_PER_PEER, _JUDGEMENTS, _PER_S)

    def check(self, peer_id: str, now: float) -> None:
        """At the door; raises ``TooManyFrames`` if this peer asks more often than any use of it."""
        if not self._by_peer.spend(peer_id, 1, now):
            raise TooManyFrames(f"more than {_PER_PEER} acceptances in {_PER_S:.0f} s")

    def may_look(self, asker: Asker, now: float) -> bool:
        """Whether to look for its token now."""
        return self._looks.spend(asker, 1, now)

    def may_judge(self, asker: Asker, now: float) -> bool:
        """Whether to judge what it says now, for it has a token of ours."""
        return self._judgements.spend(asker, 1, now)


class Seat:
    """One request that is being read."""

    __slots__ = ("asker", "is_lost", "when_lost")

    def __init__(self, asker: Asker, when_lost: Callable[[], object]) -> None:
        self.asker: Final = asker
        self.when_lost: Final = when_lost
        self.is_lost = False


class Seats:
    """Whose requests are being read. When all seats are taken, a newcomer gets the oldest one of the network that has
    most: an honest request is read in a round trip, so who has sat longest is who dribbles.
    """

    def __init__(self) -> None:
        self._seats: dict[Seat, None] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._seats)

    def sit(self, asker: Asker, when_lost: Callable[[], object]) -> Seat | None:
        """A seat, to be given back with ``leave``; none for a peer that has one already."""
        if any(each.asker.peer_id == asker.peer_id for each in self._seats):
            return None
        near = [each for each in self._seats if _network_of(each.asker) == _network_of(asker)]
        if len(near) >= MAX_READING_PER_BLOCK:
            self._lose(near[0])
        elif len(self._seats) >= MAX_READING:
            held = Counter(_network_of(each.asker) for each in self._seats)
            self._lose(max(self._seats, key=lambda each: held[_network_of(each.asker)]))
        seat = Seat(asker, when_lost)
        self._seats[seat] = None
        return seat

    def leave(self, seat: Seat) -> None:
        """It was read, or not; twice is once."""
        self._seats.pop(seat, None)

    def _lose(self, seat: Seat) -> None:
        self.leave(seat)
        seat.is_lost = True
        seat.when_lost()


class Bench:
    """Who has a token of ours and waits to be judged, or is."""

    def __init__(self) -> None:
        self._askers: dict[str, Asker] = {}

    def sit(self, asker: Asker) -> bool:
        """Whether there is a place, to be given back with ``leave``."""
        near = sum(_network_of(each) == _network_of(asker) for each in self._askers.values())
        is_full = len(self._askers) >= MAX_JUDGING or near >= MAX_JUDGING_PER_BLOCK
        if is_full or asker.peer_id in self._askers:
            return False
        self._askers[asker.peer_id] = asker
        return True

    def leave(self, asker: Asker) -> None:
        del self._askers[asker.peer_id]


def _network_of(asker: Asker) -> str:
    return asker.block if asker.block is not None else asker.peer_id
