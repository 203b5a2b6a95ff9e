"""What is given to a peer that asks for single records, a conversation, or what concerns somebody.

Only what is shown here goes out, each record by itself, so each must bear its
own signature: the few that stand by what follows them alone are left out. A
step is bounded in records, and so in signature checks; where it ends, a cursor
says where the next begins.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Final

from unhush.gossip.net.sync.travelling import item_of, operation_of
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import ReadAsked
from unhush.gossip.proto.events import AskedRead, Bundle
from unhush.gossip.proto.frames import Concerning, Item, Need, Operation, ThreadFrame
from unhush.identity.cid import Cid
from unhush.identity.entry import is_signed
from unhush.identity.keys import PublicKey
from unhush.identity.operations import Op
from unhush.identity.trunk import Standing
from unhush.storage.accounts import parse_operations
from unhush.storage.errors import StorageError
from unhush.storage.folds.timeline import parse_position
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot

log = logging.getLogger(__name__)

_SHOWN: Final = (Standing.IN_FORCE, Standing.CONTESTED)
# Replies looked at in one step for those that are not held: each is a row and two hashes.
_LOOKED_AT: Final = 256
# Records that a peer holds and that are looked at for what their authors made of them since.
_CHANGES: Final = 256


# Where a conversation begins, once what befell the records held is told.
_TOP: Final = b"-"


@dataclass(slots=True)
class _Step:
    """What one step gathers."""

    most: int
    room: int
    network: str
    held: tuple[bytes, ...] = ()
    chosen: dict[Cid, Record] = field(default_factory=dict)
    _held: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        self._held = frozenset(self.held)

    @property
    def is_full(self) -> bool:
        return len(self.chosen) >= self.most or self.room <= 0

    def add(self, snapshot: Snapshot, record: Record) -> None:
        """Take a record that is shown, unless the peer holds it or the step is full."""
        if self.is_full or record.cid in self.chosen or record.cid.digest[: limits.TIP_BYTES] in self._held:
            return
        if snapshot.standing(record) not in _SHOWN or record.entry.header.is_identity:
            return
        if is_signed(record.block, record.entry.header.key, self.network):
            self.chosen[record.cid] = record
            self.room -= len(record.block) + len(record.body or b"")


def find_given(snapshot: Snapshot, read: ReadAsked, network: str) -> AskedRead:
    """One step of an answer."""
    held = () if isinstance(read.question, Need) else read.question.held
    step = _Step(read.max_records, read.max_bytes, network, held)
    cursor: bytes | None = None
    try:
        match read.question:
            case Need(_, account, ids):
                _need(snapshot, step, account, ids)
            case ThreadFrame(_, root):
                cursor = _thread(snapshot, step, root, read.cursor)
            case Concerning(_, account):
                _concerning(snapshot, step, account)
    except StorageError as exc:
        log.error("a question was answered in part error=%s; run: unhush verify", exc)
    return AskedRead(tuple(_bundles(snapshot, step.chosen.values(), network)), cursor)


def find_ours(snapshot: Snapshot) -> tuple[bytes, ...]:
    """What is known here of what concerns the own account, newest first, by the starts of digests."""
    acts = islice(snapshot.activity(), limits.MAX_CONCERNING)
    return tuple(concern.record.cid.digest[: limits.TIP_BYTES] for _, concern in acts)


def _need(snapshot: Snapshot, step: _Step, account: Cid, ids: Iterable[Cid]) -> None:
    for cid in ids:
        record = snapshot.record(cid)
        if record is not None and record.account == account:
            step.add(snapshot, record)


def _thread(snapshot: Snapshot, step: _Step, root: Cid, cursor: bytes) -> bytes | None:
    """The newest replies first, each followed by its newest edit; with the first step what befell those held."""
    if not cursor:
        _changes(snapshot, step)
    before = parse_position(cursor.decode()) if cursor not in (b"", _TOP) else None
    for number, (at, reply) in enumerate(snapshot.thread_newest(root, before)):
        if number == _LOOKED_AT or step.is_full:
            return str(before).encode() if before is not None else _TOP
        before = at
        step.add(snapshot, reply)
        edit = snapshot.newest_edit(reply)
        if edit is not None:
            step.add(snapshot, edit)
    return None


def _concerning(snapshot: Snapshot, step: _Step, account: Cid) -> None:
    _changes(snapshot, step)
    for record in merge(
        snapshot.concerning(account), snapshot.naming(account), key=lambda record: record.aid, reverse=True
    ):
        if step.is_full:
            return
        step.add(snapshot, record)


def _changes(snapshot: Snapshot, step: _Step) -> None:
    """What authors made of records that the peer holds: it may have missed that."""
    for point in islice(step.held, _CHANGES):
        record = snapshot.by_point(point)
        change = snapshot.change_of(record) if record is not None else None
        if change is not None:
            step.add(snapshot, change)


def _profile(snapshot: Snapshot, account: Cid, network: str) -> Item | None:
    """In which record an account says who it is, if that is short."""
    record = snapshot.profile_record(account)
    if record is None or record.body is None or len(record.block) + len(record.body) > limits.GIVEN_PROFILE_BYTES:
        return None
    return item_of(record) if is_signed(record.block, record.entry.header.key, network) else None


def _bundles(snapshot: Snapshot, records: Iterable[Record], network: str) -> Iterator[Bundle]:
    by_account: dict[Cid, list[Record]] = {}
    for record in records:
        by_account.setdefault(record.account, []).append(record)
    for account, theirs in by_account.items():
        keys = frozenset(record.entry.header.key for record in theirs)
        ops = find_operations(snapshot, account, keys, limits.MAX_GIVEN_OPS, limits.GIVEN_OPS_BYTES)
        items = tuple(item_of(snapshot.withheld(record)) for record in theirs)
        yield Bundle(account, tuple(ops), items, _profile(snapshot, account, network))


def find_operations(
    snapshot: Snapshot, account: Cid, keys: frozenset[PublicKey], most: int, max_bytes: int
) -> list[Operation]:
    """The operations of an account by which its devices are judged: the tables, what concerns these keys, the rest."""
    held = snapshot.operations(account)
    ranked = sorted(zip(held, parse_operations(held), strict=True), key=lambda pair: _rank(pair[1], keys))
    found: list[Operation] = []
    for record, _ in ranked[:most]:
        max_bytes -= len(record.block) + len(record.body or b"") + 32
        if max_bytes < 0:
            break
        found.append(operation_of(record))
    return found


def _rank(operation: object, keys: frozenset[PublicKey]) -> int:
    """Sorts stably: the inception is first already, and the others are in order of id."""
    if not isinstance(operation, Op):
        return 0
    device = operation.device
    return 1 if device in keys else 2
