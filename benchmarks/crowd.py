"""A crowd to measure with: a thousand accounts and what they wrote, signed, the same in every run.

Signing a million records takes minutes, so what is made is kept in a cache
folder outside the repository and read back through a memory map. Records stand
there by author; in which order they reach a store is decided when they are read.
"""

import gc
import json
import mmap
import multiprocessing
import os
import tempfile
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Final

from unhush.identity.building import build_inception
from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import Value, encode
from unhush.identity.entry import Header, sign_entry, stored_entry
from unhush.identity.keys import SigningKey
from unhush.identity.operations import SignedOperation
from unhush.identity.words import Words
from unhush.storage.arrivals import Arrival

FORMAT: Final = 4  # of the cache; raise it when anything below makes other bytes
NETWORK: Final = "bench"
ACCOUNTS: Final = 1_000
BATCH_BYTES: Final = 2**20
START_MS: Final = 1_750_000_000_000
SPAN_MS: Final = 90 * 24 * 3600 * 1000  # all is written within this time
BURST: Final = 50, 100  # records of one account that come one after the other when a node catches up
MAKERS: Final = 2
RECENT: Final = 2_000  # posts that people still answer
VOCABULARY: Final = 30_000

# How often each kind is written, of a hundred records that are not the first of their log.
# "posts" is what the figures of other stores were measured with, and what the headline says.
MIXES: Final[dict[str, dict[str, int]]] = {
    "posts": {"post": 85, "reply": 15},
    "all": {"post": 50, "reply": 18, "react": 18, "repost": 5, "edit": 3, "delete": 1, "follow": 5},
}
TAGGED: Final = 0.2  # of the posts
MENTIONING: Final = 0.05
MENTIONING_HOME: Final = 0.005
TAGS: Final = tuple(f"tag{number}" for number in range(500))
EMOJI: Final = ("👍", "❤️", "😂", "🎉", "🤔")
THREAD_SEQ: Final = 5  # where accounts answer the one long thread, as many as there shall be replies
THREAD_REPLIES: Final = 1_000


@dataclass(frozen=True)
class Author:
    """One account with one device, whose keys follow from its number; number -1 is the home's own."""

    number: int
    key: SigningKey
    inception: SignedOperation

    @property
    def account(self) -> Cid:
        return self.inception.entry.account


def author(number: int) -> Author:
    seed, key = _seed(number), device_key(number)
    born = build_inception(
        Words(seed), device=key.public, name="laptop", time_ms=START_MS, salt=bytes(16), network=NETWORK
    )
    return Author(number, key, born)


def device_key(number: int) -> SigningKey:
    return SigningKey(sha256(_seed(number) + b"device").digest())


def _seed(number: int) -> bytes:
    return sha256(f"author {number}".encode()).digest()


def load_authors(count: int) -> list[Author]:
    """Authors 0…count - 1; deriving the keys of an account takes 7 ms, so inceptions are in the cache too."""
    path = cache_folder() / f"authors-{FORMAT}-{count}.json"
    if not path.exists():
        made = [author(number).inception for number in range(count)]
        _write_whole(path, json.dumps([[each.entry.block.hex(), each.body.hex()] for each in made]).encode())
    return [
        Author(number, device_key(number), SignedOperation(stored_entry(bytes.fromhex(block)), bytes.fromhex(body)))
        for number, (block, body) in enumerate(json.loads(path.read_bytes()))
    ]


def _write_whole(path: Path, data: bytes) -> None:
    """All or nothing, also if two runs make the same thing."""
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_bytes(data)
    partial.rename(path)


@dataclass(frozen=True)
class Made:
    """One record as its author signed it."""

    block: bytes
    body: bytes
    cid: Cid


class Log:
    """One account's log while it is written."""

    def __init__(self, who: Author) -> None:
        self.who = who
        self.seq = 0
        self.prev: Cid | None = None

    def append(self, kind: str, fields: dict[str, Value], salt: bytes, time_ms: int) -> Made:
        body = encode({"salt": salt, **fields})
        header = Header(
            account=self.who.account,
            key=self.who.key.public,
            seq=self.seq,
            prev=self.prev,
            time=time_ms,
            kind=kind,
            body=cid_of(body),
            size=len(body),
            identity=self.who.account if self.seq == 0 else None,
        )
        entry = sign_entry(self.who.key, header, NETWORK)
        self.seq, self.prev = self.seq + 1, entry.cid
        return Made(entry.block, body, entry.cid)

    def open(self) -> list[Made]:
        """The first two records of every log: a profile and a post, with no dice, so that every maker knows them."""
        name = f"author {self.who.number}"
        profile = self.append("profile", {"name": name, "bio": "", "links": [], "handles": []}, bytes(16), START_MS)
        post = self.append("post", {"text": f"hello, this is {name}"}, bytes(16), START_MS + 1)
        return [profile, post]


