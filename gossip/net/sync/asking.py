"""Whom to ask for what is not here: peers that carry the accounts it is about, then others.

A conversation is asked of a few peers at once, since each may hold other answers. A record is asked of
some, and if they lack it, or are silent for some seconds, of others. Who was silent lately is asked last, and
of equals chance chooses. The same is not asked again within a minute, however often somebody looks at it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, assert_never

import trio

from unhush.gossip.net.sync.session import SyncSession
from unhush.gossip.proto import limits
from unhush.gossip.proto.chance import Chance
from unhush.gossip.proto.frames import Concerning, Need, Question, ThreadFrame
from unhush.gossip.proto.rounds import Round
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid
from unhush.storage.errors import StorageError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Peers asked the same, all in all.
MOST_PEERS: Final = 9
# How often silent ones are looked for, while anything is asked.
LOOK_EVERY_S: Final = 1.0
# Who was silent is asked last for so long; so many of them are remembered.
SILENT_S: Final = 600.0
MAX_SILENT: Final = 256
# How often the same is asked, and of how many things that is remembered.
AGAIN_S: Final = 60.0
MAX_REMEMBERED: Final = 4_096
# Records that come without their bodies are gathered for so long, and so many of one account are asked for at once.
GATHER_S: Final = 1.0
MAX_LACKING_ACCOUNTS: Final = 256
# Such questions under way at a time. Who writes records without bodies, without end, is left to sync: the places for
# questions are for what a person looks at.
MAX_GATHERED: Final = 8


class _Look:
    """A question under way, and whom to tell when nobody is waited for."""

    def __init__(self, question: Question, peers: Iterable[str], done: Callable[[], None]) -> None:
        self.question = question
        self.round = Round(peers, trio.current_time(), until_found=isinstance(question, Need))
        self.done = done


class Asker:
    """On the network's loop; ``sessions`` are those that run now. ``seed``: for the choice among equals."""

    def __init__(
        self,
        store: Store,
        sessions: Mapping[str, SyncSession],
        *,
        seed: bytes,
        count: Callable[[Met], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._chance = Chance(seed)
        self._count = count
        self._looks: dict[_Look, None] = {}
        self._is_looking = trio.Event()
        self._silent_at: dict[str, float] = {}
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
        look = _Look(fresh, peers, done)
        self._looks[look] = None
        self._is_looking.set()
        self._go_on(look)

    def lacks(self, account: Cid, cid: Cid) -> None:
        """A record of an account carried here is known, and its body, or more, is not here."""
        if account not in self._lacking and len(self._lacking) >= MAX_LACKING_ACCOUNTS:
            self._count(Met.BODY_NOT_ASKED)
            return
        wanted = self._lacking.setdefault(account, {})
        wanted[cid] = None
        while len(wanted) > limits.MAX_NEED_IDS:
            del wanted[next(iter(wanted))]  # the oldest; sync asks for it as well
            self._count(Met.BODY_NOT_ASKED)
        self._is_lacking.set()

    async def run(self) -> None:
        """Ask for what is lacking, and others where some are silent, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_for_lacking)
            nursery.start_soon(self._look_for_silent)

    async def _look_for_silent(self) -> None:
        while True:
            await self._is_looking.wait()
            await trio.sleep(LOOK_EVERY_S)
            for look in list(self._looks):
                for peer in look.round.silent(trio.current_time()):
                    self._note_silent(peer)
                self._go_on(look)
            if not self._looks:
                self._is_looking = trio.Event()

    async def _ask_for_lacking(self) -> None:
        while True:
            await self._is_lacking.wait()
            await trio.sleep(GATHER_S)
            self._is_lacking = trio.Event()
            lacking, self._lacking = self._lacking, {}
            for account, cids in lacking.items():
                if self._gathered < MAX_GATHERED:
                    self._gathered += 1
                    self.ask(Need(0, account, tuple(cids)), [account], self._has_gathered, is_urgent=False)
                else:
                    for _ in cids:
                        self._count(Met.BODY_NOT_ASKED)

    def _has_gathered(self) -> None:
        self._gathered -= 1

    def _go_on(self, look: _Look) -> None:
        """Ask whoever is next for what is missing still, or say that nobody is waited for."""
        while look in self._looks:
            now = trio.current_time()
            peer = look.round.next_peer(now)
            if peer is None:
                if look.round.is_over(now):
                    self._end(look)
                return
            session = self._sessions.get(peer)
            if session is None:
                look.round.heard(peer, is_answer=False)
            else:
                session.ask(look.question, partial(self._answered, look, peer))

    def _answered(self, look: _Look, peer: str, is_complete: bool) -> None:  # a session calls it
        if is_complete:
            self._silent_at.pop(peer, None)
        elif peer in self._sessions:
            self._note_silent(peer)
        look.round.heard(peer, is_answer=is_complete)
        if look not in self._looks:
            return
        if is_complete and isinstance(look.question, Need):
            missing = self._missing(look.question)
            if missing is None:
                self._end(look)
                return
            look.question = missing
        self._go_on(look)

    def _end(self, look: _Look) -> None:
        del self._looks[look]
        look.done()

    def _note_silent(self, peer: str) -> None:
        self._silent_at.pop(peer, None)
        self._silent_at[peer] = trio.current_time()
        if len(self._silent_at) > MAX_SILENT:
            del self._silent_at[next(iter(self._silent_at))]

    def _choose(self, about: frozenset[Cid]) -> list[str]:
        """Peers in the order in which they are asked: who was not silent lately, and carries more of the accounts,
        comes first; of equals whom chance chooses, for ids are chosen by whoever makes them."""
        since = trio.current_time() - SILENT_S
        ranks = {
            peer: (
                self._silent_at.get(peer, since) > since,
                -len(about & session.peer_carries),
                self._chance.draw(2**32),
            )
            for peer, session in self._sessions.items()
        }
        return sorted(ranks, key=ranks.__getitem__)[:MOST_PEERS]

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
