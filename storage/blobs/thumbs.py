"""Small pictures of the pictures here: a cache of this home, never published, made again when lost.

Named by the blob they show. In front of each stands a SHA-256 of it, because
its name says nothing about its bytes; a file that does not fit counts as none.
An empty one remembers a blob that is no picture we open.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage.blobs.folder import DigestFolder
from unhush.storage.blobs.images import MAX_THUMB_BYTES

_SUM_BYTES: Final = 32


class Thumbs:
    """Thread- and process-safe."""

    def __init__(self, home: Path) -> None:
        self.folder = DigestFolder(home / "thumbs")

    def find(self, cid: Cid) -> bytes | None:
        """The small picture of a blob; empty if the blob was found to be no picture, None if nobody has looked."""
        data = self.folder.read(cid.digest, max_bytes=_SUM_BYTES + MAX_THUMB_BYTES)
        if data is None or sha256(data[_SUM_BYTES:]).digest() != data[:_SUM_BYTES]:
            return None
        return data[_SUM_BYTES:]

    def put(self, cid: Cid, thumb: bytes) -> None:
        """Raises ``StoreFull``, ``BlobsUnusable``."""
        self.folder.write(cid.digest, sha256(thumb).digest() + thumb)
