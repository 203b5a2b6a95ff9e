"""One question, put to one peer after the other: whom to ask when, and when nobody is waited for any more.

A few are waited for at a time. Who is silent for some seconds is waited for no more: the next is asked in its place,
and what it still says is welcome. So peers that claim to know something and never answer cost seconds, however many
questions they leave open.

Pure: ``now`` is in seconds, from a clock that does not step back.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

# Peers waited for at a time.
AT_ONCE: Final = 3
# Most answers take a tenth of it, over a slow line and of a busy node; and somebody looks at the page.
PATIENCE_S: Final = 5.0


class Round:
    """``until_found``: what is asked for is one thing, and any peer will do; else each may hold other answers, and a
    few are enough."""

    def __init__(self, peers: Iterable[str], now: float, *, until_found: bool) -> None:
        self._left: Final = deque(peers)
        self._asked_at: Final[dict[str, float]] = {}  # and not heard of since
        self._answers = 0
        self._began_at: Final = now
        self._until_found: Final = until_found

    def next_peer(self, now: float) -> str | None:
        """Whom to ask now, if anybody."""
        waited_for = len(self._waited_for(now))
        wanted = AT_ONCE if self._until_found else AT_ONCE - self._answers
        if waited_for >= wanted or not self._left:
            return None
        peer = self._left.popleft()
        self._asked_at[peer] = now
        return peer

    def heard(self, peer: str, *, is_answer: bool) -> None:
        """A peer answered, or nothing is to be heard of it any more."""
        self._asked_at.pop(peer, None)
        self._answers += is_answer

    def silent(self, now: float) -> list[str]:
        """Who was asked long ago, and said nothing."""
        return [peer for peer, at in self._asked_at.items() if now - at >= PATIENCE_S]

    def is_over(self, now: float) -> bool:
        """Whether nobody is waited for any more; what silent peers say may come still."""
        if not self._until_found:
            if self._answers >= AT_ONCE:
                return True
            if self._answers and now - self._began_at >= PATIENCE_S:
                return True
        # With no answer at all the silent are what is left to hope for, as long as their sessions do.
        is_waiting = self._waited_for(now) if self._answers else self._asked_at
        return not (self._left or is_waiting)

    def _waited_for(self, now: float) -> list[str]:
        return [peer for peer, at in self._asked_at.items() if now - at < PATIENCE_S]
