"""Edits: the versions of each post, remembered by (account, what they name), also before the post comes.

Every edit in force that is not deleted is kept here, whatever it names and
whether or not its post is shown; what is made of them is asked when the post
is. The newest by (time, CID) is shown; all stay readable.
"""

from collections.abc import Iterator

from unhush.identity.cid import Cid
from unhush.storage import serving
from unhush.storage.folds import about
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.journal import pack_aid
from unhush.storage.logs import pack_u64
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_edit(txn: Txn, of: Cid, record: Record) -> None:
    """``record``: the edit."""
    about.put_naming(txn, Table.EDITS, _key(of, record), tail_of(of), Relation.EDITS, value=pack_aid(record.aid))


def drop_edit(txn: Txn, of: Cid, record: Record) -> None:
    about.drop_naming(txn, Table.EDITS, _key(of, record), tail_of(of), Relation.EDITS)


def _key(of: Cid, record: Record) -> bytes:
    return record.account.digest + of.digest + pack_u64(record.entry.header.time) + record.cid.digest


def find_newest(txn: Txn, post: Record) -> Record | None:
    """The edit that is shown in place of a post."""
    if not about.count(txn, tail_of(post.cid), Relation.EDITS):
        return None
    newest = next(txn.scan_down(Table.EDITS, post.account.digest + post.cid.digest), None)
    return serving.find_record(txn, int.from_bytes(newest[1], "big")) if newest is not None else None


def iter_edits(txn: Txn, post: Record) -> Iterator[Record]:
    """Every edit of a post, oldest first."""
    return iter_edits_of(txn, post.account, post.cid)


def iter_edits_of(txn: Txn, account: Cid, of: Cid) -> Iterator[Record]:
    """As ``iter_edits``, also before the post came."""
    for _, aid in txn.scan(Table.EDITS, account.digest + of.digest):
        record = serving.find_record(txn, int.from_bytes(aid, "big"))
        if record is not None:
            yield record
