"""Speakers: whether a key may speak for an account, asked whenever a statement is read.

It may if it is an open device of the account by the operations held here. Of an
account that is not held, or whose newest operation has not come yet, those
count too that came along with its statements; they are kept here, few for each
account, and make nobody known: no record of theirs is taken in for it.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from unhush.identity.cid import Cid, cid_of
from unhush.identity.entry import decode_body, parse_entry, stored_entry
from unhush.identity.errors import IdentityError, MalformedBytes, WrongAccount
from unhush.identity.keys import PublicKey
from unhush.identity.operations import OPEN, Op, parse_operation
from unhush.identity.operations import Table as DeviceTable
from unhush.identity.trunk import Trunk, find_trunk, fold
from unhush.storage import accounts, admission, journal
from unhush.storage.admission import Admitted, NotOurs, commitment_of
from unhush.storage.keeping.voices import Voice, Voices, digest_rows, make_voice
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Beside one statement: the inception, two tables of a generation, a freeze, and what was said of the device.
MAX_OPERATIONS: Final = 6
# Of one account that is not held. Its owner alone can make operations that count, and hides only himself by more.
MAX_STORED: Final = 64
MAX_STORED_BYTES: Final = 256 * 1024

_VOICES: Final = "voices of accounts with what came beside their statements"  # in a transaction's memo
# Of so many accounts one transaction remembers: an answer may be about thousands.
_MAX_NOTED: Final = 256

# A voice follows from bytes alone, whichever store they are in.
_voices: Final = Voices()


class Operation(NamedTuple):
    """An identity operation as it travels."""

    entry: bytes
    body: bytes


def may_speak(txn: Txn, account: Cid, key: PublicKey) -> bool:
    """Whether a key is an open device of the account, as far as is known here."""
    known = accounts.find_account(txn, account)
    if known is not None and known.state.cut_of(key) == OPEN:
        return True
    if not txn.has(Table.SPEAKERS, account.digest):
        return False
    voice = _find_voice(txn, account)
    return voice is not None and key in voice.open


def admit(txn: Txn, account: Cid, operations: Sequence[Operation], network: str) -> list[Admitted]:
    """Those of an account that may count; raises ``IdentityError`` for what is its sender's fault."""
    parsed = []
    commitments: dict[Cid, bytes] = {}
    for entry_block, body in operations:
        entry = parse_entry(entry_block)
        if entry.account != account or not entry.header.is_identity:
            raise WrongAccount(f"operation {entry.cid} was given as one of {account}")
        try:
            fields = decode_body(body) if cid_of(body) == entry.header.body else None
        except MalformedBytes:
            fields = None
        after = commitment_of(entry, fields)
        if after is not None:
            commitments[account] = after
        parsed.append((entry, body, fields))
    admitted = []
    for entry, body, fields in parsed:
        try:
            admitted.append(admission.admit(txn, entry, body, fields, network=network, commitments=commitments))
        except NotOurs:
            continue
    return admitted


def may_speak_with(txn: Txn, account: Cid, key: PublicKey, arrived: Sequence[Admitted]) -> bool:
    """As ``may_speak``, by what arrived too."""
    trunk = _find_trunk(txn, account, [each.operation for each in arrived]) if arrived else None
    return trunk is not None and fold(trunk).cut_of(key) == OPEN


def put(txn: Txn, account: Cid, arrived: Sequence[Admitted], key: PublicKey) -> int:
    """Keep of operations that came along what is not held; returns by how many bytes the table grew."""
    trunk = _find_trunk(txn, account, [each.operation for each in arrived])
    if trunk is None:
        return 0
    held = set(accounts.operation_ids(txn, account))
    rows = {cid: row for cid, row in _iter_rows(txn, account) if cid not in held}
    candidates = rows | {
        each.entry.cid: _pack(each.entry.block, each.body) for each in arrived if each.entry.cid not in held
    }
    kept: dict[Cid, bytes] = {}
    size = 0
    for operation in _by_need(trunk, key):
        row = candidates.get(operation.id)
        if row is None or operation.id in kept or len(kept) == MAX_STORED or size + len(row) > MAX_STORED_BYTES:
            continue
        kept[operation.id] = row
        size += len(row)
    grown = drop(txn, account)
    for cid, row in kept.items():
        txn.put(Table.SPEAKERS, account.digest + cid.digest, row)
        grown += len(row)
    return grown


