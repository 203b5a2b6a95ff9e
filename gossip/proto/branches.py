"""Branches: which forked logs the peer is shown the branches of, and how far each has gone.

A fork is told once, by the entries beside the shown branch and the shown one
at the fork point: two entries at one number are the proof, and need nobody's
word. What the peer holds by number says nothing of branches, so they go
whatever it holds, and what went is remembered here for the whole session, as
a place in their order and never as bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.pieces import Placed
from unhush.gossip.proto.queue import OnceQueue
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey

Log = tuple[Cid, PublicKey]
_TOP: Final = (2**63, b"")


@dataclass(slots=True)
class _Told:
    """The fork point told, and what is left to send: all that lies below a place; None: nothing."""

    fork: int
    below: tuple[int, bytes] | None = _TOP


class Branches:
    """Forked logs of one session."""

    def __init__(self) -> None:
        self._told: dict[Log, _Told] = {}
        self.waiting: Final[OnceQueue[Log]] = OnceQueue()

    def tell(self, log: Log, fork: int) -> None:
        """Send the branches of a log that is forked at ``fork``, unless they went already."""
        told = self._told.get(log)
        if told is None or fork < told.fork:
            self.forget(log)
            while len(self._told) >= limits.MAX_FORKED_LOGS:
                self.forget(next(iter(self._told)))
            self._told[log] = told = _Told(fork)
        if told.below is not None:
            self.waiting.push(log)

    def forget(self, log: Log) -> None:
        """As if nothing had been told."""
        self._told.pop(log, None)
        self.waiting.discard(log)

    def left(self, log: Log, items: Sequence[Placed]) -> list[Placed]:
        """What of the branches is still to be sent, in the order in which they are cut."""
        told = self._told.get(log)
        if told is None or told.below is None:
            return []
        below = told.below
        return sorted((item for item in items if _place(item) < below), key=_place)

    def went(self, log: Log, piece: Sequence[Placed]) -> None:
        """The newest that was left has been sent."""
        self._told[log].below = _place(piece[0])

    def finish(self, log: Log) -> None:
        """Nothing is left."""
        if log in self._told:
            self._told[log].below = None


def _place(item: Placed) -> tuple[int, bytes]:
    seq, record = item
    return seq, record.entry
