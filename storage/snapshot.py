"""Reading: everything a page or a peer needs, from one consistent snapshot.

A :class:`Snapshot` lives inside ``with store.snapshot()``; what it reads does
not change while it lives, also during ingest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.storage import (
    accounts,
    carried,
    contacts,
    deletes,
    follows,
    indexes,
    journal,
    logs,
    profiles,
    settings,
    threads,
    timeline,
)
from unhush.storage.accounts import Account
from unhush.storage.contacts import Contact
from unhush.storage.environment import Table, Txn
from unhush.storage.kinds import Body, Profile
from unhush.storage.logs import Slot
from unhush.storage.records import BodyState, Record
from unhush.storage.timeline import Position

# A body we may still be given; a run that lacks one is not told to peers as held. "Deleted" is only a sender's
# word: what ends our asking is the author's delete, or bytes that turned out to be no body.
_WANTED_BODIES: Final = frozenset((BodyState.UNKNOWN, BodyState.WITHHELD, BodyState.DELETED))


@dataclass(frozen=True, slots=True)
class Summary:
    """What is held of one account: operation ids, and per log the runs of entries."""

    account: Cid
    operations: tuple[Cid, ...]
    logs: dict[PublicKey, tuple[tuple[int, int], ...]]


class Snapshot:
    """One read transaction; see the module docstring."""

    def __init__(self, txn: Txn) -> None:
        self._txn = txn

    # -- the home itself

    def own_account(self) -> Cid | None:
        return settings.find_own_account(self._txn)

    def words_at(self) -> Path | None:
        return settings.find_words_at(self._txn)

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
        return journal.find_record_by_cid(self._txn, cid)

    def journal(self, since: int) -> Iterator[Record]:
        return journal.iter_journal(self._txn, since)

    def body(self, record: Record) -> Body | None:
        """The parsed body, None if there is none to show (absent, unknown kind, broken rules)."""
        return indexes.find_body(record)

    def is_deleted(self, record: Record) -> bool:
        return deletes.is_deleted(self._txn, record)

    def is_in_home(self, record: Record) -> bool:
        return timeline.is_in_home(self._txn, timeline.position_of(record))

    # -- what people read

    def home(self, before: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """The home timeline, newest first."""
        return self._records(timeline.iter_home(self._txn, before))

    def posts(self, account: Account, before: Position | None = None) -> Iterator[tuple[Position, Record]]:
        """What an account posted, newest first."""
        return self._records(timeline.iter_posts(self._txn, account.number, before))

    def count_posts(self, account: Account) -> int:
        return timeline.count_posts(self._txn, account.number)

    def replies(self, root: Cid) -> Iterator[Record]:
        """Every reply held of a thread, in time order."""
        for aid in threads.iter_reply_aids(self._txn, root):
            record = journal.find_record(self._txn, aid)
            if record is not None:
                yield record

    def profile(self, account: Cid) -> Profile | None:
        found = accounts.find_account(self._txn, account)
        aid = profiles.find_profile_aid(self._txn, found.number) if found is not None else None
        record = journal.find_record(self._txn, aid) if aid is not None else None
        body = indexes.find_body(record) if record is not None else None
        return body if isinstance(body, Profile) else None

    def petname(self, account: Cid) -> str | None:
        return profiles.find_petname(self._txn, account)

    def follows(self, account: Account) -> Iterator[Cid]:
        return follows.iter_followed(self._txn, account.number)

    def does_follow(self, account: Account, who: Cid) -> bool:
        return follows.does_follow(self._txn, account.number, who)

    def follow_records(self, account: Account, who: Cid) -> list[Record]:
        """The records that make ``account`` follow ``who``: deleting them all ends it."""
        found = (
            journal.find_record(self._txn, aid) for aid in follows.iter_follow_aids(self._txn, account.number, who)
        )
        return [record for record in found if record is not None]

    def _records(self, positions: Iterator[Position]) -> Iterator[tuple[Position, Record]]:
        for position in positions:
            record = journal.find_record(self._txn, position.aid)
            if record is not None:
                yield position, record

    # -- what peers ask

    def carried(self) -> frozenset[Cid]:
        return carried.carried(self._txn)

    def summary(self, account: Cid, *, bodies_wanted: bool = False) -> Summary:
        """What is held; with ``bodies_wanted`` entries whose body may still come count as missing."""
        held = {
            key: self._whole_runs(log) if bodies_wanted else logs.runs(self._txn, log)
            for _, key, log in logs.iter_logs(self._txn, account)
        }
        return Summary(account, accounts.operation_ids(self._txn, account), held)

    def _whole_runs(self, log: bytes) -> tuple[tuple[int, int], ...]:
        held = logs.runs(self._txn, log)
        if not self._txn.count(Table.BODILESS):
            return held
        holes = [slot.seq for slot in logs.iter_slots(self._txn, log) if self._lacks_body(slot.aid)]
        return _without(held, holes)

    def _lacks_body(self, aid: int) -> bool:
        state = self._txn.get(Table.BODILESS, journal.pack_aid(aid))
        if state is None or BodyState(state[0]) not in _WANTED_BODIES:
            return False
        record = journal.find_record(self._txn, aid)
        return record is not None and not self.is_deleted(record)

    def operations(self, account: Cid, ids: frozenset[Cid] | None = None) -> list[Record]:
        """Operations held of an account, all or those named; the inception first."""
        held = accounts.iter_operations(self._txn, account)
        return [record for record in held if ids is None or record.cid in ids]

    def run(self, account: Cid, key: PublicKey, low: int, high: int, max_bytes: int) -> list[Record]:
        """The newest unbroken run inside low…high that fits ``max_bytes`` (one record at least), ascending."""
        log = logs.find_log(self._txn, account, key)
        found: list[Record] = []
        size = 0
        below: int | None = None
        for slot in logs.iter_slots_down(self._txn, log, high) if log is not None else ():
            is_next = slot.seq >= low and below in (None, slot.seq)
            record = journal.find_record(self._txn, slot.aid) if is_next else None
            if record is None:
                break
            size += len(record.block) + len(record.body or b"")
            if found and size > max_bytes:
                break
            found.append(record)
            below = slot.seq - 1
        return found[::-1]

    def has_hole_below(self, record: Record) -> bool:
        """Whether the entry before this one is not held."""
        header = record.entry.header
        log = logs.find_log(self._txn, record.account, header.key)
        return header.seq > 0 and (log is None or logs.find_slot(self._txn, log, header.seq - 1) is None)

    def logs(self, account: Cid | None = None) -> Iterator[tuple[Cid, PublicKey, bytes]]:
        return logs.iter_logs(self._txn, account)

    def log_records(self, log: bytes) -> Iterator[Record]:
        """Every record on the shown branch of a log, oldest first."""
        for slot in logs.iter_slots(self._txn, log):
            record = journal.find_record(self._txn, slot.aid)
            if record is not None:
                yield record

    def slots_down(self, log: bytes) -> Iterator[Slot]:
        """Where the records on the shown branch of a log are, newest first."""
        return logs.iter_slots_down(self._txn, log, 2**63 - 1)

    def find_record(self, aid: int) -> Record | None:
        """The record with this local number; raises ``DamagedRow``."""
        return journal.find_record(self._txn, aid)

    def count_beside(self, log: bytes) -> int:
        """Entries held of branches that are not shown."""
        return logs.count_beside(self._txn, log)

    def runs(self, log: bytes) -> tuple[tuple[int, int], ...]:
        return logs.runs(self._txn, log)


def _without(held: tuple[tuple[int, int], ...], holes: list[int]) -> tuple[tuple[int, int], ...]:
    """Cut ascending ``holes`` out of ascending runs."""
    left: list[tuple[int, int]] = []
    remaining = iter(holes)
    hole = next(remaining, None)
    for low, high in held:
        start = low
        while hole is not None and hole <= high:
            if hole > start:
                left.append((start, hole - 1))
            start = hole + 1
            hole = next(remaining, None)
        if start <= high:
            left.append((start, high))
    return tuple(left)


def take(records: Iterator[tuple[Position, Record]], limit: int) -> tuple[list[Record], Position | None]:
    """A page and the position it ends at, None if nothing follows."""
    page = list(islice(records, limit + 1))
    is_more = len(page) > limit
    shown = page[:limit]
    return [record for _, record in shown], shown[-1][0] if is_more else None
