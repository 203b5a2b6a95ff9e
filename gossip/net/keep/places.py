"""Places: which streams of the statements protocol are served at a time, and who gives way when all are taken.

Half of them are for those whom we know. A stream that only waits for its
peer's next question gives way before one that is being answered: after five
seconds to anybody, before to who holds less; as with ``wire/requests.py``,
who holds most gives way first.
"""

from collections import Counter
from typing import Final

import trio

from unhush.gossip.proto.shares import Asker

# Streams served at a time, in all and for one peer: each may hold a frame of half a megabyte.
MAX_SERVED: Final = 16
MAX_SERVED_PER_PEER: Final = 2
# Of them for strangers, in all and of one network.
MAX_STRANGERS: Final = MAX_SERVED // 2
MAX_STRANGERS_PER_BLOCK: Final = 4
# A stream without a question for so long gives way to anybody.
IDLE_S: Final = 5.0


class Place:
    """One stream that is served; its scope is cancelled when somebody else gets the place."""

    __slots__ = ("asker", "idle_since", "scope")

    def __init__(self, asker: Asker, now: float) -> None:
        self.asker: Final = asker
        self.scope: Final = trio.CancelScope()
        self.idle_since: float | None = now  # None while a question is being answered


class Places:
    """Of one node."""

    def __init__(self) -> None:
        self._places: dict[Place, None] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, place: Place) -> bool:
        return place in self._places

    def begin(self, asker: Asker, now: float) -> Place | None:
        """A place, if this peer may have one; to be given back with ``end``."""
        if sum(each.asker.peer_id == asker.peer_id for each in self._places) >= MAX_SERVED_PER_PEER:
            return None
        rivals = self._find_rivals(asker)
        if rivals is not None:
            weakest = _find_weakest(rivals, asker, now)
            if weakest is None:
                return None
            self.end(weakest)
            weakest.scope.cancel()
        place = Place(asker, now)
        self._places[place] = None
        return place

    def end(self, place: Place) -> None:
        """The stream is over, or was given up; twice is once."""
        self._places.pop(place, None)

    def _find_rivals(self, asker: Asker) -> list[Place] | None:
        """One of whom has to give way; None if there is room."""
        is_full = len(self._places) >= MAX_SERVED
        if asker.is_known:
            return list(self._places) if is_full else None
        strangers = [each for each in self._places if not each.asker.is_known]
        near = [each for each in strangers if asker.block is not None and each.asker.block == asker.block]
        if len(near) >= MAX_STRANGERS_PER_BLOCK:
            return near
        return strangers if is_full or len(strangers) >= MAX_STRANGERS else None


def _find_weakest(rivals: list[Place], asker: Asker, now: float) -> Place | None:
    """Who gives way to a newcomer; nobody, if all of them hold as little and are being answered."""
    by_network = Counter(_network_of(each.asker) for each in rivals)
    by_peer = Counter(each.asker.peer_id for each in rivals)

    def holds(who: Asker) -> tuple[int, int]:
        return by_network[_network_of(who)], by_peer[who.peer_id]

    def is_greedier(place: Place) -> bool:
        most, mine = holds(place.asker), holds(asker)
        is_near = _network_of(place.asker) == _network_of(asker)
        return most[1] > mine[1] + 1 if is_near else most[0] > mine[0] + 1

    # The oldest of whoever has most, and strangers before those we know; the order of ``rivals`` is by age.
    ranked = sorted(rivals, key=lambda each: (each.asker.is_known, *(-count for count in holds(each.asker))))
    for each in ranked:
        if each.idle_since is not None and (now - each.idle_since >= IDLE_S or is_greedier(each)):
            return each
    return next((each for each in ranked if is_greedier(each)), None)


def _network_of(asker: Asker) -> str:
    return asker.block if asker.block is not None else asker.peer_id
