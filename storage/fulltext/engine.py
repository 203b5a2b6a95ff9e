"""One index file: SQLite with FTS5, which keeps no text of its own; why this one:
``docs/decisions/0016-full-text-engine.md``.

The terms of every document stand beside the index, for only who knows what
went in can take it out again. The place in the journal is kept in the commit
that it is the place of. Rows are numbered by time, so newest first is the
engine's own order and a page costs what it shows, however often a word occurs.
"""

import contextlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unhush.storage.errors import SearchIndexDamaged, SearchIndexUnusable, StoreFull
from unhush.storage.fulltext.documents import MOST_ID, Document
from unhush.storage.fulltext.query import MIN_PREFIX, Query
from unhush.storage.fulltext.terms import Phrase, phrases_of
from unhush.storage.fulltext.words import RULE

# Of the tables below. A file of another version is made anew from the journal, never migrated.
VERSION: Final = 1

# Somebody else's commit; indexing goes in steps of a fraction of a second.
BUSY_S: Final = 5.0
# Held in memory until a commit: above this the engine writes a piece of its own within one.
_HASH_BYTES: Final = 16 * 2**20
_CACHE_KIB: Final = 16 * 1024
# What a merge may write in one commit, in pages of 4 kB, so that no commit keeps the others waiting for long.
_MERGE_PAGES: Final = 2_000

_TABLES: Final = (
    "CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE docs (id INTEGER PRIMARY KEY, aid INTEGER NOT NULL UNIQUE, terms BLOB NOT NULL)",
    # The terms come cut by our rule: the tokenizer has only to split at spaces. "columnsize" is for a ranking that
    # counts through all there is, which we never ask for.
    f"""CREATE VIRTUAL TABLE posts USING
       fts5(terms, content='', columnsize=0, detail=full, prefix='{MIN_PREFIX}', tokenize='ascii')""",
    f"PRAGMA user_version = {VERSION}",
)

_FULL: Final = 13  # SQLITE_FULL
_IO_ERROR: Final = 10
_DAMAGED: Final = (11, 26)  # SQLITE_CORRUPT, SQLITE_NOTADB


@dataclass(frozen=True, slots=True)
class Place:
    """How far an index has followed the journal: the last aid it looked at, and what stood there."""

    aid: int
    digest: bytes  # of the record at ``aid``; empty at the beginning


START: Final = Place(0, b"")


