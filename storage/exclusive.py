"""Having a home's database to oneself: what puts another file in its place must know that nobody writes to the old one.

LMDB's own lock says who has a database open: every process holds a shared lock
on the first byte of ``lock.mdb`` from opening to closing. Whoever gets that
byte alone is alone, and who opens meanwhile waits for it.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from unhush.storage.errors import HomeInUse, HomeReadOnly


@contextmanager
def alone_with(folder: Path) -> Iterator[None]:
    """The database in ``folder``, with no other process or part of this one; raises ``HomeInUse``, ``HomeReadOnly``."""
    _check_not_ours(folder)
    try:
        descriptor = os.open(folder / "lock.mdb", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise HomeReadOnly(f"{folder.parent} cannot be written here: {exc.strerror}") from exc
    # Nothing in the block may open lock.mdb: closing it anywhere in this process would let go of the lock.
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0, os.SEEK_SET)
        except OSError as exc:
            raise HomeInUse(
                f"{folder.parent} is in use; stop its node and other commands first, then try again"
            ) from exc
        yield
    finally:
        os.close(descriptor)


def _check_not_ours(folder: Path) -> None:
    """A lock does not tell a process from itself; but the binding opens no file twice, and opening reads no table."""
    with contextlib.ExitStack() as opened:
        try:
            opened.enter_context(lmdb.open(str(folder), create=False, readonly=True, lock=False, lib_version=0))
        except lmdb.Error as exc:
            if "already open" in str(exc):
                raise HomeInUse(f"{folder.parent} is open in this process; close its Node first") from exc


def sync_folder(folder: Path) -> None:
    """Make new names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
