"""Blobs: what goes in comes out, in any range; what is damaged, hostile or cut short never passes for it."""

import io
import json
import os
import stat
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.processes import child

from unhush.identity.cid import Cid, cid_of, cid_of_raw
from unhush.identity.codec import encode
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.blobs.manifest import (
    CHUNK_BYTES,
    MAX_BLOB_BYTES,
    MAX_CHUNKS,
    MAX_MANIFEST_BYTES,
    Manifest,
    parse_manifest,
)
from unhush.storage.errors import (
    BlobDamaged,
    BlobMismatch,
    BlobMissing,
    BlobsUnusable,
    BlobTooLarge,
    StoreFull,
)

LONG = bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"the rest"  # four chunks, the first three of them the same
KILLS = 8


def varied(size: int) -> bytes:
    """Bytes of which no two chunks are the same."""
    return b"".join(sha256(str(number).encode()).digest() for number in range(size // 32 + 1))[:size]


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path)


def put(blobs: Blobs, data: bytes) -> Cid:
    cid, size = blobs.put(io.BytesIO(data))
    assert size == len(data)
    return cid


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")


def file_of(blobs: Blobs, cid: Cid) -> Path:
    name = cid.digest.hex()
    return blobs.folder.path / name[:2] / name[2:]


# -- the format


VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "blobs.json").read_text())


@pytest.mark.parametrize("case", VECTORS["good"], ids=lambda case: case["name"])
def test_the_same_bytes_have_the_id_that_any_other_program_gives_them(blobs: Blobs, case: dict[str, Any]) -> None:
    data = b"".join(bytes.fromhex(part) * times for part, times in case["bytes"])

    cid = put(blobs, data)

    assert str(cid) == case["cid"]
    assert blobs.size(cid) == case["size"]
    if "manifest" in case:
        block = bytes.fromhex(case["manifest"])
        assert blobs.folder.read(cid.digest, max_bytes=MAX_MANIFEST_BYTES) == block
        assert parse_manifest(block).encode() == block


@pytest.mark.parametrize("case", VECTORS["bad"], ids=lambda case: case["name"])
def test_no_other_program_could_make_us_take_a_bad_manifest(case: dict[str, str]) -> None:
    with pytest.raises(BlobMismatch):
        parse_manifest(bytes.fromhex(case["bytes"]))


# -- in and out


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 700_001])
def test_a_blob_comes_out_as_it_went_in(blobs: Blobs, size: int) -> None:
    data = varied(size)

    cid = put(blobs, data)

    assert cid.is_dag_cbor is (size > CHUNK_BYTES)
    assert blobs.has(cid)
    assert blobs.missing(cid) == ()
    assert blobs.size(cid) == size
    assert blobs.read(cid) == data


def test_up_to_256_kib_the_id_is_that_of_the_bytes_and_above_that_of_the_list_of_chunks(blobs: Blobs) -> None:
    short, long = varied(CHUNK_BYTES), varied(CHUNK_BYTES + 5)

    assert put(blobs, short) == cid_of_raw(short)
    chunks = [cid_of_raw(long[:CHUNK_BYTES]), cid_of_raw(long[CHUNK_BYTES:])]
    assert put(blobs, long) == cid_of(encode({"size": len(long), "chunks": chunks}))


def test_a_source_that_gives_little_at_a_time_makes_the_same_blob(blobs: Blobs) -> None:
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 7_001))

    assert blobs.put(Dribble(LONG)) == blobs.put(io.BytesIO(LONG))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Blobs, dict[Cid, bytes]]:
    blobs = Blobs(tmp_path_factory.mktemp("kept"))
    return blobs, {put(blobs, data): data for data in (b"", b"short", varied(3 * CHUNK_BYTES), LONG)}


edges = st.sampled_from(
    [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(LONG), len(LONG) + 9]
)
places = edges | st.integers(0, len(LONG) + 10)


@given(data=st.data(), start=places, stop=places | st.none())
@settings(max_examples=150)
def test_a_range_is_what_a_slice_of_the_bytes_would_be(
    kept: tuple[Blobs, dict[Cid, bytes]], data: st.DataObject, start: int, stop: int | None
) -> None:
    blobs, whole = kept
    cid = data.draw(st.sampled_from(sorted(whole)))

    parts = list(blobs.iter_range(cid, start, stop))

    assert b"".join(parts) == whole[cid][start:stop]
    assert all(parts)


