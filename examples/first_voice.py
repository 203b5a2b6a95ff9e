"""First voice: an account outlives the machine it was made on, told with real processes.

Ann's node and Ben's node run; Ben follows Ann and receives what she posts as
she posts it. Ann's machine dies. Cleo, who knows only Ben's address, follows
Ann and gets the whole, verified account; a file carries it on to a home with
no network at all.

Run it with ``make demo``; ``--json`` prints the figures alone.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from unhush import Node

POSTS = 200
# Records that may come between the look at the journal and the look at the timeline.
MEANWHILE = 4
SETTLE_S = 1.0
ARRIVAL_S = 30.0
# A text every Debian has; elsewhere another licence will do, or the words of this file.
TEXTS = ("/usr/share/common-licenses/GPL-3", "/usr/share/licenses/common/GPL-3.0-only/license.txt", "LICENSE", __file__)


class StoryFailed(Exception):
    """Something did not happen that the story promises."""


@dataclass
class Figures:
    """What was seen."""

    posts: int = 0
    text: str = ""
    received_live: int = 0
    in_order: bool = False
    delay_p50_ms: float = 0.0
    delay_p99_ms: float = 0.0
    fdatasync_p50_ms: float = 0.0
    recovered: int = 0
    recovery_s: float = 0.0
    verify: dict[str, int] = field(default_factory=dict)
    imported: int = 0
    seconds: float = 0.0


def unhush(home: Path, *arguments: str, stdin: IO[str] | int | None = None) -> subprocess.Popen[str]:
    """The command line in a process of its own, speaking JSON."""
    command = [sys.executable, "-m", "unhush.cli", "--home", str(home), "--json", *arguments]
    return subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


def environment() -> dict[str, str]:
    """Ours, less what could point the command elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("UNHUSH_")}


def call(home: Path, *arguments: str) -> list[dict[str, object]]:
    """Run a command to its end; its JSON lines."""
    with unhush(home, *arguments, stdin=subprocess.DEVNULL) as process:
        out, err = process.communicate(timeout=60)
    if process.returncode:
        raise StoryFailed(f"unhush {' '.join(arguments)} ended with {process.returncode}: {err.strip()}")
    return [json.loads(line) for line in out.splitlines()]


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A node that serves while the block lasts, and its address."""
    process = unhush(home, "run", "--listen", "/ip4/127.0.0.1/tcp/0", "--web", "off", *arguments)
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline() or "{}")
        if not ready.get("ready"):
            raise StoryFailed(f"a node did not start: {process.communicate()[1].strip()}")
        yield process, ready["listen"][0]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def lines_of_a_text() -> tuple[str, list[str]]:
    """The first non-empty lines of a text this machine has."""
    for name in TEXTS:
        path = Path(name)
        if path.is_file():
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            if len(lines) >= POSTS:
                return path.name, lines[:POSTS]
    raise StoryFailed("no text of 200 lines was found to post")


def fdatasync_ms(folder: Path) -> float:
    """How long this disk takes to keep a small write, median of 50."""
    with (folder / "probe").open("wb") as file:
        times = []
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            before = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - before) * 1000)
    return statistics.median(times)


class Watcher:
    """Notes when each post was first returned by ``timeline`` of one home."""

    def __init__(self, home: Path) -> None:
        self.seen_at: dict[str, float] = {}
        self.is_done = False
        self._node = Node.open(home)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        aid = self._node.last_aid()
        while not self.is_done:
            now = self._node.wait_for_news(aid, timeout_s=0.5)
            if now == aid:
                continue
            now = self._node.last_aid()
            items = self._node.timeline(limit=now - aid + MEANWHILE).items
            if not any(str(shown.id) in self.seen_at for shown in items):  # more came than we looked back for
                items = self._node.timeline(limit=2 * POSTS).items
            at = time.perf_counter()
            for shown in items:
                self.seen_at.setdefault(str(shown.id), at)
            aid = now

    def wait_for(self, ids: list[str]) -> None:
        deadline = time.perf_counter() + ARRIVAL_S
        time.sleep(SETTLE_S)
        # Should more have come meanwhile than the watch allowed for, it counts as late as we find it.
        for shown in self._node.timeline(limit=2 * POSTS).items:
            self.seen_at.setdefault(str(shown.id), time.perf_counter())
        while not all(each in self.seen_at for each in ids) and time.perf_counter() < deadline:
            time.sleep(0.01)

    def close(self) -> None:
        self.is_done = True
        self._thread.join()
        self._node.close()


def post_lines(home: Path, lines: list[str]) -> dict[str, float]:
    """Post each line with ``post --lines -`` from a pipe; when each was acknowledged as durable."""
    acknowledged: dict[str, float] = {}
    process = unhush(home, "post", "--lines", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None

    def feed(pipe: IO[str]) -> None:
        with pipe:
            pipe.writelines(line + "\n" for line in lines)

    feeder = threading.Thread(target=feed, args=(process.stdin,))
    feeder.start()
    for line in process.stdout:
        acknowledged[json.loads(line)["id"]] = time.perf_counter()
    feeder.join()
    if process.wait():
        raise StoryFailed(f"posting ended with {process.returncode}")
    return acknowledged


def tell(root: Path, say: Callable[[str], None]) -> Figures:
    """The story, in homes below ``root``."""
    figures = Figures()
    began = time.perf_counter()
    ann, ben, cleo, attic = (root / name for name in ("ann", "ben", "cleo", "attic"))
    figures.text, lines = lines_of_a_text()
    figures.posts = len(lines)
    figures.fdatasync_p50_ms = fdatasync_ms(root)
    with ExitStack() as stack:
        account = str(call(ann, "init", "--name", "Ann")[0]["account"])
        call(ben, "init", "--name", "Ben")
        anns_node, anns_address = stack.enter_context(running(ann))
        _, bens_address = stack.enter_context(running(ben, "--peer", anns_address))
        say(f"Ann and Ben each run a node. Ann's account is {account}.")
        call(ben, "follow", account)
        wait_until_known(ben, account)
        say("Ben follows Ann.")

        watcher = Watcher(ben)
        acknowledged = post_lines(ann, lines)
        watcher.wait_for(list(acknowledged))
        watcher.close()
        measure(figures, acknowledged, watcher.seen_at)
        timeline = call(ben, "timeline", "--limit", str(POSTS))
        figures.received_live = sum(each["account"] == account for each in timeline)
        figures.in_order = [each["text"] for each in reversed(timeline)] == lines
        say(
            f"Ann posts {figures.posts} lines of {figures.text}, one commit each; Ben's timeline has "
            f"{figures.received_live}, {'in order' if figures.in_order else 'NOT in order'}: "
            f"p50 {figures.delay_p50_ms:.1f} ms, p99 {figures.delay_p99_ms:.1f} ms from durable there to readable "
            f"here (one fdatasync on this disk: {figures.fdatasync_p50_ms:.1f} ms)."
        )

        anns_node.kill()
        anns_node.wait()
        shutil.rmtree(ann)
        say("Ann's machine dies: the process is killed, the home is deleted. Nothing of hers is left there.")

        call(cleo, "init", "--name", "Cleo")
        stack.enter_context(running(cleo, "--peer", bens_address))
        followed_at = time.perf_counter()
        call(cleo, "follow", account)
        figures.recovered = wait_for_posts(cleo, account, figures.posts)
        figures.recovery_s = time.perf_counter() - followed_at
        figures.verify = call(cleo, "verify")[0]  # type: ignore[assignment]  # four counts
        say(
            f"Cleo, who knows only Ben's address, follows Ann: {figures.recovered} of {figures.posts} posts in "
            f"{figures.recovery_s:.1f} s, verified: {figures.verify}."
        )

        call(cleo, "export", "car", str(root / "ann.car"), "--account", account)
        call(attic, "import", "car", str(root / "ann.car"))
        figures.imported = int(str(call(attic, "profile", "show", account)[0]["posts"]))
        say(f"A file made there carries {figures.imported} of {figures.posts} into a home with no network at all.")
    figures.seconds = time.perf_counter() - began
    return figures


def wait_until_known(home: Path, account: str) -> None:
    """Until the followed account's profile has come over the network."""
    with Node.open(home) as node:
        deadline = time.perf_counter() + ARRIVAL_S
        while not node.person(account).name:
            if time.perf_counter() > deadline:
                raise StoryFailed("the followed account never arrived")
            node.wait_for_news(node.last_aid(), timeout_s=0.2)


