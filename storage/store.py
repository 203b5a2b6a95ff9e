"""The store: one home's records, thread- and process-safe. The meeting place of everything else.

Reads are snapshots and never wait. Writes go through LMDB's one writer; every
method that writes returns only after the commit is on disk, and then wakes
whoever waits for news.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import SignedOperation
from unhush.storage import accounts, clones, contacts, journal, lost, profiles, settings
from unhush.storage.arrivals import Arrival, Batch, Outcome, Status
from unhush.storage.contacts import Contact
from unhush.storage.environment import MAP_BYTES, Environment
from unhush.storage.errors import WritingRefused
from unhush.storage.ingest import Door
from unhush.storage.kinds import Body
from unhush.storage.news import News
from unhush.storage.publish import Publisher
from unhush.storage.records import Record
from unhush.storage.runtime import runtime_dir
from unhush.storage.schema import Table
from unhush.storage.snapshot import Snapshot


class Store:
    """What is kept in one home. ``clock_ms`` gives Unix milliseconds."""

    def __init__(self, home: Path, *, network: str, clock_ms: Callable[[], int], map_bytes: int = MAP_BYTES) -> None:
        self.home = home
        self.network = network
        self._environment = Environment(home / "store", network=network, map_bytes=map_bytes)
        self._door = Door(self._environment, network=network, clock_ms=clock_ms)
        self._news = News(runtime_dir(home), self.last_aid)

    def close(self) -> None:
        self._news.close()
        self._environment.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """A consistent view to read from; keep it short, an open one holds old pages back."""
        with self._environment.read() as txn:
            yield Snapshot(txn)

    def last_aid(self) -> int:
        with self._environment.read() as txn:
            return journal.last_aid(txn)

    def count_records(self) -> int:
        with self._environment.read() as txn:
            return txn.count(Table.JOURNAL)

    # -- writing

    def ingest(self, batch: Batch) -> tuple[Outcome, ...]:
        """Take records in from elsewhere; see ``ingest.py``."""
        outcomes = self._door.ingest(batch)
        if any(outcome.status in (Status.STORED, Status.FILLED) for outcome in outcomes):
            self._news.announce()
        return outcomes

    def found_account(self, publisher: Publisher, inception: SignedOperation, profile: Body) -> Record:
        """Make the home's account and its first record in one commit."""
        with self._environment.write() as txn:
            publisher.found_account(txn, inception)
            record = publisher.publish(txn, profile)
        self._news.announce()
        return record

    def publish(self, publisher: Publisher, *bodies: Body) -> list[Record]:
        """Sign and store records in one durable commit."""
        with self._environment.write() as txn:
            records = [publisher.publish(txn, body) for body in bodies]
        self._news.announce()
        return records

    def put_handed_on(self, device: PublicKey, runs: clones.Runs) -> None:
        """Numbers of this device's log that went to a peer; nothing, if the home writes with another now."""
        with self._environment.write() as txn:
            if settings.find_own_device(txn) == device:
                clones.put_handed_on(txn, runs)

    def put_operation(self, operation: SignedOperation) -> bool:
        """Store an operation made here; False if the trunk rule does not let it count."""
        outcomes = self.ingest(Batch((Arrival(operation.entry.block, operation.body),), "this home", wanted_only=False))
        return outcomes[0].status in (Status.STORED, Status.KNOWN)

    def forget_lost_operations(self) -> None:
        """They were signed again, or need not be."""
        with self._environment.write() as txn:
            lost.put_lost(txn, [])

    def adopt_account(self, account: Cid, device: PublicKey) -> None:
        """Make an account the home's own before its device is listed; raises ``WritingRefused``."""
        with self._environment.write() as txn:
            own = settings.find_own_account(txn)
            known = accounts.find_account(txn, own) if own is not None else None
            if own != account and known is not None and known.state.cut_of(device) is not None:
                raise WritingRefused(f"this home has an account already: {own}")
            settings.put_own_account(txn, account)
            clones.begin_device(txn, device)
        self._news.announce()

    def renew_device(self, publisher: Publisher, added: SignedOperation) -> list[Record]:
        """Go over to another device key, which ``added`` lists; what never left is signed again under it."""
        with self._environment.write() as txn:
            records = publisher.take_over(txn, added)
        self._news.announce()
        return records

    def put_requested(self) -> None:
        """Remember that this home has asked to become a device of some account."""
        with self._environment.write() as txn:
            settings.put_requested(txn)

    def put_words_at(self, path: Path | None) -> None:
        """Where the recovery words wait to be written down by the person; None when they no longer do."""
        with self._environment.write() as txn:
            settings.put_words_at(txn, path)

    def put_petname(self, who: Cid, petname: str | None) -> None:
        with self._environment.write() as txn:
            profiles.put_petname(txn, who, petname)

    def put_contact(self, contact: Contact) -> None:
        with self._environment.write() as txn:
            contacts.put_contact(txn, contact)
        self._news.announce()

    def drop_contact(self, address: str) -> bool:
        with self._environment.write() as txn:
            return contacts.drop_contact(txn, address)

    # -- waiting

    def wait_for_news(self, after_aid: int, timeout_s: float) -> bool:
        """Sleep until the journal is past ``after_aid``, written by whichever process; False at timeout."""
        return self._news.wait(after_aid, timeout_s)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` after every commit of any process, on some thread; returns what ends it."""
        return self._news.subscribe(callback)
