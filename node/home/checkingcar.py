"""The check of a CAR file, by whoever gets it, with no home and no network.

A CAR has no list of what should be in it. So it is taken in, through the doors
everything comes in by, into a store that is thrown away; what these doors
refuse is wrong with it, and so is a root that is not among its records.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from unhush.identity.cid import Cid
from unhush.identity.keys import self_test
from unhush.identity.statement import parse_statement
from unhush.identity.words import fingerprint
from unhush.node.config import wall_clock_ms
from unhush.node.home.files import STEP, independent_cid_check, opened_car
from unhush.storage.arrivals import Batch, Status
from unhush.storage.car import CarReader, is_car
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.room.tiers import Limits
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

Progress = Callable[[str, int], None]

# Of what fails, so much is named; the rest is counted.
MAX_NAMED: Final = 20
# The file bounds what is stored, and nobody else shares the room.
_NO_LIMITS: Final = Limits(stranger_bytes=2**50, strangers_together_bytes=2**50)
_NO_PICTURES: Final = "Pictures are in no CAR; a lifeboat takes them along."
_HOLDS: Final = frozenset((Status.STORED, Status.FILLED, Status.KNOWN))
_WHY: Final = {
    Took.EARLY: "its time is more than ten minutes ahead",
    Took.UNPROVEN: "by the operations in the file its key does not speak for its account",
    Took.UNASKED: "its account is not in the file, or has more of them than devices",
    Took.REJECTED: "its key did not sign it",
}


@dataclass(frozen=True, slots=True)
class CarReport:
    """What the check found; the file is good iff ``problem_count`` is 0."""

    accounts: tuple[Cid, ...]
    network: str
    records: int  # entries in the file, identity operations with them
    checked: int  # that hold
    bodies: int
    spare: int  # blocks that are neither an entry, nor the words of one, nor a card
    holes: int  # entries below the newest of a log that the file does not have
    cards: int
    checked_cards: int
    ended_cards: int  # of those that hold
    problem_count: int
    problems: tuple[str, ...]  # the first of them

    @property
    def ok(self) -> bool:
        return self.problem_count == 0

    @property
    def is_exact(self) -> bool:
        """Nothing stands around it."""
        return True

    def sentence(self) -> str:
        """The verdict, for people."""
        who = ", ".join(f"account {' '.join(fingerprint(each.digest))} ({each})" for each in self.accounts)
        cards = f"{self.checked_cards:,} of {self.cards:,} contact cards" if self.cards else "no contact card in it"
        said = f"{self.checked:,} of {self.records:,} records hold, {cards}; {who or 'no account'}."
        return f"{said} {_NO_PICTURES}" if self.ok else f"This file is not what was signed: {said}"

    def remarks(self) -> list[str]:
        """What fails, and what the person should know beside."""
        said = list(self.problems)
        if (more := self.problem_count - len(said)) > 0:
            said.append(f"and {more:,} more")
        if without := self.checked - self.bodies:
            said.append(f"{without:,} of the records are here without their words")
        if self.holes:
            said.append(f"{self.holes:,} earlier entries were not held by whoever made the file")
        if self.spare:
            said.append(
                f"{self.spare:,} of the blocks belong to no record: they, or what named them, are not as they were"
            )
        if self.ended_cards:
            said.append(f"{self.ended_cards:,} of the cards ended: what they say may be out of date")
        return said

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "car",
            "ok": self.ok,
            "accounts": [str(account) for account in self.accounts],
            "network": self.network,
            "records": self.records,
            "checked": self.checked,
            "bodies": self.bodies,
            "spare": self.spare,
            "holes": self.holes,
            "cards": self.cards,
            "checked_cards": self.checked_cards,
            "ended_cards": self.ended_cards,
            "problem_count": self.problem_count,
            "problems": list(self.problems),
        }


def is_car_file(path: Path) -> bool:
    """Whether a file begins as one; raises ``NotFound``, ``MalformedCar`` if it cannot be read."""
    with opened_car(path) as file:
        return is_car(file)


def check_car_file(
    path: Path, on_progress: Progress = lambda _what, _count: None, *, network: str = "main"
) -> CarReport:
    """Check a file; raises ``NotFound``, and ``MalformedCar`` for one that cannot be read to its end.

    ``network``: the one the signatures are for; a CAR does not say.
    """
    self_test()
    now_ms = wall_clock_ms()
    with (
        tempfile.TemporaryDirectory(prefix="unhush-check-") as folder,
        Store(Path(folder), network=network, clock_ms=lambda: now_ms, limits=_NO_LIMITS) as store,
        opened_car(path) as file,
    ):
        checking = _Checking(store, CarReader(file, independent_cid_check()))
        checking.take_records(on_progress)
        checking.take_cards(now_ms)
        with store.snapshot() as snapshot:
            return checking.report(snapshot, network)


class _Checking:
    """One file on its way into a store of its own."""

    def __init__(self, store: Store, reader: CarReader) -> None:
        self._store = store
        self._reader = reader
        self._records = self._bodies = self._checked = self._problem_count = 0
        self._problems: list[str] = []
        self._cards = 0
        self._ended = 0

    def take_records(self, on_progress: Progress) -> None:
        arrivals = self._reader.arrivals()
        while step := tuple(islice(arrivals, STEP)):
            self._bodies += sum(arrival.body is not None for arrival in step)
            for outcome in self._store.ingest(Batch(step, "a file", wanted_only=False)):
                self._records += 1
                if outcome.status in _HOLDS:
                    self._checked += 1
                else:
                    self._wrong(f"a record{f' ({outcome.cid})' if outcome.cid is not None else ''}: {outcome.error}")
            on_progress("records checked", self._records)

    def take_cards(self, now_ms: int) -> None:
        blocks = self._reader.cards()
        for block, took in zip(
            blocks, self._store.statements.take([*map(SignedStatement, blocks)], now_ms), strict=True
        ):
            if why := _WHY.get(took):
                self._wrong(f"a contact card: {why}")
                continue
            self._cards += 1
            self._ended += parse_statement(block).expires <= now_ms
        if (more := self._reader.contents.cards - len(blocks)) > 0:
            self._wrong(f"{more:,} contact cards are more than an account has devices, and were not looked at")

    def report(self, snapshot: Snapshot, network: str) -> CarReport:
        contents = self._reader.contents
        for root in contents.roots:
            if snapshot.record(root) is None:
                self._wrong(f"the first or the newest record of a log should be here, and is not: {root}")
        accounts = snapshot.accounts()
        if not accounts:
            self._wrong("no account is in this file")
        return CarReport(
            tuple(accounts),
            network,
            self._records,
            self._checked,
            sum(record.body is not None for record in snapshot.journal(0)),
            max(0, contents.blocks - self._records - self._bodies - contents.cards),
            sum(_holes(snapshot.runs(log)) for _, _, log in snapshot.logs()),
            contents.cards,
            self._cards,
            self._ended,
            self._problem_count,
            tuple(self._problems),
        )

    def _wrong(self, text: str) -> None:
        self._problem_count += 1
        if len(self._problems) < MAX_NAMED:
            self._problems.append(text)


def _holes(runs: Sequence[tuple[int, int]]) -> int:
    return runs[-1][1] + 1 - sum(high - low + 1 for low, high in runs) if runs else 0
