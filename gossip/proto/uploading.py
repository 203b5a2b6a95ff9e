"""How fast blocks of pictures are given away: so much a second to one peer, and so much to all.

What people write goes over the same line and through the same loop, and must not wait for a picture. Pure: time is
an argument. A block is booked, and sent after as many seconds as the booking says; so they go out evenly, in the
order in which they were asked for.
"""

from typing import Final

# A second, to one peer: a picture of the largest size unasked is there in two, the largest file in a minute.
PEER_BYTES_PER_S: Final = 4 * 1024 * 1024
# A second, in all: a third of a core for encryption and sockets, two thirds of a line of 100 Mbit/s.
ALL_BYTES_PER_S: Final = 8 * 1024 * 1024
# Given at once after a rest: a few pictures.
BURST_S: Final = 1.0
# Peers of which that is remembered, whether they are connected or not.
MAX_PEERS: Final = 1_024


class Uploads:
    """What was booked, for one node."""

    def __init__(self) -> None:
        self._all_until = 0.0  # when what was booked is through, at the rate of all
        self._until: dict[str, float] = {}  # the same for each peer; heard of last at the end

    def book(self, peer_id: str, size: int, now: float) -> float:
        """Take a place for so many bytes; in how many seconds they may go out."""
        mine = max(self._until.pop(peer_id, now), now)
        everybody_s, mine_s = max(self._all_until, now) - now, mine - now
        self._until[peer_id] = mine + size / PEER_BYTES_PER_S
        self._all_until = now + everybody_s + size / ALL_BYTES_PER_S
        while len(self._until) > MAX_PEERS:
            del self._until[next(iter(self._until))]
        return max(0.0, max(everybody_s, mine_s) - BURST_S)
