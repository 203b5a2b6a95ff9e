"""Forks: two nodes that show different branches of a log find the number from which they differ.

A want names the newest entry held of each log; whoever serves it and holds
another entry at that number knows that there is a fork, and no more. Entries
name the ones before them, so branches agree below the fork and differ from it
on: both sides look for the place with ``points`` frames, which say what stands
at up to 64 numbers of the branch shown. Who gets one compares, and answers
with points from between the highest that agrees and the lowest that differs.
When nothing is left between, the lowest is the fork: each side sends the other
its own entry there, and the two are the proof.

Both may hold the log with holes, and hold different ones. So the search also
ends where an answer brought nothing new: then nothing between is held by both.

Points are claims. They change nothing here but what is sent of what is served
anyway: a peer that makes them up gets an entry or a few that it holds, and
silence after ``limits.MAX_POINTS_FRAMES``.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Noted, ReadPoints
from unhush.gossip.proto.events import PointsRead
from unhush.gossip.proto.frames import Points
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.queue import OnceQueue
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey

Log = tuple[Cid, PublicKey]


@dataclass(frozen=True, slots=True)
class Proof:
    """The fork point of a log: our entry there is to be sent."""

    account: Cid
    key: PublicKey
    seq: int


@dataclass(slots=True)
class _Search:
    """How far we are with one log: ``theirs`` waits to be compared, or else ``span`` to be described."""

    theirs: Mapping[int, bytes] | None = None
    span: tuple[int, int] = (0, 0)
    told: tuple[int, int] | None = None  # the span we described last
    sent: int = 0
    received: int = 0
    found: int | None = None


class ForkSearch:
    """The searches of one session, whichever side noticed."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox: Final = outbox
        self._searches: dict[Log, _Search] = {}
        self._waiting: OnceQueue[Log] = OnceQueue()
        self._ready: deque[Points] = deque()
        self._reading: Log | None = None

    @property
    def is_reading(self) -> bool:
        """Whether the outstanding read is ours."""
        return self._reading is not None

    def begin(self, account: Cid, key: PublicKey, seq: int) -> None:
        """The peer shows another entry at ``seq`` than we do."""
        search = self._search((account, key))
        if search is None or search.sent >= limits.MAX_POINTS_FRAMES:
            self._outbox.put(Noted(Met.FORK_SEARCH_LEFT))
        elif search.theirs is None:
            search.span = 0, seq
            self._waiting.push((account, key))

    def peer_points(self, frame: Points) -> None:
        """Take what the peer shows of an account we share; what is too much is passed over."""
        log = frame.account, frame.key
        search = self._search(log)
        is_crowded = log not in self._waiting and len(self._waiting) >= limits.MAX_POINTS_WAITING
        if search is None or search.received >= limits.MAX_POINTS_FRAMES or is_crowded:
            self._outbox.put(Noted(Met.FORK_SEARCH_LEFT))
            return
        search.received += 1
        search.theirs = frame.at
        self._waiting.push(log)

    def _search(self, log: Log) -> _Search | None:
        search = self._searches.get(log)
        if search is None and len(self._searches) < limits.MAX_SEARCHES:
            search = self._searches[log] = _Search()
        return search

    def find_read(self) -> ReadPoints | None:
        """What to look up next."""
        if self._ready or not self._waiting or not self._outbox.has_room:
            return None
        self._reading = log = self._waiting.pop()
        search = self._searches[log]
        seqs = tuple(search.theirs) if search.theirs is not None else spread(*search.span)
        return ReadPoints(*log, seqs)

    def points_read(self, answer: PointsRead) -> Proof | None:
        """Go on with what we hold; the proof, if the fork point is found."""
        log, self._reading = self._reading, None
        assert log is not None, "points were read for somebody else"
        search = self._searches[log]
        if log in self._waiting:
            return None  # a newer frame came meanwhile
        theirs, search.theirs = search.theirs, None
        if theirs is None:
            search.told = search.span
            self._describe(log, search, answer.at)
            return None
        gap = _find_gap(answer.at, theirs)
        if gap is None:
            return None
        low, high = gap
        span = max(low, 0), high
        if high - low > 1 and span != search.told:
            search.span = span
            self._waiting.push(log)
            return None
        return self._found(log, search, low, high, answer.at)

    def _found(self, log: Log, search: _Search, low: int, high: int, ours: Mapping[int, bytes]) -> Proof | None:
        if search.found is not None and high >= search.found:
            return None  # both have said so
        search.found = high
        self._describe(log, search, {seq: ours[seq] for seq in (low, high) if seq in ours})
        return Proof(*log, high)

    def _describe(self, log: Log, search: _Search, ours: Mapping[int, bytes]) -> None:
        if ours and search.sent < limits.MAX_POINTS_FRAMES:
            search.sent += 1
            self._ready.append(Points(*log, dict(sorted(ours.items()))))

    def flush(self, now: float) -> None:
        """Send the points that are looked up."""
        while self._ready and self._outbox.has_room and self._outbox.send_paced(self._ready[0], now):
            self._ready.popleft()


def spread(low: int, high: int) -> tuple[int, ...]:
    """Numbers spread evenly over ``low``…``high``, both included, as many as a frame names."""
    steps = min(limits.POINTS_PER_FRAME - 1, high - low)
    return tuple(low + step * (high - low) // steps for step in range(steps + 1)) if steps else (low,)


def _find_gap(ours: Mapping[int, bytes], theirs: Mapping[int, bytes]) -> tuple[int, int] | None:
    """The highest number at which both agree (−1: none) and the lowest above it at which they differ, if any."""
    shared = sorted(ours.keys() & theirs.keys())
    low = max((seq for seq in shared if ours[seq] == theirs[seq]), default=-1)
    high = next((seq for seq in shared if seq > low), None)
    return None if high is None else (low, high)
