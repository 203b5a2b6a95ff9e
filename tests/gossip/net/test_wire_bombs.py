"""Lengths that are lies. The figure: 2^32 and 2^63 claimed everywhere a length can stand, and nothing is made ready."""

import struct
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_DATA, YAMUX_HEADER_FORMAT
from libp2p.utils.varint import encode_uvarint
from tests.support.strangers import GOSSIP, Stranger, drain, stranger, tcp

from unhush.gossip.errors import StreamBroken
from unhush.gossip.net.host import Host, Stream, Verdict
from unhush.gossip.net.quirks import MAX_LINE_BYTES
from unhush.gossip.proto.framing import Deframer
from unhush.gossip.proto.tally import Met

MIB = 1024 * 1024
CLAIMS = [2**20 + 1, 2**32, 2**63, 2**64 - 1]
SYNC = "/unhush/sync/1"

Send = Callable[[Stranger, bytes], Awaitable[None]]


async def negotiating_a_stream(peer: Stranger, claim: bytes) -> None:
    stream = await peer.muxed.open_stream()
    await stream.write(claim + b"x" * 2 * MAX_LINE_BYTES)
    await drain(stream)


async def on_gossip(peer: Stranger, claim: bytes) -> None:
    stream = await peer.stream(GOSSIP)
    await stream.write(claim + b"x" * 1_000)
    await drain(stream)


async def on_sync(peer: Stranger, claim: bytes) -> None:
    stream = await peer.stream(SYNC)
    await stream.write(claim + b"x" * 1_000)
    await drain(stream)


async def telling_who_one_is(peer: Stranger, claim: bytes) -> None:
    stream = await peer.stream("/ipfs/id/push/1.0.0")
    await stream.write(claim + b"x" * 1_000)
    await stream.close()
    await drain(stream)


async def of_a_frame_of_the_multiplexer(peer: Stranger, claim: bytes) -> None:
    """Its field has 32 bits."""
    length = min(int.from_bytes(claim, "little"), 2**32 - 1) | 2**31
    await peer.muxed._write_frame(struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, FLAG_SYN, 1_001, length))
    await peer.muxed.event_closed.wait()


def serve_sync(host: Host) -> None:
    async def read(stream: Stream) -> None:
        deframer = Deframer()
        try:
            while chunk := await stream.read():
                deframer.feed(chunk)
        except StreamBroken:
            return

    host.handle(SYNC, read)


@pytest.mark.parametrize(
    "send",
    [negotiating_a_stream, on_gossip, on_sync, telling_who_one_is, of_a_frame_of_the_multiplexer],
    ids=lambda send: send.__name__,
)
def test_a_length_of_up_to_2_to_the_64_is_refused_and_nothing_made_ready_for_it(
    send: Send, run: Any, our_host: Any, serves: Any
) -> None:
    async def scene() -> None:
        async with our_host() as ours:
            serve_sync(ours)
            await ours.join("/unhush/1/test/0", lambda data, peer: Verdict.IGNORE, lambda data, peer: None)
            for claim in CLAIMS:
                async with stranger(ours.addresses()[0]) as peer:
                    tracemalloc.start()
                    try:
                        with trio.fail_after(8):
                            await send(peer, encode_uvarint(claim))
                        grown = tracemalloc.get_traced_memory()[1]
                    finally:
                        tracemalloc.stop()
                assert grown < MIB, f"{grown} bytes for a claim of {claim}"
            await serves(ours)

    run(scene)


def test_before_the_handshake_too(run: Any, our_host: Any, serves: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours:
            for claim in CLAIMS:
                socket = await tcp(ours.addresses()[0])
                async with socket:
                    tracemalloc.start()
                    try:
                        await socket.send_all(encode_uvarint(claim) + b"x" * 1_000)
                        with trio.fail_after(2):
                            try:
                                while await socket.receive_some():
                                    pass
                            except trio.BrokenResourceError:
                                pass
                        grown = tracemalloc.get_traced_memory()[1]
                    finally:
                        tracemalloc.stop()
                assert grown < MIB, f"{grown} bytes for a claim of {claim}"
            await serves(ours)

    run(scene)


def test_a_length_that_is_a_lie_counts_as_a_fault_where_there_is_a_name_for_it(
    run: Any, our_host: Any, until: Any
) -> None:
    async def scene() -> None:
        async with our_host() as ours, stranger(ours.addresses()[0]) as peer:
            for number in range(1, 4):
                await negotiating_a_stream(peer, encode_uvarint(2**32))
                await until(lambda number=number: ours.tally.read()[Met.PEER_FAULT] == number)
            assert ours.is_banned(peer.peer_id)

    run(scene)
