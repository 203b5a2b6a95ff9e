"""A peer that says what a test tells it to: real libp2p and real frames, and no honesty.

It runs on a thread of its own. With each peer that connects it keeps one sync
stream, as nodes do, greets, grants credit, and then answers each frame with
whatever ``answer`` returns.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import trio
from tests.support.commands import ANY_PORT
from tests.support.people import NETWORK

from unhush.gossip.errors import GossipError, StreamBroken
from unhush.gossip.net.host import ConnectedPeer, Host, HostConfig, Stream, open_host
from unhush.gossip.net.sessions import SYNC
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frame_parsing import parse_frame
from unhush.gossip.proto.frames import Credit, Frame, Hello
from unhush.gossip.proto.framing import Deframer, frame

START_S: Final = 60.0
CREDIT_BYTES: Final = 4_194_304

# What the peer said (None: the stream has just begun), and what is answered.
Answer = Callable[[Frame | None], Iterable[Frame]]


class Liar:
    """Running from ``lying`` only."""

    def __init__(self, answer: Answer, seed: int, network: str) -> None:
        self._answer = answer
        self._seed = seed
        self._network = network
        self._started = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._thread = threading.Thread(target=lambda: trio.run(self._main), daemon=True)
        self.heard: list[Frame] = []
        self.address = ""

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(START_S)

    def stop(self) -> None:
        if self._token is not None:
            self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(START_S)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        config = HostConfig(self._seed.to_bytes(32, "big"), (ANY_PORT,), "liar", exempt_loopback=True)
        with self._scope:
            async with open_host(config) as host, trio.open_nursery() as nursery:

                def connected(peer: ConnectedPeer) -> None:
                    if host.peer_id < peer.peer_id:
                        nursery.start_soon(self._open, host, peer.peer_id)

                host.handle(SYNC, self._talk)
                host.on_connected(connected)
                self.address = host.addresses()[0]
                self._started.set()
                await trio.sleep_forever()

    async def _open(self, host: Host, peer_id: str) -> None:
        for _ in range(20):
            with contextlib.suppress(GossipError):  # it hung up on us, or is not ready yet
                await self._talk(await host.open_stream(peer_id, SYNC))
            await trio.sleep(0.5)

    async def _talk(self, stream: Stream) -> None:
        deframer = Deframer()
        try:
            await self._say(stream, [Hello(self._network, "liar"), Credit(CREDIT_BYTES)])
            await self._say(stream, self._answer(None))
            while chunk := await stream.read():
                for payload in deframer.feed(chunk):
                    said = parse_frame(payload)
                    if said is not None:
                        self.heard.append(said)
                        await self._say(stream, self._answer(said))
        except StreamBroken:
            return

    async def _say(self, stream: Stream, frames: Iterable[Frame]) -> None:
        for each in frames:
            await stream.write(frame(encode_frame(each)))


@contextmanager
def lying(answer: Answer, *, seed: int = 666, network: str = NETWORK) -> Iterator[Liar]:
    """A peer on loopback that answers like this."""
    liar = Liar(answer, seed, network)
    liar.start()
    try:
        yield liar
    finally:
        liar.stop()
