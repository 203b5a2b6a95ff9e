"""Freight: what goes to the peer for its credit, and the frame that is being filled with it.

A peer that takes several runs in one frame gets what was read at a time in one;
so pieces wait here, as rows, until the frame is full or nothing more is coming.
Whatever costs credit goes through here, in the order in which it was put.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import HandedOn
from unhush.gossip.proto.faults import CreditOverflow
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import Entries, Hello, Item, Operation, RunsFrame
from unhush.gossip.proto.lookups import Lookups
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.ownlog import OwnLog
from unhush.gossip.proto.pieces import FRAME_OVERHEAD, Placed, size_of_items, size_of_ops
from unhush.gossip.proto.ranges import NOTHING
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey


@dataclass(slots=True)
class _Row:
    """Something of an account that is to go with others in one frame."""

    account: Cid
    ops: tuple[Operation, ...] = ()
    key: PublicKey | None = None
    parts: list[tuple[Item, ...]] = field(default_factory=list)  # newest first
    lo: int = 0

    def entries(self) -> Entries:
        items = self.parts[0] if len(self.parts) == 1 else tuple(chain.from_iterable(reversed(self.parts)))
        return Entries(self.account, self.ops, self.key, items)


class Freight:
    """Everything that costs credit, of one session."""

    def __init__(self, outbox: Outbox, peer: Hello, own_log: OwnLog, lookups: Lookups, *, takes_runs: bool) -> None:
        """``own_log``: of its log it is told how far it left. ``lookups``: earned by what is sent."""
        self._outbox: Final = outbox
        self._frame_bytes: Final = min(peer.frame_bytes, limits.MAX_FRAME_LIMIT_BYTES)
        self._own_log: Final = own_log
        self._lookups: Final = lookups
        self._takes_runs: Final = takes_runs
        self._sent_bytes = 0
        self._rows: list[_Row] = []  # not in a frame yet
        self._rows_bytes = 0
        self._are_urgent = False
        self._left: list[HandedOn] = []  # of our own log, to be told when the rows went
        self.credit_bytes = 0  # what the peer is ready for

    def grant(self, size_bytes: int) -> None:
        """Take credit; raises ``CreditOverflow``."""
        self.credit_bytes += size_bytes
        if self.credit_bytes > limits.MAX_WINDOW_BYTES:
            raise CreditOverflow(f"{self.credit_bytes} bytes granted and unused")

    @property
    def has_rows(self) -> bool:
        """Whether something waits for what may go in the same frame."""
        return bool(self._rows)

    @property
    def is_only_ops(self) -> bool:
        """Whether no record is in the frame that is being filled."""
        return all(row.key is None for row in self._rows)

    @property
    def most_bytes(self) -> int:
        """The largest frame that credit and the peer allow."""
        return min(self.credit_bytes, self._frame_bytes)

    def find_room(self) -> int:
        """The largest frame that may go now, or what still fits in the one being filled; one nearly full is sent."""
        if self._rows_bytes >= limits.RUN_BYTES // 2 or len(self._rows) >= limits.MAX_RUNS:
            self.send_rows()
        return self.most_bytes - self._rows_bytes

    def put_ops(self, account: Cid, ops: tuple[Operation, ...]) -> None:
        """Operations that fit in the room there is."""
        if self._takes_runs:
            self._rows.append(_Row(account, ops, parts=[()]))
            self._rows_bytes += max(FRAME_OVERHEAD + size_of_ops(ops), limits.MIN_ENTRIES_COST)
        else:
            self._send_entries(Entries(account, ops))

    def put(self, account: Cid, key: PublicKey, piece: Sequence[Placed], *, is_beside: bool = False) -> None:
        """Records of a log that fit in the room there is; what is ``is_beside`` has a frame of its own."""
        items = tuple(item for _, item in piece)
        if self._takes_runs and not is_beside:
            self._put_items(account, key, items, piece)
        else:
            self._send_entries(Entries(account, (), key, items, is_beside))
        if self._own_log.is_it(account, key):
            left = NOTHING
            for seq, _ in piece:  # of two branches one number may come twice
                left = left.add(seq)
            self._left.extend(HandedOn(lo, hi) for lo, hi in left)
            if not self._rows:
                self._tell_left()

    def _put_items(self, account: Cid, key: PublicKey, items: tuple[Item, ...], piece: Sequence[Placed]) -> None:
        last = self._rows[-1] if self._rows else None
        if last is not None and (last.account, last.key) == (account, key) and piece[-1][0] < last.lo:
            last.parts.append(items)
            last.lo = piece[0][0]
            self._rows_bytes += size_of_items(items)
        else:
            self._rows.append(_Row(account, (), key, [items], piece[0][0]))
            self._rows_bytes += max(FRAME_OVERHEAD + size_of_items(items), limits.MIN_ENTRIES_COST)

    def hurry(self) -> None:
        """Somebody waits for what is being filled in."""
        self._are_urgent = True

    def send_rows(self) -> None:
        """Send the frame that was being filled."""
        if not self._rows:
            return
        rows = tuple(row.entries() for row in self._rows)
        is_plain = len(rows) == 1 and len(self._rows[0].parts) == 1
        self._rows, self._rows_bytes = [], 0
        self._send(encode_frame(rows[0] if is_plain else RunsFrame(rows)), len(rows))
        if self._are_urgent:
            self._outbox.hurry()
            self._are_urgent = False
        self._tell_left()

    def send_charged(self, payload: bytes) -> None:
        """Send what costs credit; the caller has looked at the room."""
        self.send_rows()
        self._send(payload)

    def note_left(self, seq: int) -> None:
        """An entry of our own log is in the frame that was sent last."""
        self._outbox.put(HandedOn(seq, seq))

    def take_sent_bytes(self) -> int:
        """Bytes sent for credit since this was last asked."""
        sent, self._sent_bytes = self._sent_bytes, 0
        return sent

    def _tell_left(self) -> None:
        for left in self._left:
            self._outbox.put(left)
        self._left.clear()

    def _send_entries(self, frame: Entries) -> None:
        self.send_charged(encode_frame(frame))

    def _send(self, payload: bytes, rows: int = 1) -> None:
        self.credit_bytes -= max(len(payload), rows * limits.MIN_ENTRIES_COST)
        assert self.credit_bytes >= 0, "a frame was cut too large for its credit"
        self._sent_bytes += len(payload)
        self._lookups.earn(len(payload))
        self._outbox.send_payload(payload)
