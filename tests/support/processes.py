"""Other processes on the same home: started as modules of ``tests``, heard line by line, ended for sure."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_S: Final = 30.0


class Child:
    """A running module; what it prints is read by a thread, so nothing here waits without a bound."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # a line cut short by a kill was never said
                self._lines.put(line.strip())

    def line(self, timeout_s: float = PATIENCE_S) -> str:
        """The next line it prints; fails after ``timeout_s``."""
        try:
            return self._lines.get(timeout=timeout_s)
        except Empty:
            raise AssertionError(f"the child said nothing for {timeout_s} s (exit {self._process.poll()})") from None

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def finish(self) -> list[str]:
        """Wait for its end, which must be a good one; everything it still said."""
        assert self._process.wait(PATIENCE_S) == 0
        return self._rest()

    def end_by_itself(self, timeout_s: float = PATIENCE_S) -> list[str]:
        """Wait for its end, however it comes; everything it said."""
        self._process.wait(timeout_s)
        return self._rest()

    def kill(self) -> list[str]:
        """SIGKILL; everything it had said before."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE_S)
        return self._rest()

    def _rest(self) -> list[str]:
        self._reader.join(PATIENCE_S)
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get_nowait())
        return lines

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def child(module: str, *arguments: str) -> Iterator[Child]:
    started = Child(module, *arguments)
    try:
        yield started
    finally:
        started.close()
