"""What a person typed, as a value: words, "phrases", beginnings* and -words that must not be there.

Whatever is typed is understood somehow; only what asks for nothing at all is
refused. All parts must be found. A part that the rule cuts into several words
(don't, x.org, 東京) is a phrase.
"""

import re
from dataclasses import dataclass
from typing import Final

from unhush.storage.errors import NothingToSearch
from unhush.storage.fulltext.words import stands_alone, words_of

# Nobody types as much; it bounds what a hostile query costs. What is beyond is left out, and the query says so.
MAX_CHARS: Final = 2_000
MAX_PARTS: Final = 32
MAX_WORDS: Final = 64
# Beginnings shorter than this would gather half of everything there is: they count as words of their own.
MIN_PREFIX: Final = 3

# The quotation marks of this world's keyboards.
_QUOTES: Final = str.maketrans(dict.fromkeys("“”„‟«»＂「」『』〝〞", '"'))
_PART: Final = re.compile(r'(?P<no>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


@dataclass(frozen=True, slots=True)
class Part:
    """Words that follow each other; the last may be only the beginning of one."""

    words: tuple[str, ...]
    is_prefix: bool = False

    @property
    def padded(self) -> str:
        """As it stands in the words of a text, each between single spaces."""
        return f" {' '.join(self.words)}{'' if self.is_prefix else ' '}"


@dataclass(frozen=True, slots=True)
class Query:
    """``wanted`` is never empty."""

    wanted: tuple[Part, ...]
    unwanted: tuple[Part, ...] = ()
    is_cut: bool = False  # more was typed than is looked for

    def matches(self, padded: str) -> bool:
        """``padded``: the words of a text, each between single spaces."""
        return all(part.padded in padded for part in self.wanted) and not any(
            part.padded in padded for part in self.unwanted
        )


def parse_query(text: str) -> Query:
    """Read what was typed; raises ``NothingToSearch`` if there is nothing in it but beginnings that are too short."""
    wanted: list[Part] = []
    unwanted: list[Part] = []
    is_cut = len(text) > MAX_CHARS
    left = MAX_WORDS
    are_too_short = True
    for found in _PART.finditer(text[:MAX_CHARS].translate(_QUOTES)):
        typed = found["phrase"] if found["phrase"] is not None else found["word"]
        words = words_of(typed)
        if not words:
            continue
        if not left or len(wanted) + len(unwanted) == MAX_PARTS:
            is_cut = True
            break
        is_whole = len(words) <= left
        is_prefix = is_whole and found["word"] is not None and typed.endswith("*") and len(words[-1]) >= MIN_PREFIX
        part = Part(tuple(words[:left]), is_prefix)
        (unwanted if found["no"] else wanted).append(part)
        are_too_short &= bool(found["no"]) or (found["word"] is not None and _is_too_short(typed, words))
        is_cut |= not is_whole
        left -= len(part.words)
    if not wanted:
        raise NothingToSearch("there is nothing to look for: give at least one word with a letter or a digit")
    if are_too_short:
        raise NothingToSearch(f"a beginning has at least {MIN_PREFIX} letters: type more of the word before the *")
    return Query(_once(wanted), _once(unwanted), is_cut)


def _is_too_short(typed: str, words: list[str]) -> bool:
    """Whether the beginning of a word was typed, and too little of it; 東* is a word, and found in any."""
    return typed.endswith("*") and len(words) == 1 and len(words[0]) < MIN_PREFIX and not stands_alone(words[0])


def _once(parts: list[Part]) -> tuple[Part, ...]:
    return tuple(dict.fromkeys(parts))
