"""The payloads of a stream whose frames are a length and bytes: one at a time, in order."""

from collections import deque

from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.faults import FrameTooLarge, MalformedFrame
from unhush.gossip.proto.framing import Deframer
from unhush.identity.codec import MAX_FRAME_BYTES

_LENGTH_BYTES = 3  # a varint that says at most 2 MiB


class Payloads:
    """What comes on a stream; ``most`` bounds a frame further than the framing does, in bytes."""

    def __init__(self, stream: Stream, most: int = MAX_FRAME_BYTES) -> None:
        self._stream = stream
        self._most = most
        self._deframer = Deframer()
        self._ready: deque[bytes] = deque()

    async def next(self) -> bytes | None:
        """The next, None at the end of the stream; raises ``StreamBroken`` or a ``SyncFault``."""
        while not self._ready:
            chunk = await self._stream.read()
            if not chunk:
                if not self._deframer.is_between_frames:
                    raise MalformedFrame("the stream ended within a frame")
                return None
            self._ready += self._deframer.feed(chunk)
            longest = max([self._deframer.pending_bytes - _LENGTH_BYTES, *map(len, self._ready)])
            if longest > self._most:
                raise FrameTooLarge(f"a frame has at most {self._most} bytes here")
        return self._ready.popleft()
