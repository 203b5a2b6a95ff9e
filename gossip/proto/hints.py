"""Hints: the gossip messages of the shard topics (PROTOCOL §5, "Gossip").

A hint carries records to whoever listens on the shard of their account. It
may be lost, and nothing depends on it: sync brings what gossip did not.
Judging one is pure and total: structure, bounds and each entry's own
signature; whatever depends on what a node holds is not judged here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from unhush.gossip.errors import RemoteProtocolError
from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.entry import Entry, check_body, parse_entry, verify_signature
from unhush.identity.errors import IdentityError

SHARDS: Final = 16  # py-libp2p carries 64 topics well and stalls at 200
MAX_HINT_BYTES: Final = 65_536
MAX_ENTRIES: Final = 64  # one signature check each, about 60 µs
MAX_OPERATIONS: Final = 4


class MalformedHint(RemoteProtocolError):
    """A gossip message no honest node would make."""


@dataclass(frozen=True, slots=True)
class Hinted:
    """One record in a hint; without its body it says only that there is something to fetch."""

    entry: Entry
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Hint:
    """Records of any accounts of one shard; every entry bears its own valid signature."""

    operations: tuple[Hinted, ...]
    records: tuple[Hinted, ...]


def topic_of(network: str, account: Cid) -> str:
    """The shard topic on which an account's news is announced."""
    return f"/unhush/1/{network}/{account.digest[0] % SHARDS}"


def all_topics(network: str) -> frozenset[str]:
    return frozenset(f"/unhush/1/{network}/{shard}" for shard in range(SHARDS))


def encode_hint(operations: Sequence[tuple[bytes, bytes]], records: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The message for these (entry, body) pairs; bodies that do not fit are left out, newest last."""
    hint: dict[str, Value] = {
        "identity": [list(operation) for operation in operations[:MAX_OPERATIONS]],
        "entries": [entry for entry, _ in records[:MAX_ENTRIES]],
    }
    room = MAX_HINT_BYTES - len(encode({**hint, "bodies": []})) - 64  # the longer head of a full list
    bodies: list[Value] = []
    for _, body in records[:MAX_ENTRIES]:
        if body and len(body) + 5 <= room:  # with the longest head of a byte string this size
            bodies.append(body)
            room -= len(body) + 5
    return encode({**hint, "bodies": bodies})


def peek(data: bytes) -> tuple[Cid, ...]:
    """The records a message names, before anything costly is done with it; raises ``MalformedHint``."""
    try:
        return tuple(map(cid_of, _byte_strings(_fields(data).get("entries", []), MAX_ENTRIES)))
    except IdentityError as exc:
        raise MalformedHint(f"{type(exc).__name__}: {exc}") from exc


def parse_hint(data: bytes, network: str) -> Hint:
    """Read and judge a message; raises ``MalformedHint``."""
    try:
        fields = _fields(data)
        bodies = _byte_strings(fields.get("bodies", []), MAX_ENTRIES)
        blocks = _byte_strings(fields.get("entries", []), MAX_ENTRIES)
        entries = tuple(verify_signature(parse_entry(block), network) for block in blocks)
        records = tuple(_match(entry, bodies) for entry in entries)
        operations = tuple(_operation(pair, network) for pair in _list(fields.get("identity", []), MAX_OPERATIONS))
    except IdentityError as exc:
        raise MalformedHint(f"{type(exc).__name__}: {exc}") from exc
    if any(record.entry.header.is_identity for record in records) or len(bodies) > sum(
        1 for record in records if record.body is not None
    ):
        raise MalformedHint("operations among the entries, or bodies that belong to none")
    if not records and not operations:
        raise MalformedHint("a hint of nothing")
    return Hint(operations, records)


def _fields(data: bytes) -> dict[str, Value]:
    return decode_map(data, max_bytes=MAX_HINT_BYTES)


def _operation(pair: Value, network: str) -> Hinted:
    match pair:
        case [bytes() as block, bytes() as body]:
            entry = verify_signature(parse_entry(block), network)
            check_body(entry.header, body)
            if entry.header.is_identity:
                return Hinted(entry, body)
    raise MalformedHint("an identity operation is an entry and its body")


def _match(entry: Entry, bodies: Sequence[bytes]) -> Hinted:
    for body in bodies:
        if len(body) == entry.header.size:
            try:
                check_body(entry.header, body)
            except IdentityError:
                continue
            return Hinted(entry, body)
    return Hinted(entry, None)


def _byte_strings(value: Value, most: int) -> tuple[bytes, ...]:
    items = _list(value, most)
    strings = tuple(item for item in items if isinstance(item, bytes))
    if len(strings) != len(items):
        raise MalformedHint("something other than byte strings in a list of them")
    return strings


def _list(value: Value, most: int) -> list[Value]:
    if not isinstance(value, list) or len(value) > most:
        raise MalformedHint(f"not a list of at most {most}")
    return value