class Engine:
    """An open index file. One thread at a time; every method raises ``StorageError``s with names."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection

    @classmethod
    def create(cls, path: Path, *, is_unsafe: bool = False) -> "Engine":
        """A new and empty file. ``is_unsafe``: quick, and worth nothing unless it comes to ``finish``."""
        with _named(path):
            engine = cls(path, _connect(path, "mode=rwc"))
            engine._set_up(journal="OFF" if is_unsafe else "WAL", synchronous="OFF" if is_unsafe else "FULL")
            with engine.writing():
                for statement in _TABLES:
                    engine._db.execute(statement)
                engine._db.execute("INSERT INTO posts(posts, rank) VALUES ('hashsize', ?)", (_HASH_BYTES,))
                engine._put_state("rule", RULE)
                engine.put_place(START)
            return engine

    @classmethod
    def open(cls, path: Path) -> "Engine":
        """To write; raises ``SearchIndexDamaged`` for what is no index of this version."""
        with _named(path):
            engine = cls(path, _connect(path, "mode=rw"))
            try:
                engine._check_version()
                engine._set_up(journal="WAL", synchronous="FULL")
            except BaseException:
                engine.close()
                raise
            return engine

    @classmethod
    def open_to_read(cls, path: Path) -> "Engine":
        with _named(path):
            # Where nothing can be written, a file that nobody writes is read as it is.
            for how in ("mode=rw", "mode=ro", "mode=ro&immutable=1"):
                try:
                    return cls._opened_to_read(path, how)
                except sqlite3.OperationalError:
                    if "immutable" in how:
                        raise
        raise AssertionError("the last way returns or raises")

    @classmethod
    def _opened_to_read(cls, path: Path, how: str) -> "Engine":
        engine = cls(path, _connect(path, how))
        try:
            engine._db.execute("PRAGMA query_only = ON")
            engine._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            engine._check_version()
        except BaseException:
            engine.close()
            raise
        return engine

    def _check_version(self) -> None:
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found != VERSION or self._find_state("rule") != RULE:
            raise SearchIndexDamaged(self.path, "was made by another version")

    def _set_up(self, *, journal: str, synchronous: str) -> None:
        # What is deleted is overwritten, not only let go of.
        for pragma in (
            f"journal_mode = {journal}", f"synchronous = {synchronous}", "secure_delete = ON",
            f"cache_size = -{_CACHE_KIB}", "journal_size_limit = 0",
        ):  # fmt: skip
            self._db.execute(f"PRAGMA {pragma}")

    def close(self) -> None:
        self._db.close()

    def finish(self) -> None:
        """Make a file that was made unsafely one as all others, and close it."""
        with _named(self.path):
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()

    # -- writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One commit, on disk when the block is left; nothing of it if the block raises."""
        with _named(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def put(self, documents: Iterable[Document]) -> None:
        """Add documents, in place of what was there under the same aids."""
        ordered = sorted(documents, key=lambda document: document.id)  # the engine fills its pages once, not twice
        self.drop(document.aid for document in ordered)
        for document in ordered:
            number = document.id
            while self._db.execute("SELECT 1 FROM docs WHERE id = ?", (number,)).fetchone():
                number += 1  # two aids far apart shown in the same millisecond
            packed = zlib.compress(document.terms.encode(), 1)
            self._db.execute("INSERT INTO docs VALUES (?, ?, ?)", (number, document.aid, packed))
            self._db.execute("INSERT INTO posts(rowid, terms) VALUES (?, ?)", (number, document.terms))

    def drop(self, aids: Iterable[int]) -> int:
        """Take documents out, whichever there are; how many were."""
        dropped = 0
        for aid in aids:
            row = self._db.execute("SELECT id, terms FROM docs WHERE aid = ?", (aid,)).fetchone()
            if row is None:
                continue
            terms = _unpack(self.path, row[1])
            self._db.execute("INSERT INTO posts(posts, rowid, terms) VALUES ('delete', ?, ?)", (row[0], terms))
            self._db.execute("DELETE FROM docs WHERE id = ?", (row[0],))
            dropped += 1
        if dropped:
            self._put_state("dropped", self.count_dropped() + dropped)
        return dropped

    def put_place(self, place: Place) -> None:
        self._put_state("aid", place.aid)
        self._put_state("digest", place.digest)

    def purge(self) -> bool:
        """Leave no trace of dropped documents in the file; False if a reader holds an old state of it."""
        with _named(self.path):
            dropped = self.count_dropped()
            if dropped:
                self._merge_all()
            is_whole: int = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if is_whole != 0:
                return False
            if dropped:
                with self.writing():
                    self._put_state("dropped", self.count_dropped() - dropped)
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return True

    def _merge_all(self) -> None:
        """All pieces into one, which is the only place where words that were taken out are let go of."""
        pages = -_MERGE_PAGES  # below zero: begin anew with all pieces; then go on
        while True:
            before = self._db.total_changes
            with self.writing():
                self._db.execute("INSERT INTO posts(posts, rank) VALUES ('merge', ?)", (pages,))
            # The statement itself counts as one change.
            if self._db.total_changes - before < 2:
                return
            pages = _MERGE_PAGES

    # -- reading

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """One state of the file for everything that is read inside."""
        with _named(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")

    def place(self) -> Place:
        with _named(self.path):
            aid, digest = self._find_state("aid"), self._find_state("digest")
            if not isinstance(aid, int) or not isinstance(digest, bytes):
                raise SearchIndexDamaged(self.path, "does not say where it stands")
            return Place(aid, digest)

    def count(self) -> int:
        with _named(self.path):
            return int(self._db.execute("SELECT count(*) FROM docs").fetchone()[0])

    def count_dropped(self) -> int:
        """Documents taken out since the last purge."""
        found = self._find_state("dropped")
        return found if isinstance(found, int) else 0

    def find(self, query: Query, marks: Sequence[str], low: int, high: int) -> Iterator[tuple[int, int]]:
        """(id, aid) of what matches, from ``low`` up to but without ``high``, highest first. Inside ``reading``."""
        yield from self._db.execute(
            """SELECT docs.id, docs.aid FROM posts CROSS JOIN docs ON docs.id = posts.rowid
               WHERE posts MATCH ? AND posts.rowid >= ? AND posts.rowid < ? ORDER BY posts.rowid DESC""",
            (_expression(query, marks), low, min(high, MOST_ID)),
        )

    def terms(self, number: int) -> str:
        """The terms of the document with this id. Inside ``reading``."""
        row = self._db.execute("SELECT terms FROM docs WHERE id = ?", (number,)).fetchone()
        return _unpack(self.path, row[0]) if row is not None else ""

    def documents(self) -> Iterator[Document]:
        """Every document, by aid. Inside ``reading``."""
        for number, aid, terms in self._db.execute("SELECT id, aid, terms FROM docs ORDER BY aid"):
            yield Document(number, aid, _unpack(self.path, terms))

    def check(self) -> None:
        """Look at every page of the file and of the index; raises ``SearchIndexDamaged``."""
        with _named(self.path):
            found = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise SearchIndexDamaged(self.path, f"is broken: {found}")
            with self.writing():
                self._db.execute("INSERT INTO posts(posts) VALUES ('integrity-check')")

    def _find_state(self, name: str) -> object:
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return row[0] if row is not None else None

    def _put_state(self, name: str, value: int | bytes | str) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))


def _connect(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,  # whoever holds an engine lets one thread at a time use it
    )


def _expression(query: Query, marks: Sequence[str]) -> str:
    """In the language of the engine: all that matches, and little else. Our terms mean nothing in that language."""
    wanted = [_quoted(phrase) for part in query.wanted for phrase in phrases_of(part)]
    # What is not exactly one phrase would take away too much; the look at each hit does it then.
    unwanted = [_quoted(phrases[0]) for part in query.unwanted if len(phrases := phrases_of(part)) == 1]
    expression = " AND ".join([*wanted, *(f'"{mark}"' for mark in marks)])
    return f"({expression}) NOT ({' OR '.join(unwanted)})" if unwanted else expression


def _quoted(phrase: Phrase) -> str:
    return f'"{" ".join(phrase.terms)}"{" *" if phrase.is_prefix else ""}'


def _unpack(path: Path, packed: object) -> str:
    try:
        return zlib.decompress(packed if isinstance(packed, bytes) else b"").decode()
    except (zlib.error, UnicodeDecodeError) as exc:
        raise SearchIndexDamaged(path, "has a document that is not what was written") from exc


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """SQLite's errors, called what they are."""
    try:
        yield
    except sqlite3.Error as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            raise SearchIndexDamaged(path, f"is broken: {exc}") from exc
        if code in (_FULL, _IO_ERROR):
            raise StoreFull(
                f"the disk refused a write to the search index; what is kept is not touched: {exc}"
            ) from exc
        # A file that is no index of ours has not its tables either.
        if code == 1 and "no such" in str(exc):
            raise SearchIndexDamaged(path, f"is not complete: {exc}") from exc
        raise SearchIndexUnusable(f"the search index {path} cannot be used: {exc}") from exc
