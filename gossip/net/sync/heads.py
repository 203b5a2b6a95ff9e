"""Heads: the tree of fingerprints of all accounts carried here, kept in step with the store.

Looking an account up takes the store some 50 µs, so the tree is built in small
steps, and what the journal gains is looked up when it has come to rest. Until
then the account is spoilt in the tree: equal to nobody's, and so asked for by
name. That happens before any session hears of the record; hence what is in the
tree and what a session hears from then on leave nothing out.

What changes in the store without a record (room made, bodies erased) hardly
ever changes what we want; a slow walk over all accounts notices it.
"""

import logging
import math
import os
import time
from collections.abc import Iterable
from typing import Final

import trio

from unhush.gossip.net.sync.answering import summarise
from unhush.gossip.proto.fingerprints import AccountTree, state_of
from unhush.identity.cid import Cid
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# One step of look-ups: nothing else on the loop waits longer.
STEP_S: Final = 0.004
# An account that grew is looked up when it has been quiet for so long, and such steps are so far apart.
REST_S: Final = 0.25
PAUSE_S: Final = 0.04

# The slow walk: 100,000 accounts in eight hours, at no cost anybody notices.
WALK_EVERY_S: Final = 60.0
WALK_ACCOUNTS: Final = 200

# Sessions wait for the first look at everything, but no longer than a peer waits for our hello.
READY_WITHIN_S: Final = 10.0


class Heads:
    """One tree for all sessions of this node; everything happens on the network's loop."""

    def __init__(self, store: Store) -> None:
        self.tree: Final = AccountTree(os.urandom(16))
        self._store = store
        self._own: Cid | None = None
        self._carried: frozenset[Cid] = frozenset()
        self._stale: dict[Cid, float] = {}  # and since when
        self._walk: list[Cid] = []
        self._woken = trio.Event()
        self._ready = trio.Event()

    def set_carried(self, carried: frozenset[Cid], own: Cid | None) -> None:
        """These are carried now, ``own`` among them."""
        for account in self._carried - carried:
            self.tree.drop(account)
            self._stale.pop(account, None)
        for account in carried - self._carried:
            self._stale[account] = -math.inf
        if own != self._own:
            self.touched(account for account in (own, self._own) if account is not None)
        self._carried, self._own = carried, own
        self._woken.set()

    def touched(self, accounts: Iterable[Cid]) -> None:
        """The journal gained something of these; to be called before any session hears of it."""
        now = trio.current_time()
        for account in accounts:
            if account in self.tree:
                self.tree.spoil(account)
                self._stale.pop(account, None)
                self._stale[account] = now
                self._woken.set()

    async def ready(self, within_s: float = READY_WITHIN_S) -> AccountTree | None:
        """The tree, once all that was carried at the start is in it; None if that takes too long."""
        with trio.move_on_after(within_s):
            await self._ready.wait()
        return self.tree if self._ready.is_set() else None

    async def run(self) -> None:
        """Look up until cancelled."""
        started = time.perf_counter()
        while self._step():  # it lets others have a turn
            await trio.lowlevel.checkpoint()
        for at in range(256):  # hashed here, little by little, the first session finds it done
            self.tree.children(bytes((at >> 4, at & 15)))
            await trio.lowlevel.checkpoint()
        log.info("accounts looked up accounts=%d seconds=%.1f", len(self.tree), time.perf_counter() - started)
        self._ready.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._walk_all)
            while True:
                self._woken = trio.Event()
                while self._step():  # noqa: ASYNC110
                    await trio.sleep(PAUSE_S)
                with trio.move_on_after(REST_S if self._stale else math.inf):
                    await self._woken.wait()
                    await trio.sleep(PAUSE_S)  # whoever writes much wakes us often

    def _step(self) -> bool:
        """Look some up; whether there are more that have come to rest."""
        until, rested = time.perf_counter() + STEP_S, trio.current_time() - REST_S
        if not self._is_due(rested):
            return False
        with self._store.snapshot() as snapshot:
            while self._is_due(rested) and time.perf_counter() < until:
                account = next(iter(self._stale))
                del self._stale[account]
                self.tree.put(account, look_up(snapshot, account, is_own=account == self._own))
        return self._is_due(rested)

    def _is_due(self, rested: float) -> bool:
        """The first is the one that waits longest, but for those just taken up."""
        return bool(self._stale) and next(iter(self._stale.values())) <= rested

    async def _walk_all(self) -> None:
        while True:
            await trio.sleep(WALK_EVERY_S)
            if not self._walk:
                self._walk = list(self.tree)
            for account in self._walk[-WALK_ACCOUNTS:]:
                if account in self.tree:
                    self._stale.setdefault(account, trio.current_time() - REST_S)
            del self._walk[-WALK_ACCOUNTS:]
            self._woken.set()


def look_up(snapshot: Snapshot, account: Cid, *, is_own: bool) -> bytes:
    """The state of an account, as ``state_of`` has it. Of our own everything is welcome, and asked for by name."""
    wanted = summarise(snapshot, account, bodies_wanted=not is_own)
    served = summarise(snapshot, account, bodies_wanted=False) if snapshot.lacks_bodies else None
    return state_of(wanted, served)
