"""The sending half of a session: what the peer asked for, what we have of it, what goes next.

For each account asked for, three things to send are remembered per log, as
ranges and never as bytes: LIVE is what the journal gained since we were
asked, SCREEN the newest ``depth`` records when we were asked, HISTORY the
rest. Of all that can go, goes first: identity operations; live records;
screens, of all accounts; then the next account is looked up; last, history,
from its newest end backwards, the accounts taking turns run by run. Nothing
of an account goes before its operations.

Beside what is to be sent stands ``held``: what the peer said it holds, what
we sent it and what it sent us. Whatever is in it is not sent, so nothing goes
twice and nothing returns to where it came from. Bounds err to the safe side:
``held`` forgets, the three widen.

A range leaves its set when its read is asked for, and what the read did not
cover returns. Growth that arrives during a read therefore stands on its own
and is never crossed off by an answer that is older than it. The same holds
for growth before the first summary. A record sent without its body is not
``held``: once the body turns up, the journal gains it anew and it goes again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from unhush.gossip.errors import LocalProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Purpose, Read, ReadOps, ReadRun, ReadSummary
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import Grew, OpsRead, RunRead, SummaryRead
from unhush.gossip.proto.faults import CreditOverflow, TooMuchState
from unhush.gossip.proto.frames import (
    Carries,
    CaughtUp,
    Entries,
    Hello,
    Item,
    Operation,
    Want,
    WantedAccount,
    encode_frame,
)
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.position import find_seqs
from unhush.gossip.proto.queue import OnceQueue
from unhush.gossip.proto.ranges import NOTHING, Ranges
from unhush.gossip.proto.receiving import Arrived
from unhush.identity.cid import Cid, cid_of
from unhush.identity.keys import PublicKey


class Phase(IntEnum):
    """The three queues of a log, in the order they go."""

    LIVE = 0
    SCREEN = 1
    HISTORY = 2


# More than what an item and its frame take beside entry and body, whatever their heads.
_ITEM_OVERHEAD: Final = 24
_FRAME_OVERHEAD: Final = 192


@dataclass(slots=True)
class _Log:
    held: Ranges = NOTHING
    todo: list[Ranges] = field(default_factory=lambda: [NOTHING, NOTHING, NOTHING])


@dataclass(slots=True, eq=False)
class _Served:
    """One account the peer asked for; ``want`` is the number of the want frame still unanswered, or 0."""

    account: Cid
    cost: int
    depth: int
    is_live: bool
    want: int
    ops_held: set[Cid]
    logs: dict[PublicKey, _Log]
    ops_todo: dict[Cid, None] = field(default_factory=dict)
    is_summarised: bool = False

    def log(self, key: PublicKey) -> _Log:
        log = self.logs.get(key)
        if log is None:
            log = self.logs[key] = _Log()
        return log

    @property
    def has_backlog(self) -> bool:
        if not self.is_summarised or self.ops_todo:
            return True
        return any(log.todo[Phase.SCREEN] or log.todo[Phase.HISTORY] for log in self.logs.values())


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the outstanding read is for."""

    served: _Served
    phase: Phase
    read: Read


