"""From views to HTML: the templates, and the words and pictures they may call.

Everything escapes by default and an unknown name is an error. What templates
cannot say safely by themselves stands here as a function: posts, names, times.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from unhush.identity.cid import Cid
from unhush.node import names
from unhush.node.keeping.sizes import MEDIA_WORDS, USUAL_BUDGET, size_text
from unhush.node.views import MediaInfo, PeerInfo, Person, Shown
from unhush.node.web import moments, rendering
from unhush.node.web.dial import draw_dial
from unhush.node.web.statics import Shelf
from unhush.storage.blobs.images import MAX_SIDE
from unhush.storage.lists import MAX_LIST_NAME_BYTES

TEMPLATES: Final = Path(__file__).parent / "templates"
# What BCP 47 tags look like; anything else would only confuse a screen reader.
MAX_LANG_CHARS: Final = 35
# The limit of a post's body, in bytes of UTF-8 (PROTOCOL §8).
MAX_POST_BYTES: Final = 49_152
MAX_PROFILE_NAME: Final = 200
MAX_BIO: Final = 5_000
MAX_PETNAME: Final = 60
# What one press says, and what else the page offers; a post can be reacted to with any emoji.
LIKE: Final = "❤️"
FEELINGS: Final = (
    ("👍", "Thumbs up"),
    ("😂", "Laughing"),
    ("😮", "Surprised"),
    ("😢", "Sad"),
    ("🎉", "Celebrating"),
    ("🙏", "Thankful"),
    ("🤔", "Thinking"),
    ("🔥", "Fire"),
)
# Fewer than a post can carry: the form stays short, and the command line takes all eight.
PICTURE_ROWS: Final = 4
MAX_ALT: Final = 1_000


class Look:
    """One server's templates, with its clock and its static names."""

    def __init__(self, shelf: Shelf, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._shelf = shelf
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            static=shelf.url,
            icon=self._icon,
            name_of=name_of,
            person_name=person_name,
            short_id=names.short_id,
            clean=names.clean_name,
            clean_lines=names.clean_text,
            lang_of=lang_of,
            size_of=size_of,
            max_alt=MAX_ALT,
            picture_rows=PICTURE_ROWS,
            body=body,
            like=LIKE,
            feelings=FEELINGS,
            dial=dial,
            plain_name=plain_name,
            size_text=size_text,
            media_words=MEDIA_WORDS,
            usual_budget=USUAL_BUDGET,
            full_time=moments.full_text,
            machine_time=moments.machine_text,
            max_post_bytes=MAX_POST_BYTES,
            max_name=MAX_PROFILE_NAME,
            max_bio=MAX_BIO,
            max_petname=MAX_PETNAME,
            max_list_name=MAX_LIST_NAME_BYTES,
        )

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock_ms() / 1000, tz=UTC).astimezone()

    def render(self, template: str, /, **values: Any) -> str:
        now = self.now()
        return self._environment.get_template(template).render(
            heading=moments.page_heading(now),
            short_time=lambda time_ms: moments.short_text(time_ms, now),
            with_headings=lambda items: list(moments.with_headings(items, now)),
            **values,
        )

    def _icon(self, name: str) -> Markup:
        return Markup('<svg class="i" aria-hidden="true"><use href="{}#{}"/></svg>').format(
            self._shelf.url("vendor/icons.svg"), name
        )


def name_of(shown: Shown) -> Markup:
    """A post's author, as the reader knows them: the petname first, isolated from the line."""
    return _name(shown.petname or shown.name, shown.account)


def person_name(person: Person) -> Markup:
    return _name(person.petname or person.name, person.account)


def plain_name(name: str, account: Cid) -> Markup:
    """Somebody by a name as it was looked up, the petname already before what they call themselves."""
    return _name(name, account)


def _name(name: str, account: Cid) -> Markup:
    cleaned = names.clean_name(name)
    if not cleaned:
        return Markup('<bdi>someone <span class="id">…{}</span></bdi>').format(names.short_id(account))
    return Markup("<bdi>{}</bdi>").format(cleaned)


def lang_of(shown: Shown) -> Markup:
    """The ``lang`` attribute of a post, if its author named a well-formed one."""
    lang = shown.lang or ""
    is_tag = len(lang) <= MAX_LANG_CHARS and all(part.isascii() and part.isalnum() for part in lang.split("-"))
    return Markup(' lang="{}"').format(lang) if lang and is_tag else Markup("")


def size_of(item: MediaInfo) -> Markup:
    """The room a picture takes, if its author named a likely one; the style sheet bounds it."""
    width, height = item.width, item.height
    if not width or not height or max(width, height) > MAX_SIDE:
        return Markup("")
    return Markup(' width="{}" height="{}"').format(width, height)


def body(shown: Shown, *, is_whole: bool) -> tuple[Markup, bool]:
    """A post's text as HTML, and whether it was cut short."""
    text, is_cut = (shown.text, False) if is_whole else rendering.excerpt(shown.text)
    return rendering.render(text), is_cut


def dial(me: Cid | None, peers: tuple[PeerInfo, ...]) -> Markup:
    return Markup(draw_dial(me, peers))  # noqa: S704 - numbers of our own drawing; no text of a stranger
