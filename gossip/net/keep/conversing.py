"""One stream of the statements protocol: questions one after the other, each answered before the next."""

import logging
from types import TracebackType
from typing import Final, Self

import trio

from unhush.gossip.errors import StreamBroken
from unhush.gossip.net.host import Host
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.faults import FrameTooLarge, MalformedFrame
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.statements import (
    MAX_ITEMS_BYTES,
    PROTOCOL,
    Answer,
    Question,
    encode_question,
    parse_answer,
)

log = logging.getLogger(__name__)

# Taking 256 statements in is some thousand signature checks at the other end, and there may be a queue.
ANSWER_S: Final = 30.0


class Payloads:
    """The payloads of a stream, one at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._deframer = Deframer()
        self._ready: list[bytes] = []

    async def next(self) -> bytes | None:
        """The next, None at the end of the stream; raises ``StreamBroken`` or a ``SyncFault``."""
        while not self._ready:
            chunk = await self._stream.read()
            if not chunk:
                if not self._deframer.is_between_frames:
                    raise MalformedFrame("the stream ended within a frame")
                return None
            self._ready = self._deframer.feed(chunk)
            if self._deframer.pending_bytes > MAX_ITEMS_BYTES + _LENGTH_BYTES:
                raise FrameTooLarge(f"statements have at most {MAX_ITEMS_BYTES} bytes in a frame")
        return self._ready.pop(0)


_LENGTH_BYTES: Final = 3


class Conversation:
    """Our side of a stream; use it in ``async with``.

    Opening raises ``StreamRefused`` or ``NotConnected``.
    """

    def __init__(self, host: Host, peer_id: str) -> None:
        self._host = host
        self._peer_id = peer_id
        self._stream: Stream | None = None
        self._payloads: Payloads | None = None

    async def __aenter__(self) -> Self:
        self._stream = await self._host.open_stream(self._peer_id, PROTOCOL)
        self._payloads = Payloads(self._stream)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.__aexit__(kind, exc, trace)

    async def ask(self, question: Question) -> Answer:
        """Raises ``StreamBroken``, ``trio.TooSlowError`` or a ``SyncFault``."""
        assert self._stream is not None
        assert self._payloads is not None
        with trio.fail_after(ANSWER_S):
            await self._stream.write(frame(encode_question(question)))
            payload = await self._payloads.next()
        if payload is None:
            raise StreamBroken(f"{self._peer_id} ended the stream without an answer")
        return parse_answer(payload)
