"""What concerns somebody reaches them by way of those who carry their account, whoever was away when it came."""

import itertools

import pytest

from unhush.storage.kinds import Follow
from unhush.testing import SimNode, VirtualNetwork


def row(network: VirtualNetwork, *names: str) -> list[SimNode]:
    """Each is connected with the next, and all but the first carry the account of the last."""
    nodes = [network.node(name) for name in names]
    for node, after in itertools.pairwise(nodes):
        network.connect(node, after)
    for node in nodes[1:-1]:
        node.carry(nodes[-1])
    return nodes


def quiet_network(seed: int, *, reconciles: bool = False) -> VirtualNetwork:
    return VirtualNetwork(seed, has_gossip=False, has_exchange=False, reconciles=reconciles)


@pytest.mark.parametrize("reconciles", [False, True])
def test_a_mention_goes_through_those_who_carry_the_account_to_its_node(*, reconciles: bool) -> None:
    network = quiet_network(1, reconciles=reconciles)
    author, _, _, somebody = row(network, "a", "b", "c", "d")
    network.run(10)
    letter = author.post("to you", mentions=(somebody.account,))
    assert network.run(20, lambda: somebody.has(letter))


@pytest.mark.parametrize("reconciles", [False, True])
def test_who_was_away_when_a_mention_came_is_told_of_it_and_passes_it_on(*, reconciles: bool) -> None:
    network = quiet_network(2, reconciles=reconciles)
    author, near, far, somebody = row(network, "a", "b", "c", "d")
    network.run(10)
    far.crash()
    letter = author.post("to you", mentions=(somebody.account,))
    assert network.run(20, lambda: near.has(letter))
    network.run(20)
    author.crash()  # so that nobody but those in between can bring it
    far.start()
    assert network.run(120, lambda: somebody.has(letter))


def test_who_fell_since_still_passes_on_what_came_before() -> None:
    network = quiet_network(3)
    author, near, far, somebody = row(network, "a", "b", "c", "d")
    network.run(10)
    far.crash()
    letter = author.post("to you", mentions=(somebody.account,))
    assert network.run(20, lambda: near.has(letter))
    for node in (author, near):
        node.crash()
    near.start()
    far.start()
    assert network.run(120, lambda: somebody.has(letter))


def test_who_compares_asks_who_carries_whom_it_writes_to_and_of_nobody_else() -> None:
    network = quiet_network(4, reconciles=True)
    author, carrier, other = network.node("a"), network.node("b"), network.node("c")
    somebody = network.node("d")
    carrier.carry(somebody)
    for node in (carrier, other):
        network.connect(author, node)
    network.run(10)
    letter = author.publish(Follow(somebody.account))
    assert network.run(20, lambda: carrier.has(letter))
    network.run(20)
    assert not other.has(letter)


def test_a_row_is_a_row() -> None:
    """Or the others show nothing."""
    network = quiet_network(5)
    author, near, far, somebody = row(network, "a", "b", "c", "d")
    network.run(60)
    assert author.connections == (near.name,)
    assert somebody.connections == (far.name,)
