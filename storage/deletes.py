"""Deletes: which records their own account has taken back, also before they arrive.

Every delete is remembered whatever it names, so that the table is the same in
whichever order records come; what it may act on is asked of the target.
"""

from unhush.identity.cid import Cid
from unhush.storage.journal import pack_aid
from unhush.storage.kinds import DELETE
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_delete(txn: Txn, account: Cid, of: Cid, aid: int) -> None:
    txn.put(Table.DELETED, account.digest + of.digest + pack_aid(aid), b"")


def drop_delete(txn: Txn, account: Cid, of: Cid, aid: int) -> None:
    txn.delete(Table.DELETED, account.digest + of.digest + pack_aid(aid))


def is_deleted(txn: Txn, record: Record) -> bool:
    """Whether its account took a record back; deleting a delete or an identity operation does nothing."""
    taken_back = next(txn.scan(Table.DELETED, record.account.digest + record.cid.digest), None)
    return taken_back is not None and record.kind != DELETE and not record.entry.header.is_identity
