"""Migration: a home of an older schema version is brought up to this one, step by step; a newer one is refused.

All steps of one opening are in one transaction, with the new version written
at its end: whatever ends the process in the middle leaves the old version as
it was. A program that knows only the old version refuses the home afterwards.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from unhush.identity.operations import NOTHING, OPEN
from unhush.storage import accounts, indexes, journal, judging, logs, standing
from unhush.storage.errors import HomeReadOnly, NewerSchema, StoreUnreadable
from unhush.storage.folds import FOLD_TABLES
from unhush.storage.rebuilding import rebuild
from unhush.storage.schema import SCHEMA_VERSION, Table
from unhush.storage.transaction import Txn

log = logging.getLogger(__name__)

_VERSION: Final = b"schema"
_NETWORK: Final = b"network"
# A version is a small number in digits; anything longer is damage.
_MAX_VERSION_BYTES: Final = 9

# Brings what is there from one version to the next.
Step = Callable[[Txn], None]


def check_network(txn: Txn, path: Path, network: str) -> None:
    """Note a new home's network; raises ``StoreUnreadable`` for a home of another one."""
    found = txn.get(Table.META, _NETWORK)
    if found is None and txn.get(Table.META, _VERSION) is None:
        txn.put(Table.META, _NETWORK, network.encode())
    elif found != network.encode():
        raise StoreUnreadable(
            f"the database in {path} has network {(found or b'').decode(errors='replace')!r}, "
            f"this program works with {network!r}"
        )


def find_version(txn: Txn, path: Path) -> int | None:
    """The home's schema version; None in a new home. Raises ``StoreUnreadable``, ``NewerSchema``."""
    found = txn.get(Table.META, _VERSION)
    if found is None:
        return None
    if not found.isdigit() or len(found) > _MAX_VERSION_BYTES or int(found) < 1:
        raise StoreUnreadable(f"the database in {path} has schema {found.decode(errors='replace')!r}, which is none")
    if int(found) > SCHEMA_VERSION:
        raise NewerSchema(path, int(found), SCHEMA_VERSION)
    return int(found)


def check_is_current(version: int | None, path: Path) -> None:
    """Raise ``HomeReadOnly`` for a home that would have to be changed before it can be read."""
    if version != SCHEMA_VERSION:
        raise HomeReadOnly(
            f"the database in {path} has schema version {version or 'none'} and must become {SCHEMA_VERSION} "
            "before it can be read, and it cannot be written here"
        )


def migrate(txn: Txn, version: int | None) -> None:
    """Bring a home of a version up to this one."""
    if version is not None:
        _take_steps(txn, version, SCHEMA_VERSION, STEPS)
    if version != SCHEMA_VERSION:
        txn.put(Table.META, _VERSION, str(SCHEMA_VERSION).encode())


def _take_steps(txn: Txn, version: int, wanted: int, steps: Mapping[int, Step]) -> None:
    for at in range(version, wanted):
        log.warning("the database becomes schema version=%d from=%d; this may take a while", at + 1, at)
        steps[at](txn)
        txn.flush()


def _to_2(txn: Txn) -> None:
    """Root keys and how far cuts reach, which homes did not always keep; all folds have other rows."""
    for table in FOLD_TABLES:
        txn.clear(table)
    for account in accounts.iter_accounts(txn):
        known = accounts.find_account(txn, account)
        if known is None:
            continue
        accounts.note_root(txn, account)
        for key, cut in known.state.cuts.items():
            number = logs.find_log(txn, account, key)
            if number is not None and cut not in (OPEN, NOTHING) and standing.find_proven(txn, number) is None:
                judging.extend(txn, known, key, account)
    rebuild(txn)


def _to_3(txn: Txn) -> None:
    """A tier between the own account and those it follows; records that ask somebody to keep their account are read."""
    for log, row in list(txn.scan(Table.FLOORS)):
        txn.put(Table.FLOORS, log, row[:-1] + bytes([row[-1] + 1]))
    asking = [key for key, row in txn.scan(Table.JOURNAL) if _KEEPER_MARK in row]
    for key in asking:
        record = journal.find_record(txn, int.from_bytes(key, "big"))
        account = accounts.find_account(txn, record.account) if record is not None else None
        if record is not None and account is not None and standing.is_shown(txn, account, record):
            indexes.index(txn, account, record, indexes.find_body(record))


# In the block of every such entry, as strict encoding has it: the pair "kind", "keeper".
_KEEPER_MARK: Final = b"\x64kind\x66keeper"

# From a version to the next; a step may look at the tables only as they were then.
STEPS: Final[Mapping[int, Step]] = {1: _to_2, 2: _to_3}
