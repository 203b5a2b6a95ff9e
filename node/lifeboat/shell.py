"""The page around the data: style, markup and program, the same in every lifeboat this version writes.

The program is the modules in ``page/``, one behind the other, and the vendored
library; nothing is built. What runs and what styles is named by its hash in the
content security policy, and nothing may be fetched. The file says nothing about
the account but what ``<noscript>`` repeats of the list of contents: all that is
shown is drawn from what passed the check.
"""

import re
from base64 import b64encode
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from unhush.identity.words import fingerprint
from unhush.node.lifeboat.form import Contents

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

PAGE: Final = Path(__file__).parent / "page"
STATIC: Final = Path(__file__).parents[1] / "web" / "static"
# In the order in which they stand: each uses only what stands before it.
CORE: Final = ("bytes", "cbor", "keys", "entry", "operations", "trunk", "kinds", "unpack", "check")
SHOWING: Final = ("sigil", "markdown", "moments", "show", "main")
SHEETS: Final = ("tokens", "base", "layout", "components")
_CSS_URL: Final = re.compile(r'url\("vendor/([\w.-]+)"\)')
# Either would end the script, or begin one inside it, for whoever parses the file.
_BREAKS_OUT: Final = re.compile(r"</?script", re.IGNORECASE)
_LOGO: Final = (
    '<svg viewBox="0 0 100 100" aria-hidden="true"><circle class="arcs" cx="50" cy="50" r="41" '
    'stroke-dasharray="29 7.8" transform="rotate(-84 50 50)"/><circle cx="50" cy="50" r="19" '
    'fill="currentColor"/></svg>'
)


class Shell(NamedTuple):
    """What stands before and behind the data of a file."""

    before: bytes
    behind: bytes


def modules_source(modules: tuple[str, ...] = CORE) -> str:
    """The library, the word list and these modules, as they stand in the program."""
    from mnemonic import Mnemonic  # lazy: as in ``identity/words.py``

    library = (PAGE / "vendor" / "library.js").read_text()
    words = f'const WORDS = "{" ".join(Mnemonic("english").wordlist)}".split(" ");\n'
    return "\n".join((library, words, *((PAGE / f"{name}.js").read_text() for name in modules)))


@cache
def _program() -> str:
    source = f'(() => {{\n"use strict";\n{modules_source((*CORE, *SHOWING))}}})();\n'
    assert not _BREAKS_OUT.search(source)
    return source


@cache
def _style() -> str:
    sheets = [*(STATIC / "css" / f"{name}.css" for name in SHEETS), PAGE / "lifeboat.css"]
    return _CSS_URL.sub(lambda found: f'url("{_font(found[1])}")', "".join(sheet.read_text() for sheet in sheets))


def _font(name: str) -> str:
    return f"data:font/woff2;base64,{b64encode((STATIC / 'vendor' / name).read_bytes()).decode()}"


@cache
def _licences() -> str:
    found = [*(STATIC / "vendor" / "licences").glob("*.txt"), *(PAGE / "vendor" / "licences").glob("*.txt")]
    return "\n".join(f"== {path.stem} ==\n\n{path.read_text()}" for path in sorted(found, key=lambda path: path.name))


@cache
def _icons() -> str:
    sprite = (STATIC / "vendor" / "icons.svg").read_text()
    return sprite.replace("<svg ", '<svg hidden aria-hidden="true" ', 1).strip()


def hash_of(text: str) -> str:
    """As a content security policy names what may run."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def build_shell(contents: Contents, version: str) -> Shell:
    """The page of a file with these contents, as this version writes it."""
    behind = _template("end.j2").render(
        contents=contents,
        account=str(contents.account),
        words=" ".join(fingerprint(contents.account.digest)),
        made=_day_of(contents.made),
        licences=_own(_licences()),
        program=_own(_program()),
    )
    return Shell(_before(version), behind.encode() + b"\n")


@cache
def _before(version: str) -> bytes:
    program, style = _program(), _style()
    values = {"program_hash": hash_of(program), "style_hash": hash_of(style), "style": style, "icons": _icons()}
    return (
        _template("shell.j2")
        .render(version=version, logo=_own(_LOGO), **{name: _own(text) for name, text in values.items()})
        .encode()
    )


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # lazy: only who makes or checks a file waits

    return Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined).get_template(name)


def _own(text: str) -> "Markup":
    """Text out of our own files, that stands in the page as it is."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


def _day_of(time_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, tz=UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return "undated"
