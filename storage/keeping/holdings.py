"""Holdings: what is held of each log of an account, exactly, for somebody who judges it.

What peers are told of the same (``summaries.py``) is what need not be sent;
this is what is there: entries by number, what links name and is not here, and
which bodies are lacking and why.
"""

from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import NOTHING, OPEN, Cut
from unhush.storage import accounts, journal, logs, serving, standing
from unhush.storage.folds import deletes
from unhush.storage.keeping import withheld
from unhush.storage.records import BodyState
from unhush.storage.room import erasing, floors
from unhush.storage.schema import Table
from unhush.storage.standing import Span
from unhush.storage.transaction import Txn

# Holes whose upper neighbour is asked what it names, and bodies that are listed: the newest of each.
MAX_HOLES: Final = 256
MAX_BODILESS: Final = 4_096


@dataclass(frozen=True, slots=True)
class Lacking:
    """An entry held without its body. ``is_fine``: nobody has it, as its author took it back or it never was one.

    ``reason``: why this home does without it; None if it does not.
    """

    seq: int
    entry: Cid
    is_fine: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Holding:
    """One log; ``named`` are entries that are not here, by number. ``tip_time``: of its author's clock, Unix ms."""

    key: PublicKey
    cut: Cut | None
    runs: tuple[tuple[int, int], ...]
    tip: logs.Slot | None
    tip_time: int
    named: dict[int, Cid]
    lacking: tuple[Lacking, ...]
    floor: int
    fork: int | None


def list_holdings(txn: Txn, account: Cid) -> list[Holding]:
    """Of every device that the account lists; nothing of an account that is not known."""
    known = accounts.find_account(txn, account)
    if known is None:
        return []
    return [_hold(txn, account, key, cut) for key, cut in sorted(known.state.cuts.items())]


def _hold(txn: Txn, account: Cid, key: PublicKey, cut: Cut) -> Holding:
    log = logs.find_log(txn, account, key)
    if log is None or cut == NOTHING:
        return Holding(key, cut, (), None, 0, {}, (), 0, None)
    span = Span(0, standing.LAST_SEQ if cut == OPEN else cut[0])
    runs = span.clip(logs.runs(txn, log))
    tip = logs.find_slot(txn, log, runs[-1][1]) if runs else None
    record = serving.find_record(txn, tip.aid) if tip is not None else None
    return Holding(
        key,
        cut,
        runs,
        tip,
        record.entry.header.time if record is not None else 0,
        _named(txn, log, runs),
        _lacking(txn, log, span),
        floors.find_floor(txn, account, log),
        standing.fork_point(txn, log) if cut == OPEN else None,
    )


def _named(txn: Txn, log: bytes, runs: tuple[tuple[int, int], ...]) -> dict[int, Cid]:
    found = {}
    for low, _ in runs[-MAX_HOLES:]:
        slot = logs.find_slot(txn, log, low) if low else None
        record = serving.find_record(txn, slot.aid) if slot is not None else None
        if record is not None and record.entry.header.prev is not None:
            found[low - 1] = record.entry.header.prev
    return found


def _lacking(txn: Txn, log: bytes, span: Span) -> tuple[Lacking, ...]:
    """The newest entries without a body; in a home that has them all this costs nothing."""
    if not txn.count(Table.BODILESS):
        return ()
    found = []
    for slot in logs.iter_slots_down(txn, log, span.high):
        state = txn.get(Table.BODILESS, journal.pack_aid(slot.aid))
        if state is None:
            continue
        record = serving.find_record(txn, slot.aid)
        if record is None:
            continue
        is_fine = (
            BodyState(state[0]) is BodyState.MALFORMED
            or deletes.is_deleted(txn, record)
            or erasing.is_erased(txn, record)
        )
        found.append(Lacking(slot.seq, slot.cid, is_fine, withheld.find_reason(txn, slot.cid)))
        if len(found) == MAX_BODILESS:
            break
    return tuple(found)
