"""Homes of older versions: brought up to this one whole or not at all.

``homes/version-1.mdb.gz`` was written by the program as it was at version 1: a
home of Ann, who follows Bob and has a thread; of Bob an account with a device
that was cut off after the third of its five posts.

``homes/version-2.mdb.gz`` was written at version 2, which knew no records of kind
``keeper``: Ann follows Bob, who follows Cleo; Dan is a stranger. Ann's phone asked
Bob to keep her account, and Dan, which it took back; Bob asked Ann. Each of the
logs of the three others has a floor.
"""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest
from tests.support.people import NETWORK, Clock, open_home, texts
from tests.support.processes import ROOT

from unhush.storage import environment, migration
from unhush.storage.contacts import Contact
from unhush.storage.errors import StoreUnreadable
from unhush.storage.folds.activity import Reason
from unhush.storage.logs import iter_logs
from unhush.storage.room.floors import find_floor
from unhush.storage.room.tiers import Tier
from unhush.storage.schema import SCHEMA_VERSION, Table
from unhush.storage.store import Store
from unhush.storage.transaction import Txn
from unhush.storage.verify import verify_store

HOMES = Path(__file__).parent / "homes"
OLD_HOME = HOMES / "version-1.mdb.gz"


def unpack(name: str, home: Path) -> Path:
    (home / "store").mkdir(parents=True)
    (home / "store" / "data.mdb").write_bytes(gzip.decompress((HOMES / name).read_bytes()))
    return home


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A home of version 1."""
    return unpack("version-1.mdb.gz", tmp_path / "old")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A home of version 2."""
    return unpack("version-2.mdb.gz", tmp_path / "second")


def raw_rows(home: Path, *tables: bytes) -> dict[bytes, list[tuple[bytes, bytes]]]:
    """What is in a database, without our code."""
    with lmdb.open(str(home / "store"), max_dbs=64, lib_version=0) as raw:
        handles = {table: raw.open_db(table, create=False) for table in tables}
        with raw.begin() as txn:
            return {table: list(txn.cursor(handle)) for table, handle in handles.items()}


def change(home: Path, table: bytes, how: Callable[[lmdb.Transaction, lmdb._Database], None]) -> None:
    with lmdb.open(str(home / "store"), max_dbs=64, lib_version=0) as raw:
        handle = raw.open_db(table, create=False)
        with raw.begin(write=True) as txn:
            how(txn, handle)


def version_of(home: Path) -> bytes:
    return dict(raw_rows(home, b"meta")[b"meta"])[b"schema"]


def check_lived(store: Store) -> None:
    """All that the old home showed, by every new index."""
    with store.snapshot() as snapshot:
        own = snapshot.own_account()
        assert own is not None
        me = snapshot.account(own)
        assert me is not None
        (bob,) = snapshot.follows(me)
        assert sorted(texts(record for _, record in snapshot.home())) == sorted(
            ["answer", "root", *(f"phone {number}" for number in range(3)), *(f"post {number}" for number in range(6))]
        )
        root = next(record for _, record in snapshot.posts(me) if texts([record]) == ["root"])
        assert texts(snapshot.replies(root.cid)) == ["answer"]
        assert snapshot.petname(bob) == "Bobby"
        assert snapshot.contacts() == [Contact("/ip4/192.0.2.1/tcp/4001", is_configured=True)]
        report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
        assert (report.is_clean, report.entries) == (True, 21), report.problems
    assert store.find_stale() == []


def test_a_home_of_version_1_is_brought_up_with_all_it_had(old: Path, clock: Clock) -> None:
    journal = raw_rows(old, b"journal", b"ids", b"slots", b"runs")

    with open_home(old, clock) as store:
        check_lived(store)

    assert version_of(old) == str(SCHEMA_VERSION).encode()
    assert raw_rows(old, b"journal", b"ids", b"slots", b"runs") == journal
    with open_home(old, clock) as store:
        check_lived(store)


def test_a_home_from_before_root_keys_and_cuts_were_noted_is_brought_up(old: Path, clock: Clock) -> None:
    before = raw_rows(old, b"roots", b"proven")
    assert len(before[b"roots"]) == 2
    assert len(before[b"proven"]) == 1
    for table in (b"roots", b"proven"):
        change(old, table, lambda txn, handle: txn.drop(handle, delete=False))

    with open_home(old, clock) as store:
        check_lived(store)

    assert raw_rows(old, b"roots", b"proven") == before


def test_a_whole_home_of_this_version_is_not_touched(old: Path, clock: Clock) -> None:
    with open_home(old, clock):
        pass
    before = (old / "store" / "data.mdb").read_bytes()

    with open_home(old, clock):
        pass

    assert (old / "store" / "data.mdb").read_bytes() == before


