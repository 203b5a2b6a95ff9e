"""Pictures as people hand them to us, opened and written anew by a process that can do nothing else.

Every picture that is published and every small one that a page shows went
through ``image_process.py``. What comes back is checked as a stranger's word:
the process may have been taken over by what it read.
"""

import contextlib
import logging
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unhush.storage.blobs.formats import MARK_BYTES, find_image_type
from unhush.storage.errors import BlobTooLarge, ImageRefused

log = logging.getLogger(__name__)

MAX_IMAGE_BYTES: Final = 5 * 2**20
# By the clock, beside the processor time it allows itself: a machine may be busy.
TIMEOUT_S: Final = 60.0
# Pictures opened at the same time; each may take 768 MiB, and more only wait.
MAX_PROCESSES: Final = 2
MAX_THUMB_BYTES: Final = 2 * 2**20  # 640 × 640 pixels in any encoding
MAX_SIDE: Final = 16_383
_PROGRAM: Final = Path(__file__).with_name("image_process.py")
_MAX_SENTENCE_BYTES: Final = 300
# As the program has them; importing it would load the decoders into this process.
_ANSWER: Final = struct.Struct("<c16sIIII")
_DONE: Final = b"D"
_REFUSED: Final = b"R"

_doors: Final = threading.BoundedSemaphore(MAX_PROCESSES)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture written anew: pixels and nothing else, and a small one of the same."""

    data: bytes
    mime: str
    width: int
    height: int
    thumb: bytes  # WebP


def remake_image(data: bytes) -> Picture:
    """Write a picture anew; raises ``BlobTooLarge`` and ``ImageRefused``, which say why."""
    return _remake(data, "whole")


def draw_small(data: bytes) -> bytes:
    """A small picture (WebP) of a picture, which is not written anew itself; raises as ``remake_image``."""
    return _remake(data, "small").thumb


def _remake(data: bytes, size: str) -> Picture:
    if len(data) > MAX_IMAGE_BYTES:
        raise BlobTooLarge(f"this picture has more than {MAX_IMAGE_BYTES // 2**20} MiB; that is the most one may have")
    mime = find_image_type(data[:MARK_BYTES])
    if mime is None:
        raise ImageRefused("this file is no JPEG, PNG, GIF or WebP picture")
    with _doors:
        answer = _ask_process(data, mime, size)
    return _parse_answer(answer)


def _ask_process(data: bytes, mime: str, size: str) -> bytes:
    """What the process says, however it ends."""
    most = _ANSWER.size + MAX_IMAGE_BYTES + MAX_THUMB_BYTES
    try:
        process = subprocess.Popen(
            # Isolated: no environment, no folder of the person's, only what is installed beside this program.
            [sys.executable, "-I", "-X", "utf8", str(_PROGRAM), mime, size],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            close_fds=True,
            start_new_session=True,
        )
    except OSError as exc:
        raise ImageRefused(f"no process can be started to open the picture in: {exc.strerror}") from exc
    assert process.stdin is not None
    assert process.stdout is not None
    # Killing it ends whatever we wait for below, reading as well as writing.
    alarm = threading.Timer(TIMEOUT_S, process.kill)
    alarm.daemon = True
    alarm.start()
    try:
        try:
            process.stdin.write(data)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended early; what it said, if anything, is read below
        answer = process.stdout.read(most + 1)
    finally:
        alarm.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        with contextlib.suppress(OSError):  # what it did not read of its input
            process.stdin.close()
    if not answer:
        log.info("image process ended without a word status=%s", process.returncode)
        raise ImageRefused("this picture takes more time or memory to open than a picture may")
    if len(answer) > most:
        raise ImageRefused("this picture cannot be opened safely")
    return answer


def _parse_answer(answer: bytes) -> Picture:
    if answer[:1] == _REFUSED:
        sentence = answer[1:_MAX_SENTENCE_BYTES].decode(errors="replace")
        raise ImageRefused(f"this picture is not taken: {sentence}")
    try:
        status, mime, width, height, length, thumb_length = _ANSWER.unpack_from(answer)
    except struct.error as exc:
        raise ImageRefused("this picture cannot be opened safely") from exc
    data, thumb = answer[_ANSWER.size : _ANSWER.size + length], answer[_ANSWER.size + length :]
    picture = Picture(data, mime.rstrip(b"\0").decode("ascii", errors="replace"), width, height, thumb)
    if not (
        status == _DONE
        and 1 <= width <= MAX_SIDE
        and 1 <= height <= MAX_SIDE
        and len(data) == length <= MAX_IMAGE_BYTES
        and len(thumb) == thumb_length <= MAX_THUMB_BYTES
        and find_image_type(data[:MARK_BYTES]) == picture.mime
        and find_image_type(thumb[:MARK_BYTES]) == "image/webp"
    ):
        raise ImageRefused("this picture cannot be opened safely")
    return picture
