"""What a blob is: one raw block, or a manifest that lists its chunks (docs/protocol.md, "Blobs").

The same bytes have the same id everywhere, so there is one way to cut them:
up to 256 KiB they are one raw block; above, chunks of 256 KiB and a rest, named
by the dag-cbor block ``{"size": bytes, "chunks": [raw links]}`` with nothing
else in it. A chunk is raw, so no manifest can lead to a manifest.
"""

from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.errors import MalformedBytes
from unhush.storage.errors import BlobMismatch

# What one block holds: small enough to be checked whole before its first byte is used.
CHUNK_BYTES: Final = 256 * 1024
# A link takes 41 bytes, so the longest list is 42 KiB and stays below the 64 KiB of any block.
MAX_CHUNKS: Final = 1_024
MAX_BLOB_BYTES: Final = MAX_CHUNKS * CHUNK_BYTES  # 256 MiB
MAX_MANIFEST_BYTES: Final = 64 * 1024
_KEYS: Final = frozenset(("size", "chunks"))


@dataclass(frozen=True, slots=True)
class Manifest:
    """The chunks of a blob of more than 256 KiB, in order."""

    size: int
    chunks: tuple[Cid, ...]

    def __post_init__(self) -> None:
        if not CHUNK_BYTES < self.size <= MAX_BLOB_BYTES:
            raise BlobMismatch(f"a manifest is for {CHUNK_BYTES + 1:,} to {MAX_BLOB_BYTES:,} bytes, not {self.size:,}")
        if len(self.chunks) != -(-self.size // CHUNK_BYTES):
            raise BlobMismatch(f"{self.size:,} bytes do not make {len(self.chunks)} chunks")
        if any(chunk.is_dag_cbor for chunk in self.chunks):
            raise BlobMismatch("a chunk is no raw block")

    def length_of(self, index: int) -> int:
        """How many bytes chunk ``index`` has."""
        return min(CHUNK_BYTES, self.size - index * CHUNK_BYTES)

    def encode(self) -> bytes:
        fields: dict[str, Value] = {"size": self.size, "chunks": list(self.chunks)}
        return encode(fields)

    @property
    def cid(self) -> Cid:
        return cid_of(self.encode())


def parse_manifest(block: bytes) -> Manifest:
    """Read a manifest; raises ``BlobMismatch`` for anything that is not the one form of one."""
    try:
        fields = decode_map(block, max_bytes=MAX_MANIFEST_BYTES)
    except MalformedBytes as exc:
        raise BlobMismatch(f"not a manifest: {exc}") from exc
    size, chunks = fields.get("size"), fields.get("chunks")
    if fields.keys() != _KEYS or type(size) is not int or not isinstance(chunks, list):
        raise BlobMismatch("a manifest has a size and a list of chunks, and nothing else")
    links = tuple(chunk for chunk in chunks if isinstance(chunk, Cid))
    if len(links) != len(chunks):
        raise BlobMismatch("a chunk of a manifest is no link")
    return Manifest(size, links)
