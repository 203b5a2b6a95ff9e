"""Fetching: bringing the pictures here that posts and portraits name, while a node runs.

What people we carry show lately is fetched as it comes, newest first; older
pictures when somebody looks at them. A blob nobody has now is asked for again
later, ever more seldom.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from unhush.identity.cid import Cid
from unhush.node.mediaroom import MediaRoom
from unhush.storage.errors import StorageError
from unhush.storage.folds.blobrefs import blobs_of
from unhush.storage.kinds import Edit, Post
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

log = logging.getLogger(__name__)

DAY_MS: Final = 24 * 60 * 60 * 1000
# Older pictures wait until somebody looks at them.
LATELY_MS: Final = 30 * DAY_MS
# What is looked through when a node starts: what came while its pictures did not.
LOOK_BACK: Final = 2_000
# Records looked at in one snapshot.
_STEP: Final = 500
# A larger file is fetched only when somebody asks for it.
MAX_EAGER_BYTES: Final = 8 * 1024 * 1024
# Blobs that wait, and blobs nobody had that are remembered: the oldest are forgotten.
MAX_WAITING: Final = 4_096
# At a time; the network takes as many.
AT_ONCE: Final = 4
# Of what was begun nothing was heard for so long: a network that ended tells nobody.
LOST_S: Final = 3_600.0
FIRST_AGAIN_S: Final = 30.0
LAST_AGAIN_S: Final = 3_600.0
_LOOK_EVERY_S: Final = 5.0
# Between news and a look at it: a picture comes a moment after its post.
_REST_S: Final = 0.25


class FetchBlob(Protocol):
    """Bring a blob here; ``done`` says whether it is, on another thread. False if there is no network to ask.

    One with more than ``max_bytes`` is not fetched.
    """

    def __call__(self, blob: Cid, account: Cid, done: Callable[[bool], None], max_bytes: int | None) -> bool: ...


@dataclass(slots=True)
class _Again:
    account: Cid
    due_s: float
    delay_s: float


class Fetching:
    """Runs from its making until ``stop``."""

    def __init__(self, store: Store, fetch: FetchBlob, *, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._fetch = fetch
        self._clock_ms = clock_ms
        self._waiting: deque[tuple[Cid, Cid]] = deque(maxlen=MAX_WAITING)  # blob, account; newest at the right
        self._again: dict[Cid, _Again] = {}
        self._under_way: dict[Cid, tuple[Cid, float]] = {}  # whose record names it, and since when
        self._ended: deque[tuple[Cid, bool]] = deque()  # filled on the network's thread, which waits for nobody
        self._room = MediaRoom(store)
        self._changed = threading.Event()
        self._stopping = threading.Event()
        with store.snapshot() as snapshot:
            self._cursor = max(0, snapshot.last_aid() - LOOK_BACK)
        self._unsubscribe = store.subscribe(self._changed.set)
        self._thread = threading.Thread(target=self._run, name="unhush-fetching", daemon=True)
        self._changed.set()
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way ends with the network."""
        self._unsubscribe()
        self._stopping.set()
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._changed.clear()
            try:
                while not self._stopping.is_set() and self._look():
                    pass
                self._begin()
            except StorageError as exc:
                log.warning("pictures are not fetched now: %s", exc)
            self._changed.wait(_LOOK_EVERY_S)
            # Not at the very moment of a commit, when whoever sends the post on needs the interpreter.
            self._stopping.wait(_REST_S)

    # -- what there is to fetch

    def _look(self) -> bool:
        """Note what new records name; False if there were none."""
        with self._store.snapshot() as snapshot:
            records, cursor = snapshot.journal_naming_blobs(self._cursor, _STEP)
            if cursor == self._cursor:
                return False
            carried = snapshot.carried()
            since_ms = self._clock_ms() - LATELY_MS
            for record in records:
                if record.account in carried and record.body is not None:
                    self._note(snapshot, record, since_ms)
        self._cursor = cursor
        return True

    def _note(self, snapshot: Snapshot, record: Record, since_ms: int) -> None:
        body = snapshot.body(record)
        is_post = isinstance(body, Post | Edit)
        if is_post and record.entry.header.time < since_ms:
            return  # a portrait is wanted however old it is
        post = body.post if isinstance(body, Edit) else body
        # Its author says so, to spare us the question; how large it is, its manifest says.
        too_large = {item.cid for item in post.media if item.size > MAX_EAGER_BYTES} if isinstance(post, Post) else ()
        for blob in blobs_of(body):
            if blob not in too_large and not self._store.blobs.has(blob):
                self._waiting.append((blob, record.account))

    # -- fetching

    def _begin(self) -> None:
        now = time.monotonic()
        while self._ended:
            self._end(*self._ended.popleft())
        for blob in [blob for blob, (_, since) in self._under_way.items() if now - since > LOST_S]:
            self._end(blob, is_here=False)
        for blob, again in list(self._again.items()):
            if again.due_s <= now and blob not in self._under_way and len(self._waiting) < MAX_WAITING:
                self._waiting.appendleft((blob, again.account))
                again.due_s = now + again.delay_s
        if self._waiting:
            self._room.freshen()
        while self._waiting and len(self._under_way) < AT_ONCE and not self._room.is_full():
            blob, account = self._waiting.pop()
            if blob in self._under_way or self._room.is_full_for(account) or self._store.blobs.has(blob):
                continue
            if not self._fetch(blob, account, partial(self._done, blob), MAX_EAGER_BYTES):
                self._waiting.append((blob, account))
                return
            self._under_way[blob] = account, now

    def _done(self, blob: Cid, is_here: bool) -> None:
        """On the network's thread."""
        self._ended.append((blob, is_here))
        self._changed.set()

    def _end(self, blob: Cid, is_here: bool) -> None:
        account, _ = self._under_way.pop(blob, (None, 0.0))
        if is_here:
            self._again.pop(blob, None)
            log.info("blob fetched cid=%s", blob)
        elif account is not None:
            self._put_off(blob, account)
        self._room.ended(blob, account, is_here=is_here)

    def _put_off(self, blob: Cid, account: Cid) -> None:
        before = self._again.pop(blob, None)
        delay_s = min(2 * before.delay_s, LAST_AGAIN_S) if before is not None else FIRST_AGAIN_S
        self._again[blob] = _Again(account, time.monotonic() + delay_s, delay_s)
        if len(self._again) > MAX_WAITING:
            del self._again[next(iter(self._again))]
