"""Pictures of an account that is kept: its history read from its end, for the records that name some."""

from dataclasses import dataclass, field
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.storage import accounts, logs, serving, standing
from unhush.storage.folds import blobrefs
from unhush.storage.records import Record
from unhush.storage.transaction import Txn

# Newer than any record: a log nothing was read of yet.
_UNREAD: Final = 2**63


@dataclass(slots=True)
class HistoryWalk:
    """How far the history of one account was read; made anew for whoever begins anew.

    What comes meanwhile is above it, and is not read.
    """

    account: Cid
    is_done: bool = False
    _highest: dict[PublicKey, int] | None = None  # where to go on in each log
    _reached_ms: dict[PublicKey, int] = field(default_factory=dict)


def walk_history(txn: Txn, walk: HistoryWalk, most: int) -> list[Record]:
    """Of the next ``most`` records those that may name blobs, the newest first as far as devices tell the time."""
    if walk._highest is None:
        walk._highest = _find_ends(txn, walk.account)
        walk._reached_ms = dict.fromkeys(walk._highest, _UNREAD)
    if not walk._highest:
        walk.is_done = True
        return []
    key = max(walk._highest, key=lambda each: (walk._reached_ms[each], each))
    log = logs.find_log(txn, walk.account, key)
    found: list[Record] = []
    slots = logs.iter_slots_down(txn, log, walk._highest[key]) if log is not None else iter(())
    for _, slot in zip(range(most), slots, strict=False):
        walk._highest[key] = slot.seq - 1
        record = serving.find_record(txn, slot.aid)
        if record is not None:
            walk._reached_ms[key] = record.entry.header.time
            if record.body is not None and blobrefs.may_name_blobs(record.body):
                found.append(record)
    if next(slots, None) is None:
        del walk._highest[key]
        walk.is_done = not walk._highest
    return found


def _find_ends(txn: Txn, account: Cid) -> dict[PublicKey, int]:
    known = accounts.find_account(txn, account)
    ends = {}
    for key, cut in known.state.cuts.items() if known is not None else ():
        log = logs.find_log(txn, account, key)
        if log is not None:
            ends[key] = standing.span_of(txn, log, cut).high
    return ends
