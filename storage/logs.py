"""Logs with holes: which entries of each (account, key) are held, and where (PROTOCOL §2).

Each seq has one slot, for the branch seen first; authentic entries that do not
fit it are kept beside it in ``forks``. ``runs`` are the held stretches of slots:
what a peer is told that we have, and the holes between them what we lack.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.entry import Header
from unhush.identity.keys import PublicKey
from unhush.storage.errors import StoreUnreadable
from unhush.storage.journal import pack_aid
from unhush.storage.records import AID_BYTES
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Entries kept of branches other than the one shown, per log (PROTOCOL §2): enough for the proof and a view of it.
MAX_BESIDE: Final = 64
# Held stretches of one log that new ones may be added to: a session reads them all, in some 2 µs each.
MAX_STRETCHES: Final = 2_048
LAST_SEQ: Final = 2**63 - 1

_NUMBERS: Final = "log numbers"  # those that were asked for
_NO_FORKS: Final = "no entry of another branch is held of any log"


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the shown entry of one seq is."""

    seq: int
    aid: int
    cid: Cid


def pack_u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def pack_u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def find_log(txn: Txn, account: Cid, key: PublicKey) -> bytes | None:
    """The packed number of a log, if any entry of it was ever held."""
    numbers: dict[bytes, bytes] = txn.memo.setdefault(_NUMBERS, {})
    name = account.digest + key.bytes
    number = numbers.get(name)
    if number is None:
        number = txn.get(Table.LOG_NUMBERS, name)
        if number is not None:
            numbers[name] = number
    return number


def get_or_make_log(txn: Txn, account: Cid, key: PublicKey) -> bytes:
    found = find_log(txn, account, key)
    if found is not None:
        return found
    last = txn.last(Table.LOGS)
    log = pack_u32(int.from_bytes(last[0], "big") + 1 if last else 1)
    txn.put(Table.LOG_NUMBERS, account.digest + key.bytes, log)
    txn.put(Table.LOGS, log, account.digest + key.bytes)
    return log


def drop_number(txn: Txn, name: bytes) -> None:
    """Forget a log of which nothing is left; ``name``: the digest of its account, and its key."""
    txn.delete(Table.LOG_NUMBERS, name)
    txn.memo.pop(_NUMBERS, None)


def iter_logs(txn: Txn, account: Cid | None = None) -> Iterator[tuple[Cid, PublicKey, bytes]]:
    """Every log of an account (of all, if None) with its packed number."""
    for name, log in txn.scan(Table.LOG_NUMBERS, account.digest if account is not None else b""):
        yield cid_of_digest(name[:32]), PublicKey(name[32:]), log


def find_slot(txn: Txn, log: bytes, seq: int) -> Slot | None:
    value = txn.get(Table.SLOTS, log + pack_u64(seq)) if seq >= 0 else None
    return _slot(seq, value) if value is not None else None


def find_digest(txn: Txn, log: bytes, seq: int) -> bytes | None:
    """As ``find_slot``, for the digest of the shown entry alone."""
    value = txn.get(Table.SLOTS, log + pack_u64(seq)) if seq >= 0 else None
    return value[AID_BYTES:] if value is not None else None


def find_aids(txn: Txn, log: bytes, seq: int) -> list[int]:
    """Every entry held at a seq, of whichever branch."""
    shown = txn.get(Table.SLOTS, log + pack_u64(seq))
    aids = [int.from_bytes(shown[:AID_BYTES], "big")] if shown is not None else []
    if has_beside(txn, log):
        aids += (int.from_bytes(aid, "big") for _, aid in txn.scan(Table.FORKS, log + pack_u64(seq)))
    return aids


def find_head(txn: Txn, log: bytes) -> Slot | None:
    """The newest entry held of a log."""
    for key, value in txn.scan_down(Table.SLOTS, log):
        return _slot(int.from_bytes(key[4:], "big"), value)
    return None


