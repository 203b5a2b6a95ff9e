"""One sync session over one stream: the trio side of ``gossip/proto/session.py``.

It has no opinions: it reads frames, tells the machine, and carries out what
the machine wants. The store is read in place (snapshots, a 256 KiB run at a
time); what came is given to ingest, which reports back from its own thread.
"""

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import assert_never

import trio

from unhush.gossip.errors import StreamBroken
from unhush.gossip.net.intake import Submit
from unhush.gossip.net.soundness import find_sound_branches, find_sound_inceptions, find_sound_run
from unhush.gossip.net.stream import Stream
from unhush.gossip.proto.actions import (
    Action,
    CaughtUp,
    Close,
    Deliver,
    Found,
    HandedOn,
    Purpose,
    Read,
    ReadBranches,
    ReadFound,
    ReadOps,
    ReadPoints,
    ReadRun,
    ReadSummary,
    Send,
)
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import (
    BranchesRead,
    Closed,
    Committed,
    Event,
    FoundRead,
    InterestsChanged,
    Misframed,
    Opened,
    OpsRead,
    OwnChecked,
    PointsRead,
    ReadAnswer,
    Received,
    RunRead,
    SummaryRead,
    Tick,
    Written,
)
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.frames import Item, Operation, Reason
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.session import Session
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.storage.arrivals import Arrival, Batch, Outcome, Status
from unhush.storage.records import STATE_OF_REASON, BodyState, Record
from unhush.storage.store import Store

log = logging.getLogger(__name__)

TICK_S = 1.0

# Frames read ahead of the machine: with 1 MiB a frame this bounds a peer that sends faster than we think.
READ_AHEAD = 4

# A delivery this small is somebody writing now, not history: it goes before bulk.
LIVE_RECORDS = 8

# How long to wait before offering a delivery again that ingest had no room for.
FULL_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Reports:
    """Whom a session tells what concerns more than itself; called on the network's loop."""

    own_checked: Callable[["SyncSession", bool], None]  # the peer has shown what it holds of our log: is it clean?
    handed_on: Callable[[PublicKey, int, int], None]  # entries of our log by this key, from here to there, left
    found: Callable[[PublicKey, tuple[Operation, ...], str], None]  # what the peer holds of a root key sought


