"""The virtual network: nodes, the wires between them, partitions, and one clock for all.

    network = VirtualNetwork(seed=7)
    a, b = network.node("a"), network.node("b")
    b.follow(a)
    network.connect(a, b)
    post = a.post("hi")
    network.run(seconds=5)
    assert b.has(post)

Everything is decided by the seed: dice are of this network alone, time is
virtual, and nothing depends on the order of a set. Run it again and the same
happens, to the byte (``trace.digest()``).
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from unhush.gossip.proto.addresses import Address
from unhush.testing.bounds import check_node
from unhush.testing.clock import VirtualClock
from unhush.testing.links import CALM, Weather, Wire
from unhush.testing.node import SimNode
from unhush.testing.people import START_MS, person
from unhush.testing.store import MemoryStore, NodeStore
from unhush.testing.trace import Trace

if TYPE_CHECKING:
    from unhush.testing.byzantine import Manners

# How long a dial takes to fail where nothing answers; where somebody refuses, a round trip.
DIAL_TIMEOUT_S: Final = 10.0
# Round trips of TCP, noise and yamux.
DIAL_TRIPS: Final = 4

MAX_NODES: Final = 2_000


class VirtualNetwork:
    """A world of its own; all of it in this thread."""

    def __init__(
        self,
        seed: int,
        *,
        name: str = "test",
        weather: Weather = CALM,
        tick_s: float = 1.0,
        disk_s: float = 0.0,
        has_gossip: bool = True,
        has_exchange: bool = True,
        has_statements: bool = False,
        reconciles: bool = False,
        per_block: int = 3,
    ) -> None:
        """``tick_s``: between two ticks of a session. ``disk_s``: what a read of a store takes at most.

        Without gossip there are no hints, only sync. Without exchange nodes know the peers they were told of by
        ``connect`` and no others. With statements they sign cards, heads and receipts, tell each other, and put keepers
        to the test. If they reconcile, they compare what they hold, as large nodes do, and name only what differs.
        ``per_block``: nodes whose addresses are in one IPv4 /16; of more than two told of some wait for a place.
        """
        self.seed = seed
        self.name = name
        self.weather = weather
        self.tick_s = tick_s
        self.disk_s = disk_s
        self.has_gossip = has_gossip
        self.has_exchange = has_exchange
        self.has_statements = has_statements
        self.reconciles = reconciles
        self.per_block = per_block
        self.clock = VirtualClock()
        # Not for secrets: a seed must give the same dice again.
        self.dice = Random(seed)  # noqa: S311
        self.trace = Trace()
        self.nodes: dict[str, SimNode] = {}
        self.compared = 0  # comparisons of trees that came to an end, at either side
        self.changed = False  # since this was last set to False, some store gained something
        self.when_at_fault: Callable[[SimNode, SimNode, str], None] | None = None
        self._by_peer_id: dict[str, SimNode] = {}
        self._wires: dict[int, Wire] = {}
        self._ends: dict[int, tuple[SimNode, SimNode]] = {}
        self._weather: dict[frozenset[int], Weather] = {}
        self._groups: dict[int, int] = {}
        self._streams = 0
        self._dialled = 0

    # --- who is there ------------------------------------------------------------------------------------

    def node(
        self,
        name: str,
        *,
        skew_s: float = 0.0,
        manners: "Manners | None" = None,
        home: Path | None = None,
        twin_of: SimNode | None = None,
        is_up: bool = True,
        is_dialable: bool = True,
        reconciles: bool | None = None,
    ) -> SimNode:
        """A new node with an account of its own.

        ``skew_s``: how much its wall clock is ahead. ``manners``: how it misbehaves. ``home``: an empty folder, to run
        on ``unhush.storage.Store`` instead of memory. ``twin_of``: it writes for the account and with the key of that
        node, from where that stands now, as no honest node does. Without ``is_dialable`` it stands behind a router that
        lets nobody in: it says where it listens, and is not reached there. ``reconciles``: as the network does, or not.
        """
        assert name not in self.nodes
        assert len(self.nodes) < MAX_NODES
        number = len(self.nodes)
        who = person(number if twin_of is None else twin_of.number, self.name)
        store = MemoryStore(who) if home is None else self._open_store(home, number, skew_s)
        node = SimNode(
            self,
            name,
            number,
            person=who,
            store=store,
            skew_s=skew_s,
            manners=manners,
            checks_own=twin_of is None,
            is_dialable=is_dialable,
            reconciles=self.reconciles if reconciles is None else reconciles,
        )
        self.nodes[name] = self._by_peer_id[node.peer_id] = node
        if twin_of is not None:
            store.ingest(twin_of.store.log_so_far(), node.wall_ms)
        if is_up:
            node.start()
        return node

    def _open_store(self, home: Path, number: int, skew_s: float) -> NodeStore:
        # LMDB is loaded by who wants it.
        from unhush.testing.disk import DiskStore

        return DiskStore(home, person(number, self.name), lambda: START_MS + int((self.clock.now + skew_s) * 1000))

    def close(self) -> None:
        """Close what nodes on disks hold open."""
        for node in self.nodes.values():
            node.store.close()

    def __enter__(self) -> "VirtualNetwork":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what happens to them ----------------------------------------------------------------------------

    def connect(self, a: SimNode, b: SimNode, weather: Weather | None = None) -> None:
        """Let ``a`` know where ``b`` is, as if a person had said so: it dials, and dials again for ever."""
        if weather is not None:
            self._weather[frozenset((a.number, b.number))] = weather
        a.learn(b.address)

    def set_weather(self, weather: Weather) -> None:
        """From now on, for all connections that have no weather of their own."""
        self.weather = weather
        for number, wire in self._wires.items():
            a, b = self._ends[number]
            wire.weather = self._weather_between(a, b)

    def partition(self, *groups: Iterable[SimNode]) -> None:
        """Let nothing pass between these groups; who is in none of them is in one with all such others."""
        self._groups = {node.number: at for at, group in enumerate(groups, 1) for node in group}
        sides = "".join(str(self._groups.get(at, 0)) for at in range(len(self.nodes)))
        self.trace.note(self.clock.now, "network", "partition", sides)
        for number, wire in self._wires.items():
            is_cut = self.is_cut(*self._ends[number])
            if is_cut and not wire.is_cut:
                wire.cut()
            elif wire.is_cut and not is_cut:
                wire.mend()

    def heal(self) -> None:
        """No partition any more."""
        self.partition()

    def is_cut(self, a: SimNode, b: SimNode) -> bool:
        """Whether a partition is between two nodes."""
        return self._groups.get(a.number, 0) != self._groups.get(b.number, 0)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let so much virtual time pass, or less if ``until`` comes true; tells whether it did."""
        return self.clock.run_until(self.clock.now + seconds, until)

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Let something happen at that time of the network."""
        self.clock.at(seconds, act)

    # --- for nodes ---------------------------------------------------------------------------------------

    def next_stream(self) -> int:
        self._streams += 1
        return self._streams

    def peer_of(self, wire: Wire, node: SimNode) -> SimNode:
        """Who is at the other end."""
        a, b = self._ends[wire.number]
        return b if node is a else a

    def dial(self, node: SimNode, address: Address) -> None:
        """Try to connect, as TCP and noise would."""
        other = self._by_peer_id.get(address.peer_id)
        life = node.starts
        if other is None or not other.is_dialable or self.is_cut(node, other):
            self.clock.after(DIAL_TIMEOUT_S, partial(self._dial_ends, node, address, life, None))
            return
        trip_s = self._weather_between(node, other).delay_s * DIAL_TRIPS
        self.clock.after(trip_s, partial(self._dial_ends, node, address, life, other))

    def _dial_ends(self, node: SimNode, address: Address, life: int, other: SimNode | None) -> None:
        if not node.is_up or node.starts != life:
            return
        if other is not None and other.peer_id in node.wires:
            node.dial_ended(address)  # they dialled us meanwhile
            return
        is_refused = other is None or other is node or other.address != address.text or self.is_cut(node, other)
        if other is None or is_refused or not other.may_connect(node.peer_id) or not node.may_connect(other.peer_id):
            node.dial_failed(address)
            return
        self._dialled += 1
        weather = self._weather_between(node, other)
        wire = Wire(self._dialled, node, other, clock=self.clock, dice=self.dice, weather=weather)
        self._ends[wire.number] = (node, other)
        self._wires[wire.number] = wire
        wire.when_broken = self._forget_wire
        self.trace.note(self.clock.now, node.name, "connected", other.name)
        other.connected(wire, node, is_inbound=True)
        node.connected(wire, other, is_inbound=False)
        node.dial_ended(address)

    def _forget_wire(self, wire: Wire) -> None:
        del self._wires[wire.number]

    def _weather_between(self, a: SimNode, b: SimNode) -> Weather:
        return self._weather.get(frozenset((a.number, b.number)), self.weather)

    def check_bounds(self, node: SimNode) -> None:
        """Raises ``LimitExceeded`` if the machines of a node hold more than they may."""
        check_node(node)

    def at_fault(self, node: SimNode, peer_id: str, why: str) -> None:
        """A node that keeps to the rules found a peer at fault."""
        other = self._by_peer_id[peer_id]
        self.trace.note(self.clock.now, node.name, "fault", other.name, why)
        if self.when_at_fault is not None:
            self.when_at_fault(node, other, why)
