"""A virtual node: what ``gossip/net/network.py`` is with sockets, on a virtual clock.

The machines are the real ones: ``Session``, ``AddressBook``, ``Chooser``,
``OwnChecks``, hints, the ledger of faults. What a node commits survives its
crash, with what it knew of peers when it last wrote that down; all else is
gone. Its wall clock may be wrong.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from unhush.gossip.net.faults import FaultLedger
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Found, Greeted, PeersAsked, PeersTold
from unhush.gossip.proto.addresses import Address, AddressBook, Known, Source, parse_address
from unhush.gossip.proto.checks import OwnChecks
from unhush.gossip.proto.choosing import Chooser
from unhush.gossip.proto.config import Own, SessionConfig
from unhush.gossip.proto.decisions import AskPeers, Dial, LetGo
from unhush.gossip.proto.events import (
    Ask,
    AskForPeers,
    Concerns,
    Event,
    HoleSeen,
    InterestsChanged,
    Opened,
    OwnChecked,
    Refolded,
    TellPeers,
)
from unhush.gossip.proto.frames import Item, KnownPeer, Operation, Question
from unhush.gossip.proto.hints import MAX_OPERATIONS, Hint, encode_hint
from unhush.gossip.proto.letters import Letters
from unhush.gossip.proto.proving import Pair
from unhush.gossip.proto.tally import Met, Tally
from unhush.identity.cid import Cid
from unhush.storage.kinds import Body, Follow, Post
from unhush.testing.end import SessionEnd
from unhush.testing.errors import LimitExceeded
from unhush.testing.heads import TreeKeeper
from unhush.testing.ledger import find_hint
from unhush.testing.links import (
    AnswerMessage,
    Chunk,
    EndStream,
    HintMessage,
    Message,
    OpenStream,
    QuestionMessage,
    Wire,
)
from unhush.testing.people import START_MS, Person, address_of, peer_id_of
from unhush.testing.statements import Keeping, Shelf
from unhush.testing.store import Arrivals, NodeStore, Taken

if TYPE_CHECKING:
    from unhush.testing.byzantine import Manners
    from unhush.testing.network import VirtualNetwork

# As in gossip/net: when a session that ended is opened again, and how long news is gathered for a hint.
FIRST_REOPEN_S: Final = 1.0
LONGEST_REOPEN_S: Final = 60.0
GATHER_S: Final = 0.2
MAX_UNANNOUNCED: Final = 256
SAVE_S: Final = 60.0
INCOMPLETE_S: Final = 60.0

# As in gossip/net/wire/swarm.py.
MAX_CONNECTIONS: Final = 96

# Looks of the chooser follow each other no closer than this.
MIN_LOOK_S: Final = 0.05

# Peers a hint is handed on to, as in a mesh; and hints remembered, so that none goes round twice.
MESH: Final = 3
MAX_SEEN: Final = 4_096

# A delivery waits so long for its commit (fdatasync, and the batch before it).
COMMIT_S: Final = 0.004


class SimNode:
    """One home on the virtual network; made by ``VirtualNetwork.node``."""

    def __init__(
        self,
        network: "VirtualNetwork",
        name: str,
        number: int,
        *,
        person: Person,
        store: NodeStore,
        skew_s: float = 0.0,
        manners: "Manners | None" = None,
        checks_own: bool = True,
        is_dialable: bool = True,
        reconciles: bool = False,
    ) -> None:
        self.network = network
        self.name = name
        self.number = number
        self.peer_id = peer_id_of(number)
        self.address = f"{address_of(number, network.per_block)}/p2p/{self.peer_id}"
        self.person = person
        self.account = person.account
        self.own: Own | None = person.own if checks_own else None
        self.store = store
        self.skew_s = skew_s
        self.manners = manners
        self.is_dialable = is_dialable
        self.reconciles = reconciles  # compares what it holds, with whoever does
        self.is_up = False
        self.starts = 0  # which of its lives this is
        self.wires: dict[str, Wire] = {}
        self.sessions: dict[str, SessionEnd] = {}
        self.tally = Tally()
        self.statements = Shelf(network.name, name)  # on disk
        self.kept: dict[Cid, None] = {}  # accounts it promised to keep; on disk
        self._known: tuple[Known, ...] = ()  # of peers, on disk
        self._clock = network.clock
        self._born_at = -float(network.dice.randrange(1_000_000))  # monotonic clocks begin anywhere
        self._reset()

    def _reset(self) -> None:
        """What a process begins with."""
        self._book = AddressBook(own_peer_id=self.peer_id, seed=self.peer_id.encode())
        # Each run of a node rolls other dice, as its seed is of the process.
        self._chooser = Chooser(self._book, seed=f"{self.network.seed}/{self.name}/{self.starts}".encode())
        self._faults = FaultLedger()
        self._checks = OwnChecks()
        self._interests = InterestsChanged(frozenset(), frozenset())
        self._reopen_s: dict[str, float] = {}
        self._unannounced: deque[Cid] = deque(maxlen=MAX_UNANNOUNCED)
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._ingest: deque[tuple[Arrivals, Callable[[Taken], None]]] = deque()
        self._is_committing = False
        self._look_at = float("inf")
        self._tags = 0
        self.is_announcing = False
        self._keeping: Keeping | None = None
        self._heads: TreeKeeper | None = None
        self._letters = Letters()

    # --- for whoever writes a test -----------------------------------------------------------------------

    def post(self, text: str, *, mentions: tuple[Cid, ...] = ()) -> Cid:
        """Write a post; its id."""
        return self.publish(Post(text, mentions=mentions))

    def publish(self, body: Body) -> Cid:
        """Write any record; its id."""
        entry = self.store.publish(body, self.wall_ms)
        self.note("write", entry.cid)
        if self.is_up:
            self._unannounced.append(entry.cid)
            self._announce_soon()
            self._news()
        return entry.cid

    def follow(self, other: "SimNode") -> Cid:
        """Follow the account of another node: carry it, and want it."""
        cid = self.publish(Follow(other.account))
        self._read_interests()
        return cid

    def carry(self, other: "SimNode") -> None:
        """Carry and want the account of another node without a word to the world."""
        self.store.carry(other.account)
        self._read_interests()

    def keep(self, other: "SimNode") -> None:
        """Promise everybody to carry the account of another node, and give receipts of it."""
        assert self.network.has_statements
        self.kept[other.account] = None
        self.carry(other)
        if self._keeping is not None:
            self._keeping.changed()

    def unkeep(self, other: "SimNode") -> None:
        """Take that back; what is here stays."""
        self.kept.pop(other.account, None)
        if self._keeping is not None:
            self._keeping.changed()

    def challenge(self, keeper: "SimNode", of: "SimNode", *, seq: int | None = None) -> bool:
        """Put a keeper to the test now, and not when it is due; ``statements.proofs`` shows what comes of it.

        ``seq``: for that entry. False if nothing here says that the keeper has it, or it is not connected.
        """
        return self._keeping is not None and self._keeping.challenge(Pair(of.account, keeper.account), seq)

    def ask(self, question: Question) -> None:
        """Ask every peer, as a person does who opens a conversation."""
        for session in list(self.sessions.values()):
            session.tell(Ask(self.next_tag(), question))

    def has(self, record: Cid) -> bool:
        """Whether the record is here, with its body."""
        return self.store.has(record)

    def crash(self) -> None:
        """Die without a word: connections break, what was not committed is gone."""
        if not self.is_up:
            return
        self.note("crash")
        self.is_up = False
        for wire in list(self.wires.values()):
            wire.break_()
        self.wires.clear()
        self.sessions.clear()
        self.store.restart()

    def start(self) -> None:
        """Begin, or begin anew after a crash."""
        if self.is_up:
            return
        self.starts += 1
        self.note("start")
        self._reset()
        self.is_up = True
        life = self.starts
        remembered = [each for each in self._known if self._book.remember(each.address, each.source, self.monotonic)]
        anchors = [parse_address(each.address).peer_id for each in remembered if each.is_anchor]
        self._chooser.set_anchors(dict.fromkeys(anchors))
        if self.reconciles:
            self._heads = self._make_heads()
        self._read_interests()
        for concerns in self.store.newest_concerns():
            self._pass_on(concerns)
        if self.network.has_statements:
            self._keeping = Keeping(self, self.statements)
            self._keeping.changed()
        # Not all nodes tick in the same instant.
        self._clock.after(self.network.dice.random() * self.network.tick_s, partial(self._tick, life))
        self._clock.after(SAVE_S, partial(self._save, life))
        self._clock.after(INCOMPLETE_S, partial(self._look_for_holes, life))
        self._look_soon()

    def learn(self, address: str, source: Source = Source.CONFIGURED) -> None:
        """Enter the address of a peer into the book, as a person does or an invite."""
        self._known = (*self._known, Known(address, source))
        if self.is_up:
            self._book.remember(address, source, self.monotonic)
            self._look_soon()

    # --- clocks ------------------------------------------------------------------------------------------

    @property
    def monotonic(self) -> float:
        """What the machines of this node are told the time is."""
        return self._clock.now - self._born_at

    @property
    def wall_ms(self) -> int:
        """What this node takes the time to be, Unix milliseconds."""
        return START_MS + int((self._clock.now + self.skew_s) * 1000)

    def next_tag(self) -> int:
        self._tags += 1
        return self._tags

    # --- connections -------------------------------------------------------------------------------------

    def may_connect(self, peer_id: str) -> bool:
        """Whether a connection with this peer would be accepted now."""
        is_banned = self._faults.is_banned(peer_id, self.monotonic)
        return self.is_up and not is_banned and peer_id not in self.wires and len(self.wires) < MAX_CONNECTIONS

    def connected(self, wire: Wire, other: "SimNode", *, is_inbound: bool) -> None:
        """A connection opened."""
        self.wires[other.peer_id] = wire
        if len(self.wires) > MAX_CONNECTIONS:
            raise LimitExceeded(f"{self.name} has {len(self.wires)} connections")
        address = other.address.rpartition("/p2p/")[0]
        if is_inbound:  # from any port, but the machine is the same
            address = address.replace("/4001", f"/{40_000 + wire.number % 20_000}")
        self._chooser.connected(other.peer_id, address, self.monotonic, is_inbound=is_inbound)
        if self.peer_id < other.peer_id:
            self._reopen_s[other.peer_id] = FIRST_REOPEN_S
            self._open_stream(wire, other.peer_id)
        if self._keeping is not None:
            self._keeping.connected(other.peer_id)
        self._look_soon()

    def dial_failed(self, address: Address) -> None:
        """A dial came to nothing."""
        self._chooser.failed(address.peer_id, address.text, self.monotonic)
        self.dial_ended(address)

    def dial_ended(self, address: Address) -> None:
        """A dial is over."""
        self._chooser.dial_ended(address.peer_id, self.monotonic)
        self._look_soon()

    def wire_lost(self, wire: Wire) -> None:
        """A connection is gone."""
        peer_id = self.network.peer_of(wire, self).peer_id
        if self.wires.get(peer_id) is not wire:
            return
        del self.wires[peer_id]
        self.note("lost", peer_id)
        session = self.sessions.get(peer_id)
        if session is not None:
            session.end()
        if self.is_up:
            if self._keeping is not None:
                self._keeping.disconnected(peer_id)
            self._chooser.disconnected(peer_id, self.monotonic)
            self._look_soon()

    def take(self, wire: Wire, message: Message) -> None:
        """A message came over a wire."""
        if not self.is_up:
            return
        peer_id = self.network.peer_of(wire, self).peer_id
        match message:
            case OpenStream(stream):
                self._begin(wire, stream, peer_id)
            case Chunk(stream, data):
                self.network.trace.bytes_came(self._clock.now, self.number, data)
                session = self.sessions.get(peer_id)
                if session is not None and session.wire is wire and session.stream == stream:
                    session.took(data)
            case EndStream(stream):
                session = self.sessions.get(peer_id)
                if session is not None and session.wire is wire and session.stream == stream:
                    session.end()
            case HintMessage(data):
                self._hear(peer_id, data)
            case QuestionMessage() | AnswerMessage():
                if self._keeping is not None:
                    self.network.trace.bytes_came(self._clock.now, self.number, message.payload)
                    self._keeping.heard(peer_id, message)
            case _:
                assert_never(message)

    # --- sessions ----------------------------------------------------------------------------------------

    def _open_stream(self, wire: Wire, peer_id: str) -> None:
        """The peer with the lower id opens the one stream."""
        if not (self.is_up and wire.is_open and self.wires.get(peer_id) is wire):
            return
        if self.manners is not None and not self.manners.opens():
            return
        stream = self.network.next_stream()
        wire.send(self, OpenStream(stream))
        self._begin(wire, stream, peer_id)

    def _begin(self, wire: Wire, stream: int, peer_id: str) -> None:
        before = self.sessions.get(peer_id)
        if before is not None:
            before.end()  # of a connection that is gone, or of a peer that opened twice
        config = SessionConfig(
            self.network.name,
            "unhush.testing",
            own=self.own,
            listen=(self.address.rpartition("/p2p/")[0],),
            tree=self._heads.tree if self._heads is not None else None,
            nonce=self.network.dice.randbytes(limits.NONCE_BYTES) if self._heads is not None else b"",
        )
        session = self.sessions[peer_id] = SessionEnd(self, wire, stream, peer_id=peer_id, config=config)
        self._checks.opened(session, self.monotonic)
        session.tell(Opened())
        session.tell(self._interests)
        if self.manners is not None:
            self.manners.began(session)

    def session_over(self, session: SessionEnd) -> None:
        """A session ended, whatever the reason."""
        peer_id = session.peer_id
        self._checks.closed(session)
        if self.sessions.get(peer_id) is not session:
            return
        del self.sessions[peer_id]
        if not self.is_up:
            return
        self._chooser.session_ended(peer_id, self.monotonic)
        if session.fault is not None:
            if self.manners is None:
                self.network.at_fault(self, peer_id, session.fault)
            if self._faults.record(peer_id, self.monotonic):
                self.note("ban", peer_id)
                self._clock.after(0, partial(self._drop, session.wire))
                return
        if self.peer_id < peer_id and self.wires.get(peer_id) is session.wire:
            delay_s = self._reopen_s.get(peer_id, FIRST_REOPEN_S)
            self._reopen_s[peer_id] = min(2 * delay_s, LONGEST_REOPEN_S)
            self._clock.after(delay_s, partial(self._open_stream, session.wire, peer_id))

    def _drop(self, wire: Wire) -> None:
        wire.break_()

    def tell_all(self, event: Event) -> None:
        """To every session."""
        for session in list(self.sessions.values()):
            session.tell(event)

    def answer_later(self, session: SessionEnd) -> None:
        """Give a session what a read found: at once, or when the disk got round to it."""
        disk_s = self.network.disk_s
        if disk_s:
            self._clock.after(disk_s * self.network.dice.random(), session.answered)
        else:
            session.answered()

    def _tick(self, life: int) -> None:
        if not self.is_up or self.starts != life:
            return
        self._clock.after(self.network.tick_s, partial(self._tick, life))
        for session in list(self.sessions.values()):
            session.tick()
        if self.manners is not None:
            self.manners.ticked(self)
        else:
            self.network.check_bounds(self)

    # --- reports of sessions -----------------------------------------------------------------------------

    def peer_carries(self, session: SessionEnd, accounts: frozenset[Cid]) -> None:
        self._chooser.carries(session.peer_id, accounts, self.monotonic)
        self._look_soon()

    def peer_gave(self, session: SessionEnd, account: Cid, records: int) -> None:
        self._chooser.gave(session.peer_id, account, records, self.monotonic)

    def heard_of_peers(self, session: SessionEnd, heard: Greeted | PeersAsked | PeersTold) -> None:
        now = self.monotonic
        match heard:
            case Greeted(listen):
                for concerns in (*self.store.own_concerns(), *self._letters):
                    session.tell(concerns)
                self._chooser.greeted(session.peer_id, listen if self.network.has_exchange else (), now)
            case PeersAsked():
                told = self._chooser.tell(session.peer_id, now) if self.network.has_exchange else ()
                session.tell(TellPeers(told))
            case PeersTold(peers):
                self._chooser.told(session.peer_id, peers, now)
            case _:
                assert_never(heard)
        self._look_soon()

    def told_of(self, peer_id: str, known: Iterable[KnownPeer]) -> None:
        """A peer gave a card."""
        self._chooser.told(peer_id, known, self.monotonic)
        self._look_soon()

    def own_checked(self, session: SessionEnd, *, is_clean: bool) -> None:
        if is_clean and not session.knows_own:
            self._checks.has_nothing(session)
        else:
            self._checks.checked(session, is_clean=is_clean)

    def found(self, session: SessionEnd, found: Found) -> None:
        self.note("found", session.peer_id, len(found.ops))

    def answered(self, tag: int, *, is_complete: bool) -> None:
        self.note("answered", tag, is_complete)

    # --- ingest and news ---------------------------------------------------------------------------------

    def ingest(self, arrivals: Arrivals, when_done: Callable[[Taken], None]) -> None:
        """One writer: in order, each after the commit before it."""
        self._ingest.append((arrivals, when_done))
        if not self._is_committing:
            self._is_committing = True
            self._clock.after(COMMIT_S, partial(self._commit, self.starts))

    def _commit(self, life: int) -> None:
        if not self.is_up or self.starts != life:
            return
        # All that waits goes into one commit.
        batch, self._ingest = self._ingest, deque()
        self._is_committing = False
        for arrivals, when_done in batch:
            taken = self.store.ingest(arrivals, self.wall_ms)
            when_done(taken)
            if taken.not_listed:
                self.tell_all(HoleSeen(arrivals.account))
        self._news()

    def _news(self) -> None:
        news = self.store.take_news()
        if news is None:
            return
        if self.store.clone_found:
            self._checks.found_unclean()
            self.tell_all(OwnChecked(is_clean=False))
        if self._heads is not None:
            self._heads.touched(grew.account for grew in news.grown)
        events: list[Event] = [*news.grown, *news.forked.values(), *map(Refolded, sorted(news.refolded))]
        for event in events:
            self.tell_all(event)
        for concerns in news.concerning:
            self._pass_on(concerns)
        for account in news.holes:
            self.tell_all(HoleSeen(account))
        self.network.changed = True
        self.network.trace.stored(self._clock.now, self.number, news.grown)
        if self._keeping is not None:
            self._keeping.changed()

    def _pass_on(self, concerns: Concerns) -> None:
        """Our own records go to whomever they concern, those of others if that is somebody we carry."""
        if concerns.account == self.account:
            self.tell_all(concerns)
        elif about := tuple(who for who in concerns.about if who in self._interests.carries):
            letter = replace(concerns, about=about)
            self._letters.put(letter)
            self.tell_all(letter)

    def _look_for_holes(self, life: int) -> None:
        if not self.is_up or self.starts != life:
            return
        self._clock.after(INCOMPLETE_S, partial(self._look_for_holes, life))
        for account in self.store.incomplete():
            self.tell_all(HoleSeen(account))

    def _make_heads(self) -> TreeKeeper:
        salt = f"{self.network.seed}/{self.name}/{self.starts}".encode()
        heads = TreeKeeper(self.store, self.account, self._clock, salt=salt)
        heads.begin(self._claimed())
        return heads

    def _claimed(self) -> frozenset[Cid]:
        """The accounts it says it carries."""
        carried = self.store.carried()
        return carried if self.manners is None else self.manners.carries(self, carried)

    def _read_interests(self) -> None:
        carried, claimed = self.store.carried(), self._claimed()
        changed = InterestsChanged(claimed, carried)
        if changed != self._interests and self.is_up:
            self._interests = changed
            if self._heads is not None:
                self._heads.set_carried(claimed)
            self._chooser.set_wanted(carried - {self.account}, self.monotonic)
            self.tell_all(changed)
            if self._keeping is not None:
                self._keeping.changed()
            self._look_soon()

    # --- choosing ----------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        self._look_no_later_than(self._clock.now + MIN_LOOK_S)

    def _look_no_later_than(self, when: float) -> None:
        if when < self._look_at and self.is_up:
            self._look_at = when
            self._clock.at(when, partial(self._look, self.starts, when))

    def _look(self, life: int, due_at: float) -> None:
        if not self.is_up or self.starts != life or self._look_at != due_at:
            return
        self._look_at = float("inf")
        now = self.monotonic
        for decision in self._chooser.decide(now):
            match decision:
                case Dial(address):
                    self.network.dial(self, address)
                case LetGo(peer_id):
                    if peer_id in self.wires:
                        self._clock.after(0, partial(self._drop, self.wires[peer_id]))
                case AskPeers(peer_id):
                    session = self.sessions.get(peer_id)
                    if session is not None and self.network.has_exchange:
                        session.tell(AskForPeers())
                case _:
                    assert_never(decision)
        wait_s = max(MIN_LOOK_S, self._chooser.next_time(now) - now)
        self._look_no_later_than(self._clock.now + wait_s)

    def _save(self, life: int) -> None:
        if not self.is_up or self.starts != life:
            return
        self._clock.after(SAVE_S, partial(self._save, life))
        self._known = self._chooser.remembered(self.monotonic)

    # --- hints -------------------------------------------------------------------------------------------

    def _announce_soon(self) -> None:
        if self.network.has_gossip and not self.is_announcing:
            self.is_announcing = True
            self._clock.after(GATHER_S, partial(self._announce, self.starts))

    def _announce(self, life: int) -> None:
        if not self.is_up or self.starts != life:
            return
        self.is_announcing = False
        if self._checks.is_unclean:
            self._unannounced.clear()
        if not self._unannounced:
            return
        if self.own is not None and not self._checks.may_announce(self.monotonic):
            self._announce_soon()
            return
        ops, records = self.store.announcement(tuple(self._unannounced))
        self._unannounced.clear()
        self._hand_on(encode_hint(ops if len(ops) <= MAX_OPERATIONS else [], records), but=None)

    def _hear(self, peer_id: str, data: bytes) -> None:
        if data in self._seen or self._faults.is_banned(peer_id, self.monotonic):
            return
        hint = find_hint(data, self.network.name)
        if hint is None:
            self.note("hint rejected", peer_id)
            return
        self._hand_on(data, but=peer_id)
        for account, arrivals in self._wanted(hint).items():
            self.ingest(arrivals, partial(self._took_hint, account))
        for hinted in hint.records:
            if hinted.body is None and hinted.entry.account in self._interests.carries:
                self.tell_all(HoleSeen(hinted.entry.account))

    def _took_hint(self, account: Cid, taken: Taken) -> None:
        if taken.not_listed:
            self.tell_all(HoleSeen(account))

    def _wanted(self, hint: Hint) -> Mapping[Cid, Arrivals]:
        carried = self._interests.carries
        wanted: dict[Cid, Arrivals] = {}
        for hinted in (*hint.operations, *hint.records):
            account = hinted.entry.account
            if account not in carried or hinted.body is None:
                continue
            so_far = wanted.get(account, Arrivals(account))
            if hinted.entry.header.is_identity:
                more = Arrivals(account, (*so_far.ops, Operation(hinted.entry.block, hinted.body)), so_far.items)
            else:
                more = Arrivals(account, so_far.ops, (*so_far.items, Item(hinted.entry.block, hinted.body)))
            wanted[account] = more
        return wanted

    def _hand_on(self, data: bytes, *, but: str | None) -> None:
        self._seen[data] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        if self.manners is not None and not self.manners.hands_on():
            return
        peers = [peer_id for peer_id in self.wires if peer_id != but]
        if len(peers) > MESH:
            peers = self.network.dice.sample(peers, MESH)
        for peer_id in peers:
            self.wires[peer_id].send(self, HintMessage(data))

    # --- words -------------------------------------------------------------------------------------------

    def note(self, what: str, *facts: object) -> None:
        """Write into the log of the run."""
        self.network.trace.note(self._clock.now, self.name, what, *facts)

    @property
    def connections(self) -> tuple[str, ...]:
        """The names of the nodes it is connected with."""
        return tuple(self.network.peer_of(wire, self).name for wire in self.wires.values())

    def count(self, met: Met) -> int:
        """How often this node met a bound."""
        return self.tally.read()[met]

    def __repr__(self) -> str:
        return f"<node {self.name}>"
