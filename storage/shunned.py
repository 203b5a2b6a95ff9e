"""Whom this home would rather not see: mutes and blocks that are kept here and told to nobody.

What is muted or blocked stays in the indexes and is passed over when they are
read, so it is back at once. A block that was published hides as one kept here.
"""

from enum import IntFlag

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


class Shun(IntFlag):
    """Muted people are not shown in home and activity; blocked ones are not shown there either, and meant to be kept
    away by whoever shows threads."""

    NOT = 0
    MUTED = 1
    BLOCKED = 2


def put_shun(txn: Txn, who: Cid, shun: Shun) -> None:
    if shun:
        txn.put(Table.SHUNNED, who.digest, bytes([shun]))
    else:
        txn.delete(Table.SHUNNED, who.digest)


def iter_shunned(txn: Txn) -> dict[Cid, Shun]:
    return {cid_of_digest(digest): Shun(value[0]) for digest, value in txn.scan(Table.SHUNNED)}
