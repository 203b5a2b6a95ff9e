"""A record as the journal holds it: an entry, its body or why there is none, and when we first saw it."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final

from unhush.identity.cid import Cid, cid_of, cid_of_digest
from unhush.identity.entry import Entry, Place, glance, stored_entry
from unhush.identity.errors import IdentityError
from unhush.storage.errors import DamagedRow

AID_BYTES: Final = 8
_HEAD: Final = struct.Struct(">BQH")  # body state, first seen (Unix ms), length of the entry block


class BodyState(IntEnum):
    """Whether the body is here, and if not, the word for why."""

    PRESENT = 0
    UNKNOWN = 1  # nobody gave it to us yet
    WITHHELD = 2
    DELETED = 3
    MALFORMED = 4  # the bytes have the right hash and are no body


REASONS: Final = {state: state.name.lower() for state in BodyState if state is not BodyState.PRESENT}
STATE_OF_REASON: Final = {reason: state for state, reason in REASONS.items()}


@dataclass(frozen=True)  # no slots: the parsed entry is cached
class Record:
    """One row of the journal; ``aid`` is its local number."""

    aid: int
    block: bytes  # the entry block
    body: bytes | None
    body_state: BodyState
    seen_at_ms: int

    @staticmethod
    def of(aid: int, entry: Entry, body: bytes | None, body_state: BodyState, seen_at_ms: int) -> "Record":
        """As the constructor, for an entry that is parsed already."""
        made = _make(aid, entry.block, body, body_state, seen_at_ms)
        made.__dict__.update(entry=entry, cid=entry.cid)  # where the cached properties keep what they found
        return made

    @cached_property
    def entry(self) -> Entry:
        try:
            found = stored_entry(self.block)
        except IdentityError as exc:
            raise DamagedRow(self.aid, f"holds no entry: {exc}") from exc
        self.__dict__["cid"] = found.cid  # it was hashed for this already
        return found

    @cached_property
    def place(self) -> Place | None:
        """Where it stands in its log, without parsing all of it; None for an identity operation."""
        found = glance(self.block)
        if found is not None:
            return found
        header = self.entry.header
        if header.is_identity:
            return None
        return Place(self.account.bytes, header.key.bytes, header.seq, header.time, header.kind)

    @cached_property
    def cid(self) -> Cid:
        return cid_of(self.block)

    def know_digest(self, digest: bytes) -> None:
        """The sha2-256 of the block, for whoever has made it already: ``cid`` need not hash again."""
        self.__dict__.setdefault("cid", cid_of_digest(digest))

    @property
    def account(self) -> Cid:
        return self.entry.account

    @property
    def kind(self) -> str:
        return self.entry.header.kind

    @property
    def shown_at_ms(self) -> int:
        """Where the record stands in timelines: never later than we first saw it (PROTOCOL §2)."""
        return min(self.entry.header.time, self.seen_at_ms)

    def pack(self) -> bytes:
        return _HEAD.pack(self.body_state, self.seen_at_ms, len(self.block)) + self.block + (self.body or b"")


def _make(aid: int, block: bytes, body: bytes | None, body_state: BodyState, seen_at_ms: int) -> Record:
    """As the constructor, in half the time: rows are read by the thousand."""
    made = object.__new__(Record)
    made.__dict__.update(aid=aid, block=block, body=body, body_state=body_state, seen_at_ms=seen_at_ms)
    return made


_STATES: Final = tuple(BodyState)


def unpack_record(aid: int, row: bytes) -> Record:
    """Read a journal row; raises ``DamagedRow``."""
    try:
        state, seen_at_ms, length = _HEAD.unpack_from(row)
        body_state = _STATES[state]
    except (struct.error, IndexError) as exc:
        raise DamagedRow(aid, "is damaged") from exc
    end = _HEAD.size + length
    if len(row) < end:
        raise DamagedRow(aid, "is cut short")
    body = row[end:] if body_state is BodyState.PRESENT else None
    return _make(aid, row[_HEAD.size : end], body, body_state, seen_at_ms)
