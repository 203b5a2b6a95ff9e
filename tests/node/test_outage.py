"""The network may die; the node does not: posts go on, the status says why, and peers are there again."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from tests.support.commands import ANY_PORT, await_until, command

from unhush.cli.wire import limit_lines, outage_line
from unhush.gossip.net.network import Network
from unhush.gossip.proto.tally import EVERYDAY, Met
from unhush.node import Config, Node, found_account
from unhush.node.views import LimitMet, OutageInfo


def open_node(root: Path, name: str, *, peers: tuple[str, ...] = ()) -> Node:
    config = Config(root / name.lower(), listen=(ANY_PORT,), peers=peers)
    found_account(config, name)
    return Node.open(config)


def network_of(node: Node) -> Network:
    assert node._running is not None
    return node._running._network


def is_here(node: Node, text: str) -> bool:
    return any(shown.text == text for shown in node.timeline(limit=100).items)


def fell(node: Node) -> None:
    """A bug in a task of the network, of the kind nobody thought of."""

    async def fail() -> None:
        raise KeyError("unforeseen")

    def start() -> None:
        live = network_of(node)._live
        assert live is not None
        assert live._nursery is not None
        live._nursery.start_soon(fail)

    token = network_of(node)._token
    assert token is not None
    token.run_sync_soon(start)


def crashed(node: Node) -> None:
    """Worse: trio itself ends, with everything that runs on it."""

    def fail() -> None:
        raise RuntimeError("beneath every nursery")

    token = network_of(node)._token
    assert token is not None
    token.run_sync_soon(fail)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    with ExitStack() as stack:
        ann = stack.enter_context(open_node(tmp_path, "Ann"))
        ann.start_network()
        ben = stack.enter_context(open_node(tmp_path, "Ben", peers=ann.status().listen))
        ben.follow(ann.account())
        ben.start_network()
        ann.post("before")
        await_until(lambda: is_here(ben, "before"), "Ben hears Ann")
        yield ann, ben


@pytest.mark.parametrize("fall", [fell, crashed], ids=["a task raises", "trio itself ends"])
def test_the_network_dies_and_comes_back_and_the_node_goes_on(pair: tuple[Node, Node], fall, caplog) -> None:
    ann, ben = pair
    listen, threads = ann.status().listen, threading.active_count()
    fall(ann)
    await_until(lambda: ann.status().outage is not None, "the status says that the network is down")
    outage = ann.status().outage
    assert outage is not None
    assert "unforeseen" in outage.reason or "beneath every nursery" in outage.reason
    assert ann.status().peers_connected == 0, "and shows no peers that are gone"
    assert ann.post("meanwhile").text == "meanwhile", "posts work all the same"
    said = command("--home", ann.config.home, "status").out.decode()
    assert f"because {outage.reason}" in said or "restarts of the network" in said

    await_until(lambda: ann.status().outage is None, "it is started again")
    assert ann.status().listen == listen, "under the addresses that people were given"
    await_until(lambda: is_here(ben, "meanwhile"), "the peer is there again and the session goes on")
    assert network_of(ann).status().limits_met[Met.NETWORK_RESTARTED] == 1
    assert any(met.name == "network_restarts" for met in ann.status().limits_met)
    ben.follow(ann.account())
    ann.post("after")
    await_until(lambda: is_here(ben, "after"), "and live again")
    assert threading.active_count() <= threads + 1


def test_a_network_that_is_down_can_be_stopped(tmp_path: Path) -> None:
    with open_node(tmp_path, "Ann") as ann:
        ann.start_network()
        crashed(ann)
        await_until(lambda: ann.status().outage is not None, "it is down")
        ann.stop_network()
        assert not ann.status().network_running


def test_who_was_shut_out_is_not_forgiven_by_making_the_network_fall_over(tmp_path: Path) -> None:
    with open_node(tmp_path, "Ann") as ann:
        ann.start_network()
        network = network_of(ann)

        def in_network(ask):
            return trio.from_thread.run_sync(ask, trio_token=network._token)

        for _ in range(3):
            in_network(lambda: network._live._host.report_fault("12D3KooWBad", "a test"))
        fell(ann)
        await_until(lambda: ann.status().outage is not None, "it is down")
        await_until(lambda: ann.status().outage is None, "it is up")
        assert in_network(lambda: network._live._host.is_banned("12D3KooWBad"))
        said = json.loads(command("--home", ann.config.home, "--json", "status").out)
        assert said["limits_met"] == {"peer_faults": 3, "peers_banned": 1, "network_restarts": 1}
        assert said["outage"] is None


def test_the_status_says_it_in_words() -> None:
    line = outage_line(OutageInfo("KeyError: 'x'\x1b[2J", 90.0, 2), 1_800_000_000_000)
    assert line.startswith("network   restarting since 20")
    assert "because KeyError: 'x'" in line
    assert "\x1b" not in line
    assert line.endswith("2 starts failed since")
    met = [
        LimitMet("peers_banned", "peers shut out for an hour", 1, 61.0),
        LimitMet("network_restarts", "restarts of the network", 1, 4_000.0),
        *(LimitMet(each, each.words, 5, 1.0) for each in EVERYDAY),
    ]
    assert limit_lines(met) == ["bounds    peers shut out for an hour: 1, last 61 s ago"], "lately, and not every day"
