"""Blobs on the move: giving blocks to peers who ask, and fetching a blob from those who have it.

Blocks are files, so reading and writing them happens on threads beside the
network's loop. What a peer gets is what a record that is shown here names, and
nothing else that lies on this disk.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

import trio

from unhush.gossip.errors import NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import Host, Stream
from unhush.gossip.net.wire.payloads import Payloads
from unhush.gossip.proto.blocks import (
    MAX_BLOCKS,
    MAX_REQUESTS,
    PROTOCOL,
    BlockAnswer,
    BlockRequest,
    encode_answer,
    encode_request,
    parse_answer,
    parse_request,
)
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.tally import Met
from unhush.gossip.proto.uploading import Uploads
from unhush.identity.cid import Cid
from unhush.storage.errors import BlobMismatch, BlobMissing, BlobTooLarge, StorageError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# THREATS "slow peers": for one block, which a line of 40 kB/s has brought in 7 s.
BLOCK_TIMEOUT_S: Final = 60.0
# A question comes as soon as the stream is open, and the next once the answers are there.
REQUEST_TIMEOUT_S: Final = 60.0
# Streams served at a time, to all peers and to one: each holds one block in memory.
MAX_SERVED: Final = 16
MAX_SERVED_PER_PEER: Final = 4
# Blobs fetched at a time, unasked and because somebody looks at them; and those that wait for a place.
MAX_FETCHED: Final = 4
MAX_WAITING: Final = 256
# One peer is given so long for one blob. What came by then is kept, and another goes on; else four blobs that come a
# block a minute would keep all others waiting for a day.
PEER_S: Final = 120.0
# Who did not give anything in time is asked last for so long; so many of them are remembered.
SLOW_S: Final = 600.0
MAX_SLOW: Final = 256
# Peers asked for one blob before it counts as not to be had now.
MAX_ASKED: Final = 8
# Which peers to ask for what an account's record names, the likeliest first.
FindPeers = Callable[[Cid], Iterable[str]]


class BlobService:
    """Serves and fetches; lives on the network's loop."""

    def __init__(self, host: Host, store: Store, find_peers: FindPeers) -> None:
        self._host = host
        self._store = store
        self._find_peers = find_peers
        self._served: dict[str, int] = {}
        self._uploads = Uploads()
        self._fetching: dict[Cid, trio.Event] = {}
        self._room = trio.CapacityLimiter(MAX_FETCHED)
        self._room_for_looks = trio.CapacityLimiter(MAX_FETCHED)
        self._slow_at: dict[str, float] = {}

    # -- giving

    def serve(self) -> None:
        """Begin to answer peers."""
        self._host.handle(PROTOCOL, self._answer)

    async def _answer(self, stream: Stream) -> None:
        """Answer one peer's questions about one blob after the other; what breaks the rules raises."""
        mine = self._served.get(stream.peer_id, 0)
        if mine >= MAX_SERVED_PER_PEER or sum(self._served.values()) >= MAX_SERVED:
            self._host.tally.count(Met.PICTURE_REFUSED)
            await stream.reset()
            return
        self._served[stream.peer_id] = mine + 1
        try:
            await self._serve(stream)
        except StreamBroken as exc:
            log.debug("blob stream broke peer=%s reason=%s", stream.peer_id, exc)
        except trio.TooSlowError:
            log.debug("blob stream is too slow peer=%s", stream.peer_id)
            await stream.reset()
        finally:
            self._served[stream.peer_id] -= 1
            if not self._served[stream.peer_id]:
                del self._served[stream.peer_id]

    async def _serve(self, stream: Stream) -> None:
        frames = Payloads(stream)
        for _ in range(MAX_REQUESTS):
            with trio.fail_after(REQUEST_TIMEOUT_S):
                payload = await frames.next()
            if payload is None:
                break
            request = parse_request(payload)
            may_give = await trio.to_thread.run_sync(self._may_give, request.blob)
            for cid in request.blocks:
                block = None
                if may_give:
                    block = await trio.to_thread.run_sync(self._find_block, request.blob, cid)
                if block is not None:
                    await trio.sleep(self._uploads.book(stream.peer_id, len(block), trio.current_time()))
                with trio.fail_after(BLOCK_TIMEOUT_S):
                    await stream.write(frame(encode_answer(BlockAnswer(block))))
        await stream.close()

    def _may_give(self, blob: Cid) -> bool:
        """Whether a record shows it here; on a thread, for many may name it and show it no more."""
        try:
            with self._store.snapshot() as snapshot:
                return any(True for _ in snapshot.records_showing(blob))
        except StorageError as exc:  # ours, and not to be held against the peer
            log.warning("not known who shows a blob: %s", exc)
            return False

    def _find_block(self, blob: Cid, cid: Cid) -> bytes | None:
        """A block of a blob, if it is one and is here; on a thread."""
        try:
            return self._store.blobs.find_block(blob, cid)
        except (BlobMissing, BlobMismatch):
            return None
        except StorageError as exc:
            log.warning("a block could not be read: %s", exc)
            return None

    # -- fetching

    async def fetch(self, blob: Cid, account: Cid, *, max_bytes: int | None = None) -> bool:
        """Bring a blob here that a record of ``account`` names; whether it is here whole now.

        ``max_bytes``: nobody looks at it yet, and more than this is not fetched, whatever its author said of its size.
        """
        under_way = self._fetching.get(blob)
        if under_way is not None:
            await under_way.wait()
            return await self._has(blob)
        if len(self._fetching) >= MAX_WAITING:
            self._host.tally.count(Met.PICTURE_NOT_FETCHED)
            return False
        done = self._fetching[blob] = trio.Event()
        try:
            if await self._has(blob):
                return True
            async with self._room if max_bytes is not None else self._room_for_looks:
                for peer_id in islice(self._in_turn(account), MAX_ASKED):
                    if await self._fetch_from(peer_id, blob, max_bytes):
                        return True
            return False
        finally:
            done.set()
            del self._fetching[blob]

    async def _has(self, blob: Cid) -> bool:
        try:
            return await trio.to_thread.run_sync(self._store.blobs.has, blob)
        except StorageError as exc:
            log.warning("not known whether a blob is here: %s", exc)
            return False

    def _in_turn(self, account: Cid) -> list[str]:
        """Whom to ask, those last who lately gave nothing in time."""
        since = trio.current_time() - SLOW_S
        self._slow_at = {peer_id: at for peer_id, at in self._slow_at.items() if at > since}
        return sorted(self._find_peers(account), key=lambda peer_id: peer_id in self._slow_at)

    def _note_slow(self, peer_id: str) -> None:
        self._slow_at.pop(peer_id, None)
        self._slow_at[peer_id] = trio.current_time()
        if len(self._slow_at) > MAX_SLOW:
            del self._slow_at[next(iter(self._slow_at))]

    def _lacking(self, blob: Cid, max_bytes: int | None) -> tuple[Cid, ...]:
        """On a thread; raises ``BlobTooLarge``, and whatever ``Blobs.missing`` does."""
        missing = self._store.blobs.missing(blob)
        if max_bytes is not None and missing and blob not in missing:
            size = self._store.blobs.size(blob)
            if size > max_bytes:
                raise BlobTooLarge(f"{blob} has {size:,} bytes, and nobody looks at it")
        return missing

    async def _fetch_from(self, peer_id: str, blob: Cid, max_bytes: int | None) -> bool:
        """Whether a peer gave all that was lacking; what it gave is kept in any case."""
        try:
            async with await self._host.open_stream(peer_id, PROTOCOL) as stream:
                frames, asked = Payloads(stream), set[Cid]()
                with trio.fail_after(PEER_S):
                    while missing := await trio.to_thread.run_sync(self._lacking, blob, max_bytes):
                        # A manifest may lie about its chunks: then what was given is still missing, and stays so.
                        batch = missing[:MAX_BLOCKS]
                        if not asked.isdisjoint(missing) or not await self._ask(stream, frames, blob, batch):
                            return False
                        asked.update(batch)
                return True
        except trio.TooSlowError:
            log.debug("no blob in time from peer=%s", peer_id)
            self._note_slow(peer_id)
        except (StreamRefused, StreamBroken, NotConnected) as exc:
            log.debug("no blob from peer=%s reason=%s", peer_id, exc)
        except BlobTooLarge as exc:
            log.debug("blob left until somebody looks: %s", exc)
        except (SyncFault, BlobMismatch) as exc:
            self._host.report_fault(peer_id, f"{type(exc).__name__}: {exc}")
        except StorageError as exc:
            log.warning("a blob is not kept: %s", exc)
        return False

    async def _ask(self, stream: Stream, frames: Payloads, blob: Cid, blocks: Sequence[Cid]) -> bool:
        with trio.fail_after(BLOCK_TIMEOUT_S):
            await stream.write(frame(encode_request(BlockRequest(blob, tuple(blocks)))))
        for cid in blocks:
            with trio.fail_after(BLOCK_TIMEOUT_S):
                payload = await frames.next()
            if payload is None:
                return False
            block = parse_answer(payload).block
            if block is None:
                return False
            await trio.to_thread.run_sync(self._store.blobs.put_block, cid, block)
        return True
