"""Key files: a secret seed on disk, readable by its owner alone, sealed with a passphrase if there is one.

A file is a DAG-CBOR map {v, kind, pub, kdf, aead, nonce, ct}. In an unsealed
file ``kdf``, ``aead`` and ``nonce`` are null and ``ct`` is the seed itself. In a
sealed one ``ct`` is the seed under XChaCha20-Poly1305, with the rest of the map
as associated data and a key that Argon2id derives from the passphrase; ``sum``,
the start of a SHA-256 over the map without it, tells a damaged file from a wrong
passphrase. The sum guards against accidents, not against people: whoever alters
the file can write a new sum, and then it looks like a wrong passphrase.

Files are written whole or not at all, and a file that others could have read or
written is refused. Python cannot wipe its memory: seed and passphrase stay in
that of the process (``storage/hygiene.py`` keeps them out of core files).
"""

import contextlib
import errno
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final
from unicodedata import normalize

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_ABYTES,
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    crypto_pwhash_alg,
    crypto_pwhash_ALG_ARGON2ID13,
    crypto_pwhash_SALTBYTES,
)
from nacl.exceptions import CryptoError

from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import KEY_BYTES, SEED_BYTES, PublicKey, SigningKey
from unhush.storage.errors import BadPassphrase, KeyFileDamaged, KeyFileError, KeySealed, WrongPassphrase

MAX_FILE_BYTES: Final = 4_096  # a sealed file has about 240
MAX_PASSPHRASE_BYTES: Final = 1_024  # nobody types more; what is longer is a file given by mistake
# Argon2id asks for at least these, and a hostile file may ask for no more than these: 11 s where the default takes 0.4.
MIN_OPS: Final = 1
MAX_OPS: Final = 16
MIN_MEMORY_BYTES: Final = 8_192
MAX_MEMORY_BYTES: Final = 2**30
_VERSION: Final = 1
_KDF: Final = "argon2id"
_AEAD: Final = "xchacha20-poly1305-ietf"
_SUM_BYTES: Final = 8
_UNSEALED_KEYS: Final = frozenset(("v", "kind", "pub", "kdf", "aead", "nonce", "ct"))
_SEALED_KEYS: Final = _UNSEALED_KEYS | {"sum"}
_KDF_KEYS: Final = frozenset(("name", "ops", "mem", "salt"))
# No write takes this long, so what is older belongs to a process that was killed.
_LEFTOVER_AGE_S: Final = 3_600


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
        try:
            path.chmod(0o700)
        except OSError as exc:
            if exc.errno != errno.EROFS:  # what cannot be written can be read all the same
                raise


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 whole or not at all: temporary file, fsync, rename, fsync of the folder."""
    write_all_private([(path, data)])


def write_all_private(files: Sequence[tuple[Path, bytes]]) -> None:
    """As ``write_private`` for several files that belong together: every temporary first, then the renames in order.

    What fails or is killed while they are written changes nothing. A kill between two renames leaves the files before
    it new and those after it old, so the order is the caller's to choose.
    """
    with contextlib.ExitStack() as staged:
        temporaries = [staged.enter_context(_staged(path, data)) for path, data in files]
        for temporary, (path, _) in zip(temporaries, files, strict=True):
            with _failing_for(path):
                temporary.rename(path)
                _sync_folder(path.parent)


@contextlib.contextmanager
def _staged(path: Path, data: bytes) -> Iterator[Path]:
    """A temporary beside ``path`` with its data on disk."""
    with _failing_for(path):
        _clear_leftovers(path)
        # A name of its own: what a killed process left behind, whatever its number was, is in nobody's way.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    temporary = Path(name)
    with _taken_away_on_failure(temporary):
        with _failing_for(path):
            _write_through(descriptor, data)
        yield temporary


@contextlib.contextmanager
def _failing_for(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise KeyFileError(f"{path} cannot be written: {exc.strerror}") from exc


def _clear_leftovers(path: Path) -> None:
    """Erase what killed processes left of earlier writes to ``path``; what cannot be erased is in nobody's way."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[^.]+\.new")
    with os.scandir(path.parent) as found:
        leftovers = [Path(entry) for entry in found if name.fullmatch(entry.name)]
    for leftover in leftovers:
        with contextlib.suppress(OSError, KeyFileError):
            if leftover.lstat().st_mtime < time.time() - _LEFTOVER_AGE_S:
                erase_private(leftover)


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


