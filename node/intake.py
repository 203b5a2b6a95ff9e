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
from unhush.storage.ingest import Begun
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
        self._ahead = 1 if store.has_workers else 0  # groups that are looked at before the one before them is stored
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
        """One group after the other; with processes that check signatures, the next is looked at meanwhile."""
        begun: deque[_Begun] = deque()
        while True:
            group = self._next_group(is_patient=not begun)
            if group:
                begun.append(self._begin(group))
            if not begun:
                return
            if len(begun) > self._ahead or not group:
                self._finish(begun.popleft())

    def _finish(self, group: "_Begun") -> None:
        for waiting, outcomes in self._store_group(group):
            try:
                waiting.done(outcomes)
            except Exception:  # whose delivery it was is gone; the thread serves all the others
                log.exception("report not taken from=%s", waiting.batch.source)

    def _next_group(self, *, is_patient: bool) -> list[_Waiting]:
        """Everything live at once, else bulk up to one commit's worth; empty when stopping, or if not patient."""
        with self._changed:
            if is_patient:
                self._changed.wait_for(lambda: self._is_stopping or self._live or self._bulk)
            if self._is_stopping or not (self._live or self._bulk):
                return []
            queue = self._live or self._bulk
            group = [queue.popleft()]
            size = group[0].size_bytes
            while queue and size + queue[0].size_bytes <= GROUP_BYTES and _fit(group[0], queue[0]):
                size += queue[0].size_bytes
                group.append(queue.popleft())
            self._waiting_bytes -= size
            return group

    def _begin(self, group: list[_Waiting]) -> "_Begun":
        items = tuple(item for waiting in group for item in waiting.batch.items)
        first = group[0].batch
        batch = Batch(items, first.source, first.wanted_only)
        if not self._ahead:
            return _Begun(group, batch, None)
        try:
            return _Begun(group, batch, self._store.begin(batch))
        except Exception:  # tried again, and said to whoever waits, when the group's turn comes
            log.debug("a group could not be begun ahead from=%s", first.source, exc_info=True)
            return _Begun(group, batch, None)

    def _store_group(self, begun: "_Begun") -> Iterator[tuple[_Waiting, tuple[Outcome, ...]]]:
        """One commit for the group; if that fails one for each delivery, so that nobody pays for another's."""
        group = begun.group
        try:
            outcomes = self._store.finish(begun.begun) if begun.begun else self._store.ingest(begun.batch)
        except Exception as exc:
            if len(group) > 1:
                for waiting in group:
                    yield from self._store_group(self._begin([waiting]))
                return
            level = logging.ERROR if isinstance(exc, StorageError) else logging.CRITICAL
            source = group[0].batch.source
            log.log(level, "records not stored from=%s error=%s", source, exc, exc_info=level > logging.ERROR)
            outcomes = (Outcome(Status.FAILED, error=str(exc)),) * len(begun.batch.items)
        at = 0
        for waiting in group:
            yield waiting, outcomes[at : at + len(waiting.batch.items)]
            at += len(waiting.batch.items)


@dataclass(frozen=True, slots=True)
class _Begun:
    """Deliveries that go into one commit, and how far it has come."""

    group: list[_Waiting]
    batch: Batch
    begun: Begun | None


def _fit(first: _Waiting, other: _Waiting) -> bool:
    return first.batch.wanted_only == other.batch.wanted_only
