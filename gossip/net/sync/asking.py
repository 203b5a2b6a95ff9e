"""Whom to ask for what is not here: peers that carry the accounts it is about, then others.

A conversation is asked of a few peers at once, since each may hold other answers. A record is asked of
some, and if they lack it of others. The same is not asked again within a minute, however often
somebody looks at it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, assert_never

import trio

from unhush.gossip.net.sync.session import SyncSession
from unhush.gossip.proto import limits
from unhush.gossip.proto.frames import Concerning, Need, Question, ThreadFrame
from unhush.identity.cid import Cid
from unhush.storage.errors import StorageError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Peers asked the same at once, and all in all.
AT_ONCE: Final = 3
MOST_PEERS: Final = 9
# How often the same is asked, and of how many things that is remembered.
AGAIN_S: Final = 60.0
MAX_REMEMBERED: Final = 4_096
# Records that come without their bodies are gathered for so long, and so many of one account are asked for at once.
GATHER_S: Final = 1.0
MAX_LACKING_ACCOUNTS: Final = 256
# Such questions under way at a time. Who writes records without bodies, without end, is left to sync: the places for
# questions are for what a person looks at.
MAX_GATHERED: Final = 8


class Asker:
    """On the network's loop; ``sessions`` are those that run now."""

    def __init__(self, store: Store, sessions: Mapping[str, SyncSession]) -> None:
        self._store = store
        self._sessions = sessions
        self._asked_at: dict[tuple[type[Question], Cid], float] = {}
        self._lacking: dict[Cid, dict[Cid, None]] = {}
        self._is_lacking = trio.Event()
        self._gathered = 0

    def ask(self, question: Question, about: Iterable[Cid], done: Callable[[], None], *, is_urgent: bool) -> None:
        """Ask some peers; ``done`` once none of them is waited for. ``about``: accounts whose carriers may know.

        What was asked a moment ago is asked again only if it ``is_urgent``.
        """
        fresh = self._fresh(question, is_urgent=is_urgent)
        peers = self._choose(frozenset(about)) if fresh is not None else []
        if fresh is None or not peers:
            done()
            return
        self._note(fresh)
        self._go_round(fresh, peers, done)

    def lacks(self, account: Cid, cid: Cid) -> None:
        """A record of an account carried here is known, and its body, or more, is not here."""
        if account in self._lacking or len(self._lacking) < MAX_LACKING_ACCOUNTS:
            wanted = self._lacking.setdefault(account, {})
            wanted[cid] = None
            while len(wanted) > limits.MAX_NEED_IDS:
                del wanted[next(iter(wanted))]  # the oldest; sync asks for it as well
            self._is_lacking.set()

    async def run(self) -> None:
        """Ask for what is lacking, until cancelled."""
        while True:
            await self._is_lacking.wait()
            await trio.sleep(GATHER_S)
            self._is_lacking = trio.Event()
            lacking, self._lacking = self._lacking, {}
            for account, cids in lacking.items():
                if self._gathered < MAX_GATHERED:
                    self._gathered += 1
                    self.ask(Need(0, account, tuple(cids)), [account], self._has_gathered, is_urgent=False)

    def _has_gathered(self) -> None:
        self._gathered -= 1

    def _go_round(self, question: Question, peers: list[str], done: Callable[[], None]) -> None:
        """Ask the next few; once they have answered, those after them for what is missing still."""
        chosen = [session for peer in peers[:AT_ONCE] if (session := self._sessions.get(peer)) is not None]
        later = peers[AT_ONCE:] if isinstance(question, Need) else []
        left = len(chosen)

        def answered(_: bool) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                go_on()

        def go_on() -> None:
            missing = self._missing(question) if later else None
            if missing is None:
                done()
            else:
                self._go_round(missing, later, done)

        if not chosen:
            go_on()
        for session in chosen:
            session.ask(question, answered)

    def _choose(self, about: frozenset[Cid]) -> list[str]:
        """Peers in the order in which they are asked: who carries more of the accounts comes first."""
        known = {peer: len(about & session.peer_carries) for peer, session in self._sessions.items()}
        return sorted(known, key=lambda peer: (-known[peer], peer))[:MOST_PEERS]

    def _missing(self, question: Question) -> Need | None:
        """What of the records asked for is not here with its body."""
        if not isinstance(question, Need):
            return None
        try:
            with self._store.snapshot() as snapshot:
                held = {cid: snapshot.record(cid) for cid in question.ids}
        except StorageError as exc:
            log.error("not known what is missing still error=%s", exc)
            return None
        ids = tuple(cid for cid, record in held.items() if record is None or record.body is None)
        return Need(0, question.account, ids) if ids else None

    def _fresh(self, question: Question, *, is_urgent: bool) -> Question | None:
        """The question, or the part of it that was not asked a moment ago."""
        if is_urgent:
            return question
        since = trio.current_time() - AGAIN_S
        fresh = tuple(cid for cid in _names(question) if self._asked_at.get((type(question), cid), since) <= since)
        if isinstance(question, Need):
            return Need(0, question.account, fresh) if fresh else None
        return question if fresh else None

    def _note(self, question: Question) -> None:
        for cid in _names(question):
            self._asked_at.pop((type(question), cid), None)
            self._asked_at[type(question), cid] = trio.current_time()
        while len(self._asked_at) > MAX_REMEMBERED:
            del self._asked_at[next(iter(self._asked_at))]


def _names(question: Question) -> tuple[Cid, ...]:
    """What a question is about: the same is not asked again at once."""
    match question:
        case Need(ids=ids):
            return ids
        case ThreadFrame(root=root):
            return (root,)
        case Concerning(account=account):
            return (account,)
        case _:
            assert_never(question)
