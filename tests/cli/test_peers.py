"""``peers`` and ``sync``: with and without a running node, in words, in JSON and by exit code."""

from collections.abc import Iterator

import pytest
from tests.cli.conftest import Cli
from tests.support.commands import Serving, await_until, serving

from unhush.cli.peers import _named
from unhush.node import Config, Node, found_account
from unhush.node.views import PeerInfo

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
    assert "the connection was refused" in said.err
    assert "Errno" not in said.err
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
    assert said["not_waited_for"] == []
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


def test_the_running_node_is_asked_by_other_processes(ann: Cli, ben: tuple[Serving, str]) -> None:
    node, account = ben
    ann("follow", account)
    with serving(ann.home, "--no-lan"):
        assert ann.json("sync").one() == {"looking": True}
        ann("peers", "add", node.address)
        await_until(lambda: any(peer["connected"] for peer in ann.json("peers").lines()), "connected")
        assert ann.json("sync", "--wait").one()["complete"]
        (peer,) = ann.json("peers").lines()
        assert (peer["covers"], peer["gave"] >= 20) == (1, True)
        assert "carries 1 person you follow or keep, brought" in ann("peers").out
        assert ann.json("peers", "ping", str(node.ready["peer"])).one()["ms"] > 0
        assert ann("peers", "ping", NOWHERE).code == 5
        ann("peers", "remove", str(node.ready["peer"]))
        await_until(lambda: not any(peer["connected"] for peer in ann.json("peers").lines()), "let go")


def test_peers_are_listed_with_their_ids_and_a_ping_says_which_way_it_went(ann: Cli, ben: tuple[Serving, str]) -> None:
    node, _ = ben
    ann("peers", "add", node.address)
    assert node.address in ann("peers").out
    with serving(ann.home, "--no-lan"):
        await_until(lambda: any(peer["connected"] for peer in ann.json("peers").lines()), "connected")
        (line,) = ann("peers").out.splitlines()
        assert line.startswith(f"connected  out {node.address}  carries")
        assert f"called at {node.address}" in ann("peers", "ping", node.address).out
        over = ann("peers", "ping", str(node.ready["peer"])).out
        assert "over the connection with /ip4/127.0.0.1/tcp/" in over
        # Connected as it is, nobody answers at that address.
        assert ann("peers", "ping", f"/ip4/127.0.0.1/tcp/9/p2p/{node.ready['peer']}").code == 5
    # Who called us is not to be called where it called from.
    assert _named(PeerInfo("/ip4/192.0.2.7/tcp/50001", PEER, True, True)) == f"/ip4/192.0.2.7/tcp/50001  {PEER}"


def test_an_address_that_is_no_machine_s_is_refused_with_the_reason(ann: Cli) -> None:
    said = ann("peers", "add", f"/ip4/0.0.0.0/tcp/4470/p2p/{PEER}")
    assert said.code == 2
    assert "0.0.0.0 stands for every address of the machine" in said.err
    assert ann.json("peers").out == ""


def test_sync_says_at_once_that_nobody_is_known(ann: Cli) -> None:
    with serving(ann.home, "--no-lan"):
        said = ann("sync")
        assert (said.code, "No machine is known yet" in said.err) == (0, True)
        waited = ann("sync", "--wait")
        assert waited.code == 5
        assert waited.err.startswith("No machine is known yet")
        assert "unhush accept INVITE" in waited.err.splitlines()[-1]
