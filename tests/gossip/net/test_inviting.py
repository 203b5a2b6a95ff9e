"""The invite protocol between real hosts: told once the inviter is there, and nothing a stranger sends does harm."""

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest
import trio
from tests.gossip.proto.test_accepting import TOKEN, acceptance_of
from tests.support.people import Person

from unhush.gossip.errors import NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import Host, Stream
from unhush.gossip.net.meet import inviting
from unhush.gossip.net.meet.inviting import INVITE, Inviting
from unhush.gossip.proto.accepting import (
    MAX_REQUEST_BYTES,
    Acceptance,
    Code,
    Telling,
    encode_acceptance,
    encode_answer,
    parse_answer,
)
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.knocking import MAX_JUDGING
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import cid_of

Run = Callable[[Callable[[], Awaitable[None]]], None]
MakeHost = Callable[..., AbstractAsyncContextManager[Host]]
INVITER: Final = cid_of(b"inviter")
REQUEST: Final = encode_acceptance(acceptance_of(Person("Ben", seed=2)))


@dataclass
class Desk:
    """A node by hand: says what it is told to, and notes on which threads it was asked."""

    code: Code = Code.ACCEPTED
    refused: Code | None = None  # for want of a token
    error: Exception | None = None
    judging_s: float = 0.0
    tellings: list[Telling] = field(default_factory=list)
    judged: list[Acceptance] = field(default_factory=list)
    answers: list[Code] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    most_at_once: int = 0
    looked_up: int = 0
    _now: int = 0

    def look_up(self, acceptance: Acceptance) -> Code | None:
        self.threads.add(threading.get_ident())
        self.looked_up += 1
        return None if acceptance.token == TOKEN else self.refused

    def judge(self, acceptance: Acceptance) -> Code:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        self.threads.add(threading.get_ident())
        time.sleep(self.judging_s)
        self.judged.append(acceptance)
        self._now -= 1
        if self.error is not None:
            raise self.error
        return self.code

    def waiting(self) -> Sequence[Telling]:
        return list(self.tellings)

    def answered(self, telling: Telling, code: Code) -> None:
        self.threads.add(threading.get_ident())
        self.answers.append(code)
        if code is not Code.LATER:
            self.tellings.remove(telling)


