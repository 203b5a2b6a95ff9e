"""The commonest body, a post of words alone, read by its layout.

Strict DAG-CBOR leaves one encoding for a map of a salt and a text, so what has
this layout is exactly what ``encode`` makes of one. It costs a sixth of
parsing, and decides nothing alone: every other body goes the long way, where
errors have names.
"""

from typing import Final

from unhush.identity.codec import Value
from unhush.identity.entry import SALT_BYTES
from unhush.storage.kinds.fields import MAX_TEXT_BYTES

_SALT: Final = b"\xa2\x64salt\x50"  # a map of two, its first key, the head of 16 bytes
_TEXT: Final = b"\x64text"
_SALT_AT: Final = len(_SALT)
_TEXT_AT: Final = _SALT_AT + SALT_BYTES
_HEAD_AT: Final = _TEXT_AT + len(_TEXT)


def find_plain_text(body: bytes) -> str | None:
    """The text of a post that has nothing else; None for what must go the long way."""
    if not body.startswith(_SALT) or body[_TEXT_AT:_HEAD_AT] != _TEXT or len(body) <= _HEAD_AT:
        return None
    head = body[_HEAD_AT]
    if 0x60 <= head < 0x78:
        at, size = _HEAD_AT + 1, head - 0x60
    elif head == 0x78:
        at = _HEAD_AT + 2
        size = int.from_bytes(body[_HEAD_AT + 1 : at])
        if size < 0x18:  # a shorter head would do
            return None
    elif head == 0x79:
        at = _HEAD_AT + 3
        size = int.from_bytes(body[_HEAD_AT + 1 : at])
        if size < 0x100:
            return None
    else:
        return None
    if len(body) != at + size or size > MAX_TEXT_BYTES:
        return None
    try:
        return body[at:].decode()
    except UnicodeDecodeError:
        return None


def plain_fields(body: bytes, text: str) -> dict[str, Value]:
    """What such a body says, as parsing would have it."""
    return {"salt": body[_SALT_AT:_TEXT_AT], "text": text}
