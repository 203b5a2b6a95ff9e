"""The ingest thread: the one place in a running node that takes in what the network brings.

Live records go before bulk. When only bulk waits, deliveries are joined until
a commit is worth its price; when somebody watches, commits are small. Whoever
delivered is told after the commit, and only then grants its peer new credit,
so what waits here is bounded by credit.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from unhush.storage.arrivals import Batch, Outcome, Status
from unhush.storage.errors import StorageError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# LMDB costs 5 µs a record at 1 MiB per commit and 30 at 128 KiB; more would keep own posts waiting longer.
GROUP_BYTES: Final = 1_048_576
# A second bound on what waits here, for senders without credit (gossip): beyond it deliveries are turned away.
MAX_WAITING_BYTES: Final = 64 * 1_048_576


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: Batch
    size_bytes: int
    done: Callable[[tuple[Outcome, ...]], None]


class Intake:
    """Start it, submit from any thread, stop it; ``done`` is called on the ingest thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._live: deque[_Waiting] = deque()
        self._bulk: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="unhush-ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way; what only waits is forgotten, its senders were promised nothing."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._thread.join()

    def submit(self, batch: Batch, *, is_live: bool, done: Callable[[tuple[Outcome, ...]], None]) -> bool:
        """Queue a batch; False (and ``done`` is never called) if too much waits already."""
        size = sum(len(item.entry) + len(item.body or b"") for item in batch.items)
        with self._changed:
            if self._is_stopping or self._waiting_bytes + size > MAX_WAITING_BYTES:
                return False
            self._waiting_bytes += size
            (self._live if is_live else self._bulk).append(_Waiting(batch, size, done))
            self._changed.notify()
        return True

    def _run(self) -> None:
        while group := self._next_group():
            for waiting, outcomes in self._ingest(group):
                try:
                    waiting.done(outcomes)
                except Exception:  # whose delivery it was is gone; the thread serves all the others
                    log.exception("report not taken from=%s", waiting.batch.source)

    def _next_group(self) -> list[_Waiting]:
        """Everything live at once, else bulk up to one commit's worth; empty when stopping."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping or self._live or self._bulk)
            if self._is_stopping:
                return []
            queue = self._live or self._bulk
            group = [queue.popleft()]
            size = group[0].size_bytes
            while queue and size + queue[0].size_bytes <= GROUP_BYTES and _fit(group[0], queue[0]):
                size += queue[0].size_bytes
                group.append(queue.popleft())
            self._waiting_bytes -= size
            return group

    def _ingest(self, group: list[_Waiting]) -> Iterator[tuple[_Waiting, tuple[Outcome, ...]]]:
        """One commit for the group; if that fails one for each delivery, so that nobody pays for another's."""
        items = tuple(item for waiting in group for item in waiting.batch.items)
        first = group[0].batch
        try:
            outcomes = self._store.ingest(Batch(items, first.source, first.wanted_only))
        except Exception as exc:
            if len(group) > 1:
                for waiting in group:
                    yield from self._ingest([waiting])
                return
            level = logging.ERROR if isinstance(exc, StorageError) else logging.CRITICAL
            log.log(level, "records not stored from=%s error=%s", first.source, exc, exc_info=level > logging.ERROR)
            outcomes = (Outcome(Status.FAILED, error=str(exc)),) * len(items)
        at = 0
        for waiting in group:
            yield waiting, outcomes[at : at + len(waiting.batch.items)]
            at += len(waiting.batch.items)


def _fit(first: _Waiting, other: _Waiting) -> bool:
    return first.batch.wanted_only == other.batch.wanted_only
