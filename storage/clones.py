"""The clone check's memory: whether this home is an older copy of a device that went on elsewhere (PROTOCOL §3).

A device writes its log alone. So an entry that bears this device's own valid
signature and is not held here proves that a newer state of this disk existed:
an image was put back, or a copy runs. Nobody's claims count, only the entry.
From then on nothing more is written or sent under that key; ``renew`` gives
the home a new one and signs again what was written here and never left.

``handed_on`` is which numbers of the own log went to a peer: runs of them, for
frames go newest first, and a line that breaks leaves the older ones here. It
says what may be held elsewhere, so it is what is claimed as held of the own
log: everything else could stand differently with others.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode_map, decode_stored, encode
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import PublicKey
from unhush.identity.operations import OPEN
from unhush.storage import indexes, journal, logs, settings, standing
from unhush.storage.accounts import Account
from unhush.storage.errors import StoreUnreadable
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.standing import Span
from unhush.storage.transaction import Txn

Runs: TypeAlias = tuple[tuple[int, int], ...]  # inclusive, ascending, never adjacent

_FOUND = b"clone-found"
_HANDED_ON = b"handed-on-runs"

# A log leaves in a few runs, one for each line that broke. Beyond this the shortest are forgotten: that costs least,
# and what is forgotten is at worst sent back to us or signed again.
MAX_HANDED_ON: Final = 256


@dataclass(frozen=True, slots=True)
class CloneFound:
    """The proof: an entry of the own log that came from elsewhere, and the newest one that was here before."""

    evidence: Cid
    head: Cid | None


def find_clone(txn: Txn) -> CloneFound | None:
    value = txn.get(Table.META, _FOUND)
    if value is None:
        return None
    match decode_map(value):
        case {"evidence": Cid() as evidence, "head": Cid() | None as head}:
            return CloneFound(evidence, head)
    raise StoreUnreadable("the note of a copied home is damaged")


def note_clone(txn: Txn, account: Cid, device: PublicKey, evidence: Cid) -> None:
    """Remember the first proof, before it is stored; later ones say nothing new."""
    if txn.get(Table.META, _FOUND) is None:
        log = logs.find_log(txn, account, device)
        head = logs.find_head(txn, log) if log is not None else None
        txn.put(Table.META, _FOUND, encode({"evidence": evidence, "head": head.cid if head is not None else None}))


def find_handed_on(txn: Txn) -> Runs:
    """The numbers of the own log that left."""
    value = txn.get(Table.META, _HANDED_ON)
    pairs = decode_stored(value) if value is not None else []
    if not isinstance(pairs, list):
        raise StoreUnreadable("the note of what left this home is damaged")
    return tuple(map(_run, pairs))


def _run(pair: Value) -> tuple[int, int]:
    match pair:
        case [int() as low, int() as high]:
            return low, high
    raise StoreUnreadable("the note of what left this home is damaged")


def put_handed_on(txn: Txn, runs: Runs) -> None:
    """Remember that these left too."""
    before = find_handed_on(txn)
    after = _longest(_union(before, runs))
    if after != before:
        txn.put(Table.META, _HANDED_ON, encode([[low, high] for low, high in after]))


def _union(some: Runs, others: Runs) -> Runs:
    merged: list[tuple[int, int]] = []
    for low, high in sorted((*some, *others)):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def _longest(runs: Runs) -> Runs:
    longest = sorted(runs, key=lambda run: (run[1] - run[0], run[0]), reverse=True)
    return tuple(sorted(longest[:MAX_HANDED_ON]))


def has_left(seq: int, runs: Runs) -> bool:
    """Whether a number is in one of the runs."""
    return any(low <= seq <= high for low, high in runs)


def is_coming_back(txn: Txn, account: Cid, device: PublicKey, seq: int) -> bool:
    """Whether an entry of the own log left this home and is not here any more: a repair forgot it, no copy wrote it."""
    log = logs.find_log(txn, account, device)
    return has_left(seq, find_handed_on(txn)) and (log is None or not logs.find_aids(txn, log, seq))


def clip(held: Runs, runs: Runs) -> Runs:
    """The part of what is held that left."""
    return tuple(part for low, high in runs for part in Span(low, high).clip(held))


def begin_device(txn: Txn, device: PublicKey) -> None:
    """From now on this home writes with another key, of which nothing is known yet."""
    settings.put_own_device(txn, device)
    txn.delete(Table.META, _FOUND)
    txn.delete(Table.META, _HANDED_ON)


def forget_device(txn: Txn) -> None:
    """From now on this home writes with no key: the log it wrote is one like any other."""
    settings.drop_own_device(txn)
    txn.delete(Table.META, _FOUND)
    txn.delete(Table.META, _HANDED_ON)


def why_not_to_write(txn: Txn, account: Cid, device: PublicKey) -> str:
    """The reason for which nothing may be signed with this device's key now; empty if there is none."""
    if find_clone(txn) is not None:
        return (
            "this home is an older copy of one that went on elsewhere, so this device's key must not be used again; "
            "get a new one with: unhush device renew"
        )
    log = logs.find_log(txn, account, device)
    if log is not None and standing.fork_point(txn, log) is not None:
        return (
            "this device's log has forked: two records stand at one place, so a copy of this key was used elsewhere; "
            "get a new one with: unhush device renew"
        )
    head = logs.find_head(txn, log) if log is not None else None
    left = find_handed_on(txn)
    if left and left[-1][1] > (head.seq if head is not None else -1):
        return (
            "this device's newest records were lost here; they come back from peers: unhush run; "
            "if nobody has them, get a new key with: unhush device renew"
        )
    return ""


