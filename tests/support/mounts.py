"""File systems that are small, or cannot be written; a test that cannot have one is skipped and says why."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of ``size``, as ``mount`` spells it."""
    place.mkdir()
    _mount("a small disk", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield place
    finally:
        _unmount(place)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing under ``folder`` can be written, not even by root."""
    _mount("a read-only view", "--bind", str(folder), str(folder))
    try:
        _mount("a read-only view", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _unmount(folder)


def _mount(what: str, *arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False, text=True)
    if done.returncode != 0:
        print(f"not tried: {what} cannot be mounted here: {done.stderr.strip()}")
        pytest.skip(f"{what} cannot be mounted here: {done.stderr.strip()}")


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)
