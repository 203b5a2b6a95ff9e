"""Real nodes in processes of their own: making their homes, leading them, and what they take of the machine."""

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from crowd import NETWORK, Author, Crowd
from ingesting import now_ms

from unhush.identity.cid import Cid
from unhush.identity.words import Words
from unhush.node import Config, found_account
from unhush.node.account.founding import publisher
from unhush.node.account.secrets import DEVICE
from unhush.node.config import Home
from unhush.storage.arrivals import Arrival, Batch, Status
from unhush.storage.keyfile import read_key
from unhush.storage.kinds import Follow
from unhush.storage.store import Store

PATIENCE_S: Final = 120.0
LOOK_S: Final = 0.02
_CHILD: Final = Path(__file__).parent / "mesh_node.py"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class BenchFailed(Exception):
    """A node did not do what is measured."""


# -- homes


def make_home(path: Path, name: str, follows: Iterable[Cid] = ()) -> Cid:
    """A home with an account of its own that follows others; its account."""
    config = Config(path, network=NETWORK)
    account = found_account(config, name, words=Words(name.encode().ljust(32, b"."))).account
    with open_home(path) as store:
        signer = publisher(config, read_key(Home(path).device_key, DEVICE))
        wanted = [Follow(each) for each in follows]
        if wanted:
            store.publish(signer, *wanted)
    return account


@contextmanager
def open_home(path: Path) -> Iterator[Store]:
    with Store(path, network=NETWORK, clock_ms=now_ms) as store:
        yield store


def fill_home(path: Path, authors: list[Author], batches: Iterable[list[Arrival]]) -> int:
    """Put a crowd's records into a home, whether it follows them or not; how many were stored."""
    with open_home(path) as store:
        born = [Arrival(each.inception.entry.block, each.inception.body) for each in authors]
        store.ingest(Batch(tuple(born), "bench", wanted_only=False))
        stored = 0
        for batch in batches:
            outcomes = store.ingest(Batch(tuple(batch), "bench", wanted_only=False))
            stored += sum(outcome.status is Status.STORED for outcome in outcomes)
    return stored


def every_second(crowd: Crowd) -> Iterator[list[Arrival]]:
    """Half of a crowd's records, so that none stands beside the one that names it: each is believed by its own
    signature, or not at all."""
    for number in range(len(crowd.authors)):
        yield [crowd.arrival(number, seq) for seq in range(0, crowd.each, 2)]


# -- processes


