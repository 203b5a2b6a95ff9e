"""Gossip on the shard topics: announcing what this device wrote, taking in what the mesh tells.

Gossip is a hint: a validator judges bytes and signatures only, storing happens
in ingest, and what a hint leaves out is asked for over sync.
"""

import logging
from collections.abc import Callable, Iterable

from unhush.gossip.net.host import Host, Verdict
from unhush.gossip.net.intake import Submit
from unhush.gossip.proto.hints import (
    MAX_ENTRIES,
    Hint,
    Hinted,
    MalformedHint,
    all_topics,
    encode_hint,
    parse_hint,
    peek,
    topic_of,
)
from unhush.identity.cid import Cid
from unhush.storage.arrivals import Arrival, Batch, Outcome
from unhush.storage.records import Record
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Bytes of entries and bodies put into one message; a body that does not fit is left out and fetched.
_ANNOUNCE_BYTES = 48 * 1024


class ShardGossip:
    """This node on its shard topics."""

    def __init__(
        self, host: Host, store: Store, submit: Submit, *, network: str, hole_seen: Callable[[Cid], None]
    ) -> None:
        self._host = host
        self._store = store
        self._submit = submit
        self._network = network
        self._hole_seen = hole_seen
        self._carried: frozenset[Cid] = frozenset()
        self._joined: set[str] = set()
        self._judged: tuple[bytes, Hint] = (b"", Hint((), ()))

    @staticmethod
    def topics(network: str) -> frozenset[str]:
        return all_topics(network)

    async def listen_for(self, carried: frozenset[Cid]) -> None:
        """Join the shards of the accounts carried here; a shard once joined is not left."""
        self._carried = carried
        for topic in sorted({topic_of(self._network, account) for account in carried} - self._joined):
            self._joined.add(topic)
            await self._host.join(topic, self._judge, self._take)

    async def announce(self, records: Iterable[Record]) -> None:
        """Tell the mesh what this device wrote."""
        for group in _grouped(records):
            operations = self._operations(group[0].account)
            message = encode_hint(operations, [(record.block, record.body or b"") for record in group])
            await self._host.publish(topic_of(self._network, group[0].account), message)

    def _operations(self, account: Cid) -> list[tuple[bytes, bytes]]:
        """The identity of a young account fits into a hint; an older one is asked for over sync."""
        with self._store.snapshot() as snapshot:
            operations = snapshot.operations(account)
        return [(operation.block, operation.body or b"") for operation in operations] if len(operations) == 1 else []

    def _judge(self, data: bytes, peer_id: str) -> Verdict:
        """Cheapest first: most hints tell what a session pushed a moment ago."""
        try:
            if self._is_known(peek(data)):
                return Verdict.IGNORE
            self._judged = data, parse_hint(data, self._network)
        except MalformedHint as exc:
            log.info("hint rejected peer=%s error=%s", peer_id, exc)
            return Verdict.REJECT
        return Verdict.ACCEPT

    def _is_known(self, cids: tuple[Cid, ...]) -> bool:
        with self._store.snapshot() as snapshot:
            return bool(cids) and all(snapshot.find_aid(cid) is not None for cid in cids)

    def _take(self, data: bytes, peer_id: str) -> None:
        judged, hint = self._judged
        if judged != data:  # delivery follows judgement at once; should that change, this stays right
            hint = parse_hint(data, self._network)
        batch = Batch(tuple(self._wanted(hint)), f"gossip of {peer_id}")
        if batch.items:
            self._submit(batch, is_live=True, done=_done)
        for record in hint.records:
            if record.body is None and record.entry.account in self._carried:
                self._hole_seen(record.entry.account)

    def _wanted(self, hint: Hint) -> Iterable[Arrival]:
        for hinted in (*hint.operations, *hint.records):
            if hinted.entry.account in self._carried and hinted.body is not None:
                yield _arrival(hinted)


def _arrival(hinted: Hinted) -> Arrival:
    return Arrival(hinted.entry.block, hinted.body)


def _done(outcomes: tuple[Outcome, ...]) -> None:
    log.debug("hint taken in records=%d", len(outcomes))


def _grouped(records: Iterable[Record]) -> Iterable[list[Record]]:
    group: list[Record] = []
    size = 0
    for record in records:
        if record.entry.header.is_identity:
            continue
        length = len(record.block) + len(record.body or b"")
        if group and (size + length > _ANNOUNCE_BYTES or len(group) == MAX_ENTRIES):
            yield group
            group, size = [], 0
        group.append(record)
        size += length
    if group:
        yield group
