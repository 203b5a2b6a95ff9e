"""The receiving half of a session: what we ask for, what comes, what we make of it.

We want the accounts that interest us and that the peer carries (all of our
interests, if the person trusts it). Before asking for one, its summary is
read, because a want says what we hold; wants of many accounts travel
together (``batch``). From then on the peer answers with ``entries``, within
the credit we gave, and says ``caught_up`` when it has nothing more for a want.
Each ``entries`` frame becomes a delivery to ingest; its credit goes back once
it is committed (``deliveries``).

Our own account is wanted of every peer, first and in a frame of its own: what
the peer holds of the log this device writes tells whether another home writes
it too, and until that is known nothing of it leaves.

An account moves: interesting and carried → summary asked for → in the batch
→ wanted (frame n) → caught up (the peer said so for n, and all that came
before is committed). A hole seen in a caught-up account starts it over, at a
bounded rate, since the peer may not have what is missing; so does a change of
its operations, sooner, since what they brought into force is here by then or
wanted now. An account we drop
may still have entries on the way: they are taken, ignored and credited until
the peer shows, by a ``caught_up`` for the frame that dropped it, that it knew.

With a carrier of many accounts all this is for those in which we differ. What
it carries is compared first (``reconciling``); then one want asks for what its
journal gains in any account that both carry, and only those that differ are
asked for as above. An account that is caught up costs neither side anything
any more, so that others can be asked for in its place. Of what the peer gained
and cannot remember it tells us to ask by name.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import CaughtUp, Deliver, Purpose, ReadSummary
from unhush.gossip.proto.batch import Batch, describe
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.deliveries import Deliveries
from unhush.gossip.proto.events import SummaryRead
from unhush.gossip.proto.faults import CaughtUpTooFar, MalformedFrame, TooMuchState, UnwantedAccount
from unhush.gossip.proto.fingerprints import Marks
from unhush.gossip.proto.frames import Carries, Entries, RunsFrame, Want, WantedAccount
from unhush.gossip.proto.lookups import Lookups
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.position import find_seqs
from unhush.gossip.proto.queue import OnceQueue
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey

# Data items of a want that stand around its accounts.
_ITEMS_AROUND: Final = 16


class _All(Enum):
    """Whether we ask for what the peer gains in any account both carry."""

    NO = auto()
    DUE = auto()
    ASKED = auto()


@dataclass(slots=True)
class _Asked:
    """How far we are with one account."""

    want: int = 0  # the number of the want frame that asked for it last; 0: not yet
    cost: int = 0  # what the peer counts for it
    asked_at: float = 0.0
    is_caught_up: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the peer thereby showed to hold."""

    account: Cid
    ops: tuple[bytes, ...]
    key: PublicKey | None
    seqs: Ranges


