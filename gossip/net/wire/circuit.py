"""A circuit: two peers that cannot dial each other speak through a third, on libp2p's circuit relay v2.

Here are the messages and the socket that a stream through a relay is; ``relaying.py`` uses them. The messages
are libp2p's, so other programs' relays serve us and ours serves them. libp2p's own implementation is not used:
it never closes one direction of a circuit, keeps books only per peer and dials on its own (decision 0034).

On such a socket the two ends shake hands as on any other: the relay carries what only they can read, and can
neither pose as one of them nor join them to somebody else.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import IOException
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, PeerId, Status

from unhush.gossip.errors import CircuitRefused, RemoteProtocolError, StreamBroken
from unhush.gossip.net.wire.stream import MAX_READ_BYTES, Stream

HOP: Final = "/libp2p/circuit/relay/0.2.0/hop"
STOP: Final = "/libp2p/circuit/relay/0.2.0/stop"

# libp2p's own bound for these messages; an honest one has a few hundred bytes.
MAX_MESSAGE_BYTES: Final = 4_096
_LENGTH_BYTES: Final = 2

# A relay has to reach the other side and hear from it: two round trips more than ours to it.
ANSWER_TIMEOUT_S: Final = 10.0

M = TypeVar("M", bound=Message)


class CircuitSocket(ReadWriteCloser):
    """A stream as a socket: first for single messages, then, for libp2p, for a connection through the relay."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._ahead = b""

    async def receive(self, kind: Callable[[], M]) -> M:
        """One message, with its length before it. Raises :class:`RemoteProtocolError`, :class:`StreamBroken`."""
        length = 0
        for index in range(_LENGTH_BYTES):
            byte = (await self._exactly(1))[0]
            length |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                break
        else:
            raise RemoteProtocolError("the length of a relay message has too many bytes")
        if length > MAX_MESSAGE_BYTES:
            raise RemoteProtocolError(f"a relay message of {length} bytes is longer than {MAX_MESSAGE_BYTES}")
        message = kind()
        try:
            message.ParseFromString(await self._exactly(length))
        except DecodeError as exc:
            raise RemoteProtocolError("a relay message that is none") from exc
        return message

    async def send(self, message: Message) -> None:
        """Raises :class:`StreamBroken`."""
        data = message.SerializeToString()
        length = bytes([len(data)]) if len(data) < 0x80 else bytes([len(data) & 0x7F | 0x80, len(data) >> 7])
        await self.stream.write(length + data)

    async def _exactly(self, count: int) -> bytes:
        while len(self._ahead) < count:
            part = await self.stream.read(MAX_MESSAGE_BYTES)
            if not part:
                raise StreamBroken("a relay stream ended within a message")
            self._ahead += part
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    async def carry(self) -> bytes:
        """Whatever came after the messages, at least one byte; ``b""`` at the end."""
        if self._ahead:
            taken, self._ahead = self._ahead, b""
            return taken
        return await self.stream.read(MAX_READ_BYTES)

    # -- for libp2p, which expects errors of its own

    async def read(self, n: int | None = None) -> bytes:
        try:
            if not self._ahead:
                return await self.stream.read(MAX_READ_BYTES if n is None else n)
            if n is None:
                return await self.carry()
            taken, self._ahead = self._ahead[:n], self._ahead[n:]
        except StreamBroken as exc:
            raise IOException(str(exc)) from exc
        return taken

    async def write(self, data: bytes) -> None:
        try:
            await self.stream.write(data)
        except StreamBroken as exc:
            raise IOException(str(exc)) from exc

    async def close(self) -> None:
        await self.stream.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """None: the relay's address is not the peer's."""
        return None


async def call(stream: Stream, target: ID) -> CircuitSocket:
    """Ask a relay for a circuit to a peer. Raises :class:`CircuitRefused`, :class:`RemoteProtocolError`,
    :class:`StreamBroken`; the stream is then to be reset."""
    socket = CircuitSocket(stream)
    await socket.send(HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=target.to_bytes())))
    check(await socket.receive(HopMessage))
    return socket


def check(answer: HopMessage) -> None:
    """Raises :class:`CircuitRefused` unless a relay said yes."""
    if answer.type != HopMessage.STATUS:
        raise RemoteProtocolError("a relay answered with a request")
    if answer.status != Status.OK:
        known = answer.status in Status.values()
        raise CircuitRefused(Status.Name(answer.status).lower() if known else f"status {answer.status}")
