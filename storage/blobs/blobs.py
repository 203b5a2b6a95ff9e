"""The blobs of one home: taking files in, reading ranges of them, saying what is lacking.

A block is checked against its name before the first of its bytes is used, on
the way in and on every read. One that does not fit is put aside and counts as
not here: it can be fetched again, and what is left of it is not thrown away.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from unhush.identity.cid import RAW_PREFIX, Cid, cid_of_raw
from unhush.storage.blobs.folder import DigestFolder
from unhush.storage.blobs.manifest import (
    CHUNK_BYTES,
    MAX_BLOB_BYTES,
    MAX_MANIFEST_BYTES,
    Manifest,
    parse_manifest,
)
from unhush.storage.errors import BlobDamaged, BlobMismatch, BlobMissing, BlobsUnusable, BlobTooLarge, StoreFull

log = logging.getLogger(__name__)

# The larger of the two kinds of block.
MAX_BLOCK_BYTES: Final = max(CHUNK_BYTES, MAX_MANIFEST_BYTES)


class Blobs:
    """Every blob of a home, by its id. Thread- and process-safe; touches the disk only when asked."""

    def __init__(self, home: Path) -> None:
        self.folder = DigestFolder(home / "blobs")

    # -- taking in

    def put(self, source: BinaryIO, *, max_bytes: int = MAX_BLOB_BYTES) -> tuple[Cid, int]:
        """Take in what a file holds from where it stands: its id and size, durable when this returns.

        Raises ``BlobTooLarge`` above ``max_bytes``, ``StoreFull``, ``BlobsUnusable``; whatever it raises, no blob
        came to be, and chunks written until then are swept with the rest that no record names.
        """
        most = min(max_bytes, MAX_BLOB_BYTES)
        chunks: list[Cid] = []
        size = 0
        while chunk := _read_chunk(source):
            size += len(chunk)
            if size > most:
                raise BlobTooLarge(f"more than {most:,} bytes; that is the most this may have")
            chunks.append(self._put_block(cid_of_raw(chunk), chunk))
        match chunks:
            case []:
                return self._put_block(cid_of_raw(b""), b""), 0
            case [only]:
                return only, size
        # Last, so that whoever finds it finds the chunks.
        manifest = Manifest(size, tuple(chunks))
        return self._put_block(manifest.cid, manifest.encode()), size

    def put_block(self, cid: Cid, block: bytes) -> None:
        """Keep a block somebody gave us as ``cid``; raises ``BlobMismatch`` if it is not, and ``StoreFull``."""
        if len(block) > (MAX_MANIFEST_BYTES if cid.is_dag_cbor else CHUNK_BYTES):
            raise BlobMismatch(f"{len(block):,} bytes are too many for block {cid}")
        if sha256(block).digest() != cid.digest:
            raise BlobMismatch(f"these bytes are not block {cid}")
        if cid.is_dag_cbor:
            parse_manifest(block)
        self._put_block(cid, block)

    def _put_block(self, cid: Cid, block: bytes) -> Cid:
        # A block that is here already is read, not believed: it may be damaged, and this is the chance to heal it.
        # Held on to first, so that no sweep takes it in between.
        if not (self.folder.touch(cid.digest) and self.folder.read(cid.digest, max_bytes=len(block)) == block):
            self.folder.write(cid.digest, block)
        return cid

    def hold(self, cid: Cid) -> None:
        """Make a blob young again before a record that names it is written; raises ``BlobMissing``."""
        if not self.has(cid) or not all(self.folder.touch(block.digest) for block in self._blocks(cid)):
            raise BlobMissing(f"blob {cid} is not here")

    # -- looking

    def has(self, cid: Cid) -> bool:
        """Whether the whole blob is here, by name and length; the bytes are checked when they are read."""
        try:
            return not self.missing(cid)
        except BlobMismatch:
            return False

    def missing(self, cid: Cid) -> tuple[Cid, ...]:
        """The blocks to fetch, as far as can be told: the manifest first, its chunks once it is here.

        Raises ``BlobMismatch`` if the id is that of a dag-cbor block which is no manifest.
        """
        if not cid.is_dag_cbor:
            size = self.folder.size(cid.digest)
            return () if size is not None and size <= CHUNK_BYTES else (cid,)
        try:
            manifest = self._manifest(cid)
        except BlobMissing:
            return (cid,)
        return tuple(
            chunk
            for index, chunk in enumerate(manifest.chunks)
            if self.folder.size(chunk.digest) != manifest.length_of(index)
        )

    def size(self, cid: Cid) -> int:
        """How many bytes the blob has; raises ``BlobMissing``."""
        if cid.is_dag_cbor:
            return self._manifest(cid).size
        size = self.folder.size(cid.digest)
        if size is None or size > CHUNK_BYTES:
            raise BlobMissing(f"blob {cid} is not here")
        return size

    def bytes_here(self, cid: Cid) -> int:
        """How much of a blob is here, whole or not."""
        return sum(self.folder.size(block.digest) or 0 for block in dict.fromkeys(self._blocks(cid)))

    # -- reading

    def read(self, cid: Cid, *, max_bytes: int = MAX_BLOB_BYTES) -> bytes:
        """The whole blob; raises ``BlobMissing``, ``BlobTooLarge``."""
        if (size := self.size(cid)) > max_bytes:
            raise BlobTooLarge(f"blob {cid} has {size:,} bytes, more than {max_bytes:,}")
        return b"".join(self.iter_range(cid))

    def iter_range(self, cid: Cid, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from ``start`` to before ``stop``, as a slice of the blob would have them, chunk by chunk.

        Raises ``BlobMissing``, or ``BlobDamaged`` where a chunk is not what was written; what came before is right.
        """
        if start < 0 or (stop is not None and stop < 0):
            raise ValueError("a range counts from the beginning")
        if not cid.is_dag_cbor:
            if part := self._block(cid)[start:stop]:
                yield part
            return
        manifest = self._manifest(cid)
        stop = manifest.size if stop is None else min(stop, manifest.size)
        for index in range(start // CHUNK_BYTES, -(-stop // CHUNK_BYTES)):
            base = index * CHUNK_BYTES
            if part := self._chunk(manifest, index)[max(0, start - base) : stop - base]:
                yield part

    def _chunk(self, manifest: Manifest, index: int) -> bytes:
        chunk = self._block(manifest.chunks[index])
        if len(chunk) != manifest.length_of(index):  # whoever wrote the manifest lied; the chunk is what it says it is
            raise BlobMissing(f"manifest {manifest.cid} names a chunk that does not fit in")
        return chunk

    def _manifest(self, cid: Cid) -> Manifest:
        return parse_manifest(self._block(cid))

    def _block(self, cid: Cid) -> bytes:
        block = self.folder.read(cid.digest, max_bytes=MAX_BLOCK_BYTES)
        if block is None:
            raise BlobMissing(f"block {cid} is not here")
        if sha256(block).digest() != cid.digest:
            log.warning("blob block damaged block=%s", cid)
            with contextlib.suppress(StoreFull, BlobsUnusable):  # a disk that takes no write; said all the same
                self.folder.put_aside(cid.digest)
            raise BlobDamaged(f"block {cid} is damaged; it counts as not here")
        return block

    def find_block(self, blob: Cid, cid: Cid) -> bytes:
        """One block of a blob, checked: its only one, its manifest, or a chunk; raises ``BlobMissing``."""
        if cid != blob and not (blob.is_dag_cbor and cid in self._manifest(blob).chunks):
            raise BlobMissing(f"block {cid} is no part of blob {blob}")
        return self._block(cid)

    # -- the whole of it

    def remove(self, cid: Cid) -> int:
        """Take a blob away, manifest first; how many blocks that were. Chunks other blobs share go too."""
        blocks = self._blocks(cid)
        return sum(self.folder.remove(block.digest) for block in blocks)

    def _blocks(self, cid: Cid) -> tuple[Cid, ...]:
        if not cid.is_dag_cbor:
            return (cid,)
        try:
            return (cid, *self._manifest(cid).chunks)
        except (BlobMissing, BlobMismatch):
            return (cid,)

    def iter_blocks(self) -> Iterator[tuple[bytes, int]]:
        """Digest and size of every block kept, in no order worth knowing."""
        for digest in self.folder.iter_digests():
            size = self.folder.size(digest)
            if size is not None:
                yield digest, size

    def find_chunks(self, digest: bytes) -> tuple[bytes, ...]:
        """The digests of the chunks, if the block of this digest is here and a manifest; else none."""
        block = self.folder.read(digest, max_bytes=MAX_MANIFEST_BYTES)
        if block is None or sha256(block).digest() != digest:
            return ()
        try:
            return tuple(chunk.digest for chunk in parse_manifest(block).chunks)
        except BlobMismatch:
            return ()

    def iter_damaged(self, digests: Iterable[bytes] | None = None) -> Iterator[Cid]:
        """Read every block, or these, and name those that are not what was written; each is put aside."""
        for digest in self.folder.iter_digests() if digests is None else digests:
            cid = Cid(RAW_PREFIX + digest)
            try:
                self._block(cid)
            except BlobDamaged:
                yield cid
            except BlobMissing:
                # Longer than any block, or no file at all.
                if self.folder.size(digest) is not None:
                    with contextlib.suppress(StoreFull, BlobsUnusable):
                        self.folder.put_aside(digest)
                    yield cid


def _read_chunk(source: BinaryIO) -> bytes:
    """As many bytes as a chunk takes; fewer only at the end, also from a pipe that gives little at a time."""
    parts: list[bytes] = []
    lacking = CHUNK_BYTES
    while lacking and (part := source.read(lacking)):
        parts.append(part)
        lacking -= len(part)
    return b"".join(parts)
