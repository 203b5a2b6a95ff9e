"""Quotes: which posts show a record beneath themselves."""

from collections.abc import Iterator

from unhush.identity.cid import Cid
from unhush.storage.folds import about
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.folds.timeline import Position, aid_at, unpack_position
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def put_quote(txn: Txn, quoted: Cid, at: bytes) -> None:
    tail = tail_of(quoted)
    about.put_naming(txn, Table.QUOTES, tail + at, tail, Relation.QUOTES)


def drop_quote(txn: Txn, quoted: Cid, at: bytes) -> None:
    tail = tail_of(quoted)
    about.drop_naming(txn, Table.QUOTES, tail + at, tail, Relation.QUOTES)


def iter_quotes(txn: Txn, quoted: Cid, before: Position | None = None) -> Iterator[Position]:
    """Newest first, strictly before a position."""
    tail = tail_of(quoted)
    for key, _ in txn.scan_down(Table.QUOTES, tail, before=tail + before.pack() if before else None):
        yield unpack_position(key[about.TAIL_BYTES :])


def iter_quote_aids(txn: Txn, quoted: Cid) -> Iterator[int]:
    for key, _ in txn.scan(Table.QUOTES, tail_of(quoted)):
        yield aid_at(key)
