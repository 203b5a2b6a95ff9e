"""Text by strangers, made fit to stand in a line of ours.

A name may hold anything its owner signed: controls that hide, marks that turn
the line around, letters of another script that look like somebody else. What
is invisible goes; what looks like a person the reader follows is said to.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from unhush.identity.cid import Cid
from unhush.node.views import Person

# The longest legal name is 200 characters; a legal one is shown whole and clipped by the style sheet.
MAX_NAME_CHARS: Final = 200
# Three marks carry every living orthography we know of; more is a tower that paints over its neighbours.
MAX_MARKS: Final = 3
# Joiners shape emoji and Persian; every other format character only hides or turns text.
JOINERS: Final = frozenset("\u200c\u200d")
# Embeddings, overrides and isolates reach past the text they stand in.
BIDI_REACHING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufff9-\ufffb\ufeff]")
_MARK: Final = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
MARKS: Final = re.compile(f"({_MARK}{{{MAX_MARKS}}}){_MARK}+")

# Letters commonly drawn alike, folded to one; a small table for a small promise ("looks like").
LOOK_ALIKES: Final = str.maketrans(
    {
        "а": "a",
        "в": "b",
        "с": "c",
        "ԁ": "d",
        "е": "e",
        "һ": "h",
        "і": "l",
        "ј": "j",
        "к": "k",
        "ӏ": "l",
        "м": "m",
        "н": "h",
        "о": "o",
        "р": "p",
        "ԛ": "q",
        "ѕ": "s",
        "т": "t",
        "у": "y",
        "ԝ": "w",
        "х": "x",
        "α": "a",
        "β": "b",
        "ι": "l",
        "κ": "k",
        "ν": "v",
        "ο": "o",
        "ρ": "p",
        "τ": "t",
        "υ": "u",
        "χ": "x",
        "ɡ": "g",
        "ı": "l",
        "i": "l",
        "1": "l",
        "|": "l",
        "0": "o",
        "3": "e",
        "5": "s",
        "$": "s",
        "@": "a",
    }
)


def clean_name(text: str) -> str:
    """One line, nothing invisible but joiners, at most ``MAX_NAME_CHARS``; may come out empty."""
    kept = (
        " " if unicodedata.category(char) in ("Zs", "Zl", "Zp") or char in "\n\t\r" else char
        for char in unicodedata.normalize("NFC", text[: 2 * MAX_NAME_CHARS])
        if char in JOINERS or char in "\n\t\r" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co")
    )
    line = MARKS.sub(r"\1", " ".join("".join(kept).split()))[:MAX_NAME_CHARS]
    return line if line.strip("\u200c\u200d ") else ""


def clean_text(text: str) -> str:
    """Prose with its lines and tabs, without controls and reaching bidi marks."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n\n")
    return MARKS.sub(r"\1", BIDI_REACHING.sub("", CONTROLS.sub("", lines)))


def short_id(account: Cid) -> str:
    """The last letters of an account id: enough to tell two apart at a glance, not to verify."""
    return str(account)[-6:]


def skeleton(name: str) -> str:
    """A name with what the eye skips folded away; equal skeletons look alike."""
    folded = unicodedata.normalize("NFKD", clean_name(name)).casefold()
    bare = "".join(char for char in folded if not unicodedata.combining(char))
    joined = bare.translate(LOOK_ALIKES).replace("rn", "m").replace("vv", "w")
    return "".join(char for char in joined if char.isalnum())


class LookAlikes:
    """The names a reader knows, to be held against the names of strangers."""

    def __init__(self, known: Iterable[Person]) -> None:
        self._known: dict[str, tuple[Cid, str]] = {}
        self._accounts: set[Cid] = set()
        for person in known:
            self._accounts.add(person.account)
            for name in (person.petname, person.name):
                if name and (folded := skeleton(name)):
                    self._known.setdefault(folded, (person.account, clean_name(name)))

    def find(self, account: Cid, name: str) -> str | None:
        """The name of a person the reader knows which this stranger's name imitates."""
        if account in self._accounts:
            return None
        match self._known.get(skeleton(name)):
            case None:
                return None
            case (_, known):
                return known
