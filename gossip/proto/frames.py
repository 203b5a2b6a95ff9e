"""The frames of a sync session: what they say (PROTOCOL §5).

A frame is a strict DAG-CBOR map with a ``type``. Unknown types and unknown
fields are skipped, so that version 1 can grow; a known frame that breaks its
own rules is a ``MalformedFrame``, the sender's fault. Once a frame value
exists, every bound it must keep has been checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from unhush.gossip.proto import limits
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey


class Reason(StrEnum):
    """Why an entry comes without its body."""

    WITHHELD = "withheld"
    DELETED = "deleted"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hello:
    """Who speaks, what it can take, and where it says it can be dialled."""

    network: str
    agent: str
    frame_bytes: int = limits.MAX_FRAME_LIMIT_BYTES
    state_bytes: int = limits.MAX_STATE_BYTES
    listen: tuple[str, ...] = ()
    nonce: bytes = b""  # if it can reconcile
    accounts: int = 0  # that it could reconcile
    takes_runs: bool = False  # it reads ``RunsFrame``


@dataclass(frozen=True, slots=True)
class Carries:
    """Accounts the sender now carries, or no longer does.

    ``again``: carried as before, but more was gained than is remembered, so that they should be asked for by name.
    ``sought``: not carried by the sender, who would know whether the receiver carries them.
    """

    add: tuple[Cid, ...] = ()
    drop: tuple[Cid, ...] = ()
    again: tuple[Cid, ...] = ()
    sought: tuple[Cid, ...] = ()


@dataclass(frozen=True, slots=True)
class WantedAccount:
    """One account asked for: everything of it that is not listed as held.

    ``tips`` says of logs which entry is held at the highest number named, ``forks`` from where on branches are.
    """

    account: Cid
    ops: tuple[Cid, ...] = ()
    logs: Mapping[PublicKey, Ranges] = field(default_factory=dict)
    depth: int = 0
    is_live: bool = True
    tips: Mapping[PublicKey, bytes] = field(default_factory=dict)
    forks: Mapping[PublicKey, int] = field(default_factory=dict)

    @property
    def cost(self) -> int:
        """What the other side is charged for remembering this, in the agreed units."""
        pieces = sum(len(held) for held in self.logs.values())
        return (
            limits.ACCOUNT_COST
            + limits.OPERATION_COST * len(self.ops)
            + limits.LOG_COST * len(self.logs)
            + limits.RANGE_COST * pieces
            + limits.TIP_COST * len(self.tips)
            + limits.FORK_COST * len(self.forks)
        )


@dataclass(frozen=True, slots=True)
class Want:
    """Accounts asked for (again: replaced) and no longer asked for; drops act first.

    ``is_all`` asks for what the journal gains in any account that both sides were found to carry.
    """

    accounts: tuple[WantedAccount, ...] = ()
    drop: tuple[Cid, ...] = ()
    is_all: bool = False

    @property
    def cost(self) -> int:
        """What the other side is charged for taking this up, in the agreed units."""
        return sum(wanted.cost for wanted in self.accounts)


Rows: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class RangesFrame:
    """Where two carriers compare what they hold; a row is the nibbles with which accounts begin, and of these

    ``parts``: the fingerprints of the 16 parts into which the next nibble divides them; ``lists``: each, as a piece of
    its digest and a fingerprint of its state; ``verdicts``: one byte for each that was listed. So many frames of the
    peer's are ``answered`` in full, with this one.
    """

    answered: int
    parts: Rows = ()
    lists: Rows = ()
    verdicts: Rows = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """An identity operation as it travels."""

    entry: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """A record of a log as it travels; without a body it says why."""

    entry: bytes
    body: bytes | None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Entries:
    """Identity operations, and a run of consecutive records of one log, ascending.

    ``is_beside`` if they are sent to show a fork: then several may stand at one number, and the receiver may hold
    others there.
    """

    account: Cid
    ops: tuple[Operation, ...] = ()
    key: PublicKey | None = None
    items: tuple[Item, ...] = ()
    is_beside: bool = False


@dataclass(frozen=True, slots=True)
class RunsFrame:
    """Several ``Entries`` at once, of any accounts, in the order they are to be taken in.

    The records of one of them ascend, and may leave numbers out. Only for a peer that said it takes them.
    """

    rows: tuple[Entries, ...]


@dataclass(frozen=True, slots=True)
class FindFrame:
    """Which account's inception is signed by this root key?"""

    root: PublicKey


@dataclass(frozen=True, slots=True)
class FoundFrame:
    """The inceptions held that this root key signed, each with its table that stands; none, if none is held."""

    root: PublicKey
    ops: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class PeersFrame:
    """Whom do you know?"""


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """Where a peer may be dialled, and which accounts it may carry (``carriage.py``); hearsay."""

    address: str
    carriage: bytes = b""


@dataclass(frozen=True, slots=True)
class KnownFrame:
    """Peers the sender is connected with, or was lately."""

    peers: tuple[KnownPeer, ...] = ()


@dataclass(frozen=True, slots=True)
class Points:
    """On the branch the sender shows of a log, these entries stand at these numbers, ascending."""

    account: Cid
    key: PublicKey
    at: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Need:
    """These records of an account are asked for."""

    n: int
    account: Cid
    ids: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class ThreadFrame:
    """What answers under a root is asked for; ``account`` wrote the root.

    ``held`` names what need not come, each by the start of its digest.
    """

    n: int
    root: Cid
    account: Cid
    held: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Concerning:
    """What concerns an account is asked for, the newest of it; ``held`` names what need not come."""

    n: int
    account: Cid
    held: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """An answer to question ``n``, or a part of it: records of one account, whichever devices wrote them.

    Each bears its own valid signature; ``ops`` say who may speak for the account, and ``profile`` is the record in
    which it says who it is. Without an account it only says that there is no more.
    """

    n: int
    account: Cid | None = None
    ops: tuple[Operation, ...] = ()
    items: tuple[Item, ...] = ()
    is_more: bool = False
    profile: Item | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """Records nobody asked for, of one account, that concern another which the peer carries."""

    about: Cid
    account: Cid
    ops: tuple[Operation, ...]
    items: tuple[Item, ...]
    profile: Item | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """So many more bytes of ``entries`` are welcome."""

    bytes: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything asked by the first ``wants`` want frames has been sent."""

    wants: int


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """Why the sender closes."""

    code: str
    text: str


Question: TypeAlias = Need | ThreadFrame | Concerning
Frame: TypeAlias = (
    Hello
    | Carries
    | Want
    | RangesFrame
    | Entries
    | RunsFrame
    | FindFrame
    | FoundFrame
    | PeersFrame
    | KnownFrame
    | Points
    | Question
    | Given
    | Offer
    | Credit
    | CaughtUp
    | ErrorFrame
)
