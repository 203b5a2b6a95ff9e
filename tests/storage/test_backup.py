"""Backup and the way back, compaction, and repair: whole or not at all, never a key, and nothing readable is lost."""

import io
import json
import stat
import tarfile
from pathlib import Path

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
)
from tests.support.processes import child

from unhush.storage import compacting
from unhush.storage.arrivals import Arrival
from unhush.storage.backup import MANIFEST, read_backup
from unhush.storage.blobs.manifest import CHUNK_BYTES
from unhush.storage.compacting import compact
from unhush.storage.errors import BackupExists, HomeInUse, MalformedBackup, StoreDamaged, StoreFull
from unhush.storage.folds import FOLD_TABLES
from unhush.storage.kinds import Follow, Media, Post
from unhush.storage.repair import repair
from unhush.storage.schema import Table
from unhush.storage.store import Store
from unhush.storage.verify import verify_store


def is_clean(store: Store) -> bool:
    store.check_pages()
    with store.snapshot() as snapshot:
        report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
    return report.is_clean and store.find_stale() == []


@pytest.fixture
def lived_in(home: Home, bob: Person) -> Home:
    picture, size = home.store.blobs.put(io.BytesIO(b"a picture"))
    home.publish(Follow(bob.account), Post("ours", media=(Media(picture, "image/png", size, ""),)))
    ingest(home.store, bob.incept, *arrivals_of(bob.posts(40)))
    home.store.put_petname(bob.account, "Bobby")
    return home


@pytest.fixture
def file(lived_in: Home, tmp_path: Path) -> Path:
    lived_in.store.backup(tmp_path / "backup.tar", now_ms=7)
    return tmp_path / "backup.tar"


# -- backup


def test_a_home_comes_back_from_its_backup_with_all_but_the_key(lived_in: Home, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()

    made = read_backup(file, other, network=NETWORK)

    assert made.blobs == 1
    before = dump(lived_in.store)
    with Store(other, network=NETWORK, clock_ms=Clock()) as store:
        after = dump(store)
        assert {table for table in Table if before[table] != after[table]} == {Table.META}
        assert dict(before[Table.META]).keys() - dict(after[Table.META]).keys() == {b"own-device"}
        with store.snapshot() as snapshot:
            assert snapshot.own_account() == lived_in.person.account
            assert snapshot.own_device() is None
        assert store.blobs.read(lived_in.store.blobs.put(io.BytesIO(b"a picture"))[0]) == b"a picture"
        assert is_clean(store)
    assert stat.S_IMODE((other / "store" / "data.mdb").stat().st_mode) == 0o600
    assert stat.S_IMODE((other / "store").stat().st_mode) == 0o700
    assert sorted(path.name for path in other.iterdir()) == ["blobs", "store"]


def test_a_backup_is_private_and_holds_no_file_of_another_name(lived_in: Home, file: Path, tmp_path: Path) -> None:
    place = lived_in.store.home
    for name in ("device.key", "root.key", "peer.key", "words.txt", "blobs/device.key", "blobs/ab"):
        (place / name).write_bytes(b"a secret")

    lived_in.store.backup(tmp_path / "again.tar", now_ms=7)

    for each in (file, tmp_path / "again.tar"):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
        assert b"a secret" not in each.read_bytes()
        with tarfile.open(each) as archive:
            names = archive.getnames()
        assert names[0] == "store/data.mdb"
        assert names[-1] == MANIFEST
        assert len(names) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.tar", "backup.tar", "home"]


def test_a_backup_has_no_file_that_no_record_names(lived_in: Home, tmp_path: Path) -> None:
    whole = b"0" * CHUNK_BYTES + b"a large picture"
    large, size = lived_in.store.blobs.put(io.BytesIO(whole))
    lived_in.store.blobs.put(io.BytesIO(b"1" * CHUNK_BYTES + b"of nothing"))
    lived_in.publish(Post("large", media=(Media(large, "image/png", size, ""),)))

    made = lived_in.store.backup(tmp_path / "again.tar", now_ms=7)

    (tmp_path / "other").mkdir()
    read_backup(tmp_path / "again.tar", tmp_path / "other", network=NETWORK)
    with Store(tmp_path / "other", network=NETWORK, clock_ms=Clock()) as store:
        assert store.blobs.read(large) == whole
        assert made.blobs == len(list(store.blobs.iter_blocks())) == 4  # two chunks, their manifest, the small one
    assert b"of nothing" not in (tmp_path / "again.tar").read_bytes()


def test_a_backup_replaces_nothing(lived_in: Home, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"dear")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    for path in (there, tmp_path / "link"):
        with pytest.raises(BackupExists):
            lived_in.store.backup(path, now_ms=7)

    assert there.read_bytes() == b"dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "link", "there"]
    with pytest.raises(StoreFull):
        lived_in.store.backup(tmp_path / "no" / "folder", now_ms=7)


def test_a_backup_is_one_moment_while_others_write(lived_in: Home, tmp_path: Path) -> None:
    with child("tests.support.writer", str(lived_in.store.home), "1", "posts=0") as writer:
        assert writer.line() == "ready"
        writer.say("go")
        said = [writer.line() for _ in range(20)]
        lived_in.store.backup(tmp_path / "backup.tar", now_ms=7)
        writer.kill()

    (tmp_path / "other").mkdir()
    read_backup(tmp_path / "backup.tar", tmp_path / "other", network=NETWORK)
    with Store(tmp_path / "other", network=NETWORK, clock_ms=Clock()) as store:
        assert {line.split()[1] for line in said} <= {str(cid) for cid in cids_held(store)}
        assert is_clean(store)


def test_a_home_that_is_there_is_not_replaced_by_a_backup(lived_in: Home, file: Path) -> None:
    before = dump(lived_in.store)

    with pytest.raises(BackupExists):
        read_backup(file, lived_in.store.home, network=NETWORK)

    assert dump(lived_in.store) == before


def archive_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def link(name: str, target: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = tarfile.SYMTYPE, target
    return made


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/tmp/evil",
        "device.key",
        "blobs/../device.key",
        "blobs/ab/" + "c" * 61,
        "store/lock.mdb",
        "store",
        "",
    ],
)
def test_a_member_of_another_name_is_refused_before_it_is_written(name: str, tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "evil.tar", (tarfile.TarInfo(name), b"evil"))
    (tmp_path / "other").mkdir()

    with pytest.raises(MalformedBackup):
        read_backup(archive, tmp_path / "other", network=NETWORK)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.tar", "other"]
    assert list((tmp_path / "other").iterdir()) == []


