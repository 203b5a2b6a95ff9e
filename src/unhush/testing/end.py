"""One end of a sync session: what ``gossip/net/sync/session.py`` is with sockets and a disk, over a wire in memory.

It carries out what the machine wants and tells it what happened, by the eight
rules of ``gossip/proto/session.py``; and with every step it asks whether a
bound was passed.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, assert_never

from unhush.gossip.proto import limits
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
    Read,
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
    Event,
    Forked,
    Grew,
    HoleSeen,
    Misframed,
    OwnChecked,
    ReadAnswer,
    Received,
    Refolded,
    Tick,
    Written,
)
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.frames import Concerning
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.session import Session
from unhush.gossip.proto.untold import Untold
from unhush.identity.cid import Cid
from unhush.testing.errors import LimitExceeded
from unhush.testing.links import Chunk, EndStream, Wire
from unhush.testing.store import Arrivals, Taken

if TYPE_CHECKING:
    from unhush.testing.node import SimNode

# What may wait for the stream: the bound of the machine, the frame that passed it, and control frames beside it.
MAX_UNWRITTEN_BYTES: Final = limits.MAX_UNWRITTEN_BYTES + limits.MAX_FRAME_LIMIT_BYTES + 65_536

# What the stream took is reported together if it is little: each report is a step of the machine.
SOON_BYTES: Final = 65_536
SOON_S: Final = 0.05


class SessionEnd:
    """A machine, its end of a stream, and what has not been written or committed yet."""

    def __init__(self, node: "SimNode", wire: Wire, stream: int, *, peer_id: str, config: SessionConfig) -> None:
        self.node = node
        self.wire = wire
        self.stream = stream
        self.peer_id = peer_id
        self.machine = Session(config)
        self.is_over = False
        self.fault: str | None = None
        self.window_bytes: Final = config.window_bytes
        self.unwritten_bytes = 0
        self.uncommitted: dict[int, int] = {}  # deliveries and their bytes
        self._early = Early()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._taken_bytes = 0
        self._deframer = Deframer()
        self._events: deque[Event] = deque()
        self._untold = Untold()
        self._is_late = False
        self._answers: deque[ReadAnswer] = deque()
        self._is_busy = False
        self._is_misframed = False
        self._carriage_changes = 0
        self._has_given_own = False

    @property
    def untold(self) -> int:
        """How much the machine has not been told of yet."""
        return len(self._untold)

    # --- what happens ------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Something happened that the machine should know; one event at a time."""
        if self.is_over:
            return
        if isinstance(event, Grew | Forked | Refolded | HoleSeen) and self.node.network.disk_s:
            self._tell_later(event)
            return
        self._events.append(event)
        self._go_through()

    def _go_through(self) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._events and not self.is_over:
                self._step(self._events.popleft())
        finally:
            self._is_busy = False

    def _tell_later(self, event: Event) -> None:
        """Where disks are slow the machine is busy: what the store gained is told when it gets round to it."""
        self._untold.put(event)
        if not self._is_late:
            self._is_late = True
            network = self.node.network
            network.clock.after(network.disk_s * network.dice.random(), self._catch_up)

    def _catch_up(self) -> None:
        self._is_late = False
        late, self._untold = self._untold, Untold()
        while (event := late.take()) is not None and not self.is_over:
            self._events.append(event)
            self._go_through()

    def _step(self, event: Event) -> None:
        machine = self.machine
        for action in machine.receive(event, self.node.monotonic):
            self._act(action)
            if self.is_over:
                return
        if self._out_bytes:
            self._write()
        if machine.carriage_changes != self._carriage_changes:
            self._carriage_changes = machine.carriage_changes
            self.node.peer_carries(self, machine.peer_carries)
        if type(event) is Closed:
            self._end(None)

    def tick(self) -> None:
        """About a second passed."""
        self.tell(Tick())
        for account in self._early.take_due(self.node.monotonic):
            self.tell(HoleSeen(account))

    def took(self, data: bytes) -> None:
        """Bytes came."""
        if self.is_over or self._is_misframed:
            return
        try:
            payloads = self._deframer.feed(data)
        except SyncFault as fault:
            self._is_misframed = True  # nothing more is read
            self.tell(Misframed(fault))
            return
        manners = self.node.manners
        for payload in payloads:
            if manners is None or manners.hears(self, payload):
                self.tell(Received(payload))

    # --- what is to be done ------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:  # noqa: PLR0912  # one branch an action
        match action:
            case Send(payload):
                self._send(payload)
            case ReadSummary() | ReadOps() | ReadRun() | ReadBranches() | ReadPoints() | ReadFound() | ReadAsked():
                self._read(action)
            case Deliver():
                self._has_given_own |= action.account == self.node.account
                self._deliver(
                    action.delivery_id,
                    Arrivals(action.account, action.ops, action.items, action.is_beside or action.is_continued),
                    action.wire_bytes,
                )
            case DeliverGiven():
                arrivals = Arrivals(
                    action.account, action.ops, action.items, reason=action.reason, profile=action.profile
                )
                self._deliver(action.delivery_id, arrivals, limits.MIN_ENTRIES_COST)
            case CaughtUp(accounts):
                if self.node.own is not None and self.node.account in accounts:
                    is_clean = not self.node.store.clone_found
                    self.tell(OwnChecked(is_clean))
                    self.node.own_checked(self, is_clean=is_clean)
            case Reconciled():
                self.node.network.compared += 1  # what differs follows
            case Found():
                self.node.found(self, action)
            case Greeted() | PeersAsked() | PeersTold():
                self.node.heard_of_peers(self, action)
            case Answered(tag, is_complete):
                self.node.answered(tag, is_complete=is_complete)
            case AskForOurs():
                self.tell(Ask(self.node.next_tag(), Concerning(0, self.node.account, self.node.store.known_of_ours())))
            case Noted(met):
                self.node.tally.count(met)
            case HandedOn(lo, hi):
                self.node.store.put_handed_on(lo, hi)
            case Close(reason, is_fault):
                self.node.note("close", self.peer_id, reason)
                self._end(reason if is_fault else None)
            case _:
                assert_never(action)

    def _send(self, payload: bytes) -> None:
        manners = self.node.manners
        self._out += (frame(payload),) if manners is None else manners.sends(self, payload)
        self._out_bytes += len(payload)

    def _write(self) -> None:
        """Give the stream what one step sent, at once, and report it written at once."""
        data, size_bytes = b"".join(self._out), self._out_bytes
        self._out.clear()
        self._out_bytes = 0
        self.unwritten_bytes += size_bytes
        if self.unwritten_bytes > MAX_UNWRITTEN_BYTES and self.node.manners is None:
            raise LimitExceeded(f"{self} has {self.unwritten_bytes} bytes that no stream took")

        self.wire.send(self.node, Chunk(self.stream, data), lambda: self._taken(size_bytes))

    def _taken(self, size_bytes: int) -> None:
        """The stream took it: said at once of much, of little a moment later and together."""
        self.unwritten_bytes -= size_bytes
        is_first = not self._taken_bytes
        self._taken_bytes += size_bytes
        if self._taken_bytes >= SOON_BYTES:
            self._report_taken()
        elif is_first:
            self.node.network.clock.after(SOON_S, self._report_taken)

    def _report_taken(self) -> None:
        size_bytes, self._taken_bytes = self._taken_bytes, 0
        if size_bytes:
            self.tell(Written(size_bytes))

    def write_raw(self, data: bytes) -> None:
        """Bytes that no machine sent: for nodes without manners."""
        self.wire.send(self.node, Chunk(self.stream, data))

    def _read(self, read: Read) -> None:
        answer = self.node.store.answer(read)
        if self.node.manners is not None:
            answer = self.node.manners.answers(self, answer)
        self._answers.append(answer)
        self.node.answer_later(self)

    def answered(self) -> None:
        """The disk got round to a read; they are answered in the order they were asked for."""
        self.tell(self._answers.popleft())

    def _deliver(self, delivery_id: int, arrivals: Arrivals, wire_bytes: int) -> None:
        self.uncommitted[delivery_id] = wire_bytes
        if sum(self.uncommitted.values()) > self.window_bytes:
            raise LimitExceeded(f"{self} was given more than its window of {self.window_bytes} bytes")

        def committed(taken: Taken) -> None:
            self.uncommitted.pop(delivery_id, None)
            self.tell(Committed(delivery_id, is_faulty=taken.is_faulty))
            if taken.is_early:
                self._early.came(arrivals.account, self.node.monotonic)
            if taken.new:
                self.node.peer_gave(self, arrivals.account, taken.new)

        self.node.ingest(arrivals, committed)

    @property
    def knows_own(self) -> bool:
        """Whether the peer has anything to say of our own account."""
        return self._has_given_own or self.node.account in self.machine.peer_carries

    @property
    def peer_carries(self) -> frozenset[Cid]:
        """The accounts the peer says it carries."""
        return self.machine.peer_carries

    # --- the end -----------------------------------------------------------------------------------------

    def end(self) -> None:
        """Let the session end: another has taken its place."""
        self.tell(Closed())

    def _end(self, fault: str | None) -> None:
        if self.is_over:
            return
        if self._out_bytes:
            self._write()
        self.is_over = True
        self.fault = fault
        self.wire.send(self.node, EndStream(self.stream))
        self.node.session_over(self)

    def __repr__(self) -> str:
        return f"session of {self.node.name} with {self.peer_id[-6:]}"
