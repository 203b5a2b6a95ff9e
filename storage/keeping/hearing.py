"""Hearing: the statements held that may be said, judged as they are read.

A device that was cut off since is not heard any more, and what ended is over;
but for cards: who moved may be found by nothing else.
"""

from collections.abc import Iterator
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.statement import Card, Statement
from unhush.storage.keeping import rows, speakers
from unhush.storage.keeping.ranking import Rank, rank_rows
from unhush.storage.keeping.rows import SPEAKER, Type
from unhush.storage.keeping.trust import is_trusted
from unhush.storage.transaction import Txn

# Receipts of others that are read where keepers are counted: strangers make as many as they like.
MAX_OTHERS: Final = 16

_ORDER: Final = {Type.CARD: 0, Type.HEADS: 1, Type.RECEIPT: 2, Type.ABSENT: 3}


def find_statements(txn: Txn, about: Cid, kind: Type, now_ms: int) -> list[Statement]:
    """Those of one type about an account, the newest first; cards that ended are last."""
    found = _iter_heard(txn, rows.sort_of(about, kind), now_ms)
    return sorted(found, key=lambda each: (each.expires <= now_ms, -each.time, each.digest))


def find_counting(txn: Txn, about: Cid, now_ms: int) -> list[Statement]:
    """Receipts for an account by others, the newest first: by us, by those who are trusted, and a few of anybody's.

    Of others only so many are read, each of them costs as much as its author likes.
    """
    held = rows.list_rows(txn, rows.sort_of(about, Type.RECEIPT))
    fresh = (row for row in held if row.expires > now_ms and row.key[SPEAKER] != about.digest)
    found, others = [], 0
    for rank, row in rank_rows(txn, fresh, now_ms):
        if rank >= Rank.TOLD:
            if others == MAX_OTHERS:
                break
            others += 1
        statement = find_heard(txn, row.key, now_ms)
        if statement is not None:
            found.append(statement)
    return sorted(found, key=lambda each: (-each.time, each.digest))


def list_about(txn: Txn, account: Cid, now_ms: int) -> list[Statement]:
    """Everything about an account; what helps most comes first."""
    # A receipt may stand beside an absent too.
    found = {each.digest: each for each in _iter_heard(txn, account.digest, now_ms)}
    return sorted(
        found.values(),
        key=lambda each: (
            each.expires <= now_ms,
            _ORDER[rows.type_of(each)],
            not is_trusted(txn, account, each.account),
            -each.time,
            each.digest,
        ),
    )


def find_heard(txn: Txn, key: bytes, now_ms: int) -> Statement | None:
    """The statement of one row."""
    statement = rows.find_statement(txn, key)
    return statement if statement is not None and _is_heard(txn, statement, now_ms) else None


def is_held(txn: Txn, statement: Statement) -> bool:
    """Whether this very statement is held, and not another of its kind."""
    return rows.find_block(txn, rows.key_of(statement)) == statement.block


def _iter_heard(txn: Txn, prefix: bytes, now_ms: int) -> Iterator[Statement]:
    return (each for each in rows.iter_statements(txn, prefix) if _is_heard(txn, each, now_ms))


def _is_heard(txn: Txn, statement: Statement, now_ms: int) -> bool:
    if statement.expires <= now_ms and not isinstance(statement.claim, Card):
        return False
    return speakers.may_speak(txn, statement.account, statement.key)
