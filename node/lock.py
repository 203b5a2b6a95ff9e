"""One running node per home: a lock the kernel lets go of when the process ends, however it ends."""

import fcntl
import os
from pathlib import Path

from unhush.node.errors import HomeInUse


class NodeLock:
    """Held while a node runs; raises ``HomeInUse`` if another one does."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(self._descriptor)
            raise HomeInUse(f"a node is already running on {path.parent}") from exc

    def release(self) -> None:
        os.close(self._descriptor)
