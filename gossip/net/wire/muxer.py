"""Yamux with the bounds the stock one lacks: unread bytes, inbound streams, time for a write.

The stock multiplexer only warns when a peer sends beyond the window it was given, so a stream nobody reads
grows without end. It accepts any number of streams, and waits for ever for a socket that stopped reading.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import trio
from libp2p.abc import IMuxedConn, IMuxedStream, ISecureConn
from libp2p.network.connection.exceptions import RawConnError
from libp2p.peer.id import ID
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID, Yamux, YamuxStream

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.net.wire.light import ReadyLock
from unhush.gossip.net.wire.memory import Trimmer
from unhush.gossip.net.wire.patience import REQUEST_S
from unhush.gossip.proto.tally import Met, Tally

log = logging.getLogger(__name__)

# An honest sender cannot have more than this unread (see ``quirks.MAX_RECEIVE_WINDOW_BYTES``).
MAX_UNREAD_PER_STREAM_BYTES = 1024 * 1024
MAX_UNREAD_PER_CONNECTION_BYTES = 8 * 1024 * 1024
# Over all connections: 96 of them at 8 MiB each would be more than a small machine has.
MAX_UNREAD_BYTES = 128 * 1024 * 1024

# What a connection that ends must have held unread to be worth giving memory back for.
MUCH_BYTES = 1024 * 1024

# Streams a peer may have open towards us at a time; our own protocols need fewer than ten.
MAX_INBOUND_STREAMS = 64

# One frame is at most 64 KiB: whoever takes longer than this for it reads slower than 5 KiB/s.
WRITE_TIMEOUT_S = 12.0
# And whoever has announced one has this long to send it.
READ_TIMEOUT_S = REQUEST_S

NegotiateTimeout = int


class WindowOverrun(trio.TooSlowError):
    """A peer sent more than it was allowed to.

    A ``TooSlowError`` because that is the one exception the stock frame loop does not swallow: it closes
    the connection, which is what is wanted.
    """


class UnreadLedger:
    """Unread bytes over all connections of a host."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.trimmer = Trimmer()
        self._connections: dict[BoundedYamux, int] = {}
        self._total = 0

    def total(self) -> int:
        """What is unread now; callable from any thread."""
        buffers = [buffer for each in list(self._connections) for buffer in list(each.stream_buffers.values())]
        return sum(map(len, buffers))

    def _count_afresh(self) -> int:
        self._connections = {each: each.unread_bytes() for each in self._connections}
        self._total = sum(self._connections.values())
        return self._total

    def update(self, connection: "BoundedYamux", unread: int) -> "BoundedYamux | None":
        """Note what one connection holds; which one must go, if all of them together hold too much.

        That is whoever holds most, so that an honest peer is not cut for what others pile up.
        """
        self._total += unread - self._connections.get(connection, 0)
        self._connections[connection] = unread
        # Reading is not noted, so the sum may look too high.
        if self._total <= MAX_UNREAD_BYTES or self._count_afresh() <= MAX_UNREAD_BYTES:
            return None
        return max(self._connections, key=lambda each: self._connections[each])

    def forget(self, connection: "BoundedYamux") -> None:
        self._total -= self._connections.pop(connection, 0)


