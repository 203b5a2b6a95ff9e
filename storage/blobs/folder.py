"""A folder of files named by a digest: each is there whole or not at all.

``ab/cdef…`` under the folder, 0600 in 0700. A file is written beside under
``new/``, synced, renamed, and its folder synced; what a killed process leaves
is under ``new/`` and is swept. Bytes are read, written and taken away through an
open folder that was reached by no symbolic link, so a link in here leads
nobody's bytes out or in.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from unhush.storage.errors import BlobsUnusable, StoreFull

# No write of one file takes this long, so what is older belongs to a process that was killed.
LEFTOVER_AGE_S: Final = 3_600.0
_DIGEST_BYTES: Final = 32
_SHARD: Final = re.compile(r"[0-9a-f]{2}")
_REST: Final = re.compile(r"[0-9a-f]{62}")
_NEW: Final = "new"
_ASIDE: Final = "damaged"
_LOCK: Final = "lock"
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: a FIFO put here would hold a reader for ever.
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class DigestFolder:
    """Thread- and process-safe; made with the first file. What a file holds is its user's to check."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, digest: bytes, *, max_bytes: int) -> bytes | None:
        """The bytes of a file, None if there is none or it is longer than ``max_bytes``."""
        shard, rest = _names(digest)
        with self._failing("read"), self._folder(shard) as folder:
            if folder is None:
                return None
            try:
                descriptor = os.open(rest, _READ_FLAGS, dir_fd=folder)
            except OSError as exc:
                if exc.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                    return None
                raise
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode) or found.st_size > max_bytes:
                    return None
                data = file.read(max_bytes + 1)
                return data if len(data) <= max_bytes else None

    def size(self, digest: bytes) -> int | None:
        """How many bytes a file has; None if there is none."""
        found = self._stat(digest)
        return found.st_size if found is not None else None

    def changed_at_s(self, digest: bytes) -> float | None:
        """When a file was written or last held on to, as the disk says."""
        found = self._stat(digest)
        return found.st_mtime if found is not None else None

    def write(self, digest: bytes, data: bytes) -> None:
        """Put a file in place, durably; raises ``StoreFull``, ``BlobsUnusable``."""
        shard, rest = _names(digest)
        with self._failing("written"), self._made(_NEW) as new, self._made(shard) as folder, self._sharing():
            temporary = f"{shard}{rest[:6]}-{secrets.token_hex(8)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600, dir_fd=new)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(descriptor)
                os.rename(temporary, rest, src_dir_fd=new, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=new)
                raise
            os.fsync(folder)

    def touch(self, digest: bytes) -> bool:
        """Make a file young again, so that no sweep takes it; False if there is none."""
        shard, rest = _names(digest)
        with self._failing("written"), self._folder(shard) as folder:
            if folder is None:
                return False
            with self._sharing():
                try:
                    if not stat.S_ISREG(os.stat(rest, dir_fd=folder, follow_symlinks=False).st_mode):
                        return False
                    os.utime(rest, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    return False
        return True

    def remove(self, digest: bytes) -> bool:
        """Take a file away; False if there was none."""
        shard, rest = _names(digest)
        with self._failing("removed"), self._folder(shard) as folder:
            if folder is None:
                return False
            try:
                os.unlink(rest, dir_fd=folder)
            except FileNotFoundError:
                return False
        return True

    def remove_old(self, digest: bytes, before_s: float) -> bool:
        """Take a file away unless it was written or held on to since; no such step can fall between look and act."""
        with self._failing("removed"), self._alone():
            changed_at_s = self.changed_at_s(digest)
            return changed_at_s is not None and changed_at_s < before_s and self.remove(digest)

    def put_aside(self, digest: bytes) -> None:
        """Move a file that is not what was written out of the way; what is left of it is kept for its owner."""
        shard, rest = _names(digest)
        with self._failing("moved"), self._made(_ASIDE) as aside, self._folder(shard) as folder:
            if folder is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(rest, shard + rest, src_dir_fd=folder, dst_dir_fd=aside)

    def iter_digests(self) -> Iterator[bytes]:
        """The names of all files, in no order worth knowing; anything else that lies here is passed over."""
        for shard in self._list("."):
            if _SHARD.fullmatch(shard) and stat.S_ISDIR(os.lstat(self.path / shard).st_mode):
                for rest in self._list(shard):
                    if _REST.fullmatch(rest):
                        yield bytes.fromhex(shard + rest)

    def iter_aside(self) -> Iterator[tuple[bytes, int]]:
        """Digest and size of what was put aside."""
        with self._failing("read"), self._folder(_ASIDE) as aside:
            if aside is not None:
                for name in os.listdir(aside):
                    if _SHARD.fullmatch(name[:2]) and _REST.fullmatch(name[2:]):
                        yield bytes.fromhex(name), os.stat(name, dir_fd=aside, follow_symlinks=False).st_size

    def remove_aside(self, digest: bytes) -> None:
        with self._failing("removed"), self._folder(_ASIDE) as aside:
            if aside is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(digest.hex(), dir_fd=aside)

    def sweep_leftovers(self) -> int:
        """Take away what killed processes left half-written; how many files that were."""
        swept = 0
        with self._failing("removed"), self._folder(_NEW) as new:
            if new is not None:
                for name in os.listdir(new):
                    with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                        found = os.stat(name, dir_fd=new, follow_symlinks=False)
                        if found.st_mtime < time.time() - LEFTOVER_AGE_S:
                            os.unlink(name, dir_fd=new)
                            swept += 1
        return swept

    @contextlib.contextmanager
    def _sharing(self) -> Iterator[None]:
        """While inside, nobody removes old files."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with self._made(None) as folder:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(
                _LOCK, flags, 0o600, dir_fd=folder
            )  # a new descriptor each time: threads lock each other out
            try:
                fcntl.flock(lock, how)
                yield
            finally:
                os.close(lock)

    def _stat(self, digest: bytes) -> os.stat_result | None:
        # By path, for a page asks it of every picture on it; no byte is read or written on the strength of it.
        shard, rest = _names(digest)
        try:
            found = os.lstat(f"{self.path}/{shard}/{rest}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise BlobsUnusable(f"files below {self.path} cannot be read: {exc.strerror}") from exc
        return found if stat.S_ISREG(found.st_mode) else None

    def _list(self, name: str) -> list[str]:
        with self._failing("read"), self._folder(name) as folder:
            return os.listdir(folder) if folder is not None else []

    @contextlib.contextmanager
    def _folder(self, name: str) -> Iterator[int | None]:
        """A folder in here, opened without following links; None if there is none."""
        top = inside = None
        try:
            try:
                top = os.open(self.path, _FOLDER_FLAGS)
                inside = os.open(name, _FOLDER_FLAGS, dir_fd=top)
            except FileNotFoundError:
                pass
            yield inside
        finally:
            for descriptor in (inside, top):
                if descriptor is not None:
                    os.close(descriptor)

    @contextlib.contextmanager
    def _made(self, name: str | None) -> Iterator[int]:
        """The folder itself, or one in it, made if need be."""
        if not self.path.exists():
            with contextlib.suppress(FileExistsError):
                self.path.mkdir(mode=0o700, parents=True)
                _sync(self.path.parent)
        top = os.open(self.path, _FOLDER_FLAGS)
        try:
            if name is None:
                yield top
                return
            try:
                inside = os.open(name, _FOLDER_FLAGS, dir_fd=top)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=top)
                    os.fsync(top)
                inside = os.open(name, _FOLDER_FLAGS, dir_fd=top)
            try:
                yield inside
            finally:
                os.close(inside)
        finally:
            os.close(top)

    @contextlib.contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if exc.errno in _NO_ROOM:
                raise StoreFull(f"the disk refused a write below {self.path}; nothing of it was kept: {exc}") from exc
            raise BlobsUnusable(f"files below {self.path} cannot be {verb}: {exc.strerror}") from exc


def _sync(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _names(digest: bytes) -> tuple[str, str]:
    assert len(digest) == _DIGEST_BYTES
    text = digest.hex()
    return text[:2], text[2:]
