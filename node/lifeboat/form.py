"""What is inside a lifeboat: frames, packed in pieces, and a list of contents (docs/lifeboat.md, "Pieces").

A frame is a strict DAG-CBOR list behind its length in four bytes; a piece is
some frames, zipped, in base64. The list of contents says what should be there,
so that whatever is dropped or moved afterwards is missed by name. It is signed by
nobody: what it promises is held against what is signed.
"""

import gzip
import re
import zlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from unhush.identity.cid import Cid
from unhush.identity.codec import MAX_FRAME_BYTES as MAX_CONTENTS_BYTES
from unhush.identity.codec import Value, decode, decode_map, encode
from unhush.identity.entry import MAX_BODY_BYTES, MAX_ENTRY_BYTES
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import KEY_BYTES, PublicKey
from unhush.node.errors import MalformedLifeboat

VERSION: Final = 1
# A browser holds the text of the file, the bytes of its pieces and what it shows at once: three times this is what
# a telephone can give.
MAX_FILE_BYTES: Final = 256 * 2**20
# Frames are gathered up to this before they are packed; small enough that a browser unpacks one between two frames.
PIECE_BYTES: Final = 1_048_576
MAX_PIECE_BYTES: Final = 2 * PIECE_BYTES  # unpacked: nobody's few bytes become many
# And no piece more than so many times its zipped bytes: words make three, and what makes more is not zipped at all.
MAX_GROWTH: Final = 16
MAX_PIECES: Final = 512
MAX_FRAME_BYTES: Final = 270_336  # a chunk of a blob, 256 KiB, and what stands around it
_MAX_FRAME_ITEMS: Final = 8
MAX_OPERATIONS: Final = 1_000  # 390 can count
MAX_LOGS: Final = 1_000  # an account lists 320 devices at most, and rotates may let go of as many
MAX_RUNS: Final = 20_000  # each takes three items of the 65,536 a list of contents may have
MAX_BLOBS: Final = 20_000
MAX_EXTRA_TYPE_BYTES: Final = 64
STATEMENT: Final = "statement"  # the type of an extra that is a block of ``identity/statement.py``
_LENGTH_BYTES: Final = 4

AbsentReason: TypeAlias = Literal["unknown", "withheld", "deleted", "malformed"]
ABSENT: Final[tuple[AbsentReason, ...]] = get_args(AbsentReason)
Media: TypeAlias = Literal["none", "90d", "all"]
MEDIA: Final[tuple[Media, ...]] = get_args(Media)
Place: TypeAlias = Literal["operation", "record", "beside"]
PLACES: Final[tuple[Place, ...]] = get_args(Place)


class RecordFrame(NamedTuple):
    """Something signed, where it belongs, with its body or the word why there is none."""

    place: Place
    entry: bytes
    body: bytes | None
    reason: AbsentReason = "unknown"


class BlockFrame(NamedTuple):
    """A block of a blob; its hash is its name."""

    block: bytes


class ExtraFrame(NamedTuple):
    """A signed thing that belongs to no log, as a contact card: carried as it came, judged by who knows its type."""

    type: str
    block: bytes


Frame: TypeAlias = RecordFrame | BlockFrame | ExtraFrame


@dataclass(frozen=True, slots=True)
class Piece:
    """The sha2-256 of a piece as it stands in the file, and how many frames it holds."""

    digest: bytes
    frames: int


