"""Nodes on a network of their own: real hosts on loopback, in one process, each with its threads."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.commands import ANY_PORT, await_until

from unhush.node import Config, Node, Shown, found_account
from unhush.node.control import ask
from unhush.node.errors import HomeInUse, NetworkFailed, NotRunning
from unhush.storage.runtime import runtime_dir


@dataclass(frozen=True)
class Pair:
    """Two nodes that are connected; Ben follows Ann from the start."""

    ann: Node
    ben: Node


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    root = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        ann = stack.enter_context(open_node(root, "Ann"))
        for number in range(30):
            ann.post(f"before anybody followed {number}")
        ann.start_network()
        ben = stack.enter_context(open_node(root, "Ben", peers=ann.status().listen))
        ben.follow(ann.account())
        ben.start_network()
        yield Pair(ann, ben)


def open_node(root: Path, name: str, *, peers: tuple[str, ...] = (), exchange: bool = True) -> Node:
    config = Config(
        root / name.lower(),
        network="test",
        listen=(ANY_PORT,),
        peers=peers,
        exchange=exchange,
        exempt_loopback=True,
        lan=False,
    )
    found_account(config, name)
    return Node.open(config)


def has(node: Node, text: str) -> bool:
    return any(shown.text == text for shown in node.timeline(limit=500).items)


def await_text(node: Node, text: str) -> None:
    await_until(lambda: has(node, text), f"{text!r} arrives at {node.status().name}")


def texts(items: tuple[Shown, ...]) -> list[str]:
    return [shown.text for shown in items]


def test_following_brings_what_was_written_before(pair: Pair) -> None:
    await_until(lambda: pair.ben.person(pair.ann.account()).posts >= 30, "Ann's older posts arrive")

    assert pair.ben.person(pair.ann.account()).name == "Ann"
    older = [text for text in texts(pair.ben.timeline(limit=500).items) if text.startswith("before")]
    assert older == [f"before anybody followed {number}" for number in reversed(range(30))]
    await_until(lambda: pair.ben.verify().is_clean, "nothing is missing")


def test_what_is_written_now_arrives_whole(pair: Pair) -> None:
    written = pair.ann.post("hello from Ann")

    await_text(pair.ben, "hello from Ann")

    received = pair.ben.show(written.id)
    assert (received.account, received.name, received.is_own) == (pair.ann.account(), "Ann", False)
    assert pair.ben.raw(written.id) == pair.ann.raw(written.id)


def test_a_waiting_reader_is_woken_by_what_the_network_brings(pair: Pair) -> None:
    since = pair.ben.last_aid()
    seen: list[str] = []

    def watch() -> None:
        seen.append(next(pair.ben.events(since, timeout_s=60)).text)

    watcher = threading.Thread(target=watch)
    watcher.start()
    pair.ann.post("wake up")
    watcher.join(60)

    assert seen == ["wake up"]


def test_a_reply_comes_back_to_whom_it_answers_if_they_follow(pair: Pair) -> None:
    root = pair.ann.post("who is there?")
    await_text(pair.ben, "who is there?")
    pair.ben.reply(root.id, "only me")
    pair.ann.follow(pair.ben.account())

    await_until(lambda: pair.ann.thread(root.id).replies, "the reply arrives")

    assert texts(pair.ann.thread(root.id).replies) == ["only me"]
    pair.ann.reply(pair.ann.thread(root.id).replies[0].id, "then come in")
    await_until(lambda: len(pair.ben.thread(root.id).replies) == 2, "the answer arrives")
    assert texts(pair.ben.thread(root.id).replies) == ["only me", "then come in"]


def test_a_delete_travels(pair: Pair) -> None:
    regretted = pair.ann.post("regretted")
    await_text(pair.ben, "regretted")
    pair.ann.delete(regretted.id)

    await_until(lambda: not has(pair.ben, "regretted"), "the delete arrives")

    assert pair.ben.show(regretted.id).is_deleted


def test_both_ends_see_the_connection(pair: Pair) -> None:
    await_until(lambda: pair.ann.status().peers_connected and pair.ben.status().peers_connected, "both are connected")

    (ben,) = [peer for peer in pair.ann.peers() if peer.connected]
    (ann,) = [peer for peer in pair.ben.peers() if peer.connected]
    assert (ben.peer, ben.inbound) == (pair.ben.status().peer, True)
    assert (ann.peer, ann.inbound) == (pair.ann.status().peer, False)
    assert pair.ann.status().listen[0].endswith(f"/p2p/{ann.peer}")


def test_after_unfollowing_nothing_new_arrives_and_following_again_fills_the_gap(pair: Pair, tmp_path: Path) -> None:
    pair.ann.follow(pair.ben.account())  # so that Ann's node carries Ben
    with open_node(tmp_path, "Cleo", peers=pair.ann.status().listen) as cleo:
        cleo.start_network()
        cleo.follow(pair.ann.account())
        await_until(lambda: cleo.person(pair.ann.account()).posts >= 30, "Ann's posts arrive")
        pair.ann.post("while followed")
        await_text(cleo, "while followed")

        cleo.unfollow(pair.ann.account())
        unseen = pair.ann.post("while not followed")
        # Somebody else's news on the same connection is what tells that time has passed there.
        await_text(pair.ben, "while not followed")
        cleo.follow(pair.ben.account())
        await_until(lambda: cleo.person(pair.ben.account()).name == "Ben", "Ben's account arrives by way of Ann")
        assert not is_held(cleo, unseen)
        assert not has(cleo, "while followed")

        cleo.follow(pair.ann.account())
        await_text(cleo, "while not followed")
        assert has(cleo, "while followed")
        assert cleo.person(pair.ann.account()).posts == pair.ann.person(pair.ann.account()).posts
        await_until(lambda: cleo.verify().is_clean, "nothing is missing")


def is_held(node: Node, shown: Shown) -> bool:
    return any(each.id == shown.id for each in node.events(timeout_s=0))


def test_a_third_node_gets_an_account_from_whoever_follows_it(pair: Pair, tmp_path: Path) -> None:
    await_until(lambda: pair.ben.person(pair.ann.account()).posts >= 30, "Ben has what Ann wrote")
    with open_node(tmp_path, "Dora", peers=pair.ben.status().listen, exchange=False) as dora:
        dora.start_network()
        dora.follow(pair.ann.account())
        await_until(
            lambda: dora.person(pair.ann.account()).posts == pair.ben.person(pair.ann.account()).posts,
            "everything Ben has of Ann arrives",
        )
        assert all(peer.peer != pair.ann.status().peer for peer in dora.peers())
        await_until(lambda: dora.verify().is_clean, "nothing is missing")


def test_an_address_added_while_the_network_runs_is_dialled(pair: Pair, tmp_path: Path) -> None:
    with open_node(tmp_path, "Edda") as edda:
        edda.start_network()
        assert edda.status().peers_connected == 0
        edda.add_peer(pair.ann.status().listen[0])
        await_until(lambda: edda.status().peers_connected == 1, "the added address is dialled")


def test_the_network_stops_and_starts_again_and_what_was_missed_arrives(pair: Pair, tmp_path: Path) -> None:
    with open_node(tmp_path, "Fritz", peers=pair.ann.status().listen) as fritz:
        fritz.follow(pair.ann.account())
        fritz.start_network()
        fritz.start_network()  # twice is once
        await_until(lambda: fritz.status().peers_connected == 1, "connected")
        fritz.stop_network()
        fritz.stop_network()
        assert not fritz.status().network_running
        with pytest.raises(NotRunning):
            ask(fritz.config.home, "network")
        pair.ann.post("while Fritz was away")
        fritz.post("offline words")
        assert fritz.status().peer is None

        fritz.start_network()

        await_text(fritz, "while Fritz was away")
        assert has(fritz, "offline words")
        assert fritz.status().network_running


def test_threads_that_start_the_network_at_once_start_one(tmp_path: Path) -> None:
    with open_node(tmp_path, "Gerd") as gerd:
        problems: list[BaseException] = []

        def start() -> None:
            try:
                gerd.start_network()
            except BaseException as exc:
                problems.append(exc)

        threads = [threading.Thread(target=start) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert problems == []
        assert len(gerd.status().listen) == 1


def test_an_address_that_is_taken_is_said_to_be_and_leaves_nothing_running(pair: Pair, tmp_path: Path) -> None:
    taken = pair.ann.status().listen[0].partition("/p2p/")[0]
    config = Config(tmp_path / "hans", network="test", listen=(taken,))
    found_account(config, "Hans")
    before = network_threads()
    with Node.open(config) as hans:
        with pytest.raises(NetworkFailed, match="cannot listen on"):
            hans.start_network()
        assert not hans.status().network_running
        assert network_threads() == before
        assert hans.post("works all the same").text == "works all the same"


def network_threads() -> list[str]:
    """What runs of networks, those of the shared pair included."""
    names = ("unhush-network", "unhush-ingest", "unhush-control")
    return sorted(thread.name for thread in threading.enumerate() if thread.name in names)


def test_a_start_that_fails_late_leaves_no_network_and_no_lock_behind(tmp_path: Path) -> None:
    with open_node(tmp_path, "Ida") as ida:
        in_the_way = runtime_dir(ida.config.home) / "control"
        in_the_way.parent.mkdir(mode=0o700, exist_ok=True)
        in_the_way.mkdir()
        before = network_threads()
        with pytest.raises(HomeInUse, match="control"):
            ida.start_network()
        in_the_way.rmdir()
        assert network_threads() == before

        ida.start_network()
        assert ida.status().network_running


def test_another_node_on_the_home_of_a_running_one_is_refused(pair: Pair) -> None:
    with pytest.raises(HomeInUse):
        Node.open(pair.ann.config)
