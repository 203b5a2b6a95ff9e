"""Watching: what came since somebody last looked, in order of arrival, and how much of it there is."""

import threading
from collections.abc import Iterator
from itertools import islice
from typing import Final

from unhush.identity.cid import Cid
from unhush.node.ids import as_cid
from unhush.node.records.reading import HIDDEN, Reader
from unhush.node.views import Shown
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

# Records looked at between two snapshots, and the longest sleep without looking again.
_STEP: Final = 500
_LONG_S: Final = 3600.0


class Watching:
    """The part of a node that waits for news."""

    _store: Store

    def __init__(self) -> None:
        self._watch = threading.Lock()  # ``events`` looks into the store only while it is surely open
        self._is_closed = False

    def _stop_watching(self) -> None:
        """From here on nobody looks; ``events`` ends, also where another thread waits in it."""
        with self._watch:
            self._is_closed = True

    def events(self, since: int = 0, timeout_s: float | None = None, *, home_only: bool = False) -> Iterator[Shown]:
        """Records in order of arrival after aid ``since``; waits for more until ``timeout_s`` pass without any,
        or the node is closed. Void and unproven ones are left out.

        ``home_only``: only what belongs to the home timeline. A caller that stops may go on later from the
        last ``aid`` it saw.
        """
        while (looked := self._look_for_events(since, home_only)) is not None:
            last, shown = looked
            yield from shown
            if last > since:
                since = last
            elif timeout_s is None:
                self._store.wait_for_news(since, _LONG_S)
            elif not self._store.wait_for_news(since, timeout_s):
                return

    def _look_for_events(self, since: int, home_only: bool) -> tuple[int, list[Shown]] | None:
        """Up to which aid was looked, and what of it to show; None once the node is closed."""
        with self._watch:
            if self._is_closed:
                return None
            with self._store.snapshot() as snapshot:
                reader = Reader(snapshot)
                records = list(islice(snapshot.journal(since), _STEP))
                shown = [
                    reader.shown(record)
                    for record in records
                    if not record.entry.header.is_identity and (not home_only or _is_at_home(snapshot, record))
                ]
                # Where no record is left, only damaged rows can follow: who waited for those would never rest.
                last = records[-1].aid if records else snapshot.last_aid()
                return last, [each for each in shown if each.standing not in HIDDEN]

    def wait_for_news(self, after_aid: int, timeout_s: float) -> int:
        """Sleep until the journal is past ``after_aid`` or time is up; the newest aid."""
        self._store.wait_for_news(after_aid, timeout_s)
        return self._store.last_aid()

    def last_aid(self) -> int:
        """The aid of what arrived last."""
        return self._store.last_aid()

    def count_answers(self, root: Cid | str, since_aid: int) -> int:
        """How many answers in a conversation, by its root, came after an aid."""
        with self._store.snapshot() as snapshot:
            return snapshot.count_answers(as_cid(root), since_aid)

    def count_new(self, since_aid: int) -> int:
        """How many records reached the home timeline after an aid."""
        with self._store.snapshot() as snapshot:
            return sum(1 for record in snapshot.journal(since_aid) if _is_at_home(snapshot, record))


def _is_at_home(snapshot: Snapshot, record: Record) -> bool:
    """Whether a record is to be seen in the home timeline."""
    return snapshot.is_in_home(record) and not snapshot.shun(record.account)
