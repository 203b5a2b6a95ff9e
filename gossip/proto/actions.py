"""What a sync session wants done, in order, by whoever drives it."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from unhush.gossip.proto.frames import Item, Operation
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey


class Purpose(Enum):
    """What a summary is read for."""

    WANT = auto()  # to tell the peer what we hold
    SERVE = auto()  # to find what the peer lacks


@dataclass(frozen=True, slots=True)
class Send:
    """Write this frame (its length goes before it), then report ``Written``."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class ReadSummary:
    """Answer with ``SummaryRead``."""

    account: Cid
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class ReadOps:
    """Answer with ``OpsRead``."""

    account: Cid
    ids: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class ReadRun:
    """Answer with ``RunRead``: the newest records of ``lo``…``hi``, entries and bodies together about
    ``max_bytes``, but one at least if there is any."""

    account: Cid
    key: PublicKey
    lo: int
    hi: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class ReadBranches:
    """Answer with ``BranchesRead``: what shows that a log is forked."""

    account: Cid
    key: PublicKey


@dataclass(frozen=True, slots=True)
class ReadPoints:
    """Answer with ``PointsRead``: which entries the shown branch has at these numbers."""

    account: Cid
    key: PublicKey
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadFound:
    """Answer with ``FoundRead``: inceptions this root key signed, each with the table that stands, 16 at most."""

    root: PublicKey


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give this to ingest, deliveries of one account in order, operations first; then report ``Committed``.

    What stands ``is_beside`` a branch goes after whatever was delivered before, or it might be taken for the branch
    seen first. Of a run that ``is_continued`` the peer gave before what names its last entry. Each entry of ``items``
    bears ``key`` and the next sequence number; that it belongs to ``account``, and everything else, is for ingest to
    check.
    """

    delivery_id: int
    account: Cid
    ops: tuple[Operation, ...]
    key: PublicKey | None
    items: tuple[Item, ...]
    wire_bytes: int
    is_beside: bool = False
    is_continued: bool = False


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All the peer had of these accounts when it was asked has been sent and committed."""

    accounts: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What the peer holds of the root key that was looked for; unchecked."""

    root: PublicKey
    ops: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class HandedOn:
    """Entries of our own log with these numbers, inclusive, are in the frame that was sent last."""

    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close the stream after writing what is queued; nothing more will come. A fault costs standing."""

    reason: str
    is_fault: bool


Read: TypeAlias = ReadSummary | ReadOps | ReadRun | ReadBranches | ReadPoints | ReadFound
Action: TypeAlias = Send | Read | Deliver | CaughtUp | Found | HandedOn | Close
