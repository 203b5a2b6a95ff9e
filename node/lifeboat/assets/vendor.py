"""Bundle the libraries of the lifeboat page from their npm packages into ``page/vendor/library.js``.

    npm ci --ignore-scripts && python vendor.py          (in this folder)

The packages are pinned by ``package-lock.json``; the result is committed, so
nobody needs npm or the bundler to install, to run or to make a lifeboat. Running
it again changes nothing, and a test says so. ``manifest.json`` names every
package in the bundle with its version and licence, and the bundle's sha256.
"""

import json
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
PACKAGES: Final = HERE / "node_modules"
VENDOR: Final = HERE.parent / "page" / "vendor"
BUNDLER: Final = PACKAGES / ".bin" / "esbuild"
NAME: Final = "library.js"
# Browsers that can unpack a lifeboat at all (``DecompressionStream``) have all of this.
OLDEST: Final = "es2022"


def main(target: Path = VENDOR) -> None:
    licences = target / "licences"
    licences.mkdir(parents=True, exist_ok=True)
    code, packages = _bundle()
    (target / NAME).write_bytes(code)
    about = []
    for package in packages:
        (licences / f"{package.rpartition('/')[2]}.txt").write_text(_licence(package))
        details = json.loads((PACKAGES / package / "package.json").read_text())
        about.append({"package": package, "version": details["version"], "licence": details["license"]})
    manifest = {"file": NAME, "sha256": sha256(code).hexdigest(), "size_bytes": len(code), "packages": about}
    (target / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _bundle() -> tuple[bytes, list[str]]:
    """The bundle, and the packages of which something is in it."""
    with tempfile.TemporaryDirectory() as folder:
        made, notes = Path(folder, NAME), Path(folder, "notes.json")
        options = ["--bundle", "--minify", "--format=iife", "--global-name=library", "--charset=utf8"]
        options += [f"--target={OLDEST}", "--legal-comments=none", f"--metafile={notes}", f"--outfile={made}"]
        subprocess.run([str(BUNDLER), "library.js", *options, "--log-level=warning"], cwd=HERE, check=True)
        code = made.read_bytes()
        (output,) = json.loads(notes.read_text())["outputs"].values()
    used = [source for source, part in output["inputs"].items() if part["bytesInOutput"]]
    return code, sorted({_package_of(source) for source in used if source.startswith("node_modules/")})


def _package_of(source: str) -> str:
    parts = source.split("/")[1:]
    return "/".join(parts[:2] if parts[0].startswith("@") else parts[:1])


def _licence(package: str) -> str:
    found = min(path for path in (PACKAGES / package).glob("LICENSE*"))
    return found.read_text().replace("\r\n", "\n").rstrip() + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else VENDOR)
