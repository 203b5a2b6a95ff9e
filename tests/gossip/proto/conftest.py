"""Two session machines joined in memory: a fake store each, a wire of bytes, and a driver that picks what
happens next, in a fixed order or as a seed decides."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import assert_never

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import (
    Action,
    Answered,
    AskForOurs,
    CaughtUp,
    Close,
    Deliver,
    DeliverGiven,
    Found,
    Greeted,
    HandedOn,
    Noted,
    PeersAsked,
    PeersTold,
    Read,
    ReadAsked,
    ReadBranches,
    ReadFound,
    ReadOps,
    ReadPoints,
    ReadRun,
    ReadSummary,
    Reconciled,
    Send,
)
from unhush.gossip.proto.config import Own, SessionConfig
from unhush.gossip.proto.events import (
    AskedRead,
    BranchesRead,
    Bundle,
    Committed,
    Event,
    Forked,
    FoundRead,
    Grew,
    InterestsChanged,
    Misframed,
    Opened,
    OpsRead,
    OwnChecked,
    PointsRead,
    ReadAnswer,
    Received,
    RunRead,
    SummaryRead,
    Tick,
    Written,
)
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.frame_parsing import parse_frame
from unhush.gossip.proto.frames import (
    Concerning,
    Entries,
    Frame,
    Item,
    Need,
    Operation,
    RunsFrame,
    ThreadFrame,
)
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.position import find_seqs
from unhush.gossip.proto.ranges import NOTHING, Ranges
from unhush.gossip.proto.session import Session
from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import encode
from unhush.identity.keys import PublicKey


def account(name: str) -> Cid:
    return cid_of(name.encode())


def key(name: str) -> PublicKey:
    return PublicKey(cid_of(name.encode()).digest)


@lru_cache(maxsize=200_000)
def item(key_: PublicKey, seq: int, body_bytes: int = 60) -> Item:
    """A record that looks like one; nothing is signed, since the machines never ask."""
    body = bytes(body_bytes)
    header = {
        "account": None,
        "body": cid_of(body),
        "key": key_.bytes,
        "kind": "post",
        "prev": None,
        "seq": seq,
        "size": body_bytes,
        "time": 0,
    }
    return Item(encode([header, bytes(64)]), body)


# Which entry each entry made by ``chain`` names; others name none and fit anywhere.
PREVS: dict[bytes, bytes] = {}


def chain(key_: PublicKey, length: int, *, fork_at: int = 0, branch: int = 0) -> list[Item]:
    """A log whose entries name each other; those of one key are equal below ``fork_at`` whatever the branch."""
    made: list[Item] = []
    prev: Cid | None = None
    for seq in range(length):
        body = bytes(60 + (branch if seq >= fork_at else 0))
        header = {
            "account": None,
            "body": cid_of(body),
            "key": key_.bytes,
            "kind": "post",
            "prev": prev,
            "seq": seq,
            "size": len(body),
            "time": 0,
        }
        entry = encode([header, bytes(64)])
        if made:
            PREVS[entry] = made[-1].entry
        made.append(Item(entry, body))
        prev = cid_of(entry)
    return made


def tip_of(entry: bytes) -> bytes:
    return cid_of(entry).digest[: limits.TIP_BYTES]


def operation(name: str, body_bytes: int = 60) -> Operation:
    return Operation(item(key(name), 1).entry, bytes(body_bytes))


@dataclass
class Store:
    """Dicts of logs and operations, and a journal of what they gained."""

    logs: dict[Cid, dict[PublicKey, dict[int, Item]]] = field(default_factory=dict)
    beside: dict[tuple[Cid, PublicKey], list[tuple[int, Item]]] = field(default_factory=dict)
    ops: dict[Cid, dict[Cid, Operation]] = field(default_factory=dict)
    inceptions: dict[PublicKey, list[Operation]] = field(default_factory=dict)
    singles: dict[Cid, tuple[Cid, Item]] = field(default_factory=dict)  # records held for what they are, by id
    told: dict[Cid, list[Cid]] = field(default_factory=dict)  # what answers under a root, or concerns an account
    clone_found: bool = False
    followers: list[Callable[[Event], None]] = field(default_factory=list)

    def fill(self, account_: Cid, key_: PublicKey, seqs: Iterable[int], body_bytes: int = 60) -> None:
        for seq in seqs:
            self.put(account_, key_, item(key_, seq, body_bytes))

    def put_all(self, account_: Cid, key_: PublicKey, records: Iterable[Item]) -> None:
        for record in records:
            self.put(account_, key_, record)

    def put(self, account_: Cid, key_: PublicKey, record: Item) -> bool:
        (seq,) = find_seqs(key_, [record.entry]) or [-1]
        assert seq >= 0
        log = self.logs.setdefault(account_, {}).setdefault(key_, {})
        before = log.get(seq)
        if before is None and self._fits(log, seq, record):
            log[seq] = record
            self._tell(Grew(account_, key_, seq, cid_of(record.entry)))
            return True
        if before is None or before.entry != record.entry:
            return self._put_beside(account_, key_, seq, record)
        if before.body is not None or record.body is None:
            return False
        log[seq] = record
        self._tell(Grew(account_, key_, seq, cid_of(record.entry)))
        return True

    def _fits(self, log: dict[int, Item], seq: int, record: Item) -> bool:
        below, above = log.get(seq - 1), log.get(seq + 1)
        if below is not None and PREVS.get(record.entry, below.entry) != below.entry:
            return False
        return above is None or PREVS.get(above.entry, record.entry) == record.entry

    def _put_beside(self, account_: Cid, key_: PublicKey, seq: int, record: Item) -> bool:
        beside = self.beside.setdefault((account_, key_), [])
        if (seq, record) in beside or len(beside) >= 64:
            return False
        beside.append((seq, record))
        fork = self.fork_point(account_, key_)
        assert fork is not None
        self._tell(Grew(account_, key_, seq, cid_of(record.entry)))
        self._tell(Forked(account_, key_, fork))
        return True

    def fork_point(self, account_: Cid, key_: PublicKey) -> int | None:
        return min((seq for seq, _ in self.beside.get((account_, key_), [])), default=None)

    def at(self, account_: Cid, key_: PublicKey, seq: int) -> set[bytes]:
        """Every entry held at a number, of whichever branch."""
        shown = self.logs.get(account_, {}).get(key_, {}).get(seq)
        beside = {record.entry for at, record in self.beside.get((account_, key_), []) if at == seq}
        return beside | ({shown.entry} if shown is not None else set())

    def put_op(self, account_: Cid, op: Operation) -> bool:
        ops = self.ops.setdefault(account_, {})
        cid = cid_of(op.entry)
        if cid in ops:
            return False
        ops[cid] = op
        self._tell(Grew(account_, None, 1, cid))
        return True

    def _tell(self, event: Event) -> None:
        for follower in self.followers:
            follower(event)

    def held(self, account_: Cid, key_: PublicKey) -> Ranges:
        held = NOTHING
        for seq in sorted(self.logs.get(account_, {}).get(key_, {})):
            held = held.add(seq)
        return held

    def summary(self, account_: Cid) -> SummaryRead:
        shown = self.logs.get(account_, {})
        newest = {key_: max(log) for key_, log in shown.items() if log}
        forks = {key_: self.fork_point(account_, key_) for key_ in shown}
        return SummaryRead(
            account_,
            tuple(self.ops.get(account_, {})),
            {key_: self.held(account_, key_) for key_ in shown},
            {key_: (seq, tip_of(shown[key_][seq].entry)) for key_, seq in newest.items()},
            {key_: fork for key_, fork in forks.items() if fork is not None},
        )

    def put_single(self, account_: Cid, record: Item, *, under: Cid | None = None) -> Cid:
        cid = cid_of(record.entry)
        self.singles[cid] = account_, record
        if under is not None:
            self.told.setdefault(under, []).insert(0, cid)
        return cid

    def _asked(self, read: ReadAsked) -> AskedRead:
        match read.question:
            case Need(_, _, ids):
                cids = list(ids)
            case ThreadFrame(_, root, _, held):
                cids = [cid for cid in self.told.get(root, []) if cid.digest[: limits.TIP_BYTES] not in held]
            case Concerning(_, account_, held):
                cids = [cid for cid in self.told.get(account_, []) if cid.digest[: limits.TIP_BYTES] not in held]
        start = int.from_bytes(read.cursor)
        here = [self.singles[cid] for cid in cids[start : start + read.max_records] if cid in self.singles]
        by_account: dict[Cid, list[Item]] = {}
        for account_, record in here:
            by_account.setdefault(account_, []).append(record)
        bundles = (
            Bundle(account_, tuple(self.ops.get(account_, {}).values()), tuple(records))
            for account_, records in by_account.items()
        )
        end = start + read.max_records
        return AskedRead(tuple(bundles), end.to_bytes(4) if end < len(cids) else None)

    def answer(self, read: Read) -> ReadAnswer:
        match read:
            case ReadAsked():
                return self._asked(read)
            case ReadSummary(account_):
                return self.summary(account_)
            case ReadBranches(account_, key_):
                fork = self.fork_point(account_, key_)
                beside = list(self.beside.get((account_, key_), []))
                shown = self.logs.get(account_, {}).get(key_, {})
                if fork is not None and fork in shown:
                    beside.append((fork, shown[fork]))
                return BranchesRead(account_, key_, tuple(record for _, record in sorted(beside, key=lambda at: at[0])))
            case ReadPoints(account_, key_, seqs):
                log = self.logs.get(account_, {}).get(key_, {})
                return PointsRead(account_, key_, {seq: tip_of(log[seq].entry) for seq in seqs if seq in log})
            case ReadFound(root):
                return FoundRead(root, tuple(self.inceptions.get(root, ())))
            case ReadOps(account_, ids):
                ops = self.ops.get(account_, {})
                return OpsRead(account_, tuple(ops[cid] for cid in ids if cid in ops))
            case ReadRun(account_, key_, lo, hi, max_bytes):
                log = self.logs.get(account_, {}).get(key_, {})
                taken: list[Item] = []
                for seq in sorted((seq for seq in log if lo <= seq <= hi), reverse=True):
                    max_bytes -= len(log[seq].entry) + len(log[seq].body or b"")
                    if taken and max_bytes < 0:
                        break
                    taken.append(log[seq])
                return RunRead(account_, key_, tuple(reversed(taken)))
            case _:
                assert_never(read)


@dataclass
class End:
    """One node: a machine, its store, and what waits to happen to it."""

    name: str
    store: Store
    session: Session
    clock: Callable[[], float]
    to_peer: deque[bytes] = field(default_factory=deque)
    from_peer: deque[bytes] = field(default_factory=deque)
    answers: deque[ReadAnswer] = field(default_factory=deque)
    unwritten: deque[bytes] = field(default_factory=deque)
    journal: deque[Event] = field(default_factory=deque)
    ingest: deque[Deliver | DeliverGiven] = field(default_factory=deque)
    sent: list[Frame] = field(default_factory=list)
    own: Own | None = None
    caught_up: list[Cid] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    noted: list[Noted] = field(default_factory=list)
    ours_asked: int = 0
    about_peers: list[Greeted | PeersAsked | PeersTold] = field(default_factory=list)
    handed_on: Ranges = NOTHING
    delivered: int = 0
    repeated: int = 0  # records that came though the store had them
    closed: Close | None = None
    reconciled: Reconciled | None = None
    keep_sent: bool = True
    is_writing: bool = True
    is_committing: bool = True
    deframer: Deframer = field(default_factory=Deframer)

    def __post_init__(self) -> None:
        self.store.followers.append(self.journal.append)

    def feed(self, event: Event) -> list[Action]:
        actions = self.session.receive(event, self.clock())
        for action in actions:
            self._carry_out(action)
        return actions

    def _carry_out(self, action: Action) -> None:
        assert self.closed is None, f"{self.name}: {action} after close"
        match action:
            case Send(payload):
                if self.keep_sent:
                    sent = parse_frame(payload)
                    assert sent is not None
                    self.sent.append(sent)
                self.unwritten.append(payload)
            case ReadSummary() | ReadOps() | ReadRun() | ReadBranches() | ReadPoints() | ReadFound() | ReadAsked():
                self.answers.append(self.store.answer(action))
            case Deliver() | DeliverGiven():
                self.ingest.append(action)
            case Answered():
                self.answered.append(action)
            case AskForOurs():
                self.ours_asked += 1
            case Noted():
                self.noted.append(action)
            case CaughtUp(accounts):
                self.caught_up.extend(accounts)
                if self.own is not None and self.own.account in accounts:
                    self.journal.append(OwnChecked(is_clean=not self.store.clone_found))
            case Found():
                self.found.append(action)
            case Greeted() | PeersAsked() | PeersTold():
                self.about_peers.append(action)
            case HandedOn(lo, hi):
                self.handed_on = self.handed_on.add(lo, hi)
            case Reconciled():
                self.reconciled = action
            case Close():
                self.closed = action
            case _:
                assert_never(action)

    def interest(self, carries: Iterable[Cid] = (), interests: Iterable[Cid] = ()) -> None:
        self.feed(InterestsChanged(frozenset(carries), frozenset(interests)))

    # Each of these makes one thing happen, if it waits.

    def write(self) -> None:
        payload = self.unwritten.popleft()
        self.to_peer.append(frame(payload))
        self.feed(Written(len(payload)))

    def read_wire(self) -> None:
        try:
            payloads = self.deframer.feed(self.from_peer.popleft())
        except SyncFault as fault:
            self.feed(Misframed(fault))
            return
        for payload in payloads:
            self.feed(Received(payload))

    def answer_read(self) -> None:
        self.feed(self.answers.popleft())

    def commit(self) -> None:
        delivery = self.ingest.popleft()
        for op in delivery.ops:
            self.delivered += 1
            self.repeated += not self.store.put_op(delivery.account, op)
        if isinstance(delivery, DeliverGiven):
            for record in delivery.items:
                self.delivered += 1
                self.repeated += cid_of(record.entry) in self.store.singles
                self.store.put_single(delivery.account, record)
            self.feed(Committed(delivery.delivery_id))
            return
        for record in delivery.items:
            assert delivery.key is not None
            self.delivered += 1
            is_new = self.store.put(delivery.account, delivery.key, record)
            self.repeated += not is_new
            if is_new and self.own == Own(delivery.account, delivery.key):
                self.store.clone_found = True
                self.journal.append(OwnChecked(is_clean=False))
        self.feed(Committed(delivery.delivery_id))

    def hear_growth(self) -> None:
        self.feed(self.journal.popleft())

    def pending(self) -> list[Callable[[], None]]:
        due: list[tuple[object, Callable[[], None]]] = [
            (self.unwritten and self.is_writing, self.write),
            (self.answers, self.answer_read),
            (self.from_peer, self.read_wire),
            (self.ingest and self.is_committing, self.commit),
            (self.journal, self.hear_growth),
        ]
        return [act for waiting, act in due if waiting]

    def sent_entries(self) -> list[Entries]:
        """Runs that went together one by one."""
        frames = (sent.rows if isinstance(sent, RunsFrame) else (sent,) for sent in self.sent)
        return [row for rows in frames for row in rows if isinstance(row, Entries)]


class Pair:
    """Two ends on one wire."""

    def __init__(
        self,
        a: SessionConfig | None = None,
        b: SessionConfig | None = None,
        *,
        stores: tuple[Store, Store] | None = None,
        keep_sent: bool = True,
    ) -> None:
        self.now = 1000.0
        self.steps = 0
        config = SessionConfig(network="test", agent="test")
        left, right = stores or (Store(), Store())
        a, b = a or config, b or config
        self.a = End("a", left, Session(a), lambda: self.now, own=a.own, keep_sent=keep_sent)
        self.b = End("b", right, Session(b), lambda: self.now, own=b.own, keep_sent=keep_sent)
        self.a.from_peer = self.b.to_peer
        self.b.from_peer = self.a.to_peer

    def open(self) -> "Pair":
        self.a.feed(Opened())
        self.b.feed(Opened())
        return self

    def run(self, rng: Random | None = None, max_steps: int = 1_000_000) -> "Pair":
        """Let everything happen until nothing waits."""
        for _ in range(max_steps):
            pending = self.a.pending() + self.b.pending()
            if not pending:
                return self
            if rng is None:
                for act in pending:
                    act()
            else:
                rng.choice(pending)()
        raise AssertionError("the sessions never come to rest")

    def run_until(self, is_there: Callable[[], object]) -> "Pair":
        """One thing after the other, until the state looked for is there."""
        for _ in range(100_000):
            if is_there():
                return self
            pending = self.a.pending() + self.b.pending()
            if not pending:
                break
            pending[self.steps % len(pending)]()
            self.steps += 1
        raise AssertionError("the state looked for never came")

    def wait(self, seconds: float) -> "Pair":
        self.now += seconds
        for end in (self.a, self.b):
            end.feed(Tick())
        return self.run()
