"""From words to the terms an engine keeps, and from what is asked to phrases of them.

Words go as they are. Characters that stand alone would make long lists for
each, and phrases of them slow: 200 ms in a million Chinese posts. So a run of
them is kept as its pairs, one reaching over the other, and once more each for
itself behind the facts, where one character alone is looked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from unhush.storage.fulltext.query import Part
from unhush.storage.fulltext.words import stands_alone


@dataclass(frozen=True, slots=True)
class Phrase:
    """Terms that follow each other; the last may be only the beginning of one."""

    terms: tuple[str, ...]
    is_prefix: bool = False


def terms_of(words: Sequence[str]) -> tuple[list[str], set[str]]:
    """The terms in order, and the characters that only occur in pairs among them."""
    terms: list[str] = []
    singles: set[str] = set()
    for is_alone, run in _runs(words):
        terms += _pairs(run) if is_alone else run
        if is_alone and len(run) > 1:
            singles.update(run)
    return terms, singles


def phrases_of(part: Part) -> tuple[Phrase, ...]:
    """What a text must hold if it has this part. Only a part of one phrase is found by nothing else."""
    runs = _runs(part.words)
    singles: list[str] = []
    if len(runs) > 1:
        # A character at either end may belong to a longer run, and then no term of that is known.
        for end in (0, -1):
            is_alone, run = runs[end] if runs else (False, [])
            if is_alone and len(run) == 1:
                singles += runs.pop(end)[1]
    terms: list[str] = []
    for is_alone, run in runs:
        terms += _pairs(run) if is_alone else run
    phrases = [Phrase(tuple(terms), part.is_prefix)] if terms else []
    return (*phrases, *(Phrase((single,)) for single in singles))


def _runs(words: Iterable[str]) -> list[tuple[bool, list[str]]]:
    return [(is_alone, list(run)) for is_alone, run in groupby(words, stands_alone)]


def _pairs(run: list[str]) -> list[str]:
    return [first + second for first, second in pairwise(run)] if len(run) > 1 else run
