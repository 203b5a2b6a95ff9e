"""The sending half of a session: what the peer asked for, what we have of it, what goes next.

``serving`` knows whom the peer gets something of and what of each is owed
(``served``), ``order`` what of all that is read next, ``freight`` how it goes
into frames for the peer's credit. This module joins them: it asks for reads,
and makes of their answers what is sent, as much as credit allows; the rest is
read again. Of the log this device writes nothing goes before ``ownlog`` says so.

Numbers cannot tell branches apart, so what shows a fork goes beside all this
(``branches``, ``forks``): whatever is ``held``, and without changing it.
"""

from collections import deque
from typing import Final

from unhush.gossip.errors import LocalProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Read, ReadBranches, ReadRun, ReadSummary
from unhush.gossip.proto.branches import Branches
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import BranchesRead, Forked, OpsRead, PointsRead, RunRead, SummaryRead
from unhush.gossip.proto.fingerprints import AccountTree
from unhush.gossip.proto.frames import Hello
from unhush.gossip.proto.freight import Freight
from unhush.gossip.proto.lookups import Lookups
from unhush.gossip.proto.order import Asked, Order
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.ownlog import OwnLog
from unhush.gossip.proto.pieces import Placed, count_fitting, cut_newest, cut_newest_whole, place
from unhush.gossip.proto.queue import OnceQueue
from unhush.gossip.proto.ranges import MAX_SEQ
from unhush.gossip.proto.served import Rank, Served
from unhush.gossip.proto.serving import Serving
from unhush.identity.cid import Cid, cid_of
from unhush.identity.keys import PublicKey


