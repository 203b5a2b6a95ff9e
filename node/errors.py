"""The errors a caller of the node may meet, in one place: the node's own, and those it passes on."""

from unhush.identity.cid import Cid
from unhush.identity.errors import (
    BadWords,
    CryptoSelfTestFailed,
    IdentityError,
    MalformedCid,
    MalformedOperation,
    MalformedRequest,
    UnhushError,
    VerificationError,
    WrongNetwork,
)
from unhush.storage.errors import (
    BadPassphrase,
    HomeInUse,
    KeyFileDamaged,
    KeyFileError,
    KeySealed,
    MalformedCar,
    MalformedRecord,
    NoAccount,
    NotFound,
    StorageError,
    StoreFull,
    StoreUnreadable,
    WritingRefused,
    WrongPassphrase,
)

__all__ = [
    "AccountExists",
    "BadConfig",
    "BadPassphrase",
    "BadWords",
    "CryptoSelfTestFailed",
    "DeviceRefused",
    "HomeInUse",
    "IdentityError",
    "KeyFileDamaged",
    "KeyFileError",
    "KeySealed",
    "MalformedCar",
    "MalformedCid",
    "MalformedOperation",
    "MalformedRecord",
    "MalformedRequest",
    "NetworkFailed",
    "NoAccount",
    "NodeError",
    "NotFound",
    "NotRunning",
    "NotSynced",
    "SeveralAccounts",
    "StorageError",
    "StoreFull",
    "StoreUnreadable",
    "UnhushError",
    "VerificationError",
    "WordsNeeded",
    "WritingRefused",
    "WrongNetwork",
    "WrongPassphrase",
]


class NodeError(UnhushError):
    """Something about the node as a whole."""


class BadConfig(NodeError):
    """A setting that cannot be."""


class AccountExists(NodeError):
    """This home has an account already."""


class WordsNeeded(NodeError):
    """Only the 24 words can sign this here: the root key is not kept on this machine."""


class DeviceRefused(NodeError):
    """An operation on a device that the account, as it stands, would not let count."""


class SeveralAccounts(NodeError):
    """The words founded more than one account, and nothing tells which is meant."""

    def __init__(self, accounts: list[Cid]) -> None:
        listed = ", ".join(map(str, accounts))
        super().__init__(f"these words founded several accounts; choose one with --account: {listed}")
        self.accounts = tuple(accounts)


class NotSynced(NodeError):
    """No peer answered what it holds of the account, and what was asked should not be done blind."""


class NotRunning(NodeError):
    """No node runs on this home, and what was asked needs one."""


class NetworkFailed(NodeError):
    """The network could not start."""
