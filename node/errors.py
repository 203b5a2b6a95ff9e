"""The errors a caller of the node may meet, in one place: the node's own, and those it passes on."""

from unhush.identity.errors import (
    BadWords,
    CryptoSelfTestFailed,
    IdentityError,
    MalformedCid,
    UnhushError,
    VerificationError,
)
from unhush.storage.errors import (
    HomeInUse,
    KeyFileError,
    MalformedCar,
    MalformedRecord,
    NoAccount,
    NotFound,
    StorageError,
    StoreFull,
    StoreUnreadable,
    WritingRefused,
)

__all__ = [
    "AccountExists",
    "BadConfig",
    "BadWords",
    "CryptoSelfTestFailed",
    "HomeInUse",
    "IdentityError",
    "KeyFileError",
    "MalformedCar",
    "MalformedCid",
    "MalformedRecord",
    "NetworkFailed",
    "NoAccount",
    "NodeError",
    "NotFound",
    "NotRunning",
    "StorageError",
    "StoreFull",
    "StoreUnreadable",
    "UnhushError",
    "VerificationError",
    "WritingRefused",
]


class NodeError(UnhushError):
    """Something about the node as a whole."""


class BadConfig(NodeError):
    """A setting that cannot be."""


class AccountExists(NodeError):
    """This home has an account already."""


class NotRunning(NodeError):
    """No node runs on this home, and what was asked needs one."""


class NetworkFailed(NodeError):
    """The network could not start."""
