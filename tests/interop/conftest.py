"""Programs of others, to be met: node itself, and packages from npm as the lock files beside the tests name them."""

import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_S = 90


def node_with_packages(folder: Path) -> str:
    """The path of node, with the packages of the folder's lock file installed; skips the test where that cannot be."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        pytest.skip("node and npm are not installed here")
    installed, lock = folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        try:
            subprocess.run(
                [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"],
                cwd=folder,
                capture_output=True,
                check=True,
                text=True,
                timeout=INSTALL_S,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
            pytest.skip(f"npm ci found no packages to install: {str(exc.stderr or exc).strip()[-200:]}")
    return found


@pytest.fixture(scope="session")
def node_for_car() -> str:
    """Node, with the IPLD project's packages."""
    return node_with_packages(Path(__file__).parent)


@pytest.fixture(scope="session")
def node_for_libp2p() -> str:
    """Node, with js-libp2p."""
    return node_with_packages(Path(__file__).parent / "libp2p")
