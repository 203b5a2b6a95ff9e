"""A connection on which nothing was said for a while is as good as before."""

from typing import Any

import pytest
import trio

from unhush.gossip.net.host import Stream, Verdict
from unhush.gossip.net.wire import patience

TOPIC = "/unhush/1/test/3"


def test_silence_longer_than_the_patience_costs_neither_connection_nor_gossip(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "GRACE_S", 0.2)

    async def scene() -> None:
        heard: list[bytes] = []
        left: list[str] = []

        async def shout(stream: Stream) -> None:
            await stream.write((await stream.read()).upper())

        topics = frozenset({TOPIC})
        async with our_host(topics=topics) as a, our_host(topics=topics) as b:
            a.handle("/shout", shout)
            for host in (a, b):
                host.on_disconnected(lambda peer: left.append(peer.peer_id))
                await host.join(TOPIC, lambda data, peer: Verdict.ACCEPT, lambda data, peer: heard.append(data))
            await b.dial(a.addresses()[0])
            await until(lambda: bool(a.topic_peers(TOPIC)) and bool(b.topic_peers(TOPIC)))
            for number in range(3):
                await trio.sleep(0.6)
                async with await b.open_stream(a.peer_id, "/shout") as stream:
                    await stream.write(b"still here")
                    assert await stream.read() == b"STILL HERE"
                await a.publish(TOPIC, f"news {number}".encode())
                await until(lambda wanted=number + 1: len(heard) == wanted)
            assert left == []

    run(scene)
