"""The ``unhush`` command in processes of its own, and waiting for something with a bound."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

ANY_PORT: Final = "/ip4/127.0.0.1/tcp/0"
PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: bytes
    err: str

    def lines(self) -> list[dict[str, Any]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(**more: str) -> dict[str, str]:
    """Ours, less what could point the command elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("UNHUSH_")} | more


class Started(subprocess.Popen[bytes]):
    """A process that does not outlive a ``with`` in which something failed: the one of the standard library
    waits there for an end that nobody may bring about any more."""

    def __exit__(self, exc_type: Any, value: Any, traceback: Any) -> None:
        if exc_type is not None:
            self.kill()
        super().__exit__(exc_type, value, traceback)


def start(*arguments: str | Path, stdin: int | IO[bytes] | None = subprocess.DEVNULL, **more: str) -> Started:
    command = [sys.executable, "-m", "unhush.cli", *map(str, arguments)]
    return Started(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**more))


def command(*arguments: str | Path, given: bytes = b"", **more: str) -> Ended:
    """Run a command to its end."""
    with start(*arguments, stdin=subprocess.PIPE, **more) as process:
        out, err = process.communicate(given, timeout=PATIENCE_S)
    return Ended(process.returncode, out, err.decode())


class Serving:
    """A running node in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise AssertionError(f"the node did not start: {process.communicate(timeout=PATIENCE_S)[1].decode()}")
        self.ready: dict[str, Any] = json.loads(first)

    @property
    def address(self) -> str:
        return str(self.ready["listen"][0])

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def end(self, by: signal.Signals = signal.SIGTERM) -> Ended:
        """Ask it to end and wait for that."""
        self.process.send_signal(by)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Ended(self.process.returncode, out, err.decode())


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[Serving]:
    """``unhush run`` without a page on a free loopback port; killed at the end if it still runs."""
    page = () if "--web" in arguments else ("--web", "off")
    with start("--home", home, "--json", "run", "--listen", ANY_PORT, *page, *arguments) as process:
        try:
            yield Serving(process)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(PATIENCE_S)


class Lines:
    """What a process prints, read by a thread as it comes."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None
        self._stream = stream
        self.all: list[bytes] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            if line.endswith(b"\n"):  # a line cut short by a kill was never said
                self.all.append(line)

    def join(self) -> None:
        self._thread.join(PATIENCE_S)


def await_until(is_so: Callable[[], object], what: str, *, within_s: float = PATIENCE_S) -> None:
    """Look again and again until ``is_so``; fails after ``within_s``."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.02)
