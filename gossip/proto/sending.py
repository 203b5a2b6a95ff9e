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

The log this device writes is held back until we know that no other home
writes it too (``OwnChecked``): what the peer holds of it has come here by
then. It stays on the list meanwhile, and only ``caught_up`` waits for it, and
not for long: a peer that is another device of the same account holds its own
log back from us until it hears that.

With a carrier of many accounts what both carry is compared first
(``reconciling``). What is the same at both is ``pushed`` without being asked
for by name, and nothing is remembered of it but a bit until it grows; then it
is served like others, at no cost to the peer, and forgotten when it is idle
and others take its place. So is what was asked for by name, once the peer was
told that it is caught up. Should more be waiting than can be remembered, the
peer is told to ask for the account by name.

Numbers cannot tell branches apart, so what shows a fork goes beside all this
(``branches``, ``forks``): whatever is ``held``, and without changing it.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain, islice
from typing import Final

from unhush.gossip.errors import LocalProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import (
    HandedOn,
    Purpose,
    Read,
    ReadBranches,
    ReadOps,
    ReadPoints,
    ReadRun,
    ReadSummary,
)
from unhush.gossip.proto.branches import Branches
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import BranchesRead, Forked, Grew, LogGrew, OpsRead, PointsRead, RunRead, SummaryRead
from unhush.gossip.proto.faults import CreditOverflow, TooManyFrames, TooMuchState
from unhush.gossip.proto.fingerprints import AccountTree, Marks
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import (
    Carries,
    CaughtUp,
    Entries,
    Hello,
    Item,
    Operation,
    RunsFrame,
    Want,
    WantedAccount,
)
from unhush.gossip.proto.lookups import Lookups
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.pieces import (
    FRAME_OVERHEAD,
    Placed,
    count_fitting,
    cut_newest,
    cut_newest_whole,
    place,
    size_of_items,
    size_of_ops,
)
from unhush.gossip.proto.queue import OnceQueue
from unhush.gossip.proto.ranges import MAX_SEQ, NOTHING, Pair, Ranges
from unhush.gossip.proto.receiving import Arrived
from unhush.identity.cid import Cid, cid_of
from unhush.identity.keys import PublicKey

# How many of those that may be forgotten are looked at for an idle one.
_IDLE_SOUGHT: Final = 8
# Logs remembered of an account that was not asked for by name: one a device that writes while we watch.
_LOGS_OF_LIGHT: Final = 16


class Phase(IntEnum):
    """The three queues of a log, in the order they go."""

    LIVE = 0
    SCREEN = 1
    HISTORY = 2


@dataclass(slots=True)
class _Log:
    held: Ranges = NOTHING
    tip: bytes = b""  # what the peer said it holds at ``tip_at``, if it did
    tip_at: int = 0
    todo: list[Ranges] = field(default_factory=lambda: [NOTHING, NOTHING, NOTHING])


