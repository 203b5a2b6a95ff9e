"""The invite protocol on streams: hear acceptances of our invites, and tell inviters that we accepted theirs.

A request is read first, then its token is looked up, and only who has one of ours
takes a place among those that are judged (``proto/knocking.py``). What an acceptance
is worth is judged beyond the network's thread, one at a time, for that writes.
Acceptances that wait are looked for every second, since any process on this home may
have put them there, and are told as soon as the inviter's machine is connected; the
address book is what dials it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from unhush.gossip.errors import NotConnected, RemoteProtocolError, StreamBroken, StreamRefused
from unhush.gossip.net.host import Host
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.accepting import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    Acceptance,
    Code,
    Telling,
    encode_answer,
    parse_acceptance,
    parse_answer,
)
from unhush.gossip.proto.faults import FrameTooLarge, TooManyFrames
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.knocking import READ_BYTES_PER_S, READ_S, Bench, Knocks, Seats
from unhush.gossip.proto.shares import Asker
from unhush.gossip.proto.sightings import rented_block_of
from unhush.gossip.proto.tally import Met

log = logging.getLogger(__name__)

INVITE: Final = "/unhush/invite/1"

# The inviter's node may have a commit under way, and others before us.
ANSWER_S: Final = 30.0
LOOK_EVERY_S: Final = 1.0  # also at once when somebody connects
# A peer that was told to come later, or broke off, is told again after this, doubling to the longest.
FIRST_AGAIN_S: Final = 5.0
LONGEST_AGAIN_S: Final = 600.0


class InviteDesk(Protocol):
    """What the node does with it; all of it is called from other threads than the network's."""

    def look_up(self, acceptance: Acceptance, /) -> Code | None:
        """What its token is worth to its account: why nothing, or None if it is to be judged. Writes nothing."""
        ...

    def judge(self, acceptance: Acceptance, /) -> Code:
        """Follow whoever accepts an open invite, and say what became of it."""
        ...

    def waiting(self) -> Sequence[Telling]:
        """What inviters are to be told."""
        ...

    def answered(self, telling: Telling, code: Code, /) -> None:
        """An inviter has answered; after ``Code.LATER`` it is asked again."""
        ...


@dataclass(slots=True)
class _Turn:
    """When to tell an inviter again."""

    due_at: float
    delay_s: float
    is_under_way: bool = False