class Sending:
    """What the peer asked of us, and the order in which it gets it."""

    def __init__(self, config: SessionConfig, outbox: Outbox, peer: Hello) -> None:
        self._config: Final = config
        self._outbox: Final = outbox
        self._frame_bytes: Final = min(peer.frame_bytes, limits.MAX_FRAME_LIMIT_BYTES)
        self._max_carried: Final = peer.state_bytes // limits.CARRIES_SHARE // limits.CARRIED_COST
        self._carries: frozenset[Cid] = frozenset()
        self._to_add: list[Cid] = []
        self._to_drop: list[Cid] = []
        self._announced: set[Cid] = set()

        self._served: dict[Cid, _Served] = {}
        self._state_used = 0
        self._stray_logs = 0
        self._credit = 0
        self._sent_bytes = 0
        self._intake: OnceQueue[Cid] = OnceQueue()
        self._ops: OnceQueue[Cid] = OnceQueue()
        self._runs: tuple[OnceQueue[Cid], ...] = (OnceQueue(), OnceQueue(), OnceQueue())
        self._asked: _Asked | None = None

        self._wants_received = 0
        self._wants_finished = 0
        self._wants_told = 0
        self._open_accounts: dict[int, int] = {}

    # --- what we carry -----------------------------------------------------------------------------------

    def set_carries(self, carries: frozenset[Cid]) -> None:
        changed = self._carries ^ carries
        self._carries = carries
        told = carries
        if len(carries) > self._max_carried:
            # The peer remembers no more; those it knows stay, so that it need not be told of changes.
            known = sorted(carries & self._announced) + sorted(carries - self._announced)
            told = frozenset(known[: self._max_carried])
        self._to_add = sorted(told - self._announced, reverse=True)
        self._to_drop = sorted(self._announced - told, reverse=True)
        for account in sorted(changed):
            served = self._served.get(account)
            if served is None:
                continue
            if self._may_serve(account):
                if not served.is_summarised:
                    self._intake.push(account)
            else:
                self._park(served)

    def _may_serve(self, account: Cid) -> bool:
        return self._config.trusts_all or account in self._carries

    def _flush_carries(self, now: float) -> None:
        while (self._to_add or self._to_drop) and self._outbox.has_room:
            # Drops first: the peer's bound must never be passed on the way.
            drop = self._to_drop[-limits.LINKS_PER_FRAME :]
            add = [] if drop else self._to_add[-limits.LINKS_PER_FRAME :]
            if not self._outbox.send_paced(Carries(tuple(reversed(add)), tuple(reversed(drop))), now):
                return
            self._announced.difference_update(drop)
            self._announced.update(add)
            del (self._to_drop if drop else self._to_add)[-limits.LINKS_PER_FRAME :]

    # --- what the peer wants -----------------------------------------------------------------------------

    def peer_wants(self, frame: Want) -> None:
        """Take a want; raises ``TooMuchState``."""
        self._wants_received += 1
        for account in frame.drop:
            self._forget(account)
        for wanted in frame.accounts:
            self._forget(wanted.account)
            self._state_used += wanted.cost
            if self._state_used > limits.MAX_STATE_BYTES - limits.MAX_STATE_BYTES // limits.CARRIES_SHARE:
                raise TooMuchState(f"more wanted than fits in {limits.MAX_STATE_BYTES} bytes of state")
            self._serve(wanted)

    def _serve(self, wanted: WantedAccount) -> None:
        served = _Served(
            account=wanted.account,
            cost=wanted.cost,
            depth=wanted.depth,
            is_live=wanted.is_live,
            want=0,
            ops_held=set(wanted.ops),
            logs={key: _Log(held) for key, held in wanted.logs.items()},
        )
        self._served[wanted.account] = served
        if self._may_serve(wanted.account):
            served.want = self._wants_received
            self._open_accounts[served.want] = self._open_accounts.get(served.want, 0) + 1
            self._intake.push(wanted.account)

    def _forget(self, account: Cid) -> None:
        served = self._served.pop(account, None)
        if served is not None:
            self._state_used -= served.cost
            self._park(served)

    def _park(self, served: _Served) -> None:
        """Stop sending of an account; if it is wanted still, it waits until we may serve it."""
        served.is_summarised = False
        served.ops_todo.clear()
        for log in served.logs.values():
            log.todo = [NOTHING, NOTHING, NOTHING]
        for queue in (self._intake, self._ops, *self._runs):
            queue.discard(served.account)
        self._finish(served)

    def _finish(self, served: _Served) -> None:
        if served.want:
            self._open_accounts[served.want] -= 1
            served.want = 0

    def peer_grants(self, size_bytes: int) -> None:
        """Take credit; raises ``CreditOverflow``."""
        self._credit += size_bytes
        if self._credit > limits.MAX_WINDOW_BYTES:
            raise CreditOverflow(f"{self._credit} bytes granted and unused")

    def peer_sent(self, arrived: Arrived) -> None:
        """What the peer sent us it holds: never send it back."""
        served = self._served.get(arrived.account)
        if served is None:
            return
        for entry in arrived.ops:
            if len(served.ops_held) < limits.MAX_OPERATIONS:
                served.ops_held.add(cid_of(entry))
        key = arrived.key
        if key is None:
            return
        log = served.logs.get(key)
        if log is None:
            if self._stray_logs >= limits.MAX_STRAY_LOGS:
                return
            self._stray_logs += 1
            log = served.log(key)
        log.held = log.held.add(arrived.lo, arrived.hi).shrink_to(limits.MAX_RANGES)

    # --- what we gain ------------------------------------------------------------------------------------

    def grew(self, event: Grew) -> bool:
        """The journal gained a record; remember that it is to be sent, unless the peer holds it.

        Tells whether that changed anything.
        """
        served = self._served.get(event.account)
        if served is None or not served.is_live or not self._may_serve(event.account):
            return False
        if event.key is None:
            if event.cid in served.ops_held:
                return False
            served.ops_todo[event.cid] = None
            queue = self._ops
        else:
            log = served.log(event.key)
            if event.seq in log.held:
                return False
            log.todo[Phase.LIVE] = log.todo[Phase.LIVE].add(event.seq).widen_to(limits.MAX_RANGES)
            queue = self._runs[Phase.LIVE]
        if served.is_summarised:
            queue.push(event.account)
        return True

    # --- reading -----------------------------------------------------------------------------------------

    def find_read(self) -> Read | None:
        """The read that brings what goes next."""
        can_send = self._credit >= limits.MIN_SENDING_CREDIT and self._outbox.has_room
        asked: _Asked | None = None
        if can_send:
            asked = self._next_ops() or self._next_run(Phase.LIVE) or self._next_run(Phase.SCREEN)
        if asked is None and self._intake:
            served = self._served[self._intake.pop()]
            asked = _Asked(served, Phase.LIVE, ReadSummary(served.account, Purpose.SERVE))
        if asked is None and can_send:
            asked = self._next_run(Phase.HISTORY)
        self._asked = asked
        return None if asked is None else asked.read

    def _next_ops(self) -> _Asked | None:
        while self._ops:
            served = self._served[self._ops.pop()]
            ids = tuple(served.ops_todo)[: limits.OPERATIONS_PER_READ]
            for cid in ids:
                del served.ops_todo[cid]
            if ids:
                return _Asked(served, Phase.LIVE, ReadOps(served.account, ids))
        return None

    def _next_run(self, phase: Phase) -> _Asked | None:
        queue = self._runs[phase]
        while queue:
            served = self._served[queue.pop()]
            for key, log in served.logs.items():
                if not log.todo[phase]:
                    continue
                lo, hi = log.todo[phase].pairs[-1]
                log.todo[phase] = Ranges(log.todo[phase].pairs[:-1])
                # To the back of the queue, and the log to the back of its account: everybody gets a turn.
                queue.push(served.account)
                served.logs[key] = served.logs.pop(key)
                # An eighth for what frames add to records.
                max_bytes = min(limits.RUN_BYTES, self._credit, self._frame_bytes) * 7 // 8
                return _Asked(served, phase, ReadRun(served.account, key, lo, hi, max_bytes))
        return None

    def _answered(self) -> _Asked | None:
        """The read just answered, unless what it was for is gone or was asked anew."""
        asked, self._asked = self._asked, None
        if asked is None or self._served.get(asked.served.account) is not asked.served:
            return None
        is_current = asked.served.is_summarised or isinstance(asked.read, ReadSummary)
        return asked if is_current and self._may_serve(asked.served.account) else None

    def summary_read(self, summary: SummaryRead) -> None:
        """Find what the peer lacks of what we hold."""
        asked = self._answered()
        if asked is None:
            return
        served = asked.served
        served.is_summarised = True
        served.ops_todo = dict.fromkeys(cid for cid in (*summary.ops, *served.ops_todo) if cid not in served.ops_held)
        for key, ours in summary.logs.items():
            log = served.log(key)
            missing = ours.subtract(log.held)
            screen = ours.newest(served.depth).subtract(log.held)
            log.todo[Phase.SCREEN] = screen.widen_to(limits.MAX_RANGES)
            log.todo[Phase.HISTORY] = missing.subtract(screen).widen_to(limits.MAX_RANGES)
        if served.ops_todo:
            self._ops.push(served.account)
        for phase in Phase:
            if any(log.todo[phase] for log in served.logs.values()):
                self._runs[phase].push(served.account)
        self._finish_if_done(served)

    def ops_read(self, answer: OpsRead) -> None:
        """Send operations, as many as credit allows; the rest is read again."""
        asked = self._answered()
        if asked is None:
            return
        served = asked.served
        unsent = list(answer.ops)
        while unsent and (count := _fitting(unsent, self._room)):
            self._send_entries(Entries(served.account, tuple(unsent[:count])))
            served.ops_held.update(cid_of(op.entry) for op in unsent[:count])
            del unsent[:count]
        served.ops_todo = dict.fromkeys((*(cid_of(op.entry) for op in unsent), *served.ops_todo))
        if served.ops_todo:
            self._ops.push(served.account)
        self._finish_if_done(served)

    def run_read(self, answer: RunRead) -> None:
        """Send a run, from its newest end as far as credit allows; the rest is read again."""
        asked = self._answered()
        if asked is None:
            return
        read = asked.read
        assert isinstance(read, ReadRun)
        log = asked.served.log(read.key)
        run = _positioned(answer, read)
        unread = run[0][0] - 1 if run else -1
        unsent = [(seq, item) for seq, item in run if seq not in log.held]
        is_first = True
        while unsent and (piece := _newest_piece(unsent, self._room, may_cut=is_first)):
            is_first = False
            self._send_entries(Entries(answer.account, (), read.key, tuple(item for _, item in piece)))
            _cross_off(log, piece)
            del unsent[-len(piece) :]
        if unsent:
            unread = unsent[-1][0]
        if unread >= read.lo:
            log.todo[asked.phase] = log.todo[asked.phase].add(read.lo, unread).widen_to(limits.MAX_RANGES)
        self._finish_if_done(asked.served)

    @property
    def _room(self) -> int:
        """The largest frame that may go now."""
        return min(self._credit, self._frame_bytes)

    def _send_entries(self, frame: Entries) -> None:
        payload = encode_frame(frame)
        self._credit -= max(len(payload), limits.MIN_ENTRIES_COST)
        assert self._credit >= 0, "a frame was cut too large for its credit"
        self._sent_bytes += len(payload)
        self._outbox.send_payload(payload)

    def take_sent_bytes(self) -> int:
        """Bytes of entries sent since this was last asked."""
        sent, self._sent_bytes = self._sent_bytes, 0
        return sent

    def _finish_if_done(self, served: _Served) -> None:
        if served.want and not served.has_backlog:
            self._finish(served)

    def flush(self, now: float) -> None:
        """Send what is due beside entries: what we carry, and how far we are caught up."""
        self._flush_carries(now)
        while self._wants_finished < self._wants_received:
            if self._open_accounts.get(self._wants_finished + 1):
                break
            self._wants_finished += 1
            self._open_accounts.pop(self._wants_finished, None)
        if self._wants_told < self._wants_finished and self._outbox.has_room:
            self._wants_told = self._wants_finished
            self._outbox.send(CaughtUp(self._wants_told))


