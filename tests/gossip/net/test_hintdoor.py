"""The door of gossip: who is let in, what passes all the same, and how the rest waits."""

from collections.abc import Callable
from pathlib import Path

import trio
from tests.support.people import NETWORK, Clock, Home, Person, batch, ingest, open_home

from unhush.gossip.net import hintdoor
from unhush.gossip.net.hearing import ShardGossip
from unhush.gossip.net.hintdoor import HintDoor
from unhush.gossip.net.host import Verdict
from unhush.gossip.proto.hints import Hint, encode_hint, parse_hint
from unhush.gossip.proto.tally import Met, Tally
from unhush.identity.cid import Cid
from unhush.storage.arrivals import Arrival, Batch, Outcome, Status
from unhush.storage.store import Store

Done = Callable[[tuple[Outcome, ...]], None]


class Ingest:
    """Takes batches and keeps them until it is told to store them."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Batch, Done]] = []
        self.has_room = True

    def submit(self, given: Batch, *, is_live: bool, done: Done) -> bool:
        if self.has_room:
            self.waiting.append((given, done))
        return self.has_room

    def finish_one(self) -> str:
        given, done = self.waiting.pop(0)
        done(tuple(Outcome(Status.KNOWN) for _ in given.items))
        return given.source


def hint_of(person: Person, count: int, *operations: Arrival) -> Hint:
    return parse_hint(message_of(person, count, *operations), NETWORK)


def message_of(person: Person, count: int, *operations: Arrival) -> bytes:
    pairs = [(each.entry, each.body or b"") for each in operations]
    return encode_hint(pairs, [(post.entry.block, post.body) for post in person.posts(count)])


def test_an_account_beyond_its_rate_is_not_let_in_but_its_turn_to_a_new_generation_is(tmp_path: Path) -> None:
    ann = Person("Ann", seed=1)

    async def scene() -> None:
        with open_home(tmp_path, Clock()) as store:
            Home(store, Person("Own", seed=9), Clock())
            ingest(store, ann.incept)
            tally = Tally()
            door = HintDoor(store, Ingest().submit, tally)
            assert door.takes(hint_of(ann, 60))
            assert not door.takes(hint_of(ann, 10))
            assert not door.takes(hint_of(ann, 10, ann.add_device()[1])), "another operation does not help"
            turned = ann.rotate(1, [ann.key])
            assert door.takes(hint_of(ann, 10, turned))
            ingest(store, turned)
            assert not door.takes(hint_of(ann, 10, turned)), "once it is held it is no news"
            mallory = Person("Mallory", seed=66)
            assert door.takes(hint_of(mallory, 60))
            assert not door.takes(hint_of(mallory, 10, mallory.rotate(1, [mallory.key]))), "of nobody we know"
            assert tally.read()[Met.GOSSIP_OVER_ACCOUNT_RATE] == 4

    trio.run(scene)


def test_512_hints_wait_and_a_flood_waits_for_itself(tmp_path: Path) -> None:
    async def scene() -> None:
        with open_home(tmp_path, Clock()) as store:
            tally, ingesting = Tally(), Ingest()
            door = HintDoor(store, ingesting.submit, tally)
            for number in range(5_000):
                door.give("flood", Batch((), f"flood {number}"), lambda outcomes: None)
            assert door.waiting_count == hintdoor.MAX_WAITING
            assert len(ingesting.waiting) == hintdoor.MAX_GIVEN
            door.give("honest", Batch((), "honest"), lambda outcomes: None)
            assert door.waiting_count == hintdoor.MAX_WAITING
            assert tally.read()[Met.GOSSIP_QUEUE_FULL] == 5_000 - hintdoor.MAX_WAITING + 1
            taken = []
            while "honest" not in taken:
                taken.append(ingesting.finish_one())
                await trio.sleep(0.001)
            assert len(taken) <= hintdoor.MAX_GIVEN + 2, "after those that were given already"
            ingesting.has_room = False
            while ingesting.waiting:
                ingesting.finish_one()
                await trio.sleep(0.001)
            await trio.sleep(0.05)
            assert door.waiting_count == 0
            assert tally.read()[Met.INGEST_FULL] > 0, "what ingest turns away is counted"

    trio.run(scene)


class Mesh:
    """A host that lets us play what is heard."""

    def __init__(self) -> None:
        self.judge: Callable[[bytes, str], Verdict] = lambda data, peer: Verdict.IGNORE

    async def join(self, topic: str, judge: Callable[[bytes, str], Verdict], take: object) -> None:
        self.judge = judge


def test_what_is_over_a_peers_rate_is_left_for_another_and_what_is_over_an_accounts_is_asked_for(
    tmp_path: Path,
) -> None:
    ann, bulk = Person("Ann", seed=1), [Person(f"Bulk {number}", seed=100 + number) for number in range(14)]
    asked: list[Cid] = []

    def submit(store: Store) -> Callable[..., bool]:
        def submit_(given: Batch, *, is_live: bool, done: Done) -> bool:
            done(store.ingest(batch(*given.items)))
            return True

        return submit_

    async def scene() -> None:
        with open_home(tmp_path, Clock()) as store:
            ingest(store, ann.incept)
            mesh = Mesh()
            gossip = ShardGossip(mesh, store, submit(store), network=NETWORK, hole_seen=asked.append)  # type: ignore[arg-type]  # a fake
            await gossip.listen_for(frozenset([ann.account]))
            flood, news = [message_of(person, 60) for person in bulk], message_of(ann, 50)
            for message in flood:
                mesh.judge(message, "busy")
            assert mesh.judge(news, "busy") is Verdict.LATER
            assert mesh.judge(news, "another") is Verdict.ACCEPT
            assert asked == []
            assert mesh.judge(message_of(ann, 50), "another") is Verdict.IGNORE
            assert asked == [ann.account]

    trio.run(scene)
