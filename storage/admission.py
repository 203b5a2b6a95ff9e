"""How identity operations come in: cheapest check first, then the trunk rule, and a short wait for orphans.

An operation that counts changes who may speak, so nothing is judged here that
``identity/trunk.py`` does not judge; this file only spares the costly steps to
whoever cannot pass the cheap ones.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.identity.entry import Entry, UnverifiedEntry, verify_signature
from unhush.identity.errors import IdentityError
from unhush.identity.operations import OPERATION_KINDS, ROTATE, Op, find_raw_generation, parse_operation
from unhush.identity.operations import Table as DeviceTable
from unhush.storage import accounts, journal, judging
from unhush.storage.arrivals import Arrival
from unhush.storage.orphans import Orphans
from unhush.storage.records import BodyState, Record
from unhush.storage.transaction import Txn


@dataclass(frozen=True, slots=True)
class Admitted:
    """An authentic operation and what it says."""

    entry: Entry
    body: bytes
    operation: DeviceTable | Op

    def record(self, aid: int, now_ms: int) -> Record:
        return Record(aid, self.entry.block, self.body, BodyState.PRESENT, now_ms)


class NotOurs(IdentityError):
    """An operation that cannot count for this account, whoever made it; its sender need not know."""


def admit(
    txn: Txn,
    entry: UnverifiedEntry,
    body: bytes | None,
    fields: Mapping[str, Value] | None,
    *,
    network: str,
    commitments: Mapping[Cid, bytes],
) -> Admitted:
    """Check one operation alone; raises ``NotOurs`` for what is nobody's fault, other ``IdentityError`` for what is.

    ``commitments``: C_0 of accounts whose inception comes in the same batch.
    """
    if entry.header.kind not in OPERATION_KINDS or body is None or fields is None:
        raise NotOurs("an identity operation we cannot read")
    if entry.header.kind == ROTATE:
        after = commitments.get(entry.account) or find_commitment(txn, entry.account)
        if after is not None and find_raw_generation(fields, after, entry.header.key) < 0:
            raise NotOurs("its turn keys do not lead to the inception")
    signed = verify_signature(entry, network)
    return Admitted(signed, body, parse_operation(signed, body))


def find_commitment(txn: Txn, account: Cid) -> bytes | None:
    """C_0, from the inception held of an account."""
    record = journal.find_record_by_cid(txn, account)
    if record is None or record.body is None:
        return None
    table = accounts.parse_operations([record])[0]
    return table.next if isinstance(table, DeviceTable) else None


def commitment_of(entry: UnverifiedEntry, fields: Mapping[str, Value] | None) -> bytes | None:
    """C_0, if this is an account's inception: its id is the hash of these very bytes."""
    after = fields.get("next") if fields is not None and entry.cid == entry.account else None
    return after if isinstance(after, bytes) else None


def store(txn: Txn, account: Cid, admitted: list[Admitted], now_ms: int) -> dict[Cid, int]:
    """Store what counts of one account's operations; ids to aids."""
    first = journal.last_aid(txn) + 1
    records = [each.record(first + place, now_ms) for place, each in enumerate(admitted)]
    return {record.cid: record.aid for record in judging.put_operations(txn, account, records)}


class WaitingRoom:
    """Orphans of all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orphans = Orphans()

    def put(self, each: Admitted, table: Cid, now_ms: int) -> None:
        arrival = Arrival(each.entry.block, each.body)
        with self._lock:
            self._orphans.put(each.entry.cid, arrival, account=each.entry.account, table=table, now_ms=now_ms)

    def take(self, table: Cid, now_ms: int) -> list[Arrival]:
        with self._lock:
            return self._orphans.take(table, now_ms)


def find_missing_table(txn: Txn, each: Admitted) -> Cid | None:
    """The table without which an operation cannot be judged, if it is not held; a rotate needs only the inception."""
    table = each.entry.account if isinstance(each.operation, DeviceTable) else each.operation.prev
    return table if journal.find_aid(txn, table) is None else None
