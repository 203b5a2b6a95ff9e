"""Marks in a text: ``#tags``, and ``@people`` by what you call them or by their account id.

They go into a post's fields when it is written; the text stays as it was. A
mark begins a word: what stands in code or in an address is none, nor is one
after a backslash. What means nobody is just text.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid, parse_cid
from unhush.identity.errors import MalformedCid
from unhush.storage.folds.tags import fold_tag
from unhush.storage.kinds.posts import MAX_MENTIONS, MAX_TAG_BYTES, MAX_TAGS

_CODE: Final = re.compile(r"(?ms)^ {0,3}(```+|~~~+).*?(?:^ {0,3}\1|\Z)|(`+)(?!`).*?(?<!`)\2(?!`)")
_MARK: Final = re.compile(r"""(?:(?<=\s)|(?<=^)|(?<=[(\[{"'«“‘¿¡,;]))([#@])(?=\S)""", re.MULTILINE)
_ACCOUNT_ID: Final = re.compile(r"b[a-z2-7]{58}")
_IN_TAGS: Final = "_-·"


@dataclass(frozen=True, slots=True)
class Marks:
    """What a text marks, each once, in the order of the text."""

    tags: tuple[str, ...]
    mentions: tuple[Cid, ...]


def find_marks(text: str, people: Mapping[str, Cid]) -> Marks:
    """As many as a post may have. ``people``: accounts by their folded names, see ``fold_name``."""
    plain = _CODE.sub(lambda match: "\n" * match[0].count("\n"), text)
    by_length = sorted(people, key=len, reverse=True)
    tags: dict[str, str] = {}
    mentions: dict[Cid, None] = {}
    for match in _MARK.finditer(plain):
        rest = plain[match.end() :]
        if match[1] == "#":
            tag = _tag(rest)
            if tag and len(tags) < MAX_TAGS:
                tags.setdefault(fold_tag(tag), tag)
        elif len(mentions) < MAX_MENTIONS and (who := _account(rest) or _known(rest, people, by_length)) is not None:
            mentions[who] = None
    return Marks(tuple(tags.values()), tuple(mentions))


def fold_name(name: str) -> str:
    """The form in which names are the same in a text."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _tag(rest: str) -> str | None:
    """The tag a text begins with: letters of any script, digits, and a few signs; more than a number."""
    end = next((at for at, char in enumerate(rest) if not _is_in_tag(char)), len(rest))
    tag = rest[:end].rstrip(_IN_TAGS)
    if all(not char.isalpha() for char in tag) or len(tag.encode()) > MAX_TAG_BYTES:
        return None
    return tag


def _is_in_tag(char: str) -> bool:
    return char.isalnum() or char in _IN_TAGS or unicodedata.category(char).startswith("M")


def _account(rest: str) -> Cid | None:
    found = _ACCOUNT_ID.match(rest)
    if found is None or rest[found.end() : found.end() + 1].isalnum():
        return None
    try:
        return parse_cid(found[0])
    except MalformedCid:
        return None


def _known(rest: str, people: Mapping[str, Cid], by_length: list[str]) -> Cid | None:
    """The person with the longest name a text begins with."""
    if not people:
        return None
    # Folding only lengthens a text: the longest name and what follows it lie within as many letters.
    line = fold_name(rest[: len(by_length[0]) + 1].split("\n", maxsplit=1)[0])
    for name in by_length:
        if line.startswith(name) and not line[len(name) : len(name) + 1].isalnum():
            return people[name]
    return None
