"""Evicting: making room where an account, or a tier together, has used up nearly all it may have.

An account over its own share loses its oldest records, and its newest stay. If
a tier together has no room, whom we have heard of least recently goes, whole.
Own records never go, nor those of accounts that are kept, nor those of people the
owner follows for others' sake.

What an account said that still acts is spared where only a part goes: its
deletes (else what it took back would be shown again), its newest profile,
follows, blocks and whom it asks to keep it. They are small.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import takewhile
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.operations import OPEN
from unhush.storage import accounts, journal, logs, standing
from unhush.storage.accounts import Account
from unhush.storage.folds import profiles
from unhush.storage.keeping import promises
from unhush.storage.kinds import BLOCK, DELETE, FOLLOW, KEEPER, PROFILE
from unhush.storage.records import Record
from unhush.storage.room import dropping, floors, usage
from unhush.storage.room.tiers import Circles, Limits, Tier, most_of, tally, tier_of
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Room is made when seven eighths are used, until three quarters are: not again with the next record.
_FULL: Final = (7, 8)
_ENOUGH: Final = (3, 4)
# Below half of its share an account may have its history back.
_PLENTY: Final = (1, 2)

_ACTING: Final = frozenset((DELETE, FOLLOW, KEEPER, BLOCK))


@dataclass(frozen=True, slots=True)
class Overdrawn:
    """An account that has to give bytes back; ``is_whole``: all it has, for others of its tier."""

    account: Cid
    tier: Tier
    size_bytes: int
    is_whole: bool


def find_overdrawn(txn: Txn, limits: Limits) -> list[Overdrawn]:
    """Whom room is taken from now, farthest first."""
    circles = Circles(txn)
    found = []
    for account, used in usage.iter_usage(txn):
        tier = circles.tier_of(account)
        each = limits.each(tier)
        if each is not None and used.size_bytes > _part(each, _FULL):
            found.append(Overdrawn(account, tier, used.size_bytes - _part(each, _ENOUGH), is_whole=False))
    counted = tally(txn)
    for tier in (Tier.STRANGER, Tier.NEAR):
        together = limits.together(tier)
        if together is not None and counted.usage[tier].size_bytes > _part(together, _FULL):
            excess = counted.usage[tier].size_bytes - _part(together, _ENOUGH)
            found += _find_least_recent(txn, circles, tier, excess)
    whole = {each.account for each in found if each.is_whole}
    return sorted((each for each in found if each.is_whole or each.account not in whole), key=lambda each: -each.tier)


def _find_least_recent(txn: Txn, circles: Circles, tier: Tier, excess: int) -> Iterator[Overdrawn]:
    """Those of a tier whose newest record came longest ago, as many as give back enough."""
    seen = sorted(
        (_last_seen(txn, account), account, used.size_bytes)
        for account, used in usage.iter_usage(txn)
        # Of people two steps away the operations stay: who has nothing else can give nothing back.
        if circles.tier_of(account) == tier and (tier is Tier.STRANGER or _has_records(txn, account))
    )
    for _, account, size in seen:
        if excess <= 0:
            return
        excess -= size
        yield Overdrawn(account, tier, size, is_whole=True)


def _has_records(txn: Txn, account: Cid) -> bool:
    return any(logs.find_head(txn, log) is not None for _, _, log in logs.iter_logs(txn, account))


def _last_seen(txn: Txn, account: Cid) -> int:
    """When the newest of an account came; of one without records, its inception."""
    heads = (logs.find_head(txn, log) for _, _, log in logs.iter_logs(txn, account))
    records = [journal.find_record(txn, head.aid) for head in heads if head is not None]
    records.append(journal.find_record_by_cid(txn, account))
    return max((record.seen_at_ms for record in records if record is not None), default=0)


def _part(whole: int, part: tuple[int, int]) -> int:
    return whole * part[0] // part[1]


class Eviction:
    """Taking room back from one account, a few records at a time; each ``step`` is in a transaction of its own."""

    def __init__(self, overdrawn: Overdrawn, limits: Limits, network: str) -> None:
        self._of = overdrawn
        self._limits = limits
        self._network = network
        self._spared: set[Cid] = set()
        self.records = 0
        self.size_bytes = 0
        self.is_forgotten = False

    def iter_steps(self, txn: Txn) -> Iterator[None]:
        """One record at each turn, for as long as there is something to take back."""
        account = accounts.find_account(txn, self._of.account)
        if account is None or tier_of(txn, account.id) < self._of.tier:
            return
        if self._of.is_whole:
            for log, record in self._all_of(txn, account):
                self._drop(txn, account, log, record)
                yield
            if self._of.tier is Tier.STRANGER:
                self.is_forgotten = dropping.forget_if_empty(txn, account)
            return
        each = self._limits.each(self._of.tier)
        assert each is not None, "an account without a limit was to give room back"
        enough = _part(each, _ENOUGH)
        for log, record in self._oldest_first(txn, account):
            if usage.usage_of(txn, account.id).size_bytes <= enough:
                return
            floors.raise_floor(txn, account.id, log, record.entry.header.seq + 1)
            if self._is_spared(txn, account, record):
                self._spared.add(record.cid)
            else:
                self._drop(txn, account, log, record)
            yield

    def _drop(self, txn: Txn, account: Account, log: bytes, record: Record) -> None:
        dropping.drop(txn, account, log, record)
        self._rise(txn, log, record.entry.header.seq)
        self.records += 1
        self.size_bytes += usage.size_of(record)

    @staticmethod
    def _rise(txn: Txn, log: bytes, seq: int) -> None:
        """A cut no longer reaches down to what was dropped."""
        if standing.find_proven(txn, log) != seq:
            return
        if logs.find_slot(txn, log, seq + 1) is not None:
            txn.put(Table.PROVEN, log, logs.pack_u64(seq + 1))
        else:
            txn.delete(Table.PROVEN, log)

    @staticmethod
    def _all_of(txn: Txn, account: Account) -> Iterator[tuple[bytes, Record]]:
        """Every entry; deletes last, or what they took back would be shown until it goes too."""
        held = [log for _, _, log in logs.iter_logs(txn, account.id)]
        for is_last in (False, True):
            for log in held:
                seq = 0
                while (slot := next(logs.iter_slots(txn, log, seq), None)) is not None:
                    record = _get(txn, slot.aid)
                    if is_last or record.kind != DELETE:
                        yield log, record
                    seq = slot.seq + 1
        for log in held:
            for _, slot in list(logs.iter_beside(txn, log)):
                yield log, _get(txn, slot.aid)

    def _oldest_first(self, txn: Txn, account: Account) -> Iterator[tuple[bytes, Record]]:
        """From the bottom of every log upwards, in order of time; each log up to its fork, its head stays."""
        waiting: list[tuple[int, bytes, int]] = []
        for _, _, log in logs.iter_logs(txn, account.id):
            self._push(txn, waiting, log, 0)
        heapify(waiting)
        while waiting:
            _, log, aid = heappop(waiting)
            record = _get(txn, aid)
            header = record.entry.header
            if account.state.cut_of(header.key) != OPEN and self._is_spared(txn, account, record):
                continue  # under a cut nothing counts below a hole, so it ends here
            yield log, record
            self._push(txn, waiting, log, header.seq + 1)

    def _push(self, txn: Txn, waiting: list[tuple[int, bytes, int]], log: bytes, low: int) -> None:
        slot = next((each for each in logs.iter_slots(txn, log, low) if each.cid not in self._spared), None)
        head = logs.find_head(txn, log)
        if slot is None or head is None or slot.seq >= head.seq or self._is_forked(txn, log, slot.seq):
            return
        heappush(waiting, (_get(txn, slot.aid).shown_at_ms, log, slot.aid))

    @staticmethod
    def _is_forked(txn: Txn, log: bytes, seq: int) -> bool:
        """From its fork on a log is kept: it is the proof."""
        return any(True for _ in takewhile(lambda each: each[0] <= seq, logs.iter_beside(txn, log)))

    def _is_spared(self, txn: Txn, account: Account, record: Record) -> bool:
        """What still acts; but by its own signature, for who vouched for it may be gone."""
        is_acting = record.kind in _ACTING or (
            record.kind == PROFILE and profiles.find_profile_aid(txn, account.number) == record.aid
        )
        return is_acting and dropping.stands_alone(record, self._network)


def _get(txn: Txn, aid: int) -> Record:
    record = journal.find_record(txn, aid)
    assert record is not None, "a slot leads to no record"
    return record


def find_liftable(txn: Txn, limits: Limits) -> list[bytes]:
    """Logs whose floor is of no use any more: there is plenty of room again."""
    found = []
    for log, _ in txn.scan(Table.FLOORS):
        name = txn.get(Table.LOGS, log)
        if name is None:
            found.append(log)
            continue
        account = cid_of_digest(name[:32])
        each = most_of(txn, limits, account, tier_of(txn, account))
        if each is None or usage.usage_of(txn, account).size_bytes < _part(each, _PLENTY):
            found.append(log)
    return found


def find_roomy(txn: Txn, limits: Limits) -> list[Cid]:
    """Kept accounts that were full and have room again: much was erased, or they may take more, being followed now.

    Nothing here says how large a record was refused, so less than the largest may fit: then they are soon full again.
    """
    found = []
    for account in promises.iter_kept(txn):
        each = most_of(txn, limits, account, Tier.KEPT) if promises.is_full(txn, account) else None
        if each is not None and usage.usage_of(txn, account).size_bytes < _part(each, _ENOUGH):
            found.append(account)
    return found
