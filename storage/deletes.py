"""Deletes: which records their own account has taken back, also before they arrive."""

from unhush.identity.cid import Cid
from unhush.storage.environment import Table, Txn
from unhush.storage.journal import pack_aid


def put_delete(txn: Txn, account: Cid, of: Cid, aid: int) -> None:
    txn.put(Table.DELETED, account.digest + of.digest + pack_aid(aid), b"")


def is_deleted(txn: Txn, account: Cid, cid: Cid) -> bool:
    return next(txn.scan(Table.DELETED, account.digest + cid.digest), None) is not None
