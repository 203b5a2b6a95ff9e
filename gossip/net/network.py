"""The network of a node: one thread with trio, in which host, gossip, dialler and sync sessions live.

The rest of the node knows ``start``, ``stop``, ``status``, ``find`` and
``stop_finding``. What crosses is the store (both sides follow its journal) and
the ingest queue. When the network falls over it starts again; the node goes on
meanwhile.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

import trio

from unhush.gossip.errors import (
    GossipError,
    ListenFailed,
    MalformedAddress,
    NotConnected,
    StreamBroken,
    StreamRefused,
)
from unhush.gossip.net.faults import FaultLedger
from unhush.gossip.net.hearing import ShardGossip
from unhush.gossip.net.host import ConnectedPeer, Host, HostConfig, Lasting, open_host
from unhush.gossip.net.intake import Submit
from unhush.gossip.net.meet.dht import Dht
from unhush.gossip.net.meet.dialer import Dialer
from unhush.gossip.net.meet.meeting import LanView, Meeting, MeetingConfig
from unhush.gossip.net.pinging import ping_peer
from unhush.gossip.net.reach.reaching import Reaching
from unhush.gossip.net.supervisor import Backoff, Outage, in_words, supervise
from unhush.gossip.net.sync.asking import Asker
from unhush.gossip.net.sync.blobs import BlobService
from unhush.gossip.net.sync.follower import JournalFollower, News, find_own
from unhush.gossip.net.sync.handing import HandedOnKeeper
from unhush.gossip.net.sync.heads import Heads
from unhush.gossip.net.sync.seeking import Report, Sought
from unhush.gossip.net.sync.session import Reports, SyncSession
from unhush.gossip.net.wire.metering import Figures
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Greeted, PeersAsked, PeersTold
from unhush.gossip.proto.addresses import AddressBook, Known, Source
from unhush.gossip.proto.checks import OwnChecks
from unhush.gossip.proto.choosing import Chooser, Standing
from unhush.gossip.proto.config import Own, SessionConfig
from unhush.gossip.proto.events import (
    AskForPeers,
    Concerns,
    Event,
    Find,
    HoleSeen,
    InterestsChanged,
    OwnChecked,
    Refolded,
    TellPeers,
)
from unhush.gossip.proto.frames import Question
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.reach import ReachView
from unhush.gossip.proto.tally import Met, Tally
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.storage.contacts import Contact
from unhush.storage.records import Record
from unhush.storage.store import Store

log = logging.getLogger(__name__)

SYNC = "/unhush/sync/1"

# A session that ended is opened again after this, doubling to the longest, while the connection stands.
FIRST_REOPEN_S = 1.0
LONGEST_REOPEN_S = 60.0

# Sessions a peer may open: each has us look up and name what we carry, for a hello of a hundred bytes. An honest one
# that ends at once comes back six times in the first minute.
MAX_OPENED = 30
OPENED_S = 60.0
# Peers of which that is remembered, whether they are connected or not.
MAX_OPENERS = 1_024

# How long news is gathered before it is announced. Sessions push at once; the mesh is for those without one,
# and a message with many records costs hardly more than one with a single record.
GATHER_S = 0.2

# Own records that wait to be announced: as many as a few messages carry. Of more the newest are told, and show
# whoever hears them that there is something to fetch.
MAX_UNANNOUNCED = 256

# How often logs are looked for of which a cut leaves something in force that is not held here.
INCOMPLETE_EVERY_S = 60.0

# Importing libp2p takes a second, on a loaded machine several; after this the start has failed.
START_TIMEOUT_S = 60.0

# How often addresses that other processes added or took out are looked for: after commits, and now and then in case
# word of one was lost.
CONTACTS_EVERY_S = 1.0
CONTACTS_AT_LATEST_S = 60.0


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What the network is told when it starts."""

    network: str
    seed: bytes  # of the peer key
    listen: tuple[str, ...]
    agent: str
    is_relay: bool = False  # brings others to those who cannot be reached
    uses_dht: bool = False  # tells strangers that the own account is carried here, and asks them for carriers
    exchange: bool = True  # peers are asked for others, and told of others
    exempt_loopback: bool = False  # the limits per address do not count loopback and LAN addresses
    meeting: MeetingConfig = field(default_factory=MeetingConfig)


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far what connected peers have is here."""

    sessions: int = 0
    waiting: int = 0  # sessions whose peer has something we want that is not here yet
    dialling: int = 0
    wanted: int = 0  # accounts of others that are followed or kept
    covered: int = 0  # those of them that a connected peer carries


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The network as it is now."""

    peer_id: str
    listen: tuple[str, ...]
    connected: tuple[ConnectedPeer, ...]
    own_checked: int = 0  # sessions whose peer has given all it holds of our own account
    outage: Outage | None = None  # it fell over and is being started again
    limits_met: Mapping[Met, int] = field(default_factory=dict)  # since the network was first started
    met_s_ago: Mapping[Met, float] = field(default_factory=dict)  # those met since then, and how long ago
    figures: Figures = field(default_factory=Figures)
    standings: Mapping[str, Standing] = field(default_factory=dict)  # of connected peers
    sync: SyncState = SyncState()


