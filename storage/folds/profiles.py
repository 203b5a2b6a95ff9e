"""Profiles: the newest in force of each account by (time, CID), and private petnames."""

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage.journal import pack_aid
from unhush.storage.logs import pack_u64
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_profile(txn: Txn, account: bytes, record: Record) -> None:
    txn.put(Table.PROFILES, account + _rank(record), pack_aid(record.aid))


def drop_profile(txn: Txn, account: bytes, record: Record) -> None:
    txn.delete(Table.PROFILES, account + _rank(record))


def find_profile_aid(txn: Txn, account: bytes) -> int | None:
    """The newest: all are kept, so that one that goes uncovers the one before it without a search."""
    newest = next(txn.scan_down(Table.PROFILES, account), None)
    return int.from_bytes(newest[1], "big") if newest is not None else None


def _rank(record: Record) -> bytes:
    return pack_u64(record.entry.header.time) + record.cid.digest


def put_petname(txn: Txn, who: Cid, petname: str | None) -> None:
    """What you call somebody; never published. None forgets it."""
    if petname:
        txn.put(Table.PETNAMES, who.digest, petname.encode())
    else:
        txn.delete(Table.PETNAMES, who.digest)


def find_petname(txn: Txn, who: Cid) -> str | None:
    held = txn.get(Table.PETNAMES, who.digest)
    return held.decode() if held is not None else None


def iter_petnames(txn: Txn) -> dict[Cid, str]:
    return {cid_of_digest(digest): petname.decode() for digest, petname in txn.scan(Table.PETNAMES)}
