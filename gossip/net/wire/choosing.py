"""Agreeing on the protocol of a stream that we open, in one round trip.

The stock client says that it speaks multistream, waits until the other side has said so too, and only then names
the protocol. Both may be said at once (go-libp2p and js-libp2p do so): whoever answers reads them one after the other.
"""

from collections.abc import Sequence

from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.protocol_muxer.multiselect_client import MULTISELECT_PROTOCOL_ID, PROTOCOL_NOT_FOUND_MSG
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.utils.varint import encode_varint_prefixed


async def choose(stream: INetStream, protocols: Sequence[TProtocol]) -> TProtocol:
    """The first of these that the other side speaks.

    Raises ``MultiselectClientError`` if it speaks none of them or something else, ``MultiselectCommunicatorError`` if
    it does not answer, and what the stream raises.
    """
    answers = MultiselectCommunicator(stream)
    await stream.write(_line(MULTISELECT_PROTOCOL_ID) + _line(protocols[0]))
    if await answers.read() != MULTISELECT_PROTOCOL_ID:
        raise MultiselectClientError("the other side does not speak multistream")
    for number, protocol in enumerate(protocols):
        if number:
            await stream.write(_line(protocol))
        answer = await answers.read()
        if answer == protocol:
            return protocol
        if answer != PROTOCOL_NOT_FOUND_MSG:
            raise MultiselectClientError(f"asked for {protocol}, the other side answers {answer[:64]!r}")
    raise MultiselectClientError(f"not supported by the other side: {', '.join(protocols)}")


def _line(text: str) -> bytes:
    return encode_varint_prefixed(f"{text}\n".encode())
