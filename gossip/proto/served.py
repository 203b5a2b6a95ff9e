"""One account the peer asked for: what it is known to hold of it, and what it is still to get.

For each log three things to send are remembered (``Rank``), as ranges and never
as bytes. Beside them stands ``held``: what the peer said it holds, what we sent
it and what it sent us. Whatever is in it is not sent, so nothing goes twice and
nothing returns to where it came from. Bounds err to the safe side: ``held``
forgets, the three widen.

A range leaves its set when its read is asked for, and what the read did not
cover returns. Growth that arrives during a read therefore stands on its own
and is never crossed off by an answer that is older than it. The same holds
for growth before the first summary. A record sent without its body is not
``held``: once the body turns up, the journal gains it anew and it goes again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from unhush.gossip.proto import limits
from unhush.gossip.proto.events import SummaryRead
from unhush.gossip.proto.frames import WantedAccount
from unhush.gossip.proto.pieces import Placed
from unhush.gossip.proto.ranges import NOTHING, Pair, Ranges
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey


class Rank(IntEnum):
    """What is to be sent of a log, in the order it goes."""

    LIVE = 0  # what the journal gained since we were asked
    SCREEN = 1  # the newest ``depth`` records when we were asked
    HISTORY = 2  # the rest


@dataclass(slots=True)
class ServedLog:
    """One log of it."""

    held: Ranges = NOTHING
    tip: bytes = b""  # what the peer said it holds at ``tip_at``, if it did
    tip_at: int = 0
    todo: list[Ranges] = field(default_factory=lambda: [NOTHING, NOTHING, NOTHING])  # by rank

    def gained(self, seqs: Ranges) -> bool:
        """The journal gained these; false if the peer holds them all."""
        new = seqs.subtract(self.held)
        if not new:
            return False
        self.todo[Rank.LIVE] = self.todo[Rank.LIVE].union(new).widen_to(limits.MAX_RANGES)
        return True

    def compare(self, ours: Ranges, depth: int) -> None:
        """Find what the peer lacks of what we hold."""
        missing = ours.subtract(self.held)
        screen = ours.newest(depth).subtract(self.held)
        self.todo[Rank.SCREEN] = screen.widen_to(limits.MAX_RANGES)
        self.todo[Rank.HISTORY] = missing.subtract(screen).widen_to(limits.MAX_RANGES)

    def take_newest(self, rank: Rank) -> Pair:
        """The newest stretch, to be read; there must be one."""
        pairs = self.todo[rank].pairs
        self.todo[rank] = Ranges(pairs[:-1])
        return pairs[-1]

    def put_back(self, rank: Rank, lo: int, hi: int) -> None:
        """What a read did not cover."""
        self.todo[rank] = self.todo[rank].add(lo, hi).widen_to(limits.MAX_RANGES)

    def sent(self, piece: Sequence[Placed]) -> None:
        """What was sent whole is held; what went without its body may go again when the body turns up."""
        whole = NOTHING
        for seq, item in piece:
            if item.body is not None:
                whole = whole.add(seq)
        self.peer_holds(whole)
        self.todo[Rank.LIVE] = self.todo[Rank.LIVE].subtract(whole)

    def peer_holds(self, seqs: Ranges) -> None:
        """None of these needs to go."""
        self.held = self.held.union(seqs).shrink_to(limits.MAX_RANGES)


@dataclass(slots=True, eq=False)
class Served:
    """``asked_by`` is the number of the want frame that named it last, or 0; so is ``want`` until that is answered."""

    account: Cid
    cost: int = 0  # of the state we offered
    depth: int = 0
    is_live: bool = True
    asked_by: int = 0
    want: int = 0
    ops_held: set[Cid] = field(default_factory=set)
    logs: dict[PublicKey, ServedLog] = field(default_factory=dict)
    forks: Mapping[PublicKey, int] = field(default_factory=dict)
    ops_todo: dict[Cid, None] = field(default_factory=dict)
    suspects: list[PublicKey] = field(default_factory=list)  # logs whose tip may be of another branch than ours
    is_summarised: bool = False
    reading: int = 0  # reads for it that are asked for and not answered

    @staticmethod
    def asked(wanted: WantedAccount, asked_by: int) -> "Served":
        """As a want names it."""
        return Served(
            account=wanted.account,
            cost=wanted.cost,
            depth=wanted.depth,
            is_live=wanted.is_live,
            asked_by=asked_by,
            ops_held=set(wanted.ops),
            logs={
                key: ServedLog(held, wanted.tips.get(key, b""), held.pairs[-1][1] if held else 0)
                for key, held in wanted.logs.items()
            },
            forks=wanted.forks,
        )

    def log(self, key: PublicKey) -> ServedLog:
        log = self.logs.get(key)
        if log is None:
            log = self.logs[key] = ServedLog()
        return log

    def compare(self, summary: SummaryRead) -> None:
        """Find what the peer lacks of what we hold."""
        self.is_summarised = True
        self.ops_todo = dict.fromkeys(cid for cid in (*summary.ops, *self.ops_todo) if cid not in self.ops_held)
        for key, ours in summary.logs.items():
            log = self.log(key)
            log.compare(ours, self.depth)
            if log.tip and log.tip_at in ours and summary.tips.get(key) != (log.tip_at, log.tip):
                self.suspects.append(key)

    def park(self) -> None:
        """Nothing more of it goes before it is compared again."""
        self.is_summarised = False
        self.ops_todo.clear()
        self.suspects.clear()
        for log in self.logs.values():
            log.todo = [NOTHING, NOTHING, NOTHING]

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is to be read, being read or waited for."""
        if self.reading or self.want or self.ops_todo or self.suspects:
            return False
        return not any(any(log.todo) for log in self.logs.values())