@dataclass(frozen=True, slots=True)
class _Fall:
    """Why the network is down, and since when on the monotonic clock."""

    reason: str
    since: float
    starts: int


class Network:
    """Start it once; ``stop`` ends its thread."""

    def __init__(self, store: Store, submit: Submit, config: NetworkConfig) -> None:
        self._store = store
        self._submit = submit
        self._config = config
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._is_stopping = threading.Event()
        self._live: _Live | None = None
        self._lasting = Lasting(tally=Tally(time.monotonic))
        self._fall: _Fall | None = None
        self._listen = config.listen  # after the first start, the very addresses it was given
        self._sought = Sought()
        self._status = NetworkStatus("", (), (), 0)
        self._thread = threading.Thread(target=self._run, name="unhush-network", daemon=True)

    def start(self) -> None:
        """Return once it listens; raises ``ListenFailed`` or ``GossipError``."""
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT_S):
            self.stop()
            raise GossipError(f"the network did not start within {START_TIMEOUT_S:.0f} s")
        if self._failure is not None:
            self._thread.join()
            if isinstance(self._failure, ListenFailed):
                raise self._failure
            raise GossipError(f"the network did not start: {self._failure}") from self._failure

    def stop(self) -> None:
        """End every connection and the thread."""
        self._is_stopping.set()
        if self._token is not None:
            try:
                self._token.run_sync_soon(lambda: self._scope.cancel())  # that of the run that ends  # noqa: PLW0108
            except trio.RunFinishedError:
                log.debug("the network had ended")
        self._thread.join()

    def status(self) -> NetworkStatus:
        """Callable from any thread."""
        live, fall, tally, meter = self._live, self._fall, self._lasting.tally, self._lasting.meter
        now = time.monotonic()
        if live is not None:
            self._status = live.status()
        else:
            figures = Figures(bytes_in=meter.bytes_in, bytes_out=meter.bytes_out)
            self._status = replace(
                self._status, connected=(), own_checked=0, figures=figures, standings={}, sync=SyncState()
            )
        return replace(
            self._status,
            outage=Outage(fall.reason, now - fall.since, fall.starts) if fall is not None else None,
            limits_met=tally.read(),
            met_s_ago={met: now - at for met, at in tally.met_at().items()},
        )

    def reach(self) -> ReachView | None:
        """Whether others reach us, as far as is known; None while the network is down. Callable from other threads."""
        live = self._live
        if live is None or self._token is None:
            return None
        try:
            return trio.from_thread.run_sync(live.reaching.view, trio_token=self._token)
        except trio.RunFinishedError:
            return None

    def hurry(self) -> None:
        """Look now: dial whoever is chosen, and look for whoever is needed; callable from any thread."""
        self._soon(lambda live: live.hurry())

    def forget_peer(self, peer_id: str) -> None:
        """Dial this peer no more, and end what connects us; callable from any thread."""
        self._soon(lambda live: live.forget_peer(peer_id))

    def ping(self, peer: str) -> float:
        """The seconds a peer takes to answer, named by its address, or by its id if it is connected.

        Callable from other threads. Raises ``GossipError``.
        """
        live, token = self._live, self._token
        if live is None or token is None:
            raise GossipError("the network is down")
        try:
            return trio.from_thread.run(live.ping, peer, trio_token=token)
        except (trio.RunFinishedError, trio.Cancelled) as exc:
            raise GossipError("the network is down") from exc

    def lan(self) -> LanView:
        """What there is of the local network; callable from any thread."""
        live = self._live
        return live.meeting.lan() if live is not None else LanView(0, "the network is down")

    def look_around(self) -> None:
        """Ask peers now whether they reach us; callable from any thread."""
        self._soon(lambda live: live.reaching.look())

    def fetch_blob(self, blob: Cid, account: Cid, done: Callable[[bool], None], max_bytes: int | None = None) -> bool:
        """Bring a blob here that a record of ``account`` names; callable from any thread.

        ``max_bytes``: nobody looks at it yet, and more than this is not fetched.

        ``done`` is told on the network's thread whether it is here whole. False, and it is never called, if the
        network has ended.
        """

        def now() -> None:
            if self._live is None:
                done(False)
            else:
                self._live.fetch_blob(blob, account, done, max_bytes)

        if self._token is None:
            return False
        try:
            self._token.run_sync_soon(now)
        except trio.RunFinishedError:
            return False
        return True

    def find(self, root: PublicKey, report: Report) -> None:
        """Ask every peer, also those yet to come, for the account this root key signed; callable from any thread.

        ``report`` gets each answer with the peer's id, on the network's thread, until ``stop_finding``. Answers
        are unchecked. Raises ``GossipError`` if too many roots are looked for.
        """
        self._sought.add(root, report)
        self._soon(lambda live: live.tell_all(Find(root)))

    def stop_finding(self, root: PublicKey) -> None:
        """Callable from any thread; an answer under way may still be reported meanwhile."""
        self._sought.remove(root)

    def ask(
        self, question: Question, about: tuple[Cid, ...], done: Callable[[], None], *, is_urgent: bool = False
    ) -> None:
        """Ask peers for records that are not here; callable from any thread.

        ``about``: accounts whose carriers may know. ``done`` is called once nobody is waited for, on whichever thread;
        what came is stored by then. If the network ends meanwhile it may never be. What was asked within a minute is
        asked again only if it ``is_urgent``.
        """
        if self._live is None:
            done()
        else:
            self._soon(lambda live: live.asker.ask(question, about, done, is_urgent=is_urgent))

    def _soon(self, act: Callable[["_Live"], None]) -> None:
        def now() -> None:
            # What is raised in here would be the end of trio, and not of what was asked for.
            try:
                if self._live is not None:
                    act(self._live)
            except Exception:
                log.exception("not done on the network's thread")

        if self._token is not None:
            try:
                self._token.run_sync_soon(now)
            except trio.RunFinishedError:
                log.debug("the network had ended")

    def _run(self) -> None:
        """Trio itself may end by what nobody may catch inside it; that too is only the network's end."""
        backoff = Backoff()
        while True:
            started_at = time.monotonic()
            try:
                trio.run(self._main)
                return
            except BaseException as exc:  # the thread's last word, handed to whoever waits for the start
                if not self._ready.is_set():
                    self._failure = _single(exc)
                    self._ready.set()
                    return
                log.exception("network ended; starting again")
                self._fell_over(exc)
                # Its times are of a clock that ended with the run.
                self._lasting = replace(self._lasting, faults=FaultLedger())
            if self._is_stopping.wait(backoff.next_delay_s(time.monotonic() - started_at)):
                return

    async def _main(self) -> None:
        self._scope = trio.CancelScope()
        self._token = trio.lowlevel.current_trio_token()
        if self._is_stopping.is_set():
            return
        with self._scope:
            await supervise(self._live_once, self._fell_over)

    def _fell_over(self, exc: BaseException) -> None:
        before = self._fall
        self._fall = _Fall(
            in_words(exc), time.monotonic() if before is None else before.since, before.starts + 1 if before else 0
        )
        self._lasting.tally.count(Met.NETWORK_RESTARTED)

    async def _live_once(self) -> None:
        config = self._config
        host_config = HostConfig(
            seed=config.seed,
            listen=self._listen,
            agent=config.agent,
            exempt_loopback=config.exempt_loopback,
            topics=ShardGossip.topics(config.network),
        )
        async with open_host(host_config, self._lasting) as host:
            # People were given these; a port that was free chance is ours from now on.
            self._listen = host.bound_at()
            self._live = _Live(host, self._store, self._submit, config=config, sought=self._sought)
            try:
                await self._live.run(self._is_up)
            finally:
                self._live = None

    def _is_up(self) -> None:
        self._fall = None
        self._ready.set()


