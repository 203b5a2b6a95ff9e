"""A random network of thirty nodes, what its author's node knows of it, and what is left of it after a loss.

The prediction sees what the author's node could see: its own chooser, and which of the addresses it knows answer. It
never looks into another node. What follows is the virtual network going on: the author's machine and others are gone,
another machine writes for the account, and it is counted who hears of it.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from unhush.gossip.proto.addresses import Known
from unhush.gossip.proto.drilling import HORIZON_S, RETURN_S, Report, rehearse
from unhush.gossip.proto.situation import Losses, Machine, Situation, machines_around
from unhush.testing import SimNode, VirtualNetwork

NODES: Final = 30
YOUNGEST_S: Final = 0.3
SETTLED_S: Final = 70.0
OLDEST_S: Final = 150.0


@dataclass(frozen=True)
class Drilled:
    """One network: what was predicted of it, and what came."""

    seed: int
    carriers: int
    dialable: int
    losses: Losses
    is_settled: bool  # all of them have been there for long
    report: Report  # from all there is to know
    by_home: Report  # from what the author's node knows
    seen: float  # the share of carriers left that found the account again
    left: int

    @property
    def off_by(self) -> float:
        """In points."""
        return abs(self.report.share - self.seen) * 100

    @property
    def home_off_by(self) -> float:
        return abs(self.by_home.share - self.seen) * 100

    def line(self) -> str:
        lost = f"home + {self.losses.peers} peers + {self.losses.keepers} keepers"
        return (
            f"{self.seed:>6} {'settled' if self.is_settled else 'young':<8}{self.carriers:>8} {self.dialable:>8}  "
            f"{lost:<28}{self.seen * 100:>6.1f}{self.report.share * 100:>10.1f}{self.off_by:>6.1f}"
            f"{self.by_home.share * 100:>10.1f}{self.home_off_by:>6.1f}"
            f"  {self.by_home.low * 100:.0f}-{self.by_home.high * 100:.0f}"
        )


HEADER: Final = (
    "  seed age     carriers dialable  lost                          seen predicted   off by home   off  range"
)


def drill_network(seed: int, *, has_exchange: bool = True) -> Drilled:
    """Make it, let it live, predict, destroy, look. Without exchange machines know whom their people named alone."""
    dice = Random(f"a drill/{seed}")
    network = VirtualNetwork(seed=seed, has_exchange=has_exchange)
    # Most machines of people stand behind a router; who is followed by few may be known to hardly anybody.
    dialable_share, carrier_share = dice.choice((0.1, 0.2, 0.3, 0.5, 0.7)), dice.uniform(0.3, 0.9)
    # Some have been there for long, some came just before it happens: then hardly anybody has told them of others.
    is_settled = dice.random() < 0.5
    youngest_s = SETTLED_S if is_settled else YOUNGEST_S
    ages = sorted((youngest_s * (OLDEST_S / youngest_s) ** dice.random() for _ in range(NODES - 1)), reverse=True)
    author = network.node("author")
    author.post("before")
    nodes, met, carriers = [author], [author], []
    keepers = dice.sample(range(1, NODES), dice.randrange(4))
    for number, age_s in enumerate(ages, 1):
        network.run(OLDEST_S - age_s - network.clock.now)
        node = network.node(f"n{number}", is_dialable=dice.random() < dialable_share)
        nodes.append(node)
        if number in keepers or dice.random() < carrier_share:
            node.follow(author)
            carriers.append(node)
        # Somebody brought them here, now and then two: the author, or whoever could be dialled.
        for other in dice.sample(met, min(len(met), dice.choice((1, 1, 2)))):
            network.connect(node, author if dice.random() < 0.5 else other)
        if node.is_dialable:
            met.append(node)
        if dice.random() < 0.2:
            author.post("before")
    if not has_exchange:  # else nobody could tell the author where anybody is
        named = [node for node in carriers if node.is_dialable]
        for node in dice.sample(named, min(3, len(named))):
            network.connect(author, node)
    network.run(OLDEST_S - network.clock.now)

    losses = Losses(home=True, peers=dice.randrange(5), keepers=dice.randrange(2))
    keeping = [nodes[number] for number in keepers]
    report = rehearse(
        replace(seen_by_all(author, nodes, carriers, keeping), exchanges=has_exchange), losses, seed=seed, advise=False
    )
    by_home = rehearse(seen_from(author, keeping, network), losses, seed=seed, advise=False)

    names = {node.peer_id: node for node in nodes}
    lost = [names[name] for name in report.lost]
    for node in lost:
        node.crash()
    left = [node for node in carriers if node not in lost]
    back = network.node("back", twin_of=author, is_dialable=author.is_dialable)
    if report.entry:
        network.connect(back, names[report.entry])
    network.run(RETURN_S)
    post = back.post("after")
    network.run(HORIZON_S, lambda: all(node.has(post) for node in left))
    seen = sum(node.has(post) for node in left) / len(left) if left else 1.0
    dialable = sum(node.is_dialable for node in nodes)
    return Drilled(seed, len(carriers), dialable, losses, is_settled, report, by_home, seen, len(left))


def seen_by_all(author: SimNode, nodes: list[SimNode], carriers: list[SimNode], keepers: list[SimNode]) -> Situation:
    """The situation as somebody sees it who may look into every node: what it is connected with and has in its book."""
    names = {node.name: node.peer_id for node in nodes}
    machines = tuple(
        Machine(
            node.peer_id,
            is_carrier=node is author or node in carriers,
            is_keeper=node in keepers,
            is_dialable=node.is_dialable,
            links=frozenset(names[name] for name in node.connections),
            chosen=frozenset(id_of(known) for known in node._book.remembered() if known.source),
            book=frozenset(id_of(known) for known in node._book.remembered()),
        )
        for node in nodes
    )
    return Situation(author.peer_id, machines, is_known=True)


def id_of(known: Known) -> str:
    return known.address.rpartition("/p2p/")[2]


def seen_from(author: SimNode, keepers: list[SimNode], network: VirtualNetwork) -> Situation:
    """The situation as the author's node sees it: it tries every address it knows, and looks nowhere else."""
    known = author._chooser.acquaintances(author.account, author.monotonic)
    by_id = {node.peer_id: node for node in network.nodes.values()}
    answers = {each.peer_id: by_id[each.peer_id].is_dialable for each in known if each.address}
    home = Machine(author.peer_id, is_carrier=True, is_dialable=author.is_dialable)
    machines = machines_around(home, known, answers)
    names = {node.peer_id for node in keepers}
    machines = tuple(replace(machine, is_keeper=machine.name in names) for machine in machines)
    return Situation(author.peer_id, machines, exchanges=network.has_exchange)
