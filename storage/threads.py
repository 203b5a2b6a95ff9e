"""Threads: every reply we hold under its root, in time order."""

from collections.abc import Iterator

from unhush.identity.cid import Cid
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.timeline import position_of
from unhush.storage.transaction import Txn


def put_reply(txn: Txn, root: Cid, record: Record) -> None:
    txn.put(Table.THREADS, root.digest + position_of(record).pack(), b"")


def drop_reply(txn: Txn, root: Cid, record: Record) -> None:
    txn.delete(Table.THREADS, root.digest + position_of(record).pack())


def iter_reply_aids(txn: Txn, root: Cid) -> Iterator[int]:
    for key, _ in txn.scan(Table.THREADS, root.digest):
        yield int.from_bytes(key[48:], "big")
