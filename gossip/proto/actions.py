"""What a sync session wants done, in order, by whoever drives it."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from unhush.gossip.proto.frames import Item, KnownPeer, Operation, Question
from unhush.gossip.proto.tally import Met
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
class ReadAsked:
    """Answer with ``AskedRead``: what there is of a question, from where ``cursor`` says, as much as one step takes.

    At most ``max_records``, and about ``max_bytes`` of them, but one at least if there is any.
    """

    question: Question
    cursor: bytes
    max_records: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class DeliverGiven:
    """Give these records of one account to ingest, operations first; then report ``Committed``.

    ``reason``: the question they answer, or the account that they were offered as concerning. That they do is for
    ingest to check, with everything else. ``profile`` goes with the records, for the sake of a name.
    """

    delivery_id: int
    account: Cid
    ops: tuple[Operation, ...]
    items: tuple[Item, ...]
    reason: Question | Cid
    profile: Item | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The question with this tag is answered and what came is committed; or nothing more is waited for."""

    tag: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class AskForOurs:
    """The peer carries our account: ask it what concerns us, by an ``Ask`` that names what we know of that."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A bound was met that ends nothing: count it."""

    met: Met


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give this to ingest, deliveries of one account in order, operations first; then report ``Committed``.

    What stands ``is_beside`` a branch goes after whatever was delivered before, or it might be taken for the branch
    seen first. Of what ``is_continued`` the peer gave before what names its last entry. The entries of ``items`` bear
    ``key`` and ascending sequence numbers; that it belongs to ``account``, and everything else, is for ingest to
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
    is_news: bool = True  # the peer has given all it had of the account before


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All the peer had of these accounts when it was asked has been sent and committed."""

    accounts: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What both carry was compared; so many accounts are not in the same state. Of the others all the peer had is here.

    What differs follows as ``CaughtUp``.
    """

    differing: int


@dataclass(frozen=True, slots=True)
class Found:
    """What the peer holds of the root key that was looked for; unchecked."""

    root: PublicKey
    ops: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Greeted:
    """The session is open; where the peer says it can be dialled, unchecked."""

    listen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeersAsked:
    """The peer asks whom we know; report ``TellPeers``."""


@dataclass(frozen=True, slots=True)
class PeersTold:
    """Whom the peer says it knows; hearsay."""

    peers: tuple[KnownPeer, ...]


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


Read: TypeAlias = ReadSummary | ReadOps | ReadRun | ReadBranches | ReadPoints | ReadFound | ReadAsked
Action: TypeAlias = (
    Send
    | Read
    | Deliver
    | DeliverGiven
    | CaughtUp
    | Reconciled
    | Found
    | Answered
    | AskForOurs
    | Greeted
    | PeersAsked
    | PeersTold
    | HandedOn
    | Noted
    | Close
)
