"""Two session machines joined in memory: a fake store each, a wire of bytes, and a driver that picks what
happens next, in a fixed order or as a seed decides."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import assert_never

from unhush.gossip.proto.actions import Action, CaughtUp, Close, Deliver, Read, ReadOps, ReadRun, ReadSummary, Send
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import (
    Committed,
    Event,
    Grew,
    InterestsChanged,
    Misframed,
    Opened,
    OpsRead,
    Received,
    RunRead,
    SummaryRead,
    Tick,
    Written,
)
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.frames import Entries, Frame, Item, Operation, parse_frame
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


def operation(name: str, body_bytes: int = 60) -> Operation:
    return Operation(item(key(name), 1).entry, bytes(body_bytes))


@dataclass
class Store:
    """Dicts of logs and operations, and a journal of what they gained."""

    logs: dict[Cid, dict[PublicKey, dict[int, Item]]] = field(default_factory=dict)
    ops: dict[Cid, dict[Cid, Operation]] = field(default_factory=dict)
    followers: list[Callable[[Grew], None]] = field(default_factory=list)

    def fill(self, account_: Cid, key_: PublicKey, seqs: Iterable[int], body_bytes: int = 60) -> None:
        for seq in seqs:
            self.put(account_, key_, item(key_, seq, body_bytes))

    def put(self, account_: Cid, key_: PublicKey, record: Item) -> bool:
        (seq,) = find_seqs(key_, [record.entry]) or [-1]
        assert seq >= 0
        log = self.logs.setdefault(account_, {}).setdefault(key_, {})
        before = log.get(seq)
        if before is not None and (before.body is not None or record.body is None):
            return False
        log[seq] = record
        self._tell(Grew(account_, key_, seq, cid_of(record.entry)))
        return True

    def put_op(self, account_: Cid, op: Operation) -> bool:
        ops = self.ops.setdefault(account_, {})
        cid = cid_of(op.entry)
        if cid in ops:
            return False
        ops[cid] = op
        self._tell(Grew(account_, None, 1, cid))
        return True

    def _tell(self, grew: Grew) -> None:
        for follower in self.followers:
            follower(grew)

    def held(self, account_: Cid, key_: PublicKey) -> Ranges:
        held = NOTHING
        for seq in sorted(self.logs.get(account_, {}).get(key_, {})):
            held = held.add(seq)
        return held

    def answer(self, read: Read) -> SummaryRead | OpsRead | RunRead:
        match read:
            case ReadSummary(account_):
                logs = {key_: self.held(account_, key_) for key_ in self.logs.get(account_, {})}
                return SummaryRead(account_, tuple(self.ops.get(account_, {})), logs)
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
    answers: deque[SummaryRead | OpsRead | RunRead] = field(default_factory=deque)
    unwritten: deque[bytes] = field(default_factory=deque)
    journal: deque[Grew] = field(default_factory=deque)
    ingest: deque[Deliver] = field(default_factory=deque)
    sent: list[Frame] = field(default_factory=list)
    caught_up: list[Cid] = field(default_factory=list)
    delivered: int = 0
    repeated: int = 0  # records that came though the store had them
    closed: Close | None = None
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
            case ReadSummary() | ReadOps() | ReadRun():
                assert not self.answers, "two reads outstanding"
                self.answers.append(self.store.answer(action))
            case Deliver():
                self.ingest.append(action)
            case CaughtUp(accounts):
                self.caught_up.extend(accounts)
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
        for record in delivery.items:
            assert delivery.key is not None
            self.delivered += 1
            self.repeated += not self.store.put(delivery.account, delivery.key, record)
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
        return [sent for sent in self.sent if isinstance(sent, Entries)]


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
        self.a = End("a", left, Session(a or config), lambda: self.now, keep_sent=keep_sent)
        self.b = End("b", right, Session(b or config), lambda: self.now, keep_sent=keep_sent)
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
