"""The DHT between whole nodes: who follows an account and knows one stranger finds the node that carries it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.commands import await_until

from unhush.gossip.net.meet import dht
from unhush.identity.cid import Cid
from unhush.node import Config, Node, found_account


def test_a_follower_finds_the_author_through_a_stranger(
    new_config: Callable[[str], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dht, "EVERY_S", 0.3)
    monkeypatch.setattr(dht, "RETRY_S", 1.0)
    monkeypatch.setattr("unhush.gossip.proto.limits.MAX_LISTEN", 0)

    def started(name: str, *peers: str) -> Node:
        config = replace(new_config(name), peers=peers, lan=False, dht=True)
        found_account(config, name)
        return Node.open(config)

    with started("stranger") as stranger:
        stranger.start_network()
        address = stranger.status().listen[0]
        with started("author", address) as author, started("reader", address) as reader:
            post = author.post("findable")
            author.start_network()
            reader.follow(author.account())
            reader.start_network()
            await_until(lambda: post.id in {each.id for each in reader.timeline().items}, "the post", within_s=30)
            assert author.status().peer in {peer.peer for peer in reader.peers() if peer.connected}


def test_a_follower_finds_a_keeper_through_a_stranger_when_the_author_is_gone(
    new_config: Callable[[str], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dht, "EVERY_S", 0.3)
    monkeypatch.setattr(dht, "RETRY_S", 1.0)
    monkeypatch.setattr("unhush.gossip.proto.limits.MAX_LISTEN", 0)

    def started(name: str, *peers: str) -> Node:
        config = replace(new_config(name), peers=peers, lan=False, dht=True)
        found_account(config, name)
        node = Node.open(config)
        node.start_network()
        return node

    with started("stranger") as stranger:
        address = stranger.status().listen[0]
        with started("author") as author, started("keeper", address, author.status().listen[0]) as keeper:
            account, post = author.account(), author.post("kept")
            keeper.keep(account)
            await_until(lambda: _has(keeper, post.id), "the post at the keeper")
            author.stop_network()
            with started("reader", address) as reader:
                reader.follow(account)
                await_until(lambda: _has(reader, post.id), "the post at the reader", within_s=30)


def _has(node: Node, record: Cid) -> bool:
    with node._store.snapshot() as snapshot:
        return snapshot.record(record) is not None
