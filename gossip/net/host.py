"""The hardened libp2p host: dial, serve, gossip; nothing a peer does may end it.

``open_host`` puts the pieces together. Everything a peer can make happen passes one of three gates: the
doorman (sockets), the guard in ``negotiation.py`` (streams), the guard in ``gossipsub.py`` (messages).
What they report as a fault ends here, in :meth:`Host.report_fault`.
"""

import errno
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio
from libp2p.abc import IMuxedConn, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.transport.upgrader import TransportUpgrader
from libp2p.utils.address_validation import expand_wildcard_address
from multiaddr import Multiaddr

from unhush.gossip.errors import DialFailed, ListenFailed, NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net import quirks
from unhush.gossip.net.faults import FaultLedger
from unhush.gossip.net.pubsub.gossipsub import Deliver, GuardedGossipSub, GuardedPubsub, Topic, Validate, Verdict
from unhush.gossip.net.pubsub.rpc import MAX_MESSAGE_BYTES
from unhush.gossip.net.wire.circuit import HOP, CircuitSocket, call
from unhush.gossip.net.wire.doorman import Doorman
from unhush.gossip.net.wire.metering import Meter
from unhush.gossip.net.wire.muxer import BoundedMuxer, UnreadLedger
from unhush.gossip.net.wire.negotiation import SETTLED_S, GuardedHost
from unhush.gossip.net.wire.roster import ConnectedPeer, Roster, tell
from unhush.gossip.net.wire.services import running
from unhush.gossip.net.wire.stream import Stream, remote_address
from unhush.gossip.net.wire.swarm import HANDSHAKE_TIMEOUT_S, MAX_OUTBOUND, NEGOTIATION_TIMEOUT_S, GuardedSwarm
from unhush.gossip.proto.tally import Met, Tally

__all__ = ["ConnectedPeer", "Host", "HostConfig", "Stream", "Verdict", "open_host"]

log = logging.getLogger(__name__)

# Name lookup, TCP and handshake together.
DIAL_TIMEOUT_S = 10.0

# Messages of our own wait so long for the slowest neighbour's queue before they are given to whoever has room.
PUBLISH_PATIENCE_S = 2.0
PUBLISH_PAUSE_S = 0.02

# Saying goodbye to peers, all at once, before the sockets are simply closed.
FAREWELL_S = 1.0

DIALABLE = ("ip4", "ip6", "dns", "dns4", "dns6")
WAYS = (["tcp", "p2p"], ["tcp", "p2p", "p2p-circuit", "p2p"])

# After a connection over a circuit closed, the other side may take this long to close its own; then the stream
# is given up.
CIRCUIT_LINGER_S = 5.0


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What a host is."""

    seed: bytes
    """32-byte Ed25519 seed of the peer key, which is not an account's key."""
    listen: tuple[str, ...]
    agent: str
    """What we call ourselves to other programs."""
    exempt_loopback: bool = False
    """Loopback and LAN addresses are not counted by the limits per address."""
    topics: frozenset[str] = frozenset()
    """Topics that will be joined. A peer's announcement of a topic neither named here nor joined yet is
    forgotten, and peers announce a topic once."""

    def __post_init__(self) -> None:
        if len(self.seed) != 32:
            raise ValueError(f"a peer key's seed has 32 bytes, got {len(self.seed)}")


@dataclass(frozen=True, slots=True)
class Lasting:
    """What outlives one run of a host, so that nobody is forgiven by making it fall over."""

    faults: FaultLedger = field(default_factory=FaultLedger)
    tally: Tally = field(default_factory=Tally)
    meter: Meter = field(default_factory=Meter)


