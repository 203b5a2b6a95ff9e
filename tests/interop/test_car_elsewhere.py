"""Our CAR files read by programs we did not write, and theirs read by us.

The reader is the IPLD project's own (@ipld/car, @ipld/dag-cbor, multiformats), under
Node.js. Without node, npm or a registry these tests are skipped, and say why.
"""

import json
import subprocess
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tests.support.people import Clock, Home, Person, arrivals_of, cids_held, ingest, open_home
from tests.support.saying import card, say, take

from unhush.storage.arrivals import Batch
from unhush.storage.car import CarReader, write_car
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.kinds import Delete, Follow, Post, Profile, Reply

HERE = Path(__file__).parent
READ_S = 90


@dataclass(frozen=True)
class Exported:
    """A file of ours, and what the other program says about it."""

    home: Home
    path: Path
    copy: Path
    said: dict[str, Any]


@pytest.fixture(scope="module")
def exported(node_for_car: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An account with every kind of record, two devices, long texts and all sorts of letters."""
    folder, clock = tmp_path_factory.mktemp("car"), Clock()
    person = Person("Ann", seed=1, clock_ms=clock)
    with open_home(folder / "home", clock) as store:
        home = Home(store, person, clock)
        (first,) = home.publish(Post("Grüße, 世界 🌍\n\n\x00 and \u202e", title="A title", lang="de", tags=("a", "ß")))
        reply = Reply(first.cid, first.cid, person.account, person.account)
        home.publish(Post("reply", reply=reply, mentions=(person.account,), warning="w"), Follow(person.account))
        home.publish(Delete(first.cid), Profile("Ann", "bio"), *(Post("x" * size) for size in (0, 23, 24, 255, 49_152)))
        phone, added = person.add_device()
        odd = person.write_fields(
            "org.example.odd", {"int": -(2**63), "big": 2**63 - 1, "list": [None, True, b""]}, by=phone
        )
        ingest(store, added, *arrivals_of([odd]))
        assert take(store, say(person, card(), time=clock())) == [Took.STORED]
        with (folder / "ours.car").open("wb") as file, store.snapshot() as snapshot:
            write_car(file, snapshot, person.account)
        done = subprocess.run(
            [node_for_car, "read_car.mjs", str(folder / "ours.car"), str(folder / "theirs.car")],
            cwd=HERE,
            capture_output=True,
            check=True,
            text=True,
            timeout=READ_S,
        )
        yield Exported(home, folder / "ours.car", folder / "theirs.car", json.loads(done.stdout))


def test_another_reader_finds_every_block_under_the_cid_it_computes_itself(exported: Exported) -> None:
    blocks = exported.said["blocks"]

    assert [block["recomputed"] for block in blocks] == [block["cid"] for block in blocks]
    assert {block["cid"] for block in blocks} >= {str(cid) for cid in cids_held(exported.home.store)}


def test_another_encoder_makes_the_same_bytes_of_every_block(exported: Exported) -> None:
    assert [block["cid"] for block in exported.said["blocks"] if not block["isSameAgain"]] == []


def test_another_reader_finds_the_inception_and_the_heads_as_roots(exported: Exported) -> None:
    person = exported.home.person
    with exported.home.store.snapshot() as snapshot:
        heads = [list(snapshot.log_records(log))[-1].cid for _, _, log in snapshot.logs(person.account)]

    assert exported.said["roots"] == [str(person.account), *map(str, heads)]
    assert len(heads) == 2


def test_another_reader_reads_the_same_headers(exported: Exported) -> None:
    theirs = {block["cid"]: block["entry"] for block in exported.said["blocks"] if block["entry"] is not None}

    with exported.home.store.snapshot() as snapshot:
        headers = {str(record.cid): record.entry.header for record in snapshot.journal(0)}
    ours = {
        cid: {
            "kind": header.kind,
            "seq": header.seq,
            "time": header.time,
            "prev": str(header.prev) if header.prev is not None else None,
            "body": str(header.body),
        }
        for cid, header in headers.items()
    }
    assert theirs == ours


def test_a_file_another_program_wrote_imports_whole(exported: Exported, tmp_path: Path) -> None:
    """Their writer turned the order of all blocks round."""
    with open_home(tmp_path / "other", Clock()) as store, exported.copy.open("rb") as file:
        reader = CarReader(file, lambda _cid, _block: True)
        arrivals = reader.arrivals()
        while some := tuple(islice(arrivals, 5)):
            store.ingest(Batch(some, "another program", wanted_only=False))
        assert take(store, *map(SignedStatement, reader.cards())) == [Took.STORED]

        assert cids_held(store) == cids_held(exported.home.store)
        with (tmp_path / "again.car").open("wb") as again, store.snapshot() as snapshot:
            write_car(again, snapshot, exported.home.person.account)
    assert (tmp_path / "again.car").read_bytes() == exported.path.read_bytes()
