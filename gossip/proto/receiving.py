"""The receiving half of a session: what we ask for, what comes, what we make of it.

We want the accounts that interest us and that the peer carries (all of our
interests, if the person trusts it). Before asking for one, its summary is
read, because a want says what we hold; wants of many accounts travel
together. From then on the peer answers with ``entries``, within the credit we
gave, and says ``caught_up`` when it has nothing more for a want. Each
``entries`` frame becomes a delivery to ingest; its credit goes back once it
is committed.

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
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from unhush.gossip.errors import LocalProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import CaughtUp, Deliver, Purpose, ReadSummary
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import SummaryRead
from unhush.gossip.proto.faults import (
    CaughtUpTooFar,
    CreditExceeded,
    MalformedFrame,
    RecordsRejected,
    TooMuchState,
    UnwantedAccount,
)
from unhush.gossip.proto.frames import Carries, Credit, Entries, Want, WantedAccount
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.position import find_seqs
from unhush.gossip.proto.queue import OnceQueue
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey


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
    lo: int
    hi: int


class Receiving:
    """What we ask of the peer, and what it may therefore send."""

    def __init__(self, config: SessionConfig, outbox: Outbox, peer_state_bytes: int) -> None:
        self._config: Final = config
        self._outbox: Final = outbox
        self._state_offered: Final = peer_state_bytes - peer_state_bytes // limits.CARRIES_SHARE
        self._state_used = 0

        self._interests: frozenset[Cid] = frozenset()
        self._carried: set[Cid] = set()
        self._wanted: dict[Cid, _Asked] = {}
        self._to_ask: OnceQueue[Cid] = OnceQueue()
        self._crowded_out: OnceQueue[Cid] = OnceQueue()
        self._holes: OnceQueue[Cid] = OnceQueue()
        self._refolded: OnceQueue[Cid] = OnceQueue()
        self._batch: dict[Cid, WantedAccount] = {}
        self._batch_bytes = 0
        self._batch_items = 0
        self._is_reading = False
        self._to_drop: dict[Cid, _Asked] = {}
        self._dropped: dict[Cid, int] = {}

        self._wants_sent = 0
        self._wants_answered = 0
        self._unanswered: deque[tuple[int, tuple[Cid, ...]]] = deque()
        self._uncommitted: deque[tuple[int, tuple[Cid, ...]]] = deque()

        self._credit_given = config.window_bytes
        self._credit_due = 0
        self._deliveries: dict[int, tuple[Cid, int]] = {}
        self._last_delivery = 0
        self._reached: dict[tuple[Cid, PublicKey], int] = {}  # how far down the newest run of a log went
        self.asks_for_own_again = False
        outbox.send(Credit(config.window_bytes))
        if config.own is not None:
            self._wanted[config.own.account] = _Asked()
            self._to_ask.push(config.own.account)

    @property
    def carried(self) -> frozenset[Cid]:
        """What the peer says it carries."""
        return frozenset(self._carried)

    # --- what we want ------------------------------------------------------------------------------------

    def set_interests(self, interests: frozenset[Cid]) -> None:
        changed = self._interests ^ interests
        self._interests = interests
        self._review(changed)

    def peer_carries(self, frame: Carries) -> None:
        """Take the peer's word for what it carries; raises ``TooMuchState``."""
        self._carried.difference_update(frame.drop)
        self._carried.update(frame.add)
        if len(self._carried) * limits.CARRIED_COST > limits.MAX_STATE_BYTES // limits.CARRIES_SHARE:
            raise TooMuchState(f"more than {len(self._carried) - 1} accounts carried")
        self._review(frame.drop + frame.add)
        own = self._config.own
        if own is not None and own.account in frame.add and self._wanted[own.account].is_caught_up:
            # It answered before it carried the account, so without what it holds of it.
            self.asks_for_own_again = True
            self._ask_again(own.account)

    def _review(self, accounts: Iterable[Cid]) -> None:
        # Sorted, so that a run of the same events asks in the same order on every machine.
        for account in sorted(accounts):
            is_due = self._is_own(account) or (
                account in self._interests and (self._config.trusts_all or account in self._carried)
            )
            if is_due and account not in self._wanted:
                # If the peer was not told of the drop yet, it still counts and sends what we asked before.
                self._wanted[account] = self._to_drop.pop(account, _Asked())
                self._to_ask.push(account)
            elif not is_due and (asked := self._wanted.pop(account, None)) is not None:
                for queue in (self._to_ask, self._crowded_out, self._holes, self._refolded):
                    queue.discard(account)
                self._batch.pop(account, None)
                if asked.want:
                    self._to_drop[account] = asked

    def _is_own(self, account: Cid) -> bool:
        return self._config.own is not None and account == self._config.own.account

    def wants(self, account: Cid) -> bool:
        """Whether we want the account from this peer."""
        return account in self._wanted

    def hole_seen(self, account: Cid) -> None:
        if account in self._wanted:
            self._holes.push(account)

    def refolded(self, account: Cid) -> None:
        if account in self._wanted:
            self._refolded.push(account)

    def tick(self, now: float) -> None:
        """Ask again what is due, once nothing more is on its way that our summary would not tell of."""
        if not (self._holes or self._refolded):
            return
        arriving = {account for account, _ in self._deliveries.values()}
        for account in [account for account in self._refolded if account not in arriving]:
            if now >= self._wanted[account].asked_at + limits.REFOLD_INTERVAL_S:
                self._ask_again(account)
        for account in [account for account in self._holes if account not in arriving]:
            asked = self._wanted[account]
            if asked.is_caught_up and now >= asked.asked_at + limits.REASK_INTERVAL_S:
                self._ask_again(account)

    def _ask_again(self, account: Cid) -> None:
        for queue in (self._holes, self._refolded, self._crowded_out):
            queue.discard(account)
        self._to_ask.push(account)

    # --- asking ------------------------------------------------------------------------------------------

    def find_read(self) -> ReadSummary | None:
        """The next summary to read for a want, if one is due and the batch takes it."""
        if not self._to_ask or self._batch_is_full or not self._outbox.has_room:
            return None
        self._is_reading = True
        return ReadSummary(self._to_ask.pop(), Purpose.WANT)

    def summary_read(self, summary: SummaryRead, now: float) -> None:
        """Put the account into the batch, as held by us."""
        self._is_reading = False
        account = summary.account
        if account not in self._wanted or account in self._to_ask:
            return  # dropped while it was read; if it came back since, it is read again
        wanted = _describe(summary, self._config)
        size_bytes, items = _measure(wanted)
        if self._batch_bytes + size_bytes > limits.WANT_BYTES or self._batch_items + items > limits.WANT_ITEMS:
            self._flush_batch(now)
            if self._batch:  # held back by our own pace
                self._to_ask.push(account)
                return
        self._batch[account] = wanted
        self._batch_bytes += size_bytes
        self._batch_items += items
        if self._is_own(account):
            self._flush_batch(now)  # what else we want takes longer to answer

    def flush(self, now: float) -> None:
        """Send what is due: credit, drops, a batch that is full or has nothing to wait for."""
        if self._credit_due >= self._config.window_bytes // limits.CREDIT_SHARE:
            self._outbox.send(Credit(self._credit_due))
            self._credit_given += self._credit_due
            self._credit_due = 0
        if self._to_drop:
            self._flush_drops(now)
        if self._batch and (self._batch_is_full or not (self._to_ask or self._is_reading)):
            self._flush_batch(now)

    @property
    def _batch_is_full(self) -> bool:
        return (
            len(self._batch) >= limits.ACCOUNTS_PER_WANT
            or self._batch_bytes >= limits.WANT_BYTES
            or self._batch_items >= limits.WANT_ITEMS
        )

    def _flush_drops(self, now: float) -> None:
        links = tuple(self._to_drop)[: limits.LINKS_PER_FRAME]
        if not self._outbox.has_room or not self._outbox.send_paced(Want(drop=links), now):
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
        for wanted in self._batch.values():
            growth = wanted.cost - self._wanted[wanted.account].cost
            if growth <= left:
                left -= growth
                accounts.append(wanted)
            else:
                self._crowded_out.push(wanted.account)
        if accounts and not (self._outbox.has_room and self._outbox.send_paced(Want(tuple(accounts)), now)):
            return
        self._batch.clear()
        self._batch_bytes = self._batch_items = 0
        if not accounts:
            return
        self._want_sent(tuple(wanted.account for wanted in accounts))
        for wanted in accounts:
            self._state_used += wanted.cost - self._wanted[wanted.account].cost
            self._wanted[wanted.account] = _Asked(self._wants_sent, wanted.cost, now)
            self._dropped.pop(wanted.account, None)

    def _want_sent(self, accounts: tuple[Cid, ...]) -> None:
        self._wants_sent += 1
        self._unanswered.append((self._wants_sent, accounts))

    # --- what comes --------------------------------------------------------------------------------------

    def entries(self, frame: Entries, payload_bytes: int) -> Arrived | None:
        """Make a delivery of a frame; raises what the peer did wrong."""
        cost = max(payload_bytes, limits.MIN_ENTRIES_COST)
        if cost > self._credit_given:
            raise CreditExceeded(f"{cost} bytes of entries where {self._credit_given} were welcome")
        self._credit_given -= cost
        asked = self._wanted.get(frame.account)
        if asked is None or not asked.want:
            if frame.account not in self._dropped and frame.account not in self._to_drop:
                raise UnwantedAccount(f"entries of {frame.account}, which was not asked for")
            self._credit_due += cost
            return None
        lo, hi = _check_run(frame)
        self._last_delivery += 1
        self._deliveries[self._last_delivery] = (frame.account, cost)
        self._outbox.put(
            Deliver(
                delivery_id=self._last_delivery,
                account=frame.account,
                ops=frame.ops,
                key=frame.key,
                items=frame.items,
                wire_bytes=cost,
                is_beside=frame.is_beside,
                is_continued=frame.key is not None and self._continues(frame.account, frame.key, lo, hi),
            )
        )
        return Arrived(frame.account, tuple(op.entry for op in frame.ops), frame.key, lo, hi)

    def _continues(self, account: Cid, key: PublicKey, lo: int, hi: int) -> bool:
        """Whether the run ends where the last one of its log began; remembers where this one begins."""
        is_continued = self._reached.pop((account, key), None) == hi + 1
        self._reached[account, key] = lo
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
        for account in [account for account, number in self._dropped.items() if number <= wants]:
            del self._dropped[account]
        if done:
            self._uncommitted.append((self._last_delivery, tuple(done)))
            self._report_caught_up()

    def committed(self, delivery_id: int, *, is_faulty: bool) -> None:
        """Ingest is done with a delivery; raises ``RecordsRejected`` if the peer is to blame for it."""
        delivery = self._deliveries.pop(delivery_id, None)
        if delivery is None:
            raise LocalProtocolError(f"delivery {delivery_id} is not outstanding")
        account, cost = delivery
        if is_faulty:
            raise RecordsRejected(f"records of {account} did not verify")
        self._credit_due += cost
        self._report_caught_up()

    def _report_caught_up(self) -> None:
        # Deliveries are numbered as they come, so the first is the oldest one outstanding.
        oldest = next(iter(self._deliveries), self._last_delivery + 1)
        while self._uncommitted and self._uncommitted[0][0] < oldest:
            accounts = tuple(account for account in self._uncommitted.popleft()[1] if account in self._wanted)
            if accounts:
                self._outbox.put(CaughtUp(accounts))


