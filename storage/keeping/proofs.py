"""Proofs: what came of challenges, the newest that was passed and the newest that was not, of each keeper.

They say what this home itself saw and are told to nobody: who wants to know
asks for itself.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage.environment import Environment
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Keepers of one account of which anything is remembered: as many again as receipts are kept.
MAX_KEEPERS: Final = 128
MAX_WHY_BYTES: Final = 300

_ROW: Final = struct.Struct(">Q32s")  # when, digest of the entry


@dataclass(frozen=True, slots=True)
class Proof:
    """One challenge: was ``entry`` of the account shown to be held? ``why`` not, in words."""

    keeper: Cid
    entry: Cid
    at_ms: int
    ok: bool
    why: str = ""


class Proofs:
    """The proofs of one store; thread- and process-safe as the store is."""

    def __init__(self, environment: Environment, announce: Callable[[], None]) -> None:
        self._environment = environment
        self._announce = announce

    def note(  # noqa: PLR0917  # the six facts of a challenge, in the order in which they are known
        self, of: Cid, keeper: Cid, entry: Cid, at_ms: int, ok: bool, why: str = ""
    ) -> None:
        """Remember the outcome of a challenge about the account ``of``; an older one of the same sort gives way."""
        key = of.digest + keeper.digest + bytes([ok])
        words = why.encode(errors="replace")[:MAX_WHY_BYTES]

        def note(txn: Txn) -> None:
            held = txn.get(Table.PROOFS, key)
            if held is not None and len(held) >= _ROW.size and _ROW.unpack_from(held)[0] > at_ms:
                return
            txn.put(Table.PROOFS, key, _ROW.pack(at_ms, entry.digest) + words)
            rows = list(txn.scan(Table.PROOFS, of.digest))
            if len(rows) > 2 * MAX_KEEPERS:
                txn.delete(Table.PROOFS, min(rows, key=lambda row: row[1][:8])[0])

        self._environment.run(note)
        self._announce()

    def of(self, account: Cid) -> list[Proof]:
        """Everything remembered about keepers of an account, the newest first."""
        with self._environment.read() as txn:
            return find_proofs(txn, account)


def find_proofs(txn: Txn, of: Cid) -> list[Proof]:
    """As ``Proofs.of``."""
    found = []
    for key, row in txn.scan(Table.PROOFS, of.digest):
        if len(row) >= _ROW.size and len(key) == 65:
            at_ms, entry = _ROW.unpack_from(row)
            why = row[_ROW.size :].decode(errors="replace")
            found.append(Proof(cid_of_digest(key[32:64]), cid_of_digest(entry), at_ms, bool(key[64]), why))
    return sorted(found, key=lambda proof: (-proof.at_ms, proof.keeper, proof.ok))
