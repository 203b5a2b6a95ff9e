"""TCP sockets: ours, because the stock listener shares its port and lives where no one can catch it.

The stock listener sets SO_REUSEPORT (two nodes on one port would each get half the connections) and runs
as a trio system task, from which any exception is a ``TrioInternalError`` and the end of the process. Ours
runs in the swarm's own nursery.
"""

import logging
import socket
from typing import Any

import trio
from libp2p.abc import IListener, IRawConnection
from libp2p.custom_types import THandler
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr
from multiaddr.exceptions import ProtocolLookupError

from unhush.gossip.net.wire.light import STEPS, ReadyLock
from unhush.gossip.net.wire.metering import Meter
from unhush.gossip.net.wire.patience import Patience
from unhush.gossip.proto.tally import Met, Tally

log = logging.getLogger(__name__)

# A peer that neither acknowledges nor reads is cut by the kernel after this. Yamux pings every 30 s without
# minding the answer, so without it a machine that lost power stays "connected" for a quarter of an hour.
UNACKNOWLEDGED_MS = 20_000

# Far ends of which we remember from which port we went there; twice the connections there may be.
MAX_LEFT_FROM = 192

# Connections the kernel completes before we accept them.
BACKLOG = 128

# Each encrypted packet begins with its length in two bytes: a read of two is a wait for the next one to begin, unless
# it is for the rest of what the read before it did not get.
LENGTH_BYTES = 2
# What is taken from a socket at a time, whatever a reader asks for: it may ask for as much as it was promised, and
# Python makes room for all of it before a byte is there. So much a connection may hold before anybody looks at it.
MAX_RECEIVE_BYTES = 65_536


class TcpStream(TrioTCPStream):
    """A socket that counts what flows, is cut when a packet on it does not come to its end, and knows its remote
    address under IPv6 too (the stock one gives up on 4-tuples)."""

    def __init__(self, stream: trio.SocketStream, meter: Meter | None = None, tally: Tally | None = None) -> None:
        super().__init__(stream)
        # ``Any``: they are declared as trio's.
        self.read_lock: Any = ReadyLock()
        self.write_lock: Any = ReadyLock()
        self._ahead = b""  # received before it was asked for, used up to ``_ahead_at``
        self._ahead_at = 0
        self._steps = 0
        self._meter = meter if meter is not None else Meter()
        self._tally = tally if tally is not None else Tally()
        self._patience = Patience()
        self._packet_bytes = 0
        self._lacking = 0  # bytes that the last read did not get
        self.has_spoken = False
        """Whether anything came."""
        try:
            host, port = stream.socket.getpeername()[:2]
            self._cached_remote_address = (str(host), int(port))
        except OSError:
            # Gone before we looked; the first read will say so.
            self._cached_remote_address = None
        _tune(stream)

    async def read(self, n: int | None = None) -> bytes:
        if n == LENGTH_BYTES and not self._lacking:
            self._packet_bytes = 0
            self._patience.renew()
        if not self._ahead:
            self._ahead = await self._receive()
        else:
            self._steps += 1
            if self._steps % STEPS == 0:
                await trio.lowlevel.checkpoint()  # before anything is taken: who is cancelled here loses nothing
        data = self._ahead[self._ahead_at : self._ahead_at + (MAX_RECEIVE_BYTES if n is None else n)]
        self._ahead_at += len(data)
        if self._ahead_at == len(self._ahead):
            self._ahead, self._ahead_at = b"", 0  # a connection that rests holds nothing
        self._packet_bytes += len(data)
        self._lacking = max(0, n - len(data)) if n is not None else 0
        return data

    async def _receive(self) -> bytes:
        """Whatever is there, or comes next: each encrypted packet is asked for in two pieces, and mostly both are."""
        began_at = trio.current_time()
        with trio.move_on_after(self._patience.left_s(self._packet_bytes)) as limit:
            data = await super().read(MAX_RECEIVE_BYTES)
        if limit.cancelled_caught:
            self._tally.count(Met.SLOW_PEER_CUT)
            raise ConnectionClosedError("the peer does not finish what it began to send", transport="tcp")
        if self._packet_bytes:  # the time before a packet begins is nobody's
            self._patience.waited(trio.current_time() - began_at)
        self.has_spoken |= bool(data)
        self._meter.bytes_in += len(data)
        return data

    async def write(self, data: bytes) -> None:
        await super().write(data)
        self._meter.bytes_out += len(data)


