"""What a session has not been told yet: a queue that does not grow with what happens, only with where.

While a session waits for ingest, its node may store a hundred thousand
records, and it will hear of each. So what says the same twice is kept once,
and what a log gained is kept as ranges: a bulk of any size takes as much room
as the logs it is of. Answers and frames of the peer are kept one by one, in
order; they are bounded where they come from. The two take turns at the way
out, so neither waits for the other.
"""

from typing import Final

from unhush.gossip.proto.events import (
    Event,
    Forked,
    Grew,
    HoleSeen,
    InterestsChanged,
    LogGrew,
    Refolded,
    Tick,
)
from unhush.gossip.proto.ranges import NOTHING, Ranges
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey

# Pieces of logs, operations and events that wait, together: at some 300 bytes each 20 MiB. A session that is
# so far behind learns more by beginning anew.
MAX_UNTOLD: Final = 65_536

_Log = tuple[Cid, PublicKey]


class Untold:
    """Put what happened, take it out again."""

    def __init__(self) -> None:
        self._events: dict[object, Event] = {}
        self._last = 0
        self._grown: dict[_Log, Ranges] = {}
        self._pieces = 0
        self._operations: dict[Cid, Grew] = {}
        self._is_growth_next = False

    def __len__(self) -> int:
        """How much room it takes, in pieces."""
        return len(self._events) + len(self._operations) + self._pieces

    @property
    def is_too_much(self) -> bool:
        return len(self) > MAX_UNTOLD

    def put(self, event: Event) -> None:
        """Something happened."""
        match event:
            case Grew(account, None, _, cid):
                self._operations[cid] = event
            case Grew(account, key, seq) if key is not None:
                self._gained((account, key), Ranges.span(seq, seq))
            case LogGrew(account, key, seqs):
                self._gained((account, key), seqs)
            case Tick() | InterestsChanged():
                self._events[type(event)] = event
            case HoleSeen() | Refolded():
                self._events[event] = event
            case Forked(account, key, seq):
                before = self._events.get((account, key))
                if not isinstance(before, Forked) or seq < before.seq:
                    self._events[account, key] = event
            case _:
                self._last += 1
                self._events[self._last] = event

    def _gained(self, log: _Log, seqs: Ranges) -> None:
        held = self._grown.get(log, NOTHING)
        more = held.union(seqs)
        self._pieces += len(more.pairs) - len(held.pairs)
        self._grown[log] = more

    def take(self) -> Event | None:
        """What comes next; None if there is nothing. What a log gained comes at once."""
        self._is_growth_next = not self._is_growth_next
        if self._is_growth_next:
            return self._next_growth() or self._next_event()
        return self._next_event() or self._next_growth()

    def _next_event(self) -> Event | None:
        if not self._events:
            return None
        return self._events.pop(next(iter(self._events)))

    def _next_growth(self) -> Grew | LogGrew | None:
        if self._operations:
            return self._operations.pop(next(iter(self._operations)))
        if not self._grown:
            return None
        log = next(iter(self._grown))
        seqs = self._grown.pop(log)
        self._pieces -= len(seqs.pairs)
        return LogGrew(*log, seqs)
