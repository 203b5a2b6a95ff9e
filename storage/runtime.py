"""The sockets by which the processes of one home find each other, in the home's own ``run`` folder.

Not in a runtime folder that the environment names: a command from a desktop, a
shell over the network and a timer must all find the same node. Socket paths
end near 108 bytes and homes may be deep, so the folder is reached by way of
an open descriptor, whose name is short.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from unhush.storage.errors import HomeInUse

# The folder can go between its making and the bind, when another process leaves; once more is enough, five is plenty.
_TRIES: Final = 5


def runtime_dir(home: Path) -> Path:
    """Where the sockets of a home are; it is there only while somebody uses it."""
    return home / "run"


@contextlib.contextmanager
def short_name(folder: Path) -> Iterator[str]:
    """A name for the folder that is short enough to put a socket's after it; raises ``OSError``."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def bind_in(folder: Path, name: str, listener: socket.socket) -> Path:
    """Bind a socket in the folder, making it if need be; raises ``HomeInUse``."""
    path = folder / name
    for _ in range(_TRIES):
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            path.unlink(missing_ok=True)  # of a killed process that had our name
            with short_name(folder) as short:
                listener.bind(f"{short}/{name}")
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise HomeInUse(f"no socket for this home could be made at {path}: {exc.strerror}") from exc
        return path
    raise HomeInUse(f"no socket for this home could be made at {path}")


def leave(folder: Path) -> None:
    """Take the folder away if nobody else is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()
