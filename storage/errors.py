"""The storage family of errors."""

from pathlib import Path

from unhush.identity.errors import UnhushError


class StorageError(UnhushError):
    """Something about what is kept on this machine."""


class StoreUnreadable(StorageError):
    """The database cannot be opened: damaged, of another version or of another network."""


class NewerSchema(StoreUnreadable):
    """A newer program wrote this home; this one would misread it."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"the database in {path} has schema version {found}, this program knows versions up to {known}: "
            "a newer unhush wrote it, and can read it"
        )
        self.found = found
        self.known = known


class StoreDamaged(StoreUnreadable):
    """The database itself is broken, so that reading it may end the process; the message says what to do."""


class DamagedRow(StoreUnreadable):
    """One row of the journal is not what was written; the others are not touched by it."""

    def __init__(self, aid: int, problem: str) -> None:
        super().__init__(f"journal row {aid} {problem}")
        self.aid = aid


class StoreFull(StorageError):
    """The disk or the map has no room; what was there stays readable."""


class HomeReadOnly(StorageError):
    """The home cannot be written here: a read-only file system, or no permission; it can be read."""


class HomeInUse(StorageError):
    """The home is already open in a way that excludes this one."""


class NoAccount(StorageError):
    """This home has no account of its own."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            f"there is no account in {home}; make one with: unhush init --name NAME; "
            "or bring yours with: unhush restore, or unhush device join"
        )
        self.home = home


class NotFound(StorageError):
    """Nothing of that name is kept here."""


class WritingRefused(StorageError):
    """This device may not write now, and the message says why."""


class KeyFileError(StorageError):
    """A key file is missing, hostile or damaged."""


class KeyFileDamaged(KeyFileError):
    """A key file is not what was written; no passphrase will open it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} is damaged: {problem}")
        self.path = path


class KeySealed(KeyFileError):
    """A key file wants a passphrase, and nobody can be asked for it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is sealed with a passphrase, and there is nobody to ask for it")
        self.path = path


class BadPassphrase(KeyFileError):
    """What was given can be no passphrase at all; the message never repeats it."""


class WrongPassphrase(KeyFileError):
    """A passphrase that does not open a key file; asking again makes sense."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"this passphrase does not open {path}")
        self.path = path


class MalformedCar(StorageError):
    """Not a CAR version 1 file of blocks we know."""


class MalformedBackup(StorageError):
    """Not a whole backup file."""


class BackupExists(StorageError):
    """What a backup is written to, or taken into, is there already; nothing of it was changed."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already; nothing was changed")
        self.path = path


class MalformedContact(StorageError):
    """An address that cannot be remembered."""


class MalformedRecord(StorageError):
    """A body that breaks the rules of its kind (PROTOCOL §4)."""


class BlobMissing(NotFound):
    """A blob, or a part of it, is not here yet."""


class BlobDamaged(BlobMissing):
    """A block on disk is not what was written; it was put aside, and counts as not here."""


class BlobMismatch(StorageError):
    """Bytes that are not the block they were given as."""


class BlobTooLarge(StorageError):
    """More bytes than a blob, or a picture, may have."""


class BlobsUnusable(StorageError):
    """The folder of the blobs cannot be read or written."""


class ImageRefused(StorageError):
    """A file that is no picture we take: of another type, broken, or too large to open."""


class BadListName(StorageError):
    """What was given can name no list."""


class ListFull(StorageError):
    """A list has as many members, or this home as many lists, as there may be."""


class InvitesFull(StorageError):
    """As many invites are open, or wait for their inviters, as there may be."""


class BadPromise(StorageError):
    """A promise to keep an account that cannot be made."""


class WithholdRefused(StorageError):
    """A body that cannot be withheld, and the message says why."""


class NothingToSearch(StorageError):
    """What was asked for has no word in it."""


class SearchIndexUnusable(StorageError):
    """The search index cannot be read or written now; what is kept is not touched by it."""


class SearchIndexDamaged(SearchIndexUnusable):
    """The file of the search index is broken or of another version: it is made anew from the journal."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"the search index {path} {problem}")
        self.path = path
