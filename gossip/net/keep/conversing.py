"""One stream of the statements protocol: questions one after the other, each answered before the next."""

import logging
from types import TracebackType
from typing import Final, Self

import trio

from unhush.gossip.errors import StreamBroken
from unhush.gossip.net.host import Host
from unhush.gossip.net.wire.payloads import Payloads
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.framing import frame
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
        self._payloads = Payloads(self._stream, MAX_ITEMS_BYTES)
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
