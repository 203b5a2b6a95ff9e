"""Threads: every reply we hold under its root and under its parent, in time order.

A reply whose parent names another root is shown under the parent's (PROTOCOL
§4): under what the parent, if it is shown here, itself says. That is looked at
for the parent alone and not for what the parent answers in turn, or one record
that comes late could move any number of others, and again with the next.
"""

from collections.abc import Iterator

from unhush.identity.cid import Cid
from unhush.storage import journal
from unhush.storage.accounts import find_account
from unhush.storage.folds import about
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.folds.timeline import Position, Shelf, aid_at, is_on_shelf, pack_position, unpack_position
from unhush.storage.kinds import POST, Reply
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_reply(txn: Txn, reply: Reply, at: bytes) -> None:
    """``at``: the packed position of the post that replies."""
    parent, root = tail_of(reply.parent), tail_of(reply.root)
    if about.put_naming(txn, Table.ANSWERS, parent + at, parent, Relation.ANSWERS) and root != parent:
        about.add(txn, parent, Relation.STRAYS)
    txn.put(Table.REPLY_ROOTS, at[-8:], root)
    txn.put(Table.THREADS, (_root_by_parent(txn, reply) or root) + at, b"")


def drop_reply(txn: Txn, reply: Reply, at: bytes) -> None:
    parent, root = tail_of(reply.parent), tail_of(reply.root)
    if about.drop_naming(txn, Table.ANSWERS, parent + at, parent, Relation.ANSWERS) and root != parent:
        about.add(txn, parent, Relation.STRAYS, -1)
    txn.delete(Table.REPLY_ROOTS, at[-8:])
    for shown_under in {root, _root_by_parent(txn, reply) or root}:
        txn.delete(Table.THREADS, shown_under + at)


def _root_by_parent(txn: Txn, reply: Reply) -> bytes | None:
    """The root for answers to a reply's parent, None if that is not shown here as a post."""
    aid = txn.get(Table.IDS, reply.parent.digest)
    if aid is None:
        return None
    named = txn.get(Table.REPLY_ROOTS, aid)
    if named is not None or reply.parent == reply.root:
        return named  # an answer to a root names it, whether that is shown or not
    parent = journal.find_record(txn, int.from_bytes(aid, "big"))
    account = find_account(txn, parent.account) if parent is not None and parent.kind == POST else None
    if parent is None or account is None:
        return None
    at = pack_position(parent)
    is_root = any(is_on_shelf(txn, account.number, shelf, at) for shelf in (Shelf.POSTS, Shelf.ARTICLES))
    return tail_of(reply.parent) if is_root else None


def gather_answers(txn: Txn, post: bytes, root: bytes) -> None:
    """A post came into view: what answers it goes under the root it stands under itself. Both are tails."""
    _move_answers(txn, post, root, is_shown=True)


def let_answers_go(txn: Txn, post: bytes, root: bytes) -> None:
    """A post went: what answers it goes where each answer says itself."""
    _move_answers(txn, post, root, is_shown=False)


def _move_answers(txn: Txn, post: bytes, root: bytes, *, is_shown: bool) -> None:
    found = about.find_about(txn, post)
    # Answers to a root mostly name it and stay where they are; answers to a reply never name what they answer.
    if found is None or not found[Relation.STRAYS if root == post else Relation.ANSWERS]:
        return
    for key, _ in txn.scan(Table.ANSWERS, post):
        at = key[about.TAIL_BYTES :]
        named = txn.get(Table.REPLY_ROOTS, at[-8:])
        if named is None or named == root:
            continue
        now, before = (root, named) if is_shown else (named, root)
        txn.delete(Table.THREADS, before + at)
        txn.put(Table.THREADS, now + at, b"")


def iter_thread(txn: Txn, root: Cid, after: Position | None) -> Iterator[Position]:
    """Every reply held of a thread, oldest first, strictly after a position."""
    return _iter_after(txn, Table.THREADS, tail_of(root), after)


def iter_thread_down(txn: Txn, root: Cid, before: Position | None) -> Iterator[Position]:
    """Every reply held of a thread, newest first, strictly before a position."""
    tail = tail_of(root)
    for key, _ in txn.scan_down(Table.THREADS, tail, before=tail + before.pack() if before is not None else None):
        yield unpack_position(key[about.TAIL_BYTES :])


def iter_answers(txn: Txn, parent: Cid, after: Position | None) -> Iterator[Position]:
    """What answers a record directly, oldest first, strictly after a position."""
    return _iter_after(txn, Table.ANSWERS, tail_of(parent), after)


def _iter_after(txn: Txn, table: Table, tail: bytes, after: Position | None) -> Iterator[Position]:
    start = tail + after.pack() + b"\x00" if after is not None else None
    for key, _ in txn.scan(table, tail, start=start):
        yield unpack_position(key[about.TAIL_BYTES :])


def iter_answer_aids(txn: Txn, parent: Cid) -> Iterator[int]:
    for key, _ in txn.scan(Table.ANSWERS, tail_of(parent)):
        yield aid_at(key)


def iter_newest_answer_aids(txn: Txn, parent: Cid) -> Iterator[int]:
    """As ``iter_answer_aids``, those first that came here last."""
    for key, _ in txn.scan_down(Table.ANSWERS, tail_of(parent)):
        yield aid_at(key)
