"""A log with two branches among twenty nodes: all come to mark the same fork, and a cut settles it for all (§3)."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.nodes import await_all, config_of, fork_of, hand, introduce, posts_of
from tests.support.people import Person, Written, arrivals_of

from unhush.node import Node, found_account
from unhush.node.config import wall_clock_ms

NODES = 20
SHARED, BRANCH = 40, 30
WITHIN_S = 60.0


def chain(nodes: list[Node]) -> None:
    for node, following in pairwise(nodes):
        introduce(node, following)


def star(nodes: list[Node]) -> None:
    """The middle dials: a host takes few connections from one address."""
    introduce(nodes[0], *nodes[1:])


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    """Running nodes that know nobody."""
    with ExitStack() as started:
        made = []
        for number in range(NODES):
            config = config_of(tmp_path / f"node {number}")
            found_account(config, f"Node {number}")
            made.append(started.enter_context(Node.open(config)))
            made[-1].start_network()
        yield made


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("connect", "is_mixed"),
    [(chain, True), *(pytest.param(*how, marks=pytest.mark.long) for how in ((chain, False), (star, True)))],
)
def test_twenty_nodes_mark_the_same_fork_and_after_a_cut_show_the_same_branch(
    connect: Callable[[list[Node]], None], is_mixed: bool, nodes: list[Node], capsys: pytest.CaptureFixture[str]
) -> None:
    cleo = Person("Cleo", seed=3, clock_ms=wall_clock_ms)
    shared = cleo.posts(SHARED, "shared")
    first = cleo.posts(BRANCH, "first")
    cleo.fork(shared[-1])
    second = cleo.posts(BRANCH, "second")
    for number, node in enumerate(nodes):
        node.follow(cleo.account)
        # Mixed: each has a neighbour of the other branch. Else the proof has to come from the middle to both ends.
        branch = first if (number % 2 == 0 if is_mixed else number < NODES // 2) else second
        hand(node, [cleo.incept, *arrivals_of(shared), *arrivals_of(branch)])

    connect(nodes)
    marked_s = await_all(
        nodes,
        lambda node: fork_of(node, cleo.account, cleo.key) == SHARED,
        "every node marks the fork",
        within_s=WITHIN_S,
    )
    for node in nodes:
        (device,) = node.devices.identity(cleo.account).devices
        assert device.fork == SHARED
        assert device.contested > BRANCH
        assert shown(node, cleo) in (said(first=BRANCH), said(second=BRANCH)), "what is shown is mixed"

    hand(nodes[-1], [cleo.revoke(cleo.key, second[9].entry)])
    honest = said(second=10)
    cut_s = await_all(nodes, lambda node: shown(node, cleo) == honest, "every node shows the branch of the cut")
    for node in nodes:
        (device,) = node.devices.identity(cleo.account).devices
        assert (device.in_force, device.contested, device.unproven, device.fork) == (len(honest), 0, 0, None)
        for written in first:
            assert not is_text_shown(node, written)
        assert node.verify().is_clean
    with capsys.disabled():
        sys.stdout.write(
            f"\n{NODES} nodes in a {connect.__name__}, two branches{', mixed' if is_mixed else ''}: "
            f"the fork is marked by all after {marked_s:.1f} s, the cut has settled it for all after {cut_s:.1f} s\n"
        )


def said(*, first: int = 0, second: int = 0) -> set[str]:
    """What is shown of what both branches share and the beginning of one of them."""
    numbers = {"shared": SHARED, "first": first, "second": second}
    return {f"{what} {number}" for what, count in numbers.items() for number in range(count)}


def shown(node: Node, person: Person) -> set[str]:
    return set(posts_of(node, person.account))


def is_text_shown(node: Node, written: Written) -> bool:
    with node._store.snapshot() as snapshot:
        if snapshot.record(written.cid) is None:
            return False
    return bool(node.show(written.cid).text)
