"""A process that floods a node with valid records over gossip, from several peers and for many accounts.

    python -m tests.support.flooder RECORDS_PER_S SECONDS

Everything is written and signed beforehand; then it says ``ready``, waits for an address, and sends at that rate.
"""

import sys
from itertools import cycle
from typing import Final

import trio
from libp2p.pubsub.pb import rpc_pb2
from tests.support.people import NETWORK, Person
from tests.support.strangers import GOSSIP, rpc, stranger

from unhush.gossip.proto.hints import encode_hint, topic_of

PEERS: Final = 8
ACCOUNTS_PER_PEER: Final = 8
RECORDS_PER_MESSAGE: Final = 25


def person(peer: int, number: int) -> Person:
    return Person(f"Flood {peer}.{number}", seed=100_000 + peer * 1_000 + number)


def people() -> list[Person]:
    """Everybody in whose name it writes; the node under test follows them."""
    return [person(peer, number) for peer in range(PEERS) for number in range(ACCOUNTS_PER_PEER)]


def write(peer: int, messages: int) -> list[tuple[str, bytes]]:
    """So many hints, of the peer's accounts in turn."""
    accounts = cycle([person(peer, number) for number in range(ACCOUNTS_PER_PEER)])
    written = []
    for _, who in zip(range(messages), accounts, strict=False):
        records = [(post.entry.block, post.body) for post in who.posts(RECORDS_PER_MESSAGE)]
        operations = [(who.incept.entry, who.incept.body or b"")]
        written.append((topic_of(NETWORK, who.account), encode_hint(operations, records)))
    return written


async def flood(records_per_s: int, seconds: int) -> None:
    per_peer = records_per_s * seconds // RECORDS_PER_MESSAGE // PEERS
    hints = [write(peer, per_peer) for peer in range(PEERS)]
    print("ready", flush=True)
    address = sys.stdin.readline().strip()
    async with trio.open_nursery() as nursery:
        for peer in range(PEERS):
            nursery.start_soon(flood_from, peer, address, hints[peer], seconds / max(1, per_peer))


async def flood_from(peer: int, address: str, hints: list[tuple[str, bytes]], pause_s: float) -> None:
    async with stranger(address, source=f"127.7.{peer}.1", seed=7_000 + peer) as one:
        stream = await one.stream(GOSSIP)
        due = trio.current_time()
        for topic, hint in hints:
            message = one.message(topic, hint)
            try:
                await stream.write(rpc(publish=[rpc_pb2.Message.FromString(message.SerializeToString())]))
            except Exception as exc:
                print(f"peer {peer} was stopped: {exc!r}", file=sys.stderr)
                return
            due += pause_s
            await trio.sleep_until(due)


if __name__ == "__main__":
    trio.run(flood, int(sys.argv[1]), int(sys.argv[2]))
