"""Key files: a secret seed on disk, readable by its owner alone (THREATS "Keys").

A file is a DAG-CBOR map {v, kind, pub, kdf, aead, nonce, ct}. ``kdf`` and
``aead`` are null in an unsealed file, whose ``ct`` is the seed itself. Files
are written whole or not at all, and a file that others could have read or
written is refused.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import SEED_BYTES, SigningKey
from unhush.storage.errors import KeyFileError

MAX_FILE_BYTES: Final = 4_096  # a sealed file has about 300
_VERSION: Final = 1


def make_private_dir(path: Path) -> None:
    """Make a folder that only its owner can enter; raises ``KeyFileError`` if it is somebody else's."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as exc:
        raise KeyFileError(f"{path} is not a folder of this user: {exc.strerror}") from exc
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise KeyFileError(f"{path} is not a folder of this user")
    if found.st_mode & 0o077:
        path.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 whole or not at all: temporary file, fsync, rename, fsync of the folder."""
    try:
        # A name of its own: what a killed process left behind, whatever its number was, is in nobody's way.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        with _taken_away_on_failure(Path(temporary)):
            _write_through(descriptor, data)
            Path(temporary).rename(path)
            _sync_folder(path.parent)
    except OSError as exc:
        raise KeyFileError(f"{path} cannot be written: {exc.strerror}") from exc


def write_new_private(path: Path, data: bytes) -> None:
    """As ``write_private``, refusing to replace anything: created exclusively, where the person says."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as exc:
        raise KeyFileError(f"{path} exists already; nothing was written over it") from exc
    except OSError as exc:
        raise KeyFileError(f"{path} cannot be written: {exc.strerror}") from exc
    try:
        with _taken_away_on_failure(path):
            _write_through(descriptor, data)
            _sync_folder(path.parent)
    except OSError as exc:
        raise KeyFileError(f"{path} cannot be written: {exc.strerror}") from exc


@contextlib.contextmanager
def _taken_away_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write_through(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_private(path: Path) -> bytes:
    """Read a small file of ours; raises ``KeyFileError`` if others could have read or written it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as exc:
        raise KeyFileError(f"there is no key file {path}") from exc
    except OSError as exc:
        raise KeyFileError(f"the key file {path} cannot be opened: {exc.strerror}") from exc
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise KeyFileError(f"{path} is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_uid != os.getuid():
            raise KeyFileError(f"{path} belongs to another user")
        if found.st_mode & 0o077:
            mode = stat.S_IMODE(found.st_mode)
            raise KeyFileError(f"{path} has mode {mode:04o}: others could read the key; if none did: chmod 600 {path}")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise KeyFileError(f"{path} is too long for a key file")
    return data


def write_key(path: Path, kind: str, key: SigningKey) -> None:
    """Keep a key unsealed."""
    fields: dict[str, Value] = {
        "v": _VERSION,
        "kind": kind,
        "pub": key.public.bytes,
        "kdf": None,
        "aead": None,
        "nonce": None,
        "ct": key.seed,
    }
    write_private(path, encode(fields))


def read_key(path: Path, kind: str) -> SigningKey:
    """The key of an unsealed key file; raises ``KeyFileError``."""
    try:
        fields = decode_map(read_private(path), max_bytes=MAX_FILE_BYTES)
    except MalformedBytes as exc:
        raise KeyFileError(f"{path} is no key file: {exc}") from exc
    match fields:
        case {
            "v": 1,
            "kind": str() as found,
            "kdf": None,
            "aead": None,
            "pub": bytes() as public,
            "ct": bytes() as seed,
        }:
            if found != kind or len(seed) != SEED_BYTES:
                raise KeyFileError(f"{path} is no {kind} key")
            key = SigningKey(seed)
            if key.public.bytes != public:
                raise KeyFileError(f"{path} is damaged: its public and secret halves do not fit")
            return key
    raise KeyFileError(f"{path} is no key file of a version and sealing this program knows")
