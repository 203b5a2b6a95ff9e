"""Wants of the peer: which of its want frames are open, and how many of them it was told are answered.

A want is answered when all of its accounts are, and told when all before it are
too: ``caught_up`` says one number. So a peer that never lets a want be answered
has the later ones counted against it, up to a bound.
"""

from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.faults import TooManyFrames
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.queue import OnceQueue
from unhush.identity.cid import Cid


class Wants:
    """Want frames are numbered from 1, as they come."""

    def __init__(self) -> None:
        self._pace: Final = Allowance(limits.WANTS_ALLOWANCE, limits.WANTS_INTERVAL_S)
        self._received = 0
        self._answered = 0
        self._told = 0
        self._open: dict[int, int] = {}  # accounts, by want; of one that has none nothing stands here
        # By want; the peer is yet to hear of it. No more than are served: who asks again is waited for anew.
        self._finished: dict[int, OnceQueue[Cid]] = {}

    def receive(self, cost: int, now: float) -> int:
        """The number of one that comes, and names accounts of such a cost; raises ``TooManyFrames``."""
        self._received += 1
        if self._received - self._told > limits.MAX_WANTS_OPEN:
            raise TooManyFrames(f"more than {limits.MAX_WANTS_OPEN} wants that are not answered")
        if not self._pace.spend(cost, now):
            raise TooManyFrames("accounts wanted faster than any use of them")
        return self._received

    def opened(self, want: int) -> None:
        """One more account of it is to be answered."""
        self._open[want] = self._open.get(want, 0) + 1

    def closed(self, want: int) -> None:
        """One account less."""
        left = self._open.pop(want) - 1
        if left:
            self._open[want] = left

    def finished(self, want: int, account: Cid) -> None:
        """It is to be named by ``told``, once the peer hears that this want is answered."""
        self._finished.setdefault(want, OnceQueue()).push(account)

    def forget(self, want: int, account: Cid) -> None:
        """Do not name it."""
        finished = self._finished.get(want)
        if finished is not None:
            finished.discard(account)
            if not finished:
                del self._finished[want]

    def find_answered(self) -> int | None:
        """How many are answered, if the peer was not told so."""
        while self._answered < self._received and self._answered + 1 not in self._open:
            self._answered += 1
        return self._answered if self._told < self._answered else None

    def told(self, wants: int) -> list[Cid]:
        """The peer hears that so many are answered: the accounts that were finished for them."""
        self._told = wants
        return [account for want in list(self._finished) if want <= wants for account in self._finished.pop(want)]