class _Live:
    """Everything that stands upon one running host."""

    def __init__(self, host: Host, store: Store, submit: Submit, *, config: NetworkConfig, sought: Sought) -> None:
        self._host = host
        self._store = store
        self._submit = submit
        self._config = config
        self._sought = sought
        self._sessions: dict[str, SyncSession] = {}
        self._openers: dict[str, trio.CancelScope] = {}
        self._opened: dict[str, Allowance] = {}
        self._interests = InterestsChanged(frozenset(), frozenset())
        self._own: Own | None = None
        self._checks = OwnChecks()
        self._handed_on = HandedOnKeeper(store)
        self.asker = Asker(store, self._sessions)
        self._follower = JournalFollower(store, self._heard_of)
        self._heads = Heads(store)
        self._gossip = ShardGossip(
            host,
            store,
            submit,
            network=config.network,
            hole_seen=self._hole_seen,
            tally=host.tally,
            lacks=self.asker.lacks,
        )
        self._unannounced: deque[Record] = deque(maxlen=MAX_UNANNOUNCED)
        self._announcement_due = trio.Event()
        self._interests_changed = trio.Event()
        self._may_be_contacts = trio.Event()
        book = AddressBook(own_peer_id=host.peer_id, seed=config.seed)
        self._chooser = Chooser(book, seed=config.seed + os.urandom(16))  # another choice in every run
        self._dialer = Dialer(host, book, self._chooser, load=self._known, save=self._remember, ask=self._ask_for_peers)
        self.meeting = Meeting(host, config.meeting, network=config.network, seed=config.seed, enter=self._enter_told)
        self.reaching = Reaching(host, is_relay=config.is_relay, count=host.tally.count)
        self._blobs = BlobService(host, store, self._who_may_have)
        self._dht = self._make_dht() if config.uses_dht else None
        self._nursery: trio.Nursery | None = None

    def _make_dht(self) -> Dht:
        return Dht(
            self._host,
            self._config.network,
            learn=self._found_in_dht,
            carried=self._carried_for_others,
            lacking=self._chooser.uncovered,
            count=self._host.tally.count,
        )

    async def run(self, when_ready: Callable[[], None]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._host.handle(SYNC, self._serve)
                self._blobs.serve()
                self._host.on_connected(self._connected)
                self._host.on_disconnected(self._disconnected)
                self._read_interests()
                self._dialer.start()
                nursery.start_soon(self._heads.run)
                nursery.start_soon(self._follower.run)
                nursery.start_soon(self._announce)
                nursery.start_soon(self._handed_on.run)
                nursery.start_soon(self.asker.run)
                nursery.start_soon(self._keep_interests)
                nursery.start_soon(self._look_for_holes)
                nursery.start_soon(self._dialer.run)
                nursery.start_soon(self.reaching.run)
                if self._dht is not None:
                    nursery.start_soon(self._dht.run)
                nursery.start_soon(self.meeting.run)
                nursery.start_soon(self._find_contacts)
                when_ready()
                await trio.sleep_forever()
        finally:
            self._nursery = None  # what is asked from now on finds nobody
            with trio.CancelScope(shield=True):
                await self._handed_on.save()

    def status(self) -> NetworkStatus:
        checked = self._checks.count_answered()
        return NetworkStatus(
            self._host.peer_id,
            self._host.addresses(),
            self._host.connected(),
            checked,
            figures=self._figures(),
            standings=self._chooser.standings(),
            sync=self._sync_state(),
        )

    def _sync_state(self) -> SyncState:
        sessions = list(self._sessions.values())
        wanted, covered = self._chooser.coverage()
        waiting = sum(session.is_waiting for session in sessions)
        return SyncState(len(sessions), waiting, self._chooser.dialling, wanted, covered)

    def _figures(self) -> Figures:
        sessions = list(self._sessions.values())
        return Figures(
            sessions=len(sessions),
            bytes_in=self._host.meter.bytes_in,
            bytes_out=self._host.meter.bytes_out,
            unread_bytes=self._host.unread_bytes(),
            credit_bytes=sum(session.credit_bytes for session in sessions),
            hints_waiting=self._gossip.waiting_count,
            mesh_peers=self._host.mesh_peers(),
        )

    # -- sessions: the peer with the lower id opens the one stream

    def _connected(self, peer: ConnectedPeer) -> None:
        log.info("connected peer=%s address=%s inbound=%s", peer.peer_id, peer.address, peer.inbound)
        if self._host.peer_id < peer.peer_id and self._nursery is not None:
            self._openers[peer.peer_id] = scope = trio.CancelScope()
            self._nursery.start_soon(self._keep_open, peer.peer_id, scope)

    def _disconnected(self, peer: ConnectedPeer) -> None:
        log.info("disconnected peer=%s", peer.peer_id)
        if scope := self._openers.pop(peer.peer_id, None):
            scope.cancel()

    async def _keep_open(self, peer_id: str, scope: trio.CancelScope) -> None:
        delay_s = FIRST_REOPEN_S
        with scope:
            while True:
                try:
                    started_at = trio.current_time()
                    await self._sync(await self._host.open_stream(peer_id, SYNC))
                    if trio.current_time() - started_at > LONGEST_REOPEN_S:
                        delay_s = FIRST_REOPEN_S
                except (StreamRefused, NotConnected) as exc:
                    log.debug("no sync peer=%s reason=%s", peer_id, exc)
                await trio.sleep(delay_s)
                delay_s = min(2 * delay_s, LONGEST_REOPEN_S)

    async def _serve(self, stream: Stream) -> None:
        if not self._may_open(stream.peer_id):
            self._host.tally.count(Met.STREAM_REFUSED)
            raise StreamBroken("one session after the other")
        await self._sync(stream)

    def _may_open(self, peer_id: str) -> bool:
        allowance = self._opened.pop(peer_id, None) or Allowance(MAX_OPENED, OPENED_S)
        self._opened[peer_id] = allowance  # at the end, as heard of last
        if len(self._opened) > MAX_OPENERS:
            del self._opened[next(iter(self._opened))]
        return allowance.spend(1, trio.current_time())

    async def _sync(self, stream: Stream) -> None:
        tree = await self._heads.ready()
        config = SessionConfig(
            self._config.network,
            self._config.agent,
            own=self._own,
            listen=self._listen(),
            tree=tree,
            nonce=os.urandom(limits.NONCE_BYTES),
        )
        reports = Reports(
            self._own_checked,
            self._handed_on.note,
            self._sought.found,
            of_peers=self._heard_of_peers,
            carries=self._peer_carries,
            gave=self._peer_gave,
            met=self._host.tally.count,
        )
        session = SyncSession(stream, self._store, self._submit, config=config, reports=reports)
        before = self._sessions.get(session.peer_id)
        if before is not None:
            before.end()  # of a connection that is gone, or of a peer that opened twice
        self._sessions[session.peer_id] = session
        self._checks.opened(session, trio.current_time())
        for root in self._sought.roots():
            session.tell(Find(root))
        fault = None
        try:
            fault = await session.run(self._interests)
        except* Exception:
            # A peer's faults are returned, so what is raised is ours (a damaged row, a bug): it is not held against
            # the peer, and costs this session alone.
            log.exception("sync session failed peer=%s", session.peer_id)
            await stream.reset()
        finally:
            self._checks.closed(session)
            if self._sessions.get(session.peer_id) is session:
                del self._sessions[session.peer_id]
                self._chooser.session_ended(session.peer_id, trio.current_time())
        if fault is not None:
            self._host.report_fault(session.peer_id, fault)

    # -- news

    def tell_all(self, event: Event) -> None:
        """To every session."""
        for session in self._sessions.values():
            session.tell(event)

    def _heard_of(self, news: News) -> None:
        if news.own != self._own:
            self._own_changed(news.own)
        if news.clone_found:
            self._checks.found_unclean()
            self.tell_all(OwnChecked(is_clean=False))
        self._heads.touched({grew.account for grew in news.grown})  # before any session hears of it
        events: list[Event] = [*news.grown, *news.forked, *map(Refolded, sorted(news.refolded))]
        for event in events:
            self.tell_all(event)
        for account in news.holes:
            self._hole_seen(account)
        for concerns in news.concerning:
            self._pass_on(concerns)
        for account, cid in news.lacking:
            if account in self._interests.carries:
                self.asker.lacks(account, cid)
        if news.written_here:
            self._unannounced.extend(news.written_here)
            self._announcement_due.set()
        if news.may_change_interests:
            self._interests_changed.set()

    def _pass_on(self, concerns: Concerns) -> None:
        """Our own records go to whomever they concern, those of others if that is somebody we carry."""
        about = concerns.about
        if self._own is None or concerns.account != self._own.account:
            about = tuple(who for who in about if who in self._interests.carries)
        if about:
            self.tell_all(replace(concerns, about=about))

    def _hole_seen(self, account: Cid) -> None:
        self.tell_all(HoleSeen(account))

    async def _look_for_holes(self) -> None:
        while True:
            await trio.sleep(INCOMPLETE_EVERY_S)
            for account in sorted(await trio.to_thread.run_sync(self._find_incomplete)):
                self._hole_seen(account)

    def _find_incomplete(self) -> frozenset[Cid]:
        """On a thread: every account is looked at, and there may be very many."""
        with self._store.snapshot() as snapshot:
            return snapshot.incomplete_accounts()

    # -- our own log

    def _own_changed(self, own: Own | None) -> None:
        """This home writes with another key or for another account: sessions begin anew and check that log."""
        log.info("home changed account=%s key=%s", own and own.account, own and own.key)
        self._own = own
        self._checks = OwnChecks()
        self._handed_on.restart(own.key if own is not None else None)
        self._unannounced.clear()
        for session in self._sessions.values():
            session.end()

    def _own_checked(self, session: SyncSession, is_clean: bool) -> None:
        if is_clean and not session.knows_own:
            self._checks.has_nothing(session)
        else:
            self._checks.checked(session, is_clean=is_clean)

    async def _announce(self) -> None:
        while True:
            await self._announcement_due.wait()
            await trio.sleep(GATHER_S)
            if self._checks.is_unclean:
                self._unannounced.clear()
            elif not self._checks.may_announce(trio.current_time()):
                continue
            self._announcement_due = trio.Event()
            records = list(self._unannounced)
            self._unannounced.clear()
            # Announced is not handed on: the mesh tells everybody, and nobody may have kept it. A person reads from
            # that mark what would survive this machine.
            await self._gossip.announce(records)

    # -- interests

    def _read_interests(self) -> bool:
        with self._store.snapshot() as snapshot:
            carried = snapshot.carried()
            own = find_own(snapshot)
        if own != self._own:
            self._own_changed(own)
        self._heads.set_carried(carried, own.account if own is not None else None)
        changed = InterestsChanged(carried, carried)
        is_new = changed != self._interests
        self._interests = changed
        self._chooser.set_wanted(carried - {own.account} if own is not None else carried, trio.current_time())
        return is_new

    async def _keep_interests(self) -> None:
        await self._gossip.listen_for(self._interests.carries)
        while True:
            await self._interests_changed.wait()
            self._interests_changed = trio.Event()
            if self._read_interests():
                for session in self._sessions.values():
                    session.tell(self._interests)
                self._dialer.poke()
                await self._gossip.listen_for(self._interests.carries)

    # -- peers

    def hurry(self) -> None:
        self._chooser.hurry(trio.current_time())
        self._dialer.poke()

    def forget_peer(self, peer_id: str) -> None:
        self._dialer.forget(peer_id)
        if self._nursery is not None:
            self._nursery.start_soon(self._dialer.let_go, peer_id)

    async def ping(self, peer: str) -> float:
        return await ping_peer(self._host, peer)

    def _listen(self) -> tuple[str, ...]:
        """Where we can be dialled, for peers to know; our id they know already."""
        if not self._config.exchange:
            return ()
        # Of too many those through relays stay: without them nobody gets here.
        ordered = sorted(self._host.addresses(), key=lambda address: "/p2p-circuit/" not in address)
        addresses = (address.rpartition("/p2p/")[0] for address in ordered)
        return tuple(address for address in addresses if len(address) <= limits.MAX_ADDRESS_BYTES)[: limits.MAX_LISTEN]

    def _ask_for_peers(self, peer_id: str) -> None:
        session = self._sessions.get(peer_id)
        if session is not None and self._config.exchange:
            session.tell(AskForPeers())

    def _heard_of_peers(self, session: SyncSession, heard: Greeted | PeersAsked | PeersTold) -> None:
        now = trio.current_time()
        match heard:
            case Greeted(listen):
                self._chooser.greeted(session.peer_id, listen if self._config.exchange else (), now)
            case PeersAsked():
                told = self._chooser.tell(session.peer_id, now) if self._config.exchange else ()
                session.tell(TellPeers(told))
            case PeersTold(peers):
                taken = self._chooser.told(session.peer_id, peers, now)
                log.info("told of peers peer=%s told=%d taken=%d", session.peer_id, len(peers), taken)
            case _:
                assert_never(heard)
        self._dialer.poke()

    def _peer_carries(self, session: SyncSession, accounts: frozenset[Cid]) -> None:
        self._chooser.carries(session.peer_id, accounts, trio.current_time())
        self._dialer.poke()

    def _found_in_dht(self, address: str, told_by: str) -> None:
        try:
            self._dialer.add(address, Source.LEARNED, told_by=told_by)
        except MalformedAddress as exc:
            log.debug("address of the DHT not usable %s", exc)

    def _carried_for_others(self) -> frozenset[Cid]:
        return frozenset() if self._own is None else frozenset({self._own.account})

    def _peer_gave(self, session: SyncSession, account: Cid, records: int) -> None:
        self._chooser.gave(session.peer_id, account, records, trio.current_time())

    # -- blobs

    def fetch_blob(self, blob: Cid, account: Cid, done: Callable[[bool], None], max_bytes: int | None) -> None:
        if self._nursery is None:
            done(False)
        else:
            self._nursery.start_soon(self._fetch_blob, blob, account, done, max_bytes)

    async def _fetch_blob(self, blob: Cid, account: Cid, done: Callable[[bool], None], max_bytes: int | None) -> None:
        is_here = False
        try:
            is_here = await self._blobs.fetch(blob, account, max_bytes=max_bytes)
        except Exception:  # ours; no picture is worth the network
            log.exception("a blob was not fetched cid=%s", blob)
        finally:
            done(is_here)

    def _who_may_have(self, account: Cid) -> list[str]:
        """Whom to ask for what an account's records name: first those who say that they carry it."""
        return sorted(self._sessions, key=lambda peer_id: account not in self._sessions[peer_id].peer_carries)

    # -- addresses

    def _known(self) -> list[Known]:
        with self._store.snapshot() as snapshot:
            return [_known(contact) for contact in snapshot.contacts()]

    def _remember(self, known: tuple[Known, ...]) -> None:
        """Called on a thread of its own. What the person chose is in the store already, and theirs to take out."""
        learned = [each for each in known if each.source is Source.LEARNED]
        self._store.put_learned_contacts(
            Contact(each.address, False, is_anchor=each.is_anchor, has_worked=each.has_worked) for each in learned
        )

    def _enter_told(self, address: str, source: Source, told_by: str) -> None:
        self._dialer.add(address, source, told_by=told_by)

    async def _find_contacts(self) -> None:
        """Addresses that another process added or took out while we run."""
        token = trio.lowlevel.current_trio_token()
        unsubscribe = self._store.subscribe(lambda: _soon(token, self._contacts_changed))
        # Empty at first: what was added while the dialler was starting may be in neither its book nor our past.
        seen: set[Known] = set()
        try:
            while True:
                await trio.sleep(CONTACTS_EVERY_S)
                self._may_be_contacts = trio.Event()
                now = set(self._known())
                for known in now - seen:
                    try:
                        self._dialer.add(known.address, known.source, told_by=known.told_by)
                    except MalformedAddress as exc:
                        log.warning("address not usable %s", exc)
                for peer_id in _chosen(seen) - _chosen(now):
                    self.forget_peer(peer_id)
                seen = now
                with trio.move_on_after(CONTACTS_AT_LATEST_S):
                    await self._may_be_contacts.wait()
        finally:
            unsubscribe()

    def _contacts_changed(self) -> None:
        self._may_be_contacts.set()


def _known(contact: Contact) -> Known:
    chosen = Source.CONFIGURED if contact.is_configured else Source.INVITED
    return Known(
        contact.address, chosen if contact.is_chosen else Source.LEARNED, contact.is_anchor, contact.has_worked
    )


def _chosen(contacts: set[Known]) -> set[str]:
    """The peers among contacts that a person chose."""
    return {known.address.rpartition("/p2p/")[2] for known in contacts if known.source is not Source.LEARNED}


def _soon(token: trio.lowlevel.TrioToken, act: Callable[[], None]) -> None:
    try:
        token.run_sync_soon(act, idempotent=True)
    except trio.RunFinishedError:
        log.debug("a commit after the network ended")


def _single(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc
