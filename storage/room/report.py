"""Who takes what of this disk: the answer to ``unhush storage``, from one snapshot and the files beside it."""

from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.environment import Environment
from unhush.storage.keeping import promises
from unhush.storage.room import usage
from unhush.storage.room.media import media_by_account
from unhush.storage.room.tiers import Circles, Limits, Tally, Tier, most_of, tally
from unhush.storage.transaction import Txn

# Accounts named one by one.
MOST_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class AccountRoom:
    """What one account takes."""

    account: Cid
    tier: Tier
    size_bytes: int  # entries and bodies
    records: int
    media_bytes: int  # what its records name and is here; what two accounts name counts for both


@dataclass(frozen=True, slots=True)
class KeptRoom:
    """How much of a promise is used up; ``budget_bytes`` is at least what anybody followed may take."""

    account: Cid
    size_bytes: int
    budget_bytes: int
    is_full: bool  # something was refused, and nothing more is asked for


@dataclass(frozen=True, slots=True)
class RoomReport:
    """Bytes on this disk, by what takes them."""

    tiers: Tally
    limits: Limits
    largest: tuple[AccountRoom, ...]
    database_bytes: int  # the file, with indexes
    free_bytes: int  # of it: written again before it grows
    media_bytes: int
    fulltext_bytes: int
    growth_bytes: int  # how much more the database could take now
    reserve_bytes: int
    kept: tuple[KeptRoom, ...] = ()  # every promise, the fullest first


def describe_room(txn: Txn, environment: Environment, blobs: Blobs, limits: Limits, fulltext_bytes: int) -> RoomReport:
    """Measure everything; reads the name and size of every blob."""
    sizes = dict(blobs.iter_blocks())
    media = media_by_account(txn, blobs, sizes)
    circles = Circles(txn)
    largest = nlargest(
        MOST_NAMED, usage.iter_usage(txn), key=lambda each: (each[1].size_bytes + media.get(each[0], 0), each[0])
    )
    room = environment.measure()
    return RoomReport(
        tiers=tally(txn),
        limits=limits,
        largest=tuple(
            AccountRoom(account, circles.tier_of(account), used.size_bytes, used.records, media.get(account, 0))
            for account, used in largest
        ),
        database_bytes=room.file_bytes,
        free_bytes=environment.free_bytes(txn),
        media_bytes=sum(sizes.values()),
        fulltext_bytes=fulltext_bytes,
        growth_bytes=room.growth_bytes,
        reserve_bytes=limits.reserve_bytes,
        kept=_describe_kept(txn, limits),
    )


def _describe_kept(txn: Txn, limits: Limits) -> tuple[KeptRoom, ...]:
    rooms = [
        KeptRoom(
            account,
            usage.usage_of(txn, account).size_bytes,
            most_of(txn, limits, account, Tier.KEPT) or 0,
            promises.is_full(txn, account),
        )
        for account in promises.iter_kept(txn)
    ]
    return tuple(sorted(rooms, key=lambda room: (room.size_bytes - room.budget_bytes, room.account), reverse=True))
