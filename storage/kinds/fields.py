"""The fields of bodies: taking them out of a map by type, and checking them against their bounds.

Every function raises ``MalformedRecord``. Bounds of text count UTF-8 bytes.
"""

from collections.abc import Mapping
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.storage.errors import MalformedRecord

# The longest text of a post. What PROTOCOL §4 gives no bound of its own, an account of why or a rebuttal, has this one.
MAX_TEXT_BYTES: Final = 49_152
MAX_URL_BYTES: Final = 2_048  # what browsers and servers agree on; PROTOCOL names no bound


def find_text(fields: Mapping[str, Value], name: str) -> str | None:
    return as_text(name, fields[name]) if name in fields else None


def get_text(fields: Mapping[str, Value], name: str) -> str:
    return as_text(name, fields.get(name))


def get_int(fields: Mapping[str, Value], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int:  # a boolean is none
        raise MalformedRecord(f"{name} is no number")
    return value


def find_int(fields: Mapping[str, Value], name: str) -> int | None:
    return get_int(fields, name) if name in fields else None


def get_link(fields: Mapping[str, Value], name: str) -> Cid:
    return as_link(name, fields.get(name))


def find_link(fields: Mapping[str, Value], name: str) -> Cid | None:
    return get_link(fields, name) if name in fields else None


def get_list(fields: Mapping[str, Value], name: str, most: int) -> list[Value]:
    """The items of a list, none if it is absent."""
    value = fields.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise MalformedRecord(f"{name} is no list of at most {most}")
    return value


def as_map(name: str, value: Value) -> Mapping[str, Value]:
    if not isinstance(value, dict):
        raise MalformedRecord(f"{name} is no map")
    return value


def as_text(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise MalformedRecord(f"{name} is no text")
    return value


def as_link(name: str, value: Value) -> Cid:
    if not isinstance(value, Cid):
        raise MalformedRecord(f"{name} is no link")
    return value


def check_link(name: str, link: Cid) -> None:
    """A link to a record or an account."""
    if not link.is_dag_cbor:
        raise MalformedRecord(f"{name} links to a raw block, not to a record")


def check_text(name: str, text: str, most: int) -> None:
    if text.isascii():  # most are, and need no copy to be measured
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError as exc:
            raise MalformedRecord(f"{name} is not valid Unicode text") from exc
    if size > most:
        raise MalformedRecord(f"{name} has {size:,} bytes, at most {most:,} are allowed")


def check_int(name: str, number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        raise MalformedRecord(f"{name} is {number:,}, it may be {low:,} to {high:,}")
