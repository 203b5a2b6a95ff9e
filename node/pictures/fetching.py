"""Fetching: bringing the pictures here that posts and portraits name, while a node runs.

What people we follow show lately is fetched as it comes, newest first; older
pictures when somebody looks at them. Of an account that is kept those are
fetched that were promised: its history is walked when the promise is made or
changed, and once a day. A blob nobody has now is asked for again later, ever
more seldom.
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
from unhush.node.pictures.room import MediaRoom
from unhush.node.pictures.wishes import Wish, find_wish
from unhush.storage.blobs.manifest import MAX_BLOB_BYTES
from unhush.storage.errors import StorageError
from unhush.storage.folds.blobrefs import blobs_of
from unhush.storage.keeping.pictures import HistoryWalk
from unhush.storage.keeping.promises import Promise
from unhush.storage.kinds import Edit, Post
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# What is looked through when a node starts: what came while its pictures did not.
LOOK_BACK: Final = 2_000
# Records looked at in one snapshot.
_STEP: Final = 500
# A larger file is fetched only when somebody asks for it, or if it was promised.
MAX_EAGER_BYTES: Final = 8 * 1024 * 1024
# Blobs that wait, and blobs nobody had that are remembered: the oldest are forgotten.
MAX_WAITING: Final = 4_096
# At a time; the network takes as many.
AT_ONCE: Final = 4
# A history is walked while fewer wait, so many records in one snapshot and so many snapshots without a rest.
WALK_BELOW: Final = 256
_WALK_STEP: Final = 100
_WALK_STEPS: Final = 20
# What was promised and is not here for whatever reason is looked for again.
WALK_EVERY_S: Final = 24 * 3_600.0
# Promises are read again in so large a share of the time; of very many that takes a while.
_PROMISES_SHARE: Final = 0.05
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


@dataclass(frozen=True, slots=True)
class _Wanted:
    blob: Cid
    account: Cid  # whose record names it
    said_bytes: int = 0  # its size as the record has it; 0: unknown


@dataclass(slots=True)
class _Again:
    wanted: _Wanted
    due_s: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class _UnderWay:
    wanted: _Wanted
    since_s: float
    most_bytes: int


class Fetching:
    """Runs from its making until ``stop``."""

    def __init__(self, store: Store, fetch: FetchBlob, *, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._fetch = fetch
        self._clock_ms = clock_ms
        self._waiting: deque[_Wanted] = deque(maxlen=MAX_WAITING)  # newest at the right
        self._again: dict[Cid, _Again] = {}
        self._under_way: dict[Cid, _UnderWay] = {}
        self._promises: dict[Cid, Promise] = {}
        self._promises_at = 0.0  # when they may be read again
        self._to_walk: dict[Cid, None] = {}  # accounts, in this order
        self._walk: HistoryWalk | None = None
        self._walk_all_at = time.monotonic() + WALK_EVERY_S
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
                self._read_promises()
                while not self._stopping.is_set() and self._look():
                    pass
                self._walk_some()
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
            wishes: dict[Cid, Wish | None] = {}
            for record in records:
                if record.account not in wishes:
                    wishes[record.account] = find_wish(snapshot, record.account, self._clock_ms())
                wish = wishes[record.account]
                if wish is not None:
                    for wanted in self._find_wanted(snapshot, record, wish):
                        self._put_first(wanted)
        self._cursor = cursor
        return True

    def _find_wanted(self, snapshot: Snapshot, record: Record, wish: Wish) -> list[_Wanted]:
        body = snapshot.body(record)
        if isinstance(body, Post | Edit) and record.entry.header.time < wish.since_ms:
            return []  # a portrait is wanted however old it is
        post = body.post if isinstance(body, Edit) else body
        # Its author says so, to spare us the question; how large it is, its manifest says.
        sizes = {item.cid: item.size for item in post.media} if isinstance(post, Post) else {}
        most = MAX_BLOB_BYTES if wish.is_promised else MAX_EAGER_BYTES
        return [
            _Wanted(blob, record.account, sizes.get(blob, 0))
            for blob in blobs_of(body)
            if sizes.get(blob, 0) <= most and not self._store.blobs.has(blob)
        ]

    def _put_first(self, wanted: _Wanted) -> None:
        if len(self._waiting) == MAX_WAITING:
            forgotten = self._waiting.popleft()
            if forgotten.account in self._promises:
                self._to_walk[forgotten.account] = None
        self._waiting.append(wanted)

    # -- what was promised

    def _read_promises(self) -> None:
        began = time.monotonic()
        if began < self._promises_at:
            return
        promises = self._store.promises.all()
        now = time.monotonic()
        self._promises_at = now + (now - began) / _PROMISES_SHARE
        if now >= self._walk_all_at:
            self._walk_all_at = now + WALK_EVERY_S
            self._to_walk.update(dict.fromkeys(promises))
        elif promises == self._promises:
            return
        self._to_walk.update(
            (account, None) for account, each in promises.items() if self._promises.get(account) != each
        )
        if self._walk is not None and self._walk.account in self._to_walk:
            self._walk = None  # it begins anew
        self._promises = promises
        self._room.note_promises(promises)

    def _walk_some(self) -> None:
        """Note what the history of accounts that are kept names, behind all that is new."""
        for _ in range(_WALK_STEPS):
            if self._stopping.is_set() or len(self._waiting) >= WALK_BELOW:
                return
            walk, self._walk = self._walk, None  # one that fails is not tried again before its day
            if walk is None:
                if not self._to_walk:
                    return
                walk = HistoryWalk(next(iter(self._to_walk)))
                del self._to_walk[walk.account]
            self._step(walk)
            if not walk.is_done:
                self._walk = walk
        self._changed.set()

    def _step(self, walk: HistoryWalk) -> None:
        with self._store.snapshot() as snapshot:
            wish = find_wish(snapshot, walk.account, self._clock_ms())
            if wish is None or not wish.is_promised:
                walk.is_done = True
                return
            for record in snapshot.walk_history(walk, _WALK_STEP):
                self._waiting.extendleft(self._find_wanted(snapshot, record, wish))

    # -- fetching

    def _begin(self) -> None:
        now = time.monotonic()
        while self._ended:
            self._end(*self._ended.popleft())
        for blob in [blob for blob, each in self._under_way.items() if now - each.since_s > LOST_S]:
            self._end(blob, is_here=False)
        for blob, again in list(self._again.items()):
            if again.due_s <= now and blob not in self._under_way and len(self._waiting) < MAX_WAITING:
                self._waiting.appendleft(again.wanted)
                again.due_s = now + again.delay_s
        if self._waiting:
            self._room.freshen()
        held: deque[_Wanted] = deque()  # until there is room
        while self._waiting and len(self._under_way) < AT_ONCE:
            wanted = self._waiting.pop()
            if wanted.blob in self._under_way or self._store.blobs.has(wanted.blob):
                continue
            if not self._is_named(wanted.blob):
                self._again.pop(wanted.blob, None)  # its record was withheld or erased since
                continue
            most = self._most_of(wanted)
            if most is None:
                held.appendleft(wanted)
            elif most > 0:
                if not self._fetch(wanted.blob, wanted.account, partial(self._done, wanted.blob), most):
                    self._waiting.append(wanted)
                    break
                self._under_way[wanted.blob] = _UnderWay(wanted, now, most)
        self._waiting.extend(held)

    def _is_named(self, blob: Cid) -> bool:
        with self._store.snapshot() as snapshot:
            return snapshot.is_named_blob(blob)

    def _most_of(self, wanted: _Wanted) -> int | None:
        """How many bytes may be fetched of a blob: 0 if none will be for a while, None if it is to wait."""
        account = wanted.account
        is_waiting = False
        if left := self._room.left_of_promise(account):
            # What is under way for it may come whole.
            left -= sum(each.most_bytes for each in self._under_way.values() if each.wanted.account == account)
            wish = max(MAX_EAGER_BYTES, wanted.said_bytes)
            if left >= wanted.said_bytes and left > 0:
                return min(wish, left)
            is_waiting = any(each.wanted.account == account for each in self._under_way.values())
        if self._room.is_shared_by(account) and wanted.said_bytes <= MAX_EAGER_BYTES:
            if self._room.is_full():
                return None
            if not self._room.is_full_for(account):
                return MAX_EAGER_BYTES
        return None if is_waiting else 0

    def _done(self, blob: Cid, is_here: bool) -> None:
        """On the network's thread."""
        self._ended.append((blob, is_here))
        self._changed.set()

    def _end(self, blob: Cid, is_here: bool) -> None:
        ended = self._under_way.pop(blob, None)
        if is_here:
            self._again.pop(blob, None)
            log.info("blob fetched cid=%s", blob)
        elif ended is not None:
            self._put_off(ended.wanted)
        self._room.ended(blob, ended.wanted.account if ended is not None else None, is_here=is_here)

    def _put_off(self, wanted: _Wanted) -> None:
        before = self._again.pop(wanted.blob, None)
        delay_s = min(2 * before.delay_s, LAST_AGAIN_S) if before is not None else FIRST_AGAIN_S
        self._again[wanted.blob] = _Again(wanted, time.monotonic() + delay_s, delay_s)
        if len(self._again) > MAX_WAITING:
            del self._again[next(iter(self._again))]