class Host:
    """A running host. Made by :func:`open_host` only."""

    def __init__(self, config: HostConfig, lasting: "Lasting | None" = None) -> None:
        quirks.apply(config.agent)
        lasting = lasting if lasting is not None else Lasting()
        keys = create_new_key_pair(config.seed)
        own_id = ID.from_pubkey(keys.public_key)
        self.peer_id = str(own_id)
        self.exempt_loopback = config.exempt_loopback
        self.tally = lasting.tally
        self.meter = lasting.meter
        self._faults = lasting.faults
        self._unread = UnreadLedger(self.tally)
        self._dialling: dict[str, trio.Event] = {}
        self._roster = Roster()
        self._nursery: trio.Nursery | None = None
        self.relays: tuple[str, ...] = ()
        """Addresses of relays that keep a place for us; set by ``relaying.py``."""
        self.outside: tuple[str, ...] = ()
        """Addresses of a router that lead to us; set by ``reaching.py``."""

        upgrader = TransportUpgrader(
            {NOISE: NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)},
            {},
            negotiate_timeout=int(HANDSHAKE_TIMEOUT_S),
        )
        upgrader.muxer_multistream = BoundedMuxer(
            ledger=self._unread, report_fault=self.report_fault, negotiate_timeout=int(HANDSHAKE_TIMEOUT_S)
        )
        peerstore = PeerStore()
        peerstore.add_key_pair(own_id, keys)
        self._swarm = GuardedSwarm(
            own_id,
            peerstore,
            upgrader,
            doorman=Doorman(exempt_loopback=config.exempt_loopback, tally=self.tally),
            is_banned=self.is_banned,
            tally=self.tally,
            meter=self.meter,
        )
        self._libp2p = GuardedHost(self._swarm, report_fault=self.report_fault, tally=self.tally)
        self._router = GuardedGossipSub(self.tally)
        self._pubsub = GuardedPubsub(self._libp2p, self._router, topics=config.topics, tally=self.tally)
        self._swarm.register_notifee(self._roster)

    # Connections

    def addresses(self) -> tuple[str, ...]:
        """Full addresses under which we listen, those of a router before us, and last those through relays."""
        through = tuple(f"{relay}/p2p-circuit/p2p/{self.peer_id}" for relay in self.relays)
        return (*self.direct_addresses(), *self.outside, *through)

    def direct_addresses(self) -> tuple[str, ...]:
        """Full addresses under which we listen ourselves, wildcards spelled out."""
        return tuple(
            f"{concrete}/p2p/{self.peer_id}"
            for listener in self._swarm.listeners.values()
            for address in listener.get_addrs()
            for concrete in _concrete(address)
        )

    def bound_at(self) -> tuple[str, ...]:
        """What to listen on to have the same addresses again: as told, with the ports that were free then."""
        return tuple(str(address) for listener in self._swarm.listeners.values() for address in listener.get_addrs())

    async def dial(self, address: str) -> str:
        """Connect to the peer an address names, unless we are; returns its peer id.

        Raises :class:`DialFailed`.
        """
        multiaddr, peer = _parse(address)
        peer_id = str(peer)
        if peer_id == self.peer_id:
            raise DialFailed(address, "that is ourselves")
        if self.is_banned(peer_id):
            raise DialFailed(address, "banned for misbehaving")
        while peer_id in self._dialling:
            await self._dialling[peer_id].wait()
        if peer_id in self._roster:
            return peer_id
        if self._swarm.outbound_count() + len(self._dialling) >= MAX_OUTBOUND:
            raise DialFailed(address, f"{MAX_OUTBOUND} outbound connections are enough")
        done = self._dialling[peer_id] = trio.Event()
        try:
            with trio.fail_after(DIAL_TIMEOUT_S):
                await self._connect(address, multiaddr, peer)
        except trio.TooSlowError as exc:
            raise DialFailed(address, f"no answer within {DIAL_TIMEOUT_S:.0f} s") from exc
        except Exception as exc:
            # libp2p raises whatever broke underneath: name lookup, sockets, handshakes.
            raise DialFailed(address, _innermost(exc)) from exc
        finally:
            done.set()
            del self._dialling[peer_id]
        return peer_id

    async def _connect(self, address: str, multiaddr: Multiaddr, peer: ID) -> None:
        relay, circuit, _ = address.partition("/p2p-circuit/")
        if not circuit:
            await self._swarm.dial_addr(multiaddr, peer)
            return
        relay_id = await self.dial(relay)
        stream = await self.open_stream(relay_id, HOP)
        try:
            socket = await call(stream, peer)
            muxed = await self._swarm.call_through(socket, Multiaddr(f"/p2p/{relay_id}/p2p-circuit"), peer)
        except BaseException:
            with trio.CancelScope(shield=True):
                await stream.reset()
            raise
        assert self._nursery is not None, "dialling outlived the host"
        self._nursery.start_soon(_let_go, stream, muxed)

    async def answer(self, socket: CircuitSocket) -> None:
        """Shake hands with whoever calls over a circuit, and stay until that connection ends.

        Raises whatever libp2p does for a caller who cannot.
        """
        relay_id = socket.stream.peer_id
        await self._swarm.answer_through(socket, Multiaddr(f"/p2p/{relay_id}/p2p-circuit"), relay_id)

    def free_places(self) -> int:
        """How many more connections we may dial."""
        return MAX_OUTBOUND - self._swarm.outbound_count() - len(self._dialling)

    def connected(self) -> tuple[ConnectedPeer, ...]:
        """Every peer with an open connection, longest first."""
        return self._roster.peers()

    def find_peer(self, peer_id: str) -> ConnectedPeer | None:
        """A peer, if it is connected."""
        return self._roster.find(peer_id)

    def weigh(self, worth: Callable[[str], int]) -> None:
        """Say what a connected peer is to us, by its id: 0 is nothing, more is better.

        When all inbound places are taken, who is worth least gives way to newcomers (``wire/doorman.py``).
        """
        self._swarm.weigh(worth)

    async def is_reached_at(self, host: str, port: int, peer_id: str) -> bool:
        """Whether a peer shakes hands at this address; no connection comes of it."""
        return await self._swarm.knock(host, port, ID.from_string(peer_id))

    async def meet(self, address: str, source: tuple[str, int], peer_id: str, *, is_server: bool) -> bool:
        """Dial an address from a port of ours while the peer there dials us; whether a connection came of it."""
        match address.split("/"):
            case ["", "ip4" | "ip6", host, "tcp", port, *_]:
                peer = ID.from_string(peer_id)
                return await self._swarm.meet((host, int(port)), source, peer, is_server=is_server)
        return False

    def left_from(self, peer: ConnectedPeer) -> tuple[str, int] | None:
        """From which of our addresses we dialled a connected peer."""
        match peer.address.split("/"):
            case ["", "ip4" | "ip6", host, "tcp", port] if not peer.inbound:
                return self._swarm.left_from((host, int(port)))
        return None

    async def leave_relay(self, peer_id: str) -> None:
        """Close the connections with a peer that lead through a relay."""
        for connection in self._swarm.get_connections(ID.from_string(peer_id)):
            if "/p2p-circuit" in remote_address(connection.muxed_conn):
                await connection.close()

    async def disconnect(self, peer_id: str) -> None:
        """Close every connection with a peer. Does nothing if there is none."""
        for connection in self._swarm.get_connections(ID.from_string(peer_id)):
            await connection.close()

    def on_connected(self, callback: Callable[[ConnectedPeer], None]) -> None:
        """Call back when a peer's first connection opens."""
        self._roster.when_connected.append(callback)

    def on_settled(self, callback: Callable[[ConnectedPeer], None]) -> None:
        """As :meth:`on_connected`, but when the peer has been here for a moment: for whatever can wait until its
        session has begun."""
        self._roster.when_connected.append(lambda peer: self._settle(peer, callback))

    def _settle(self, peer: ConnectedPeer, callback: Callable[[ConnectedPeer], None]) -> None:
        async def wait() -> None:
            await trio.sleep(SETTLED_S)
            if (settled := self.find_peer(peer.peer_id)) is not None:
                tell([callback], settled)

        if self._nursery is not None:
            self._nursery.start_soon(wait)

    def on_disconnected(self, callback: Callable[[ConnectedPeer], None]) -> None:
        """Call back when a peer's last connection closed."""
        self._roster.when_disconnected.append(callback)

    # Streams

    def handle(self, protocol: str, handler: Callable[[Stream], Awaitable[None]]) -> None:
        """Serve a protocol. When the handler returns the stream is closed; what it raises resets it, and
        counts against the peer unless the peer only went away."""

        async def guarded(net_stream: INetStream) -> None:
            await handler(Stream(net_stream))

        self._libp2p.set_stream_handler(TProtocol(protocol), guarded)

    async def open_stream(self, peer_id: str, protocol: str) -> Stream:
        """Open a stream to a connected peer.

        Raises :class:`NotConnected` or :class:`StreamRefused`.
        """
        if peer_id not in self._roster:
            raise NotConnected(peer_id)
        try:
            with trio.fail_after(NEGOTIATION_TIMEOUT_S):
                return Stream(await self._libp2p.new_stream(ID.from_string(peer_id), [TProtocol(protocol)]))
        except Exception as exc:
            # As in :meth:`dial`: anything may come out of libp2p here.
            raise StreamRefused(peer_id, protocol, _innermost(exc)) from exc

    # Gossip

    async def join(self, topic: str, validate: Validate, deliver: Deliver) -> None:
        """Take part in a topic. ``validate`` judges each new message of another peer (bytes, who handed it to
        us); what it accepts goes to ``deliver`` at once and on to others. Both are called on the network's
        loop and must not block."""
        await self._pubsub.join(topic, Topic(validate, deliver))

    async def publish(self, topic: str, data: bytes) -> None:
        """Send a message of our own to a topic's members; it is neither judged nor delivered here."""
        if len(data) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a gossip message has at most {MAX_MESSAGE_BYTES} bytes, got {len(data)}")
        with trio.move_on_after(PUBLISH_PATIENCE_S):
            # The queues belong to libp2p and set no event.
            while self._router.is_crowded(topic):  # noqa: ASYNC110
                await trio.sleep(PUBLISH_PAUSE_S)
        await self._pubsub.publish(topic, data)

    def mesh_peers(self) -> int:
        """Neighbours with whom we share the mesh of a topic or more; callable from any thread."""
        return len({peer for peers in list(self._router.mesh.values()) for peer in list(peers)})

    def unread_bytes(self) -> int:
        """What has arrived and was not read yet, over all connections."""
        return self._unread.total()

    def topic_peers(self, topic: str) -> tuple[str, ...]:
        """Connected peers known to take part in a topic, and to whom messages can go by now."""
        writable = self._pubsub.peers
        return tuple(str(peer) for peer in self._pubsub.peer_topics.get(topic, ()) if peer in writable)

    # Faults

    def report_fault(self, peer_id: str, why: str) -> None:
        """Note that a peer broke the rules; the third time within ten minutes shuts it out for an hour."""
        log.info("peer at fault peer=%s why=%s", peer_id, why)
        self.tally.count(Met.PEER_FAULT)
        if not self._faults.record(peer_id, trio.current_time()):
            return
        log.warning("peer shut out for an hour peer=%s", peer_id)
        self.tally.count(Met.PEER_BANNED)
        if self._nursery is not None:
            self._nursery.start_soon(self._drop, peer_id)

    def is_banned(self, peer_id: str) -> bool:
        """Whether we refuse connections with this peer."""
        return self._faults.is_banned(peer_id, trio.current_time())

    async def _drop(self, peer_id: str) -> None:
        try:
            await self.disconnect(peer_id)
        except Exception as exc:  # noqa: BLE001  # libp2p's close raises whatever the socket did
            log.debug("closing failed peer=%s reason=%r", peer_id, exc)


