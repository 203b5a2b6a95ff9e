"""Ten thousand mutated frames over everything the host speaks: no death, and it still serves."""

import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.net.faults import FaultLedger
from unhush.gossip.net.host import Host, Stream, Verdict
from unhush.gossip.net.wire import requests

SEED = 20_240_501
TOPIC = "/unhush/1/test/0"
SYNC = "/unhush/sync/1"
GOSSIP = "/meshsub/1.1.0"
PUSH = "/ipfs/id/push/1.0.0"
IDENTIFY = "/ipfs/id/1.0.0"
PING = "/ipfs/ping/1.0.0"
HEADER = encode_varint_prefixed(b"/multistream/1.0.0\n")

# Over a real connection, and handed to the same guard without one, which is six times faster.
ON_THE_WIRE = {GOSSIP: 750, SYNC: 600, PUSH: 300, PING: 240, IDENTIFY: 60, "negotiation": 300}
IN_MEMORY = {GOSSIP: 2800, SYNC: 2200, PUSH: 900, PING: 500, IDENTIFY: 50, "negotiation": 800}
YAMUX_FRAMES = 200
RAW_SOCKETS = 300

# Below the host's own limit of streams per protocol, so that every frame is really looked at.
AT_A_TIME = 6


def mutate(dice: random.Random, data: bytes) -> bytes:
    mutated = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(mutated) + 1)
        match dice.randrange(7):
            case 0 if mutated:
                mutated[at % len(mutated)] ^= 1 << dice.randrange(8)
            case 1:
                del mutated[at:]
            case 2:
                mutated[at:at] = dice.randbytes(dice.randint(1, 16))
            case 3:
                mutated[at:at] = mutated[: dice.randint(0, 64)]
            case 4:
                # A length that promises two to the 63.
                mutated[at:at] = b"\xff" * 8 + b"\x7f"
            case 5:
                mutated[at : at + 4] = b"\xff\xff\xff\xff"
            case _:
                mutated[:at] = b""
    return bytes(mutated)


def samples(protocol: str) -> list[bytes]:
    message = rpc_pb2.Message(
        from_id=b"\x00\x24\x08\x01\x12\x20" + b"\x05" * 32,
        seqno=b"12345678",
        data=b"a post",
        topicIDs=[TOPIC],
        signature=b"\x01" * 64,
        key=b"\x08\x01\x12\x20" + b"\x05" * 32,
    )
    control = rpc_pb2.ControlMessage(
        ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[b"a" * 46])],
        iwant=[rpc_pb2.ControlIWant(messageIDs=[b"a" * 46])],
        graft=[rpc_pb2.ControlGraft(topicID=TOPIC)],
        prune=[rpc_pb2.ControlPrune(topicID=TOPIC, peers=[rpc_pb2.PeerInfo(peerID=b"p")], backoff=60)],
    )
    rpcs = [
        rpc_pb2.RPC(publish=[message]),
        rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=TOPIC)]),
        rpc_pb2.RPC(control=control, senderRecord=b"record"),
    ]
    identify = Identify(
        public_key=b"\x08\x01\x12\x20" + b"\x05" * 32,
        listen_addrs=[b"\x04\x7f\x00\x00\x01\x06\x0f\xa1"],
        protocols=[PING],
        signedPeerRecord=b"record",
    )
    return {
        GOSSIP: [encode_varint_prefixed(rpc.SerializeToString()) for rpc in rpcs],
        SYNC: [encode_varint_prefixed(b"\xa1\x61t\x65hello"), encode_varint_prefixed(b"\xa0" * 40)],
        PUSH: [encode_varint_prefixed(identify.SerializeToString())],
        PING: [b"p" * 32],
        IDENTIFY: [b"x"],
        "negotiation": [
            HEADER + encode_varint_prefixed(b"ls\n"),
            HEADER + encode_varint_prefixed(PING.encode() + b"\n") + b"p" * 32,
        ],
    }[protocol]


def streams(dice: random.Random, protocol: str, number: int) -> Iterator[bytes]:
    """What is written on each stream: an honest negotiation and a mutated frame, or all of it mutated."""
    known = samples(protocol)
    prefix = b"" if protocol == "negotiation" else HEADER + encode_varint_prefixed(protocol.encode() + b"\n")
    for _ in range(number):
        yield prefix + mutate(dice, dice.choice(known))


async def sync_like(stream: Stream) -> None:
    """Frames of a length and a map; strict about both."""
    data = b""
    while piece := await stream.read():
        data += piece
        if data[0] & 0x80 or data[0] > 64:
            raise RemoteProtocolError("frame too long")
        while data and len(data) > data[0]:
            frame, data = data[1 : 1 + data[0]], data[1 + data[0] :]
            if frame[:1] != b"\xa1":
                raise RemoteProtocolError("not a frame")
            frame.decode("ascii")


