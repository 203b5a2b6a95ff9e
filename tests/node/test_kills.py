"""Killed while receiving: a node is ended by SIGKILL at random moments, and nothing it promised is lost.

One sender lives through all of it and writes without pause; a third process
posts for the receiver's own account, whether its node runs or not. After each
kill the home is opened and verified; what is not there yet may be missing,
what is there must be right. The dice are seeded, and the seed is in the name.
"""

import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.commands import ANY_PORT, PATIENCE_S, Lines, Serving, await_until, serving, start

from unhush.identity.cid import Cid
from unhush.node import Config, Node, found_account

# Between two posts of the sender: fast enough that something is always under way, slow enough for two cores.
SENDER_PAUSE_S = 0.03
POSTER_PAUSE_S = 0.08
# Kills fall this long after the first record came in: while history comes, and while news does.
LONGEST_LIFE_S = 0.3


@dataclass
class Sender:
    """A node that posts on and on, from a thread of the test."""

    node: Node
    posts: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        worker = threading.Thread(target=self._work)
        worker.start()
        try:
            yield
        finally:
            self._ended.set()
            worker.join(PATIENCE_S)

    def _work(self) -> None:
        while not self._ended.wait(SENDER_PAUSE_S):
            self.node.post(f"news {self.posts}")
            self.posts += 1


@contextmanager
def posting(home: Path) -> Iterator[list[str]]:
    """A process that posts for the home's account until the block ends; the ids it was acknowledged so far."""
    acknowledged: list[str] = []
    with start("--home", home, "--json", "post", "--lines", "-", stdin=subprocess.PIPE) as process:
        lines = Lines(process.stdout)
        ended = threading.Event()
        feeder = threading.Thread(target=feed, args=(process, ended))
        feeder.start()
        collector = threading.Thread(target=collect, args=(lines, acknowledged, ended))
        collector.start()
        try:
            yield acknowledged
        finally:
            ended.set()
            feeder.join(PATIENCE_S)
            assert process.wait(PATIENCE_S) == 0
            lines.join()
            collector.join(PATIENCE_S)
            acknowledged[:] = [json.loads(line)["id"] for line in lines.all]


def feed(process: subprocess.Popen[bytes], ended: threading.Event) -> None:
    assert process.stdin is not None
    number = 0
    while not ended.wait(POSTER_PAUSE_S):
        process.stdin.write(b"mine %d\n" % number)
        process.stdin.flush()
        number += 1
    process.stdin.close()


def collect(lines: Lines, acknowledged: list[str], ended: threading.Event) -> None:
    while not ended.wait(POSTER_PAUSE_S):
        acknowledged.extend(json.loads(line)["id"] for line in lines.all[len(acknowledged) :])


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(4, marks=pytest.mark.timeout(300)),
        pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(3_600)]),
    ],
)
def test_a_node_killed_while_it_receives_loses_nothing_it_acknowledged(
    kills: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(kills)
    ann, ben = Config(tmp_path / "ann", listen=(ANY_PORT,)), Config(tmp_path / "ben")
    account = found_account(ann, "Ann").account
    found_account(ben, "Ben")
    with Node.open(ben) as node:
        node.follow(account)
    ready_s: list[float] = []
    received: list[int] = []

    with Node.open(ann) as sending:
        sending.start_network()
        peer = ("--peer", sending.status().listen[0])
        sender = Sender(sending)
        with sender.at_work(), posting(ben.home) as own:
            for number in range(kills):
                began = time.monotonic()
                with serving(ben.home, *peer) as running:
                    ready_s.append(time.monotonic() - began)
                    received.append(die_while_receiving(ben, running, account, dice.uniform(0, LONGEST_LIFE_S)))
                promised = list(own)
                check(ben, promised, f"after kill {number + 1} of seed {kills}")

        with serving(ben.home, *peer) as running, Node.open(ben) as node:
            await_until(
                lambda: node.person(account).posts == sender.posts, "everything the sender wrote arrives", within_s=120
            )
            await_until(lambda: node.verify().is_clean, "nothing is missing")
            ended = running.end()
        assert (ended.code, ended.err) == (0, "")

    with Node.open(ben) as node:
        report = node.verify()
        assert (report.bad, report.missing, report.forks) == (0, 0, 0), report.problems
        assert node.person(account).posts == sender.posts
        assert node.person(node.account()).posts == len(own)
        assert {str(shown.id) for shown in node.events(timeout_s=0) if shown.is_own} >= set(own)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{kills} kills while receiving: {sender.posts} posts received, at each kill "
            f"{statistics.median(received):.0f} records since the start (median); {len(own)} own posts kept; "
            f"ready again p50 {statistics.median(ready_s):.2f} s, longest {max(ready_s):.2f} s\n"
        )


def die_while_receiving(config: Config, running: Serving, account: Cid, life_s: float) -> int:
    """Kill a moment after the first record of the sender came in; how many had come."""
    with Node.open(config) as node:
        held = node.person(account).posts
        await_until(lambda: node.person(account).posts > held, "something is received")
        time.sleep(life_s)
        running.kill()
        return node.person(account).posts - held


def check(config: Config, promised: list[str], when: str) -> None:
    """The home opens, nothing kept is wrong, and every own post that was acknowledged is there."""
    with Node.open(config) as node:
        report = node.verify()
        assert (report.bad, report.forks) == (0, 0), (when, report.problems)
        held = {str(shown.id) for shown in node.events(timeout_s=0) if shown.is_own}
        assert held >= set(promised), when
