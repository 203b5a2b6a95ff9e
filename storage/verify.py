"""Verify: check everything held against its own hashes, signatures and chains, trusting no index.

A record is good if its stored bytes parse strictly, hash to the id they are
filed under, their body is the one the header names, and the entry is authentic
by its own signature or by the chain from a newer authentic entry.

What others did is no damage: a fork, a body that is none, one that was taken
back. It is counted apart.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.entry import UnverifiedEntry, check_body, does_vouch, parse_entry, verify_signature
from unhush.identity.errors import IdentityError
from unhush.identity.keys import PublicKey
from unhush.identity.operations import NOTHING, OPEN, Cut
from unhush.storage.errors import DamagedRow, StoreUnreadable
from unhush.storage.logs import Slot
from unhush.storage.records import BodyState, Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.standing import NONE


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    ``entries`` records were looked at, ``bad`` of them are wrong. ``missing`` entries and bodies may still come from
    peers. ``forks`` logs are forked, ``malformed`` bodies are none, ``dropped`` ones were taken back or withheld.
    """

    entries: int
    bad: int
    missing: int
    forks: int
    problems: tuple[str, ...] = ()  # the first of them, in words
    malformed: int = 0
    dropped: int = 0
    # Only a deep check looks at these: indexes that are not what the journal gives, and blobs that are not theirs.
    stale: tuple[str, ...] = ()
    bad_blobs: int = 0
    withheld: int = 0  # of those dropped, the ones that this node or whoever gave the record does without on purpose

    @property
    def is_damaged(self) -> bool:
        """Whether something here is not what was written; only that wants repair."""
        return bool(self.bad or self.stale or self.bad_blobs)

    @property
    def is_clean(self) -> bool:
        """Whether all that is known to exist is here and good."""
        return not (self.is_damaged or self.missing)


MAX_PROBLEMS: Final = 50  # named in words; the counts go on
_PROGRESS_EVERY: Final = 1000  # records between two words to whoever waits


def verify_store(
    snapshot: Snapshot,
    *,
    network: str,
    check_cid: Callable[[bytes, bytes], bool],
    on_progress: Callable[[int], None] = lambda _: None,
    every_signature: bool = False,
) -> Report:
    """Walk the whole journal and every log; see the module docstring.

    ``check_cid`` says of CID bytes and a block whether they belong together. With ``every_signature`` the chain vouches
    only for entries whose own signature does not hold.
    """
    walk = _Walk(snapshot, network, check_cid, every_signature=every_signature)
    for record in walk.journal():
        walk.check_record(record)
        if walk.entries % _PROGRESS_EVERY == 0:
            on_progress(walk.entries)
    for account in snapshot.accounts():
        walk.check_operations(account)
    for account, key, log in snapshot.logs():
        walk.check_log(_Log(account, key, log))
    return walk.report()


@dataclass(frozen=True, slots=True)
class _Log:
    """One log under its packed number; as text, what a problem calls it."""

    account: Cid
    key: PublicKey
    number: bytes

    def __str__(self) -> str:
        return f"log {self.account} {self.key}"

    def has(self, entry: UnverifiedEntry, slot: Slot) -> bool:
        """Whether the entry belongs where the slot is."""
        header = entry.header
        return (entry.account, header.key, header.seq) == (self.account, self.key, slot.seq)


