"""Patience: how long a peer may take over what it has begun to say.

Whoever says nothing costs nothing, and may stay. But of a message that has
begun, memory and a task are held until it ends: after a few seconds it must
come at a pace that any line has. Only the time we wait for the peer counts,
never the time the peer waits for us.
"""

from typing import Final

GRACE_S: Final = 5.0
# A telephone modem was four times as fast.
LEAST_BYTES_PER_S: Final = 1_024

# For a request and its answer, if neither is large.
REQUEST_S: Final = 15.0


class Patience:
    """What is left of it for one message."""

    __slots__ = ("_waited_s",)

    def __init__(self) -> None:
        self._waited_s = 0.0

    def left_s(self, received_bytes: int) -> float:
        """How long to wait for more of a message of which so much has come; for one not begun, for ever."""
        if received_bytes == 0:
            return float("inf")
        return max(0.0, GRACE_S + received_bytes / LEAST_BYTES_PER_S - self._waited_s)

    def waited(self, seconds: float) -> None:
        self._waited_s += seconds

    def renew(self) -> None:
        """The message is whole; the next has not begun."""
        self._waited_s = 0.0
