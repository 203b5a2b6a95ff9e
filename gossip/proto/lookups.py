"""The pace at which a session looks up what we hold of accounts.

What is looked up when an account is wanted costs no credit, and a peer can have
it looked up again: by wanting it again, or, where we want it, by carrying it, not
carrying it and carrying it again. So as much is free as both sides need to meet,
and more with the records that travel. What goes beyond keeps to a pace, and waits.
"""

from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.pacing import Allowance


class Lookups:
    """How many summaries may be looked up now, for one direction of a session."""

    __slots__ = ("_now", "_pace")

    def __init__(self) -> None:
        self._pace: Final = Allowance(limits.SUMMARIES_ALLOWANCE, limits.SUMMARIES_INTERVAL_S)
        self._now = 0.0

    def cover(self, accounts: int) -> None:
        """So many accounts may be looked up in honest use."""
        at_once = limits.SUMMARIES_ALLOWANCE + limits.SUMMARIES_AN_ACCOUNT * accounts
        self._pace.widen(min(at_once, limits.MAX_SUMMARIES_ALLOWANCE))

    def earn(self, size_bytes: int) -> None:
        """So many bytes of records travelled."""
        self._pace.earn(size_bytes / limits.BYTES_A_SUMMARY)

    def pass_time(self, now: float) -> None:
        """It is ``now``, a monotonic clock in seconds."""
        self._now = now

    def take(self) -> bool:
        """Look one up, if that may be."""
        return self._pace.spend(1, self._now)
