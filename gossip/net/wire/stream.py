"""A stream as the layers above see it: bytes in order, an end, and errors of ours instead of libp2p's."""

from types import TracebackType

from libp2p.abc import IMuxedConn, INetStream
from libp2p.io.exceptions import IOException
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamError
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from unhush.gossip.errors import StreamBroken

# One read returns at most this: pieces of 4 KiB tripled the network thread's work, larger ones would need a
# larger cap on unread bytes (``quirks.MAX_RECEIVE_WINDOW_BYTES``).
MAX_READ_BYTES = 256 * 1024


class Stream:
    """One stream with one peer. Reading and writing may go on at the same time in two tasks."""

    def __init__(self, inner: INetStream) -> None:
        self._inner = inner
        self.peer_id = str(inner.muxed_conn.peer_id)

    @property
    def address(self) -> str:
        """Where the connection it runs on leads, without a peer id; see :func:`remote_address`."""
        return remote_address(self._inner.muxed_conn)

    async def read(self, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """Whatever has arrived, at least one byte; ``b""`` once the peer has closed its side.

        Raises :class:`StreamBroken` when the stream was reset or the connection lost.
        """
        try:
            return await self._inner.read(min(max_bytes, MAX_READ_BYTES))
        except (StreamEOF, MuxedStreamEOF) as exc:
            # A stream that was reset while nobody was reading reports a proper end.
            if self._was_reset():
                raise StreamBroken(f"stream with {self.peer_id} was reset") from exc
            return b""
        except (StreamError, MuxedStreamError, IOException) as exc:
            raise StreamBroken(f"stream with {self.peer_id} broke while reading") from exc

    def _was_reset(self) -> bool:
        muxed = getattr(self._inner, "muxed_stream", None)
        return isinstance(muxed, YamuxStream) and muxed.reset_received

    async def write(self, data: bytes) -> None:
        """Send all of it.

        Raises :class:`StreamBroken`, also when the peer makes no room for five seconds: send what was asked for.
        """
        try:
            await self._inner.write(data)
        except (StreamError, StreamClosed, MuxedStreamError, IOException) as exc:
            raise StreamBroken(f"stream with {self.peer_id} broke while writing") from exc

    async def close(self) -> None:
        """Nothing more from us; the peer may go on sending. Never raises."""
        try:
            await self._inner.close()
        except (StreamError, MuxedStreamError, IOException):
            return

    async def reset(self) -> None:
        """Give the stream up in both directions. Never raises."""
        try:
            await self._inner.reset()
        except (StreamError, MuxedStreamError, IOException):
            return

    async def __aenter__(self) -> "Stream":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is None:
            await self.close()
        else:
            await self.reset()


def remote_address(connection: IMuxedConn) -> str:
    """The far end of a connection: ``/ip4|ip6/…/tcp/…``, or ``/p2p/<relay>/p2p-circuit``; empty if it is gone."""
    for through in connection.get_transport_addresses():
        if "/p2p-circuit" in str(through):
            return str(through)
    # Every muxer has it; the interface forgets to say so.
    remote = connection.get_remote_address()  # type: ignore[attr-defined]
    if remote is None:
        return ""
    host, port = remote
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"
