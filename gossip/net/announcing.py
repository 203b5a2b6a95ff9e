"""Our own log on its way out: what was written here is announced once peers have shown that it is ours alone.

Sessions say what their peers hold of it (``proto/checks.py``) and what of it left; the mesh hears of what is new
when nothing speaks against it any more.
"""

import logging
from collections import deque
from collections.abc import Iterable

import trio

from unhush.gossip.net.hearing import ShardGossip
from unhush.gossip.net.sync.handing import HandedOnKeeper
from unhush.gossip.net.sync.session import SyncSession
from unhush.gossip.proto.checks import OwnChecks
from unhush.gossip.proto.config import Own
from unhush.identity.keys import PublicKey
from unhush.storage.records import Record
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# How long news is gathered before it is announced. Sessions push at once; the mesh is for those without one,
# and a message with many records costs hardly more than one with a single record.
GATHER_S = 0.2

# Own records that wait to be announced: as many as a few messages carry. Of more the newest are told, and show
# whoever hears them that there is something to fetch.
MAX_UNANNOUNCED = 256


class Announcer:
    """On the network's loop; ``own`` is whose log this home writes."""

    def __init__(self, store: Store, gossip: ShardGossip) -> None:
        self._gossip = gossip
        self._handed_on = HandedOnKeeper(store)
        self._checks = OwnChecks()
        self._unannounced: deque[Record] = deque(maxlen=MAX_UNANNOUNCED)
        self._is_due = trio.Event()
        self.own: Own | None = None

    async def run(self) -> None:
        """Announce, and write down what left, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce)
            nursery.start_soon(self._handed_on.run)

    async def save(self) -> None:
        """Write down what left and is not written yet."""
        await self._handed_on.save()

    def restart(self, own: Own | None) -> None:
        """This home writes with another key or for another account: all is to be shown anew."""
        log.info("home changed account=%s key=%s", own and own.account, own and own.key)
        self.own = own
        self._checks = OwnChecks()
        self._handed_on.restart(own.key if own is not None else None)
        self._unannounced.clear()

    def wrote(self, records: Iterable[Record]) -> None:
        """This device wrote something new."""
        self._unannounced.extend(records)
        self._is_due.set()

    def found_clone(self) -> None:
        """Another home writes under our key."""
        self._checks.found_unclean()

    # -- what sessions tell

    def opened(self, session: SyncSession) -> None:
        self._checks.opened(session, trio.current_time())

    def closed(self, session: SyncSession) -> None:
        self._checks.closed(session)

    def checked(self, session: SyncSession, is_clean: bool) -> None:
        """Its peer has given all it holds of our account."""
        if is_clean and not session.knows_own:
            self._checks.has_nothing(session)
        else:
            self._checks.checked(session, is_clean=is_clean)

    def left(self, key: PublicKey, lo: int, hi: int) -> None:
        """Entries ``lo`` to ``hi`` by this key went to a peer."""
        self._handed_on.note(key, lo, hi)

    def count_checked(self) -> int:
        """How many open sessions have shown what their peer holds of our log."""
        return self._checks.count_answered()

    async def _announce(self) -> None:
        while True:
            await self._is_due.wait()
            await trio.sleep(GATHER_S)
            if self._checks.is_unclean:
                self._unannounced.clear()
            elif not self._checks.may_announce(trio.current_time()):
                continue
            self._is_due = trio.Event()
            records = list(self._unannounced)
            self._unannounced.clear()
            # Announced is not handed on: the mesh tells everybody, and nobody may have kept it. A person reads from
            # that mark what would survive this machine.
            await self._gossip.announce(records)
