"""Run every benchmark, or those named, print its tables, and keep them in ``benchmarks/results/``.

The machines this runs on are shared and noisy: read ratios within one run,
medians, and the fdatasync time printed beside what waits for the disk.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from living import bench_home
from meeting import bench_meeting
from mesh import bench_mesh, parse_options
from report import RESULTS
from rule import bench_identity
from store import bench_store

STORY = Path(__file__).parent.parent / "examples" / "first_voice.py"


def bench_story() -> dict[str, Any]:
    """Delay between two real nodes, from durable there to returned by the timeline here."""
    runs = []
    for _ in range(3):
        out = subprocess.run([sys.executable, str(STORY), "--json"], capture_output=True, text=True, check=True)
        runs.append(json.loads(out.stdout))
    middle = sorted(runs, key=lambda run: run["delay_p50_ms"])[1]
    return {
        "posts, received live": f"{middle['received_live']} of {middle['posts']}",
        "delay p50, ms": round(middle["delay_p50_ms"], 1),
        "delay p99, ms": round(middle["delay_p99_ms"], 1),
        "one fdatasync here, ms": round(middle["fdatasync_p50_ms"], 2),
        "whole account from the second node, s": round(middle["recovery_s"], 2),
    }


def run_store() -> None:
    print(bench_store().write())


def run_mesh() -> None:
    print(bench_mesh(parse_options([])).write())


def run_plain(name: str, bench: Callable[[], dict[str, Any]]) -> None:
    rows = "\n".join(f"| {what} | {figure} |" for what, figure in bench().items())
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    table = f"# {name}\n\n{machine}; {bench.__doc__}\n\n| | |\n|---|---|\n{rows}\n"
    (RESULTS / f"{name}.md").write_text(table)
    print(table)


BENCHMARKS: dict[str, Callable[[], None]] = {
    "identity": partial(run_plain, "identity", bench_identity),
    "home": partial(run_plain, "home", bench_home),
    "store": run_store,  # a million records: python benchmarks/store.py --long
    "meeting": lambda: print(bench_meeting().write()),
    "mesh": run_mesh,  # some of it: python benchmarks/mesh.py --only live,idle
    "first-voice": partial(run_plain, "first-voice", bench_story),
}


def main() -> int:
    names = sys.argv[1:] or list(BENCHMARKS)
    RESULTS.mkdir(exist_ok=True)
    for name in names:
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
