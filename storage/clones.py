"""The clone check's memory: whether this home is an older copy of a device that went on elsewhere (PROTOCOL §3).

A device writes its log alone. So an entry that bears this device's own valid
signature and is not held here proves that a newer state of this disk existed:
an image was put back, or a copy runs. Nobody's claims count, only the entry.
From then on nothing more is written or sent under that key; ``renew`` gives
the home a new one and signs again what was written here and never left.

``handed_on`` is the newest number of the own log that went to a peer. It says
what may be held elsewhere, so it is what is claimed as held of the own log:
what lies above could stand differently with others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode_map, decode_stored, encode
from unhush.identity.errors import MalformedBytes
from unhush.identity.keys import PublicKey
from unhush.storage import accounts, indexes, journal, logs, settings, standing
from unhush.storage.environment import Table, Txn
from unhush.storage.errors import StoreUnreadable
from unhush.storage.records import Record

_FOUND = b"clone-found"
_HANDED_ON = b"handed-on"


@dataclass(frozen=True, slots=True)
class CloneFound:
    """The proof: an entry of the own log that came from elsewhere, and the last record that was here before."""

    evidence: Cid
    last_aid: int


def find_clone(txn: Txn) -> CloneFound | None:
    value = txn.get(Table.META, _FOUND)
    if value is None:
        return None
    match decode_map(value):
        case {"evidence": Cid() as evidence, "aid": int() as aid}:
            return CloneFound(evidence, aid)
    raise StoreUnreadable("the note of a copied home is damaged")


def note_clone(txn: Txn, evidence: Cid) -> None:
    """Remember the first proof; later ones say nothing new."""
    if txn.get(Table.META, _FOUND) is None:
        txn.put(Table.META, _FOUND, encode({"evidence": evidence, "aid": journal.last_aid(txn)}))


def find_handed_on(txn: Txn) -> int:
    """The newest number of the own log that left; -1 for none."""
    value = txn.get(Table.META, _HANDED_ON)
    return int.from_bytes(value, "big") if value is not None else -1


def put_handed_on(txn: Txn, seq: int) -> None:
    if seq > find_handed_on(txn):
        txn.put(Table.META, _HANDED_ON, logs.pack_u64(seq))


def begin_device(txn: Txn, device: PublicKey) -> None:
    """From now on this home writes with another key, of which nothing is known yet."""
    settings.put_own_device(txn, device)
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
    return ""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A record of the own log that never left this home, as it is to be written again."""

    id: Cid
    kind: str
    time_ms: int
    body: bytes


def take_back_unsent(txn: Txn, account: accounts.Account, device: PublicKey) -> list[Unsent]:
    """Remove what this home wrote and nobody else holds, oldest first; what it hid of others' branches comes out."""
    log = logs.find_log(txn, account.id, device)
    found = find_clone(txn)
    if log is None:
        return []
    unsent: list[Unsent] = []
    for slot in logs.iter_slots(txn, log, find_handed_on(txn) + 1):
        record = journal.find_record(txn, slot.aid)
        if record is None or (found is not None and slot.aid > found.last_aid):
            continue  # it came from elsewhere
        if record.body is not None:
            unsent.append(Unsent(record.cid, record.kind, record.entry.header.time, record.body))
        _remove(txn, account, log, record)
    _promote(txn, account, log)
    return unsent


def _remove(txn: Txn, account: accounts.Account, log: bytes, record: Record) -> None:
    indexes.unindex(txn, account, record)
    logs.drop_slot(txn, log, record.entry.header.seq)
    journal.drop_record(txn, record)


def _promote(txn: Txn, account: accounts.Account, log: bytes) -> None:
    """Fill emptied slots with the branch that was kept beside."""
    for seq, slot in list(logs.iter_beside(txn, log)):
        record = journal.find_record(txn, slot.aid)
        if record is None:
            continue
        above = logs.find_slot(txn, log, seq + 1)
        named = journal.find_record(txn, above.aid) if above is not None else None
        prev_of_above = named.entry.header.prev if named is not None else None
        header = record.entry.header
        if logs.fits(header, logs.find_slot(txn, log, seq - 1), logs.find_slot(txn, log, seq), prev_of_above, slot.cid):
            logs.drop_beside(txn, log, seq, slot.cid)
            logs.put_slot(txn, log, seq, slot.aid, slot.cid)
            if standing.is_shown(txn, account, record):
                indexes.index(txn, account, record, indexes.find_body(record))


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