@dataclass(frozen=True)
class Said:
    """A post that others answer."""

    cid: Cid
    account: Cid
    root: Cid
    root_account: Cid


def long_thread() -> Said:
    """The post every account answers once: a thread of a thousand replies."""
    first = author(0)
    root = Log(first).open()[1].cid
    return Said(root, first.account, root, first.account)


class Maker:
    """Writes the logs of some authors side by side, in the order of time."""

    def __init__(self, authors: list[Author], mix: str, seed: int) -> None:
        self._dice = Random(seed)
        self._logs = [Log(each) for each in authors]
        self._accounts = [each.account for each in authors]
        self._home = author(-1).account
        self._thread = long_thread()
        self._kinds = list(MIXES[mix])
        self._weights = list(accumulate(MIXES[mix].values()))
        self._words, self._word_weights = vocabulary()
        self._recent: deque[Said] = deque(maxlen=RECENT)
        self._own: dict[int, list[Cid]] = {}

    def make(self, each: int) -> list[list[Made]]:
        made = [log.open() for log in self._logs]
        step = SPAN_MS // max(each, 1)
        for seq in range(2, each):
            for place, log in enumerate(self._logs):
                time_ms = START_MS + seq * step + self._dice.randrange(step)
                made[place].append(self._write(place, log, time_ms))
        return [records[:each] for records in made]

    def _write(self, place: int, log: Log, time_ms: int) -> Made:
        dice = self._dice
        kind = dice.choices(self._kinds, cum_weights=self._weights)[0] if self._recent else "post"
        said: Said | None = None
        if log.seq == THREAD_SEQ and log.who.number < THREAD_REPLIES:
            kind, said = "reply", self._thread
        name, fields = self._fields(place, kind, said or (dice.choice(self._recent) if self._recent else self._thread))
        made = log.append(name, fields, dice.randbytes(16), time_ms)
        if name == "post":
            root = said or (None if kind == "post" else self._answered)
            account = log.who.account
            here = (
                Said(made.cid, account, root.root, root.root_account)
                if root
                else Said(made.cid, account, made.cid, account)
            )
            self._recent.append(here)
            self._own.setdefault(place, []).append(made.cid)
        return made

    def _fields(self, place: int, kind: str, to: Said) -> tuple[str, dict[str, Value]]:
        own = self._own.get(place)
        if kind in ("edit", "delete") and not own:
            kind = "post"
        self._answered = to
        dice = self._dice
        match kind:
            case "reply":
                links: dict[str, Value] = {
                    "root": to.root,
                    "parent": to.cid,
                    "root_account": to.root_account,
                    "parent_account": to.account,
                }
                return "post", {"text": self._text(5, 12), "reply": links}
            case "react":
                return "react", {"to": to.cid, "account": to.account, "emoji": dice.choice(EMOJI)}
            case "repost":
                return "repost", {"of": to.cid, "account": to.account}
            case "edit":
                assert own
                return "edit", {"of": dice.choice(own), "text": self._text(15, 30)}
            case "delete":
                assert own
                return "delete", {"of": own.pop(dice.randrange(len(own)))}
            case "follow":
                return "follow", {"who": dice.choice(self._accounts)}
        return "post", self._post()

    def _post(self) -> dict[str, Value]:
        dice = self._dice
        fields: dict[str, Value] = {"text": self._text(15, 35)}
        if dice.random() < TAGGED:
            fields["tags"] = [dice.choice(TAGS) for _ in range(dice.randint(1, 3))]
        if dice.random() < MENTIONING:
            fields["mentions"] = [
                self._home if dice.random() < MENTIONING_HOME / MENTIONING else dice.choice(self._accounts)
            ]
        return fields

    def _text(self, least: int, most: int) -> str:
        count = self._dice.randint(least, most)
        return " ".join(self._dice.choices(self._words, cum_weights=self._word_weights, k=count))


def vocabulary() -> tuple[list[str], list[float]]:
    """Made-up words and their cumulated weights: the n-th is used 1/n as often as the first, as in real languages."""
    dice = Random(7)
    syllables = [head + tail for head in "bdfgklmnprstvz" for tail in ("a", "e", "i", "o", "u", "an", "er", "is", "ol")]
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        words["".join(dice.choices(syllables, k=dice.choice((1, 2, 2, 2, 3, 3, 4))))] = None
    return list(words), list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))


