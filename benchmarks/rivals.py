"""The same job done by others: SQLite in WAL mode, and a bare loop over LMDB.

Both get the same bytes in the same batches and call the same functions to judge
them: strict parse, body hash, chain or signature, kinds. So what differs is how
records and indexes are looked up and written. Neither knows cuts, forks,
deletes that arrive late or clones: what they leave out is in our disfavour.

SQLite gets what makes it fast here, found by trying: tables without row ids,
rows sorted before ``executemany``, a page cache larger than the data at 100 k,
and a write-ahead log of 64 MiB before a checkpoint. ``synchronous=FULL`` makes
a commit durable, as ours is.
"""

import sqlite3
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Any, Final, Protocol

import lmdb
from crowd import NETWORK, Crowd, author
from ingesting import Spent, folder, now_ms, taken

from unhush.identity.entry import (
    Entry,
    UnverifiedEntry,
    check_body,
    decode_body,
    does_vouch,
    parse_entry,
    stored_entry,
    verify_signature,
    vouch,
)
from unhush.storage.arrivals import Arrival
from unhush.storage.kinds import Body, Post, Profile, parse_body
from unhush.storage.schema import Table

Row = tuple[Any, ...]
CACHE_KB: Final = 256 * 1024
CHECKPOINT_PAGES: Final = 16 * 1024

# Every table of ours that this job writes, with the same columns, in the order of its key. A table is made only while
# ours is there, so that the rival never does more than we do.
TABLES: Final[dict[str, str]] = {
    "ids": "digest BLOB PRIMARY KEY, aid INTEGER",
    "slots": "log INTEGER, seq INTEGER, aid INTEGER, digest BLOB, PRIMARY KEY (log, seq)",
    "runs": "log INTEGER, low INTEGER, high INTEGER, PRIMARY KEY (log, low)",
    "posts": "account INTEGER, shelf INTEGER, time INTEGER, seq INTEGER, aid INTEGER, "
    "PRIMARY KEY (account, shelf, time, seq, aid)",
    "shelf_counts": "account INTEGER, shelf INTEGER, posts INTEGER, PRIMARY KEY (account, shelf)",
    "home": "time INTEGER, seq INTEGER, aid INTEGER, account INTEGER, PRIMARY KEY (time, seq, aid)",
    "threads": "root BLOB, time INTEGER, seq INTEGER, aid INTEGER, PRIMARY KEY (root, time, seq, aid)",
    "answers": "parent BLOB, time INTEGER, seq INTEGER, aid INTEGER, PRIMARY KEY (parent, time, seq, aid)",
    "reply_roots": "aid INTEGER PRIMARY KEY, root BLOB",
    "about": "tail BLOB PRIMARY KEY, answers INTEGER, strays INTEGER",
    "tags": "tag BLOB, time INTEGER, seq INTEGER, aid INTEGER, PRIMARY KEY (tag, time, seq, aid)",
    "activity": "time INTEGER, seq INTEGER, aid INTEGER, reason INTEGER, PRIMARY KEY (time, seq, aid, reason)",
    "profiles": "account INTEGER, time INTEGER, digest BLOB, aid INTEGER, PRIMARY KEY (account, time, digest)",
}


def is_ours(table: str) -> bool:
    return table.upper() in Table.__members__


@dataclass(frozen=True, slots=True)
class Judged:
    """One arrival that passed every check, and what its body says."""

    entry: Entry
    block: bytes
    body: bytes
    says: Body | None


class Rival(Protocol):
    """What it takes to do the job."""

    def begin(self, crowd: Crowd) -> None: ...
    def find_successor(self, entry: UnverifiedEntry) -> Entry | None: ...
    def store(self, items: Sequence[Judged]) -> None: ...
    def close(self) -> None: ...


def judge(items: Iterable[Arrival], find_successor: Callable[[UnverifiedEntry], Entry | None]) -> list[Judged]:
    """Parse strictly, hash, and verify one signature in each run; raises for anything that is wrong."""
    by_log: defaultdict[tuple[bytes, bytes], list[tuple[UnverifiedEntry, bytes, Any]]] = defaultdict(list)
    for item in items:
        entry = parse_entry(item.entry)
        assert item.body is not None
        check_body(entry.header, item.body)
        by_log[entry.account.bytes, entry.header.key.bytes].append((entry, item.body, decode_body(item.body)))
    judged: list[Judged] = []
    for group in by_log.values():
        group.sort(key=lambda each: each[0].header.seq, reverse=True)
        above: Entry | None = None
        run: list[Judged] = []
        for entry, body, fields in group:
            by = above if above is not None and above.header.prev == entry.cid else find_successor(entry)
            is_vouched = by is not None and does_vouch(by.header, by.account, entry)
            above = vouch(entry, by=by) if is_vouched and by is not None else verify_signature(entry, NETWORK)
            run.append(Judged(above, entry.block, body, parse_body(entry.header.kind, fields)))
        judged.extend(reversed(run))
    return judged


