"""Ids as people and programs hand them over: a value, or its text."""

from typing import Final

from unhush.identity.cid import CID_TEXT_CHARS, Cid, parse_cid
from unhush.node.errors import MalformedCid

WHAT_AN_ID_IS: Final = f"an id has {CID_TEXT_CHARS} letters and digits and begins with b"


def as_cid(value: Cid | str) -> Cid:
    """Raises ``MalformedCid``."""
    try:
        return value if isinstance(value, Cid) else parse_cid(value.strip())
    except MalformedCid as exc:
        shown = f"{str(value)[:80]!r} is no id"
        if looks_like_id(str(value)):
            raise MalformedCid(f"{shown}: it is as long as one, but a letter is wrong; was it copied whole?") from exc
        raise MalformedCid(f"{shown}: {WHAT_AN_ID_IS}") from exc


def looks_like_id(text: str) -> bool:
    """Whether a text has the length and the beginning of an id, be it one or not."""
    text = text.strip()
    return len(text) == CID_TEXT_CHARS and text.startswith("b")
