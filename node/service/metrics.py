"""The node's figures for Prometheus: what it holds, what flows, and which bounds were met.

The names are an interface: whoever watches a node has written them down. Each is looked up when asked for, so
nothing is counted twice and a node nobody watches pays nothing.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from unhush.gossip.proto.tally import Met
from unhush.node.views import KeepingFigures, NetworkView, Status

__all__ = ["CONTENT_TYPE_LATEST", "NAMES", "exposition"]

_GAUGES: Final = {
    "sessions": ("sync_sessions", "Sync sessions open."),
    "mesh_peers": ("mesh_peers", "Neighbours in the gossip mesh of a topic or more."),
    "credit_bytes": ("sync_credit_bytes", "Bytes that peers may still be sent, over all sync sessions."),
    "unread_bytes": ("network_unread_bytes", "Bytes that arrived and are not read yet."),
    "hints_waiting": ("gossip_queue_messages", "Gossip messages that wait to be stored."),
    "ingest_bytes": ("ingest_queue_bytes", "Bytes of records that wait to be stored."),
}


_KEEPING: Final = {
    "accounts": ("kept_accounts", "Accounts this home promises to carry."),
    "used_bytes": ("kept_bytes", "Bytes those take: entries and bodies."),
    "budget_bytes": ("kept_budget_bytes", "Bytes those may take."),
    "full": ("kept_full", "Accounts kept whose budget is full."),
    "without_receipt": ("kept_without_receipt", "Accounts kept of which no fresh receipt is signed."),
    "receipt_age_s": ("receipt_age_seconds", "Age of the oldest receipt that is fresh."),
    "proofs_ok": ("proofs_ok", "Keepers of these accounts and the own that last showed what they hold."),
    "proofs_failed": ("proofs_failed", "Keepers of them that last did not."),
}
_OWN: Final = {
    "keepers": ("keepers_proven", "Proven keepers of the own account."),
    "by_one": ("own_records_kept_by_one", "Own records that one proven keeper or more holds."),
    "by_two": ("own_records_kept_by_two", "Own records that two proven keepers or more hold."),
}
_ALWAYS: Final = ("records", "follows", "unsent_records", "network_up")
_RUNNING: Final = ("peers", "network_bytes", "limits_met")
# Every figure there is, without the endings that Prometheus gives counters.
NAMES: Final = frozenset(
    f"unhush_{name}"
    for name in (*_ALWAYS, *_RUNNING, *(each[0] for group in (_GAUGES, _KEEPING, _OWN) for each in group.values()))
)


def exposition(status: Status, view: NetworkView | None, keeping: KeepingFigures) -> bytes:
    """Everything, in the text format of Prometheus; ``view`` is None while no network runs."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OneLook(status, view, keeping))
    return generate_latest(registry)


class _OneLook(Collector):
    """What was so at one moment."""

    def __init__(self, status: Status, view: NetworkView | None, keeping: KeepingFigures) -> None:
        self._status = status
        self._view = view
        self._keeping = keeping

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        status, view = self._status, self._view
        yield GaugeMetricFamily("unhush_records", "Records held.", status.records)
        yield GaugeMetricFamily("unhush_follows", "Accounts followed.", status.follows)
        yield GaugeMetricFamily("unhush_unsent_records", "Own records that no peer was given yet.", status.local_only)
        for of, group in ((self._keeping, _KEEPING), (status.kept, _OWN)):
            for figure, (name, words) in group.items():
                yield GaugeMetricFamily(f"unhush_{name}", words, getattr(of, figure))
        is_up = view is not None and view.outage is None
        yield GaugeMetricFamily("unhush_network_up", "1 while the network runs.", float(is_up))
        if view is None:
            return
        peers = GaugeMetricFamily("unhush_peers", "Peers connected, by who dialled.", labels=["direction"])
        inbound = sum(peer.inbound for peer in view.peers)
        peers.add_metric(["in"], inbound)
        peers.add_metric(["out"], len(view.peers) - inbound)
        yield peers
        for figure, (name, words) in _GAUGES.items():
            yield GaugeMetricFamily(f"unhush_{name}", words, view.figures.get(figure, 0))
        moved = CounterMetricFamily("unhush_network_bytes", "Bytes over all sockets.", labels=["direction"])
        moved.add_metric(["in"], view.figures.get("bytes_in", 0))
        moved.add_metric(["out"], view.figures.get("bytes_out", 0))
        yield moved
        met = CounterMetricFamily("unhush_limits_met", "How often a bound held, by its name.", labels=["limit"])
        counts = {limit.name: limit.count for limit in view.limits_met}
        for each in Met:  # also those never met: a rate needs a beginning
            met.add_metric([each.value], counts.get(each.value, 0))
        yield met
