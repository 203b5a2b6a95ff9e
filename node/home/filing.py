"""A home and its accounts as files: exported, imported, checked, backed up."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from unhush.identity.cid import Cid
from unhush.node.config import Config
from unhush.node.home.files import Imported, export_car, import_car
from unhush.node.home.maintenance import verify
from unhush.node.records.acting import Writing
from unhush.node.records.looking import Looking
from unhush.storage.backup import BackedUp
from unhush.storage.car import CarContents
from unhush.storage.verify import Report

if TYPE_CHECKING:
    from unhush.node.home.checking import FileReport
    from unhush.node.lifeboat.form import Media
    from unhush.node.lifeboat.making import Made
    from unhush.node.lifeboat.taking import Taken


class Filing(Writing, Looking):
    """The part of a node that writes and reads files, and checks what it holds."""

    config: Config

    def export_car(self, path: str | Path, account: Cid | str | None = None, *, force: bool = False) -> CarContents:
        """Write an account (your own, if none is named) to a CAR file; over one that is there only with ``force``.

        Raises ``FileExists``, ``NotFound``, ``StorageError``.
        """
        whose = self.account_of(account) if account is not None else self.account()
        return export_car(self._store, Path(path), whose, force=force)

    def import_car(self, path: str | Path, on_progress: Callable[[int], None] = lambda _: None) -> Imported:
        """Take in a CAR file; works in a home without account."""
        return import_car(self._store, Path(path), on_progress, now_ms=self.config.clock_ms())

    def export_lifeboat(
        self,
        path: str | Path,
        account: Cid | str | None = None,
        *,
        media: "Media" = "90d",
        on_progress: Callable[[str, int], None] = lambda _what, _count: None,
        force: bool = False,
    ) -> "Made":
        """Write an account (your own, if none is named) to one HTML file that opens in any browser and checks itself.

        ``media``: pictures of the last 90 days, ``all`` or ``none``. Over a file that is there only with ``force``.
        Raises ``FileExists``, ``NotFound``, ``LifeboatTooLarge``.
        """
        from unhush.node.lifeboat.making import export_lifeboat  # lazy: few make one

        whose = self.account_of(account) if account is not None else self.account()
        now_ms = self.config.clock_ms()
        return export_lifeboat(
            self._store, Path(path), whose, now_ms=now_ms, media=media, on_progress=on_progress, force=force
        )

    def import_lifeboat(self, path: str | Path, on_progress: Callable[[int], None] = lambda _: None) -> "Taken":
        """Take a lifeboat in; works in a home without account."""
        from unhush.node.lifeboat.taking import import_lifeboat

        return import_lifeboat(self._store, Path(path), now_ms=self.config.clock_ms(), on_progress=on_progress)

    @staticmethod
    def verify_file(
        path: str | Path, on_progress: Callable[[str, int], None] = lambda _what, _count: None
    ) -> "FileReport":
        """Check a file that proves itself: a lifeboat, evidence, a CAR.

        Raises ``NotFound``, ``UnknownFile``, ``MalformedLifeboat``, ``BadEvidence``, ``MalformedCar``.
        """
        from unhush.node.home.checking import check_file

        return check_file(Path(path), on_progress)

    def verify(self, on_progress: Callable[[int], None] = lambda _: None, *, deep: bool = False) -> Report:
        """Check everything held against hashes, signatures and chains, trusting no index; see ``maintenance.py``.

        Raises ``StoreDamaged`` if the database itself is broken.
        """
        self._store.check_pages()
        return verify(self._store, self.config.network, deep=deep, on_progress=lambda _what, count: on_progress(count))

    def rebuild_indexes(self, on_progress: Callable[[int], None] = lambda _: None) -> int:
        """Fold all that people see anew from the journal; returns how many records are shown."""
        return self._store.rebuild_indexes(on_progress)

    def backup(self, file: str | Path, on_progress: Callable[[int], None] = lambda _: None) -> BackedUp:
        """Write everything of this home but its keys into a new file, while it is in use.

        Raises ``BackupExists``, ``StoreFull``, ``StoreUnreadable``.
        """
        return self._store.backup(Path(file), now_ms=self.config.clock_ms(), on_progress=on_progress)
