"""The swarm: which connections there are. Admission, no dialling on its own, no parked tasks.

Stock behaviour that is cured here: a task and a place in the global inbound pool stay taken for ever after
each inbound connection, closed or not, so that after 250 of them a node is deaf; and opening a stream to a
peer that is not connected dials any address that peer ever claimed, private ones included.
"""

import logging
from collections import Counter
from collections.abc import Callable

import trio
from libp2p.abc import IMuxedConn, INetConn, IPeerStore
from libp2p.connection_types import ConnectionType
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from unhush.gossip.net.wire.doorman import MAX_LIVE_INBOUND, Doorman
from unhush.gossip.net.wire.metering import Meter
from unhush.gossip.net.wire.transport import TcpStream, TcpTransport
from unhush.gossip.proto.tally import Met, Tally

log = logging.getLogger(__name__)

# 64 in and 32 out: one mesh of 16 shards needs about a dozen, the rest is room for those who need us.
MAX_CONNECTIONS = 96
MAX_OUTBOUND = MAX_CONNECTIONS - MAX_LIVE_INBOUND

# Connections that give way to others close while those open: libp2p's own bound leaves room for them.
MAX_CLOSING = 16

# Two machines may dial each other at the same moment; one more would be waste.
MAX_CONNECTIONS_PER_PEER = 2

# Peers that came through relays: they hide their addresses, so they are counted by who brought them.
MAX_RELAYED = 16
MAX_RELAYED_PER_RELAY = 8

# A dial that meets another does so within a round trip; a lost first packet is sent again after a second.
MEETING_S = 3.0

# A handshake is three messages: even by satellite it is done in two seconds.
HANDSHAKE_TIMEOUT_S = 5.0

# Opening a stream is one round trip.
NEGOTIATION_TIMEOUT_S = 5.0


class IdleConnector(AutoConnector):
    """The stock one dials whatever the peer store holds, even with all its watermarks at zero."""

    async def maybe_connect(self) -> None:
        return