class Process:
    """One node; ``events`` are what it said, with the time it happened."""

    def __init__(self, home: Path, *, profile: Path | None = None, **config: Any) -> None:
        self.home = home
        settings = {"home": str(home), "config": config, "profile": str(profile) if profile else None}
        self._process = subprocess.Popen(
            [sys.executable, str(_CHILD), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("UNHUSH_HOME")},
        )
        self.log: list[tuple[float, str]] = []
        self.posted: dict[str, tuple[float, float]] = {}  # id → when called, when durable
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = str(self.await_said("ready")["address"])

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.address.split("/")[4])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "log" in said:
                self.log.append((said["at"], said["log"]))
                if said["level"] in ("WARNING", "ERROR", "CRITICAL"):
                    print(f"  {self.home.name}: {said['log']}", file=sys.stderr)
            elif "posted" in said:
                self.posted[said["posted"]] = said["called"], said["durable"]
            else:
                self._said.put(said)
        self._said.put({"ended": True})

    def await_said(self, name: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next thing it says of that name; what else it says meanwhile is passed over."""
        due = time.monotonic() + within_s
        while True:
            try:
                said = self._said.get(timeout=max(due - time.monotonic(), 0.01))
            except queue.Empty as exc:
                raise BenchFailed(f"{self.home.name} said no {name!r} within {within_s:.0f} s") from exc
            if name in said:
                return said
            if "ended" in said:
                raise BenchFailed(f"{self.home.name} ended")

    def tell(self, do: str, **what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()

    def logged(self, what: str, since: float) -> list[float]:
        """When something was logged."""
        return [at for at, text in list(self.log) if at >= since and what in text]

    def await_logged(self, what: str, since: float, within_s: float = PATIENCE_S) -> float:
        due = time.monotonic() + within_s
        while not (found := self.logged(what, since)):
            if time.monotonic() > due:
                raise BenchFailed(f"{self.home.name}: not within {within_s:.0f} s: {what}")
            time.sleep(LOOK_S / 4)
        return found[0]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        try:
            self.tell("end")
            self._process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()
        self._reader.join(5)

    # -- what it takes

    @property
    def pids(self) -> list[int]:
        """The process and those it started."""
        try:
            children = Path(f"/proc/{self.pid}/task").glob("*/children")
            return [self.pid, *(int(pid) for path in children for pid in path.read_text().split())]
        except OSError:
            return []

    def cpu_s(self) -> float:
        return sum(map(_cpu_s, self.pids))

    def memory(self) -> "Memory":
        return Memory.of(self.pids)


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass
class Memory:
    """Bytes: what is a process's own, and with the pages of its database that are in memory."""

    own: int = 0
    whole: int = 0

    @classmethod
    def of(cls, pids: list[int]) -> "Memory":
        found = cls()
        for pid in pids:
            try:
                text = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            found.own += _kib(text, "RssAnon")
            found.whole += _kib(text, "VmRSS")
        return found

    def peak(self, other: "Memory") -> None:
        self.own, self.whole = max(self.own, other.own), max(self.whole, other.whole)


def _kib(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


@contextmanager
def nodes(*homes: Path, profile: Path | None = None, **config: Any) -> Iterator[list[Process]]:
    """Running nodes, ended with the block; with ``profile`` each writes where its time went into that folder."""
    with ExitStack() as stack:
        running = []
        for home in homes:
            into = profile / f"{home.name}.profile" if profile else None
            process = Process(home, profile=into, **config)
            stack.callback(process.end)
            running.append(process)
        yield running


# -- the wire


@dataclass(frozen=True)
class Wire:
    """Bytes that TCP carried between two processes: what each of the two sent, without headers."""

    there: int
    back: int

    def __sub__(self, other: "Wire") -> "Wire":
        return Wire(self.there - other.there, self.back - other.back)

    @property
    def both(self) -> int:
        return self.there + self.back


def wire_at(listener: Process) -> Wire | None:
    """What went out of and came into the connections of a node that was dialled; None without ``ss``."""
    try:
        command = ["ss", "-tinHO", "state", "established", f"sport = :{listener.port}"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    sent = sum(map(int, re.findall(r"bytes_sent:(\d+)", out)))
    got = sum(map(int, re.findall(r"bytes_received:(\d+)", out)))
    return Wire(sent, got)


# -- watching a home fill


@dataclass
class Filling:
    """How a home filled: when it had how many records."""

    began: float = 0.0
    seen: list[tuple[float, int]] = field(default_factory=list)

    @property
    def records(self) -> int:
        return self.seen[-1][1] - self.seen[0][1]

    @property
    def seconds(self) -> float:
        return self.seen[-1][0] - self.began

    @property
    def rate(self) -> float:
        return self.records / self.seconds

    @property
    def first_s(self) -> float:
        """Until the first records were there."""
        return next((at for at, count in self.seen if count > self.seen[0][1]), self.seen[-1][0]) - self.began


def watch_fill(home: Path, until: int, *, look: Callable[[], None] = lambda: None, stall_s: float = 60.0) -> Filling:
    """Look at a home until it holds so many records more; they are durable and indexed when they can be seen."""
    filling = Filling(time.monotonic())
    with open_home(home) as store:
        filling.seen.append((filling.began, store.count_records()))
        wanted = filling.seen[0][1] + until
        looked = 0.0
        while filling.seen[-1][1] < wanted:
            time.sleep(LOOK_S)
            at, count = time.monotonic(), store.count_records()
            if count != filling.seen[-1][1]:
                filling.seen.append((at, count))
            elif at - filling.seen[-1][0] > stall_s:
                raise BenchFailed(f"{home.name} stands at {count} of {wanted} records for {stall_s:.0f} s")
            if at - looked > 0.2:
                look()
                looked = at
    return filling
