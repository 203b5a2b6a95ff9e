"""A lifeboat of 5,000 posts: made, checked by this program, checked by itself in a real Chromium without network.

    python benchmarks/lifeboat.py [--posts N] [--rounds N]

Needs what the tests in ``tests/browser`` need. The page measures itself, from the first line of its program to the
last thing drawn; beside it stands what one signature costs here, because machines are shared.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from report import RESULTS

from unhush.identity.keys import SigningKey, verify
from unhush.node import Config, Node, Post, found_account
from unhush.node.lifeboat.checking import check_lifeboat

BROWSER: Final = Path(__file__).parents[1] / "tests" / "browser"
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
SIGNATURES: Final = 2_000


def bench_lifeboat(posts: int = 5_000, rounds: int = 5) -> dict[str, Any]:
    """One account, one device; posts of two lines with a link, every fiftieth an article."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(Path(folder) / "home", network="bench")
        found_account(config, "Ann")
        with Node.open(config) as node:
            written = [_post(number) for number in range(posts)]
            for at in range(0, posts, 500):
                node._publish(*written[at : at + 500])
            file = Path(folder) / "ann.html"
            made_s = _best(lambda: node.export_lifeboat(file, force=True), rounds)
            taken_s = _taken(file, Path(folder))
        checked_s = _best(lambda: check_lifeboat(file), rounds)
        pages, processor = _in_chromium(file, Path(folder), rounds)
        return {
            "posts": posts,
            "file, MB": round(file.stat().st_size / 1e6, 2),
            "made, s": round(made_s, 2),
            "checked by unhush verify, s": round(checked_s, 2),
            "taken in by an empty home, s": round(taken_s, 2),
            "checked and shown by itself in Chromium, median, s": round(statistics.median(pages), 2),
            "the best and the worst of these, s": f"{min(pages):.2f} … {max(pages):.2f}",
            "processor time of the page in all its threads, median, s": round(statistics.median(processor), 2),
            "one signature judged here meanwhile (libsodium), µs by the clock": round(_signature_us(time.perf_counter)),
            "… of processor time": round(_signature_us(time.thread_time)),
            "load of this machine (1 min), cores": f"{os.getloadavg()[0]:.1f} on {os.cpu_count()}",
        }


def _post(number: int) -> Post:
    text = f"Post number {number}: the ferry went out and came back *late*. https://ferry.example/{number}"
    return Post(text, title=f"Article {number}" if number % 50 == 0 else None)


def _best(work: Callable[[], object], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)


def _taken(file: Path, folder: Path) -> float:
    with Node.open(Config(folder / "other", network="bench")) as other:
        began = time.perf_counter()
        other.import_lifeboat(file)
        return time.perf_counter() - began


def _in_chromium(file: Path, folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """By its own clock from the first line of the program on, and processor time since the browser opened the file."""
    executable = next(filter(None, map(shutil.which, NAMES)))
    files = [{"name": str(number), "path": str(file), "patience": 60_000} for number in range(rounds)]
    task = folder / "task.json"
    task.write_text(json.dumps({"executable": executable, "files": files}))
    done = subprocess.run(["node", str(BROWSER / "boat.mjs"), str(task)], capture_output=True, text=True, check=True)
    pages = json.loads(done.stdout).values()
    assert all(page["checked"] == "good" for page in pages)
    return [page["milliseconds"] / 1e3 for page in pages], [page["cpu"]["ProcessTime"] for page in pages]


def _signature_us(clock: Callable[[], float]) -> float:
    key, message = SigningKey(bytes(32)), bytes(300)
    signature = key.sign(message)
    began = clock()
    for _ in range(SIGNATURES):
        verify(key.public, message, signature)
    return (clock() - began) / SIGNATURES * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--posts", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = "\n".join(f"| {what} | {figure} |" for what, figure in bench_lifeboat(options.posts, options.rounds).items())
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    table = f"# lifeboat\n\n{machine}; {bench_lifeboat.__doc__}\n\n| | |\n|---|---|\n{rows}\n"
    if options.posts == 5_000:
        (RESULTS / "lifeboat.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
