"""Restore: which account did this root key found? We ask it, and we are asked.

All that a person who restores has is a root key, so the question goes to every
peer, whatever it carries. What it answers is unchecked here: whoever asked
knows the key that must have signed. An answer nobody waits for is skipped.
"""

from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Found, ReadFound
from unhush.gossip.proto.events import FoundRead
from unhush.gossip.proto.faults import TooManyFrames
from unhush.gossip.proto.frames import FindFrame, FoundFrame, Operation
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.queue import OnceQueue
from unhush.identity.keys import PublicKey

# More than what a frame and an operation in it take beside entry and body.
_FRAME_OVERHEAD: Final = 128
_OPERATION_OVERHEAD: Final = 16


class Finding:
    """The roots we look for at the peer, and those it looks for here."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox: Final = outbox
        self._to_ask: OnceQueue[PublicKey] = OnceQueue()
        self._asked: set[PublicKey] = set()
        self._to_read: OnceQueue[PublicKey] = OnceQueue()
        self._is_reading = False

    # --- ours --------------------------------------------------------------------------------------------

    def find(self, root: PublicKey) -> None:
        """Ask for it, once what was asked before leaves room."""
        if root not in self._asked:
            self._to_ask.push(root)

    def flush(self, now: float) -> None:
        """Ask, as far as the peer remembers."""
        while self._to_ask and len(self._asked) < limits.MAX_FINDS and self._outbox.has_room:
            root = next(iter(self._to_ask))
            if not self._outbox.send_paced(FindFrame(root), now):
                return
            self._to_ask.discard(root)
            self._asked.add(root)

    def peer_found(self, frame: FoundFrame) -> None:
        if frame.root in self._asked:
            self._asked.remove(frame.root)
            self._outbox.put(Found(frame.root, frame.ops))

    # --- the peer's --------------------------------------------------------------------------------------

    def peer_finds(self, frame: FindFrame) -> None:
        """Remember what to look up; raises ``TooManyFrames``."""
        if len(self._to_read) + self._is_reading >= limits.MAX_FINDS:
            raise TooManyFrames(f"more than {limits.MAX_FINDS} roots looked for at once")
        self._to_read.push(frame.root)

    def find_read(self) -> ReadFound | None:
        """The next root to look up."""
        if not self._to_read or not self._outbox.has_room:
            return None
        self._is_reading = True
        return ReadFound(self._to_read.pop())

    def found_read(self, answer: FoundRead) -> None:
        self._is_reading = False
        self._outbox.send(FoundFrame(answer.root, _fitting(answer.ops)))


def _fitting(ops: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """As many as one frame carries to any peer."""
    left = limits.FOUND_BYTES - _FRAME_OVERHEAD
    for count, op in enumerate(ops[: limits.MAX_FOUND]):
        left -= len(op.entry) + len(op.body) + _OPERATION_OVERHEAD
        if left < 0:
            return ops[:count]
    return ops[: limits.MAX_FOUND]
