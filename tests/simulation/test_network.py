"""The virtual network as people use it who embed us: small worlds, each with one thing going on."""

import itertools
from pathlib import Path

import pytest

from unhush.testing import SimNode, VirtualNetwork, Weather
from unhush.testing.byzantine import (
    KINDS,
    Babbles,
    Floods,
    Forges,
    HangsUp,
    LiesCaughtUp,
    Manners,
    NeverReads,
    SaysNothing,
    Silent,
    Withholds,
)


def line(network: VirtualNetwork, names: str, **options: object) -> list[SimNode]:
    """Nodes in a row; everybody follows the first."""
    nodes = [network.node(name) for name in names]
    for node, after in itertools.pairwise(nodes):
        network.connect(node, after)
        after.follow(nodes[0])
    return nodes


def test_the_example_of_the_docs() -> None:
    network = VirtualNetwork(seed=7)
    a, b = network.node("a"), network.node("b")
    b.follow(a)
    network.connect(a, b)
    post = a.post("hi")
    network.run(seconds=5)
    assert b.has(post)


def test_a_new_record_takes_one_way_and_a_commit() -> None:
    network = VirtualNetwork(seed=1, weather=Weather(delay_s=0.1))
    a, b = line(network, "ab")
    network.run(20)
    before = network.clock.now
    post = a.post("now")
    assert network.run(5, lambda: b.has(post))
    assert network.clock.now - before == pytest.approx(0.104)


def test_what_is_written_travels_through_those_who_carry_it() -> None:
    network = VirtualNetwork(seed=2, has_gossip=False, has_exchange=False)
    nodes = line(network, "abcde")
    post = nodes[0].post("far")
    network.run(30)
    assert nodes[-1].connections == ("d",)
    assert nodes[-1].has(post)


def test_a_partition_holds_everything_back_and_loses_nothing() -> None:
    network = VirtualNetwork(seed=3)
    a, b = line(network, "ab")
    network.run(10)
    network.partition([a], [b])
    post = a.post("alone")
    network.run(120)
    assert not b.has(post)
    assert b.connections == ()  # given up after a while
    network.heal()
    network.run(60)
    assert b.has(post)


def test_a_short_partition_breaks_nothing() -> None:
    network = VirtualNetwork(seed=3)
    a, b = line(network, "ab")
    network.run(10)
    network.partition([a], [b])
    post = a.post("alone")
    network.run(5)
    assert not b.has(post)
    network.heal()
    network.run(1)
    assert b.has(post)


def test_what_was_committed_survives_a_crash() -> None:
    network = VirtualNetwork(seed=4)
    a, b = line(network, "ab")
    early = a.post("early")
    network.run(10)
    b.crash()
    assert network.run(1) is False
    late = a.post("late")
    b.start()
    assert b.has(early)
    network.run(40)
    assert b.has(late)
    assert not b.store.clone_found


def test_an_author_who_crashes_goes_on_with_the_same_log() -> None:
    network = VirtualNetwork(seed=4)
    a, b = line(network, "ab")
    a.post("one")
    network.run(10)
    a.crash()
    network.run(5)
    a.start()
    post = a.post("two")
    network.run(60)
    assert b.has(post)
    assert b.store.heads(a.account) == a.store.heads(a.account)


def test_lost_packets_are_lost_time_and_no_records() -> None:
    network = VirtualNetwork(seed=5, weather=Weather(delay_s=0.15, loss=0.2, jitter_s=0.1))
    a, b = line(network, "ab")
    posts = [a.post(f"{number}") for number in range(50)]
    network.run(120)
    assert all(map(b.has, posts))


def test_a_mention_reaches_somebody_who_does_not_follow_its_author() -> None:
    network = VirtualNetwork(seed=6)
    a, b = network.node("a"), network.node("b")
    network.connect(a, b)
    post = a.post("do you hear?", mentions=(b.account,))
    network.run(20)
    assert b.has(post)


def test_peers_tell_of_each_other() -> None:
    network = VirtualNetwork(seed=8)
    a, middle, b = (network.node(name) for name in ("a", "middle", "b"))
    network.connect(a, middle)
    network.connect(b, middle)
    b.follow(a)
    post = a.post("hello")
    network.run(120)
    assert b.has(post)
    assert "a" in b.connections


def test_who_compares_asks_only_for_what_differs() -> None:
    network = VirtualNetwork(seed=16, has_exchange=False, reconciles=True)
    a, b = network.node("a"), network.node("b")
    old = network.node("old", reconciles=False)
    for node in (a, b, old):
        for other in (a, b, old):
            if other is not node:
                node.carry(other)
    network.connect(a, b)
    network.connect(b, old)
    early = [node.post(f"of {node.name}") for node in (a, b, old)]
    network.run(30)
    late = [node.post(f"later, of {node.name}") for node in (a, b, old)]
    network.run(30)
    assert all(node.has(post) for node in (a, b, old) for post in (*early, *late))
    assert network.compared == 2  # one session, at both ends
    b.crash()
    missed = a.post("meanwhile")
    b.start()
    network.run(60)
    assert b.has(missed)
    assert network.compared == 4


