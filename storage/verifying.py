"""Checking many signatures, in worker processes if there are any.

A chain costs one signature per run; records that no other vouches for cost one
each, which is most of what taking them in costs. Threads do not help: the
binding lets go of the interpreter for each call alone, too short to matter.
Workers are spawned, never forked (a database must not be used across a fork),
so a program that embeds us and asks for them needs the usual guard around its
main module.
"""

import logging
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.entry import UnverifiedEntry, is_signed
from unhush.identity.keys import PublicKey

log = logging.getLogger(__name__)

# Entries for one trip to a worker: enough that the trip costs little, few enough that two workers share a batch.
_CHUNK: Final = 128


class Verifier:
    """Judges entries by their own signatures; with ``workers`` in so many processes, started when first needed."""

    def __init__(self, network: str, workers: int = 0) -> None:
        self._network = network
        self._workers = workers
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    @property
    def has_workers(self) -> bool:
        return self._workers > 0

    def begin(self, entries: Iterable[UnverifiedEntry]) -> "Verification":
        """Start to check entries; what comes back knows the answers when asked. Without workers nothing is begun."""
        waiting = list(entries) if self._workers else []
        futures = []
        if len(waiting) > 1:
            for at in range(0, len(waiting), _CHUNK):
                chunk = waiting[at : at + _CHUNK]
                future = self._submit([(entry.block, entry.header.key.bytes) for entry in chunk])
                if future is None:
                    break
                futures.append(([entry.cid for entry in chunk], future))
        return Verification(self._network, futures)

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, chunk: list[tuple[bytes, bytes]]) -> "Future[list[bool]] | None":
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"))
            try:
                return self._pool.submit(check_chunk, chunk, self._network)
            except (BrokenProcessPool, RuntimeError, OSError) as exc:
                self._give_up(exc)
                return None

    def _give_up(self, exc: Exception) -> None:
        log.warning("signatures are checked in this process from now on: %s", exc)
        self._workers, self._pool = 0, None


class Verification:
    """Answers about entries whose signatures are being checked; any other entry is checked when asked for."""

    def __init__(self, network: str, futures: "list[tuple[list[Cid], Future[list[bool]]]]") -> None:
        self._network = network
        self._futures = futures
        self._answers: dict[Cid, bool] | None = None

    def is_signed(self, entry: UnverifiedEntry) -> bool:
        """Whether an entry bears its key's valid signature. Asked again, it knows."""
        if self._answers is None:
            self._answers = self._collect()
        known = self._answers.get(entry.cid)
        if known is None:
            known = is_signed(entry.block, entry.header.key, self._network)
            self._answers[entry.cid] = known
        return known

    def _collect(self) -> dict[Cid, bool]:
        answers: dict[Cid, bool] = {}
        for cids, future in self._futures:
            try:
                answers.update(zip(cids, future.result(), strict=True))
            except (
                BrokenProcessPool,
                OSError,
                RuntimeError,
            ) as exc:
                # Killed, maybe. What it had is checked here when asked for.
                log.warning("a worker that checks signatures ended: %s", exc)
        return answers


def check_chunk(chunk: list[tuple[bytes, bytes]], network: str) -> list[bool]:
    """In a worker: whether each block is signed by the key beside it."""
    return [is_signed(block, PublicKey(key), network) for block, key in chunk]
