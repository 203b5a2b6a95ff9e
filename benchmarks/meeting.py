"""What two carriers of very many accounts say to each other on meeting.

The machines alone, joined in memory, without sockets or disk: bytes and frames each way until both are at rest,
the time both machines take together, and what both remember. Run it with ``python benchmarks/meeting.py [ACCOUNTS…]``.
"""

import gc
import hashlib
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from report import Report

from unhush.gossip.proto.actions import Close, Deliver, ReadPoints, ReadRun, ReadSummary, Send
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import (
    Committed,
    InterestsChanged,
    Opened,
    PointsRead,
    Received,
    RunRead,
    SummaryRead,
    Tick,
    Written,
)
from unhush.gossip.proto.fingerprints import AccountTree, state_of
from unhush.gossip.proto.frames import Item
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.session import Session
from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import encode
from unhush.identity.keys import PublicKey

SIZES = (1_000, 10_000, 100_000)
RECORDS = 20  # held of each log
NOTE = (
    "Lists name every account carried, and every account wanted with what is held of it; ranges compare first. What is "
    "said is all but records. In lists a session remembers some 14,000 accounts carried and 4,600 wanted: what differs "
    "beyond is not found."
)


@dataclass
class Side:
    """A machine with the accounts it carries: one log each, of so many records."""

    held: dict[Cid, int]
    session: Session
    tree: AccountTree | None
    inbox: deque[bytes] = field(default_factory=deque)
    is_open: bool = True
    frames: int = 0
    control_bytes: int = 0
    entry_bytes: int = 0

    def feed(self, event: object, now: float, peer: "Side") -> None:
        due = deque([event])
        while due:
            for action in self.session.receive(due.popleft(), now):  # type: ignore[arg-type]  # one of the events
                answer = self._act(action, peer)
                if answer is not None:
                    due.append(answer)

    def _act(self, action: object, peer: "Side") -> object | None:
        match action:
            case Send(payload):
                self.frames += 1
                if b"gentries" in payload[:64]:
                    self.entry_bytes += len(payload)
                else:
                    self.control_bytes += len(payload)
                peer.inbox.append(payload)
                return Written(len(payload))
            case ReadSummary(account):
                return summary_of(account, self.held.get(account, 0))
            case ReadRun(account, key, lo, hi):
                items = tuple(item_of(key, seq) for seq in range(lo, min(hi, self.held[account] - 1) + 1))
                return RunRead(account, key, items)
            case ReadPoints(account, key):
                return PointsRead(account, key, {})
            case Deliver(account=account, delivery_id=number):
                self.held[account] = RECORDS
                return Committed(number)
            case Close(reason):
                print(f"closed: {reason}", file=sys.stderr)
                self.is_open = False
        return None


def account_of(number: int) -> Cid:
    return cid_of(b"account %d" % number)


def key_of(account: Cid) -> PublicKey:
    return PublicKey(hashlib.sha256(account.bytes).digest())


def summary_of(account: Cid, records: int) -> SummaryRead:
    if not records:
        return SummaryRead(account)
    key = key_of(account)
    tip = hashlib.sha256(b"%s %d" % (account.bytes, records)).digest()[:16]
    operation = cid_of(account.bytes)
    return SummaryRead(account, (operation,), {key: Ranges.span(0, records - 1)}, {key: (records - 1, tip)})


def item_of(key: PublicKey, seq: int) -> Item:
    body = bytes(100)
    header = {
        "account": None, "body": cid_of(body), "key": key.bytes, "kind": "post", "prev": None, "seq": seq, "size": 100,
        "time": 0,
    }  # fmt: skip
    return Item(encode([header, bytes(64)]), body)


def tree_of(held: dict[Cid, int], salt: int) -> AccountTree:
    tree = AccountTree(bytes([salt]))
    for account, records in held.items():
        summary = summary_of(account, records)
        tree.put(account, state_of(summary))
    return tree


def meet(
    left: dict[Cid, int], right: dict[Cid, int], *, with_tree: bool, is_traced: bool = False
) -> tuple[Side, Side, float, int]:
    """Two sides until rest: seconds of both machines together; if traced, bytes of memory both sessions hold then.

    The trees are there before, but not hashed: the first session of a node finds them so.
    """
    sides = []
    for number, held in enumerate((left, right)):
        tree = tree_of(held, number) if with_tree else None
        config = SessionConfig(network="main", agent="bench", tree=tree, nonce=bytes([number]) * 16)
        sides.append(Side(held, Session(config), tree))
    a, b = sides
    gc.collect()
    if is_traced:
        tracemalloc.start()
    started, now = time.perf_counter(), 0.0
    for side, peer in ((a, b), (b, a)):
        side.feed(Opened(), now, peer)
        accounts = frozenset(side.held)
        side.feed(InterestsChanged(accounts, accounts), now, peer)
    quiet = 0
    while quiet < 12:  # what is paced waits for the clock: ticks go on until nothing more comes of them
        while a.inbox or b.inbox:
            for side, peer in ((a, b), (b, a)):
                if side.inbox:
                    quiet = 0
                    side.feed(Received(side.inbox.popleft()), now, peer)
        quiet += 1
        now += 1.0
        for side, peer in ((a, b), (b, a)):
            side.feed(Tick(), now, peer)
    seconds = time.perf_counter() - started
    gc.collect()
    memory = 0
    if is_traced:
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    return a, b, seconds, memory


def cases(size: int) -> Iterable[tuple[str, dict[Cid, int], dict[Cid, int]]]:
    accounts = [account_of(number) for number in range(size)]
    whole = dict.fromkeys(accounts, RECORDS)
    behind = {account: RECORDS - (number % 100 == 0) for number, account in enumerate(accounts)}
    others = {account_of(size + number): RECORDS for number in range(size)}
    yield "equal", dict(whole), dict(whole)
    yield "1 % differ", dict(whole), behind
    yield "disjoint", dict(whole), others


def bench_meeting(sizes: Iterable[int] = SIZES) -> Report:
    report = Report("meeting", "Two carriers of many accounts of one log each meet; both machines in one process.")
    rows = []
    for size in sizes:
        for name, left, right in cases(size):
            for with_tree in (False, True):
                missing = sum(right.get(account, count) < count for account, count in left.items())
                *_, memory = meet(dict(left), dict(right), with_tree=with_tree, is_traced=True)
                a, b, seconds, _ = meet(dict(left), dict(right), with_tree=with_tree)
                lacking = sum(b.held.get(account, count) < count for account, count in a.held.items())
                said = a.control_bytes + b.control_bytes
                rows.append((
                    f"{size:,}", name, "ranges" if with_tree else "lists", f"{said / 1000:,.1f}",
                    f"{said / size:,.1f}", a.frames + b.frames, f"{seconds * 1000:,.0f}", f"{memory / 1e6:,.1f}",
                    f"{missing - lacking:,} of {missing:,}", "open" if a.is_open and b.is_open else "closed",
                ))  # fmt: skip
                print(*rows[-1], file=sys.stderr)
    heads = (
        "accounts", "case", "form", "kB said, both", "bytes an account", "frames", "ms, both", "MB held, both",
        "differences mended", "session",
    )  # fmt: skip
    report.table("What two carriers say", heads, rows, NOTE)
    return report


if __name__ == "__main__":
    print(bench_meeting(map(int, sys.argv[1:]) if sys.argv[1:] else SIZES).write())