async def send(stranger: Any, address: str, payloads: Iterator[bytes]) -> None:
    for payload in payloads:
        muxed = await connection(stranger, address)
        try:
            stream = await muxed.open_stream()
            await stream.write(payload)
            await stream.close()
            with trio.move_on_after(3):
                while await stream.read(65_536):
                    pass
        except Exception:
            # Reset, or the connection is gone: that is what was asked for.
            continue


class WrittenStream:
    """A stream on which a peer wrote something and closed."""

    metric_send_channel = None

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.muxed_conn = SimpleNamespace(peer_id=ID(b"\x00\x24\x08\x01\x12\x20" + b"\x06" * 32))
        self.was_reset = False

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._data:
            raise StreamEOF
        piece, self._data = self._data[:n], self._data[n:] if n is not None else b""
        return piece

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()

    async def reset(self) -> None:
        self.was_reset = True

    def set_protocol(self, protocol: str) -> None:
        pass

    def get_remote_address(self) -> tuple[str, int]:
        return "127.0.0.1", 1


async def connection(stranger: Any, address: str) -> Any:
    while True:
        try:
            muxed = await stranger.connect(address)
            if not muxed.event_shutting_down.is_set():
                return muxed
        except Exception:
            # Being cut off, it tries again.
            pass
        await trio.sleep(0.01)


async def break_yamux(stranger: Any, address: str, dice: random.Random) -> None:
    for _ in range(YAMUX_FRAMES):
        muxed = await connection(stranger, address)
        try:
            await muxed._write_frame(mutate(dice, b"\x00\x00\x00\x01\x00\x00\x00\x05\x00\x00\x00\x04data"))
        except Exception:
            continue


async def break_handshakes(address: str, dice: random.Random) -> None:
    port = int(address.split("/")[4])
    hello = HEADER + encode_varint_prefixed(b"/noise\n") + b"\x00\x20" + b"\x07" * 32
    for _ in range(RAW_SOCKETS):
        async with await trio.open_tcp_stream("127.0.0.1", port) as sock:
            try:
                await sock.send_all(mutate(dice, hello))
            except trio.BrokenResourceError:
                continue


async def ready(host: Host) -> None:
    host.handle(SYNC, sync_like)
    await host.join(TOPIC, lambda data, peer: Verdict.REJECT, lambda data, peer: None)


def test_10000_mutated_frames_kill_nothing(
    run: Callable[..., None], our_host: Any, stock_host: Any, serves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the ban switched off, or the third frame would be the last."""
    faults = 0

    def only_count(self: FaultLedger, peer_id: str, now: float) -> bool:
        nonlocal faults
        faults += 1
        return False

    monkeypatch.setattr(FaultLedger, "record", only_count)
    assert sum(ON_THE_WIRE.values()) + sum(IN_MEMORY.values()) + YAMUX_FRAMES + RAW_SOCKETS == 10_000
    print(f"seed {SEED}")
    # One stranger speaks for many, so that every frame is really looked at.
    monkeypatch.setattr(requests, "MAX_REQUESTS_PER_PEER", requests.MAX_REQUESTS)

    async def scene() -> None:
        async with our_host() as ours:
            await ready(ours)
            address = ours.addresses()[0]
            dice = random.Random(SEED)
            async with stock_host() as stranger, trio.open_nursery() as nursery:
                for protocol, number in ON_THE_WIRE.items():
                    for _ in range(AT_A_TIME):
                        share = streams(random.Random(dice.random()), protocol, number // AT_A_TIME)
                        nursery.start_soon(send, stranger, address, share)
            for protocol, number in IN_MEMORY.items():
                for payload in streams(dice, protocol, number):
                    await ours._libp2p._swarm_stream_handler(WrittenStream(payload))
            async with stock_host() as stranger:
                await break_yamux(stranger, address, dice)
            await break_handshakes(address, dice)
            await serves(ours)
        assert faults > 2000

    run(scene)


@pytest.mark.parametrize("protocol", [GOSSIP, SYNC, "negotiation"])
def test_whoever_sends_bad_frames_is_shut_out_within_three(  # noqa: PLR0917  # fixtures
    protocol: str, run: Callable[..., None], our_host: Any, stock_host: Any, serves: Any, until: Any
) -> None:
    bad = {
        GOSSIP: encode_varint_prefixed(b"\xff" * 20),
        SYNC: b"\xff\xff\xff\xff",
        "negotiation": HEADER + encode_varint_prefixed(b"\xff\xfe\n"),
    }[protocol]
    prefix = b"" if protocol == "negotiation" else HEADER + encode_varint_prefixed(protocol.encode() + b"\n")

    async def scene() -> None:
        async with our_host() as ours, stock_host() as stranger:
            await ready(ours)
            await send(stranger, ours.addresses()[0], iter([prefix + bad] * 3))
            await until(lambda: ours.is_banned(stranger.peer_id))
            await until(lambda: not ours.connected())
            await serves(ours)

    run(scene)
