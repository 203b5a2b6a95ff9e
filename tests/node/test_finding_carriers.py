"""The DHT between whole nodes: who follows an account and knows one stranger finds the node that carries it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.commands import await_until

from unhush.gossip.net.meet import dht
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
