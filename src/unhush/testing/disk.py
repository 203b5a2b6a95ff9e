"""A virtual node on the real store: ``unhush.storage.Store`` in a folder, with its own ingest, folds and journal.

Slower than memory by a hundred times, since every commit is synced; for a
handful of nodes, where what the store does is the question.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

from unhush.gossip.net.sync.answering import answer
from unhush.gossip.net.sync.concerning import find_concerns, find_newest_concerns, find_own_concerns
from unhush.gossip.net.sync.giving import find_ours
from unhush.gossip.net.sync.travelling import arrivals_of, grew, item_of
from unhush.gossip.proto.actions import Read
from unhush.gossip.proto.events import Concerns, Forked, ReadAnswer
from unhush.gossip.proto.ranges import NOTHING
from unhush.identity.cid import Cid
from unhush.identity.entry import Entry
from unhush.identity.keys import PublicKey
from unhush.storage.arrivals import NOT_LISTED, TOO_EARLY, Batch, Status
from unhush.storage.kinds import Body, Follow, Profile
from unhush.storage.publish import Publisher
from unhush.storage.store import Store
from unhush.testing.people import Person
from unhush.testing.store import Arrivals, Head, News, Taken

_NEW: Final = (Status.STORED, Status.FILLED)


class DiskStore:
    """The store of one home; as any home, it begins with the profile of its account."""

    def __init__(self, home: Path, person: Person, clock_ms: Callable[[], int]) -> None:
        self.own = person.own
        self._network = person.network
        home.mkdir(parents=True, exist_ok=True)
        self._store = Store(home, network=person.network, clock_ms=clock_ms)
        # Not for secrets: a seed must give the same salts again.
        dice = Random(person.number)  # noqa: S311
        self._publisher = Publisher(person.key, network=person.network, clock_ms=clock_ms, random_bytes=dice.randbytes)
        self._store.found_account(self._publisher, person.inception, Profile(f"person {person.number}"))
        self._cursor = self._store.last_aid()
        self._unsaved = NOTHING

    @property
    def clone_found(self) -> bool:
        with self._store.snapshot() as snapshot:
            return snapshot.clone_found()

    def carried(self) -> frozenset[Cid]:
        with self._store.snapshot() as snapshot:
            return snapshot.carried()

    def carry(self, account: Cid) -> None:
        """The real store carries whom its account follows, so it says so."""
        self._store.publish(self._publisher, Follow(account))

    def publish(self, body: Body, now_ms: int) -> Entry:
        """The store asks the clock itself."""
        return self._store.publish(self._publisher, body)[0].entry

    def ingest(self, arrivals: Arrivals, now_ms: int) -> Taken:
        if self._unsaved:
            self._store.put_handed_on(self.own.key, self._unsaved.pairs)
            self._unsaved = NOTHING
        items = arrivals_of(
            arrivals.account,
            arrivals.ops,
            arrivals.items,
            may_be_vouched=arrivals.may_be_vouched,
            reason=arrivals.reason,
            profile=arrivals.profile,
        )
        outcomes = self._store.ingest(Batch(items, "the virtual network"))
        assert not any(outcome.status is Status.FAILED for outcome in outcomes)
        return Taken(
            new=sum(outcome.status in _NEW for outcome in outcomes),
            is_faulty=any(outcome.status is Status.REJECTED for outcome in outcomes),
            is_early=any(outcome.error == TOO_EARLY for outcome in outcomes),
            not_listed=any(outcome.error == NOT_LISTED for outcome in outcomes),
        )

    def take_news(self) -> News | None:
        with self._store.snapshot() as snapshot:
            records = list(snapshot.journal(self._cursor))
            if not records:
                return None
            self._cursor = records[-1].aid
            entries = [record for record in records if not record.entry.header.is_identity]
            news = News(grown=list(map(grew, records)))
            news.refolded = dict.fromkeys(record.account for record in records if record.entry.header.is_identity)
            news.holes = dict.fromkeys(record.account for record in entries if snapshot.has_hole_below(record))
            news.concerning = list(find_concerns(snapshot, entries))
            for record in entries:
                log = record.account, record.entry.header.key
                if snapshot.is_beside(record) and (fork := snapshot.fork_point(*log)) is not None:
                    news.forked[log] = Forked(*log, fork)
            return news

    def has(self, cid: Cid) -> bool:
        with self._store.snapshot() as snapshot:
            record = snapshot.record(cid)
            return record is not None and record.body is not None

    def heads(self, account: Cid) -> dict[PublicKey, Head]:
        with self._store.snapshot() as snapshot:
            summary = snapshot.summary(account)
            heads: dict[PublicKey, Head] = {}
            for key, runs in summary.logs.items():
                if not runs:
                    continue
                high = runs[-1][1]
                run = snapshot.run(account, key, high, high, 1)
                heads[key] = Head(high, run[0].cid, sum(hi - lo + 1 for lo, hi in runs))
            return heads

    def forks(self, account: Cid) -> dict[PublicKey, int]:
        with self._store.snapshot() as snapshot:
            return dict(snapshot.summary(account).forks)

    def incomplete(self) -> list[Cid]:
        with self._store.snapshot() as snapshot:
            return sorted(snapshot.incomplete_accounts())

    def own_concerns(self) -> list[Concerns]:
        with self._store.snapshot() as snapshot:
            return list(find_own_concerns(snapshot, self.own))

    def newest_concerns(self) -> list[Concerns]:
        with self._store.snapshot() as snapshot:
            return list(find_newest_concerns(snapshot))

    def known_of_ours(self) -> tuple[bytes, ...]:
        with self._store.snapshot() as snapshot:
            return find_ours(snapshot)

    def put_handed_on(self, lo: int, hi: int) -> None:
        self._unsaved = self._unsaved.add(lo, hi)

    def announcement(self, cids: Sequence[Cid]) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
        with self._store.snapshot() as snapshot:
            ops = snapshot.operations(self.own.account)
            records = [record for cid in cids if (record := snapshot.record(cid)) is not None]
        return [(each.block, each.body or b"") for each in ops], [(each.block, each.body or b"") for each in records]

    def log_so_far(self) -> Arrivals:
        with self._store.snapshot() as snapshot:
            heads = self.heads(self.own.account)
            head = heads[self.own.key].seq if self.own.key in heads else -1
            run = snapshot.run(self.own.account, self.own.key, 0, head, 1 << 30)
        return Arrivals(self.own.account, (), tuple(map(item_of, run)))

    def restart(self) -> None:
        """What was committed is there; who follows the journal begins behind it."""
        self._unsaved = NOTHING
        self._cursor = self._store.last_aid()

    def close(self) -> None:
        self._store.close()

    def answer(self, read: Read) -> ReadAnswer:
        with self._store.snapshot() as snapshot:
            return answer(snapshot, read, self._network)
