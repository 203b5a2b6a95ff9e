"""Reconciling: two carriers of many accounts find where they differ, by comparing ranges and never by listing all.

Both have a tree of fingerprints (``fingerprints``). Whoever's nonce is lower
begins with the fingerprints of the 16 parts of everything. Who gets
fingerprints of 16 parts is silent about those that are equal to its own, and
of each that differs says more: of many accounts the fingerprints of its 16
parts, of few (or none) the accounts themselves, each with a fingerprint of its
state. Who gets such a list knows where the two differ, and answers which of it
it does not have equal. Every frame says how many of the peer's are answered in
full; when all are, on both sides, it is over. (Range-based set reconciliation:
A. Meyer, SRDS 2023; here the ranges are the prefixes of a radix tree.)

Fingerprints on the wire are short and keyed with both nonces, so nobody can
have prepared accounts that collide; by chance one pair in 2^48 does, and the
next session has another key. The peer knows the key, and gains nothing: who
wants to hold something back need not send it.

What is answered must have been asked: each part, once. So the work that a peer
can cause is no more than comparing the whole tree once.

Here and below, an account that was equal in a fingerprint that left or came at
some moment was equal then: what the journal gains later is pushed.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b, sha256
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.faults import MalformedFrame, RangesUnasked
from unhush.gossip.proto.fingerprints import BUCKET, EMPTY, FANOUT, AccountTree, Marks, cut_piece
from unhush.gossip.proto.frames import RangesFrame
from unhush.gossip.proto.outbox import Outbox
from unhush.identity.cid import Cid

ROOT: Final = b""
_ALL_PARTS: Final = (1 << FANOUT) - 1


class Verdict(IntEnum):
    """What became of a listed account, one byte each."""

    EQUAL = 0
    DIFFERS = 1
    UNKNOWN = 2  # not carried by who answers


@dataclass(slots=True)
class _Due:
    """A row to be sent."""

    prefix: bytes
    verdicts: bytes = b""  # of a list, if it answers one


@dataclass(slots=True)
class _Sent:
    """A frame with rows that the peer has not answered yet."""

    divided: list[bytes] = field(default_factory=list)
    listed: list[bytes] = field(default_factory=list)


class Reconciling:
    """One comparison of our tree with the peer's."""

    def __init__(self, tree: AccountTree, nonces: tuple[bytes, bytes], outbox: Outbox) -> None:
        """``nonces``: ours and the peer's, which differ."""
        self._tree: Final = tree
        self._outbox: Final = outbox
        self._key: Final = sha256(b"unhush/1/ranges" + min(nonces) + max(nonces)).digest()
        self._empty: Final = self._fingerprint(EMPTY)
        self._due: deque[_Due | int] = deque()  # a number: with it, that frame of the peer's is answered
        self._ready: RangesFrame | None = None
        self._divided: dict[bytes, int] = {}  # what we told the parts of: which may still be answered
        self._listed: dict[bytes, list[Cid]] = {}
        self._unanswered: deque[_Sent] = deque()
        self._answered = 0  # of our frames with rows
        self._received = 0  # frames with rows
        self._told = 0  # of those, answered in full
        self._is_begun = nonces[0] < nonces[1]
        if self._is_begun:
            self._due.append(_Due(ROOT))
        # Unless the contrary is shown.
        self.shared: Final = Marks(tree, is_full=True)
        self.equal: Final = Marks(tree, is_full=True)
        self.differing: Final[list[Cid]] = []

    @property
    def is_done(self) -> bool:
        """Whether both sides have said all; then ``shared`` are the accounts both carry, ``equal`` those of them that
        are in the same state, and ``differing`` the others."""
        return self._is_begun and not (self._due or self._ready or self._unanswered)

    # --- what comes --------------------------------------------------------------------------------------

    def received(self, frame: RangesFrame) -> None:
        """Compare; raises ``RangesUnasked`` or ``MalformedFrame``."""
        for prefix, verdicts in frame.verdicts:
            self._take_verdicts(prefix, verdicts)
        for prefix, fingerprints in frame.parts:
            self._claim(prefix)
            self._compare(prefix, fingerprints)
        for prefix, items in frame.lists:
            self._claim(prefix)
            self._compare_list(prefix, items)
        if frame.parts or frame.lists or frame.verdicts:
            self._received += 1
            self._due.append(self._received)
        self._take_answered(frame.answered)

    def _claim(self, prefix: bytes) -> None:
        """Every part is answered once, and only if we told its fingerprint."""
        if prefix == ROOT:
            if self._is_begun:
                raise RangesUnasked("a second beginning")
            self._is_begun = True
            return
        bit = 1 << prefix[-1]
        parts = self._divided.get(prefix[:-1], 0)
        if not parts & bit:
            raise RangesUnasked(f"the part {prefix.hex()} was not told, or was answered before")
        self._divided[prefix[:-1]] = parts & ~bit

    def _compare(self, prefix: bytes, fingerprints: bytes) -> None:
        size = limits.FINGERPRINT_BYTES
        for at, ours in enumerate(self._fingerprints(prefix)):
            theirs = fingerprints[at * size : (at + 1) * size]
            if theirs == ours:
                continue
            part = prefix + bytes((at,))
            if theirs == self._empty:
                self._only_ours(part)
            else:
                self._due.append(_Due(part))

    def _compare_list(self, prefix: bytes, items: bytes) -> None:
        size = limits.PIECE_BYTES
        known: set[Cid] = set()
        verdicts = bytearray()
        for at in range(0, len(items), 2 * size):
            found = self._tree.find(prefix, items[at : at + size])
            known.update(found)
            if not found:
                verdicts.append(Verdict.UNKNOWN)
            elif len(found) == 1 and self._state(found[0]) == items[at + size : at + 2 * size]:
                verdicts.append(Verdict.EQUAL)
                self.shared.add(found[0])
            else:  # or several may be meant
                verdicts.append(Verdict.DIFFERS)
                for account in found:
                    self._differs(account)
        self._only_ours(prefix, but=known)
        if any(verdicts):
            self._due.append(_Due(prefix, bytes(verdicts)))

    def _only_ours(self, prefix: bytes, but: set[Cid] | frozenset[Cid] = frozenset()) -> None:
        for account in self._tree.items(prefix):
            if account not in but:
                self._is_ours_alone(account)

    def _is_ours_alone(self, account: Cid) -> None:
        self.shared.discard(account)
        self.equal.discard(account)

    def _differs(self, account: Cid) -> None:
        self.shared.add(account)  # it may be new in the tree
        self.equal.discard(account)
        self.differing.append(account)

    def _take_verdicts(self, prefix: bytes, verdicts: bytes) -> None:
        accounts = self._listed.pop(prefix, None)
        if accounts is None or len(accounts) != len(verdicts):
            raise RangesUnasked(f"{len(verdicts)} verdicts on {prefix.hex()}, where not so many accounts were listed")
        for account, verdict in zip(accounts, verdicts, strict=True):
            if verdict == Verdict.DIFFERS:
                self._differs(account)
            elif verdict == Verdict.UNKNOWN:
                self._is_ours_alone(account)
            elif verdict != Verdict.EQUAL:
                raise MalformedFrame(f"ranges: {verdict} is no verdict")

    def _take_answered(self, answered: int) -> None:
        """What the peer was silent about in these frames is equal."""
        if not self._answered <= answered <= self._answered + len(self._unanswered):
            raise RangesUnasked(f"{answered} frames answered of {self._answered + len(self._unanswered)}")
        while self._answered < answered:
            sent = self._unanswered.popleft()
            self._answered += 1
            for prefix in sent.divided:
                del self._divided[prefix]
            for prefix in sent.listed:
                self._listed.pop(prefix, None)

    # --- what goes ---------------------------------------------------------------------------------------

    def flush(self, now: float) -> None:
        """Send what is due, as far as pace and stream allow."""
        while self._outbox.has_room and (self._ready or self._due):
            frame = self._ready = self._ready or self._make_frame()
            if not self._outbox.send_paced(frame, now):
                return
            self._ready = None

    def _make_frame(self) -> RangesFrame:
        """The next frame; what it asks is remembered from now on."""
        parts: list[tuple[bytes, bytes]] = []
        lists: list[tuple[bytes, bytes]] = []
        verdicts: list[tuple[bytes, bytes]] = []
        sent = _Sent()
        while self._due and len(parts) + len(lists) + len(verdicts) < limits.RANGES_PER_FRAME:
            due = self._due.popleft()
            if isinstance(due, int):
                self._told = due
            elif due.verdicts:
                verdicts.append((due.prefix, due.verdicts))
            elif due.prefix == ROOT or self._tree.count(due.prefix) > BUCKET:
                parts.append((due.prefix, b"".join(self._fingerprints(due.prefix))))
                self._divided[due.prefix] = _ALL_PARTS
                sent.divided.append(due.prefix)
            else:
                accounts = self._tree.items(due.prefix)
                lists.append((due.prefix, b"".join(self._item(due.prefix, account) for account in accounts)))
                if accounts:
                    self._listed[due.prefix] = accounts
                    sent.listed.append(due.prefix)
        while self._due and isinstance(self._due[0], int):
            self._told = self._due[0]
            self._due.popleft()
        if parts or lists or verdicts:
            self._unanswered.append(sent)
        return RangesFrame(self._told, tuple(parts), tuple(lists), tuple(verdicts))

    def _item(self, prefix: bytes, account: Cid) -> bytes:
        return cut_piece(account, prefix, limits.PIECE_BYTES) + self._state(account)

    def _fingerprints(self, prefix: bytes) -> list[bytes]:
        empty = self._empty
        return [self._fingerprint(part) if part != EMPTY else empty for part in self._tree.children(prefix)]

    def _fingerprint(self, part: bytes) -> bytes:
        return blake2b(part, digest_size=limits.FINGERPRINT_BYTES, key=self._key).digest()

    def _state(self, account: Cid) -> bytes:
        told = account.bytes + self._tree.state(account)
        return blake2b(told, digest_size=limits.PIECE_BYTES, key=self._key).digest()
