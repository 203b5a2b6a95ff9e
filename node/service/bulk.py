"""A process that takes bulk in, so that the network's thread does not share its interpreter with it.

It opens the same home, as a command beside a running node does, and gets
batches as plain tuples. What it stores the node hears of as of any other
process's commits. When it dies the one who gave it a batch gives the batch to
a store of its own: what was stored already is known then, so nothing is lost
and nothing is stored twice. Operations that wait for others wait in the
process that got them; should the others come by another way, a session asks
for them again.
"""

import contextlib
import logging
import signal
import threading
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from unhush.identity.cid import Cid
from unhush.node.errors import NodeError
from unhush.node.service import interpreter
from unhush.storage.arrivals import Arrival, Batch, Outcome, Status, Welcome
from unhush.storage.errors import StorageError
from unhush.storage.records import BodyState
from unhush.storage.room.tiers import Limits
from unhush.storage.store import Store

log = logging.getLogger(__name__)

_STATUSES: Final = tuple(Status)
_FAREWELL_S: Final = 5.0
# A batch is stored in a tenth of a second; a process that says nothing for so long is as good as dead.
_PATIENCE_S: Final = 60.0


class ProcessGone(NodeError):
    """The process that takes bulk in has ended, or cannot be used any more."""


class BulkProcess:
    """One at a time may give it a batch; it starts when made."""

    def __init__(self, home: Path, *, network: str, limits: Limits) -> None:
        context = get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, home, network, limits), name="unhush-bulk", daemon=True
        )
        self._process.start()
        theirs.close()
        self._turn = threading.Lock()
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def ingest(self, batch: Batch) -> tuple[Outcome, ...]:
        """As ``Store.ingest``, without local numbers; raises ``StorageError`` as it does, and ``ProcessGone``."""
        with self._turn:
            try:
                self._ours.send((batch.source, batch.wanted_only, [_pack(item) for item in batch.items]))
                if not self._ours.poll(_PATIENCE_S):
                    raise ProcessGone(f"no answer for {_PATIENCE_S:.0f} s")
                answer = self._ours.recv()
            except (EOFError, OSError) as exc:
                raise ProcessGone(str(exc) or type(exc).__name__) from exc
        match answer:
            case (bytes() as statuses, dict() as errors):
                return tuple(_outcome(status, errors.get(at)) for at, status in enumerate(statuses))
            case str() as error:
                raise StorageError(error)
        raise ProcessGone("an answer that is none")

    def close(self) -> None:
        """Let it finish what it does, and end."""
        with contextlib.suppress(OSError):
            self._ours.close()
        self._process.join(_FAREWELL_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def serve(asker: Connection, home: Path, network: str, limits: Limits) -> None:
    """In the process itself: until whoever asks is gone."""
    from unhush.node.config import wall_clock_ms

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells all its processes; ours ends with the node
    with Store(home, network=network, clock_ms=wall_clock_ms, limits=limits) as store, contextlib.suppress(OSError):
        interpreter.spare_the_collector()
        while True:
            try:
                source, wanted_only, items = asker.recv()
            except EOFError:
                return
            asker.send(_answer(store, Batch(tuple(map(_unpack, items)), source, wanted_only)))


def _answer(store: Store, batch: Batch) -> Any:
    try:
        outcomes = store.ingest(batch)
    except StorageError as exc:
        return str(exc)
    except Exception:
        log.exception("records not stored from=%s", batch.source)
        return "a fault in the process that takes bulk in"
    errors = {
        at: (outcome.error, outcome.cid.bytes if outcome.cid is not None else None)
        for at, outcome in enumerate(outcomes)
        if outcome.error
    }
    return bytes(_STATUSES.index(outcome.status) for outcome in outcomes), errors


def _outcome(status: int, error: tuple[str, bytes | None] | None) -> Outcome:
    if error is None:
        return Outcome(_STATUSES[status])
    text, cid = error
    return Outcome(_STATUSES[status], Cid(cid) if cid is not None else None, error=text)


def _pack(item: Arrival) -> tuple[object, ...]:
    """In plain values, which cost a twentieth of ours to hand over."""
    return (
        item.entry,
        item.body,
        item.reason.value,
        item.account.bytes if item.account is not None else None,
        item.may_be_vouched,
        item.welcome.value,
        item.about.bytes if item.about is not None else None,
    )


def _unpack(packed: Sequence[Any]) -> Arrival:
    entry, body, reason, account, may_be_vouched, welcome, about = packed
    return Arrival(
        entry,
        body,
        BodyState(reason),
        Cid(account) if account is not None else None,
        may_be_vouched,
        Welcome(welcome),
        Cid(about) if about is not None else None,
    )
