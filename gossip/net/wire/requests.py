"""How many requests of peers are answered at a time: 8 of one peer, 64 in all.

Streams that last as long as a connection (sync, gossip, circuits) are bounded
by their number; each of these costs work. When all places are taken, a peer
with fewer gets that of the oldest request of the peer with most: who asks
much is slowed by asking much.
"""

from typing import Final

import trio
from libp2p.peer.id import ID

from unhush.gossip.proto.tally import Met, Tally

MAX_REQUESTS: Final = 64
MAX_REQUESTS_PER_PEER: Final = 8

# Beginnings of the protocols whose streams last.
LASTING: Final = ("/unhush/sync/", "/meshsub/", "/libp2p/circuit/relay/")


class Place:
    """One request being answered; cancelled when somebody else gets its place."""

    __slots__ = ("peer", "scope")

    def __init__(self, peer: ID) -> None:
        self.peer: Final = peer
        self.scope: Final = trio.CancelScope()


class Requests:
    """The places."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._by_peer: dict[ID, dict[Place, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def begin(self, peer: ID) -> Place | None:
        """A place for a request of this peer, if it may have one; give it back with ``end``."""
        own = len(self._by_peer.get(peer, ()))
        if own >= MAX_REQUESTS_PER_PEER or (self._count >= MAX_REQUESTS and not self._make_room(own)):
            self._tally.count(Met.STREAM_REFUSED)
            return None
        place = Place(peer)
        self._by_peer.setdefault(peer, {})[place] = None
        self._count += 1
        return place

    def end(self, place: Place) -> None:
        """The request is answered, or given up; twice is once."""
        places = self._by_peer.get(place.peer, {})
        if place not in places:
            return
        del places[place]
        self._count -= 1
        if not places:
            del self._by_peer[place.peer]

    def _make_room(self, own: int) -> bool:
        busiest = max(self._by_peer.values(), key=len)
        if len(busiest) <= own + 1:  # they would only change places
            return False
        oldest = next(iter(busiest))
        self._tally.count(Met.STREAM_REFUSED)
        self.end(oldest)
        oldest.scope.cancel()
        return True