def wait_for_posts(home: Path, account: str, wanted: int) -> int:
    with Node.open(home) as node:
        deadline = time.perf_counter() + ARRIVAL_S
        while (held := node.person(account).posts) < wanted and time.perf_counter() < deadline:
            node.wait_for_news(node.last_aid(), timeout_s=0.2)
    return held


def measure(figures: Figures, acknowledged: dict[str, float], seen_at: dict[str, float]) -> None:
    """Delays of what arrived; what did not arrive is counted elsewhere."""
    delays = sorted((seen_at[each] - at) * 1000 for each, at in acknowledged.items() if each in seen_at)
    if delays:
        figures.delay_p50_ms = statistics.median(delays)
        figures.delay_p99_ms = delays[min(len(delays) - 1, int(len(delays) * 0.99))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, and nothing else")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unhush-demo-") as root:
        try:
            figures = tell(Path(root), (lambda _line: None) if options.json else narrate)
        except StoryFailed as exc:
            print(f"The story broke off: {exc}", file=sys.stderr)
            return 1
    print(json.dumps(vars(figures)) if options.json else f"\nIt took {figures.seconds:.0f} s. {moral(figures)}")
    return 0 if is_whole(figures) else 1


def narrate(line: str) -> None:
    print(f"· {line}", flush=True)


def is_whole(figures: Figures) -> bool:
    """Whether everything arrived everywhere, and verified."""
    arrived = (figures.received_live, figures.recovered, figures.imported)
    is_clean = not any(figures.verify.get(name, 1) for name in ("bad", "missing", "forks"))
    return figures.in_order and is_clean and all(count == figures.posts for count in arrived)


def moral(figures: Figures) -> str:
    return "No host could take Ann offline." if is_whole(figures) else "Something was lost: see above."


if __name__ == "__main__":
    sys.exit(main())