def find_unsent(txn: Txn, account: Account, device: PublicKey) -> list[Record]:
    """What this home wrote with a device and nobody else holds, oldest first.

    Not what a cut left in force: it needs no other key. And where no copy was found, not what a cut made void
    either: then the owner meant this home.
    """
    log, found = logs.find_log(txn, account.id, device), find_clone(txn)
    is_open = account.state.cut_of(device) == OPEN
    if log is None or not (is_open or found is not None):
        return []
    ours = {record.cid: record for record in _iter_branch(txn, log, found)}
    theirs = _find_others(txn, log, ours)
    handed_on = find_handed_on(txn)
    # What an entry from elsewhere follows was held there; so was all before it.
    left = max((ours[prev].entry.header.seq for prev in theirs if prev in ours), default=-1)
    return [
        record
        for record in reversed(ours.values())
        if record.body is not None
        and record.entry.header.seq > left
        and not has_left(record.entry.header.seq, handed_on)
        and (is_open or not standing.is_shown(txn, account, record))
    ]


def is_traced(txn: Txn, account: Cid, device: PublicKey) -> bool:
    """Whether what came of a log from elsewhere is held down to what was written here, as far as links tell.

    Before that nobody knows which of our own records others hold.
    """
    log = logs.find_log(txn, account, device)
    if log is None:
        return True
    # Within a run each entry names the one below it.
    lowest = (logs.find_slot(txn, log, low) for low, _ in logs.runs(txn, log))
    slots = (*lowest, *(slot for _, slot in logs.iter_beside(txn, log)))
    records = (journal.find_record(txn, slot.aid) for slot in slots if slot is not None)
    links = (record.entry.header.prev for record in records if record is not None)
    return all(prev is None or journal.find_aid(txn, prev) is not None for prev in links)


def _iter_branch(txn: Txn, log: bytes, found: CloneFound | None) -> Iterator[Record]:
    """What was written here, newest first, down to where everything left."""
    slot = logs.find_head(txn, log)
    head = found.head if found is not None else slot.cid if slot is not None else None
    lowest = _find_first_kept(txn)
    while head is not None:
        record = journal.find_record_by_cid(txn, head)
        if record is None or record.entry.header.seq < lowest:
            return
        yield record
        head = record.entry.header.prev


def _find_first_kept(txn: Txn) -> int:
    """The lowest number that did not leave."""
    return next((high + 1 for low, high in find_handed_on(txn) if low == 0), 0)


def _find_others(txn: Txn, log: bytes, ours: Container[Cid]) -> set[Cid | None]:
    """What the entries of a log that came from elsewhere name as the ones before them."""
    slots = (*logs.iter_slots(txn, log, _find_first_kept(txn)), *(slot for _, slot in logs.iter_beside(txn, log)))
    records = (journal.find_record(txn, slot.aid) for slot in slots if slot.cid not in ours)
    return {record.entry.header.prev for record in records if record is not None}


def remove(txn: Txn, account: Account, device: PublicKey, unsent: list[Record]) -> None:
    """Remove what was written again, oldest first; what it hid of the branch from elsewhere comes out."""
    log = logs.find_log(txn, account.id, device)
    if log is None:
        return
    for record in unsent:
        if standing.is_shown(txn, account, record):
            indexes.unindex(txn, account, record)
        logs.drop_entry(txn, log, record.entry.header.seq, record.cid)
        journal.drop_record(txn, record)
    if account.state.cut_of(device) == OPEN:
        _promote(txn, account, log)


def _promote(txn: Txn, account: Account, log: bytes) -> None:
    """Fill emptied slots with the branch that was kept beside; whoever follows the journal sees it come into view."""
    for seq, slot in list(logs.iter_beside(txn, log)):
        record = journal.find_record(txn, slot.aid)
        if record is None:
            continue
        above = logs.find_slot(txn, log, seq + 1)
        named = journal.find_record(txn, above.aid) if above is not None else None
        prev_of_above = named.entry.header.prev if named is not None else None
        header = record.entry.header
        if logs.fits(header, logs.find_slot(txn, log, seq - 1), logs.find_slot(txn, log, seq), prev_of_above, slot.cid):
            moved = journal.move_record(txn, record)
            logs.drop_beside(txn, log, seq, slot.cid)
            logs.put_slot(txn, log, seq, moved.aid, slot.cid)
            indexes.index(txn, account, moved, indexes.find_body(moved))


def with_new_ids(body: bytes, ids: Mapping[Cid, Cid]) -> bytes:
    """A body in which links to records that were written again lead to their new ids."""
    try:
        fields = decode_stored(body)
    except MalformedBytes:
        return body
    changed = _with_new_ids(fields, ids)
    return encode(changed) if changed != fields else body


def _with_new_ids(value: Value, ids: Mapping[Cid, Cid]) -> Value:
    match value:
        case Cid():
            return ids.get(value, value)
        case list():
            return [_with_new_ids(item, ids) for item in value]
        case dict():
            return {name: _with_new_ids(item, ids) for name, item in value.items()}
        case _:
            return value
