"""Judging logs again: what comes into view and what goes when an account's operations change (PROTOCOL §3, rule 7).

Everything happens in the caller's transaction, in this order: the new state is
written; of every log it touches the slots are settled, so that the chain a cut
names stands in them; then what is no longer shown is unindexed; then what is
shown again is indexed. Index changes come last and look at the settled state,
so a thief's delete that goes brings its target back only if that is in force.

What comes back into view moves to a new aid, as a record does whose body
comes: whoever follows the journal sees it. Slots keep their promise that
neighbours name each other; what breaks it steps beside, also past the bound
for what may be stored there, because it was stored already.
"""

from itertools import takewhile

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import NOTHING, OPEN, ROTATE, Cut
from unhush.identity.trunk import State, Trunk, find_trunk
from unhush.storage import accounts, indexes, journal, logs, lost, settings, standing
from unhush.storage.accounts import Account
from unhush.storage.errors import StoreUnreadable
from unhush.storage.kinds import EDIT
from unhush.storage.logs import Slot, pack_u64
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.standing import Span
from unhush.storage.transaction import Txn


def put_operations(txn: Txn, account: Cid, arrived: list[Record]) -> list[Record]:
    """Add authentic, well-formed operations and judge again what they touch; returns those that were stored."""
    known = accounts.find_account(txn, account)
    may_lose = known is not None and any(record.kind == ROTATE for record in arrived)
    own = _find_trunk(txn, account) if may_lose and settings.find_own_account(txn) == account else None
    stored = accounts.put_operations(txn, account, arrived)
    after = accounts.find_account(txn, account)
    if own is not None and after is not None:
        if own.generation < after.state.generation:
            lost.put_lost(txn, [])  # a rotate says all there is to say; what it left out stays out
        else:
            lost.note_lost(txn, own, after.state.table)
    if after is not None and known is not None and known.state.cuts != after.state.cuts:
        _judge_again(txn, known.state, after)
    return stored


def _find_trunk(txn: Txn, account: Cid) -> Trunk | None:
    return find_trunk(account, accounts.parse_operations(accounts.iter_operations(txn, account)))


def _judge_again(txn: Txn, before: State, account: Account) -> None:
    after = account.state
    settled: list[_Settling] = []
    for key in sorted(before.cuts.keys() | after.cuts.keys()):
        log = logs.find_log(txn, account.id, key)
        if log is None or before.cut_of(key) == after.cut_of(key):
            continue
        settling = _Settling(txn, log, standing.span_of(txn, log, before.cut_of(key)))
        txn.delete(Table.PROVEN, log)
        settling.settle(after.cut_of(key))
        settled.append(settling)
    _apply(txn, account, settled)


def extend(txn: Txn, account: Account, key: PublicKey, arrived: Cid) -> None:
    """After an entry came to a log: let its cut reach as far down as it now can, or the shown branch go on."""
    cut = account.state.cut_of(key)
    log = logs.find_log(txn, account.id, key)
    if log is not None:
        settling = _Settling(txn, log, standing.span_of(txn, log, cut))
        settling.settle(cut)
        _apply(txn, account, [settling], arrived)


def is_awaited(txn: Txn, log: bytes, cut: Cut | None, seq: int, cid: Cid) -> bool:
    """Whether a cut reaches down to exactly this entry, which is not held."""
    if cut is None or cut in (OPEN, NOTHING):
        return False
    low = standing.find_proven(txn, log)
    return (seq, cid) == ((cut[0], Cid(cut[1])) if low is None else _below(txn, log, low))


