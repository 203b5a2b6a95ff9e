"""What of a batch there is room for: asked at the door, under the write lock, before anything is stored.

Of each log the newest that fits is taken, of an account that is kept the oldest.
The rest is refused by name and is nobody's fault. Own records always pass; when the disk is nearly full they alone
do.
"""

import logging
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.operations import ROTATE
from unhush.storage import accounts, logs, settings
from unhush.storage.arrivals import Outcome, Status
from unhush.storage.arriving import Item
from unhush.storage.authenticating import Group
from unhush.storage.environment import Environment
from unhush.storage.errors import StoreFull
from unhush.storage.keeping import promises
from unhush.storage.room import floors, usage
from unhush.storage.room.pools import Pools
from unhush.storage.room.tiers import Limits, Tier, most_of, tier_of
from unhush.storage.transaction import Txn

_logger = logging.getLogger(__name__)  # a log is something else in this file

# The reserve is never more than this part of what there is: a small disk has to take in something too.
_RESERVE_PART: Final = 8
# Operations say who may speak: they go on being taken when records are not, up to twice what records may take.
_FOR_OPERATIONS: Final = 2
# The last part of what accounts may take together is for their operations.
_POOL_PART: Final = 16

_FEW: Final = {
    Tier.KEPT: "an account you keep: the budget of the promise is used up",
    Tier.FOLLOWED: "an account you follow",
    Tier.NEAR: "somebody followed by people you follow",
    Tier.STRANGER: "a stranger",
}
_HINTS: Final = {Tier.KEPT: "; promise more to have more of it", Tier.FOLLOWED: ""}
_MANY: Final = {Tier.NEAR: "people followed by those you follow", Tier.STRANGER: "strangers"}


