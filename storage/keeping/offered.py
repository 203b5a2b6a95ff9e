"""Offered: what somebody brings is looked at, cheapest first; nothing is stored yet.

Whoever offers statements is a stranger, and anybody may sign for an account of
his own. So only what is about somebody who is carried, known or asked for is
wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from unhush.identity.cid import Cid
from unhush.identity.errors import IdentityError, UnknownStatement
from unhush.identity.statement import (
    Card,
    Possession,
    Statement,
    UnverifiedStatement,
    parse_statement,
    verify_statement,
)
from unhush.storage import accounts
from unhush.storage.admission import Admitted
from unhush.storage.carried import is_carried
from unhush.storage.keeping import rows, speakers
from unhush.storage.keeping.speakers import MAX_OPERATIONS, Operation
from unhush.storage.transaction import Txn

# An author's clock beyond this is wrong (PROTOCOL §4).
MAX_AHEAD_MS: Final = 10 * 60 * 1000
# Operations that are read in one go for accounts that are not known: 256 KiB of keys to admit take half a second.
MAX_WORK_BYTES: Final = 256 * 1024


class SignedStatement(NamedTuple):
    """A statement as it travels, with what lets a stranger judge who signed it."""

    block: bytes
    ops: tuple[Operation, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of it all."""
        return len(self.block) + sum(len(each.entry) + len(each.body) for each in self.ops)


class Took(Enum):
    """What became of a statement that was offered."""

    STORED = "stored"
    KNOWN = "known"
    OLDER = "older"  # a newer one of the same is held
    EARLY = "early"  # its author's clock runs ahead of ours
    EXPIRED = "expired"
    UNPROVEN = "unproven"  # by nothing known here may its key speak for its account
    UNASKED = "unasked"  # about nobody who is carried or known, of a type we do not know, or one too many
    REJECTED = "rejected"  # the sender's fault


@dataclass(frozen=True, slots=True)
class Accepted:
    """One to be stored: verified, and what beside it says that its key may speak."""

    statement: Statement
    key: bytes
    operations: tuple[Admitted, ...]


class Judging:
    """Looks at what came in one go."""

    def __init__(self, network: str, now_ms: int, asked: frozenset[Cid]) -> None:
        self._network = network
        self._now_ms = now_ms
        self._asked = asked
        self._work_bytes = MAX_WORK_BYTES

    def judge(self, txn: Txn, item: SignedStatement) -> Took | Accepted:
        try:
            parsed = parse_statement(item.block)
        except UnknownStatement:
            return Took.UNASKED
        except IdentityError:
            return Took.REJECTED
        if len(item.ops) > MAX_OPERATIONS:
            return Took.REJECTED
        if (refused := self._look(txn, parsed)) is not None:
            return refused
        key = rows.key_of(parsed)
        if (held := compare(txn, key, parsed)) is not None:
            return held
        try:
            statement = verify_statement(parsed, self._network)
            if speakers.may_speak(txn, parsed.account, parsed.key):
                return Accepted(statement, key, ())
            operations = self._admit(txn, parsed.account, item.ops)
        except IdentityError:
            return Took.REJECTED
        if not speakers.may_speak_with(txn, parsed.account, parsed.key, operations):
            return Took.UNPROVEN
        return Accepted(statement, key, tuple(operations))

    def _look(self, txn: Txn, parsed: UnverifiedStatement) -> Took | None:
        if isinstance(parsed.claim, Possession):
            return Took.UNASKED
        if parsed.time > self._now_ms + MAX_AHEAD_MS:
            return Took.EARLY
        if parsed.expires <= self._now_ms and not isinstance(parsed.claim, Card):
            return Took.EXPIRED
        about = rows.about_of(parsed)
        is_wanted = about in self._asked or is_carried(txn, about) or accounts.find_number(txn, about) is not None
        return None if is_wanted else Took.UNASKED

    def _admit(self, txn: Txn, account: Cid, operations: Sequence[Operation]) -> list[Admitted]:
        """Who brings more than can be read in one go is heard another time."""
        self._work_bytes -= sum(len(each.body) for each in operations)
        return speakers.admit(txn, account, operations, self._network) if self._work_bytes >= 0 else []


def compare(txn: Txn, key: bytes, statement: UnverifiedStatement | Statement) -> Took | None:
    """KNOWN or OLDER; None if it is the newest of its kind."""
    row = rows.find_row(txn, key)
    if row is None:
        return None
    if row.digest == statement.digest:
        return Took.KNOWN
    return Took.OLDER if (row.time, row.digest) > (statement.time, statement.digest) else None
