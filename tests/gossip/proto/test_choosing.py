"""Whom to be connected with, in a world with a virtual clock: everything followed arrives, whoever is silent."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count, pairwise
from random import Random

import pytest
from tests.gossip.proto.conftest import account
from tests.gossip.proto.test_addresses import at, peer

from unhush.gossip.proto import choosing, coverage, limits, remembering
from unhush.gossip.proto.addresses import AddressBook, Scope, Source, parse_address
from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.choosing import Chooser
from unhush.gossip.proto.decisions import AskPeers, Dial, LetGo
from unhush.gossip.proto.frames import KnownPeer
from unhush.gossip.proto.tally import Met, Tally
from unhush.identity.cid import Cid

ANN, BEN, CLEO = account("Ann"), account("Ben"), account("Cleo")
SEEDS = [*range(5), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(5, 100))]
A_TELLER = "/ip4/9.9.9.9/tcp/4001"


def somewhere(number: int) -> str:
    """A public host in a /16 of its own."""
    return f"{11 + number // 200}.{number % 200}.1.1"


@dataclass
class Stranger:
    """A peer out there."""

    number: int
    host: str
    carries: frozenset[Cid]
    is_silent: bool = False
    is_up: bool = True
    knows: list[KnownPeer] = field(default_factory=list)

    @property
    def peer_id(self) -> str:
        return peer(self.number)

    @property
    def address(self) -> str:
        return at(self.host, self.number)

    @property
    def told(self) -> KnownPeer:
        return KnownPeer(self.address, pack_carriage(self.carries))


class World:
    """One chooser among strangers; what happens is put in order by a virtual clock."""

    def __init__(self, strangers: Iterable[Stranger], seed: int, wanted: Iterable[Cid] = (ANN,)) -> None:
        self.now = 1_000.0
        self.dice = Random(seed)
        self.book = AddressBook(own_peer_id=peer(0), seed=bytes([seed % 256]))
        self.chooser = Chooser(self.book, seed=seed.to_bytes(8, "big"))
        self.strangers = {stranger.peer_id: stranger for stranger in strangers}
        self.dialled: list[str] = []
        self.let_go: list[str] = []
        self.asked: list[tuple[float, str]] = []
        self.connected: dict[str, float] = {}
        self.written: dict[int, tuple[Cid, float]] = {}
        self.arrived: dict[int, float] = {}
        self.most_outbound = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.chooser.set_wanted(frozenset(wanted), self.now)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), act))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        self._decide()
        while True:
            due = self.chooser.next_time(self.now)
            at_ = min(due + 0.01, self._events[0][0] if self._events else end)
            if at_ >= end:
                break
            self.now = max(self.now, at_)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            self._decide()
        self.now = end

    def _decide(self) -> None:
        for decision in self.chooser.decide(self.now):
            match decision:
                case Dial(address):
                    self.dialled.append(address.text)
                    self.after(0.05, lambda address=address: self._dial(address.peer_id, address.text))  # type: ignore[misc]
                case LetGo(peer_id):
                    self.let_go.append(peer_id)
                    self.after(0.01, lambda peer_id=peer_id: self.disconnect(peer_id))  # type: ignore[misc]
                case AskPeers(peer_id):
                    self.asked.append((self.now, peer_id))
                    knows = self.strangers[peer_id].knows
                    told = self.dice.sample(knows, min(len(knows), limits.MAX_PEERS_TOLD))
                    self.chooser.told(peer_id, told, self.now)
        self.most_outbound = max(self.most_outbound, len(self.connected))

    def _dial(self, peer_id: str, address: str) -> None:
        stranger = self.strangers.get(peer_id)
        if stranger is None or not stranger.is_up or stranger.address != address:
            self.chooser.failed(peer_id, address, self.now)
        else:
            self.connect(stranger)
        self.chooser.dial_ended(peer_id, self.now)

    def connect(self, stranger: Stranger, *, is_inbound: bool = False) -> None:
        if stranger.peer_id in self.connected:
            return
        self.connected[stranger.peer_id] = self.now
        port = 50_000 if is_inbound else 4001
        self.chooser.connected(stranger.peer_id, f"/ip4/{stranger.host}/tcp/{port}", self.now, is_inbound=is_inbound)
        self.after(0.1, lambda: self._meet(stranger))

    def _meet(self, stranger: Stranger) -> None:
        if stranger.peer_id not in self.connected:
            return
        self.chooser.greeted(stranger.peer_id, ("/ip4/10.0.0.1/tcp/4001",), self.now)
        self.chooser.carries(stranger.peer_id, stranger.carries, self.now)
        if not stranger.is_silent:
            for number, (author, _) in self.written.items():
                self._arrive(number, author, stranger)

    def _arrive(self, number: int, author: Cid, stranger: Stranger) -> None:
        if number not in self.arrived and author in stranger.carries:
            self.arrived[number] = self.now
            self.chooser.gave(stranger.peer_id, author, 1, self.now)

    def write(self, author: Cid = ANN) -> None:
        """Somebody posts; whoever is connected, carries them and is not silent may be the first to push it."""
        number = len(self.written)
        self.written[number] = (author, self.now)
        givers = [
            self.strangers[peer_id]
            for peer_id in self.connected
            if not self.strangers[peer_id].is_silent and author in self.strangers[peer_id].carries
        ]
        if givers:
            self._arrive(number, author, self.dice.choice(givers))

    def disconnect(self, peer_id: str) -> None:
        if self.connected.pop(peer_id, None) is not None:
            self.chooser.disconnected(peer_id, self.now)

    def know(self, strangers: Iterable[Stranger], *, told_by: str = A_TELLER) -> None:
        for stranger in strangers:
            self.book.remember(stranger.address, Source.LEARNED, self.now, told_by=told_by)

    @property
    def longest_s(self) -> float:
        """How long the slowest record took; what has not come yet counts up to now."""
        return max(self.arrived.get(number, self.now) - written for number, (_, written) in self.written.items())

    def count(self, of: Callable[[Stranger], bool]) -> int:
        return sum(of(self.strangers[peer_id]) for peer_id in self.connected)


def carriers(numbers: Iterable[int], *accounts: Cid, is_silent: bool = False) -> list[Stranger]:
    return [Stranger(number, somewhere(number), frozenset(accounts), is_silent) for number in numbers]


def acquaint(honest: list[Stranger], silent: list[Stranger]) -> None:
    """The honest tell of everybody, the silent of each other only."""
    for stranger in honest:
        stranger.knows = [other.told for other in (*honest, *silent) if other is not stranger]
    for stranger in silent:
        stranger.knows = [other.told for other in silent if other is not stranger]


@pytest.mark.parametrize("seed", SEEDS)
def test_among_40_silent_peers_every_record_of_10_honest_ones_arrives_within_60_s(seed: int) -> None:
    honest, silent = carriers(range(1, 11), ANN), carriers(range(11, 51), ANN, is_silent=True)
    acquaint(honest, silent)
    world = World([*honest, *silent], seed)
    world.know([*honest, *silent])
    for _ in range(60):
        world.write()
        world.run(20)
    assert world.longest_s <= 60, f"seed {seed}"
    assert world.count(lambda stranger: not stranger.is_silent) >= 3
    assert world.most_outbound <= choosing.MAX_OUTBOUND


@pytest.mark.parametrize("seed", SEEDS)
def test_surrounded_by_silent_peers_it_gets_out_within_60_s(seed: int) -> None:
    honest, silent = carriers(range(1, 11), ANN), carriers(range(11, 51), ANN, is_silent=True)
    acquaint(honest, silent)
    world = World([*honest, *silent], seed)
    world.know(silent)
    world.run(600)
    assert world.count(lambda stranger: stranger.is_silent) >= choosing.MIN_TOLD
    world.know(honest)
    world.write()
    world.run(120)
    assert world.longest_s <= 60, f"seed {seed}"


@pytest.mark.parametrize("seed", range(2))
def test_when_honest_peers_come_and_go_everything_still_arrives(seed: int) -> None:
    honest, silent = carriers(range(1, 11), ANN), carriers(range(11, 51), ANN, is_silent=True)
    acquaint(honest, silent)
    world = World([*honest, *silent], seed)
    world.know([*honest, *silent])
    for turn in range(60):
        for stranger in honest:
            stranger.is_up = world.dice.random() < 0.7
            if not stranger.is_up:
                world.disconnect(stranger.peer_id)
        honest[turn % 10].is_up = True
        world.write()
        world.run(30)
    world.run(120)
    assert len(world.arrived) == len(world.written), f"seed {seed}"


def test_an_attacker_who_fills_the_book_from_one_network_gets_two_connections() -> None:
    honest = carriers(range(1, 11), ANN)
    sybils = [
        Stranger(1_000 + number, f"66.66.{number // 200}.{number % 200 + 1}", frozenset({ANN}), is_silent=True)
        for number in range(5_000)
    ]
    world = World([*honest, *sybils], 1)
    world.know(honest)
    world.know(sybils)
    for _ in range(30):
        world.write()
        world.run(20)
        assert world.count(lambda stranger: stranger.host.startswith("66.66.")) <= choosing.MAX_PER_BLOCK
    assert world.longest_s <= 60
    assert all(stranger.peer_id in world.book for stranger in honest)


def test_an_attacker_behind_one_relay_gets_two_connections() -> None:
    """What comes through a relay has no address of its own: it counts where the relay is."""
    world = World([], 1)
    relay = peer(1)
    for number in range(2, 40):
        told = f"/ip4/8.8.8.8/tcp/4470/p2p/{relay}/p2p-circuit/p2p/{peer(number)}"
        world.book.remember(told, Source.LEARNED, 0.0, told_by="/ip4/9.9.9.9/tcp/1")
    chooser, now, connected = world.chooser, 1.0, 0
    for _ in range(100):
        for decision in chooser.decide(now):
            if isinstance(decision, LetGo):  # now and then another is tried in its place
                chooser.disconnected(decision.peer_id, now)
                connected -= 1
                continue
            assert isinstance(decision, Dial)
            chooser.connected(decision.address.peer_id, f"/p2p/{relay}/p2p-circuit", now, is_inbound=False)
            chooser.dial_ended(decision.address.peer_id, now)
            connected += 1
        assert connected <= choosing.MAX_PER_BLOCK
        now += 5.0
    assert connected == choosing.MAX_PER_BLOCK


def test_two_dials_to_one_network_at_once_are_all_there_are() -> None:
    near = [Stranger(number, f"8.8.1.{number}", frozenset()) for number in range(1, 20)]
    world = World(near, 1)
    world.know(near)
    dials = [decision for decision in world.chooser.decide(world.now) if isinstance(decision, Dial)]
    assert len(dials) == choosing.MAX_PER_BLOCK


def test_one_s_own_network_is_no_attacker_s() -> None:
    near = [Stranger(number, f"192.168.1.{number}", frozenset()) for number in range(1, 8)]
    world = World(near, 1)
    world.know(near, told_by="/ip4/192.168.1.99/tcp/4001")
    world.run(10)
    assert len(world.connected) == 7


def test_peers_that_dialled_us_do_not_keep_us_from_dialling_others_of_their_network() -> None:
    inbound = [Stranger(number, f"8.8.1.{number}", frozenset({ANN}), is_silent=True) for number in (1, 2, 3)]
    other = Stranger(4, "8.8.2.2", frozenset({ANN}))
    world = World([*inbound, other], 1)
    for stranger in inbound:
        world.connect(stranger, is_inbound=True)
    world.know([other])
    world.run(5)
    assert other.peer_id in world.connected


def neighbours(numbers: Iterable[int], *accounts: Cid, is_silent: bool = False) -> list[Stranger]:
    """All of one network of the Internet."""
    return [Stranger(number, f"8.8.1.{number}", frozenset(accounts), is_silent) for number in numbers]


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_only_carrier_in_a_network_that_has_its_places_gets_one(seed: int, *, is_alone: bool) -> None:
    """Nobody else is left, or others are who claim nothing: who is of no use gives way in that network."""
    first, (carrier,) = neighbours((1, 2)), neighbours((3,), ANN)
    others = [] if is_alone else carriers(range(10, 30))
    world = World([*first, carrier, *others], seed)
    world.write()
    world.know(first)
    world.run(5)
    assert world.connected.keys() == {stranger.peer_id for stranger in first}
    world.chooser.told(first[0].peer_id, [carrier.told], world.now)
    world.know(others)
    world.run(300)
    assert world.arrived, f"seed {seed}"
    assert world.count(lambda stranger: stranger.host.startswith("8.8.1.")) <= choosing.MAX_PER_BLOCK


def test_who_is_of_use_gives_way_in_its_network_only_to_who_is_said_to_carry_what_nobody_does() -> None:
    ann, ben = neighbours((1,), ANN), neighbours((2,), BEN)
    claiming = neighbours(range(3, 30), ANN, BEN, is_silent=True)
    world = World([*ann, *ben, *claiming], 1, (ANN, BEN, CLEO))
    world.know([*ann, *ben])
    for author in (ANN, BEN):
        world.write(author)
    world.run(5)
    assert len(world.arrived) == 2
    for stranger in claiming:
        world.chooser.told(ann[0].peer_id, [stranger.told], world.now)
    world.run(600)
    assert world.let_go == []


@pytest.mark.parametrize("seed", range(5))
def test_three_of_one_network_of_whom_each_alone_carries_something_take_turns(seed: int) -> None:
    wanted = ANN, BEN, CLEO
    near = [*neighbours((1,), ANN), *neighbours((2,), BEN), *neighbours((3,), CLEO)]
    hub = Stranger(9, "77.1.1.1", frozenset(), knows=[stranger.told for stranger in near])
    world = World([*near, hub], seed, wanted)
    world.book.remember(hub.address, Source.CONFIGURED, world.now)
    for _ in range(30):
        for author in wanted:
            world.write(author)
        world.run(20)
        assert world.count(lambda stranger: stranger.host.startswith("8.8.1.")) <= choosing.MAX_PER_BLOCK
    world.run(200)
    assert len(world.arrived) == len(world.written), f"seed {seed}"


def test_peers_the_person_chose_do_not_keep_us_from_others_of_their_network() -> None:
    friends, (carrier,) = neighbours((1, 2, 3)), neighbours((4,), ANN)
    world = World([*friends, carrier], 1)
    for stranger in friends:
        world.book.remember(stranger.address, Source.CONFIGURED, world.now)
    world.run(5)
    world.know([carrier])
    world.run(20)
    assert len(world.connected) == 4


@pytest.mark.parametrize("seed", range(3))
def test_every_account_is_covered_if_anybody_carries_it(seed: int) -> None:
    """12 accounts, each carried by 4 of 200 peers: no random choice of 16 would cover them."""
    dice = Random(seed)
    wanted = [account(f"account {number}") for number in range(12)]
    strangers = carriers(range(1, 201))
    for each in wanted:
        for stranger in dice.sample(strangers, 4):
            stranger.carries |= {each}
    hub = Stranger(500, "77.1.1.1", frozenset(), knows=[stranger.told for stranger in strangers])
    world = World([*strangers, hub], seed, wanted)
    world.book.remember(hub.address, Source.CONFIGURED, world.now)
    world.run(900)
    have, covered = world.chooser.coverage()
    assert (have, covered) == (12, 12), f"seed {seed}"
    assert world.most_outbound <= choosing.MAX_TOLD + 1


def test_configured_and_invited_peers_are_dialled_always_and_never_let_go() -> None:
    most = choosing.MAX_OUTBOUND - choosing.KEPT_FOR_TOLD
    chosen, others = carriers(range(1, most + 1), is_silent=True), carriers(range(31, 80), ANN, is_silent=True)
    world = World([*chosen, *others], 2)
    world.know(others)
    world.run(60)
    for stranger in chosen:
        source = Source.CONFIGURED if stranger.number % 2 else Source.INVITED
        world.book.remember(stranger.address, source, world.now)
    world.run(600)
    assert all(stranger.peer_id in world.connected for stranger in chosen)
    assert not {stranger.peer_id for stranger in chosen} & set(world.let_go)
    assert world.most_outbound <= choosing.MAX_OUTBOUND


def test_with_more_chosen_peers_than_places_it_does_not_look_without_end() -> None:
    world = World([], 1)
    for number in range(1, choosing.MAX_OUTBOUND + 9):
        world.book.remember(at(f"8.{number}.8.8", number), Source.CONFIGURED, world.now)
    for number in range(1, choosing.MAX_OUTBOUND - choosing.KEPT_FOR_TOLD + 1):
        world.chooser.connected(peer(number), f"/ip4/8.{number}.8.8/tcp/4001", world.now, is_inbound=False)
    now, looks = world.now + 100, 0
    while now < world.now + 200:
        assert not any(isinstance(decision, Dial) for decision in world.chooser.decide(now))
        now = max(world.chooser.next_time(now), now + 0.05)
        looks += 1
    assert looks < 100
    world.chooser.disconnected(peer(1), now)
    assert any(isinstance(decision, Dial) for decision in world.chooser.decide(now))


def test_however_many_the_person_chose_some_places_are_left_to_others() -> None:
    """Fifty friends that are silent, and ten others that do deliver: what they write arrives."""
    honest, silent = carriers(range(1, 11), ANN), carriers(range(11, 61), ANN, is_silent=True)
    world = World([*honest, *silent], 3)
    for stranger in silent:
        world.book.remember(stranger.address, Source.CONFIGURED, world.now)
    world.run(60)
    assert len(world.connected) == choosing.MAX_OUTBOUND - choosing.KEPT_FOR_TOLD
    world.know(honest)
    world.write()
    world.run(120)
    assert world.longest_s <= 60
    assert world.count(lambda stranger: not stranger.is_silent) >= 1
    assert not {stranger.peer_id for stranger in silent} & set(world.let_go)
    assert world.most_outbound <= choosing.MAX_OUTBOUND


def test_chosen_peers_in_one_network_are_all_connected() -> None:
    chosen = [Stranger(number, f"8.8.1.{number}", frozenset()) for number in range(1, 11)]
    world = World(chosen, 1)
    for stranger in chosen:
        world.book.remember(stranger.address, Source.CONFIGURED, world.now)
    world.run(10)
    assert len(world.connected) == 10


def test_a_peer_that_claims_and_never_gives_goes_before_one_that_gives() -> None:
    honest, silent = carriers(range(1, 4), ANN), carriers(range(4, 60), ANN, is_silent=True)
    world = World([*honest, *silent], 3)
    world.know([*honest, *silent])
    for _ in range(90):
        world.write()
        world.run(10)
    givers = {stranger.peer_id for stranger in honest} & set(world.connected)
    assert givers
    late = world.let_go[len(world.let_go) // 2 :]
    assert late
    assert not {stranger.peer_id for stranger in honest} & set(late)


def test_what_was_given_long_ago_counts_no_more_when_others_give_and_it_does_not() -> None:
    world = World(carriers((1, 2), ANN), 1)
    fallen, true = world.strangers.values()
    world.know([fallen, true])
    world.run(5)
    world.chooser.gave(fallen.peer_id, ANN, 1, world.now)
    fallen.is_silent = True
    for _ in range(coverage.STALE_GIFTS + 2):
        world.now += coverage.GIFT_S
        world.chooser.gave(true.peer_id, ANN, 1, world.now)
    worths = world.chooser._coverage.worths([fallen.peer_id, true.peer_id])
    assert worths[fallen.peer_id] < choosing.USEFUL <= worths[true.peer_id]


def test_while_all_is_well_three_fresh_peers_are_asked_in_ten_minutes() -> None:
    honest = carriers(range(1, 60), ANN)
    world = World(honest, 4)
    world.know(honest)
    for _ in range(30):
        world.write()
        world.run(20)
    before = len(world.dialled)
    for _ in range(90):
        world.write()
        world.run(20)
    fresh = len(world.dialled) - before
    assert 7 <= fresh <= 14, f"{fresh} fresh peers in 30 minutes"
    hosts = {address.split("/")[2] for address in world.dialled[before:]}
    assert len(hosts) == fresh, "the same peer again"


def test_peers_that_dialled_us_cover_nothing_until_they_deliver() -> None:
    strangers = carriers(range(1, 4), ANN)
    world = World(strangers, 1)
    for stranger in strangers:
        world.connect(stranger, is_inbound=True)
    world.run(2)
    assert world.chooser.coverage() == (1, 0)
    world.write()
    assert world.chooser.coverage() == (1, 1)


def test_anchors_are_the_peers_that_gave_and_are_dialled_first_in_the_next_run() -> None:
    honest, silent = carriers(range(1, 6), ANN), carriers(range(6, 30), ANN, is_silent=True)
    world = World([*honest, *silent], 5)
    world.know([*honest, *silent])
    for _ in range(40):
        world.write()
        world.run(10)
    kept = world.chooser.remembered(world.now)
    anchors = [parse_address(known.address).peer_id for known in kept if known.is_anchor]
    assert len(anchors) == choosing.ANCHORS
    assert not any(world.strangers[anchor].is_silent for anchor in anchors)

    again = World([*honest, *silent], 6)
    for known in kept:
        again.book.remember(known.address, known.source, again.now)
    again.chooser.set_anchors(anchors)
    first = [d.address.peer_id for d in again.chooser.decide(again.now) if isinstance(d, Dial)][:2]
    assert sorted(first) == sorted(anchors)
    # A run that ends before it met anybody keeps them.
    ended_at_once = [parse_address(known.address).peer_id for known in again.chooser.remembered(0.0) if known.is_anchor]
    assert sorted(ended_at_once) == sorted(anchors)


def test_a_thousand_bad_addresses_told_cause_no_dial() -> None:
    dice = Random(7)
    bad = []
    for number in range(1, 1_001):
        host = dice.choice(["127.0.0.{}", "10.1.2.{}", "192.168.7.{}", "169.254.0.{}", "0.0.0.{}"]).format(number % 255)
        bad.append(KnownPeer(at(host, number)))
    liar = Stranger(5_000, "9.9.9.9", frozenset({ANN}), knows=[*bad, KnownPeer("rubbish"), KnownPeer("")])
    world = World([liar], 7)
    world.know([liar])
    for start in range(0, 1_000, 16):
        world.run(60)
        world.chooser.told(liar.peer_id, bad[start : start + 16], world.now)
    world.run(3_600)
    scopes = [parse_address(address).scope for address in world.dialled if address != liar.address]
    assert scopes.count(Scope.PRIVATE) + scopes.count(Scope.LOOPBACK) == 0
    assert scopes == []


def test_what_is_told_and_is_no_address_is_counted() -> None:
    tally = Tally()
    chooser = Chooser(AddressBook(own_peer_id=peer(0), seed=b"seed"), seed=b"seed", count=tally.count)
    chooser.connected(peer(1), "/ip4/9.8.7.6/tcp/50123", 0.0, is_inbound=True)
    assert chooser.told(peer(1), [KnownPeer("rubbish"), KnownPeer(at("8.8.8.8", 2)), KnownPeer("")], 0.0) == 1
    assert tally.read()[Met.ADDRESS_REFUSED] == 2
    # A machine with IPv6 beside the IPv4 it was seen at says nothing wrong.
    chooser.greeted(peer(1), ["/ip4/9.8.7.6/tcp/4470", "/ip6/2606:4700::1/tcp/4470", "rubbish"], 0.0)
    assert tally.read()[Met.ADDRESS_REFUSED] == 3


def test_where_a_peer_says_it_listens_only_the_port_is_believed() -> None:
    world = World([], 1)
    visitor = peer(1)
    world.chooser.connected(visitor, "/ip4/9.8.7.6/tcp/50123", world.now, is_inbound=True)
    says = ("/ip4/127.0.0.1/tcp/22", "/ip4/8.8.8.8/tcp/4470", "/ip6/::1/tcp/1", "/dns4/example.org/tcp/80")
    world.chooser.greeted(visitor, (*says, "/ip4/1.2.3.4/tcp/99"), world.now)
    known = [known.address for known in world.book.remembered()]
    assert known == [f"/ip4/9.8.7.6/tcp/22/p2p/{visitor}", f"/ip4/9.8.7.6/tcp/4470/p2p/{visitor}"]


def meet(world: World, number: int, seen_at: str, *, is_inbound: bool = False) -> str:
    world.chooser.connected(peer(number), seen_at, world.now, is_inbound=is_inbound)
    world.chooser.greeted(peer(number), ("/ip4/0.0.0.0/tcp/4470",), world.now)
    return peer(number)


def test_peers_are_told_whom_we_are_connected_with_now_or_were_lately() -> None:
    world = World([], 1)
    asker = meet(world, 1, "/ip4/9.1.1.1/tcp/1", is_inbound=True)
    dialled, visitor, gone = (
        meet(world, 2, "/ip4/9.2.1.1/tcp/4001"),
        meet(world, 3, "/ip4/9.3.1.1/tcp/55", is_inbound=True),
        meet(world, 4, "/ip4/9.4.1.1/tcp/4001"),
    )
    world.chooser.carries(gone, frozenset({BEN}), world.now)
    world.chooser.disconnected(gone, world.now)
    told = {known.address: known.carriage for known in world.chooser.tell(asker, world.now)}
    assert told == {
        f"/ip4/9.2.1.1/tcp/4001/p2p/{dialled}": b"",
        f"/ip4/9.3.1.1/tcp/4470/p2p/{visitor}": b"",
        f"/ip4/9.4.1.1/tcp/4001/p2p/{gone}": pack_carriage([BEN]),
    }
    later = {known.address for known in world.chooser.tell(asker, world.now + choosing.LATELY_S)}
    assert f"/ip4/9.4.1.1/tcp/4001/p2p/{gone}" not in later


def test_nobody_on_the_internet_is_told_who_is_in_our_network() -> None:
    world = World([], 1)
    stranger = meet(world, 1, "/ip4/9.1.1.1/tcp/1", is_inbound=True)
    neighbour = meet(world, 2, "/ip4/192.168.1.2/tcp/1", is_inbound=True)
    meet(world, 3, "/ip4/192.168.1.3/tcp/4001")
    meet(world, 4, "/ip4/127.0.0.1/tcp/4001")
    assert world.chooser.tell(stranger, world.now) == ()
    assert {known.address.split("/")[2] for known in world.chooser.tell(neighbour, world.now)} == {
        "9.1.1.1",
        "192.168.1.3",
    }


def test_at_most_sixteen_peers_are_told_of_and_not_always_the_same() -> None:
    world = World([], 1)
    asker = meet(world, 1, "/ip4/9.1.1.1/tcp/1")
    for number in range(2, 60):
        meet(world, number, f"/ip4/9.{number}.1.1/tcp/4001")
    first, second = (frozenset(world.chooser.tell(asker, world.now)) for _ in range(2))
    assert len(first) == len(second) == limits.MAX_PEERS_TOLD
    assert first != second


def test_a_peer_is_asked_for_others_at_most_once_a_minute() -> None:
    strangers = carriers(range(1, 6), BEN)
    world = World(strangers, 1)
    world.know(strangers)
    world.run(600)
    assert world.asked
    for stranger in strangers:
        times = [now for now, peer_id in world.asked if peer_id == stranger.peer_id]
        assert all(later - sooner >= limits.PEERS_INTERVAL_S for sooner, later in pairwise(times))


def test_who_is_said_to_carry_what_lacks_carriers_is_dialled_first() -> None:
    others, wanted = carriers(range(1, 150), CLEO), carriers(range(150, 153), BEN)
    hub = Stranger(500, "77.1.1.1", frozenset(), knows=[stranger.told for stranger in (*others[:13], *wanted)])
    world = World([*others, *wanted, hub], 1, [BEN])
    world.know(others)
    world.book.remember(hub.address, Source.CONFIGURED, world.now)
    world.run(20)
    assert world.count(lambda stranger: BEN in stranger.carries) == 3


def test_a_filter_that_claims_everything_earns_nobody_a_dial() -> None:
    world = World([], 1)
    liar = meet(world, 1, "/ip4/9.1.1.1/tcp/1")
    world.chooser.told(liar, [KnownPeer(at("9.2.1.1", 2), b"\xff" * 2_048)], world.now)
    assert not world.chooser._memories.may_carry(peer(2), ANN)


def test_what_is_remembered_is_bounded() -> None:
    world = World([], 1)
    teller = meet(world, 1, "/ip4/9.1.1.1/tcp/1")
    dice = Random(1)
    for number in range(2, 4_500):
        host = f"{dice.randrange(11, 99)}.{dice.randrange(256)}.1.1"
        world.chooser.told(teller, [KnownPeer(at(host, number), bytes(2_047) + b"\x01")], world.now)
    memories = world.chooser._memories
    assert len(memories.items()) <= remembering.MAX_REMEMBERED
    assert memories._carriage_bytes <= remembering.MAX_CARRIAGE_TOTAL + 2_048
    assert memories._carriage_bytes == sum(len(memory.carriage) for _, memory in memories.items())
    assert len(world.chooser.remembered(world.now)) <= choosing.MAX_SAVED


def test_no_more_than_eight_dials_are_under_way() -> None:
    strangers = carriers(range(1, 100), ANN)
    world = World(strangers, 1)
    for stranger in strangers[:50]:
        world.book.remember(stranger.address, Source.CONFIGURED, world.now)
    world.know(strangers[50:])
    dials: list[str] = []
    for _ in range(20):
        dials += [d.address.peer_id for d in world.chooser.decide(world.now) if isinstance(d, Dial)]
        world.now += 1
    assert len(dials) == choosing.MAX_DIALS
    assert sum(world.book.is_chosen(peer_id) for peer_id in dials) == choosing.MAX_CHOSEN_DIALS


def test_who_was_let_go_rests() -> None:
    strangers = carriers(range(1, 40), ANN, is_silent=True)
    world = World(strangers, 8)
    world.know(strangers)
    world.run(1_200)
    assert world.let_go
    for peer_id in set(world.let_go):
        again = [text for text in world.dialled if text.endswith(peer_id)]
        assert len(again) <= 3, "at most once in ten minutes"


def test_lost_peers_come_back_though_nobody_let_them_go() -> None:
    strangers = carriers(range(1, 5), ANN)
    world = World(strangers, 1)
    world.know(strangers)
    world.run(60)
    assert len(world.connected) == 4
    for stranger in strangers:
        world.disconnect(stranger.peer_id)
    world.run(60)
    assert len(world.connected) == 4


def test_a_peer_that_hangs_up_is_not_dialled_again_at_once() -> None:
    visitor = Stranger(1, "8.8.1.1", frozenset())
    world = World([visitor], 1)
    world.connect(visitor, is_inbound=True)
    world.run(5)
    assert visitor.peer_id in world.book, "it said where it listens"
    world.disconnect(visitor.peer_id)
    world.run(20)
    assert world.dialled == []
    world.run(60)
    assert world.dialled == [visitor.address]


def test_the_same_seed_makes_the_same_choices() -> None:
    def dials(seed: int) -> list[str]:
        honest, silent = carriers(range(1, 11), ANN, BEN), carriers(range(11, 51), ANN, CLEO, is_silent=True)
        acquaint(honest, silent)
        world = World([*honest, *silent], seed, [ANN, BEN, CLEO])
        world.know([*honest, *silent])
        for _ in range(10):
            world.write()
            world.run(20)
        return world.dialled

    assert dials(1) == dials(1)
    assert dials(1) != dials(2)


def test_a_peer_that_is_forgotten_is_dialled_no_more() -> None:
    world = World(carriers((1,), ANN), 1)
    (stranger,) = world.strangers.values()
    world.book.remember(stranger.address, Source.CONFIGURED, world.now)
    world.run(5)
    world.chooser.forget(stranger.peer_id)
    world.disconnect(stranger.peer_id)
    world.run(600)
    assert stranger.peer_id not in world.connected


def test_accounts_no_longer_wanted_need_no_cover() -> None:
    world = World(carriers(range(1, 4), ANN, BEN), 1, [ANN, BEN])
    world.know(world.strangers.values())
    world.run(5)
    assert world.chooser.coverage() == (2, 2)
    world.chooser.set_wanted(frozenset({BEN, CLEO}), world.now)
    assert world.chooser.coverage() == (2, 1)
    assert {each.covers for each in world.chooser.standings().values()} == {1}


def test_nobody_on_the_internet_has_us_tell_our_own_network_of_a_relay_in_it() -> None:
    world = World([], 1)
    visitor, neighbour = peer(1), peer(2)
    world.chooser.connected(visitor, "/ip4/9.8.7.6/tcp/50123", world.now, is_inbound=True)
    for inner in ("/ip4/192.168.1.1/tcp/80", "/ip4/127.0.0.1/tcp/22"):
        world.chooser.greeted(visitor, (f"{inner}/p2p/{peer(9)}/p2p-circuit",), world.now)
    world.chooser.connected(neighbour, "/ip4/192.168.1.7/tcp/4470", world.now, is_inbound=True)
    assert world.chooser.tell(neighbour, world.now) == ()
    world.chooser.greeted(visitor, (f"/ip4/8.8.8.8/tcp/4470/p2p/{peer(9)}/p2p-circuit",), world.now)
    assert [told.address for told in world.chooser.tell(neighbour, world.now)] == [
        f"/ip4/8.8.8.8/tcp/4470/p2p/{peer(9)}/p2p-circuit/p2p/{visitor}"
    ]
