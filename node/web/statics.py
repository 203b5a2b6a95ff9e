"""Style sheets, script, icons and fonts, read once and served under names that carry their hash.

A name changes with its content, so browsers may keep a file for ever. Only what
was found here at start can be asked for: no path of a request reaches a disk.
"""

import gzip
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"
SHEETS: Final = ("tokens", "base", "layout", "components")
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
CACHE: Final = "public, max-age=31536000, immutable"
_CSS_URL: Final = re.compile(r'url\("([\w./-]+)"\)')


@dataclass(frozen=True, slots=True)
class StaticFile:
    """Bytes as they go out; ``zipped`` for whoever takes that, where it is shorter."""

    content: bytes
    zipped: bytes | None
    content_type: str


class Shelf:
    """Every static file by the name it is served under."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files: dict[str, StaticFile] = {}
        self._names: dict[str, str] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix in TYPES and path.suffix != ".css":
                self._put(path.relative_to(folder).as_posix(), path.read_bytes())
        sheets = "".join((folder / "css" / f"{name}.css").read_text() for name in SHEETS)
        # One sheet for four: their order is their meaning (cascade layers), and a page waits once.
        self._put("unhush.css", _CSS_URL.sub(lambda found: f'url("{self.url(found[1])}")', sheets).encode())

    def url(self, name: str) -> str:
        """Where a file of the static folder is served."""
        return f"/static/{self._names[name]}"

    def find(self, served_name: str) -> StaticFile | None:
        return self._files.get(served_name)

    def _put(self, name: str, content: bytes) -> None:
        plain = Path(name)
        served = f"{plain.stem}.{sha256(content).hexdigest()[:12]}{plain.suffix}"
        self._names[name] = served
        zipped = gzip.compress(content, mtime=0)
        self._files[served] = StaticFile(content, zipped if len(zipped) < len(content) else None, TYPES[plain.suffix])