class Ledger:
    """What both rivals may keep in memory: numbers of accounts and logs, and who is followed."""

    def __init__(self, crowd: Crowd) -> None:
        people = [author(-1), *crowd.authors]
        self.number = {each.account.bytes: number for number, each in enumerate(people)}
        self.home = people[0].account
        self.last_aid = 0

    def rows(self, items: Sequence[Judged]) -> dict[str, list[Row]]:
        """The index rows of new records, by table; everybody is followed."""
        rows: dict[str, list[Row]] = {name: [] for name in TABLES}
        now = now_ms()
        for aid, item in enumerate(items, self.last_aid + 1):
            header, digest = item.entry.header, item.entry.cid.digest
            number, time_ms = self.number[item.entry.account.bytes], min(header.time, now)
            rows["ids"].append((digest, aid))
            rows["slots"].append((number, header.seq, aid, digest))
            match item.says:
                case Post():
                    at = (time_ms, header.seq, aid)
                    shelf = int(item.says.reply is not None)
                    rows["posts"].append((number, shelf, *at))
                    rows["shelf_counts"].append((number, shelf, 1))
                    rows["home"].append((*at, number))
                    if item.says.reply is not None:
                        root, parent = item.says.reply.root.digest[:16], item.says.reply.parent.digest[:16]
                        rows["threads"].append((root, *at))
                        rows["answers"].append((parent, *at))
                        rows["reply_roots"].append((aid, root))
                        rows["about"].append((parent, 1, int(root != parent)))
                    rows["tags"] += [(fold_tag(tag), *at) for tag in dict.fromkeys(item.says.tags)]
                    if self.home in item.says.mentions:
                        rows["activity"].append((*at, 1))
                case Profile():
                    rows["profiles"].append((number, time_ms, digest, aid))
        return rows


@cache
def fold_tag(tag: str) -> bytes:
    """What a tag is found by."""
    return sha256(unicodedata.normalize("NFKC", tag).casefold().encode()).digest()[:16]


def find_bursts(slots: list[Row]) -> Iterator[tuple[int, int, int]]:
    """Unbroken runs among new slots: log, lowest and highest seq."""
    at = 0
    slots = sorted(slots)
    while at < len(slots):
        log, low = slots[at][:2]
        high = low
        while at + 1 < len(slots) and slots[at + 1][:2] == (log, high + 1):
            at, high = at + 1, high + 1
        yield log, low, high
        at += 1


