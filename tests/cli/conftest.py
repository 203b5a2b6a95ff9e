"""The command line called in this process: the same parsing, printing and exit codes, without the wait."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from unhush.cli.main import run
from unhush.node import Config, Created, found_account
from unhush.storage.keyfile import MIN_MEMORY_BYTES, MIN_OPS, Sealing


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw.splitlines()]

    def one(self) -> dict[str, Any]:
        """Its only JSON line; it must have gone well."""
        assert (self.code, self.err) == (0, ""), self
        (line,) = self.lines()
        return line  # type: ignore[no-any-return]  # JSON


@dataclass(frozen=True)
class Cli:
    """``UNHUSH_HOME=HOME unhush …``: what it says to run next names no home."""

    home: Path
    _capture: pytest.CaptureFixture[bytes]
    _patch: pytest.MonkeyPatch

    def __call__(self, *arguments: str, given: bytes = b"") -> Said:
        with self._patch.context() as patch:
            patch.setenv("UNHUSH_HOME", str(self.home))
            return self.bare(*arguments, given=given)

    def json(self, *arguments: str, given: bytes = b"") -> Said:
        return self("--json", *arguments, given=given)

    def bare(self, *arguments: str, given: bytes = b"") -> Said:
        """With no home named."""
        self._capture.readouterr()
        with self._input(given):
            code = run(list(arguments))
        out, err = self._capture.readouterr()
        return Said(code, out, err.decode())

    def at(self, home: Path) -> "Cli":
        return Cli(home, self._capture, self._patch)

    @contextmanager
    def _input(self, given: bytes) -> Iterator[None]:
        with self._patch.context() as patch, io.TextIOWrapper(io.BytesIO(given), encoding="utf-8") as stdin:
            patch.setattr("sys.stdin", stdin)
            yield


@pytest.fixture(autouse=True)
def _no_home_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UNHUSH_HOME", raising=False)
    monkeypatch.delenv("UNHUSH_LOG", raising=False)
    monkeypatch.delenv("UNHUSH_PASSPHRASE_FILE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def _cheap_sealing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a passphrase costs is tested with the key files."""
    usual = Config.__init__.__defaults__ or ()
    cheap = tuple(Sealing(MIN_OPS, MIN_MEMORY_BYTES) if isinstance(value, Sealing) else value for value in usual)
    assert cheap != usual
    monkeypatch.setattr(Config.__init__, "__defaults__", cheap)


@pytest.fixture(autouse=True)
def _nobody_at_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests is not to be asked; tests with a person have a terminal of their own."""
    for module in ("asking", "identity", "secrets"):
        monkeypatch.setattr(f"unhush.cli.{module}.can_ask_hidden", lambda: False)


@pytest.fixture
def cli(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """On a home that does not exist yet."""
    return Cli(tmp_path / "home", capsysbinary, monkeypatch)


@pytest.fixture
def ann(cli: Cli) -> Cli:
    """On a home with an account."""
    found_account(Config(cli.home), "Ann")
    return cli


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of an account, for commands in processes of their own."""
    found_account(Config(tmp_path / "ann"), "Ann")
    return tmp_path / "ann"


@pytest.fixture
def found(tmp_path: Path) -> Callable[[str], Created]:
    """Somebody else's account, in a home of its own below ``tmp_path``."""
    return lambda name: found_account(Config(tmp_path / name.lower()), name)
