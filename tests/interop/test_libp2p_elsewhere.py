"""A js-libp2p node meets one of ours: connects, identifies, pings, and takes part in gossip both ways.

Runs under Node.js with the packages of ``libp2p/package-lock.json``. Without node, npm or a registry these tests are
skipped, and say why.
"""

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from unhush.gossip.net.host import Host, HostConfig, Verdict, open_host

HERE = Path(__file__).parent / "libp2p"
PATIENCE_S = 60.0
TOPIC = "/unhush/1/test/3"


@dataclass
class Elsewhere:
    """The other program, and what it has said so far."""

    process: trio.Process
    said: list[dict[str, Any]]
    came: trio.Condition

    async def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(line.encode() + b"\n")

    async def says(self, key: str) -> Any:
        """What it says under a key, now or later; the last time."""
        async with self.came:
            while not any(key in each for each in self.said):
                assert {"ended": True} not in self.said, self.said
                await self.came.wait()
        return [each for each in self.said if key in each][-1]

    async def listen(self) -> None:
        rest = b""
        assert self.process.stdout is not None
        async for chunk in self.process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            async with self.came:
                self.said.extend(map(json.loads, lines))
                self.came.notify_all()
        async with self.came:
            self.said.append({"ended": True})
            self.came.notify_all()


@asynccontextmanager
async def elsewhere(node: str, host: Host) -> AsyncIterator[Elsewhere]:
    """The other program, which dials our host."""
    command = [node, "--import", str(HERE / "polyfill.mjs"), str(HERE / "peer.mjs"), host.addresses()[0], TOPIC]
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other = Elsewhere(process, [], trio.Condition())
        nursery.start_soon(other.listen)
        try:
            yield other
        finally:
            process.kill()
            await process.wait()
            nursery.cancel_scope.cancel()


@contextmanager
def bounded() -> Iterator[None]:
    with trio.fail_after(PATIENCE_S):
        yield


def test_a_js_node_connects_identifies_pings_and_gossips_both_ways(node_for_libp2p: str) -> None:
    heard: list[tuple[bytes, str]] = []

    async def scene() -> None:
        settings = HostConfig(
            seed=bytes(range(32)),
            listen=("/ip4/127.0.0.1/tcp/0",),
            agent="unhush/test",
            exempt_loopback=True,
            topics=frozenset((TOPIC,)),
        )
        with bounded():
            async with open_host(settings) as host:
                await host.join(
                    TOPIC,
                    lambda data, _: Verdict.REJECT if data == b"bad" else Verdict.ACCEPT,
                    lambda data, peer: heard.append((data, peer)),
                )
                async with elsewhere(node_for_libp2p, host) as other:
                    peer = (await other.says("peer"))["peer"]
                    identified = await other.says("identified")
                    assert identified["identified"] == "unhush/test"
                    assert (identified["encryption"], identified["muxer"]) == ("/noise", "/yamux/1.0.0")
                    assert 0 <= (await other.says("pinged"))["pinged"] < PATIENCE_S * 1e3
                    assert [each.peer_id for each in host.connected()] == [peer]

                    while peer not in host.topic_peers(TOPIC):  # noqa: ASYNC110  # sets no event
                        await trio.sleep(0.05)
                    # A mesh forms within a heartbeat or two; until then what is said may reach nobody.
                    while not any(each.get("heard") == b"to you".hex() for each in other.said):
                        await host.publish(TOPIC, b"to you")
                        await trio.sleep(0.2)
                    while (b"to us", peer) not in heard:
                        await other.tell(b"to us".hex())
                        await trio.sleep(0.2)
                    assert not host.is_banned(peer)

    trio.run(scene)
