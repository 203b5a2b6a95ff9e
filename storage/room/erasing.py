"""Erasing: what was taken back is given to nobody from then on, and its body goes when its time has come.

``withheld`` is asked before a record leaves this home: a deleted record goes
without its body, at once. ``erase`` takes the body out of the journal. The entry
stays: the chain is whole, and an entry without its body says nothing (its salt
is gone with it). What was erased is neither asked for nor taken in again, as
long as the delete that did it is in force.
"""

from dataclasses import replace
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage import indexes, journal, standing
from unhush.storage.accounts import Account
from unhush.storage.folds import deletes
from unhush.storage.folds.about import names_delete, tail_of
from unhush.storage.kinds import EDIT, Edit
from unhush.storage.records import BodyState, Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# In the block of every edit, as strict encoding has it: the pair "kind", "edit".
_EDIT_MARK: Final = b"\x64kind\x64" + EDIT.encode()


def find_taken_back(txn: Txn, record: Record) -> Cid | None:
    """What its account took back so that this record's body has to go: the record itself, or the post it edits."""
    if deletes.is_deleted(txn, record):
        return record.cid
    if record.kind != EDIT:
        return None
    body = indexes.find_body(record)
    of = body.of if isinstance(body, Edit) else None
    return of if of is not None and deletes.is_taken_back(txn, record.account, of) else None


def withheld(txn: Txn, record: Record) -> Record:
    """A record as others get it: without its body, if that was taken back."""
    if record.body is None or find_taken_back(txn, record) is None:
        return record
    return replace(record, body=None, body_state=BodyState.DELETED)


def withheld_all(txn: Txn, records: list[Record]) -> list[Record]:
    """As ``withheld`` for each, looking closer only where a delete names the record, or it may be an edit."""
    tails = [tail_of(record.cid) for record in records]
    named = txn.get_many(Table.ABOUT, tails)
    return [
        withheld(txn, record) if names_delete(named.get(tail)) or _EDIT_MARK in record.block else record
        for record, tail in zip(records, tails, strict=True)
    ]


def erase(txn: Txn, account: Account, record: Record) -> None:
    """Take the body of a record out that its account took back."""
    of = find_taken_back(txn, record)
    if of is None or record.body is None:
        return
    if of != record.cid and standing.is_shown(txn, account, record):
        indexes.unindex(txn, account, record)  # an edit is in force; only its post was taken back
    else:
        indexes.forget_body(txn, record)
    journal.erase_body(txn, record)
    txn.put(Table.ERASED, record.cid.digest, of.digest)


def is_erased(txn: Txn, record: Record) -> bool:
    """Whether the body was erased here and what took it back still does."""
    of = txn.get(Table.ERASED, record.cid.digest) if record.body is None else None
    return of is not None and deletes.is_taken_back(txn, record.account, cid_of_digest(of))


def forget_erased(txn: Txn, record: Record) -> None:
    """Call when a body came after all, or the record goes altogether."""
    txn.delete(Table.ERASED, record.cid.digest)
