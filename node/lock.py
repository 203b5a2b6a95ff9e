"""One process at a time does what needs a home alone: running its node, or making its account.

A lock on the folder itself, which the kernel lets go of when the process ends, however it ends.
"""

import fcntl
import os
from pathlib import Path

from unhush.node.errors import HomeInUse


class HomeLock:
    """Held from its making until ``release``; raises ``HomeInUse``, in these words, if another process holds it."""

    def __init__(self, home: Path, refusal: str) -> None:
        self._descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(self._descriptor)
            raise HomeInUse(refusal) from exc

    def release(self) -> None:
        os.close(self._descriptor)
