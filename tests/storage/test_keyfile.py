"""Key files: readable by their owner alone, whole or not at all, and refused when they are anything else."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.people import dice

from unhush.identity.codec import Value, encode
from unhush.identity.keys import SigningKey
from unhush.storage.errors import KeyFileError
from unhush.storage.keyfile import (
    MAX_FILE_BYTES,
    make_private_dir,
    read_key,
    read_private,
    write_key,
    write_new_private,
    write_private,
)

KEY = SigningKey(dice(7)(32))


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
        read_key(path, "device")


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

        try:
            found = read_key(path, "device")
        except KeyFileError:
            continue
        assert found == KEY  # the bit was in a field that says nothing here


def test_no_error_of_a_key_file_tells_the_key(tmp_path: Path) -> None:
    for data in (*DAMAGED.values(), fields(kind="root")):
        write_private(tmp_path / "device.key", data)
        with pytest.raises(KeyFileError) as caught:
            read_key(tmp_path / "device.key", "device")
        assert KEY.seed.hex() not in str(caught.value)
        assert repr(KEY.seed)[2:-1] not in str(caught.value)


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
