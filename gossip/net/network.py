"""The network of a node: one thread with trio, in which host, gossip, dialler and sync sessions live.

The rest of the node knows ``start``, ``stop`` and ``status``. What crosses is
the store (both sides follow its journal) and the ingest queue. When the
network falls over it starts again; the node goes on meanwhile.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import trio

from unhush.gossip.errors import GossipError, ListenFailed, MalformedAddress, NotConnected, StreamRefused
from unhush.gossip.net.dialer import Dialer
from unhush.gossip.net.follower import JournalFollower, News
from unhush.gossip.net.hearing import ShardGossip
from unhush.gossip.net.host import ConnectedPeer, Host, HostConfig, open_host
from unhush.gossip.net.intake import Submit
from unhush.gossip.net.stream import Stream
from unhush.gossip.net.supervisor import supervise
from unhush.gossip.net.sync import SyncSession
from unhush.gossip.proto.addresses import AddressBook, Known, Source
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import HoleSeen, InterestsChanged
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
    device: PublicKey  # records of this key are announced


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The network as it is now."""

    peer_id: str
    listen: tuple[str, ...]
    connected: tuple[ConnectedPeer, ...]


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
        self._status = NetworkStatus("", (), ())
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
            self._live = _Live(host, self._store, self._submit, config)
            try:
                await self._live.run(self._ready.set)
            finally:
                self._live = None


class _Live:
    """Everything that stands upon one running host."""

    def __init__(self, host: Host, store: Store, submit: Submit, config: NetworkConfig) -> None:
        self._host = host
        self._store = store
        self._submit = submit
        self._config = config
        self._sessions: dict[str, SyncSession] = {}
        self._openers: dict[str, trio.CancelScope] = {}
        self._interests = InterestsChanged(frozenset(), frozenset())
        self._follower = JournalFollower(store, config.device, self._heard_of)
        self._gossip = ShardGossip(host, store, submit, network=config.network, hole_seen=self._hole_seen)
        self._to_announce, self._announcements = trio.open_memory_channel[tuple[Record, ...]](64)
        self._interests_changed = trio.Event()
        book = AddressBook(own_peer_id=host.peer_id, seed=config.seed)
        self._dialer = Dialer(host, book, load=self._known, save=self._remember)
        self._nursery: trio.Nursery | None = None

    async def run(self, when_ready: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._host.handle(SYNC, self._serve)
            self._host.on_connected(self._connected)
            self._host.on_disconnected(self._disconnected)
            self._read_interests()
            nursery.start_soon(self._follower.run)
            nursery.start_soon(self._announce)
            nursery.start_soon(self._keep_interests)
            nursery.start_soon(self._dialer.run)
            nursery.start_soon(self._find_contacts)
            when_ready()
            await trio.sleep_forever()

    def status(self) -> NetworkStatus:
        return NetworkStatus(self._host.peer_id, self._host.addresses(), self._host.connected())

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
        session = SyncSession(
            stream, self._store, self._submit, SessionConfig(self._config.network, self._config.agent)
        )
        before = self._sessions.get(session.peer_id)
        if before is not None:
            before.end()  # of a connection that is gone, or of a peer that opened twice
        self._sessions[session.peer_id] = session
        fault = None
        try:
            fault = await session.run(self._interests)
        except* Exception:
            # A peer's faults are returned, so what is raised is ours (a damaged row, a bug): it is not held against
            # the peer, and costs this session alone.
            log.exception("sync session failed peer=%s", session.peer_id)
            await stream.reset()
        finally:
            if self._sessions.get(session.peer_id) is session:
                del self._sessions[session.peer_id]
        if fault is not None:
            self._host.report_fault(session.peer_id, fault)

    # -- news

    def _heard_of(self, news: News) -> None:
        for session in self._sessions.values():
            for grew in news.grown:
                session.tell(grew)
        for account in news.holes:
            self._hole_seen(account)
        if news.written_here:
            try:
                self._to_announce.send_nowait(news.written_here)
            except trio.WouldBlock:
                log.debug("not announced: the mesh is slower than we write; sync brings it")
        if news.may_change_interests:
            self._interests_changed.set()

    def _hole_seen(self, account: Cid) -> None:
        for session in self._sessions.values():
            session.tell(HoleSeen(account))

    async def _announce(self) -> None:
        async for records in self._announcements:
            await trio.sleep(GATHER_S)
            gathered = list(records)
            while True:
                try:
                    gathered.extend(self._announcements.receive_nowait())
                except trio.WouldBlock:
                    break
            await self._gossip.announce(gathered)

    # -- interests

    def _read_interests(self) -> bool:
        with self._store.snapshot() as snapshot:
            carried = snapshot.carried()
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
