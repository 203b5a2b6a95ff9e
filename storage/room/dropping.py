"""Dropping records whole: out of what people see, out of their log, out of the journal.

What is dropped is a hole like any other. What stays must be provable without
it: entries vouch downwards, so whoever drops the one above an entry that stays
asks ``stands_alone`` first.
"""

from unhush.identity.entry import parse_entry, verify_signature
from unhush.identity.errors import IdentityError
from unhush.storage import accounts, indexes, journal, logs, standing
from unhush.storage.accounts import Account
from unhush.storage.records import Record
from unhush.storage.room import erasing, floors
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def drop(txn: Txn, account: Account, log: bytes, record: Record) -> None:
    """Drop one entry of a log, of whichever branch."""
    if standing.is_shown(txn, account, record):
        indexes.unindex(txn, account, record)
    logs.drop_entry(txn, log, record.entry.header.seq, record.cid)
    journal.drop_record(txn, record)
    erasing.forget_erased(txn, record)
    txn.delete(Table.GRACE, record.cid.digest)


def stands_alone(record: Record, network: str) -> bool:
    """Whether an entry's own signature holds, so that it needs nobody to vouch for it."""
    try:
        verify_signature(parse_entry(record.block), network)
    except IdentityError:
        return False
    return True


def forget_if_empty(txn: Txn, account: Account) -> bool:
    """Forget an account of which nothing but its operations is held; whether that was so."""
    held = list(logs.iter_logs(txn, account.id))
    for _, _, log in held:
        if logs.find_head(txn, log) is not None or logs.has_beside(txn, log):
            return False
    for _, key, log in held:
        _forget_log(txn, account.id.digest + key.bytes, log)
    accounts.forget_account(txn, account.id)
    return True


def _forget_log(txn: Txn, name: bytes, log: bytes) -> None:
    """Forget the number of a log of which nothing is held any more; ``name``: the account's digest and the key."""
    txn.delete(Table.PROVEN, log)
    floors.lift_floor(txn, log)
    txn.delete(Table.LOGS, log)
    logs.drop_number(txn, name)
