"""What we say we carry, change by change.

A peer is told of all we carry, as far as it will remember; or, where both
compare what they carry (``reconciling``), of what changed since. Then there is
more to say: that an account it wants can be had though it did not compare it,
which ones it should ask for by name, and of which that we do not carry we would
know whether it does.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.fingerprints import AccountTree, Marks
from unhush.gossip.proto.frames import Carries
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.queue import OnceQueue
from unhush.identity.cid import Cid


class Carrying:
    """For a peer that compares nothing."""

    def __init__(self, outbox: Outbox, state_bytes: int) -> None:
        """``state_bytes``: what the peer offers for all it remembers."""
        self._outbox: Final = outbox
        self._max_told: Final = state_bytes // limits.CARRIES_SHARE // limits.CARRIED_COST
        self.accounts: frozenset[Cid] = frozenset()
        self._announced: set[Cid] = set()
        self._to_add: list[Cid] = []
        self._to_drop: list[Cid] = []

    def change(self, accounts: frozenset[Cid]) -> frozenset[Cid]:
        """Carry these from now on; what it was before."""
        before, self.accounts = self.accounts, accounts
        told = accounts
        if len(accounts) > self._max_told:
            # The peer remembers no more; those it knows stay, so that it need not be told of changes.
            known = sorted(accounts & self._announced) + sorted(accounts - self._announced)
            told = frozenset(known[: self._max_told])
        self._to_add = sorted(told - self._announced, reverse=True)
        self._to_drop = sorted(self._announced - told, reverse=True)
        return before

    def flush(self, now: float) -> None:
        """Say what is due."""
        while (self._to_add or self._to_drop) and self._outbox.has_room:
            # Drops first: the peer's bound must never be passed on the way.
            drop = self._to_drop[-limits.LINKS_PER_FRAME :]
            add = [] if drop else self._to_add[-limits.LINKS_PER_FRAME :]
            if not self._outbox.send_paced(Carries(tuple(reversed(add)), tuple(reversed(drop))), now):
                return
            self._announced.difference_update(drop)
            self._announced.update(add)
            del (self._to_drop if drop else self._to_add)[-limits.LINKS_PER_FRAME :]


class CarryingCompared:
    """For a peer that finds out by comparing what we carried when it came."""

    def __init__(self, outbox: Outbox, tree: AccountTree) -> None:
        """``tree``: what we carried then, and all that both may come to carry."""
        self._outbox: Final = outbox
        self._tree: Final = tree
        self._is_known = False  # what we carry; before, what is in the tree
        self._announced: set[Cid] = set()
        self._more: OnceQueue[Cid] = OnceQueue()
        self._less: OnceQueue[Cid] = OnceQueue()
        self._again: OnceQueue[Cid] = OnceQueue()
        self._sought: OnceQueue[Cid] = OnceQueue()
        self.accounts: frozenset[Cid] = frozenset()
        self.is_compared = False
        self.pushed = Marks(tree, is_full=True)  # what the peer gets without naming it, should it want all

    def change(self, accounts: frozenset[Cid]) -> frozenset[Cid]:
        """Carry these from now on; what it was before."""
        before = self.accounts if self._is_known else frozenset(self._tree)
        self.accounts, self._is_known = accounts, True
        for account in sorted(before - accounts):
            self._more.discard(account)
            self._less.push(account)
            self._announced.discard(account)
            self.pushed.discard(account)
        for account in sorted(accounts - before):
            self._more.push(account)
        return before

    def compared(self, equal: Marks) -> None:
        """It is over: these are the same at both. From now on the peer hears of what is carried no more, too."""
        self.is_compared = True
        self.pushed = equal.copy()
        for account in self._less:  # dropped while they were compared
            self.pushed.discard(account)

    def peer_carries(self, frame: Carries) -> None:
        """Tell the peer that we, too, carry what it says it does, unless it was told, or what it seeks.

        Who takes an account up did not compare it, so it does not know who else carries it.
        """
        for account in frame.drop:
            self.pushed.discard(account)
            self._announced.discard(account)
        for account in frame.add:
            if account in self.accounts and account not in self._announced:
                self._more.push(account)
        for account in frame.sought:
            if account in self.accounts:
                self._more.push(account)

    def peer_wants(self, account: Cid) -> None:
        """It asks for it by name: should we carry it, it need not wait for the comparison to know."""
        self.pushed.add(account)
        if not self.is_compared and account in self.accounts:
            self._more.push(account)

    def ask_again(self, account: Cid) -> None:
        """Have the peer ask for it by name, for more of it was gained than we remember."""
        self._again.push(account)

    def seek(self, accounts: Iterable[Cid]) -> None:
        """Ask whether the peer carries accounts that we do not: comparing tells of no such."""
        for account in accounts:
            if account not in self.accounts:
                self._sought.push(account)
        while len(self._sought) > limits.MAX_WAITING_OFFERS:
            self._sought.pop()

    def flush(self, now: float) -> None:
        """Say what is due."""
        if not (self._more or self._less or self._again or self._sought):
            return
        while self._outbox.has_room:
            drop = tuple(islice(self._less, limits.LINKS_PER_FRAME)) if self.is_compared else ()
            # What we dropped before, the peer must hear of first.
            add = tuple(islice((each for each in self._more if each not in self._less), limits.LINKS_PER_FRAME))
            again = tuple(islice(self._again, limits.LINKS_PER_FRAME)) if self.is_compared else ()
            sought = tuple(islice(self._sought, limits.LINKS_PER_FRAME))
            frame = Carries(drop=drop) if drop else Carries(add, (), again, sought)
            if frame == Carries() or not self._outbox.send_paced(frame, now):
                return
            self._said(frame)

    def _said(self, said: Carries) -> None:
        told = (self._less, said.drop), (self._more, said.add), (self._again, said.again), (self._sought, said.sought)
        for queue, accounts in told:
            for account in accounts:
                queue.discard(account)
        self._announced.update(said.add)
