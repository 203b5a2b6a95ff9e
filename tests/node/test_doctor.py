"""The doctor: what it says of a home with and without a running node, and of each way a network can be."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.commands import await_until

from unhush.gossip.proto.reach import ReachView, RelayUse, SeenBy
from unhush.node import Config, Node, doctor, found_account
from unhush.node.control import ask
from unhush.node.doctor import Finding, Grade, Live, examine, is_well, parse_live
from unhush.node.errors import NotRunning
from unhush.node.views import PeerInfo

OUTSIDE = "8.8.4.4"
INSIDE = "192.168.1.5"
LISTEN = (f"/ip4/{INSIDE}/tcp/4470/p2p/12D3KooWCugzopk9fYBy1pvYVi94Qr2y9PL4CjSpYZUaXir3YWb7",)
RELAY = "/ip4/1.1.1.1/tcp/4470/p2p/12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq"
NOTHING = ReachView("unknown", "", (), None, (), (), (), None, 0, 1)
SEEN = SeenBy("p", f"/ip4/{OUTSIDE}/tcp/50000", False, 0, 1)
OPEN = replace(NOTHING, reach="open", scope="public", observed=(OUTSIDE,), seen_by=(SEEN,), skew_ms=0)
CLOSED = replace(OPEN, reach="closed")
PEER = PeerInfo("/ip4/1.1.1.1/tcp/4470", "p", connected=True, inbound=False)


def said(
    reach: ReachView, listen: tuple[str, ...] = LISTEN, peers: tuple[PeerInfo, ...] = (PEER,), **met: int
) -> dict[str, Finding]:
    findings = doctor._look_at_network(True, Live(reach, met), listen, peers)
    return {finding.topic: finding for finding in findings}


def test_an_open_port_is_well() -> None:
    found = said(OPEN)
    assert "from the Internet at 8.8.4.4" in found["reach"].text
    assert is_well(tuple(found.values()))


def test_behind_a_router_it_says_which_port_to_forward_to_whom() -> None:
    found = said(CLOSED)
    assert "NAT" in found["nat"].text
    assert f"forward TCP port 4470 to {INSIDE}" in found["reach"].advice
    assert found["reach"].grade is Grade.ATTENTION
    assert found["relay"].grade is Grade.ATTENTION


def test_a_router_that_sends_on_our_port_is_an_address_of_ours() -> None:
    through = LISTEN[0].replace(INSIDE, OUTSIDE)
    found = said(replace(OPEN, outside=(through,)), listen=(*LISTEN, through))
    assert f"Its address there: {through}" in found["reach"].text
    assert "a router translates (NAT)" in found["nat"].text
    assert OUTSIDE not in found["listening"].text


def test_with_its_own_address_outside_it_is_the_firewall() -> None:
    found = said(replace(CLOSED, observed=(INSIDE,), scope="private"))
    assert found["reach"].advice.startswith("let TCP port 4470 through the firewall: sudo ufw allow 4470/tcp")
    own = said(CLOSED, listen=(LISTEN[0].replace(INSIDE, OUTSIDE),))
    assert "no NAT" in own["nat"].text
    assert "firewall" in own["reach"].advice
    assert "router" not in own["reach"].advice


def test_one_address_for_many_customers_is_named() -> None:
    found = said(CLOSED, listen=(LISTEN[0].replace(INSIDE, "100.70.1.2"),))
    assert "the provider shares one address" in found["nat"].text


def test_a_place_at_a_relay_is_good_enough() -> None:
    found = said(replace(CLOSED, relays=(RELAY,)), listen=(*LISTEN, f"{RELAY}/p2p-circuit/p2p/{LISTEN[0][-52:]}"))
    assert RELAY.rpartition("/p2p/")[0] in found["relay"].text
    assert is_well(tuple(found.values()))


def test_a_relay_that_cannot_be_reached_is_of_no_use() -> None:
    use = RelayUse(1, 2, 4096)
    assert "1 place kept, 2 circuits, 4 KiB" in said(replace(OPEN, relay=use))["relay"].text
    assert said(replace(CLOSED, relay=use))["relay"].grade is Grade.ATTENTION


@pytest.mark.parametrize(
    ("skew_ms", "grade"),
    [
        (0, Grade.FINE),
        (59_000, Grade.FINE),
        (-61_000, Grade.NOTE),
        (600_000, Grade.ATTENTION),
        (-700_000, Grade.ATTENTION),
    ],
)
def test_a_wrong_clock_is_told(skew_ms: int, grade: Grade) -> None:
    found = said(replace(OPEN, skew_ms=skew_ms))["clock"]
    assert found.grade is grade
    if skew_ms:
        assert ("ahead" in found.text) == (skew_ms < 0) or grade is Grade.FINE


def test_listening_only_for_itself_and_nobody_known_are_to_be_mended() -> None:
    found = said(NOTHING, listen=("/ip4/127.0.0.1/tcp/4470/p2p/x",), peers=())
    assert "only programs on this machine" in found["listening"].text
    assert "/ip4/0.0.0.0/tcp/4470" in found["listening"].advice
    assert found["peers"].grade is Grade.ATTENTION
    assert "without a peer to ask" in found["reach"].text
    away = PeerInfo(PEER.address, "p", connected=False, inbound=False)
    assert "1 address is known, and none is connected" in said(NOTHING, peers=(away,))["peers"].text


def test_bounds_met_are_told_in_words() -> None:
    assert "3 × peers shut out for an hour" in said(OPEN, peers_banned=3, dialbacks_refused=0)["limits"].text
    assert said(OPEN, peers_banned=0)["limits"].grade is Grade.FINE
    everyday = said(OPEN, addresses_refused=5, dialbacks_refused=1)["limits"]
    assert (everyday.grade, "that every node meets" in everyday.text) == (Grade.FINE, True)
    assert said(OPEN, addresses_refused=5, peers_banned=1)["limits"].grade is Grade.NOTE


@pytest.mark.parametrize(
    "answer", [{}, {"reach": None, "met": {}}, {"reach": {"reach": "open"}, "met": {}}, {"reach": 3, "met": []}]
)
def test_an_answer_of_another_version_is_not_guessed_at(answer: dict[str, object]) -> None:
    with pytest.raises(NotRunning):
        parse_live(answer)


def test_without_a_running_node_it_says_what_it_cannot_know(ann: Node) -> None:
    found = {finding.topic: finding for finding in examine(ann)}
    assert "cannot be known" in found["node"].text
    assert found["node"].advice == "unhush run"
    assert "reach" not in found
    assert found["files"].grade is Grade.FINE
    assert "MiB are free" in found["disk"].text


def test_keys_that_others_can_read_are_named(ann: Node) -> None:
    key = ann.config.home / "device.key"
    os.chmod(key, 0o644)
    found = [finding for finding in examine(ann) if finding.topic == "files"]
    assert [finding.advice for finding in found] == [f"chmod 600 '{key}'"]


def test_little_room_is_told(ann: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NO_ROOM_BYTES", 2**62)
    found = {finding.topic: finding for finding in examine(ann)}
    assert found["disk"].grade is Grade.ATTENTION
    assert "unhush gc" in found["disk"].advice


def open_node(config: Config) -> Node:
    found_account(config, config.home.name)
    return Node.open(config)


def test_who_listens_nowhere_syncs_through_a_relay_and_the_doctor_says_so(new_config: Callable[[str], Config]) -> None:
    relay_config = replace(new_config("relay"), relay=True, lan=False)
    with open_node(relay_config) as relay:
        relay.start_network()
        at_relay = relay.status().listen[0]
        hidden_config = replace(new_config("hidden"), listen=(), peers=(at_relay,), lan=False)
        with open_node(hidden_config) as hidden:
            post = hidden.post("nobody can dial me")
            hidden.start_network()
            await_until(lambda: bool(hidden.status().listen), "a place at the relay", within_s=30)
            (through,) = hidden.status().listen
            assert through == f"{at_relay}/p2p-circuit/p2p/{hidden.status().peer}"
            follower_config = replace(new_config("follower"), peers=(through,), lan=False)
            with open_node(follower_config) as follower:
                follower.follow(hidden.account())
                follower.start_network()
                await_until(lambda: post.id in {each.id for each in follower.timeline().items}, "the post", within_s=30)
                started = time.monotonic()
                later = hidden.post("and live")
                await_until(
                    lambda: later.id in {each.id for each in follower.timeline().items}, "the news", within_s=10
                )
                print(f"live through a relay after {(time.monotonic() - started) * 1000:.0f} ms")
                # The relay follows nobody and holds nothing of it.
                assert relay.timeline().items == ()

                of_hidden = {finding.topic: finding for finding in examine(hidden, look_s=5)}
                assert through.partition("/p2p-circuit")[0].rpartition("/p2p/")[0] in of_hidden["relay"].text
                assert "listens nowhere" in of_hidden["listening"].text
                of_relay = {finding.topic: finding for finding in examine(relay, look_s=5)}
                assert "1 place kept, 1 circuit," in of_relay["relay"].text
                assert "agrees" in of_relay["clock"].text


def test_the_running_node_answers_over_the_control_port(new_config: Callable[[str], Config], tmp_path: Path) -> None:
    with open_node(replace(new_config("one"), lan=False)) as node:
        node.start_network()
        live = parse_live(ask(node.config.home, "reach"))
        assert live.reach.reach == "unknown"
        assert live.met["peer_faults"] == 0
        assert ask(node.config.home, "look") == {"asked": True}
    with pytest.raises(NotRunning):
        ask(tmp_path / "one", "reach")
