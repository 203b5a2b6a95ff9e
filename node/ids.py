"""Ids as people and programs hand them over: a value, or its text."""

from unhush.identity.cid import Cid, parse_cid
from unhush.node.errors import MalformedCid


def as_cid(value: Cid | str) -> Cid:
    """Raises ``MalformedCid``."""
    try:
        return value if isinstance(value, Cid) else parse_cid(value.strip())
    except MalformedCid as exc:
        raise MalformedCid(f"{str(value)[:80]!r} is no id: an id has 59 letters and digits and begins with b") from exc
