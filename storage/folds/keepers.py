"""Keepers: whom an account asks to keep it, as a fold over keeper records in force.

Who is asked once and named by two devices stays asked until both records are deleted, as with a follow. Whether
somebody does keep it says only a receipt of theirs (``storage/keeping/``).
"""

from collections.abc import Iterator

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage.folds.places import Place, is_named_by, iter_aids, iter_places
from unhush.storage.journal import pack_aid
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_keeper(txn: Txn, account: bytes, who: Cid, aid: int) -> None:
    """``account``: the packed number of who asks."""
    txn.put(Table.KEEPERS, account + who.digest + pack_aid(aid), b"")
    txn.put(Table.WARDS, who.digest + account + pack_aid(aid), b"")


def drop_keeper(txn: Txn, account: bytes, who: Cid, aid: int) -> None:
    txn.delete(Table.KEEPERS, account + who.digest + pack_aid(aid))
    txn.delete(Table.WARDS, who.digest + account + pack_aid(aid))


def is_keeper(txn: Txn, account: bytes, who: Cid) -> bool:
    """Whether the account with this number asks ``who`` to keep it."""
    return is_named_by(txn, Table.KEEPERS, account, who.digest)


def iter_keepers(txn: Txn, account: bytes) -> Iterator[Cid]:
    """Everybody the account asks to keep it, each once."""
    before = None
    for key, _ in txn.scan(Table.KEEPERS, account):
        digest = key[4:36]
        if digest != before:
            yield cid_of_digest(digest)
        before = digest


def iter_keeper_aids(txn: Txn, account: bytes, who: Cid) -> Iterator[int]:
    """The records by which the account asks ``who``."""
    return iter_aids(txn, Table.KEEPERS, account + who.digest)


def iter_wards(txn: Txn, who: Cid, after: Place | None = None) -> Iterator[tuple[Place, int]]:
    """Who asks ``who`` to keep them, each with the aid of such a record."""
    return iter_places(txn, Table.WARDS, who.digest, after)


def iter_newest_ward_aids(txn: Txn, who: Cid) -> Iterator[int]:
    """The keeper records that name somebody, those first whose accounts became known here last."""
    for key, _ in txn.scan_down(Table.WARDS, who.digest):
        yield int.from_bytes(key[-8:], "big")
