"""What an account is, as a pure function of the *set* of its identity operations (PROTOCOL §3).

Tables are the inception and the rotates; the table of the highest generation
stands, within one generation the lowest CID, and the standing table is the
whole truth about devices. Adds, revokes and freezes count only on the table
they name and only by its root. Order of arrival, repetition and anything signed
for an older generation change nothing.

Signatures, key points and sizes were checked when operations were parsed: every
operation here was signed by its ``key``, and every entry judged is authentic.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.entry import Entry
from unhush.identity.keys import PublicKey
from unhush.identity.operations import ADD, FREEZE, MAX_ROWS, OPEN, REVOKE, Cut, Op, Table
from unhush.identity.words import GENERATIONS, commit

ADDED: Final = 64  # devices one generation can name beside its table; more is a flood
MAX_STORED: Final = 4 + MAX_ROWS + 2 * (ADDED + 1)  # 390 operations are all a node ever has to store


class Alarm(Enum):
    """Reasons for the owner to rotate."""

    TWICE = "twice"  # a second rotate to the standing generation
    FROZEN = "frozen"
    FLOODED = "flooded"  # more new devices named than one generation may


class Standing(Enum):
    """What an authentic entry is worth."""

    IN_FORCE = "in force"
    CONTESTED = "contested"  # from a fork on, in an open log
    UNPROVEN = "unproven"  # below a cut, but the run that would prove it is missing
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Trunk:
    """The operations that count, and no others."""

    incept: Table
    generation: int
    table: Table
    rival: Table | None  # a second rotate to the same generation
    freeze: Op | None
    adds: Mapping[PublicKey, Op]
    revokes: Mapping[PublicKey, Op]

    def ids(self) -> frozenset[Cid]:
        """What a node stores of the account, at most ``MAX_STORED``."""
        kept = [self.incept, self.table, self.rival, self.freeze, *self.adds.values(), *self.revokes.values()]
        return frozenset(operation.id for operation in kept if operation is not None)


@dataclass(frozen=True, slots=True)
class State:
    """Who may speak for the account, and how far."""

    generation: int
    table: Cid
    root: PublicKey
    cuts: Mapping[PublicKey, Cut]  # a device that is not here has no say at all
    names: Mapping[PublicKey, str]
    closed: bool
    alarms: frozenset[Alarm]

    def cut_of(self, device: PublicKey) -> Cut | None:
        """Where the device's log ends: OPEN, a cut, or None for a stranger."""
        return self.cuts.get(device)


def find_generation(incept: Table, table: Table) -> int:
    """How far along the chain fixed at inception a table stands; -1 if it is not on it."""
    if table.id == incept.id:
        return 0
    if not 0 < len(table.path) <= GENERATIONS or table.key != table.path[-1]:
        return -1
    commitment = table.next
    for turn in reversed(table.path):
        commitment = commit(turn, commitment)
    return len(table.path) if commitment == incept.next else -1


def find_trunk(account: Cid, operations: Iterable[Table | Op]) -> Trunk | None:
    """The operations that count; a superset of them gives the same answer. None without the inception."""
    ordered = sorted({operation.id: operation for operation in operations}.values(), key=lambda operation: operation.id)
    tables = [operation for operation in ordered if isinstance(operation, Table)]
    incept = next((table for table in tables if table.id == account and not table.path), None)
    if incept is None:
        return None
    ranked = [(find_generation(incept, table), table) for table in tables]
    top = max(rank for rank, _ in ranked)
    table, *rivals = [table for rank, table in ranked if rank == top]
    own = [op for op in ordered if isinstance(op, Op) and (op.prev, op.key) == (table.id, table.root)]
    listed = {device.key for device in table.devices}
    named = sorted({op.device for op in own if op.device is not None} - listed)[: limit(table) + 1]
    counting = listed.union(named)
    freeze = next((op for op in own if op.kind == FREEZE), None)
    adds = {op.device: op for op in reversed(own) if op.kind == ADD and op.device is not None and op.device in named}
    lowest = sorted((op for op in own if op.kind == REVOKE), key=lambda op: (op.cut, op.id))
    revokes = {op.device: op for op in reversed(lowest) if op.device is not None and op.device in counting}
    return Trunk(incept, top, table, rivals[0] if rivals else None, freeze, adds, revokes)


def limit(table: Table) -> int:
    """How many unlisted devices adds and revokes on this table may name."""
    return min(ADDED, MAX_ROWS - len(table.devices))


def fold(trunk: Trunk) -> State:
    """Rules 3 to 6 and 9 of PROTOCOL §3."""
    cuts = {device.key: device.cut for device in trunk.table.devices}
    names = {device.key: device.name for device in trunk.table.devices}
    flooded = len((trunk.adds.keys() | trunk.revokes.keys()) - cuts.keys()) > limit(trunk.table)
    if not (flooded or trunk.freeze or trunk.table.closed):
        cuts |= dict.fromkeys(trunk.adds, OPEN)
        names |= {device: add.name for device, add in trunk.adds.items()}
    for device in cuts.keys() & trunk.revokes.keys():
        cuts[device] = min(cuts[device], trunk.revokes[device].cut)
    signs = {Alarm.TWICE: trunk.rival, Alarm.FROZEN: trunk.freeze, Alarm.FLOODED: flooded}
    alarms = frozenset(alarm for alarm, seen in signs.items() if seen)
    return State(trunk.generation, trunk.table.id, trunk.table.root, cuts, names, trunk.table.closed, alarms)


def judge(cut: Cut, held: Mapping[Cid, Entry]) -> dict[Cid, Standing]:
    """The standing of every entry held of one device's log, under that device's cut (rule 7)."""
    if cut == OPEN:
        seqs = sorted(entry.header.seq for entry in held.values())
        fork = min((seq for seq, after in pairwise(seqs) if seq == after), default=OPEN[0])
        return {
            cid: Standing.IN_FORCE if entry.header.seq < fork else Standing.CONTESTED for cid, entry in held.items()
        }
    proven: dict[int, Cid] = {}
    at = next((entry for entry in held.values() if entry.cid.bytes == cut[1]), None)
    while at is not None and at.header.seq == cut[0] - len(proven):
        proven[at.header.seq] = at.cid
        at = held.get(at.header.prev) if at.header.prev is not None else None
    return {cid: _judge_under_cut(entry, cut, proven) for cid, entry in held.items()}


def _judge_under_cut(entry: Entry, cut: Cut, proven: Mapping[int, Cid]) -> Standing:
    seq = entry.header.seq
    if seq > cut[0]:
        return Standing.VOID
    if seq not in proven:
        return Standing.UNPROVEN
    return Standing.IN_FORCE if proven[seq] == entry.cid else Standing.VOID
