"""Peers made of libp2p's own parts, without any limit of ours, from any loopback address: to misbehave with.

Lighter than a stock host (a socket, a handshake, a multiplexer), so that a
test can have hundreds.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import trio
from libp2p.crypto.ed25519 import Ed25519PrivateKey, create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import PUBSUB_SIGNING_PREFIX
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID, Yamux
from libp2p.transport.upgrader import TransportUpgrader
from libp2p.utils import encode_varint_prefixed

GOSSIP: Final = "/meshsub/1.1.0"

_seeds = count(1)


class Stranger:
    """One connection, and what can be done with it."""

    def __init__(self, keys: Any, socket: trio.SocketStream, below: TrioTCPStream, muxed: Yamux) -> None:
        self.keys = keys
        self.socket = socket
        self.below = below  # the socket as the multiplexer writes to it: the two wait for each other
        self.muxed = muxed
        self.id = ID.from_pubkey(keys.public_key)
        self._numbers = count(1)

    @property
    def peer_id(self) -> str:
        return str(self.id)

    @property
    def is_cut(self) -> bool:
        return self.muxed.is_closed or self.muxed.event_shutting_down.is_set()

    async def stream(self, protocol: str) -> Any:
        """A stream on which a protocol was agreed."""
        stream = await self.muxed.open_stream()
        await MultiselectClient().select_one_of([TProtocol(protocol)], MultiselectCommunicator(stream))
        return stream

    def message(self, topic: str, data: bytes) -> rpc_pb2.Message:
        """A gossip message of ours, signed."""
        number = next(self._numbers).to_bytes(8, "big")
        message = rpc_pb2.Message(from_id=self.id.to_bytes(), seqno=number, data=data, topicIDs=[topic])
        message.signature = self.keys.private_key.sign(PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString())
        return message


def rpc(**fields: Any) -> bytes:
    """A gossip frame with its length."""
    return encode_varint_prefixed(rpc_pb2.RPC(**fields).SerializeToString())


def subscribing(*topics: str) -> bytes:
    return rpc(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic) for topic in topics])


async def tcp(address: str, source: str = "") -> trio.SocketStream:
    """A socket that says nothing."""
    _, _, host, _, port, *_ = address.split("/")
    socket = trio.socket.socket()
    try:
        if source:
            await socket.bind((source, 0))
        await socket.connect((host, int(port)))
        return trio.SocketStream(socket)
    except BaseException:
        socket.close()
        raise


@asynccontextmanager
async def stranger(address: str, source: str = "", seed: int | None = None) -> AsyncIterator[Stranger]:
    """Connect to a node; the connection lasts as long as the block."""
    number = (1 << 128) + next(_seeds) if seed is None else seed
    keys = create_new_key_pair(number.to_bytes(32, "big"))
    assert isinstance(keys.private_key, Ed25519PrivateKey)
    socket = await tcp(address, source)
    upgrader = TransportUpgrader(
        {NOISE: NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)},
        {TProtocol(PROTOCOL_ID): Yamux},  # type: ignore[dict-item]
    )
    peer_id = ID.from_string(address.rpartition("/p2p/")[2])
    below = TrioTCPStream(socket)
    try:
        secure = await upgrader.upgrade_security(RawConnection(below, True), True, peer_id)
        muxed = await upgrader.upgrade_connection(secure, peer_id)
        assert isinstance(muxed, Yamux)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(muxed.start)
            await muxed.event_started.wait()
            yield Stranger(keys, socket, below, muxed)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(socket)


async def drain(stream: Any) -> None:
    """Read until the other side ends the stream, however it does."""
    try:
        while await stream.read(65_536):
            pass
    except trio.Cancelled:
        raise
    except Exception:
        return