def iter_slots(txn: Txn, log: bytes, low: int = 0) -> Iterator[Slot]:
    for key, value in txn.scan(Table.SLOTS, log, start=log + pack_u64(low)):
        yield _slot(int.from_bytes(key[4:], "big"), value)


def iter_slots_down(txn: Txn, log: bytes, high: int) -> Iterator[Slot]:
    """Slots from ``high`` (inclusive) downwards."""
    for key, value in txn.scan_down(Table.SLOTS, log, before=log + pack_u64(high + 1)):
        yield _slot(int.from_bytes(key[4:], "big"), value)


def _slot(seq: int, value: bytes) -> Slot:
    return Slot(seq, int.from_bytes(value[:AID_BYTES], "big"), cid_of_digest(value[AID_BYTES:]))


def runs(txn: Txn, log: bytes) -> tuple[tuple[int, int], ...]:
    """The held stretches of a log, inclusive, ascending, never adjacent."""
    found = tuple(
        (int.from_bytes(key[4:], "big"), int.from_bytes(value, "big")) for key, value in txn.scan(Table.RUNS, log)
    )
    if any(not low <= high <= LAST_SEQ for low, high in found):
        raise StoreUnreadable("a row that says what is held is damaged; mend it with: unhush verify --repair")
    return found


def fits(header: Header, below: Slot | None, at: Slot | None, prev_of_above: Cid | None, cid: Cid) -> bool:
    """Whether an entry belongs to the branch seen first: its neighbours in the slots name it and are named."""
    if at is not None:
        return False
    if below is not None and header.prev != below.cid:
        return False
    return prev_of_above is None or prev_of_above == cid


def put_slot(txn: Txn, log: bytes, seq: int, aid: int, cid: Cid) -> None:
    """Fill the slot of a seq and join the runs it touches."""
    is_new = txn.get(Table.SLOTS, log + pack_u64(seq)) is None
    txn.put(Table.SLOTS, log + pack_u64(seq), pack_aid(aid) + cid.digest)
    if is_new:
        _join_runs(txn, log, seq)


def _join_runs(txn: Txn, log: bytes, seq: int) -> None:
    below, above = find_neighbours(txn, log, seq)
    low = below[0] if below is not None and below[1] == seq - 1 else seq
    high = above[1] if above is not None and above[0] == seq + 1 else seq
    put_run(txn, log, low, high, replaces=seq + 1)


def put_run(txn: Txn, log: bytes, low: int, high: int, *, replaces: int) -> None:
    """Note a held stretch; one that began at ``replaces`` is part of it now, and so is one that began at ``low``."""
    if high >= replaces:
        txn.delete(Table.RUNS, log + pack_u64(replaces))
    txn.put(Table.RUNS, log + pack_u64(low), pack_u64(high))


