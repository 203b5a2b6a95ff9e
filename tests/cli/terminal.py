"""The command with a person at it: a process that has a terminal of its own, read and typed into by the test."""

import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.support.commands import environment

PATIENCE_S: Final = 60.0
# The program, with keys sealed at the least cost there is.
_PROGRAM: Final = """
from unhush.node.config import Config
from unhush.storage.keyfile import Sealing
usual = Config.__init__.__defaults__
Config.__init__.__defaults__ = tuple(Sealing(1, 8192) if isinstance(value, Sealing) else value for value in usual)
from unhush.cli.main import main
main()
"""


class Terminal:
    """A process on a terminal; everything it shows is kept, answers are given when their question has come."""

    def __init__(self, process: int, ours: int) -> None:
        self._process = process
        self._ours = ours
        self._read_to = 0
        self._code: int | None = None
        self.shown = ""

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the terminal shows this after what was expected before."""
        self._read_until(lambda: re.search(pattern, self.shown[self._read_to :]) is not None)
        found = re.search(pattern, self.shown[self._read_to :])
        assert found is not None, f"{pattern!r} is not in {self.shown[self._read_to :]!r}"
        self._read_to += found.end()
        return found

    def type(self, line: str) -> None:
        os.write(self._ours, line.encode() + b"\n")

    def answer(self, pattern: str, line: str) -> re.Match[str]:
        found = self.expect(pattern)
        self.type(line)
        return found

    def end(self) -> int:
        """Its exit code; everything it showed is read."""
        self._read_until(lambda: False)
        return self.wait()

    def wait(self) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        return self._code

    def close(self) -> None:
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
            self.wait()
        os.close(self._ours)

    def _read_until(self, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"nothing more came after {self.shown!r}")
            try:
                part = os.read(self._ours, 65_536)
            except OSError:  # a terminal nobody holds any more says so with an error
                part = b""
            if not part:
                return
            self.shown += part.decode(errors="replace").replace("\r\n", "\n")


@contextmanager
def terminal(home: Path, *arguments: str, given: Path | None = None, **more: str) -> Iterator[Terminal]:
    """``unhush --home HOME …`` on a new terminal; ``given`` is its input instead of the keyboard."""
    command = [sys.executable, "-c", _PROGRAM, "--home", str(home), *arguments]
    variables = environment(TERM="xterm", **more)
    process, ours = pty.fork()
    if process == 0:  # the other process: nothing but the program may happen here
        try:
            if given is not None:
                os.dup2(os.open(given, os.O_RDONLY), 0)
            os.execve(command[0], command, variables)
        finally:
            os._exit(127)
    started = Terminal(process, ours)
    try:
        yield started
    finally:
        started.close()
