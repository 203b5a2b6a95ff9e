"""Sweeping while others import: what is unnamed and old goes, and nothing that anybody has just taken in."""

import os
from pathlib import Path

from tests.support.blobber import AGAIN, content
from tests.support.processes import child

from unhush.identity.cid import cid_of_raw
from unhush.storage.blobs.sweeping import Swept, sweep
from unhush.storage.store import Store


def sweep_once(store: Store) -> Swept:
    with store._environment.read() as txn:
        return sweep(store.blobs, txn, older_than_s=3_600, dry_run=False)


def files_of(store: Store) -> list[Path]:
    return [path for path in store.blobs.folder.path.glob("??/*") if path.is_file()]


def test_a_sweep_never_takes_what_another_process_has_just_taken_in_again(store: Store) -> None:
    swept = 0
    for _ in range(5):  # on a busy machine one may be through before the other begins
        for number in range(AGAIN):
            data = content(number)
            store.blobs.put_block(cid_of_raw(data), data)
        for path in files_of(store):
            os.utime(path, (0, 0))

        with child("tests.support.blobber", str(store.home), "again") as importer:
            said = {importer.line()}
            for _ in range(8):
                swept += sweep_once(store).blocks
            said |= set(importer.finish())

        assert len(said) == AGAIN
        for number in range(AGAIN):
            assert store.blobs.read(cid_of_raw(content(number))) == content(number)
        if swept:
            break
    assert swept > 0  # they did meet


def test_a_dry_run_says_what_a_sweep_then_takes(store: Store) -> None:
    for number in range(5):
        data = content(number)
        store.blobs.put_block(cid_of_raw(data), data)
    for path in files_of(store)[:3]:
        os.utime(path, (0, 0))
    (store.blobs.folder.path / "new" / "half").write_bytes(b"?")
    os.utime(store.blobs.folder.path / "new" / "half", (0, 0))

    with store._environment.read() as txn:
        told = sweep(store.blobs, txn, older_than_s=3_600, dry_run=True)
    assert (told.blocks, len(files_of(store))) == (3, 5)

    assert sweep_once(store) == Swept(told.blocks, told.size_bytes, 1)
    assert len(files_of(store)) == 2
    assert sweep_once(store) == Swept(0, 0, 0)


def test_a_home_without_blobs_has_nothing_to_sweep(store: Store) -> None:
    assert sweep_once(store) == Swept(0, 0, 0)
    assert not store.blobs.folder.path.exists()
