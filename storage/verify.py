"""Verify: check everything held against its own hashes, signatures and chains, trusting no index.

A record is good if its stored bytes parse strictly, hash to the id they are
filed under, their body is the one the header names, and the entry is authentic
by its own signature or by the chain from a newer authentic entry.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from unhush.identity.entry import UnverifiedEntry, check_body, does_vouch, parse_entry, verify_signature
from unhush.identity.errors import IdentityError
from unhush.storage.errors import StoreUnreadable
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Report:
    """``entries`` records looked at; ``bad`` of them wrong; ``missing`` entries and bodies; ``forks`` forked logs."""

    entries: int
    bad: int
    missing: int
    forks: int
    problems: tuple[str, ...] = ()  # the first of them, in words

    @property
    def is_clean(self) -> bool:
        return not (self.bad or self.missing or self.forks)


MAX_PROBLEMS: Final = 50  # named in words; the counts go on
_PROGRESS_EVERY: Final = 1000  # records between two words to whoever waits


def verify_store(
    snapshot: Snapshot,
    *,
    network: str,
    check_cid: Callable[[bytes, bytes], bool],
    on_progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Walk the whole journal and every log; see the module docstring."""
    walk = _Walk(snapshot, network, check_cid)
    for record in walk.journal():
        walk.check_record(record)
        if walk.entries % _PROGRESS_EVERY == 0:
            on_progress(walk.entries)
    for account, key, log in snapshot.logs():
        walk.check_log(f"{account} {key}", log)
    return walk.report()


class _Walk:
    """One verification under way and what it found so far."""

    def __init__(self, snapshot: Snapshot, network: str, check_cid: Callable[[bytes, bytes], bool]) -> None:
        self._snapshot = snapshot
        self._network = network
        self._check_cid = check_cid
        self._problems: list[str] = []
        self.entries = self._bad = self._missing = self._forks = 0

    def report(self) -> Report:
        return Report(self.entries, self._bad, self._missing, self._forks, tuple(self._problems))

    def journal(self) -> Iterator[Record]:
        try:
            yield from self._snapshot.journal(0)
        except StoreUnreadable as exc:
            self._find_bad(str(exc))

    def check_record(self, record: Record) -> None:
        self.entries += 1
        try:
            entry = parse_entry(record.block)
            self._check_names(entry, record)
            if entry.header.is_identity:
                verify_signature(entry, self._network)
        except (IdentityError, StoreUnreadable) as exc:
            self._find_bad(f"record {record.aid}: {exc}")
            return
        if record.body is None:
            self._missing += 1
            self._say(f"{entry.cid}: the body is not here ({record.body_state.name.lower()})")

    def _check_names(self, entry: UnverifiedEntry, record: Record) -> None:
        if not self._check_cid(entry.cid.bytes, record.block):
            raise StoreUnreadable("an independent reader gets another CID")
        if not self._is_filed(entry, record):
            raise StoreUnreadable(f"its id {entry.cid} leads elsewhere")
        if record.body is not None:
            check_body(entry.header, record.body)

    def _is_filed(self, entry: UnverifiedEntry, record: Record) -> bool:
        return self._snapshot.find_aid(entry.cid) == record.aid

    def check_log(self, name: str, log: bytes) -> None:
        runs = self._snapshot.runs(log)
        held = sum(high - low + 1 for low, high in runs)
        lacking = runs[-1][1] + 1 - held if runs else 0
        if lacking:
            self._missing += lacking
            self._say(f"log {name}: {lacking} entries are missing below {runs[-1][1]}")
        if beside := self._snapshot.count_beside(log):
            self._forks += 1
            self._say(f"log {name}: {beside} entries of another branch")
        count = self._check_chain(name, log)
        if count != held:
            self._find_bad(f"log {name}: {held} entries are counted as held, {count} are there")

    def _check_chain(self, name: str, log: bytes) -> int:
        above: UnverifiedEntry | None = None
        count = 0
        for record in self._snapshot.log_records_down(log):
            count += 1
            try:
                entry = parse_entry(record.block)
            except IdentityError:
                above = None  # counted when the journal was walked
                continue
            is_authentic = self._is_authentic(entry, above)
            if not is_authentic and self._is_filed(entry, record):
                self._find_bad(f"log {name}: entry {entry.header.seq} is not signed by its key")
            above = entry if is_authentic else None
        return count

    def _is_authentic(self, entry: UnverifiedEntry, above: UnverifiedEntry | None) -> bool:
        if above is not None and does_vouch(above.header, above.account, entry):
            return True
        try:
            verify_signature(entry, self._network)
        except IdentityError:
            return False
        return True

    def _find_bad(self, problem: str) -> None:
        self._bad += 1
        self._say(problem)

    def _say(self, problem: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