def drop(txn: Txn, account: Cid) -> int:
    """Forget what came along with statements of an account; returns by how many bytes the table grew: minus."""
    keys = [(key, len(row)) for key, row in txn.scan(Table.SPEAKERS, account.digest)]
    for key, _ in keys:
        txn.delete(Table.SPEAKERS, key)
    txn.memo.pop(_VOICES, None)
    return -sum(size for _, size in keys)


def iter_sizes(txn: Txn) -> Iterator[tuple[bytes, int]]:
    """Of everything that came along the digest of its account, and the bytes it takes."""
    for key, row in txn.scan(Table.SPEAKERS):
        yield key[:32], len(row)


def operations_for(txn: Txn, account: Cid, key: PublicKey) -> tuple[Operation, ...]:
    """What lets somebody judge who knows nothing of the account that this key may speak for it."""
    voice = _find_voice(txn, account)
    if voice is None:
        return ()
    found = (_find_operation(txn, account, cid) for cid in voice.needed(key))
    return tuple(operation for operation in found if operation is not None)[:MAX_OPERATIONS]


def _find_operation(txn: Txn, account: Cid, cid: Cid) -> Operation | None:
    row = txn.get(Table.SPEAKERS, account.digest + cid.digest)
    operation = _unpack(row) if row is not None else None
    if operation is not None and cid_of(operation.entry) == cid:
        return operation
    aid = txn.get(Table.OPERATIONS, account.digest + cid.digest)
    record = journal.find_record(txn, int.from_bytes(aid, "big")) if aid is not None else None
    return Operation(record.block, record.body or b"") if record is not None else None


def _by_need(trunk: Trunk, key: PublicKey) -> list[DeviceTable | Op]:
    """The operations that count, those first on which it depends whether this key may speak."""
    of_key = [trunk.adds.get(key), trunk.revokes.get(key)]
    found = [trunk.incept, trunk.table, *of_key, trunk.freeze, trunk.rival]
    found += [*trunk.revokes.values(), *trunk.adds.values()]
    return [operation for operation in found if operation is not None]


def _find_voice(txn: Txn, account: Cid) -> Voice | None:
    """By what is held and what came along; None without the inception."""
    noted: dict[Cid, Voice | None] = txn.memo.setdefault(_VOICES, {})
    if account not in noted:
        if len(noted) >= _MAX_NOTED:
            noted.clear()
        held = _held(txn, account)
        beside = [row for _, row in txn.scan(Table.SPEAKERS, account.digest)]
        digest = digest_rows([*(part for each in held for part in (each.block, each.body or b"")), b"", *beside])

        def make() -> Voice | None:
            trunk = _find_trunk(txn, account, [])
            return make_voice(trunk) if trunk is not None else None

        noted[account] = _voices.find(account, digest, make)
    return noted[account]


def _find_trunk(txn: Txn, account: Cid, arrived: list[DeviceTable | Op]) -> Trunk | None:
    beside = [parsed for _, row in _iter_rows(txn, account) if (parsed := _parse(row)) is not None]
    held = accounts.parse_operations(_held(txn, account))
    return find_trunk(account, [*held, *beside, *arrived])


def _held(txn: Txn, account: Cid) -> list[Record]:
    return accounts.iter_operations(txn, account) if accounts.find_number(txn, account) is not None else []


def _iter_rows(txn: Txn, account: Cid) -> list[tuple[Cid, bytes]]:
    """The id of an operation is taken from its bytes: a row that is damaged is another one, and counts as such."""
    return [(cid_of(_unpack(row).entry), row) for _, row in txn.scan(Table.SPEAKERS, account.digest)]


def _parse(row: bytes) -> DeviceTable | Op | None:
    """What a row says; None if a bit of it was turned."""
    entry, body = _unpack(row)
    try:
        return parse_operation(stored_entry(entry), body)
    except IdentityError:
        return None


def _pack(entry: bytes, body: bytes) -> bytes:
    return len(entry).to_bytes(2, "big") + entry + body


def _unpack(row: bytes) -> Operation:
    end = 2 + int.from_bytes(row[:2], "big")
    return Operation(row[2:end], row[end:])