def _check_run(frame: Entries) -> tuple[int, int]:
    """The first and last sequence number of a run; the branches of a fork may stand at one number."""
    if frame.key is None:
        return 0, -1
    seqs = find_seqs(frame.key, (item.entry for item in frame.items))
    if seqs is None:
        raise MalformedFrame("entries: an item is no entry of the key named")
    for before, seq in pairwise(seqs):
        if seq not in (before, before + 1):
            raise MalformedFrame(f"entries: {seq} does not follow {before}")
    return seqs[0], seqs[-1]


def _describe(summary: SummaryRead, config: SessionConfig) -> WantedAccount:
    """What we hold, in as few words as a want allows: never more than we do hold."""
    held = [(key, ranges) for key, ranges in summary.logs.items() if ranges]
    if len(held) > limits.MAX_LOGS:
        held = sorted(held, key=lambda row: (row[1].count(), row[0]), reverse=True)[: limits.MAX_LOGS]
    each = min(limits.MAX_RANGES, limits.MAX_RANGES_PER_ACCOUNT // max(1, len(held)))
    logs = {key: ranges.shrink_to(each) for key, ranges in held}
    newest = {key: summary.tips.get(key, (-1, b"")) for key in logs}
    return WantedAccount(
        summary.account,
        summary.ops[: limits.MAX_OPERATIONS],
        logs,
        config.depth,
        config.is_live,
        # Only of the newest number that is named: the newest entry may lack its body, or its range have been cut.
        tips={key: tip for key, (seq, tip) in newest.items() if seq == logs[key].pairs[-1][1]},
        forks=dict(sorted(summary.forks.items())[: limits.MAX_FORKS]),
    )


def _measure(wanted: WantedAccount) -> tuple[int, int]:
    """No less than the bytes and the items the account takes in a frame."""
    logs, forks = len(wanted.logs), len(wanted.forks)
    pieces = sum(len(ranges) for ranges in wanted.logs.values())
    size_bytes = 112 + 41 * len(wanted.ops) + (40 + 17) * logs + 19 * pieces + 45 * forks
    return size_bytes, 20 + len(wanted.ops) + (3 + 1) * logs + 3 * pieces + 3 * forks
