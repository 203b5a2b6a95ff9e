"""One home, three processes: a program that embeds a node, and two that run commands, all at once.

Everybody posts to the one log of this device, reads it, and checks it. Every
reader must see a beginning of that log as it will be at the end: whole posts,
none twice, none left out, and all that was acknowledged before it looked. What
comes of somebody else in one commit is seen at once or not at all.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.commands import command
from tests.support.nodes import hand
from tests.support.people import Person, arrivals_of

from unhush.node import Config, Node, found_account
from unhush.node.records.reading import MAX_PAGE

PAGE: Final = 7
AT_ONCE: Final = 5  # records of somebody else in one commit
EVERYTHING: Final = "100000"
PAUSE_S: Final = 0.03  # the commands share two cores with us


def text_of(who: str, number: int) -> str:
    """A post that shows whether it is whole."""
    name = f"{who} {number}"
    return f"{name} " + hashlib.sha256(name.encode()).hexdigest() * 8


def check_text(text: str) -> None:
    who, number, _ = text.split(" ")
    assert text == text_of(who, int(number))


@dataclass(frozen=True)
class Seen:
    """What one reader saw in one look, newest first."""

    own: list[str]
    others: list[str]
    promised: frozenset[str]  # own posts acknowledged before it looked

    def check(self, log: list[str]) -> None:
        """``log``: the own posts as they are at the end, oldest first."""
        first = log.index(self.own[-1]) if self.own else 0
        assert self.own[::-1] == log[first : first + len(self.own)]
        assert self.promised.intersection(log[first:]) <= set(self.own)
        assert len(set(self.others)) == len(self.others)
        if len(self.own) + len(self.others) < MAX_PAGE:  # everything there was, in one look
            assert first == 0
            assert len(self.others) % AT_ONCE == 0


@dataclass
class Household:
    """What all of them did."""

    config: Config
    ends_at: float
    acknowledged: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def turns(self, who: str) -> Iterator[int]:
        """Until time is up, and twice at least."""
        number = 0
        while time.monotonic() < self.ends_at or number < 2:
            yield number
            number += 1
            self.counts[who] = number

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        ended = command("--home", self.config.home, "--json", *arguments)
        assert (ended.code, ended.err) == (0, ""), ended
        return ended.lines()

    def note(self, items: list[tuple[str, str, bool]], promised: frozenset[str]) -> None:
        """``items``: id, text and whether it is our own."""
        for _, text, _ in items:
            check_text(text)
        own, others = ([cid for cid, _, is_own in items if is_own is wanted] for wanted in (True, False))
        self.seen.append(Seen(own, others, promised))

    # -- the commands

    def post_by_command(self, who: str) -> None:
        for number in self.turns(who):
            (said,) = self.run("post", text_of(who, number))
            self.acknowledged.append(said["id"])

    def read_and_check_by_command(self, who: str) -> None:
        for number in self.turns(who):
            promised = frozenset(self.acknowledged)
            lines = self.run("timeline", "--limit", EVERYTHING)
            self.note([(line["id"], line["text"], line["own"]) for line in lines], promised)
            (report,) = self.run("verify", *(["--deep"] if number % 2 else []))
            assert (report["bad"], report["missing"], report["forks"]) == (0, 0, 0), report

    # -- the embedding program

    def post(self, node: Node) -> None:
        for number in self.turns("embedding"):
            self.acknowledged.append(str(node.post(text_of("embedding", number)).id))

    def take_in(self, node: Node, bob: Person) -> None:
        for number in self.turns("bob"):
            hand(node, arrivals_of(bob.post(text_of("bob", number * AT_ONCE + place)) for place in range(AT_ONCE)))
            time.sleep(PAUSE_S)

    def read(self, node: Node) -> None:
        for _ in self.turns("reading"):
            promised = frozenset(self.acknowledged)
            page = node.timeline(limit=100_000)
            self.note([(str(shown.id), shown.text, shown.is_own) for shown in page.items], promised)
            time.sleep(PAUSE_S)

    def turn_pages(self, node: Node) -> None:
        """Pages are turned while others write: from the second on, everything was there at the first."""
        for _ in self.turns("turning pages"):
            # Of a long timeline the newest part: that is what the first look gives.
            there = [str(shown.id) for shown in node.timeline(limit=100_000).items]
            turned: list[str] = []
            before: str | None = None
            while True:
                page = node.timeline(limit=PAGE, before=before)
                turned += [str(shown.id) for shown in page.items]
                if (before := page.next) is None:
                    break
            assert len(set(turned)) == len(turned)
            left = set(there)
            assert [cid for cid in turned if cid in left] == there
            time.sleep(PAUSE_S)


@pytest.mark.parametrize(
    "lasts_s",
    [
        pytest.param(5, marks=pytest.mark.timeout(120)),
        pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(600)]),
    ],
)
def test_three_processes_on_one_home_lose_nothing_and_tear_nothing(
    lasts_s: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(tmp_path / "ann")
    found_account(config, "Ann")
    bob = Person("Bob", seed=2, network=config.network, clock_ms=lambda: time.time_ns() // 1_000_000)
    with Node.open(config) as node:
        node.follow(bob.account)
        hand(node, [bob.incept])
        house = Household(config, time.monotonic() + lasts_s)
        work: list[Callable[[], None]] = [
            lambda: house.post(node),
            lambda: house.take_in(node, bob),
            lambda: house.read(node),
            lambda: house.turn_pages(node),
            lambda: house.post_by_command("posting"),
            lambda: house.read_and_check_by_command("checking"),
        ]
        with ThreadPoolExecutor(len(work)) as pool:
            for ended in [pool.submit(each) for each in work]:
                ended.result()

        log = own_posts_in_order(node)
        assert sorted(house.acknowledged) == sorted(log)
        assert len(set(log)) == len(log)
        for seen in house.seen:
            seen.check(log)
        assert node.person(bob.account).posts == house.counts["bob"] * AT_ONCE
        report = node.verify(deep=True)
        assert report.is_clean, report.problems
        assert report.forks == 0
    with capsys.disabled():
        sys.stdout.write(f"\nthree processes for {lasts_s} s: {json.dumps(house.counts)}\n")


def own_posts_in_order(node: Node) -> list[str]:
    """The posts of this device's log; it has one entry for each number, and each names the one before it."""
    with node._store.snapshot() as snapshot:
        own, device = snapshot.own_account(), snapshot.own_device()
        assert own is not None
        ((_, key, log),) = snapshot.logs(own)
        assert key == device
        records = list(snapshot.log_records(log))
    for seq, record in enumerate(records):
        assert record.entry.header.seq == seq
        assert record.entry.header.prev == (records[seq - 1].cid if seq else None)
    return [str(record.cid) for record in records if record.kind == "post"]
