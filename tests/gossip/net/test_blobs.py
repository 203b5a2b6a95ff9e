"""Fetching blobs from peers who lie, refuse, stop in the middle or ask for what is not theirs to ask."""

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from unhush.gossip.errors import StreamRefused
from unhush.gossip.net.host import Host, Stream
from unhush.gossip.net.sync import blobs as blobs_module
from unhush.gossip.net.sync.blobs import BlobService
from unhush.gossip.proto import uploading
from unhush.gossip.proto.blocks import PROTOCOL, BlockAnswer, encode_answer, parse_answer, parse_request
from unhush.gossip.proto.faults import MalformedFrame
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid, cid_of_raw
from unhush.identity.codec import encode
from unhush.storage.blobs.manifest import CHUNK_BYTES, Manifest
from unhush.storage.errors import BlobsUnusable
from unhush.storage.store import Store

ANYBODY = cid_of_raw(b"whoever")
SMALL = b"a small picture"
LARGE = b"".join(bytes([number]) * CHUNK_BYTES for number in range(3)) + b"rest"


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path / "home", network="test", clock_ms=lambda: 1_000_000) as opened:
        yield opened


def giving(host: Host, block_of: Callable[[Cid], bytes | None]) -> None:
    """Let a host answer every question with what ``block_of`` says."""

    async def serve(stream: Stream) -> None:
        deframer = Deframer()
        while chunk := await stream.read():
            for payload in deframer.feed(chunk):
                for cid in parse_request(payload).blocks:
                    await stream.write(frame(encode_answer(BlockAnswer(block_of(cid)))))

    host.handle(PROTOCOL, serve)


def faults_of(host: Host, peer: Host) -> int:
    return len(host._faults._faults.get(peer.peer_id, ()))


def whole(data: bytes, tmp_path: Path) -> tuple[Cid, dict[Cid, bytes]]:
    """A blob as its id and its blocks."""
    with Store(tmp_path / "elsewhere", network="test", clock_ms=lambda: 0) as store:
        blob, _ = store.blobs.put(io.BytesIO(data))
        blocks = {cid: store.blobs.find_block(blob, cid) for cid in store.blobs._blocks(blob)}
    return blob, blocks


def test_a_blob_comes_from_whoever_gives_it_and_lies_cost_the_liar(
    run: Any, our_host: Any, store: Store, tmp_path: Path
) -> None:
    blob, blocks = whole(LARGE, tmp_path)

    async def scene() -> None:
        async with our_host() as me, our_host() as liar, our_host() as miser, our_host() as giver:
            giving(liar, lambda cid: blocks[cid][:-1] + b"!")
            giving(miser, lambda cid: None)
            giving(giver, blocks.__getitem__)
            for other in (liar, miser, giver):
                await me.dial(other.addresses()[0])
            service = BlobService(me, store, lambda _: (liar.peer_id, miser.peer_id, giver.peer_id))

            assert await service.fetch(blob, ANYBODY)

            assert store.blobs.read(blob) == LARGE
            assert [faults_of(me, peer) for peer in (liar, miser, giver)] == [1, 0, 0]

    run(scene)


def test_a_manifest_that_lies_about_its_chunks_is_not_asked_for_ever(run: Any, our_host: Any, store: Store) -> None:
    short = b"x" * 100
    manifest = Manifest(2 * CHUNK_BYTES, (cid_of_raw(short), cid_of_raw(short + b"y")))
    blocks = {manifest.cid: manifest.encode(), cid_of_raw(short): short, cid_of_raw(short + b"y"): short + b"y"}

    async def scene() -> None:
        async with our_host() as me, our_host() as giver:
            asked: list[Cid] = []

            def give(cid: Cid) -> bytes:
                asked.append(cid)
                return blocks[cid]

            giving(giver, give)
            await me.dial(giver.addresses()[0])
            service = BlobService(me, store, lambda _: (giver.peer_id,))

            assert not await service.fetch(manifest.cid, ANYBODY)
            assert len(asked) == 3

    run(scene)


def test_who_stops_in_the_middle_is_left_for_another(
    run: Any, our_host: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs_module, "BLOCK_TIMEOUT_S", 0.5)
    blob, blocks = whole(LARGE, tmp_path)

    async def hang(stream: Stream) -> None:
        await stream.read()
        await stream.write(frame(encode_answer(BlockAnswer(blocks[blob])))[:40])
        await trio.sleep_forever()

    async def scene() -> None:
        async with our_host() as me, our_host() as sleeper, our_host() as giver:
            sleeper.handle(PROTOCOL, hang)
            giving(giver, blocks.__getitem__)
            for other in (sleeper, giver):
                await me.dial(other.addresses()[0])
            service = BlobService(me, store, lambda _: (sleeper.peer_id, giver.peer_id))

            assert await service.fetch(blob, ANYBODY)

    run(scene)


def test_who_gives_nothing_in_time_is_asked_last_from_then_on(
    run: Any, our_host: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs_module, "PEER_S", 0.5)
    blob, blocks = whole(LARGE, tmp_path)
    asked: list[str] = []

    async def scene() -> None:
        async with our_host() as me, our_host() as sleeper, our_host() as giver:

            async def hang(stream: Stream) -> None:
                asked.append("sleeper")
                await trio.sleep_forever()

            def give(cid: Cid) -> bytes:
                asked.append("giver")
                return blocks[cid]

            sleeper.handle(PROTOCOL, hang)
            giving(giver, give)
            for other in (sleeper, giver):
                await me.dial(other.addresses()[0])
            service = BlobService(me, store, lambda _: (sleeper.peer_id, giver.peer_id))

            assert await service.fetch(blob, ANYBODY)
            assert asked[0] == "sleeper"
            asked.clear()
            store.blobs.remove(blob)
            assert await service.fetch(blob, ANYBODY)
            assert set(asked) == {"giver"}

    run(scene)


