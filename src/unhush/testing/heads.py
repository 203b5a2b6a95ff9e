"""The tree of fingerprints of a virtual node: what ``gossip/net/sync/heads.py`` is over a store on a disk.

Real nodes compare from ``RECONCILE_FROM`` accounts on. So many would make a
storm slow and find nothing that a handful does not, so the tree says in a
hello that it has more than it has.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from unhush.gossip.errors import LocalProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Purpose, ReadSummary
from unhush.gossip.proto.events import SummaryRead
from unhush.gossip.proto.fingerprints import AccountTree, state_of
from unhush.identity.cid import Cid
from unhush.testing.clock import VirtualClock

if TYPE_CHECKING:
    from unhush.testing.store import NodeStore

# As in gossip/net: an account that grew is looked up when it has come to rest, one just taken up a moment later.
REST_S: Final = 0.25
PAUSE_S: Final = 0.04


class TallTree(AccountTree):
    """A tree that makes both sides compare, however few accounts there are."""

    def __len__(self) -> int:
        return super().__len__() + limits.RECONCILE_FROM


class TreeKeeper:
    """Keeps one tree in step with a store, for all sessions of one life of a node."""

    def __init__(self, store: "NodeStore", own: Cid, clock: VirtualClock, *, salt: bytes) -> None:
        self.tree: Final = TallTree(salt)
        self._store = store
        self._own = own
        self._clock = clock
        self._carried: frozenset[Cid] = frozenset()
        self._stale: dict[Cid, None] = {}
        self._is_due = False

    def begin(self, carried: frozenset[Cid]) -> None:
        """Look at all that is carried; no session is open yet."""
        self._carried = carried
        self._stale = dict.fromkeys(sorted(carried))
        self._look_up()

    def set_carried(self, carried: frozenset[Cid]) -> None:
        """These are carried now; to be called before any session hears of it."""
        for account in sorted(self._carried - carried):
            self.tree.drop(account)
            self._stale.pop(account, None)
        fresh = sorted(carried - self._carried)
        self._carried = carried
        if fresh:
            self._look_up_later(fresh, PAUSE_S)

    def touched(self, accounts: Iterable[Cid]) -> None:
        """The store gained something of these; to be called before any session hears of it."""
        spoilt = [account for account in dict.fromkeys(accounts) if account in self.tree]
        for account in spoilt:
            self.tree.spoil(account)
        if spoilt:
            self._look_up_later(spoilt, REST_S)

    def _look_up_later(self, accounts: Iterable[Cid], wait_s: float) -> None:
        self._stale.update(dict.fromkeys(accounts))
        if not self._is_due:
            self._is_due = True
            self._clock.after(wait_s, self._look_up)

    def _look_up(self) -> None:
        self._is_due = False
        for account in self._stale:
            # Of our own everything is welcome, and asked for by name.
            served = self._summary(account, Purpose.SERVE)
            wanted = served if account == self._own else self._summary(account, Purpose.WANT)
            self.tree.put(account, state_of(wanted, served))
        self._stale.clear()

    def _summary(self, account: Cid, purpose: Purpose) -> SummaryRead:
        answer = self._store.answer(ReadSummary(account, purpose))
        if not isinstance(answer, SummaryRead):
            raise LocalProtocolError(f"{answer} is no summary")
        return answer
