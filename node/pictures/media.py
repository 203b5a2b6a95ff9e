"""Media of a home: pictures taken in for a post or a portrait, and looked at again."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from unhush.identity.cid import Cid
from unhush.node.errors import BlobMissing, BlobsUnusable, BlobTooLarge, ImageRefused, StoreFull
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.blobs.formats import MARK_BYTES, find_image_type
from unhush.storage.blobs.images import MAX_IMAGE_BYTES, Picture, draw_small, remake_image
from unhush.storage.blobs.thumbs import Thumbs
from unhush.storage.kinds import Media

# What cannot be drawn is offered as a file, under a name that runs nothing.
UNKNOWN_TYPE: Final = "application/octet-stream"


class MediaFiles:
    """What is here of the media that records name. Thread- and process-safe."""

    def __init__(self, blobs: Blobs, thumbs: Thumbs) -> None:
        self._blobs = blobs
        self._thumbs = thumbs

    def attach(self, picture: str | Path | bytes, alt: str) -> Media:
        """Take a picture in, by path or by its bytes, for a post that is written within a day.

        It is written anew, without anything the camera or a program noted in it. ``alt`` says what it shows to those
        who do not see it. Raises ``ImageRefused``, ``BlobTooLarge``, ``MalformedRecord``, ``StoreFull``.
        """
        made = remake_image(picture) if isinstance(picture, bytes) else _remake_file(Path(picture))
        Media(_ANY, made.mime, len(made.data), alt)  # an alt text that will not do is refused before anything is kept
        cid, size = self._blobs.put(io.BytesIO(made.data), max_bytes=MAX_IMAGE_BYTES)
        self._keep_thumb(cid, made.thumb)
        return Media(cid, made.mime, size, alt, made.width, made.height)

    def hold(self, cids: Sequence[Cid]) -> None:
        """Keep gc away from blobs until the record that names them is written; raises ``BlobMissing``."""
        for cid in cids:
            self._blobs.hold(cid)

    def has(self, cid: Cid) -> bool:
        return self._blobs.has(cid)

    def size(self, cid: Cid) -> int:
        """Bytes of a blob that is here whole; raises ``BlobMissing``."""
        if not self._blobs.has(cid):
            raise BlobMissing(f"blob {cid} is not here yet")
        return self._blobs.size(cid)

    def type(self, cid: Cid) -> str:
        """What a blob is, by its own first bytes; never what its author says. Raises ``BlobMissing``."""
        head = b"".join(self._blobs.iter_range(cid, 0, MARK_BYTES))
        return find_image_type(head) or UNKNOWN_TYPE

    def iter_range(self, cid: Cid, start: int, stop: int) -> Iterator[bytes]:
        """Bytes of a blob, checked; raises ``BlobMissing``, also halfway."""
        return self._blobs.iter_range(cid, start, stop)

    def thumb(self, cid: Cid) -> bytes:
        """A small picture (WebP) of a blob, drawn by us; raises ``BlobMissing``, ``ImageRefused``."""
        thumb = self._thumbs.find(cid)
        if thumb is None:
            thumb = self._make_thumb(cid)
        if not thumb:
            raise ImageRefused(f"blob {cid} is no picture we open")
        return thumb

    def _make_thumb(self, cid: Cid) -> bytes:
        try:
            self.size(cid)
            thumb = draw_small(self._blobs.read(cid, max_bytes=MAX_IMAGE_BYTES))
        except (ImageRefused, BlobTooLarge):
            thumb = b""  # remembered, or every look at the page would try again
        self._keep_thumb(cid, thumb)
        return thumb

    def _keep_thumb(self, cid: Cid, thumb: bytes) -> None:
        with contextlib.suppress(StoreFull, BlobsUnusable):  # made again when somebody looks
            self._thumbs.put(cid, thumb)


def _remake_file(path: Path) -> Picture:
    """Raises as ``remake_image``, with the name of the file: it may be one of eight."""
    data = _read_file(path)
    try:
        return remake_image(data)
    except (ImageRefused, BlobTooLarge) as exc:
        raise type(exc)(f"{path}: {exc}") from exc


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_IMAGE_BYTES + 1)
    except OSError as exc:
        raise ImageRefused(f"{path} cannot be read: {exc.strerror}") from exc


# In place of an id that is not known yet.
_ANY: Final = Cid(bytes((0x01, 0x55, 0x12, 0x20)) + bytes(32))
