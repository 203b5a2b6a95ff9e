"""Answering: what peers ask about statements, one question after the other, each within bounds.

A stranger may ask as well as a friend. The store is read on threads beside the
loop, and what is signed in answer to a challenge is signed elsewhere still
(``Speaker``).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar, assert_never

import trio

from unhush.gossip.errors import StreamBroken
from unhush.gossip.net.host import Host
from unhush.gossip.net.keep.conversing import Payloads
from unhush.gossip.net.keep.shelf import Shelf
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.proving import ANSWERED, ANSWERED_INTERVAL_S, ANSWERED_PER_PEER
from unhush.gossip.proto.shares import Shares
from unhush.gossip.proto.statements import (
    MAX_ITEMS,
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

# Streams served at a time, in all and for one peer: each may hold a frame of half a megabyte.
MAX_SERVED: Final = 16
MAX_SERVED_PER_PEER: Final = 2
# A question comes as soon as the stream is open, and the next once the answer is there.
QUESTION_S: Final = 30.0
WRITE_S: Final = 30.0
# The other thread reads a disk and signs, a few at a time.
PROVE_S: Final = 15.0
# Questions ``since`` and ``about``: an honest peer asks once a minute, and twenty times when it takes up accounts.
QUESTIONS_PER_PEER: Final = 120
QUESTIONS: Final = 1_200
# Statements looked up for answers, some 0.4 ms of processor time each: who begins from nothing gets 34 a second.
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
    ) -> None:
        self._host = host
        self._shelf = shelf
        self._speaker = speaker
        self._heard_filter = heard_filter
        self._take = take
        self._served: dict[str, int] = {}
        self._questions = Shares(QUESTIONS_PER_PEER, QUESTIONS, SHARES_S)
        self._looks = Shares(LOOKS_PER_PEER, LOOKS, SHARES_S)
        self._told = Shares(TOLD_PER_PEER, TOLD, SHARES_S)
        self._proofs = Shares(ANSWERED_PER_PEER, ANSWERED, ANSWERED_INTERVAL_S)
        self._readers = trio.CapacityLimiter(2)

    async def serve(self, stream: Stream) -> None:
        """Answer one peer's questions, one after the other; what breaks the rules raises."""
        peer_id = stream.peer_id
        mine = self._served.get(peer_id, 0)
        if mine >= MAX_SERVED_PER_PEER or sum(self._served.values()) >= MAX_SERVED:
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            await stream.reset()
            return
        self._served[peer_id] = mine + 1
        try:
            await self._converse(stream)
        except StreamBroken as exc:
            log.debug("statements broke peer=%s reason=%s", peer_id, exc)
            await stream.reset()
        except trio.TooSlowError:
            log.debug("statements are too slow peer=%s", peer_id)
            await stream.reset()
        finally:
            self._served[peer_id] -= 1
            if not self._served[peer_id]:
                del self._served[peer_id]

    async def _converse(self, stream: Stream) -> None:
        payloads = Payloads(stream)
        for _ in range(MAX_QUESTIONS):
            with trio.fail_after(QUESTION_S):
                payload = await payloads.next()
            if payload is None:
                break
            answer = await self._answer(stream.peer_id, payload)
            with trio.fail_after(WRITE_S):
                await stream.write(frame(encode_answer(answer)))
        await stream.close()

    async def _answer(self, peer_id: str, payload: bytes) -> Answer:
        question = parse_question(payload)
        if not self._questions.spend(peer_id, 1, trio.current_time()):
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            raise StreamBroken("asked more often than any use of it")
        try:
            match question:
                case Since():
                    self._heard_filter(peer_id, question.carriage)
                    return await self._since(peer_id, question)
                case About(accounts):
                    return await self._about(peer_id, accounts)
                case Tell(items):
                    return await self._hear(peer_id, items)
                case Prove():
                    return Items(tuple(await self._prove(peer_id, question)))
                case Unknown():
                    return Items()
                case _:
                    assert_never(question)
        except StorageError as exc:  # ours, and not to be held against the peer
            log.warning("statements could not be looked up: %s", exc)
            raise StreamBroken("the store cannot be read now") from exc

    async def _since(self, peer_id: str, question: Since) -> Items:
        if not self._looks.is_open(peer_id, trio.current_time()):
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            return await self._read(partial(self._shelf.later, question))
        answer, looked_at = await self._read(partial(self._shelf.since, question))
        self._looks.charge(peer_id, looked_at, trio.current_time())
        return answer

    async def _about(self, peer_id: str, accounts: Sequence[Cid]) -> Items:
        if not self._looks.is_open(peer_id, trio.current_time()):
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            raise StreamBroken("asked more often than any use of it")
        answer = await self._read(partial(self._shelf.about, accounts))
        self._looks.charge(peer_id, len(answer.items), trio.current_time())
        return answer

    async def _hear(self, peer_id: str, items: Sequence[ToldStatement]) -> Taken:
        if not self._told.spend(peer_id, len(items), trio.current_time()):
            self._host.tally.count(Met.STATEMENT_IGNORED, len(items))
            return Taken(0)
        return Taken(await self._take(peer_id, items))

    async def _prove(self, peer_id: str, question: Prove) -> Sequence[ToldStatement]:
        if self._speaker is None:
            return ()
        if not self._proofs.spend(peer_id, 1, trio.current_time()):
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
