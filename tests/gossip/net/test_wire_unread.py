"""What arrives and nobody reads: 1 MiB a stream, 8 a connection, 128 in all, and who pays when it is too much."""

import os
import struct
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT
from tests.support.strangers import Stranger, stranger

from unhush.gossip.net.host import Host
from unhush.gossip.net.wire import muxer
from unhush.gossip.proto.tally import Met

MIB = 1024 * 1024
CHUNK = bytes(60_000)


async def never_read(_: object) -> None:
    await trio.sleep_forever()


async def pour(peer: Stranger, total: int) -> int:
    """Fill streams that nobody reads, 900 kB each, until cut; how much went out."""
    sent = 0
    number = 0
    while sent < total and not peer.is_cut:
        try:
            stream = await peer.stream(f"/unread/{number}")
        except Exception:
            break
        number += 1
        header = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, stream.stream_id, len(CHUNK))
        for _ in range(min(15, -(-(total - sent) // len(CHUNK)))):
            if peer.is_cut:
                break
            try:
                await peer.muxed._write_frame(header + CHUNK)
            except Exception:
                return sent
            sent += len(CHUNK)
    return sent


def serve(host: Host) -> None:
    for number in range(10):
        host.handle(f"/unread/{number}", never_read)


def test_when_too_much_is_unread_in_all_whoever_holds_most_is_cut(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muxer, "MAX_UNREAD_BYTES", 4 * MIB)

    async def scene() -> None:
        async with our_host() as ours, stranger(ours.addresses()[0]) as honest, AsyncExitStack() as hogs:
            serve(ours)
            await pour(honest, 200_000)
            await until(lambda: ours.unread_bytes() >= 200_000)
            for _ in range(6):
                hog = await hogs.enter_async_context(stranger(ours.addresses()[0]))
                await pour(hog, 3_000_000)
                assert ours.unread_bytes() <= 4 * MIB + 2 * len(CHUNK)
            await pour(honest, 100_000)
            await until(lambda: ours.tally.read()[Met.UNREAD_CUT] >= 4)
            assert honest.peer_id in {peer.peer_id for peer in ours.connected()}, "who holds little stays"
            assert not honest.is_cut

    run(scene)


@pytest.mark.long
def test_400_mb_from_60_peers_leave_at_most_128_mib_unread(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours, trio.open_nursery() as nursery:
            serve(ours)
            before, highest, sent = rss_bytes(), 0, 0
            async with AsyncExitStack() as hogs:
                for _ in range(60):
                    hog = await hogs.enter_async_context(stranger(ours.addresses()[0]))
                    sent += await pour(hog, 7_000_000)
                    highest = max(highest, ours.unread_bytes())
                assert sent >= 400_000_000
                assert highest <= muxer.MAX_UNREAD_BYTES + MIB
                grown = rss_bytes() - before
                print(f"{sent / MIB:.0f} MiB sent, {highest / MIB:.0f} MiB unread, {grown / MIB:.0f} MiB grown")
                assert grown <= 200 * MIB
            nursery.cancel_scope.cancel()

    run(scene)


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
