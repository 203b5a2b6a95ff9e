"""Machines as a person deals with them: met through others, pinged, forgotten, and asked for all they have."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.support.commands import await_until
from tests.support.nodes import address_of, config_of, introduce

from unhush.node import Node, found_account
from unhush.node.control import parse_sync
from unhush.node.errors import BadConfig, NobodyAnswered, NotFound, NotRunning
from unhush.node.service.peering import Peering
from unhush.node.views import NetworkView, PeerInfo, SyncInfo

NOBODY = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWDVXAgaXUS79ZjYXeqaH2XbvSduWZULv1HPHAUbdR7ki9"


class Homes:
    """Homes that close when the test ends."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self._folder = folder
        self._opened = opened

    def make(self, name: str, *, is_running: bool = True, **settings: object) -> Node:
        config = config_of(self._folder / name.lower(), **({"lan": False, "exchange": True} | settings))
        found_account(config, name)
        node = self._opened.enter_context(Node.open(config))
        if is_running:
            node.start_network()
        return node


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    with ExitStack() as opened:
        yield Homes(tmp_path, opened)


def connected(node: Node) -> set[str | None]:
    return {peer.peer for peer in node.peers() if peer.connected}


def peer_of(node: Node) -> str:
    peer = node.status().peer
    assert peer is not None
    return peer


def test_a_carrier_is_found_through_a_peer_and_gives_more_after_that_peer_is_gone(homes: Homes) -> None:
    hub, cleo, ben = homes.make("Hub"), homes.make("Cleo"), homes.make("Ben")
    cleo.post("before")
    introduce(cleo, hub)
    await_until(lambda: connected(hub) == {peer_of(cleo)}, "Cleo is connected with the hub")
    ben.follow(cleo.account())
    introduce(ben, hub)
    await_until(lambda: ben.person(cleo.account()).posts == 1, "Ben has what Cleo wrote")
    with pytest.raises(NotFound):  # the hub has nothing of it
        hub.person(cleo.account())
    hub.stop_network()
    await_until(lambda: connected(ben) == {peer_of(cleo)}, "only Cleo is left")
    cleo.post("after")
    await_until(lambda: ben.person(cleo.account()).posts == 2, "what Cleo writes now arrives too")
    (found,) = [peer for peer in ben.peers() if peer.peer == peer_of(cleo)]
    assert (found.covers, found.connected) == (1, True)
    # Counted once the commit was reported, a moment after everybody can read it.
    await_until(lambda: any(peer.gave >= 2 for peer in ben.peers() if peer.peer == peer_of(cleo)), "both count")
    ben.stop_network()
    assert peer_of(cleo) in {peer.peer for peer in ben.peers()}, "and is remembered"


def test_nobody_is_told_of_by_a_node_that_exchanges_none(homes: Homes) -> None:
    hub, cleo, ben = homes.make("Hub", exchange=False), homes.make("Cleo"), homes.make("Ben")
    introduce(cleo, hub)
    introduce(ben, hub)
    ben.follow(cleo.account())
    await_until(lambda: len(connected(hub)) == 2, "both are connected with the hub")
    ben.sync(20)
    assert connected(ben) == {peer_of(hub)}


def test_a_peer_is_pinged_by_address_and_by_id_with_and_without_a_network(homes: Homes) -> None:
    ann, ben = homes.make("Ann"), homes.make("Ben", is_running=False)
    assert 0 < ben.ping_peer(address_of(ann)).ms < 4_000
    ben.add_peer(address_of(ann))
    assert ben.ping_peer(peer_of(ann)).address == address_of(ann)
    ben.start_network()
    await_until(lambda: peer_of(ann) in connected(ben), "connected")
    assert 0 < ben.ping_peer(peer_of(ann)).ms < 4_000
    assert ben.ping_peer(address_of(ann)).peer == peer_of(ann)
    assert peer_of(ann) in connected(ben), "a ping ends no connection that was there"


def test_whoever_does_not_answer_a_ping_is_said_not_to(homes: Homes) -> None:
    ann, ben = homes.make("Ann"), homes.make("Ben", is_running=False)
    for node in (ann, ben):
        with pytest.raises(NobodyAnswered, match="cannot reach"):
            node.ping_peer(NOBODY)
        with pytest.raises(NotFound):
            node.ping_peer(NOBODY.rpartition("/")[2])
        with pytest.raises(BadConfig):
            node.ping_peer("/ip4/127.0.0.1")


def test_a_forgotten_peer_is_let_go_and_not_dialled_again(homes: Homes) -> None:
    ann, ben = homes.make("Ann"), homes.make("Ben")
    introduce(ben, ann)
    await_until(lambda: peer_of(ann) in connected(ben), "connected")
    assert ben.forget_peer(peer_of(ann)) == (address_of(ann),)
    await_until(lambda: not connected(ben), "let go")
    assert ben.peers() == ()
    with pytest.raises(NotFound):
        ben.forget_peer(NOBODY)


def test_an_address_is_forgotten_without_a_network(homes: Homes) -> None:
    ben = homes.make("Ben", is_running=False)
    ben.add_peer(NOBODY)
    assert ben.forget_peer(NOBODY) == (NOBODY,)
    assert ben.peers() == ()


