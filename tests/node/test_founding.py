"""Founding: the words reach the person and nobody else, and a crash anywhere is only a beginning again."""

import contextlib
import json
import logging
import random
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.commands import command, start
from tests.support.nodes import CHEAP

from unhush.identity.words import parse_words
from unhush.node import Config, Node, found_account
from unhush.node.account.founding import generate_words
from unhush.node.config import Home
from unhush.node.errors import AccountExists, BadConfig, KeyFileError, MalformedRecord
from unhush.storage.store import Store


@pytest.fixture
def config(new_config: Callable[[str], Config]) -> Config:
    return new_config("home")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def snapshot_of(folder: Path) -> dict[str, bytes]:
    """Every file of a home outside its database."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_only_the_owner_can_read_a_new_home(config: Config) -> None:
    found_account(config, "Ann")

    assert mode(config.home) == 0o700
    files = {path.name: mode(path) for path in config.home.iterdir()}
    assert files == {"device.key": 0o600, "words.txt": 0o600, "store": 0o700}
    assert {mode(path) for path in (config.home / "store").iterdir()} == {0o600}


def test_a_home_that_others_could_enter_is_closed_to_them(config: Config) -> None:
    config.home.mkdir(mode=0o755)
    found_account(config, "Ann")
    assert mode(config.home) == 0o700


def test_the_words_that_are_kept_are_the_ones_the_account_was_made_of(config: Config) -> None:
    created = found_account(config, "Ann")

    assert created.words_at == config.home / "words.txt"
    text = created.words_at.read_text()
    assert len(text.split()) == 24
    words = parse_words(text)
    with Node.open(config) as node:
        status = node.status()
        operation = node.raw(created.account)
        assert (status.account, status.name, status.words_waiting) == (created.account, "Ann", str(created.words_at))
    assert words.root(0).public.bytes in operation
    created.words_at.unlink()
    with Node.open(config) as node:
        assert node.status().words_waiting is None


def test_words_that_the_caller_shows_are_written_nowhere(config: Config) -> None:
    words = generate_words(config)
    created = found_account(config, "Ann", words=words)

    assert created.words_at is None
    assert set(snapshot_of(config.home)) == {"device.key"}
    with Node.open(config) as node:
        assert node.status().words_waiting is None
    secrets = [word.encode() for word in words.text().split()]
    everything = b"".join(path.read_bytes() for path in config.home.rglob("*") if path.is_file())
    assert words.text().encode() not in everything
    assert b" ".join(secrets[:3]) not in everything


def test_words_go_where_the_person_says(config: Config, tmp_path: Path) -> None:
    created = found_account(config, "Ann", words_to=tmp_path / "safe.txt")
    assert mode(tmp_path / "safe.txt") == 0o600
    assert not (config.home / "words.txt").exists()
    with Node.open(config) as node:
        assert node.status().words_waiting == str(created.words_at)


@pytest.mark.parametrize("kind", ["file", "link", "link to nothing", "folder"])
def test_a_words_file_that_exists_is_refused_and_nothing_is_changed(config: Config, tmp_path: Path, kind: str) -> None:
    there = tmp_path / "safe.txt"
    other = tmp_path / "other.txt"
    match kind:
        case "file":
            there.write_text("mine")
        case "link":
            other.write_text("mine")
            there.symlink_to(other)
        case "link to nothing":
            there.symlink_to(other)
        case _:
            there.mkdir()

    with pytest.raises(KeyFileError, match=r"safe\.txt"):
        found_account(config, "Ann", words_to=there)

    assert not other.exists() or other.read_text() == "mine"
    assert not there.is_file() or there.read_text() == "mine"
    assert snapshot_of(config.home) == {}
    with Node.open(config) as node:
        assert node.status().account is None


def test_a_words_file_that_is_no_words_is_not_written_over(config: Config) -> None:
    config.home.mkdir(mode=0o700)
    (config.home / "words.txt").write_text("my shopping list")
    (config.home / "words.txt").chmod(0o600)

    with pytest.raises(KeyFileError, match="nothing was written over it"):
        found_account(config, "Ann")

    assert (config.home / "words.txt").read_text() == "my shopping list"


@pytest.mark.parametrize(
    ("name", "error"),
    [("", BadConfig), ("  \n", BadConfig), ("x" * 201, MalformedRecord), ("é" * 101, MalformedRecord)],
)
def test_a_name_that_cannot_be_makes_nothing(config: Config, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        found_account(config, name)
    assert not config.home.exists()


@pytest.mark.parametrize("name", ["x", "x" * 200, "é" * 100, "🌊" * 50, "a\u0301" * 66])
def test_any_name_of_legal_length_is_taken(config: Config, name: str) -> None:
    assert found_account(config, f" {name} ").name == name


def test_a_second_account_in_a_home_is_refused_and_the_first_stays(config: Config, tmp_path: Path) -> None:
    created = found_account(config, "Ann")
    before = snapshot_of(config.home)

    with pytest.raises(AccountExists, match=str(created.account)):
        found_account(config, "Eve", words_to=tmp_path / "safe.txt")

    assert snapshot_of(config.home) == before
    assert not (tmp_path / "safe.txt").exists()
    with Node.open(config) as node:
        assert (node.account(), node.status().name) == (created.account, "Ann")


class Crash(BaseException):
    """The machine stops here."""


def crash_in_founding(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    *,
    step: str = "found_account",
    keep_root: bool = False,
    words_to: Path | None = None,
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Store, step, crash)
        with pytest.raises(Crash):
            found_account(config, "Ann", keep_root=keep_root, words_to=words_to)


@pytest.mark.parametrize(
    ("step", "files"), [("put_words_at", {"words.txt"}), ("found_account", {"device.key", "words.txt"})]
)
def test_a_crash_before_the_account_exists_is_resumed_with_the_same_words_and_key(
    config: Config, monkeypatch: pytest.MonkeyPatch, step: str, files: set[str]
) -> None:
    crash_in_founding(config, monkeypatch, step=step)
    left = snapshot_of(config.home)
    assert set(left) == files

    created = found_account(config, "Ann")

    assert left.items() <= snapshot_of(config.home).items()
    with Node.open(config) as node:
        assert node.status().words_waiting == str(Home(config.home).words)
        assert parse_words(left["words.txt"].decode()).root(0).public.bytes in node.raw(created.account)
        assert node.post("alive").text == "alive"


def passphrase(config: Config, given: str) -> Config:
    return replace(config, passphrase=lambda: given, sealing=CHEAP)


def test_keys_of_an_unfinished_attempt_that_another_passphrase_sealed_are_made_anew(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_in_founding(passphrase(config, "first"), monkeypatch, keep_root=True)
    assert set(snapshot_of(config.home)) == {"device.key", "root.key", "words.txt"}

    found_account(passphrase(config, "second"), "Ann")

    assert set(snapshot_of(config.home)) == {"device.key", "words.txt"}
    with Node.open(passphrase(config, "second")) as node:
        assert node.post("alive").text == "alive"


def test_a_sealed_key_of_an_unfinished_attempt_is_made_anew_where_no_passphrase_is_wanted(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_in_founding(passphrase(config, "first"), monkeypatch, keep_root=True)

    found_account(config, "Ann")

    assert set(snapshot_of(config.home)) == {"device.key", "words.txt"}
    with Node.open(config) as node:
        assert node.post("alive").text == "alive"


def test_an_unfinished_root_key_stays_only_with_the_words_it_is_of(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = passphrase(config, "one")
    crash_in_founding(sealed, monkeypatch, keep_root=True)
    left = snapshot_of(config.home)
    crash_in_founding(sealed, monkeypatch)
    assert snapshot_of(config.home) == left
    (config.home / "words.txt").unlink()

    found_account(sealed, "Ann")

    now = snapshot_of(config.home)
    assert set(now) == {"device.key", "words.txt"}
    assert now["device.key"] == left["device.key"]


def test_words_that_a_crash_left_where_the_person_says_are_used_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_in_founding(config, monkeypatch, words_to=tmp_path / "safe.txt")
    left = (tmp_path / "safe.txt").read_bytes()

    with pytest.raises(KeyFileError, match="nothing was written over it"):
        found_account(replace(config, home=tmp_path / "another home"), "Eve", words_to=tmp_path / "safe.txt")
    created = found_account(config, "Ann", words_to=tmp_path / "safe.txt")

    assert (tmp_path / "safe.txt").read_bytes() == left
    with Node.open(config) as node:
        assert parse_words(left.decode()).root(0).public.bytes in node.raw(created.account)


@pytest.mark.parametrize("renames", [0, 1])
def test_a_change_of_passphrase_killed_between_two_files_locks_nobody_out(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, renames: int
) -> None:
    old, new = passphrase(config, "old"), passphrase(config, "new")
    found_account(old, "Ann", keep_root=True)
    before = snapshot_of(config.home)
    real, done = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        if len(done) == renames:
            raise Crash
        done.append(target.name)
        return real(path, target)

    with Node.open(old) as node, monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        with pytest.raises(Crash):
            node.devices.change_passphrase(lambda: "new")
    assert done == ["root.key"][:renames]
    changed = {name for name, data in snapshot_of(config.home).items() if before.get(name) != data}
    assert changed == set(done)

    with Node.open(old) as node:
        node.unlock()
        assert ("root key kept here cannot be used" in caplog.text) is bool(renames)
        assert node.post("alive").text == "alive"
        node.devices.change_passphrase(lambda: "new")
    caplog.clear()
    with Node.open(new) as node:
        node.unlock()
        assert caplog.text == ""
        node.devices.freeze()


def test_a_bad_root_key_is_said_by_status_and_stops_no_node(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    sealed = passphrase(config, "one")
    found_account(sealed, "Ann", keep_root=True)
    (config.home / "root.key").chmod(0o644)

    with Node.open(sealed) as node:
        node.unlock()
        assert "mode 0644" in caplog.text
        assert (node.status().keeps_root, "mode 0644" in node.root_problem()) == (False, True)
        assert not node._keys.can_open_root()


def test_a_crash_right_after_the_account_was_made_still_reminds_of_the_words(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Store.found_account

    def crash(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]  # passed on as they came
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Store, "found_account", crash)
        with pytest.raises(Crash):
            found_account(config, "Ann")

    with Node.open(config) as node:
        assert node.status().words_waiting == str(config.home / "words.txt")
        assert node.post("alive").text == "alive"


def test_an_init_killed_at_any_moment_can_simply_be_repeated(tmp_path: Path) -> None:
    dice = random.Random(5)
    began = time.monotonic()
    assert command("--home", tmp_path / "whole", "init", "--name", "Ann").code == 0
    took_s = time.monotonic() - began
    for number in range(6):
        home = tmp_path / str(number)
        with start("--home", home, "--json", "init", "--name", "Ann") as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(took_s * dice.uniform(0.6, 1.0))
            process.kill()
        words = (home / "words.txt").read_bytes() if (home / "words.txt").exists() else None

        assert command("--home", home, "--json", "init", "--name", "Ann").code in (0, 1)

        (status,) = command("--home", home, "--json", "status").lines()
        assert status["account"] is not None
        assert status["words_waiting"] == str(home / "words.txt")
        assert words in (None, (home / "words.txt").read_bytes())


@pytest.mark.parametrize("wrong", [0o644, 0o640, 0o604, 0o660])
def test_a_device_key_that_others_could_read_is_refused_with_the_way_out(config: Config, wrong: int) -> None:
    found_account(config, "Ann")
    (config.home / "device.key").chmod(wrong)

    with Node.open(config) as node:
        with pytest.raises(KeyFileError, match=f"mode {wrong:04o}.*chmod 600"):
            node.post("x")
        assert node.timeline().items == ()


def test_no_word_is_in_the_output_the_log_or_the_arguments(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of all 24 in their order, no three stand side by side anywhere but in the file."""
    home = tmp_path / "ann"
    ended = command("--home", home, "--json", "init", "--name", "Ann", UNHUSH_LOG="debug")
    words = (home / "words.txt").read_text().split()
    with caplog.at_level(logging.DEBUG):
        found_account(Config(tmp_path / "ben"), "Ben")
    others = (tmp_path / "ben" / "words.txt").read_text().split()

    said = ended.out.decode() + ended.err + caplog.text
    assert ended.code == 0
    for list_of in (words, others):
        assert not any(" ".join(list_of[at : at + 3]) in said for at in range(22))
    assert set(json.loads(ended.out)) == {"account", "device", "name"}
