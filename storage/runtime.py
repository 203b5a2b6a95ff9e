"""The runtime folder of a home: a private place for the sockets by which its processes find each other.

It stands beside other programs' runtime files, not in the home: socket paths
end near 108 bytes. Whoever leaves last takes it away.
"""

import contextlib
import os
import socket
import stat
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

from unhush.storage.errors import HomeInUse

# A folder can go between its making and the bind, when another process leaves; once more is enough, five is plenty.
_TRIES: Final = 5


def runtime_dir(home: Path) -> Path:
    """Where the folder of a home is; it is there only while somebody uses it."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    name = sha256(str(home.resolve()).encode()).hexdigest()[:16]
    return Path(base) / f"unhush-{os.getuid()}-{name}"


def is_ours(folder: Path) -> bool:
    """Whether the folder is there, a folder, this user's and nobody else's to enter."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def bind_in(folder: Path, name: str, listener: socket.socket) -> Path:
    """Bind a socket in the folder, making it if need be; raises ``HomeInUse`` if the folder is not ours alone."""
    path = folder / name
    for _ in range(_TRIES):
        _make(folder)
        try:
            path.unlink(missing_ok=True)  # of a killed process that had our name
            listener.bind(str(path))
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise HomeInUse(f"no socket could be made at {path}: {exc.strerror}") from exc
        return path
    raise HomeInUse(f"no socket could be made in {folder}")


def leave(folder: Path) -> None:
    """Take the folder away if nobody else is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        problem = f"{folder}, the folder for wake-ups between processes, cannot be made: {exc.strerror}"
        raise HomeInUse(problem) from exc
    if not is_ours(folder):
        raise HomeInUse(f"{folder} is not a private folder of this user; remove it and try again")
