"""Real nodes on machines of their own: everybody follows everybody, posts come in from other processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.network.wires import Machine
from tests.support.commands import environment
from tests.support.nodes import CHEAP

from unhush.identity.cid import Cid, parse_cid
from unhush.node import Config, Node, found_account
from unhush.storage.kinds import Follow

PORT: Final = 4470
START_S: Final = 60.0

# What a node holds: for each log of each account the stretches of it, and its newest entry.
Heads = dict[tuple[Cid, bytes], tuple[tuple[tuple[int, int], ...], bytes]]


class Inhabitant:
    """One home, its machine, and the process that runs on it now and then."""

    def __init__(self, machine: Machine, home: Path, seed: int) -> None:
        self.machine = machine
        self.config = Config(home, sealing=CHEAP)
        self.account = found_account(self.config, f"node {seed}").account
        self.node = Node.open(self.config)  # beside the process, as commands are
        self.posts: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.peer = ""

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def address(self) -> str:
        return f"/ip4/{self.machine.address}/tcp/{PORT}/p2p/{self.peer}"

    def follow_all(self, others: Sequence["Inhabitant"]) -> None:
        self.node._publish(*(Follow(other.account) for other in others if other is not self))

    def start(self) -> None:
        command = [sys.executable, "-m", "unhush.cli", "--home", str(self.config.home), "--json", "run", "--no-lan"]
        listen = ["--listen", f"/ip4/{self.machine.address}/tcp/{PORT}", "--web", "off"]
        log = (self.config.home.parent / f"{self.config.home.name}.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self.machine.command(*command, *listen),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )

    def await_start(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self.machine.name} did not start: see its log beside its home"
        self.peer = str(json.loads(line)["peer"])

    def stop(self, by: signal.Signals = signal.SIGKILL) -> None:
        if self._process is None:
            return
        os.killpg(self._process.pid, by)
        self._process.wait(START_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def post(self, text: str) -> None:
        self.posts.append(str(self.node.post(text).id))

    def heads(self) -> Heads:
        found: Heads = {}
        with self.node._store.snapshot() as snapshot:
            for account, key, log in snapshot.logs():
                newest = next(iter(snapshot.slots_down(log)), None)
                found[account, key.bytes] = (tuple(snapshot.runs(log)), newest.cid.bytes if newest else b"")
        return found

    def lacks(self, posts: Sequence[str]) -> list[str]:
        with self.node._store.snapshot() as snapshot:
            return [each for each in posts if snapshot.find_aid(parse_cid(each)) is None]


@contextmanager
def town(machines: Sequence[Machine], root: Path) -> Iterator[list[Inhabitant]]:
    """One inhabitant a machine, all running; each knows the addresses of a few others."""
    with ExitStack() as stack:
        people = []
        for number, machine in enumerate(machines):
            one = Inhabitant(machine, root / f"home-{number}", number)
            stack.callback(one.node.close)
            stack.callback(one.stop)
            people.append(one)
        for one in people:
            one.follow_all(people)
            one.start()
        for one in people:
            one.await_start()
        for at, one in enumerate(people):
            for step in (1, 3, len(people) // 2):
                other = people[(at + step) % len(people)]
                if other is not one:
                    one.node.add_peer(other.address)
        yield people


def await_equal(people: Sequence[Inhabitant], posts: Sequence[str], within_s: float) -> float:
    """Wait until all hold all posts, and the same of everything; how long that took."""
    began = time.monotonic()
    left = list(people)
    while True:
        left = [one for one in left if one.lacks(posts)]
        if not left:
            first = people[0].heads()
            if all(one.heads() == first for one in people[1:]):
                return time.monotonic() - began
        if time.monotonic() - began > within_s:
            lacking = {one.machine.name: len(one.lacks(posts)) for one in people}
            raise AssertionError(f"not equal within {within_s:.0f} s; posts lacking: {lacking}")
        time.sleep(0.25)
