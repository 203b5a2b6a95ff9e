"""The ingest thread: the one place in a running node that takes in what the network brings.

Whose turn it is stands in ``waiting.py``. When only bulk waits, deliveries are
joined until a commit is worth its price; while live records come, commits are
small. Whoever delivered is told after the commit, and only then grants its
peer new credit, so what waits here is bounded by credit.

With a process for bulk (``bulk.py``) a second thread leads it, and live
records are stored beside it. When that process dies, the same thread goes on
with the store of this one.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from unhush.node.service.bulk import BulkProcess, ProcessGone
from unhush.node.service.waiting import Delivery, Waiting
from unhush.storage.arrivals import Batch, Outcome, Status
from unhush.storage.errors import StorageError
from unhush.storage.ingest import Begun
from unhush.storage.store import Store

log = logging.getLogger(__name__)


class Intake:
    """Start it, submit from any thread, stop it; ``done`` is called on a thread of ingest.

    ``bulk`` is started by whoever gives it, and closed here.
    """

    def __init__(self, store: Store, bulk: BulkProcess | None = None) -> None:
        self._store = store
        self._bulk = bulk
        self._changed = threading.Condition()
        self._waiting = Waiting()
        self._is_stopping = False
        self._ahead = 1 if store.has_workers else 0  # groups that are looked at before the one before them is stored
        self._threads = [threading.Thread(target=self._run, name="unhush-ingest", daemon=True)]
        self._is_shared = bulk is not None
        if self._is_shared:
            self._threads.append(threading.Thread(target=self._run_bulk, name="unhush-bulk", daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is under way; what only waits is forgotten, its senders were promised nothing."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        if self._bulk is not None:
            self._bulk.close()

    @property
    def waiting_bytes(self) -> int:
        """What was queued and is not begun; callable from any thread."""
        return self._waiting.size_bytes

    def submit(self, batch: Batch, *, is_live: bool, done: Callable[[tuple[Outcome, ...]], None]) -> bool:
        """Queue a batch; False (and ``done`` is never called) if too much waits already."""
        size = sum(len(item.entry) + len(item.body or b"") for item in batch.items)
        with self._changed:
            is_taken = not self._is_stopping and self._waiting.put(
                Delivery(batch, size, done), is_live=is_live, now=time.monotonic()
            )
            if is_taken:
                self._changed.notify_all()
        return is_taken

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

    def _run_bulk(self) -> None:
        """What one process stores while another takes in what is live; the next group goes when that one is stored."""
        while group := self._next_bulk():
            first = group[0].batch
            items = tuple(item for each in group for item in each.batch.items)
            batch = Batch(items, first.source, first.wanted_only)
            outcomes = self._bulk_ingest(self._bulk, batch) if self._bulk is not None else None
            if outcomes is None:
                self._finish(_Begun(group, batch, None))
            else:
                for each, found in _dealt(group, outcomes):
                    self._report(each, found)

    def _bulk_ingest(self, bulk: BulkProcess, batch: Batch) -> tuple[Outcome, ...] | None:
        """None if it has to be tried again here, one delivery at a time if need be, and said to whoever waits."""
        try:
            return bulk.ingest(batch)
        except ProcessGone as exc:
            log.warning("the process for bulk is gone, this one goes on alone reason=%s", exc)
            bulk.close()
            self._bulk = None
        except Exception:
            log.debug("a group was not stored by the process for bulk", exc_info=True)
        return None

    def _next_bulk(self) -> list[Delivery]:
        """Empty when stopping."""
        with self._changed:
            while not self._is_stopping:
                if group := self._waiting.take_bulk(time.monotonic()):
                    return group
                self._changed.wait()
        return []

    def _finish(self, group: "_Begun") -> None:
        for delivery, outcomes in self._store_group(group):
            self._report(delivery, outcomes)

    def _report(self, delivery: Delivery, outcomes: tuple[Outcome, ...]) -> None:
        with self._changed:
            self._waiting.ended(delivery)
            if self._is_shared:
                self._changed.notify_all()  # bulk may have waited for this one
        try:
            delivery.done(outcomes)
        except Exception:  # whose delivery it was is gone; the thread serves all the others
            log.exception("report not taken from=%s", delivery.source)

    def _next_group(self, *, is_patient: bool) -> list[Delivery]:
        """What goes into the next commit; empty when stopping, or if not patient and nothing waits."""
        with self._changed:
            while not self._is_stopping:
                group = self._waiting.take_live() if self._is_shared else self._waiting.take(time.monotonic())
                if group or not is_patient:
                    return group
                self._changed.wait()
        return []

    def _begin(self, group: list[Delivery]) -> "_Begun":
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

    def _store_group(self, begun: "_Begun") -> Iterator[tuple[Delivery, tuple[Outcome, ...]]]:
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
        yield from _dealt(group, outcomes)


def _dealt(group: list[Delivery], outcomes: tuple[Outcome, ...]) -> Iterator[tuple[Delivery, tuple[Outcome, ...]]]:
    """To each delivery its own outcomes."""
    at = 0
    for delivery in group:
        yield delivery, outcomes[at : at + len(delivery.batch.items)]
        at += len(delivery.batch.items)


@dataclass(frozen=True, slots=True)
class _Begun:
    """Deliveries that go into one commit, and how far it has come."""

    group: list[Delivery]
    batch: Batch
    begun: Begun | None
