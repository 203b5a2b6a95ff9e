"""The hardened libp2p host: dial, serve, gossip; nothing a peer does may end it.

``open_host`` puts the pieces together. Everything a peer can make happen passes one of three gates: the
doorman (sockets), the guard in ``negotiation.py`` (streams), the guard in ``gossipsub.py`` (messages).
What they report as a fault ends here, in :meth:`Host.report_fault`.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from libp2p.abc import INetStream
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

from unhush.gossip.errors import DialFailed, ListenFailed, NotConnected, StreamRefused
from unhush.gossip.net import quirks
from unhush.gossip.net.doorman import Doorman
from unhush.gossip.net.faults import FaultLedger
from unhush.gossip.net.gossipsub import Deliver, GuardedGossipSub, GuardedPubsub, Topic, Validate, Verdict
from unhush.gossip.net.muxer import BoundedMuxer
from unhush.gossip.net.negotiation import GuardedHost
from unhush.gossip.net.roster import ConnectedPeer, Roster
from unhush.gossip.net.rpc import MAX_MESSAGE_BYTES
from unhush.gossip.net.services import running
from unhush.gossip.net.stream import Stream
from unhush.gossip.net.swarm import HANDSHAKE_TIMEOUT_S, MAX_OUTBOUND, NEGOTIATION_TIMEOUT_S, GuardedSwarm

__all__ = ["ConnectedPeer", "Host", "HostConfig", "Stream", "Verdict", "open_host"]

log = logging.getLogger(__name__)

# Name lookup, TCP and handshake together.
DIAL_TIMEOUT_S = 10.0

# Saying goodbye to peers, all at once, before the sockets are simply closed.
FAREWELL_S = 1.0

DIALABLE = ("ip4", "ip6", "dns", "dns4", "dns6")


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


class Host:
    """A running host. Made by :func:`open_host` only."""

    def __init__(self, config: HostConfig) -> None:
        quirks.apply(config.agent)
        keys = create_new_key_pair(config.seed)
        own_id = ID.from_pubkey(keys.public_key)
        self.peer_id = str(own_id)
        self._faults = FaultLedger()
        self._dialling: dict[str, trio.Event] = {}
        self._roster = Roster()
        self._nursery: trio.Nursery | None = None

        upgrader = TransportUpgrader(
            {NOISE: NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)},
            {},
            negotiate_timeout=int(HANDSHAKE_TIMEOUT_S),
        )
        upgrader.muxer_multistream = BoundedMuxer(
            report_fault=self.report_fault, negotiate_timeout=int(HANDSHAKE_TIMEOUT_S)
        )
        peerstore = PeerStore()
        peerstore.add_key_pair(own_id, keys)
        self._swarm = GuardedSwarm(
            own_id,
            peerstore,
            upgrader,
            doorman=Doorman(exempt_loopback=config.exempt_loopback),
            is_banned=self.is_banned,
        )
        self._libp2p = GuardedHost(self._swarm, report_fault=self.report_fault)
        self._router = GuardedGossipSub()
        self._pubsub = GuardedPubsub(self._libp2p, self._router, topics=config.topics, report_fault=self.report_fault)
        self._swarm.register_notifee(self._roster)

    # Connections

    def addresses(self) -> tuple[str, ...]:
        """Full addresses under which we listen, wildcards spelled out."""
        return tuple(
            f"{concrete}/p2p/{self.peer_id}"
            for listener in self._swarm.listeners.values()
            for address in listener.get_addrs()
            for concrete in _concrete(address)
        )

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
                await self._swarm.dial_addr(multiaddr, peer)
        except trio.TooSlowError as exc:
            raise DialFailed(address, f"no answer within {DIAL_TIMEOUT_S:.0f} s") from exc
        except Exception as exc:
            # libp2p raises whatever broke underneath: name lookup, sockets, handshakes.
            raise DialFailed(address, _innermost(exc)) from exc
        finally:
            done.set()
            del self._dialling[peer_id]
        return peer_id

    def connected(self) -> tuple[ConnectedPeer, ...]:
        """Every peer with an open connection, longest first."""
        return self._roster.peers()

    async def disconnect(self, peer_id: str) -> None:
        """Close every connection with a peer. Does nothing if there is none."""
        for connection in self._swarm.get_connections(ID.from_string(peer_id)):
            await connection.close()

    def on_connected(self, callback: Callable[[ConnectedPeer], None]) -> None:
        """Call back when a peer's first connection opens."""
        self._roster.when_connected.append(callback)

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
        await self._pubsub.publish(topic, data)

    def topic_peers(self, topic: str) -> tuple[str, ...]:
        """Connected peers known to take part in a topic."""
        return tuple(str(peer) for peer in self._pubsub.peer_topics.get(topic, ()))

    # Faults

    def report_fault(self, peer_id: str, why: str) -> None:
        """Note that a peer broke the rules; the third time within ten minutes shuts it out for an hour."""
        log.info("peer at fault peer=%s why=%s", peer_id, why)
        if not self._faults.record(peer_id, trio.current_time()):
            return
        log.warning("peer shut out for an hour peer=%s", peer_id)
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
async def open_host(config: HostConfig) -> AsyncIterator[Host]:
    """Run a host while the block lasts.

    Raises :class:`ListenFailed`. An exception that climbs through every guard cancels the block and comes
    out of it; ``supervisor.py`` knows what to do then.
    """
    host = Host(config)
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
        raise ListenFailed(f"cannot listen on {', '.join(config.listen)}")


def _parse(address: str) -> tuple[Multiaddr, ID]:
    try:
        multiaddr = Multiaddr(address)
        names = [protocol.name for protocol in multiaddr.protocols()]
        peer_id = ID.from_string(multiaddr.value_for_protocol("p2p"))
    except Exception as exc:
        # The parser raises a dozen kinds, some of them only ValueError or KeyError.
        raise DialFailed(address, "malformed address") from exc
    if len(names) != 3 or names[0] not in DIALABLE or names[1:] != ["tcp", "p2p"]:
        raise DialFailed(address, "only /ip4|ip6|dns/…/tcp/…/p2p/… can be dialled")
    return multiaddr, peer_id


def _concrete(address: Multiaddr) -> list[Multiaddr]:
    host = address.value_for_protocol(next(iter(address.protocols())).name)
    return expand_wildcard_address(address) if host in ("0.0.0.0", "::") else [address]  # noqa: S104  # compared, not bound


def _innermost(exc: BaseException) -> str:
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return str(exc) or type(exc).__name__
