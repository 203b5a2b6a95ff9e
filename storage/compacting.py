"""Compaction: the database written anew without its free pages, and put in the place of the old one at once.

LMDB files never shrink; pages that become free are used again. So this is for
a home that lost much: after ``gc``, or an eviction. The new file is whole and
on disk before it takes the name of the old one, so a crash leaves one or the
other.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lmdb

from unhush.storage.errors import StoreDamaged, StoreFull, StoreUnreadable
from unhush.storage.exclusive import alone_with, sync_file, sync_folder
from unhush.storage.pages import check_pages, is_readable_here

# Beside the database, so that the last step is a rename; what is left of a crash goes with the next compaction.
_STAGING: Final = "compact.new"


@dataclass(frozen=True, slots=True)
class Compacted:
    """Sizes of the database file."""

    bytes_before: int
    bytes_after: int


def compact(folder: Path) -> Compacted:
    """Make the database in ``folder`` as small as it can be.

    Raises ``HomeInUse``, ``HomeReadOnly``, ``StoreDamaged``, ``StoreFull``; whatever it raises, the home is as it was.
    """
    with alone_with(folder):
        data, staging = folder / "data.mdb", folder / _STAGING
        if not data.exists():
            raise StoreUnreadable(f"there is no database in {folder}")
        _check_sound(folder)
        shutil.rmtree(staging, ignore_errors=True)
        before = data.stat().st_size
        try:
            staging.mkdir(mode=0o700)
            _copy(folder, staging)
            copy = staging / "data.mdb"
            copy.chmod(0o600)
            _check_sound(staging)
            sync_file(copy)
            copy.replace(data)
            sync_folder(folder)
        except OSError as exc:
            raise StoreFull(f"{folder} has no room for the smaller copy, or cannot be written: {exc.strerror}") from exc
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return Compacted(before, data.stat().st_size)


def _check_sound(folder: Path) -> None:
    """Copying reads every page, and a damaged one could end the process."""
    if is_readable_here() and (walk := check_pages(folder)).damaged:
        raise StoreDamaged(f"the database in {folder} is damaged ({walk.problems[0]}); run: unhush verify --repair")


def _copy(folder: Path, target: Path) -> None:
    try:
        with lmdb.open(str(folder), create=False, readonly=True, lock=False, lib_version=0) as environment:
            environment.copy(str(target), compact=True)
    except lmdb.Error as exc:
        raise StoreFull(f"the smaller copy could not be written: {exc}") from exc
