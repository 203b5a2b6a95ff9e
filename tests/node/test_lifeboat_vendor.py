"""What stands in the library of a lifeboat is what its manifest says, and what the lock file pins."""

import json
import runpy
import sys
from hashlib import sha256
from pathlib import Path

import pytest

LIFEBOAT = Path(__file__).parents[2] / "node" / "lifeboat"
VENDOR = LIFEBOAT / "page" / "vendor"
ASSETS = LIFEBOAT / "assets"


def test_the_library_is_the_one_in_the_manifest_and_every_part_has_its_licence() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text())
    content = (VENDOR / manifest["file"]).read_bytes()
    assert (sha256(content).hexdigest(), len(content)) == (manifest["sha256"], manifest["size_bytes"])
    for part in manifest["packages"]:
        assert part["licence"] in ("MIT", "BSD-2-Clause", "(MPL-2.0 OR Apache-2.0)")
        licence = (VENDOR / "licences" / f"{part['package'].rpartition('/')[2]}.txt").read_text()
        assert "Copyright" in licence or "Apache License" in licence


def test_versions_are_pinned_and_the_lock_names_no_address() -> None:
    wanted = json.loads((ASSETS / "package.json").read_text())["dependencies"]
    lock = json.loads((ASSETS / "package-lock.json").read_text())["packages"]
    for part in json.loads((VENDOR / "manifest.json").read_text())["packages"]:
        locked = lock[f"node_modules/{part['package']}"]
        assert locked["version"] == part["version"]
        assert wanted.get(part["package"], part["version"]) == part["version"]
        assert locked["integrity"]
    assert "http" not in "".join(str(package.get("resolved", "")) for package in lock.values())


def test_bundling_again_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ASSETS / "node_modules").is_dir():
        pytest.skip("the npm packages are not installed: npm ci --ignore-scripts in node/lifeboat/assets")
    monkeypatch.setattr(sys, "argv", ["vendor.py", str(tmp_path)])
    runpy.run_path(str(ASSETS / "vendor.py"), run_name="__main__")
    ours, again = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (VENDOR, tmp_path)
    )
    assert ours == again
