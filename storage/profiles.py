"""Profiles: the newest in force of each account by (time, CID), and private petnames."""

from unhush.identity.cid import Cid
from unhush.storage.environment import Table, Txn
from unhush.storage.journal import pack_aid
from unhush.storage.logs import pack_u64
from unhush.storage.records import Record


def put_profile(txn: Txn, account: bytes, record: Record) -> None:
    rank = pack_u64(record.entry.header.time) + record.cid.digest
    held = txn.get(Table.PROFILES, account)
    if held is None or held[:40] < rank:
        txn.put(Table.PROFILES, account, rank + pack_aid(record.aid))


def drop_profile(txn: Txn, account: bytes) -> None:
    txn.delete(Table.PROFILES, account)


def find_profile_aid(txn: Txn, account: bytes) -> int | None:
    held = txn.get(Table.PROFILES, account)
    return int.from_bytes(held[40:], "big") if held is not None else None


def put_petname(txn: Txn, who: Cid, petname: str | None) -> None:
    """What you call somebody; never published. None forgets it."""
    if petname:
        txn.put(Table.PETNAMES, who.digest, petname.encode())
    else:
        txn.delete(Table.PETNAMES, who.digest)


def find_petname(txn: Txn, who: Cid) -> str | None:
    held = txn.get(Table.PETNAMES, who.digest)
    return held.decode() if held is not None else None