@asynccontextmanager
async def hosts(our_host: MakeHost, count: int) -> AsyncIterator[list[Host]]:
    """So many that only call."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(our_host(listen=())) for _ in range(count)]


async def until(is_so: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not is_so():  # noqa: ASYNC110  # what is waited for has no event
            await trio.sleep(0.02)


async def say(host: Host, peer_id: str, *chunks: bytes) -> Code | None:
    """Send bytes as they are; the answer, or None for a stream that was reset, or not opened any more."""
    try:
        stream = await host.open_stream(peer_id, INVITE)
    except (NotConnected, StreamRefused):
        return None
    try:
        for chunk in chunks:
            await stream.write(chunk)
        return parse_answer(await read_frame(stream))
    except StreamBroken:
        return None
    finally:
        await stream.reset()


async def read_frame(stream: Stream) -> bytes:
    deframer = Deframer()
    with trio.fail_after(20):
        while chunk := await stream.read():
            if frames := deframer.feed(chunk):
                return frames[0]
    raise StreamBroken("the answer is missing")


def test_an_inviter_is_told_as_soon_as_it_is_connected_and_once(run: Run, our_host: MakeHost) -> None:
    async def main() -> None:
        async with our_host() as ann, our_host() as ben, trio.open_nursery() as nursery:
            hers, his = Desk(), Desk()
            his.tellings.append(Telling(INVITER, ann.peer_id, REQUEST))
            nursery.start_soon(Inviting(ann, hers).run)
            nursery.start_soon(Inviting(ben, his).run)
            await trio.sleep(0.3)
            assert hers.judged == []
            await ben.dial(ann.addresses()[0])
            await until(lambda: his.answers)
            await trio.sleep(1.5)
            assert his.answers == [Code.ACCEPTED]
            assert [encode_acceptance(each) for each in hers.judged] == [REQUEST]
            assert threading.get_ident() not in hers.threads | his.threads
            nursery.cancel_scope.cancel()

    run(main)


def test_one_that_says_later_is_asked_again_but_not_at_once(
    run: Run, our_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inviting, "FIRST_AGAIN_S", 2.0)

    async def main() -> None:
        async with our_host() as ann, our_host() as ben, trio.open_nursery() as nursery:
            hers, his = Desk(Code.LATER), Desk()
            his.tellings.append(Telling(INVITER, ann.peer_id, REQUEST))
            nursery.start_soon(Inviting(ann, hers).run)
            nursery.start_soon(Inviting(ben, his).run)
            await ben.dial(ann.addresses()[0])
            await until(lambda: his.answers)
            hers.code = Code.USED
            await trio.sleep(1)
            assert his.answers == [Code.LATER]
            await until(lambda: len(his.answers) > 1)
            assert his.answers == [Code.LATER, Code.USED]
            nursery.cancel_scope.cancel()

    run(main)


def test_a_peer_without_the_protocol_is_no_inviter_and_not_at_fault(run: Run, our_host: MakeHost) -> None:
    async def main() -> None:
        async with our_host() as ann, our_host() as ben, trio.open_nursery() as nursery:
            his = Desk()
            his.tellings.append(Telling(INVITER, ann.peer_id, REQUEST))
            nursery.start_soon(Inviting(ben, his).run)
            await ben.dial(ann.addresses()[0])
            await trio.sleep(1.5)
            assert his.answers == []
            assert not ben.is_banned(ann.peer_id)
            nursery.cancel_scope.cancel()

    run(main)


@pytest.mark.parametrize(
    "chunks",
    [
        (frame(b""),),
        (frame(b"\xa0"),),
        (frame(REQUEST[:-1]),),
        (b"\xff\xff\xff\xff",),
        (b"\xff\xff\x3f" + bytes(MAX_REQUEST_BYTES // 2), bytes(MAX_REQUEST_BYTES // 2), bytes(64)),
        (frame(REQUEST) + frame(REQUEST),),
        (frame(encode_answer(Code.ACCEPTED)),),
    ],
    ids=["empty", "no request", "cut", "no length", "huge", "twice", "an answer"],
)
def test_what_is_no_request_is_a_fault_and_reaches_nobody(
    run: Run, our_host: MakeHost, chunks: tuple[bytes, ...]
) -> None:
    async def main() -> None:
        async with our_host() as ann, our_host() as mallory, trio.open_nursery() as nursery:
            hers = Desk()
            nursery.start_soon(Inviting(ann, hers).run)
            await trio.sleep(0.1)
            peer_id = await mallory.dial(ann.addresses()[0])
            for _ in range(3):
                assert await say(mallory, peer_id, *chunks) is None
            await until(lambda: ann.is_banned(mallory.peer_id))
            assert hers.judged == []
            nursery.cancel_scope.cancel()

    run(main)


def test_a_flood_is_shut_out_and_another_peer_is_heard_meanwhile(run: Run, our_host: MakeHost) -> None:
    async def main() -> None:
        async with our_host() as ann, our_host() as mallory, our_host() as ben, trio.open_nursery() as nursery:
            hers = Desk(Code.UNKNOWN)
            nursery.start_soon(Inviting(ann, hers).run)
            await trio.sleep(0.1)
            peer_id = await mallory.dial(ann.addresses()[0])
            await ben.dial(ann.addresses()[0])
            answers = [await say(mallory, peer_id, frame(REQUEST)) for _ in range(9)]
            assert answers == [Code.UNKNOWN] * 6 + [None] * 3
            await until(lambda: ann.is_banned(mallory.peer_id))
            assert await say(ben, peer_id, frame(REQUEST)) is Code.UNKNOWN
            assert len(hers.judged) == 7
            assert ann.tally.read()[Met.INVITE_PUT_OFF] == 3
            nursery.cancel_scope.cancel()

    run(main)


def test_judging_is_one_at_a_time_and_beyond_four_they_come_later(run: Run, our_host: MakeHost) -> None:
    async def main() -> None:
        async with our_host() as ann, hosts(our_host, 6) as asking, trio.open_nursery() as nursery:
            hers = Desk(judging_s=1.0)
            nursery.start_soon(Inviting(ann, hers).run)
            await trio.sleep(0.1)
            peer_id = ""
            for each in asking:
                peer_id = await each.dial(ann.addresses()[0])
            answers: list[Code | None] = []

            async def ask(host: Host) -> None:
                answers.append(await say(host, peer_id, frame(REQUEST)))

            async with trio.open_nursery() as all_at_once:
                for each in asking:
                    all_at_once.start_soon(ask, each)
            assert answers.count(Code.ACCEPTED) == len(hers.judged) == MAX_JUDGING == 4
            assert answers.count(Code.LATER) == 2
            assert ann.tally.read()[Met.INVITE_PUT_OFF] == 2
            assert hers.most_at_once == 1
            nursery.cancel_scope.cancel()

    run(main)


def test_streams_that_dribble_keep_nobody_out_and_are_over_in_two_seconds(run: Run, our_host: MakeHost) -> None:
    async def main() -> None:
        async with our_host() as ann, hosts(our_host, 7) as (honest, *slow), trio.open_nursery() as nursery:
            hears = Inviting(ann, Desk())
            nursery.start_soon(hears.run)
            await trio.sleep(0.1)
            peer_id = ""
            for each in (honest, *slow):
                peer_id = await each.dial(ann.addresses()[0])
            answers: list[Code | None] = []

            async def dribble(host: Host) -> None:
                answers.append(await say(host, peer_id, frame(REQUEST)[:10]))

            async with trio.open_nursery() as dribbling:
                for each in slow:
                    dribbling.start_soon(dribble, each)
                await until(lambda: hears._seats)
                assert await say(honest, peer_id, frame(REQUEST)) is Code.ACCEPTED
            assert answers == [Code.LATER] * 6  # a slow line is no fault
            assert ann.tally.read()[Met.SLOW_PEER_CUT] == 6
            nursery.cancel_scope.cancel()

    run(main)


def test_a_peer_reads_one_request_at_a_time(run: Run, our_host: MakeHost) -> None:
    async def main() -> None:
        async with our_host() as ann, our_host() as mallory, trio.open_nursery() as nursery:
            hers = Desk()
            nursery.start_soon(Inviting(ann, hers).run)
            await trio.sleep(0.1)
            peer_id = await mallory.dial(ann.addresses()[0])
            stream = await mallory.open_stream(peer_id, INVITE)
            await stream.write(frame(REQUEST)[:10])
            await trio.sleep(0.5)
            assert await say(mallory, peer_id, frame(REQUEST)) is Code.LATER
            await stream.write(frame(REQUEST)[10:])
            assert parse_answer(await read_frame(stream)) is Code.ACCEPTED
            nursery.cancel_scope.cancel()

    run(main)


def test_who_has_no_token_takes_nothing_from_who_has_one(run: Run, our_host: MakeHost) -> None:
    """Twelve peers guess tokens, more often than sixty times in all; nobody of them is judged."""
    guess = encode_acceptance(acceptance_of(Person("Mallory", seed=3), token=bytes(16)))

    async def main() -> None:
        async with our_host() as ann, our_host(listen=()) as ben, trio.open_nursery() as nursery:
            hers = Desk(refused=Code.UNKNOWN)
            nursery.start_soon(Inviting(ann, hers).run)
            await trio.sleep(0.1)
            answers: list[Code | None] = []
            peer_id = ""
            for _ in range(12):
                async with our_host(listen=()) as mallory:
                    peer_id = await mallory.dial(ann.addresses()[0])
                    answers += [await say(mallory, peer_id, frame(guess)) for _ in range(6)]
            await ben.dial(ann.addresses()[0])
            assert answers == [Code.UNKNOWN] * 72
            assert hers.looked_up == 72
            assert hers.judged == []
            assert await say(ben, peer_id, frame(REQUEST)) is Code.ACCEPTED
            nursery.cancel_scope.cancel()

    run(main)


def test_what_goes_wrong_on_our_side_is_not_held_against_the_peer(run: Run, our_host: MakeHost) -> None:
    async def main() -> None:
        async with our_host() as ann, our_host() as ben, trio.open_nursery() as nursery:
            hers = Desk(error=OSError("the disk is on fire"))
            nursery.start_soon(Inviting(ann, hers).run)
            await trio.sleep(0.1)
            peer_id = await ben.dial(ann.addresses()[0])
            for _ in range(4):
                assert await say(ben, peer_id, frame(REQUEST)) is Code.LATER
            assert not ann.is_banned(ben.peer_id)
            nursery.cancel_scope.cancel()

    run(main)