def test_a_range_reads_no_more_chunks_than_it_covers(blobs: Blobs) -> None:
    data = varied(3 * CHUNK_BYTES)
    cid = put(blobs, data)
    file_of(blobs, cid_of_raw(data[:CHUNK_BYTES])).unlink()

    assert b"".join(blobs.iter_range(cid, CHUNK_BYTES, CHUNK_BYTES + 10)) == data[CHUNK_BYTES : CHUNK_BYTES + 10]
    with pytest.raises(BlobMissing):
        blobs.read(cid)


def test_what_is_too_long_is_refused_and_is_no_blob(blobs: Blobs) -> None:
    with pytest.raises(BlobTooLarge, match="1,000,000"):
        blobs.put(io.BytesIO(bytes(1_000_001)), max_bytes=1_000_000)

    assert not any(True for digest, _ in blobs.iter_blocks() if blobs.find_chunks(digest))
    assert blobs.put(io.BytesIO(bytes(1_000_000)), max_bytes=1_000_000)[1] == 1_000_000


def test_a_blob_can_be_taken_away(blobs: Blobs) -> None:
    cid = put(blobs, varied(600_000))

    assert blobs.remove(cid) == 4
    assert not blobs.has(cid)
    assert blobs.missing(cid) == (cid,)
    assert list(blobs.iter_blocks()) == []
    assert blobs.remove(cid) == 0


def test_nobody_else_can_read_the_files(blobs: Blobs) -> None:
    put(blobs, LONG)

    for path in (blobs.folder.path, *blobs.folder.path.rglob("*")):
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600), path


# -- from elsewhere


def test_a_blob_is_built_from_blocks_in_any_order_and_says_what_it_lacks(blobs: Blobs, tmp_path: Path) -> None:
    data = varied(3 * CHUNK_BYTES)
    cid = put(blobs, data)
    manifest = blobs.folder.read(cid.digest, max_bytes=MAX_MANIFEST_BYTES)
    assert manifest is not None
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    other = Blobs(tmp_path / "other")

    assert other.missing(cid) == (cid,)
    other.put_block(cid_of_raw(chunks[1]), chunks[1])
    other.put_block(cid, manifest)
    assert other.missing(cid) == (cid_of_raw(chunks[0]), cid_of_raw(chunks[2]))
    assert not other.has(cid)
    for chunk in chunks:
        other.put_block(cid_of_raw(chunk), chunk)
    assert other.has(cid)
    assert other.read(cid) == data


def test_a_block_that_is_not_what_it_is_given_as_is_refused(blobs: Blobs) -> None:
    for cid, block in (
        (cid_of_raw(b"this"), b"that"),
        (cid_of(b"no manifest"), b"no manifest"),
        (cid_of_raw(bytes(CHUNK_BYTES + 1)), bytes(CHUNK_BYTES + 1)),
        (cid_of(bytes(MAX_MANIFEST_BYTES + 1)), bytes(MAX_MANIFEST_BYTES + 1)),
    ):
        with pytest.raises(BlobMismatch):
            blobs.put_block(cid, block)
    assert files_below(blobs.folder.path) == []


