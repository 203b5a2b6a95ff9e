"""kill -9 in the middle of writing: what was acknowledged is there, and everything there is whole."""

import time
from pathlib import Path
from random import Random

import pytest
from tests.support.asking import check_answers, check_folds
from tests.support.people import NETWORK, Clock, Home, Person, cids_held, open_home, publisher_of
from tests.support.processes import child

from unhush.storage.kinds import Post
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

READY_S = 3.0  # THREATS "Crashes"; held to in the long run, which has the machine to itself
CROWDED_S = 15.0  # beside other tests


def check_whole(store: Store) -> None:
    """Re-hash, re-verify, walk every page, and compare every index with a rebuild and with the model."""
    store.check_pages()  # raises
    with store.snapshot() as snapshot:
        report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
    assert (report.bad, report.forks) == (0, 0), report.problems
    check_folds(store)
    check_answers(store)


def kill_once(home: Path, random: Random) -> tuple[set[str], float]:
    """Start the writer, let it work for a moment, kill it; what it had acknowledged, and how soon it was ready."""
    started = time.monotonic()
    with child("tests.support.writer", str(home), "1", "both") as writer:
        assert writer.line() == "ready"
        ready_s = time.monotonic() - started
        writer.say("go")
        said = [writer.line() for _ in range(random.randrange(1, 4))]  # it is at work
        deadline = time.monotonic() + random.random() * 0.1
        while time.monotonic() < deadline:
            pass  # a sleep would end on the scheduler's beat, and so would the kills
        said += writer.kill()
    return {line.split()[1] for line in said}, ready_s


def kill_many(home: Path, times: int, seed: int, bound_s: float = READY_S) -> None:
    clock = Clock()
    with open_home(home, clock) as store:
        Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
    random = Random(seed)
    acknowledged: set[str] = set()
    waits = []
    for _ in range(times):
        said, ready_s = kill_once(home, random)
        acknowledged |= said
        waits.append(ready_s)
        with open_home(home, clock) as store:
            held = {str(cid) for cid in cids_held(store)}
            assert acknowledged <= held, f"seed {seed}: lost {len(acknowledged - held)}"
    with open_home(home, clock) as store:
        check_whole(store)
        (record,) = store.publish(publisher_of(Person("Ann", seed=1), clock, seed=5), Post("life goes on"))
        assert record.cid in cids_held(store)
    late = sorted(waits)[int(len(waits) * 0.95)]
    assert late < bound_s, f"ready again after {late:.1f} s (p95)"
    print(f"{times} kills, {len(acknowledged)} acknowledged records, ready again p95 {late:.2f} s")


def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    kill_many(tmp_path / "home", 20, seed=20, bound_s=CROWDED_S)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(10))
def test_two_hundred_kills_lose_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    kill_many(tmp_path / "home", 20, seed=seed)
