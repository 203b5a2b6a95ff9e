"""Statements held: the newest of each (type, account, key, subject), numbered in the order gained (PROTOCOL §4).

What is offered is judged (``offered.py``) and filed (``rows.py``); few of each
sort stay, in a bounded part of the disk (``clearing.py``), those that matter
most (``ranking.py``). Who may speak for whom is judged when a statement is read
(``hearing.py``).

``n`` follows this home's order of gaining and ``epoch`` is which home's order it
is: whoever asks "what since" names both.
"""

import os
from collections.abc import Callable, Sequence
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.statement import Absent, Statement
from unhush.storage.environment import Environment
from unhush.storage.keeping import clearing, hearing, rows, speakers
from unhush.storage.keeping.cursors import EPOCH_BYTES, Cursors
from unhush.storage.keeping.offered import Accepted, Judging, SignedStatement, Took, compare
from unhush.storage.keeping.rows import Type
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

__all__ = ["SignedStatement", "Statements", "Took"]

# What ended is dropped so often.
SWEEP_EVERY_MS: Final = 60 * 60 * 1000
# As a frame of /unhush/statements/1 takes them.
USUAL_BYTES: Final = 448 * 1024

_EPOCH: Final = b"statement-epoch"  # in META


class Statements:
    """The statements of one store; thread- and process-safe as the store is."""

    def __init__(
        self, environment: Environment, *, network: str, clock_ms: Callable[[], int], announce: Callable[[], None]
    ) -> None:
        self._environment = environment
        self._network = network
        self._clock_ms = clock_ms
        self._announce = announce
        self.cursors = Cursors(environment)
        self._epoch: bytes | None = None
        self._swept_at_ms: int | None = None

    @property
    def epoch(self) -> bytes:
        """Names this home's order of gaining; a home made of a backup has another."""
        if self._epoch is None:
            with self._environment.read() as txn:
                self._epoch = txn.get(Table.META, _EPOCH)
        if self._epoch is None:
            self._epoch = os.urandom(EPOCH_BYTES) if self._environment.is_read_only else self._make_epoch()
        return self._epoch

    def _make_epoch(self) -> bytes:
        def make(txn: Txn) -> bytes:
            found = txn.get(Table.META, _EPOCH)
            if found is None:
                found = os.urandom(EPOCH_BYTES)
                txn.put(Table.META, _EPOCH, found)
            return found

        return self._environment.run(make)

    # -- taking

    def take(self, items: Sequence[SignedStatement], now_ms: int, *, asked: frozenset[Cid] = frozenset()) -> list[Took]:
        """What became of each. ``asked``: accounts about which somebody here asked, though nobody knows them."""
        judging = Judging(self._network, now_ms, asked)
        with self._environment.read() as txn:
            judged = [judging.judge(txn, item) for item in items]
        if any(isinstance(each, Accepted) for each in judged):
            outcomes = self._environment.run(lambda txn: _store(txn, judged, now_ms))
            if Took.STORED in outcomes:
                self._announce()
        else:
            outcomes = [each for each in judged if isinstance(each, Took)]
        if self._swept_at_ms is None or not 0 <= now_ms - self._swept_at_ms < SWEEP_EVERY_MS:
            self._swept_at_ms = now_ms
            self.sweep(now_ms)
        return outcomes

    def sweep(self, now_ms: int) -> int:
        """Drop what ended, but for cards, and operations of accounts that say nothing any more; how many it were."""
        with self._environment.read() as txn:
            ended = list(rows.iter_ended(txn, now_ms))
            is_due = bool(ended) or any(True for _ in clearing.iter_idle_speakers(txn))
        if not is_due or self._environment.is_read_only:
            return 0
        return self._environment.run(lambda txn: clearing.drop_ended(txn, ended, now_ms))

    # -- giving

    def since(self, n: int, most: int, *, max_bytes: int = USUAL_BYTES) -> tuple[list[SignedStatement], int]:
        """What was gained after number ``n``, in that order, and up to which number that is all.

        A number that was never given here is of another count, which begins at the beginning.
        """
        found: list[SignedStatement] = []
        now_ms = self._clock_ms()
        with self._environment.read() as txn:
            last = rows.last_number(txn)
            size = 0
            for number, key in rows.iter_gained(txn, n if n <= last else 0):
                statement = hearing.find_heard(txn, key, now_ms)
                if statement is None:
                    continue
                signed = _with_operations(txn, statement)
                size += signed.size
                if (found and size > max_bytes) or len(found) == most:
                    return found, number - 1
                found.append(signed)
            return found, last

    def about(self, account: Cid, *, max_bytes: int | None = None) -> list[SignedStatement]:
        """Cards and heads of an account, receipts and absents of it; what helps most comes first.

        Cards stay when they end, and are the last then: who moved may be found by nothing else. With ``max_bytes``
        it ends with the first that is too much.
        """
        found: list[SignedStatement] = []
        size = 0
        with self._environment.read() as txn:
            for statement in hearing.list_about(txn, account, self._clock_ms()):
                found.append(_with_operations(txn, statement))
                size += found[-1].size
                if max_bytes is not None and size > max_bytes:
                    break
        return found


def forget_epoch(txn: Txn) -> None:
    """Call in a home made of a backup: what it gains next is no continuation of the other's order."""
    txn.delete(Table.META, _EPOCH)


def _with_operations(txn: Txn, statement: Statement) -> SignedStatement:
    return SignedStatement(statement.block, speakers.operations_for(txn, statement.account, statement.key))


def _store(txn: Txn, judged: Sequence[Took | Accepted], now_ms: int) -> list[Took]:
    outcomes = [_put(txn, each, now_ms) if isinstance(each, Accepted) else each for each in judged]
    clearing.make_room(txn)
    return outcomes


def _put(txn: Txn, accepted: Accepted, now_ms: int) -> Took:
    """Store one; what may have changed since it was judged is looked at again."""
    statement, key = accepted.statement, accepted.key
    if (held := compare(txn, key, statement)) is not None:
        return held
    if accepted.operations and not speakers.may_speak(txn, statement.account, statement.key):
        rows.add_bytes(txn, speakers.put(txn, statement.account, accepted.operations, statement.key))
    if not speakers.may_speak(txn, statement.account, statement.key):
        return Took.UNPROVEN
    rows.put_row(txn, key, statement)
    if isinstance(statement.claim, Absent):
        _keep_named(txn, key, statement.claim, now_ms)
    clearing.keep_few(txn, key, now_ms)
    return Took.STORED if rows.find_row(txn, key) is not None else Took.UNASKED


def _keep_named(txn: Txn, key: bytes, absent: Absent, now_ms: int) -> None:
    """Keep a receipt beside the absent that names it: the next receipt would take its place, and the pair is gone."""
    named_key = rows.key_beside(key, Type.NAMED)
    rows.drop_row(txn, named_key)
    receipt = rows.find_statement(txn, rows.key_beside(key, Type.RECEIPT, absent.of.digest))
    if receipt is not None and receipt.digest == absent.receipt:
        rows.put_row(txn, named_key, receipt)
        clearing.keep_few(txn, named_key, now_ms)