def test_what_another_process_takes_out_is_let_go(homes: Homes) -> None:
    ann, ben = homes.make("Ann"), homes.make("Ben")
    introduce(ben, ann)
    await_until(lambda: peer_of(ann) in connected(ben), "connected")
    ben._store.drop_contact(address_of(ann))  # as a process does that cannot reach the control port
    await_until(lambda: not connected(ben), "let go")


def test_sync_brings_all_that_peers_have_over_a_network_of_its_own(homes: Homes) -> None:
    ann, ben = homes.make("Ann"), homes.make("Ben", is_running=False)
    for number in range(30):
        ann.post(f"number {number}")
    ben.follow(ann.account())
    ben.add_peer(address_of(ann))
    seen: list[SyncInfo] = []
    synced = ben.sync(30, seen.append)
    assert synced.is_done
    assert (synced.peers, synced.wanted, synced.covered) == (1, 1, 1)
    assert synced.records >= 30
    assert ben.person(ann.account()).posts == 30
    assert seen[-1].is_done


class Watching(Peering):
    """The part of a node that waits, over a network that says what it is told to."""

    def __init__(self, *states: SyncInfo) -> None:
        self._states = list(states)
        self.said: list[SyncInfo] = []

    def _network_view(self) -> NetworkView:
        if len(self._states) > 1 and self.said:
            del self._states[0]
        self.said.append(self._states[0])
        return NetworkView("me", (), (PeerInfo("there", "peer", True, False),), sync=self._states[0])

    def start_network(self) -> None:
        raise AssertionError("it runs")

    def _look_now(self, *, may_start: bool) -> None:
        pass

    def _count_records(self) -> int:
        return 0

    def knows_anybody(self) -> bool:
        return True


def test_a_silent_peer_holds_no_look_up_and_is_named() -> None:
    settled = SyncInfo(sessions=2, wanted=1, covered=1, silent=("liar",))
    synced = Watching(SyncInfo(sessions=2, waiting=2), settled).sync(20)
    assert synced.is_done
    assert synced.not_waited_for == ("liar",)
    assert synced.took_s < 10


def test_where_everybody_is_silent_not_all_is_here() -> None:
    synced = Watching(SyncInfo(sessions=1, silent=("liar",))).sync(2)
    assert not synced.is_done
    assert synced.not_waited_for == ("liar",)


def test_who_is_silent_is_told_to_other_processes() -> None:
    told = asdict(SyncInfo(sessions=2, waiting=1, silent=("one", "two")))
    assert parse_sync(json.loads(json.dumps(told))) == SyncInfo(sessions=2, waiting=1, silent=("one", "two"))


def test_sync_says_when_nobody_answered(homes: Homes) -> None:
    ben = homes.make("Ben", is_running=False)
    with pytest.raises(NotRunning):
        ben.sync(wait=False)
    with pytest.raises(NobodyAnswered, match="peers add"):
        ben.sync(1)
    ben.add_peer(NOBODY)
    with pytest.raises(NobodyAnswered, match="within 1 s"):
        ben.sync(1)


def test_a_peer_that_only_connected_covers_nothing(homes: Homes) -> None:
    ann, ben = homes.make("Ann"), homes.make("Ben")
    introduce(ben, ann)
    await_until(lambda: bool(connected(ben)), "connected")
    (peer,) = ben.peers()
    assert isinstance(peer, PeerInfo)
    assert (peer.covers, peer.gave) == (0, 0)


def test_an_address_where_nobody_is_does_not_answer_for_a_machine_that_is_connected(homes: Homes) -> None:
    ann, ben = homes.make("Ann"), homes.make("Ben")
    introduce(ben, ann)
    await_until(lambda: peer_of(ann) in connected(ben), "connected")
    over = ben.ping_peer(peer_of(ann))
    assert over.was_connected
    assert address_of(ann).startswith(over.address)
    fresh = ben.ping_peer(address_of(ann))
    assert (fresh.was_connected, fresh.address) == (False, address_of(ann))
    with pytest.raises(NobodyAnswered, match="cannot reach"):
        ben.ping_peer(f"/ip4/127.0.0.1/tcp/9/p2p/{peer_of(ann)}")
    assert peer_of(ann) in connected(ben)


def test_with_nobody_known_a_look_ends_soon_and_says_how_to_add_somebody(homes: Homes) -> None:
    """Who is on the local network would have been met by then."""
    ann = homes.make("Ann")
    assert not ann.knows_anybody()
    began = time.monotonic()
    with pytest.raises(NobodyAnswered, match="unhush peers add"):
        ann.sync(60)
    assert time.monotonic() - began < 30
    ann.add_peer(NOBODY)
    assert ann.knows_anybody()


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("/ip4/0.0.0.0/tcp/4470", "stands for every address"),
        ("/ip6/::/tcp/4470", "stands for every address"),
        ("/ip4/224.0.0.1/tcp/4470", "a group"),
    ],
)
def test_an_address_nobody_can_be_called_at_is_refused_with_the_reason(homes: Homes, host: str, reason: str) -> None:
    ann = homes.make("Ann", is_running=False)
    with pytest.raises(BadConfig, match=reason):
        ann.add_peer(f"{host}/p2p/{NOBODY.rpartition('/')[2]}")
    assert ann.peers() == ()
