"""What a peer can make us hold: each bound, and the stock behaviour that makes it necessary."""

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.pubsub import pubsub
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_DATA, TYPE_WINDOW_UPDATE, YAMUX_HEADER_FORMAT

from unhush.gossip.errors import ListenFailed, StreamBroken, StreamRefused
from unhush.gossip.net import quirks
from unhush.gossip.net.host import Stream
from unhush.gossip.net.pubsub import sendqueue
from unhush.gossip.net.wire import muxer
from unhush.gossip.net.wire.negotiation import MAX_STREAMS_PER_PROTOCOL
from unhush.gossip.proto.tally import Met

MIB = 1024 * 1024
CHUNK = b"\x00" * 65_000


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def open_raw(muxed: Any, stream_id: int) -> None:
    await muxed._write_frame(struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_WINDOW_UPDATE, FLAG_SYN, stream_id, 0))


async def flood(muxed: Any, stream_id: int, total: int) -> int:
    """Send without asking whether there is room; how much went out."""
    frame = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, stream_id, len(CHUNK)) + CHUNK
    sent = 0
    while sent < total and not muxed.is_closed:
        await muxed._write_frame(frame)
        sent += len(CHUNK)
    return sent


def our_muxed(host: Any) -> Any:
    return host._swarm.get_connections()[0].muxed_conn


async def never_read(_: object) -> None:
    await trio.sleep_forever()


def test_a_stock_host_buffers_without_end(run: Any, stock_host: Any) -> None:
    async def scene() -> None:
        async with stock_host() as victim, stock_host() as stranger:
            muxed = await stranger.connect(victim.address)
            await open_raw(muxed, 1001)
            await flood(muxed, 1001, 8 * MIB)
            await trio.sleep(0.5)
            held = victim.host.get_network().get_connections()[0].muxed_conn.stream_buffers[1001]
            assert len(held) >= 8 * MIB

    run(scene)


def test_100_mb_poured_into_an_unread_stream_cost_at_most_16_mb(
    run: Any, stock_host: Any, our_host: Any, serves: Any
) -> None:
    async def scene() -> None:
        async with our_host() as ours:
            ours.handle("/unread", never_read)
            await serves(ours)
            before = rss_bytes()
            peak = 0
            sent = 0
            strangers = 0
            while sent < 100 * MIB and strangers < 3:
                # Cut after a megabyte each time, it comes back as somebody else.
                async with stock_host() as stranger:
                    strangers += 1
                    muxed = await stranger.connect(ours.addresses()[0])
                    stream = await stranger.stream(ours.peer_id, "/unread")
                    target = stream.muxed_stream.stream_id
                    with suppress(Exception):
                        # Until it is cut.
                        sent += await flood(muxed, target, 100 * MIB)
                    peak = max(peak, rss_bytes())
            assert peak - before <= 16 * MIB, f"grew by {(peak - before) / MIB:.1f} MiB"
            await serves(ours)

    run(scene)


def test_an_overrun_costs_the_connection_and_counts_as_a_fault(
    run: Any, stock_host: Any, our_host: Any, until: Any
) -> None:
    async def scene() -> None:
        async with our_host() as ours, stock_host() as stranger:
            ours.handle("/unread", never_read)
            for _ in range(3):
                muxed = await stranger.connect(ours.addresses()[0])
                stream = await stranger.stream(ours.peer_id, "/unread")
                sent = 0
                with suppress(Exception):
                    # Whatever the cut socket raises.
                    sent = await flood(muxed, stream.muxed_stream.stream_id, 50 * MIB)
                assert sent < 10 * MIB
                await until(lambda: not ours.connected())
            assert ours.is_banned(stranger.peer_id)
            assert ours.tally.read()[Met.WINDOW_OVERRUN] == 3

    run(scene)


def test_many_streams_below_the_cap_each_are_cut_by_the_cap_per_connection(
    run: Any, stock_host: Any, our_host: Any, until: Any
) -> None:
    async def scene() -> None:
        async with our_host() as ours, stock_host() as stranger:
            for number in range(40):
                ours.handle(f"/unhush/sync/{number}", never_read)  # of the kind that may last
            muxed = await stranger.connect(ours.addresses()[0])
            await until(lambda: bool(ours.connected()))
            theirs = our_muxed(ours)
            highest = 0
            with suppress(Exception):
                for number in range(40):
                    stream = await stranger.stream(ours.peer_id, f"/unhush/sync/{number}")
                    await flood(muxed, stream.muxed_stream.stream_id, 400 * 1024)
                    highest = max(highest, theirs.unread_bytes())
            await until(lambda: not ours.connected())
            assert highest <= muxer.MAX_UNREAD_PER_CONNECTION_BYTES + MIB

    run(scene)