def test_in_a_home_of_version_2_records_that_ask_for_keeping_are_read_and_floors_keep_their_tier(
    second: Path, clock: Clock
) -> None:
    journal = raw_rows(second, b"journal", b"ids", b"slots", b"runs", b"accounts")

    with open_home(second, clock) as store:
        with store.snapshot() as snapshot:
            own = snapshot.own_account()
            assert own is not None
            me = snapshot.account(own)
            assert me is not None
            (bob,) = snapshot.follows(me)
            assert snapshot.accepted_keepers(own) == {bob}
            assert snapshot.accepted_keepers(bob) == {own}
            assert [record.account for _, record in snapshot.wards(own)] == [bob]
            assert Reason.KEEPER in {reason for _, act in snapshot.activity() for reason in act.reasons}
        with store._environment.read() as txn:
            tiers = [Tier(row[-1]) for _, row in txn.scan(Table.FLOORS)]
            floors = [find_floor(txn, who, log) for who, _, log in iter_logs(txn) if who != own]
        assert tiers == [Tier.FOLLOWED, Tier.NEAR, Tier.STRANGER]
        assert floors == [2, 2, 2]
        assert store.find_stale() == []

    assert version_of(second) == str(SCHEMA_VERSION).encode()
    assert raw_rows(second, b"journal", b"ids", b"slots", b"runs", b"accounts") == journal


# -- steps


def set_steps(monkeypatch: pytest.MonkeyPatch, *steps: migration.Step) -> None:
    monkeypatch.setattr(migration, "SCHEMA_VERSION", 1 + len(steps))
    monkeypatch.setattr(migration, "STEPS", dict(enumerate(steps, 1)))


def test_steps_are_taken_one_after_the_other_each_once(
    old: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(name: bytes) -> migration.Step:
        def put(txn: Txn) -> None:
            before = txn.get(Table.META, b"steps") or b""
            txn.put(Table.META, b"steps", before + name)

        return put

    set_steps(monkeypatch, step(b"a"), step(b"b"))
    with open_home(old, clock):
        pass
    set_steps(monkeypatch, step(b"a"), step(b"b"), step(b"c"), step(b"d"))
    for _ in range(2):
        with open_home(old, clock):
            pass

    assert dict(raw_rows(old, b"meta")[b"meta"])[b"steps"] == b"abcd"
    assert version_of(old) == b"5"


def fail(_txn: Txn) -> None:
    raise StoreUnreadable("a step found what it cannot read")


def spoil(txn: Txn) -> None:
    txn.clear(Table.PETNAMES)
    txn.flush()


def test_a_step_that_fails_leaves_the_old_version_as_it_was(
    old: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = raw_rows(old, b"meta", b"petnames", b"posts")
    with monkeypatch.context() as patched:
        set_steps(patched, spoil, fail)
        with pytest.raises(StoreUnreadable, match="a step found"), open_home(old, clock):
            pass

    assert raw_rows(old, b"meta", b"petnames", b"posts") == before
    with open_home(old, clock) as store:
        check_lived(store)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.people import Clock, open_home
from unhush.storage import migration
from unhush.storage.schema import Table

def spoil(txn):
    txn.clear(Table.PETNAMES)
    txn.put(Table.PETNAMES, bytes(32), b"spoilt")
    txn.flush()

migration.SCHEMA_VERSION = 3
migration.STEPS = {1: spoil, 2: lambda txn: os.kill(os.getpid(), signal.SIGKILL)}
with open_home(Path(sys.argv[1]), Clock()):
    pass
"""


def test_a_kill_in_the_middle_leaves_the_old_version_as_it_was(old: Path, clock: Clock) -> None:
    before = raw_rows(old, b"meta", b"petnames", b"posts")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(old)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL
    assert raw_rows(old, b"meta", b"petnames", b"posts") == before
    with open_home(old, clock) as store:
        check_lived(store)


def test_a_step_that_does_not_fit_the_map_is_taken_again_in_a_larger_one(
    old: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1)
    monkeypatch.setattr(environment, "HEAD_ROOM_BYTES", 4096)
    times = 0

    def large(txn: Txn) -> None:
        nonlocal times
        times += 1
        for number in range(1_000):
            txn.put(Table.PETNAMES, number.to_bytes(32, "big"), bytes(4_000))

    set_steps(monkeypatch, large)
    with open_home(old, clock) as store, store._environment.read() as txn:
        assert txn.count(Table.PETNAMES) == 1_001
    assert times > 1


def test_a_version_that_is_no_number_is_refused(old: Path, clock: Clock) -> None:
    for value in (b"", b"0", b"-1", b"x", b"1" * 40):
        change(old, b"meta", lambda txn, handle, value=value: txn.put(b"schema", value, db=handle))  # type: ignore[misc]
        with pytest.raises(StoreUnreadable), open_home(old, clock):
            pass
