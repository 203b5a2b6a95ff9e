"""The order in which a peer gets what it asked for.

Of all that can go, goes first: identity operations; live records; screens, of
all accounts; then the next account is looked up; last, history, from its newest
end backwards, the accounts taking turns run by run. Nothing of an account goes
before its operations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Purpose, Read, ReadOps, ReadPoints, ReadRun, ReadSummary
from unhush.gossip.proto.lookups import Lookups
from unhush.gossip.proto.ownlog import OwnLog
from unhush.gossip.proto.queue import OnceQueue
from unhush.gossip.proto.ranges import Pair
from unhush.gossip.proto.served import Rank, Served, ServedLog
from unhush.identity.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Asked:
    """What an outstanding read is for."""

    served: Served
    read: Read
    rank: Rank = Rank.LIVE
    is_proof: bool = False


class Order:
    """Accounts that wait for something of them to be read, by what that is."""

    def __init__(self, own_log: OwnLog, lookups: Lookups, *, takes_runs: bool) -> None:
        """``takes_runs``: the peer takes several runs in one frame, so that one read may be of several logs."""
        self._own_log: Final = own_log
        self._lookups: Final = lookups
        self._takes_runs: Final = takes_runs
        self.summaries: Final[OnceQueue[Served]] = OnceQueue()
        self.ops: Final[OnceQueue[Served]] = OnceQueue()
        self.runs: Final[tuple[OnceQueue[Served], ...]] = (OnceQueue(), OnceQueue(), OnceQueue())  # by rank
        self._suspected: Final[OnceQueue[Served]] = OnceQueue()

    def line_up(self, served: Served) -> None:
        """For everything that there is of it to send."""
        if served.suspects:
            self._suspected.push(served)
        if served.ops_todo:
            self.ops.push(served)
        for rank in Rank:
            if any(log.todo[rank] for log in served.logs.values()):
                self.runs[rank].push(served)

    def discard(self, served: Served) -> None:
        for queue in (self.summaries, self.ops, self._suspected, *self.runs):
            queue.discard(served)

    @property
    def has_newest(self) -> bool:
        """Whether operations, live records or screens wait."""
        return bool(self.ops or self.runs[Rank.LIVE] or self.runs[Rank.SCREEN])

    def next_newest(self, room: int) -> list[Asked]:
        """Operations, or what fills a frame of live records or of screens."""
        return self._next_ops() or self._next_runs(Rank.LIVE, room) or self._next_runs(Rank.SCREEN, room)

    def next_history(self, room: int) -> list[Asked]:
        """What fills a frame, or a single run, from the newest end."""
        return self._next_runs(Rank.HISTORY, room)

    def next_summaries(self) -> list[Asked]:
        """Accounts that were not looked at yet, as many as the pace allows."""
        asked: list[Asked] = []
        while self.summaries and len(asked) < limits.SUMMARIES_AT_ONCE and self._lookups.take():
            served = self.summaries.pop()
            asked.append(Asked(served, ReadSummary(served.account, Purpose.SERVE)))
        return asked

    def next_tip(self) -> Asked | None:
        """A log in which the peer may hold another branch than we do."""
        while self._suspected:
            served = self._suspected.pop()
            if served.suspects:
                self._suspected.push(served)
                if not self._lookups.take():
                    return None
                key = served.suspects.pop()
                return Asked(served, ReadPoints(served.account, key, (served.logs[key].tip_at,)))
        return None

    def _next_ops(self) -> list[Asked]:
        """As many operations as one frame can take whatever their size, but of one account at least."""
        if not self.ops:
            return []
        asked: list[Asked] = []
        left = limits.OPERATIONS_PER_READ if self._takes_runs else 1
        while self.ops and left > 0:
            served = self.ops.pop()
            ids = tuple(served.ops_todo)[: limits.OPERATIONS_PER_READ]
            for cid in ids:
                del served.ops_todo[cid]
            if ids:
                left -= len(ids)
                asked.append(Asked(served, ReadOps(served.account, ids)))
        return asked

    def _next_runs(self, rank: Rank, room: int) -> list[Asked]:
        if not self.runs[rank]:
            return []
        # An eighth for what frames add to records.
        left = min(limits.RUN_BYTES, room) * 7 // 8
        found: list[tuple[Served, PublicKey, Pair, int]] = []
        while left > 0 and (self._takes_runs or not found) and (turn := self._next_log(rank)) is not None:
            served, key, log = turn
            for pair in self._take_turn(log, rank):
                # What its records need is not known yet; what the answer leaves out is read again.
                needs = min(left, (pair[1] - pair[0] + 1) * limits.RECORD_BYTES)
                found.append((served, key, pair, needs))
                left -= needs
                if left <= 0:
                    break
        spare = left // max(1, len(found))
        return [
            Asked(served, ReadRun(served.account, key, *pair, needs + spare), rank)
            for served, key, pair, needs in found
        ]

    def _next_log(self, rank: Rank) -> tuple[Served, PublicKey, ServedLog] | None:
        queue = self.runs[rank]
        while queue:
            served = queue.pop()
            for key, log in served.logs.items():
                if not log.todo[rank] or self._own_log.holds_back(served.account, key):
                    continue
                # To the back of the queue, and the log to the back of its account: everybody gets a turn.
                queue.push(served)
                served.logs[key] = served.logs.pop(key)
                return served, key, log
        return None

    def _take_turn(self, log: ServedLog, rank: Rank) -> Iterator[Pair]:
        """The newest stretches of a log: one, or of a log in pieces some."""
        left = limits.TURN_RECORDS if self._takes_runs else 1
        while left > 0 and log.todo[rank]:
            pair = log.take_newest(rank)
            left -= pair[1] - pair[0] + 1
            yield pair
