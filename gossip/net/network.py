"""The network of a node: one thread with trio, in which host, gossip, dialler and sync sessions live.

The rest of the node knows ``start``, ``stop``, ``status``, ``find`` and
``stop_finding``. What crosses is the store (both sides follow its journal) and
the ingest queue. When the network falls over it starts again; the node goes on
meanwhile.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from unhush.gossip.errors import GossipError, ListenFailed, MalformedAddress, NotConnected, StreamRefused
from unhush.gossip.net.dialer import Dialer
from unhush.gossip.net.follower import JournalFollower, News, find_own
from unhush.gossip.net.handing import HandedOnKeeper
from unhush.gossip.net.hearing import ShardGossip
from unhush.gossip.net.host import ConnectedPeer, Host, HostConfig, open_host
from unhush.gossip.net.intake import Submit
from unhush.gossip.net.seeking import Report, Sought
from unhush.gossip.net.stream import Stream
from unhush.gossip.net.supervisor import supervise
from unhush.gossip.net.sync import Reports, SyncSession
from unhush.gossip.proto.addresses import AddressBook, Known, Source
from unhush.gossip.proto.checks import OwnChecks
from unhush.gossip.proto.config import Own, SessionConfig
from unhush.gossip.proto.events import Event, Find, HoleSeen, InterestsChanged, OwnChecked, Refolded
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

# How often addresses added by other processes are looked for.
CONTACTS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What the network is told when it starts."""

    network: str
    seed: bytes  # of the peer key
    listen: tuple[str, ...]
    agent: str


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The network as it is now."""

    peer_id: str
    listen: tuple[str, ...]
    connected: tuple[ConnectedPeer, ...]
    own_checked: int = 0  # sessions whose peer has given all it holds of our own account


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
        self._live: _Live | None = None
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
        if self._token is not None:
            try:
                self._token.run_sync_soon(self._scope.cancel)
            except trio.RunFinishedError:
                log.debug("the network had ended")
        self._thread.join()

    def status(self) -> NetworkStatus:
        """Callable from any thread."""
        live = self._live
        if live is not None:
            self._status = live.status()
        return self._status

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

    def _soon(self, act: Callable[["_Live"], None]) -> None:
        def now() -> None:
            if self._live is not None:
                act(self._live)

        if self._token is not None:
            try:
                self._token.run_sync_soon(now)
            except trio.RunFinishedError:
                log.debug("the network had ended")

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as exc:  # the thread's last word, handed to whoever waits for the start
            self._failure = _single(exc)
            if self._ready.is_set():
                log.exception("network ended")
        finally:
            self._live = None
            self._ready.set()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            await supervise(self._live_once)

    async def _live_once(self) -> None:
        config = self._config
        host_config = HostConfig(
            seed=config.seed, listen=config.listen, agent=config.agent, topics=ShardGossip.topics(config.network)
        )
        async with open_host(host_config) as host:
            self._live = _Live(host, self._store, self._submit, config=config, sought=self._sought)
            try:
                await self._live.run(self._ready.set)
            finally:
                self._live = None


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
        self._interests = InterestsChanged(frozenset(), frozenset())
        self._own: Own | None = None
        self._checks = OwnChecks()
        self._handed_on = HandedOnKeeper(store)
        self._follower = JournalFollower(store, self._heard_of)
        self._gossip = ShardGossip(host, store, submit, network=config.network, hole_seen=self._hole_seen)
        self._unannounced: deque[Record] = deque(maxlen=MAX_UNANNOUNCED)
        self._announcement_due = trio.Event()
        self._interests_changed = trio.Event()
        book = AddressBook(own_peer_id=host.peer_id, seed=config.seed)
        self._dialer = Dialer(host, book, load=self._known, save=self._remember)
        self._nursery: trio.Nursery | None = None

    async def run(self, when_ready: Callable[[], None]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._host.handle(SYNC, self._serve)
                self._host.on_connected(self._connected)
                self._host.on_disconnected(self._disconnected)
                self._read_interests()
                nursery.start_soon(self._follower.run)
                nursery.start_soon(self._announce)
                nursery.start_soon(self._handed_on.run)
                nursery.start_soon(self._keep_interests)
                nursery.start_soon(self._look_for_holes)
                nursery.start_soon(self._dialer.run)
                nursery.start_soon(self._find_contacts)
                when_ready()
                await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self._handed_on.save()

    def status(self) -> NetworkStatus:
        checked = self._checks.count_answered()
        return NetworkStatus(self._host.peer_id, self._host.addresses(), self._host.connected(), checked)

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
        await self._sync(stream)

    async def _sync(self, stream: Stream) -> None:
        config = SessionConfig(self._config.network, self._config.agent, own=self._own)
        reports = Reports(self._own_checked, self._handed_on.note, self._sought.found)
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
        events: list[Event] = [*news.grown, *news.forked, *map(Refolded, sorted(news.refolded))]
        for event in events:
            self.tell_all(event)
        for account in news.holes:
            self._hole_seen(account)
        if news.written_here:
            self._unannounced.extend(news.written_here)
            self._announcement_due.set()
        if news.may_change_interests:
            self._interests_changed.set()

    def _hole_seen(self, account: Cid) -> None:
        self.tell_all(HoleSeen(account))

    async def _look_for_holes(self) -> None:
        while True:
            await trio.sleep(INCOMPLETE_EVERY_S)
            with self._store.snapshot() as snapshot:
                incomplete = snapshot.incomplete_accounts()
            for account in sorted(incomplete):
                self._hole_seen(account)

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
        changed = InterestsChanged(carried, carried)
        is_new = changed != self._interests
        self._interests = changed
        return is_new

    async def _keep_interests(self) -> None:
        await self._gossip.listen_for(self._interests.carries)
        while True:
            await self._interests_changed.wait()
            self._interests_changed = trio.Event()
            if self._read_interests():
                for session in self._sessions.values():
                    session.tell(self._interests)
                await self._gossip.listen_for(self._interests.carries)

    # -- addresses

    def _known(self) -> list[Known]:
        with self._store.snapshot() as snapshot:
            return [_known(contact) for contact in snapshot.contacts()]

    def _remember(self, known: tuple[Known, ...]) -> None:
        held = set(self._known())
        for each in known:
            if each not in held:
                self._store.put_contact(Contact(each.address, is_configured=each.source is Source.CONFIGURED))

    async def _find_contacts(self) -> None:
        """Addresses that another process added while we run."""
        # Empty at first: what was added while the dialler was starting may be in neither its book nor our past.
        seen: set[Known] = set()
        while True:
            await trio.sleep(CONTACTS_EVERY_S)
            for known in set(self._known()) - seen:
                seen.add(known)
                try:
                    self._dialer.add(known.address, known.source)
                except MalformedAddress as exc:
                    log.warning("address not usable %s", exc)


def _known(contact: Contact) -> Known:
    return Known(contact.address, Source.CONFIGURED if contact.is_configured else Source.LEARNED)


def _single(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc
