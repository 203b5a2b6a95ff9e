"""One sync session over one stream: the trio side of ``gossip/proto/session.py``.

It has no opinions: it reads frames, tells the machine, and carries out what
the machine wants. The store is read in place (snapshots, a 256 KiB run at a
time); what came is given to ingest, which reports back from its own thread.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias, assert_never

import trio

from unhush.gossip.errors import StreamBroken
from unhush.gossip.net.intake import Submit
from unhush.gossip.net.sync.answering import answer
from unhush.gossip.net.sync.concerning import find_own_concerns
from unhush.gossip.net.sync.giving import find_ours
from unhush.gossip.net.sync.slices import SLICE_BYTES, read_run
from unhush.gossip.net.sync.travelling import arrivals_of, item_of
from unhush.gossip.net.wire.negotiation import SETTLED_S
from unhush.gossip.net.wire.patience import Patience
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.actions import (
    Action,
    Answered,
    AskForOurs,
    CaughtUp,
    Close,
    Deliver,
    DeliverGiven,
    Found,
    Greeted,
    HandedOn,
    Noted,
    PeersAsked,
    PeersTold,
    ReadAsked,
    ReadBranches,
    ReadFound,
    ReadOps,
    ReadPoints,
    ReadRun,
    ReadSummary,
    Reconciled,
    Send,
)
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.early import Early
from unhush.gossip.proto.events import (
    Ask,
    Closed,
    Committed,
    Concerns,
    Event,
    HoleSeen,
    InterestsChanged,
    Misframed,
    Opened,
    OwnChecked,
    ReadAnswer,
    Received,
    RunRead,
    Tick,
    Written,
)
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.frame_parsing import is_long, parse_counted
from unhush.gossip.proto.frames import Concerning, Operation, Question
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.session import Session
from unhush.gossip.proto.tally import Met
from unhush.gossip.proto.untold import Untold
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.storage.arrivals import TOO_EARLY, Arrival, Batch, Outcome, Status
from unhush.storage.store import Store

log = logging.getLogger(__name__)

TICK_S = 1.0

# Frames read ahead of the machine: with 1 MiB a frame this bounds a peer that sends faster than we think.
READ_AHEAD = 4

# Frames that wait are written together until there is so much.
WRITE_BYTES = 64 * 1024

# A peer that owes something and has said nothing for so long is not waited for: most answer in a tenth of it.
SILENT_S = 5.0

# A delivery this small is somebody writing now, not history: it goes before bulk.
LIVE_RECORDS = 8

# More than this of one frame goes to ingest in pieces, at the borders of its logs: ingest puts them together again as
# long as nobody writes, and does not keep what somebody writes waiting for long if one does.
PIECE_BYTES: Final = 32_768

# So long a session goes on before others on the loop get their turn. A turn has its price: the loop looks at its
# sockets, and whichever thread waits for the interpreter has it next.
TURN_S = 0.001

# How long to wait before offering a delivery again that ingest had no room for.
FULL_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class _Part:
    """A delivery, among others that go to ingest together, and how many records it is."""

    delivery_id: int
    account: Cid | None  # who gave it is known to have given something of this account
    count: int


# All that are answered on the loop.
_READS: Final = ReadSummary, ReadOps, ReadRun, ReadBranches, ReadPoints, ReadFound
_Read: TypeAlias = ReadSummary | ReadOps | ReadRun | ReadBranches | ReadPoints | ReadFound


@dataclass(frozen=True, slots=True)
class Reports:
    """Whom a session tells what concerns more than itself; called on the network's loop."""

    own_checked: Callable[["SyncSession", bool], None]  # the peer has shown what it holds of our log: is it clean?
    handed_on: Callable[[PublicKey, int, int], None]  # entries of our log by this key, from here to there, left
    found: Callable[[PublicKey, tuple[Operation, ...], str], None]  # what the peer holds of a root key sought
    of_peers: Callable[["SyncSession", Greeted | PeersAsked | PeersTold], None]  # where it listens, whom it knows
    carries: Callable[["SyncSession", frozenset[Cid]], None]  # the accounts the peer says it carries now
    gave: Callable[["SyncSession", Cid, int], None]  # so many records of an account were new to us
    met: Callable[[Met], None] = lambda _: None  # a bound