@dataclass(frozen=True)
class Crowd:
    """Signed records, by author; ``each`` of every author."""

    authors: list[Author]
    each: int
    _data: mmap.mmap
    _ends: "array[int]"  # for each record the ends of its entry and of its body in the data

    def __len__(self) -> int:
        return len(self.authors) * self.each

    @property
    def bytes(self) -> int:
        return self._ends[-1]

    @property
    def inceptions(self) -> list[Arrival]:
        return [Arrival(each.inception.entry.block, each.inception.body) for each in self.authors]

    def arrival(self, author: int, seq: int) -> Arrival:
        at = (author * self.each + seq) * 2
        start, middle, end = self._ends[at - 1] if at else 0, self._ends[at], self._ends[at + 1]
        return Arrival(self._data[start:middle], self._data[middle:end])

    def chained(self) -> Iterator[list[Arrival]]:
        """As a node that catches up gets it: bursts of one account's log, oldest first, in batches of 1 MiB."""
        dice = Random(1)
        bursts: list[list[tuple[int, int]]] = []
        for _ in self.authors:
            at, lengths = 0, []
            while at < self.each:
                length = min(dice.randint(*BURST), self.each - at)
                lengths.append((at, at + length))
                at += length
            bursts.append(lengths[::-1])
        turns = [number for number, lengths in enumerate(bursts) for _ in lengths]
        dice.shuffle(turns)
        return self._batches((number, seq) for number in turns for seq in range(*bursts[number].pop()))

    def separate(self) -> Iterator[list[Arrival]]:
        """Records whose chain cannot vouch: at most two of a log in a batch, far apart, and older ones first.

        Each log comes as two halves, so that batches have 1 MiB; where the halves meet, one record in each log is
        named by one that is held.
        """
        half = (self.each + 1) // 2
        pairs = (
            (number, seq) for low in range(half) for seq in (low, low + half) for number in range(len(self.authors))
        )
        return self._batches(((number, seq) for number, seq in pairs if seq < self.each), most=2 * len(self.authors))

    def _batches(self, order: Iterator[tuple[int, int]], most: int = 2**31) -> Iterator[list[Arrival]]:
        batch: list[Arrival] = []
        size = 0
        for number, seq in order:
            arrival = self.arrival(number, seq)
            assert arrival.body is not None
            length = len(arrival.entry) + len(arrival.body)
            if batch and (size + length > BATCH_BYTES or len(batch) == most):
                yield batch
                batch, size = [], 0
            batch.append(arrival)
            size += length
        if batch:
            yield batch


def cache_folder() -> Path:
    folder = Path(os.environ.get("UNHUSH_BENCH_CACHE") or Path(tempfile.gettempdir()) / f"unhush-bench-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def load_crowd(records: int, mix: str = "posts", accounts: int = ACCOUNTS) -> Crowd:
    """The crowd with that many records; made first, if it is not in the cache."""
    each = max(records // accounts, 2)
    stem = cache_folder() / f"crowd-{FORMAT}-{mix}-{accounts}x{each}"
    data, ends = stem.with_suffix(".bin"), stem.with_suffix(".ends")
    if not ends.exists():
        _make(accounts, each, mix, data, ends)
    table = array("Q")
    table.frombytes(ends.read_bytes())
    with data.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    crowd = Crowd(load_authors(accounts), each, view, table)
    gc.collect()
    gc.freeze()  # as a running node does: what it is made of need not be looked through again
    return crowd


def _make(accounts: int, each: int, mix: str, data: Path, ends: Path) -> None:
    share = -(-accounts // MAKERS)
    parts = [range(low, min(low + share, accounts)) for low in range(0, accounts, share)]
    load_authors(accounts)  # before there are two who would make them
    jobs = [(accounts, part, each, mix, str(data) + f".part{part.start}") for part in parts]
    with multiprocessing.get_context("spawn").Pool(MAKERS) as pool:
        lengths = pool.map(_make_part, jobs)
    with data.open("wb") as out:
        for *_, name in jobs:
            with Path(name).open("rb") as part_file:
                while chunk := part_file.read(2**20):
                    out.write(chunk)
            Path(name).unlink()
    table = array("Q", accumulate(length for part in lengths for length in part))
    _write_whole(ends, table.tobytes())


def _make_part(job: tuple[int, range, int, str, str]) -> "array[int]":
    accounts, numbers, each, mix, name = job
    os.nice(5)
    made = Maker(load_authors(accounts)[numbers.start : numbers.stop], mix, numbers.start).make(each)
    lengths: array[int] = array("L")
    with Path(name).open("wb") as out:
        for records in made:
            for record in records:
                out.write(record.block + record.body)
                lengths.extend((len(record.block), len(record.body)))
    return lengths
