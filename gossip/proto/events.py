"""What a sync session is told: by the stream, by the store, by the clock.

``Received``, ``Misframed``, ``Written`` and ``Closed`` come from the stream;
what ends in ``Read`` answers the one outstanding read; ``Grew``, ``Committed``,
``HoleSeen``, ``Refolded``, ``Forked`` and ``OwnChecked`` come from the store's
side; the rest from whoever runs the node.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.frames import Frame, Item, KnownPeer, Operation, Question
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Opened:
    """The stream is there; the first event of all."""


@dataclass(frozen=True, slots=True)
class Received:
    """A frame came; its payload, without the length, and what it says and its number of items if it was parsed."""

    payload: bytes
    parsed: tuple[Frame | None, int] | None = None


@dataclass(frozen=True, slots=True)
class Misframed:
    """The stream carries no frames; what the deframer raised. Nothing more can be read from it."""

    fault: SyncFault


@dataclass(frozen=True, slots=True)
class Written:
    """The stream took this many payload bytes of what ``Send`` gave; without it the session falls silent."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class InterestsChanged:
    """What we carry (and say so), and what we would like to hold; absolute sets, not changes."""

    carries: frozenset[Cid]
    interests: frozenset[Cid]


@dataclass(frozen=True, slots=True)
class SummaryRead:
    """What the store holds of an account; nothing, if it does not know it.

    ``tips`` is the newest entry shown of each log, as its number and the start of its digest; ``forks`` the lowest
    number at which branches of a log are held.
    """

    account: Cid
    ops: tuple[Cid, ...] = ()
    logs: Mapping[PublicKey, Ranges] = field(default_factory=dict)
    tips: Mapping[PublicKey, tuple[int, bytes]] = field(default_factory=dict)
    forks: Mapping[PublicKey, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpsRead:
    """The operations asked for, less those that are gone."""

    account: Cid
    ops: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class RunRead:
    """The newest records of the range asked for, ascending; empty only if the whole range is."""

    account: Cid
    key: PublicKey
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class BranchesRead:
    """Every entry held beside the shown branch of a log, and the shown one at the fork point, ascending by number."""

    account: Cid
    key: PublicKey
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class PointsRead:
    """The starts of the digests of the entries shown at the numbers asked for, as far as they are held."""

    account: Cid
    key: PublicKey
    at: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class FoundRead:
    """The inceptions held that a root key signed."""

    root: PublicKey
    ops: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """Records of one account that each stand by themselves, who may speak for it, and its profile."""

    account: Cid
    ops: tuple[Operation, ...]
    items: tuple[Item, ...]
    profile: Item | None = None


@dataclass(frozen=True, slots=True)
class AskedRead:
    """A step of what was asked for, one bundle for each account; ``cursor`` says where the next begins, None: no more.

    A step may find nothing though there is more.
    """

    bundles: tuple[Bundle, ...]
    cursor: bytes | None


ReadAnswer: TypeAlias = SummaryRead | OpsRead | RunRead | BranchesRead | PointsRead | FoundRead | AskedRead


@dataclass(frozen=True, slots=True)
class Grew:
    """The journal gained this record, from whomever; ``key`` is None for an identity operation."""

    account: Cid
    key: PublicKey | None
    seq: int
    cid: Cid


@dataclass(frozen=True, slots=True)
class LogGrew:
    """As ``Grew`` for many entries of a log at once, not all of them new perhaps."""

    account: Cid
    key: PublicKey
    seqs: Ranges


@dataclass(frozen=True, slots=True)
class Committed:
    """Ingest is done with a delivery; ``is_faulty`` if it proved the sender at fault."""

    delivery_id: int
    is_faulty: bool = False


@dataclass(frozen=True, slots=True)
class HoleSeen:
    """A hole showed in an account we want: it should be asked for anew."""

    account: Cid


@dataclass(frozen=True, slots=True)
class Refolded:
    """The operations we hold of an account changed, and with them what of it we want."""

    account: Cid


@dataclass(frozen=True, slots=True)
class Forked:
    """A log is known to be forked from this number on: a record came to stand beside its shown branch."""

    account: Cid
    key: PublicKey
    seq: int


@dataclass(frozen=True, slots=True)
class OwnChecked:
    """Whether the store has found that another home writes under our key, now that it holds what the peer held."""

    is_clean: bool


@dataclass(frozen=True, slots=True)
class Find:
    """Ask the peer for the account whose inception this root key signed."""

    root: PublicKey


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the peer this (its number is given when it goes); ``Answered`` will name the tag."""

    tag: int
    question: Question


@dataclass(frozen=True, slots=True)
class Concerns:
    """A record that is here concerns these accounts besides its author's."""

    cid: Cid
    account: Cid
    key: PublicKey
    about: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class AskForPeers:
    """Ask the peer whom it knows, once that is not too often."""


@dataclass(frozen=True, slots=True)
class TellPeers:
    """Whom the peer may be told of, now that it has asked."""

    peers: tuple[KnownPeer, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; about once a second will do."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream ended, from whichever side."""


Event: TypeAlias = (
    Opened
    | Received
    | Misframed
    | Written
    | InterestsChanged
    | ReadAnswer
    | Grew
    | LogGrew
    | Committed
    | HoleSeen
    | Refolded
    | Forked
    | OwnChecked
    | Find
    | Ask
    | Concerns
    | AskForPeers
    | TellPeers
    | Tick
    | Closed
)