class SyncSession:
    """Runs until the stream ends; ``tell`` may be called on the network's loop at any time."""

    def __init__(
        self,
        stream: Stream,
        store: Store,
        submit: Submit,
        *,
        config: SessionConfig,
        reports: Reports,
        letters: Iterable[Concerns] = (),
        offered: frozenset[Cid] = frozenset(),
    ) -> None:
        """``letters``: of others, told of as own records are; ``offered``: those of either that the peer was offered in
        a session before."""
        self.peer_id = stream.peer_id
        self._stream = stream
        self._store = store
        self._submit = submit
        self._own = config.own
        self._has_given_own = False
        self._letters = letters
        self._offered = offered
        self._told: set[Cid] = set()
        self._asked: dict[int, Callable[[bool], None]] = {}
        self._last_tag = 0
        self._reports = reports
        self._machine = Session(config)
        self._carriage_changes = 0
        self._untold = Untold()
        self._was_told = trio.Event()
        self._greeted = trio.Event()
        self._early = Early()
        self._write, self._writes = trio.open_memory_channel[bytes | HandedOn](math.inf)
        self._ahead = trio.Semaphore(READ_AHEAD)
        self._written_all = trio.Event()
        self._fault: str | None = None
        self._is_over = False  # nothing that happens concerns it any more
        self._moved_at = time.monotonic()  # the peer said something, or something it gave was stored
        self._in_ingest = 0  # batches of it that are not stored yet

    def tell(self, event: Event) -> None:
        """Something happened that the machine should know."""
        if self._is_over:
            return
        self._untold.put(event)
        if self._untold.is_too_much:
            # What it missed a new session finds by comparing.
            log.warning("session cannot keep up and begins anew peer=%s", self.peer_id)
            self._reports.met(Met.SESSION_BEHIND)
            self._untold = Untold()
            self._untold.put(Closed())
            self._is_over = True
        self._was_told.set()

    def ask(self, question: Question, done: Callable[[bool], None]) -> None:
        """Ask the peer; ``done`` is called once, on the network's loop, when what it answered is stored (True), or
        when nothing more is waited for."""
        if self._is_over:
            done(False)
            return
        self._last_tag += 1
        self._asked[self._last_tag] = done
        self.tell(Ask(self._last_tag, question))

    def _end_questions(self) -> None:
        asked, self._asked = self._asked, {}
        for done in asked.values():
            done(False)

    def end(self) -> None:
        """Let the session end: another has taken its place."""
        self.tell(Closed())

    async def run(self, interests: InterestsChanged) -> str | None:
        """Sync until the stream ends; returns the peer's fault, if it was one."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_stream)
                nursery.start_soon(self._write_stream)
                nursery.start_soon(self._tick)
                nursery.start_soon(self._tell_concerns)
                self.tell(Opened())
                self.tell(interests)
                await self._drive()
                self._write.close()
                with trio.move_on_after(TICK_S):  # the error frame, if there is one, still goes out
                    await self._written_all.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._is_over = True
            self._end_questions()
        await self._stream.close()
        return self._fault

    async def _drive(self) -> None:
        until = 0.0
        while True:
            event = self._untold.take()
            if event is None:
                self._was_told = trio.Event()
                await self._was_told.wait()
                until = time.perf_counter() + TURN_S
                continue
            if time.perf_counter() > until:
                await trio.lowlevel.checkpoint()
                until = time.perf_counter() + TURN_S
            if isinstance(event, Received):
                self._ahead.release()
                event = await _parsed_if_long(event)
            deliveries: list[Deliver] = []
            reads: list[_Read] = []
            for action in self._machine.receive(event, trio.current_time()):
                if isinstance(action, Deliver):
                    deliveries.append(action)
                elif isinstance(action, _READS):
                    reads.append(action)
                elif not await self._act(action):
                    return
            if deliveries:
                await self._deliver(deliveries)
            if reads:
                await self._read_all(reads)
            if self._machine.carriage_changes != self._carriage_changes:
                self._carriage_changes = self._machine.carriage_changes
                self._reports.carries(self, self._machine.peer_carries)
            if isinstance(event, Closed):
                return

    async def _act(self, action: Action) -> bool:  # noqa: PLR0912  # one branch an action
        """Carry one action out; False when the session is over."""
        match action:
            case Send(payload):
                self._write.send_nowait(payload)
            case ReadAsked():
                # Hundreds of records and their signatures: too long for the loop that everybody shares.
                self.tell(await trio.to_thread.run_sync(self._read_asked, action, limiter=_readers()))
            case ReadRun() | ReadSummary() | ReadOps() | ReadBranches() | ReadPoints() | ReadFound():
                await self._read_all([action])
            case Deliver():
                await self._deliver([action])
            case DeliverGiven():
                await self._deliver_given(action)
            case Answered(tag, is_complete):
                if (done := self._asked.pop(tag, None)) is not None:
                    done(is_complete)
            case AskForOurs():
                self._ask_for_ours()
            case Noted(met):
                self._reports.met(met)
            case CaughtUp(accounts):
                log.info("caught up peer=%s accounts=%d", self.peer_id, len(accounts))
                if self._own is not None and self._own.account in accounts:
                    self._check_own()
            case Reconciled(differing):
                log.info("compared accounts peer=%s differing=%d", self.peer_id, differing)
            case Found(root, ops):
                self._reports.found(root, ops, self.peer_id)
            case Greeted() | PeersAsked() | PeersTold():
                if isinstance(action, Greeted):
                    self._greeted.set()
                self._reports.of_peers(self, action)
            case HandedOn():
                self._write.send_nowait(action)  # true once the frame before it is written
            case Close(reason, is_fault):
                log.info("sync ended peer=%s reason=%s", self.peer_id, reason)
                self._fault = reason if is_fault else None
                return False
            case _:
                assert_never(action)
        return True

    @property
    def peer_carries(self) -> frozenset[Cid]:
        """The accounts the peer says it carries."""
        return self._machine.peer_carries

    @property
    def knows_own(self) -> bool:
        """Whether the peer has anything to say of our own account: it carries it, or has sent some of it."""
        return self._has_given_own or (self._own is not None and self._own.account in self._machine.peer_carries)

    @property
    def is_waiting(self) -> bool:
        """Whether something the peer has and we want is not here yet."""
        return self._machine.is_waiting

    @property
    def is_silent(self) -> bool:
        """Whether the peer has said nothing for some seconds, and all it gave is stored; callable from any thread."""
        return not self._in_ingest and time.monotonic() - self._moved_at >= SILENT_S

    @property
    def offered(self) -> frozenset[Cid]:
        """Of the records told of when it began those that are known at the peer, or were."""
        return frozenset(cid for cid in self._told if cid in self._offered or cid in self._machine.at_peer)

    @property
    def credit_bytes(self) -> int:
        """What may still be sent to the peer before it has taken in some of it."""
        return self._machine.credit_bytes

    def _is_own(self, account: Cid) -> bool:
        return self._own is not None and account == self._own.account

    async def _tell_concerns(self) -> None:
        """What was written lately may concern whom the peer carries, and it may not have been there then."""
        await self._greeted.wait()
        await trio.sleep(SETTLED_S)
        if self._is_over:
            return
        with self._store.snapshot() as snapshot:
            own = find_own_concerns(snapshot, self._own) if self._own is not None else ()
        concerns = (*own, *self._letters)
        self._told = {each.cid for each in concerns}
        for each in concerns:
            if each.cid not in self._offered:
                self.tell(each)

    def _ask_for_ours(self) -> None:
        assert self._own is not None, "somebody carries the account of a home that has none"
        with self._store.snapshot() as snapshot:
            held = find_ours(snapshot)
        self.ask(Concerning(0, self._own.account, held), lambda _: None)

    def _check_own(self) -> None:
        """All the peer had of our log is committed here by now: is there anything we did not write?"""
        with self._store.snapshot() as snapshot:
            is_clean = not snapshot.clone_found()
        self.tell(OwnChecked(is_clean))
        self._reports.own_checked(self, is_clean)

    # -- the stream

    async def _read_stream(self) -> None:
        deframer = Deframer()
        patience = Patience()
        try:
            while chunk := await self._read_within(patience.left_s(deframer.pending_bytes), patience):
                for payload in deframer.feed(chunk):
                    patience.renew()
                    await self._ahead.acquire()
                    self.tell(Received(payload))
        except StreamBroken as exc:
            log.debug("stream broke peer=%s reason=%s", self.peer_id, exc)
        except SyncFault as fault:
            self.tell(Misframed(fault))  # the machine answers with an error frame and a close
            return
        self.tell(Closed())

    async def _read_within(self, seconds: float, patience: Patience) -> bytes:
        """More of the stream; raises ``StreamBroken`` if a frame that has begun does not come to its end."""
        began_at = trio.current_time()
        chunk = b""
        with trio.move_on_after(seconds) as limit:
            chunk = await self._stream.read()
        if limit.cancelled_caught:
            self._reports.met(Met.SLOW_PEER_CUT)
            raise StreamBroken(f"stream with {self.peer_id}: a frame does not come to its end")
        self._moved_at = time.monotonic()
        if not math.isinf(seconds):  # the time before a frame begins is nobody's
            patience.waited(trio.current_time() - began_at)
        return chunk

    async def _write_stream(self) -> None:
        try:
            async for first in self._writes:
                due = self._with_what_waits(first)
                payloads = [each for each in due if isinstance(each, bytes)]
                if payloads:
                    await self._stream.write(b"".join(map(frame, payloads)))
                    self.tell(Written(sum(map(len, payloads))))
                for each in due:
                    if isinstance(each, HandedOn):
                        self._report_handed_on(each)
        except StreamBroken as exc:
            log.debug("stream broke peer=%s reason=%s", self.peer_id, exc)
            self.tell(Closed())
        self._written_all.set()

    def _with_what_waits(self, first: bytes | HandedOn) -> list[bytes | HandedOn]:
        """Small frames go together: each write costs an encryption and a system call, whatever it holds."""
        due = [first]
        size = len(first) if isinstance(first, bytes) else 0
        while size < WRITE_BYTES:
            try:
                written = self._writes.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel):
                break
            due.append(written)
            size += len(written) if isinstance(written, bytes) else 0
        return due

    def _report_handed_on(self, left: HandedOn) -> None:
        assert self._own is not None, "a session without a log of ours handed some of it on"
        self._reports.handed_on(self._own.key, left.lo, left.hi)

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            self.tell(Tick())
            for account in self._early.take_due(trio.current_time()):
                self.tell(HoleSeen(account))

    # -- the store

    def _read_asked(self, read: ReadAsked) -> ReadAnswer:
        with self._store.snapshot() as snapshot:
            return answer(snapshot, read, self._store.network)

    async def _read_all(self, reads: "Sequence[_Read]") -> None:
        """Answer reads in their order, as many of one snapshot as a turn on the loop has time for."""
        waiting = deque(reads)
        while waiting:
            first = waiting[0]
            if isinstance(first, ReadRun) and first.max_bytes > SLICE_BYTES:
                run = await read_run(self._store, first)
                self.tell(RunRead(first.account, first.key, tuple(map(item_of, run))))
                waiting.popleft()
                continue
            self._read(waiting)
            if waiting:
                await trio.lowlevel.checkpoint()

    def _read(self, waiting: "deque[_Read]") -> None:
        """One turn of it; long runs are not read here."""
        until = time.perf_counter() + TURN_S
        with self._store.snapshot() as snapshot:
            while waiting and time.perf_counter() < until:
                read = waiting[0]
                if isinstance(read, ReadRun) and read.max_bytes > SLICE_BYTES:
                    return
                self.tell(answer(snapshot, waiting.popleft(), self._store.network))

    def _stored(self, batch: Batch, parts: "Sequence[_Part]", outcomes: tuple[Outcome, ...]) -> None:
        """Ingest is done with what was given to it together."""
        self._in_ingest -= 1
        self._moved_at = time.monotonic()
        at = 0
        for part in parts:
            mine = outcomes[at : at + part.count]
            at += part.count
            rejected = next((outcome for outcome in mine if outcome.status is Status.REJECTED), None)
            if rejected is not None:
                log.info("record rejected peer=%s error=%s", self.peer_id, rejected.error)
            is_lost = any(outcome.status is Status.FAILED for outcome in mine)
            # What we could not store the peer believes we hold; only a new session, with a new summary, asks again.
            self.tell(Closed() if is_lost else Committed(part.delivery_id, is_faulty=rejected is not None))
            new = sum(outcome.status in _NEW for outcome in mine)
            if new and part.account is not None:
                self._reports.gave(self, part.account, new)
        early = (item.account for item, outcome in zip(batch.items, outcomes, strict=True) if _is_early(outcome))
        for account in dict.fromkeys(early):
            if account is not None and not self._early.came(account, trio.current_time()):
                self._reports.met(Met.EARLY_FORGOTTEN)

    async def _deliver(self, deliveries: Sequence[Deliver]) -> None:
        """What came in one frame goes to ingest together, as far as it is as urgent as what came before it."""
        for is_live, alike in groupby(deliveries, _is_live):
            await self._deliver_together(list(alike), is_live=is_live)

    async def _deliver_together(self, deliveries: Sequence[Deliver], *, is_live: bool) -> None:
        arrivals: list[Arrival] = []
        parts: list[_Part] = []
        size = 0
        for each in deliveries:
            if size >= PIECE_BYTES:
                await self._give_to_ingest(Batch(tuple(arrivals), self.peer_id), parts, is_live=is_live)
                arrivals, parts, size = [], [], 0
            self._has_given_own |= self._is_own(each.account)
            may_be_vouched = each.is_beside or each.is_continued
            some = arrivals_of(each.account, each.ops, each.items, may_be_vouched=may_be_vouched)
            arrivals += some
            size += each.wire_bytes
            parts.append(_Part(each.delivery_id, each.account, len(some)))
        await self._give_to_ingest(Batch(tuple(arrivals), self.peer_id), parts, is_live=is_live)

    async def _deliver_given(self, delivery: DeliverGiven) -> None:
        """What was asked for, or offered: ingest holds the reason against each record."""
        arrivals = arrivals_of(
            delivery.account, delivery.ops, delivery.items, reason=delivery.reason, profile=delivery.profile
        )
        batch = Batch(arrivals, self.peer_id)
        is_live = len(batch.items) <= LIVE_RECORDS
        await self._give_to_ingest(batch, [_Part(delivery.delivery_id, None, len(arrivals))], is_live=is_live)

    async def _give_to_ingest(self, batch: Batch, parts: "Sequence[_Part]", *, is_live: bool) -> None:
        token = trio.lowlevel.current_trio_token()

        def done(outcomes: tuple[Outcome, ...]) -> None:
            try:
                token.run_sync_soon(self._stored, batch, parts, outcomes)
            except trio.RunFinishedError:
                log.debug("network has ended peer=%s", self.peer_id)

        self._in_ingest += 1
        # Ingest is on another thread and sets no event.
        while not self._submit(batch, is_live=is_live, done=done):  # noqa: ASYNC110
            await trio.sleep(FULL_PAUSE_S)


_NEW: Final = (Status.STORED, Status.FILLED)

# Answers looked up and long frames parsed at a time, over all sessions of the network; they also take turns with the
# loop.
_MAX_READERS: Final = 2
_limiter: Final = trio.lowlevel.RunVar[trio.CapacityLimiter]("unhush answers looked up")


def _readers() -> trio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_MAX_READERS)
        _limiter.set(limiter)
        return limiter


async def _parsed_if_long(event: Received) -> Received | Misframed:
    """A frame of very many items is parsed here, beside the loop that everybody shares; others as they are taken."""
    if not is_long(event.payload):
        return event
    try:
        parsed = await trio.to_thread.run_sync(parse_counted, event.payload, limiter=_readers())
        return Received(event.payload, parsed)
    except SyncFault as fault:
        return Misframed(fault)


def _is_live(delivery: Deliver) -> bool:
    """Somebody is writing now. What the peer had before goes in the order it comes: records mean nothing before the
    operations of their account."""
    return delivery.is_news and not delivery.is_beside and len(delivery.items) <= LIVE_RECORDS


def _is_early(outcome: Outcome) -> bool:
    return outcome.error == TOO_EARLY
