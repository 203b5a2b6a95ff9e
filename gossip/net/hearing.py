"""Gossip on the shard topics: announcing what this device wrote, taking in what the mesh tells.

Gossip is a hint: a validator judges bytes and signatures only, storing happens
in ingest, and what a hint leaves out is asked for over sync.
"""

import logging
from collections.abc import Callable, Iterable

import trio

from unhush.gossip.net.host import Host, Verdict
from unhush.gossip.net.intake import Submit
from unhush.gossip.proto.hints import (
    MAX_ENTRIES,
    MAX_OPERATIONS,
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
from unhush.storage.arrivals import NOT_LISTED, Arrival, Batch, Outcome, Status
from unhush.storage.records import Record
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Bytes of entries and bodies put into one message; a body that does not fit is left out and fetched.
_ANNOUNCE_BYTES = 48 * 1024
# Bytes of operations put into one message, beside those: a large table goes over sync.
_OPERATIONS_BYTES = 12 * 1024


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
        self._announced_aid = store.last_aid()  # operations up to here were announced, or are older than this run

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
        with self._store.snapshot() as snapshot:  # some of it may have been taken back meanwhile
            records = [snapshot.withheld(record) for record in records]
        for group in _grouped(records):
            operations = self._operations(group[0].account)
            message = encode_hint(operations, [(record.block, record.body or b"") for record in group])
            await self._host.publish(topic_of(self._network, group[0].account), message)

    def _operations(self, account: Cid) -> list[tuple[bytes, bytes]]:
        """The operations a hearer may lack: all of a young account, else what is new; many go over sync."""
        with self._store.snapshot() as snapshot:
            held = snapshot.operations(account)
        told, self._announced_aid = self._announced_aid, max((each.aid for each in held), default=self._announced_aid)
        fresh = held if len(held) <= MAX_OPERATIONS else [each for each in held if each.aid > told]
        pairs = [(each.block, each.body or b"") for each in fresh]
        size = sum(len(block) + len(body) for block, body in pairs)
        return pairs if len(pairs) <= MAX_OPERATIONS and size <= _OPERATIONS_BYTES else []

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
        wanted = tuple(self._wanted(hint))
        if wanted:
            batch = Batch(tuple(map(_arrival, wanted)), f"gossip of {peer_id}")
            accounts = tuple(hinted.entry.account for hinted in wanted)
            token = trio.lowlevel.current_trio_token()
            self._submit(batch, is_live=True, done=lambda outcomes: self._done(accounts, outcomes, token))
        for record in hint.records:
            if record.body is None and record.entry.account in self._carried:
                self._hole_seen(record.entry.account)

    def _wanted(self, hint: Hint) -> Iterable[Hinted]:
        for hinted in (*hint.operations, *hint.records):
            if hinted.entry.account in self._carried and hinted.body is not None:
                yield hinted

    def _done(self, accounts: tuple[Cid, ...], outcomes: tuple[Outcome, ...], token: trio.lowlevel.TrioToken) -> None:
        """On the thread of ingest."""
        log.debug("hint taken in records=%d", len(outcomes))
        outdated = {
            account
            for account, outcome in zip(accounts, outcomes, strict=True)
            if outcome.status is Status.IGNORED and outcome.error == NOT_LISTED
        }
        for account in outdated:
            try:
                token.run_sync_soon(self._hole_seen, account)
            except trio.RunFinishedError:
                log.debug("a hint was taken in after the network ended")


def _arrival(hinted: Hinted) -> Arrival:
    return Arrival(hinted.entry.block, hinted.body)


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
