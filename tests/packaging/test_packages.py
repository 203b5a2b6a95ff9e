"""What is packed: everything the five packages are made of, by way of the sdist, and nothing else."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("node", "identity", "gossip", "storage", "cli")
PATIENCE_S = 100.0


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist alone, as an installer would where there is no wheel."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def build(kind: str, source: Path, into: Path) -> Path:
    """Hatchling itself, so nothing is fetched."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(into)],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    (built,) = into.iterdir()
    return built


def ours(*folders: str) -> set[str]:
    """Files that belong to the project: tracked, or new and not ignored; a checkout without git is not tested."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders],
        cwd=ROOT,
        check=False,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    if listed.returncode:
        pytest.skip("this is no git checkout, so there is no list to compare with")
    names = set(listed.stdout.decode().split("\0")) - {""}
    return {name for name in names if (ROOT / name).is_file()}  # deleted and not committed yet


def packed(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_made_of_the_sdist_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    expected = {f"unhush/{name}" for name in ours(*PACKAGES)}
    expected |= {name.removeprefix("src/") for name in ours("src/unhush")}  # links are no files
    assert {"unhush/__init__.py", "unhush/py.typed"} <= expected

    assert packed(wheel) == expected
    suffixes = {Path(name).suffix for name in expected}
    assert suffixes >= {".py", ".j2", ".css", ".js"}  # the page is part of it


def test_the_sdist_holds_the_tests_and_the_papers_too(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if not member.isdir()}

    papers = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"}
    assert names >= ours(*PACKAGES) | {path for path in papers if (ROOT / path).is_file()}
    assert names >= {name for name in ours("tests") if name.endswith(".py")}
    assert not any("__pycache__" in name or name.startswith(".venv") for name in names)
    assert not any(name.startswith(tuple(f"src/unhush/{package}/" for package in PACKAGES)) for name in names)


def test_the_wheel_names_the_command_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" in name]
        points = next(name for name in names if name.endswith("entry_points.txt"))
        assert archive.read(points).decode().split() == ["[console_scripts]", "unhush", "=", "unhush.cli.main:main"]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_packed_program_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Its own files only: the folder comes first on the path, and where things were found is asked."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import unhush, unhush.cli.main, unhush.node.service.running, unhush.node.web.server\n"
        "from unhush.node import Config, Node, found_account\n"
        "from pathlib import Path\n"
        "home = Path(sys.argv[2]); found_account(Config(home), 'Ann')\n"
        "with unhush.Node.open(home) as node: print(node.post('packed').text)\n"
        "print(*sorted({module.__file__ for name, module in sys.modules.items()"
        " if name.partition('.')[0] == 'unhush' and getattr(module, '__file__', None)}), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path / "site"), str(tmp_path / "home")],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    said, *files = done.stdout.splitlines()
    assert said == "packed"
    assert len(files) > 20
    assert {file for file in files if not file.startswith(str(tmp_path / "site"))} == set()
