"""Key files: readable by their owner alone, whole or not at all, and refused when they are anything else."""

import os
import socket
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from Crypto.Cipher import ChaCha20_Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from tests.support.people import dice

from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import SigningKey
from unhush.storage import keyfile
from unhush.storage.errors import BadPassphrase, KeyFileDamaged, KeyFileError, KeySealed, WrongPassphrase
from unhush.storage.keyfile import (
    DEFAULT_SEALING,
    MAX_FILE_BYTES,
    MAX_MEMORY_BYTES,
    MAX_OPS,
    MAX_PASSPHRASE_BYTES,
    MIN_MEMORY_BYTES,
    KeyFileFacts,
    Sealing,
    erase_private,
    make_private_dir,
    read_key,
    read_private,
    read_public,
    write_key,
    write_new_private,
    write_private,
)

KEY = SigningKey(dice(7)(32))
PASSPHRASE = "a horse, of course"
CHEAP = Sealing(ops=1, memory_bytes=MIN_MEMORY_BYTES)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fields(**changes: Value) -> bytes:
    good: dict[str, Value] = {
        "v": 1,
        "kind": "device",
        "pub": KEY.public.bytes,
        "kdf": None,
        "aead": None,
        "nonce": None,
        "ct": KEY.seed,
    }
    return encode({**good, **changes})


def write_sealed(path: Path, passphrase: str = PASSPHRASE) -> bytes:
    write_key(path, "device", KEY, passphrase=passphrase, sealing=CHEAP, random_bytes=dice(8))
    return path.read_bytes()


def put(path: Path, data: bytes) -> None:
    """Write at once: the tests that turn every bit would wait for the disk."""
    path.write_bytes(data)
    path.chmod(0o600)


def with_new_sum(sealed: bytes, **changes: Value) -> bytes:
    """What somebody writes who alters a sealed file on purpose."""
    altered = {name: value for name, value in decode_map(sealed).items() if name != "sum"} | changes
    return encode({**altered, "sum": sha256(encode(altered)).digest()[:8]})


def right() -> str:
    return PASSPHRASE


def wrong() -> str:
    return PASSPHRASE + "!"


def nobody() -> str:
    raise AssertionError("asked for a passphrase that could not help")


def test_a_key_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_key(tmp_path / "device.key", "device", KEY)

    assert read_key(tmp_path / "device.key", "device") == KEY


def test_a_key_file_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_key(tmp_path / "device.key", "device", KEY)
        write_new_private(tmp_path / "words.txt", b"words")
    finally:
        os.umask(before)

    assert mode_of(tmp_path / "device.key") == mode_of(tmp_path / "words.txt") == 0o600


def test_writing_leaves_nothing_else_behind(tmp_path: Path) -> None:
    write_private(tmp_path / "device.key", b"one")
    write_private(tmp_path / "device.key", b"two")

    assert [path.name for path in tmp_path.iterdir()] == ["device.key"]
    assert read_private(tmp_path / "device.key") == b"two"


def test_a_write_that_fails_keeps_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "device.key"
    write_private(path, b"the only copy")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(KeyFileError, match="No space left"):
        write_private(path, b"half of")

    assert read_private(path) == b"the only copy"
    assert [found.name for found in tmp_path.iterdir()] == ["device.key"]


def test_a_write_killed_half_way_does_not_stop_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    (tmp_path / f".device.key.{os.getpid()}.new").write_bytes(b"half of a ke")

    write_key(path, "device", KEY)

    assert read_key(path, "device") == KEY


def test_a_file_that_must_be_new_is_never_written_over(tmp_path: Path) -> None:
    write_new_private(tmp_path / "words.txt", b"words")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(KeyFileError, match="exists already"):
        write_new_private(tmp_path / "words.txt", b"others")
    with pytest.raises(KeyFileError):
        write_new_private(tmp_path / "link", b"words")

    assert (tmp_path / "words.txt").read_bytes() == b"words"
    assert not (tmp_path / "elsewhere").exists()


def test_a_new_file_that_cannot_be_finished_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(KeyFileError, match="No space left"):
        write_new_private(tmp_path / "words.txt", b"words")

    assert list(tmp_path.iterdir()) == []


def test_writing_through_a_symlink_replaces_the_link_and_not_its_target(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"not ours")
    (tmp_path / "device.key").symlink_to(target)

    write_private(tmp_path / "device.key", b"ours")

    assert target.read_bytes() == b"not ours"
    assert not (tmp_path / "device.key").is_symlink()