class _Walk:
    """One verification under way and what it found so far."""

    def __init__(
        self, snapshot: Snapshot, network: str, check_cid: Callable[[bytes, bytes], bool], *, every_signature: bool
    ) -> None:
        self._snapshot = snapshot
        self._network = network
        self._check_cid = check_cid
        self._every_signature = every_signature
        self._problems: list[str] = []
        self.entries = self._bad = self._missing = self._forks = self._malformed = self._dropped = self._withheld = 0

    def report(self) -> Report:
        return Report(
            self.entries,
            self._bad,
            self._missing,
            self._forks,
            tuple(self._problems),
            malformed=self._malformed,
            dropped=self._dropped,
            withheld=self._withheld,
        )

    def journal(self) -> Iterator[Record]:
        """Every row that can be read; one that cannot is counted, and the walk goes on behind it."""
        since = 0
        while True:
            try:
                yield from self._snapshot.rows(since)
            except DamagedRow as exc:
                self.entries += 1
                self._find_bad(str(exc))
                since = exc.aid
            else:
                return

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
            self._count_bodiless(entry.cid, record.body_state)

    def _count_bodiless(self, cid: Cid, state: BodyState) -> None:
        """Only a body that nobody gave yet is missing; the others are as their authors, or peers, would have it."""
        if state is BodyState.UNKNOWN:
            self._missing += 1
        elif state is BodyState.MALFORMED:
            self._malformed += 1
        else:
            self._dropped += 1
            self._withheld += state is BodyState.WITHHELD
        self._say(f"{cid}: the body is not here ({state.name.lower()})")

    def _check_names(self, entry: UnverifiedEntry, record: Record) -> None:
        if not self._check_cid(entry.cid.bytes, record.block):
            raise StoreUnreadable("an independent reader gets another CID")
        if not self._is_filed(entry, record):
            raise StoreUnreadable(f"its id {entry.cid} leads elsewhere")
        if record.body is not None:
            check_body(entry.header, record.body)

    def _is_filed(self, entry: UnverifiedEntry, record: Record) -> bool:
        return self._snapshot.find_aid(entry.cid) == record.aid

    def check_operations(self, account: Cid) -> None:
        try:
            self._snapshot.operations(account)
        except DamagedRow:
            pass  # counted when the journal was walked
        except StoreUnreadable as exc:
            self._find_bad(str(exc))

    def check_log(self, log: _Log) -> None:
        runs = self._snapshot.runs(log.number)
        held = sum(high - low + 1 for low, high in runs)
        cut = self._snapshot.cut(log.account, log.key)
        last = runs[-1][1] if runs else -1
        if cut == OPEN:
            self._check_open(log, last, last + 1 - held)
        elif cut is not None and cut != NOTHING:
            self._check_cut(log, cut)
        count = self._check_chain(log)
        if count != held:
            self._find_bad(f"{log}: {held} entries are counted as held, {count} are there")

    def _check_open(self, log: _Log, last: int, lacking: int) -> None:
        if lacking:
            self._missing += lacking
            self._say(f"{log}: {lacking} {'entry is' if lacking == 1 else 'entries are'} missing below {last}")
        if beside := self._snapshot.count_beside(log.number):
            self._forks += 1
            self._say(f"{log}: {beside} entries of another branch")

    def _check_cut(self, log: _Log, cut: Cut) -> None:
        """What a cut leaves in force is found again by its links alone; what it made void is nobody's loss."""
        seq, wanted = cut[0], Cid(cut[1])
        while seq >= 0 and (entry := self._find_link(log, seq, wanted)) is not None:
            seq, wanted = seq - 1, entry.header.prev or wanted
        span = self._snapshot.span(log.account, log.key)
        low = span.low if span != NONE else cut[0] + 1
        if low != seq + 1:
            self._find_bad(f"{log}: shown from {low} on, links reach from its cut at {cut[0]} down to {seq + 1}")
        if seq >= 0:
            self._missing += seq + 1
            self._say(f"{log}: {seq + 1} entries below {seq + 1} are missing or unproven")

    def _find_link(self, log: _Log, seq: int, cid: Cid) -> UnverifiedEntry | None:
        try:
            record = self._snapshot.record(cid) if cid.is_dag_cbor else None  # a cut may name any block
            entry = parse_entry(record.block) if record is not None else None
        except (DamagedRow, IdentityError):
            return None
        if entry is None or entry.header.is_identity:
            return None
        if (entry.account, entry.header.key, entry.header.seq) != (log.account, log.key, seq):
            return None
        return entry

    def _check_chain(self, log: _Log) -> int:
        above: UnverifiedEntry | None = None
        count = 0
        for slot in self._snapshot.slots_down(log.number):
            count += 1
            above = self._check_slot(log, slot, above)
        return count

    def _check_slot(self, log: _Log, slot: Slot, above: UnverifiedEntry | None) -> UnverifiedEntry | None:
        """The entry in a slot if it is authentic, to vouch for the one below it."""
        try:
            record = self._snapshot.row(slot.aid)
            entry = parse_entry(record.block) if record is not None else None
        except (DamagedRow, IdentityError):
            return None  # counted when the journal was walked
        if record is None or entry is None or not log.has(entry, slot):
            self._find_bad(f"{log}: what should be at seq {slot.seq} is not there")
            return None
        if self._is_authentic(entry, above) or self._is_vouched_for_beside(log, entry):
            return entry
        if self._is_filed(entry, record):  # else counted when the journal was walked
            self._find_bad(f"{log}: entry {slot.seq} is not signed by its key")
        return None

    def _is_authentic(self, entry: UnverifiedEntry, above: UnverifiedEntry | None) -> bool:
        is_vouched = above is not None and does_vouch(above.header, above.account, entry)
        if is_vouched and not self._every_signature:
            return True
        try:
            verify_signature(entry, self._network)
        except IdentityError:
            return is_vouched
        return True

    def _is_vouched_for_beside(self, log: _Log, entry: UnverifiedEntry) -> bool:
        """Whether held links lead up from here to a signed entry of a branch that is not shown, or not any more."""
        waiting = [entry]
        while waiting:
            below = waiting.pop()
            for by in self._entries_at(log, below.header.seq + 1):
                if does_vouch(by.header, by.account, below):
                    if self._is_authentic(by, None):
                        return True
                    waiting.append(by)
        return False

    def _entries_at(self, log: _Log, seq: int) -> list[UnverifiedEntry]:
        try:
            return [parse_entry(record.block) for record in self._snapshot.records_at(log.number, seq)]
        except (DamagedRow, IdentityError):
            return []  # counted when the journal was walked

    def _find_bad(self, problem: str) -> None:
        self._bad += 1
        self._say(problem)

    def _say(self, problem: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
