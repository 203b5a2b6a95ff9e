"""Peers that begin to say something and do not get on with it. The figure: 64 at 1 B/s, all cut in 20 s."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.security.noise.io import NoisePacketReadWriter
from libp2p.stream_muxer.exceptions import MuxedStreamError
from tests.support.strangers import GOSSIP, Stranger, drain, stranger

from unhush.gossip.errors import StreamBroken
from unhush.gossip.net.host import Host, Stream
from unhush.gossip.net.wire import patience
from unhush.gossip.net.wire.patience import Patience
from unhush.gossip.net.wire.transport import TcpStream
from unhush.gossip.proto.tally import Met, Tally

SYNC = "/unhush/sync/1"
LONG_FRAME = b"\xff\xff\x03"  # the length of a frame of 64 KiB less one byte
SLOW_S = 20.0


async def on_sync(peer: Stranger) -> None:
    stream = await peer.stream(SYNC)
    await trickle(stream.write, drain(stream), LONG_FRAME)


async def on_gossip(peer: Stranger) -> None:
    stream = await peer.stream(GOSSIP)
    await trickle(stream.write, drain(stream), LONG_FRAME)


async def while_negotiating(peer: Stranger) -> None:
    stream = await peer.muxed.open_stream()
    await trickle(stream.write, drain(stream), b"\x13")


async def beneath_it_all(peer: Stranger) -> None:
    """A packet of the encrypted connection itself."""
    await trickle(peer.below.write, peer.muxed.event_closed.wait(), b"\x40\x00")


# Anything else that a writer meets would make it silent, and who is silent may stay.
ENDED = (MuxedStreamError, ConnectionClosedError, trio.BrokenResourceError, trio.ClosedResourceError)
KINDS = [on_sync, on_gossip, while_negotiating, beneath_it_all]


async def trickle(send: Callable[[bytes], Awaitable[Any]], end: Awaitable[Any], begun: bytes) -> None:
    """Send a byte a second until the other side has had enough."""

    async def go_on() -> None:
        try:
            await send(begun)
            while True:
                await trio.sleep(1)
                await send(b"\x00")
        except ENDED:
            return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_on)
        await end
        nursery.cancel_scope.cancel()


def serve_sync(host: Host) -> None:
    """As a session reads: the real one needs a store, and hangs up sooner on whoever does not say hello."""
    from unhush.gossip.net.sync.session import SyncSession

    async def read(stream: Stream) -> None:
        session = SyncSession.__new__(SyncSession)
        session.peer_id = stream.peer_id
        session._stream = stream
        session._ahead = trio.Semaphore(4)
        ended = trio.Event()
        session.tell = lambda event: ended.set()  # type: ignore[method-assign]
        session._reports = Reports(host.tally.count)  # type: ignore[assignment]
        await session._read_stream()
        raise StreamBroken("the session ended")

    host.handle(SYNC, read)


class Reports:
    def __init__(self, met: Callable[[Met], None]) -> None:
        self.met = met


def test_64_peers_at_1_byte_a_second_are_all_cut_within_20_s(run: Any, our_host: Any, serves: Any) -> None:
    async def scene() -> None:
        cut_after: list[float] = []

        async def one(number: int, address: str, ready: trio.Event, go: trio.Event, stack: AsyncExitStack) -> None:
            async with stranger(address) as peer:
                ready.set()
                await go.wait()
                began = trio.current_time()
                await KINDS[number % len(KINDS)](peer)
                cut_after.append(trio.current_time() - began)

        async with our_host() as ours, AsyncExitStack() as stack:
            serve_sync(ours)
            go = trio.Event()
            async with trio.open_nursery() as nursery:
                for number in range(64):
                    ready = trio.Event()
                    nursery.start_soon(one, number, ours.addresses()[0], ready, go, stack)
                    with trio.fail_after(5):
                        await ready.wait()
                assert len(ours.connected()) == 64
                go.set()
                nursery.cancel_scope.deadline = trio.current_time() + SLOW_S
            assert len(cut_after) == 64, f"only {len(cut_after)} of 64 were cut within {SLOW_S:.0f} s"
            print(f"64 of 64 cut, the last after {max(cut_after):.1f} s")
            assert ours.tally.read()[Met.SLOW_PEER_CUT] >= 48
            assert ours.tally.read()[Met.PEER_FAULT] == 0, "slow is nobody's fault"
            await serves(ours)

    run(scene)


def test_a_packet_whose_last_two_bytes_do_not_come_is_cut_too() -> None:
    """They are no length of a next packet, for which nobody has to hurry."""
    tally = Tally()

    async def scene() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        theirs = await trio.open_tcp_stream(*listener.socket.getsockname())
        async with listener, theirs, await listener.accept() as accepted:
            ours = TcpStream(accepted, tally=tally)
            await theirs.send_all((1_024).to_bytes(2, "big") + bytes(1_022))
            with pytest.raises(ConnectionClosedError), trio.fail_after(SLOW_S):
                await NoisePacketReadWriter(ours).read_msg()

    trio.run(scene)
    assert tally.read()[Met.SLOW_PEER_CUT] == 1


def test_a_frame_may_stand_still_for_5_s_and_then_has_to_come_at_1_kib_a_second() -> None:
    waiting = Patience()
    assert waiting.left_s(0) == float("inf"), "who says nothing may be silent"
    assert waiting.left_s(1) == pytest.approx(patience.GRACE_S, abs=0.01)
    waiting.waited(5.0)
    assert waiting.left_s(3) < 0.01
    assert waiting.left_s(64 * 1024) == pytest.approx(64.0)
    waiting.waited(64.0)
    assert waiting.left_s(64 * 1024) == 0
    waiting.renew()
    assert waiting.left_s(1) == pytest.approx(patience.GRACE_S, abs=0.01)


def test_a_slow_line_that_keeps_the_pace_is_never_cut() -> None:
    """A frame of 1 MiB at 1.5 KiB/s takes eleven minutes and arrives."""
    waiting = Patience()
    received = 0
    while received < 1024 * 1024:
        assert waiting.left_s(received) >= 1.0
        waiting.waited(1.0)
        received += 1536
