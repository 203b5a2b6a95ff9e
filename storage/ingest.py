"""The one door by which records that were not written here come in.

Cheapest first: bounds and strict parse, already known, not carried here, the
chain, one signature per unbroken run, then one write transaction for the whole
batch. Everything that costs CPU happens before the write lock is taken; what
may have changed meanwhile is looked at again under it. ``begin`` is the part
that needs no lock, so that while one batch is stored the signatures of the
next can be checked elsewhere.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.entry import Header
from unhush.identity.errors import SignatureMismatch
from unhush.identity.operations import OPEN, Cut
from unhush.identity.operations import Table as DeviceTable
from unhush.storage import accounts, admission, clones, journal, logs, runs, settings, standing, writing
from unhush.storage.accounts import Account
from unhush.storage.admission import WaitingRoom
from unhush.storage.arrivals import IN_PIECES, NO_INCEPTION, NOT_LISTED, TOO_EARLY, Batch, Outcome, Status
from unhush.storage.arriving import Item, parse_arrival, rejected, says_more
from unhush.storage.authenticating import Group, admit_operations, authenticate_group, find_heads, group_by_log
from unhush.storage.carried import is_carried
from unhush.storage.environment import Environment
from unhush.storage.guests import let_in
from unhush.storage.keeping import withheld
from unhush.storage.records import BodyState, Record
from unhush.storage.room import erasing
from unhush.storage.room.door import Doorkeeper
from unhush.storage.room.tiers import Limits
from unhush.storage.transaction import Txn
from unhush.storage.verifying import Verification, Verifier

# Beyond this an author's clock is wrong; the record is not stored yet and will be offered again (PROTOCOL §2).
MAX_AHEAD_MS: Final = 10 * 60 * 1000


@dataclass(slots=True)
class Begun:
    """A batch on its way: parsed, what is new told from what is known, and signatures being checked."""

    batch: Batch
    outcomes: dict[int, Outcome]
    operations: list[Item]
    groups: list[Group]
    verification: Verification


class Door:
    """Takes batches in, from any thread; returns what became of each arrival, in the order of the batch.

    ``verifier`` checks signatures; its network is the one that counts.
    """

    def __init__(
        self, environment: Environment, *, network: str, clock_ms: Callable[[], int], verifier: Verifier, limits: Limits
    ) -> None:
        self._environment = environment
        self._network = network
        self._clock_ms = clock_ms
        self._verifier = verifier
        self._waiting = WaitingRoom()
        self._keeper = Doorkeeper(environment, limits)

    def ingest(self, batch: Batch) -> tuple[Outcome, ...]:
        return self.finish(self.begin(batch))

    def begin(self, batch: Batch) -> Begun:
        """Parse, and sort out what is known or not wanted; nothing is stored yet."""
        outcomes: dict[int, Outcome] = {}
        parsed: list[Item] = []
        for at, arrival in enumerate(batch.items):
            item = parse_arrival(at, arrival)
            if isinstance(item, Item):
                parsed.append(item)
            else:
                outcomes[at] = item
        with self._environment.read() as txn:
            fresh = _sort_out(txn, parsed, batch, outcomes)
        groups = group_by_log([item for item in fresh if not item.entry.header.is_identity])
        operations = [item for item in fresh if item.entry.header.is_identity]
        return Begun(batch, outcomes, operations, groups, self._verifier.begin(find_heads(groups)))

    def finish(self, begun: Begun) -> tuple[Outcome, ...]:
        """Store what ``begin`` found to be new, in one durable commit."""
        self._authenticate(begun)
        if begun.operations or begun.groups:
            with self._environment.write() as txn:
                self._store(txn, begun)
            self._offer_orphans(begun)
        return tuple(begun.outcomes[at] for at in range(len(begun.batch.items)))

    def _authenticate(self, begun: Begun) -> None:
        with self._environment.read() as txn:
            begun.operations, failed = admit_operations(txn, begun.operations, self._network)
            begun.outcomes.update(failed)
            blame = partial(self._blame, txn, begun.verification)
            groups = []
            for group in begun.groups:
                authentic, failed = authenticate_group(
                    txn, group, begun.verification, network=self._network, blame=blame
                )
                begun.outcomes.update(failed)
                if authentic:
                    groups.append(authentic)
            begun.groups = groups

    def _blame(self, txn: Txn, verification: Verification, item: Item) -> Outcome:
        """A bad signature is the sender's fault, unless he may believe that what vouches for it is here.

        So it is if he gave that before and we refused it, or if we told him of a hole with an entry above it, and that
        is of another branch.
        """
        entry, seq = item.entry, item.entry.header.seq
        mismatch = SignatureMismatch(
            f"entry {seq} of {entry.header.key} bears a signature that is not its own on network {self._network}"
        )
        log = logs.find_log(txn, entry.account, entry.header.key)
        is_hole = log is not None and logs.find_slot(txn, log, seq) is None and bool(logs.find_aids(txn, log, seq + 1))
        if item.may_be_vouched or is_hole:
            return Outcome(Status.IGNORED, entry.cid, error=f"{type(mismatch).__name__}: {mismatch}")
        account = accounts.find_account(txn, entry.account)
        reason = _why_not(account, entry.header, entry.cid, self._clock_ms()) if account is not None else ""
        return Outcome(Status.IGNORED, entry.cid, error=reason) if reason else rejected(entry.cid, mismatch)

    def _offer_orphans(self, begun: Begun) -> None:
        """Operations that came before the table that was stored now; they were wanted when they came."""
        now = self._clock_ms()
        waiting = [
            arrival
            for item in begun.operations
            if item.operation is not None and isinstance(item.operation.operation, DeviceTable)
            if begun.outcomes[item.at].status is Status.STORED
            for arrival in self._waiting.take(item.entry.cid, now)
        ]
        if waiting:  # again and again, but no deeper than inception, rotate, operation
            self.ingest(Batch(tuple(waiting), begun.batch.source, wanted_only=False))

    # -- under the write lock

    def _store(self, txn: Txn, begun: Begun) -> None:
        now = self._clock_ms()
        operations: defaultdict[Cid, list[Item]] = defaultdict(list)
        for item in begun.operations:
            operations[item.entry.account].append(item)
        is_wanted = begun.batch.wanted_only
        for account, items in operations.items():
            fitting = self._keeper.fit_operations(txn, account, items, begun.outcomes, is_wanted=is_wanted)
            self._store_operations(txn, account, fitting, now, begun.outcomes)
        self._look_for_clone(txn, begun)
        known: dict[Cid, Account | None] = {}
        for each in begun.groups:
            of = each[0].entry.account
            if of not in known:
                known[of] = accounts.find_account(txn, of)
            owner = known[of]
            left_out = _leave_out_withheld(txn, each)
            group = self._keeper.fit(txn, each, begun.outcomes, is_wanted=is_wanted)
            left = _put_runs(txn, owner, group, now, begun.outcomes) if group and owner is not None else group
            if left:
                self._store_one_by_one(txn, owner, left, now, begun)
            for cid, post in left_out.items():
                withheld.note_stored(txn, cid, post)

    def _store_one_by_one(self, txn: Txn, account: Account | None, group: Group, now: int, begun: Begun) -> None:
        refused = self._refuse(account, group, now, begun.verification)
        # Oldest first, but under a cut newest first: there each entry in force names the next one that is.
        cut = account.state.cut_of(group[0].entry.header.key) if account is not None else None
        for item in group if cut in (None, OPEN) else reversed(group):
            reason = refused.get(item.entry.cid)
            if reason is not None or account is None:
                begun.outcomes[item.at] = Outcome(Status.IGNORED, item.entry.cid, error=reason or "")
            else:
                begun.outcomes[item.at] = self._store_entry(txn, account, item, now, begun.verification)

    def _look_for_clone(self, txn: Txn, begun: Begun) -> None:
        """Only this home may write its log: what comes of it from elsewhere and is not held was written by a copy."""
        account, device = settings.find_own_account(txn), settings.find_own_device(txn)
        if account is None or device is None:
            return
        for group in begun.groups:
            entry = group[0].entry
            if entry.account != account or entry.header.key != device:
                continue
            for item in group:
                is_held = journal.find_aid(txn, item.entry.cid) is not None
                if is_held or clones.is_coming_back(txn, account, device, item.entry.header.seq):
                    continue
                if begun.verification.is_signed(item.entry):
                    clones.note_clone(txn, account, device, item.entry.cid)
                    return

    def _store_operations(
        self, txn: Txn, account: Cid, items: list[Item], now: int, outcomes: dict[int, Outcome]
    ) -> None:
        admitted = {item.entry.cid: item.operation for item in items if item.operation is not None}
        held = {cid: journal.find_aid(txn, cid) for cid in admitted}
        stored = admission.store(txn, account, [each for cid, each in admitted.items() if held[cid] is None], now)
        for item in items:
            cid = item.entry.cid
            if held[cid] is not None:
                outcome = Outcome(Status.KNOWN, cid, held[cid])
            elif cid in stored:
                outcome = Outcome(Status.STORED, cid, stored[cid])
                held[cid] = stored[cid]  # the same twice in a batch
            else:
                outcome = Outcome(Status.IGNORED, cid, error="the operation does not count")
                table = admission.find_missing_table(txn, admitted[cid])
                if table is not None:
                    self._waiting.put(admitted[cid], table, now)
            outcomes[item.at] = outcome

    def _refuse(self, account: Account | None, group: Group, now: int, verification: Verification) -> Mapping[Cid, str]:
        """Why entries may not be stored. Who is not stored vouches for nobody: then the own signature decides."""
        refused: dict[Cid, str] = {}
        for item in reversed(group):  # newest first: who vouches is judged before those it vouches for
            reason = _why_not(account, item.entry.header, item.entry.cid, now)
            if not reason and item.by in refused and not verification.is_signed(item.entry):
                reason = "only an entry that is not stored vouches for it"
            if reason:
                refused[item.entry.cid] = reason
        return refused

    def _store_entry(self, txn: Txn, account: Account, item: Item, now: int, verification: Verification) -> Outcome:
        entry = item.get_signed()
        held = journal.find_record_by_cid(txn, entry.cid)
        aid = journal.last_aid(txn) + 1
        if held is not None:
            if erasing.is_erased(txn, held):  # maybe since it was begun
                return Outcome(Status.KNOWN, entry.cid, held.aid)
            if held.body is not None or item.fields is None:
                if says_more(item, held):
                    journal.mark_malformed(txn, held)
                return Outcome(Status.KNOWN, entry.cid, held.aid)
            filled = Record.of(aid, entry, item.body, BodyState.PRESENT, held.seen_at_ms)
            writing.fill_body(txn, account, held, filled, item.value)
            return Outcome(Status.FILLED, entry.cid, aid)
        if _is_settled(txn, account, entry.header):
            return Outcome(Status.IGNORED, entry.cid, error="another entry is in force at its place")
        log = logs.find_log(txn, account.id, entry.header.key)
        if log is not None and logs.opens_one_too_many(txn, log, entry.header.seq, entry.header.seq):
            return Outcome(Status.IGNORED, entry.cid, error=IN_PIECES)
        # Beside the shown branch an entry must stand by itself: who vouches for it may find no room.
        is_signed = partial(verification.is_signed, item.entry) if item.by is not None else lambda: True
        if not writing.put_entry(txn, account, item.record(aid, now), item.value, is_signed=is_signed):
            return Outcome(Status.IGNORED, entry.cid, error="no room beside the shown branch of its log")
        return Outcome(Status.STORED, entry.cid, aid)


def _sort_out(txn: Txn, items: list[Item], batch: Batch, outcomes: dict[int, Outcome]) -> list[Item]:
    """What is neither known already nor of an account that is not carried here, unless there is reason to take it."""
    fresh: list[Item] = []
    guests: list[Item] = []
    wanted: dict[Cid, bool] = {}
    # Who may stop counting by what comes along: then what they took back is judged once that is stored.
    judged_anew = {item.entry.account for item in items if item.entry.header.is_identity}
    for item in items:
        entry = item.entry
        aid = journal.find_aid(txn, entry.cid)
        held = journal.find_record(txn, aid) if aid is not None else None
        is_erased = held is not None and entry.account not in judged_anew and erasing.is_erased(txn, held)
        if held is not None and (is_erased or not says_more(item, held) or withheld.is_withheld(txn, held.cid)):
            outcomes[item.at] = Outcome(Status.KNOWN, entry.cid, held.aid)
            continue
        if batch.wanted_only:
            is_wanted = wanted.get(entry.account)
            if is_wanted is None:
                is_wanted = wanted[entry.account] = is_carried(txn, entry.account)
            if not is_wanted:
                guests.append(item)
                continue
        fresh.append(item)
    return [*fresh, *let_in(txn, guests, batch.items, outcomes)] if guests else fresh


def _leave_out_withheld(txn: Txn, group: Group) -> dict[Cid, Cid | None]:
    """Of what this home does without on purpose nothing is stored but the entry; and with which post that goes."""
    left_out: dict[Cid, Cid | None] = {}
    for item in group:
        cid = item.entry.cid
        if withheld.is_withheld(txn, cid):
            left_out[cid] = withheld.goes_with(txn, item.entry.account, item.value)
        elif (post := withheld.goes_with(txn, item.entry.account, item.value)) is not None:
            left_out[cid] = post
        else:
            continue
        if item.body is not None:
            item.leave_out_body()
    return left_out


def _put_runs(txn: Txn, account: Account, group: Group, now: int, outcomes: dict[int, Outcome]) -> Group:
    """Store what came of one log run by run, as far as nothing disputes it; what is left needs a closer look."""
    if any(item.entry.header.time > now + MAX_AHEAD_MS for item in group):
        return group
    done = 0
    for run in _unbroken(group):
        gap = runs.find_gap(txn, account, run[0].get_signed(), run[-1].get_signed())
        if gap is None:
            break
        if logs.opens_one_too_many(txn, gap.log, gap.low, gap.high):
            for item in run:
                outcomes[item.at] = Outcome(Status.IGNORED, item.entry.cid, error=IN_PIECES)
            done += len(run)
            continue
        seen = now if gap.seen_at_ms is None else min(now, gap.seen_at_ms)
        first = journal.last_aid(txn) + 1
        records = [item.record(aid, seen) for aid, item in enumerate(run, first)]
        runs.put_run(txn, account, gap, records, [item.value for item in run])
        for aid, item in enumerate(run, first):
            outcomes[item.at] = Outcome(Status.STORED, item.entry.cid, aid)
        done += len(run)
    return group[done:]


def _unbroken(group: Group) -> list[Group]:
    """A group parted where an entry does not name the one before it."""
    parts = [[group[0]]]
    for below, item in pairwise(group):
        if item.entry.header.seq == below.entry.header.seq + 1 and item.entry.header.prev == below.entry.cid:
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts


def _is_settled(txn: Txn, account: Account, header: Header) -> bool:
    """Whether a cut has decided already which entry stands at this place."""
    cut = account.state.cut_of(header.key)
    log = logs.find_log(txn, account.id, header.key) if cut != OPEN else None
    return log is not None and header.seq in standing.span_of(txn, log, cut)


def _why_not(account: Account | None, header: Header, cid: Cid, now: int) -> str:
    if account is None:
        return NO_INCEPTION
    if header.time > now + MAX_AHEAD_MS:
        return TOO_EARLY
    cut: Cut | None = account.state.cut_of(header.key)
    if cut is None:
        return NOT_LISTED
    if cut == OPEN or header.seq < cut[0] or (header.seq, cid.bytes) == cut:
        return ""
    return "its device was cut off before it"
