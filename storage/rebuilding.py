"""Rebuilding: every fold emptied and filled again from the journal, in one transaction.

What comes out is, byte for byte, what was there before: the folds follow from
the records, the logs' slots, the accounts and the home's own account, and
from no order. So this mends indexes of which a row was damaged, and makes those
a newer version wants.
"""

from collections.abc import Callable
from typing import Final

from unhush.storage import accounts, indexes, journal, standing
from unhush.storage.folds import FOLD_TABLES
from unhush.storage.room import usage
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_PROGRESS_EVERY: Final = 1000  # records between two words to whoever waits


def rebuild(txn: Txn, on_progress: Callable[[int], None] = lambda _: None) -> int:
    """Returns how many records are shown now; raises ``DamagedRow`` for a journal that must be repaired first.

    ``on_progress`` is told how many records were looked at.
    """
    for table in (*FOLD_TABLES, Table.USAGE):
        txn.clear(table)
    txn.memo.clear()
    shown = looked_at = 0
    for record in journal.iter_journal(txn, 0):
        looked_at += 1
        if looked_at % _PROGRESS_EVERY == 0:
            on_progress(looked_at)
        usage.add_records(txn, (record,))
        if record.body is None or record.entry.header.is_identity:
            continue
        account = accounts.find_account(txn, record.account)
        if account is not None and standing.is_shown(txn, account, record):
            indexes.index(txn, account, record, indexes.find_body(record))
            shown += 1
    return shown
