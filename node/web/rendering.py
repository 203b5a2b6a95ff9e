"""Posts as HTML: CommonMark without raw HTML, then a sanitiser that trusts nothing before it.

Two walls, each whole by itself. The renderer never passes markup through and
keeps only links to the web; the sanitiser (ammonia) parses what came out as a
browser would and lets through a short list of tags, ``href`` and ``start``.
Nothing is fetched when a post is read: a picture in a post becomes a link.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup

from unhush.node.names import clean_text

TAGS: Final = {
    "a", "blockquote", "br", "code", "em", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong", "ul",
}  # fmt: skip
# The empty star matters: without it the sanitiser lets ``title`` and ``lang`` through on every tag.
ATTRIBUTES: Final[dict[str, set[str]]] = {"*": set(), "a": {"href"}, "ol": {"start"}}
LINK_REL: Final = "noopener noreferrer nofollow ugc"
# Longer than any address people pass on by hand; bounds what a link can hide.
MAX_URL_CHARS: Final = 2048
# Deeper nesting is drawn as text: quotes twenty deep say nothing more.
MAX_NESTING: Final = 20
# In a list a long post is cut here, at a line or a word; its own page has it whole.
EXCERPT_CHARS: Final = 1100
# Rendered posts kept for the next view: at most 256 × 48 KiB of text and twice that of HTML.
CACHED_POSTS: Final = 256

_BARE_URL: Final = re.compile(r"https?://[^\s<>\"'`{}|\\^]{1,2048}", re.IGNORECASE)
_TRAILING: Final = ".,;:!?…*_~'\"»”’"
_LOOKS_LIKE_HOST: Final = re.compile(r"(?:https?://)?((?:[\w-]{1,63}\.){1,8}[a-z]{2,24})(?![\w@.-])", re.IGNORECASE)


def render(text: str, *, top_heading: int = 3) -> Markup:
    """A post's text as safe HTML; its headings begin at level ``top_heading``."""
    return Markup(_rendered(text, top_heading))  # noqa: S704 - the sanitiser's output


def excerpt(text: str) -> tuple[str, bool]:
    """The beginning of a text, and whether anything was left off."""
    if len(text) <= EXCERPT_CHARS + 200:  # a cut that saves two lines only annoys
        return text, False
    head = text[:EXCERPT_CHARS]
    for mark in ("\n\n", "\n", " "):
        if (at := head.rfind(mark)) > EXCERPT_CHARS // 2:
            head = head[:at]
            break
    return head.rstrip() + " …", True


def is_web_address(url: str) -> bool:
    """Whether a link may lead there: http or https, a host, and nobody's name before it."""
    if len(url) > MAX_URL_CHARS or not url.lower().startswith(("http://", "https://")):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


@lru_cache(maxsize=CACHED_POSTS)
def _rendered(text: str, top_heading: int) -> str:
    html = _MARKDOWN.render(clean_text(text), {"top_heading": top_heading})
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https"},
        url_relative="deny",
        link_rel=LINK_REL,
        set_tag_attribute_values={"pre": {"tabindex": "0"}},  # what scrolls sideways can be reached by keys
    )


def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": MAX_NESTING})
    markdown.core.ruler.after("inline", "unhush", _tame)
    return markdown


def _tame(state: StateCore) -> None:
    """Headings sink below the page's own; links and pictures become safe links or plain text."""
    top = state.env.get("top_heading", 3)
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) - 1 + top, 6)}"
        elif token.type == "inline" and token.children:
            token.children = list(_tamed(token.children))


def _tamed(tokens: Sequence[Token]) -> Iterator[Token]:
    href: str | None = None  # of the link we stand in
    said = ""
    for token in tokens:
        match token.type:
            case "link_open":
                target = str(token.attrGet("href") or "")
                if is_web_address(target):
                    href, said = target, ""
                    yield token
            case "link_close":
                if href is not None:
                    yield token
                    yield from _true_host(said, href)
                href = None
            case "image":
                words = _words_of(token)
                said += words
                source = str(token.attrGet("src") or "")
                if href is None and is_web_address(source):
                    yield from _link(source, f"picture: {words}" if words else "picture")
                else:
                    yield _text(words)
            case "text" if href is None:
                yield from _with_links(token.content)
            case _:
                said += token.content
                yield token


def _true_host(said: str, href: str) -> Iterator[Token]:
    """When a link's words name another site than it leads to, the true one stands behind it."""
    host = (urlsplit(href).hostname or "").removeprefix("www.")
    named = _LOOKS_LIKE_HOST.match(said.strip())
    if named and named[1].lower().removeprefix("www.") != host:
        yield _text(f" ({host})")


def _with_links(text: str) -> Iterator[Token]:
    at = 0
    for match in _BARE_URL.finditer(text):
        url = match[0].rstrip(_TRAILING)
        while url.endswith(")") and url.count(")") > url.count("("):
            url = url[:-1].rstrip(_TRAILING)
        if is_web_address(url):
            yield _text(text[at : match.start()])
            yield from _link(url, url)
            at = match.start() + len(url)
    yield _text(text[at:])


def _link(href: str, words: str) -> Iterator[Token]:
    yield Token("link_open", "a", 1, attrs={"href": href})
    yield _text(words)
    yield Token("link_close", "a", -1)


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _words_of(image: Token) -> str:
    return "".join(_words_of(child) if child.children else child.content for child in image.children or ())


_MARKDOWN: Final = _markdown()
