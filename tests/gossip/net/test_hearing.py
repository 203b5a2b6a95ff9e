"""Hints that show that we lack something make us ask for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from tests.support.people import NETWORK, Clock, Person, batch, ingest, open_home

from unhush.gossip.net.hearing import ShardGossip
from unhush.gossip.proto.hints import MAX_OPERATIONS, encode_hint, parse_hint
from unhush.identity.cid import Cid
from unhush.storage.arrivals import Batch, Outcome
from unhush.storage.store import Store


class Mesh:
    """A host that keeps what is published and lets us play what is heard."""

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.take: Callable[[bytes, str], None] = lambda data, peer: None

    async def join(self, topic: str, judge: Any, take: Callable[[bytes, str], None]) -> None:
        self.take = take

    async def publish(self, topic: str, message: bytes) -> None:
        self.published.append(message)


def gossip_on(store: Store, mesh: Mesh, holes: list[Cid]) -> ShardGossip:
    def submit(given: Batch, *, is_live: bool, done: Callable[[tuple[Outcome, ...]], None]) -> bool:
        done(store.ingest(batch(*given.items)))
        return True

    return ShardGossip(mesh, store, submit, network=NETWORK, hole_seen=holes.append)  # type: ignore[arg-type]  # a fake


def test_a_record_of_a_device_we_do_not_know_makes_us_ask_for_the_operation_that_lists_it(tmp_path: Path) -> None:
    ann = Person("Ann", seed=1)
    phone, added = ann.add_device()
    post = ann.write_fields("post", {"text": "from the phone"}, by=phone)
    holes: list[Cid] = []
    mesh = Mesh()

    async def scene() -> None:
        with open_home(tmp_path, Clock()) as store:
            ingest(store, ann.incept)
            await gossip_on(store, mesh, holes).listen_for(frozenset([ann.account]))
            mesh.take(encode_hint([], [(post.entry.block, post.body)]), "peer")
            await trio.sleep(0.01)
            assert holes == [ann.account]
            ingest(store, added)
            mesh.take(encode_hint([], [(post.entry.block, post.body)]), "peer")
            await trio.sleep(0.01)
            assert holes == [ann.account]

    trio.run(scene)


def test_new_operations_are_announced_with_the_next_records_and_many_are_not(tmp_path: Path) -> None:
    ann = Person("Ann", seed=1)
    mesh = Mesh()

    async def told(gossip: ShardGossip, store: Store) -> set[bytes]:
        (outcome,) = ingest(store, ann.post("news").arrival)
        with store.snapshot() as snapshot:
            record = snapshot.record(outcome.cid) if outcome.cid is not None else None
        assert record is not None
        await gossip.announce([record])
        return {operation.entry.block for operation in parse_hint(mesh.published[-1], NETWORK).operations}

    async def scene() -> None:
        with open_home(tmp_path, Clock()) as store:
            ingest(store, ann.incept)
            gossip = gossip_on(store, mesh, [])
            assert await told(gossip, store) == {ann.incept.entry}
            few = [ann.add_device()[1] for _ in range(MAX_OPERATIONS - 1)]
            ingest(store, *few)
            assert await told(gossip, store) == {ann.incept.entry, *(each.entry for each in few)}
            new = [ann.add_device()[1] for _ in range(MAX_OPERATIONS)]
            ingest(store, *new)
            assert await told(gossip, store) == {each.entry for each in new}
            assert await told(gossip, store) == set(), "what was announced is not announced again"
            ingest(store, *(ann.add_device()[1] for _ in range(MAX_OPERATIONS + 1)))
            assert await told(gossip, store) == set()

    trio.run(scene)