@dataclass(slots=True, eq=False)
class _Served:
    """One account the peer asked for.

    ``asked_by`` is the number of the want frame that named it last, or 0; so is ``want`` until that is answered.
    """

    account: Cid
    cost: int
    depth: int
    is_live: bool
    asked_by: int
    want: int
    ops_held: set[Cid]
    logs: dict[PublicKey, _Log]
    forks: Mapping[PublicKey, int]
    ops_todo: dict[Cid, None] = field(default_factory=dict)
    suspects: list[PublicKey] = field(default_factory=list)  # logs whose tip may be of another branch than ours
    is_summarised: bool = False
    reading: int = 0  # reads for it that are asked for and not answered

    def log(self, key: PublicKey) -> _Log:
        log = self.logs.get(key)
        if log is None:
            log = self.logs[key] = _Log()
        return log


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an outstanding read is for."""

    served: _Served
    phase: Phase
    read: Read
    is_proof: bool = False


@dataclass(slots=True)
class _Row:
    """Something of an account that is to go with others in one frame."""

    account: Cid
    ops: tuple[Operation, ...] = ()
    key: PublicKey | None = None
    parts: list[tuple[Item, ...]] = field(default_factory=list)  # newest first
    lo: int = 0

    def entries(self) -> Entries:
        items = self.parts[0] if len(self.parts) == 1 else tuple(chain.from_iterable(reversed(self.parts)))
        return Entries(self.account, self.ops, self.key, items)


class Sending:
    """What the peer asked of us, and the order in which it gets it."""

    def __init__(
        self, config: SessionConfig, outbox: Outbox, peer: Hello, *, reconciles: AccountTree | None = None
    ) -> None:
        """If what both carry is compared first, by our tree, none of it is told, and what grows waits for that."""
        self._config: Final = config
        self._outbox: Final = outbox
        self._frame_bytes: Final = min(peer.frame_bytes, limits.MAX_FRAME_LIMIT_BYTES)
        self._max_carried: Final = peer.state_bytes // limits.CARRIES_SHARE // limits.CARRIED_COST
        self._carries: frozenset[Cid] = frozenset()
        self._to_add: list[Cid] = []
        self._to_drop: list[Cid] = []
        self._announced: set[Cid] = set()

        self._tree: Final = reconciles
        self._is_reconciled = False
        self._knows_carries = False
        self._pushed = Marks(self._tree, is_full=True) if self._tree is not None else None
        self._is_all_wanted = False
        self._light: OnceQueue[Cid] = OnceQueue()  # of those served, what may be forgotten
        # By want; the peer is yet to hear of it. No more than are served: who asks again is waited for anew.
        self._finished: dict[int, OnceQueue[Cid]] = {}
        self._more: OnceQueue[Cid] = OnceQueue()
        self._less: OnceQueue[Cid] = OnceQueue()
        self._again: OnceQueue[Cid] = OnceQueue()

        self._served: dict[Cid, _Served] = {}
        self._state_used = 0
        self._stray_logs = 0
        self._wants_pace: Final = Allowance(limits.WANTS_ALLOWANCE, limits.WANTS_INTERVAL_S)
        self._lookups: Final = Lookups()
        if config.trusts_all:
            self._lookups.cover(limits.MAX_SUMMARIES_ALLOWANCE)
        if reconciles is not None:
            self._lookups.cover(len(reconciles))
        self._credit = 0
        self._sent_bytes = 0
        self._intake: OnceQueue[Cid] = OnceQueue()
        self._ops: OnceQueue[Cid] = OnceQueue()
        self._runs: tuple[OnceQueue[Cid], ...] = (OnceQueue(), OnceQueue(), OnceQueue())
        self._suspected: OnceQueue[Cid] = OnceQueue()
        self._proofs: OnceQueue[tuple[Cid, PublicKey, int]] = OnceQueue()
        self._branches: Final = Branches()
        self._asked: Final[deque[_Asked]] = deque()
        self._takes_runs: Final = peer.takes_runs and config.takes_runs
        self._rows: list[_Row] = []  # not in a frame yet
        self._rows_bytes = 0
        self._rows_left: list[HandedOn] = []
        self._rows_are_urgent = False
        self._is_own_clean: bool | None = None
        self._own_due: float | None = None  # when nothing waits any more for what is held back
        self._is_own_late = False

        self._wants_received = 0
        self._wants_finished = 0
        self._wants_told = 0
        self._open_accounts: dict[int, int] = {}  # by want; of one that has none nothing stands here

    # --- what we carry -----------------------------------------------------------------------------------

    def set_carries(self, carries: frozenset[Cid]) -> None:
        self._lookups.cover(len(carries))
        if self._tree is not None:
            self._change_carries(carries, self._tree)
            return
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

    def _change_carries(self, carries: frozenset[Cid], tree: AccountTree) -> None:
        """As ``set_carries``, where the peer finds out by comparing what was in the tree then."""
        before, self._carries = self._carries if self._knows_carries else frozenset(tree), carries
        self._knows_carries = True
        for account in sorted(before - carries):
            self._more.discard(account)
            self._less.push(account)
            self._announced.discard(account)
            if self._pushed is not None:
                self._pushed.discard(account)
            if account in self._light:
                self._forget(account)
            elif (served := self._served.get(account)) is not None:
                self._park(served)
        for account in sorted(carries - before):
            self._more.push(account)
            served = self._served.get(account)
            if served is not None and not served.is_summarised and account not in self._light:
                self._intake.push(account)

    def _flush_changes(self, now: float) -> None:
        if not (self._more or self._less or self._again):
            return
        while self._outbox.has_room:
            drop = tuple(islice(self._less, limits.LINKS_PER_FRAME)) if self._is_reconciled else ()
            # What we dropped before, the peer must hear of first.
            add = tuple(islice((each for each in self._more if each not in self._less), limits.LINKS_PER_FRAME))
            again = tuple(islice(self._again, limits.LINKS_PER_FRAME)) if self._is_reconciled else ()
            frame = Carries(drop=drop) if drop else Carries(add, (), again)
            if frame == Carries() or not self._outbox.send_paced(frame, now):
                return
            for queue, told in ((self._less, frame.drop), (self._more, frame.add), (self._again, frame.again)):
                for account in told:
                    queue.discard(account)
            self._announced.update(frame.add)

    def peer_carries(self, frame: Carries) -> None:
        """Tell the peer that we, too, carry what it says it does, unless it was told.

        Who takes an account up did not compare it, so it does not know who else carries it.
        """
        if self._pushed is None:
            return
        for account in frame.drop:
            self._pushed.discard(account)
            self._announced.discard(account)
            if account in self._light:
                self._forget(account)
        for account in frame.add:
            if account in self._carries and account not in self._announced:
                self._more.push(account)

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

    def reconciled(self, equal: Marks) -> None:
        """Both know now which accounts of those both carry are the same."""
        self._is_reconciled = True
        self._pushed = equal.copy()
        for account in self._less:  # dropped while they were compared
            self._pushed.discard(account)
        for account, served in self._served.items():
            if served.is_summarised or account not in self._light:
                self._pushed.add(account)  # asked for by name meanwhile
        self._begin_pushing()

    def _begin_pushing(self) -> None:
        """Once it is known what is the same, and that the peer wants it: let go what grew meanwhile."""
        if not self._pushes_all:
            return
        for account in list(self._light):
            served = self._served[account]
            if served.is_summarised:
                continue
            if not self._is_pushed(account):
                self._forget(account)
                continue
            served.is_summarised = True
            if served.ops_todo:
                self._ops.push(account)
            self._runs[Phase.LIVE].push(account)

    @property
    def _pushes_all(self) -> bool:
        return self._is_reconciled and self._is_all_wanted

    def _is_pushed(self, account: Cid) -> bool:
        return self._pushed is not None and account in self._pushed and self._may_serve(account)

    def _find_served(self, account: Cid) -> _Served | None:
        """An account the peer asked for, by name or not."""
        served = self._served.get(account)
        if served is None and self._is_pushed(account):
            self._make_room()
            served = self._served[account] = _Served(account, 0, 0, True, 0, 0, set(), {}, {})
            served.is_summarised = self._pushes_all
            self._light.push(account)
        return served

    def _make_room(self) -> None:
        """For one more that may be forgotten: of an idle one, or of one that the peer has to ask for."""
        if len(self._light) < limits.MAX_LIGHT:
            return
        for _ in range(_IDLE_SOUGHT):
            oldest = self._light.pop()
            if self._is_idle(self._served[oldest]):
                break
            self._light.push(oldest)
        else:
            oldest = self._light.pop()
            if self._served[oldest].is_live:
                self._again.push(oldest)
        served = self._served.pop(oldest)
        self._park(served)

    def _is_idle(self, served: _Served) -> bool:
        is_read = served.reading > 0
        is_waiting = bool(served.want or served.ops_todo or served.suspects)
        return not (is_read or is_waiting or any(any(log.todo) for log in served.logs.values()))

    def _release(self, account: Cid) -> None:
        """The peer was told that it is caught up: neither side counts what it asked for any more."""
        served = self._served[account]
        self._state_used -= served.cost
        served.cost = 0
        if not self._may_serve(account):
            del self._served[account]
            self._park(served)
        elif self._pushed is not None and account in self._pushed:
            self._make_room()
            self._light.push(account)

    def peer_wants(self, frame: Want, now: float) -> None:
        """Take a want; raises ``TooMuchState``, ``TooManyFrames``."""
        self._wants_received += 1
        if self._wants_received - self._wants_told > limits.MAX_WANTS_OPEN:
            raise TooManyFrames(f"more than {limits.MAX_WANTS_OPEN} wants that are not answered")
        if not self._wants_pace.spend(frame.cost, now):
            raise TooManyFrames("accounts wanted faster than any use of them")
        if frame.is_all and not self._is_all_wanted:
            self._is_all_wanted = True
            self._begin_pushing()
        for account in frame.drop:
            self._forget(account)
            if self._pushed is not None:
                self._pushed.discard(account)
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
            asked_by=self._wants_received,
            want=0,
            ops_held=set(wanted.ops),
            logs={
                key: _Log(held, wanted.tips.get(key, b""), held.pairs[-1][1] if held else 0)
                for key, held in wanted.logs.items()
            },
            forks=wanted.forks,
        )
        self._served[wanted.account] = served
        if self._pushed is not None:
            self._pushed.add(wanted.account)
            if not self._is_reconciled and self._may_serve(wanted.account):
                self._more.push(wanted.account)  # the peer need not wait for the comparison to know
        if not self._may_serve(wanted.account):
            self._note_finished(served)
        else:
            served.want = served.asked_by
            self._open_accounts[served.want] = self._open_accounts.get(served.want, 0) + 1
            self._intake.push(wanted.account)

    def _forget(self, account: Cid) -> None:
        served = self._served.pop(account, None)
        if served is not None:
            self._state_used -= served.cost
            self._light.discard(account)
            self._park(served)
            finished = self._finished.get(served.asked_by)
            if finished is not None:
                finished.discard(account)
                if not finished:
                    del self._finished[served.asked_by]

    def _park(self, served: _Served) -> None:
        """Stop sending of an account; if it is wanted still, it waits until we may serve it."""
        served.is_summarised = False
        served.ops_todo.clear()
        served.suspects.clear()
        for log in served.logs.values():
            log.todo = [NOTHING, NOTHING, NOTHING]
        for queue in (self._intake, self._ops, self._suspected, *self._runs):
            queue.discard(served.account)
        self._finish(served)

    def _finish(self, served: _Served) -> None:
        if served.want:
            left = self._open_accounts.pop(served.want) - 1
            if left:
                self._open_accounts[served.want] = left
            served.want = 0
            self._note_finished(served)

    def _note_finished(self, served: _Served) -> None:
        if self._tree is not None:
            self._finished.setdefault(served.asked_by, OnceQueue()).push(served.account)

    def peer_grants(self, size_bytes: int) -> None:
        """Take credit; raises ``CreditOverflow``."""
        self._credit += size_bytes
        if self._credit > limits.MAX_WINDOW_BYTES:
            raise CreditOverflow(f"{self._credit} bytes granted and unused")

    def peer_sent(self, arrived: Arrived) -> None:
        """What the peer sent us it holds: never send it back."""
        served = self._find_served(arrived.account)
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
            if not self._may_remember(served):
                return
            log = served.log(key)
        log.held = log.held.union(arrived.seqs).shrink_to(limits.MAX_RANGES)

    def _may_remember(self, served: _Served) -> bool:
        """Whether one more log is remembered that the peer did not name."""
        if served.account in self._light:
            return len(served.logs) < _LOGS_OF_LIGHT
        if self._stray_logs >= limits.MAX_STRAY_LOGS:
            return False
        self._stray_logs += 1
        return True

    # --- what we gain ------------------------------------------------------------------------------------

    def grew(self, event: Grew | LogGrew) -> bool:
        """The journal gained records; remember that they are to be sent, unless the peer holds them.

        Tells whether that changed anything.
        """
        served = self._find_served(event.account)
        if served is None or not served.is_live or not self._may_serve(event.account):
            return False
        if isinstance(event, Grew) and event.key is None:
            if event.cid in served.ops_held:
                return False
            served.ops_todo[event.cid] = None
            queue = self._ops
        elif event.key is not None:
            log = served.log(event.key)
            seqs = Ranges.span(event.seq, event.seq) if isinstance(event, Grew) else event.seqs
            new = seqs.subtract(log.held)
            if not new:
                return False
            log.todo[Phase.LIVE] = log.todo[Phase.LIVE].union(new).widen_to(limits.MAX_RANGES)
            queue = self._runs[Phase.LIVE]
        if served.is_summarised:
            queue.push(event.account)
        return True

    # --- our own log -------------------------------------------------------------------------------------

    def own_checked(self, *, is_clean: bool) -> None:
        """Let our own log go, or hold it back for good."""
        if self._is_own_clean is False:
            return
        self._is_own_clean = is_clean
        own = self._config.own
        served = self._served.get(own.account) if own is not None else None
        if served is None or not served.is_summarised:
            return
        if is_clean:
            for queue in self._runs:
                queue.push(served.account)
        self._finish_if_done(served)

    def own_unchecked(self, *, is_asked: bool) -> None:
        """Hold our own log back again while the peer is asked for what it could not show before."""
        if is_asked and self._is_own_clean:
            self._is_own_clean = None

    def _wait_for_own(self, now: float) -> None:
        own = self._config.own
        if own is None or self._is_own_late:
            return
        if self._own_due is None:
            self._own_due = now + limits.OWN_CHECK_GRACE_S
        self._is_own_late = now >= self._own_due
        if self._is_own_late and (served := self._served.get(own.account)) is not None:
            self._finish_if_done(served)

    def _is_waited_for(self, account: Cid, key: PublicKey) -> bool:
        """Whether the peer is not caught up before this log went."""
        if not self._is_own(account, key) or self._is_own_clean:
            return True
        return self._is_own_clean is None and not self._is_own_late

    def _holds_back(self, account: Cid, key: PublicKey) -> bool:
        return self._is_own(account, key) and self._is_own_clean is not True

    def _is_own(self, account: Cid, key: PublicKey) -> bool:
        own = self._config.own
        return own is not None and own.key == key and own.account == account

    # --- forks -------------------------------------------------------------------------------------------

    def serves(self, account: Cid) -> bool:
        """Whether the peer wants the account and may have it."""
        return (account in self._served and self._may_serve(account)) or (self._pushes_all and self._is_pushed(account))

    def forked(self, event: Forked) -> None:
        """A log turned out to be forked: show it to a peer that wants to hear."""
        served = self._find_served(event.account)
        if served is not None and served.is_live and self._may_serve(event.account):
            self._show_branches(served, event.key, event.seq)

    def _show_branches(self, served: _Served, key: PublicKey, fork: int) -> None:
        known = served.forks.get(key)
        if known is None or fork < known:
            self._branches.tell((served.account, key), fork)

    def prove(self, account: Cid, key: PublicKey, seq: int) -> None:
        """Send our entry at the fork point of a log."""
        if self.serves(account) and len(self._proofs) < limits.MAX_PROOFS:
            self._proofs.push((account, key, seq))

    # --- reading -----------------------------------------------------------------------------------------

    def find_reads(self) -> list[Read]:
        """The reads that bring what goes next, all of one kind."""
        asked = self._find_asked()
        for each in asked:
            each.served.reading += 1
        self._asked.extend(asked)
        return [each.read for each in asked]

    def _find_asked(self) -> list[_Asked]:
        can_send = self._credit >= limits.MIN_SENDING_CREDIT and self._outbox.has_room
        asked: list[_Asked] = []
        if can_send:
            asked = self._next_ops() or self._next_runs(Phase.LIVE) or self._next_runs(Phase.SCREEN)
        if asked := asked or self._next_summaries():
            return asked
        single = self._next_tip()
        if single is None and can_send:
            single = self._next_proof() or self._next_branches()
        if single is not None:
            return [single]
        return self._next_runs(Phase.HISTORY) if can_send and self._may_flood else []

    @property
    def _may_flood(self) -> bool:
        """Whether nobody waits for anything newer: what went before is written, and the peer has room for much."""
        return self._credit >= limits.HISTORY_CREDIT and not self._outbox.is_hurried

    def _next_summaries(self) -> list[_Asked]:
        asked: list[_Asked] = []
        while self._intake and len(asked) < limits.SUMMARIES_AT_ONCE and self._lookups.take():
            served = self._served[self._intake.pop()]
            asked.append(_Asked(served, Phase.LIVE, ReadSummary(served.account, Purpose.SERVE)))
        return asked

    def _next_tip(self) -> _Asked | None:
        while self._suspected:
            served = self._served[self._suspected.pop()]
            if served.suspects:
                if not self._lookups.take():
                    self._suspected.push(served.account)
                    return None
                key = served.suspects.pop()
                self._suspected.push(served.account)
                return _Asked(served, Phase.LIVE, ReadPoints(served.account, key, (served.logs[key].tip_at,)))
        return None

    def _next_proof(self) -> _Asked | None:
        for proof in list(self._proofs):
            account, key, seq = proof
            if self._holds_back(account, key):
                continue
            self._proofs.discard(proof)
            if self.serves(account) and (served := self._find_served(account)) is not None:
                return _Asked(served, Phase.LIVE, ReadRun(account, key, seq, seq, 1), is_proof=True)
        return None

    def _next_branches(self) -> _Asked | None:
        for log in list(self._branches.waiting):
            account, key = log
            served = self._find_served(account) if self.serves(account) else None
            if served is None:
                self._branches.forget(log)
                continue
            # After the rest of the log: who has nothing of it would take a branch for the one to show.
            if self._holds_back(account, key) or any(served.log(key).todo):
                continue
            self._branches.waiting.discard(log)
            return _Asked(served, Phase.LIVE, ReadBranches(account, key))
        return None

    def _next_ops(self) -> list[_Asked]:
        """As many operations as one frame can take whatever their size, but of one account at least."""
        asked: list[_Asked] = []
        left = limits.OPERATIONS_PER_READ if self._takes_runs else 1
        while self._ops and left > 0:
            served = self._served[self._ops.pop()]
            ids = tuple(served.ops_todo)[: limits.OPERATIONS_PER_READ]
            for cid in ids:
                del served.ops_todo[cid]
            if ids:
                left -= len(ids)
                asked.append(_Asked(served, Phase.LIVE, ReadOps(served.account, ids)))
        return asked

    def _next_runs(self, phase: Phase) -> list[_Asked]:
        """What fills a frame, or a single run."""
        # An eighth for what frames add to records.
        left = min(limits.RUN_BYTES, self._credit, self._frame_bytes) * 7 // 8
        found: list[tuple[_Served, PublicKey, Pair, int]] = []
        while left > 0 and (self._takes_runs or not found) and (turn := self._next_log(phase)) is not None:
            served, key, log = turn
            for pair in self._take_turn(log, phase):
                # What its records need is not known yet; what the answer leaves out is read again.
                needs = min(left, (pair[1] - pair[0] + 1) * limits.RECORD_BYTES)
                found.append((served, key, pair, needs))
                left -= needs
                if left <= 0:
                    break
        spare = left // max(1, len(found))
        return [
            _Asked(served, phase, ReadRun(served.account, key, *pair, needs + spare))
            for served, key, pair, needs in found
        ]

    def _next_log(self, phase: Phase) -> tuple[_Served, PublicKey, _Log] | None:
        queue = self._runs[phase]
        while queue:
            served = self._served[queue.pop()]
            for key, log in served.logs.items():
                if not log.todo[phase] or self._holds_back(served.account, key):
                    continue
                # To the back of the queue, and the log to the back of its account: everybody gets a turn.
                queue.push(served.account)
                served.logs[key] = served.logs.pop(key)
                return served, key, log
        return None

    def _take_turn(self, log: _Log, phase: Phase) -> Iterator[Pair]:
        """The newest stretches of a log: one, or of a log in pieces some."""
        left = limits.TURN_RECORDS if self._takes_runs else 1
        while left > 0 and log.todo[phase]:
            pair = log.todo[phase].pairs[-1]
            log.todo[phase] = Ranges(log.todo[phase].pairs[:-1])
            left -= pair[1] - pair[0] + 1
            yield pair

    def _answered(self) -> _Asked | None:
        """The read just answered, unless what it was for is gone or was asked anew."""
        if not self._asked:
            return None
        asked = self._asked.popleft()
        asked.served.reading -= 1
        if self._served.get(asked.served.account) is not asked.served:
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
            if log.tip and log.tip_at in ours and summary.tips.get(key) != (log.tip_at, log.tip):
                served.suspects.append(key)
        for key, fork in summary.forks.items():
            self._show_branches(served, key, fork)
        if served.suspects:
            self._suspected.push(served.account)
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
        while unsent and (count := count_fitting(unsent, self._room)):
            self._put_ops(served.account, tuple(unsent[:count]))
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
        run = _place(answer, read.lo, read.hi)
        if asked.is_proof:
            self._send_proof(asked.served, read.key, run)
            return
        log = asked.served.log(read.key)
        unread = run[0][0] - 1 if run else -1
        unsent = [(seq, item) for seq, item in run if seq not in log.held]
        if self._holds_back(answer.account, read.key):
            unread, unsent = read.hi, []  # the other home turned up while this was read
        is_first = True
        while unsent and (piece := cut_newest_whole(unsent, self._room, may_cut=is_first and not self._rows)):
            is_first = False
            self._send_piece(answer.account, read.key, piece)
            _cross_off(log, piece)
            del unsent[-len(piece) :]
        self._rows_are_urgent |= asked.phase is not Phase.HISTORY
        if unsent:
            unread = unsent[-1][0]
        if unread >= read.lo:
            log.todo[asked.phase] = log.todo[asked.phase].add(read.lo, unread).widen_to(limits.MAX_RANGES)
            self._runs[asked.phase].push(answer.account)
        self._finish_if_done(asked.served)

    @property
    def has_rows(self) -> bool:
        """Whether something waits for what may go in the same frame."""
        return bool(self._rows)

    @property
    def _is_more_coming(self) -> bool:
        """Whether operations wait for the newest records of their account: together they are one commit there."""
        is_only_ops = all(row.key is None for row in self._rows)
        return is_only_ops and bool(self._ops or self._runs[Phase.LIVE] or self._runs[Phase.SCREEN])

    def _send_proof(self, served: _Served, key: PublicKey, run: list[Placed]) -> None:
        if run and not self._holds_back(served.account, key):
            self._send_piece(served.account, key, cut_newest(run, self._room), is_beside=True)

    def branches_read(self, answer: BranchesRead) -> None:
        """Send branches, from their newest end as far as credit and stream allow; the rest is read again."""
        log = answer.account, answer.key
        if self._answered() is None:
            self._branches.waiting.push(log)  # the account was dropped, or asked for anew: looked at again
            return
        left = self._branches.left(log, _place(answer, 0, MAX_SEQ))
        if not self._holds_back(*log):
            while left and self._outbox.has_room and (piece := cut_newest(left, self._room)):
                self._send_piece(*log, piece, is_beside=True)
                self._branches.went(log, piece)
                del left[-len(piece) :]
        if left:
            self._branches.waiting.push(log)
        elif log not in self._branches.waiting:  # unless a lower fork showed meanwhile
            self._branches.finish(log)

    def tip_read(self, answer: PointsRead) -> int | None:
        """Where the peer shows another entry of this log than we do, if it does."""
        asked = self._answered()
        if asked is None:
            return None
        log = asked.served.logs[answer.key]
        ours = answer.at.get(log.tip_at)
        return log.tip_at if ours is not None and ours != log.tip else None

    @property
    def credit_bytes(self) -> int:
        """What the peer is ready for."""
        return self._credit

    @property
    def _room(self) -> int:
        """The largest frame that may go now, or what still fits in the one that is being filled."""
        if self._rows_bytes >= limits.RUN_BYTES // 2 or len(self._rows) >= limits.MAX_RUNS:
            self._send_rows()
        return min(self._credit, self._frame_bytes) - self._rows_bytes

    def _send_piece(self, account: Cid, key: PublicKey, piece: Sequence[Placed], *, is_beside: bool = False) -> None:
        items = tuple(item for _, item in piece)
        if self._takes_runs and not is_beside:
            self._put_items(account, key, items, piece)
        else:
            self._send_entries(Entries(account, (), key, items, is_beside))
        if self._is_own(account, key):
            left = NOTHING
            for seq, _ in piece:  # of two branches one number may come twice
                left = left.add(seq)
            self._rows_left.extend(HandedOn(lo, hi) for lo, hi in left)
            if not self._rows:
                self._tell_left()

    def _put_items(self, account: Cid, key: PublicKey, items: tuple[Item, ...], piece: Sequence[Placed]) -> None:
        last = self._rows[-1] if self._rows else None
        if last is not None and (last.account, last.key) == (account, key) and piece[-1][0] < last.lo:
            last.parts.append(items)
            last.lo = piece[0][0]
            self._rows_bytes += size_of_items(items)
        else:
            self._rows.append(_Row(account, (), key, [items], piece[0][0]))
            self._rows_bytes += max(FRAME_OVERHEAD + size_of_items(items), limits.MIN_ENTRIES_COST)

    def _put_ops(self, account: Cid, ops: tuple[Operation, ...]) -> None:
        if self._takes_runs:
            self._rows.append(_Row(account, ops, parts=[()]))
            self._rows_bytes += max(FRAME_OVERHEAD + size_of_ops(ops), limits.MIN_ENTRIES_COST)
        else:
            self._send_entries(Entries(account, ops))

    def _send_rows(self) -> None:
        """Send the frame that was being filled."""
        if not self._rows:
            return
        rows = tuple(row.entries() for row in self._rows)
        is_plain = len(rows) == 1 and len(self._rows[0].parts) == 1
        self._rows, self._rows_bytes = [], 0
        self._send_charged(encode_frame(rows[0] if is_plain else RunsFrame(rows)), len(rows))
        if self._rows_are_urgent:
            self._outbox.hurry()
            self._rows_are_urgent = False
        self._tell_left()

    def _tell_left(self) -> None:
        for left in self._rows_left:
            self._outbox.put(left)
        self._rows_left.clear()

    def _send_entries(self, frame: Entries) -> None:
        self._send_rows()
        self._send_charged(encode_frame(frame))

    def _send_charged(self, payload: bytes, rows: int = 1) -> None:
        self._credit -= max(len(payload), rows * limits.MIN_ENTRIES_COST)
        assert self._credit >= 0, "a frame was cut too large for its credit"
        self._sent_bytes += len(payload)
        self._lookups.earn(len(payload))
        self._outbox.send_payload(payload)

    # --- beside what was wanted: for ``asking`` ----------------------------------------------------------

    @property
    def room(self) -> int:
        """The largest frame that may go now."""
        return self._room

    def carries(self, account: Cid) -> bool:
        """Whether we carry an account, and say so."""
        return account in self._carries

    def pushes(self, account: Cid) -> bool:
        """Whether the peer gets what an account writes without asking or being offered it."""
        served = self._served.get(account)
        if served is None:
            return self._pushes_all and self._is_pushed(account)
        return served.is_live and self._may_serve(account)

    def holds_back(self, account: Cid, key: PublicKey) -> bool:
        """Whether nothing of a log may go to this peer yet."""
        return self._holds_back(account, key)

    def send_charged(self, payload: bytes) -> None:
        """Send what costs credit; the caller has looked at ``room``."""
        self._send_rows()
        self._send_charged(payload)

    def note_left(self, seq: int) -> None:
        """An entry of our own log is in the frame that was sent last."""
        self._outbox.put(HandedOn(seq, seq))

    def take_sent_bytes(self) -> int:
        """Bytes of entries sent since this was last asked."""
        sent, self._sent_bytes = self._sent_bytes, 0
        return sent

    def _finish_if_done(self, served: _Served) -> None:
        if served.want and not self._has_backlog(served):
            self._finish(served)

    def _has_backlog(self, served: _Served) -> bool:
        if not served.is_summarised or served.ops_todo or served.reading:
            return True
        return any(
            (log.todo[Phase.SCREEN] or log.todo[Phase.HISTORY]) and self._is_waited_for(served.account, key)
            for key, log in served.logs.items()
        )

    def flush(self, now: float, *, is_last: bool = False) -> None:
        """Send what is due: what was read, what we carry, and how far we are caught up.

        ``is_last``: nothing is read now that could go in the same frame.
        """
        self._lookups.pass_time(now)
        if is_last or not (self._asked or self._is_more_coming):
            self._send_rows()
        if self._tree is None:
            self._flush_carries(now)
        else:
            self._flush_changes(now)
        self._wait_for_own(now)
        while self._wants_finished < self._wants_received:
            if self._wants_finished + 1 in self._open_accounts:
                break
            self._wants_finished += 1
        if self._wants_told < self._wants_finished and not self._rows and self._outbox.has_room:
            self._wants_told = self._wants_finished
            self._outbox.send(CaughtUp(self._wants_told))
            for want in [want for want in self._finished if want <= self._wants_told]:
                for account in self._finished.pop(want):
                    self._release(account)


def _place(answer: RunRead | BranchesRead, lo: int, hi: int) -> list[Placed]:
    """The records of an answer with their numbers; raises ``LocalProtocolError`` if the store misread."""
    placed = place(answer.key, answer.items)
    if placed is None or (placed and not lo <= placed[0][0] <= placed[-1][0] <= hi):
        raise LocalProtocolError(f"asked for {lo}…{hi} of {answer.key}, the store read {answer.items}")
    return placed


def _cross_off(log: _Log, sent: Sequence[Placed]) -> None:
    """What was sent whole is held; what went without its body may go again when the body turns up."""
    whole = NOTHING
    for seq, item in sent:
        if item.body is not None:
            whole = whole.add(seq)
    log.held = log.held.union(whole).shrink_to(limits.MAX_RANGES)
    log.todo[Phase.LIVE] = log.todo[Phase.LIVE].subtract(whole)
