"""The end of a process at every place where it could hurt: nothing is torn, nothing acknowledged is lost."""

import gzip
from pathlib import Path
from random import Random

import pytest
from tests.storage.test_crash import check_whole
from tests.storage.test_migration import OLD_HOME
from tests.support.asking import check_folds
from tests.support.doomed import MIGRATING, PLACES
from tests.support.people import NETWORK, Clock, Home, Person, cids_held, open_home, publisher_of
from tests.support.processes import child

from unhush.storage.backup import read_backup
from unhush.storage.kinds import Post
from unhush.storage.verify import verify_store


def end_at(home: Path, place: str, times: int) -> set[str]:
    """Let a process come to its end there; what it had acknowledged before."""
    with child("tests.support.doomed", str(home), "1", place, str(times)) as doomed:
        said = doomed.end_by_itself(timeout_s=180)  # a large home has to write much before its map grows
    assert "done" not in said, f"{place}: it was not come to {times} times"
    return {line.split()[1] for line in said}


def end_again_and_again(home: Path, place: str, random: Random, times: int) -> None:
    clock = Clock()
    with open_home(home, clock) as store:
        ann = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        ann.publish(*(Post(f"before {number}") for number in range(40)))  # enough to be rebuilt
        acknowledged = {str(cid) for cid in cids_held(store)}
    for _ in range(times):
        acknowledged |= end_at(home, place, random.randint(1, PLACES[place].often))
        with open_home(home, clock) as store:
            assert acknowledged <= {str(cid) for cid in cids_held(store)}
            check_whole(store)
        check_backup(home)
    with open_home(home, clock) as store:  # and life goes on
        (record,) = store.publish(publisher_of(Person("Ann", seed=1), clock, seed=5), Post("life goes on"))
        assert record.cid in cids_held(store)


def check_backup(home: Path) -> None:
    """A file that bears the name of a backup is one."""
    file = home.parent / "backup.tar"
    if file.exists():
        (home.parent / "from backup").mkdir()
        read_backup(file, home.parent / "from backup", network=NETWORK)
        with open_home(home.parent / "from backup", Clock()) as restored, open_home(home, Clock()) as store:
            assert cids_held(restored) == cids_held(store)
            check_whole(restored)


@pytest.mark.parametrize("place", PLACES)
def test_an_end_at_any_place_loses_nothing_that_was_acknowledged(place: str, tmp_path: Path) -> None:
    end_again_and_again(tmp_path / "home", place, Random(place), times=1)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("place", [place for place in PLACES if "a backup has" not in place])
def test_many_ends_at_any_place_lose_nothing_that_was_acknowledged(place: str, tmp_path: Path) -> None:
    random = Random(place)
    if " map " not in place:
        end_again_and_again(tmp_path / "home", place, random, times=20)
        return
    # The map doubles, so in one home every end would take twice what the one before took.
    for number in range(20):
        end_again_and_again(tmp_path / f"home-{number}", place, random, times=1)


@pytest.mark.parametrize("place", MIGRATING)
def test_a_migration_that_was_ended_is_done_again(place: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "store").mkdir(parents=True)
    (home / "store" / "data.mdb").write_bytes(gzip.decompress(OLD_HOME.read_bytes()))

    end_at(home, place, Random(place).randint(1, MIGRATING[place].often))

    with open_home(home, Clock()) as store:
        check_folds(store)
        with store.snapshot() as snapshot:
            report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
    assert (report.bad, report.forks) == (0, 0), report.problems
