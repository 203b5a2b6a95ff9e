"""People nobody follows: what they say to somebody reaches that somebody, and whoever reads the conversation."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.commands import await_until, command
from tests.support.nodes import config_of, introduce
from tests.support.people import Person

from unhush.gossip.proto import limits
from unhush.gossip.proto.hints import topic_of
from unhush.identity.cid import Cid
from unhush.node import Node, Shown, found_account
from unhush.storage.kinds import Post

NETWORK = "main"  # that of commands
Make = Callable[..., Node]


@pytest.fixture
def make(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Nodes that connect to whom they are introduced, and to nobody else."""
    caplog.set_level(logging.CRITICAL, "libp2p")
    monkeypatch.setattr(limits, "OWN_CHECK_STRANGERS_S", 1.0)
    with ExitStack() as opened:

        def open_node(name: str, *known: Node, follows: tuple[Node, ...] = (), is_up: bool = True) -> Node:
            alone = {"lan": False, "dht": False, "exchange": False, "bootstrap": ()}
            config = config_of(tmp_path / name, network=NETWORK, **alone)
            found_account(config, name)
            node = opened.enter_context(Node.open(config))
            for followed in follows:
                node.follow(followed.account())
            introduce(node, *known)
            if is_up:
                node.start_network()
            return node

        yield open_node


def texts_under(node: Node, root: Shown) -> list[str]:
    with node._store.snapshot() as snapshot:  # so that looking does not ask anybody
        return [post.text for reply in snapshot.replies(root.id) if (post := snapshot.shown_version(reply)) is not None]


def told(node: Node) -> list[tuple[Cid, tuple[str, ...]]]:
    """What others did, but for follows."""
    items = [(concern.shown.id, concern.reasons) for concern in node.activity().items]
    return [(cid, reasons) for cid, reasons in items if reasons != ("follow",)]


def await_post(node: Node, cid: Cid) -> None:
    def is_here() -> bool:
        with node._store.snapshot() as snapshot:
            record = snapshot.record(cid)
        return record is not None and record.body is not None

    await_until(is_here, f"{cid} arrives at {node.status().name}", within_s=30)


def is_connected(node: Node, other: Node) -> bool:
    return other.status().peer in {peer.peer for peer in node.peers() if peer.connected}


def test_what_a_stranger_does_reaches_whom_it_concerns_over_somebody_between(make: Make) -> None:
    ann = make("Ann")
    ben = make("Ben", ann, follows=(ann,))
    cleo = make("Cleo", ben, follows=(ann,))
    root = ann.post("who is there?")
    await_post(cleo, root.id)

    answer = cleo.reply(root.id, "me, whom nobody follows")
    await_until(lambda: texts_under(ben, root) == [answer.text], "the answer stands in the thread at Ben's")
    await_until(lambda: told(ann) == [(answer.id, ("reply",))], "Ann is told of the answer")
    assert texts_under(ann, root) == [answer.text]
    assert ann.activity().items[0].shown.name == "Cleo"
    assert not is_connected(ann, cleo)
    assert not is_connected(cleo, ann)

    liked = cleo.react(root.id, "🌱")
    mention = cleo.post(Post("@Ann, a word", mentions=(ann.account(),)))
    quote = cleo.quote(root.id, "look at this")
    repost = cleo.repost(root.id)
    await_until(lambda: len(told(ann)) == 5, "Ann is told of everything")
    assert dict(told(ann)) == {
        answer.id: ("reply",),
        liked.id: ("reaction",),
        mention.id: ("mention",),
        quote.id: ("quote",),
        repost.id: ("repost",),
    }
    cleo.edit(answer.id, "me, Cleo")
    await_until(lambda: texts_under(ann, root) == ["me, Cleo"], "the edit follows the answer")
    cleo.delete(answer.id)
    await_until(lambda: not texts_under(ann, root), "and so does the delete")
    assert cleo.account() not in {person.account for person in ann.follows()}


def test_who_was_away_is_told_by_whoever_carries_them(make: Make) -> None:
    ann = make("Ann")
    ben = make("Ben", ann, follows=(ann,))
    root = ann.post("back tomorrow")
    await_post(ben, root.id)
    ann.stop_network()
    # Cleo writes while alone, and meets Ben afterwards.
    cleo = make("Cleo", is_up=False, follows=(ann,))
    mention = cleo.post(Post("Ann, are you there?", mentions=(ann.account(),)))
    cleo.start_network()
    introduce(cleo, ben)
    await_post(ben, mention.id)
    # Dora gets Ann's post from Ben, and the conversation when she looks at it.
    await_post(cleo, root.id)
    answer = cleo.reply(root.id, "a safe journey")
    await_post(ben, answer.id)
    dora = make("Dora", ben, follows=(ann,))
    await_post(dora, root.id)
    assert texts_under(dora, root) == []
    assert [reply.text for reply in dora.fetch_thread(root.id).replies] == [answer.text]

    ann.start_network()
    introduce(ann, ben)

    await_until(lambda: {answer.id, mention.id} <= dict(told(ann)).keys(), "Ann is told of both", within_s=30)


def test_who_carries_them_too_and_comes_later_is_told_by_a_node_that_began_anew(make: Make) -> None:
    ann = make("Ann", is_up=False)
    ben = make("Ben", follows=(ann,))
    cleo = make("Cleo", ben)
    mention = cleo.post(Post("@Ann, a word", mentions=(ann.account(),)))
    await_post(ben, mention.id)
    cleo.stop_network()
    ben.stop_network()
    ben.start_network()
    eve = make("Eve", ben, follows=(ann,))
    await_post(eve, mention.id)


def test_a_quoted_post_of_somebody_else_comes_when_the_quote_is_looked_at(make: Make) -> None:
    dora = make("Dora")
    ann = make("Ann", dora, follows=(dora,))
    original = dora.post("the source")
    await_post(ann, original.id)
    dora.stop_network()
    quoting = ann.quote(original.id, "worth reading")
    ben = make("Ben", ann, follows=(ann,))
    await_post(ben, quoting.id)

    with ben._store.snapshot() as snapshot:
        assert snapshot.record(original.id) is None
    ended = command("--home", ben.config.home, "timeline")  # in a process of its own, beside the node that runs
    assert ended.code == 0, ended.err
    await_post(ben, original.id)

    quoted = ben.timeline().items[0].quoted
    assert quoted is not None
    assert (quoted.text, quoted.account) == ("the source", dora.account())


def test_a_mention_travels_the_mesh_without_anybody_between_who_knows_either(make: Make) -> None:
    ann = make("Ann")
    mae = make("Mae", ann)
    shard = topic_of(NETWORK, ann.account())
    neighbour = next(
        person.account
        for person in (Person(f"{seed}", seed=seed) for seed in range(1_000))
        if topic_of(NETWORK, person.account) == shard
    )
    mae.follow(neighbour)  # so that Mae's node takes part in Ann's shard
    cleo = make("Cleo", mae)
    await_until(lambda: is_connected(cleo, mae) and is_connected(mae, ann), "they are connected")

    mention = cleo.post(Post("to whom it may concern", mentions=(ann.account(),)))

    await_until(lambda: told(ann) == [(mention.id, ("mention",))], "Ann hears of it", within_s=40)
    assert not is_connected(ann, cleo)
    with mae._store.snapshot() as snapshot:
        assert snapshot.find_aid(mention.id) is None
