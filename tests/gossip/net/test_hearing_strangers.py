"""What the mesh tells of people nobody here follows: taken in where it concerns us, told where it concerns others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.support.people import NETWORK, Clock, Home, Person, Written, cids_held, ingest, open_home

from unhush.gossip.net.hearing import MAX_ELSEWHERE, ShardGossip
from unhush.gossip.proto.hints import encode_hint, parse_hint, topic_of
from unhush.identity.cid import Cid, cid_of
from unhush.storage.arrivals import Arrival, Batch, Outcome
from unhush.storage.kinds import Delete, Follow, Post, React, Reply
from unhush.storage.store import Store


class Mesh:
    """A host that keeps what is published and lets us play what is heard."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.take: Callable[[bytes, str], None] = lambda data, peer: None

    async def join(self, topic: str, judge: Any, take: Callable[[bytes, str], None]) -> None:
        self.take = take

    async def publish(self, topic: str, message: bytes) -> None:
        self.published.append((topic, message))


class Scene:
    """Ben's home, who follows Ann, on a mesh of its own."""

    def __init__(self, folder: Path) -> None:
        self.ann, self.ben, self.cleo = Person("Ann", seed=1), Person("Ben", seed=2), Person("Cleo", seed=3)
        self.folder = folder
        self.lacking: list[tuple[Cid, Cid]] = []
        self.mesh = Mesh()

    def play(self, scene: Callable[["Scene", Home, ShardGossip], Any]) -> None:
        async def run() -> None:
            with open_home(self.folder, Clock()) as store:
                home = Home(store, self.ben, Clock())
                home.publish(Follow(self.ann.account))
                ingest(store, self.ann.incept)
                await scene(self, home, await self._gossip(store))

        trio.run(run)

    async def _gossip(self, store: Store) -> ShardGossip:
        def submit(given: Batch, *, is_live: bool, done: Callable[[tuple[Outcome, ...]], None]) -> bool:
            done(store.ingest(given))
            return True

        gossip = ShardGossip(
            self.mesh,  # type: ignore[arg-type]  # a fake
            store,
            submit,
            network=NETWORK,
            hole_seen=lambda _: None,
            lacks=lambda account, cid: self.lacking.append((account, cid)),
        )
        await gossip.listen_for(frozenset([self.ann.account, self.ben.account]))
        return gossip

    async def hear(self, *written: Written, ops: tuple[Arrival, ...] = ()) -> None:
        pairs = [(each.entry.block, each.body) for each in written]
        self.mesh.take(encode_hint([(op.entry, op.body or b"") for op in ops], pairs), "peer")
        await trio.sleep(0.01)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def answer(to: Cid, of: Cid, by: Person) -> Written:
    return by.write(Post("an answer", reply=Reply(to, to, of, of)))


def test_what_concerns_us_is_taken_in_with_who_may_speak_for_its_author(scene: Scene) -> None:
    async def play(scene: Scene, home: Home, _: ShardGossip) -> None:
        cleo = scene.cleo
        mention = cleo.write(Post("hello Ben", mentions=(scene.ben.account,)))
        liked = cleo.write(React(home.first.cid, scene.ben.account, "🌱"))
        await scene.hear(mention, liked, ops=(cleo.incept,))
        assert {mention.cid, liked.cid, cleo.account} <= cids_held(home.store)
        await scene.hear(cleo.write(Delete(mention.cid)))
        with home.store.snapshot() as snapshot:
            assert [concern.record.cid for _, concern in snapshot.activity()] == [liked.cid]

    scene.play(play)


def test_an_answer_to_somebody_we_follow_is_taken_in_and_a_like_is_not(scene: Scene) -> None:
    async def play(scene: Scene, home: Home, _: ShardGossip) -> None:
        cleo, post = scene.cleo, scene.ann.post("hello")
        reply = answer(post.cid, scene.ann.account, cleo)
        liked = cleo.write(React(post.cid, scene.ann.account, "🌱"))
        unrelated = cleo.post("about nobody")
        elsewhere = answer(cid_of(b"x"), cid_of(b"y"), cleo)
        await scene.hear(reply, liked, unrelated, elsewhere, ops=(cleo.incept,))
        assert {reply.cid, liked.cid, unrelated.cid, elsewhere.cid} & cids_held(home.store) == {reply.cid}

    scene.play(play)


def test_operations_of_strangers_are_not_kept_for_nothing(scene: Scene) -> None:
    async def play(scene: Scene, home: Home, _: ShardGossip) -> None:
        await scene.hear(scene.cleo.post("about nobody"), ops=(scene.cleo.incept,))
        assert scene.cleo.account not in cids_held(home.store)

    scene.play(play)


def test_what_a_hint_leaves_out_is_asked_for(scene: Scene) -> None:
    async def play(scene: Scene, home: Home, _: ShardGossip) -> None:
        mention = scene.cleo.write(Post("hello Ben", mentions=(scene.ben.account,)))
        await scene.hear(mention)
        assert scene.lacking == [(scene.cleo.account, mention.cid)], "nobody told us who Cleo is"
        long = scene.ann.post("x" * 49_000), scene.ann.post("y" * 49_000)
        await scene.hear(*long)
        assert scene.lacking[1:] == [(scene.ann.account, long[1].cid)]
        assert long[0].cid in cids_held(home.store)

    scene.play(play)


def test_what_we_write_is_told_where_those_listen_whom_it_concerns(scene: Scene) -> None:
    async def play(scene: Scene, home: Home, gossip: ShardGossip) -> None:
        own = topic_of(NETWORK, scene.ben.account)
        strangers = [cid_of(f"{number}".encode()) for number in range(32)]
        far = next(who for who in strangers if topic_of(NETWORK, who) != own)
        records = home.publish(
            Post("to nobody"), Post("to somebody", mentions=(far,)), Post("to all", mentions=tuple(strangers))
        )
        await gossip.announce(records)
        told: dict[Cid, list[str]] = {}
        for topic, message in scene.mesh.published:
            hint = parse_hint(message, NETWORK)
            assert [each.entry.block for each in hint.operations] in ([], [scene.ben.incept.entry])
            for each in hint.records:
                told.setdefault(each.entry.cid, []).append(topic)
        nobody, somebody, everybody = (told[record.cid] for record in records)
        assert nobody == [own]
        assert somebody == [own, topic_of(NETWORK, far)]
        assert len(everybody) == 1 + MAX_ELSEWHERE

    scene.play(play)
