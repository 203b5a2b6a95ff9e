"""The database: who may open it, what it refuses by name, and what it does when there is no room."""

import os
import resource
import stat
import subprocess
import sys
import threading
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
from tests.support.processes import ROOT, child

from unhush.storage import environment
from unhush.storage.contacts import Contact
from unhush.storage.errors import HomeInUse, MalformedContact, StoreFull, StoreUnreadable
from unhush.storage.gate import Gate
from unhush.storage.kinds import Post
from unhush.storage.schema import Table
from unhush.storage.store import Store
from unhush.storage.transaction import Txn
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

    own = {line.split()[1] for line in written if line.startswith("own ")}
    assert len(own) >= 3
    assert own <= {str(cid) for cid in cids_held(home.store)}


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

    with (
        pytest.raises(StoreUnreadable, match=r"schema version 99, this program knows versions up to \d"),
        open_home(tmp_path, clock),
    ):
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


def info(store: Store) -> dict[str, int]:
    return store._environment._env.info()  # type: ignore[no-any-return]  # lmdb has no types


def grow_over(store: Store, posts: int, person: Person) -> None:
    """Take in so much that the map cannot stay as it is."""
    for _ in range(posts):
        ingest(store, *arrivals_of([person.post("x" * 40_000) for _ in range(20)]))


def test_a_new_home_maps_little(store: Store) -> None:
    assert info(store)["map_size"] <= 256 * MIB


def test_the_map_grows_before_it_is_full(
    tmp_path: Path, clock: Clock, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 8 * MIB)
    monkeypatch.setattr(environment, "HEAD_ROOM_BYTES", 3 * MIB)
    with open_home(tmp_path, clock) as store:
        ingest(store, bob.incept)
        before = info(store)["map_size"]

        grow_over(store, 8, bob)

        assert info(store)["map_size"] == 2 * before
        assert (info(store)["last_pgno"] + 1) * 4096 < before  # long before it had to


def test_a_transaction_that_does_not_fit_is_done_again_in_a_larger_map(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 * MIB)
    monkeypatch.setattr(environment, "HEAD_ROOM_BYTES", 64 * 1024)
    times = 0

    def write(txn: Txn) -> None:
        nonlocal times
        times += 1
        for number in range(2_000):
            txn.put(Table.PETNAMES, number.to_bytes(32, "big"), bytes(4_000))

    with open_home(tmp_path, clock) as store:
        store._environment.run(write)

        assert times > 1
        assert info(store)["map_size"] >= 8 * MIB
        with store._environment.read() as txn:
            assert txn.count(Table.PETNAMES) == 2_000


def test_what_does_not_fit_without_run_fits_the_next_time(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 * MIB)
    monkeypatch.setattr(environment, "HEAD_ROOM_BYTES", 64 * 1024)

    def write(store: Store) -> None:
        with store._environment.write() as txn:
            for number in range(300):
                txn.put(Table.PETNAMES, number.to_bytes(32, "big"), bytes(4_000))

    with open_home(tmp_path, clock) as store:
        with pytest.raises(StoreFull, match="no room to grow now"):
            write(store)
        write(store)


def test_threads_read_on_while_the_map_grows(
    tmp_path: Path, clock: Clock, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 * MIB)
    monkeypatch.setattr(environment, "HEAD_ROOM_BYTES", 256 * 1024)
    is_done = threading.Event()
    failures: list[BaseException] = []
    looks = [0] * 4

    with open_home(tmp_path, clock) as store:
        ingest(store, bob.incept)

        def read(number: int) -> None:
            try:
                while not (looks[number] and is_done.is_set()):
                    with store.snapshot() as snapshot:
                        count = snapshot.count_records()
                        assert len(list(snapshot.journal(0))) == count  # a snapshot, also while the map moves
                    looks[number] += 1
            except BaseException as exc:
                failures.append(exc)

        threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        grow_over(store, 12, bob)
        is_done.set()
        for thread in threads:
            thread.join()

        assert failures == []
        assert min(looks) > 0
        assert info(store)["map_size"] >= 8 * MIB
        assert store.count_records() == 1 + 12 * 20


def test_a_reader_in_the_same_thread_does_not_hold_itself_up(
    tmp_path: Path, clock: Clock, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 4 * MIB)
    with open_home(tmp_path, clock) as store, store.snapshot() as snapshot:
        before = info(store)["map_size"]
        ingest(store, bob.incept, bob.post("hello").arrival)

        assert snapshot.count_records() == 0
        assert store.count_records() == 2
        assert info(store)["map_size"] == before < environment.HEAD_ROOM_BYTES  # it may not move under the snapshot


def test_another_process_grows_the_database_and_this_one_follows(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 256 * 1024)
    monkeypatch.setattr(environment, "HEAD_ROOM_BYTES", 16 * 1024)
    with open_home(tmp_path / "home", clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        before = info(store)["map_size"]
        with child("tests.support.writer", str(store.home), "7", "ingest=600") as writer:
            assert writer.line() == "ready"
            writer.say("go")
            written = writer.finish()

        assert before < (info(store)["last_pgno"] + 1) * 4096
        assert store.count_records() == 3 + len(written)  # it reads on
        record = home.post("and writes on")
        assert record.cid in cids_held(store)
        assert is_sound(store)


def test_little_address_space_is_enough_for_a_home(tmp_path: Path) -> None:
    """As on a 32-bit machine, or in a shell with a limit."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tests.support.people import Clock, Home, Person, open_home\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20,) * 2)\n"
        "with open_home(Path(sys.argv[1]), Clock()) as store:\n"
        "    Home(store, Person('Ann', seed=1), Clock()).post('hello')\n"
        "    print(store._environment._env.info()['map_size'], store.count_records())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "home")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    size, records = map(int, done.stdout.split())
    assert size < 100 * MIB
    assert records == 3


def test_a_map_for_which_there_is_no_address_space_is_never_tried(
    tmp_path: Path, clock: Clock, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 * MIB)
    monkeypatch.setattr(environment, "_has_address_space", lambda _size: False)
    with open_home(tmp_path, clock) as store:
        ingest(store, bob.incept)
        with pytest.raises(StoreFull, match="no room to grow"):
            grow_over(store, 12, bob)

        assert is_sound(store)


# -- the gate


def test_whoever_wants_to_be_alone_waits_for_those_inside_and_no_longer_than_told() -> None:
    gate = Gate()
    entered, left = threading.Event(), threading.Event()

    def visit() -> None:
        place = gate.enter()
        entered.set()
        left.wait()
        gate.leave(place)

    visitor = threading.Thread(target=visit)
    visitor.start()
    entered.wait()
    with gate.alone(0.01) as is_alone:
        assert not is_alone
    left.set()
    with gate.alone(10.0) as is_alone:
        assert is_alone
    visitor.join()


def test_a_thread_that_is_inside_is_never_alone_and_never_waits_to_go_deeper() -> None:
    gate = Gate()
    outer = gate.enter()
    with gate.alone(10.0) as is_alone:
        assert not is_alone
    inner = gate.enter()
    gate.leave(inner)
    gate.leave(outer)
    with gate.alone(0.0) as is_alone:
        assert is_alone


# -- no room, by name


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
