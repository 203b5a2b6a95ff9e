"""CIDs: the name of a block is the hash of its bytes (PROTOCOL §1).

Two forms only, both CIDv1 with sha2-256 and 36 bytes: ``dag-cbor`` for
structured blocks, ``raw`` for blob bytes. Inside the node a CID is this value
over its bytes; general CID libraries cost 200 times as much per record and
serve as the independent check at the edges.
"""

from base64 import b32decode, b32encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeAlias

from unhush.identity.errors import MalformedCid

CID_BYTES: Final = 36
CID_TEXT_CHARS: Final = 59
DAG_CBOR_PREFIX: Final = bytes((0x01, 0x71, 0x12, 0x20))  # version 1, dag-cbor, sha2-256, 32 bytes
RAW_PREFIX: Final = bytes((0x01, 0x55, 0x12, 0x20))

_Bytes: TypeAlias = bytes  # inside the class the name means the field


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """The 36 bytes of a CIDv1 with sha2-256, codec dag-cbor or raw."""

    bytes: bytes

    def __post_init__(self) -> None:
        if len(self.bytes) != CID_BYTES or self.bytes[:4] not in (DAG_CBOR_PREFIX, RAW_PREFIX):
            raise MalformedCid("not a CIDv1 with sha2-256 and codec dag-cbor or raw")

    @property
    def digest(self) -> _Bytes:
        """The 32-byte sha2-256 of the block."""
        return self.bytes[4:]

    @property
    def is_dag_cbor(self) -> bool:
        return self.bytes[:4] == DAG_CBOR_PREFIX

    def __hash__(self) -> int:
        return hash(self.bytes)

    def __str__(self) -> str:
        return "b" + b32encode(self.bytes).decode().rstrip("=").lower()

    def __repr__(self) -> str:
        return f"Cid({self})"


def checked_cid(cid: bytes) -> Cid:
    """The value over bytes whose form is certain already; checking them again doubles the price of a record."""
    made = object.__new__(Cid)
    _SET_BYTES(made, cid)
    return made


_SET_BYTES: Final = Cid.__dict__["bytes"].__set__  # past the guard of the frozen value


def cid_of(block: bytes) -> Cid:
    """The CID of a dag-cbor block."""
    return checked_cid(DAG_CBOR_PREFIX + sha256(block).digest())


def cid_of_raw(block: bytes) -> Cid:
    """The CID of blob bytes."""
    return Cid(RAW_PREFIX + sha256(block).digest())


def cid_of_digest(digest: bytes) -> Cid:
    """The dag-cbor CID with this sha2-256 digest."""
    if len(digest) != 32:
        raise MalformedCid(f"a sha2-256 digest has 32 bytes, not {len(digest)}")
    return checked_cid(DAG_CBOR_PREFIX + digest)


def parse_cid(text: str) -> Cid:
    """Read the one text form: ``b`` and 58 lower-case base32 characters; raises ``MalformedCid``."""
    if len(text) != CID_TEXT_CHARS or not text.startswith("b") or not text.isascii() or text != text.lower():
        raise MalformedCid(f"not a CID in lower-case base32: {text[:80]!r}")
    try:
        cid = Cid(b32decode(text[1:].upper() + "======"))
    except ValueError as exc:
        raise MalformedCid(f"not a CID in lower-case base32: {text!r}") from exc
    if str(cid) != text:  # the two unused bits at the end must be zero
        raise MalformedCid(f"not a CID in its one text form: {text!r}")
    return cid
