"""The bodies of identity operations, parsed into what the trunk rule reads (PROTOCOL §3).

``Table`` is an inception or a rotate: every device, open or cut. ``Op`` is an
add, a revoke or a freeze on the table it names by ``prev``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.identity.entry import INCEPTION, Entry, check_body, decode_body
from unhush.identity.errors import MalformedBytes, MalformedOperation
from unhush.identity.keys import KEY_BYTES, PublicKey, is_admissible
from unhush.identity.words import GENERATIONS, commit

MAX_ROWS: Final = 256  # devices a table can name: with 256 openings it fits one body
MAX_NAME_BYTES: Final = 64

Cut: TypeAlias = tuple[int, bytes]  # the last good entry of a device log: (seq, its CID's bytes)
OPEN: Final[Cut] = (2**63, b"")  # no end yet
NOTHING: Final[Cut] = (-1, b"")  # not even entry 0

ADD: Final = "identity.add"
REVOKE: Final = "identity.revoke"
FREEZE: Final = "identity.freeze"
ROTATE: Final = "identity.rotate"
OPERATION_KINDS: Final = frozenset((INCEPTION, ROTATE, ADD, REVOKE, FREEZE))


@dataclass(frozen=True, slots=True)
class Device:
    """One row of a table."""

    key: PublicKey
    name: str
    cut: Cut = OPEN


@dataclass(frozen=True, slots=True)
class Table:
    """``identity.incept`` (empty path) or ``identity.rotate``."""

    id: Cid
    key: PublicKey  # signer: the root for an inception, the turn key path[-1] for a rotate
    root: PublicKey  # who may sign this table's adds, revokes and freezes
    next: bytes  # commitment to all later turn keys
    path: tuple[PublicKey, ...]  # turn keys 1…g
    devices: tuple[Device, ...]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Op:
    """``identity.add``, ``identity.revoke`` or ``identity.freeze``, on the table ``prev``."""

    id: Cid
    key: PublicKey
    prev: Cid
    kind: str
    device: PublicKey | None = None
    name: str = ""
    cut: Cut = NOTHING


@dataclass(frozen=True, slots=True)
class SignedOperation:
    """An identity operation as it is stored and sent."""

    entry: Entry
    body: bytes


def parse_operation(entry: Entry, body: bytes) -> Table | Op:
    """Read the body of an authentic identity entry; raises ``MalformedOperation`` or ``WrongBody``."""
    check_body(entry.header, body)
    try:
        fields = decode_body(body)
    except MalformedBytes as exc:
        raise MalformedOperation(str(exc)) from exc
    header = entry.header
    if header.kind == INCEPTION:
        return _parse_table(entry, fields, path=())
    if header.kind == ROTATE:
        path = tuple(_parse_key(key) for key in _parse_list(fields.get("path"), 1, GENERATIONS))
        return _parse_table(entry, fields, path=path)
    if header.prev is None or header.kind not in OPERATION_KINDS:
        raise MalformedOperation(f"{header.kind} is no identity operation of version 1")
    match header.kind:
        case "identity.add":
            device = _parse_device(fields.get("device"), may_be_cut=False)
            return Op(entry.cid, header.key, header.prev, ADD, device.key, device.name)
        case "identity.revoke":
            if "cut" not in fields:
                raise MalformedOperation("a revoke says where it cuts, or null")
            return Op(
                entry.cid,
                header.key,
                header.prev,
                REVOKE,
                _parse_key(fields.get("device")),
                "",
                _parse_cut(fields["cut"]),
            )
        case _:
            return Op(entry.cid, header.key, header.prev, FREEZE)


def find_raw_generation(fields: Mapping[str, Value], next_of_inception: bytes, signer: PublicKey) -> int:
    """The generation of a rotate's decoded body, before any of its keys is admitted; -1 if it has none.

    ``parse_operation`` may spend 50 ms on the 512 keys of a stranger's rotate; this costs a microsecond or two for
    each step of the path, and whoever holds no turn key gets no further. What it says of a rotate that parses
    is what ``trunk.find_generation`` says.
    """
    path, after = fields.get("path"), fields.get("next")
    if not isinstance(path, list) or not 0 < len(path) <= GENERATIONS or path[-1] != signer.bytes:
        return -1
    if not isinstance(after, bytes) or len(after) != 32:
        return -1
    for turn in reversed(path):
        if not isinstance(turn, bytes) or len(turn) != KEY_BYTES:
            return -1
        after = commit(PublicKey(turn), after)
    return len(path) if after == next_of_inception else -1


def _parse_table(entry: Entry, fields: dict[str, Value], path: tuple[PublicKey, ...]) -> Table:
    rows = _parse_list(fields.get("devices"), 0, MAX_ROWS)
    devices = tuple(_parse_device(row, may_be_cut=bool(path)) for row in rows)
    if len({device.key for device in devices}) != len(devices):
        raise MalformedOperation("a device is listed twice")
    root, after = _parse_key(fields.get("root")), fields.get("next")
    closed = fields.get("closed", False) if path else False  # in an inception it is an unknown field: kept, not read
    if not isinstance(after, bytes) or len(after) != 32:
        raise MalformedOperation("next is no 32-byte commitment")
    if not isinstance(closed, bool):
        raise MalformedOperation("closed is no yes or no")
    if not path and root != entry.header.key:
        raise MalformedOperation("an inception is signed by the root key it names")
    return Table(entry.cid, entry.header.key, root, after, path, devices, closed)


def _parse_device(row: Value, *, may_be_cut: bool) -> Device:
    match row:
        case {"key": _, "name": _, "cut": _} if not may_be_cut:
            pass
        case {"key": key, "name": str() as name, "cut": cut} if len(name.encode()) <= MAX_NAME_BYTES:
            return Device(_parse_key(key), name, _parse_cut(cut))
        case {"key": key, "name": str() as name} if len(name.encode()) <= MAX_NAME_BYTES:
            return Device(_parse_key(key), name)
    raise MalformedOperation(f"a device is a key and a name of at most {MAX_NAME_BYTES} bytes, cut only in a rotate")


def _parse_cut(value: Value) -> Cut:
    match value:
        case None:
            return NOTHING
        case {"seq": int() as seq, "entry": Cid() as entry} if seq >= 0 and not isinstance(seq, bool):
            return seq, entry.bytes
    raise MalformedOperation("a cut is a seq and an entry, or null")


def _parse_key(value: Value) -> PublicKey:
    if isinstance(value, bytes) and len(value) == KEY_BYTES and is_admissible(key := PublicKey(value)):
        return key
    raise MalformedOperation("not an admissible key")


def _parse_list(value: Value, least: int, most: int) -> Sequence[Value]:
    if isinstance(value, list) and least <= len(value) <= most:
        return value
    raise MalformedOperation(f"not a list of {least} to {most} items")
