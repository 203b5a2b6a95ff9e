"""Fewer turns of the loop for what flows, and still a turn for everybody else."""

import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import DEFAULT_WINDOW_SIZE, HEADER_SIZE, TYPE_WINDOW_UPDATE, YAMUX_HEADER_FORMAT
from trio.testing import MockClock

from unhush.gossip.net import quirks
from unhush.gossip.net.wire.light import READS, STEPS, LightYamuxStream, ReadyLock
from unhush.gossip.net.wire.muxer import BoundedYamux
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.net.wire.transport import MAX_RECEIVE_BYTES, TcpStream

PROTOCOL = "/test/light/1"
MESSAGE = b"a post and what stands around it" * 20


def test_one_at_a_time_holds_a_lock(run: Any) -> None:
    async def scene() -> None:
        lock = ReadyLock()
        inside = 0

        async def hold() -> None:
            nonlocal inside
            async with lock:
                inside += 1
                assert inside == 1
                await trio.lowlevel.checkpoint()
                inside -= 1

        async with trio.open_nursery() as nursery:
            for _ in range(5 * STEPS):
                nursery.start_soon(hold)

    run(scene)


def test_taking_a_free_lock_is_a_checkpoint_now_and_then(run: Any) -> None:
    async def scene() -> None:
        lock = ReadyLock()
        taken = 0
        with trio.CancelScope() as scope:
            scope.cancel()  # whatever is a checkpoint ends it
            while True:
                async with lock:
                    taken += 1
        assert taken == STEPS - 1

    run(scene)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[trio.SocketStream, TcpStream]]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    where = listener.socket.getsockname()[:2]
    async with listener, await trio.open_tcp_stream(*where) as there, await listener.accept() as here:
        yield there, TcpStream(here)


def test_what_was_received_ahead_comes_in_order_however_it_is_asked_for(run: Any) -> None:
    dice = random.Random(1)
    sent = dice.randbytes(3 * MAX_RECEIVE_BYTES + 1)

    async def scene() -> None:
        async with connected() as (there, here), trio.open_nursery() as nursery:
            nursery.start_soon(there.send_all, sent)
            got = b""
            while len(got) < len(sent):
                most = dice.choice((1, 2, 2, 12, 700, 2 * MAX_RECEIVE_BYTES))
                piece = await here.read(most)
                assert 1 <= len(piece) <= most
                got += piece
            assert got == sent
            await there.send_eof()
            assert await here.read(2) == b""

    run(scene)


def test_many_small_packets_at_once_leave_others_their_turn(run: Any) -> None:
    packets = 2_000

    async def scene() -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with connected() as (there, here), trio.open_nursery() as nursery:
            await there.send_all(bytes(4 * packets))
            await trio.sleep(0.1)  # all of them are there
            nursery.start_soon(others)
            for _ in range(packets):
                await here.read(2)
                await here.read(2)
            assert turns >= 2 * packets // STEPS - STEPS
            nursery.cancel_scope.cancel()

    run(scene)


def test_who_is_cancelled_while_reading_loses_nothing(run: Any) -> None:
    sent = random.Random(2).randbytes(40 * STEPS)

    async def scene() -> None:
        async with connected() as (there, here):
            await there.send_all(sent)
            await there.send_eof()
            got = b""
            while piece := await here.read(2):
                got += piece
                with trio.CancelScope() as scope:
                    scope.cancel()
                    got += await here.read(2)
            assert got == sent

    run(scene)


class Full:
    """Whatever is asked for is there."""

    async def read(self, n: int | None = None) -> bytes:
        return bytes(n or 0)


def test_thousands_of_frames_in_one_packet_leave_others_their_turn(run: Any) -> None:
    """Of the sort that is neither answered nor waited for: nothing that is done with them is a checkpoint."""

    async def scene() -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        quirks.apply("test")
        frames: Any = yamux
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            for _ in range(5_000):
                assert await frames.read_exactly(Full(), HEADER_SIZE) == bytes(HEADER_SIZE)
            assert turns >= 5_000 // READS - 1
            nursery.cancel_scope.cancel()

    run(scene)


def test_small_messages_are_not_answered_by_window_updates_and_large_ones_are(
    run: Any, our_host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates: list[int] = []
    write_frame = BoundedYamux._write_frame

    async def noted(self: BoundedYamux, data: bytes) -> None:
        _, kind, flags, _, length = struct.unpack(YAMUX_HEADER_FORMAT, data[:HEADER_SIZE])
        if kind == TYPE_WINDOW_UPDATE and not flags:
            updates.append(length)
        await write_frame(self, data)

    async def scene() -> None:
        read = 0

        async def serve(stream: Stream) -> None:
            nonlocal read
            while chunk := await stream.read():
                read += len(chunk)

        async with our_host() as giver, our_host() as taker:
            taker.handle(PROTOCOL, serve)
            await giver.dial(taker.addresses()[0])
            stream = await giver.open_stream(taker.peer_id, PROTOCOL)
            updates.clear()
            began_at = trio.current_time()
            for number in range(100):
                await stream.write(MESSAGE)
                while read < (number + 1) * len(MESSAGE):  # noqa: ASYNC110
                    await trio.sleep(0.001)
            assert len(updates) <= trio.current_time() - began_at, "64 kB are no half of a window"
            updates.clear()
            await stream.write(bytes(4_000_000))
            while read < 100 * len(MESSAGE) + 4_000_000:  # noqa: ASYNC110
                await trio.sleep(0.001)
            assert 4 <= len(updates) <= 40
            await stream.close()

    monkeypatch.setattr(BoundedYamux, "_write_frame", noted)
    run(scene)


class Granted:
    """As much of a connection as a stream needs to say that there is room; what it says."""

    def __init__(self) -> None:
        self.stream_buffers: dict[int, bytearray] = {1: bytearray()}
        self.room = DEFAULT_WINDOW_SIZE

    def rtt(self) -> float:
        return 0.3

    async def _write_frame(self, data: bytes) -> None:
        self.room += struct.unpack(YAMUX_HEADER_FORMAT, data)[4]


def test_on_a_slow_line_whoever_sends_is_not_kept_waiting_for_room() -> None:
    """Its patience is five seconds; at this pace half a window takes more than six."""
    pace = 20_000

    async def scene() -> None:
        conn: Any = Granted()
        stream = LightYamuxStream(1, conn, False)
        under_way = longest = 0.0
        empty_at = trio.current_time()
        for _ in range(1_000):
            while conn.room:  # as much as the window allows is sent at once, and comes at the pace of the line
                under_way += conn.room
                stream.recv_window -= conn.room
                conn.stream_buffers[1] += bytes(conn.room)
                conn.room, empty_at = 0, trio.current_time()
            await trio.sleep(0.1)
            assert under_way >= pace // 10, "the line stands still"
            under_way -= pace // 10
            del conn.stream_buffers[1][: pace // 10]
            await stream._auto_tune_and_send_window_update(bytes_read=pace // 10)
            longest = max(longest, trio.current_time() - empty_at)
        assert longest < 3

    trio.run(scene, clock=MockClock(autojump_threshold=0))
