"""The full-text index of a home: searched by everybody, fed by one at a time, and made anew if it is of no use.

It lives in ``<home>/search`` beside the store and holds nothing that is not
in the store. So it may lag, be damaged, or be thrown away at any time.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from unhush.storage.environment import Environment
from unhush.storage.errors import HomeInUse, SearchIndexDamaged, SearchIndexUnusable, StoreFull
from unhush.storage.fulltext import feeding
from unhush.storage.fulltext.engine import START, Engine
from unhush.storage.fulltext.feeding import Stale, Step
from unhush.storage.fulltext.folder import Folder
from unhush.storage.fulltext.searching import Found, Search, Wanted
from unhush.storage.transaction import Txn

log = logging.getLogger(__name__)
T = TypeVar("T")

# Whoever erases or rebuilds waits so long for a step of somebody else.
WAIT_S: Final = 30.0
# Differences named by ``check``; more say nothing new.
MOST_PROBLEMS: Final = 20
_REBUILD_STEP: Final = 5_000


@dataclass(frozen=True, slots=True)
class Checked:
    """How many posts are searched, and what is wrong with them; what the index has not seen yet is no fault."""

    posts: int
    behind: int
    problems: tuple[str, ...]


class FullText:
    """The index of one home. Thread- and process-safe."""

    def __init__(self, home: Path, environment: Environment) -> None:
        self._environment = environment
        self._folder = Folder(home / "search")
        self._reading = threading.Lock()
        self._reader: Engine | None = None

    def close(self) -> None:
        with self._reading:
            self._close_reader()

    # -- searching

    def search(self, txn: Txn, wanted: Wanted, *, limit: int, before: str | None = None, ranked: bool = False) -> Found:
        """What is found in this snapshot, newest first, or the best of the newest with ``ranked``.

        Raises ``NotFound`` for a bad cursor. An index that cannot be read is none: everything is behind then.
        """
        with self._reading:
            try:
                with self._opened() as engine:
                    return Search(txn, engine, wanted).run(limit=limit, before=before, ranked=ranked)
            except SearchIndexUnusable as exc:
                log.warning("searching without an index: %s", exc)
                self._close_reader()
                if isinstance(exc, SearchIndexDamaged):
                    self._begin_anew(exc.path)
            return Search(txn, None, wanted).run(limit=limit, before=before, ranked=ranked)

    def _begin_anew(self, damaged: Path) -> None:
        """An empty index in place of a damaged one; whoever catches up next fills it."""
        with suppress(HomeInUse, SearchIndexUnusable, StoreFull), self._folder.lock("index"):
            if self._folder.current() == damaged:
                self._make_new().close()

    def behind(self) -> int:
        """Records and changes the index has not seen yet, at most."""
        # In the order of a search: the store's map grows only between snapshots, and nobody may wait for the other.
        with self._environment.read() as txn, self._reading:
            try:
                with self._opened() as engine:
                    place = engine.place() if engine is not None else START
            except SearchIndexUnusable:
                self._close_reader()
                place = START
            return feeding.count_behind(txn, place)

    @contextmanager
    def _opened(self) -> Iterator[Engine | None]:
        current = self._folder.current()
        if self._reader is not None and self._reader.path != current:
            self._close_reader()
        if self._reader is None and current is not None:
            self._reader = Engine.open_to_read(current)
        if self._reader is None:
            yield None
            return
        with self._reader.reading():
            yield self._reader

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    # -- feeding

    def catch_up(self, budget_s: float, *, on_step: Callable[[Step], None] = lambda _: None) -> bool:
        """Index what is new until nothing is, or time is up; True if nothing is left.

        False at once if somebody else is at it. Raises ``StoreFull`` and ``SearchIndexUnusable``; what is searched
        stays as it was then.
        """
        due = time.monotonic() + budget_s
        try:
            with self._folder.lock("index"):
                return self._write(lambda engine: self._feed(engine, due, on_step))
        except HomeInUse:
            return False

    def _feed(self, engine: Engine, due: float, on_step: Callable[[Step], None]) -> bool:
        while True:
            step = feeding.take_step(self._environment, engine)
            on_step(step)
            if step.behind == 0 or step.looked_at == 0:
                return step.behind == 0
            if time.monotonic() >= due:
                return False

    def _write(self, work: Callable[[Engine], T]) -> T:
        """Do it with the index, or with a new one if that is of no use; whoever calls holds the lock."""
        current = self._folder.current()
        if current is not None:
            try:
                return _with(Engine.open(current), work)
            except (SearchIndexDamaged, Stale) as exc:
                log.warning("the search index is made anew: %s", exc or "it followed another journal")
        return _with(self._make_new(), work)

    def _make_new(self) -> Engine:
        engine = Engine.create(self._folder.next())
        self._folder.remove_all_but(engine.path)
        return engine

    @contextmanager
    def following(self) -> Iterator[None]:
        """Held by whoever keeps the index up to date for a while; raises ``HomeInUse`` if somebody does."""
        with self._folder.lock("following"):
            yield

    def is_followed(self) -> bool:
        """Whether somebody, in whichever process, keeps the index up to date."""
        return self._folder.is_locked("following")

    # -- as a whole

    def rebuild(self, on_progress: Callable[[int], None] = lambda _: None) -> int:
        """Make the index anew from the journal, while the old one is searched; how many posts it holds.

        ``on_progress`` gets the number of records looked at. Raises ``HomeInUse`` and ``StoreFull``.
        """
        with self._folder.lock("index", WAIT_S):
            building = Engine.create(self._folder.building(), is_unsafe=True)
            try:
                done = 0
                while (
                    step := feeding.take_step(self._environment, building, most=_REBUILD_STEP, most_due=0)
                ).looked_at:
                    done += step.looked_at
                    on_progress(done)
                count = building.count()
                building.finish()
            except BaseException:
                building.close()
                building.path.unlink(missing_ok=True)
                raise
            path = self._folder.put_in_place(building.path)
            self._folder.remove_all_but(path)
            return count

    def purge(self) -> bool:
        """Leave nothing in the files of what is not shown any more; False if a reader kept an old state open.

        Raises ``HomeInUse``, ``StoreFull`` and ``SearchIndexUnusable``.
        """
        if self._folder.current() is None:
            return True
        with self._folder.lock("index", WAIT_S):
            return self._write(self._purge)

    def _purge(self, engine: Engine) -> bool:
        while (step := feeding.take_step(self._environment, engine)).looked_at and step.behind:
            pass
        return engine.purge()

    def drop(self) -> None:
        """Remove the index; it is made anew when somebody searches. Raises ``HomeInUse``."""
        with self._folder.lock("index", WAIT_S):
            self.close()
            self._folder.remove_all_but(None)

    def size_bytes(self) -> int:
        return self._folder.size_bytes()

    def check(self) -> Checked:
        """Compare the index with what is shown, post by post; raises ``HomeInUse``, ``SearchIndexDamaged``."""
        current = self._folder.current()
        if current is None:
            return Checked(0, self.behind(), ())
        with self._folder.lock("index", WAIT_S):
            return _with(Engine.open(current), self._check)

    def _check(self, engine: Engine) -> Checked:
        engine.check()
        with self._environment.read() as txn, engine.reading():
            place = engine.place()
            late = set(feeding.iter_due(txn))
            posts, problems = 0, list[str]()
            for document in engine.documents():
                posts += 1
                if document.aid in late or len(problems) >= MOST_PROBLEMS:
                    continue
                shown = feeding.find_document(txn, document.aid)
                if shown is None:
                    problems.append(f"record {document.aid} is searched and not shown")
                elif shown.terms != document.terms:
                    problems.append(f"record {document.aid} is searched by other words than it shows")
            held = {document.aid for document in engine.documents()}
            for aid, record in feeding.iter_rows(txn, 0):
                if aid > place.aid or len(problems) >= MOST_PROBLEMS:
                    break
                if record is not None and aid not in held and aid not in late and feeding.find_document(txn, aid):
                    problems.append(f"record {aid} is shown and not searched")
            return Checked(posts, feeding.count_behind(txn, place), tuple(problems))


def _with(engine: Engine, work: Callable[[Engine], T]) -> T:
    try:
        return work(engine)
    finally:
        engine.close()
