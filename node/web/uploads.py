"""Forms with files: read part by part as they arrive, each part under a bound, never the whole of it in memory.

The token is the first part, and the gate has judged it before the second is
looked at. Whoever reads on gets parts one after the other and skips what will
not do, so that the browser can finish sending and show the answer.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import BodyPartReader, MultipartReader, web

from unhush.node.web.errors import WebError
from unhush.storage.blobs.images import MAX_IMAGE_BYTES
from unhush.storage.kinds.fields import MAX_TEXT_BYTES
from unhush.storage.kinds.posts import MAX_MEDIA

UPLOAD_TYPE: Final = "multipart/form-data"
# Where forms with files may go.
UPLOAD_PATHS: Final = frozenset(("/write",))
# Text that is too long by a little is handed back to be shortened; what is longer was not typed.
MAX_FIELD_BYTES: Final = 2 * MAX_TEXT_BYTES
MAX_FILE_BYTES: Final = MAX_IMAGE_BYTES
# Eight pictures with a word on each, and the text; a page on this machine knows how much it sends.
MAX_UPLOAD_BYTES: Final = MAX_MEDIA * (MAX_FILE_BYTES + 16 * 1024) + 256 * 1024
MAX_PARTS: Final = 2 * MAX_MEDIA + 8
# From a disk of this machine to a program on it; pictures are opened in between.
UPLOAD_TIMEOUT_S: Final = 300.0
_STEP_BYTES: Final = 64 * 1024


class BadUpload(WebError):
    """A form with files that cannot be read."""


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form; ``is_cut`` says that it held more than its bound, and the rest was left."""

    name: str
    data: bytes
    is_file: bool
    is_cut: bool

    @property
    def text(self) -> str:
        """Raises ``BadUpload`` for what is no text."""
        try:
            return self.data.decode()
        except UnicodeDecodeError as exc:
            raise BadUpload("That form cannot be read.") from exc


class Upload:
    """The parts of one request, in order, once."""

    def __init__(self, reader: MultipartReader) -> None:
        self._reader = reader
        self._left_bytes = MAX_UPLOAD_BYTES
        self._left_parts = MAX_PARTS

    @classmethod
    async def open(cls, request: web.Request) -> "Upload":
        """Raises ``BadUpload``."""
        try:
            return cls(await request.multipart())
        except (ValueError, AssertionError) as exc:
            raise BadUpload("That form cannot be read.") from exc

    async def next(self) -> Part | None:
        """The next part; None at the end. Raises ``BadUpload``."""
        try:
            part = await self._reader.next()
            if part is None:
                return None
            self._left_parts -= 1
            if not isinstance(part, BodyPartReader) or not part.name or self._left_parts < 0:
                raise BadUpload("That form cannot be read.")
            is_file = part.filename is not None
            return await self._read(part, part.name, is_file=is_file)
        except (ValueError, AssertionError, RuntimeError, web.HTTPException) as exc:
            raise BadUpload("That form cannot be read.") from exc

    async def _read(self, part: BodyPartReader, name: str, *, is_file: bool) -> Part:
        most = MAX_FILE_BYTES if is_file else MAX_FIELD_BYTES
        data = bytearray()
        is_cut = False
        while step := await part.read_chunk(_STEP_BYTES):
            self._left_bytes -= len(step)
            if self._left_bytes < 0:
                raise BadUpload(f"That is more than the page takes at once ({MAX_UPLOAD_BYTES // 2**20} MiB).")
            # The rest is read and dropped: a browser shows no answer before it has sent all.
            is_cut = is_cut or len(data) + len(step) > most
            if not is_cut:
                data += step
        return Part(name, bytes(data), is_file, is_cut)

    async def __aiter__(self) -> AsyncIterator[Part]:
        while part := await self.next():
            yield part
