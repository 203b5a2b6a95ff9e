"""From text to the words that are searched: one rule for what is written and for what is asked.

Case, width, ligatures and the marks over letters make no difference. Scripts
that write without spaces, and Korean, whose words grow endings, are cut into
single characters, each a word, so that any part of a text is found as a
phrase. What is no letter, digit or picture only separates.
"""

import unicodedata
from typing import Final

# What is longer is no word anybody types; it is found by its beginning.
MAX_WORD_CHARS: Final = 64

# Another Unicode may cut other words: an index made with one is rebuilt under the next.
RULE: Final = f"1/{unicodedata.unidata_version}"

_SEPARATOR: Final = " "
_ALONE_CHARS: Final = 3  # what a character that stands alone becomes: itself between two separators

# Han, kana, bopomofo, Hangul syllables, Yi, Thai, Lao, Myanmar, Khmer, Tai and Javanese letters.
_SPACELESS: Final = (
    (0x0E00, 0x0E7F), (0x0E80, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF),
    (0x1B00, 0x1B7F), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x303B, 0x303C), (0x3041, 0x3096),
    (0x309B, 0x30FF), (0x3105, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF), (0xA980, 0xA9DF), (0xA9E0, 0xA9FF), (0xAA60, 0xAADF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
    (0x1B000, 0x1B16F), (0x20000, 0x3FFFF),
)  # fmt: skip

# Marks that readers leave out or type otherwise: accents, Hebrew points, Arabic vowels, variation selectors.
# Others are kept: in Devanagari or Tamil they are the vowels.
_LOOSE_MARKS: Final = (
    (0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670),
    (0x06D6, 0x06ED), (0x08D3, 0x08FF), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F), (0xE0100, 0xE01EF),
)  # fmt: skip

# Letters with a stroke or a hook that Unicode does not take apart, as people without that key type them.
_PLAIN: Final = {
    "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "ŧ": "t", "æ": "ae", "œ": "oe", "þ": "th",
    "ß": "ss", "ŀ": "l", "ĸ": "k", "ŋ": "n",
}  # fmt: skip
_TATWEEL: Final = 0x0640  # only stretches a word
_ZERO_WIDTH_SPACE: Final = 0x200B  # between words of scripts that show no spaces


class _Loose(dict[int, int | None]):
    """For ``str.translate``: marks that do not count go. Filled by what occurs."""

    def __missing__(self, point: int) -> int | None:
        kept = None if point == _TATWEEL or _is_in(point, _LOOSE_MARKS) else point
        self[point] = kept
        return kept


class _Folded(dict[int, str]):
    """For ``str.translate``: what each character becomes. Filled by what occurs."""

    def __missing__(self, point: int) -> str:
        folded = self[point] = _fold(point)
        return folded


def stands_alone(word: str) -> bool:
    """Whether a word is one character of a script without spaces, or a picture."""
    return len(word) == 1 and len(_FOLDED[ord(word)]) == _ALONE_CHARS


def _fold(point: int) -> str:
    char = chr(point)
    kind = unicodedata.category(char)
    if kind == "Cf":
        return _SEPARATOR if point == _ZERO_WIDTH_SPACE else ""  # soft hyphens, joiners, directions
    if kind[0] in "ZCP" or kind in ("Sc", "Sk", "Sm"):
        return _SEPARATOR
    if kind == "So" or _is_in(point, _SPACELESS):
        return f" {char} "
    folded = char.casefold()
    return _PLAIN.get(folded, folded)


def _is_in(point: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= point <= high for low, high in ranges)


_LOOSE: Final = _Loose()
_FOLDED: Final = _Folded()


def words_of(text: str) -> list[str]:
    """The words of a text, in order. No word has a space, an ASCII mark or a capital in it."""
    if not text.isascii():
        # Taken apart to lose the marks, and put together again, or a Hangul syllable would be letters.
        bare = unicodedata.normalize("NFKD", text).translate(_LOOSE)
        text = unicodedata.normalize("NFC", bare)
    words = text.translate(_FOLDED).split()
    return [word[:MAX_WORD_CHARS] for word in words] if len(text) > MAX_WORD_CHARS else words
