"""One real node in a process of its own, led by lines of JSON on its input; see ``meshing.py`` for the other end.

It starts as ``unhush run`` does, without a page. Times are those of the monotonic clock, which all processes of a
machine share.
"""

import cProfile
import json
import logging
import pstats
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from crowd import NETWORK

from unhush.node import Config, Node
from unhush.node.service import interpreter

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
# Records that may come between the look at the journal and the look at the timeline.
MEANWHILE = 4
PROFILED = ("unhush-network", "unhush-ingest")

_saying = threading.Lock()


def say(**what: Any) -> None:
    with _saying:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


class Events(logging.Handler):
    """What the network logs, passed on as it happens."""

    def emit(self, record: logging.LogRecord) -> None:
        say(log=record.getMessage(), at=time.monotonic(), level=record.levelname)


class Watcher(threading.Thread):
    """Notes when ``timeline`` first returned each post."""

    def __init__(self, node: Node) -> None:
        super().__init__(name="bench-watcher", daemon=True)
        self.seen: dict[str, float] = {}
        self._node = node
        self._is_done = threading.Event()

    def run(self) -> None:
        aid = self._node.last_aid()
        while not self._is_done.is_set():
            now = self._node.wait_for_news(aid, timeout_s=0.2)
            if now == aid:
                continue
            items = self._node.timeline(limit=min(now - aid + MEANWHILE, 50)).items
            at = time.monotonic()
            aid = now
            for shown in items:
                self.seen.setdefault(str(shown.id), at)

    def end(self) -> dict[str, float]:
        self._is_done.set()
        self.join()
        return self.seen


def watch_screen(node: Node, account: str, wanted: int) -> None:
    """Say when so many posts of an account are first returned."""

    def run() -> None:
        aid = node.last_aid()
        while True:
            found = len(node.timeline(limit=wanted).items)
            if found >= wanted:
                say(screen=account, at=time.monotonic(), found=found)
                return
            aid = node.wait_for_news(aid, timeout_s=0.5)

    threading.Thread(target=run, daemon=True).start()


def post(node: Node, count: int, pause_ms: tuple[float, float], seed: int) -> None:
    dice = random.Random(seed)
    for number in range(count):
        time.sleep(dice.uniform(*pause_ms) / 1e3)
        called = time.monotonic()
        shown = node.post(f"post {number}: " + "a word or two more, as people write, " * 5)
        say(posted=str(shown.id), called=called, durable=time.monotonic())
    say(posting="done")


def serve(node: Node) -> None:
    watcher: Watcher | None = None
    for line in sys.stdin:
        told = json.loads(line)
        match told["do"]:
            case "connect":
                node.add_peer(told["address"])
            case "watch":
                watcher = Watcher(node)
                watcher.start()
            case "seen":
                say(seen=watcher.end() if watcher is not None else {})
            case "screen":
                watch_screen(node, told["account"], told["wanted"])
            case "post":
                work = (node, told["count"], tuple(told["pause_ms"]), told["seed"])
                threading.Thread(target=post, args=work, daemon=True).start()
            case "end":
                return


def profile_threads(stats: list[cProfile.Profile]) -> None:
    """From now on the threads of a node are profiled."""
    run = threading.Thread.run

    def profiled(thread: threading.Thread) -> None:
        if thread.name not in PROFILED:
            run(thread)
            return
        profiler = cProfile.Profile()
        stats.append(profiler)
        profiler.name = thread.name  # type: ignore[attr-defined]
        profiler.runcall(run, thread)

    threading.Thread.run = profiled  # type: ignore[method-assign]


def write_profiles(stats: list[cProfile.Profile], path: Path) -> None:
    with path.open("w") as out:
        for profiler in stats:
            for order in ("tottime", "cumtime"):
                out.write(f"\n=== {profiler.name}, by {order}\n")  # type: ignore[attr-defined]
                pstats.Stats(profiler, stream=out).strip_dirs().sort_stats(order).print_stats(45)


def main() -> int:
    settings = json.loads(sys.argv[1])
    stats: list[cProfile.Profile] = []
    if settings.get("profile"):
        profile_threads(stats)
    interpreter.hand_over_quickly()
    logger = logging.getLogger("unhush")
    logger.setLevel(logging.INFO)
    logger.addHandler(Events())
    logger.propagate = False
    # Found by nobody: who is connected with whom is what is measured.
    settings["config"] = {"lan": False, "exchange": False, "exempt_loopback": True, **settings.get("config", {})}
    config = Config(Path(settings["home"]), network=NETWORK, listen=(LOOPBACK,), **settings["config"])
    with Node.open(config) as node:
        node.start_network()
        interpreter.spare_the_collector()
        say(ready=True, address=node.status().listen[0])
        serve(node)
    if stats:
        write_profiles(stats, Path(settings["profile"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
