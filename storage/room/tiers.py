"""Tiers: how near an account is to the owner of this home, and how much of it is kept for that (PROTOCOL §6).

Own posts have no limit; whom this home promised to keep, as much as it promised;
whom the owner follows much; whom those follow some; strangers little each and
little together. A home without an account of its own has no near and far: there
everybody whom it does not keep counts as followed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage import accounts, settings
from unhush.storage.folds import follows
from unhush.storage.keeping import promises
from unhush.storage.room import usage
from unhush.storage.room.usage import NOTHING, Usage
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

KIB: Final = 2**10
MIB: Final = 2**20
GIB: Final = 2**30
DAY_MS: Final = 24 * 60 * 60 * 1000
# Followers of one account that are looked at to find one whom the owner follows: anybody may make up more.
_MAX_FOLLOWERS: Final = 2_000
# People two steps away that are told apart when all of them are counted; beyond it they count as strangers.
_MAX_NEAR: Final = 500_000

_TIERS: Final = "tiers of accounts"  # in a transaction's memo
_FOLLOWED: Final = "numbers of followed accounts"


class Tier(IntEnum):
    """How far away, nearest first."""

    OWN = 0
    KEPT = 1  # promised, and never evicted
    FOLLOWED = 2
    NEAR = 3  # followed by somebody the owner follows
    STRANGER = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept of whom, in bytes of entries and bodies."""

    # A person who writes 500 bytes every ten minutes takes 200 MiB in eight years.
    followed_bytes: int = 200 * MIB
    near_bytes: int = 10 * MIB
    # One followed account could follow as many as it can make up.
    near_together_bytes: int = 2 * GIB
    stranger_bytes: int = 256 * KIB
    strangers_together_bytes: int = 512 * MIB
    # Left for own posts when everything else is refused: about ten thousand of them.
    reserve_bytes: int = 16 * MIB
    # How long what was deleted, or fell out of force, can come back (PROTOCOL §3, §4).
    grace_ms: int = 30 * DAY_MS

    def each(self, tier: Tier) -> int | None:
        """The most of one account of a tier; None: no limit that all of them share. ``most_of`` knows each."""
        match tier:
            case Tier.OWN | Tier.KEPT:
                return None
            case Tier.FOLLOWED:
                return self.followed_bytes
            case Tier.NEAR:
                return self.near_bytes
            case Tier.STRANGER:
                return self.stranger_bytes

    def together(self, tier: Tier) -> int | None:
        """The most of all accounts of a tier; None: only each is bounded."""
        match tier:
            case Tier.NEAR:
                return self.near_together_bytes
            case Tier.STRANGER:
                return self.strangers_together_bytes
            case _:
                return None


USUAL: Final = Limits()
# For a home that is to take whatever comes, as far as its disk goes: an archive, a measurement.
BOUNDLESS: Final = Limits(
    followed_bytes=2**62,
    near_bytes=2**62,
    near_together_bytes=2**62,
    stranger_bytes=2**62,
    strangers_together_bytes=2**62,
)


def tier_of(txn: Txn, account: Cid) -> Tier:
    """Asked for one account; remembered until the transaction ends."""
    known: dict[Cid, Tier] = txn.memo.setdefault(_TIERS, {})
    tier = known.get(account)
    if tier is None:
        tier = known[account] = _find_tier(txn, account)
    return tier


def _find_tier(txn: Txn, account: Cid) -> Tier:
    own = settings.find_own_account(txn)
    if own == account:
        return Tier.OWN
    if promises.is_kept(txn, account):
        return Tier.KEPT
    me = accounts.find_number(txn, own) if own is not None else None
    if me is None or follows.does_follow(txn, me, account):
        return Tier.FOLLOWED
    followed: frozenset[bytes] | None = txn.memo.get(_FOLLOWED)
    if followed is None:
        numbers = (accounts.find_number(txn, who) for who in follows.iter_followed(txn, me))
        followed = txn.memo[_FOLLOWED] = frozenset(number for number in numbers if number is not None)
    followers = islice(txn.scan(Table.FOLLOWERS, account.digest), _MAX_FOLLOWERS)
    return Tier.NEAR if any(key[32:36] in followed for key, _ in followers) else Tier.STRANGER


def most_of(txn: Txn, limits: Limits, account: Cid, tier: Tier) -> int | None:
    """How many bytes of an account of this tier are kept at most; None: all of it.

    A promise never makes the share of somebody smaller whom the owner follows.
    """
    if tier is not Tier.KEPT:
        return limits.each(tier)
    promise = promises.find_promise(txn, account)
    budget = promise.budget_bytes if promise is not None else 0
    own = settings.find_own_account(txn)
    me = accounts.find_number(txn, own) if own is not None else None
    is_followed = me is None or follows.does_follow(txn, me, account)
    return max(budget, limits.followed_bytes) if is_followed else budget


class Circles:
    """The tiers of all accounts, as of one snapshot."""

    def __init__(self, txn: Txn) -> None:
        self._own = settings.find_own_account(txn)
        self._me = accounts.find_number(txn, self._own) if self._own is not None else None
        self._followed = frozenset(follows.iter_followed(txn, self._me)) if self._me is not None else frozenset()
        self._kept = frozenset(promises.iter_kept(txn))
        self._near = frozenset(islice(self._iter_near(txn), _MAX_NEAR))

    def _iter_near(self, txn: Txn) -> Iterator[Cid]:
        for who in sorted(self._followed):
            number = accounts.find_number(txn, who)
            if number is not None:
                yield from follows.iter_followed(txn, number)

    def tier_of(self, account: Cid) -> Tier:
        if account == self._own:
            return Tier.OWN
        if account in self._kept:
            return Tier.KEPT
        if self._me is None or account in self._followed:
            return Tier.FOLLOWED
        return Tier.NEAR if account in self._near else Tier.STRANGER


@dataclass(slots=True)
class Tally:
    """Who takes what, tier by tier."""

    accounts: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))
    usage: dict[Tier, Usage] = field(default_factory=lambda: dict.fromkeys(Tier, NOTHING))


def tally(txn: Txn) -> Tally:
    """Count every account of the home by its tier."""
    circles, counted = Circles(txn), Tally()
    for account, used in usage.iter_usage(txn):
        tier = circles.tier_of(account)
        before = counted.usage[tier]
        counted.accounts[tier] += 1
        counted.usage[tier] = Usage(before.size_bytes + used.size_bytes, before.records + used.records)
    return counted
