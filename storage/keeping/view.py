"""What a snapshot shows of keeping: statements that may be said, promises, and who keeps whom."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from unhush.identity.cid import Cid
from unhush.identity.errors import IdentityError
from unhush.identity.statement import Head, Receipt, Statement
from unhush.storage import accounts, logs, serving, standing
from unhush.storage.accounts import Account
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.folds import keepers
from unhush.storage.folds.places import Place
from unhush.storage.keeping import hearing, keptby, pictures, promises, receipts, speakers, trust, withheld
from unhush.storage.keeping.holdings import Holding, list_holdings
from unhush.storage.keeping.keptby import Coverage, KeeperView, KeptBy
from unhush.storage.keeping.pictures import HistoryWalk
from unhush.storage.keeping.promises import Promise
from unhush.storage.keeping.proofs import Proof, find_proofs
from unhush.storage.keeping.receipts import Checks
from unhush.storage.keeping.rows import Type
from unhush.storage.keeping.speakers import Operation
from unhush.storage.records import Record
from unhush.storage.room import usage
from unhush.storage.room.usage import Usage
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


class Travelling(Protocol):
    """An identity operation as any layer hands it over."""

    @property
    def entry(self) -> bytes: ...

    @property
    def body(self) -> bytes: ...


# Within one page nobody minds whether a receipt ended a moment ago.
_SAME_MOMENT_MS: Final = 60 * 1000


class KeepingView:
    """A part of :class:`Snapshot`; statements are judged by the clock and the state of that moment."""

    def __init__(self, txn: Txn, *, blobs: Blobs, network: str, clock_ms: Callable[[], int], checks: Checks) -> None:
        self._txn = txn
        self._blobs = blobs
        self._network = network
        self._clock_ms = clock_ms
        self._checks = checks
        self._coverage: dict[Cid, Coverage] = {}

    # -- what is held here

    def heads_held(self, account: Cid) -> tuple[Head, ...]:
        """The newest entry shown of each device, whole or not."""
        known = accounts.find_account(self._txn, account)
        found = []
        for key, cut in sorted(known.state.cuts.items()) if known is not None else ():
            log = logs.find_log(self._txn, account, key)
            span = standing.span_of(self._txn, log, cut) if log is not None else standing.NONE
            slot = next(logs.iter_slots_down(self._txn, log, span.high), None) if log is not None else None
            if slot is not None and slot.seq in span:
                found.append(Head(key, slot.seq, slot.cid))
        return tuple(found)

    def identity_digest(self, account: Cid) -> bytes:
        """The digest of the operations held of an account."""
        return keptby.identity_digest(self._txn, account)

    def claim_receipt(self, account: Cid, *, is_anew: bool = False) -> Receipt:
        """What is really on this disk; hashes what was not hashed for a day, or all of it. Without heads, if nothing.

        ``is_anew`` for who has seen that something is not there.
        """
        if is_anew:
            self._checks.forget(account)
        return receipts.claim_receipt(self._txn, self._blobs, self._checks, account, self._clock_ms())

    def hash_some(self, account: Cid, *, is_anew: bool = False) -> bool:
        """A part of the work of a claim, so that no snapshot is open for seconds; whether nothing is left of it."""
        if is_anew:
            self._checks.forget(account)
        return receipts.hash_some(self._txn, self._blobs, self._checks, account, self._clock_ms())

    def holdings(self, account: Cid) -> list[Holding]:
        """What is held of each log, for somebody who judges it."""
        return list_holdings(self._txn, account)

    # -- what was said

    def cards(self, account: Cid) -> list[Statement]:
        """The newest first; those that ended last."""
        return hearing.find_statements(self._txn, account, Type.CARD, self._clock_ms())

    def heads_told(self, account: Cid) -> list[Statement]:
        return hearing.find_statements(self._txn, account, Type.HEADS, self._clock_ms())

    def receipts_of(self, account: Cid) -> list[Statement]:
        """By those who say that they keep the account, the newest first."""
        return hearing.find_statements(self._txn, account, Type.RECEIPT, self._clock_ms())

    def absents_of(self, account: Cid) -> list[Statement]:
        """By those who say that they do not give an entry of the account."""
        return hearing.find_statements(self._txn, account, Type.ABSENT, self._clock_ms())

    def does_hold(self, statement: Statement) -> bool:
        """Whether this very statement is held."""
        return hearing.is_held(self._txn, statement)

    def has_known(self, entry: Cid) -> bool:
        """Whether the journal has a place for an entry, be it that its row cannot be read any more."""
        return self._txn.get(Table.IDS, entry.digest) is not None

    def trusts(self, of: Cid, keeper: Cid) -> bool:
        """Whether a keeper's word counts here: the owner of the account accepted it, or the reader follows it."""
        return trust.is_trusted(self._txn, of, keeper)

    def receipts_kept(self, account: Cid) -> list[Statement]:
        """As ``receipts_of``, and older ones that absents held here name."""
        named = hearing.find_statements(self._txn, account, Type.NAMED, self._clock_ms())
        return list({each.digest: each for each in (*self.receipts_of(account), *named)}.values())

    def may_speak(self, statement: Statement, ops: Sequence[Travelling] = ()) -> bool:
        """Whether a statement's key may speak for its account, also by operations that came with it."""
        if speakers.may_speak(self._txn, statement.account, statement.key):
            return True
        beside = [Operation(each.entry, each.body) for each in ops[: speakers.MAX_OPERATIONS]]
        try:
            admitted = speakers.admit(self._txn, statement.account, beside, self._network)
        except IdentityError:
            return False
        return speakers.may_speak_with(self._txn, statement.account, statement.key, admitted)

    def operations_for(self, statement: Statement) -> tuple[Operation, ...]:
        """What lets a stranger judge who signed a statement."""
        return speakers.operations_for(self._txn, statement.account, statement.key)

    # -- who keeps whom

    def promises(self) -> dict[Cid, Promise]:
        """The accounts this home keeps."""
        found = ((account, promises.find_promise(self._txn, account)) for account in promises.iter_kept(self._txn))
        return {account: promise for account, promise in found if promise is not None}

    def promise(self, account: Cid) -> Promise | None:
        """What was promised of one account."""
        return promises.find_promise(self._txn, account)

    def walk_history(self, walk: HistoryWalk, most: int) -> list[Record]:
        """The next step of a walk, which it notes; see ``pictures.py``."""
        return pictures.walk_history(self._txn, walk, most)

    def usage(self, account: Cid) -> Usage:
        """Bytes and records of the journal that an account takes."""
        return usage.usage_of(self._txn, account)

    def now_ms(self) -> int:
        """The time by which this snapshot judges what is fresh."""
        return self._clock_ms()

    def is_full(self, account: Cid) -> bool:
        """Whether nothing more of an account is taken in, for its promised room is used up."""
        return promises.is_full(self._txn, account)

    def proofs(self, account: Cid) -> list[Proof]:
        """What came of challenges about an account, the newest first."""
        return find_proofs(self._txn, account)

    def count_promises(self) -> int:
        return self._txn.count(Table.PROMISES)

    def why_withheld(self, cid: Cid) -> str | None:
        """The reason for which this home does without a body; None if it does not."""
        return withheld.find_reason(self._txn, cid)

    def accepted_keepers(self, account: Cid) -> frozenset[Cid]:
        """Whom an account asks to keep it, by its records of kind ``keeper``."""
        return trust.accepted_keepers(self._txn, account)

    def keeper_records(self, account: Account, who: Cid) -> list[Record]:
        """The records by which ``account`` asks ``who``: deleting them all ends it."""
        found = (
            serving.find_record(self._txn, aid) for aid in keepers.iter_keeper_aids(self._txn, account.number, who)
        )
        return [record for record in found if record is not None]

    def wards(self, who: Cid, after: Place | None = None) -> Iterator[tuple[Place, Record]]:
        """One keeper record for each account that asks somebody to keep it."""
        for place, aid in keepers.iter_wards(self._txn, who, after):
            record = serving.find_record(self._txn, aid)
            if record is not None:
                yield place, record

    def keepers_of(self, account: Cid, now_ms: int) -> list[KeeperView]:
        """Who keeps an account or was asked to, those that count first."""
        return keptby.keepers_of(self._txn, account, now_ms)

    def kept_by(self, record: Record, now_ms: int) -> KeptBy:
        """How many keepers hold a record; receipts of its account are read once for a snapshot."""
        return self._cover(record.account, now_ms).kept_by(record)

    def proves(self, account: Cid, view: KeeperView, claim: Receipt, head: Head, now_ms: int) -> bool:
        """Whether a head that a keeper names is more than its word; see ``Coverage.proves``."""
        return self._cover(account, now_ms).proves(view, claim, head)

    def _cover(self, account: Cid, now_ms: int) -> Coverage:
        known = self._coverage.get(account)
        if known is None or abs(now_ms - known.now_ms) > _SAME_MOMENT_MS:
            known = self._coverage[account] = Coverage(self._txn, account, now_ms)
        return known