class Sqlite:
    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path / "rival.db", isolation_level=None)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"cache_size=-{CACHE_KB}",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            "temp_store=MEMORY",
            "mmap_size=1073741824",
        ):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute(
            "CREATE TABLE journal (aid INTEGER PRIMARY KEY, state INTEGER, seen INTEGER, entry BLOB, body BLOB)"
        )
        self._insert = {}
        for name, columns in TABLES.items():
            if is_ours(name):
                self._db.execute(f"CREATE TABLE {name} ({columns}) WITHOUT ROWID")
                marks = ", ".join("?" * len(columns.split(" PRIMARY KEY (")[0].rstrip(", ").split(", ")))
                self._insert[name] = f"INSERT INTO {name} VALUES ({marks})"
        for name, counts in (("about", ("answers", "strays")), ("shelf_counts", ("posts",))):
            if name in self._insert:
                add = ", ".join(f"{count} = {count} + excluded.{count}" for count in counts)
                self._insert[name] += f" ON CONFLICT DO UPDATE SET {add}"
        self._db.execute("CREATE TABLE follows (follower INTEGER, who BLOB PRIMARY KEY) WITHOUT ROWID")
        self._db.execute("CREATE TABLE deleted (target BLOB PRIMARY KEY, aid INTEGER) WITHOUT ROWID")

    def begin(self, crowd: Crowd) -> None:
        self._ledger = Ledger(crowd)
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO follows VALUES (0, ?)", [(each.account.digest,) for each in crowd.authors])
        self._db.execute("COMMIT")

    def find_successor(self, entry: UnverifiedEntry) -> Entry | None:
        log = self._ledger.number[entry.account.bytes]
        found = self._db.execute(
            "SELECT entry FROM slots JOIN journal USING (aid) WHERE log = ? AND seq = ?", (log, entry.header.seq + 1)
        ).fetchone()
        return stored_entry(found[0]) if found is not None else None

    def store(self, items: Sequence[Judged]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        digests = [item.entry.cid.digest for item in items]
        self._expect_none("ids", "digest", digests)
        self._expect_none("deleted", "target", digests)
        followed = {item.entry.account.digest for item in items}
        assert self._count("follows", "who", list(followed)) == len(followed)
        rows = self._ledger.rows(items)
        now = now_ms()
        self._db.executemany(
            "INSERT INTO journal VALUES (?, 0, ?, ?, ?)",
            ((aid, now, item.block, item.body) for aid, item in enumerate(items, self._ledger.last_aid + 1)),
        )
        for name, insert in self._insert.items():
            if name != "runs":
                self._db.executemany(insert, sorted(rows[name]))
        for log, low, high in find_bursts(rows["slots"]):
            self._join(log, low, high)
        self._db.execute("COMMIT")
        self._ledger.last_aid += len(items)

    def newest(self, count: int) -> list[Row]:
        """Of the home timeline, with what is stored of each."""
        return self._db.execute(
            "SELECT journal.* FROM home JOIN journal USING (aid) ORDER BY time DESC, seq DESC, home.aid DESC LIMIT ?",
            (count,),
        ).fetchall()

    def thread(self, root: bytes) -> list[Row]:
        return self._db.execute(
            "SELECT journal.* FROM threads JOIN journal USING (aid) WHERE root = ? ORDER BY time, seq, threads.aid",
            (root,),
        ).fetchall()

    def _expect_none(self, table: str, column: str, keys: list[bytes]) -> None:
        assert self._count(table, column, keys) == 0

    def _count(self, table: str, column: str, keys: list[bytes]) -> int:
        marks = ", ".join("?" * len(keys))
        query = f"SELECT count(*) FROM {table} WHERE {column} IN ({marks})"
        return int(self._db.execute(query, keys).fetchone()[0])

    def _join(self, log: int, low: int, high: int) -> None:
        """Neighbours must fit by ``prev``; the foreign check is one look-up at each end of a run."""
        below = self._db.execute("SELECT low FROM runs WHERE log = ? AND high = ?", (log, low - 1)).fetchone()
        above = self._db.execute("SELECT low, high FROM runs WHERE log = ? AND low = ?", (log, high + 1)).fetchone()
        if above is not None:
            self._db.execute("DELETE FROM runs WHERE log = ? AND low = ?", (log, above[0]))
            high = above[1]
        if below is not None:
            self._db.execute("UPDATE runs SET high = ? WHERE log = ? AND low = ?", (high, log, below[0]))
        else:
            self._db.execute("INSERT INTO runs VALUES (?, ?, ?)", (log, low, high))

    def close(self) -> None:
        self._db.close()


_U32: Final = Struct(">I")
_U64: Final = Struct(">Q")
_POSITION: Final = Struct(">QQQ")
_POST: Final = Struct(">IBQQQ")
_SHELF: Final = Struct(">IB")
_ONE: Final = Struct(">I")
_SLOT: Final = Struct(">IQ")
_HEAD: Final = Struct(">BQH")
_ABOUT: Final = Struct(">II")


class BareLmdb:
    """Sorted ``putmulti`` of the same rows and nothing else: what the format costs at least."""

    def __init__(self, path: Path) -> None:
        self._env = lmdb.open(str(path / "loop"), map_size=64 * 2**30, max_dbs=len(TABLES) + 1, lib_version=0)
        self._dbs = {name: self._env.open_db(name.encode()) for name in ("journal", *TABLES)}

    def begin(self, crowd: Crowd) -> None:
        self._ledger = Ledger(crowd)

    def find_successor(self, entry: UnverifiedEntry) -> Entry | None:
        with self._env.begin() as txn:
            key = _SLOT.pack(self._ledger.number[entry.account.bytes], entry.header.seq + 1)
            slot = txn.get(key, db=self._dbs["slots"])
            row = txn.get(slot[:8], db=self._dbs["journal"]) if slot else None
        if row is None:
            return None
        length = _HEAD.unpack_from(row)[2]
        return stored_entry(row[_HEAD.size : _HEAD.size + length])

    def store(self, items: Sequence[Judged]) -> None:
        now = now_ms()
        with self._env.begin(write=True) as txn:
            assert not any(txn.get(item.entry.cid.digest, db=self._dbs["ids"]) for item in items)
            rows = self._ledger.rows(items)
            self._put(
                txn,
                "journal",
                [
                    (_U64.pack(aid), _HEAD.pack(0, now, len(item.block)) + item.block + item.body)
                    for aid, item in enumerate(items, self._ledger.last_aid + 1)
                ],
                append=True,
            )
            self._put(txn, "ids", [(digest, _U64.pack(aid)) for digest, aid in rows["ids"]])
            self._put(
                txn, "slots", [(_SLOT.pack(log, seq), _U64.pack(aid) + cid) for log, seq, aid, cid in rows["slots"]]
            )
            self._put(txn, "posts", [(_POST.pack(*row), b"") for row in rows["posts"]])
            self._add(
                txn, "shelf_counts", _ONE, ((_SHELF.pack(who, shelf), by) for who, shelf, *by in rows["shelf_counts"])
            )
            self._put(txn, "home", [(_POSITION.pack(*row[:3]), _U32.pack(row[3])) for row in rows["home"]])
            for name in ("threads", "answers", "tags"):
                self._put(txn, name, [(what + _POSITION.pack(*at), b"") for what, *at in rows[name]])
            self._put(txn, "reply_roots", [(_U64.pack(aid), root) for aid, root in rows["reply_roots"]])
            self._put(
                txn, "activity", [(_POSITION.pack(*at) + bytes([reason]), b"") for *at, reason in rows["activity"]]
            )
            self._add(txn, "about", _ABOUT, ((tail, by) for tail, *by in rows["about"]))
            self._put(
                txn,
                "profiles",
                [(_SLOT.pack(who, at) + cid, _U64.pack(aid)) for who, at, cid, aid in rows["profiles"]],
            )
            for log, low, high in find_bursts(rows["slots"]):
                self._join(txn, log, low, high)
        self._ledger.last_aid += len(items)

    def _put(self, txn: Any, name: str, pairs: list[tuple[bytes, bytes]], *, append: bool = False) -> None:
        if is_ours(name):
            with txn.cursor(self._dbs[name]) as cursor:
                cursor.putmulti(pairs if append else sorted(pairs), append=append)

    def _add(self, txn: Any, name: str, row: Struct, rows: Iterable[tuple[bytes, list[int]]]) -> None:
        counts: dict[bytes, list[int]] = {}
        for key, numbers in rows if is_ours(name) else ():
            if key not in counts:
                held = txn.get(key, db=self._dbs[name])
                counts[key] = list(row.unpack(held)) if held else [0] * len(numbers)
            counts[key] = [before + number for before, number in zip(counts[key], numbers, strict=True)]
        self._put(txn, name, [(key, row.pack(*numbers)) for key, numbers in counts.items()])

    def _join(self, txn: Any, log: int, low: int, high: int) -> None:
        db = self._dbs["runs"]
        above = txn.get(_SLOT.pack(log, high + 1), db=db)
        if above is not None:
            txn.delete(_SLOT.pack(log, high + 1), db=db)
            high = _U64.unpack(above)[0]
        with txn.cursor(db) as cursor:
            placed = cursor.set_range(_SLOT.pack(log, low))
            if (cursor.prev() if placed else cursor.last()) and cursor.key()[:4] == _U32.pack(log):
                before, end = cursor.item()
                if _U64.unpack(end)[0] == low - 1:
                    txn.put(before, _U64.pack(high), db=db)
                    return
        txn.put(_SLOT.pack(log, low), _U64.pack(high), db=db)

    def close(self) -> None:
        self._env.close()


@dataclass(frozen=True)
class RivalSpent:
    """The whole job, and the part of it that only looks up and writes."""

    whole: Spent
    writing: Spent


def ingest_rival(make: Callable[[Path], Rival], crowd: Crowd, order: str) -> RivalSpent:
    """One round of the same job in a fresh database."""
    whole, writing = Spent(), Spent()
    with folder() as path:
        rival = make(path)
        rival.begin(crowd)
        for items in getattr(crowd, order)():
            with whole.measure(len(items)):
                judged = judge(items, rival.find_successor)
                with writing.measure(len(items)):
                    rival.store(judged)
        whole.disk_bytes = taken(path)
        rival.close()
    return RivalSpent(whole, writing)
