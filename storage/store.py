"""The store: one home's records, thread- and process-safe. The meeting place of everything else.

Reads are snapshots and never wait. Writes go through LMDB's one writer; every
method that writes returns only after the commit is on disk, and then wakes
whoever waits for news.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import SignedOperation
from unhush.storage import accounts, clones, contacts, journal, lists, lost, settings, shunned, upkeep
from unhush.storage.arrivals import Arrival, Batch, Outcome, Status
from unhush.storage.backup import BackedUp, write_backup
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.blobs.sweeping import is_named
from unhush.storage.blobs.thumbs import Thumbs
from unhush.storage.commits import Commits
from unhush.storage.contacts import Contact
from unhush.storage.environment import MAP_BYTES, Environment
from unhush.storage.errors import StorageError, WritingRefused
from unhush.storage.folds import profiles
from unhush.storage.ingest import Begun, Door
from unhush.storage.invites import Invites
from unhush.storage.keeping.promises import Promises
from unhush.storage.keeping.proofs import Proofs
from unhush.storage.keeping.receipts import Checks
from unhush.storage.keeping.statements import Statements
from unhush.storage.keeping.withheld import WithheldBodies
from unhush.storage.kinds import Body
from unhush.storage.news import News
from unhush.storage.publish import Publisher
from unhush.storage.rebuilding import rebuild
from unhush.storage.records import Record
from unhush.storage.room.collecting import Collected, Collector
from unhush.storage.room.report import RoomReport, describe_room
from unhush.storage.room.tiers import USUAL, Limits
from unhush.storage.runtime import runtime_dir
from unhush.storage.schema import Table
from unhush.storage.shunned import Shun
from unhush.storage.snapshot import Snapshot
from unhush.storage.transaction import Txn
from unhush.storage.verifying import Verifier

if TYPE_CHECKING:
    from unhush.storage.fulltext.fulltext import FullText


log = logging.getLogger(__name__)


class Store:
    """What is kept in one home. ``clock_ms`` gives Unix milliseconds.

    With ``verify_workers`` so many processes check signatures of records that no other vouches for.
    """

    def __init__(
        self,
        home: Path,
        *,
        network: str,
        clock_ms: Callable[[], int],
        map_bytes: int = MAP_BYTES,
        verify_workers: int = 0,
        limits: Limits = USUAL,
    ) -> None:
        self.home = home
        self.network = network
        self.blobs = Blobs(home)
        self._environment = Environment(home / "store", network=network, map_bytes=map_bytes)
        self._commits = Commits(self._environment)
        self.invites = Invites(self._environment)
        self._verifier = Verifier(network, verify_workers)
        self._door = Door(self._environment, network=network, clock_ms=clock_ms, verifier=self._verifier, limits=limits)
        self._clock_ms = clock_ms
        self._limits = limits
        self._fulltext: FullText | None = None
        self._opening = threading.Lock()
        self._news = News(runtime_dir(home), self.last_aid)
        self._checks = Checks()
        announce = self._news.announce
        self.statements = Statements(self._environment, network=network, clock_ms=clock_ms, announce=announce)
        self.promises = Promises(self._environment, announce)
        self.withheld = WithheldBodies(self._environment, self._scrub, self.erase_blobs, announce)
        self.proofs = Proofs(self._environment, announce)

    def close(self) -> None:
        self._news.close()
        if self._fulltext is not None:
            self._fulltext.close()
        self._verifier.close()
        self._environment.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """A consistent view to read from; keep it short, an open one holds old pages back."""
        with self._environment.read() as txn:
            yield Snapshot(txn, self.blobs, network=self.network, clock_ms=self._clock_ms, checks=self._checks)

    @property
    def fulltext(self) -> "FullText":
        """The full-text index beside the store."""
        from unhush.storage.fulltext.fulltext import FullText  # lazy: only who searches pays for loading the engine

        with self._opening:
            if self._fulltext is None:
                self._fulltext = FullText(self.home, self._environment)
            return self._fulltext

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written here, for want of permission or on such a file system."""
        return self._environment.is_read_only

    def last_aid(self) -> int:
        with self._environment.read() as txn:
            return journal.last_aid(txn)

    def count_records(self) -> int:
        with self._environment.read() as txn:
            return txn.count(Table.JOURNAL)

    # -- writing

    def ingest(self, batch: Batch) -> tuple[Outcome, ...]:
        """Take records in from elsewhere; see ``ingest.py``."""
        return self.finish(self.begin(batch))

    def begin(self, batch: Batch) -> Begun:
        """The part of ``ingest`` that needs no lock, also for a batch whose turn to be stored has not come."""
        return self._door.begin(batch)

    def finish(self, begun: Begun) -> tuple[Outcome, ...]:
        """The rest of ``ingest``: what became of each arrival, durable where it was stored."""
        outcomes = self._door.finish(begun)
        if any(outcome.status in (Status.STORED, Status.FILLED) for outcome in outcomes):
            self._news.announce()
        return outcomes

    @property
    def has_workers(self) -> bool:
        """Whether processes of their own check signatures: then it is worth while to begin a batch early."""
        return self._verifier.has_workers

    def ingest_all(self, batches: Iterable[Batch]) -> Iterator[tuple[Outcome, ...]]:
        """As ``ingest`` for each batch; with workers the next is begun before the one before it is stored."""
        begun: deque[Begun] = deque()
        for batch in batches:
            begun.append(self.begin(batch))
            if len(begun) > self.has_workers:
                yield self.finish(begun.popleft())
        for each in begun:
            yield self.finish(each)

    def found_account(self, publisher: Publisher, inception: SignedOperation, profile: Body) -> Record:
        """Make the home's account and its first record in one commit."""
        with self._environment.write() as txn:
            publisher.found_account(txn, inception)
            record = publisher.publish(txn, profile)
        self._news.announce()
        return record

    def publish(self, publisher: Publisher, *bodies: Body) -> list[Record]:
        """Sign and store records in one durable commit."""
        records = self._commits.run(lambda txn: [publisher.publish(txn, body) for body in bodies])
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

        def adopt(txn: Txn) -> None:
            own = settings.find_own_account(txn)
            known = accounts.find_account(txn, own) if own is not None else None
            if own != account and known is not None and known.state.cut_of(device) is not None:
                raise WritingRefused(f"this home has an account already: {own}")
            settings.put_own_account(txn, account)
            clones.begin_device(txn, device)
            if own != account:
                rebuild(txn)  # of records held already some are in the home timeline now, and some concern us

        self._environment.run(adopt)
        self._news.announce()

    def renew_device(self, publisher: Publisher, added: SignedOperation) -> list[Record]:
        """Go over to another device key, which ``added`` lists; what never left is signed again under it."""
        records = self._environment.run(lambda txn: publisher.take_over(txn, added))
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

    def put_card_urls(self, urls: tuple[str, ...]) -> None:
        """The web addresses that the card of this device is to name from now on."""
        with self._environment.write() as txn:
            settings.put_card_urls(txn, urls)

    def rebuild_indexes(self, on_progress: Callable[[int], None] = lambda _: None) -> int:
        """Work everything people see out again from the journal; see ``rebuilding.py``."""
        shown = self._environment.run(lambda txn: rebuild(txn, on_progress))
        self._news.announce()
        return shown

    # -- room

    def collect(
        self, *, is_now: bool = False, is_dry: bool = False, pause: Callable[[], None] = lambda: None
    ) -> Collected:
        """One round of gc; see ``room/collecting.py``."""
        return self._collector().collect(is_now=is_now, is_dry=is_dry, pause=pause)

    def _collector(self) -> Collector:
        return Collector(
            self._environment,
            network=self.network,
            clock_ms=self._clock_ms,
            limits=self._limits,
            blobs=self.blobs,
            thumbs=Thumbs(self.home).folder,
            purge=self._purge_fulltext,
        )

    def erase_blobs(self, gone: Iterable[Cid]) -> int:
        """Take away those of these blobs that no record names, however young; how many were here.

        What cannot be done now the next rounds of gc do.
        """
        try:
            with self._environment.read() as txn:
                unnamed = {blob.digest for blob in gone if not is_named(txn, blob.digest)}
                here = {digest for digest in unnamed if self.blobs.folder.size(digest) is not None}
                if unnamed:  # of one that is not here there may be a small picture, or what is left of a damaged one
                    self._collector().sweep(txn, at_once=unnamed)
            return sum(self.blobs.folder.size(digest) is None for digest in here)
        except StorageError as exc:
            log.error("pictures that nothing shows are not erased yet: %s", exc)
            return 0

    def _scrub(self) -> None:
        """Take what is gone out of the files now; what cannot be done now the next round of gc does."""
        try:
            self._collector().scrub(Collected(is_dry=False))
        except StorageError as exc:
            log.error("what is withheld is gone from the tables, not yet from the files: %s", exc)

    def _purge_fulltext(self) -> bool:
        return self.fulltext.purge()

    def describe_room(self) -> RoomReport:
        """Who takes what of this disk."""
        with self._environment.read() as txn:
            return describe_room(txn, self._environment, self.blobs, self._limits, self.fulltext.size_bytes())

    # -- what only this home knows

    def put_shun(self, who: Cid, shun: Shun) -> None:
        """Mute or block somebody here, or neither; see ``shunned.py``."""
        with self._environment.write() as txn:
            shunned.put_shun(txn, who, shun)

    def put_list(self, name: str) -> None:
        """Make a list, if there is none of that name; raises ``BadListName`` and ``ListFull``."""
        with self._environment.write() as txn:
            lists.put_list(txn, name)

    def drop_list(self, name: str) -> bool:
        with self._environment.write() as txn:
            return lists.drop_list(txn, name)

    def put_list_member(self, name: str, who: Cid) -> None:
        """Raises ``NotFound`` for a list that is not there, ``ListFull``."""
        with self._environment.write() as txn:
            lists.put_member(txn, name, who)

    def drop_list_member(self, name: str, who: Cid) -> bool:
        with self._environment.write() as txn:
            return lists.drop_member(txn, name, who)

    def put_petname(self, who: Cid, petname: str | None) -> None:
        with self._environment.write() as txn:
            profiles.put_petname(txn, who, petname)

    def put_contact(self, contact: Contact) -> None:
        with self._environment.write() as txn:
            contacts.put_contact(txn, contact)
        self._news.announce()

    def put_learned_contacts(self, learned: Iterable[Contact]) -> None:
        """Let exactly these be the addresses that were learned from peers."""
        with self._environment.write() as txn:
            contacts.put_learned(txn, learned)

    def drop_contact(self, address: str) -> bool:
        with self._environment.write() as txn:
            was_there = contacts.drop_contact(txn, address)
        self._news.announce()
        return was_there

    # -- upkeep

    def check_pages(self, on_progress: Callable[[int], None] = lambda _: None) -> None:
        """Raise ``StoreDamaged`` if a page of the database is not what it should be."""
        folder = self.home / "store"
        upkeep.check_sound(upkeep.check_open(self._environment, folder, on_progress), folder)

    def find_stale(self, on_progress: Callable[[int], None] = lambda _: None) -> list[str]:
        """The indexes that are not what the journal gives; see ``upkeep.find_stale``."""
        return upkeep.find_stale(self._environment, self.home, self.network, on_progress)

    def backup(self, file: Path, *, now_ms: int, on_progress: Callable[[int], None] = lambda _: None) -> BackedUp:
        """Write everything but the keys into one new file; see ``backup.py``."""
        return write_backup(
            self._environment, self.blobs, file, network=self.network, now_ms=now_ms, on_progress=on_progress
        )

    # -- waiting

    def wait_for_news(self, after_aid: int, timeout_s: float) -> bool:
        """Sleep until the journal is past ``after_aid``, written by whichever process; False at timeout."""
        return self._news.wait(after_aid, timeout_s)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` after every commit of any process, on some thread; returns what ends it."""
        return self._news.subscribe(callback)
