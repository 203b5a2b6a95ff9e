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
        super().__init__(f"there is no account in {home}; make one with: unhush init --name NAME")
        self.home = home


class NotFound(StorageError):
    """Nothing of that name is kept here."""


class WritingRefused(StorageError):
    """This device may not write now, and the message says why."""


class KeyFileError(StorageError):
    """A key file is missing, hostile or damaged."""


class MalformedCar(StorageError):
    """Not a CAR version 1 file of blocks we know."""


class MalformedContact(StorageError):
    """An address that cannot be remembered."""


class MalformedRecord(StorageError):
    """A body that breaks the rules of its kind (PROTOCOL §4)."""