class GuardedSwarm(Swarm):
    """Connections, admitted one by one."""

    def __init__(
        self,
        peer_id: ID,
        peerstore: IPeerStore,
        upgrader: TransportUpgrader,
        *,
        doorman: Doorman,
        is_banned: Callable[[str], bool],
        tally: Tally,
        meter: Meter,
    ) -> None:
        self._tcp = TcpTransport(meter, tally)
        super().__init__(
            peer_id,
            peerstore,
            upgrader,
            transports=[self._tcp],
            # Our own address book decides when to try again.
            retry_config=RetryConfig(max_retries=0),
            connection_config=_connection_config(),
        )
        self.auto_connector = IdleConnector(self)
        self._doorman = doorman
        self._is_banned = is_banned
        self._tally = tally
        self._relayed: Counter[str] = Counter()

    async def _handle_inbound_connection(self, read_write_closer: ReadWriteCloser, maddr: Multiaddr) -> None:
        remote = read_write_closer.get_remote_address()
        ticket = self._doorman.knock(remote[0]) if remote is not None else None
        if ticket is None:
            # The socket is closed when we return.
            return
        assert isinstance(read_write_closer, TcpStream)
        # Closed under whoever reads it: the handshake fails like any other.
        ticket.when_evicted = read_write_closer.stream.socket.close
        try:
            try:
                muxed = await self.upgrade_inbound_raw_conn(RawConnection(read_write_closer, False), maddr)
            finally:
                if read_write_closer.has_spoken:
                    ticket.came()
            scope = trio.CancelScope()
            ticket.when_evicted = scope.cancel
            if not ticket.admit(str(muxed.peer_id)):
                self._tally.count(Met.CONNECTION_REFUSED)
                await muxed.close()
                return
            # The socket is closed when we return, so stay, but no longer than the connection does.
            with scope:
                await muxed.event_closed.wait()  # type: ignore[attr-defined]  # ours is always a BoundedYamux
            if scope.cancelled_caught:
                log.info("giving way to a newcomer peer=%s", muxed.peer_id)
                await muxed.close()
        finally:
            ticket.leave()

    async def add_conn(self, muxed_conn: IMuxedConn, direction: str = "unknown") -> SwarmConn:
        peer_id = muxed_conn.peer_id
        reason = None
        if peer_id == self.self_id:
            reason = "a connection with ourselves"
        elif self._is_banned(str(peer_id)):
            reason = f"{peer_id} is banned"
        if reason is not None:
            self._tally.count(Met.CONNECTION_REFUSED)
            await muxed_conn.close()
            raise SwarmException(reason)
        return await super().add_conn(muxed_conn, direction)

    async def dial_peer(self, peer_id: ID) -> list[INetConn]:
        """Never: libp2p calls this whenever it would like a stream or was told of a peer by another peer."""
        raise SwarmException(f"not connected to {peer_id}")

    async def say_goodbye(self) -> None:
        """Close all connections at once; one after the other takes a fifth of a second each."""
        async with trio.open_nursery() as nursery:
            for connection in self.get_connections():
                nursery.start_soon(self._close_connection_async, connection)

    async def knock(self, host: str, port: int, peer_id: ID) -> bool:
        """Whether the peer shakes hands there; the socket is closed again. Without a bound in time."""
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as exc:
            log.debug("nobody there host=%s port=%d reason=%s", host, port, exc)
            return False
        raw = RawConnection(TcpStream(stream), True)
        try:
            await self.upgrader.upgrade_security(raw, True, peer_id)
        except Exception as exc:  # noqa: BLE001  # a handshake raises whatever the other side made of it
            log.debug("somebody else there host=%s port=%d reason=%r", host, port, exc)
            return False
        finally:
            await trio.aclose_forcefully(stream)
        return True

    async def meet(self, far: tuple[str, int], source: tuple[str, int], peer_id: ID, *, is_server: bool) -> bool:
        """Dial a peer that dials us at the same moment; whether a connection with it came of that."""
        try:
            with trio.fail_after(MEETING_S):
                stream = await self._tcp.open(*far, source)
            raw = RawConnection(self._tcp.wrap(stream), not is_server)
            if not is_server:
                await self.upgrade_outbound_raw_conn(raw, peer_id)
                return True
            muxed = await self.upgrade_inbound_raw_conn(raw, Multiaddr(f"/ip{6 if ':' in far[0] else 4}/{far[0]}"))
        except (OSError, trio.TooSlowError) as exc:
            log.debug("not met far=%s reason=%r", far, exc)
            return False
        except Exception as exc:  # noqa: BLE001  # a handshake raises whatever the other side made of it
            log.debug("met, and did not agree far=%s reason=%r", far, exc)
            return False
        if muxed.peer_id != peer_id:
            await muxed.close()
            return False
        return True

    def left_from(self, far: tuple[str, int]) -> tuple[str, int] | None:
        """From which of our ports the last connection to there went."""
        return self._tcp.left_from.get(far)

    async def call_through(self, socket: ReadWriteCloser, way: Multiaddr, peer_id: ID) -> IMuxedConn:
        """Make a connection with a peer over a circuit that leads to it."""
        raw = RawConnection(socket, True, ConnectionType.RELAYED, [way])
        return (await self.upgrade_outbound_raw_conn(raw, peer_id)).muxed_conn

    async def answer_through(self, socket: ReadWriteCloser, way: Multiaddr, relay_id: str) -> None:
        """Take in whoever calls over a circuit, and stay until that connection closes."""
        if self._relayed[relay_id] >= MAX_RELAYED_PER_RELAY or self._relayed.total() >= MAX_RELAYED:
            self._tally.count(Met.RELAYED_REFUSED)
            return
        self._relayed[relay_id] += 1
        try:
            muxed = await self.upgrade_inbound_raw_conn(
                RawConnection(socket, False, ConnectionType.RELAYED, [way]), way
            )
            await muxed.event_closed.wait()  # type: ignore[attr-defined]  # as above
        finally:
            self._relayed[relay_id] -= 1
            if not self._relayed[relay_id]:
                del self._relayed[relay_id]

    def weigh(self, worth: Callable[[str], int]) -> None:
        """What peers are to us: those worth nothing give way first when all inbound places are taken."""
        self._doorman.worth = worth

    def outbound_count(self) -> int:
        """Connections we dialled."""
        return len(self.get_connections()) - self._doorman.live_count - self._relayed.total()


def _connection_config() -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=MAX_CONNECTIONS + MAX_CLOSING,
        high_watermark=MAX_CONNECTIONS + MAX_CLOSING,
        min_connections=0,
        low_watermark=0,
        max_connections_per_peer=MAX_CONNECTIONS_PER_PEER,
        inbound_upgrade_timeout=HANDSHAKE_TIMEOUT_S,
        outbound_upgrade_timeout=HANDSHAKE_TIMEOUT_S,
        inbound_stream_protocol_negotiation_timeout=NEGOTIATION_TIMEOUT_S,
        outbound_stream_protocol_negotiation_timeout=NEGOTIATION_TIMEOUT_S,
    )
