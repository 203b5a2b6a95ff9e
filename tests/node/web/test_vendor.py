"""What stands in ``static/vendor`` is what the manifest says, and what the lock file pins."""

import json
import runpy
import sys
from hashlib import sha256
from pathlib import Path

import pytest

WEB = Path(__file__).parents[3] / "node" / "web"
VENDOR = WEB / "static" / "vendor"
ASSETS = WEB / "assets"


def test_every_vendored_file_is_the_one_in_the_manifest() -> None:
    entries = json.loads((VENDOR / "manifest.json").read_text())["files"]
    assert {entry["file"] for entry in entries} == {
        path.name for path in VENDOR.iterdir() if path.is_file() and path.name != "manifest.json"
    }
    for entry in entries:
        content = (VENDOR / entry["file"]).read_bytes()
        assert (sha256(content).hexdigest(), len(content)) == (entry["sha256"], entry["size_bytes"])
        licence = (VENDOR / "licences" / f"{entry['package'].rpartition('/')[2]}.txt").read_text()
        assert entry["licence"] in ("OFL-1.1", "ISC")
        assert "Copyright" in licence


def test_versions_are_pinned_and_the_lock_names_no_address() -> None:
    wanted = json.loads((ASSETS / "package.json").read_text())["dependencies"]
    lock = json.loads((ASSETS / "package-lock.json").read_text())["packages"]
    entries = json.loads((VENDOR / "manifest.json").read_text())["files"]
    for entry in entries:
        locked = lock[f"node_modules/{entry['package']}"]
        assert wanted[entry["package"]] == locked["version"] == entry["version"]
        assert locked["integrity"]
    assert "http" not in "".join(str(package.get("resolved", "")) for package in lock.values())


def test_vendoring_again_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ASSETS / "node_modules").is_dir():
        pytest.skip("the npm packages are not installed: npm ci --ignore-scripts in node/web/assets")
    monkeypatch.setattr(sys, "argv", ["vendor.py", str(tmp_path)])
    runpy.run_path(str(ASSETS / "vendor.py"), run_name="__main__")
    ours, again = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (VENDOR, tmp_path)
    )
    assert ours == again
