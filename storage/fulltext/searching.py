"""One search: the index finds, the store decides.

Every hit is looked at again in the snapshot, so a lagging index shows nothing
that is gone or says something else now. What the index has not seen yet is
looked through here, as far as that is a few hundred records.
"""

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage import shunned
from unhush.storage.errors import DamagedRow, NotFound, NothingToSearch
from unhush.storage.fulltext import feeding
from unhush.storage.fulltext.documents import (
    MOST_ID,
    id_of,
    lowest_id,
    mark_of,
    mark_of_tag,
    padded_words,
    title_and_rest,
)
from unhush.storage.fulltext.engine import START, Engine, Place
from unhush.storage.fulltext.query import Query
from unhush.storage.fulltext.terms import phrases_of
from unhush.storage.journal import find_record
from unhush.storage.reading import Reading
from unhush.storage.records import Record
from unhush.storage.transaction import Txn

# Records the index has not seen that one search looks through itself: 25 ms.
MOST_LATE: Final = 300
# The newest matches that are compared to find the best: 20 ms.
MOST_RANKED: Final = 1_000
# A search that finds nothing to show stops here, and says how far it came.
MOST_S: Final = 2.0
# A word in the title says more of a post than one in its text.
_TITLE_WEIGHT: Final = 3
# Of the usual ranking (BM25): the fifth time a word occurs counts little, and so does one among very many words.
_K1: Final = 1.2
_B: Final = 0.75
_USUAL_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for and where: by whom, in which time (Unix ms, ``since`` included, ``until`` not)."""

    query: Query
    by: Cid | None = None
    tag: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, and the cursor of what follows; ``behind`` records were not looked through, nor those before ``next``."""

    records: tuple[Record, ...]
    next: str | None
    behind: int


def parse_cursor(text: str) -> int:
    """Read a cursor; raises ``NotFound`` for anything that is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= MOST_ID):
        raise NotFound(f"not a place in a search: {text[:60]!r}")
    return int(text)


class Search:
    """One search in one snapshot. ``engine``: the index, being read; None if there is none."""

    def __init__(self, txn: Txn, engine: Engine | None, wanted: Wanted) -> None:
        self._txn = txn
        self._engine = engine
        self._wanted = wanted
        self._reading = Reading(txn)
        self._shunned = frozenset(shunned.iter_shunned(txn)) if wanted.by is None else frozenset()
        self._tag = mark_of_tag(wanted.tag) if wanted.tag is not None else None
        if self._tag == mark_of_tag(""):
            raise NothingToSearch(f"the tag {wanted.tag!r} has no letter or digit")
        self._due_s = time.monotonic() + MOST_S

    def run(self, *, limit: int, before: str | None, ranked: bool) -> Found:
        place = self._place()
        high = MOST_ID if before is None else parse_cursor(before)
        if self._wanted.until_ms is not None:
            high = min(high, lowest_id(self._wanted.until_ms))
        low = lowest_id(self._wanted.since_ms) if self._wanted.since_ms is not None else 0
        late_aids, behind = self._late_aids(place)
        late = sorted(self._late(late_aids, low, high), reverse=True)
        hits = heapq.merge(late, self._indexed(late_aids, low, high), reverse=True)
        found, next_id = self._best(hits, limit) if ranked else self._newest(hits, limit)
        return Found(tuple(found), str(next_id) if next_id is not None else None, behind)

    def _place(self) -> Place:
        if self._engine is None:
            return START
        return self._engine.place()

    def _late_aids(self, place: Place) -> tuple[frozenset[int], int]:
        """What the index does not know, as far as it is looked through here; and how much is left."""
        behind = feeding.count_behind(self._txn, place)
        if behind == 0:
            return frozenset(), 0
        due = list(islice(feeding.iter_due(self._txn), MOST_LATE))
        new = [aid for aid, _ in islice(feeding.iter_rows(self._txn, place.aid), MOST_LATE - len(due))]
        is_all = len(due) + len(new) < MOST_LATE
        return frozenset(due + new), 0 if is_all else behind - len(due) - len(new)

    def _late(self, aids: frozenset[int], low: int, high: int) -> Iterator[tuple[int, int]]:
        for aid in aids:
            record = self._matching(aid)
            if record is not None and low <= id_of(record) < high:
                yield id_of(record), aid

    def _indexed(self, late: frozenset[int], low: int, high: int) -> Iterator[tuple[int, int]]:
        if self._engine is None or low >= high:
            return
        marks = [mark_of(self._wanted.by)] if self._wanted.by is not None else []
        marks += [self._tag] if self._tag is not None else []
        for number, aid in self._engine.find(self._wanted.query, marks, low, high):
            if aid not in late:
                yield number, aid

    # -- in which order

    def _newest(self, hits: Iterator[tuple[int, int]], limit: int) -> tuple[list[Record], int | None]:
        found: list[Record] = []
        last: int | None = None
        for number, aid in hits:
            if len(found) == limit or (last is not None and self._is_late()):
                return found, last
            record = self._matching(aid)
            if record is not None:
                found.append(record)
            last = number
        return found, None

    def _best(self, hits: Iterator[tuple[int, int]], limit: int) -> tuple[list[Record], int | None]:
        """The best of the newest matches; the cursor goes on with older ones."""
        compared = list(islice(hits, MOST_RANKED + 1))
        is_more = len(compared) > MOST_RANKED
        compared = compared[:MOST_RANKED]
        found: list[Record] = []
        for _, aid in sorted(((self._score(number, aid), aid) for number, aid in compared), reverse=True):
            record = self._matching(aid)
            if record is not None:
                found.append(record)
            if len(found) == limit:
                break
        return found, compared[-1][0] if is_more else None

    def _score(self, number: int, aid: int) -> tuple[float, int]:
        """How densely the words are in a post; of equals, the newer first."""
        terms = self._engine.terms(number) if self._engine is not None else ""
        if not terms:
            document = feeding.find_document(self._txn, aid)
            terms = document.terms if document is not None else ""
        # Two spaces, one for each neighbour: a word after itself is counted twice.
        title, rest = title_and_rest(terms.replace(" ", "  "))
        usual = _K1 * (1 - _B + _B * len(rest) / _USUAL_CHARS)
        score = 0.0
        for part in self._wanted.query.wanted:
            for phrase in phrases_of(part):
                padded = f" {'  '.join(phrase.terms)}{'' if phrase.is_prefix else ' '}"
                count = rest.count(padded) + _TITLE_WEIGHT * title.count(padded)
                score += count * (_K1 + 1) / (count + usual)
        return score, number

    # -- what the store says

    def _matching(self, aid: int) -> Record | None:
        """The record, if what is shown of it now is what is wanted."""
        try:
            record = find_record(self._txn, aid)
        except DamagedRow:
            return None
        if record is None or not self._is_place_wanted(record):
            return None
        post = self._reading.shown_version(record)
        if post is None or not self._wanted.query.matches(padded_words(post)):
            return None
        if self._tag is not None and self._tag not in map(mark_of_tag, post.tags):
            return None
        return record

    def _is_place_wanted(self, record: Record) -> bool:
        wanted = self._wanted
        if record.account in self._shunned or (wanted.by is not None and record.account != wanted.by):
            return False
        at = record.shown_at_ms
        return (wanted.since_ms is None or at >= wanted.since_ms) and (wanted.until_ms is None or at < wanted.until_ms)

    def _is_late(self) -> bool:
        return time.monotonic() > self._due_s
