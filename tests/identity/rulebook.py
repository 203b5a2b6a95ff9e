"""A second opinion: PROTOCOL §3 rules 1 to 9, clause by clause, in the order of that page.

Slow and plain, and sharing no line with ``identity/trunk.py``; where the two
differ, one of them, or the page, is wrong.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256

from unhush.identity.cid import Cid
from unhush.identity.entry import Entry
from unhush.identity.keys import PublicKey
from unhush.identity.operations import Cut, Op, Table

NULL: Cut = (-1, b"")
NO_CUT: Cut = (2**63, b"")


@dataclass
class Opinion:
    """What the page says of a set of operations."""

    generation: int
    table: Cid
    root: PublicKey
    cuts: dict[PublicKey, Cut]
    names: dict[PublicKey, str]
    closed: bool
    alarms: set[str]
    stored: set[Cid]


def find_generation(inception: Table, rotate: Table) -> int | None:
    """Rule 1."""
    if len(rotate.path) == 0 or len(rotate.path) > 256:
        return None
    if rotate.path[len(rotate.path) - 1] != rotate.key:
        return None
    chain = rotate.next
    for turn in rotate.path[::-1]:
        chain = sha256(b"unhush/1/next\x00" + turn.bytes + chain).digest()
    if chain != inception.next:
        return None
    return len(rotate.path)


def read(account: Cid, operations: Iterable[Table | Op]) -> Opinion | None:
    tables: dict[bytes, Table] = {}
    others: dict[bytes, Op] = {}
    for operation in operations:
        if isinstance(operation, Table):
            tables[operation.id.bytes] = operation
        else:
            others[operation.id.bytes] = operation
    inception = tables.get(account.bytes)
    if inception is None or inception.path:
        return None

    # 2. The highest generation known stands; within one generation, the lowest CID.
    by_generation: dict[int, list[bytes]] = {0: [account.bytes]}
    for cid, table in tables.items():
        generation = find_generation(inception, table)
        if generation is not None:
            by_generation.setdefault(generation, []).append(cid)
    top = max(by_generation)
    candidates = sorted(by_generation[top])
    standing = tables[candidates[0]]
    alarms = set() if len(candidates) == 1 else {"twice"}

    # 4. Other operations count iff prev is the standing table and its root signed them.
    adds: dict[PublicKey, list[bytes]] = {}
    revokes: dict[PublicKey, list[tuple[int, bytes, bytes]]] = {}
    freezes: list[bytes] = []
    for cid, op in others.items():
        if op.prev != standing.id or op.key != standing.root:
            continue
        if op.device is None:
            freezes.append(cid)
        elif op.kind.endswith("add"):
            adds.setdefault(op.device, []).append(cid)
        else:
            revokes.setdefault(op.device, []).append((*op.cut, cid))

    # 3. The standing table is the whole truth. A row without cut is open.
    cuts = {row.key: row.cut for row in standing.devices}
    names = {row.key: row.name for row in standing.devices}
    listed = set(cuts)

    # 6. Adds stop counting once frozen, closed or flooded.
    room = min(256 - len(listed), 64)
    unlisted = {key for key in [*adds, *revokes] if key not in listed}
    is_flooded = len(unlisted) > room
    if freezes:
        alarms.add("frozen")
    if is_flooded:
        alarms.add("flooded")
    # 5. An add opens an unlisted device, under the name of the lowest CID (rule 8).
    if not freezes and not standing.closed and not is_flooded:
        for key in unlisted:
            if key in adds:
                cuts[key] = NO_CUT
                lowest = others[min(adds[key])]
                names[key] = lowest.name
    # 5. The lowest cut among table and revokes wins.
    for key, cut in list(cuts.items()):
        cuts[key] = min([cut, *((seq, entry) for seq, entry, _ in revokes.get(key, []))])

    # 8. What a node stores.
    stored = {account.bytes, *candidates[:2], *sorted(freezes)[:1]}
    lowest_keys = sorted(unlisted, key=lambda key: key.bytes)[: room + 1]
    for key in lowest_keys:
        stored.update(sorted(adds.get(key, []))[:1])
    for key in [*listed, *lowest_keys]:
        stored.update(cid for _, _, cid in sorted(revokes.get(key, []))[:1])
    ids = {Cid(cid) for cid in stored}
    return Opinion(top, standing.id, standing.root, cuts, names, standing.closed, alarms, ids)


def judge(cut: Cut, entries: Collection[Entry]) -> dict[Cid, str]:
    """Rule 7, for the entries held of one log."""
    verdicts: dict[Cid, str] = {}
    if cut == NO_CUT:
        crowd = Counter(entry.header.seq for entry in entries)
        forks = [seq for seq, count in crowd.items() if count > 1]
        for entry in entries:
            is_below = not forks or entry.header.seq < min(forks)
            verdicts[entry.cid] = "in force" if is_below else "contested"
        return verdicts
    by_cid = {entry.cid.bytes: entry for entry in entries}
    chain: set[bytes] = set()
    wanted, seq = cut[1], cut[0]
    while wanted in by_cid and by_cid[wanted].header.seq == seq:
        chain.add(wanted)
        prev = by_cid[wanted].header.prev
        if prev is None:
            break
        wanted, seq = prev.bytes, seq - 1
    decided = {by_cid[cid].header.seq for cid in chain}
    for entry in entries:
        if entry.cid.bytes in chain:
            verdicts[entry.cid] = "in force"
        elif entry.header.seq > cut[0] or entry.header.seq in decided:
            verdicts[entry.cid] = "void"
        else:
            verdicts[entry.cid] = "unproven"
    return verdicts