@asynccontextmanager
async def open_host(config: HostConfig, lasting: Lasting | None = None) -> AsyncIterator[Host]:
    """Run a host while the block lasts. Give it what outlives it, or it begins with a clean sheet.

    Raises :class:`ListenFailed`. An exception that climbs through every guard cancels the block and comes
    out of it; ``supervisor.py`` knows what to do then.
    """
    host = Host(config, lasting)
    is_listening = True
    async with (
        running(host._swarm),
        running(host._router),
        running(host._pubsub),
        trio.open_nursery() as nursery,
    ):
        host._nursery = nursery
        await host._pubsub.wait_until_ready()
        # libp2p calls it a success if one of them works; a person who named two wants two.
        is_listening = not config.listen or (
            await host._swarm.listen(*map(Multiaddr, config.listen))
            and len(host._swarm.listeners) == len(config.listen)
        )
        try:
            if is_listening:
                yield host
        finally:
            host._nursery = None
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True), trio.move_on_after(FAREWELL_S):
                await host._swarm.say_goodbye()
    if not is_listening:
        # Out here, where no nursery wraps it.
        raise ListenFailed(f"cannot listen on {', '.join(config.listen)}{_why_not(config.listen)}")


def _why_not(addresses: tuple[str, ...]) -> str:
    """What the system says of listening there; libp2p keeps it to itself."""
    for address in addresses:
        match address.split("/"):
            case ["", "ip4" | "ip6" as kind, host, "tcp", port]:
                family = socket.AF_INET if kind == "ip4" else socket.AF_INET6
                try:
                    with socket.create_server((host, int(port)), family=family, backlog=1):
                        pass
                except OSError as exc:
                    return f": {_REASONS.get(exc.errno or 0, exc.strerror or str(exc))}"
    return ""


