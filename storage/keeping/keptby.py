"""Kept by: how many keepers hold a record, by their own signed word, and of how many that was shown.

A head that is not on our branch shows nothing: anybody can name number 2^40. If
it is above all that we have, its log is held by their word alone, until a
challenge was passed for an entry of it.

A keeper is proven for an account if its receipt is fresh and it answered a
challenge within seven days. It counts if the owner accepted it or the reader
follows it; all others are told apart as unproven, for anybody can make up a
thousand of them. Our own node counts for nobody but us, so it is never among
them, and no account is its own keeper.
"""

from collections.abc import Set
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from unhush.identity.cid import Cid
from unhush.identity.entry import Header
from unhush.identity.keys import PublicKey
from unhush.identity.statement import Head, Receipt, Statement, digest_operations
from unhush.storage import accounts, logs, serving, settings
from unhush.storage.keeping.hearing import find_counting
from unhush.storage.keeping.proofs import Proof, find_proofs
from unhush.storage.keeping.trust import accepted_keepers, is_trusted
from unhush.storage.records import Record
from unhush.storage.transaction import Txn

# So long a passed challenge says something about today.
PROVEN_MS: Final = 7 * 24 * 60 * 60 * 1000


class KeptBy(NamedTuple):
    """How many keepers hold a record: those that count and showed it, and all others that say so."""

    proven: int
    unproven: int


NOBODY: Final = KeptBy(0, 0)


@dataclass(frozen=True, slots=True)
class KeeperView:
    """One keeper of an account, or somebody who was asked to be one and says nothing yet (no receipt).

    Several devices of a keeper may each hold a part, or all, and say so by a receipt of its own.
    """

    keeper: Cid
    receipt: Statement | None  # the newest
    proof: Proof | None  # the newest, passed or not
    is_trusted: bool
    is_proven: bool
    receipts: tuple[Statement, ...] = ()  # the newest of each device, newest first


def keepers_of(txn: Txn, account: Cid, now_ms: int) -> list[KeeperView]:
    """Those that count first, then the trusted, then all others by how new their receipt is."""
    own = settings.find_own_account(txn)
    receipts: dict[Cid, list[Statement]] = {keeper: [] for keeper in accepted_keepers(txn, account)}
    for statement in find_counting(txn, account, now_ms):
        if isinstance(statement.claim, Receipt) and statement.claim.heads:  # without any it ends an older promise
            receipts.setdefault(statement.account, []).append(statement)
    proofs = find_proofs(txn, account)
    views = []
    for keeper in receipts.keys() - {account, own}:
        given = tuple(receipts[keeper])
        proof = next((each for each in proofs if each.keeper == keeper), None)
        views.append(
            KeeperView(
                keeper,
                given[0] if given else None,
                proof,
                is_trusted(txn, account, keeper),
                bool(given) and _has_shown(proof, now_ms),
                given,
            )
        )
    return sorted(
        views,
        key=lambda view: (
            not (view.is_trusted and view.is_proven),
            not view.is_trusted,
            -view.receipt.time if view.receipt is not None else 0,
            view.keeper,
        ),
    )


def _has_shown(newest: Proof | None, now_ms: int) -> bool:
    """Whether the newest challenge was passed, and not long ago."""
    return newest is not None and newest.ok and newest.at_ms >= now_ms - PROVEN_MS


