"""Follows: who follows whom, as a fold over follow records in force.

A follow holds while any follow record for that person is in force, so two
devices may both have written one, and both must be deleted to end it.
"""

from collections.abc import Iterator

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage.journal import pack_aid
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_follow(txn: Txn, follower: bytes, who: Cid, aid: int) -> None:
    txn.put(Table.FOLLOWS, follower + who.digest + pack_aid(aid), b"")


def drop_follow(txn: Txn, follower: bytes, who: Cid, aid: int) -> None:
    txn.delete(Table.FOLLOWS, follower + who.digest + pack_aid(aid))


def does_follow(txn: Txn, follower: bytes, who: Cid) -> bool:
    return next(txn.scan(Table.FOLLOWS, follower + who.digest), None) is not None


def iter_follow_aids(txn: Txn, follower: bytes, who: Cid) -> Iterator[int]:
    """The follow records that make ``follower`` follow ``who``."""
    for key, _ in txn.scan(Table.FOLLOWS, follower + who.digest):
        yield int.from_bytes(key[36:], "big")


def iter_followed(txn: Txn, follower: bytes) -> Iterator[Cid]:
    """Everybody the account with this packed number follows, each once."""
    before = None
    for key, _ in txn.scan(Table.FOLLOWS, follower):
        digest = key[4:36]
        if digest != before:
            yield cid_of_digest(digest)
        before = digest
