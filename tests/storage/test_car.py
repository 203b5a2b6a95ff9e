"""CAR files: an account goes out and comes in whole, and no file can put anything bad into a store."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from tests.support.people import (
    NETWORK,
    Clock,
    Home,
    Person,
    Written,
    arrivals_of,
    cids_held,
    dump,
    ingest,
    open_home,
)
from tests.support.processes import ROOT

from unhush.identity.cid import Cid, cid_of, cid_of_raw
from unhush.identity.codec import Value, encode
from unhush.storage.arrivals import Batch, Outcome, Status
from unhush.storage.car import MAX_SECTION_BYTES, CarContents, CarReader, write_car
from unhush.storage.errors import MalformedCar, NotFound, StorageError
from unhush.storage.kinds import Follow, Post, Profile
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

MUTATIONS = 2_000
RECORDS = 10_000


def trust(_cid: bytes, _block: bytes) -> bool:
    return True


def export(store: Store, account: Cid) -> bytes:
    file = io.BytesIO()
    with store.snapshot() as snapshot:
        write_car(file, snapshot, account)
    return file.getvalue()


def bring_in(store: Store, data: bytes, size: int = 500) -> tuple[CarContents, list[Outcome]]:
    """Import as a node does it: in batches, from anybody."""
    reader = CarReader(io.BytesIO(data), trust)
    arrivals = reader.arrivals()
    outcomes: list[Outcome] = []
    while some := tuple(islice(arrivals, size)):
        outcomes += store.ingest(Batch(some, "a file", wanted_only=False))
    return reader.contents, outcomes


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def section(cid: Cid, block: bytes) -> bytes:
    return varint(len(block) + 36) + cid.bytes + block


def car(*blocks: tuple[Cid, bytes], roots: tuple[Cid, ...] = ()) -> bytes:
    header = encode({"version": 1, "roots": list(roots)})
    return varint(len(header)) + header + b"".join(section(*block) for block in blocks)


def split(data: bytes) -> tuple[bytes, list[tuple[Cid, bytes]]]:
    """A file as its header section and its blocks."""
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        size = shift = 0
        while True:
            byte = data[at]
            size |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        parts.append(data[at : at + size])
        at += size
    head = varint(len(parts[0])) + parts[0]
    return head, [(Cid(part[:36]), part[36:]) for part in parts[1:]]


@pytest.fixture
def filled(home: Home, clock: Clock) -> Home:
    """An account with two devices, follows and a few posts."""
    home.publish(Follow(home.person.account), *(Post(f"post {number}") for number in range(20)))
    phone, added = home.person.add_device()
    mobile = [home.person.write(Post(f"mobile {number}"), by=phone) for number in range(5)]
    ingest(home.store, added, *arrivals_of(mobile))
    return home


def is_clean(store: Store) -> bool:
    with store.snapshot() as snapshot:
        return verify_store(snapshot, network=NETWORK, check_cid=trust).is_clean


# -- out and in


def test_an_account_imports_whole_into_an_empty_home(filled: Home, new_store: Callable[[], Store]) -> None:
    other = new_store()

    contents, outcomes = bring_in(other, export(filled.store, filled.person.account))

    assert {outcome.status for outcome in outcomes} == {Status.STORED}
    assert cids_held(other) == cids_held(filled.store)
    assert contents.blocks == 2 * len(outcomes)
    assert is_clean(other)


@pytest.mark.parametrize("size", [1, 7, 500])
def test_what_was_imported_is_exported_again_byte_for_byte(
    size: int, filled: Home, new_store: Callable[[], Store]
) -> None:
    other = new_store()
    data = export(filled.store, filled.person.account)

    bring_in(other, data, size)

    assert export(other, filled.person.account) == data


@pytest.mark.parametrize("seed", range(5))
def test_blocks_in_any_order_import_the_same(seed: int, filled: Home, new_store: Callable[[], Store]) -> None:
    other = new_store()
    data = export(filled.store, filled.person.account)
    head, blocks = split(data)
    Random(seed).shuffle(blocks)

    bring_in(other, head + b"".join(section(*block) for block in blocks), size=4)

    assert export(other, filled.person.account) == data


def test_the_roots_are_the_inception_and_the_newest_entry_of_each_log(filled: Home) -> None:
    head, _ = split(export(filled.store, filled.person.account))
    with filled.store.snapshot() as snapshot:
        heads = {list(snapshot.log_records(log))[-1].cid for _, _, log in snapshot.logs(filled.person.account)}

    roots = CarReader(io.BytesIO(head), trust).contents.roots

    assert roots[0] == filled.person.account
    assert set(roots[1:]) == heads
    assert len(heads) == 2


def test_importing_twice_changes_nothing(filled: Home, new_store: Callable[[], Store]) -> None:
    other = new_store()
    data = export(filled.store, filled.person.account)
    bring_in(other, data)
    before = dump(other)

    _, outcomes = bring_in(other, data)

    assert {outcome.status for outcome in outcomes} == {Status.KNOWN}
    assert dump(other) == before


def test_a_log_with_holes_and_missing_bodies_goes_out_as_it_is_held(
    store: Store, known_bob: Person, new_store: Callable[[], Store]
) -> None:
    log = known_bob.posts(6)
    ingest(store, *(log[seq].arrival for seq in (0, 1, 4)), log[5].without_body)
    other = new_store()

    bring_in(other, export(store, known_bob.account))

    with store.snapshot() as ours, other.snapshot() as theirs:
        assert theirs.summary(known_bob.account) == ours.summary(known_bob.account)
        assert theirs.record(log[5].cid) is not None
        assert theirs.record(log[5].cid).body is None  # type: ignore[union-attr]  # just looked


def test_only_the_account_asked_for_goes_out(filled: Home, bob: Person, new_store: Callable[[], Store]) -> None:
    ingest(filled.store, bob.incept, *arrivals_of(bob.posts(3)))
    other = new_store()

    bring_in(other, export(filled.store, bob.account))

    with other.snapshot() as snapshot:
        assert snapshot.accounts() == [bob.account]
        assert snapshot.count_records() == 4


def test_an_account_that_is_not_held_cannot_be_exported(home: Home, bob: Person) -> None:
    with pytest.raises(NotFound):
        export(home.store, bob.account)


def test_a_file_may_hold_blobs_and_blocks_we_do_not_know(filled: Home, new_store: Callable[[], Store]) -> None:
    data = export(filled.store, filled.person.account)
    strange: dict[str, Value] = {"some": "block"}
    blobs = [b"", b"\x00", b"\x82\xff no CBOR at all", b"\x82" * 2_000, bytes(60_000)]
    data += b"".join(section(cid_of_raw(blob), blob) for blob in blobs[1:])
    data += section(cid_of(encode(strange)), encode(strange))
    other = new_store()

    bring_in(other, data)

    assert cids_held(other) == cids_held(filled.store)


def test_nothing_is_taken_from_a_file_of_another_network(new_store: Callable[[], Store]) -> None:
    store = new_store()
    other = Person("Eve", seed=8, network="other")
    blocks = [(other.account, other.inception.entry.block), (other.inception.entry.header.body, other.inception.body)]

    _, outcomes = bring_in(store, car(*blocks, roots=(other.account,)))

    assert [outcome.status for outcome in outcomes] == [Status.REJECTED]
    assert cids_held(store) == set()


# -- malformed files


def good_file() -> tuple[Person, list[Written], bytes]:
    """A small file made by hand."""
    person = Person("Bob", seed=2)
    written = [*person.posts(4), person.write(Profile("Bob"))]
    blocks = [
        (person.account, person.inception.entry.block),
        (person.inception.entry.header.body, person.inception.body),
    ]
    for record in written:
        blocks += [(record.cid, record.entry.block), (record.entry.header.body, record.body)]
    return person, written, car(*blocks, roots=(person.account, written[-1].cid))


HEADER = encode({"version": 1, "roots": []})
BLOCK = encode({"a": 1})
WHOLE = car((cid_of(BLOCK), BLOCK))
MALFORMED = {
    "empty": b"",
    "garbage": b"\xff" * 64,
    "text": b"this is not a CAR file",
    "header of length 0": b"\x00",
    "header longer than the file": b"\x7f" + HEADER,
    "header of 2^62 bytes": b"\xff" * 8 + b"\x3f" + HEADER,
    "header of 64 KiB and a byte": varint(65_537) + bytes(65_537),
    "header cut short": varint(len(HEADER)) + HEADER[:-1],
    "header that is a list": varint(1) + encode([]),
    "header without version": varint(len(encode({"roots": []}))) + encode({"roots": []}),
    "version 2": varint(len(encode({"version": 2, "roots": []}))) + encode({"version": 2, "roots": []}),
    "roots that are text": varint(len(encode({"version": 1, "roots": ["x"]}))) + encode({"version": 1, "roots": ["x"]}),
    "no roots": varint(len(encode({"version": 1}))) + encode({"version": 1}),
    "header in a longer form": varint(len(HEADER) + 1) + b"\xb8\x02" + HEADER[1:],
    "block of length 0": car() + b"\x00",
    "block without bytes": car((cid_of(b""), b"")),
    "block shorter than a CID": car() + varint(20) + bytes(20),
    "block of 2^40 bytes": car() + varint(2**40) + bytes(100),
    "block of 2^63 bytes": car() + b"\x80" * 9 + b"\x01",
    "length that never ends": car() + b"\x80" * 1_000,
    "length cut short": car() + b"\x80",
    "length not in its shortest form": car() + bytes([(36 + len(BLOCK)) | 128, 0]) + cid_of(BLOCK).bytes + BLOCK,
    "block a byte too long": car() + varint(MAX_SECTION_BYTES + 1) + bytes(MAX_SECTION_BYTES + 1),
    "block cut short": WHOLE[:-1],
    "CID cut short": car() + varint(36 + len(BLOCK)) + cid_of(BLOCK).bytes[:20],
    "CID of another block": car((cid_of(b"other"), BLOCK)),
    "CID version 0": car() + varint(36 + len(BLOCK)) + b"\x12\x20" + cid_of(BLOCK).digest + b"xx" + BLOCK,
    "CID of another hash": car() + varint(36 + len(BLOCK)) + b"\x01\x71\x13\x20" + cid_of(BLOCK).digest + BLOCK,
    "CID of another codec": car() + varint(36 + len(BLOCK)) + b"\x01\x70\x12\x20" + cid_of(BLOCK).digest + BLOCK,
    "block that is not strict": car((cid_of(b"\x82\x18\x01\x01"), b"\x82\x18\x01\x01")),
    "a byte behind the last block": WHOLE + b"\x01",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(MalformedCar):
        list(CarReader(io.BytesIO(data), trust).arrivals())


@pytest.mark.parametrize("name", ["empty", "garbage", "text", "header of length 0", "header that is a list"])
def test_a_file_of_another_kind_is_said_to_be_no_car_file(name: str) -> None:
    with pytest.raises(MalformedCar, match=r"^this is no CAR file[^C]*$"):
        CarReader(io.BytesIO(MALFORMED[name]), trust)


def test_a_good_file_cut_anywhere_but_between_blocks_is_refused() -> None:
    _, _, data = good_file()
    head, blocks = split(data)
    ends = {len(head)}
    for block in blocks:
        ends.add(max(ends) + len(section(*block)))
    for size in range(len(data)):
        if size in ends:
            CarReader(io.BytesIO(data[:size]), trust)
        else:
            with pytest.raises(MalformedCar):
                CarReader(io.BytesIO(data[:size]), trust)


def test_an_independent_reader_that_disagrees_is_heard() -> None:
    with pytest.raises(MalformedCar, match="not what its CID"):
        CarReader(io.BytesIO(WHOLE), lambda _cid, _block: False)


def mutate(data: bytes, random: Random) -> bytes:
    """A few random injuries: bytes changed, put in, left out, doubled, or the end lost."""
    mutant = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(mutant))
        match random.randrange(6):
            case 0:
                mutant[at] ^= 1 << random.randrange(8)
            case 1:
                mutant[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                mutant[at:at] = random.randbytes(random.randrange(1, 9))
            case 3:
                del mutant[at : at + random.randrange(1, 9)]
            case 4:
                end = at + random.randrange(1, 400)
                mutant[at:at] = mutant[at:end]
            case _:
                del mutant[max(at, 1) :]
    return bytes(mutant)


def reseal(data: bytes, random: Random) -> bytes:
    """A nastier injury: a block is changed and gets the CID of what it is now, so only its meaning is wrong."""
    head, blocks = split(data)
    place = random.randrange(len(blocks))
    block = mutate(blocks[place][1], random)[:60_000] or b"\x80"
    blocks[place] = cid_of(block), block
    return head + b"".join(section(*each) for each in blocks)


def test_two_thousand_mutated_files_are_refused_by_name_or_bring_in_nothing_but_the_good(
    new_store: Callable[[], Store],
) -> None:
    person, written, data = good_file()
    good = {person.account, *(record.cid for record in written)}
    random = Random(2_000)
    store = new_store()
    refused = 0
    for number in range(MUTATIONS):
        mutant = (mutate if number % 2 else reseal)(data, random)
        try:
            bring_in(store, mutant)
        except StorageError:
            refused += 1
        if number % 100 == 99:  # what one file brought in must not hide what the next would
            assert cids_held(store) <= good
            with store.snapshot() as snapshot:
                assert verify_store(snapshot, network=NETWORK, check_cid=trust).bad == 0
            store = new_store()

    assert refused > MUTATIONS // 2


# -- ten thousand records


def test_ten_thousand_records_are_streamed_in_bounded_memory(tmp_path: Path, clock: Clock) -> None:
    """A file of 45 MB through a child whose memory is measured: one batch and the index of blocks, not the file."""
    person = Person("Ann", seed=1, clock_ms=clock)
    with open_home(tmp_path / "big", clock) as store:
        home = Home(store, person, clock)
        for start in range(0, RECORDS, 1_000):
            home.publish(*(Post("x" * 4_000 + str(number)) for number in range(start, start + 1_000)))
        with (tmp_path / "big.car").open("wb") as file, store.snapshot() as snapshot:
            contents = write_car(file, snapshot, person.account)
    assert contents.blocks == 2 * (RECORDS + 2)

    done = subprocess.run(
        [sys.executable, "-m", "tests.support.importer", str(tmp_path / "big.car"), str(tmp_path / "copy")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )

    stored, grown_bytes = map(int, done.stdout.split())
    assert stored == RECORDS + 2
    assert (tmp_path / "big.car").stat().st_size > 40 * 2**20
    assert grown_bytes < 24 * 2**20, f"memory grew by {grown_bytes / 2**20:.0f} MiB"
    with open_home(tmp_path / "copy", clock) as copy:
        file_again = io.BytesIO()
        with copy.snapshot() as snapshot:
            write_car(file_again, snapshot, person.account)
    assert file_again.getvalue() == (tmp_path / "big.car").read_bytes()