def erase_private(path: Path) -> None:
    """Overwrite a small file of ours and take it away; raises ``KeyFileError``, also if there is none.

    What it cannot promise: an SSD writes the new bytes elsewhere and keeps the old ones until it needs the room, a
    copy-on-write or journalling file system, a snapshot and a backup keep them too. Only an encrypted disk helps there.
    """
    try:
        # Not blocking: a FIFO without a reader would hold us here for ever.
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "wb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
                raise KeyFileError(f"{path} is no regular file of this user; it was not erased")
            if found.st_size > MAX_FILE_BYTES:
                raise KeyFileError(f"{path} is too long for a file of ours; it was not erased")
            file.write(bytes(found.st_size))
            file.flush()
            os.fsync(descriptor)
        path.unlink()
        _sync_folder(path.parent)
    except OSError as exc:
        raise KeyFileError(f"{path} cannot be erased: {exc.strerror}") from exc


@dataclass(frozen=True, slots=True)
class Sealing:
    """What trying one passphrase costs: passes of Argon2id and the memory they go over.

    The default is libsodium's MODERATE: 0.4 s on a 2.8 GHz core, a wait that nobody minds once a start and that
    leaves a guesser few tries a second. Tests take the least there is.
    """

    ops: int = 3
    memory_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        if not MIN_OPS <= self.ops <= MAX_OPS:
            raise KeyFileError(f"a sealing takes {MIN_OPS} to {MAX_OPS} passes, not {self.ops}")
        if not MIN_MEMORY_BYTES <= self.memory_bytes <= MAX_MEMORY_BYTES:
            raise KeyFileError(
                f"a sealing takes {MIN_MEMORY_BYTES} to {MAX_MEMORY_BYTES} bytes of memory, not {self.memory_bytes}"
            )


DEFAULT_SEALING: Final = Sealing()


@dataclass(frozen=True, slots=True)
class KeyFileFacts:
    """What a key file tells without being opened."""

    public: PublicKey
    is_sealed: bool