class Coverage:
    """Which keepers hold which records of one account, as of one snapshot; asked for every record of a page."""

    def __init__(self, txn: Txn, account: Cid, now_ms: int) -> None:
        self._txn = txn
        self._account = account
        self.now_ms = now_ms
        self._covers = [_Cover(view) for view in keepers_of(txn, account, now_ms) if view.receipts]
        self._heads: dict[Head, bool | None] = {}
        self._asked: dict[Cid, Header | None] = {}
        self._identity: bytes | None = None

    def kept_by(self, record: Record) -> KeptBy:
        """Of one record of the account."""
        if not self._covers:
            return NOBODY
        is_ours = self._is_in_slot(record)
        proven = unproven = 0
        for cover in self._covers:
            words = [self._word_of(cover, part, record, is_ours=is_ours) for part in cover.parts]
            if cover.counts and _Word.SHOWN in words:
                proven += 1
            elif any(words):
                unproven += 1
        return KeptBy(proven, unproven)

    def _word_of(self, cover: "_Cover", part: "_Part", record: Record, *, is_ours: bool) -> "_Word":
        """What a receipt says of a record; ``is_ours``: it stands in our chain."""
        header = record.entry.header
        if header.is_identity:
            return _Word.SHOWN if part.identity == self._identity_digest() else _Word.NONE
        head = part.heads.get(header.key)
        if head is None or head.seq < header.seq or record.cid in part.withheld:
            return _Word.NONE
        if head.seq == header.seq:
            if head.entry != record.cid:
                return _Word.NONE
            return _Word.SHOWN if is_ours else _Word.TOLD
        if not is_ours:
            return _Word.NONE
        is_branch = self._is_on_our_branch(head)
        if is_branch is None:
            return _Word.SHOWN if self._has_shown_log(cover.view.proof, part.withheld, head) else _Word.TOLD
        return _Word.SHOWN if is_branch else _Word.NONE

    def _is_on_our_branch(self, head: Head) -> bool | None:
        """Whether a head is the entry in our chain; None if we have none at its number."""
        if head not in self._heads:
            log = logs.find_log(self._txn, self._account, head.key)
            held = logs.find_digest(self._txn, log, head.seq) if log is not None else None
            self._heads[head] = held == head.entry.digest if held is not None else None
        return self._heads[head]

    def proves(self, view: KeeperView, claim: Receipt, head: Head) -> bool:
        """Whether a head of a receipt proves, by a keeper that is proven, the records of ours up to it."""
        is_branch = self._is_on_our_branch(head)
        if is_branch is None:
            return self._has_shown_log(view.proof, {each.entry for each in claim.withheld}, head)
        return is_branch

    def _has_shown_log(self, proof: Proof | None, withheld: Set[Cid], head: Head) -> bool:
        """Whether the challenge that was passed asked for an entry of this very log that the receipt covers."""
        if proof is None or not proof.ok or proof.entry in withheld:
            return False
        if proof.entry not in self._asked:
            record = serving.find_record_by_cid(self._txn, proof.entry)
            is_known = record is not None and record.account == self._account and self._is_in_slot(record)
            self._asked[proof.entry] = record.entry.header if record is not None and is_known else None
        header = self._asked[proof.entry]
        return header is not None and header.key == head.key and header.seq <= head.seq

    def _is_in_slot(self, record: Record) -> bool:
        """Whether a record stands in our chain: a receipt for it says nothing of another branch."""
        header = record.entry.header
        log = logs.find_log(self._txn, self._account, header.key)
        return log is not None and logs.find_digest(self._txn, log, header.seq) == record.cid.digest

    def _identity_digest(self) -> bytes:
        if self._identity is None:
            self._identity = identity_digest(self._txn, self._account)
        return self._identity


class _Word(IntEnum):
    """What a receipt is worth for one record."""

    NONE = 0
    TOLD = 1  # by nothing held here can it be said whether it is true
    SHOWN = 2  # as true as its keeper


class _Cover:
    """One keeper's receipts, to be looked at for many records."""

    __slots__ = ("counts", "parts", "view")

    def __init__(self, view: KeeperView) -> None:
        self.view = view
        self.counts = view.is_trusted and view.is_proven
        self.parts = [_Part(each.claim) for each in view.receipts if isinstance(each.claim, Receipt)]


class _Part:
    """What one device of a keeper says."""

    __slots__ = ("heads", "identity", "withheld")

    def __init__(self, claim: Receipt) -> None:
        self.heads: dict[PublicKey, Head] = {head.key: head for head in claim.heads}
        self.identity = claim.identity
        self.withheld = frozenset(entry for entry, _ in claim.withheld)


def identity_digest(txn: Txn, account: Cid) -> bytes:
    """The digest of the operations held of an account."""
    return digest_operations(accounts.operation_ids(txn, account))
