"""``peers`` and ``sync``: with and without a running node, in words, in JSON and by exit code."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.support.commands import Serving, await_until, serving

from unhush.node import Config, Node, found_account

NOWHERE = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWDVXAgaXUS79ZjYXeqaH2XbvSduWZULv1HPHAUbdR7ki9"
PEER = NOWHERE.rpartition("/")[2]


def test_a_peer_is_removed_by_address_or_by_id(ann: Cli) -> None:
    for name in (NOWHERE, PEER):
        ann("peers", "add", NOWHERE)
        assert ann.json("peers", "remove", name).one() == {"peer": name, "forgotten": [NOWHERE]}
        assert ann.json("peers").out == ""
    said = ann("peers", "remove", PEER)
    assert said.code == 3
    assert "no machine" in said.err


def test_whoever_does_not_answer_a_ping_makes_exit_code_5(ann: Cli) -> None:
    said = ann("peers", "ping", NOWHERE)
    assert (said.code, said.out) == (5, "")
    assert "cannot reach" in said.err
    assert ann("peers", "ping", PEER).code == 3
    assert ann("peers", "ping", "/ip4/nonsense").code == 2


def test_sync_says_what_to_do_when_nobody_is_known(ann: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unhush.cli.context.Context.config", lambda self, **_: Config(self.home, lan=False))
    said = ann("sync", "--wait")
    assert (said.code, said.out) == (5, "")
    assert "unhush peers add" in said.err


@pytest.fixture(scope="module")
def ben(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, str]]:
    """Ben's node in a process of its own, and his account."""
    home = tmp_path_factory.mktemp("ben") / "home"
    account = found_account(Config(home), "Ben").account
    with Node.open(home) as node:
        for number in range(20):
            node.post(f"number {number}")
    with serving(home, "--no-lan") as node:
        yield node, str(account)


def test_sync_without_a_running_node_brings_all_there_is_and_says_so(ann: Cli, ben: tuple[Serving, str]) -> None:
    node, account = ben
    ann("follow", account)
    ann("peers", "add", node.address)
    said = ann.json("sync", "--wait", "--timeout", "30").one()
    assert (said["complete"], said["peers"], said["people"], said["covered"]) == (True, 1, 1, 1)
    assert said["records"] >= 20
    assert len(ann.json("timeline", "--limit", "50").lines()) >= 20
    again = ann("sync", "--wait")
    assert again.code == 0
    assert again.out.startswith("All they have is here: 0 records came")
    assert "1 machine connected" in again.err


def test_a_peer_is_pinged_from_outside_the_network(ann: Cli, ben: tuple[Serving, str]) -> None:
    node, _ = ben
    said = ann.json("peers", "ping", node.address).one()
    assert said["peer"] == node.ready["peer"]
    assert 0 < said["ms"] < 4_000


def test_the_running_node_is_asked_by_other_processes(cli: Cli, tmp_path: Path, ben: tuple[Serving, str]) -> None:
    node, account = ben
    found_account(Config(cli.home), "Ann")
    cli("follow", account)
    with serving(cli.home, "--no-lan"):
        assert cli.json("sync").one() == {"looking": True}
        cli("peers", "add", node.address)
        await_until(lambda: any(peer["connected"] for peer in cli.json("peers").lines()), "connected")
        assert cli.json("sync", "--wait").one()["complete"]
        (peer,) = cli.json("peers").lines()
        assert (peer["covers"], peer["gave"] >= 20) == (1, True)
        assert "carries 1 person you follow, brought" in cli("peers").out
        assert cli.json("peers", "ping", str(node.ready["peer"])).one()["ms"] > 0
        assert cli("peers", "ping", NOWHERE).code == 5
        cli("peers", "remove", str(node.ready["peer"]))
        await_until(lambda: not any(peer["connected"] for peer in cli.json("peers").lines()), "let go")
