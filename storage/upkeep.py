"""Looking after an open database: its pages, its indexes, and whether those are what the journal gives."""

import contextlib
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import lmdb

from unhush.storage.environment import MAX_READERS, Environment
from unhush.storage.errors import HomeInUse, StoreDamaged, StoreFull
from unhush.storage.folds import FOLDS, Fold
from unhush.storage.pages import Walk, check_pages, is_readable_here
from unhush.storage.rebuilding import rebuild
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

Progress = Callable[[int], None]

# Two commits between the beginning of a snapshot and our look at its root; more often than this nobody writes.
_TRIES: Final = 20
_CHECK: Final = ".check-"
_OLD_CHECK_S: Final = 24 * 60 * 60.0


def check_database(folder: Path, on_progress: Progress = lambda _: None) -> Walk:
    """Walk the pages of a database without opening a table of it, which would trust them; others may write meanwhile.

    Raises ``HomeInUse`` if this process has it open, ``StoreDamaged`` if nothing of it can be walked.
    """
    if not is_readable_here():
        return Walk()
    try:
        environment = _open_unread(folder)
    except lmdb.Error as exc:
        if "already open" in str(exc):
            raise HomeInUse(f"{folder.parent} is open in this process; close its Node first") from exc
        raise StoreDamaged(f"the database in {folder} cannot be opened: {exc}") from exc
    with environment:

        def look() -> Walk:
            with environment.begin() as raw:  # its pages stay as they are while it lives
                return check_pages(folder, raw.id(), on_progress)

        return _retried(look)


def check_open(environment: Environment, folder: Path, on_progress: Progress = lambda _: None) -> Walk:
    """As ``check_database``, for one that is open here."""
    if not is_readable_here():
        return Walk()

    def look() -> Walk:
        with environment.read() as txn:
            return check_pages(folder, txn.raw.id(), on_progress)

    return _retried(look)


def _open_unread(folder: Path) -> lmdb.Environment:
    how: dict[str, Any] = {"create": False, "readonly": True, "max_readers": MAX_READERS, "lib_version": 0}
    try:
        return lmdb.open(str(folder), **how)
    except lmdb.Error as exc:
        if "Permission denied" not in str(exc) and "Read-only" not in str(exc):
            raise
        return lmdb.open(str(folder), lock=False, **how)


# Everything a rebuild makes: what people see, and the count of who takes what.
_REBUILT: Final = (*FOLDS, Fold("usage", (Table.USAGE,), "bytes and records of each account"))


def _retried(look: Callable[[], Walk]) -> Walk:
    for _ in range(_TRIES - 1):
        try:
            return look()
        except StoreDamaged:
            continue  # the root of this snapshot was written over by two commits: take a newer one
    return look()


def find_stale(environment: Environment, home: Path, network: str, on_progress: Progress = lambda _: None) -> list[str]:
    """The indexes that are not what the journal gives, by name: a copy is folded anew and compared."""
    place = home if not environment.is_read_only else None
    _sweep_old_checks(home)
    try:
        staging = Path(tempfile.mkdtemp(prefix=_CHECK, dir=place))
    except OSError as exc:
        raise StoreFull(f"there is no place for a copy to check: {exc.strerror}") from exc
    try:
        environment.copy(staging)
        copy = Environment(staging, network=network)
        try:
            with copy.read() as txn:
                before = {fold.name: _digest(txn, fold) for fold in _REBUILT}
            copy.run(lambda txn: rebuild(txn, on_progress))
            with copy.read() as txn:
                return [fold.name for fold in _REBUILT if _digest(txn, fold) != before[fold.name]]
        finally:
            copy.close()
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _sweep_old_checks(home: Path) -> None:
    """A check that was killed leaves its copy of the database; one under way is younger than this."""
    for left in home.glob(_CHECK + "*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _OLD_CHECK_S:
                shutil.rmtree(left, ignore_errors=True)


def _digest(txn: Txn, fold: Fold) -> bytes:
    digest = hashlib.sha256()
    for table in fold.tables:
        digest.update(table.value + b"\x00")
        for key, value in txn.scan(table):
            digest.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
    return digest.digest()


def check_sound(walk: Walk, folder: Path) -> None:
    """Raise ``StoreDamaged`` if a page is not what it should be."""
    if walk.damaged:
        raise StoreDamaged(
            f"the database in {folder} is damaged ({walk.damaged} faults; the first: {walk.problems[0]}); "
            "run: unhush verify --repair"
        )