class Inviting:
    """Both sides of it on one host."""

    def __init__(self, host: Host, desk: InviteDesk) -> None:
        self._host = host
        self._desk = desk
        self._knocks = Knocks()
        self._seats = Seats()
        self._bench = Bench()
        self._one_reader = trio.CapacityLimiter(1)
        self._one_judge = trio.CapacityLimiter(1)
        self._turns: dict[bytes, _Turn] = {}
        self._look_now = trio.Event()  # somebody connected

    async def run(self) -> None:
        """Serve and tell until cancelled."""
        self._host.handle(INVITE, self._serve)
        self._host.on_connected(lambda _: self._look_now.set())
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    waiting = await trio.to_thread.run_sync(self._desk.waiting)
                except Exception:  # the store cannot be read now; the network goes on, and so shall we
                    log.exception("accepted invites could not be looked for")
                    waiting = ()
                self._turns = {each.request: self._turn(each) for each in waiting}
                for each in waiting:
                    turn = self._turns[each.request]
                    is_due = not turn.is_under_way and turn.due_at <= trio.current_time()
                    if is_due and self._host.find_peer(each.peer_id) is not None:
                        turn.is_under_way = True
                        nursery.start_soon(self._tell, each, turn)
                self._look_now = trio.Event()
                with trio.move_on_after(LOOK_EVERY_S):
                    await self._look_now.wait()

    def _turn(self, telling: Telling) -> _Turn:
        return self._turns.get(telling.request) or _Turn(trio.current_time(), FIRST_AGAIN_S)

    # -- ours

    async def _tell(self, telling: Telling, turn: _Turn) -> None:
        try:
            code = await self._ask(telling)
            await trio.to_thread.run_sync(self._desk.answered, telling, code)
            log.info("inviter answered peer=%s code=%s", telling.peer_id, code)
        except (StreamRefused, NotConnected, StreamBroken, trio.TooSlowError) as exc:
            log.info("inviter not told peer=%s reason=%r", telling.peer_id, exc)
        except RemoteProtocolError as exc:
            self._host.report_fault(telling.peer_id, str(exc))
        except Exception:  # the answer could not be kept, which is ours; it is asked for again
            log.exception("an answer to an acceptance was not kept peer=%s", telling.peer_id)
        finally:
            turn.is_under_way = False
            turn.due_at = trio.current_time() + turn.delay_s
            turn.delay_s = min(2 * turn.delay_s, LONGEST_AGAIN_S)

    async def _ask(self, telling: Telling) -> Code:
        async with await self._host.open_stream(telling.peer_id, INVITE) as stream:
            with trio.fail_after(ANSWER_S):
                await stream.write(frame(telling.request))
                return parse_answer(await _read_frame(stream, MAX_ANSWER_BYTES))

    # -- the peer's

    async def _serve(self, stream: Stream) -> None:
        """Hear one acceptance. What is raised is the peer's fault, and counts against it."""
        try:
            self._knocks.check(stream.peer_id, trio.current_time())
        except TooManyFrames:
            self._host.tally.count(Met.INVITE_PUT_OFF)
            raise
        asker = Asker(stream.peer_id, rented_block_of(stream.address), self._is_dialled(stream.peer_id))
        code = Code.LATER
        payload = await self._hear(stream, asker)
        if payload is not None:
            code = await self._weigh(asker, parse_acceptance(payload))
        await stream.write(frame(encode_answer(code)))

    async def _hear(self, stream: Stream, asker: Asker) -> bytes | None:
        """Its request; None if it did not come in time, or before others needed the seat."""
        reading = trio.CancelScope(deadline=trio.current_time() + READ_S)
        seat = self._seats.sit(asker, reading.cancel)
        if seat is None:
            self._host.tally.count(Met.INVITE_PUT_OFF)
            return None

        def came(count: int) -> None:
            reading.deadline += count / READ_BYTES_PER_S

        payload: bytes | None = None
        try:
            with reading:
                payload = await _read_frame(stream, MAX_REQUEST_BYTES, came)
        finally:
            self._seats.leave(seat)
        if reading.cancelled_caught:
            self._host.tally.count(Met.INVITE_PUT_OFF if seat.is_lost else Met.SLOW_PEER_CUT)
        return payload

    async def _weigh(self, asker: Asker, acceptance: Acceptance) -> Code:
        if not self._knocks.may_look(asker, trio.current_time()):
            self._host.tally.count(Met.INVITE_PUT_OFF)
            return Code.LATER
        try:
            refused = await trio.to_thread.run_sync(self._desk.look_up, acceptance, limiter=self._one_reader)
        except Exception:  # ours, as below
            log.exception("an invite could not be looked up peer=%s", asker.peer_id)
            return Code.LATER
        if refused is not None:
            log.info("acceptance refused peer=%s account=%s code=%s", asker.peer_id, acceptance.account, refused)
            return refused
        if not self._bench.sit(asker):
            self._host.tally.count(Met.INVITE_PUT_OFF)
            return Code.LATER
        try:
            return await self._judge(asker, acceptance)
        finally:
            self._bench.leave(asker)

    async def _judge(self, asker: Asker, acceptance: Acceptance) -> Code:
        if not self._knocks.may_judge(asker, trio.current_time()):
            self._host.tally.count(Met.INVITE_PUT_OFF)
            return Code.LATER
        try:
            # Never abandoned: what it signs is to be finished before the store closes.
            code = await trio.to_thread.run_sync(self._desk.judge, acceptance, limiter=self._one_judge)
        except Exception:  # ours: the store, a bug; not to be held against the peer
            log.exception("an acceptance could not be judged peer=%s", asker.peer_id)
            return Code.LATER
        log.info("acceptance judged peer=%s account=%s code=%s", asker.peer_id, acceptance.account, code)
        return code

    def _is_dialled(self, peer_id: str) -> bool:
        peer = self._host.find_peer(peer_id)
        return peer is not None and not peer.inbound


async def _read_frame(stream: Stream, max_bytes: int, came: Callable[[int], None] = lambda _: None) -> bytes:
    """The one frame of a side, saying how much came; raises ``FrameTooLarge``, ``MalformedFrame``, ``StreamBroken``."""
    deframer, read = Deframer(), 0
    while chunk := await stream.read():
        read += len(chunk)
        came(len(chunk))
        frames = deframer.feed(chunk)
        if read > max_bytes + 3 or len(frames) > 1:
            raise FrameTooLarge(f"more than one frame of {max_bytes} bytes")
        if frames:
            return frames[0]
    raise StreamBroken(f"{stream.peer_id} ended the stream before a whole frame")
