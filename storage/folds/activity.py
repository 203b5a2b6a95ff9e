"""Activity: what others did with the own account and its records. For the own account alone.

A row says that one record of somebody else mentions us, follows us, asks us to keep it, or names a
record of ours that is shown here. ``MINE`` lists those, so that nobody has to
be fetched to see whose a target is: the account beside a link proves nothing.
Own records may come after what names them; then everything that does is looked up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby

from unhush.identity.cid import Cid
from unhush.storage import journal
from unhush.storage.folds import about, quotes, reactions, reposts, threads
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.folds.timeline import POSITION_BYTES, Position, pack_position, unpack_position
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


class Reason(IntEnum):
    """Why a record concerns us."""

    MENTION = 1
    REPLY = 2
    REACTION = 3
    REPOST = 4
    QUOTE = 5
    FOLLOW = 6
    KEEPER = 7


@dataclass(frozen=True, slots=True)
class Act:
    """One record of somebody else, and every reason why it concerns us."""

    at: Position
    reasons: tuple[Reason, ...]


def put_act(txn: Txn, at: bytes, reason: Reason) -> None:
    """``at``: the packed position of a record of somebody else."""
    txn.put(Table.ACTIVITY, at + bytes([reason]), b"")


def drop_acts(txn: Txn, at: bytes) -> None:
    for reason in Reason:
        txn.delete(Table.ACTIVITY, at + bytes([reason]))


def is_mine(txn: Txn, target: Cid) -> bool:
    """Whether this is a record of the own account that is shown."""
    return txn.get(Table.MINE, tail_of(target)) is not None


def put_mine(txn: Txn, record: Record) -> None:
    """A record of the own account came into view."""
    txn.put(Table.MINE, tail_of(record.cid), b"")
    for at, reason in _iter_naming(txn, record):
        put_act(txn, at, reason)


def drop_mine(txn: Txn, record: Record) -> None:
    txn.delete(Table.MINE, tail_of(record.cid))
    for at, reason in _iter_naming(txn, record):
        txn.delete(Table.ACTIVITY, at + bytes([reason]))


def _iter_naming(txn: Txn, mine: Record) -> Iterator[tuple[bytes, Reason]]:
    """What others did to a record of ours."""
    named = about.find_about(txn, tail_of(mine.cid))
    if named is None:
        return
    for relation, reason, find_aids in (
        (Relation.ANSWERS, Reason.REPLY, threads.iter_answer_aids),
        (Relation.REACTIONS, Reason.REACTION, reactions.iter_reaction_aids),
        (Relation.REPOSTS, Reason.REPOST, reposts.iter_repost_aids),
        (Relation.QUOTES, Reason.QUOTE, quotes.iter_quote_aids),
    ):
        for aid in find_aids(txn, mine.cid) if named[relation] else ():
            record = journal.find_record(txn, aid)
            if record is not None and record.account != mine.account:
                yield pack_position(record), reason


def iter_activity(txn: Txn, before: Position | None) -> Iterator[Act]:
    """Newest first, strictly before a position."""
    rows = txn.scan_down(Table.ACTIVITY, before=before.pack() if before else None)
    for at, found in groupby((key for key, _ in rows), key=lambda key: key[:POSITION_BYTES]):
        yield Act(unpack_position(at), tuple(sorted(Reason(key[POSITION_BYTES]) for key in found)))
