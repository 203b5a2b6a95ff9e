"""The database: who may open it, what it refuses by name, and what it does when there is no room."""

import resource
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest
from tests.support.people import (
    NETWORK,
    Clock,
    Home,
    Person,
    arrivals_of,
    cids_held,
    dump,
    ingest,
    open_home,
    publisher_of,
    texts,
)
from tests.support.processes import child

from unhush.storage.contacts import Contact
from unhush.storage.errors import HomeInUse, MalformedContact, StoreFull, StoreUnreadable
from unhush.storage.kinds import Post
from unhush.storage.schema import Table
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

MIB = 2**20


def is_sound(store: Store) -> bool:
    with store.snapshot() as snapshot:
        return verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True).is_clean


# -- opening


@pytest.mark.parametrize("way", ["the same path", "a link", "a detour"])
def test_a_second_open_in_one_process_is_refused_by_name(way: str, tmp_path: Path, clock: Clock) -> None:
    home = tmp_path / "home"
    other = {"the same path": home, "a link": tmp_path / "link", "a detour": home / ".." / "home"}[way]
    with open_home(home, clock) as store:
        if way == "a link":
            other.symlink_to(home)

        with pytest.raises(HomeInUse), open_home(other, clock):
            pass

        assert store.last_aid() == 0  # the first is unharmed
    with open_home(other, clock):
        pass


def test_another_process_may_use_the_home_at_the_same_time(home: Home) -> None:
    with child("tests.support.writer", str(home.store.home), "1", "posts=3") as writer:
        assert writer.line() == "ready"
        writer.say("go")
        written = writer.finish()

    assert len(written) == 3
    assert home.store.last_aid() == home.first.aid + 3


def test_a_home_of_another_network_is_refused_and_left_as_it_was(tmp_path: Path, clock: Clock) -> None:
    with open_home(tmp_path, clock) as store:
        before = dump(store)

    with pytest.raises(StoreUnreadable, match=r"network 'test'.*'main'"):
        Store(tmp_path, network="main", clock_ms=clock)

    with open_home(tmp_path, clock) as store:
        assert dump(store) == before


def test_a_database_of_another_version_is_refused_and_left_as_it_was(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "store").mkdir()
    with (
        lmdb.open(str(tmp_path / "store"), max_dbs=64, lib_version=0) as raw,
        raw.begin(write=True) as txn,
    ):
        meta = raw.open_db(b"meta", txn=txn)
        txn.put(b"schema", b"99", db=meta)
        txn.put(b"network", b"test", db=meta)

    with pytest.raises(StoreUnreadable, match=r"schema '99'.*'1'"), open_home(tmp_path, clock):
        pass

    with lmdb.open(str(tmp_path / "store"), max_dbs=64, lib_version=0) as raw, raw.begin() as txn:
        assert [name for name, _ in txn.cursor()] == [b"meta"]


def test_a_version_that_is_not_even_text_is_refused_by_name(tmp_path: Path, clock: Clock) -> None:
    with open_home(tmp_path, clock) as store, store._environment.write() as txn:
        txn.put(Table.META, b"schema", b"\xff\xfe")

    with pytest.raises(StoreUnreadable, match="schema"), open_home(tmp_path, clock):
        pass


