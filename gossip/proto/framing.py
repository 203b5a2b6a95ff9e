"""Frames on a stream: an unsigned varint of the length, then that many bytes (PROTOCOL §5).

The length is judged as soon as it is read, before a byte of the payload is
kept, so a peer can never make us hold more than one frame and one chunk.
"""

from typing import Final

from unhush.gossip.proto.faults import FrameTooLarge, MalformedFrame, TooManyFrames
from unhush.identity.codec import MAX_FRAME_BYTES

_LENGTH_BYTES: Final = 3  # 1 MiB takes 21 bits
# In one chunk, which has 256 KiB at most. An honest frame has some thirty bytes at least; a chunk of empty ones would
# hold everybody up for a third of a second before the first of them is looked at.
MAX_AT_ONCE: Final = 8_192


def frame(payload: bytes) -> bytes:
    """``payload`` with its length before it."""
    if len(payload) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes is longer than {MAX_FRAME_BYTES}")
    head = bytearray()
    left = len(payload)
    while left >= 0x80:
        head.append(left & 0x7F | 0x80)
        left >>= 7
    head.append(left)
    return bytes(head) + payload


class Deframer:
    """Cuts the chunks of a stream into payloads."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads that ``chunk`` completes; raises ``FrameTooLarge``, ``MalformedFrame``, ``TooManyFrames``, for
        good."""
        buffer = self._buffer
        buffer += chunk
        payloads: list[bytes] = []
        at = 0
        while (head := _read_length(buffer, at)) is not None:
            start, length = head
            if len(buffer) - start < length:
                break
            payloads.append(bytes(buffer[start : start + length]))
            at = start + length
            if len(payloads) > MAX_AT_ONCE:
                raise TooManyFrames(f"more than {MAX_AT_ONCE} frames at once")
        del buffer[:at]
        return payloads

    @property
    def pending_bytes(self) -> int:
        """How much has come of a frame that is not whole."""
        return len(self._buffer)

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here without cutting a frame."""
        return not self._buffer


def _read_length(buffer: bytearray, at: int) -> tuple[int, int] | None:
    """Where the payload starts and how long it is; ``None`` while the length is incomplete."""
    length = 0
    for index in range(_LENGTH_BYTES):
        if at + index >= len(buffer):
            return None
        byte = buffer[at + index]
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise MalformedFrame("a frame length is not in its shortest form")
            if length > MAX_FRAME_BYTES:
                raise FrameTooLarge(f"a frame of {length} bytes is longer than {MAX_FRAME_BYTES}")
            return at + index + 1, length
    raise FrameTooLarge(f"a frame length has more than {_LENGTH_BYTES} bytes")
