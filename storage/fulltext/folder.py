"""The folder of the index: which file is the index now, and who may write it.

A file is never emptied or overwritten while others may have it open: SQLite
would take the new one's journal for the old one's. Each new index has the next
number, the highest counts, and the old ones are removed.
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from unhush.storage.errors import HomeInUse, SearchIndexUnusable

_INDEX: Final = re.compile(r"posts-([0-9]{1,9})\.sqlite")
_OURS: Final = re.compile(r"posts-[0-9]{1,9}(-building)?\.sqlite(-wal|-shm|-journal)?")
_LOOK_EVERY_S: Final = 0.02


class Folder:
    """``<home>/search``; it is made by whoever writes first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def current(self) -> Path | None:
        """The index now, None if there is none."""
        numbers = self._numbers()
        return self._file(max(numbers)) if numbers else None

    def next(self) -> Path:
        """Where the next index goes."""
        return self._file(max(self._numbers(), default=0) + 1)

    def building(self) -> Path:
        """Where an index is made that is not one yet; what was left there is gone."""
        for path in self._ours():
            if "-building" in path.name:
                path.unlink(missing_ok=True)
        return self.path / "posts-0-building.sqlite"

    def put_in_place(self, built: Path) -> Path:
        """Make what was built the index; it is closed, and whole on disk before it counts."""
        path = self.next()
        try:
            for made in (built, self.path):
                _sync(made)
            built.rename(path)
            _sync(self.path)
        except OSError as exc:
            raise SearchIndexUnusable(f"the search index {path} cannot be written: {exc.strerror}") from exc
        return path

    def remove_all_but(self, kept: Path | None) -> None:
        for path in self._ours():
            if kept is None or not path.name.startswith(kept.name):
                path.unlink(missing_ok=True)

    def size_bytes(self) -> int:
        size = 0
        for path in self._ours():
            with contextlib.suppress(FileNotFoundError):  # an old index that somebody replaces now
                size += path.stat().st_size
        return size

    @contextlib.contextmanager
    def lock(self, name: str, wait_s: float = 0.0) -> Iterator[None]:
        """Held by one at a time, in all threads and processes; raises ``HomeInUse``, ``SearchIndexUnusable``."""
        descriptor = self._open_lock(name)
        try:
            _flock(descriptor, wait_s)
            yield
        finally:
            os.close(descriptor)

    def is_locked(self, name: str) -> bool:
        try:
            with self.lock(name):
                return False
        except HomeInUse:
            return True

    def _open_lock(self, name: str) -> int:
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            return os.open(self.path / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise SearchIndexUnusable(f"the search index in {self.path} cannot be written: {exc.strerror}") from exc

    def _numbers(self) -> list[int]:
        found = (_INDEX.fullmatch(name) for name in self._names())
        return [int(match[1]) for match in found if match is not None]

    def _ours(self) -> list[Path]:
        return [self.path / name for name in self._names() if _OURS.fullmatch(name)]

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise SearchIndexUnusable(f"the search index in {self.path} cannot be read: {exc.strerror}") from exc

    def _file(self, number: int) -> Path:
        return self.path / f"posts-{number}.sqlite"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, wait_s: float) -> None:
    due = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if time.monotonic() >= due:
                raise HomeInUse("somebody else works on the search index of this home") from exc
            time.sleep(_LOOK_EVERY_S)
        else:
            return
