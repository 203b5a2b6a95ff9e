"""Disks that are full or cannot be written: refused by name, read on, and well again without a restart."""

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.mounts import read_only, small_disk
from tests.support.people import (
    NETWORK,
    Clock,
    Home,
    Person,
    arrivals_of,
    cids_held,
    ingest,
    open_home,
    publisher_of,
    texts,
)
from tests.support.processes import ROOT

from unhush.identity.cid import Cid
from unhush.storage.car import write_car
from unhush.storage.contacts import Contact
from unhush.storage.errors import HomeReadOnly, StoreFull
from unhush.storage.kinds import Follow, Post
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

MIB = 2**20


def is_sound(store: Store) -> bool:
    store.check_pages()
    with store.snapshot() as snapshot:
        report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
    return not report.is_damaged and store.find_stale() == []


def home_texts(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return texts(record for _, record in snapshot.home())


# -- a full disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    with small_disk(tmp_path / "disk", "16m") as place:
        yield place


def take_in_until_full(store: Store, stranger: Person) -> set[Cid]:
    """Batches of somebody's posts until one is refused; what was acknowledged."""
    held: set[Cid] = set()
    for _ in range(200):
        posts = [stranger.post("x" * 20_000) for _ in range(10)]
        try:
            outcomes = ingest(store, *arrivals_of(posts))
        except StoreFull:
            return held
        held |= {outcome.cid for outcome in outcomes if outcome.cid is not None and outcome.aid is not None}
    raise AssertionError("the disk was never full")


def test_a_disk_of_16_mib_fills_up_is_refused_by_name_and_loses_nothing(disk: Path, clock: Clock, bob: Person) -> None:
    (disk / "ballast").write_bytes(bytes(6 * MIB))
    with open_home(disk / "home", clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        mine = home.publish(Post("before it was full"), Follow(bob.account))[0]
        ingest(store, bob.incept)

        held = take_in_until_full(store, bob)
        for _ in range(3):  # refused again and again, in the same words
            with pytest.raises(StoreFull, match="nothing of this was stored"):
                ingest(store, *arrivals_of([bob.post("x" * 45_000) for _ in range(60)]))

        assert len(held) > 100
        assert held <= cids_held(store)
        assert mine.cid in cids_held(store)
        with store.snapshot() as snapshot:
            assert snapshot.record(mine.cid) is not None
            assert len(list(snapshot.home())) == len(held) + 1

        (disk / "ballast").unlink()
        later = home.post("room again")
        more = bob.posts(3)
        ingest(store, *arrivals_of(more))

        assert {mine.cid, later.cid, *(post.cid for post in more)} <= cids_held(store)
        assert held <= cids_held(store)
    with open_home(disk / "home", clock) as store:
        store.check_pages()
        assert held <= cids_held(store)


def test_a_full_disk_has_no_room_for_a_backup_and_keeps_nothing_of_it(
    disk: Path, clock: Clock, bob: Person, tmp_path: Path
) -> None:
    with open_home(disk / "home", clock) as store:
        Home(store, Person("Ann", seed=1, clock_ms=clock), clock).publish(Follow(bob.account))
        ingest(store, bob.incept)
        take_in_until_full(store, bob)

        with pytest.raises(StoreFull):
            store.backup(disk / "backup.tar", now_ms=clock())
        assert sorted(path.name for path in disk.iterdir()) == ["home"]

        assert store.backup(tmp_path / "backup.tar", now_ms=clock()).bytes > 5 * MIB


# -- no writing


@pytest.fixture
def lived_in(tmp_path: Path, clock: Clock, bob: Person) -> Path:
    path = tmp_path / "lived in"
    with open_home(path, clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        home.post("one")
        home.post("two")
        ingest(store, bob.incept, *arrivals_of(bob.posts(20)))
    return path


def check_reads_and_never_writes(home: Path, elsewhere: Path, clock: Clock) -> None:
    ann = Person("Ann", seed=1, clock_ms=clock)
    with open_home(home, clock) as store:
        assert sorted(home_texts(store)) == ["one", "two"]
        assert is_sound(store)
        with store.snapshot() as snapshot, (elsewhere / "ann.car").open("wb") as file:
            assert write_car(file, snapshot, ann.account).blocks > 6
        assert store.backup(elsewhere / "backup.tar", now_ms=clock()).bytes > 0
        for write in (
            lambda: store.publish(publisher_of(ann, clock, seed=5), Post("three")),
            lambda: ingest(store, Person("Cleo", seed=3).incept),
            lambda: store.put_contact(Contact("/ip4/192.0.2.1/tcp/4001", is_configured=True)),
            store.rebuild_indexes,
        ):
            with pytest.raises(HomeReadOnly, match="cannot be written here"):
                write()
        assert sorted(home_texts(store)) == ["one", "two"]


@pytest.mark.parametrize("has_lock", [True, False])
def test_a_home_on_a_read_only_file_system_reads_and_says_why_it_writes_nothing(
    lived_in: Path, tmp_path: Path, clock: Clock, has_lock: bool
) -> None:
    if not has_lock:
        (lived_in / "store" / "lock.mdb").unlink()
    before = (lived_in / "store" / "data.mdb").read_bytes()

    with read_only(lived_in):
        check_reads_and_never_writes(lived_in, tmp_path, clock)

    assert (lived_in / "store" / "data.mdb").read_bytes() == before
    with open_home(lived_in, clock) as store:
        assert store.publish(publisher_of(Person("Ann", seed=1), clock, seed=5), Post("three"))


def test_a_home_of_an_older_version_that_cannot_be_written_says_so(tmp_path: Path, clock: Clock) -> None:
    old = tmp_path / "old"
    (old / "store").mkdir(parents=True)
    packed = Path(__file__).parent / "homes" / "version-1.mdb.gz"
    (old / "store" / "data.mdb").write_bytes(gzip.decompress(packed.read_bytes()))

    with read_only(old), pytest.raises(HomeReadOnly, match="schema version 1 and must become"), open_home(old, clock):
        pass


NOBODY = 65_534
AS_NOBODY = """
import os, sys
from pathlib import Path
import tests.storage.test_faults as faults
from tests.support.people import Clock
os.setgid(faults.NOBODY)
os.setuid(faults.NOBODY)
faults.check_reads_and_never_writes(Path(sys.argv[1]), Path(sys.argv[2]), Clock())
"""


def test_a_home_without_permission_to_write_reads_and_says_why_it_writes_nothing(lived_in: Path, clock: Clock) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become a user without permission")
    with tempfile.TemporaryDirectory() as place:
        home, elsewhere = Path(place) / "home", Path(place) / "elsewhere"
        lived_in.rename(home)
        elsewhere.mkdir()
        os.chown(elsewhere, NOBODY, NOBODY)
        for path in (Path(place), home, home / "store"):
            path.chmod(0o755)
        for path in (home / "store").iterdir():
            path.chmod(0o444)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(home), str(elsewhere)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
            capture_output=True,
            text=True,
            check=False,
        )
    if "Permission denied" in done.stderr and "import" in done.stderr:
        pytest.skip("the program cannot be read by another user here")
    assert done.returncode == 0, done.stderr
