"""Accounts: the identity operations held of each, and the state they fold to.

The operations are a set; the state is the trunk rule's answer for that set,
stored beside it in the same transaction so that nobody who ingests a record
has to fold again.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.entry import stored_entry
from unhush.identity.errors import IdentityError
from unhush.identity.keys import PublicKey
from unhush.identity.operations import NOTHING, OPEN, Cut, Op, parse_operation
from unhush.identity.operations import Table as DeviceTable
from unhush.identity.trunk import MAX_STORED, Alarm, State, find_trunk, fold
from unhush.storage import journal
from unhush.storage.errors import StoreUnreadable
from unhush.storage.logs import pack_u32
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_LAST_NUMBER: Final = b"last-account-number"  # in META, once an account was forgotten


@dataclass(frozen=True, slots=True)
class Account:
    """An account whose inception is held."""

    id: Cid
    number: bytes  # its packed local number, used in index keys
    state: State


def find_account(txn: Txn, account: Cid) -> Account | None:
    value = txn.get(Table.ACCOUNTS, account.digest)
    return Account(account, value[:4], _unpack_state(value[4:])) if value is not None else None


def find_number(txn: Txn, account: Cid) -> bytes | None:
    """The packed local number of an account, without reading its state."""
    value = txn.get(Table.ACCOUNTS, account.digest)
    return value[:4] if value is not None else None


def find_own_number(txn: Txn, own: Cid) -> bytes | None:
    """As ``find_number`` for the home's own account, which is asked about with every record that comes."""
    number: bytes | None = txn.memo.get(_OWN_NUMBER)
    if number is None:
        number = find_number(txn, own)
        if number is not None:
            txn.memo[_OWN_NUMBER] = own.digest + number
        return number
    return number[32:] if number.startswith(own.digest) else find_number(txn, own)


_OWN_NUMBER: Final = "the number of the own account"


def iter_accounts(txn: Txn) -> list[Cid]:
    return [cid_of_digest(digest) for digest, _ in txn.scan(Table.ACCOUNTS)]


def iter_operations(txn: Txn, account: Cid) -> list[Record]:
    """The operations held of an account, the inception first, then in order of id."""
    found = []
    for key, aid in txn.scan(Table.OPERATIONS, account.digest):
        record = journal.find_record(txn, int.from_bytes(aid, "big"))
        if record is None:
            raise StoreUnreadable(f"operation {cid_of_digest(key[32:])} is listed and not in the journal")
        found.append(record)
    return sorted(found, key=lambda record: (record.cid != account, record.cid))


def operation_ids(txn: Txn, account: Cid) -> tuple[Cid, ...]:
    return tuple(cid_of_digest(key[32:]) for key, _ in txn.scan(Table.OPERATIONS, account.digest))


def find_accounts_of_root(txn: Txn, root: PublicKey, most: int) -> list[Cid]:
    """Accounts whose inception is signed by this root key 0; anybody can make more, so only some are looked at."""
    return [cid_of_digest(key[32:]) for key, _ in islice(txn.scan(Table.ROOTS, root.bytes), most)]


def note_root(txn: Txn, account: Cid) -> None:
    """Write down under which root key 0 an account that is held can be found; homes did not always do so."""
    trunk = find_trunk(account, parse_operations(iter_operations(txn, account)))
    if trunk is not None:
        txn.put(Table.ROOTS, trunk.incept.root.bytes + account.digest, b"")


def put_operations(txn: Txn, account: Cid, arrived: list[Record]) -> list[Record]:
    """Add authentic, well-formed operations; returns those of ``arrived`` that count and were stored.

    What no longer counts is dropped, so an account never holds more than the trunk rule keeps.
    """
    held = {record.cid: record for record in iter_operations(txn, account)}
    candidates = held | {record.cid: record for record in arrived}
    trunk = find_trunk(account, [_parse(record) for record in candidates.values()])
    if trunk is None:
        return []
    txn.put(Table.ROOTS, trunk.incept.root.bytes + account.digest, b"")
    counting = trunk.ids()
    for cid in held.keys() - counting:
        journal.drop_record(txn, held[cid])
        txn.delete(Table.OPERATIONS, account.digest + cid.digest)
    stored = [record for record in arrived if record.cid in counting and record.cid not in held]
    for record in stored:
        journal.append_record(txn, record)
        txn.put(Table.OPERATIONS, account.digest + record.cid.digest, journal.pack_aid(record.aid))
    found = txn.get(Table.ACCOUNTS, account.digest)
    number = found[:4] if found is not None else _give_number(txn)
    txn.put(Table.ACCOUNTS, account.digest, number + _pack_state(fold(trunk)))
    return stored


