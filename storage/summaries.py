"""What two nodes tell each other of what they hold of one account, as runs, tips and fork points.

One summary serves: only what is shown, since nobody needs what is void. The
other wants, and tells what need not be sent to us. It differs where a log is
not open (what a cut made void need not come either), where a body may still
come (that entry counts as missing), and in this device's own log (only what
left counts as held elsewhere, see ``clones.py``).
"""

from dataclasses import dataclass, field
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import OPEN, Cut
from unhush.storage import accounts, clones, journal, logs, settings, standing
from unhush.storage.clones import Runs
from unhush.storage.folds import deletes
from unhush.storage.keeping import promises
from unhush.storage.keeping.withheld import is_withheld
from unhush.storage.records import BodyState
from unhush.storage.room import erasing, floors
from unhush.storage.schema import Table
from unhush.storage.standing import LAST_SEQ
from unhush.storage.transaction import Txn

POINT_BYTES: Final = 16

# A body we may still be given; a run that lacks one is not told to peers as held. "Deleted" is only a sender's
# word: what ends our asking is the author's delete, or bytes that turned out to be no body.
_WANTED_BODIES: Final = frozenset((BodyState.UNKNOWN, BodyState.WITHHELD, BodyState.DELETED))


@dataclass(frozen=True, slots=True)
class Summary:
    """What is held of one account: operation ids, and per log the runs of entries."""

    account: Cid
    operations: tuple[Cid, ...]
    logs: dict[PublicKey, Runs] = field(default_factory=dict)
    tips: dict[PublicKey, tuple[int, bytes]] = field(default_factory=dict)  # seq and point of the newest entry held
    forks: dict[PublicKey, int] = field(default_factory=dict)  # fork points of open logs


def summarise(txn: Txn, account: Cid, *, bodies_wanted: bool) -> Summary:
    """What may be served of an account; with ``bodies_wanted`` what need not be given to us."""
    summary = Summary(account, accounts.operation_ids(txn, account))
    found = accounts.find_account(txn, account)
    if found is None:
        return summary
    own = settings.find_own_device(txn) if settings.find_own_account(txn) == account else None
    is_full = bodies_wanted and promises.is_full(txn, account)
    for _, key, log in logs.iter_logs(txn, account):
        cut = found.state.cut_of(key)
        held = _welcome(txn, log, cut) if bodies_wanted else _served(txn, log, cut)
        if bodies_wanted and key == own:
            held = clones.clip(held, clones.find_handed_on(txn))
        elif bodies_wanted:
            held = ((0, LAST_SEQ),) if is_full else _from_floor(held, floors.find_floor(txn, account, log))
        summary.logs[key] = held
        if cut == OPEN:
            _note_branches(txn, summary, key, log)
    return summary


def _from_floor(held: Runs, floor: int) -> Runs:
    """What lies below the floor of a log is not wanted either."""
    if not floor:
        return held
    high = floor - 1
    above = []
    for run in held:
        if run[0] > high + 1:
            above.append(run)
        else:
            high = max(high, run[1])
    return ((0, high), *above)


def _note_branches(txn: Txn, summary: Summary, key: PublicKey, log: bytes) -> None:
    held = summary.logs[key]
    tip = logs.find_slot(txn, log, held[-1][1]) if held else None
    if tip is not None:
        summary.tips[key] = (tip.seq, point_of(tip.cid))
    fork = standing.fork_point(txn, log)
    if fork is not None:
        summary.forks[key] = fork


def point_of(cid: Cid) -> bytes:
    """What names an entry where two nodes compare branches; who could make two alike would only hide his own fork."""
    return cid.digest[:POINT_BYTES]


def _served(txn: Txn, log: bytes, cut: Cut | None) -> Runs:
    return standing.span_of(txn, log, cut).clip(logs.runs(txn, log))


def _welcome(txn: Txn, log: bytes, cut: Cut | None) -> Runs:
    """The stretches of a log that need not be sent to us: what is held whole, and what can only be void."""
    whole = standing.span_of(txn, log, cut).clip(_whole_runs(txn, log))
    if cut == OPEN:
        return whole
    void = (cut[0] + 1 if cut is not None else 0, LAST_SEQ)
    if whole and whole[-1][1] + 1 == void[0]:
        return (*whole[:-1], (whole[-1][0], LAST_SEQ))
    return (*whole, void)


def _whole_runs(txn: Txn, log: bytes) -> Runs:
    held = logs.runs(txn, log)
    if not txn.count(Table.BODILESS):
        return held
    return _without(held, [slot.seq for slot in logs.iter_slots(txn, log) if _lacks_body(txn, slot.aid)])


def _lacks_body(txn: Txn, aid: int) -> bool:
    state = txn.get(Table.BODILESS, journal.pack_aid(aid))
    if state is None or BodyState(state[0]) not in _WANTED_BODIES:
        return False
    record = journal.find_record(txn, aid)
    if record is None or deletes.is_deleted(txn, record) or erasing.is_erased(txn, record):
        return False
    return not is_withheld(txn, record.cid)


def _without(held: Runs, holes: list[int]) -> Runs:
    """Cut ascending ``holes`` out of ascending runs."""
    left: list[tuple[int, int]] = []
    remaining = iter(holes)
    hole = next(remaining, None)
    for low, high in held:
        start = low
        while hole is not None and hole <= high:
            if hole > start:
                left.append((start, hole - 1))
            start = hole + 1
            hole = next(remaining, None)
        if start <= high:
            left.append((start, high))
    return tuple(left)
