"""CAR version 1 files: an account as one portable stream of content-addressed blocks.

Roots are the inception and the newest entry of each log. Sections follow in
the order another node can take them in: identity operations, then each log
oldest first, every entry before its body. Reading assumes no order: a first
pass notes where each block is, a second takes entries in with their bodies.

Behind the records stand the account's cards: signed statements, each a block
like any other, to which no root leads. Who knows nothing of them takes them for
blocks that nobody names.

Format: https://ipld.io/specs/transport/car/carv1/
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO, Final

from unhush.identity.cid import CID_BYTES, Cid, cid_of
from unhush.identity.codec import decode, decode_map, encode
from unhush.identity.entry import MAX_BODY_BYTES, MAX_ENTRY_BYTES, Header, parse_entry
from unhush.identity.errors import IdentityError, MalformedBytes, MalformedCid
from unhush.identity.statement import Card, parse_statement
from unhush.storage.arrivals import Arrival
from unhush.storage.errors import MalformedCar, NotFound
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot

MAX_HEADER_BYTES: Final = 65_536  # 1,600 roots; an account has one for each device
MAX_SECTION_BYTES: Final = CID_BYTES + MAX_BODY_BYTES
# Two positions and a digest are kept in memory for each block: 4 million blocks take about 1 GB.
MAX_BLOCKS: Final = 4_000_000
# An account has one for each device; of more than these, which somebody may have put there, the first are looked at.
MAX_CARDS: Final = 256
_MAX_VARINT_BYTES: Final = 9


@dataclass(frozen=True, slots=True)
class CarContents:
    """What an export wrote or an import found."""

    roots: tuple[Cid, ...]
    blocks: int
    cards: int = 0  # among the blocks; of a file that is read: what looks like one, nobody checked it yet


def write_car(file: BinaryIO, snapshot: Snapshot, account: Cid) -> CarContents:
    """Write everything held of an account; raises ``NotFound`` if that is nothing."""
    if snapshot.account(account) is None:
        raise NotFound(f"nothing of account {account} is held here")
    heads = [head.cid for head in _heads(snapshot, account)]
    roots = (account, *heads)
    _write_section(file, encode({"version": 1, "roots": list(roots)}))
    blocks = 0
    for record in _records(snapshot, account):
        _write_section(file, record.cid.bytes + record.block)
        blocks += 1
        if record.body is not None:
            _write_section(file, record.entry.header.body.bytes + record.body)
            blocks += 1
    cards = snapshot.cards(account)[:MAX_CARDS]
    for card in cards:
        _write_section(file, cid_of(card.block).bytes + card.block)
    return CarContents(roots, blocks + len(cards), len(cards))


def _records(snapshot: Snapshot, account: Cid) -> Iterator[Record]:
    yield from snapshot.operations(account)
    for _, key, log in snapshot.logs(account):
        span = snapshot.span(account, key)
        yield from (record for record in snapshot.log_records(log) if record.entry.header.seq in span)
        shown = snapshot.fork_point(account, key)
        for record in snapshot.branches(account, key):
            if record.entry.header.seq != shown or snapshot.is_beside(record):
                yield record


def _heads(snapshot: Snapshot, account: Cid) -> Iterator[Record]:
    for _, key, log in snapshot.logs(account):
        runs = snapshot.span(account, key).clip(snapshot.runs(log))
        if runs:
            yield from snapshot.run(account, key, runs[-1][1], runs[-1][1], 1)


def _write_section(file: BinaryIO, data: bytes) -> None:
    file.write(_varint(len(data)) + data)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


class CarReader:
    """A CAR file to take in; raises ``MalformedCar`` at the first thing that is wrong.

    ``check_cid`` is an independent judgement of (CID bytes, block) beside our own.
    """

    def __init__(self, file: BinaryIO, check_cid: Callable[[bytes, bytes], bool]) -> None:
        self._file = file
        self._check_cid = check_cid
        self._bodies: dict[bytes, tuple[int, int]] = {}  # digest → where the block stands
        self._operations: list[tuple[int, int]] = []
        self._entries: list[tuple[int, int]] = []
        self._cards: list[tuple[int, int]] = []
        self._card_count = 0
        roots, blocks = _read_header(file), self._note_blocks()
        self.contents = CarContents(roots, blocks, self._card_count)

    def arrivals(self) -> Iterator[Arrival]:
        """Every entry with its body where the file has it, identity operations first."""
        for start, size in (*self._operations, *self._entries):
            block = self._at(start, size)
            where = self._bodies.get(parse_entry(block).header.body.digest)
            yield Arrival(block, self._at(*where) if where is not None else None)

    def cards(self) -> list[bytes]:
        """The first ``MAX_CARDS`` blocks that have the form of a card; who signed them is not looked at."""
        return [self._at(start, size) for start, size in self._cards]

    def _note_blocks(self) -> int:
        blocks = 0
        while (size := _read_varint(self._file)) is not None:
            if not CID_BYTES < size <= MAX_SECTION_BYTES:
                raise MalformedCar(f"block {blocks} claims {size} bytes")
            name = _exactly(self._file, CID_BYTES)
            start = self._file.tell()
            block = _exactly(self._file, size - CID_BYTES)
            self._check_block(blocks, name, block)
            self._note(Cid(name), start, block)
            blocks += 1
            if blocks > MAX_BLOCKS:
                raise MalformedCar(f"more than {MAX_BLOCKS:,} blocks; split the file by account")
        return blocks

    def _check_block(self, number: int, name: bytes, block: bytes) -> None:
        try:
            cid = Cid(name)
        except MalformedCid as exc:
            raise MalformedCar(f"block {number}: {exc}") from exc
        if sha256(block).digest() != cid.digest or not self._check_cid(name, block):
            raise MalformedCar(f"block {number} is not what its CID {cid} says")

    def _note(self, cid: Cid, start: int, block: bytes) -> None:
        may_be_entry = cid.is_dag_cbor and len(block) <= MAX_ENTRY_BYTES and block[:1] == b"\x82"
        header = _find_header(block) if may_be_entry else None
        if header is None:
            self._bodies[cid.digest] = start, len(block)
            if may_be_entry and _is_card(block):
                self._note_card(start, len(block))
        elif header.is_identity:
            self._operations.append((start, len(block)))
        else:
            self._entries.append((start, len(block)))

    def _note_card(self, start: int, size: int) -> None:
        self._card_count += 1
        if len(self._cards) < MAX_CARDS:
            self._cards.append((start, size))

    def _at(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        return _exactly(self._file, size)


def is_car(file: BinaryIO) -> bool:
    """Whether a file begins as one; reads no more than its header."""
    try:
        _read_header(file)
    except MalformedCar:
        return False
    return True


def _read_header(file: BinaryIO) -> tuple[Cid, ...]:
    try:
        size = _read_varint(file)
        if size is None or not 0 < size <= MAX_HEADER_BYTES:
            raise MalformedCar("no header has that length")
        header = decode_map(_exactly(file, size), max_bytes=MAX_HEADER_BYTES)
    except (MalformedBytes, MalformedCar) as exc:
        raise MalformedCar("this is no CAR file: it does not begin as one") from exc
    match header:
        case {"version": 1, "roots": [*roots]} if all(isinstance(root, Cid) for root in roots):
            return tuple(root for root in roots if isinstance(root, Cid))
    raise MalformedCar("this is no CAR file of version 1")


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise MalformedCar("the file ends in the middle of a block")
    return data


def _read_varint(file: BinaryIO) -> int | None:
    """A length; None at the end of the file."""
    number = shift = 0
    for position in range(_MAX_VARINT_BYTES):
        byte = file.read(1)
        if not byte:
            if position:
                raise MalformedCar("the file ends in the middle of a length")
            return None
        number |= (byte[0] & 127) << shift
        if byte[0] < 128:
            if byte == b"\x00" and position:
                raise MalformedCar("a length is not in its shortest form")
            return number
        shift += 7
    raise MalformedCar("a length is too long")


def _find_header(block: bytes) -> Header | None:
    """The header of an entry block; None for any other block."""
    try:
        return parse_entry(block).header
    except IdentityError:
        try:
            decode(block)
        except MalformedBytes as exc:
            raise MalformedCar(f"a block is not strict DAG-CBOR: {exc}") from exc
        return None


def _is_card(block: bytes) -> bool:
    try:
        return isinstance(parse_statement(block).claim, Card)
    except IdentityError:
        return False