class BoundedYamux(Yamux):
    """One multiplexed connection with a known cost."""

    def __init__(
        self,
        secured_conn: ISecureConn,
        peer_id: ID,
        *,
        ledger: UnreadLedger,
        report_fault: Callable[[str, str], None],
    ) -> None:
        super().__init__(secured_conn, peer_id, is_initiator=secured_conn.is_initiator, on_close=_nothing)
        # ``Any``: they are declared as trio's.
        self.streams_lock: Any = ReadyLock()
        self._write_lock: Any = ReadyLock()
        self._ledger = ledger
        self._report_fault = report_fault
        self._scope = trio.CancelScope()

    def unread_bytes(self) -> int:
        return sum(len(buffer) for buffer in self.stream_buffers.values())

    async def start(self) -> None:
        try:
            with self._scope:
                await super().start()
        except Exception as exc:  # noqa: BLE001  # a guard: nothing of one connection may reach the others
            log.debug("connection failed peer=%s reason=%r", self.peer_id, exc)
        finally:
            self._ledger.forget(self)
            # However the frame loop ended, whoever waits for the connection's end must learn of it.
            if not self.event_closed.is_set():
                with trio.CancelScope(shield=True):
                    await self.secured_conn.close()
                self.event_shutting_down.set()
                self.event_closed.set()
            self._drop_unread()

    def _drop_unread(self) -> None:
        """Nobody is given it any more once the connection has ended, but whoever holds a stream would keep it."""
        is_much = self.unread_bytes() >= MUCH_BYTES
        for buffer in self.stream_buffers.values():
            buffer.clear()
        if is_much:
            self._ledger.trimmer.give_back()

    async def accept_stream(self) -> IMuxedStream:
        while True:
            stream = await super().accept_stream()
            inbound = sum(not each.is_initiator for each in self.streams.values())
            if inbound <= MAX_INBOUND_STREAMS:
                return stream
            self._ledger.tally.count(Met.STREAM_REFUSED)
            await stream.reset()

    def _finalize_stream_locked(self, stream: YamuxStream, *, fully_closed: bool) -> None:
        # The stock one keeps a reset stream with unread bytes for a minute, for a reader it refuses to serve;
        # a peer that writes and resets piles them up by the thousand.
        if stream.reset_received and stream.stream_id in self.stream_buffers:
            self.stream_buffers[stream.stream_id].clear()
        super()._finalize_stream_locked(stream, fully_closed=fully_closed)

    async def _read_data_body(self, length: int) -> bytes:
        """Called for every data frame, before its body is read: the place to notice an overrun."""
        unread = self.unread_bytes()
        longest = max(map(len, self.stream_buffers.values()), default=0)
        if longest > MAX_UNREAD_PER_STREAM_BYTES or unread > MAX_UNREAD_PER_CONNECTION_BYTES:
            self._ledger.tally.count(Met.WINDOW_OVERRUN)
            self._report_fault(str(self.peer_id), f"{unread} bytes beyond its receive window")
            raise WindowOverrun(f"{self.peer_id} sent beyond its receive window")
        if (fullest := self._ledger.update(self, unread)) is not None:
            fullest.cut("too many unread bytes in all")
        try:
            with trio.fail_after(READ_TIMEOUT_S):
                return await super()._read_data_body(length)
        except trio.TooSlowError:
            self._ledger.tally.count(Met.SLOW_PEER_CUT)
            raise

    def cut(self, why: str) -> None:
        """End the connection, from whichever task."""
        log.info("connection cut peer=%s why=%s", self.peer_id, why)
        self._ledger.tally.count(Met.UNREAD_CUT)
        self._ledger.forget(self)
        self._scope.cancel()

    async def _write_frame(self, data: bytes) -> None:
        with trio.move_on_after(WRITE_TIMEOUT_S) as limit:
            await super()._write_frame(data)
        if not limit.cancelled_caught:
            return
        # Half a frame may have gone out: the connection is beyond repair. Closing the socket wakes the
        # frame loop, which does the rest; doing it here would wait for locks our callers hold.
        await self.secured_conn.close()
        raise RawConnError("peer stopped reading")


class BoundedMuxer(MuxerMultistream):
    """Negotiates yamux and nothing else, and makes it a :class:`BoundedYamux`.

    The stock class is asked for a muxer class and then ignores it for yamux.
    """

    def __init__(
        self, *, ledger: UnreadLedger, report_fault: Callable[[str, str], None], negotiate_timeout: NegotiateTimeout
    ) -> None:
        super().__init__({PROTOCOL_ID: BoundedYamux}, negotiate_timeout)  # type: ignore[dict-item]  # a TProtocol
        self._make: Callable[..., BoundedYamux] = partial(BoundedYamux, ledger=ledger, report_fault=report_fault)

    async def new_conn(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        protocol, _ = await self._selector.select(conn, conn.is_initiator, self.negotiate_timeout)
        if protocol != PROTOCOL_ID:
            raise RemoteProtocolError(f"{peer_id} chose the muxer {protocol}")
        return self._annotate_connection(self._make(conn, peer_id), conn, protocol)


async def _nothing(*_: Any) -> None:
    """Until the swarm sets its own hook."""
