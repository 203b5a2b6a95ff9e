"""What stands above the text of a post: its title, what to be warned of, the language it is in.

What we write is stricter than what we read: a stranger's tag of a language may
be anything short, ours is one.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from unhush.node.errors import MalformedRecord
from unhush.node.names import clean_name
from unhush.storage.kinds import Post
from unhush.storage.kinds.fields import check_text
from unhush.storage.kinds.posts import MAX_LANG_BYTES, MAX_TITLE_BYTES

# A well-formed tag (RFC 5646 §2.1). Its few "irregular" ones are older than this grammar and all have better names.
_LANGUAGE: Final = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})"  # a language
    r"(?:-[a-z]{4})?"  # a script
    r"(?:-(?:[a-z]{2}|[0-9]{3}))?"  # a region
    r"(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"  # variants
    r"(?:-[a-wy-z0-9](?:-[a-z0-9]{2,8})+)*"  # extensions
    r"(?:-x(?:-[a-z0-9]{1,8})+)?"  # for private use
    r"|x(?:-[a-z0-9]{1,8})+",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Heading:
    """None says nothing of a part: a new post has none of it, an edited one keeps it. An empty one takes it away.

    ``lang`` is a language tag (BCP 47). Raises ``MalformedRecord``.
    """

    title: str | None = None
    warning: str | None = None
    lang: str | None = None

    def __post_init__(self) -> None:
        for name, line in (("title", self.title), ("warning", self.warning)):
            if line:
                check_text(name, line, MAX_TITLE_BYTES)
                if line.splitlines() != [line] or not clean_name(line):
                    raise MalformedRecord(f"a {name} is one line with something to see in it, not {line[:60]!r}")
        if self.lang:
            check_text("lang", self.lang, MAX_LANG_BYTES)
            if not _LANGUAGE.fullmatch(self.lang):
                raise MalformedRecord(f"{self.lang!r} is no tag of a language (BCP 47), as en, pt-BR or zh-Hant are")

    def above(self, post: Post) -> Post:
        """A post with this heading."""
        return replace(
            post,
            title=_either(self.title, post.title),
            warning=_either(self.warning, post.warning),
            lang=_either(self.lang, post.lang),
        )


def _either(said: str | None, now: str | None) -> str | None:
    return now if said is None else said or None


NO_HEADING: Final = Heading()
