"""Reading a lifeboat: where its data stands in the file, and what that unpacks to.

The file is HTML, and what a browser makes of HTML is for browsers to know. Here
the data is found by the exact marks this program writes, and the page around it
is compared with the one this version writes: where it differs, another program
runs in that file, and whoever reads the report is told.
"""

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from unhush.node.errors import MalformedLifeboat, NotFound
from unhush.node.lifeboat.form import MAX_FILE_BYTES, MAX_PIECES, Contents, decode_base64, parse_contents

_TYPE: Final = b'<script type="application/octet-stream" id="'
PIECE_TAG: Final = _TYPE + b'piece-%d">'
CONTENTS_TAG: Final = _TYPE + b'contents" data-sha256="%b">'
_PIECE_START: Final = re.compile(re.escape(_TYPE) + rb'piece-([1-9][0-9]{0,2})">')
_END: Final = b"</script>"
END_TAG: Final = _END + b"\n"
_CONTENTS_START: Final = _TYPE + b'contents" data-sha256="'
_DIGEST_CHARS: Final = 64
MAX_CONTENTS_TEXT: Final = 1_400_000  # 1 MiB in base64
# What every lifeboat begins with; any other file is of another kind.
_BEGINNING: Final = b"<!doctype html>"
_SNIFFED: Final = 65_536
_MARK: Final = b'<meta name="generator" content="unhush lifeboat '


@dataclass(frozen=True, slots=True)
class Lifeboat:
    """The data of a file, and the page around it."""

    contents: Contents | None
    problem: str  # why there is no list of contents, or why it may be another one
    pieces: tuple[bytes | None, ...]  # as they stand there; None for one that is missing
    extra_pieces: int  # more than the list names
    before: bytes
    behind: bytes
    is_tight: bool  # nothing else stands between the parts

    @property
    def shell_digest(self) -> str:
        """The sha2-256 of everything that is no data: markup, style and program."""
        return sha256(self.before + self.behind).hexdigest()


def is_lifeboat(path: Path) -> bool:
    """Whether a file says of itself that it is one."""
    try:
        with path.open("rb") as file:
            beginning = file.read(_SNIFFED)
    except FileNotFoundError as exc:
        raise NotFound(f"there is no file {path}") from exc
    except OSError as exc:
        raise MalformedLifeboat(f"{path} cannot be read: {exc.strerror}") from exc
    return (
        _MARK in beginning
        or _CONTENTS_START in beginning
        or (_TYPE in beginning and _BEGINNING in beginning[:64].lower())
    )


@contextmanager
def opened_lifeboat(path: Path) -> Iterator[Lifeboat]:
    """The parts of a file; raises ``NotFound``, ``MalformedLifeboat`` if it is none or too large."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not 0 < size <= MAX_FILE_BYTES + MAX_CONTENTS_TEXT:
                raise MalformedLifeboat(f"{path} has {size:,} bytes; a lifeboat has at most {MAX_FILE_BYTES:,}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield _parse(data)
    except FileNotFoundError as exc:
        raise NotFound(f"there is no file {path}") from exc
    except OSError as exc:
        raise MalformedLifeboat(f"{path} cannot be read: {exc.strerror}") from exc


def _parse(data: mmap.mmap) -> Lifeboat:
    contents_at = data.rfind(_CONTENTS_START)
    first_at = data.find(_TYPE)
    if first_at < 0 and contents_at < 0:
        raise MalformedLifeboat("this file is no lifeboat: it holds no data of an account")
    contents, problem, behind_at = _read_contents(data, contents_at)
    before = data[: min(at for at in (first_at, contents_at) if at >= 0)]
    due = len(contents.pieces) if contents is not None else 0
    found = _find_pieces(data) if contents is not None else {}
    pieces = tuple(found.get(number) for number in range(1, due + 1))
    extra = sum(number > due for number in found)
    known = len(before) + (behind_at - contents_at if contents_at >= 0 else 0)
    known += sum(len(PIECE_TAG % number) + len(piece or b"") + len(END_TAG) for number, piece in enumerate(pieces, 1))
    return Lifeboat(contents, problem, pieces, extra, before, data[behind_at:], known == behind_at)


def _read_contents(data: mmap.mmap, at: int) -> tuple[Contents | None, str, int]:
    missing = "the list of what should be in this file is missing or is not as it was written"
    if at < 0:
        return None, missing, len(data)
    start = at + len(_CONTENTS_START) + _DIGEST_CHARS + len(b'">')
    end = data.find(_END, start)
    if end < 0 or end - start > MAX_CONTENTS_TEXT:
        return None, missing, len(data)
    text = data[start:end]
    is_exact = data[at:start] == CONTENTS_TAG % sha256(text).hexdigest().encode()
    packed = decode_base64(text)
    if packed is None:
        return None, missing, end + len(END_TAG)
    try:
        return parse_contents(packed), "" if is_exact else missing, end + len(END_TAG)
    except MalformedLifeboat as exc:
        return None, str(exc) if is_exact else missing, end + len(END_TAG)


def _find_pieces(data: mmap.mmap) -> dict[int, bytes]:
    """The text of each piece by its number, the first of each; as in a browser, none begins inside another."""
    pieces: dict[int, bytes] = {}
    at = 0
    while (start := _PIECE_START.search(data, at)) is not None:
        end = data.find(_END, start.end())
        if end < 0:
            break
        number = int(start[1])
        if number <= MAX_PIECES and number not in pieces:
            pieces[number] = data[start.end() : end]
        at = end
    return pieces