def write_key(
    path: Path,
    kind: str,
    key: SigningKey,
    *,
    passphrase: str | None = None,
    sealing: Sealing = DEFAULT_SEALING,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> None:
    """Keep a key, sealed if there is a passphrase; raises ``KeyFileError``, for example ``BadPassphrase``.

    Writing over an unsealed file does not wipe what the disk held (see ``erase_private``).
    """
    write_private(path, encode_key(kind, key, passphrase=passphrase, sealing=sealing, random_bytes=random_bytes))


def encode_key(
    kind: str,
    key: SigningKey,
    *,
    passphrase: str | None,
    sealing: Sealing,
    random_bytes: Callable[[int], bytes],
) -> bytes:
    """What stands in a key file, for who writes several at once; raises ``KeyFileError``."""
    header: dict[str, Value] = {"v": _VERSION, "kind": kind, "pub": key.public.bytes}
    if passphrase is None:
        return encode({**header, "kdf": None, "aead": None, "nonce": None, "ct": key.seed})
    salt, nonce = random_bytes(crypto_pwhash_SALTBYTES), random_bytes(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
    header["kdf"] = {"name": _KDF, "ops": sealing.ops, "mem": sealing.memory_bytes, "salt": salt}
    header |= {"aead": _AEAD, "nonce": nonce}
    secret = _derive(passphrase, sealing, salt)
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(key.seed, encode(header), nonce, secret)
    fields = {**header, "ct": sealed}
    return encode({**fields, "sum": _sum(fields)})


def read_key(path: Path, kind: str, ask: Callable[[], str] | None = None) -> SigningKey:
    """The key of a file; ``ask`` gives the passphrase, and is called only if the file is sealed and looks whole.

    Raises ``KeyFileError``: ``KeySealed`` if there is nobody to ask, ``WrongPassphrase`` (which is also what a file
    altered with care looks like), ``KeyFileDamaged``.
    """
    file = _parse(path, kind)
    if file.lock is None:
        return _fitting_key(path, file.secret, file.public)
    if ask is None:
        raise KeySealed(path)
    return _fitting_key(path, _open(path, file.lock, file.secret, ask()), file.public)


def read_public(path: Path, kind: str) -> KeyFileFacts:
    """Whose key file it is and whether it wants a passphrase, which is not asked for; raises ``KeyFileError``."""
    file = _parse(path, kind)
    if file.lock is None:
        _fitting_key(path, file.secret, file.public)
    return KeyFileFacts(file.public, is_sealed=file.lock is not None)


@dataclass(frozen=True, slots=True)
class _Lock:
    sealing: Sealing
    salt: bytes
    nonce: bytes
    header: bytes  # the associated data


@dataclass(frozen=True, slots=True)
class _KeyFile:
    public: PublicKey
    secret: bytes = field(repr=False)  # the seed itself, or sealed by the lock
    lock: _Lock | None


def _parse(path: Path, kind: str) -> _KeyFile:
    fields = _decode(path)
    version = fields.get("v")
    if type(version) is not int:  # True equals 1
        raise KeyFileError(f"{path} is no key file")
    if version != _VERSION:
        raise KeyFileError(f"{path} is a key file of version {version}; this program knows version {_VERSION}")
    # The sum first: a damaged file is called damaged whatever the damage makes of it.
    if "sum" in fields and fields["sum"] != _sum(fields):
        raise KeyFileDamaged(path, "its sum does not fit")
    if "kind" in fields and fields["kind"] != kind:
        raise KeyFileError(f"{path} is no {kind} key")
    match fields:
        case {"pub": bytes() as public, "kdf": None, "aead": None, "nonce": None, "ct": bytes() as seed} if (
            fields.keys() == _UNSEALED_KEYS and len(public) == KEY_BYTES and len(seed) == SEED_BYTES
        ):
            return _KeyFile(PublicKey(public), seed, None)
        case {
            "pub": bytes() as public,
            "kdf": dict() as kdf,
            "aead": str(),
            "nonce": bytes(),
            "ct": bytes() as sealed,
        } if (
            fields.keys() == _SEALED_KEYS
            and len(public) == KEY_BYTES
            and len(sealed) == SEED_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES
        ):
            return _KeyFile(PublicKey(public), sealed, _parse_lock(path, fields, kdf))
    raise KeyFileError(f"{path} is no key file of a form this program knows")


def _decode(path: Path) -> dict[str, Value]:
    data = read_private(path)
    with contextlib.suppress(MalformedBytes):
        return decode_map(data, max_bytes=MAX_FILE_BYTES)
    # Not raised from the other, which may quote a part of the file, and the file may hold a seed.
    raise KeyFileError(f"{path} is no key file, or a damaged one")


def _parse_lock(path: Path, fields: dict[str, Value], kdf: dict[str, Value]) -> _Lock:
    nonce = fields["nonce"]
    match kdf:
        case {"name": str() as name, "ops": int() as ops, "mem": int() as memory_bytes, "salt": bytes() as salt} if (
            kdf.keys() == _KDF_KEYS
            and (name, fields["aead"]) == (_KDF, _AEAD)
            and not isinstance(ops, bool)
            and not isinstance(memory_bytes, bool)
            and len(salt) == crypto_pwhash_SALTBYTES
            and isinstance(nonce, bytes)
            and len(nonce) == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
        ):
            header = encode({name: value for name, value in fields.items() if name not in {"ct", "sum"}})
            try:
                return _Lock(Sealing(ops, memory_bytes), salt, nonce, header)
            except KeyFileError as exc:
                raise KeyFileError(f"{path} is refused: {exc}") from exc
    raise KeyFileError(f"{path} is sealed in a way this program does not know")


def _sum(fields: dict[str, Value]) -> bytes:
    return sha256(encode({name: value for name, value in fields.items() if name != "sum"})).digest()[:_SUM_BYTES]


def _open(path: Path, lock: _Lock, sealed: bytes, passphrase: str) -> bytes:
    secret = _derive(passphrase, lock.sealing, lock.salt)
    try:
        seed: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, lock.header, lock.nonce, secret)
    except CryptoError as exc:
        raise WrongPassphrase(path) from exc
    return seed


def _fitting_key(path: Path, seed: bytes, public: PublicKey) -> SigningKey:
    key = SigningKey(seed)
    if key.public != public:
        raise KeyFileDamaged(path, "its public and secret halves do not fit")
    return key


def _derive(passphrase: str, sealing: Sealing, salt: bytes) -> bytes:
    data = _passphrase_bytes(passphrase)
    try:
        secret: bytes = crypto_pwhash_alg(
            crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
            data,
            salt,
            sealing.ops,
            sealing.memory_bytes,
            crypto_pwhash_ALG_ARGON2ID13,
        )
    except CryptoError as exc:
        needed = sealing.memory_bytes // 2**20
        raise KeyFileError(f"the key cannot be derived: there are no {needed} MiB of free memory for it") from exc
    return secret


def _passphrase_bytes(passphrase: str) -> bytes:
    """NFKC, so that one passphrase has the same bytes from every keyboard."""
    data = b""
    # Longer text cannot shrink to what is allowed, and normalising takes quadratic time where a stranger chose it.
    if len(passphrase) <= 4 * MAX_PASSPHRASE_BYTES:
        with contextlib.suppress(UnicodeEncodeError):  # a lone surrogate; that error would quote the passphrase
            data = normalize("NFKC", passphrase).encode()
    if not 1 <= len(data) <= MAX_PASSPHRASE_BYTES:
        raise BadPassphrase(f"a passphrase is text of 1 to {MAX_PASSPHRASE_BYTES} bytes in UTF-8")
    return data
