"""Search for people and programs, and the thread that keeps its index up to date while a node runs."""

import contextlib
import logging
import os
import threading
import time
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.errors import UnhushError
from unhush.node.errors import HomeInUse, StorageError
from unhush.node.records.reading import MAX_PAGE, Reader
from unhush.node.views import Shown
from unhush.storage.fulltext.feeding import Step
from unhush.storage.fulltext.query import parse_query
from unhush.storage.fulltext.searching import Wanted
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# What a search without a running node may spend on what is new before it answers.
CATCH_UP_S: Final = 1.0
# Between two looks without news.
LOOK_EVERY_S: Final = 30.0
# After a full disk, or with another node at work.
AGAIN_S: Final = 10.0
# While somebody else's search indexes.
BUSY_S: Final = 1.0
# What is written within this time is indexed together. For a post alone that costs two milliseconds of processor time,
# right when it is to go on to others; a search looks through what is not indexed yet.
_GATHER_S: Final = 0.5
_NICE: Final = 10
# While a backlog of this many grows by that many in a look, records go before words, for so long at most: the two
# share one interpreter, and a search looks through what is not indexed yet.
_BACKLOG: Final = 1_000
_GROWS_BY: Final = 250
_LOOK_S: Final = 0.5
_LONGEST_REST_S: Final = 60.0
# One turn of work.
_PIECE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Posts found, newest first or best first; ``next`` is the cursor of what follows, None at the end."""

    items: tuple[Shown, ...]
    next: str | None
    behind: int  # newest records that were not looked through yet
    is_cut: bool  # more was typed than is looked for


def search(
    store: Store,
    text: str,
    *,
    by: Cid | None,
    tag: str | None,
    since_ms: int | None,
    until_ms: int | None,
    ranked: bool,
    limit: int,
    before: str | None,
) -> SearchPage:
    """See ``Node.search``."""
    query = parse_query(text)
    _catch_up(store)
    wanted = Wanted(query, by, tag, since_ms, until_ms)
    with store.snapshot() as snapshot:
        found = snapshot.search(
            store.fulltext, wanted, limit=max(1, min(limit, MAX_PAGE)), before=before or None, ranked=ranked
        )
        reader = Reader(snapshot)
        items = tuple(reader.shown(record) for record in found.records)
    return SearchPage(items, found.next, found.behind, query.is_cut)


def _catch_up(store: Store) -> None:
    """Index what is new, if nobody else does; a search answers without it too."""
    try:
        if store.fulltext.behind() and not store.fulltext.is_followed():
            store.fulltext.catch_up(CATCH_UP_S)
    except StorageError as exc:
        log.warning("the search index is not brought up to date: %s", exc)


class Indexing:
    """Follows the journal from its making until ``stop``; one in a home does, others stand by."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._failure = ""  # said once
        self._unsubscribe = store.subscribe(self._changed.set)
        self._thread = threading.Thread(target=self._run, name="unhush-indexing", daemon=True)
        self._changed.set()  # what came while no node ran
        self._thread.start()

    def stop(self) -> None:
        self._unsubscribe()
        self._ending.set()
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        # On Linux the niceness is the thread's own.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._ending.is_set():
            try:
                with self._store.fulltext.following():
                    self._follow()
            except HomeInUse:
                self._rest(AGAIN_S)
            except UnhushError as exc:
                if str(exc) != self._failure:
                    self._failure = str(exc)
                    log.error("posts are not indexed for search: %s", exc)
                self._rest(AGAIN_S)

    def _follow(self) -> None:
        while not self._ending.is_set():
            self._changed.clear()
            seen = 0
            while not self._ending.is_set() and self._store.fulltext.behind():
                if self._store.last_aid() - seen >= _GROWS_BY:  # also if it began while a piece was worked on
                    self._await_calm()
                    seen = self._store.last_aid()
                began = time.monotonic()
                steps: list[Step] = []
                self._store.fulltext.catch_up(_PIECE_S, on_step=steps.append)
                # As long a rest as the work took, so that taking records in comes first.
                self._rest(time.monotonic() - began if any(step.looked_at for step in steps) else BUSY_S)
            self._failure = ""
            if self._changed.wait(LOOK_EVERY_S):
                self._rest(_GATHER_S)

    def _await_calm(self) -> None:
        """Let a sync that brings very much end first."""
        due = time.monotonic() + _LONGEST_REST_S
        while not self._ending.is_set() and time.monotonic() < due and self._store.fulltext.behind() > _BACKLOG:
            before = self._store.last_aid()
            self._rest(_LOOK_S)
            if self._store.last_aid() - before < _GROWS_BY:
                return

    def _rest(self, seconds: float) -> None:
        self._ending.wait(seconds)
