"""What the own account signed on a table that lost to its twin, to be signed again on the one that stands.

Two rotates to one generation can both be the owner's, made on two machines
that had not heard of each other. Adds and revokes on the one that loses stop
counting and are dropped; here is what they said, until the root key is at hand.
"""

from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.keys import PublicKey
from unhush.identity.operations import ADD, NOTHING, REVOKE, Cut
from unhush.identity.trunk import Trunk
from unhush.storage.errors import StoreUnreadable
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

_LOST: Final = b"lost-operations"
# All of one generation fit (65 adds, 321 revokes); a META value this long takes some pages, once in an account's life.
MAX_LOST: Final = 400


@dataclass(frozen=True, slots=True)
class Lost:
    """An add or a revoke, by what it said."""

    kind: str
    device: PublicKey
    name: str
    cut: Cut

    def value(self) -> Value:
        cut: Value = None if self.cut == NOTHING else [self.cut[0], self.cut[1]]
        return [self.kind, self.device.bytes, self.name, cut]


def note_lost(txn: Txn, before: Trunk, after_table: Cid) -> None:
    """Remember the adds and revokes of a trunk whose table no longer stands."""
    operations = [*before.adds.values(), *before.revokes.values()]
    lost = [
        Lost(each.kind, each.device, each.name, each.cut)
        for each in operations
        if each.device is not None and each.prev != after_table
    ]
    if lost:
        put_lost(txn, [*find_lost(txn), *lost][:MAX_LOST])


def find_lost(txn: Txn) -> list[Lost]:
    value = txn.get(Table.META, _LOST)
    rows = decode_map(value).get("lost") if value is not None else []
    if not isinstance(rows, list):
        raise StoreUnreadable("the list of operations to sign again is damaged")
    return [_parse(row) for row in rows]


def put_lost(txn: Txn, lost: list[Lost]) -> None:
    if lost:
        txn.put(Table.META, _LOST, encode({"lost": [each.value() for each in lost]}))
    else:
        txn.delete(Table.META, _LOST)


def _parse(row: Value) -> Lost:
    match row:
        case ["identity.add", bytes() as device, str() as name, None]:
            return Lost(ADD, PublicKey(device), name, NOTHING)
        case ["identity.revoke", bytes() as device, str() as name, None]:
            return Lost(REVOKE, PublicKey(device), name, NOTHING)
        case ["identity.revoke", bytes() as device, str() as name, [int() as seq, bytes() as entry]]:
            return Lost(REVOKE, PublicKey(device), name, (seq, entry))
    raise StoreUnreadable("an operation to sign again is damaged")
