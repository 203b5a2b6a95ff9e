"""What a sync session is configured with."""

from dataclasses import dataclass

from unhush.gossip.proto import limits
from unhush.gossip.proto.fingerprints import AccountTree
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Own:
    """The account of this home, and the key by which its device writes: the log no other home may write."""

    account: Cid
    key: PublicKey


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Our side of one session; ``trusts_all`` if the person trusts this peer.

    A trusted peer is asked for all our interests, whatever it carries, and is served whatever it asks for,
    whatever we say we carry. Others learn only of what both sides name.
    """

    network: str
    agent: str
    trusts_all: bool = False
    depth: int = 50  # newest records of each log before any history: a first screen
    is_live: bool = True
    own: Own | None = None  # its log is not sent before the peer has shown what it holds of it
    window_bytes: int = limits.DEFAULT_WINDOW_BYTES
    listen: tuple[str, ...] = ()  # where we can be dialled, without our peer id; told in the hello
    # The accounts carried and wanted, of all sessions of this node, and what makes this session's fingerprints its own.
    # Whoever keeps the tree spoils or renews an account in it no later than the session hears that it ``Grew``.
    tree: AccountTree | None = None
    nonce: bytes = b""
    takes_runs: bool = True  # several runs in one frame; without it as versions before

    def __post_init__(self) -> None:
        if not limits.MIN_WINDOW_BYTES <= self.window_bytes <= limits.MAX_WINDOW_BYTES:
            raise ValueError(f"a window of {self.window_bytes} bytes is too small or too large")
        if len(self.listen) > limits.MAX_LISTEN:
            raise ValueError(f"at most {limits.MAX_LISTEN} addresses are told")

    @property
    def can_reconcile(self) -> bool:
        """Who trusts the peer asks and serves whatever either says it carries, so there is nothing to compare."""
        return self.tree is not None and len(self.nonce) == limits.NONCE_BYTES and not self.trusts_all
