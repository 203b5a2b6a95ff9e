"""The sync session: two nodes bring each other what the other wants and lacks (PROTOCOL §5).

One machine, the same on both sides of the stream; it never touches the
stream, the store or the clock. Events go in, actions come out:

    hello ⇄ hello                       within 15 s, or the session ends
    credit ⇄ credit                     so much may be on its way
    carries ⇄ carries                   these accounts can be had here
    want → entries …, caught_up ←       in both directions at once, then live

Carriers of many accounts compare what they hold instead of naming it all
(``reconciling``: ranges ⇄ ranges), and want by name only what differs.

``receiving`` decides what we ask for and takes what comes, ``sending`` what
the peer gets and when; beside them ``forks`` finds where two branches part
(points ⇄ points), ``finding`` whose root key it is (find → found ←), and
``exchange`` whom the peer knows (peers → known ←); ``asking`` deals in
single records (need → given ←, offer →). This
module joins them: it says hello, hands every frame to its part, keeps at most
a handful of reads outstanding, all of one part (the parts take turns, so neither
a huge account nor a long list of wants holds up the other direction), and turns every misdeed of
the peer into an error frame and a close.

Whoever drives it owes it this:

1. One event at a time, ``now`` from a monotonic clock in seconds.
2. All actions carried out in the order given. ``Send`` may be queued, but
   every one is reported ``Written`` once the stream took it. If the deframer
   raises, ``Misframed`` with what it raised, and nothing more is read.
3. Each read answered once by its event, in the order they were asked for,
   before or after whatever else happens. A snapshot of the store taken after
   the read was asked for will do.
4. ``Grew`` or ``LogGrew`` for every record after its commit, in any order to the
   answers of reads, for every session: also for what came from this peer.
5. Deliveries given to ingest in order (live ones may overtake bulk), and each
   reported ``Committed`` after the commit (or the refusal) of its last record.
6. ``Tick`` about once a second: the hello deadline, holes, changes of
   operations and the pace of our own control frames wait for it.
7. If ``SessionConfig.own`` is set: ``OwnChecked`` once ``CaughtUp`` names that
   account, by what the store then says, and ``OwnChecked(False)`` whenever the
   store says so later. Without it nothing of our own log is sent.
8. ``Refolded`` for every change of an account's operations, ``Forked`` for every
   record stored beside the branch its log shows, after their commit.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from enum import Enum, auto
from typing import Final, assert_never

from unhush.gossip.errors import LocalProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import (
    Action,
    Answered,
    Close,
    Greeted,
    Purpose,
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
from unhush.gossip.proto.asking import Asking
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import (
    Ask,
    AskedRead,
    AskForPeers,
    BranchesRead,
    Closed,
    Committed,
    Concerns,
    Event,
    Find,
    Forked,
    FoundRead,
    Grew,
    HoleSeen,
    InterestsChanged,
    LogGrew,
    Misframed,
    Opened,
    OpsRead,
    OwnChecked,
    PointsRead,
    ReadAnswer,
    Received,
    Refolded,
    RunRead,
    SummaryRead,
    TellPeers,
    Tick,
    Written,
)
from unhush.gossip.proto.exchange import Exchange
from unhush.gossip.proto.faults import (
    CreditExceeded,
    FrameTooLarge,
    HelloExpected,
    HelloLate,
    HelloRepeated,
    OtherNetwork,
    RangesUnasked,
    SyncFault,
    TooManyFrames,
)
from unhush.gossip.proto.finding import Finding
from unhush.gossip.proto.fingerprints import AccountTree
from unhush.gossip.proto.forks import ForkSearch
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frame_parsing import parse_counted
from unhush.gossip.proto.frames import (
    Carries,
    CaughtUp,
    Concerning,
    Credit,
    Entries,
    ErrorFrame,
    FindFrame,
    FoundFrame,
    Frame,
    Given,
    Hello,
    KnownFrame,
    Need,
    Offer,
    PeersFrame,
    Points,
    RangesFrame,
    RunsFrame,
    ThreadFrame,
    Want,
)
from unhush.gossip.proto.outbox import Outbox, control_cost
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.receiving import Receiving
from unhush.gossip.proto.reconciling import Reconciling
from unhush.gossip.proto.sending import Sending
from unhush.identity.cid import Cid


class Stage(Enum):
    """Where the session stands."""

    NEW = auto()  # not opened yet
    GREETING = auto()  # our hello is out, the peer's is awaited
    OPEN = auto()
    CLOSED = auto()


class Session:
    """One end of a sync stream."""

    def __init__(self, config: SessionConfig) -> None:
        self._config: Final = config
        self._outbox: Final = Outbox()
        self._patience: Final = Allowance(limits.CONTROL_ALLOWANCE, limits.CONTROL_INTERVAL_S)
        self._interests = InterestsChanged(frozenset(), frozenset())
        self._hello_due = 0.0
        self._reads: Final[deque[Read]] = deque()  # asked for and not answered
        self._forks: Final = ForkSearch(self._outbox)
        self._finding: Final = Finding(self._outbox)
        self._exchange: Final = Exchange(self._outbox)
        self._finders: Final[deque[Callable[[], Sequence[Read]]]] = deque()
        self._halves: tuple[Receiving, Sending] | None = None
        self._asking: Asking | None = None  # as long as the halves
        self._accounts_said = 0
        self._reconciling: Reconciling | None = None
        self._is_reconciled = False
        self.stage = Stage.NEW
        self.peer: Hello | None = None
        self.at_peer: Collection[Cid] = ()  # records offered or given on either side, also once the session is over
        self._is_carriage_news = False  # it changed, and nobody was told yet
        self._carriage_pace: Final = Allowance(limits.CARRIAGE_AT_ONCE, limits.CARRIAGE_INTERVAL_S)
        # How often what the peer says it carries may have changed, at most once a second or so.
        self.carriage_changes = 0

    @property
    def peer_carries(self) -> frozenset[Cid]:
        """The accounts the peer says it carries."""
        return self._halves[0].carried if self._halves else frozenset()

    @property
    def is_waiting(self) -> bool:
        """Whether something the peer has and we want is not here yet, as far as that is known."""
        return self._halves is None or self._halves[0].is_waiting

    @property
    def credit_bytes(self) -> int:
        """What the peer has granted and we have not used."""
        return self._halves[1].freight.credit_bytes if self._halves else 0

    def receive(self, event: Event, now: float) -> list[Action]:
        """What to do about ``event``; raises ``LocalProtocolError`` if the driver breaks its side."""
        if self.stage is Stage.CLOSED:
            return []  # answers that were under way
        # Every session hears of every record, and most hear of most in vain.
        if isinstance(event, Grew | LogGrew) and (self._halves is None or not self._halves[1].serving.grew(event)):
            return []
        try:
            self._handle(event, now)
            if self.stage is Stage.OPEN:
                self._go_on(now)
        except SyncFault as fault:
            self._end_for(fault)
        return self._outbox.take()

    # --- events ------------------------------------------------------------------------------------------

    def _handle(self, event: Event, now: float) -> None:  # noqa: PLR0912  # one branch an event
        match event:
            case Opened():
                self._open(now)
            case Received():
                self._received(event, now)
            case Misframed(fault):
                raise fault
            case Written(size_bytes):
                self._outbox.written(size_bytes)
            case InterestsChanged():
                self._interests = event
                self._tell_interests()
            case SummaryRead() | OpsRead() | RunRead() | BranchesRead() | PointsRead() | FoundRead() | AskedRead():
                self._answered(event, now)
            case Grew() | LogGrew():
                pass  # noted; what follows goes on from there
            case Committed(delivery_id, is_faulty):
                self._open_halves()[0].committed(delivery_id, is_faulty=is_faulty)
                self._open_asking().committed(delivery_id)
            case HoleSeen() | Refolded() | Forked() | OwnChecked():
                # Before the halves are there nothing is asked or served yet: their first reads will tell.
                if self._halves is not None:
                    self._learnt(event, *self._halves)
            case Find(root):
                self._finding.find(root)
            case Ask() | Concerns():
                self._ask(event, now)
            case AskForPeers():
                self._exchange.ask()
            case TellPeers(peers):
                self._exchange.tell(peers)
            case Tick():
                self._tick(now)
            case Closed():
                self._end()
            case _:
                assert_never(event)

    def _ask(self, event: Ask | Concerns, now: float) -> None:
        match event:
            case Concerns():
                if self._asking is not None:  # else the peer is told what concerns it once it says whom it carries
                    self._asking.concerns(event)
            case Ask(tag):
                if self._asking is not None:
                    self._asking.ask(event, now)
                else:
                    self._outbox.put(Answered(tag, is_complete=False))

    def _open(self, now: float) -> None:
        if self.stage is not Stage.NEW:
            raise LocalProtocolError("a session is opened once")
        self.stage = Stage.GREETING
        self._hello_due = now + limits.HELLO_DEADLINE_S
        config = self._config
        nonce = config.nonce if config.can_reconcile else b""
        self._accounts_said = len(config.tree) if config.tree is not None and nonce else 0
        self._outbox.send(
            Hello(
                config.network,
                config.agent,
                listen=config.listen,
                nonce=nonce,
                accounts=self._accounts_said,
                takes_runs=config.takes_runs,
            )
        )

    def _tick(self, now: float) -> None:
        if self.stage is Stage.GREETING and now >= self._hello_due:
            raise HelloLate(f"no hello within {limits.HELLO_DEADLINE_S:g} s")
        if self._halves is not None:
            self._halves[0].tick(now)
            self._tell_carriage(now)
            self._open_asking().tick(now)

    def _tell_interests(self) -> None:
        if self._halves is not None:
            receiving, sending = self._halves
            receiving.set_interests(self._interests.interests)
            sending.serving.set_carries(self._interests.carries)

    def _learnt(self, event: HoleSeen | Refolded | Forked | OwnChecked, receiving: Receiving, sending: Sending) -> None:
        match event:
            case HoleSeen(account):
                receiving.hole_seen(account)
            case Refolded(account):
                receiving.refolded(account)
            case Forked():
                sending.forked(event)
            case OwnChecked(is_clean):
                if not (is_clean and receiving.asks_for_own_again):  # else said of what was shown before
                    sending.serving.own_checked(is_clean=is_clean)

    def _answered(self, event: ReadAnswer, now: float) -> None:
        receiving, sending = self._open_halves()
        read = self._reads.popleft() if self._reads else None
        match event, read:
            case SummaryRead(account), ReadSummary(asked, Purpose.WANT) if account == asked:
                receiving.summary_read(event, now)
            case SummaryRead(account), ReadSummary(asked, Purpose.SERVE) if account == asked:
                sending.summary_read(event)
            case OpsRead(account), ReadOps(asked) if account == asked:
                sending.ops_read(event)
            case RunRead(account, key), ReadRun(asked, of) if (account, key) == (asked, of):
                sending.run_read(event)
            case BranchesRead(account, key), ReadBranches(asked, of) if (account, key) == (asked, of):
                sending.branches_read(event)
            case PointsRead(account, key), ReadPoints(asked, of) if (account, key) == (asked, of):
                self._points_read(event, sending)
            case FoundRead(root), ReadFound(sought) if root == sought:
                self._finding.found_read(event)
            case AskedRead(), ReadAsked():
                self._open_asking().asked_read(event)
            case _:
                raise LocalProtocolError(f"{event} does not answer {read}")

    def _points_read(self, event: PointsRead, sending: Sending) -> None:
        if not self._forks.is_reading:
            seq = sending.tip_read(event)
            if seq is not None:
                self._forks.begin(event.account, event.key, seq)
            return
        proof = self._forks.points_read(event)
        if proof is not None:
            sending.prove(proof.account, proof.key, proof.seq)

    # --- frames ------------------------------------------------------------------------------------------

    def _received(self, event: Received, now: float) -> None:
        if self.stage is Stage.NEW:
            raise LocalProtocolError("a frame before the session was opened")
        payload = event.payload
        self._check_payable(len(payload), now)
        frame, items = event.parsed or parse_counted(payload)
        if not isinstance(frame, Entries | RunsFrame | Given | Offer):
            if len(payload) > limits.MAX_CONTROL_BYTES:
                raise FrameTooLarge(f"a frame of {len(payload)} bytes without records")
            if not self._patience.spend(control_cost(len(payload), items), now):
                raise TooManyFrames("control frames faster than any use of them")
        match frame:
            case ErrorFrame(code, text):
                # The words are a stranger's: quoted, so that they cannot dress up as a line of our log.
                self._end()
                self._outbox.put(Close(f"the peer closed: {code!r}, {text!r}", is_fault=False))
            case Hello():
                self._greeted(frame)
            case _ if self._halves is None:
                raise HelloExpected("the first frame is no hello")
            case _:
                self._said(frame, len(payload), self._halves, now)

    def _check_payable(self, size_bytes: int, now: float) -> None:
        """Before anything of a frame is read: credit or the allowance must cover it, whichever it turns out to need."""
        if self._halves is not None and self._halves[0].deliveries.may_come(size_bytes):
            return
        if size_bytes > limits.MAX_CONTROL_BYTES:
            raise CreditExceeded(f"a frame of {size_bytes} bytes, more than were welcome")
        if not self._patience.has(control_cost(size_bytes), now):
            raise TooManyFrames("control frames faster than any use of them")

    def _greeted(self, hello: Hello) -> None:
        if self._halves is not None:
            raise HelloRepeated("a second hello")
        if hello.network != self._config.network:
            raise OtherNetwork(f"this node is of network {self._config.network}, the peer of {hello.network}")
        self.stage = Stage.OPEN
        self.peer = hello
        tree = self._find_tree_to_compare(hello)
        if tree is not None:
            self._reconciling = Reconciling(tree, (self._config.nonce, hello.nonce), self._outbox)
        receiving = Receiving(self._config, self._outbox, hello.state_bytes, reconciles=tree is not None)
        sending = Sending(self._config, self._outbox, hello, reconciles=tree)
        self._halves = receiving, sending
        self._asking = asking = Asking(self._config, self._outbox, receiving, sending)
        self.at_peer = asking.at_peer
        self._finders.append(_single(asking.find_read))
        self._finders.extend((receiving.find_reads, sending.find_reads))
        self._finders.extend((_single(self._forks.find_read), _single(self._finding.find_read)))
        self._outbox.put(Greeted(hello.listen))
        self._tell_interests()

    def _find_tree_to_compare(self, hello: Hello) -> AccountTree | None:
        """Our tree, if both sides can reconcile and either carries enough accounts; both come to the same answer."""
        config = self._config
        can_both = config.can_reconcile and hello.nonce not in (b"", config.nonce)
        is_worth_while = max(hello.accounts, self._accounts_said) >= limits.RECONCILE_FROM
        return config.tree if can_both and is_worth_while else None

    def _reconcile(self, now: float) -> None:
        """Go on comparing; once it is over the halves take what was found."""
        comparing = self._reconciling
        if comparing is None or self._is_reconciled:
            return
        comparing.flush(now)
        if not comparing.is_done:
            return
        self._is_reconciled = True
        receiving, sending = self._open_halves()
        self._outbox.put(Reconciled(len(comparing.differing)))
        sending.serving.reconciled(comparing.equal)
        receiving.reconciled(comparing.shared, comparing.differing)
        comparing.differing.clear()
        self._note_carriage(now)

    def _said(  # noqa: PLR0912  # one branch a frame
        self, frame: Frame | None, size_bytes: int, halves: tuple[Receiving, Sending], now: float
    ) -> None:
        receiving, sending = halves
        asking = self._open_asking()
        match frame:
            case Carries():
                receiving.peer_carries(frame)
                sending.serving.peer_carries(frame)
                if receiving.asks_for_own_again:
                    sending.own_log.unchecked()
                self._note_carriage(now)
            case Want():
                sending.serving.peer_wants(frame, now)
            case RangesFrame():
                if self._reconciling is None:
                    raise RangesUnasked("there is nothing to compare")
                self._reconciling.received(frame)
            case Entries() | RunsFrame():
                for arrived in receiving.entries(frame, size_bytes):
                    sending.serving.peer_sent(arrived)
            case FindFrame():
                self._finding.peer_finds(frame)
            case FoundFrame():
                self._finding.peer_found(frame)
            case PeersFrame():
                self._exchange.peer_asks(now)
            case KnownFrame():
                self._exchange.peer_tells(frame)
            case Points(account):
                if sending.serving.serves(account) or receiving.wants(account):
                    self._forks.peer_points(frame)
            case Need() | ThreadFrame() | Concerning():
                asking.peer_asks(frame)
            case Given():
                asking.peer_gives(frame, size_bytes)
            case Offer():
                asking.peer_offers(frame, size_bytes, now)
            case Credit(granted):
                sending.freight.grant(granted)
            case CaughtUp(wants):
                receiving.caught_up(wants)
            case None:
                pass  # a frame of a later version
            case Hello() | ErrorFrame():
                raise LocalProtocolError(f"{frame} was dealt with before")
            case _:
                assert_never(frame)

    def _note_carriage(self, now: float) -> None:
        """What the peer carries changed: whoever acts on that hears of it, of many changes now and then."""
        self._is_carriage_news = True
        self._tell_carriage(now)

    def _tell_carriage(self, now: float) -> None:
        if self._is_carriage_news and self._carriage_pace.spend(1, now):
            self._is_carriage_news = False
            self.carriage_changes += 1
            self._open_asking().peer_carries(now)

    # --- going on ----------------------------------------------------------------------------------------

    def _go_on(self, now: float) -> None:
        receiving, sending = self._open_halves()
        self._reconcile(now)
        receiving.flush(now)
        sending.flush(now)
        self._forks.flush(now)
        self._finding.flush(now)
        self._exchange.flush(now)
        self._open_asking().flush(now)
        if not self._reads:
            self._reads.extend(self._find_reads())
            if not self._reads and sending.freight.has_rows:
                sending.flush(now, is_last=True)
            for read in self._reads:
                self._outbox.put(read)
        self._patience.earn(sending.freight.take_sent_bytes())

    def _find_reads(self) -> Sequence[Read]:
        """The next reads, of one part; whoever got theirs goes to the end of the row."""
        for find in tuple(self._finders):
            reads = find()
            if reads:
                self._finders.remove(find)
                self._finders.append(find)
                return reads
        return ()

    def _open_halves(self) -> tuple[Receiving, Sending]:
        if self._halves is None:
            raise LocalProtocolError("the session is not open")
        return self._halves

    def _open_asking(self) -> Asking:
        if self._asking is None:
            raise LocalProtocolError("the session is not open")
        return self._asking

    def _end_for(self, fault: SyncFault) -> None:
        self._outbox.take()  # "error and close, no other action"
        text = str(fault).encode()[: limits.MAX_ERROR_TEXT_BYTES].decode(errors="ignore")
        self._end()
        self._outbox.put(Send(encode_frame(ErrorFrame(fault.code, text))))
        self._outbox.put(Close(f"{type(fault).__name__}: {fault}", is_fault=fault.is_fault))

    def _end(self) -> None:
        self.stage = Stage.CLOSED
        self._halves = self._asking = None
        self._finders.clear()
        self._reads.clear()


def _single(find: Callable[[], Read | None]) -> Callable[[], Sequence[Read]]:
    """For a part that asks for one read at a time."""

    def find_reads() -> Sequence[Read]:
        read = find()
        return () if read is None else (read,)

    return find_reads
