"""Entries: signed, hash-chained headers (PROTOCOL §2).

An entry block is ``[header, signature]`` in strict DAG-CBOR; its CID is the
record's id. The signature is the last 64 bytes, so what was signed is a slice
of the received bytes and nothing is encoded again to verify it.

``UnverifiedEntry`` is well-formed bytes, ``Entry`` an authentic record: its own
signature verifies, or an authentic entry of its log names it by ``prev``.
Only this module makes the second from the first.
"""

import re
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final, NamedTuple

from unhush.identity.cid import Cid, checked_cid, cid_of
from unhush.identity.codec import Value, decode, decode_stored, encode
from unhush.identity.errors import MalformedBytes, MalformedEntry, SignatureMismatch, WrongBody
from unhush.identity.keys import KEY_BYTES, SIGNATURE_BYTES, PublicKey, SigningKey, verify
from unhush.identity.layout import ENTRY, has_length, read_uint

# The largest legal header is about 340 bytes; 1,024 leaves room and bounds a hostile one.
MAX_ENTRY_BYTES: Final = 1_024
MAX_BODY_BYTES: Final = 65_536
SALT_BYTES: Final = 16
INCEPTION: Final = "identity.incept"

_MAX_INT: Final = 2**63 - 1
_KIND: Final = re.compile(r"[a-z0-9.-]{1,64}")
_NETWORK: Final = re.compile(r"[a-z0-9-]{1,32}")
_REQUIRED: Final = frozenset(("account", "key", "seq", "prev", "time", "kind", "body", "size"))
_ALLOWED: Final = _REQUIRED | {"identity"}
# After the header stand the head of a 64-byte string (58 40) and the string; before it the head of a pair (82).
_SIGNATURE_AT: Final = -(SIGNATURE_BYTES + 2)


@dataclass(frozen=True, slots=True)
class Header:
    """What an author signs about one record; ``account`` is None only in the inception itself."""

    account: Cid | None
    key: PublicKey
    seq: int
    prev: Cid | None
    time: int  # author's clock, Unix milliseconds; never decides validity
    kind: str
    body: Cid
    size: int  # bytes of the body block
    identity: Cid | None = None  # the standing table the device knew: a hint what to fetch

    def __post_init__(self) -> None:
        self._check_numbers()
        if not _KIND.fullmatch(self.kind):
            raise MalformedEntry(f"kind {self.kind[:80]!r} is not 1 to 64 of a-z 0-9 . -")
        if (self.account is None) != (self.kind == INCEPTION):
            raise MalformedEntry("the inception, and nothing else, names no account")
        for name, link in (
            ("account", self.account),
            ("prev", self.prev),
            ("identity", self.identity),
            ("body", self.body),
        ):
            if link is not None and not link.is_dag_cbor:
                raise MalformedEntry(f"{name} links to a raw block")
        if self.is_identity:
            if self.identity is not None:
                raise MalformedEntry("an identity operation carries no hint of a table")
            if (self.prev is None) != (self.kind == INCEPTION) or self.seq != (0 if self.prev is None else 1):
                raise MalformedEntry("an identity operation is 0 without prev (the inception) or 1 with it")
        elif (self.seq == 0) != (self.prev is None):
            raise MalformedEntry(f"entry {self.seq} of a log starts it iff it has no prev")

    def _check_numbers(self) -> None:
        if not 0 <= self.seq <= _MAX_INT:
            raise MalformedEntry(f"seq {self.seq} is out of range")
        if not 0 <= self.time <= _MAX_INT:
            raise MalformedEntry(f"time {self.time} is out of range")
        if not 1 <= self.size <= MAX_BODY_BYTES:
            raise MalformedEntry(f"a body has 1 to {MAX_BODY_BYTES} bytes, not {self.size}")

    @property
    def is_identity(self) -> bool:
        return self.kind.startswith("identity.")

    def value(self) -> dict[str, Value]:
        """The map that is encoded and signed."""
        fields: dict[str, Value] = {
            "account": self.account,
            "key": self.key.bytes,
            "seq": self.seq,
            "prev": self.prev,
            "time": self.time,
            "kind": self.kind,
            "body": self.body,
            "size": self.size,
        }
        if self.identity is not None:
            fields["identity"] = self.identity
        return fields


class UnverifiedEntry(NamedTuple):
    """A well-formed entry block that nobody has vouched for yet."""

    header: Header
    account: Cid  # of the inception: its own CID
    cid: Cid
    block: bytes