def find_neighbours(txn: Txn, log: bytes, seq: int) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The highest held stretch that begins at or below a seq, and the lowest that begins above it."""
    below, above = txn.around(Table.RUNS, log, log + pack_u64(seq + 1))
    return _run(below), _run(above)


def opens_one_too_many(txn: Txn, log: bytes, low: int, high: int) -> bool:
    """Whether entries would stand apart from all that is held of their log, which has enough such stretches already.

    Every session reads the stretches of a log whole, and tells them: a log that comes in crumbs costs everybody.
    """
    below, above = find_neighbours(txn, log, high)
    if (below is not None and below[1] >= low - 1) or (above is not None and above[0] == high + 1):
        return False
    return (below is not None or above is not None) and _is_tattered(txn, log)


def _is_tattered(txn: Txn, log: bytes) -> bool:
    return sum(1 for _ in islice(txn.scan(Table.RUNS, log), MAX_STRETCHES)) >= MAX_STRETCHES


def _run(row: tuple[bytes, bytes] | None) -> tuple[int, int] | None:
    return (int.from_bytes(row[0][4:], "big"), int.from_bytes(row[1], "big")) if row is not None else None


def drop_slot(txn: Txn, log: bytes, seq: int) -> None:
    """Empty the slot of a seq and part the run it was in."""
    txn.delete(Table.SLOTS, log + pack_u64(seq))
    for key, value in txn.scan_down(Table.RUNS, log, before=log + pack_u64(seq + 1)):
        low, high = int.from_bytes(key[4:], "big"), int.from_bytes(value, "big")
        if high < seq:
            return
        txn.delete(Table.RUNS, key)
        if low < seq:
            txn.put(Table.RUNS, key, pack_u64(seq - 1))
        if high > seq:
            txn.put(Table.RUNS, log + pack_u64(seq + 1), pack_u64(high))
        return


def find_run_low(txn: Txn, log: bytes, seq: int) -> int:
    """The lowest seq of the run that a filled slot is in."""
    below, _ = find_neighbours(txn, log, seq)
    if below is None or below[1] < seq:
        raise StoreUnreadable(f"slot {seq} of a log is in no run")
    return below[0]


def drop_entry(txn: Txn, log: bytes, seq: int, cid: Cid) -> None:
    """Take an entry out of its log, from its slot or from beside."""
    slot = find_slot(txn, log, seq)
    if slot is not None and slot.cid == cid:
        drop_slot(txn, log, seq)
    else:
        drop_beside(txn, log, seq, cid)


def put_beside(txn: Txn, log: bytes, seq: int, aid: int, cid: Cid) -> None:
    """Keep an entry of another branch."""
    txn.memo.pop(_NO_FORKS, None)
    txn.put(Table.FORKS, log + pack_u64(seq) + cid.digest, pack_aid(aid))


def drop_beside(txn: Txn, log: bytes, seq: int, cid: Cid) -> None:
    txn.delete(Table.FORKS, log + pack_u64(seq) + cid.digest)


def find_beside(txn: Txn, log: bytes, seq: int, cid: Cid) -> Slot | None:
    """Where one entry of another branch is, if it is held."""
    # A cut may name any block, and the digest of an entry under the codec of raw bytes names no entry.
    aid = txn.get(Table.FORKS, log + pack_u64(seq) + cid.digest) if cid.is_dag_cbor else None
    return Slot(seq, int.from_bytes(aid, "big"), cid) if aid is not None else None


def iter_beside(txn: Txn, log: bytes) -> Iterator[tuple[int, Slot]]:
    """Every entry beside the shown branch, with its seq, ascending."""
    for key, aid in txn.scan(Table.FORKS, log):
        seq = int.from_bytes(key[4:12], "big")
        yield seq, Slot(seq, int.from_bytes(aid, "big"), cid_of_digest(key[12:]))


def iter_beside_at(txn: Txn, log: bytes, seq: int) -> Iterator[Slot]:
    """Every entry beside the shown branch at a seq."""
    for key, aid in txn.scan(Table.FORKS, log + pack_u64(seq)):
        yield Slot(seq, int.from_bytes(aid, "big"), cid_of_digest(key[12:]))


def has_beside(txn: Txn, log: bytes) -> bool:
    """Whether anything of another branch is held of a log."""
    if txn.memo.get(_NO_FORKS):
        return False
    if not txn.count(Table.FORKS):
        txn.memo[_NO_FORKS] = True  # until one is put
        return False
    return txn.has(Table.FORKS, log)


def is_full_beside(txn: Txn, log: bytes) -> bool:
    """Whether no more is taken in beside; what stepped aside may stand there past the bound."""
    return sum(1 for _ in islice(txn.scan(Table.FORKS, log), MAX_BESIDE)) >= MAX_BESIDE


def find_highest_beside(txn: Txn, log: bytes) -> Slot | None:
    for key, aid in txn.scan_down(Table.FORKS, log):
        return Slot(int.from_bytes(key[4:12], "big"), int.from_bytes(aid, "big"), cid_of_digest(key[12:]))
    return None


def count_beside(txn: Txn, log: bytes) -> int:
    return sum(1 for _ in txn.scan(Table.FORKS, log))
