"""The voice of a node: it signs statements with the key of this device and puts them into the store.

Nobody is asked for a passphrase here: with a key that is sealed, or a device
that may not write, the node is silent and says why. Of each kind of statement
the last is remembered, since the next must be newer, also after the clock was
set back.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from unhush.gossip.proto.frames import Operation
from unhush.gossip.proto.statements import ToldStatement
from unhush.identity.cid import Cid
from unhush.identity.keys import SigningKey
from unhush.identity.operations import OPEN
from unhush.identity.statement import (
    MAX_TERM_MS,
    Card,
    Claim,
    Heads,
    Receipt,
    Statement,
    sign_statement,
    stored_statement,
)
from unhush.node.account.secrets import Keys
from unhush.node.config import Config
from unhush.node.errors import KeyFileError
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# A statement of ours that is held already, by the scan at the start.
_STEP: Final = 64


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks now: an account by one of its devices."""

    account: Cid
    key: SigningKey


class Voice:
    """Used by one thread."""

    def __init__(self, store: Store, config: Config, keys: Keys) -> None:
        self._store = store
        self._config = config
        self._keys = keys
        self._speaker: Speaker | None = None
        self._last: dict[tuple[str, bytes], Statement] = {}
        self._scanned_to: int | None = None

    def find_speaker(self) -> tuple[Speaker | None, str]:
        """Who speaks now; or nobody, and why."""
        with self._store.snapshot() as snapshot:
            own = snapshot.own_account()
            me = snapshot.account(own) if own is not None else None
            problem = snapshot.why_not_to_write()
        if own is None or me is None:
            return None, "there is no account here yet"
        if problem:
            return None, problem
        if not self._keys.is_device_open():
            return None, "the key of this device is sealed, and its passphrase was not given"
        try:
            key = self._keys.device()
        except KeyFileError as exc:
            return None, str(exc)
        if me.state.cut_of(key.public) != OPEN:
            return None, "the account does not list this device"
        speaker = Speaker(own, key)
        if self._speaker != speaker:
            self._speaker = speaker
            self._last.clear()
            self._scanned_to = 0
        return speaker, ""

    def remember(self, statements: Iterable[Statement]) -> None:
        """Statements of this device that are held."""
        assert self._speaker is not None
        for each in statements:
            if (each.account, each.key) == (self._speaker.account, self._speaker.key.public):
                self._note(each)

    def scan(self) -> bool:
        """Look a little further for what this device said in earlier runs; False once all was looked through."""
        if self._scanned_to is None or self._speaker is None:
            return False
        found, upto = self._store.statements.since(self._scanned_to, _STEP)
        mine = self._speaker.key.public.bytes
        # Most are others', and parsing them all would take long.
        self.remember(stored_statement(each.block) for each in found if mine in each.block)
        self._scanned_to = upto if found else None
        return self._scanned_to is not None

    def last(self, type_: str, subject: bytes) -> Statement | None:
        """What was said last of this kind."""
        return self._last.get((type_, subject))

    def last_receipts(self) -> list[Statement]:
        """Of each account the last receipt that was given."""
        return [each for (type_, _), each in self._last.items() if type_ == Receipt.type]

    def say(self, claim: Claim, *, term_ms: int = MAX_TERM_MS) -> tuple[Statement, ToldStatement] | None:
        """Sign and store; None if it could not be stored. Raises ``MalformedStatement``."""
        assert self._speaker is not None
        before = self.last(claim.type, claim.subject)
        now_ms = self._config.clock_ms()
        time_ms = now_ms if before is None else max(now_ms, before.time + 1)
        if isinstance(claim, Heads | Card | Receipt):
            statement = self._sign(claim, time_ms, term_ms)
            # Also of an account that is carried no more: it is told that the promise is over.
            about = frozenset({claim.of}) if isinstance(claim, Receipt) else frozenset[Cid]()
            took = self._store.statements.take([SignedStatement(statement.block)], now_ms, asked=about)[0]
            if took is not Took.STORED:
                log.warning("own statement not kept type=%s why=%s", claim.type, took.value)
                return None
            self._note(statement)
        else:
            # What is said of a receipt must not be older than that.
            receipt = self.last(Receipt.type, claim.of.digest)
            statement = self._sign(claim, max(time_ms, receipt.time if receipt is not None else 0), term_ms)
        return statement, self.told(statement)

    def told(self, statement: Statement) -> ToldStatement:
        """One that was said, as it travels: with what lets a stranger judge that this device speaks for its account."""
        with self._store.snapshot() as snapshot:
            ops = snapshot.operations_for(statement)
        return ToldStatement(statement.block, tuple(Operation(op.entry, op.body) for op in ops))

    def _sign(self, claim: Claim, time_ms: int, term_ms: int) -> Statement:
        assert self._speaker is not None
        return sign_statement(
            self._speaker.key,
            self._speaker.account,
            claim,
            time=time_ms,
            expires=time_ms + term_ms,
            network=self._config.network,
        )

    def _note(self, statement: Statement) -> None:
        kind = (statement.claim.type, statement.claim.subject)
        before = self._last.get(kind)
        if before is None or before.time < statement.time:
            self._last[kind] = statement
