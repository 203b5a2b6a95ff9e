"""Backup: one file with everything kept in a home but its keys, made while the home is in use; and the way back.

The file is a tar archive (docs/store.md names its members): a compact copy of
the database as of one moment, the blobs that its records name, and at the end
``manifest.json`` with the size and SHA-256 of each. Without a manifest it is not
whole. Only members of these names are ever written or read, so no key file gets
in, and a hostile archive nowhere else.

A home made from a backup has no key. It knows whose it is, reads, carries and
syncs; to write it needs a device of its own: ``restore`` with the words, or
``device join``.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from unhush.storage import clones, settings
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.blobs.sweeping import find_named
from unhush.storage.environment import Environment
from unhush.storage.errors import BackupExists, MalformedBackup, StoreFull
from unhush.storage.exclusive import sync_file, sync_folder
from unhush.storage.keeping import statements
from unhush.storage.pages import check_pages, is_readable_here
from unhush.storage.schema import SCHEMA_VERSION

FORMAT: Final = "unhush-backup"
VERSION: Final = 1
DATABASE: Final = "store/data.mdb"
MANIFEST: Final = "manifest.json"

# Where blobs are in a home, and the only names that a member may have; nothing climbs out of a folder with them.
_BLOBS: Final = "blobs"
_BLOB_NAME: Final = re.compile(r"blobs/[0-9a-f]{2}/[0-9a-f]{62}")
# A blob and its line in the manifest: 120 bytes; this many are more than any home has.
_MAX_MANIFEST_BYTES: Final = 1 << 28
_MAX_MEMBERS: Final = 5_000_000
_CHUNK_BYTES: Final = 1 << 20

# Told how many bytes are written.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup file holds."""

    file: Path
    bytes: int
    blobs: int


def write_backup(
    environment: Environment,
    blobs: Blobs,
    file: Path,
    *,
    network: str,
    now_ms: int,
    on_progress: Progress = lambda _: None,
) -> BackedUp:
    """Write everything of a home but its keys into a new file; others may go on reading and writing.

    Raises ``BackupExists`` if there is a file of that name, ``StoreFull``, ``StoreUnreadable``.
    """
    if file.exists() or file.is_symlink():
        raise BackupExists(file)
    staging = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        staging.mkdir(mode=0o700)
        environment.copy(staging)
        with environment.read() as txn:
            named = find_named(blobs, txn)
        count = _write_archive(staging, _iter_blobs(blobs.folder.path, named), network, now_ms, on_progress)
        made = staging / "archive"
        size = made.stat().st_size
        sync_file(made)
        _give_name(made, file)
        sync_folder(file.parent)
    except FileExistsError as exc:
        raise BackupExists(file) from exc
    except OSError as exc:
        raise StoreFull(f"{file} cannot be written: {exc.strerror}") from exc
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return BackedUp(file, size, count)


def _write_archive(staging: Path, blobs: Iterator[Path], network: str, now_ms: int, on_progress: Progress) -> int:
    """The archive inside the staging folder; returns how many blobs it has."""
    members: dict[str, dict[str, Any]] = {}
    descriptor = os.open(staging / "archive", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        with (staging / "data.mdb").open("rb") as database:
            members[DATABASE] = _add(archive, DATABASE, database)
        on_progress(out.tell())
        (staging / "data.mdb").unlink()  # it is in the archive now, and room is short
        for path in blobs:
            with contextlib.suppress(FileNotFoundError), path.open("rb") as blob:  # gc may take one meanwhile
                name = f"{_BLOBS}/{path.parent.name}/{path.name}"
                members[name] = _add(archive, name, blob)
                on_progress(out.tell())
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "schema": SCHEMA_VERSION,
            "network": network,
            "made_at_ms": now_ms,
            "members": members,
        }
        _add_bytes(archive, MANIFEST, json.dumps(manifest, indent=1).encode())
    return len(members) - 1


def _iter_blobs(folder: Path, named: Set[bytes]) -> Iterator[Path]:
    for shard in sorted(folder.iterdir()) if folder.is_dir() else ():
        for path in sorted(shard.iterdir()) if shard.is_dir() and not shard.is_symlink() else ():
            name = f"{_BLOBS}/{shard.name}/{path.name}"
            is_ours = _BLOB_NAME.fullmatch(name) and path.is_file() and not path.is_symlink()
            if is_ours and bytes.fromhex(shard.name + path.name) in named:
                yield path


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def _add(archive: tarfile.TarFile, name: str, file: IO[bytes]) -> dict[str, Any]:
    member = tarfile.TarInfo(name)
    member.mode = 0o600
    member.size = os.fstat(file.fileno()).st_size
    hashing = _Hashing(file)
    archive.addfile(member, hashing)  # type: ignore[arg-type]  # it only reads
    return {"size": member.size, "sha256": hashing.digest.hexdigest()}


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    import io

    member = tarfile.TarInfo(name)
    member.mode = 0o600
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _give_name(made: Path, file: Path) -> None:
    """As a rename that replaces nothing."""
    try:
        os.link(made, file)
    except FileExistsError:
        raise
    except OSError:  # a file system without second names, as on many memory sticks
        if file.exists():
            raise FileExistsError(file) from None
        made.rename(file)


