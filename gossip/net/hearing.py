"""Gossip on the shard topics: announcing what this device wrote, taking in what the mesh tells.

Gossip is a hint: a validator judges bytes and signatures only, storing happens
in ingest, and what a hint leaves out is asked for over sync.
"""

import logging
from collections.abc import Callable, Iterable

import trio

from unhush.gossip.net.hintdoor import HintDoor
from unhush.gossip.net.host import Host, Verdict
from unhush.gossip.net.intake import Submit
from unhush.gossip.net.sync.concerning import find_about
from unhush.gossip.net.sync.giving import find_operations
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
from unhush.gossip.proto.tally import Tally
from unhush.identity.cid import Cid
from unhush.storage.arrivals import NO_INCEPTION, NOT_LISTED, Arrival, Batch, Outcome, Status, Welcome
from unhush.storage.concerns import may_concern
from unhush.storage.records import Record
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Bytes of entries and bodies put into one message; a body that does not fit is left out and fetched.
_ANNOUNCE_BYTES = 48 * 1024
# Bytes of operations put into one message, beside those: a large table goes over sync.
_OPERATIONS_BYTES = 12 * 1024
# Topics beside its author's on which one record is told: enough for a conversation, and no way to fill the mesh by
# naming many.
MAX_ELSEWHERE = 4


class ShardGossip:
    """This node on its shard topics."""

    def __init__(
        self,
        host: Host,
        store: Store,
        submit: Submit,
        *,
        network: str,
        hole_seen: Callable[[Cid], None],
        tally: Tally | None = None,
        lacks: Callable[[Cid, Cid], None] = lambda _account, _cid: None,
    ) -> None:
        self._host = host
        self._store = store
        self._door = HintDoor(store, submit, tally if tally is not None else Tally())
        self._network = network
        self._hole_seen = hole_seen
        self._lacks = lacks
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
        for topic, concerning in self._elsewhere(records).items():
            for group in _grouped(concerning):
                message = encode_hint(
                    self._introduction(group), [(record.block, record.body or b"") for record in group]
                )
                await self._host.publish(topic, message)

    def _elsewhere(self, records: Iterable[Record]) -> dict[str, list[Record]]:
        """The topics beside their author's on which records are told, for whom they concern."""
        found: dict[str, list[Record]] = {}
        with self._store.snapshot() as snapshot:
            for record in records:
                topics = {topic_of(self._network, who) for who in snapshot.concerned(record)}
                for topic in sorted(topics - {topic_of(self._network, record.account)})[:MAX_ELSEWHERE]:
                    found.setdefault(topic, []).append(record)
        return found

    def _introduction(self, group: list[Record]) -> list[tuple[bytes, bytes]]:
        """The operations by which those who never heard of an account judge what its devices say."""
        keys = frozenset(record.entry.header.key for record in group)
        with self._store.snapshot() as snapshot:
            operations = find_operations(snapshot, group[0].account, keys, MAX_OPERATIONS, _OPERATIONS_BYTES)
        return [(operation.entry, operation.body) for operation in operations]

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
            named = peek(data)
            if self._is_known(named):
                return Verdict.IGNORE
            if not self._door.takes_from(peer_id, len(named)):
                return Verdict.LATER
            hint = parse_hint(data, self._network)
            if not self._door.takes(hint):
                self._ask_instead(hint)
                return Verdict.IGNORE
            self._judged = data, hint
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
        wanted = [(hinted, _arrival(hinted)) for hinted in self._wanted(hint)]
        wanted += self._guests(hint)
        if wanted:
            batch = Batch(tuple(arrival for _, arrival in wanted), f"gossip of {peer_id}")
            accounts = tuple(hinted.entry.account for hinted, _ in wanted)
            token = trio.lowlevel.current_trio_token()
            self._door.give(peer_id, batch, lambda outcomes: self._done(accounts, outcomes, token))
        for record in hint.records:
            if record.body is None and record.entry.account in self._carried:
                self._hole_seen(record.entry.account)
                self._lacks(record.entry.account, record.entry.cid)

    def _lacks_operations(self, account: Cid, cid: Cid | None) -> None:
        """Of an account that is carried sync asks for what is missing; a stranger's record comes with it, if asked."""
        if account in self._carried:
            self._hole_seen(account)
        elif cid is not None:
            self._lacks(account, cid)

    def _ask_instead(self, hint: Hint) -> None:
        """Whoever says more than gossip carries is heard over sync."""
        for account in {record.entry.account for record in hint.records} & self._carried:
            self._hole_seen(account)

    @property
    def waiting_count(self) -> int:
        """Hints between the mesh and ingest."""
        return self._door.waiting_count

    def _wanted(self, hint: Hint) -> Iterable[Hinted]:
        for hinted in (*hint.operations, *hint.records):
            if hinted.entry.account in self._carried and hinted.body is not None:
                yield hinted

    def _guests(self, hint: Hint) -> list[tuple[Hinted, Arrival]]:
        """Records of strangers that concern this home's account, or answer where somebody carried here wrote."""
        strangers = [
            hinted
            for hinted in hint.records
            if hinted.entry.account not in self._carried and may_concern(hinted.entry.header.kind, hinted.body)
        ]
        if not strangers:
            return []
        with self._store.snapshot() as snapshot:
            abouts = [(hinted, find_about(snapshot, hinted, self._carried)) for hinted in strangers]
        guests = [(hinted, _arrival(hinted, about)) for hinted, about in abouts if about is not None]
        hosts = {hinted.entry.account for hinted, _ in guests}
        operations = [hinted for hinted in hint.operations if hinted.entry.account in hosts]
        return [*((hinted, _arrival(hinted, hinted.entry.account)) for hinted in operations), *guests]

    def _done(self, accounts: tuple[Cid, ...], outcomes: tuple[Outcome, ...], token: trio.lowlevel.TrioToken) -> None:
        """On the thread of ingest."""
        log.debug("hint taken in records=%d", len(outcomes))
        outdated = {
            account: outcome.cid
            for account, outcome in zip(accounts, outcomes, strict=True)
            if outcome.status is Status.IGNORED and outcome.error in (NOT_LISTED, NO_INCEPTION)
        }
        for account, cid in outdated.items():
            try:
                token.run_sync_soon(self._lacks_operations, account, cid)
            except trio.RunFinishedError:
                log.debug("a hint was taken in after the network ended")


def _arrival(hinted: Hinted, about: Cid | None = None) -> Arrival:
    """``about``: whom a stranger's record concerns."""
    if about is None:
        return Arrival(hinted.entry.block, hinted.body)
    return Arrival(hinted.entry.block, hinted.body, welcome=Welcome.CONCERNING, about=about)


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