class Receiving:
    """What we ask of the peer, and what it may therefore send."""

    def __init__(
        self, config: SessionConfig, outbox: Outbox, peer_state_bytes: int, *, reconciles: bool = False
    ) -> None:
        """If it ``reconciles``, nothing but our own account is asked for before ``reconciled``."""
        self._config: Final = config
        self._reconciles: Final = reconciles
        self._shared: Marks | None = None  # accounts found to be carried by both, or said to be since
        self._differing: Final[deque[Cid]] = deque()
        self._gone: set[Cid] = set()  # that interested us when they were compared
        self._all: _All = _All.NO
        self._settled: OnceQueue[Cid] = OnceQueue()
        self._outbox: Final = outbox
        self._state_offered: Final = peer_state_bytes - peer_state_bytes // limits.CARRIES_SHARE
        self._state_used = 0

        self._interests: frozenset[Cid] = frozenset()
        self._carried: set[Cid] = set()
        self._all_carried: frozenset[Cid] | None = None  # until something changes
        self._wanted: dict[Cid, _Asked] = {}
        self._to_ask: OnceQueue[Cid] = OnceQueue()
        self._crowded_out: OnceQueue[Cid] = OnceQueue()
        self._holes: OnceQueue[Cid] = OnceQueue()
        self._refolded: OnceQueue[Cid] = OnceQueue()
        self._batch: Final = Batch()
        self._reading = 0  # summaries asked for and not answered
        self._is_held = False  # what is in the batch may not go yet
        self._lookups: Final = Lookups()
        self._wants_pace: Final = Allowance(limits.WANTS_SENT_ALLOWANCE, limits.WANTS_INTERVAL_S)
        self._to_drop: dict[Cid, _Asked] = {}
        self._dropped: dict[Cid, int] = {}

        self._wants_sent = 0
        self._wants_answered = 0
        self._unanswered: deque[tuple[int, tuple[Cid, ...]]] = deque()
        self._uncommitted: deque[tuple[int, tuple[Cid, ...]]] = deque()

        self.deliveries: Final = Deliveries(config.window_bytes, outbox, self._lookups)
        self._reached: dict[tuple[Cid, PublicKey], int] = {}  # how far down the newest run of a log went
        self.asks_for_own_again = False
        if config.own is not None:
            self._wanted[config.own.account] = _Asked()
            self._to_ask.push(config.own.account)

    @property
    def carried(self) -> frozenset[Cid]:
        """What the peer says it carries, as far as it matters to us."""
        if self._all_carried is None:
            self._all_carried = frozenset(self._carried)
            if self._shared is not None:
                self._all_carried |= frozenset(account for account in self._interests if account in self._shared)
                if self._all_carried == self._interests:
                    self._all_carried = self._interests  # of which there is one for all sessions
        return self._all_carried

    def _is_carried(self, account: Cid) -> bool:
        return account in self._carried or (self._shared is not None and account in self._shared)

    def _is_pushed(self, account: Cid) -> bool:
        """Whether the peer may send of an account without its having been asked for by name."""
        return self._shared is not None and account in self._interests

    @property
    def is_waiting(self) -> bool:
        """Whether something of what we want here is still to be asked for, to come, or to be committed."""
        if self._reconciles and self._shared is None:
            return True
        asking = self._to_ask or self._differing or self._batch or self._reading
        return bool(asking or self._unanswered or self.deliveries or self._uncommitted)

    # --- what we want ------------------------------------------------------------------------------------

    def set_interests(self, interests: frozenset[Cid]) -> None:
        self._lookups.cover(len(interests))
        changed = self._interests ^ interests
        self._interests = interests
        self._all_carried = None
        if self._reconciles and self._shared is None:
            self._gone |= changed - interests
            return  # nothing is known of what the peer carries
        self._review(changed)
        if self._shared is None:
            return
        for account in changed:
            self._drop_unasked(account)

    def _drop_unasked(self, account: Cid) -> None:
        """Of an account that interests us no more something may come, though it was not asked for by name."""
        if account in self._interests or self._is_own(account):
            return
        self._to_drop.setdefault(account, _Asked())
        if self._shared is not None:
            self._shared.discard(account)  # when it interests us again the peer says whether it carries it
        self._carried.discard(account)

    def reconciled(self, shared: Marks, differing: Iterable[Cid]) -> None:
        """Ask for what is not the same at the peer, and for all that it gains."""
        for account in self._carried:  # said meanwhile
            shared.add(account)
        self._shared = shared
        self._all_carried = None
        self._all = _All.DUE if self._config.is_live else _All.NO
        self._differing.extend(differing)
        for account in self._gone:
            self._drop_unasked(account)
        self._gone.clear()
        self._review(self._carried)

    def _ask_for_more(self) -> None:
        """Some of what differs, a few at a time: it may be all there is."""
        while self._differing and len(self._to_ask) < limits.ACCOUNTS_PER_WANT and not self._crowded_out:
            self._review([self._differing.popleft()])

    def peer_carries(self, frame: Carries) -> None:
        """Take the peer's word for what it carries; raises ``TooMuchState``."""
        fresh = [each for each in frame.add if not (self._reconciles and self._is_carried(each))]
        self._carried.difference_update(frame.drop)
        self._carried.update(frame.add)
        self._all_carried = None
        if self._shared is not None:
            for account in frame.drop:
                self._shared.discard(account)
            self._carried.difference_update([account for account in frame.add if self._shared.add(account)])
        if len(self._carried) * limits.CARRIED_COST > limits.MAX_STATE_BYTES // limits.CARRIES_SHARE:
            if self._reconciles:  # these are none of ours; should they become so, the next session compares them
                self._carried.difference_update(frame.add)
                return
            raise TooMuchState(f"more than {len(self._carried) - 1} accounts carried")
        if not self._reconciles or self._shared is not None:
            self._review([*frame.drop, *fresh])
            for account in frame.again:
                self.refolded(account)
        own = self._config.own
        if own is not None and own.account in frame.add and self._wanted[own.account].is_caught_up:
            # It answered before it carried the account, so without what it holds of it.
            self.asks_for_own_again = True
            self._ask_again(own.account)

    def _review(self, accounts: Iterable[Cid]) -> None:
        # Sorted, so that a run of the same events asks in the same order on every machine.
        for account in sorted(accounts):
            is_due = self._is_own(account) or (
                account in self._interests and (self._config.trusts_all or self._is_carried(account))
            )
            if is_due and account not in self._wanted:
                # If the peer was not told of the drop yet, it still counts and sends what we asked before.
                self._wanted[account] = self._to_drop.pop(account, _Asked())
                self._to_ask.push(account)
            elif not is_due and (asked := self._wanted.pop(account, None)) is not None:
                for queue in (self._to_ask, self._crowded_out, self._holes, self._refolded, self._settled):
                    queue.discard(account)
                self._batch.discard(account)
                if asked.want:
                    self._to_drop[account] = asked

    def _is_own(self, account: Cid) -> bool:
        return self._config.own is not None and account == self._config.own.account

    def wants(self, account: Cid) -> bool:
        """Whether we want the account from this peer."""
        return account in self._wanted or (self._is_pushed(account) and self._is_carried(account))

    def hole_seen(self, account: Cid) -> None:
        if self._wants_by_name(account):
            self._holes.push(account)

    def refolded(self, account: Cid) -> None:
        if self._wants_by_name(account):
            self._refolded.push(account)

    def _wants_by_name(self, account: Cid) -> bool:
        """Whether it is wanted; what was the same so far, and is not asked for by name, will be."""
        if account not in self._wanted and self.wants(account):
            self._wanted[account] = _Asked(is_caught_up=True, asked_at=float("-inf"))
        return account in self._wanted

    def tick(self, now: float) -> None:
        """Ask again what is due, once nothing more is on its way that our summary would not tell of."""
        if not (self._holes or self._refolded) or len(self._unanswered) >= limits.WANTS_OPEN_FOR_CHANGES:
            return
        arriving = self.deliveries.accounts()
        for account in [account for account in self._refolded if account not in arriving]:
            asked = self._wanted[account]
            # While the answer is on its way most of it is not in our summary, and would come twice.
            wait_s = limits.REFOLD_INTERVAL_S if asked.is_caught_up else limits.REASK_INTERVAL_S
            if now >= asked.asked_at + wait_s:
                self._ask_again(account)
        for account in [account for account in self._holes if account not in arriving]:
            asked = self._wanted[account]
            if asked.is_caught_up and now >= asked.asked_at + limits.REASK_INTERVAL_S:
                self._ask_again(account)

    def _ask_again(self, account: Cid) -> None:
        for queue in (self._holes, self._refolded, self._crowded_out, self._settled):
            queue.discard(account)
        self._to_ask.push(account)

    # --- asking ------------------------------------------------------------------------------------------

    def find_reads(self) -> list[ReadSummary]:
        """The next summaries to read for a want, if some are due and the batch takes them."""
        reads: list[ReadSummary] = []
        if self._batch.is_full or (self._is_held and self._batch) or not self._outbox.has_room:
            return reads
        most = min(limits.SUMMARIES_AT_ONCE, limits.ACCOUNTS_PER_WANT - len(self._batch))
        while self._to_ask and len(reads) < most and self._lookups.take():
            account = self._to_ask.pop()
            reads.append(ReadSummary(account, Purpose.WANT))
            if self._is_own(account):
                break  # it goes in a frame of its own
        self._reading = len(reads)
        return reads

    def summary_read(self, summary: SummaryRead, now: float) -> None:
        """Put the account into the batch, as held by us."""
        self._reading -= 1
        account = summary.account
        if account not in self._wanted or account in self._to_ask:
            return  # dropped while it was read; if it came back since, it is read again
        wanted = describe(summary, self._config)
        if not self._batch.put(wanted):
            self._flush_batch(now)
            if not self._batch.put(wanted):  # the others are held back by our own pace
                self._to_ask.push(account)
                return
        if self._is_own(account):
            self._flush_batch(now)  # what else we want takes longer to answer

    def flush(self, now: float) -> None:
        """Send what is due: credit, drops, a batch that is full or has nothing to wait for."""
        self._lookups.pass_time(now)
        self.deliveries.flush()
        if self._all is _All.DUE and self._may_want and self._outbox.send_paced(Want(is_all=True), now):
            self._all = _All.ASKED
            self._want_sent(())
        self._ask_for_more()
        if self._to_drop:
            self._flush_drops(now)
        if self._batch and (self._is_held or self._batch.is_full or not (self._to_ask or self._reading)):
            self._flush_batch(now)

    @property
    def _may_want(self) -> bool:
        """Whether another want may go, as far as the peer counts those it has not answered."""
        return self._outbox.has_room and len(self._unanswered) < limits.MAX_WANTS_OPEN

    def _flush_drops(self, now: float) -> None:
        links = tuple(self._to_drop)[: limits.LINKS_PER_FRAME]
        if not self._may_want or not self._outbox.send_paced(Want(drop=links), now):
            return
        self._want_sent(())
        for account in links:
            self._state_used -= self._to_drop.pop(account).cost
            self._dropped[account] = self._wants_sent
            if self._crowded_out:
                self._to_ask.push(self._crowded_out.pop())

    def _flush_batch(self, now: float) -> None:
        accounts: list[WantedAccount] = []
        left = self._state_offered - self._state_used
        for wanted in self._batch.accounts.values():
            growth = wanted.cost - self._wanted[wanted.account].cost
            if growth <= left:
                left -= growth
                accounts.append(wanted)
            else:
                self._crowded_out.push(wanted.account)
        self._is_held = bool(accounts) and not self._send_want(Want(tuple(accounts)), now)
        if self._is_held:
            return
        self._batch.clear()
        if not accounts:
            return
        self._want_sent(tuple(wanted.account for wanted in accounts))
        for wanted in accounts:
            self._state_used += wanted.cost - self._wanted[wanted.account].cost
            self._wanted[wanted.account] = _Asked(self._wants_sent, wanted.cost, now)
            self._dropped.pop(wanted.account, None)

    def _send_want(self, want: Want, now: float) -> bool:
        # As the peer counts them, and a little more: what stands around the accounts.
        items = self._batch.items + _ITEMS_AROUND
        is_due = self._may_want and self._wants_pace.has(want.cost, now)
        if not is_due or not self._outbox.send_paced(want, now, items):
            return False
        self._wants_pace.charge(want.cost, now)
        return True

    def _want_sent(self, accounts: tuple[Cid, ...]) -> None:
        self._wants_sent += 1
        self._unanswered.append((self._wants_sent, accounts))

    # --- what comes --------------------------------------------------------------------------------------

    def entries(self, frame: Entries | RunsFrame, payload_bytes: int) -> list[Arrived]:
        """Make deliveries of a frame; raises what the peer did wrong."""
        rows = frame.rows if isinstance(frame, RunsFrame) else (frame,)
        left = self.deliveries.charge(payload_bytes, len(rows))
        found: list[Arrived] = []
        for number, row in enumerate(rows):
            cost = left // (len(rows) - number)  # all of it has gone back when the last of them is committed
            left -= cost
            arrived = self._take_row(row, cost, may_leave_out=isinstance(frame, RunsFrame))
            if arrived is None:
                self.deliveries.refund(cost)
            else:
                found.append(arrived)
        return found

    def _take_row(self, row: Entries, cost: int, *, may_leave_out: bool) -> Arrived | None:
        """Deliver operations and records of one log, unless they were wanted once and are no more."""
        account, key = row.account, row.key
        asked = self._wanted.get(account)
        if (asked is None or not asked.want) and not self._is_pushed(account):
            if account not in self._dropped and account not in self._to_drop:
                raise UnwantedAccount(f"entries of {account}, which was not asked for")
            return None
        is_news = (asked is None or asked.is_caught_up) and not self.deliveries.has_history(account)
        runs = _find_runs(row, may_leave_out=may_leave_out)
        is_continued = key is not None and self._continues(account, key, runs)
        self._deliver(row, cost, is_continued=is_continued, is_news=is_news)
        return Arrived(account, tuple(op.entry for op in row.ops), key, Ranges(tuple(runs)))

    def _deliver(self, row: Entries, cost: int, *, is_continued: bool, is_news: bool) -> None:
        self._outbox.put(
            Deliver(
                delivery_id=self.deliveries.accept(row.account, cost, is_news=is_news),
                account=row.account,
                ops=row.ops,
                key=row.key,
                items=row.items,
                wire_bytes=cost,
                is_beside=row.is_beside,
                is_continued=is_continued,
                is_news=is_news,
            )
        )

    def _continues(self, account: Cid, key: PublicKey, runs: Sequence[tuple[int, int]]) -> bool:
        """Whether the newest run ends where the last one of its log began; remembers where the oldest begins."""
        is_continued = self._reached.pop((account, key), None) == runs[-1][1] + 1
        self._reached[account, key] = runs[0][0]
        if len(self._reached) > limits.MAX_STRAY_LOGS:
            del self._reached[next(iter(self._reached))]
        return is_continued

    def caught_up(self, wants: int) -> None:
        """The peer has answered the first ``wants`` want frames."""
        if not self._wants_answered < wants <= self._wants_sent:
            raise CaughtUpTooFar(f"{wants} wants answered; {self._wants_answered} were, {self._wants_sent} are asked")
        self._wants_answered = wants
        done: list[Cid] = []
        while self._unanswered and self._unanswered[0][0] <= wants:
            number, accounts = self._unanswered.popleft()
            for account in accounts:
                asked = self._wanted.get(account)
                if asked is not None and asked.want == number:
                    asked.is_caught_up = True
                    self.asks_for_own_again &= not self._is_own(account)
                    done.append(account)
                    if self._reconciles:
                        self._release(account, asked)
        for account in [account for account, number in self._dropped.items() if number <= wants]:
            del self._dropped[account]
        if done:
            self._uncommitted.append((self.deliveries.last, tuple(done)))
            self._report_caught_up()

    def _release(self, account: Cid, asked: _Asked) -> None:
        """The peer remembers it no more as asked for by name: another may be, in its place."""
        self._state_used -= asked.cost
        asked.cost = 0
        if self._crowded_out:
            self._to_ask.push(self._crowded_out.pop())
        if self._shared is not None and account not in self._to_ask:
            self._settle(account)

    def _settle(self, account: Cid) -> None:
        """Remember for a while when it was asked for, so that holes do not make us ask on and on."""
        if self._is_own(account):
            return
        self._settled.push(account)
        if len(self._settled) > limits.MAX_LIGHT:
            oldest = self._settled.pop()
            if oldest not in self._holes and oldest not in self._refolded:
                del self._wanted[oldest]

    def committed(self, delivery_id: int, *, is_faulty: bool) -> None:
        """Ingest is done with a delivery; raises ``RecordsRejected`` if the peer is to blame for it."""
        self.deliveries.committed(delivery_id, is_faulty=is_faulty)
        self._report_caught_up()

    def _report_caught_up(self) -> None:
        # Deliveries are numbered as they come, so the first is the oldest one outstanding.
        oldest = next(iter(self.deliveries), self.deliveries.last + 1)
        while self._uncommitted and self._uncommitted[0][0] < oldest:
            accounts = tuple(account for account in self._uncommitted.popleft()[1] if account in self._wanted)
            if accounts:
                self._outbox.put(CaughtUp(accounts))


def _find_runs(row: Entries, *, may_leave_out: bool) -> list[tuple[int, int]]:
    """The numbers of what was sent of a log, ascending; the branches of a fork may stand at one number."""
    if row.key is None:
        return []
    seqs = find_seqs(row.key, (item.entry for item in row.items))
    if seqs is None:
        raise MalformedFrame("entries: an item is no entry of the key named")
    runs: list[tuple[int, int]] = []
    lo = before = seqs[0]
    for seq in seqs:
        if seq - before not in (0, 1):
            if seq < before or not may_leave_out:
                raise MalformedFrame(f"entries: {seq} does not follow {before}")
            runs.append((lo, before))
            lo = seq
        before = seq
    runs.append((lo, before))
    return runs
