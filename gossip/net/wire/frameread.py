"""One frame from a stream that carries nothing else: its length judged before its bytes, and in bounded time."""

from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.io.exceptions import IncompleteReadError

from unhush.gossip.errors import RemoteProtocolError, StreamBroken
from unhush.gossip.net.wire.patience import Patience
from unhush.gossip.proto.tally import Met, Tally

_MAX_LENGTH_BYTES: Final = 10  # of a varint of 64 bits


async def read_frame(stream: INetStream, most: int, tally: Tally) -> bytes:
    """The next frame.

    Raises :class:`RemoteProtocolError` for one longer than ``most``, :class:`StreamBroken` for one that does not
    come to its end at the least pace, and what libp2p does when the stream ends.
    """
    patience = Patience()
    length, shift, received = 0, 0, 0
    while True:
        byte = (await _read(stream, 1, patience, received, tally))[0]
        received += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
        if received == _MAX_LENGTH_BYTES:
            raise RemoteProtocolError("a gossip frame's length does not end")
    if length > most:
        raise RemoteProtocolError(f"bad gossip frame: {length} bytes, more than {most}")
    frame = bytearray()
    while len(frame) < length:
        frame += await _read(stream, length - len(frame), patience, received + len(frame), tally)
    return bytes(frame)


async def _read(stream: INetStream, most: int, patience: Patience, received: int, tally: Tally) -> bytes:
    began_at = trio.current_time()
    with trio.move_on_after(patience.left_s(received)) as limit:
        data = await stream.read(most)
    if limit.cancelled_caught:
        tally.count(Met.SLOW_PEER_CUT)
        raise StreamBroken("the peer does not finish what it began to send")
    if not data:
        raise IncompleteReadError("the stream ended within a frame", expected_bytes=most, received_bytes=0)
    if received:  # the time before a frame begins is nobody's
        patience.waited(trio.current_time() - began_at)
    return data
