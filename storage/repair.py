"""Repair: a home made anew of every row that can still be read and proves itself; the damaged file is kept.

The old file is read in Python, page by page (``pages.py``), so no damage can
end the process. Records go through the same door as those of peers: what does
not prove itself is left out, and comes again from peers by sync, own records
too. What is ours alone (settings, petnames, contacts) has no proof and is
taken as it is. Indexes are folded anew. Only when the new database is whole
and on disk does it take the place of the old one, which stays beside it.

Who only needs its indexes again has ``index rebuild``.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.codec import decode_stored
from unhush.identity.entry import check_body, parse_entry
from unhush.identity.errors import IdentityError
from unhush.storage import journal
from unhush.storage.arrivals import Arrival, Batch, Status
from unhush.storage.environment import Environment
from unhush.storage.errors import DamagedRow, StoreDamaged, StoreFull
from unhush.storage.exclusive import alone_with, sync_file, sync_folder
from unhush.storage.pages import PageFile, Walk, is_readable_here
from unhush.storage.rebuilding import rebuild
from unhush.storage.records import AID_BYTES, BodyState, Record, unpack_record
from unhush.storage.room.tiers import BOUNDLESS
from unhush.storage.schema import Table
from unhush.storage.store import Store
from unhush.storage.transaction import Txn

_STAGING: Final = "repair.new"
# The full-text index: it is made anew by whoever searches.
_SEARCH: Final = "search"
# Records for one commit.
STEP: Final = 1_000
# What is nobody else's business has no proof, and no other copy: it is taken over as it is.
_PRIVATE: Final = (
    Table.PETNAMES,
    Table.SHUNNED,
    Table.LISTS,
    Table.CONTACTS,
    Table.INVITES,
    Table.ACCEPTED,
    Table.GRACE,
    Table.WITHHELD,
    Table.ERASED,
    Table.PROMISES,
    Table.PROOFS,
)
# Facts of the home, taken over after the records: before, an own record would look like one that a copy wrote.
_FACTS: Final = (b"own-account", b"own-device", b"words-at", b"device-requested", b"handed-on-runs", b"clone-found")


@dataclass(frozen=True, slots=True)
class Repaired:
    """``kept`` records are in the new database, ``lost`` rows were no record any more or could not be proven."""

    kept: int
    lost: int
    damaged_pages: int
    aside: Path  # the old database
    problems: tuple[str, ...]


def repair(
    home: Path,
    *,
    network: str,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Repaired:
    """Repair the database of a home that nobody uses.

    Raises ``HomeInUse``, ``HomeReadOnly``, ``StoreFull``, and ``StoreDamaged`` if nothing can be read of it; whatever
    it raises, the home is as it was.
    """
    folder, staging = home / "store", home / _STAGING
    if not is_readable_here():
        raise StoreDamaged("this machine writes databases in another format than the one that can be repaired")
    with alone_with(folder):
        shutil.rmtree(staging, ignore_errors=True)
        try:
            staging.mkdir(mode=0o700)
            with PageFile(folder) as file:
                salvage = _Salvage(file)
                kept, refused = _fill(staging, salvage, network, on_progress)
            _take_over(staging / "store", salvage, network)
            aside = _swap(folder, staging / "store")
            shutil.rmtree(home / _SEARCH, ignore_errors=True)  # it knows records by their old numbers
        except OSError as exc:
            raise StoreFull(f"{home} has no room for the new database, or cannot be written: {exc.strerror}") from exc
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    walk = salvage.walk
    return Repaired(kept, salvage.lost + refused, walk.damaged, aside, tuple(walk.problems))


class _Salvage:
    """What can be read of the old database."""

    def __init__(self, file: PageFile) -> None:
        self.walk = Walk()
        self.lost = 0
        self.last_aid = 0
        free = file.free_pages(self.walk)
        trees = file.tables(self.walk)

        def rows(table: Table) -> Iterator[tuple[bytes, bytes]]:
            tree = trees.pop(table.value, None)
            return file.rows(table.value.decode(), tree, self.walk) if tree is not None else iter(())

        self.facts = {key: value for key, value in rows(Table.META) if key in _FACTS}
        self.private = {table: list(rows(table)) for table in _PRIVATE}
        self._shown = {int.from_bytes(value[:AID_BYTES], "big") for _, value in rows(Table.SLOTS)}
        # A row twice, or an old one of a page that is no longer used, is the same record: the id decides.
        self._records: dict[Cid, tuple[int, bytes]] = {}
        for key, row in rows(Table.JOURNAL):
            self._note(key, row, is_stray=False)
        for name, tree in trees.items():  # only so that the pages of the other tables are known
            for _ in file.rows(name.decode(errors="replace"), tree, self.walk):
                pass
        if self.walk.damaged:
            for key, row in file.stray_rows(free):
                self._note(key, row, is_stray=True)

    def _note(self, key: bytes, row: bytes, *, is_stray: bool) -> None:
        aid = int.from_bytes(key, "big")
        if not is_stray and len(key) == AID_BYTES:
            self.last_aid = max(self.last_aid, aid)
        record = _sound(aid, row) if len(key) == AID_BYTES else None
        if record is None:
            self.lost += not is_stray
            return
        known = self._records.get(record.cid)
        if known is None or (record.body is not None and not is_stray):
            self._records[record.cid] = (aid, record.pack())  # not the row: its body may be damaged

    def records(self) -> Iterator[Record]:
        """Operations first, then what was shown, then what stood beside; each in the order it came."""
        found = sorted(self._records.values())
        records = [(aid, unpack_record(aid, row).entry.header.is_identity) for aid, row in found]
        order = sorted(range(len(found)), key=lambda at: (not records[at][1], found[at][0] not in self._shown, at))
        for at in order:
            yield unpack_record(*found[at])


def _sound(aid: int, row: bytes) -> Record | None:
    """The record in a row; without its body if only that is damaged, None if it is none."""
    try:
        record = unpack_record(aid, row)
        header = parse_entry(record.block).header
    except (DamagedRow, IdentityError):
        return None
    if record.body is None:
        return record
    try:
        check_body(header, record.body)
    except IdentityError:
        return Record(aid, record.block, None, BodyState.UNKNOWN, record.seen_at_ms)
    return record


def _fill(staging: Path, salvage: _Salvage, network: str, on_progress: Callable[[int], None]) -> tuple[int, int]:
    """Take the records into a new store, as if they came from a file; how many it kept and how many it refused."""
    clock = _SeenAt()
    kept = refused = 0
    environment = Environment(staging / "store", network=network)
    try:
        # Whoever follows by cursor knows other records by the old numbers; by new ones it sees all of them again.
        environment.run(lambda txn: journal.skip_aids(txn, salvage.last_aid))
    finally:
        environment.close()
    # What was kept is kept, whoever's it is: quotas are for what comes, and gc.
    with Store(staging, network=network, clock_ms=clock, limits=BOUNDLESS) as store:
        for batch in _batches(salvage.records(), clock):
            statuses = [outcome.status for outcome in store.ingest(batch)]
            kept += sum(status in (Status.STORED, Status.FILLED) for status in statuses)
            refused += sum(status not in (Status.STORED, Status.FILLED, Status.KNOWN) for status in statuses)
            on_progress(kept)
    return kept, refused


class _SeenAt:
    """The clock of the new store: when the records that are stored now were seen first."""

    now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


def _batches(records: Iterator[Record], clock: _SeenAt) -> Iterator[Batch]:
    while step := list(islice(records, STEP)):
        clock.now_ms = max(chain((clock.now_ms,), (record.seen_at_ms for record in step)))
        items = tuple(Arrival(record.block, record.body, record.body_state) for record in step)
        yield Batch(items, "the damaged database", wanted_only=False)


def _take_over(folder: Path, salvage: _Salvage, network: str) -> None:
    """Settings and private rows; then the folds, of which some follow from whose home it is."""
    environment = Environment(folder, network=network)
    try:

        def put(txn: Txn) -> None:
            for name, value in salvage.facts.items():
                if _is_fact(name, value):
                    txn.put(Table.META, name, value)
            for table, rows in salvage.private.items():
                for key, value in rows:
                    txn.put(table, key, value)
            txn.flush()
            rebuild(txn)

        environment.run(put)
    finally:
        environment.close()


def _is_fact(name: bytes, value: bytes) -> bool:
    """Whether a setting can be read; one that cannot would keep the home from opening."""
    try:
        match name:
            case b"own-account":
                Cid(value)
            case b"handed-on-runs" | b"clone-found":
                decode_stored(value)
    except IdentityError:
        return False
    return True


def _swap(folder: Path, made: Path) -> Path:
    """Put the new database in the place of the old one, which gets a name of its own."""
    data = folder / "data.mdb"
    number = 1
    while (aside := folder / f"damaged-{time.strftime('%Y%m%d')}-{number}.mdb").exists():
        number += 1
    sync_file(made / "data.mdb")
    try:
        aside.hardlink_to(data)  # a second name first: at every moment one of the two databases stands in the place
    except OSError:
        data.rename(aside)  # a file system without second names
    sync_folder(folder)
    (made / "data.mdb").replace(data)
    sync_folder(folder)
    return aside
