"""Pages read in Python: the same rows that LMDB reads, and no file that makes the walk end otherwise than by name."""

from pathlib import Path
from random import Random

import lmdb
import pytest

from unhush.storage.errors import StoreDamaged
from unhush.storage.pages import PageFile, Walk, check_pages

Rows = dict[tuple[bytes, bytes], bytes]


@pytest.fixture
def database(tmp_path: Path) -> tuple[Path, Rows]:
    """Five tables after twenty transactions that put and deleted rows of every size."""
    random, rows = Random(5), Rows()
    with lmdb.open(str(tmp_path), map_size=2**27, max_dbs=8, lib_version=0) as environment:
        tables = {name: environment.open_db(name) for name in (b"a", b"b", b"c", b"d", b"empty")}
        names = [b"a", b"b", b"c", b"d"]
        for _ in range(20):
            with environment.begin(write=True) as txn:
                for _ in range(300):
                    name, key = random.choice(names), random.randbytes(random.randrange(1, 40))
                    value = random.randbytes(random.choice([0, 5, 20, 20, 20, 600, 3_000, 9_000]))
                    txn.put(key, value, db=tables[name])
                    rows[name, key] = value
                for name, key in random.sample(sorted(rows), 100):
                    txn.delete(key, db=tables[name])
                    del rows[name, key]
    return tmp_path, rows


def test_the_walk_reads_what_lmdb_reads(database: tuple[Path, Rows]) -> None:
    folder, rows = database
    walk = Walk()
    with PageFile(folder) as file:
        free = file.free_pages(walk)
        found = {
            (name, key): value for name, tree in file.tables(walk).items() for key, value in file.rows("", tree, walk)
        }
        file.check_free(free, walk)

    assert found == rows
    assert (walk.damaged, walk.problems) == (0, [])
    assert len(free) > 0


def test_a_snapshot_of_a_transaction_is_found_among_the_two_newest(database: tuple[Path, Rows]) -> None:
    folder, rows = database
    with lmdb.open(str(folder), map_size=2**27, max_dbs=8, lib_version=0) as environment:
        table = environment.open_db(b"a", create=False)
        with environment.begin() as held:
            with environment.begin(write=True) as txn:
                txn.drop(table, delete=False)

            # The list of tables and the list of free pages have a row each; how many depends on the transactions.
            assert check_pages(folder, held.id()).rows >= len(rows)
            assert check_pages(folder).rows < check_pages(folder, held.id()).rows
        with pytest.raises(StoreDamaged):
            check_pages(folder, 10**9)


@pytest.mark.parametrize("data", [b"", b"\x00" * 10, bytes(20_000), b"\xff" * 20_000])
def test_what_is_no_database_is_refused_by_name(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(data)

    with pytest.raises(StoreDamaged):
        check_pages(tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_pages_of_noise_are_found_and_the_walk_ends(seed: int, database: tuple[Path, Rows]) -> None:
    folder, rows = database
    random = Random(seed)
    data = bytearray((folder / "data.mdb").read_bytes())
    for _ in range(40):
        at = random.randrange(2, len(data) // 4096) * 4096 + random.choice([0, 8, 10, 12, 16, 24, 200])
        data[at : at + 8] = random.randbytes(8)
    (folder / "data.mdb").write_bytes(data)

    walk = check_pages(folder)

    assert walk.damaged > 0
    assert walk.rows <= len(rows) + 100


def test_a_file_that_was_cut_short_is_found(database: tuple[Path, Rows]) -> None:
    folder, _ = database
    data = (folder / "data.mdb").read_bytes()
    (folder / "data.mdb").write_bytes(data[: len(data) // 3])

    assert check_pages(folder).damaged > 0
