"""Reposts: who showed a record to their followers. However often somebody does it, it counts once."""

from collections.abc import Iterator

from unhush.identity.cid import Cid
from unhush.storage.folds import about
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.folds.places import Place, is_named_by, iter_aids, iter_places
from unhush.storage.journal import pack_aid
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_repost(txn: Txn, of: Cid, account: bytes, aid: int) -> None:
    tail = tail_of(of)
    if not is_named_by(txn, Table.REPOSTS, tail, account):
        about.add(txn, tail, Relation.REPOSTS)
    txn.put(Table.REPOSTS, tail + account + pack_aid(aid), b"")


def drop_repost(txn: Txn, of: Cid, account: bytes, aid: int) -> None:
    tail = tail_of(of)
    if txn.delete(Table.REPOSTS, tail + account + pack_aid(aid)) and not is_named_by(txn, Table.REPOSTS, tail, account):
        about.add(txn, tail, Relation.REPOSTS, -1)


def iter_reposts(txn: Txn, of: Cid, after: Place | None = None) -> Iterator[tuple[Place, int]]:
    return iter_places(txn, Table.REPOSTS, tail_of(of), after)


def iter_repost_aids(txn: Txn, of: Cid, account: bytes = b"") -> Iterator[int]:
    """The records by which a record was reposted: all, or those of one account."""
    return iter_aids(txn, Table.REPOSTS, tail_of(of) + account)
