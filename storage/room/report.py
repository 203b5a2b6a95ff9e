"""Who takes what of this disk: the answer to ``unhush storage``, from one snapshot and the files beside it."""

from collections import defaultdict
from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage import journal
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.environment import Environment
from unhush.storage.room import usage
from unhush.storage.room.tiers import Circles, Limits, Tally, Tier, tally
from unhush.storage.schema import Table
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


def describe_room(txn: Txn, environment: Environment, blobs: Blobs, limits: Limits, fulltext_bytes: int) -> RoomReport:
    """Measure everything; reads the name and size of every blob."""
    sizes = dict(blobs.iter_blocks())
    media = _media_by_account(txn, blobs, sizes)
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
    )


def _media_by_account(txn: Txn, blobs: Blobs, sizes: dict[bytes, int]) -> dict[Cid, int]:
    """Bytes of the blobs that are here, by whose records name them; each once for an account."""
    named: defaultdict[bytes, set[Cid]] = defaultdict(set)
    for key, _ in txn.scan(Table.BLOB_REFS):
        if key[:32] in sizes:
            record = journal.find_record(txn, int.from_bytes(key[32:], "big"))
            if record is not None:
                named[key[:32]].add(record.account)
    taken: defaultdict[Cid, int] = defaultdict(int)
    for digest, accounts in named.items():
        size = sizes[digest] + sum(sizes.get(chunk, 0) for chunk in blobs.find_chunks(digest))
        for account in accounts:
            taken[account] += size
    return taken