class Doorkeeper:
    """Keeps the limits where records come in."""

    def __init__(self, environment: Environment, limits: Limits) -> None:
        self._environment = environment
        self._limits = limits
        self._pools = Pools(limits)
        # What fits here fits wherever an account stands that was not promised another room.
        self._least_each = min(limits.stranger_bytes, limits.near_bytes, limits.followed_bytes)
        pool = min(limits.strangers_together_bytes, limits.near_together_bytes)
        self._least_together = pool - pool // _POOL_PART

    def why_nearly_full(self, txn: Txn) -> str:
        """Why nothing but own records is stored now; empty if there is room."""
        room = self._environment.measure()
        reserve = min(self._limits.reserve_bytes, room.largest_bytes // _RESERVE_PART)
        if room.growth_bytes >= reserve or room.growth_bytes + self._environment.free_bytes(txn) >= reserve:
            return ""
        what = "the database has nearly reached its largest size" if room.is_limited else "the disk is nearly full"
        return f"{what}, and what room is left is kept for your own posts; nothing of this was stored"

    def fit(self, txn: Txn, group: Group, outcomes: dict[int, Outcome], *, is_wanted: bool) -> Group:
        """The entries of a log there is room for; the others get their outcome.

        Raises ``StoreFull`` for records nobody sent for (a file), if the disk is nearly full.
        """
        account = group[0].entry.account
        if account == settings.find_own_account(txn):
            return group
        if why := self._nearly_full(txn):
            if not is_wanted:
                raise StoreFull(why)
            return _refuse(group, why, outcomes)
        log = logs.find_log(txn, account, group[0].entry.header.key)
        floor = floors.find_floor(txn, account, log) if log is not None else 0
        if floor and group[0].entry.header.seq < floor:
            low = [item for item in group if item.entry.header.seq < floor]
            _refuse(low, "there is no room for what is as old", outcomes)
            group = group[len(low) :]
        size = sum(map(_size_of, group))
        if self._has_plenty(txn, account, size):
            return group
        room, why = self._room_for(txn, account)
        if room is None or size <= room:
            return group
        if tier_of(txn, account) is Tier.KEPT:
            # A receipt reaches as far as a log is whole from its start, so there the oldest stays.
            taken = _first_that_fit(group, room)
            refused = group[len(taken) :]
            self._note_too_old(txn, refused[-1], has_taken=False)
            if not promises.is_full(txn, account):
                _logger.warning("budget full, nothing more is taken in account=%s", account)
            promises.mark_full(txn, account)  # else peers would be asked for the rest again and again
            _refuse(refused, why, outcomes)
            return taken
        taken = _first_that_fit(group[::-1], room)[::-1]
        refused = group[: len(group) - len(taken)]
        self._note_too_old(txn, refused[-1], has_taken=bool(taken))
        _refuse(refused, why, outcomes)
        return taken

    def fit_operations(
        self, txn: Txn, account: Cid, items: list[Item], outcomes: dict[int, Outcome], *, is_wanted: bool
    ) -> list[Item]:
        """The identity operations there is room for; a rotate of a known account always is."""
        if account == settings.find_own_account(txn):
            return items
        if why := self._nearly_full(txn):
            if not is_wanted:
                raise StoreFull(why)
            return _refuse(items, why, outcomes)
        size = sum(map(_size_of, items))
        if self._has_plenty(txn, account, size):
            return items
        tier = tier_of(txn, account)
        each, together = most_of(txn, self._limits, account, tier), self._limits.together(tier)
        held = usage.usage_of(txn, account)
        is_over = each is not None and held.size_bytes + size > _FOR_OPERATIONS * each
        is_pool_full = together is not None and self._pools.take(txn, tier, together) < size
        if not (is_over or is_pool_full):
            return items
        kept = [item for item in items if held.records and item.entry.header.kind == ROTATE]
        kept_at = {item.at for item in kept}
        _refuse([item for item in items if item.at not in kept_at], _why(tier, is_pool=not is_over), outcomes)
        return kept

    # -- how much

    def _nearly_full(self, txn: Txn) -> str:
        why: str | None = txn.memo.get(_FULL)
        if why is None:
            why = txn.memo[_FULL] = self.why_nearly_full(txn)
        return why

    def _has_plenty(self, txn: Txn, account: Cid, size: int) -> bool:
        """Cheap, and true for most: it would fit even if the account, and all others, were strangers.

        A promise may be of less than a stranger may take.
        """
        return (
            not promises.is_kept(txn, account)
            and usage.usage_of(txn, account).size_bytes + size <= self._least_each
            and usage.usage_of_all(txn).size_bytes + size <= self._least_together
        )

    def _room_for(self, txn: Txn, account: Cid) -> tuple[int | None, str]:
        """Bytes that may still come of an account, and why no more."""
        tier = tier_of(txn, account)
        each, together = most_of(txn, self._limits, account, tier), self._limits.together(tier)
        if each is None:
            return None, ""
        room, is_pool = each - usage.usage_of(txn, account).size_bytes, False
        if together is not None:
            pool = self._pools.take(txn, tier, together - together // _POOL_PART)
            is_pool = pool < room
            room = min(room, pool)
        return max(room, 0), _why(tier, is_pool=is_pool)

    def _note_too_old(self, txn: Txn, refused: Item, *, has_taken: bool) -> None:
        """History below what is held, or is taken now, is not asked for again; newer records are."""
        header, account = refused.entry.header, accounts.find_account(txn, refused.entry.account)
        if account is None or account.state.cut_of(header.key) is None:
            return  # else anybody could make up as many logs as he likes
        log = logs.get_or_make_log(txn, account.id, header.key)
        head = logs.find_neighbours(txn, log, logs.LAST_SEQ)[0]
        if has_taken or (head is not None and header.seq < head[0]):
            floors.raise_floor(txn, account.id, log, header.seq + 1)


_FULL: Final = "why nothing but own records is stored"


def _first_that_fit(items: Group, room: int) -> Group:
    taken: Group = []
    for item in items:
        room -= _size_of(item)
        if room < 0:
            break
        taken.append(item)
    return taken


def _size_of(item: Item) -> int:
    return len(item.entry.block) + len(item.body or b"")


def _why(tier: Tier, *, is_pool: bool) -> str:
    if is_pool:
        return f"over quota: the room for all {_MANY[tier]} together is full"
    hint = _HINTS.get(tier, "; follow the account to have more of it")
    return f"over quota: there is no more room for {_FEW[tier]}{hint}"


def _refuse(items: list[Item], why: str, outcomes: dict[int, Outcome]) -> list[Item]:
    for item in items:
        outcomes[item.at] = Outcome(Status.IGNORED, item.entry.cid, error=why)
    return []
