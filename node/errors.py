"""The errors a caller of the node may meet, in one place: the node's own, and those it passes on."""

from pathlib import Path

from unhush.gossip.errors import InviteMistyped, MalformedInvite
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
from unhush.node.views import KeptBy
from unhush.storage.errors import (
    BackupExists,
    BadListName,
    BadPassphrase,
    BadPromise,
    BlobDamaged,
    BlobMissing,
    BlobsUnusable,
    BlobTooLarge,
    HomeInUse,
    HomeReadOnly,
    ImageRefused,
    InvitesFull,
    KeyFileDamaged,
    KeyFileError,
    KeySealed,
    ListFull,
    MalformedBackup,
    MalformedCar,
    MalformedRecord,
    NewerSchema,
    NoAccount,
    NotFound,
    NothingToSearch,
    StorageError,
    StoreDamaged,
    StoreFull,
    StoreUnreadable,
    WithholdRefused,
    WritingRefused,
    WrongPassphrase,
)

__all__ = [
    "AccountExists",
    "BackupExists",
    "BadConfig",
    "BadEvidence",
    "BadListName",
    "BadPassphrase",
    "BadPromise",
    "BadWords",
    "BlobDamaged",
    "BlobMissing",
    "BlobTooLarge",
    "BlobsUnusable",
    "CryptoSelfTestFailed",
    "DeviceRefused",
    "FileExists",
    "HomeInUse",
    "HomeReadOnly",
    "IdentityError",
    "ImageRefused",
    "InviteEnded",
    "InviteMistyped",
    "InvitesFull",
    "KeyFileDamaged",
    "KeyFileError",
    "KeySealed",
    "LifeboatTooLarge",
    "ListFull",
    "MalformedBackup",
    "MalformedCar",
    "MalformedCid",
    "MalformedInvite",
    "MalformedLifeboat",
    "MalformedOperation",
    "MalformedRecord",
    "MalformedRequest",
    "NetworkFailed",
    "NewerSchema",
    "NoAccount",
    "NoKey",
    "NoPage",
    "NobodyAnswered",
    "NodeError",
    "NotFound",
    "NotKept",
    "NotRunning",
    "NotSynced",
    "NotYours",
    "NothingToSearch",
    "RecordDeleted",
    "SeveralAccounts",
    "StorageError",
    "StoreDamaged",
    "StoreFull",
    "StoreUnreadable",
    "UnhushError",
    "UnknownFile",
    "VerificationError",
    "WithholdRefused",
    "WordsNeeded",
    "WritingRefused",
    "WrongKind",
    "WrongNetwork",
    "WrongPassphrase",
]


class NodeError(UnhushError):
    """Something about the node as a whole."""


class NotYours(NodeError):
    """Only the account that wrote a record can change it or take it back."""


class WrongKind(NodeError):
    """What was asked cannot be done with a record of this kind."""


class RecordDeleted(NotFound):
    """Its author took the record back; nothing can be done with it any more."""


class BadConfig(NodeError):
    """A setting that cannot be."""


class FileExists(StorageError):
    """What was to be written is there already; nothing of it was changed."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already; nothing was changed. To write over it: --force")
        self.path = path


class BadEvidence(NodeError):
    """A file of evidence that does not show what it should, or is none."""


class AccountExists(NodeError):
    """This home has an account already."""


class WordsNeeded(NodeError):
    """Only the 24 words can sign this here: the root key is not kept on this machine."""


class NoKey(KeyFileError):
    """This home has no device key, as one made of a backup: it reads and carries, and writes nothing."""

    def __init__(self) -> None:
        super().__init__("this home has no key; to write again: unhush restore, or unhush device join")


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


class NotKept(NodeError):
    """Not as many proven keepers hold a record as were waited for."""

    def __init__(self, record: Cid, kept_by: KeptBy, wanted: int) -> None:
        super().__init__(f"{record} is {kept_by.words} so far; {wanted} proven were waited for")
        self.record = record
        self.kept_by = kept_by


class NotRunning(NodeError):
    """No node runs on this home, and what was asked needs one."""


class NoPage(NodeError):
    """The node that runs on this home serves no page."""


class NobodyAnswered(NodeError):
    """No peer answered, or not the one that was asked."""


class InviteEnded(NodeError):
    """An invite whose time is over."""


class MalformedLifeboat(NodeError):
    """A file that should be a lifeboat and cannot be read as one."""


class LifeboatTooLarge(NodeError):
    """An account with its pictures does not fit in one file that a browser could open."""


class UnknownFile(NodeError):
    """A file of no kind that can be checked here."""


class NetworkFailed(NodeError):
    """The network could not start."""
