"""Labels: what accounts say a record or an account is, and what is answered to each label."""

from collections.abc import Iterator

from unhush.identity.cid import Cid
from unhush.storage.folds import about
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.folds.places import iter_aids
from unhush.storage.journal import pack_aid
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_label(txn: Txn, on: Cid, account: bytes, aid: int) -> None:
    about.put_naming(txn, Table.LABELS, on.digest + account + pack_aid(aid), tail_of(on), Relation.LABELS)


def drop_label(txn: Txn, on: Cid, account: bytes, aid: int) -> None:
    about.drop_naming(txn, Table.LABELS, on.digest + account + pack_aid(aid), tail_of(on), Relation.LABELS)


def iter_label_aids(txn: Txn, on: Cid) -> Iterator[int]:
    return iter_aids(txn, Table.LABELS, on.digest)


def put_rebuttal(txn: Txn, label: Cid, account: bytes, aid: int) -> None:
    txn.put(Table.REBUTTALS, label.digest + account + pack_aid(aid), b"")


def drop_rebuttal(txn: Txn, label: Cid, account: bytes, aid: int) -> None:
    txn.delete(Table.REBUTTALS, label.digest + account + pack_aid(aid))


def iter_rebuttal_aids(txn: Txn, label: Cid) -> Iterator[int]:
    return iter_aids(txn, Table.REBUTTALS, label.digest)
