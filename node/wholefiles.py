"""Files that appear whole or not at all: written beside their place, synced, then put there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from unhush.node.errors import FileExists, StorageError


@contextmanager
def whole_file(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write; it takes its place when the block ends well.

    With ``force`` also over one that is there. Raises ``FileExists``, before the block and after it, and
    ``StorageError``.
    """
    if not force:
        refuse_existing(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if force:
            temporary.replace(path)
        else:
            _give_name(temporary, path)
    except OSError as exc:
        raise StorageError(f"{path} cannot be written: {exc.strerror}") from exc
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(path: Path) -> None:
    """Raises ``FileExists`` for whatever bears that name, also for a link that leads nowhere."""
    if os.path.lexists(path):
        raise FileExists(path)


def _give_name(temporary: Path, path: Path) -> None:
    """As a rename that replaces nothing."""
    try:
        os.link(temporary, path)
    except FileExistsError as exc:
        raise FileExists(path) from exc
    except OSError:  # a file system without second names, as on many memory sticks
        refuse_existing(path)
        temporary.rename(path)
