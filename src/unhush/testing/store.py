"""A store in memory: what a virtual node holds, judged by the rules of PROTOCOL §2 and §3.

It answers every read of a session and takes in every delivery, as
``unhush.storage`` does on a disk: the trunk rule says who may speak, a record
is authentic by its own signature or by what follows it, a log shows the branch
seen first and keeps others beside it. It knows no cuts: an account here never
revokes a device. Whatever is committed survives a crash.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Protocol, assert_never

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import (
    Purpose,
    Read,
    ReadAsked,
    ReadBranches,
    ReadFound,
    ReadOps,
    ReadPoints,
    ReadRun,
    ReadSummary,
)
from unhush.gossip.proto.config import Own
from unhush.gossip.proto.events import (
    AskedRead,
    BranchesRead,
    Bundle,
    Concerns,
    Forked,
    FoundRead,
    Grew,
    OpsRead,
    PointsRead,
    ReadAnswer,
    RunRead,
    SummaryRead,
)
from unhush.gossip.proto.frames import Concerning, Item, Need, Operation, Question, Reason, ThreadFrame
from unhush.gossip.proto.ranges import NOTHING, Ranges
from unhush.identity.cid import Cid
from unhush.identity.entry import INCEPTION, Entry, UnverifiedEntry, does_vouch
from unhush.identity.keys import PublicKey
from unhush.identity.operations import OPEN, Op, Table
from unhush.identity.trunk import State, find_trunk, fold
from unhush.storage.kinds import Body, Follow, Post
from unhush.testing.ledger import concerned_by, find_body, find_entry, find_operation, is_body_of, is_signed_well
from unhush.testing.people import Person

# As in PROTOCOL §2.
MAX_AHEAD_MS: Final = 10 * 60 * 1000
MAX_BESIDE: Final = 64
TOO_EARLY: Final = "its time is more than ten minutes ahead"
NOT_LISTED: Final = "its device is not listed by the account"

# Records of strangers.
MAX_GUESTS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What one sender gave at once of one account."""

    account: Cid
    ops: tuple[Operation, ...] = ()
    items: tuple[Item, ...] = ()
    may_be_vouched: bool = False  # the sender gave what follows it before, or shows a fork
    reason: Question | Cid | None = None  # why it was given, if not because the account is carried
    profile: Item | None = None  # goes with what was given, for the sake of a name


@dataclass(slots=True)
class Taken:
    """What became of it."""

    new: int = 0
    is_faulty: bool = False
    is_early: bool = False  # a record of it is of a clock too far ahead of ours
    not_listed: bool = False  # an operation that says who wrote it may be missing here


