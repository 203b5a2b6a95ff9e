"""Group commit: what several threads want to write at the same moment goes to disk together.

A durable commit costs a wait for the disk whatever it holds. While one is on
its way, others queue; whoever's turn comes next takes all that waits. Nobody
is answered before the commit that holds his own work is on disk. If the work
of one fails, nothing of that commit stands, and each is tried alone, so that
nobody pays for another's mistake.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from unhush.storage.environment import Environment
from unhush.storage.transaction import Txn

log = logging.getLogger(__name__)
T = TypeVar("T")

# Work for one commit: a bound on how long whoever writes otherwise has to wait.
_MOST: Final = 64


class Commits:
    """Runs work in write transactions, as many together as wait; from any thread."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._queue: list[_Job] = []
        self._queue_lock = threading.Lock()
        self._turn = threading.Lock()

    def run(self, work: Callable[[Txn], T]) -> T:
        """Do ``work`` in a transaction and return after its commit. It may be begun twice, and counts once."""
        job = _Job(work)
        with self._queue_lock:
            self._queue.append(job)
        with self._turn:
            while not job.is_done:  # else whoever had the turn before took it along
                with self._queue_lock:
                    jobs, self._queue = self._queue[:_MOST], self._queue[_MOST:]
                try:
                    self._commit(jobs)
                except BaseException:  # the thread is to end: what others wait for stays in the queue
                    with self._queue_lock:
                        self._queue[:0] = [other for other in jobs if other is not job and not other.is_done]
                    raise
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    def _commit(self, jobs: "list[_Job]") -> None:
        try:
            results = self._environment.run(lambda txn: [job.work(txn) for job in jobs])
        except Exception as exc:
            log.debug("a commit of %d failed", len(jobs), exc_info=True)
            if len(jobs) == 1:
                jobs[0].fail(exc)
                return
            for job in jobs:
                self._commit([job])
            return
        for job, result in zip(jobs, results, strict=True):
            job.succeed(result)


class _Job:
    """One thread's work and what came of it."""

    def __init__(self, work: Callable[[Txn], Any]) -> None:
        self.work = work
        self.is_done = False
        self.result: Any = None
        self.error: Exception | None = None

    def succeed(self, result: Any) -> None:
        self.result, self.is_done = result, True

    def fail(self, error: Exception) -> None:
        self.error, self.is_done = error, True