def forget_account(txn: Txn, account: Cid) -> None:
    """Drop the operations of an account of which no log is held; raises ``StoreUnreadable``."""
    operations = iter_operations(txn, account)
    trunk = find_trunk(account, parse_operations(operations))
    for record in operations:
        journal.drop_record(txn, record)
        txn.delete(Table.OPERATIONS, account.digest + record.cid.digest)
    if trunk is not None:
        txn.delete(Table.ROOTS, trunk.incept.root.bytes + account.digest)
    txn.put(Table.META, _LAST_NUMBER, pack_u32(_last_number(txn)))  # before there is one account less
    txn.delete(Table.ACCOUNTS, account.digest)


def _give_number(txn: Txn) -> bytes:
    """A number no account had before: indexes are full of them."""
    number = pack_u32(_last_number(txn) + 1)
    if txn.get(Table.META, _LAST_NUMBER) is not None:
        txn.put(Table.META, _LAST_NUMBER, number)
    return number


def _last_number(txn: Txn) -> int:
    """Numbers are given in a row, so as long as no account was forgotten there are as many as accounts."""
    last = txn.get(Table.META, _LAST_NUMBER)
    return int.from_bytes(last, "big") if last is not None else txn.count(Table.ACCOUNTS)


def _parse(record: Record) -> DeviceTable | Op:
    try:
        return _parse_bytes(record.block, record.body or b"")
    except IdentityError as exc:
        raise StoreUnreadable(f"stored operation {record.cid} is damaged: {exc}") from exc


@lru_cache(maxsize=2 * MAX_STORED)  # a flood brings one operation at a time to an account that holds many
def _parse_bytes(block: bytes, body: bytes) -> DeviceTable | Op:
    return parse_operation(stored_entry(block), body)


def parse_operations(records: list[Record]) -> list[DeviceTable | Op]:
    """Stored operations as the rule reads them."""
    return [_parse(record) for record in records]


def _pack_state(state: State) -> bytes:
    rows: list[Value] = [
        [device.bytes, state.names.get(device, ""), *_pack_cut(cut)] for device, cut in sorted(state.cuts.items())
    ]
    return encode(
        {
            "generation": state.generation,
            "table": state.table,
            "root": state.root.bytes,
            "devices": rows,
            "closed": state.closed,
            "alarms": sorted(alarm.value for alarm in state.alarms),
        }
    )


def _pack_cut(cut: Cut) -> list[Value]:
    if cut == OPEN:
        return []
    return [None] if cut == NOTHING else [cut[0], cut[1]]


@lru_cache(maxsize=4096)  # what comes is mostly of accounts that came before; keyed by the bytes, so never stale
def _unpack_state(value: bytes) -> State:
    match decode_map(value):
        case {
            "generation": int() as generation,
            "table": Cid() as table,
            "root": bytes() as root,
            "devices": list() as rows,
            "closed": bool() as closed,
            "alarms": list() as alarms,
        }:
            cuts: dict[PublicKey, Cut] = {}
            names: dict[PublicKey, str] = {}
            for row in rows:
                match row:
                    case [bytes() as key, str() as name, *rest]:
                        names[PublicKey(key)] = name
                        cuts[PublicKey(key)] = _unpack_cut(rest)
            reasons = frozenset(Alarm(alarm) for alarm in alarms)
            return State(generation, table, PublicKey(root), cuts, names, closed, reasons)
    raise StoreUnreadable("the stored state of an account is damaged")


def _unpack_cut(rest: list[Value]) -> Cut:
    match rest:
        case []:
            return OPEN
        case [None]:
            return NOTHING
        case [int() as seq, bytes() as entry]:
            return seq, entry
    raise StoreUnreadable("a stored cut is damaged")