@dataclass(frozen=True, slots=True)
class LogContents:
    """Which entries of a log are here: ascending runs of numbers, the newest, how many beside the shown branch."""

    key: PublicKey
    runs: tuple[tuple[int, int], ...]
    head: Cid
    beside: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What should be in the file, by the word of whoever made it."""

    network: str
    account: Cid
    made: int  # Unix milliseconds
    maker: str  # the program and its version
    media: Media
    pieces: tuple[Piece, ...]
    operations: tuple[Cid, ...]
    logs: tuple[LogContents, ...]
    records: int  # everything signed: operations, entries, and those beside
    bodies: int  # of records that are no operations
    blobs: tuple[Cid, ...]
    blocks: int
    extras: int

    def encode(self) -> bytes:
        """Raises ``MalformedBytes`` if an account is held in more parts than a list can name."""
        logs: list[Value] = [
            {"key": log.key.bytes, "runs": [list(run) for run in log.runs], "head": log.head, "beside": log.beside}
            for log in self.logs
        ]
        fields: dict[str, Value] = {
            "version": VERSION,
            "network": self.network,
            "account": self.account,
            "made": self.made,
            "maker": self.maker,
            "media": self.media,
            "pieces": [[piece.digest, piece.frames] for piece in self.pieces],
            "operations": list(self.operations),
            "logs": logs,
            "records": self.records,
            "bodies": self.bodies,
            "blobs": list(self.blobs),
            "blocks": self.blocks,
            "extras": self.extras,
        }
        return encode(fields)


# -- frames and pieces


def encode_frame(frame: Frame) -> bytes:
    """With its length before it."""
    value: list[Value]
    match frame:
        case RecordFrame(place, entry, None, reason):
            value = [place, entry, None, reason]
        case RecordFrame(place, entry, body, _):
            value = [place, entry, body]
        case BlockFrame(block):
            value = ["block", block]
        case ExtraFrame(kind, block):
            value = ["extra", kind, block]
    data = encode(value)
    return len(data).to_bytes(_LENGTH_BYTES) + data


def parse_frame(data: bytes) -> Frame:
    """Raises ``MalformedBytes`` for what is no frame of version 1."""
    match decode(data, max_bytes=MAX_FRAME_BYTES, max_items=_MAX_FRAME_ITEMS):
        case ["block", bytes() as block]:
            return BlockFrame(block)
        case ["extra", str() as kind, bytes() as block]:
            return ExtraFrame(kind, block)
        case [str() as kind, bytes() as entry, bytes() as body] if (place := _place(kind)) is not None:
            if len(entry) <= MAX_ENTRY_BYTES and len(body) <= MAX_BODY_BYTES:
                return RecordFrame(place, entry, body)
        case [str() as kind, bytes() as entry, None, str() as said]:
            place, reason = _place(kind), next((each for each in ABSENT if each == said), None)
            if place is not None and place != "operation" and reason is not None and len(entry) <= MAX_ENTRY_BYTES:
                return RecordFrame(place, entry, None, reason)
    raise MalformedBytes("a frame of no kind we know")


def _place(kind: str) -> Place | None:
    return next((place for place in PLACES if place == kind), None)


def iter_frames(data: bytes) -> Iterator[Frame | MalformedBytes]:
    """Every frame of a piece, or what is wrong with it; a length that cannot be ends it with ``EndOfFrames``."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + _LENGTH_BYTES]) if at + _LENGTH_BYTES <= len(data) else 0
        start = at + _LENGTH_BYTES
        if not 0 < size <= MAX_FRAME_BYTES or start + size > len(data):
            yield EndOfFrames("a frame of a length that cannot be")
            return
        at = start + size
        try:
            yield parse_frame(data[start:at])
        except MalformedBytes as exc:
            yield exc


class EndOfFrames(MalformedBytes):
    """Nothing behind this point of a piece can be read."""


def pack(frames: bytes) -> bytes:
    """A piece as it stands in the file: zipped, in base64. The same bytes give the same text.

    What would become too small to be unpacked again (``MAX_GROWTH``) is stored as it is.
    """
    packed = gzip.compress(frames, 6, mtime=0)
    if len(frames) > MAX_GROWTH * len(packed):
        packed = gzip.compress(frames, 0, mtime=0)
    return b64encode(packed)


def unpack(text: bytes) -> tuple[bytes, bool]:
    """What a piece unpacks to, as far as that goes, and whether it went to its end."""
    packed = decode_base64(text)
    if packed is None:
        return b"", False
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    parts: list[bytes] = []
    limit = min(MAX_PIECE_BYTES, MAX_GROWTH * len(packed))
    left = limit + 1  # the byte that is too many
    # In small steps: what came before the place where the data turns bad is kept.
    for at in range(0, len(packed), _STEP_BYTES):
        waiting = packed[at : at + _STEP_BYTES]
        while waiting and left > 0 and not unzip.eof:
            try:
                part = unzip.decompress(waiting, left)
            except zlib.error:
                return b"".join(parts), False
            parts.append(part)
            left -= len(part)
            waiting = unzip.unconsumed_tail
    is_whole = unzip.eof and not unzip.unused_data and at + _STEP_BYTES >= len(packed) and left > 0
    return b"".join(parts)[:limit], is_whole


