"""Files that appear whole or not at all: written beside their place, synced, then put there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from unhush.storage.errors import StorageError


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write; it takes its place when the block ends well. Raises ``StorageError``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as exc:
        raise StorageError(f"{path} cannot be written: {exc.strerror}") from exc
    finally:
        temporary.unlink(missing_ok=True)