def test_hostile_archives_are_refused_by_name_and_make_no_home(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    manifests = [b"", b"[]", b"[" * 100_000, b"\xff", b'{"format":"unhush-backup","version":2,"members":{}}']
    archives = [
        whole[: len(whole) // 2],
        whole[:-20_000],
        b"",
        b"no archive",
        whole.replace(b"unhush-backup", b"unhush-bakcup"),
        bytes([whole[5_000] ^ 1]).join([whole[:5_000], whole[5_001:]]),
        *(archive_of(tmp_path / "m", (tarfile.TarInfo(MANIFEST), data)).read_bytes() for data in manifests),
        archive_of(tmp_path / "l", (link("store/data.mdb", "/etc/passwd"), b"")).read_bytes(),
        archive_of(tmp_path / "t", *[(tarfile.TarInfo("store/data.mdb"), b"x")] * 2).read_bytes(),
    ]
    (tmp_path / "other").mkdir()
    for number, data in enumerate(archives):
        (tmp_path / "hostile").write_bytes(data)
        with pytest.raises(MalformedBackup):
            read_backup(tmp_path / "hostile", tmp_path / "other", network=NETWORK)
        assert list((tmp_path / "other").iterdir()) == [], number
    with pytest.raises(MalformedBackup):
        read_backup(tmp_path / "not there", tmp_path / "other", network=NETWORK)


def test_a_sparse_member_that_would_fill_the_disk_is_refused_before_it_is_written(tmp_path: Path) -> None:
    member = tarfile.TarInfo("store/data.mdb")
    member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.numblocks": "1", "GNU.sparse.size": str(10**13)}
    archive = archive_of(tmp_path / "bomb.tar", (member, b"x"))
    with tarfile.open(archive) as opened:
        assert opened.getmembers()[0].size == 10**13  # what it would take
    (tmp_path / "other").mkdir()

    with pytest.raises(MalformedBackup, match="no backup has"):
        read_backup(archive, tmp_path / "other", network=NETWORK)

    assert list((tmp_path / "other").iterdir()) == []


def test_the_manifest_says_what_is_in_a_backup(file: Path) -> None:
    with tarfile.open(file) as archive:
        found = archive.extractfile(MANIFEST)
        assert found is not None
        manifest = json.loads(found.read())

    assert (manifest["format"], manifest["version"], manifest["network"], manifest["made_at_ms"]) == (
        "unhush-backup",
        1,
        NETWORK,
        7,
    )
    assert all(len(each["sha256"]) == 64 and each["size"] > 0 for each in manifest["members"].values())


# -- compaction


@pytest.fixture
def loose(tmp_path: Path, clock: Clock, bob: Person) -> Path:
    """A closed home with many free pages."""
    path = tmp_path / "loose"
    with open_home(path, clock) as store:
        Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        ingest(store, bob.incept, *arrivals_of(bob.posts(20)))
        with store._environment.write() as txn:
            for number in range(500):
                txn.put(Table.PETNAMES, number.to_bytes(32, "big"), bytes(1_000))
        with store._environment.write() as txn:
            txn.clear(Table.PETNAMES)
    return path


def test_compaction_gives_free_pages_back_and_changes_no_row(loose: Path, clock: Clock) -> None:
    with open_home(loose, clock) as store:
        before = dump(store)

    done = compact(loose / "store")

    assert done.bytes_after < done.bytes_before / 2
    assert (loose / "store" / "data.mdb").stat().st_size == done.bytes_after
    assert stat.S_IMODE((loose / "store" / "data.mdb").stat().st_mode) == 0o600
    with open_home(loose, clock) as store:
        assert dump(store) == before
        assert is_clean(store)


def test_a_home_in_use_is_not_compacted_or_repaired(loose: Path, clock: Clock) -> None:
    with open_home(loose, clock) as store:
        for refused in (lambda: compact(loose / "store"), lambda: repair(loose, network=NETWORK)):
            with pytest.raises(HomeInUse, match="open in this process"):
                refused()
        assert store.count_records() > 20
        with child("tests.support.listener", str(loose), "1") as listener:
            assert listener.line() == "ready"  # and the lock of this process still holds
    with child("tests.support.listener", str(loose), "1") as listener:
        assert listener.line() == "ready"
        for refused in (lambda: compact(loose / "store"), lambda: repair(loose, network=NETWORK)):
            with pytest.raises(HomeInUse, match="in use"):
                refused()
        listener.kill()
    assert compact(loose / "store").bytes_after > 0


@pytest.mark.parametrize("point", ["_copy", "sync_file", "sync_folder"])
def test_a_compaction_that_ends_early_leaves_a_whole_database(
    loose: Path, clock: Clock, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_home(loose, clock) as store:
        before = dump(store)

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(compacting, point, end)
        with pytest.raises(KeyboardInterrupt):
            compact(loose / "store")
    (loose / "store" / "compact.new").mkdir()  # as a kill would leave it
    compact(loose / "store")

    assert sorted(path.name for path in (loose / "store").iterdir()) == ["data.mdb", "lock.mdb"]
    with open_home(loose, clock) as store:
        assert dump(store) == before


# -- repair


def spoil(home: Path, text: bytes) -> None:
    """Turn a bit of everything that contains the text."""
    data = home / "store" / "data.mdb"
    raw = data.read_bytes()
    assert text in raw
    data.write_bytes(raw.replace(text, bytes([text[0] ^ 1]) + text[1:]))


def test_a_repair_forgets_what_is_damaged_and_keeps_all_else(tmp_path: Path, clock: Clock, bob: Person) -> None:
    path = tmp_path / "home"
    posts = bob.posts(30, "theirs")
    with open_home(path, clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        home.publish(Follow(bob.account))
        mine = [home.post(f"mine {number}") for number in range(5)]
        store.put_handed_on(home.publisher.device, ((0, 6),))
        ingest(store, bob.incept, *arrivals_of(posts))
        store.put_petname(bob.account, "Bobby")
        last, before = store.last_aid(), dump(store)
        held = cids_held(store)
    spoil(path, b"theirs 17")
    spoil(path, b"mine 3")

    done = repair(path, network=NETWORK)

    assert done.kept == len(held)
    assert done.aside.exists()
    with open_home(path, clock) as store:
        after = dump(store)
        assert after[Table.PETNAMES] == before[Table.PETNAMES]
        assert dict(after[Table.META])[b"handed-on-runs"] == dict(before[Table.META])[b"handed-on-runs"]
        with store.snapshot() as snapshot:
            report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
            assert (report.bad, report.missing) == (0, 2)  # their entries are whole; peers give the bodies again
            assert store.last_aid() >= last  # whoever follows by cursor misses nothing
            assert snapshot.why_not_to_write() == ""
        ingest(store, posts[17].arrival, *(Arrival(record.block, record.body) for record in mine))
        assert is_clean(store)
        assert home_of(store, clock).post("life goes on").cid in cids_held(store)


def home_of(store: Store, clock: Clock) -> Home:
    """The home whose account the store has already."""
    made = Home.__new__(Home)
    made.store = store
    made.publisher = publisher_of(Person("Ann", seed=1, clock_ms=clock), clock, seed=77)
    return made


def test_a_device_whose_newest_records_are_lost_writes_nothing_until_they_are_back(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "home"
    with open_home(path, clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        mine = [home.post(f"mine {number}") for number in range(5)]
        store.put_handed_on(home.publisher.device, ((0, 5),))
    spoil(path, mine[-1].block[20:-70])

    done = repair(path, network=NETWORK)

    assert done.lost >= 1
    with open_home(path, clock) as store:
        with store.snapshot() as snapshot:
            assert "newest records were lost here" in snapshot.why_not_to_write()
        ingest(store, Arrival(mine[-1].block, mine[-1].body))
        with store.snapshot() as snapshot:
            assert not snapshot.clone_found()
            assert snapshot.why_not_to_write() == ""


def test_a_database_of_which_nothing_can_be_read_is_said_to_be_so(loose: Path) -> None:
    data = loose / "store" / "data.mdb"
    data.write_bytes(b"\xff" * data.stat().st_size)

    with pytest.raises(StoreDamaged):
        repair(loose, network=NETWORK)

    assert data.read_bytes() == b"\xff" * data.stat().st_size


def test_a_broken_page_is_found_and_what_hung_on_it_is_saved(tmp_path: Path, clock: Clock, bob: Person) -> None:
    path = tmp_path / "home"
    with open_home(path, clock) as store:
        ingest(store, bob.incept, *arrivals_of(bob.posts(200, "x" * 400)))
        held = cids_held(store)
        with store._environment.read() as txn:
            stat_ = txn.raw.stat(store._environment._dbs[Table.JOURNAL])
    assert stat_["branch_pages"] == 1
    data = path / "store" / "data.mdb"
    raw = bytearray(data.read_bytes())
    branches = [at for at in range(8192, len(raw), 4096) if raw[at + 10] == 1]
    for at in branches:  # every root that is a branch: no tree leads to its leaves any more
        raw[at + 16 : at + 4096] = bytes(4080)
    data.write_bytes(raw)

    done = repair(path, network=NETWORK)

    assert done.damaged_pages > 0
    with open_home(path, clock) as store:
        assert cids_held(store) == held
        assert is_clean(store)


def test_an_index_row_that_is_wrong_is_found_by_a_deep_check_and_rebuilt(lived_in: Home) -> None:
    before = {table: rows for table, rows in dump(lived_in.store).items() if table in FOLD_TABLES}
    with lived_in.store._environment.write() as txn:
        key = next(key for key, _ in txn.scan(Table.HOME))
        txn.delete(Table.HOME, key)

    assert lived_in.store.find_stale() == ["home timeline"]
    lived_in.store.rebuild_indexes()

    assert lived_in.store.find_stale() == []
    assert {table: rows for table, rows in dump(lived_in.store).items() if table in FOLD_TABLES} == before
    assert not list(lived_in.store.home.glob(".check-*"))
