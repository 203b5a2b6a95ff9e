"""Copy the fonts and icons the page uses from their npm packages into ``static/vendor/``.

    npm ci --ignore-scripts && python vendor.py          (in this folder)

The packages are pinned by ``package-lock.json``; the result is committed, so
nobody needs npm to install or run. Running it again changes nothing, and a
test says so. ``manifest.json`` names every file with its package, version,
licence and sha256.
"""

import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
PACKAGES: Final = HERE / "node_modules"
VENDOR: Final = HERE.parent / "static" / "vendor"

FONTS: Final = {
    "atkinson.woff2": ("atkinson-hyperlegible-next", "atkinson-hyperlegible-next-latin-wght-normal.woff2"),
    "atkinson-italic.woff2": ("atkinson-hyperlegible-next", "atkinson-hyperlegible-next-latin-wght-italic.woff2"),
    "atkinson-mono.woff2": ("atkinson-hyperlegible-mono", "atkinson-hyperlegible-mono-latin-wght-normal.woff2"),
    "bricolage.woff2": ("bricolage-grotesque", "bricolage-grotesque-latin-wght-normal.woff2"),
    "newsreader.woff2": ("newsreader", "newsreader-latin-wght-normal.woff2"),
}
ICONS: Final = (
    "bell",
    "copy",
    "corner-up-left",
    "heart",
    "house",
    "key-round",
    "message-circle",
    "pen-line",
    "quote",
    "radio-tower",
    "repeat-2",
    "shield-check",
    "smile-plus",
    "trash-2",
    "triangle-alert",
    "user",
    "users",
)


def main(target: Path = VENDOR) -> None:
    licences = target / "licences"
    licences.mkdir(parents=True, exist_ok=True)
    files = []
    for name, (package, source) in FONTS.items():
        full = f"@fontsource-variable/{package}"
        content = (PACKAGES / full / "files" / source).read_bytes()
        (target / name).write_bytes(content)
        files.append(_entry(name, full, content))
        (licences / f"{package}.txt").write_text(_licence(full))
    sprite = _sprite().encode()
    (target / "icons.svg").write_bytes(sprite)
    files.append(_entry("icons.svg", "lucide-static", sprite))
    (licences / "lucide-static.txt").write_text(_licence("lucide-static"))
    manifest = {"files": sorted(files, key=lambda entry: entry["file"])}
    (target / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _entry(name: str, package: str, content: bytes) -> dict[str, Any]:
    about = json.loads((PACKAGES / package / "package.json").read_text())
    return {
        "file": name,
        "package": package,
        "version": about["version"],
        "licence": about["license"],
        "sha256": sha256(content).hexdigest(),
        "size_bytes": len(content),
    }


def _licence(package: str) -> str:
    return (PACKAGES / package / "LICENSE").read_text().replace("\r\n", "\n").rstrip() + "\n"


def _sprite() -> str:
    symbols = []
    for icon in ICONS:
        svg = (PACKAGES / "lucide-static" / "icons" / f"{icon}.svg").read_text()
        inner = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$", "", svg, flags=re.DOTALL)
        shapes = re.sub(r"\s+", " ", inner).strip()
        symbols.append(f'<symbol id="{icon}" viewBox="0 0 24 24">{shapes}</symbol>\n')
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{"".join(symbols)}</svg>\n'


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else VENDOR)