@pytest.mark.parametrize("data", [b"", b"not a database", bytes(8192), b"\xff" * 8192])
def test_a_file_that_is_no_database_is_refused_or_begun_anew_but_never_misread(
    data: bytes, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(data)

    if data:
        with pytest.raises(StoreUnreadable), open_home(tmp_path, clock):
            pass
    else:
        with open_home(tmp_path, clock) as store:
            assert store.last_aid() == 0


def test_a_home_that_cannot_be_a_folder_is_refused_by_name(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StoreUnreadable):
        Store(tmp_path / "file", network=NETWORK, clock_ms=clock)


def test_the_database_is_for_its_owner_alone(home: Home) -> None:
    folder = home.store.home / "store"

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_readers_place_is_free_again_after_a_kill(tmp_path: Path, clock: Clock) -> None:
    Path(tmp_path / "home").mkdir()
    for _ in range(3):
        with child("tests.support.listener", str(tmp_path / "home"), "1") as listener:
            assert listener.line() == "ready"
            listener.kill()
    with open_home(tmp_path / "home", clock) as store:
        assert store._environment._env.info()["num_readers"] <= 2


# -- no room


def fill(home: Home) -> int:
    """Post until the store has no room; how many posts were acknowledged."""
    for number in range(100_000):
        try:
            home.post(f"{number} " + "x" * 4_000)
        except StoreFull:
            return number
    raise AssertionError("the store was never full")


def test_a_full_map_refuses_by_name_and_goes_on_reading(tmp_path: Path, clock: Clock, bob: Person) -> None:
    with open_home(tmp_path, clock, map_bytes=1 * MIB) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        posted = fill(home)
        before = cids_held(store)

        with pytest.raises(StoreFull, match="largest size"):
            ingest(store, bob.incept, *arrivals_of([bob.post("x" * 40_000) for _ in range(20)]))

        assert posted > 50
        assert cids_held(store) == before
        with store.snapshot() as snapshot:
            assert len(texts(record for _, record in snapshot.home())) == posted
        assert is_sound(store)


def test_a_home_grows_again_when_it_is_given_more_room(tmp_path: Path, clock: Clock) -> None:
    person = Person("Ann", seed=1, clock_ms=clock)
    with open_home(tmp_path, clock, map_bytes=1 * MIB) as store:
        fill(Home(store, person, clock))
        before = cids_held(store)

    with open_home(tmp_path, clock, map_bytes=8 * MIB) as store:
        (record,) = store.publish(publisher_of(person, clock, seed=9), Post("room again"))

        assert cids_held(store) == before | {record.cid}
        assert is_sound(store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False, text=True
    )
    if mount.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mount.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_refuses_by_name_goes_on_reading_and_recovers_without_restart(
    small_disk: Path, clock: Clock
) -> None:
    (small_disk / "ballast").write_bytes(bytes(1 * MIB))
    with open_home(small_disk / "home", clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        posted = fill(home)
        before = cids_held(store)
        with store.snapshot() as snapshot:
            assert len(texts(record for _, record in snapshot.home())) == posted > 10
        assert is_sound(store)

        (small_disk / "ballast").unlink()
        record = home.post("room again")

        assert cids_held(store) == before | {record.cid}
        assert is_sound(store)


def test_a_home_on_a_full_disk_can_be_opened_and_read(small_disk: Path, clock: Clock) -> None:
    with open_home(small_disk / "home", clock) as store:
        posted = fill(Home(store, Person("Ann", seed=1, clock_ms=clock), clock))

    with open_home(small_disk / "home", clock) as store:
        with store.snapshot() as snapshot:
            assert len(texts(record for _, record in snapshot.home())) == posted
        assert is_sound(store)


def test_a_limit_on_the_size_of_files_refuses_by_name_and_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    with open_home(tmp_path, clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        data = (tmp_path / "store" / "data.mdb").stat().st_size
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (data + MIB // 2, unlimited[1]))
        try:
            posted = fill(home)
            before = cids_held(store)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        record = home.post("room again")

        assert posted > 10
        assert cids_held(store) == before | {record.cid}
        assert is_sound(store)


# -- contacts and petnames


def test_contacts_are_remembered_and_what_a_person_gave_stays_so(tmp_path: Path, clock: Clock) -> None:
    with open_home(tmp_path, clock) as store:
        store.put_contact(Contact("/ip4/192.0.2.1/tcp/4001", is_configured=True))
        store.put_contact(Contact("/ip4/192.0.2.1/tcp/4001", is_configured=False))
        store.put_contact(Contact("/ip4/192.0.2.2/tcp/4001", is_configured=False))
        assert store.drop_contact("/ip4/192.0.2.2/tcp/4001")
        assert not store.drop_contact("/ip4/192.0.2.2/tcp/4001")

    with open_home(tmp_path, clock) as store, store.snapshot() as snapshot:
        assert snapshot.contacts() == [Contact("/ip4/192.0.2.1/tcp/4001", is_configured=True)]


@pytest.mark.parametrize("address", ["", "/" * 401, "/ä" * 134])
def test_an_address_no_contact_can_have_is_refused_by_name(address: str) -> None:
    with pytest.raises(MalformedContact):
        Contact(address, is_configured=False)


def test_a_petname_is_kept_until_it_is_forgotten(home: Home, bob: Person) -> None:
    home.store.put_petname(bob.account, "Bobby ❤")
    with home.store.snapshot() as snapshot:
        assert snapshot.petname(bob.account) == "Bobby ❤"

    home.store.put_petname(bob.account, None)
    with home.store.snapshot() as snapshot:
        assert snapshot.petname(bob.account) is None