class Sending:
    """What the peer asked of us goes to it."""

    def __init__(
        self, config: SessionConfig, outbox: Outbox, peer: Hello, *, reconciles: AccountTree | None = None
    ) -> None:
        """``reconciles``: our tree, if what both carry is compared first."""
        takes_runs = peer.takes_runs and config.takes_runs
        self._outbox: Final = outbox
        self._lookups: Final = Lookups()
        self.own_log: Final = OwnLog(config.own)
        self.freight: Final = Freight(outbox, peer, self.own_log, self._lookups, takes_runs=takes_runs)
        self._order: Final = Order(self.own_log, self._lookups, takes_runs=takes_runs)
        self.serving: Final = Serving(
            config,
            outbox,
            own_log=self.own_log,
            order=self._order,
            lookups=self._lookups,
            state_bytes=peer.state_bytes,
            reconciles=reconciles,
        )
        self._asked: Final[deque[Asked]] = deque()
        self._proofs: Final[OnceQueue[tuple[Cid, PublicKey, int]]] = OnceQueue()
        self._branches: Final = Branches()

    # --- reading -----------------------------------------------------------------------------------------

    def find_reads(self) -> list[Read]:
        """The reads that bring what goes next, all of one kind."""
        asked = self._find_asked()
        for each in asked:
            each.served.reading += 1
        self._asked.extend(asked)
        return [each.read for each in asked]

    def _find_asked(self) -> list[Asked]:
        can_send = self.freight.credit_bytes >= limits.MIN_SENDING_CREDIT and self._outbox.has_room
        if can_send and (newest := self._order.next_newest(self.freight.most_bytes)):
            return newest
        if summaries := self._order.next_summaries():
            return summaries
        single = self._order.next_tip()
        if single is None and can_send:
            single = self._next_proof() or self._next_branches()
        if single is not None:
            return [single]
        return self._order.next_history(self.freight.most_bytes) if can_send and self._may_flood else []

    @property
    def _may_flood(self) -> bool:
        """Whether nobody waits for anything newer: what went before is written, and the peer has room for much."""
        return self.freight.credit_bytes >= limits.HISTORY_CREDIT and not self._outbox.is_hurried

    def _answered(self) -> Asked | None:
        """The read just answered, unless what it was for is gone or was asked anew."""
        if not self._asked:
            return None
        asked = self._asked.popleft()
        served = asked.served
        served.reading -= 1
        if not (served.is_summarised or isinstance(asked.read, ReadSummary)):
            return None
        return asked if self.serving.is_current(served) else None

    def summary_read(self, summary: SummaryRead) -> None:
        """Find what the peer lacks of what we hold."""
        asked = self._answered()
        if asked is None:
            return
        served = asked.served
        served.compare(summary)
        for key, fork in summary.forks.items():
            self._show_branches(served, key, fork)
        self._order.line_up(served)
        self.serving.finish_if_done(served)

    def ops_read(self, answer: OpsRead) -> None:
        """Send operations, as many as credit allows; the rest is read again."""
        asked = self._answered()
        if asked is None:
            return
        served = asked.served
        unsent = list(answer.ops)
        while unsent and (count := count_fitting(unsent, self.freight.find_room())):
            self.freight.put_ops(served.account, tuple(unsent[:count]))
            served.ops_held.update(cid_of(op.entry) for op in unsent[:count])
            del unsent[:count]
        served.ops_todo = dict.fromkeys((*(cid_of(op.entry) for op in unsent), *served.ops_todo))
        if served.ops_todo:
            self._order.ops.push(served)
        self.serving.finish_if_done(served)

    def run_read(self, answer: RunRead) -> None:
        """Send a run, from its newest end as far as credit allows; the rest is read again."""
        asked = self._answered()
        if asked is None:
            return
        read, served = asked.read, asked.served
        assert isinstance(read, ReadRun)
        run = _place(answer, read.lo, read.hi)
        if asked.is_proof:
            self._send_proof(served, read, run)
            return
        log = served.log(read.key)
        unread = run[0][0] - 1 if run else -1
        unsent = [(seq, item) for seq, item in run if seq not in log.held]
        if self.own_log.holds_back(answer.account, read.key):
            unread, unsent = read.hi, []  # the other home turned up while this was read
        is_first = True
        freight = self.freight
        while unsent and (
            piece := cut_newest_whole(unsent, freight.find_room(), may_cut=is_first and not freight.has_rows)
        ):
            is_first = False
            freight.put(answer.account, read.key, piece)
            log.sent(piece)
            del unsent[-len(piece) :]
        if asked.rank is not Rank.HISTORY:
            freight.hurry()
        if unsent:
            unread = unsent[-1][0]
        if unread >= read.lo:
            log.put_back(asked.rank, read.lo, unread)
            self._order.runs[asked.rank].push(served)
        self.serving.finish_if_done(served)

    # --- forks -------------------------------------------------------------------------------------------

    def forked(self, event: Forked) -> None:
        """A log turned out to be forked: show it to a peer that wants to hear."""
        served = self.serving.find(event.account)
        if served is not None and served.is_live and self.serving.may_serve(event.account):
            self._show_branches(served, event.key, event.seq)

    def _show_branches(self, served: Served, key: PublicKey, fork: int) -> None:
        known = served.forks.get(key)
        if known is None or fork < known:
            self._branches.tell((served.account, key), fork)

    def prove(self, account: Cid, key: PublicKey, seq: int) -> None:
        """Send our entry at the fork point of a log."""
        if self.serving.serves(account) and len(self._proofs) < limits.MAX_PROOFS:
            self._proofs.push((account, key, seq))

    def _find_served(self, account: Cid) -> Served | None:
        return self.serving.find(account) if self.serving.serves(account) else None

    def _next_proof(self) -> Asked | None:
        for proof in list(self._proofs):
            account, key, seq = proof
            if self.own_log.holds_back(account, key):
                continue
            self._proofs.discard(proof)
            if (served := self._find_served(account)) is not None:
                return Asked(served, ReadRun(account, key, seq, seq, 1), is_proof=True)
        return None

    def _next_branches(self) -> Asked | None:
        for log in list(self._branches.waiting):
            account, key = log
            served = self._find_served(account)
            if served is None:
                self._branches.forget(log)
                continue
            # After the rest of the log: who has nothing of it would take a branch for the one to show.
            if self.own_log.holds_back(account, key) or any(served.log(key).todo):
                continue
            self._branches.waiting.discard(log)
            return Asked(served, ReadBranches(account, key))
        return None

    def _send_proof(self, served: Served, read: ReadRun, run: list[Placed]) -> None:
        if not run or self.own_log.holds_back(served.account, read.key):
            return
        piece = cut_newest(run, self.freight.find_room())
        if piece:
            self.freight.put(served.account, read.key, piece, is_beside=True)
        else:  # something else took the room meanwhile
            self._proofs.push((served.account, read.key, read.lo))

    def branches_read(self, answer: BranchesRead) -> None:
        """Send branches, from their newest end as far as credit and stream allow; the rest is read again."""
        log = answer.account, answer.key
        if self._answered() is None:
            self._branches.waiting.push(log)  # the account was dropped, or asked for anew: looked at again
            return
        left = self._branches.left(log, _place(answer, 0, MAX_SEQ))
        if not self.own_log.holds_back(*log):
            while left and self._outbox.has_room and (piece := cut_newest(left, self.freight.find_room())):
                self.freight.put(*log, piece, is_beside=True)
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

    # --- going on ----------------------------------------------------------------------------------------

    def flush(self, now: float, *, is_last: bool = False) -> None:
        """Send what is due: what was read, what we carry, and how far the peer is caught up.

        ``is_last``: nothing is read now that could go in the same frame.
        """
        self._lookups.pass_time(now)
        if is_last or not (self._asked or self._is_more_coming):
            self.freight.send_rows()
        self.serving.flush(now, is_all_sent=not self.freight.has_rows)

    @property
    def _is_more_coming(self) -> bool:
        """Whether operations wait for the newest records of their account: together they are one commit there."""
        return self._order.has_newest and self.freight.is_only_ops


def _place(answer: RunRead | BranchesRead, lo: int, hi: int) -> list[Placed]:
    """The records of an answer with their numbers; raises ``LocalProtocolError`` if the store misread."""
    placed = place(answer.key, answer.items)
    if placed is None or (placed and not lo <= placed[0][0] <= placed[-1][0] <= hi):
        raise LocalProtocolError(f"asked for {lo}…{hi} of {answer.key}, the store read {answer.items}")
    return placed
