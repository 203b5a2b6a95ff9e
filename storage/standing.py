"""Standing: what each record is worth, kept for whole logs instead of for each record (PROTOCOL §3, rules 3 and 7).

Of every log the shown part is one span of its slots:

    open            all of it; contested from the fork on, and then the branch seen first
    under a cut     from the lowest entry that held links reach from the cut, up to the cut
    no say          nothing (not listed by the standing table, or cut before entry 0)

So the standing of a record follows from the state of its account, one number
of its log (``PROVEN``, how far down a cut reaches) and whether it holds its
slot. This file reads; ``judging.py`` writes.
"""

from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import NOTHING, OPEN, Cut
from unhush.identity.trunk import Standing
from unhush.storage import logs
from unhush.storage.accounts import Account
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

LAST_SEQ: Final = logs.LAST_SEQ


@dataclass(frozen=True, slots=True)
class Span:
    """The numbers of a log whose slots are shown, inclusive."""

    low: int
    high: int

    def __contains__(self, seq: int) -> bool:
        return self.low <= seq <= self.high

    def clip(self, runs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """The part of ascending runs that lies in the span."""
        clipped = ((max(low, self.low), min(high, self.high)) for low, high in runs)
        return tuple((low, high) for low, high in clipped if low <= high)

    def minus(self, other: "Span") -> tuple["Span", ...]:
        """The parts of the span that lie outside another."""
        if other.low > other.high:
            return (self,)
        parts = (Span(self.low, min(self.high, other.low - 1)), Span(max(self.low, other.high + 1), self.high))
        return tuple(part for part in parts if part.low <= part.high)


ALL: Final = Span(0, LAST_SEQ)
NONE: Final = Span(0, -1)


def span_of(txn: Txn, log: bytes, cut: Cut | None) -> Span:
    """What is shown of a log whose device has this cut; None: the device is not listed."""
    if cut == OPEN:
        return ALL
    if cut is None or cut == NOTHING:
        return NONE
    low = find_proven(txn, log)
    return Span(low, cut[0]) if low is not None else NONE


def find_proven(txn: Txn, log: bytes) -> int | None:
    """The lowest number that held links reach from the cut of a log; None if the cut itself is not held."""
    value = txn.get(Table.PROVEN, log)
    return int.from_bytes(value, "big") if value is not None else None


def standing_of(txn: Txn, account: Account, record: Record) -> Standing:
    """What a held record is worth, under the state the account has here."""
    header = record.entry.header
    if header.is_identity:
        return Standing.IN_FORCE
    log = logs.find_log(txn, account.id, header.key)
    cut = account.state.cut_of(header.key)
    if log is None or cut is None:
        return Standing.VOID
    if cut == OPEN:
        fork = fork_point(txn, log)
        return Standing.IN_FORCE if fork is None or header.seq < fork else Standing.CONTESTED
    if header.seq > cut[0]:
        return Standing.VOID
    if header.seq not in span_of(txn, log, cut):
        return Standing.UNPROVEN
    return Standing.IN_FORCE if _holds_slot(txn, log, record) else Standing.VOID


def is_shown(txn: Txn, account: Account, record: Record) -> bool:
    """Whether people see a record: in its slot, and inside the span."""
    header = record.entry.header
    log = logs.find_log(txn, account.id, header.key)
    if log is None or header.is_identity:
        return False
    return header.seq in span_of(txn, log, account.state.cut_of(header.key)) and _holds_slot(txn, log, record)


def _holds_slot(txn: Txn, log: bytes, record: Record) -> bool:
    slot = logs.find_slot(txn, log, record.entry.header.seq)
    return slot is not None and slot.cid == record.cid


def fork_point(txn: Txn, log: bytes) -> int | None:
    """The lowest number at which two entries of a log are held."""
    below: int | None = None
    for seq, _ in logs.iter_beside(txn, log):
        if seq == below or logs.find_slot(txn, log, seq) is not None:
            return seq
        below = seq
    return None


def is_complete(txn: Txn, log: bytes | None, cut: Cut | None) -> bool:
    """Whether nothing that a cut leaves in force is missing; open logs and those without a say always are."""
    if cut is None or cut in (OPEN, NOTHING):
        return True
    return log is not None and find_proven(txn, log) == 0


@dataclass(frozen=True, slots=True)
class DeviceLog:
    """What is held of one device of an account, in numbers."""

    key: PublicKey
    name: str
    cut: Cut | None  # None: not listed by the standing table
    in_force: int
    contested: int
    unproven: int
    void: int
    fork: int | None  # in an open log


def describe_device(txn: Txn, account: Account, key: PublicKey) -> DeviceLog:
    """Count a log's records by standing, from its runs."""
    cut = account.state.cut_of(key)
    name = account.state.names.get(key, "")
    log = logs.find_log(txn, account.id, key)
    if log is None:
        return DeviceLog(key, name, cut, 0, 0, 0, 0, None)
    runs = logs.runs(txn, log)
    beside = [seq for seq, _ in logs.iter_beside(txn, log)]
    held = _count(runs)
    if cut == OPEN:
        fork = fork_point(txn, log)
        sure_below = LAST_SEQ + 1 if fork is None else fork  # also beside: what fits no slot need not be a fork yet
        sure = _count(Span(0, sure_below - 1).clip(runs)) + sum(seq < sure_below for seq in beside)
        return DeviceLog(key, name, cut, sure, held + len(beside) - sure, 0, 0, fork)
    if cut is None or cut == NOTHING:
        return DeviceLog(key, name, cut, 0, 0, 0, held + len(beside), None)
    span = span_of(txn, log, cut)
    shown = _count(span.clip(runs))
    open_below = Span(0, span.low - 1) if span != NONE else Span(0, cut[0])
    unproven = _count(open_below.clip(runs)) + sum(seq in open_below for seq in beside)
    return DeviceLog(key, name, cut, shown, 0, unproven, held + len(beside) - shown - unproven, None)


def _count(runs: tuple[tuple[int, int], ...]) -> int:
    return sum(high - low + 1 for low, high in runs)


def incomplete_accounts(txn: Txn, accounts: list[Account]) -> frozenset[Cid]:
    """Those of which a cut leaves something in force that is not held here."""
    return frozenset(
        account.id
        for account in accounts
        for key, cut in account.state.cuts.items()
        if not is_complete(txn, logs.find_log(txn, account.id, key), cut)
    )
