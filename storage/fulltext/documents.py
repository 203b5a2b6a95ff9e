"""What of a post is searched, and the number that puts posts in their order.

A document is the terms of what is shown of a post now: its title, text, tags
and the texts beside its pictures, with a mark between them so that no phrase
reaches over; then its facts: one mark for the author, one for each tag, and
characters that otherwise are only in pairs. Marks begin with characters for
private use, which are never part of a word.
"""

from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage.fulltext.terms import terms_of
from unhush.storage.fulltext.words import words_of
from unhush.storage.kinds import Post
from unhush.storage.records import Record

_BETWEEN: Final = "\ue000"  # between the parts of a post
_FACTS: Final = "\ue001"  # before the facts
_BY: Final = "\ue002"
_TAG: Final = "\ue003"

# An id is the shown time in milliseconds and the low end of the aid: newest first is highest first, and an id fits
# the 63 bits an engine has. The time has room until the year 2109.
_AID_BITS: Final = 21
_MOST_MS: Final = 2 ** (63 - _AID_BITS) - 1
MOST_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Document:
    """A post as the index holds it."""

    id: int  # where it belongs; an engine takes the next free one above
    aid: int
    terms: str


def document_of(record: Record, post: Post) -> Document:
    """``post``: what is shown of the record now."""
    terms, singles = terms_of(_words(post))
    terms += (_FACTS, mark_of(record.account), *(mark_of_tag(tag) for tag in post.tags), *sorted(singles))
    return Document(id_of(record), record.aid, " ".join(terms))


def padded_words(post: Post) -> str:
    """The words of a post, each between single spaces."""
    return f" {' '.join(_words(post))} "


def _words(post: Post) -> list[str]:
    words = words_of(post.title) if post.title else []
    words.append(_BETWEEN)
    words += words_of(post.text)
    for text in (*post.tags, *(media.alt for media in post.media)):
        words.append(_BETWEEN)
        words += words_of(text)
    return words


def title_and_rest(terms: str) -> tuple[str, str]:
    """The terms of the title and of everything else, each between single spaces."""
    title, _, rest = f" {terms} ".partition(_BETWEEN)
    return title, rest.partition(_FACTS)[0]


def id_of(record: Record) -> int:
    return lowest_id(record.shown_at_ms) | (record.aid & (2**_AID_BITS - 1))


def lowest_id(time_ms: int) -> int:
    """The lowest id a post of this time, or a later one, can have."""
    return max(0, min(time_ms, _MOST_MS)) << _AID_BITS


def mark_of(account: Cid) -> str:
    # Enough of the digest to keep apart whom chance brings together; each hit is looked at again.
    return f"{_BY}{account.digest[:8].hex()}"


def mark_of_tag(tag: str) -> str:
    return _TAG + _BETWEEN.join(words_of(tag))
