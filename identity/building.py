"""Making identity operations: signed, and read again before they leave (PROTOCOL §3).

What we publish must be what others accept, so every operation made here has
passed ``parse_operation``. Whether it *counts* is not asked: that depends on
the table that stands, which the caller knows. A rotate by the words of another
account parses well and moves nothing.
"""

from collections.abc import Mapping, Sequence

from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import Value, encode
from unhush.identity.entry import INCEPTION, Header, sign_entry
from unhush.identity.errors import IdentityError, MalformedOperation
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import (
    ADD,
    FREEZE,
    MAX_NAME_BYTES,
    MAX_ROWS,
    NOTHING,
    OPEN,
    REVOKE,
    ROTATE,
    Cut,
    Device,
    SignedOperation,
    parse_operation,
)
from unhush.identity.words import GENERATIONS, Words


def build_inception(
    words: Words, *, device: PublicKey, name: str, time_ms: int, salt: bytes, network: str
) -> SignedOperation:
    """The first operation of an account: root 0, the commitment to all turn keys, and the first device."""
    root = words.root(0)
    fields: dict[str, Value] = {
        "root": root.public.bytes,
        "next": words.commitment(0),
        "devices": [_row(Device(device, name))],
    }
    return _sign(root, INCEPTION, None, None, fields, time_ms=time_ms, salt=salt, network=network)


def build_add(
    root: SigningKey, account: Cid, table: Cid, device: Device, *, time_ms: int, salt: bytes, network: str
) -> SignedOperation:
    """Open a device that the table does not list."""
    if device.cut != OPEN:
        raise MalformedOperation("an add opens a device: it has no cut")
    return _sign(root, ADD, account, table, {"device": _row(device)}, time_ms=time_ms, salt=salt, network=network)


def build_revoke(
    root: SigningKey,
    account: Cid,
    table: Cid,
    device: PublicKey,
    cut: Cut,
    *,
    time_ms: int,
    salt: bytes,
    network: str,
) -> SignedOperation:
    """End the log of a device at ``cut``; ``NOTHING``: no entry of it stays."""
    if cut == OPEN:
        raise MalformedOperation("a revoke says where the log of the device ends; an open end revokes nothing")
    fields: dict[str, Value] = {"device": device.bytes, "cut": _cut(cut)}
    return _sign(root, REVOKE, account, table, fields, time_ms=time_ms, salt=salt, network=network)


def build_freeze(
    root: SigningKey, account: Cid, table: Cid, *, time_ms: int, salt: bytes, network: str
) -> SignedOperation:
    """Stop all adds on the table until the next rotate."""
    return _sign(root, FREEZE, account, table, {}, time_ms=time_ms, salt=salt, network=network)


def build_rotate(
    words: Words,
    generation: int,
    account: Cid,
    replaces: Cid,
    devices: Sequence[Device],
    *,
    closed: bool = False,
    time_ms: int,
    salt: bytes,
    network: str,
) -> SignedOperation:
    """A new table of a new generation: ``devices`` is the whole truth from now on."""
    if generation > GENERATIONS:
        raise MalformedOperation(f"no rotations left: an account has {GENERATIONS}")
    if generation < 1:
        raise MalformedOperation(f"no rotate leads to generation {generation}: the first one leads to 1")
    if len(devices) > MAX_ROWS:
        raise MalformedOperation(f"a table has room for {MAX_ROWS} devices, not for {len(devices)}")
    fields: dict[str, Value] = {
        "root": words.root(generation).public.bytes,
        "next": words.commitment(generation),
        "path": [turn.bytes for turn in words.path(generation)],
        "devices": [_row(device) for device in devices],
    }
    if closed:
        fields["closed"] = True
    turn = words.turn(generation)
    return _sign(turn, ROTATE, account, replaces, fields, time_ms=time_ms, salt=salt, network=network)


def _row(device: Device) -> dict[str, Value]:
    row: dict[str, Value] = {"key": device.key.bytes, "name": _check_name(device.name)}
    return row if device.cut == OPEN else row | {"cut": _cut(device.cut)}


def _check_name(name: str) -> str:
    try:
        size = len(name.encode())
    except UnicodeEncodeError as exc:
        raise MalformedOperation("the name of the device is no text: it holds half a character") from exc
    if size > MAX_NAME_BYTES:
        raise MalformedOperation(f"the name of a device has at most {MAX_NAME_BYTES} bytes, this one {size}")
    return name


def _cut(cut: Cut) -> Value:
    if cut == NOTHING:
        return None
    seq, entry = cut
    try:
        return {"seq": seq, "entry": Cid(entry)}
    except IdentityError as exc:
        raise MalformedOperation(f"a cut at {seq} names no entry: {exc}") from exc


def _sign(
    key: SigningKey,
    kind: str,
    account: Cid | None,
    prev: Cid | None,
    fields: Mapping[str, Value],
    *,
    time_ms: int,
    salt: bytes,
    network: str,
) -> SignedOperation:
    try:
        body = encode({"salt": salt, **fields})
        header = Header(account, key.public, 0 if prev is None else 1, prev, time_ms, kind, cid_of(body), len(body))
        operation = SignedOperation(sign_entry(key, header, network), body)
        parse_operation(operation.entry, body)
    except IdentityError as exc:
        raise MalformedOperation(f"this {kind} would not be accepted: {exc}") from exc
    return operation
