"""A rehearsal: machines that choose their connections as they do in earnest, in a world without bytes.

Every machine has the real :class:`AddressBook` and the real :class:`Chooser`; what they decide is carried out on a
clock of its own: dials that come to something or not, whom peers tell each other of, what calls at bootstrap peers and
looks into the DHT find. Sessions, signatures and records are left out: one number, the newest edition of the one
account that matters, goes from carrier to carrier. Pure; the seed decides everything.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.addresses import Address, AddressBook, Source
from unhush.gossip.proto.bootstrapping import Bootstrap
from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.choosing import Chooser
from unhush.gossip.proto.decisions import AskPeers, Dial, LetGo
from unhush.gossip.proto.frames import KnownPeer
from unhush.identity.cid import Cid, cid_of

# A connection that opens, and one that finds nobody: as measured, and as TCP gives up (gossip/net/wire/transport.py).
DIAL_S: Final = 0.08
NOBODY_S: Final = 10.0
# From a connection to what its session says first; a question and its answer; one record from node to node. All for
# a line of 20 ms each way.
SESSION_S: Final = 0.06
ANSWER_S: Final = 0.04
HOP_S: Final = 0.03
# Looks of a chooser follow each other no closer.
MIN_LOOK_S: Final = 0.05
# How often it is looked whether anybody is connected, and how long a walk through the DHT takes.
BOOTSTRAP_LOOK_S: Final = 1.0
DHT_S: Final = 5.0
DHT_FOUND: Final = 8
# As in gossip/net/wire/swarm.py: 64 of 96 places are for who dials us.
MAX_CONNECTIONS: Final = 96
# More than any sound run has; then it ends where it is.
MAX_EVENTS: Final = 5_000_000

# The account that everybody means; which one it is makes no difference to anybody's choice.
_ACCOUNT: Final[Cid] = cid_of(b"the account of a rehearsal")


class Way(StrEnum):
    """How a machine came to the connection over which it found the account again."""

    OPEN = "open"  # it was open all the time
    BOOK = "book"  # it had the address
    CARD = "card"  # the account's card named it
    KEEPER_CARD = "keeper_card"  # a keeper's own card did
    TOLD = "told"  # a peer told of it
    DHT = "dht"
    BOOTSTRAP = "bootstrap"  # it called a bootstrap peer, and heard there
    CALLED = "called"  # the other side knew where this one is
    RETURN = "return"  # its author came back through it


@dataclass(frozen=True, slots=True)
class Actor:
    """One machine as the rehearsal begins; others are named as they are."""

    name: str
    is_dialable: bool
    is_carrier: bool
    block: str = ""  # machines with the same one are in one network of the Internet
    links: tuple[str, ...] = ()  # whom it is connected with, having dialled them
    chosen: tuple[str, ...] = ()  # whom its person named: dialled for ever
    book: tuple[str, ...] = ()  # whose addresses it knows besides
    cards: Mapping[str, Way] = field(default_factory=dict)  # addresses that cards name, and whose cards
    bootstrap: tuple[str, ...] = ()  # whom it calls while nobody is connected
    uses_dht: bool = False
    exchanges: bool = True  # asks peers for others and tells them of others
    tells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # whom it told of whom, where that is known


class Dice:
    """Numbers from a seed."""

    def __init__(self, seed: str) -> None:
        self._seed: Final = seed.encode()
        self._drawn = 0

    def below(self, most: int) -> int:
        """At least 0."""
        self._drawn += 1
        drawn = hashlib.sha256(self._seed + b"/%d" % self._drawn).digest()
        return int.from_bytes(drawn[:8], "big") % most

    def is_so(self, probability: float) -> bool:
        return self.below(1_000_000) < probability * 1_000_000

    def shuffled(self, names: Iterable[str]) -> list[str]:
        return [name for _, name in sorted((self.below(1 << 32), name) for name in names)]


@dataclass(slots=True)
class _Link:
    way: dict[str, Way]  # by whose side
    has_session: bool = False


class _Machine:
    """A machine of the world."""

    def __init__(self, actor: Actor, number: int, host: str, seed: str) -> None:
        self.actor: Final = actor
        self.name: Final = actor.name
        self.peer_id: Final = _peer_id(number)
        self.host: Final = host
        self.address: Final = f"{host}/tcp/4001/p2p/{self.peer_id}"
        self.far_end: Final = f"{host}/tcp/{40_000 + number % 20_000}"
        self.book: Final = AddressBook(own_peer_id=self.peer_id, seed=self.peer_id.encode())
        self.chooser: Final = Chooser(self.book, seed=f"{seed}/{self.name}".encode())
        self.bootstrap: Bootstrap | None = None
        self.links: Final[dict[str, _Link]] = {}
        self.came_by: Final[dict[str, Way]] = {}
        self.is_up = True
        self.edition = 0
        self.found_at: float | None = None
        self.found_by: Way | None = None
        self.look_at = float("inf")


class World:
    """Machines, and what they do as time passes."""

    def __init__(self, actors: Sequence[Actor], *, seed: str, is_quiet: bool = False) -> None:
        """``is_quiet``: before anything is lost nobody is told of anybody, as all books are known already."""
        self.now = 0.0
        self._is_quiet: Final = is_quiet
        self._seed: Final = seed
        self._dice: Final = Dice(seed)
        self._queue: Final[list[tuple[float, int, Callable[[], None]]]] = []
        self._entered = 0
        self._machines: Final[dict[str, _Machine]] = {}
        self._by_peer_id: Final[dict[str, _Machine]] = {}
        self._blocks: Final[dict[str, int]] = {}
        self._in_block: Final[dict[int, int]] = {}
        self.gained_at = 0.0  # when a machine last got something new
        self._edition = 0
        self._lost_at: float | None = None
        self.add(actors)

    def add(self, actors: Sequence[Actor]) -> None:
        """Machines that come now, with their links to each other and to whoever is there."""
        for actor in actors:
            self._enter(actor)
        for actor in actors:
            for name in self._dice.shuffled(actor.links):
                self._connect(self._machines[actor.name], self._machines[name], Way.OPEN)

    def lose(self, names: Iterable[str]) -> None:
        """These are gone for good. From now on it counts how the account is found again."""
        self._lost_at = self.now
        for machine in self._machines.values():
            machine.came_by.update(dict.fromkeys(machine.came_by, Way.BOOK))
            for link in machine.links.values():
                link.way[machine.name] = Way.OPEN
        for name in names:
            machine = self._machines[name]
            machine.is_up = False
            for other in list(machine.links):
                self._part(machine, self._machines[other])
        for machine in self._machines.values():
            self._take_cards(machine)

    def publish(self, name: str) -> None:
        """The account's newest edition is there from now on, with this machine first."""
        machine = self._machines[name]
        if machine.is_up:
            self._edition += 1
            machine.edition = self._edition
            self.gained_at = self.now
            self._hand_on(machine)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let so much time pass, or less."""
        end = self.now + seconds
        events = 0
        while self._queue and self._queue[0][0] <= end and events < MAX_EVENTS:
            self.now, _, act = heappop(self._queue)
            act()
            events += 1
            if until():
                return
        self.now = max(self.now, end)

    def has_newest(self, name: str) -> bool:
        return self._machines[name].edition == self._edition

    def found(self, name: str) -> tuple[float, Way] | None:
        """When a machine found the account again, in seconds since the loss, and by which way."""
        machine = self._machines[name]
        if machine.found_at is None or machine.found_by is None or self._lost_at is None:
            return None
        return machine.found_at - self._lost_at, machine.found_by

    # --- beginning ---------------------------------------------------------------------------------------

    def _enter(self, actor: Actor) -> None:
        number = len(self._machines)
        machine = _Machine(actor, number, self._host(actor), self._seed)
        self._machines[actor.name] = self._by_peer_id[machine.peer_id] = machine
        if actor.is_carrier:
            machine.chooser.set_wanted(frozenset({_ACCOUNT}), self.now)
        for source, names in ((Source.CONFIGURED, actor.chosen), (Source.LEARNED, actor.book)):
            for name in names:
                # Who is named before it is there is known by where it will be.
                self._after(0.0, lambda name=name, source=source: self._learn(machine, name, Way.BOOK, source))  # type: ignore[misc]
        if actor.bootstrap:
            self._after(self._dice.below(1_000) / 1_000, lambda: self._look_for_bootstrap(machine))
        if self._lost_at is not None:
            self._take_cards(machine)
        self._look_no_later_than(machine, self.now + MIN_LOOK_S * (1 + self._dice.below(20)))

    def _host(self, actor: Actor) -> str:
        """An address of the Internet, in the network it shares with others."""
        block = self._blocks.setdefault(actor.block or f"\0{actor.name}", len(self._blocks))
        place = self._in_block[block] = self._in_block.get(block, 0) + 1
        return f"/ip4/{23 + block // 256}.{block % 256}.{place // 250}.{1 + place % 250}"

    def _learn(self, machine: _Machine, name: str, way: Way, source: Source = Source.LEARNED) -> None:
        other = self._machines.get(name)
        if other is None or other is machine:
            return
        if machine.book.remember(other.address, source, self.now):
            machine.came_by.setdefault(other.peer_id, way)
            machine.chooser.hurry(self.now)
            self._look_soon(machine)

    def _take_cards(self, machine: _Machine) -> None:
        for name, way in machine.actor.cards.items():
            self._learn(machine, name, way)

    # --- connections -------------------------------------------------------------------------------------

    def _connect(self, dialler: _Machine, other: _Machine, way: Way) -> None:
        if other.name in dialler.links or other is dialler:
            return
        at_other = Way.OPEN if way is Way.OPEN else Way.CALLED
        dialler.links[other.name] = other.links[dialler.name] = _Link({dialler.name: way, other.name: at_other})
        dialler.chooser.connected(other.peer_id, other.host + "/tcp/4001", self.now, is_inbound=False)
        other.chooser.connected(dialler.peer_id, dialler.far_end, self.now, is_inbound=True)
        link = dialler.links[other.name]
        self._after(SESSION_S, lambda: self._begin_session(dialler, other, link))
        self._look_soon(dialler)
        self._look_soon(other)

    def _begin_session(self, one: _Machine, other: _Machine, link: _Link) -> None:
        if one.links.get(other.name) is not link:
            return
        link.has_session = True
        for here, there in ((one, other), (other, one)):
            if there.actor.exchanges and here.actor.exchanges:
                here.chooser.greeted(there.peer_id, (f"{there.host}/tcp/4001",), self.now)
                here.came_by.setdefault(there.peer_id, Way.TOLD)
            else:
                here.chooser.greeted(there.peer_id, (), self.now)
            carried = frozenset({_ACCOUNT}) if there.actor.is_carrier else frozenset[Cid]()
            here.chooser.carries(there.peer_id, carried, self.now)
            self._look_soon(here)
        self._hand_on(one)
        self._hand_on(other)

    def _part(self, one: _Machine, other: _Machine) -> None:
        if one.links.pop(other.name, None) is None:
            return
        del other.links[one.name]
        one.chooser.disconnected(other.peer_id, self.now)
        other.chooser.disconnected(one.peer_id, self.now)
        self._look_soon(one)
        self._look_soon(other)

    def _dial(self, machine: _Machine, address: Address) -> None:
        other = self._by_peer_id.get(address.peer_id)
        is_there = other is not None and other.is_up and other.actor.is_dialable
        self._after(DIAL_S if is_there else NOBODY_S, lambda: self._dial_ended(machine, address, other))

    def _dial_ended(self, machine: _Machine, address: Address, other: _Machine | None) -> None:
        if not machine.is_up:
            return
        if other is not None and other.name not in machine.links:
            if other.is_up and other.actor.is_dialable and len(other.links) < MAX_CONNECTIONS:
                self._connect(machine, other, machine.came_by.get(other.peer_id, Way.TOLD))
            else:
                machine.chooser.failed(address.peer_id, address.text, self.now)
        machine.chooser.dial_ended(address.peer_id, self.now)
        self._look_soon(machine)

    # --- choosing ----------------------------------------------------------------------------------------

    def _look_soon(self, machine: _Machine) -> None:
        self._look_no_later_than(machine, self.now + MIN_LOOK_S)

    def _look_no_later_than(self, machine: _Machine, when: float) -> None:
        if when < machine.look_at and machine.is_up:
            machine.look_at = when
            self._at(when, lambda: self._look(machine, when))

    def _look(self, machine: _Machine, due_at: float) -> None:
        if not machine.is_up or machine.look_at != due_at:
            return
        machine.look_at = float("inf")
        for decision in machine.chooser.decide(self.now):
            match decision:
                case Dial(address):
                    self._dial(machine, address)
                case LetGo(peer_id):
                    other = self._by_peer_id[peer_id]
                    self._after(0.0, lambda other=other: self._part(machine, other))  # type: ignore[misc]
                case AskPeers(peer_id):
                    self._exchange(machine, self._by_peer_id[peer_id])
        wait_s = max(MIN_LOOK_S, machine.chooser.next_time(self.now) - self.now)
        self._look_no_later_than(machine, self.now + wait_s)
        if machine.actor.uses_dht and machine.chooser.uncovered():
            self._after(DHT_S, lambda: self._look_into_dht(machine))

    def _exchange(self, machine: _Machine, peer: _Machine) -> None:
        if not (machine.actor.exchanges and peer.actor.exchanges) or (self._is_quiet and self._lost_at is None):
            return
        known = peer.chooser.tell(machine.peer_id, self.now)
        if self._lost_at is None and machine.name in peer.actor.tells:
            known = self._as_told(peer.actor.tells[machine.name])

        def told() -> None:
            if peer.name not in machine.links:
                return
            machine.chooser.told(peer.peer_id, known, self.now)
            way = Way.BOOTSTRAP if machine.links[peer.name].way[machine.name] is Way.BOOTSTRAP else Way.TOLD
            for each in known:
                machine.came_by.setdefault(each.address.rpartition("/p2p/")[2], way)
            self._look_soon(machine)

        self._after(ANSWER_S, told)

    def _as_told(self, names: Iterable[str]) -> tuple[KnownPeer, ...]:
        """What is known to have been said."""
        there = [self._machines[name] for name in names if name in self._machines]
        return tuple(
            KnownPeer(other.address, pack_carriage({_ACCOUNT}) if other.actor.is_carrier else b"")
            for other in there[-limits.MAX_PEERS_TOLD :]
        )

    def _look_into_dht(self, machine: _Machine) -> None:
        """Carriers that use it too, if anybody at all is connected to ask."""
        if not machine.is_up or not machine.chooser.uncovered() or not machine.links:
            return
        told = [
            other.name
            for other in self._machines.values()
            if other.is_up and other.actor.uses_dht and other.actor.is_carrier and other is not machine
        ]
        for name in self._dice.shuffled(told)[:DHT_FOUND]:
            self._learn(machine, name, Way.DHT)

    def _look_for_bootstrap(self, machine: _Machine) -> None:
        if not machine.is_up:
            return
        if machine.bootstrap is None:
            there = [self._machines[name].address for name in machine.actor.bootstrap if name in self._machines]
            machine.bootstrap = Bootstrap(there, seed=machine.peer_id.encode(), now=self.now)
        if machine.links:
            machine.bootstrap.somebody_is_there(self.now)
        elif (text := machine.bootstrap.next(self.now)) is not None:
            other = self._by_peer_id[text.rpartition("/p2p/")[2]]
            if other.is_up and other.actor.is_dialable:
                self._connect(machine, other, Way.BOOTSTRAP)
        self._after(BOOTSTRAP_LOOK_S, lambda: self._look_for_bootstrap(machine))

    # --- news --------------------------------------------------------------------------------------------

    def _hand_on(self, machine: _Machine) -> None:
        """To every carrier connected that has an older edition."""
        if not machine.actor.is_carrier:
            return
        for name, link in machine.links.items():
            other = self._machines[name]
            if link.has_session and other.actor.is_carrier and other.edition < machine.edition:
                self._after(HOP_S, lambda other=other, link=link: self._give(machine, other, link))  # type: ignore[misc]

    def _give(self, machine: _Machine, other: _Machine, link: _Link) -> None:
        if machine.links.get(other.name) is not link or other.edition >= machine.edition:
            return
        other.edition = machine.edition
        self.gained_at = self.now
        other.chooser.gave(machine.peer_id, _ACCOUNT, 1, self.now)
        if self._lost_at is not None and other.found_at is None:
            other.found_at, other.found_by = self.now, link.way[other.name]
        self._hand_on(other)

    # --- time --------------------------------------------------------------------------------------------

    def _at(self, when: float, act: Callable[[], None]) -> None:
        self._entered += 1
        heappush(self._queue, (when, self._entered, act))

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._at(self.now + seconds, act)


def _peer_id(number: int) -> str:
    """It looks like any other; 0 is no digit of such ids."""
    return "Q" * 40 + f"{number:06d}".replace("0", "z")
