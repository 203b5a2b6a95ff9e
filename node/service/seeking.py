"""Having peers asked for what is looked at and is not here, by the node that runs on the home: this one or another."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from unhush.identity.cid import Cid
from unhush.node.config import Config
from unhush.node.control import ask
from unhush.node.errors import NotRunning
from unhush.node.ids import as_cid
from unhush.node.pictures.media import MediaFiles
from unhush.node.records.looking import Looking
from unhush.node.records.missing import Missing, find_missing_of
from unhush.node.records.reading import Reader
from unhush.node.views import Thread

if TYPE_CHECKING:
    from unhush.node.service.running import Running

# How often it is looked whether peers have answered what was asked for a person who waits.
_SOUGHT_EVERY_S: Final = 0.02


class Seeking(Looking):
    """The part of a node that fetches what somebody looks at."""

    config: Config
    media: MediaFiles
    _running: "Running | None"

    def is_hidden_media(self, cid: Cid | str) -> bool:
        """Whether a picture is named by records that are not shown, taken back for one, and by no other."""
        with self._store.snapshot() as snapshot:
            return snapshot.is_hidden_blob(as_cid(cid))

    def fetch_media(self, cid: Cid | str, timeout_s: float = 8.0) -> bool:
        """Whether a picture that a record names is here, after asking peers for it if the network runs."""
        blob = as_cid(cid)
        if self.media.has(blob):
            return True
        running = self._running
        if running is None:
            return False
        with self._store.snapshot() as snapshot:
            naming = next(snapshot.records_showing(blob), None)
        return naming is not None and running.fetch_blob(blob, naming.account, timeout_s)

    def fetch_thread(self, record: Cid | str, timeout_s: float = 10.0) -> Thread:
        """The conversation a record belongs to, after peers were asked for what is missing of it.

        Waits until they have answered, at most ``timeout_s``; without a running network it is ``thread``. Raises
        ``NotFound``.
        """
        with self._store.snapshot() as snapshot:
            missing = find_missing_of(snapshot, Reader(snapshot).thread(as_cid(record)))
        due = time.monotonic() + timeout_s
        with suppress(NotRunning):
            is_done = self._seek_now(missing)
            while not is_done() and time.monotonic() < due:
                time.sleep(_SOUGHT_EVERY_S)
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).thread(as_cid(record))

    def _seek(self, missing: Missing, *, is_urgent: bool = False) -> None:
        if not missing:
            return
        running = self._running
        if running is not None:
            running.seeker.seek(missing, is_urgent=is_urgent)
        else:
            with suppress(NotRunning):
                ask(self.config.home, "seek", urgent=is_urgent, **missing.to_json())

    def _seek_now(self, missing: Missing) -> Callable[[], bool]:
        """Ask, and say how to see whether all have answered; raises ``NotRunning``."""
        running = self._running
        if running is not None:
            look = running.seeker.seek(missing, is_urgent=True)
            return lambda: running.seeker.is_done(look)
        look = ask(self.config.home, "seek", urgent=True, **missing.to_json()).get("look", 0)
        return lambda: bool(ask(self.config.home, "sought", look=look).get("done"))
