"""Each thing by which a peer kills a stock host, shown on a stock host; and that ours lives.

When a test named ``…_kills_a_stock_host`` fails, libp2p has cured it and our work-around can go.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from libp2p.host.exceptions import StreamFailure
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import PUBSUB_SIGNING_PREFIX
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.utils import encode_varint_prefixed

from unhush.gossip.net.host import Stream, Verdict
from unhush.gossip.net.wire import negotiation

TOPIC = "/unhush/1/test/0"
GOSSIP = "/meshsub/1.1.0"

Attack = Callable[[Any, str], Awaitable[None]]


async def bytes_that_are_not_protobuf(stranger: Any, victim: str) -> None:
    stream = await stranger.stream(victim, GOSSIP)
    await stream.write(encode_varint_prefixed(b"\xff" * 40))


async def a_malformed_key_field(stranger: Any, victim: str) -> None:
    # An RSA-style peer id carries no key, so the validator turns to the ``key`` field.
    message = rpc_pb2.Message(
        from_id=b"\x12\x20" + b"\x07" * 32, seqno=b"1", data=b"x", topicIDs=[TOPIC], signature=b"s", key=b"\xff\xff"
    )
    await publish_raw(stranger, victim, message)


async def a_message_on_a_topic_whose_validator_raises(stranger: Any, victim: str) -> None:
    await publish_raw(stranger, victim, signed(stranger, b"anything"))


async def a_stream_whose_handler_raises(stranger: Any, victim: str) -> None:
    with suppress(StreamFailure):  # if the reset comes before the stranger has read that the name is known
        await stranger.stream(victim, "/raises")


async def a_protocol_name_that_is_not_utf8(stranger: Any, victim: str) -> None:
    muxed = stranger.host.get_network().get_connections()[0].muxed_conn
    stream = await muxed.open_stream()
    await stream.write(encode_varint_prefixed(b"/multistream/1.0.0\n") + encode_varint_prefixed(b"\xff\xfe\n"))


ATTACKS = [
    bytes_that_are_not_protobuf,
    a_malformed_key_field,
    a_message_on_a_topic_whose_validator_raises,
    a_stream_whose_handler_raises,
    a_protocol_name_that_is_not_utf8,
]


async def publish_raw(stranger: Any, victim: str, message: rpc_pb2.Message) -> None:
    stream = await stranger.stream(victim, GOSSIP)
    await stream.write(encode_varint_prefixed(rpc_pb2.RPC(publish=[message]).SerializeToString()))


def signed(stranger: Any, data: bytes, seqno: bytes = b"12345678") -> rpc_pb2.Message:
    message = rpc_pb2.Message(from_id=stranger.host.get_id().to_bytes(), seqno=seqno, data=data, topicIDs=[TOPIC])
    message.signature = stranger.host.get_private_key().sign(
        PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
    )
    return message


def raise_anything(*_: object) -> Any:
    raise KeyError("a bug in a handler")


async def raise_later(*_: object) -> None:
    await trio.lowlevel.checkpoint()
    raise KeyError("a bug in a handler")


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_it_kills_a_stock_host(attack: Attack, run: Any, stock_host: Any) -> None:
    async def scene() -> None:
        async with stock_host() as stranger:
            with pytest.raises(BaseExceptionGroup):  # noqa: PT012  # it comes out of the victim's block
                async with stock_host() as victim:
                    victim.host.set_stream_handler("/raises", raise_later)
                    victim.pubsub.set_topic_validator(TOPIC, raise_anything, False)
                    await victim.pubsub.subscribe(TOPIC)
                    await stranger.connect(victim.address)
                    await attack(stranger, victim.peer_id)
                    await trio.sleep(3)

    run(scene)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_ours_goes_on_serving(attack: Attack, run: Any, stock_host: Any, our_host: Any, serves: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours, stock_host() as stranger:
            ours.handle("/raises", raise_later)
            await ours.join(TOPIC, raise_anything, raise_anything)
            await stranger.connect(ours.addresses()[0])
            await attack(stranger, ours.peer_id)
            await trio.sleep(0.2)
            await serves(ours)

    run(scene)


def test_a_receiver_that_raises_leaves_the_host_serving(run: Any, stock_host: Any, our_host: Any, serves: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours, stock_host() as stranger:
            await ours.join(TOPIC, lambda data, peer: Verdict.ACCEPT, raise_anything)
            await stranger.connect(ours.addresses()[0])
            await publish_raw(stranger, ours.peer_id, signed(stranger, b"x"))
            await trio.sleep(0.2)
            await serves(ours)
            assert not ours.is_banned(stranger.peer_id)

    run(scene)


def test_a_callback_that_raises_leaves_the_host_serving(run: Any, our_host: Any, serves: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours:
            ours.on_connected(raise_anything)
            ours.on_disconnected(raise_anything)
            await serves(ours)
            await serves(ours)

    run(scene)


def test_three_faults_shut_a_peer_out(run: Any, stock_host: Any, our_host: Any, serves: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours, stock_host() as stranger:
            await ours.join(TOPIC, lambda data, peer: Verdict.ACCEPT, lambda data, peer: None)
            await stranger.connect(ours.addresses()[0])
            for _ in range(3):
                assert not ours.is_banned(stranger.peer_id)
                await bytes_that_are_not_protobuf(stranger, ours.peer_id)
                await trio.sleep(0.1)
            assert ours.is_banned(stranger.peer_id)
            await until(lambda: not ours.connected())
            # The stranger may finish a handshake, but no connection comes of it.
            await until(lambda: not stranger.host.get_network().get_connections())
            with trio.move_on_after(3):
                with suppress(Exception):
                    await stranger.connect(ours.addresses()[0])
            await trio.sleep(0.2)
            assert not ours.connected()
            await serves(ours)

    run(scene)


def test_a_peer_that_is_slow_is_not_at_fault(
    run: Any, stock_host: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(negotiation, "NEGOTIATION_TIMEOUT_S", 1.0)

    async def scene() -> None:
        async with our_host() as ours, stock_host() as stranger:
            muxed = await stranger.connect(ours.addresses()[0])
            streams = [await muxed.open_stream() for _ in range(4)]
            with trio.fail_after(5):
                for stream in streams:
                    # Our greeting, and then the end, for it says nothing.
                    while True:
                        try:
                            await stream.read(100)
                        except MuxedStreamError:
                            break
            assert not ours.is_banned(stranger.peer_id)
            assert ours._faults._faults == {}

    run(scene)


def test_a_peer_that_only_goes_away_is_not_at_fault(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        ended: list[str] = []

        async def wait_for_more(stream: Stream) -> None:
            try:
                while await stream.read():
                    pass
            finally:
                ended.append(stream.peer_id)

        async with our_host() as ours, our_host() as other:
            ours.handle("/wait", wait_for_more)
            for _ in range(4):
                await other.dial(ours.addresses()[0])
                stream = await other.open_stream(ours.peer_id, "/wait")
                await stream.write(b"x")
                await stream.reset()
                await other.disconnect(ours.peer_id)
                await until(lambda: not ours.connected())
            assert len(ended) == 4
            assert not ours.is_banned(other.peer_id)

    run(scene)
