"""Strict DAG-CBOR: for every value exactly one byte string (PROTOCOL §1).

``decode`` accepts nothing that ``encode`` would not have produced, so equal
values have equal bytes and equal hashes on every node. The check is: bound the
length, let cbor2 parse under its own limits, walk the result once against a
whitelist of exact types, key order and depth, and add up how long the shortest
encoding of each item is: what was read has exactly that length only if every
head is the shortest and nothing trails. cbor2 alone would accept floats,
foreign tags, unsorted keys and long heads; ``canonical=True`` is not DAG-CBOR
either.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from cbor2 import CBORError, CBORTag, dumps, loads

from unhush.identity.cid import CID_BYTES, Cid
from unhush.identity.errors import MalformedBytes, MalformedCid

Value: TypeAlias = "int | str | bytes | bool | Cid | Sequence[Value] | Mapping[str, Value] | None"

MAX_DEPTH: Final = 16
MAX_ITEMS_BLOCK: Final = 4_096
MAX_ITEMS_FRAME: Final = 65_536
MAX_BLOCK_BYTES: Final = 65_536
MAX_FRAME_BYTES: Final = 1_048_576

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**63 - 1
_LINK_TAG: Final = 42
_LINK_PREFIX: Final = b"\x00"  # the multibase identity prefix DAG-CBOR puts before a binary CID

# cbor2 counts the tag of a link as a level of its own, so it is given one level more than we allow.
_PARSER_DEPTH: Final = MAX_DEPTH + 1


def _refuse(_decoder: object, _immutable: bool) -> object:
    raise ValueError("a tag that has no place in a record")


# cbor2 would build dates, regular expressions, big numbers and shared references for these tags, some of
# them at a price of milliseconds per kilobyte (a 64 KiB regular expression: 290 ms). Refused unread.
_NO_TAGS: Final[dict[int, Callable[[object, bool], object]]] = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
    _refuse,
)


def encode(value: Value) -> bytes:
    """The one encoding of ``value``; raises ``MalformedBytes`` for what the protocol cannot say."""
    walk = _Walk(max_items=MAX_ITEMS_FRAME)
    try:
        return dumps(walk.lower(value, 1))
    except (CBORError, UnicodeEncodeError) as exc:
        raise MalformedBytes(f"cannot be encoded: {exc}") from exc


def decode(data: bytes, *, max_bytes: int = MAX_BLOCK_BYTES, max_items: int = MAX_ITEMS_BLOCK) -> Value:
    """Parse ``data`` if it is the one strict encoding of a value; raises ``MalformedBytes``."""
    return _decode(data, max_bytes=max_bytes, max_items=max_items)[0]


def _decode(data: bytes, *, max_bytes: int, max_items: int) -> tuple[Value, int]:
    if len(data) > max_bytes:
        raise MalformedBytes(f"{len(data)} bytes are more than the {max_bytes} allowed")
    # An item takes a byte at least, so only longer data can hold too many; counted before anything is built.
    if len(data) > max_items and has_more_items(data, max_items):
        raise MalformedBytes("too many items")
    try:
        raw = loads(
            data,
            max_depth=_PARSER_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_NO_TAGS,
        )
    # CBORError is no ValueError; the others escape from hostile heads, keys and texts.
    except (CBORError, ValueError, TypeError, OverflowError, RecursionError, EOFError, MemoryError) as exc:
        # cbor2 quotes a map key whole, and the sender chose its length.
        raise MalformedBytes(f"not CBOR we accept: {str(exc)[:200]}") from exc
    lift = _Lift(max_items)
    value = lift.lift(raw, 1)
    if lift.size != len(data):
        raise MalformedBytes("not in the one strict encoding (head length or trailing bytes)")
    return value, lift.items


def decode_stored(data: bytes) -> Value:
    """As ``decode``, for bytes that passed it before they were stored: strictness is not judged again.

    A third of the price. Damage still shows as ``MalformedBytes``, or as a value that its reader refuses.
    """
    try:
        return _lift_stored(loads(data, max_depth=_PARSER_DEPTH, allow_indefinite=False, semantic_decoders=_NO_TAGS))
    except (CBORError, ValueError, TypeError, OverflowError, RecursionError, EOFError, MemoryError) as exc:
        raise MalformedBytes(f"damaged: {exc}") from exc


def _lift_stored(raw: object) -> Value:
    if isinstance(raw, CBORTag):
        return _lift_link(raw)
    if isinstance(raw, dict):
        return {
            key: _lift_stored(item) if isinstance(item, (CBORTag, dict, list)) else item for key, item in raw.items()
        }
    if isinstance(raw, list):
        return [_lift_stored(item) for item in raw]
    return raw  # type: ignore[return-value]  # a leaf; whoever reads it checks its type


def decode_map(data: bytes, *, max_bytes: int = MAX_BLOCK_BYTES, max_items: int = MAX_ITEMS_BLOCK) -> dict[str, Value]:
    """As ``decode``, for data that must be a map."""
    value = decode(data, max_bytes=max_bytes, max_items=max_items)
    if not isinstance(value, dict):
        raise MalformedBytes("not a map")
    return value


def decode_map_counted(
    data: bytes, *, max_bytes: int = MAX_BLOCK_BYTES, max_items: int = MAX_ITEMS_BLOCK
) -> tuple[dict[str, Value], int]:
    """As ``decode_map``, and how many items it holds: what reading it cost."""
    value, items = _decode(data, max_bytes=max_bytes, max_items=max_items)
    if not isinstance(value, dict):
        raise MalformedBytes("not a map")
    return value, items


def has_more_items(data: bytes, limit: int) -> bool:
    """Whether data holds more than so many, which it counts no further (or makes no sense: the parser will say so)."""
    at, end, items = 0, len(data), 0
    while at < end:
        items += 1
        if items > limit:
            return True
        major, info = data[at] >> 5, data[at] & 31
        at += 1
        if info >= 24:
            width = _HEAD_WIDTHS.get(info, 0)
            argument = int.from_bytes(data[at : at + width])
            at += width
        else:
            argument = info
        if major in (2, 3):
            at += argument
        elif major == 6 and at < end and data[at] >> 5 == 2:
            items -= 1  # a link is one item; any other tag counts, or 64 KiB of tags on tags would take 10 ms
    return False


_HEAD_WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}


def _key_order(key: str) -> tuple[int, str]:
    return len(key), key  # keys are ASCII: characters and bytes are the same


class _Lift:
    """One pass over what cbor2 parsed: exact types only, items and depth counted, and the shortest encoding measured.

    A subclass of a type is something else. Texts in maps are looked at inside the loop: a call for each costs more.
    """

    __slots__ = ("_left", "_max", "size")

    def __init__(self, max_items: int) -> None:
        self._max = max_items
        self._left = max_items - 1  # the outermost; every other item is counted by what contains it
        self.size = 0  # bytes of the shortest encoding of what was lifted so far

    @property
    def items(self) -> int:
        """How many were lifted."""
        return self._max - self._left

    def lift(self, raw: object, depth: int) -> Value:
        kind = type(raw)
        if kind is dict:
            return self._lift_map(raw, depth)  # type: ignore[arg-type]  # exact dict
        if kind is list:
            return self._lift_list(raw, depth)  # type: ignore[arg-type]  # exact list
        return self._lift_leaf(raw, kind)

    def _enter(self, items: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise MalformedBytes(f"nested deeper than {MAX_DEPTH}")
        self._left -= items
        if self._left < 0:
            raise MalformedBytes("too many items")

    def _lift_map(self, raw: dict[object, object], depth: int) -> dict[str, Value]:
        self._enter(2 * len(raw), depth)
        lifted: dict[str, Value] = {}
        size = _head(len(raw))
        before, length = "", -1
        for key, item in raw.items():
            if type(key) is not str or not key.isascii():
                raise MalformedBytes("a map key is no ASCII text")
            if len(key) <= length and (len(key) < length or key <= before):
                raise MalformedBytes("map keys are not in order")
            before, length = key, len(key)
            size += length + (1 if length < 24 else _head(length))
            kind = type(item)
            if kind is bytes or (kind is str and item.isascii()):  # type: ignore[attr-defined]  # exact str
                count = len(item)  # type: ignore[arg-type]  # exact str or bytes
                size += count + (1 if count < 24 else _head(count))
                lifted[key] = item  # type: ignore[assignment]  # exact str or bytes
            else:
                lifted[key] = self.lift(item, depth + 1)
        self.size += size
        return lifted

    def _lift_list(self, raw: list[object], depth: int) -> list[Value]:
        self._enter(len(raw), depth)
        self.size += _head(len(raw))
        return [self.lift(item, depth + 1) for item in raw]

    def _lift_leaf(self, raw: object, kind: type) -> Value:
        if kind is bytes:
            self.size += len(raw) + _head(len(raw))  # type: ignore[arg-type]  # exact bytes
        elif kind is str:
            try:
                count = len(raw.encode())  # type: ignore[attr-defined]  # exact str
            except UnicodeEncodeError as exc:
                raise MalformedBytes(f"not CBOR we accept: {exc}") from exc
            self.size += count + _head(count)
        elif kind is bool or raw is None:
            self.size += 1
        elif kind is int:
            if not _MIN_INT <= raw <= _MAX_INT:  # type: ignore[operator]  # exact int
                raise MalformedBytes("an integer is out of range")
            self.size += _head(raw if raw >= 0 else ~raw)  # type: ignore[operator,arg-type]  # exact int
        elif kind is CBORTag:
            self.size += _LINK_BYTES
            return _lift_link(raw)  # type: ignore[arg-type]  # exact CBORTag
        else:
            raise MalformedBytes(f"{kind.__name__} has no place in a record")
        return raw  # type: ignore[return-value]  # narrowed by exact type above


def _head(argument: int) -> int:
    """Bytes of the shortest head that carries this number."""
    if argument < 24:
        return 1
    if argument < 0x100:
        return 2
    if argument < 0x10000:
        return 3
    return 5 if argument < 0x100000000 else 9


# Two bytes of tag, two of head, the prefix and the CID.
_LINK_BYTES: Final = 2 + 2 + 1 + CID_BYTES


class _Walk:
    """One pass over a value that is to be encoded; counts items and depth."""

    __slots__ = ("_left",)

    def __init__(self, max_items: int) -> None:
        self._left = max_items

    def lower(self, value: Value, depth: int) -> object:
        """From a value to what plain ``dumps`` turns into strict bytes."""
        self._left -= 1
        if self._left < 0:
            raise MalformedBytes("too many items")
        match value:
            case bool() | str() | bytes() | None:
                return value
            case int():
                if not _MIN_INT <= value <= _MAX_INT:
                    raise MalformedBytes(f"{value} is out of range")
                return int(value)
            case Cid():
                return CBORTag(_LINK_TAG, _LINK_PREFIX + value.bytes)
        if depth > MAX_DEPTH:
            raise MalformedBytes(f"nested deeper than {MAX_DEPTH}")
        match value:
            case list() | tuple():
                return [self.lower(item, depth + 1) for item in value]
            case Mapping():
                for key in value:
                    if not isinstance(key, str) or not key.isascii():
                        raise MalformedBytes(f"map key {key!r} is no ASCII text")
                self._left -= len(value)
                return {key: self.lower(value[key], depth + 1) for key in sorted(value, key=_key_order)}
            case _:
                raise MalformedBytes(f"{type(value).__name__} has no place in a record")


def _lift_link(tag: CBORTag) -> Cid:
    body = tag.value
    if tag.tag != _LINK_TAG or type(body) is not bytes or len(body) != CID_BYTES + 1 or body[:1] != _LINK_PREFIX:
        raise MalformedBytes(f"tag {tag.tag} is no link")
    try:
        return Cid(body[1:])
    except MalformedCid as exc:
        raise MalformedBytes(str(exc)) from exc
