"""A node among strangers: whatever a peer says on sync or gossip, and whatever the disk did, the node serves on."""

import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest
import trio
from tests.support.commands import ANY_PORT, await_until

from unhush.gossip.net.host import Host, HostConfig, Stream, Verdict, open_host
from unhush.gossip.proto.hints import all_topics
from unhush.identity.keys import SigningKey
from unhush.node import Config, Node, found_account
from unhush.node.config import Home
from unhush.storage.keyfile import write_key

LIMIT_S = 60.0
READING_S = 1.0
SYNC = "/unhush/sync/1"
Spit = Callable[[Stream], Awaitable[None]]
# Two peer keys; whose id is lower decides who opens the stream, so every test runs both ways round.
SEEDS = ((1).to_bytes(32, "big"), (2).to_bytes(32, "big"))
EITHER_WAY = pytest.mark.parametrize("ours", [0, 1], ids=["one opens", "the other opens"])
GARBAGE = {
    "no frames": b"\xff" * 20,
    "a frame of two exabytes": b"\xff" * 8 + b"\x1f" + b"x" * 100,
    "an empty frame": b"\x00",
    "a frame that is no map": b"\x01\x80",
    "text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a frame": b"\x7f{",
}


@contextmanager
def node_named(root: Path, name: str, seed: bytes) -> Iterator[Node]:
    """A running node whose peer id is known in advance."""
    config = Config(root / name.lower(), network="test", listen=(ANY_PORT,))
    found_account(config, name)
    write_key(Home(config.home).peer_key, "peer", SigningKey(seed))
    with Node.open(config) as node:
        node.start_network()
        yield node


def among(node: Node, seed: bytes, act: Callable[[Host, str], Awaitable[None]], serve: Spit | None = None) -> None:
    """Connect a stranger to the node and let it act."""
    config = HostConfig(seed, (ANY_PORT,), "stranger", topics=all_topics("test"))

    async def main() -> None:
        with trio.fail_after(LIMIT_S):
            async with open_host(config) as stranger:
                if serve is not None:
                    stranger.handle(SYNC, serve)
                await act(stranger, await stranger.dial(node.status().listen[0]))

    trio.run(main)


def fallen(caplog: pytest.LogCaptureFixture) -> list[str]:
    """How often the network as a whole had to start again."""
    return [record.getMessage() for record in caplog.records if "fell over" in record.getMessage()]


def assert_serving(node: Node, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It never fell over, and an honest stranger gets everything."""
    assert fallen(caplog) == []
    written = node.post("still here")
    with node_named(root, "Honest", (9).to_bytes(32, "big")) as honest:
        honest.add_peer(node.status().listen[0])
        honest.follow(node.account())
        await_until(
            lambda: honest.person(node.account()).posts == node.person(node.account()).posts, "an honest peer is served"
        )
        assert honest.show(written.id).text == "still here"
        await_until(lambda: honest.verify().is_clean, "nothing is missing")


@EITHER_WAY
def test_garbage_on_sync_costs_the_stranger_the_stream_and_nobody_else_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ours: int
) -> None:
    caplog.set_level(logging.ERROR)
    with node_named(tmp_path, "Ann", SEEDS[ours]) as node:
        before = node.last_aid()
        for number, garbage in enumerate(GARBAGE.values()):
            seed = SEEDS[1 - ours] if number == 0 else bytes([100 + number]) * 32

            said = trio.Event()

            async def spit(stream: Stream, garbage: bytes = garbage, said: trio.Event = said) -> None:
                await stream.write(garbage)
                with trio.move_on_after(READING_S):  # a frame that never ends is waited for, for a while
                    while await stream.read():
                        pass
                said.set()

            async def act(stranger: Host, peer_id: str, spit: Spit = spit, said: trio.Event = said) -> None:
                if stranger.peer_id < peer_id:
                    await spit(await stranger.open_stream(peer_id, SYNC))
                else:
                    await said.wait()

            among(node, seed, act, serve=spit)
        assert node.last_aid() == before
        assert_serving(node, tmp_path, caplog)


def test_garbage_on_gossip_is_not_stored_and_the_node_serves_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    dice = random.Random(1)
    with node_named(tmp_path, "Ann", SEEDS[0]) as node:
        before = node.last_aid()

        async def act(stranger: Host, _: str) -> None:
            for topic in sorted(all_topics("test")):
                await stranger.join(topic, lambda _data, _peer: Verdict.ACCEPT, lambda _data, _peer: None)
            await trio.sleep(0.3)  # the topics become known
            for topic in sorted(all_topics("test")):
                await stranger.publish(topic, dice.randbytes(dice.randint(0, 2_000)))
            await trio.sleep(0.3)

        among(node, SEEDS[1], act)
        assert node.last_aid() == before
        assert_serving(node, tmp_path, caplog)


@EITHER_WAY
@pytest.mark.parametrize("at", ["row", "entry", "body"])
def test_a_record_the_disk_has_damaged_is_not_sent_and_all_others_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ours: int, at: str
) -> None:
    caplog.set_level(logging.ERROR)
    config = Config(tmp_path / "ann", network="test", listen=(ANY_PORT,))
    found_account(config, "Ann")
    write_key(Home(config.home).peer_key, "peer", SigningKey(SEEDS[ours]))
    with Node.open(config) as node:
        for number in range(5):
            node.post(f"post {number}")
        account = node.account()
    damage(config.home, b"post 2", at)

    with Node.open(config) as node, node_named(tmp_path, "Ben", SEEDS[1 - ours]) as ben:
        node.start_network()
        ben.add_peer(node.status().listen[0])
        ben.follow(account)
        await_until(lambda: ben.person(account).posts == 4, "the four sound posts arrive", within_s=LIMIT_S)
        node.post("still here")
        await_until(lambda: ben.person(account).posts == 5, "what is written now arrives", within_s=LIMIT_S)

        texts = {shown.text for shown in ben.timeline().items}
        assert texts == {"post 0", "post 1", "post 3", "post 4", "still here"}
        assert ben.verify().bad == 0
        assert fallen(caplog) == []
        assert any("a damaged record is not shown" in record.getMessage() for record in caplog.records)


def damage(home: Path, text: bytes, at: str) -> None:
    """Turn bits of the row that holds ``text``: in its head, in the entry or in the body."""
    with lmdb.open(str(home / "store"), max_dbs=64, lib_version=0) as environment:
        journal = environment.open_db(b"journal")
        with environment.begin(write=True) as txn, txn.cursor(journal) as cursor:
            key, row = next((key, bytearray(row)) for key, row in cursor if text in row)
            row[{"row": 0, "entry": 60, "body": row.index(text)}[at]] ^= 0x63
            txn.put(key, bytes(row), db=journal)