def missing(path: Path) -> None:
    """Nothing there."""


def symlink(path: Path) -> None:
    write_key(path.with_name("real"), "device", KEY)
    path.symlink_to(path.with_name("real"))


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def folder(path: Path) -> None:
    path.mkdir(0o700)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)  # socket paths are short
        made.bind(path.name)


def too_long(path: Path) -> None:
    write_private(path, bytes(MAX_FILE_BYTES + 1))


def readable_by_group(path: Path) -> None:
    write_key(path, "device", KEY)
    path.chmod(0o640)


def sealed_but_readable_by_all(path: Path) -> None:
    write_sealed(path)
    path.chmod(0o644)


def writable_by_others(path: Path) -> None:
    write_key(path, "device", KEY)
    path.chmod(0o602)


def of_another_user(path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file to another user")
    write_key(path, "device", KEY)
    os.chown(path, 12345, 12345)


def below_a_file(path: Path) -> None:
    path.with_name("above").write_bytes(b"")
    path.symlink_to(path.with_name("above") / "key")


HOSTILE: list[tuple[Callable[[Path], None], str]] = [
    (missing, "there is no key file"),
    (symlink, "cannot be opened"),
    (fifo, "no regular file"),
    (folder, "no regular file"),
    (unix_socket, "cannot be opened"),
    (too_long, "too long"),
    (readable_by_group, "mode 0640"),
    (sealed_but_readable_by_all, "mode 0644"),
    (writable_by_others, "mode 0602"),
    (of_another_user, "another user"),
    (below_a_file, "cannot be opened"),
]


@pytest.mark.parametrize(("make", "error"), HOSTILE, ids=[make.__name__ for make, _ in HOSTILE])
def test_a_hostile_key_file_is_refused_by_name(
    make: Callable[[Path], None], error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "device.key"
    make(path)

    with pytest.raises(KeyFileError, match=error):
        read_key(path, "device", nobody)
    with pytest.raises(KeyFileError, match=error):
        read_public(path, "device")


DAMAGED = {
    "empty": b"",
    "garbage": b"\xff" * 100,
    "cut short": fields()[:-1],
    "trailing byte": fields() + b"\x00",
    "a list": encode([1]),
    "another version": fields(v=2),
    "another kind": fields(kind="root"),
    "sealed in a way we do not know": fields(kdf={"name": "argon9"}, aead="rot13", nonce=bytes(24)),
    "seed too short": fields(ct=KEY.seed[:31]),
    "seed of another key": fields(ct=bytes(32)),
    "public half too short": fields(pub=b"x"),
    "no seed": encode({"v": 1, "kind": "device", "pub": KEY.public.bytes, "kdf": None, "aead": None}),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_key_file_is_refused_by_name(data: bytes, tmp_path: Path) -> None:
    write_private(tmp_path / "device.key", data)

    with pytest.raises(KeyFileError):
        read_key(tmp_path / "device.key", "device")


def test_no_flipped_bit_of_a_key_file_gives_another_key(tmp_path: Path) -> None:
    path, good = tmp_path / "device.key", fields()
    for at in range(len(good) * 8):
        data = bytearray(good)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        path.chmod(0o600)

        with pytest.raises(KeyFileError) as caught:
            read_key(path, "device")
        assert_says_nothing_secret(caught.value)


def test_no_error_of_a_key_file_tells_the_key(tmp_path: Path) -> None:
    for data in (*DAMAGED.values(), fields(kind="root")):
        write_private(tmp_path / "device.key", data)
        with pytest.raises(KeyFileError) as caught:
            read_key(tmp_path / "device.key", "device")
        assert_says_nothing_secret(caught.value)


def assert_says_nothing_secret(error: BaseException) -> None:
    """Not three bytes of the seed in a row in any notation, nor the passphrase, in all that would be logged."""
    shown = "".join(traceback.format_exception(error)) + str(error) + repr(error) + repr(vars(error))
    for at in range(len(KEY.seed) - 2):
        part = KEY.seed[at : at + 3]
        assert part.hex() not in shown
        assert repr(part)[2:-1] not in shown
        assert part.decode("latin-1") not in shown
    assert PASSPHRASE not in shown


def test_a_private_folder_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(0o755)

    make_private_dir(tmp_path / "open")
    make_private_dir(tmp_path / "deep" / "new")

    assert mode_of(tmp_path / "open") == mode_of(tmp_path / "deep" / "new") == 0o700


def test_what_is_no_folder_of_ours_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    for name in ("file", "link", "file/below"):
        with pytest.raises(KeyFileError):
            make_private_dir(tmp_path / name)


def test_a_folder_that_is_missing_is_named_when_writing(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written"):
        write_private(tmp_path / "missing" / "device.key", b"x")
    with pytest.raises(KeyFileError, match="cannot be written"):
        write_new_private(tmp_path / "missing" / "words.txt", b"x")


# --- sealed files -----------------------------------------------------------------------


def test_a_sealed_key_reads_back_with_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    sealed = write_sealed(path)

    assert read_key(path, "device", right) == KEY
    assert KEY.seed not in sealed
    assert len(sealed) < 300
    assert mode_of(path) == 0o600


def test_other_implementations_of_argon2_and_xchacha_open_a_seal(tmp_path: Path) -> None:
    """OpenSSL derives, pycryptodome opens (libp2p brings both along), so the format is what it says it is."""
    sealed = decode_map(write_sealed(tmp_path / "device.key"))
    kdf, nonce, secret = sealed["kdf"], sealed["nonce"], sealed["ct"]
    assert isinstance(kdf, dict)
    assert isinstance(nonce, bytes)
    assert isinstance(secret, bytes)
    derivation = Argon2id(salt=kdf["salt"], length=32, iterations=kdf["ops"], lanes=1, memory_cost=kdf["mem"] // 1024)
    cipher = ChaCha20_Poly1305.new(key=derivation.derive(PASSPHRASE.encode()), nonce=nonce)
    cipher.update(encode({name: value for name, value in sealed.items() if name not in {"ct", "sum"}}))

    assert cipher.decrypt_and_verify(secret[:32], secret[32:]) == KEY.seed


def test_every_seal_has_a_salt_and_a_nonce_of_its_own(tmp_path: Path) -> None:
    found = set()
    for _ in range(2):
        write_key(tmp_path / "device.key", "device", KEY, passphrase=PASSPHRASE, sealing=CHEAP)
        found.add((tmp_path / "device.key").read_bytes())

    assert len(found) == 2


def test_the_default_sealing_is_the_one_we_say(tmp_path: Path) -> None:
    write_key(tmp_path / "device.key", "device", KEY, passphrase=PASSPHRASE)

    kdf = decode_map((tmp_path / "device.key").read_bytes())["kdf"]
    assert isinstance(kdf, dict)
    assert (kdf["name"], kdf["ops"], kdf["mem"]) == ("argon2id", 3, 256 * 2**20)
    assert read_key(tmp_path / "device.key", "device", right) == KEY


def test_nobody_is_asked_about_an_unsealed_file(tmp_path: Path) -> None:
    write_key(tmp_path / "device.key", "device", KEY)

    assert read_key(tmp_path / "device.key", "device", nobody) == KEY


def test_a_sealed_file_without_anybody_to_ask_is_named(tmp_path: Path) -> None:
    write_sealed(tmp_path / "device.key")

    with pytest.raises(KeySealed, match="nobody to ask"):
        read_key(tmp_path / "device.key", "device")


def test_whose_key_a_file_holds_is_known_without_opening_it(tmp_path: Path) -> None:
    write_sealed(tmp_path / "sealed.key")
    write_key(tmp_path / "open.key", "device", KEY)

    assert read_public(tmp_path / "sealed.key", "device") == KeyFileFacts(KEY.public, is_sealed=True)
    assert read_public(tmp_path / "open.key", "device") == KeyFileFacts(KEY.public, is_sealed=False)


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_facts_are_not_read_from_a_damaged_file(data: bytes, tmp_path: Path) -> None:
    write_private(tmp_path / "device.key", data)

    with pytest.raises(KeyFileError):
        read_public(tmp_path / "device.key", "device")


def test_a_wrong_passphrase_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    sealed = write_sealed(path)

    with pytest.raises(WrongPassphrase) as caught:
        read_key(path, "device", wrong)
    put(path, sealed[:-1] + bytes((sealed[-1] ^ 1,)))
    with pytest.raises(KeyFileDamaged):
        read_key(path, "device", nobody)

    assert_says_nothing_secret(caught.value)


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("\u212b", "\u00c5"),
        ("\ufb01ne", "fine"),
        ("\uff41\uff42", "ab"),
        ("\u1f82", "\u03b1\u0313\u0300\u0345"),
        ("x" * MAX_PASSPHRASE_BYTES, "x" * MAX_PASSPHRASE_BYTES),
        (" ", "\u00a0"),
    ],
)
def test_a_passphrase_is_the_same_from_every_keyboard(written: str, typed: str, tmp_path: Path) -> None:
    write_sealed(tmp_path / "device.key", written)

    assert read_key(tmp_path / "device.key", "device", lambda: typed) == KEY


@pytest.mark.parametrize(
    "passphrase",
    ["", "x" * 1_025, "\u00e9" * 513, "\ufdfa" * 40, "hunter2\ud800", "x" + "\u0301\u0316" * 50_000],
    ids=["empty", "too long", "too long in UTF-8", "too long in NFKC", "no text", "100,000 accents"],
)
def test_what_can_be_no_passphrase_is_refused_on_both_ways(passphrase: str, tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    sealed = write_sealed(path)

    for attempt in (lambda: write_sealed(path, passphrase), lambda: read_key(path, "device", lambda: passphrase)):
        with pytest.raises(BadPassphrase) as caught:
            attempt()
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None
    assert path.read_bytes() == sealed


def test_no_turned_bit_of_a_sealed_file_opens_it(tmp_path: Path) -> None:
    """Each of some 2,000: named at once, before anybody is asked."""
    path = tmp_path / "device.key"
    good = write_sealed(path)
    for at in range(len(good) * 8):
        data = bytearray(good)
        data[at // 8] ^= 1 << at % 8
        put(path, bytes(data))

        with pytest.raises(KeyFileError) as caught:
            read_key(path, "device", nobody)
        with pytest.raises(KeyFileError):
            read_public(path, "device")
        assert not isinstance(caught.value, WrongPassphrase)


def test_no_bit_turned_with_care_opens_a_sealed_file(tmp_path: Path) -> None:
    """As above, with a new sum: the seal itself covers every field."""
    path, tried = tmp_path / "device.key", 0
    good = write_sealed(path)
    for at in range(len(good) * 8):
        data = bytearray(good)
        data[at // 8] ^= 1 << at % 8
        try:
            altered = with_new_sum(bytes(data))
        except MalformedBytes:
            continue
        if altered == good:
            continue  # the bit was in the sum
        put(path, altered)
        tried += 1

        with pytest.raises(KeyFileError) as caught:
            read_key(path, "device", right)
        assert_says_nothing_secret(caught.value)
    assert tried > 1_300


def test_no_beginning_of_a_sealed_file_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    good = write_sealed(path)
    for length in range(len(good)):
        put(path, good[:length])

        with pytest.raises(KeyFileError):
            read_key(path, "device", nobody)


def test_a_sealed_key_of_another_kind_is_refused_before_asking(tmp_path: Path) -> None:
    write_sealed(tmp_path / "device.key")

    with pytest.raises(KeyFileError, match="no peer key"):
        read_key(tmp_path / "device.key", "peer", nobody)


SALT: Value = bytes(16)
HOSTILE_SEALS: dict[str, dict[str, Value]] = {
    "no passes": {"kdf": {"name": "argon2id", "ops": 0, "mem": MIN_MEMORY_BYTES, "salt": SALT}},
    "17 passes": {"kdf": {"name": "argon2id", "ops": MAX_OPS + 1, "mem": MIN_MEMORY_BYTES, "salt": SALT}},
    "endless passes": {"kdf": {"name": "argon2id", "ops": 2**63 - 1, "mem": MIN_MEMORY_BYTES, "salt": SALT}},
    "passes below nothing": {"kdf": {"name": "argon2id", "ops": -1, "mem": MIN_MEMORY_BYTES, "salt": SALT}},
    "too little memory": {"kdf": {"name": "argon2id", "ops": 1, "mem": MIN_MEMORY_BYTES - 1, "salt": SALT}},
    "too much memory": {"kdf": {"name": "argon2id", "ops": 1, "mem": MAX_MEMORY_BYTES + 1, "salt": SALT}},
    "endless memory": {"kdf": {"name": "argon2id", "ops": 1, "mem": 2**63 - 1, "salt": SALT}},
    "passes that are a truth": {"kdf": {"name": "argon2id", "ops": True, "mem": MIN_MEMORY_BYTES, "salt": SALT}},
    "passes in words": {"kdf": {"name": "argon2id", "ops": "3", "mem": MIN_MEMORY_BYTES, "salt": SALT}},
    "short salt": {"kdf": {"name": "argon2id", "ops": 1, "mem": MIN_MEMORY_BYTES, "salt": bytes(15)}},
    "no salt": {"kdf": {"name": "argon2id", "ops": 1, "mem": MIN_MEMORY_BYTES}},
    "more than we know": {"kdf": {"name": "argon2id", "ops": 1, "mem": 8192, "salt": SALT, "lanes": 4}},
    "another derivation": {"kdf": {"name": "argon2i", "ops": 1, "mem": MIN_MEMORY_BYTES, "salt": SALT}},
    "derivation as text": {"kdf": "argon2id"},
    "no derivation": {"kdf": None},
    "another cipher": {"aead": "aes256-gcm"},
    "no cipher": {"aead": None},
    "short nonce": {"nonce": bytes(23)},
    "no nonce": {"nonce": None},
    "short secret": {"ct": bytes(47)},
    "long secret": {"ct": bytes(49)},
    "secret as text": {"ct": "x" * 48},
    "short key": {"pub": bytes(31)},
    "key as text": {"pub": "x" * 32},
    "kind as a list": {"kind": ["device"]},
    "version 2": {"v": 2},
    "version true": {"v": True},
    "one field more": {"hint": "the usual"},
}


@pytest.mark.parametrize("changes", HOSTILE_SEALS.values(), ids=HOSTILE_SEALS.keys())
def test_a_hostile_seal_is_refused_before_anything_is_derived(
    changes: dict[str, Value], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "device.key"
    hostile = with_new_sum(write_sealed(path), **changes)
    put(path, hostile)
    derived: list[object] = []
    monkeypatch.setattr(keyfile, "crypto_pwhash_alg", lambda *arguments: derived.append(arguments))

    with pytest.raises(KeyFileError, match=r"device\.key (is|of)") as caught:
        read_key(path, "device", nobody)

    assert not derived
    assert not isinstance(caught.value, KeyFileDamaged | WrongPassphrase)
    assert path.read_bytes() == hostile


def test_a_seal_without_a_sum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    put(path, encode({name: value for name, value in decode_map(write_sealed(path)).items() if name != "sum"}))

    with pytest.raises(KeyFileError):
        read_key(path, "device", nobody)


def test_a_public_half_that_was_sealed_with_another_secret_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    liar = SigningKey(bytes(32))
    object.__setattr__(liar, "public", KEY.public)
    write_key(path, "device", liar, passphrase=PASSPHRASE, sealing=CHEAP)

    with pytest.raises(KeyFileDamaged, match="do not fit"):
        read_key(path, "device", right)


@pytest.mark.parametrize(("ops", "memory_bytes"), [(0, 8192), (17, 8192), (1, 8191), (1, 2**30 + 1)])
def test_a_sealing_has_bounds(ops: int, memory_bytes: int) -> None:
    with pytest.raises(KeyFileError, match="a sealing takes"):
        Sealing(ops, memory_bytes)


def test_a_machine_without_the_memory_for_a_seal_says_so(tmp_path: Path) -> None:
    """The largest seal we accept, under a limit of 512 MiB: an error by name, and the file stays."""
    path = tmp_path / "device.key"
    kdf: Value = {"name": "argon2id", "ops": 1, "mem": MAX_MEMORY_BYTES, "salt": SALT}
    put(path, with_new_sum(write_sealed(path), kdf=kdf))
    script = (
        "import resource, sys; from pathlib import Path; from unhush.storage.keyfile import read_key\n"
        "from unhush.storage.errors import KeyFileError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\n"
        "try: read_key(Path(sys.argv[1]), 'device', lambda: 'x')\n"
        "except KeyFileError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)

    assert done.stdout == "KeyFileError the key cannot be derived: there are no 1024 MiB of free memory for it\n"


def test_a_seal_that_cannot_be_written_keeps_the_key_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "device.key"
    write_key(path, "device", KEY)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(KeyFileError, match="No space left") as caught:
        write_sealed(path)

    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["device.key"]
    assert_says_nothing_secret(caught.value)


def test_a_failed_reading_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    sealed = write_sealed(path)
    before = path.stat()

    for kind, ask in (("device", wrong), ("device", str), ("peer", right), ("device", None)):
        with pytest.raises(KeyFileError):
            read_key(path, kind, ask)

    after = path.stat()
    assert path.read_bytes() == sealed
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert [found.name for found in tmp_path.iterdir()] == ["device.key"]


def test_nothing_we_keep_in_memory_shows_the_secret(tmp_path: Path) -> None:
    write_key(tmp_path / "device.key", "device", KEY)

    shown = repr(keyfile._parse(tmp_path / "device.key", "device")) + repr(DEFAULT_SEALING)

    assert repr(KEY.seed)[2:-1] not in shown


# --- what is taken away -----------------------------------------------------------------


def leftover(path: Path, *, age_s: float) -> Path:
    path.write_bytes(b"half of a ke")
    os.utime(path, times=(time.time() - age_s,) * 2)
    return path


def test_a_write_clears_what_killed_ones_left_an_hour_ago(tmp_path: Path) -> None:
    old = leftover(tmp_path / ".device.key.a1b2c3_d.new", age_s=3_700)
    kept = [
        leftover(tmp_path / ".device.key.young123.new", age_s=3_500),
        leftover(tmp_path / ".device.key.from the future.new", age_s=-9_999),
        leftover(tmp_path / ".peer.key.a1b2c3_d.new", age_s=9_999),
        leftover(tmp_path / ".device.key.bak.a1b2c3_d.new", age_s=9_999),
        leftover(tmp_path / ".deviceXkey.a1b2c3_d.new", age_s=9_999),
        leftover(tmp_path / "device.key.new", age_s=9_999),
    ]
    target = leftover(tmp_path / "target", age_s=9_999)
    for name, make in (("link", lambda path: path.symlink_to(target)), ("fifo", os.mkfifo), ("folder", os.mkdir)):
        made = tmp_path / f".device.key.{name}.new"
        make(made)
        os.utime(made, times=(0, 0), follow_symlinks=False)
        kept.append(made)

    write_key(tmp_path / "device.key", "device", KEY)

    assert not old.exists()
    assert all(os.path.lexists(path) for path in kept)
    assert target.read_bytes() == b"half of a ke"


def test_the_leftover_of_another_user_is_not_touched(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file to another user")
    theirs = leftover(tmp_path / ".device.key.a1b2c3_d.new", age_s=9_999)
    os.chown(theirs, 12345, 12345)

    write_key(tmp_path / "device.key", "device", KEY)

    assert theirs.read_bytes() == b"half of a ke"


def test_an_erased_file_is_overwritten_before_it_goes(tmp_path: Path) -> None:
    write_new_private(tmp_path / "words.txt", b"twenty-four words")
    os.link(tmp_path / "words.txt", tmp_path / "witness")

    erase_private(tmp_path / "words.txt")

    assert (tmp_path / "witness").read_bytes() == bytes(17)
    assert not (tmp_path / "words.txt").exists()


def long_file(path: Path) -> None:
    write_private(path, bytes(MAX_FILE_BYTES + 1))


@pytest.mark.parametrize(
    "make", [missing, symlink, fifo, folder, unix_socket, long_file, of_another_user, below_a_file]
)
def test_what_is_no_small_file_of_ours_is_not_erased(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "words.txt")
    before = sorted(tmp_path.iterdir())

    with pytest.raises(KeyFileError, match="erased"):
        erase_private(tmp_path / "words.txt")

    assert sorted(tmp_path.iterdir()) == before
    if make is symlink:
        assert read_key(tmp_path / "real", "device") == KEY


# --- core files -------------------------------------------------------------------------


def test_a_process_that_forbids_core_dumps_has_none_and_says_so_to_the_kernel() -> None:
    """2 settings: the limit, and the flag that counts when cores are piped to a program."""
    script = (
        "import ctypes, resource; from unhush.storage.hygiene import forbid_core_dumps\n"
        "forbid_core_dumps(); forbid_core_dumps()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "(0, 0) 0\n"


def test_a_system_without_those_settings_is_no_error() -> None:
    script = (
        "import ctypes, resource; from unhush.storage.hygiene import forbid_core_dumps\n"
        "def fail(*_): raise ValueError('not allowed')\n"
        "resource.setrlimit = fail; ctypes.CDLL = lambda _: object()\n"
        "forbid_core_dumps(); print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "went on\n"


def test_files_that_belong_together_are_all_written_before_one_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    keyfile.write_all_private([(first, b"1"), (second, b"1")])
    with monkeypatch.context() as patched:
        real, calls = os.fsync, []

        def fail(descriptor: int) -> None:
            calls.append(descriptor)
            if len(calls) == 2:
                raise OSError(28, "No space left on device")
            real(descriptor)

        patched.setattr("os.fsync", fail)
        with pytest.raises(KeyFileError, match="second cannot be written"):
            keyfile.write_all_private([(first, b"2"), (second, b"2")])

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"first": b"1", "second": b"1"}
