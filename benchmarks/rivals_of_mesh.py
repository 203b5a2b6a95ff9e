"""Other people's replication doing our nodes' work in the same run, where it can be had.

iroh (PyPI) and Secure Scuttlebutt (npm) are put into the cache folder outside the repository at the first run;
without one, or without a network to get it from, its row says why it is missing. What they do not do: iroh shows an
entry before it is on disk, indexes nothing but keys, and keeps no order of a log; SSB indexes in passing and shows
what it has in memory.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crowd import cache_folder

IROH: Final = "0.35.0"
ENTRIES: Final = 10_000
POSTS: Final = 200
INSTALL_S: Final = 180
PATIENCE_S: Final = 180
FEEDS: Final = 100  # of SSB, with as many messages each as make up the entries
_PEERS: Final = Path(__file__).parent / "peers"
_PROGRAM: Final = _PEERS / "iroh_docs.py"
_SSB: Final = _PEERS / "ssb"


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
    homes = [root / "iroh-giver", root / "iroh-taker"]
    for home in homes:
        home.mkdir()

    def take(said: dict[str, Any]) -> list[str]:
        return [str(_PROGRAM), "taker", str(homes[1]), said["ticket"], str(entries), str(POSTS)]

    giver = [str(_PROGRAM), "giver", str(homes[0]), str(entries), str(POSTS)]
    return Rival(f"iroh {IROH} docs", entries, *_let_them([sys.executable], giver, take, environment))


def measure_ssb(root: Path, entries: int = ENTRIES) -> Rival:
    """ssb-db2 with ssb-ebt, as ``peers/ssb/package-lock.json`` names them. Raises ``Missing``."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("node and npm are not installed here")
    folder = cache_folder() / "ssb"
    shutil.copytree(_SSB, folder, dirs_exist_ok=True)
    try:
        if not (folder / "node_modules" / "ssb-db2").is_dir():
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as exc:
        raise Missing(f"npm cannot install ssb-db2 and ssb-ebt here: {type(exc).__name__}") from exc
    program, each = str(folder / "peer.cjs"), entries // FEEDS

    def take(said: dict[str, Any]) -> list[str]:
        return [
            program,
            "taker",
            str(root / "ssb-taker"),
            said["address"],
            str(each * FEEDS),
            str(POSTS),
            *said["feeds"],
        ]

    giver = [program, "giver", str(root / "ssb-giver"), str(FEEDS), str(each), str(POSTS)]
    try:
        seconds, live = _let_them([node], giver, take, dict(os.environ))
        return Rival("SSB (ssb-db2, ssb-ebt)", each * FEEDS, seconds, live)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as exc:
        raise Missing(f"SSB did not do it: {type(exc).__name__}: {exc}") from exc


def _let_them(
    runner: Sequence[str],
    giving: Sequence[str],
    taking: Callable[[dict[str, Any]], Sequence[str]],
    environment: dict[str, str],
) -> tuple[float, list[float]]:
    """One process gives to another; what the giver says first tells how the taker is called.

    How many seconds the bulk took, and how many milliseconds each live entry.
    """
    running: list[subprocess.Popen[str]] = []

    def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*runner, *arguments],
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

    bound = threading.Timer(PATIENCE_S, kill)
    bound.start()
    try:
        giver = start(giving)
        taker = start(taking(_said(giver)))
        bulk = _said(taker)
        assert giver.stdin is not None
        giver.stdin.write("\n")
        giver.stdin.flush()
        posted: dict[str, float] = {}
        while "posted" in (said := _said(giver)):
            posted[said["posted"]] = said["at"]
        seen = _said(taker)["seen"]
        return bulk["seconds"], [(seen[key] - at) * 1e3 for key, at in posted.items()]
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
    if "error" in said:
        raise ValueError(said["error"])
    return said