@dataclass(slots=True)
class News:
    """What a store gained since it was last asked."""

    grown: list[Grew] = field(default_factory=list)
    forked: dict[tuple[Cid, PublicKey], Forked] = field(default_factory=dict)
    refolded: dict[Cid, None] = field(default_factory=dict)
    holes: dict[Cid, None] = field(default_factory=dict)  # accounts in whose logs an entry before a new one is missing
    concerning: list[Concerns] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.grown or self.concerning)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry shown of a log, and how much of it is held."""

    seq: int
    cid: Cid
    count: int


class NodeStore(Protocol):
    """What a virtual node needs of a store."""

    own: Own

    @property
    def clone_found(self) -> bool: ...
    def carried(self) -> frozenset[Cid]: ...
    def carry(self, account: Cid) -> None: ...
    def publish(self, body: Body, now_ms: int) -> Entry: ...
    def answer(self, read: Read) -> ReadAnswer: ...
    def ingest(self, arrivals: Arrivals, now_ms: int) -> Taken: ...
    def take_news(self) -> News | None: ...
    def has(self, cid: Cid) -> bool: ...
    def heads(self, account: Cid) -> dict[PublicKey, Head]: ...
    def forks(self, account: Cid) -> dict[PublicKey, int]: ...
    def incomplete(self) -> list[Cid]: ...
    def own_concerns(self) -> list[Concerns]: ...
    def newest_concerns(self) -> list[Concerns]: ...
    def known_of_ours(self) -> tuple[bytes, ...]: ...
    def put_handed_on(self, lo: int, hi: int) -> None: ...
    def announcement(self, cids: Sequence[Cid]) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]: ...
    def log_so_far(self) -> Arrivals: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class _Held:
    entry: UnverifiedEntry
    body: bytes | None

    @property
    def item(self) -> Item:
        return Item(self.entry.block, self.body, None if self.body is not None else Reason.UNKNOWN)

    @property
    def tip(self) -> bytes:
        return self.entry.cid.digest[: limits.TIP_BYTES]


@dataclass(slots=True)
class _Log:
    shown: dict[int, _Held] = field(default_factory=dict)
    runs: Ranges = NOTHING
    bodiless: set[int] = field(default_factory=set)
    beside: dict[Cid, _Held] = field(default_factory=dict)

    @property
    def fork(self) -> int | None:
        return min((held.entry.header.seq for held in self.beside.values()), default=None)

    def at(self, seq: int) -> Iterator[_Held]:
        held = self.shown.get(seq)
        if held is not None:
            yield held
        for held in self.beside.values():
            if held.entry.header.seq == seq:
                yield held


@dataclass(slots=True)
class _Account:
    ops: dict[Cid, Operation] = field(default_factory=dict)
    parsed: dict[Cid, Table | Op] = field(default_factory=dict)
    state: State | None = None
    logs: dict[PublicKey, _Log] = field(default_factory=dict)


class _Fate(Enum):
    NEW = auto()
    KNOWN = auto()
    REFUSED = auto()


class MemoryStore:
    """Of one person's home."""

    def __init__(self, person: Person) -> None:
        self.own = person.own
        self.clone_found = False
        self._person = person
        self._network = person.network
        self._accounts: dict[Cid, _Account] = {}
        self._where: dict[Cid, _Held] = {}
        self._guests: dict[Cid, _Held] = {}
        self._guest_ops: dict[Cid, tuple[Operation, ...]] = {}
        self._followed: dict[Cid, None] = {}
        self._handed_on = NOTHING
        self._unsaved = NOTHING
        self._news = News()
        self._put_operations(self.own.account, [(person.inception.entry.block, person.inception.body)])

    # --- writing -----------------------------------------------------------------------------------------

    def carried(self) -> frozenset[Cid]:
        return frozenset((self.own.account, *self._followed))

    def carry(self, account: Cid) -> None:
        """Carry an account without a follow record."""
        self._followed[account] = None

    def publish(self, body: Body, now_ms: int) -> Entry:
        """Write the next record of the own log."""
        log = self._log(self.own.account, self.own.key)
        head = log.shown[log.runs.pairs[-1][1]].entry if log.runs else None
        entry, block = self._person.write(
            body.kind, body.fields(), head=Entry(*head) if head is not None else None, time_ms=now_ms
        )
        self._put(log, _Held(UnverifiedEntry(*entry), block))
        if isinstance(body, Follow):
            self._followed[body.who] = None
        return entry

    def incomplete(self) -> list[Cid]:
        """Accounts with a hole in what is held of them, or whose inception is not here yet."""
        carried = sorted(self.carried())
        return [account for account in carried if self._is_incomplete(account)]

    def _is_incomplete(self, account: Cid) -> bool:
        found = self._accounts.get(account)
        if found is None:
            return True
        return any(log.runs and (len(log.runs) > 1 or log.runs.pairs[0][0] > 0) for log in found.logs.values())

    def own_concerns(self) -> list[Concerns]:
        """The newest of what we wrote that concerns others."""
        log = self._log(self.own.account, self.own.key)
        newest = [log.shown[seq] for seq in sorted(log.shown)[-limits.OWN_OFFERED :]]
        return [concerns for held in newest if (concerns := _concerns(held)) is not None]

    def newest_concerns(self) -> list[Concerns]:
        """Everything here that concerns others than its author, of whom it may be."""
        return [concerns for held in self._iter_all() if (concerns := _concerns(held)) is not None]

    def known_of_ours(self) -> tuple[bytes, ...]:
        """What is here of what concerns us, by the starts of ids."""
        return tuple(held.tip for held in self._iter_all() if self.own.account in _about(held))[: limits.MAX_HELD]

    def _iter_all(self) -> Iterator[_Held]:
        yield from self._where.values()
        yield from self._guests.values()

    def put_handed_on(self, lo: int, hi: int) -> None:
        """These numbers of the own log left; it is written down with the next commit."""
        self._unsaved = self._unsaved.add(lo, hi)

    def log_so_far(self) -> Arrivals:
        """All of the own log, as another home would be given it."""
        log = self._log(self.own.account, self.own.key)
        return Arrivals(self.own.account, (), tuple(log.shown[seq].item for seq in sorted(log.shown)))

    def restart(self) -> None:
        """The process died and begins anew: what was not written down yet is gone."""
        self._unsaved = NOTHING
        self._news = News()

    def close(self) -> None:
        """Nothing to release."""

    # --- taking in ---------------------------------------------------------------------------------------

    def ingest(self, arrivals: Arrivals, now_ms: int) -> Taken:
        self._handed_on = self._handed_on.union(self._unsaved)
        taken = Taken()
        if arrivals.account in self._followed or arrivals.account == self.own.account:
            self._take_operations(arrivals, taken)
            self._take_entries(arrivals, now_ms, taken)
        elif arrivals.reason is not None:
            self._take_guests(arrivals, now_ms, taken)
        return taken

    def _take_operations(self, arrivals: Arrivals, taken: Taken) -> None:
        fresh: list[tuple[bytes, bytes]] = []
        for op in arrivals.ops:
            entry = find_entry(op.entry)
            if entry is None or entry.account != arrivals.account:
                taken.is_faulty = True
            elif self._is_operation(op, entry):
                fresh.append((op.entry, op.body))
            else:
                taken.is_faulty = True
        taken.new += self._put_operations(arrivals.account, fresh)

    def _is_operation(self, op: Operation, entry: UnverifiedEntry) -> bool:
        return entry.header.is_identity and find_operation(op.entry, op.body, self._network) is not None

    def _put_operations(self, account: Cid, operations: Iterable[tuple[bytes, bytes]]) -> int:
        """Keep what counts by the trunk rule; how many of these do."""
        held = self._accounts.get(account) or _Account()
        parsed = dict(held.parsed)
        blocks = dict(held.ops)
        for block, body in operations:
            operation = find_operation(block, body, self._network)
            assert operation is not None
            parsed[operation.id] = operation
            blocks[operation.id] = Operation(block, body)
        trunk = find_trunk(account, parsed.values())
        if trunk is None or len(parsed) == len(held.parsed):
            return 0
        ids = trunk.ids()
        new = [cid for cid in parsed if cid in ids and cid not in held.parsed]
        held.parsed = {cid: operation for cid, operation in parsed.items() if cid in ids}
        held.ops = {cid: blocks[cid] for cid in held.parsed}
        held.state = fold(trunk)
        self._accounts[account] = held
        for cid in new:
            self._news.grown.append(Grew(account, None, 1 if cid != account else 0, cid))
            self._news.refolded[account] = None
        return len(new)

    def _take_entries(self, arrivals: Arrivals, now_ms: int, taken: Taken) -> None:
        """Newest first, so that each may vouch for the one it names; stored oldest first."""
        authentic: list[_Held] = []
        after: UnverifiedEntry | None = None
        for item in reversed(arrivals.items):
            entry = find_entry(item.entry)
            if entry is None or entry.account != arrivals.account or entry.header.is_identity:
                taken.is_faulty = True
                continue
            if item.body is not None and not is_body_of(item.entry, item.body):
                taken.is_faulty = True
                continue
            held = self._where.get(entry.cid)
            if held is not None and (held.body is not None or item.body is None):
                after = entry
                continue
            reason = self._why_not(entry, now_ms)
            is_vouched = after is not None and does_vouch(after.header, after.account, entry)
            if not is_vouched and held is None and not self._is_authentic(entry):
                taken.is_faulty |= not (reason or arrivals.may_be_vouched or self._is_in_hole(entry))
                continue
            if reason:
                taken.not_listed |= reason == NOT_LISTED
                taken.is_early |= reason == TOO_EARLY
                continue  # who is not stored vouches for nobody
            after = entry
            authentic.append(_Held(entry, item.body))
        for held in reversed(authentic):
            log = self._log(held.entry.account, held.entry.header.key)
            taken.new += self._put(log, held) is _Fate.NEW
            is_ours = (held.entry.account, held.entry.header.key) == (self.own.account, self.own.key)
            # Only this home may write its log: what comes of it from elsewhere was written by a copy, or before the
            # disk forgot it.
            self.clone_found |= is_ours

    def _why_not(self, entry: UnverifiedEntry, now_ms: int) -> str:
        account = self._accounts.get(entry.account)
        if account is None or account.state is None:
            return "the account's inception is not held"
        if entry.header.time > now_ms + MAX_AHEAD_MS:
            return TOO_EARLY
        return "" if account.state.cut_of(entry.header.key) == OPEN else NOT_LISTED

    def _is_authentic(self, entry: UnverifiedEntry) -> bool:
        """By what is held of its log, or by its own signature."""
        account = self._accounts.get(entry.account)
        log = account.logs.get(entry.header.key) if account is not None else None
        for held in log.at(entry.header.seq + 1) if log is not None else ():
            if does_vouch(held.entry.header, held.entry.account, entry):
                return True
        return is_signed_well(entry.block, self._network)

    def _is_in_hole(self, entry: UnverifiedEntry) -> bool:
        """We told of a hole with an entry above it: the sender may believe that it vouches for this one."""
        account = self._accounts.get(entry.account)
        log = account.logs.get(entry.header.key) if account is not None else None
        seq = entry.header.seq
        return log is not None and seq not in log.shown and any(True for _ in log.at(seq + 1))

    def _log(self, account: Cid, key: PublicKey) -> _Log:
        return self._accounts[account].logs.setdefault(key, _Log())

    def _put(self, log: _Log, new: _Held) -> _Fate:
        entry, seq = new.entry, new.entry.header.seq
        known = self._where.get(entry.cid)
        if known is not None:
            if known.body is not None or new.body is None:
                return _Fate.KNOWN
            known.body = new.body
            log.bodiless.discard(seq)
        elif seq not in log.shown and _fits(log, entry):
            log.shown[seq] = self._where[entry.cid] = new
            log.runs = log.runs.add(seq)
            if new.body is None:
                log.bodiless.add(seq)
            if seq and seq - 1 not in log.shown:
                self._news.holes[entry.account] = None
        else:
            # Beside the shown branch an entry must stand by itself: who vouches for it may find no room.
            if len(log.beside) >= MAX_BESIDE or not is_signed_well(entry.block, self._network):
                return _Fate.REFUSED
            log.beside[entry.cid] = self._where[entry.cid] = new
            fork = log.fork
            assert fork is not None
            self._news.forked[entry.account, entry.header.key] = Forked(entry.account, entry.header.key, fork)
        self._news.grown.append(Grew(entry.account, entry.header.key, seq, entry.cid))
        self._note_concerns(new)
        return _Fate.NEW

    def _note_concerns(self, held: _Held) -> None:
        concerns = _concerns(held)
        if concerns is not None:
            self._news.concerning.append(concerns)

    def _take_guests(self, arrivals: Arrivals, now_ms: int, taken: Taken) -> None:
        """Records of accounts that are not carried, if they are what they were given as; each stands by itself."""
        parsed = [find_operation(op.entry, op.body, self._network) for op in arrivals.ops]
        trunk = find_trunk(arrivals.account, [op for op in parsed if op is not None])
        state = fold(trunk) if trunk is not None else None
        for item in (*arrivals.items, *filter(None, [arrivals.profile])):
            entry = find_entry(item.entry)
            if entry is None or entry.account != arrivals.account or not is_signed_well(item.entry, self._network):
                taken.is_faulty = True
            elif item.body is None or not is_body_of(item.entry, item.body):
                taken.is_faulty |= item.body is not None
            elif (
                state is not None
                and state.cut_of(entry.header.key) == OPEN
                and entry.header.time <= now_ms + MAX_AHEAD_MS
                and entry.cid not in self._guests
                and len(self._guests) < MAX_GUESTS
            ):
                guest = _Held(entry, item.body)
                if item is not arrivals.profile and not self._is_reason(guest, arrivals.reason):
                    taken.is_faulty = True
                    continue
                self._guests[entry.cid] = guest
                self._guest_ops[arrivals.account] = arrivals.ops
                self._note_concerns(guest)
                taken.new += 1

    def _is_reason(self, guest: _Held, reason: Question | Cid | None) -> bool:
        match reason:
            case Need(ids=ids):
                return guest.entry.cid in ids
            case ThreadFrame(root=root):
                return _root_of(guest) == root
            case Concerning(account=account):
                return account in _about(guest)
            case Cid():
                return reason in _about(guest)
            case None:
                return False
            case _:
                assert_never(reason)

    # --- looking -----------------------------------------------------------------------------------------

    def take_news(self) -> News | None:
        if not self._news:
            return None
        news, self._news = self._news, News()
        return news

    def has(self, cid: Cid) -> bool:
        held = self._where.get(cid) or self._guests.get(cid)
        return held is not None and held.body is not None

    def heads(self, account: Cid) -> dict[PublicKey, Head]:
        found = self._accounts.get(account)
        logs = found.logs if found is not None else {}
        return {key: self._head(log) for key, log in logs.items() if log.runs}

    def _head(self, log: _Log) -> Head:
        seq = log.runs.pairs[-1][1]
        return Head(seq, log.shown[seq].entry.cid, len(log.shown) - len(log.bodiless))

    def forks(self, account: Cid) -> dict[PublicKey, int]:
        found = self._accounts.get(account)
        logs = found.logs if found is not None else {}
        return {key: fork for key, log in logs.items() if (fork := log.fork) is not None}

    def announcement(self, cids: Sequence[Cid]) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
        """The operations and records of our own that a hint would tell of."""
        ops = self._accounts[self.own.account].ops.values()
        records = [self._where[cid] for cid in cids]
        return [(op.entry, op.body) for op in ops], [(held.entry.block, held.body or b"") for held in records]

    # --- reads of a session ------------------------------------------------------------------------------

    def answer(self, read: Read) -> ReadAnswer:
        match read:
            case ReadSummary(account, purpose):
                return self._summary(account, purpose)
            case ReadOps(account, ids):
                found = self._accounts.get(account)
                ops = found.ops if found is not None else {}
                return OpsRead(account, tuple(ops[cid] for cid in ids if cid in ops))
            case ReadRun(account, key):
                return RunRead(account, key, tuple(self._run(read)))
            case ReadBranches(account, key):
                return BranchesRead(account, key, tuple(self._branches(account, key)))
            case ReadPoints(account, key, seqs):
                shown = self._shown(account, key)
                return PointsRead(account, key, {seq: shown[seq].tip for seq in seqs if seq in shown})
            case ReadFound(root):
                return FoundRead(root, tuple(self._inceptions(root)))
            case ReadAsked():
                return self._asked(read)
            case _:
                assert_never(read)

    def _summary(self, account: Cid, purpose: Purpose) -> SummaryRead:
        found = self._accounts.get(account)
        if found is None:
            return SummaryRead(account)
        logs: dict[PublicKey, Ranges] = {}
        tips: dict[PublicKey, tuple[int, bytes]] = {}
        forks: dict[PublicKey, int] = {}
        for key, log in found.logs.items():
            runs = log.runs
            if purpose is Purpose.WANT:
                if log.bodiless:
                    runs = runs.subtract(Ranges.of((seq, seq) for seq in sorted(log.bodiless)))
                if (account, key) == (self.own.account, self.own.key):
                    # Of our own log only what left may be held elsewhere.
                    runs = runs.subtract(runs.subtract(self._handed_on.union(self._unsaved)))
            logs[key] = runs
            if runs:
                seq = runs.pairs[-1][1]
                tips[key] = (seq, log.shown[seq].tip)
            if (fork := log.fork) is not None:
                forks[key] = fork
        return SummaryRead(account, tuple(found.ops), logs, tips, forks)

    def _shown(self, account: Cid, key: PublicKey) -> Mapping[int, _Held]:
        found = self._accounts.get(account)
        log = found.logs.get(key) if found is not None else None
        return log.shown if log is not None else {}

    def _run(self, read: ReadRun) -> list[Item]:
        """The newest unbroken run that fits."""
        shown = self._shown(read.account, read.key)
        taken: list[Item] = []
        room = read.max_bytes
        seq = min(read.hi, max(shown, default=-1))
        while seq >= read.lo:
            held = shown.get(seq)
            seq -= 1
            if held is None:
                if taken:
                    break
                continue
            room -= len(held.entry.block) + len(held.body or b"")
            if taken and room < 0:
                break
            taken.append(held.item)
        return taken[::-1]

    def _branches(self, account: Cid, key: PublicKey) -> list[Item]:
        found = self._accounts.get(account)
        log = found.logs.get(key) if found is not None else None
        if log is None or log.fork is None:
            return []
        held = [*log.beside.values()]
        if log.fork in log.shown:
            held.append(log.shown[log.fork])
        held.sort(key=lambda each: (each.entry.header.seq, each.entry.block))
        return [each.item for each in held]

    def _inceptions(self, root: PublicKey) -> Iterator[Operation]:
        for account in self._accounts.values():
            for cid, op in account.ops.items():
                entry = find_entry(op.entry)
                if entry is not None and entry.header.kind == INCEPTION and entry.header.key == root:
                    yield account.ops[cid]

    def _asked(self, read: ReadAsked) -> AskedRead:
        matching = self._matching(read.question)
        at = int.from_bytes(read.cursor, "big")
        step = matching[at : at + read.max_records]
        chosen: dict[Cid, list[Item]] = {}
        for held in step:
            chosen.setdefault(held.entry.account, []).append(held.item)
        at += len(step)
        return AskedRead(
            tuple(Bundle(account, self._ops_of(account), tuple(items)) for account, items in chosen.items()),
            at.to_bytes(8, "big") if at < len(matching) else None,
        )

    def _matching(self, question: Question) -> list[_Held]:
        match question:
            case Need(account=account, ids=ids):
                found = [held for held in self._iter_all() if held.entry.cid in ids]
                return [held for held in found if held.entry.account == account and held.body is not None]
            case ThreadFrame(root=root, held=known):
                return [held for held in self._iter_all() if _root_of(held) == root and held.tip not in known]
            case Concerning(account=account, held=known):
                return [held for held in self._iter_all() if account in _about(held) and held.tip not in known]
            case _:
                assert_never(question)

    def _ops_of(self, account: Cid) -> tuple[Operation, ...]:
        found = self._accounts.get(account)
        ops = tuple(found.ops.values()) if found is not None else self._guest_ops.get(account, ())
        return ops[: limits.MAX_GIVEN_OPS]


def _fits(log: _Log, entry: UnverifiedEntry) -> bool:
    """Whether neighbours, where they are held, name it and are named by it."""
    seq = entry.header.seq
    below, above = log.shown.get(seq - 1), log.shown.get(seq + 1)
    if below is not None and entry.header.prev != below.entry.cid:
        return False
    return above is None or above.entry.header.prev == entry.cid


def _about(held: _Held) -> tuple[Cid, ...]:
    """The accounts a record concerns besides its author's."""
    if held.body is None:
        return ()
    return concerned_by(held.entry.account, held.entry.header.kind, held.body)


def _concerns(held: _Held) -> Concerns | None:
    about = _about(held)
    return Concerns(held.entry.cid, held.entry.account, held.entry.header.key, about) if about else None


def _root_of(held: _Held) -> Cid | None:
    """The conversation a record says it answers in."""
    body = find_body(held.entry.header.kind, held.body) if held.body is not None else None
    return body.reply.root if isinstance(body, Post) and body.reply is not None else None
