"""A gate around the transactions of one process: the map under them may be moved only while there is none.

LMDB leaves this to its callers: a map that moves under a reader ends the process.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Counts who is inside, by thread; whoever wants to be alone waits for them, and newcomers wait meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inside: dict[int, int] = {}  # thread → its transactions
        self._is_wanted = False  # somebody is alone, or waits to be

    def enter(self) -> int:
        """Go in; returns what ``leave`` wants. A thread that is inside already never waits."""
        me = threading.get_ident()
        with self._lock:  # the same as that of the condition, and quicker to take
            while self._is_wanted and me not in self._inside:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1
        return me

    def leave(self, thread: int) -> None:
        """Go out, from whichever thread: a reader that was let go is closed wherever its generator ends."""
        with self._lock:
            left = self._inside[thread] - 1
            if left:
                self._inside[thread] = left
            else:
                del self._inside[thread]
            if self._is_wanted:
                self._changed.notify_all()

    @contextmanager
    def alone(self, patience_s: float) -> Iterator[bool]:
        """Whether nobody else is inside, which then stays so in the block; False if that took too long.

        A thread that is inside itself is told False at once.
        """
        due = time.monotonic() + patience_s
        with self._changed:
            is_alone = threading.get_ident() not in self._inside
            while is_alone and self._is_wanted:
                is_alone = self._wait(due)
            if is_alone:
                self._is_wanted = True
                while self._inside and is_alone:
                    is_alone = self._wait(due)
                if not is_alone:
                    self._let_in()
        try:
            yield is_alone
        finally:
            if is_alone:
                with self._changed:
                    self._let_in()

    def _wait(self, due: float) -> bool:
        left = due - time.monotonic()
        if left <= 0:
            return False
        self._changed.wait(left)
        return True

    def _let_in(self) -> None:
        self._is_wanted = False
        self._changed.notify_all()
