"""Hosts to test with: ours, and stock libp2p ones as strangers and as victims."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import libp2p
import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from unhush.gossip.net.host import Host, HostConfig, Stream, open_host

ANY_PORT = "/ip4/127.0.0.1/tcp/0"
TEST_LIMIT_S = 110.0  # a crowded machine may take six times as long as an idle one

_seeds = count(1)


@pytest.fixture(autouse=True)
def _quiet_libp2p(caplog: pytest.LogCaptureFixture) -> None:
    """Formatting what libp2p has to say of ten thousand bad frames takes longer than refusing them."""
    caplog.set_level(logging.CRITICAL, "libp2p")


@pytest.fixture
def run() -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Run an async test body within bounded time."""

    def run_(body: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with trio.fail_after(TEST_LIMIT_S):
                await body()

        trio.run(bounded)

    return run_


@pytest.fixture
def our_host() -> Callable[..., AbstractAsyncContextManager[Host]]:
    """A host of ours on a free loopback port."""

    def make(**options: Any) -> AbstractAsyncContextManager[Host]:
        settings = {"listen": (ANY_PORT,), "agent": "test", "exempt_loopback": True} | options
        return open_host(HostConfig(seed=next(_seeds).to_bytes(32, "big"), **settings))

    return make


@dataclass
class Stock:
    """A stock libp2p host."""

    host: Any
    pubsub: Pubsub

    @property
    def peer_id(self) -> str:
        return str(self.host.get_id())

    @property
    def address(self) -> str:
        listener = next(iter(self.host.get_network().listeners.values()))
        return f"{listener.get_addrs()[0]}/p2p/{self.peer_id}"

    async def connect(self, address: str) -> Any:
        """Connect, and return the multiplexed connection to abuse."""
        info = info_from_p2p_addr(Multiaddr(address))
        await self.host.connect(info)
        return self.host.get_network().get_connections(info.peer_id)[0].muxed_conn

    async def stream(self, peer_id: str, protocol: str) -> Any:
        return await self.host.new_stream(ID.from_string(peer_id), [TProtocol(protocol)])


@pytest.fixture
def stock_host() -> Callable[..., AbstractAsyncContextManager[Stock]]:
    """A stock host with gossip: a stranger to attack with, or a victim to compare with."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Stock]:
        host = libp2p.new_host(listen_addrs=[Multiaddr(ANY_PORT)])
        router = GossipSub([PROTOCOL_ID_V11], degree=6, degree_low=4, degree_high=12)
        pubsub = Pubsub(host, router)
        async with (
            host.run([Multiaddr(ANY_PORT)]),
            background_trio_service(router),
            background_trio_service(pubsub),
        ):
            await pubsub.wait_until_ready()
            yield Stock(host, pubsub)
        pubsub.seen_messages.stop()

    return make


@pytest.fixture
def serves() -> Callable[[Host], Awaitable[None]]:
    """Assert that a host still takes an honest dial and answers on a stream."""

    async def check(host: Host) -> None:
        async def echo(stream: Stream) -> None:
            while data := await stream.read():
                await stream.write(data)

        host.handle("/echo", echo)
        seed = next(_seeds).to_bytes(32, "big")
        with trio.fail_after(10):
            async with open_host(HostConfig(seed, (), "honest")) as honest:
                await honest.dial(host.addresses()[0])
                async with await honest.open_stream(host.peer_id, "/echo") as stream:
                    await stream.write(b"still there?")
                    assert await stream.read() == b"still there?"

    return check


async def until(is_so: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Wait for something that happens on another task."""
    with trio.fail_after(limit_s):
        while not is_so():  # noqa: ASYNC110  # most of what is waited for sets no event
            await trio.sleep(0.01)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Awaitable[None]]:
    return until