class Entry(NamedTuple):
    """An authentic entry."""

    header: Header
    account: Cid
    cid: Cid
    block: bytes


def parse_entry(block: bytes) -> UnverifiedEntry:
    """Read an entry block; raises ``MalformedBytes`` or ``MalformedEntry``."""
    header = _read_header(block) or _parse_pair(decode(block, max_bytes=MAX_ENTRY_BYTES))
    cid = cid_of(block)
    return UnverifiedEntry(header, header.account or cid, cid, block)


def stored_entry(block: bytes) -> Entry:
    """An entry whose form and authenticity were established before it was stored; raises as ``parse_entry``."""
    header = _read_header(block) or _parse_pair(decode_stored(block))
    cid = cid_of(block)
    return Entry(header, header.account or cid, cid, block)


class Place(NamedTuple):
    """Where an entry stands, as the bytes of its block have it."""

    account: bytes  # binary CIDs and keys, as they are
    key: bytes
    seq: int
    time: int
    kind: str


def glance(block: bytes) -> Place | None:
    """The place of a stored entry of a log, in a quarter of the time of ``stored_entry``; None for operations.

    None as well for what must go the long way, where errors have names.
    """
    match = _match(block)
    if match is None:
        return None
    key, seq, kind, time, account = match.group(2, 3, 6, 9, 10)
    return Place(account, key, read_uint(seq), read_uint(time), _KIND_NAMES.get(kind) or kind.decode())


def _match(block: bytes) -> re.Match[bytes] | None:
    """The parts of a log's entry by its layout; None for what must go the long way (operations, and all errors)."""
    match = ENTRY.fullmatch(block)
    if match is None or len(block) > MAX_ENTRY_BYTES:
        return None
    pairs, seq, head, kind, prev, size, identity = match.group(1, 3, 5, 6, 7, 8, 11)
    if (
        not has_length(head, kind)
        or (pairs == _NINE_PAIRS) != (identity is not None)
        or (seq == b"\x00") != (prev is None)
        or not 1 <= read_uint(size) <= MAX_BODY_BYTES
        or kind.startswith(b"identity.")
    ):
        return None
    return match


def _read_header(block: bytes) -> Header | None:
    """The header of a log's entry by its layout; None for what must go the long way."""
    match = _match(block)
    if match is None:
        return None
    key, seq, body, kind, prev, size, time, account, identity = match.group(2, 3, 4, 6, 7, 8, 9, 10, 11)
    header = object.__new__(Header)  # past the checks, which were made above
    _SET_ACCOUNT(header, checked_cid(account))
    _SET_KEY(header, _public_key(key))
    _SET_SEQ(header, read_uint(seq))
    _SET_PREV(header, checked_cid(prev) if prev is not None else None)
    _SET_TIME(header, read_uint(time))
    _SET_KIND(header, _KIND_NAMES.get(kind) or kind.decode())
    _SET_BODY(header, checked_cid(body))
    _SET_SIZE(header, read_uint(size))
    _SET_IDENTITY(header, checked_cid(identity) if identity is not None else None)
    return header


_NINE_PAIRS: Final = b"\xa9"
(
    _SET_ACCOUNT,
    _SET_KEY,
    _SET_SEQ,
    _SET_PREV,
    _SET_TIME,
    _SET_KIND,
    _SET_BODY,
    _SET_SIZE,
    _SET_IDENTITY,
) = (getattr(Header, each.name).__set__ for each in fields(Header))
_KIND_NAMES: Final = {name.encode(): name for name in ("post", "edit", "delete", "repost", "react", "follow")}
_public_key = lru_cache(maxsize=4096)(PublicKey)  # a burst of records is of few devices


def _parse_pair(pair: Value) -> Header:
    match pair:
        case [dict() as fields, bytes() as signature] if len(signature) == SIGNATURE_BYTES:
            return _parse_header(fields)
        case _:
            raise MalformedEntry("an entry is a pair of a header and a 64-byte signature")


def _parse_header(fields: dict[str, Value]) -> Header:
    if not _REQUIRED <= fields.keys() <= _ALLOWED:
        odd = sorted((_REQUIRED - fields.keys()) | (fields.keys() - _ALLOWED), key=str)  # of a damaged row, any type
        raise MalformedEntry(f"missing or unknown header fields: {', '.join(map(repr, odd))[:200]}")
    match fields:
        case {
            "account": Cid() | None as account,
            "key": bytes() as key,
            "seq": int() as seq,
            "prev": Cid() | None as prev,
            "time": int() as time,
            "kind": str() as kind,
            "body": Cid() as body,
            "size": int() as size,
        } if len(key) == KEY_BYTES and bool not in (type(seq), type(time), type(size)):
            identity = fields.get("identity")
            if "identity" in fields and not isinstance(identity, Cid):
                raise MalformedEntry("identity is no link")
            hint = identity if isinstance(identity, Cid) else None
            return Header(account, PublicKey(key), seq, prev, time, kind, body, size, hint)
        case _:
            raise MalformedEntry("a header field has the wrong type")