def _positioned(answer: RunRead, read: ReadRun) -> list[tuple[int, Item]]:
    """The records of an answer with their numbers; raises ``LocalProtocolError`` if the store misread."""
    seqs = find_seqs(read.key, (item.entry for item in answer.items))
    if seqs is None or seqs != sorted(seqs) or (seqs and not read.lo <= seqs[0] <= seqs[-1] <= read.hi):
        raise LocalProtocolError(f"asked for {read.lo}…{read.hi} of {read.key}, the store read {seqs}")
    return list(zip(seqs, answer.items, strict=True))


def _fitting(ops: Sequence[Operation], room: int) -> int:
    """How many of ``ops`` fit in one frame."""
    left = room - _FRAME_OVERHEAD if room >= limits.MIN_ENTRIES_COST else 0
    for count, op in enumerate(ops):
        left -= len(op.entry) + len(op.body) + _ITEM_OVERHEAD
        if left < 0:
            return count
    return len(ops)


def _newest_piece(run: Sequence[tuple[int, Item]], room: int, *, may_cut: bool) -> Sequence[tuple[int, Item]]:
    """The end of ``run`` that has no gaps and fits in one frame."""
    left = room - _FRAME_OVERHEAD if room >= limits.MIN_ENTRIES_COST else 0
    at = len(run)
    while at > 0 and len(run) - at < limits.MAX_RUN_ITEMS:
        seq, item = run[at - 1]
        left -= len(item.entry) + len(item.body or b"") + _ITEM_OVERHEAD
        if left < 0 or (at < len(run) and run[at][0] - seq > 1):
            break
        at -= 1
    # Branches of a fork stand at one number: they go together, or the others would count as sent.
    start = at
    while 0 < start < len(run) and run[start - 1][0] == run[start][0]:
        start += 1
    # Only a fork that no full frame can carry is cut: waiting would not help it.
    return run[start:] or (run[at:] if may_cut else run[:0])


def _cross_off(log: _Log, sent: Sequence[tuple[int, Item]]) -> None:
    """What was sent whole is held; what went without its body may go again when the body turns up."""
    whole = NOTHING
    for seq, item in sent:
        if item.body is not None:
            whole = whole.add(seq)
    log.held = log.held.union(whole).shrink_to(limits.MAX_RANGES)
    log.todo[Phase.LIVE] = log.todo[Phase.LIVE].subtract(whole)