class TcpTransport(TCP):
    """Dials and listens on TCP only."""

    def __init__(self, meter: Meter | None = None, tally: Tally | None = None) -> None:
        super().__init__()
        self._meter = meter
        self._tally = tally
        self.left_from: dict[tuple[str, int], tuple[str, int]] = {}

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        raw = await super().dial(maddr)
        assert isinstance(raw, RawConnection)
        assert isinstance(raw.stream, TrioTCPStream)
        raw.stream = self.wrap(raw.stream.stream)
        return raw

    async def _dial_resolved(self, maddr: Multiaddr, source: tuple[str, int] | None = None) -> IRawConnection:
        # Ours, because a second socket may leave from the same port (``punching.py``) only if both allow it.
        protocols = {protocol.name for protocol in maddr.protocols()}
        try:
            host = maddr.value_for_protocol("ip6" if "ip6" in protocols else "ip4")
            stream = await self.open(str(host), int(maddr.value_for_protocol("tcp") or 0), source)
        except (OSError, ProtocolLookupError) as exc:
            raise OpenConnectionError(f"cannot connect to {maddr}: {exc}") from exc
        return RawConnection(TrioTCPStream(stream), True)

    def wrap(self, stream: trio.SocketStream) -> "TcpStream":
        """A socket with what counts and bounds it."""
        return TcpStream(stream, self._meter, self._tally)

    async def open(self, host: str, port: int, source: tuple[str, int] | None = None) -> trio.SocketStream:
        """A connected socket, from a port of ours if one is named. Raises ``OSError``."""
        sock = trio.socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if source is not None:
                await sock.bind(source)
            await sock.connect((host, port))
        except BaseException:
            sock.close()
            raise
        stream = trio.SocketStream(sock)
        # By the far end, for whoever punches a hole; as many as may be connected, the oldest forgotten first.
        self.left_from[host, port] = sock.getsockname()[:2]
        while len(self.left_from) > MAX_LEFT_FROM:
            del self.left_from[next(iter(self.left_from))]
        return stream

    def create_listener(self, handler_function: THandler) -> "TcpListener":  # type: ignore[override]
        # Not a TCPListener: see the module's docstring.
        return TcpListener(handler_function, self._meter, self._tally)


class TcpListener(IListener):
    """Accepts sockets and hands each to a handler of its own."""

    # Set by the swarm before it calls :meth:`listen`.
    background_nursery: trio.Nursery

    def __init__(self, handler: THandler, meter: Meter | None = None, tally: Tally | None = None) -> None:
        self._handler = handler
        self._meter = meter
        self._tally = tally
        self._listeners: list[trio.SocketListener] = []
        self._addresses: tuple[Multiaddr, ...] = ()

    async def listen(self, maddr: Multiaddr) -> None:
        host = maddr.value_for_protocol("ip6" if "ip6" in {p.name for p in maddr.protocols()} else "ip4")
        port = maddr.value_for_protocol("tcp")
        try:
            listeners = await trio.open_tcp_listeners(int(port or 0), host=host, backlog=BACKLOG)
        except OSError as exc:
            raise OpenConnectionError(f"cannot listen on {maddr}: {exc}") from exc
        self._listeners += listeners
        # Noted now: a closed socket does not know where it was.
        self._addresses += tuple(_multiaddr_of(listener.socket) for listener in listeners)
        await self.background_nursery.start(trio.serve_listeners, self._serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            await self._handler(TcpStream(stream, self._meter, self._tally))
        except Exception as exc:  # noqa: BLE001  # a guard: the swarm's nursery is above us
            log.debug("inbound connection failed reason=%r", exc)

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        return self._addresses

    async def close(self) -> None:
        for listener in self._listeners:
            await listener.aclose()
        self._listeners.clear()


def _multiaddr_of(sock: trio.socket.SocketType) -> Multiaddr:
    host, port = sock.getsockname()[:2]
    return Multiaddr(f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}")


def _tune(stream: trio.SocketStream) -> None:
    try:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Linux only; elsewhere the keep-alive has to do.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    except OSError:
        # The peer hung up already.
        return