def signed_message(block: bytes, network: str, context: bytes = b"entry") -> bytes:
    """What the signature of a block covers: the domain tag and the exact bytes between head and signature."""
    return in_context(block[1:_SIGNATURE_AT], network, context)


def in_context(payload: bytes, network: str, context: bytes) -> bytes:
    """The bytes a signature covers, so that it holds in one network and for one purpose (PROTOCOL §1, "Context")."""
    return _domain(network, context) + payload


@lru_cache(maxsize=16)
def _domain(network: str, context: bytes) -> bytes:
    if not _NETWORK.fullmatch(network):
        raise MalformedEntry(f"network name {network[:64]!r} is not 1 to 32 of a-z 0-9 -")
    return b"unhush/1/" + network.encode() + b"/" + context + b"\x00"


def verify_signature(entry: UnverifiedEntry, network: str, is_valid: bool | None = None) -> Entry:
    """Authentic by its own signature; raises ``SignatureMismatch``.

    ``is_valid``: what ``is_signed`` said of the same entry and network, if it was asked already, maybe elsewhere.
    """
    if is_valid is None:
        is_valid = is_signed(entry.block, entry.header.key, network)
    if not is_valid:
        raise SignatureMismatch(
            f"entry {entry.header.seq} of {entry.header.key} bears a signature that is not its own on network {network}"
        )
    return Entry(entry.header, entry.account, entry.cid, entry.block)


def is_signed(block: bytes, key: PublicKey, network: str) -> bool:
    """Whether an entry block bears this key's valid signature."""
    return verify(key, signed_message(block, network), block[-SIGNATURE_BYTES:])


def does_vouch(by: Header, by_account: Cid, entry: UnverifiedEntry) -> bool:
    """Whether an authentic header names ``entry`` as the one before it in the same log."""
    return (
        by.prev is not None
        and by.prev.bytes == entry.cid.bytes
        and by.key.bytes == entry.header.key.bytes
        and by_account.bytes == entry.account.bytes
        and by.seq - 1 == entry.header.seq
        and not by.is_identity
        and not entry.header.is_identity
    )


def vouch(entry: UnverifiedEntry, *, by: Entry) -> Entry:
    """Authentic by the chain; raises ``SignatureMismatch`` if ``by`` does not name it."""
    if not does_vouch(by.header, by.account, entry):
        raise SignatureMismatch(f"entry {entry.header.seq} of {entry.header.key} is not what its successor names")
    return Entry(entry.header, entry.account, entry.cid, entry.block)


def sign_entry(key: SigningKey, header: Header, network: str) -> Entry:
    """Sign a header that names ``key``; what comes out would pass ``parse_entry`` and ``verify_signature``."""
    if header.key != key.public:
        raise MalformedEntry("the header names another key")
    unsigned = encode([header.value(), bytes(SIGNATURE_BYTES)])
    signature = key.sign(signed_message(unsigned, network))
    block = unsigned[:-SIGNATURE_BYTES] + signature
    if len(block) > MAX_ENTRY_BYTES:
        raise MalformedEntry(f"an entry of {len(block)} bytes is too long")
    cid = cid_of(block)
    return Entry(header, header.account or cid, cid, block)


def check_body(header: Header, body: bytes) -> None:
    """Raise ``WrongBody`` unless these are the bytes the header names."""
    if len(body) != header.size or cid_of(body) != header.body:
        raise WrongBody(f"body bytes of entry {header.seq} are not those its header names")


def decode_body(body: bytes) -> dict[str, Value]:
    """The map of a body with its 16-byte salt; raises ``MalformedBytes`` (such a body counts as absent)."""
    fields = decode(body, max_bytes=MAX_BODY_BYTES)
    if not isinstance(fields, dict):
        raise MalformedBytes("a body is a map")
    salt = fields.get("salt")
    if not isinstance(salt, bytes) or len(salt) != SALT_BYTES:
        raise MalformedBytes(f"a body has a salt of {SALT_BYTES} bytes")
    return fields
