"""Cursors: how far the statements of each peer were read, by its own count."""

import struct
from typing import Final

from unhush.storage.environment import Environment
from unhush.storage.logs import pack_u64
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Peers whose count is remembered; of those that are forgotten everything is asked again.
MAX_CURSORS: Final = 1_024
MAX_PEER_BYTES: Final = 128
# Names whose count it is.
EPOCH_BYTES: Final = 8

_STAMP: Final = b"statement-stamp"  # in META: the last stamp of a cursor

_CURSOR: Final = struct.Struct(">8sQQ")  # epoch, number, stamp


class Cursors:
    """The cursors of one store; thread- and process-safe as the store is."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def note(self, peer: str, epoch: bytes, n: int) -> None:
        """Remember how far the count of a peer was read; of the peers asked longest ago it is forgotten."""
        key = _key_of(peer)
        if len(epoch) != EPOCH_BYTES or not 0 <= n < 2**63:
            raise ValueError("no number of any count")

        def note(txn: Txn) -> None:
            stamp = int.from_bytes(txn.get(Table.META, _STAMP) or b"", "big") + 1
            txn.put(Table.META, _STAMP, pack_u64(stamp))
            if txn.get(Table.STATEMENT_CURSORS, key) is None and txn.count(Table.STATEMENT_CURSORS) >= MAX_CURSORS:
                rows = ((_CURSOR.unpack(row)[2], other) for other, row in txn.scan(Table.STATEMENT_CURSORS))
                txn.delete(Table.STATEMENT_CURSORS, min(rows)[1])
            txn.put(Table.STATEMENT_CURSORS, key, _CURSOR.pack(epoch, n, stamp))

        self._environment.run(note)

    def find(self, peer: str) -> tuple[bytes, int] | None:
        """The epoch and the number up to which the count of a peer was read."""
        with self._environment.read() as txn:
            row = txn.get(Table.STATEMENT_CURSORS, _key_of(peer))
        if row is None or len(row) != _CURSOR.size:
            return None
        epoch, n, _ = _CURSOR.unpack(row)
        return epoch, n


def _key_of(peer: str) -> bytes:
    key = peer.encode()
    if not 0 < len(key) <= MAX_PEER_BYTES:
        raise ValueError(f"a peer is named by at most {MAX_PEER_BYTES} bytes")
    return key