_REASONS: Final = {
    errno.EADDRINUSE: "another program has that port; choose another port, or end that program",
    errno.EACCES: "this user may not listen on that port; ports from 1024 on are free to use",
    errno.EADDRNOTAVAIL: "this machine does not have that address; 0.0.0.0 stands for all it has",
}


def _parse(address: str) -> tuple[Multiaddr, ID]:
    try:
        multiaddr = Multiaddr(address)
        names = [protocol.name for protocol in multiaddr.protocols()]
        # The last one: before it may stand that of a relay.
        peer_id = ID.from_string(address.rpartition("/p2p/")[2])
    except Exception as exc:
        # The parser raises a dozen kinds, some of them only ValueError or KeyError.
        raise DialFailed(address, "malformed address") from exc
    if not names or names[0] not in DIALABLE or names[1:] not in WAYS:
        raise DialFailed(address, "only /ip4|ip6|dns/…/tcp/…/p2p/… can be dialled, also through a relay")
    return multiaddr, peer_id


async def _let_go(stream: Stream, muxed: IMuxedConn) -> None:
    """Give up the stream under a connection over a circuit once that has closed."""
    await muxed.event_closed.wait()  # type: ignore[attr-defined]  # ours is always a BoundedYamux
    try:
        with trio.move_on_after(CIRCUIT_LINGER_S):
            while await stream.read():
                pass
    except StreamBroken:
        return
    await stream.reset()


def _concrete(address: Multiaddr) -> list[Multiaddr]:
    host = address.value_for_protocol(next(iter(address.protocols())).name)
    return expand_wildcard_address(address) if host in ("0.0.0.0", "::") else [address]  # noqa: S104  # compared, not bound


def _innermost(exc: BaseException) -> str:
    while exc.__cause__ is not None:
        exc = exc.__cause__
    if isinstance(exc, OSError) and exc.errno in _WHY_NOT_THERE:
        return _WHY_NOT_THERE[exc.errno]
    return str(exc) or type(exc).__name__


_WHY_NOT_THERE: Final = {
    errno.ECONNREFUSED: "the connection was refused: that machine is there, and nothing listens on that port",
    errno.EHOSTUNREACH: "there is no way to that machine from here",
    errno.ENETUNREACH: "there is no way to that network from here",
    errno.ETIMEDOUT: "no answer in time",
}
