"""TCP sockets: ours, because the stock listener shares its port and lives where no one can catch it.

The stock listener sets SO_REUSEPORT (two nodes on one port would each get half the connections) and runs
as a trio system task, from which any exception is a ``TrioInternalError`` and the end of the process. Ours
runs in the swarm's own nursery.
"""

import logging
import socket

import trio
from libp2p.abc import IListener, IRawConnection
from libp2p.custom_types import THandler
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

log = logging.getLogger(__name__)

# A peer that neither acknowledges nor reads is cut by the kernel after this. Yamux pings every 30 s without
# minding the answer, so without it a machine that lost power stays "connected" for a quarter of an hour.
UNACKNOWLEDGED_MS = 20_000

# Connections the kernel completes before we accept them.
BACKLOG = 128


class TcpStream(TrioTCPStream):
    """A socket that knows its remote address under IPv6 too (the stock one gives up on 4-tuples)."""

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        self.local_address: tuple[str, int] | None = None
        try:
            host, port = stream.socket.getpeername()[:2]
            self._cached_remote_address = (str(host), int(port))
        except OSError:
            # Gone before we looked; the first read will say so.
            self._cached_remote_address = None
        _tune(stream)


class TcpTransport(TCP):
    """Dials and listens on TCP only."""

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        raw = await super().dial(maddr)
        assert isinstance(raw, RawConnection)
        assert isinstance(raw.stream, TrioTCPStream)
        raw.stream = TcpStream(raw.stream.stream)
        return raw

    def create_listener(self, handler_function: THandler) -> "TcpListener":  # type: ignore[override]
        # Not a TCPListener: see the module's docstring.
        return TcpListener(handler_function)


class TcpListener(IListener):
    """Accepts sockets and hands each to a handler of its own."""

    # Set by the swarm before it calls :meth:`listen`.
    background_nursery: trio.Nursery

    def __init__(self, handler: THandler) -> None:
        self._handler = handler
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
            await self._handler(TcpStream(stream))
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