# -- the way back


def read_backup(file: Path, home: Path, *, network: str, on_progress: Progress = lambda _: None) -> BackedUp:
    """Make a home from a backup; it must have no database yet. Whole or not at all.

    Raises ``MalformedBackup``, ``BackupExists`` for a home that is one already, ``StoreFull``, ``StoreUnreadable``.
    """
    if (home / "store").exists():
        raise BackupExists(home / "store")
    staging = home / "backup.new"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(mode=0o700)
        members = _extract(file, staging, on_progress)
        _make_ours(staging / "store", network)
        for name in (_BLOBS, "store"):  # the database last: it is what makes a folder a home
            if (staging / name).exists():
                _move(staging / name, home / name)
        sync_folder(home)
        return BackedUp(file, file.stat().st_size, len(members) - 1)
    except FileNotFoundError as exc:
        raise MalformedBackup(f"{file} cannot be read: {exc.strerror}") from exc
    except OSError as exc:
        raise StoreFull(f"{home} cannot take the backup: {exc.strerror}") from exc
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(made: Path, place: Path) -> None:
    """Blobs may be there from a try before; a file of the same name is the same file."""
    if not place.exists():
        made.rename(place)
        return
    for path in made.rglob("*"):
        if path.is_file():
            target = place / path.relative_to(made)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.replace(target)


def _extract(file: Path, staging: Path, on_progress: Progress) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    promised: dict[str, Any] | None = None
    with _reading(file) as archive:
        for member in archive:
            if promised is not None or member.name in found or len(found) >= _MAX_MEMBERS:
                raise MalformedBackup(f"{file} has members it should not have")
            is_ours = member.name in (DATABASE, MANIFEST) or _BLOB_NAME.fullmatch(member.name) is not None
            # A sparse member may be larger than its archive: a small file could fill any disk.
            if not is_ours or not member.isreg() or member.issparse():
                raise MalformedBackup(f"{file} has a member of the name {member.name[:80]!r}, which no backup has")
            source = archive.extractfile(member)
            assert source is not None, "a regular member has no bytes"
            if member.name == MANIFEST:
                promised = _parse_manifest(file, source.read(min(member.size, _MAX_MANIFEST_BYTES)))
            else:
                found[member.name] = _write_out(source, staging / member.name)
                on_progress(archive.offset)
    if promised is None:
        raise MalformedBackup(f"{file} ends before its manifest: it is not whole")
    if promised != found or DATABASE not in found:
        raise MalformedBackup(f"{file} is damaged: its members are not those of its manifest")
    return found


@contextmanager
def _reading(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r:") as archive:
            yield archive
    except (tarfile.TarError, EOFError, ValueError) as exc:
        raise MalformedBackup(f"{file} is no backup, or not whole: {exc}") from exc


def _parse_manifest(file: Path, data: bytes) -> dict[str, Any]:
    try:
        manifest: object = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise MalformedBackup(f"the manifest of {file} cannot be read") from exc
    match manifest:
        case {"format": "unhush-backup", "version": int(version), "members": dict(members)} if version == VERSION:
            return members
        case {"format": "unhush-backup", "version": int(version)}:
            raise MalformedBackup(f"{file} is a backup of version {version}; this program reads version {VERSION}")
    raise MalformedBackup(f"{file} is no backup of unhush")


def _write_out(source: IO[bytes], path: Path) -> dict[str, Any]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return {"size": size, "sha256": digest.hexdigest()}


def _make_ours(folder: Path, network: str) -> None:
    """A home that wrote with a key which is not here: its log is one like any other now."""
    if is_readable_here() and (walk := check_pages(folder)).damaged:
        raise MalformedBackup(f"the database in the backup is damaged: {walk.problems[0]}")
    environment = Environment(folder, network=network)
    try:
        with environment.write() as txn:
            clones.forget_device(txn)
            settings.put_words_at(txn, None)
            statements.forget_epoch(txn)
    finally:
        environment.close()