class _Settling:
    """Bringing the slots of one log into line with its cut, and what that changes in what is shown."""

    def __init__(self, txn: Txn, log: bytes, was: Span) -> None:
        self._txn = txn
        self._log = log
        self._was = was
        self.hidden: dict[Cid, Slot] = {}  # each record once, however often its slot changed hands
        self.shown: dict[Cid, Slot] = {}

    def settle(self, cut: Cut | None) -> None:
        if cut == OPEN:
            self._go_on()
        elif cut is not None and cut != NOTHING:
            self._prove(cut)
        now = standing.span_of(self._txn, self._log, cut)
        if now != self._was:
            self._compare(now)

    def _go_on(self) -> None:
        """Where the shown branch ends, what stands beside and follows it belongs to it: nobody would send it again.

        That happens when a cut that changed the branch is gone again.
        """
        txn, log = self._txn, self._log
        for _, high in logs.runs(txn, log):
            below = logs.find_slot(txn, log, high)
            while below is not None and (found := _find_next_beside(txn, log, below)) is not None:
                logs.drop_beside(txn, log, found.seq, found.cid)
                logs.put_slot(txn, log, found.seq, found.aid, found.cid)
                self.shown[found.cid] = below = found

    def _prove(self, cut: Cut) -> None:
        """Walk held links down from the cut, or on from where the last walk ended; what they name takes its slot."""
        txn, log = self._txn, self._log
        low = standing.find_proven(txn, log)
        seq, wanted = (cut[0], Cid(cut[1])) if low is None else _below(txn, log, low)
        while wanted is not None and seq >= 0:
            slot = logs.find_slot(txn, log, seq)
            if slot is not None and slot.cid == wanted:
                low = logs.find_run_low(txn, log, seq)  # neighbours in a run name each other: no need to walk it
            elif (found := logs.find_beside(txn, log, seq, wanted)) is not None:
                self._take_slot(found, slot)
                low = seq
            else:
                if slot is not None:
                    self._step_aside(slot)  # the chain names another entry here
                break
            seq, wanted = _below(txn, log, low)
        if low is None:
            txn.delete(Table.PROVEN, log)
        else:
            txn.put(Table.PROVEN, log, pack_u64(low))

    def _take_slot(self, found: Slot, holder: Slot | None) -> None:
        """Put an entry that stands beside into its slot; what stood there, and what stood on that, steps aside.

        What stands below it is looked at next, by ``_prove``.
        """
        txn, log = self._txn, self._log
        if holder is not None:
            self._step_aside(holder)
        above = logs.find_slot(txn, log, found.seq + 1)
        if above is not None and _get_record(txn, above).entry.header.prev != found.cid:
            for slot in list(logs.iter_slots(txn, log, found.seq + 1)):
                self._step_aside(slot)
        logs.drop_beside(txn, log, found.seq, found.cid)
        logs.put_slot(txn, log, found.seq, found.aid, found.cid)
        self.shown[found.cid] = found

    def _step_aside(self, slot: Slot) -> None:
        logs.drop_slot(self._txn, self._log, slot.seq)
        logs.put_beside(self._txn, self._log, slot.seq, slot.aid, slot.cid)
        if slot.seq in self._was:
            self.hidden[slot.cid] = slot

    def _compare(self, now: Span) -> None:
        """Add the slots that left the span or came into it; those that changed hands are noted already."""
        for part in self._was.minus(now):
            self.hidden |= {slot.cid: slot for slot in self._slots(part)}
        for part in now.minus(self._was):
            self.shown |= {slot.cid: slot for slot in self._slots(part)}

    def _slots(self, span: Span) -> list[Slot]:
        return list(takewhile(lambda slot: slot.seq <= span.high, logs.iter_slots(self._txn, self._log, span.low)))


def _find_next_beside(txn: Txn, log: bytes, below: Slot) -> Slot | None:
    """What stands beside, names this entry and fits the empty slot above it."""
    if logs.find_slot(txn, log, below.seq + 1) is not None:
        return None
    above = logs.find_slot(txn, log, below.seq + 2)
    prev_of_above = _get_record(txn, above).entry.header.prev if above is not None else None
    for slot in logs.iter_beside_at(txn, log, below.seq + 1):
        if logs.fits(_get_record(txn, slot).entry.header, below, None, prev_of_above, slot.cid):
            return slot
    return None


def _below(txn: Txn, log: bytes, low: int) -> tuple[int, Cid | None]:
    """Where the walk goes on below a proven entry: its number and the id that is named."""
    slot = logs.find_slot(txn, log, low)
    if slot is None:
        raise StoreUnreadable(f"entry {low} of a log is counted as held and is not there")
    return low - 1, _get_record(txn, slot).entry.header.prev


def _get_record(txn: Txn, slot: Slot) -> Record:
    record = journal.find_record(txn, slot.aid)
    if record is None:
        raise StoreUnreadable(f"entry {slot.cid} is counted as held and is not there")
    return record


def _apply(txn: Txn, account: Account, settled: list[_Settling], arrived: Cid | None = None) -> None:
    """Unindex what went, then index what came, each under the settled state of the whole account."""
    came = [_move(txn, account, slot, arrived) for each in settled for slot in each.shown.values()]
    went = [_get_record(txn, slot) for each in settled for slot in each.hidden.values()]
    # Edits last: a post has to be taken out in the words in which it stands there.
    for record in sorted(went, key=lambda record: record.kind == EDIT):
        indexes.unindex(txn, account, record)
    for record in came:
        indexes.index(txn, account, record, indexes.find_body(record))


def _move(txn: Txn, account: Account, slot: Slot, arrived: Cid | None) -> Record:
    """Give a record that came into view a new aid, unless it came just now."""
    record = _get_record(txn, slot)
    if slot.cid == arrived:
        return record
    log = logs.get_or_make_log(txn, account.id, record.entry.header.key)
    moved = journal.move_record(txn, record)
    logs.put_slot(txn, log, slot.seq, moved.aid, slot.cid)
    return moved
