"""Other people's replication doing our nodes' work in the same run, where it can be had.

iroh (PyPI) is put into the cache folder outside the repository at the first run; without it, or without a network to
get it from, its row says why it is missing. What it does not do: it shows an entry before it is on disk, indexes
nothing but keys, and keeps no order of a log.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crowd import cache_folder

IROH: Final = "0.35.0"
ENTRIES: Final = 10_000
POSTS: Final = 200
INSTALL_S: Final = 180
PATIENCE_S: Final = 180
_PROGRAM: Final = Path(__file__).parent / "peers" / "iroh_docs.py"


class Missing(Exception):
    """A rival cannot be had here, or did not do it."""


@dataclass
class Rival:
    name: str
    entries: int
    seconds: float
    live_ms: list[float]

    @property
    def rate(self) -> float:
        return self.entries / self.seconds

    @property
    def live_p50_ms(self) -> float:
        return statistics.median(self.live_ms) if self.live_ms else float("nan")


def measure_iroh(root: Path, entries: int = ENTRIES) -> Rival:
    """Raises ``Missing``."""
    folder = _installed()
    try:
        return _measure(folder, root, entries)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as exc:
        raise Missing(f"iroh {IROH} did not do it: {type(exc).__name__}: {exc}") from exc


def _installed() -> Path:
    folder = cache_folder() / f"iroh-{IROH}"
    if not (folder / "iroh").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        try:
            subprocess.run([*command, f"iroh=={IROH}"], check=True, capture_output=True, timeout=INSTALL_S)
        except (OSError, subprocess.SubprocessError) as exc:
            raise Missing(f"iroh {IROH} cannot be installed here: {type(exc).__name__}") from exc
    return folder


def _measure(folder: Path, root: Path, entries: int) -> Rival:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        running.append(process)
        return process

    def kill() -> None:
        for process in running:
            process.kill()

    homes = [root / "iroh-giver", root / "iroh-taker"]
    for home in homes:
        home.mkdir()
    bound = threading.Timer(PATIENCE_S, kill)
    bound.start()
    try:
        giver = start("giver", str(homes[0]), str(entries), str(POSTS))
        taker = start("taker", str(homes[1]), _said(giver)["ticket"], str(entries), str(POSTS))
        bulk = _said(taker)
        assert giver.stdin is not None
        giver.stdin.write("\n")
        giver.stdin.flush()
        posted: dict[str, float] = {}
        while "posted" in (said := _said(giver)):
            posted[said["posted"]] = said["at"]
        seen = _said(taker)["seen"]
        return Rival(
            f"iroh {IROH} docs", entries, bulk["seconds"], [(seen[key] - at) * 1e3 for key, at in posted.items()]
        )
    finally:
        bound.cancel()
        kill()
        for process in running:
            process.wait()


def _said(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise ValueError(f"it ended after {PATIENCE_S} s at most")
    said: dict[str, Any] = json.loads(line)
    return said