def test_an_honest_sender_is_never_cut(run: Any, our_host: Any) -> None:
    """It fills the window, waits for the slow reader, and everything arrives."""

    async def scene() -> None:
        received = 0
        longest_unread = 0

        async with our_host() as ours, our_host() as other:

            async def read_slowly(stream: Stream) -> None:
                nonlocal received, longest_unread
                while data := await stream.read():
                    received += len(data)
                    longest_unread = max(longest_unread, *map(len, our_muxed(ours).stream_buffers.values()))
                    await trio.sleep(0.003)
                await stream.write(b"all")

            ours.handle("/slow", read_slowly)
            await other.dial(ours.addresses()[0])
            stream = await other.open_stream(ours.peer_id, "/slow")
            for _ in range(80):
                await stream.write(b"\x01" * 256 * 1024)
            await stream.close()
            assert await stream.read() == b"all"
            assert received == 80 * 256 * 1024
            assert longest_unread <= muxer.MAX_UNREAD_PER_STREAM_BYTES

    run(scene)


def test_a_stock_host_takes_any_number_of_streams(run: Any, stock_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with stock_host() as victim, stock_host() as stranger:
            muxed = await stranger.connect(victim.address)
            for number in range(200):
                await open_raw(muxed, 1001 + 2 * number)
            (connection,) = victim.host.get_network().get_connections()
            await until(lambda: len(connection.muxed_conn.streams) >= 200)

    run(scene)


def test_no_more_than_64_inbound_streams_are_open(
    run: Any, stock_host: Any, our_host: Any, serves: Any, until: Any
) -> None:
    async def scene() -> None:
        async with our_host() as ours, stock_host() as stranger:
            muxed = await stranger.connect(ours.addresses()[0])
            for number in range(500):
                await open_raw(muxed, 1001 + 2 * number)
            theirs = our_muxed(ours)
            # Streams being turned away are counted until they are.
            await until(
                lambda: sum(not each.is_initiator for each in theirs.streams.values()) <= muxer.MAX_INBOUND_STREAMS
            )
            await trio.sleep(0.2)
            assert sum(not each.is_initiator for each in theirs.streams.values()) <= muxer.MAX_INBOUND_STREAMS
            await serves(ours)

    run(scene)


def test_one_protocol_gets_no_more_than_its_share_of_streams(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours, our_host() as other:
            ours.handle("/parked", never_read)
            await other.dial(ours.addresses()[0])
            streams = [await other.open_stream(ours.peer_id, "/parked") for _ in range(MAX_STREAMS_PER_PROTOCOL)]
            with pytest.raises((StreamBroken, StreamRefused)):
                # Whether the refusal comes before or after the negotiation's end is a matter of luck.
                await (await other.open_stream(ours.peer_id, "/parked")).read()
            for stream in streams:
                await stream.write(b"still open")
            assert not ours.is_banned(other.peer_id)

    run(scene)


def test_a_stock_host_keeps_an_inbound_place_taken_after_the_connection_closed(
    run: Any, stock_host: Any, until: Any
) -> None:
    async def scene() -> None:
        async with stock_host() as victim:
            swarm = victim.host.get_network()
            for _ in range(3):
                async with stock_host() as stranger:
                    await (await stranger.connect(victim.address)).close()
            await until(lambda: not swarm.get_connections())
            await trio.sleep(0.3)
            assert swarm._inbound_limiter.borrowed_tokens == 3

    run(scene)


def test_a_closed_connection_gives_its_place_back(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours:
            for _ in range(3):
                async with our_host() as other:
                    await other.dial(ours.addresses()[0])
                    await until(lambda: ours._swarm._doorman.live_count == 1)
                await until(lambda: ours._swarm._doorman.live_count == 0)
            await until(lambda: not ours.connected())

    run(scene)


def test_a_stock_host_dials_what_it_was_told(run: Any, stock_host: Any) -> None:
    """Merely wanting a stream dials whatever address the peer store holds."""

    async def scene() -> None:
        async with stock_host() as victim, stock_host() as told:
            peer = told.host.get_id()
            victim.host.get_peerstore().add_addrs(peer, told.host.get_addrs(), 60)
            await victim.stream(told.peer_id, "/ipfs/ping/1.0.0")
            assert victim.host.get_network().get_connections(peer)

    run(scene)


def test_ours_dials_only_what_it_is_asked_to(run: Any, stock_host: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours, stock_host() as told:
            ours._libp2p.get_peerstore().add_addrs(told.host.get_id(), told.host.get_addrs(), 60)
            with pytest.raises(Exception, match="not connected"):
                await ours._libp2p.new_stream(told.host.get_id(), ["/ipfs/ping/1.0.0"])
            assert not told.host.get_network().get_connections()

    run(scene)


def test_two_hosts_cannot_share_a_port(run: Any, our_host: Any) -> None:
    """The stock listener sets SO_REUSEPORT, and each of the two gets half the connections."""

    async def scene() -> None:
        async with our_host() as ours:
            taken = ours.addresses()[0].partition("/p2p/")[0]
            with pytest.raises(ListenFailed):
                async with our_host(listen=(taken,)):
                    pass

    run(scene)


def test_the_outbound_queue_constant_of_libp2p_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is why we replace what the name ``RpcQueue`` means."""
    from libp2p.pubsub import rpc_queue

    monkeypatch.setattr(rpc_queue, "OutBoundQueueSize", 1000)
    assert rpc_queue.RpcQueue()._queue.max_size == 32
    quirks.apply("test")
    assert pubsub.RpcQueue()._queue.max_size == sendqueue.MAX_QUEUED_RPCS
