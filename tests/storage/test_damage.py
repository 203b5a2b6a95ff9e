"""Turned bits: nothing that was not stored is ever read, and a repair brings back what can be read."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.support.people import Clock, Home, Person, arrivals_of, ingest, open_home
from tests.support.processes import child

from unhush.storage.kinds import Delete, Follow, Post, Profile, Reply

POSTS, ANSWERS = 80, 12
RECORDS = 2 + 1 + 2 + POSTS + 1 + ANSWERS + 3 + 1


@pytest.fixture
def lived_in(tmp_path: Path, clock: Clock, bob: Person) -> Path:
    """A home with some hundred records of several kinds, and free pages."""
    path = tmp_path / "home"
    with open_home(path, clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        home.publish(Follow(bob.account))
        ingest(store, bob.incept, bob.add_device()[1], *arrivals_of(bob.posts(POSTS, "x" * 300)))
        root = home.post("root")
        for number in range(ANSWERS):
            home.publish(Post(f"answer {number}", reply=Reply(root.cid, root.cid, root.account, root.account)))
        home.publish(Delete(home.post("taken back").cid), Profile("Ann B."))
        ingest(store, bob.post("y" * 20_000).arrival)
    return path


def turn(home: Path, seed: int, count: int, action: str) -> list[dict[str, Any]]:
    with child("tests.support.flipper", str(home), str(seed), str(count), action) as flipper:
        found = [json.loads(flipper.line(60.0)) for _ in range(count)]
        flipper.finish()
    return found


def check_served(found: list[dict[str, Any]]) -> None:
    ends = Counter((each["told"], each["end"]) for each in found)
    print(f"{len(found)} bits: {dict(ends)}, {sum(each.get('served', 0) for each in found)} records served")
    assert sum(each.get("wrong", 0) for each in found) == 0
    crashed = [each for each in found if each["end"].startswith("signal")]
    assert all(each["told"] != "clean" for each in crashed), crashed
    assert [each for each in found if each["end"].startswith("!")] == []
    assert sum(each.get("served", 0) for each in found) > len(found) * RECORDS / 2


def test_thirty_turned_bits_serve_no_wrong_record(lived_in: Path) -> None:
    check_served(turn(lived_in, 30, 30, "use"))


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_a_thousand_turned_bits_serve_no_wrong_record(lived_in: Path) -> None:
    check_served(turn(lived_in, 1_000, 1_000, "use"))


def check_mended(found: list[dict[str, Any]]) -> None:
    kept = [each.get("kept", 0) for each in found]
    print(f"{len(found)} bits: {Counter(each['end'] for each in found)}, kept {min(kept)} to {max(kept)} of {RECORDS}")
    assert {each["end"] for each in found} == {"well"}, [each for each in found if each["end"] != "well"]
    assert all((each["bad"], each["stale"]) == (0, 0) for each in found)
    # One page at most cannot be read, and of what remains nothing is lost; but nothing of an account is proven without
    # its inception.
    assert sum(count >= RECORDS - 30 for count in kept) >= 0.95 * len(kept)
    assert sum(count == RECORDS for count in kept) > len(kept) / 2


def test_eight_turned_bits_are_mended(lived_in: Path) -> None:
    check_mended(turn(lived_in, 8, 8, "repair"))


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_three_hundred_turned_bits_are_mended(lived_in: Path) -> None:
    check_mended(turn(lived_in, 300, 300, "repair"))