CHUNK = cid_of_raw(b"a chunk")
HOSTILE: dict[str, object] = {
    "no map": [1, 2],
    "no size": {"chunks": [CHUNK, CHUNK]},
    "a size that is no number": {"size": True, "chunks": [CHUNK, CHUNK]},
    "a text as size": {"size": "300000", "chunks": [CHUNK, CHUNK]},
    "a size below zero": {"size": -1, "chunks": []},
    "a size for one block": {"size": CHUNK_BYTES, "chunks": [CHUNK]},
    "a huge size": {"size": 2**63 - 1, "chunks": [CHUNK, CHUNK]},
    "a size just too large": {"size": MAX_BLOB_BYTES + 1, "chunks": [CHUNK] * (MAX_CHUNKS + 1)},
    "too few chunks": {"size": 2 * CHUNK_BYTES + 1, "chunks": [CHUNK, CHUNK]},
    "too many chunks": {"size": CHUNK_BYTES + 1, "chunks": [CHUNK, CHUNK, CHUNK]},
    "chunks that are no links": {"size": CHUNK_BYTES + 1, "chunks": [b"1", b"2"]},
    "chunks that are no list": {"size": CHUNK_BYTES + 1, "chunks": {"a": CHUNK}},
    "a manifest as chunk": {"size": CHUNK_BYTES + 1, "chunks": [CHUNK, cid_of(b"")]},
    "something more": {"size": CHUNK_BYTES + 1, "chunks": [CHUNK, CHUNK], "type": "image/png"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused(blobs: Blobs, name: str) -> None:
    block = encode(HOSTILE[name])  # type: ignore[arg-type]  # some of them are no values of ours, which is the point
    with pytest.raises(BlobMismatch):
        parse_manifest(block)
    with pytest.raises(BlobMismatch):
        blobs.put_block(cid_of(block), block)

    # Even if it got to the disk in some other way.
    blobs.folder.write(sha256(block).digest(), block)
    assert not blobs.has(cid_of(block))
    with pytest.raises(BlobMismatch):
        blobs.read(cid_of(block))


def test_a_manifest_in_another_encoding_is_refused() -> None:
    good = Manifest(CHUNK_BYTES + 1, (CHUNK, CHUNK)).encode()
    assert parse_manifest(good).encode() == good

    for bad in (good + b"\x00", b"\xbf" + good[1:] + b"\xff", good[:-1], b""):
        with pytest.raises(BlobMismatch):
            parse_manifest(bad)


def test_a_manifest_can_be_read_as_bytes_and_leads_no_further(blobs: Blobs) -> None:
    """A raw link to a manifest is a link to its bytes: nothing can contain itself."""
    long = put(blobs, varied(CHUNK_BYTES + 1))
    block = blobs.folder.read(long.digest, max_bytes=MAX_MANIFEST_BYTES)
    assert block is not None

    assert blobs.read(cid_of_raw(block)) == block


def test_a_manifest_whose_chunks_have_other_lengths_gives_nothing_of_them(blobs: Blobs) -> None:
    chunks = tuple(put(blobs, each) for each in (b"short", b"shorter"))
    lie = Manifest(CHUNK_BYTES + 1, chunks)
    blobs.put_block(lie.cid, lie.encode())

    assert not blobs.has(lie.cid)
    with pytest.raises(BlobMissing):
        blobs.read(lie.cid)
    assert blobs.read(chunks[0]) == b"short"  # itself it is what it is


def test_a_manifest_of_the_most_chunks_fits_into_a_block() -> None:
    assert len(Manifest(MAX_BLOB_BYTES, (CHUNK,) * MAX_CHUNKS).encode()) <= MAX_MANIFEST_BYTES


# -- damage and links


@pytest.mark.parametrize("how", ["a flipped bit", "cut short", "longer", "empty"])
@pytest.mark.parametrize("which", ["chunk", "manifest"])
def test_a_damaged_block_is_named_put_aside_and_can_be_brought_again(blobs: Blobs, how: str, which: str) -> None:
    data = varied(2 * CHUNK_BYTES)
    cid = put(blobs, data)
    broken = cid if which == "manifest" else cid_of_raw(data[CHUNK_BYTES:])
    path = file_of(blobs, broken)
    good = path.read_bytes()
    flipped = bytes([good[0] ^ 1]) + good[1:]
    bad = {"a flipped bit": flipped, "cut short": good[:-1], "longer": good + b"!", "empty": b""}[how]
    path.write_bytes(bad)

    with pytest.raises(BlobMissing) as raised:
        blobs.read(cid)
    longest = len(good) == CHUNK_BYTES and how == "longer"  # more than is ever read: no block at all
    assert longest or (isinstance(raised.value, BlobDamaged) and not path.exists())

    assert not blobs.has(cid)
    assert broken in blobs.missing(cid)
    if not longest:
        assert (blobs.folder.path / "damaged" / broken.digest.hex()).read_bytes() == bad  # not thrown away
    blobs.put_block(broken, good)
    assert blobs.read(cid) == data


def test_a_search_for_damage_finds_every_block_that_is(blobs: Blobs) -> None:
    cids = [put(blobs, varied(1_000 + number)) for number in range(20)]
    for cid in cids[:3]:
        file_of(blobs, cid).write_bytes(b"?")
    file_of(blobs, cids[3]).write_bytes(bytes(CHUNK_BYTES + 1))

    assert {cid.digest for cid in blobs.iter_damaged()} == {cid.digest for cid in cids[:4]}
    assert list(blobs.iter_damaged()) == []
    assert [blobs.has(cid) for cid in cids] == [False] * 4 + [True] * 16


def test_taking_the_same_file_in_again_heals_it(blobs: Blobs) -> None:
    cid = put(blobs, b"words")
    file_of(blobs, cid).write_bytes(b"wards")

    assert put(blobs, b"words") == cid
    assert blobs.read(cid) == b"words"


def test_a_link_in_the_folder_leads_nobody_out(blobs: Blobs, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret")
    cid = put(blobs, b"a secret")
    file_of(blobs, cid).unlink()
    file_of(blobs, cid).symlink_to(secret)

    assert not blobs.has(cid)
    assert not blobs.folder.touch(cid.digest)
    with pytest.raises(BlobMissing):
        blobs.read(cid)
    put(blobs, b"a secret")
    assert not file_of(blobs, cid).is_symlink()
    assert blobs.read(cid) == b"a secret"
    assert secret.read_bytes() == b"a secret"


@pytest.mark.parametrize("place", ["shard", "new", "whole"])
def test_a_folder_that_is_a_link_is_refused_by_name_and_nothing_goes_through_it(
    blobs: Blobs, tmp_path: Path, place: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    cid = cid_of_raw(b"words")
    folder = blobs.folder.path
    if place == "whole":
        folder.symlink_to(outside)
    else:
        folder.mkdir()
        (folder / {"shard": cid.digest.hex()[:2], "new": "new"}[place]).symlink_to(outside)

    with pytest.raises(BlobsUnusable):
        put(blobs, b"words")
    assert list(outside.iterdir()) == []


def test_a_fifo_in_the_folder_holds_nobody_up(blobs: Blobs) -> None:
    cid = put(blobs, b"words")
    file_of(blobs, cid).unlink()
    os.mkfifo(file_of(blobs, cid))

    assert not blobs.has(cid)
    with pytest.raises(BlobMissing):
        blobs.read(cid)


# -- no room, no permission, no time


def test_a_disk_without_room_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with child("tests.support.blobber", str(tmp_path), "limited") as limited:
        assert limited.finish() == ["StoreFull"]

    blobs = Blobs(tmp_path)
    assert files_below(tmp_path / "blobs") == []
    assert blobs.read(put(blobs, LONG)) == LONG


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_bytes(b"in the way")

    with pytest.raises(BlobsUnusable):
        put(Blobs(tmp_path), b"words")


def test_a_source_that_fails_halfway_makes_no_blob(blobs: Blobs) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > CHUNK_BYTES:
                raise OSError("the stick was pulled out")
            return super().read(size)

    source: BinaryIO = Failing(varied(4 * CHUNK_BYTES))
    with pytest.raises(OSError, match="pulled out"):
        blobs.put(source)
    assert not any(blobs.find_chunks(digest) for digest, _ in blobs.iter_blocks())


def test_a_kill_during_an_import_leaves_whole_files_and_half_ones_only_where_they_are_swept() -> None:
    for kill in range(KILLS):
        with TemporaryDirectory() as home:
            blobs = Blobs(Path(home))
            with child("tests.support.blobber", home, "import") as importer:
                said = [importer.line() for _ in range(kill % 4)]  # each line is the id of a blob that is durable
                said += importer.kill()

            assert list(blobs.iter_damaged()) == []
            for line in said:
                text, _, size = line.partition(" ")
                (cid,) = [Cid(bytes.fromhex(text))]
                assert len(blobs.read(cid)) == int(size)
            leftovers = list((blobs.folder.path / "new").glob("*")) if (blobs.folder.path / "new").exists() else []
            assert blobs.folder.sweep_leftovers() == 0  # it may still be at work
            for leftover in leftovers:
                os.utime(leftover, (0, 0))
            assert blobs.folder.sweep_leftovers() == len(leftovers)
            assert {digest for digest, _ in blobs.iter_blocks()} == {
                sha256(path.read_bytes()).digest() for path in files_below(blobs.folder.path)
            }


def test_a_full_disk_is_told_from_other_trouble(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(StoreFull):
        put(blobs, b"words")
    monkeypatch.undo()
    assert files_below(blobs.folder.path) == []
