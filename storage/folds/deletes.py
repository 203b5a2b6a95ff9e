"""Deletes: which records their own account has taken back, also before they arrive.

Every delete is remembered whatever it names, so that the table is the same in
whichever order records come; what it may act on is asked of the target.
"""

from unhush.identity.cid import Cid
from unhush.storage.folds import about
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.journal import pack_aid
from unhush.storage.kinds import DELETE
from unhush.storage.records import AID_BYTES, Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_delete(txn: Txn, account: Cid, of: Cid, aid: int) -> None:
    key = account.digest + of.digest + pack_aid(aid)
    about.put_naming(txn, Table.DELETED, key, tail_of(of), Relation.DELETES)


def drop_delete(txn: Txn, account: Cid, of: Cid, aid: int) -> None:
    key = account.digest + of.digest + pack_aid(aid)
    about.drop_naming(txn, Table.DELETED, key, tail_of(of), Relation.DELETES)


def is_deleted(txn: Txn, record: Record) -> bool:
    """Whether its account took a record back; deleting a delete or an identity operation does nothing."""
    return (
        is_taken_back(txn, record.account, record.cid) and record.kind != DELETE and not record.entry.header.is_identity
    )


def find_delete(txn: Txn, record: Record) -> int | None:
    """The aid of a delete by which a record was taken back."""
    found = next(iter(txn.scan(Table.DELETED, record.account.digest + record.cid.digest)), None)
    return int.from_bytes(found[0][-AID_BYTES:], "big") if found is not None else None


def is_taken_back(txn: Txn, account: Cid, of: Cid) -> bool:
    """Whether a delete of this account names it, held or not."""
    if not about.count(txn, tail_of(of), Relation.DELETES):
        return False
    return txn.has(Table.DELETED, account.digest + of.digest)