_STEP_BYTES: Final = 1_024


def decode_base64(text: bytes) -> bytes | None:
    """The bytes of their one base64 form; None for any other text."""
    try:
        data = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        return None
    # The last letter has bits that no byte needs; they are zero in the one form.
    return data if not text or b64encode(data[-(len(data) % 3 or 3) :]) == text[-4:] else None


# -- the list of contents


def parse_contents(data: bytes) -> Contents:
    """Raises ``MalformedLifeboat``."""
    try:
        fields = decode_map(data, max_bytes=MAX_CONTENTS_BYTES, max_items=65_536)
    except MalformedBytes as exc:
        raise MalformedLifeboat(f"the list of contents cannot be read: {exc}") from exc
    match fields:
        case {
            "version": 1,
            "network": str() as network,
            "account": Cid() as account,
            "made": int() as made,
            "maker": str() as maker,
            "media": str() as media,
            "pieces": [*pieces],
            "operations": [*operations],
            "logs": [*logs],
            "records": int() as records,
            "bodies": int() as bodies,
            "blobs": [*blobs],
            "blocks": int() as blocks,
            "extras": int() as extras,
        } if len(fields) == _FIELDS:
            numbers = (made, records, bodies, blocks, extras)
            policy = next((each for each in MEDIA if each == media), None)
            if not all(map(_is_count, (fields["version"], *numbers))) or policy is None:
                raise MalformedLifeboat("the list of contents has a number or word that cannot be")
            if not account.is_dag_cbor or not _NETWORK.fullmatch(network) or len(maker.encode()) > 64:
                raise MalformedLifeboat("the list of contents names no account or network")
            return Contents(
                network,
                account,
                made,
                maker,
                policy,
                tuple(_parse_piece(piece) for piece in _at_most(pieces, MAX_PIECES)),
                _links(operations, MAX_OPERATIONS, blocks_only=True),
                tuple(_parse_log(log) for log in _at_most(logs, MAX_LOGS)),
                records,
                bodies,
                _links(blobs, MAX_BLOBS, blocks_only=False),
                blocks,
                extras,
            )
    raise MalformedLifeboat("the list of contents is not one of version 1")


_FIELDS: Final = 14
_NETWORK: Final = re.compile(r"[a-z0-9-]{1,32}")


def _is_count(value: Value) -> bool:
    """Whether this is a number of things; a boolean is none, though Python takes it for one."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parse_piece(value: Value) -> Piece:
    match value:
        case [bytes() as digest, int() as frames] if (
            len(digest) == sha256().digest_size and _is_count(frames) and frames
        ):
            return Piece(digest, frames)
    raise MalformedLifeboat("the list of contents names a piece that cannot be")


def _parse_log(value: Value) -> LogContents:
    match value:
        case {"key": bytes() as key, "runs": [*runs], "head": Cid() as head, "beside": int() as beside}:
            numbers = tuple(_parse_run(run) for run in _at_most(runs, MAX_RUNS))
            in_order = all(above[0] > below[1] + 1 for below, above in pairwise(numbers))
            if len(key) == KEY_BYTES and numbers and in_order and _is_count(beside) and head.is_dag_cbor:
                return LogContents(PublicKey(key), numbers, head, beside)
    raise MalformedLifeboat("the list of contents names a log that cannot be")


def _parse_run(value: Value) -> tuple[int, int]:
    match value:
        case [int() as low, int() as high] if _is_count(low) and _is_count(high) and low <= high:
            return low, high
    raise MalformedLifeboat("the list of contents names numbers of entries that cannot be")


def _links(values: Sequence[Value], most: int, *, blocks_only: bool) -> tuple[Cid, ...]:
    links = tuple(value for value in _at_most(values, most) if isinstance(value, Cid))
    if len(links) != len(values) or (blocks_only and not all(link.is_dag_cbor for link in links)):
        raise MalformedLifeboat("the list of contents has something else where links belong")
    return links


def _at_most(values: Sequence[Value], most: int) -> Sequence[Value]:
    if len(values) > most:
        raise MalformedLifeboat(f"the list of contents names more than {most:,} things of one kind")
    return values
