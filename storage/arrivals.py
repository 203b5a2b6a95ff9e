"""What comes to the ingest door, and what became of it."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from unhush.identity.cid import Cid
from unhush.storage.records import BodyState


class Welcome(Enum):
    """Why a record is taken in; all but the first also of accounts that are not carried here."""

    CARRIED = "carried"  # its account is
    CONCERNING = "concerning"  # it concerns an account that is: it was offered, or heard on the mesh
    ANSWERING = "answering"  # it answers in a conversation that was asked for
    ASKED = "asked"  # it was asked for itself
    INTRODUCING = "introducing"  # it says who wrote another that is taken in


class Arrival(NamedTuple):
    """An entry block as received, with its body or the sender's word why there is none."""

    entry: bytes
    body: bytes | None
    reason: BodyState = BodyState.UNKNOWN  # read only when there is no body
    account: Cid | None = None  # whose record the sender said it is; anybody's, if it said nothing
    may_be_vouched: bool = False  # the sender gave what follows it in its log before, or shows a fork
    welcome: Welcome = Welcome.CARRIED
    about: Cid | None = None  # the account it concerns, or the conversation it answers in, as the sender said


@dataclass(frozen=True, slots=True)
class Batch:
    """What one sender gave at once; stored in one commit. Identity operations may stand anywhere in it."""

    items: tuple[Arrival, ...]
    source: str  # for the log: a peer, a file
    wanted_only: bool = True  # from the network: only accounts carried here; from a file: everything


class Status(Enum):
    """What an arrival came to."""

    STORED = "stored"
    FILLED = "filled"  # the entry was here, its body came now
    KNOWN = "known"
    IGNORED = "ignored"  # nobody's fault: not carried here, not in force, too early
    REJECTED = "rejected"  # the sender's fault
    FAILED = "failed"  # ours: it could not be stored now, and must be given again


# Why a record is ignored whose device the operations held here do not list: one of them may be missing here.
NOT_LISTED: Final = "its device is not listed by the account"
# Why one is ignored whose author's clock runs ahead: it may come again.
TOO_EARLY: Final = "its time is more than ten minutes ahead"
# Why one is ignored whose account nobody here has heard of.
NO_INCEPTION: Final = "the account's inception is not held"
# Why one is ignored that stands apart from all that is held of a log in very many pieces.
IN_PIECES: Final = "its log is held in too many pieces already; what lies between them can still come"


class Outcome(NamedTuple):
    """What became of one arrival; ``error`` names the reason unless it was stored or known."""

    status: Status
    cid: Cid | None = None
    aid: int | None = None
    error: str = ""