def test_a_clock_far_ahead_delays_its_records_until_that_time() -> None:
    network = VirtualNetwork(seed=9)
    a, b = network.node("a", skew_s=660), network.node("b")
    b.follow(a)
    network.connect(a, b)
    post = a.post("from tomorrow")
    network.run(30)
    assert not b.has(post)
    network.run(600)
    assert b.has(post)


def test_two_histories_of_one_log_are_known_to_whoever_follows_it() -> None:
    network = VirtualNetwork(seed=10, has_exchange=False)
    author = network.node("author")
    author.own = None
    author.post("common")
    twin = network.node("twin", twin_of=author)
    left, right = network.node("left"), network.node("right")
    for node, source in ((left, author), (right, twin)):
        node.follow(author)
        network.connect(node, source)
    author.post("I was here")
    twin.post("I was there")
    network.run(20)
    assert not left.store.forks(author.account)
    network.connect(left, right)
    network.run(30)
    assert left.store.forks(author.account) == right.store.forks(author.account) == {author.store.own.key: 1}


def test_nodes_on_real_stores_and_in_memory_bring_each_other_the_same(tmp_path: Path) -> None:
    with VirtualNetwork(seed=11) as network:
        nodes = [network.node(f"n{at}", home=tmp_path / str(at) if at < 2 else None) for at in range(4)]
        for at, node in enumerate(nodes):
            network.connect(node, nodes[(at + 1) % 4])
            for other in nodes:
                if other is not node:
                    node.follow(other)
        posts = [node.post(f"of {node.name}") for node in nodes]
        network.run(30)
        nodes[0].crash()
        posts.append(nodes[3].post("while you slept"))
        network.run(2)
        nodes[0].start()
        network.run(60)
        assert [node for node in nodes if not all(map(node.has, posts))] == []
        for author in nodes:
            heads = {str(node.store.heads(author.account)) for node in nodes}
            assert len(heads) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_who_misbehaves_keeps_nobody_from_what_others_bring(kind: type[Manners]) -> None:
    network = VirtualNetwork(seed=12, tick_s=2.0)
    a, b = network.node("a"), network.node("b")
    bad = network.node("bad", manners=kind(1))
    b.follow(a)
    bad.follow(a)
    bad.follow(b)
    for one, other in ((a, b), (a, bad), (bad, b)):
        network.connect(one, other)
    posts = [a.post(f"{number}") for number in range(20)]
    network.run(30)
    posts += [a.post(f"later {number}") for number in range(20)]
    network.run(120)
    assert all(map(b.has, posts))


@pytest.mark.parametrize("kind", [Forges, Babbles, Floods, LiesCaughtUp])
def test_misdeeds_are_faults_and_shut_their_peer_out(kind: type[Manners]) -> None:
    network = VirtualNetwork(seed=13, tick_s=1.0)
    blamed: list[tuple[str, str]] = []
    network.when_at_fault = lambda node, other, why: blamed.append((node.name, other.name))
    a, b = network.node("a"), network.node("b")
    bad = network.node("bad", manners=kind(3))
    for node in (a, b, bad):
        for other in (a, b, bad):
            if other is not node:
                node.follow(other)
                network.connect(node, other)
    network.at(5, lambda: [a.post(f"{number}") for number in range(20)])
    for minute in range(1, 10):
        network.at(60 * minute, lambda: bad.is_up and b.post("still here"))
    network.run(600)
    assert blamed
    assert {other for _, other in blamed} == {"bad"}


@pytest.mark.parametrize("kind", [Silent, Withholds, HangsUp, NeverReads, SaysNothing])
def test_what_may_be_bad_luck_is_no_fault(kind: type[Manners]) -> None:
    network = VirtualNetwork(seed=14)
    blamed: list[str] = []
    network.when_at_fault = lambda node, other, why: blamed.append(why)
    a, bad = network.node("a"), network.node("bad", manners=kind(2))
    a.follow(bad)
    bad.follow(a)
    network.connect(a, bad)
    for number in range(10):
        bad.post(f"{number}")
    network.run(200)
    assert blamed == []


def test_a_failed_run_leaves_its_last_notes() -> None:
    network = VirtualNetwork(seed=15)
    a, b = line(network, "ab")
    network.run(5)
    b.crash()
    assert any(note.endswith("b crash") for note in network.trace.notes)
    assert any("connected" in note for note in network.trace.notes)
    assert a.connections == ()
