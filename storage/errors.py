"""The storage family of errors."""

from pathlib import Path

from unhush.identity.errors import UnhushError


class StorageError(UnhushError):
    """Something about what is kept on this machine."""


class StoreUnreadable(StorageError):
    """The database cannot be opened: damaged, of another version or of another network."""


class DamagedRow(StoreUnreadable):
    """One row of the journal is not what was written; the others are not touched by it."""

    def __init__(self, aid: int, problem: str) -> None:
        super().__init__(f"journal row {aid} {problem}")
        self.aid = aid


class StoreFull(StorageError):
    """The disk or the map has no room; what was there stays readable."""


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


class MalformedContact(StorageError):
    """An address that cannot be remembered."""


class MalformedRecord(StorageError):
    """A body that breaks the rules of its kind (PROTOCOL §4)."""
