"""The byte layout of an entry block, as one pattern (PROTOCOL §1 and §2).

Strict DAG-CBOR leaves one encoding for each header, and a header has a fixed
set of keys in a fixed order, so the whole grammar is regular: what matches is
exactly what ``encode`` makes of a header. It costs a twentieth of parsing, and
decides nothing alone: what does not match goes the long way, where errors have
names.
"""

import re
from typing import Final

_UINT: Final = (  # every number below 2^63 in its shortest form
    rb"([\x00-\x17]|\x18[\x18-\xff]|\x19(?!\x00)..|\x1a(?!\x00\x00).{4}|\x1b(?!\x00{4})[\x00-\x7f].{7})"
)
_LINK: Final = rb"\xd8\x2a\x58\x25\x00(\x01\x71\x12\x20.{32})"  # tag 42 over a dag-cbor CID
_KEY: Final = rb"\x58\x20(.{32})"
_KIND: Final = rb"([\x61-\x77]|\x78[\x18-\x40])([a-z0-9.-]{1,64})"  # head of a text and its letters
_NULL: Final = rb"\xf6"

ENTRY: Final = re.compile(
    rb"\x82(\xa8|\xa9)"
    rb"\x63key"
    + _KEY
    + rb"\x63seq"
    + _UINT
    + rb"\x64body"
    + _LINK
    + rb"\x64kind"
    + _KIND
    # What follows the letters of a kind is no letter, so there is one way to part them.
    + rb"\x64prev(?:"
    + _NULL
    + rb"|"
    + _LINK
    + rb")"
    rb"\x64size" + _UINT + rb"\x64time" + _UINT + rb"\x67account" + _LINK + rb"(?:\x68identity" + _LINK + rb")?"
    rb"\x58\x40.{64}",
    re.DOTALL,
)


def read_uint(head: bytes) -> int:
    """The number that a matched head and its bytes stand for."""
    return head[0] if len(head) == 1 else int.from_bytes(head[1:], "big")


def has_length(head: bytes, text: bytes) -> bool:
    """Whether the head of a text says how long the text is."""
    return (head[0] - 0x60 if len(head) == 1 else head[1]) == len(text)
