"""Reading: everything a page or a peer needs, from one consistent snapshot.

What people read is in ``reading.py``, and what concerns keeping in
``keeping/view.py``; here is the rest. A :class:`Snapshot`
lives inside ``with store.snapshot()``; what it reads does not change while it
lives, also during ingest.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import OPEN, Cut
from unhush.identity.trunk import Standing
from unhush.storage import (
    accounts,
    carried,
    clones,
    concerns,
    contacts,
    journal,
    logs,
    lost,
    serving,
    settings,
    standing,
)
from unhush.storage.accounts import Account
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.contacts import Contact
from unhush.storage.keeping.receipts import Checks
from unhush.storage.keeping.view import KeepingView
from unhush.storage.logs import Slot
from unhush.storage.lost import Lost
from unhush.storage.publish import why_not_to_write
from unhush.storage.reading import Reading
from unhush.storage.records import Record
from unhush.storage.room import erasing
from unhush.storage.room.media import media_by_account
from unhush.storage.schema import Table
from unhush.storage.standing import LAST_SEQ, DeviceLog, Span
from unhush.storage.summaries import Summary, point_of, summarise
from unhush.storage.transaction import Txn

if TYPE_CHECKING:
    from unhush.storage.fulltext.fulltext import FullText
    from unhush.storage.fulltext.searching import Found, Wanted

MAX_INCEPTIONS: Final = 8  # anybody who has seen a root key could not sign with it, so honest accounts have one or two

# Records of a run read at once: many enough that a look-up is shared, few enough that little is read for nothing.
_RUN_STEP: Final = 64

_At = TypeVar("_At")
_Item = TypeVar("_Item")


class Snapshot(Reading, KeepingView):
    """One read transaction; see the module docstring."""

    def __init__(self, txn: Txn, blobs: Blobs, *, network: str, clock_ms: Callable[[], int], checks: Checks) -> None:
        Reading.__init__(self, txn)
        KeepingView.__init__(self, txn, blobs=blobs, network=network, clock_ms=clock_ms, checks=checks)
        self._clear_logs: set[tuple[Cid, PublicKey]] = set()  # open, without a fork: all of them is in force

    def has_blob(self, cid: Cid) -> bool:
        """Whether a blob is here whole; files are no part of the snapshot, so this is as of now."""
        return self._blobs.has(cid)

    def media_taken(self) -> tuple[int, dict[Cid, int]]:
        """Bytes of all blobs that are here, and of those that each account's records name. Looks at every one."""
        sizes = dict(self._blobs.iter_blocks())
        return sum(sizes.values()), media_by_account(self._txn, self._blobs, sizes)

    def search(
        self, index: "FullText", wanted: "Wanted", *, limit: int, before: str | None = None, ranked: bool = False
    ) -> "Found":
        """Posts by their words; see ``fulltext/``."""
        return index.search(self._txn, wanted, limit=limit, before=before, ranked=ranked)

    # -- the home itself

    def own_account(self) -> Cid | None:
        return settings.find_own_account(self._txn)

    def own_device(self) -> PublicKey | None:
        return settings.find_own_device(self._txn)

    def is_requested(self) -> bool:
        return settings.is_requested(self._txn)

    def words_at(self) -> Path | None:
        return settings.find_words_at(self._txn)

    def card_urls(self) -> tuple[str, ...]:
        return settings.list_card_urls(self._txn)

    def account(self, account: Cid) -> Account | None:
        return accounts.find_account(self._txn, account)

    def accounts(self) -> list[Cid]:
        """Every account whose inception is held."""
        return accounts.iter_accounts(self._txn)

    def contacts(self) -> list[Contact]:
        return contacts.iter_contacts(self._txn)

    def count_records(self) -> int:
        return self._txn.count(Table.JOURNAL)

    # -- records

    def last_aid(self) -> int:
        return journal.last_aid(self._txn)

    def find_aid(self, cid: Cid) -> int | None:
        return journal.find_aid(self._txn, cid)

    def record(self, cid: Cid) -> Record | None:
        return serving.find_record_by_cid(self._txn, cid)

    def journal(self, since: int) -> Iterator[Record]:
        return serving.iter_journal(self._txn, since)

    def unchecked_journal(self, since: int) -> Iterator[Record]:
        """As ``journal`` for whoever only looks where records stand; show or send none without ``is_sound``."""
        return serving.iter_journal(self._txn, since, is_checked=False)

    def is_sound(self, record: Record) -> bool:
        """Whether a record is what was stored."""
        return serving.is_sound(self._txn, record)

    # -- what peers ask

    def carried(self) -> frozenset[Cid]:
        return carried.carried(self._txn)

    def summary(self, account: Cid, *, bodies_wanted: bool = False) -> Summary:
        """What may be served of an account; with ``bodies_wanted`` what need not be given to us."""
        return summarise(self._txn, account, bodies_wanted=bodies_wanted)

    @property
    def lacks_bodies(self) -> bool:
        """Whether the body of any entry held is not."""
        return self._txn.count(Table.BODILESS) > 0

    def operations(self, account: Cid, ids: frozenset[Cid] | None = None) -> list[Record]:
        """Operations held of an account, all or those named; the inception first."""
        held = accounts.iter_operations(self._txn, account)
        return [record for record in held if (ids is None or record.cid in ids) and serving.is_sound(self._txn, record)]

    def concerned(self, record: Record) -> tuple[Cid, ...]:
        """The accounts a record concerns, by its author's word; see ``concerns.py``."""
        return concerns.concerned_by(self._txn, record)

    def concerning(self, account: Cid) -> Iterator[Record]:
        """What others did with an account and its newest records, without mentions; the newest first."""
        return concerns.iter_concerning(self._txn, account)

    def naming(self, account: Cid) -> Iterator[Record]:
        """Of the newest records here those that name an account, the newest first."""
        return concerns.iter_naming(self._txn, account)

    def change_of(self, record: Record) -> Record | None:
        """The delete or the newest edit of a record."""
        return concerns.find_change(self._txn, record)

    def by_point(self, point: bytes) -> Record | None:
        """The record whose digest begins with these bytes."""
        return concerns.find_by_point(self._txn, point)

    def withheld(self, record: Record) -> Record:
        """A record as others get it: without its body, if its account took it back."""
        return erasing.withheld(self._txn, record)

    def run(self, account: Cid, key: PublicKey, low: int, high: int, max_bytes: int) -> list[Record]:
        """The newest unbroken run inside low…high that fits ``max_bytes`` (one record at least), ascending."""
        log, span = self._shown_log(account, key)
        low, high = max(low, span.low), min(high, span.high)
        found: list[Record] = []
        size = 0
        below: int | None = None
        slots = logs.iter_slots_down(self._txn, log, high) if log is not None else iter(())
        held = takewhile(lambda slot: slot.seq >= low, slots)
        while part := list(islice(held, _RUN_STEP)):
            records = serving.find_records(self._txn, [slot.aid for slot in part])
            served = iter(erasing.withheld_all(self._txn, [record for record in records if record is not None]))
            for slot, record in zip(part, records, strict=True):
                if below not in (None, slot.seq):
                    return found[::-1]
                if record is None:
                    if found:
                        return found[::-1]
                    continue  # the run begins below what the disk has damaged
                given = next(served)
                size += len(given.block) + len(given.body or b"")
                if found and size > max_bytes:
                    return found[::-1]
                found.append(given)
                below = slot.seq - 1
        return found[::-1]

    def has_hole_below(self, record: Record) -> bool:
        """Whether the entry before this one is not held."""
        header = record.entry.header
        log = logs.find_log(self._txn, record.account, header.key)
        return header.seq > 0 and (log is None or logs.find_slot(self._txn, log, header.seq - 1) is None)

    def _shown_log(self, account: Cid, key: PublicKey) -> tuple[bytes | None, Span]:
        log = logs.find_log(self._txn, account, key)
        known = accounts.find_account(self._txn, account)
        if log is None or known is None:
            return None, standing.NONE
        return log, standing.span_of(self._txn, log, known.state.cut_of(key))

    # -- forks

    def points(self, account: Cid, key: PublicKey, seqs: Iterable[int]) -> dict[int, bytes]:
        """Which entries stand at these places of the shown branch, as far as it is held."""
        log, span = self._shown_log(account, key)
        slots = (logs.find_slot(self._txn, log, seq) for seq in seqs if seq in span) if log is not None else ()
        return {slot.seq: point_of(slot.cid) for slot in slots if slot is not None}

    def fork_point(self, account: Cid, key: PublicKey) -> int | None:
        """Where an open log forks, None if it does not; what a cut decided is no fork."""
        log, span = self._shown_log(account, key)
        return standing.fork_point(self._txn, log) if log is not None and span == standing.ALL else None

    def branches(self, account: Cid, key: PublicKey) -> list[Record]:
        """The proof of a fork and a view of it: the entries kept beside the shown branch and what stands there."""
        log, span = self._shown_log(account, key)
        if log is None or span != standing.ALL:
            return []
        fork = standing.fork_point(self._txn, log)
        beside = [slot for _, slot in islice(logs.iter_beside(self._txn, log), logs.MAX_BESIDE)]
        shown = logs.find_slot(self._txn, log, fork) if fork is not None else None
        found = [serving.find_record(self._txn, slot.aid) for slot in (*([shown] if shown else []), *beside)]
        held = [self.withheld(record) for record in found if record is not None]
        return sorted(held, key=lambda record: (record.entry.header.seq, record.cid))

    def has_beside(self, account: Cid, key: PublicKey) -> bool:
        """Whether anything of a log stands beside its shown branch."""
        log = logs.find_log(self._txn, account, key)
        return log is not None and logs.has_beside(self._txn, log)

    def is_beside(self, record: Record) -> bool:
        """Whether a record of a log stands beside the shown branch."""
        header = record.entry.header
        log = logs.find_log(self._txn, record.account, header.key)
        return log is not None and logs.find_beside(self._txn, log, header.seq, record.cid) is not None

    # -- standing

    def span(self, account: Cid, key: PublicKey) -> Span:
        """The numbers of a device's log that are shown."""
        return self._shown_log(account, key)[1]

    def cut(self, account: Cid, key: PublicKey) -> Cut | None:
        known = accounts.find_account(self._txn, account)
        return known.state.cut_of(key) if known is not None else None

    def standing(self, record: Record) -> Standing:
        """What a record is worth here; see ``standing.py``."""
        header = record.entry.header
        if (record.account, header.key) in self._clear_logs:
            return Standing.IN_FORCE
        account = accounts.find_account(self._txn, record.account)
        if account is None:
            return Standing.VOID
        if account.state.cut_of(header.key) == OPEN and self.fork_point(record.account, header.key) is None:
            self._clear_logs.add((record.account, header.key))
            return Standing.IN_FORCE
        return standing.standing_of(self._txn, account, record)

    def devices(self, account: Account, also: Iterable[PublicKey] = ()) -> list[DeviceLog]:
        """The devices listed by the account, and those that are not but of which something is held."""
        keys = account.state.cuts.keys() | {key for _, key, _ in logs.iter_logs(self._txn, account.id)} | set(also)
        return [standing.describe_device(self._txn, account, key) for key in sorted(keys)]

    def newest_in_force(self, account: Account, key: PublicKey, limit: int, high: int = LAST_SEQ) -> list[Record]:
        """The newest records shown of a device's log up to a number, newest first."""
        log, span = self._shown_log(account.id, key)
        slots = logs.iter_slots_down(self._txn, log, min(high, span.high)) if log is not None else iter(())
        found = (serving.find_record(self._txn, slot.aid) for slot in islice(slots, limit) if slot.seq in span)
        return [record for record in found if record is not None]

    def newest_held(self, account: Account, key: PublicKey) -> list[Record]:
        """The newest record in the slots of a device's log, shown or not; none, if nothing is held."""
        log = logs.find_log(self._txn, account.id, key)
        head = logs.find_head(self._txn, log) if log is not None else None
        record = serving.find_record(self._txn, head.aid) if head is not None else None
        return [record] if record is not None else []

    def incomplete_accounts(self) -> frozenset[Cid]:
        """Carried accounts of which a cut leaves something in force that is not held here."""
        known = (accounts.find_account(self._txn, account) for account in self.carried())
        return standing.incomplete_accounts(self._txn, [account for account in known if account is not None])

    def lost_operations(self) -> list[Lost]:
        """Own adds and revokes that were signed on a table which lost to its twin."""
        return lost.find_lost(self._txn)

    def is_whole(self, account: Account) -> bool:
        """Whether every log reaches from its first entry to the newest held, without a hole."""
        spans = ((self.span(account.id, key), self.runs(log)) for _, key, log in self.logs(account.id))
        held = [span.clip(runs) for span, runs in spans]
        return not self.is_incomplete(account) and all(
            not runs or (len(runs) == 1 and runs[0][0] == 0) for runs in held
        )

    def is_incomplete(self, account: Account) -> bool:
        """Whether a cut leaves something of an account in force that is not held here."""
        return bool(standing.incomplete_accounts(self._txn, [account]))

    def inceptions(self, root: PublicKey) -> list[Record]:
        """Inceptions signed by this root key 0, each followed by the table that stands; ``MAX_INCEPTIONS`` at most."""
        tables: dict[Cid, None] = {}
        for account in accounts.find_accounts_of_root(self._txn, root, MAX_INCEPTIONS):
            known = accounts.find_account(self._txn, account)
            if known is not None:
                tables |= {account: None, known.state.table: None}
        records = (serving.find_record_by_cid(self._txn, table) for table in tables)
        return [record for record in records if record is not None]

    # -- the clone check

    def clone_found(self) -> bool:
        return clones.find_clone(self._txn) is not None

    def clone_traced(self) -> bool:
        """Whether it is known which records of this device's log others hold; see ``clones.is_traced``."""
        own, device = self.own_account(), self.own_device()
        return own is None or device is None or clones.is_traced(self._txn, own, device)

    def handed_on(self) -> clones.Runs:
        """The numbers of this device's log that went to a peer."""
        return clones.find_handed_on(self._txn)

    def count_local(self) -> int:
        """Own records that were given to no peer yet."""
        log = self._own_log()
        held = logs.runs(self._txn, log) if log is not None else ()
        return _count(held) - _count(clones.clip(held, self.handed_on()))

    def count_own(self) -> int:
        """Entries held of this device's log, of whichever branch."""
        log = self._own_log()
        return _count(logs.runs(self._txn, log)) + self.count_beside(log) if log is not None else 0

    def _own_log(self) -> bytes | None:
        own, device = self.own_account(), self.own_device()
        return logs.find_log(self._txn, own, device) if own is not None and device is not None else None

    def why_not_to_write(self) -> str:
        """The reason for which this device may sign nothing now; empty if there is none."""
        own, device = self.own_account(), self.own_device()
        known = self.account(own) if own is not None else None
        return why_not_to_write(self._txn, known, device) if known is not None and device is not None else ""

    def logs(self, account: Cid | None = None) -> Iterator[tuple[Cid, PublicKey, bytes]]:
        return logs.iter_logs(self._txn, account)

    def log_records(self, log: bytes) -> Iterator[Record]:
        """Every record in the slots of a log as others get it, oldest first, shown or not."""
        for slot in logs.iter_slots(self._txn, log):
            record = serving.find_record(self._txn, slot.aid)
            if record is not None:
                yield self.withheld(record)

    def slots_down(self, log: bytes) -> Iterator[Slot]:
        """Where the records on the shown branch of a log are, newest first."""
        return logs.iter_slots_down(self._txn, log, 2**63 - 1)

    def row(self, aid: int) -> Record | None:
        """The record with this local number as it is on disk, for who checks it; raises ``DamagedRow``."""
        return journal.find_record(self._txn, aid)

    def rows(self, since: int) -> Iterator[Record]:
        """As ``journal``, for who checks it; raises ``DamagedRow``."""
        return journal.iter_journal(self._txn, since)

    def count_beside(self, log: bytes) -> int:
        """Entries held of branches that are not shown."""
        return logs.count_beside(self._txn, log)

    def records_at(self, log: bytes, seq: int) -> Iterator[Record]:
        """What is held at a place of a log, of whichever branch."""
        for aid in logs.find_aids(self._txn, log, seq):
            record = serving.find_record(self._txn, aid)
            if record is not None:
                yield record

    def runs(self, log: bytes) -> tuple[tuple[int, int], ...]:
        return logs.runs(self._txn, log)


def take(listing: Iterator[tuple[_At, _Item]], limit: int) -> tuple[list[_Item], _At | None]:
    """A page of a listing and the cursor it ends at, None if nothing follows."""
    page = list(islice(listing, limit + 1))
    is_more = len(page) > limit
    shown = page[:limit]
    return [item for _, item in shown], shown[-1][0] if is_more else None


def _count(runs: clones.Runs) -> int:
    return sum(high - low + 1 for low, high in runs)
