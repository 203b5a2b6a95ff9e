"""Follows: who follows whom, as a fold over follow records in force.

A follow holds while any follow record for that person is in force, so two
devices may both have written one, and both must be deleted to end it.
"""

from collections.abc import Iterator

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage.folds import about
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.folds.places import Place, is_named_by, iter_aids, iter_places
from unhush.storage.journal import pack_aid
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_follow(txn: Txn, follower: bytes, who: Cid, aid: int) -> None:
    """``follower``: the packed number of an account."""
    if not does_follow(txn, follower, who):
        about.add(txn, tail_of(who), Relation.FOLLOWERS)
    txn.put(Table.FOLLOWS, follower + who.digest + pack_aid(aid), b"")
    txn.put(Table.FOLLOWERS, who.digest + follower + pack_aid(aid), b"")


def drop_follow(txn: Txn, follower: bytes, who: Cid, aid: int) -> None:
    txn.delete(Table.FOLLOWERS, who.digest + follower + pack_aid(aid))
    if txn.delete(Table.FOLLOWS, follower + who.digest + pack_aid(aid)) and not does_follow(txn, follower, who):
        about.add(txn, tail_of(who), Relation.FOLLOWERS, -1)


def does_follow(txn: Txn, follower: bytes, who: Cid) -> bool:
    return is_named_by(txn, Table.FOLLOWS, follower, who.digest)


def iter_follow_aids(txn: Txn, follower: bytes, who: Cid) -> Iterator[int]:
    """The follow records that make ``follower`` follow ``who``."""
    return iter_aids(txn, Table.FOLLOWS, follower + who.digest)


def iter_followed(txn: Txn, follower: bytes) -> Iterator[Cid]:
    """Everybody the account with this packed number follows, each once."""
    return _iter_named(txn, Table.FOLLOWS, follower)


def iter_followers(txn: Txn, who: Cid, after: Place | None = None) -> Iterator[tuple[Place, int]]:
    """Who is known to follow somebody, each with the aid of a follow record."""
    return iter_places(txn, Table.FOLLOWERS, who.digest, after)


def iter_newest_follower_aids(txn: Txn, who: Cid) -> Iterator[int]:
    """The follow records of somebody's followers, those first whose accounts became known here last."""
    for key, _ in txn.scan_down(Table.FOLLOWERS, who.digest):
        yield int.from_bytes(key[-8:], "big")


def put_block(txn: Txn, account: bytes, who: Cid, aid: int) -> None:
    """A block its author published."""
    txn.put(Table.BLOCKS, account + who.digest + pack_aid(aid), b"")


def drop_block(txn: Txn, account: bytes, who: Cid, aid: int) -> None:
    txn.delete(Table.BLOCKS, account + who.digest + pack_aid(aid))


def iter_blocked(txn: Txn, account: bytes) -> Iterator[Cid]:
    """Everybody an account blocked before everybody's eyes, each once."""
    return _iter_named(txn, Table.BLOCKS, account)


def iter_block_aids(txn: Txn, account: bytes, who: Cid) -> Iterator[int]:
    return iter_aids(txn, Table.BLOCKS, account + who.digest)


def _iter_named(txn: Txn, table: Table, account: bytes) -> Iterator[Cid]:
    before = None
    for key, _ in txn.scan(table, account):
        digest = key[4:36]
        if digest != before:
            yield cid_of_digest(digest)
        before = digest
