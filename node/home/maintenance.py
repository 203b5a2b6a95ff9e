"""Looking after a home: check, repair, backup and the way back, compaction.

What needs a home to itself, or must not trust it, is a function on a closed
home; the rest is a verb of ``Node`` and works while the home is in use.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from unhush.identity.cid import cid_of
from unhush.identity.keys import self_test
from unhush.node.config import Config, Home
from unhush.node.errors import NoAccount, StoreUnreadable
from unhush.node.home.files import independent_cid_check
from unhush.node.lock import HomeLock
from unhush.storage import upkeep
from unhush.storage.keyfile import make_private_dir
from unhush.storage.store import Store
from unhush.storage.verify import Report, verify_store

if TYPE_CHECKING:
    from unhush.storage.backup import BackedUp
    from unhush.storage.compacting import Compacted
    from unhush.storage.repair import Repaired

# What goes on, and how far it is.
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Mended:
    """What was found first, what was done about it (nothing, if nothing was damaged), and what is left."""

    before: Report | None  # None: the database was too broken to be looked at
    repaired: "Repaired | None"
    rebuilt: bool
    after: Report


def silent(_what: str, _count: int) -> None:
    """Nobody waits to hear."""


def verify_home(config: Config, *, deep: bool = False, on_progress: Progress = silent) -> Report:
    """Check a home that is not open here, pages first; raises ``StoreDamaged`` if those are broken.

    No damage ends this process: nothing trusts a page before it was looked at.
    """
    folder = _store_of(config)
    walk = upkeep.check_database(folder, lambda count: on_progress("rows looked at", count))
    upkeep.check_sound(walk, folder)
    with Store(config.home, network=config.network, clock_ms=config.clock_ms) as store:
        return verify(store, config.network, deep=deep, on_progress=on_progress)


def verify(store: Store, network: str, *, deep: bool, on_progress: Progress = silent) -> Report:
    """Check everything held in an open store.

    Deep: by an independent reader, every signature, every index, and every blob; a damaged blob is put aside.
    """
    self_test()
    check = independent_cid_check() if deep else _check_cid
    with store.snapshot() as snapshot:
        report = verify_store(
            snapshot,
            network=network,
            check_cid=check,
            on_progress=lambda count: on_progress("records checked", count),
            every_signature=deep,
        )
    if not deep:
        return report
    stale: list[str] = []
    if not report.bad:  # indexes follow from the journal: a damaged one gives none to compare with
        stale = store.find_stale(lambda count: on_progress("records indexed anew", count))
    bad_blobs = sum(1 for _ in store.blobs.iter_damaged())
    return replace(report, stale=tuple(stale), bad_blobs=bad_blobs)


def _check_cid(name: bytes, block: bytes) -> bool:
    return cid_of(block).bytes == name


def repair_home(config: Config, *, on_progress: Progress = silent) -> Mended:
    """Repair what a deep check finds; the home is closed, and nobody else uses it.

    Raises ``HomeInUse``, ``HomeReadOnly``, ``StoreFull``, ``StoreDamaged``.
    """
    from unhush.storage.repair import repair  # lazy: it is rarely needed

    self_test()
    lock = _lock(config)
    try:
        before: Report | None = None
        with suppress(StoreUnreadable):  # broken pages, or a note that cannot be read: all is made anew
            before = verify_home(config, deep=True, on_progress=on_progress)
        repaired = None
        if before is None or before.bad:
            repaired = repair(
                config.home, network=config.network, on_progress=lambda count: on_progress("records saved", count)
            )
        rebuilt = before is not None and not before.bad and bool(before.stale)
        with Store(config.home, network=config.network, clock_ms=config.clock_ms) as store:
            if rebuilt:
                store.rebuild_indexes(lambda count: on_progress("records indexed", count))
            after = verify(store, config.network, deep=False, on_progress=on_progress)
        return Mended(before, repaired, rebuilt, after)
    finally:
        lock.release()


def compact_home(config: Config) -> "Compacted":
    """Rewrite a closed home's database without its free pages.

    Raises ``HomeInUse``, ``HomeReadOnly``, ``StoreDamaged``, ``StoreFull``.
    """
    from unhush.storage.compacting import compact

    folder = _store_of(config)
    lock = _lock(config)
    try:
        return compact(folder)
    finally:
        lock.release()


def restore_backup(config: Config, file: Path, *, on_progress: Progress = silent) -> "BackedUp":
    """Make a new home of a backup. It has no key: it reads and carries until ``restore`` or ``join``.

    Raises ``MalformedBackup``, ``BackupExists``, ``StoreFull``, ``StoreUnreadable``.
    """
    from unhush.storage.backup import read_backup

    make_private_dir(config.home)
    lock = _lock(config)
    try:
        return read_backup(
            file, config.home, network=config.network, on_progress=lambda count: on_progress("bytes read", count)
        )
    finally:
        lock.release()


def _store_of(config: Config) -> Path:
    folder = Home(config.home).store
    if not folder.exists():
        raise NoAccount(config.home)
    return folder


def _lock(config: Config) -> HomeLock:
    if not config.home.is_dir():
        raise NoAccount(config.home)
    return HomeLock(config.home, f"a node runs on {config.home}; stop it first")