def test_what_nobody_looks_at_is_fetched_as_far_as_its_manifest_says_it_is_small(
    run: Any, our_host: Any, store: Store, tmp_path: Path
) -> None:
    blob, blocks = whole(LARGE, tmp_path)

    async def scene() -> None:
        async with our_host() as me, our_host() as giver:
            giving(giver, blocks.__getitem__)
            await me.dial(giver.addresses()[0])
            service = BlobService(me, store, lambda _: (giver.peer_id,))

            assert not await service.fetch(blob, ANYBODY, max_bytes=len(LARGE) - 1)
            assert store.blobs.bytes_here(blob) == len(blocks[blob]), "the manifest alone"
            assert await service.fetch(blob, ANYBODY, max_bytes=len(LARGE))

    run(scene)


def test_a_folder_that_cannot_be_read_ends_no_network(
    run: Any, our_host: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Cid) -> bool:
        raise BlobsUnusable("no such luck")

    monkeypatch.setattr(store.blobs, "missing", fail)

    async def scene() -> None:
        async with our_host() as me:
            assert not await BlobService(me, store, lambda _: ()).fetch(ANYBODY, ANYBODY)

    run(scene)


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"\xff",
        encode({"blob": ANYBODY, "blocks": []}),
        encode({"blob": ANYBODY, "blocks": [ANYBODY] * 17}),
        encode({"blob": "all", "blocks": [ANYBODY]}),
        encode({"blocks": [ANYBODY]}),
        encode({"blob": ANYBODY, "blocks": [b"x"]}),
    ],
    ids=["empty", "no map", "no blocks", "too many", "a text", "no blob", "no link"],
)
def test_a_question_that_is_none_is_the_askers_fault(
    run: Any, our_host: Any, until: Any, store: Store, question: bytes
) -> None:
    with pytest.raises(MalformedFrame):
        parse_request(question)

    async def scene() -> None:
        async with our_host() as me, our_host() as asker:
            BlobService(me, store, lambda _: ()).serve()
            await asker.dial(me.addresses()[0])
            stream = await asker.open_stream(me.peer_id, PROTOCOL)
            await stream.write(frame(question))
            await until(lambda: faults_of(me, asker) == 1)

    run(scene)


def test_nothing_is_given_that_no_record_shows(run: Any, our_host: Any, store: Store) -> None:
    blob, _ = store.blobs.put(io.BytesIO(SMALL))

    async def scene() -> None:
        async with our_host() as me, our_host() as asker:
            BlobService(me, store, lambda _: ()).serve()
            await asker.dial(me.addresses()[0])
            stream = await asker.open_stream(me.peer_id, PROTOCOL)
            await stream.write(frame(encode({"blob": blob, "blocks": [blob]})))
            answers = Deframer().feed(await stream.read())
            assert [parse_answer(answer).block for answer in answers] == [None]

    run(scene)


def test_what_is_asked_beyond_a_share_or_waited_for_beyond_the_bound_is_counted(
    run: Any, our_host: Any, until: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with our_host() as me, our_host() as asker:
            service = BlobService(me, store, lambda _: ())
            service.serve()
            await asker.dial(me.addresses()[0])
            for _ in range(blobs_module.MAX_SERVED_PER_PEER + 2):
                with suppress(StreamRefused):  # one too many may be closed before its protocol is agreed on
                    await asker.open_stream(me.peer_id, PROTOCOL)  # and nothing is asked
            await until(lambda: me.tally.read()[Met.PICTURE_REFUSED] == 2)
            monkeypatch.setattr(blobs_module, "MAX_WAITING", 0)
            assert not await service.fetch(ANYBODY, ANYBODY)
            assert me.tally.read()[Met.PICTURE_NOT_FETCHED] == 1

    run(scene)


@pytest.mark.parametrize(
    "answer",
    [b"", encode({}), encode({"block": "text"}), encode({"block": b"x" * 262_145})],
    ids=["empty", "nothing", "text", "too long"],
)
def test_an_answer_that_is_none_is_a_fault(answer: bytes) -> None:
    with pytest.raises(MalformedFrame):
        parse_answer(answer)


def test_blocks_are_given_no_faster_than_the_rate(
    run: Any, our_host: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "PEER_BYTES_PER_S", CHUNK_BYTES)
    monkeypatch.setattr(BlobService, "_may_give", lambda _self, _blob: True)
    blob, _ = store.blobs.put(io.BytesIO(LARGE))
    with Store(tmp_path / "elsewhere", network="test", clock_ms=lambda: 0) as elsewhere:

        async def scene() -> None:
            async with our_host() as giver, our_host() as asker:
                BlobService(giver, store, lambda _: ()).serve()
                await asker.dial(giver.addresses()[0])
                began = trio.current_time()
                assert await BlobService(asker, elsewhere, lambda _: (giver.peer_id,)).fetch(blob, ANYBODY)
                # Three chunks and a bit, the first of them at once.
                assert trio.current_time() - began >= 1.0

        run(scene)
        assert elsewhere.blobs.read(blob) == LARGE
