"""Figures for Prometheus: where they are shown, to whom, and that a parser of Prometheus reads them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.node.web.client import Client
from tests.node.web.fake import FakeNode
from tests.support.commands import ANY_PORT

from unhush.gossip.proto.tally import Met
from unhush.node import Config, Node, found_account
from unhush.node.web import WebServer

FIGURES = b"# HELP unhush_records Records held.\n# TYPE unhush_records gauge\nunhush_records 7.0\n"


@pytest.fixture
def watched(node: FakeNode) -> Iterator[WebServer]:
    with WebServer(node, metrics=lambda: FIGURES) as server:
        yield server


def test_they_are_off_unless_asked_for(outside: Client, client: Client) -> None:
    for who in (outside, client):
        answer = who.get("/metrics")
        assert answer.status == 404
        assert answer.text.count("\n") == 1
        assert "run --metrics" in answer.text, "one line says how to have them"


def test_a_program_of_this_machine_reads_them_without_a_session(watched: WebServer) -> None:
    answer = Client(watched).get("/metrics")
    assert (answer.status, answer.body) == (200, FIGURES)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["Cache-Control"] == "no-store"


def test_they_stand_behind_the_same_gate(watched: WebServer) -> None:
    stranger = Client(watched)
    assert stranger.get("/metrics", headers={"Host": "evil.example"}).status == 421
    assert stranger.get("/metrics", headers={"Origin": "http://evil.example"}).status == 403
    assert stranger.get("/metrics", headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    assert stranger.get("/metrics/more").status == 401
    assert stranger.get("/").status != 404, "and open nothing else"


def test_every_limit_has_words() -> None:
    for met in Met:
        assert met.words


def test_a_node_tells_what_it_holds_what_flows_and_what_was_met(tmp_path: Path) -> None:
    config = Config(tmp_path, network="test", listen=(ANY_PORT,))
    found_account(config, "Ann")
    with Node.open(config) as node:
        assert value(node, "unhush_network_up") == 0
        node.start_network()
        node.post("hello")
        running = node._running
        assert running is not None
        running._network._lasting.tally.count(Met.PEER_BANNED, 3)
        assert value(node, "unhush_network_up") == 1
        assert value(node, "unhush_records") == node.status().records
        assert value(node, "unhush_limits_met_total", limit="peers_banned") == 3
        assert value(node, "unhush_limits_met_total", limit="slow_peers_cut") == 0
        assert value(node, "unhush_network_bytes_total", direction="in") == 0
        assert value(node, "unhush_peers", direction="in") == 0
        for name in ("sync_sessions", "mesh_peers", "sync_credit_bytes", "gossip_queue_messages", "ingest_queue_bytes"):
            assert value(node, f"unhush_{name}") == 0
        (met,) = node.status().limits_met
        assert (met.name, met.count) == ("peers_banned", 3)
        assert met.s_ago < 60


def value(node: Node, name: str, **labels: str) -> float:
    families = list(text_string_to_metric_families(node.metrics().decode()))
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families)
    return next(s.value for family in families for s in family.samples if s.name == name and s.labels == labels)