class SyncSession:
    """Runs until the stream ends; ``tell`` may be called on the network's loop at any time."""

    def __init__(
        self, stream: Stream, store: Store, submit: Submit, *, config: SessionConfig, reports: Reports
    ) -> None:
        self.peer_id = stream.peer_id
        self._stream = stream
        self._store = store
        self._submit = submit
        self._own = config.own
        self._has_given_own = False
        self._reports = reports
        self._machine = Session(config)
        # Ours are few and small: growth, commits, ticks. What the peer sends is bounded by its own channel.
        self._tell, self._told = trio.open_memory_channel[Event](math.inf)
        self._write, self._writes = trio.open_memory_channel[bytes | HandedOn](math.inf)
        self._ahead = trio.Semaphore(READ_AHEAD)
        self._written_all = trio.Event()
        self._fault: str | None = None

    def tell(self, event: Event) -> None:
        """Something happened that the machine should know."""
        try:
            self._tell.send_nowait(event)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("session is over peer=%s", self.peer_id)

    def end(self) -> None:
        """Let the session end: another has taken its place."""
        self.tell(Closed())

    async def run(self, interests: InterestsChanged) -> str | None:
        """Sync until the stream ends; returns the peer's fault, if it was one."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_stream)
            nursery.start_soon(self._write_stream)
            nursery.start_soon(self._tick)
            self.tell(Opened())
            self.tell(interests)
            await self._drive()
            self._write.close()
            with trio.move_on_after(TICK_S):  # the error frame, if there is one, still goes out
                await self._written_all.wait()
            nursery.cancel_scope.cancel()
        await self._stream.close()
        return self._fault

    async def _drive(self) -> None:
        async for event in self._told:
            if isinstance(event, Received):
                self._ahead.release()
            for action in self._machine.receive(event, trio.current_time()):
                if not await self._act(action):
                    return
            if isinstance(event, Closed):
                return

    async def _act(self, action: Action) -> bool:
        """Carry one action out; False when the session is over."""
        match action:
            case Send(payload):
                self._write.send_nowait(payload)
            case ReadSummary() | ReadOps() | ReadRun() | ReadBranches() | ReadPoints() | ReadFound():
                self.tell(self._read(action))
            case Deliver(account=account):
                self._has_given_own |= self._is_own(account)
                await self._deliver(action)
            case CaughtUp(accounts):
                log.info("caught up peer=%s accounts=%d", self.peer_id, len(accounts))
                if self._own is not None and self._own.account in accounts:
                    self._check_own()
            case Found(root, ops):
                self._reports.found(root, ops, self.peer_id)
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
    def knows_own(self) -> bool:
        """Whether the peer has anything to say of our own account: it carries it, or has sent some of it."""
        return self._has_given_own or any(map(self._is_own, self._machine.peer_carries))

    def _is_own(self, account: Cid) -> bool:
        return self._own is not None and account == self._own.account

    def _check_own(self) -> None:
        """All the peer had of our log is committed here by now: is there anything we did not write?"""
        with self._store.snapshot() as snapshot:
            is_clean = not snapshot.clone_found()
        self.tell(OwnChecked(is_clean))
        self._reports.own_checked(self, is_clean)

    # -- the stream

    async def _read_stream(self) -> None:
        deframer = Deframer()
        try:
            while chunk := await self._stream.read():
                for payload in deframer.feed(chunk):
                    await self._ahead.acquire()
                    self.tell(Received(payload))
        except StreamBroken as exc:
            log.debug("stream broke peer=%s reason=%s", self.peer_id, exc)
        except SyncFault as fault:
            self.tell(Misframed(fault))  # the machine answers with an error frame and a close
            return
        self.tell(Closed())

    async def _write_stream(self) -> None:
        try:
            async for written in self._writes:
                if isinstance(written, HandedOn):
                    self._report_handed_on(written)
                    continue
                await self._stream.write(frame(written))
                self.tell(Written(len(written)))
        except StreamBroken as exc:
            log.debug("stream broke peer=%s reason=%s", self.peer_id, exc)
            self.tell(Closed())
        self._written_all.set()

    def _report_handed_on(self, left: HandedOn) -> None:
        assert self._own is not None, "a session without a log of ours handed some of it on"
        self._reports.handed_on(self._own.key, left.lo, left.hi)

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            self.tell(Tick())

    # -- the store

    def _read(self, read: Read) -> ReadAnswer:
        with self._store.snapshot() as snapshot:
            match read:
                case ReadSummary(account, purpose):
                    held = snapshot.summary(account, bodies_wanted=purpose is Purpose.WANT)
                    logs = {key: Ranges(runs) for key, runs in held.logs.items()}
                    return SummaryRead(account, held.operations, logs, held.tips, held.forks)
                case ReadOps(account, ids):
                    return OpsRead(account, _operations(snapshot.operations(account, frozenset(ids))))
                case ReadRun(account, key):
                    return RunRead(account, key, tuple(map(_item, find_sound_run(snapshot, read))))
                case ReadBranches(account, key):
                    return BranchesRead(account, key, tuple(map(_item, find_sound_branches(snapshot, read))))
                case ReadPoints(account, key, seqs):
                    return PointsRead(account, key, snapshot.points(account, key, seqs))
                case ReadFound(root):
                    return FoundRead(root, _operations(find_sound_inceptions(snapshot, root)))
                case _:
                    assert_never(read)

    async def _deliver(self, delivery: Deliver) -> None:
        account = delivery.account
        operations = [Arrival(operation.entry, operation.body, account=account) for operation in delivery.ops]
        may_be_vouched = delivery.is_beside or delivery.is_continued
        entries = [_arrival(item, account, may_be_vouched=may_be_vouched) for item in delivery.items]
        batch = Batch((*operations, *entries), self.peer_id)
        token = trio.lowlevel.current_trio_token()

        def done(outcomes: tuple[Outcome, ...]) -> None:
            rejected = next((outcome for outcome in outcomes if outcome.status is Status.REJECTED), None)
            if rejected is not None:
                log.info("record rejected peer=%s error=%s", self.peer_id, rejected.error)
            is_lost = any(outcome.status is Status.FAILED for outcome in outcomes)
            # What we could not store the peer believes we hold; only a new session, with a new summary, asks again.
            event = Closed() if is_lost else Committed(delivery.delivery_id, is_faulty=rejected is not None)
            try:
                token.run_sync_soon(self.tell, event)
            except trio.RunFinishedError:
                log.debug("network has ended peer=%s", self.peer_id)

        is_live = len(batch.items) <= LIVE_RECORDS and not delivery.is_beside
        # Ingest is on another thread and sets no event.
        while not self._submit(batch, is_live=is_live, done=done):  # noqa: ASYNC110
            await trio.sleep(FULL_PAUSE_S)


def _operations(records: Iterable[Record]) -> tuple[Operation, ...]:
    return tuple(Operation(record.block, record.body or b"") for record in records)


def _item(record: Record) -> Item:
    reason = None if record.body is not None else Reason(record.body_state.name.lower())
    return Item(record.block, record.body, reason)


def _arrival(item: Item, account: Cid, *, may_be_vouched: bool) -> Arrival:
    reason = STATE_OF_REASON[item.reason.value] if item.reason is not None else BodyState.UNKNOWN
    return Arrival(item.entry, item.body, reason, account, may_be_vouched)
