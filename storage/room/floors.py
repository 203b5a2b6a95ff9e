"""Floors: below which number a log is not wanted any more, because there is no room for it.

What was evicted, or refused as too old, would else be asked of every peer for
ever. A floor holds while the account is as far away as it was then; gc lifts
it when there is plenty of room again.
"""

from typing import Final

from unhush.identity.cid import Cid
from unhush.storage.logs import pack_u64
from unhush.storage.room.tiers import Tier, tier_of
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_SEQ_BYTES: Final = 8
_NONE: Final = "no log has a floor"


def find_floor(txn: Txn, account: Cid, log: bytes) -> int:
    """The lowest number wanted of a log; 0: all of it."""
    if txn.memo.get(_NONE):
        return 0
    row = txn.get(Table.FLOORS, log)
    if row is None:
        txn.memo[_NONE] = not txn.count(Table.FLOORS)  # asked for with every run that comes
        return 0
    if tier_of(txn, account) < Tier(row[_SEQ_BYTES]):
        return 0
    return int.from_bytes(row[:_SEQ_BYTES], "big")


def raise_floor(txn: Txn, account: Cid, log: bytes, seq: int) -> None:
    """Want nothing below a number."""
    floor = max(seq, find_floor(txn, account, log))
    txn.memo.pop(_NONE, None)
    txn.put(Table.FLOORS, log, pack_u64(floor) + bytes([tier_of(txn, account)]))


def lift_floor(txn: Txn, log: bytes) -> None:
    txn.delete(Table.FLOORS, log)
