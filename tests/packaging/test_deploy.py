"""What is in ``deploy/`` fits what is in the house: paths exist, commands and options are real, units are sound.

A unit file or an image is read by nobody until the night it is needed; so every name in them is looked up here.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest

from unhush.cli.main import COMMANDS, unhush_command
from unhush.node.keeping.sizes import parse_budget, parse_media, parse_share
from unhush.node.service.metrics import NAMES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service")) + sorted(DEPLOY.glob("*.timer"))
BINARY = "/opt/unhush/bin/unhush"
SPECIFIERS = {"%d": "/run/credentials", "%%": "%"}
PATIENCE_S = 30.0


def unit(path: Path) -> dict[str, list[tuple[str, str]]]:
    """The sections of a unit, with every line of a key that stands there more than once."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in path.read_text().splitlines():
        if line.startswith("[") and line.endswith("]"):
            sections[line[1:-1]] = []
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            list(sections.values())[-1].append((key, value))
    return sections


def values(path: Path, section: str, key: str) -> list[str]:
    return [value for name, value in unit(path)[section] if name == key]


def check_command(arguments: list[str]) -> None:
    """The arguments of ``unhush``, parsed by the program itself and not run."""
    top = unhush_command.make_context("unhush", list(arguments), resilient_parsing=False)
    rest = [*top._protected_args, *top.args]
    assert rest[0] in COMMANDS, rest
    command = unhush_command.get_command(top, rest[0])
    assert command is not None
    command.make_context(rest[0], rest[1:], parent=top)


def commands_in(line: str) -> list[list[str]]:
    """Every call of ``unhush`` in a line of a unit, with its variables and specifiers filled in."""
    for name, value in SPECIFIERS.items():
        line = line.replace(name, value)
    words = shlex.split(line)
    if words[0] == "/bin/sh":
        inner = re.sub(r"\$\$\([^)]*\)", "today", words[2]).removeprefix("exec ")
        words = shlex.split(inner)
    return [words[1:]] if words[0] == BINARY else []


def environment(path: Path) -> dict[str, str]:
    pairs = (word.partition("=") for line in values(path, "Service", "Environment") for word in line.split())
    return {name: value for name, _, value in pairs}


def test_every_command_of_the_units_is_one_that_the_program_takes() -> None:
    seen = []
    for path in sorted(DEPLOY.glob("*.service")):
        known = environment(path)
        for line in values(path, "Service", "ExecStart"):
            filled = re.sub(r"\$\{(\w+)\}", lambda found, known=known: known[found[1]], line)
            for arguments in commands_in(filled):
                check_command(arguments)
                seen.append(next(word for word in arguments if word in COMMANDS))
    assert sorted(seen) == ["backup", "keep", "run"]


def test_the_settings_of_the_list_are_values_that_keep_takes() -> None:
    known = environment(DEPLOY / "unhush-keep.service")
    share = parse_share(known["UNHUSH_SHARE"])
    assert (share.index, share.of) == (0, 1)
    assert parse_budget(known["UNHUSH_BUDGET"]) == 2**30
    assert parse_media(known["UNHUSH_MEDIA"]).value == "90d"


def test_units_name_programs_that_are_there_and_share_one_home() -> None:
    homes = set()
    for path in sorted(DEPLOY.glob("*.service")):
        for key in ("ExecStart", "ExecStartPre", "ExecStartPost"):
            for line in values(path, "Service", key):
                program = line.split()[0]
                assert program == BINARY or os.access(program, os.X_OK), (path.name, program)
        homes.add(environment(path)["UNHUSH_HOME"])
        assert values(path, "Service", "User") == ["unhush"]
        assert f"/var/lib/{values(path, 'Service', 'StateDirectory')[0]}/" in environment(path)["UNHUSH_HOME"]
    assert len(homes) == 1


def test_every_timer_has_its_service() -> None:
    for path in DEPLOY.glob("*.timer"):
        assert path.with_suffix(".service").is_file()
        assert values(path, "Install", "WantedBy") == ["timers.target"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        # The program is not installed here; any that is will do.
        (tmp_path / path.name).write_text(path.read_text().replace(BINARY, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "unhush" in line]
    assert ours == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_the_node_is_shut_in() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(DEPLOY / "unhush.service")],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    found = re.search(r"exposure level for unhush\.service: (\d+\.\d)", done.stdout)
    if found is None:
        pytest.skip("this systemd-analyze cannot look at a file")
    assert float(found[1]) < 2.0


# -- the image


def dockerfile() -> list[tuple[str, str]]:
    """Each instruction and what follows it, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def listed(value: str) -> list[str]:
    words = json.loads(value)
    assert isinstance(words, list)
    return words


def copied() -> list[str]:
    """What of the tree goes into the image."""
    found = [value.split()[:-1] for name, value in dockerfile() if name == "COPY" and not value.startswith("--from=")]
    return [source for sources in found for source in sources]


def test_what_the_image_is_made_of_is_there_and_is_enough(tmp_path: Path) -> None:
    """As the image is built, without an image: hatchling on nothing but what is copied."""
    for source in copied():
        whole = ROOT / source
        if whole.is_dir():
            leave = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(whole, tmp_path / source, symlinks=True, ignore=leave)
        else:
            shutil.copy(whole, tmp_path / source)
    assert "requirements.lock" in copied()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "dist")],
        cwd=tmp_path, check=True, capture_output=True, timeout=100,
    )  # fmt: skip
    (wheel,) = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    for needed in ("cli/main.py", "cli/keeping.py", "node/web/templates/kept.j2", "storage/store.py", "__init__.py"):
        assert f"unhush/{needed}" in packed, needed


def test_the_image_runs_a_command_the_program_takes_as_nobody_special() -> None:
    said = dict(dockerfile())
    assert listed(said["ENTRYPOINT"]) == ["unhush"]
    check_command(listed(said["CMD"]))
    assert said["USER"] == "unhush"
    assert said["VOLUME"] in said["ENV"]
    assert said["STOPSIGNAL"] == "SIGTERM"


def test_the_image_needs_a_python_the_project_takes() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    versions = set(re.findall(r"^FROM python:(3\.\d+)-", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE))
    (version,) = versions
    assert f"Python :: {version}" in project


# -- what is watched


def test_every_figure_an_alert_looks_at_is_one_the_node_has() -> None:
    asked = set(re.findall(r"\bunhush_\w+", (DEPLOY / "alerts.yml").read_text()))
    assert asked
    assert asked <= NAMES


def test_the_manual_names_every_file_and_every_figure() -> None:
    manual = (ROOT / "docs" / "keeping.md").read_text()
    for path in DEPLOY.iterdir():
        assert path.name in manual, path.name
    for name in NAMES:
        if "kept" in name or "receipt" in name or "proofs" in name:
            assert name in manual, name


def test_the_program_of_the_test_is_that_of_the_tree() -> None:
    """Commands are parsed, not only found: one with an option nobody knows is refused."""
    with pytest.raises(click.NoSuchOption):
        check_command(["keep", "--nothing"])
