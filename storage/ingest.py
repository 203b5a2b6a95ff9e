"""The one door by which records that were not written here come in.

Cheapest first: bounds and strict parse, already known, not carried here, the
chain, one signature per unbroken run, then one write transaction for the whole
batch. Everything that costs CPU happens before the write lock is taken; what
may have changed meanwhile is looked at again under it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.identity.entry import (
    Entry,
    Header,
    UnverifiedEntry,
    check_body,
    decode_body,
    does_vouch,
    parse_entry,
    verify_signature,
    vouch,
)
from unhush.identity.errors import IdentityError, MalformedBytes, SignatureMismatch, WrongAccount
from unhush.identity.operations import OPEN, Cut
from unhush.identity.operations import Table as DeviceTable
from unhush.storage import accounts, admission, clones, journal, logs, settings, standing, writing
from unhush.storage.accounts import Account
from unhush.storage.admission import Admitted, NotOurs, WaitingRoom, commitment_of
from unhush.storage.arrivals import NOT_LISTED, Arrival, Batch, Outcome, Status
from unhush.storage.carried import is_carried
from unhush.storage.environment import Environment
from unhush.storage.records import BodyState, Record
from unhush.storage.transaction import Txn

# Beyond this an author's clock is wrong; the record is not stored yet and will be offered again (PROTOCOL §2).
MAX_AHEAD_MS: Final = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class _Parsed:
    """One arrival that is well-formed."""

    at: int  # its place in the batch
    entry: UnverifiedEntry
    body: bytes | None
    state: BodyState
    fields: dict[str, Value] | None
    may_be_vouched: bool = False  # by an entry the sender gave before


@dataclass(frozen=True, slots=True)
class _Verified:
    """One arrival that is authentic; by the chain alone if ``by`` names who vouches for it in this batch."""

    entry: Entry
    parsed: _Parsed
    by: Cid | None = None
    operation: Admitted | None = None


class Door:
    """Takes batches in, from any thread; returns what became of each arrival, in the order of the batch."""

    def __init__(self, environment: Environment, *, network: str, clock_ms: Callable[[], int]) -> None:
        self._environment = environment
        self._network = network
        self._clock_ms = clock_ms
        self._waiting = WaitingRoom()

    def ingest(self, batch: Batch) -> tuple[Outcome, ...]:
        outcomes: dict[int, Outcome] = {}
        parsed = [item for at, arrival in enumerate(batch.items) if (item := _parse(at, arrival, outcomes))]
        with self._environment.read() as txn:
            fresh = [item for item in parsed if self._is_fresh(txn, item, batch, outcomes)]
            verified = self._authenticate(txn, fresh, outcomes)
        if verified:
            with self._environment.write() as txn:
                self._store(txn, verified, outcomes)
            self._offer_orphans(verified, outcomes, batch.source)
        return tuple(outcomes[at] for at in range(len(batch.items)))

    def _offer_orphans(self, verified: list[_Verified], outcomes: dict[int, Outcome], source: str) -> None:
        """Operations that came before the table that was stored now; they were wanted when they came."""
        now = self._clock_ms()
        waiting = [
            arrival
            for item in verified
            if item.operation is not None and isinstance(item.operation.operation, DeviceTable)
            if outcomes[item.parsed.at].status is Status.STORED
            for arrival in self._waiting.take(item.entry.cid, now)
        ]
        if waiting:  # again and again, but no deeper than inception, rotate, operation
            self.ingest(Batch(tuple(waiting), source, wanted_only=False))

    def _is_fresh(self, txn: Txn, item: _Parsed, batch: Batch, outcomes: dict[int, Outcome]) -> bool:
        cid = item.entry.cid
        held = journal.find_record_by_cid(txn, cid)
        if held is not None and not _says_more(item, held):
            outcomes[item.at] = Outcome(Status.KNOWN, cid, held.aid)
        elif batch.wanted_only and not is_carried(txn, item.entry.account):
            outcomes[item.at] = Outcome(Status.IGNORED, cid, error="the account is not carried here")
        else:
            return True
        return False

    def _authenticate(self, txn: Txn, items: list[_Parsed], outcomes: dict[int, Outcome]) -> list[_Verified]:
        """One signature per unbroken run: each entry that a newer one names needs none of its own."""
        verified: list[_Verified] = []
        by_log: defaultdict[tuple[Cid, bytes], list[_Parsed]] = defaultdict(list)
        operations = [item for item in items if item.entry.header.is_identity]
        verified.extend(self._admit(txn, operations, outcomes))
        for item in items:
            if not item.entry.header.is_identity:
                by_log[item.entry.account, item.entry.header.key.bytes].append(item)
        for group in by_log.values():
            group.sort(key=lambda item: item.entry.header.seq, reverse=True)
            run = list(self._authenticate_log(txn, group, outcomes))
            verified.extend(reversed(run))  # stored in the order they were written
        return verified

    def _admit(self, txn: Txn, items: list[_Parsed], outcomes: dict[int, Outcome]) -> Iterable[_Verified]:
        commitments = {
            item.entry.account: after for item in items if (after := commitment_of(item.entry, item.fields)) is not None
        }
        for item in items:
            try:
                admitted = admission.admit(
                    txn, item.entry, item.body, item.fields, network=self._network, commitments=commitments
                )
            except NotOurs as exc:
                outcomes[item.at] = Outcome(Status.IGNORED, item.entry.cid, error=str(exc))
            except IdentityError as exc:
                outcomes[item.at] = _rejected(item.entry.cid, exc)
            else:
                yield _Verified(admitted.entry, item, operation=admitted)

    def _authenticate_log(self, txn: Txn, group: list[_Parsed], outcomes: dict[int, Outcome]) -> Iterable[_Verified]:
        """Newest first, so that every authentic entry can vouch for the one it names."""
        vouching: dict[Cid, Entry] = {}
        for item in group:
            entry = item.entry
            by = vouching.get(entry.cid)
            try:
                signed = vouch(entry, by=by) if by is not None else self._verify_alone(txn, entry)
            except SignatureMismatch as exc:
                outcomes[item.at] = self._blame(txn, item, exc)
                continue
            if signed.header.prev is not None:
                vouching[signed.header.prev] = signed
            yield _Verified(signed, item, by.cid if by is not None else None)

    def _blame(self, txn: Txn, item: _Parsed, mismatch: SignatureMismatch) -> Outcome:
        """A bad signature is the sender's fault, unless he may believe that what vouches for it is here.

        So it is if he gave that before and we refused it, or if we told him of a hole with an entry above it, and that
        is of another branch.
        """
        entry, seq = item.entry, item.entry.header.seq
        log = logs.find_log(txn, entry.account, entry.header.key)
        is_hole = log is not None and logs.find_slot(txn, log, seq) is None and any(logs.iter_aids(txn, log, seq + 1))
        if item.may_be_vouched or is_hole:
            return Outcome(Status.IGNORED, entry.cid, error=f"{type(mismatch).__name__}: {mismatch}")
        account = accounts.find_account(txn, entry.account)
        reason = _why_not(account, entry.header, entry.cid, self._clock_ms()) if account is not None else ""
        return Outcome(Status.IGNORED, entry.cid, error=reason) if reason else _rejected(entry.cid, mismatch)

    def _verify_alone(self, txn: Txn, entry: UnverifiedEntry) -> Entry:
        log = logs.find_log(txn, entry.account, entry.header.key)
        for aid in logs.iter_aids(txn, log, entry.header.seq + 1) if log is not None else ():
            held = journal.find_record(txn, aid)
            if held is not None and does_vouch(held.entry.header, held.account, entry):
                return vouch(entry, by=held.entry)
        return verify_signature(entry, self._network)

    def _store(self, txn: Txn, verified: list[_Verified], outcomes: dict[int, Outcome]) -> None:
        now = self._clock_ms()
        operations: defaultdict[Cid, list[_Verified]] = defaultdict(list)
        entries: list[_Verified] = []
        for item in verified:
            if item.operation is not None:
                operations[item.entry.account].append(item)
            else:
                entries.append(item)
        for account, items in operations.items():
            self._store_operations(txn, account, items, now, outcomes)
        known = {account: accounts.find_account(txn, account) for account in {item.entry.account for item in entries}}
        refused = self._refuse(known, entries, now)
        self._look_for_clone(txn, entries)
        for item in _in_order_of_storing(entries, known):
            reason = refused.get(item.entry.cid)
            outcomes[item.parsed.at] = (
                Outcome(Status.IGNORED, item.entry.cid, error=reason)
                if reason is not None
                else self._store_entry(txn, known[item.entry.account], item, now)
            )

    def _look_for_clone(self, txn: Txn, entries: list[_Verified]) -> None:
        """Only this home may write its log: what comes of it from elsewhere and is not held was written by a copy."""
        account, device = settings.find_own_account(txn), settings.find_own_device(txn)
        if account is None or device is None:
            return
        for item in entries:
            if (item.entry.account, item.entry.header.key) != (account, device):
                continue
            if journal.find_aid(txn, item.entry.cid) is None and self._is_signed(item.parsed.entry):
                clones.note_clone(txn, account, device, item.entry.cid)
                return

    def _store_operations(
        self, txn: Txn, account: Cid, items: list[_Verified], now: int, outcomes: dict[int, Outcome]
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
            outcomes[item.parsed.at] = outcome

    def _refuse(self, known: Mapping[Cid, Account | None], entries: list[_Verified], now: int) -> dict[Cid, str]:
        """Why entries may not be stored. Who is not stored vouches for nobody: then the own signature decides."""
        refused: dict[Cid, str] = {}
        for item in reversed(entries):  # newest first: who vouches is judged before those it vouches for
            reason = _why_not(known[item.entry.account], item.entry.header, item.entry.cid, now)
            if not reason and item.by in refused and not self._is_signed(item.parsed.entry):
                reason = "only an entry that is not stored vouches for it"
            if reason:
                refused[item.entry.cid] = reason
        return refused

    def _is_signed(self, entry: UnverifiedEntry) -> bool:
        try:
            verify_signature(entry, self._network)
        except SignatureMismatch:
            return False
        return True

    def _store_entry(self, txn: Txn, account: Account | None, item: _Verified, now: int) -> Outcome:
        entry, parsed = item.entry, item.parsed
        assert account is not None, "an entry of an account we do not know was not refused"
        held = journal.find_record_by_cid(txn, entry.cid)
        aid = journal.last_aid(txn) + 1
        if held is not None:
            if held.body is not None or parsed.fields is None:
                if _says_more(parsed, held):
                    journal.mark_malformed(txn, held)
                return Outcome(Status.KNOWN, entry.cid, held.aid)
            filled = Record(aid, held.block, parsed.body, BodyState.PRESENT, held.seen_at_ms)
            writing.fill_body(txn, account, held, filled, parsed.fields)
            return Outcome(Status.FILLED, entry.cid, aid)
        if _is_settled(txn, account, entry.header):
            return Outcome(Status.IGNORED, entry.cid, error="another entry is in force at its place")
        record = _record(item, aid, now)
        is_held_up = item.by is None  # its own signature, or one held here that names it
        is_signed = partial(self._is_signed, parsed.entry) if not is_held_up else lambda: True
        if not writing.put_entry(txn, account, entry, parsed.fields, record, is_signed=is_signed):
            return Outcome(Status.IGNORED, entry.cid, error="no room beside the shown branch of its log")
        return Outcome(Status.STORED, entry.cid, aid)


def _in_order_of_storing(entries: list[_Verified], known: Mapping[Cid, Account | None]) -> list[_Verified]:
    """Oldest first, but under a cut newest first: there each entry in force names the next one that is."""
    under_cut = [item for item in entries if _cut_of(known, item) not in (None, OPEN)]
    if not under_cut:
        return entries
    return [item for item in entries if _cut_of(known, item) in (None, OPEN)] + under_cut[::-1]


def _cut_of(known: Mapping[Cid, Account | None], item: _Verified) -> Cut | None:
    account = known[item.entry.account]
    return account.state.cut_of(item.entry.header.key) if account is not None else None


def _is_settled(txn: Txn, account: Account, header: Header) -> bool:
    """Whether a cut has decided already which entry stands at this place."""
    cut = account.state.cut_of(header.key)
    log = logs.find_log(txn, account.id, header.key) if cut != OPEN else None
    return log is not None and header.seq in standing.span_of(txn, log, cut)


def _parse(at: int, arrival: Arrival, outcomes: dict[int, Outcome]) -> _Parsed | None:
    cid: Cid | None = None
    try:
        entry = parse_entry(arrival.entry)
        cid = entry.cid
        if arrival.account not in (None, entry.account):
            raise WrongAccount(f"record {cid} is of {entry.account}, it was given as one of {arrival.account}")
        if arrival.body is None:
            return _Parsed(
                at, entry, None, _HEARSAY.get(arrival.reason, BodyState.UNKNOWN), None, arrival.may_be_vouched
            )
        check_body(entry.header, arrival.body)
    except IdentityError as exc:
        outcomes[at] = _rejected(cid, exc)
        return None
    try:
        return _Parsed(at, entry, arrival.body, BodyState.PRESENT, decode_body(arrival.body), arrival.may_be_vouched)
    except MalformedBytes:
        # The author signed bytes that are no body: nobody's fault on the way, and there is nothing to show.
        return _Parsed(at, entry, None, BodyState.MALFORMED, None, arrival.may_be_vouched)


# What a sender may say about a body it does not give. That bytes are no body is for us to find.
_HEARSAY: Final = {state: state for state in (BodyState.UNKNOWN, BodyState.WITHHELD, BodyState.DELETED)}


def _says_more(item: _Parsed, held: Record) -> bool:
    """Whether an arrival brings a body we lack, or the certainty that there is none."""
    if held.body is not None:
        return False
    return item.body is not None or (item.state is BodyState.MALFORMED and held.body_state is not BodyState.MALFORMED)


def _why_not(account: Account | None, header: Header, cid: Cid, now: int) -> str:
    if account is None:
        return "the account's inception is not held"
    if header.time > now + MAX_AHEAD_MS:
        return "its time is more than ten minutes ahead"
    cut = account.state.cut_of(header.key)
    if cut is None:
        return NOT_LISTED
    if cut == OPEN or header.seq < cut[0] or (header.seq, cid.bytes) == cut:
        return ""
    return "its device was cut off before it"


def _record(item: _Verified, aid: int, now: int) -> Record:
    return Record(aid, item.entry.block, item.parsed.body, item.parsed.state, now)


def _rejected(cid: Cid | None, error: IdentityError) -> Outcome:
    return Outcome(Status.REJECTED, cid, error=f"{type(error).__name__}: {error}")
