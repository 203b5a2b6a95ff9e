"""Answering: what peers ask about statements, one question after the other, each within bounds.

A stranger may ask as well as a friend. The store is read on threads beside the
loop, and what is signed in answer to a challenge is signed elsewhere still
(``Speaker``).
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar, assert_never

import trio

from unhush.gossip.errors import StreamBroken
from unhush.gossip.net.host import Host
from unhush.gossip.net.keep.places import Place, Places
from unhush.gossip.net.keep.shelf import Shelf
from unhush.gossip.net.wire.payloads import Payloads
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.proving import ANSWERED, ANSWERED_INTERVAL_S, ANSWERED_PER_PEER
from unhush.gossip.proto.shares import Asker, Shares
from unhush.gossip.proto.sightings import rented_block_of
from unhush.gossip.proto.statements import (
    MAX_ITEMS,
    MAX_ITEMS_BYTES,
    MAX_QUESTIONS,
    About,
    Answer,
    Items,
    Prove,
    Since,
    Taken,
    Tell,
    ToldStatement,
    Unknown,
    encode_answer,
    parse_question,
)
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid
from unhush.storage.errors import StorageError

log = logging.getLogger(__name__)

# A question comes as soon as the stream is open, and the next once the answer is there.
QUESTION_S: Final = 30.0
WRITE_S: Final = 30.0
# The other thread reads a disk and signs, a few at a time.
PROVE_S: Final = 15.0
# Questions ``since`` and ``about``: an honest peer asks once a minute, and twenty times when it takes up accounts.
QUESTIONS_PER_PEER: Final = 120
QUESTIONS: Final = 1_200
# Statements looked up for answers, some 0.4 ms of processor time each: who begins from nothing gets 34 a second. What
# takes longer counts as so many more.
LOOK_S: Final = 0.0004
LOOKS_PER_PEER: Final = 2_048
LOOKS: Final = 8_192
# Statements told: an honest peer tells 256 at once, and four a second.
TOLD_PER_PEER: Final = 600
TOLD: Final = 6_000
SHARES_S: Final = 60.0

_Found = TypeVar("_Found")


class Speaker(Protocol):
    """Who signs for this node; on another thread."""

    def prove(self, question: Prove, done: Callable[[Sequence[ToldStatement]], None], /) -> bool:
        """Answer a challenge later, by ``done`` on any thread; False if too many wait, and it is never called."""
        ...


class Serving:
    """On the network's loop. ``take`` puts what a peer tells into the store; how much of it was new."""

    def __init__(
        self,
        host: Host,
        shelf: Shelf,
        *,
        speaker: Speaker | None,
        heard_filter: Callable[[str, bytes], None],
        take: Callable[[str, Sequence[ToldStatement]], Awaitable[int]],
        is_known: Callable[[str], bool],
    ) -> None:
        self._host = host
        self._shelf = shelf
        self._speaker = speaker
        self._heard_filter = heard_filter
        self._take = take
        self._is_known = is_known
        self._places = Places()
        self._questions = Shares(QUESTIONS_PER_PEER, QUESTIONS, SHARES_S)
        self._looks = Shares(LOOKS_PER_PEER, LOOKS, SHARES_S)
        self._told = Shares(TOLD_PER_PEER, TOLD, SHARES_S)
        self._proofs = Shares(ANSWERED_PER_PEER, ANSWERED, ANSWERED_INTERVAL_S)
        self._readers = trio.CapacityLimiter(2)

    async def serve(self, stream: Stream) -> None:
        """Answer one peer's questions, one after the other; what breaks the rules raises."""
        asker = Asker(stream.peer_id, rented_block_of(stream.address), self._is_known(stream.peer_id))
        place = self._places.begin(asker, trio.current_time())
        if place is None:
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            await stream.reset()
            return
        try:
            with place.scope:
                await self._converse(stream, place)
        except StreamBroken as exc:
            log.debug("statements broke peer=%s reason=%s", asker.peer_id, exc)
            await stream.reset()
        except trio.TooSlowError:
            log.debug("statements are too slow peer=%s", asker.peer_id)
            await stream.reset()
        finally:
            self._places.end(place)
        if place.scope.cancelled_caught:
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            await stream.reset()

    async def _converse(self, stream: Stream, place: Place) -> None:
        payloads = Payloads(stream, MAX_ITEMS_BYTES)
        for _ in range(MAX_QUESTIONS):
            with trio.fail_after(QUESTION_S):
                payload = await payloads.next()
            if payload is None:
                break
            place.idle_since = None
            answer = await self._answer(place.asker, payload)
            with trio.fail_after(WRITE_S):
                await stream.write(frame(encode_answer(answer)))
            place.idle_since = trio.current_time()
        await stream.close()

    async def _answer(self, asker: Asker, payload: bytes) -> Answer:
        question = parse_question(payload)
        if not self._questions.spend(asker, 1, trio.current_time()):
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            raise StreamBroken("asked more often than any use of it")
        try:
            match question:
                case Since():
                    self._heard_filter(asker.peer_id, question.carriage)
                    return await self._since(asker, question)
                case About(accounts):
                    return await self._about(asker, accounts)
                case Tell(items):
                    return await self._hear(asker, items)
                case Prove():
                    return Items(tuple(await self._prove(asker, question)))
                case Unknown():
                    return Items()
                case _:
                    assert_never(question)
        except StorageError as exc:  # ours, and not to be held against the peer
            log.warning("statements could not be looked up: %s", exc)
            raise StreamBroken("the store cannot be read now") from exc

    async def _since(self, asker: Asker, question: Since) -> Items:
        if not self._looks.is_open(asker, trio.current_time()):
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            return await self._read(partial(self._shelf.later, question))
        (answer, looked_at), took_s = await self._read(partial(_timed, partial(self._shelf.since, question)))
        self._charge(asker, looked_at, took_s)
        return answer

    async def _about(self, asker: Asker, accounts: Sequence[Cid]) -> Items:
        if not self._looks.is_open(asker, trio.current_time()):
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            raise StreamBroken("asked more often than any use of it")
        answer, took_s = await self._read(partial(_timed, partial(self._shelf.about, accounts)))
        self._charge(asker, len(answer.items), took_s)
        return answer

    def _charge(self, asker: Asker, looked_at: int, took_s: float) -> None:
        """By what it cost, as far as that is more: also what was looked at in vain, or takes long to look at."""
        self._looks.charge(asker, max(looked_at, int(took_s / LOOK_S)), trio.current_time())

    async def _hear(self, asker: Asker, items: Sequence[ToldStatement]) -> Taken:
        if not self._told.spend(asker, len(items), trio.current_time()):
            self._host.tally.count(Met.STATEMENT_IGNORED, len(items))
            return Taken(0)
        return Taken(await self._take(asker.peer_id, items))

    async def _prove(self, asker: Asker, question: Prove) -> Sequence[ToldStatement]:
        if self._speaker is None:
            return ()
        if not self._proofs.spend(asker, 1, trio.current_time()):
            self._host.tally.count(Met.PROOF_REFUSED)
            return ()
        token, answered = trio.lowlevel.current_trio_token(), trio.Event()
        answer: list[ToldStatement] = []

        def done(items: Sequence[ToldStatement]) -> None:
            answer.extend(items[:MAX_ITEMS])
            try:
                token.run_sync_soon(answered.set)
            except trio.RunFinishedError:
                log.debug("an answer after the network ended")

        if not self._speaker.prove(question, done):
            self._host.tally.count(Met.PROOF_REFUSED)
            return ()
        with trio.move_on_after(PROVE_S) as waiting:
            await answered.wait()
        return () if waiting.cancelled_caught else answer

    async def _read(self, act: Callable[[], _Found]) -> _Found:
        return await trio.to_thread.run_sync(act, limiter=self._readers)


def _timed(act: Callable[[], _Found]) -> tuple[_Found, float]:
    """What it finds, and the processor time that took on this thread, in seconds."""
    began = time.thread_time()
    found = act()
    return found, time.thread_time() - began
