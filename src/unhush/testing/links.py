"""Connections between virtual nodes: reliable and in order as long as they last, and at the mercy of the weather.

The transport below a session is TCP. So a lost packet is no lost byte: it is
a stall, and the more are lost in a row the longer, until the connection
breaks, and with it all that was on its way. A partition stalls everything,
and breaks what it separates when it lasts.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol, TypeAlias

from unhush.testing.clock import VirtualClock

# What a stream takes before whoever writes must wait (yamux gives a stream 256 KiB).
WINDOW_BYTES: Final = 262_144

# The first wait for a lost packet, doubling; after so many in a row the connection is given up (12.6 s).
RESEND_S: Final = 0.2
MAX_RESENDS: Final = 6

# After so long without an answer to a ping a connection is given up.
KEEPALIVE_S: Final = 30.0

# A message that is not bytes of a stream takes room all the same.
OVERHEAD_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Weather:
    """What a connection has to go through, each way."""

    delay_s: float = 0.02  # to the other end
    jitter_s: float = 0.0  # more than that, at most
    loss: float = 0.0  # the share of flights that are lost and sent again, 0 to 1
    reset: float = 0.0  # the share of flights that break the connection
    bytes_per_s: float = float("inf")


CALM: Final = Weather()


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A sync stream begins."""

    stream: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a stream."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EndStream:
    """The stream ends after what was written."""

    stream: int


@dataclass(frozen=True, slots=True)
class HintMessage:
    """A gossip message."""

    data: bytes


@dataclass(frozen=True, slots=True)
class QuestionMessage:
    """A question about statements, on a stream of its own."""

    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class AnswerMessage:
    """The answer to it."""

    number: int
    payload: bytes


Message: TypeAlias = OpenStream | Chunk | EndStream | HintMessage | QuestionMessage | AnswerMessage


class Party(Protocol):
    """One end of a wire, as the wire sees it."""

    def take(self, wire: "Wire", message: Message) -> None:
        """A message came."""

    def wire_lost(self, wire: "Wire") -> None:
        """The connection is gone."""


@dataclass(slots=True)
class _Pipe:
    """One direction."""

    to: Party
    free_at: float = 0.0  # when the line has sent all it was given
    last_at: float = 0.0  # when the last of it arrives: nothing overtakes
    unread_bytes: int = 0
    waiting: deque[tuple[Message, Callable[[], None] | None]] = field(default_factory=deque)
    held: list[Message] = field(default_factory=list)  # by a partition
    is_lost: bool = False  # something on it never arrives, so nothing after it does
    is_read: bool = True
    unread: list[Message] = field(default_factory=list)


class Wire:
    """One connection; ``a`` dialled ``b``."""

    def __init__(self, number: int, a: Party, b: Party, *, clock: VirtualClock, dice: Random, weather: Weather) -> None:
        self.number = number
        self.a = a
        self.b = b
        self.weather = weather
        self.is_open = True
        self.is_cut = False
        self.when_broken: Callable[[Wire], None] | None = None
        self._cut_at = 0.0
        self._clock = clock
        self._dice = dice
        self._pipes = {id(a): _Pipe(b), id(b): _Pipe(a)}

    def other(self, party: Party) -> Party:
        return self.b if party is self.a else self.a

    def send(self, sender: Party, message: Message, when_taken: Callable[[], None] | None = None) -> None:
        """Send a message; ``when_taken`` once the stream took it, which is at once while there is room."""
        if not self.is_open:
            return
        pipe = self._pipes[id(sender)]
        if pipe.unread_bytes >= WINDOW_BYTES or pipe.waiting:
            pipe.waiting.append((message, when_taken))
            return
        self._fly(pipe, message)
        if when_taken is not None:
            when_taken()

    def let_read(self, reader: Party, *, is_read: bool) -> None:
        """Whether ``reader`` takes what comes; while it does not, the other side's window fills."""
        pipe = self._pipes[id(self.other(reader))]
        pipe.is_read = is_read
        if is_read:
            unread, pipe.unread = pipe.unread, []
            for message in unread:
                self._hand_over(pipe, message)

    def cut(self) -> None:
        """A partition: nothing gets through until ``mend``, and the connection is given up if that takes long."""
        self.is_cut = True
        since = self._clock.now
        self._cut_at = since
        self._clock.after(KEEPALIVE_S, lambda: self.break_() if self.is_cut and self._cut_at == since else None)

    def mend(self) -> None:
        """The partition is over: what waited goes on its way."""
        self.is_cut = False
        for pipe in self._pipes.values():
            held, pipe.held = pipe.held, []
            for message in held:
                self._launch(pipe, message)

    def break_(self) -> None:
        """The connection breaks; what is under way is lost, and both ends notice."""
        if not self.is_open:
            return
        self.is_open = False
        if self.when_broken is not None:
            self.when_broken(self)
        for party in (self.a, self.b):
            party.wire_lost(self)

    def _fly(self, pipe: _Pipe, message: Message) -> None:
        pipe.unread_bytes += _size(message)
        if self.is_cut:
            pipe.held.append(message)
        else:
            self._launch(pipe, message)

    def _launch(self, pipe: _Pipe, message: Message) -> None:
        if pipe.is_lost:
            return
        weather, now = self.weather, self._clock.now
        pipe.free_at = max(pipe.free_at, now) + _size(message) / weather.bytes_per_s
        arrives_at = pipe.free_at + weather.delay_s
        if weather.jitter_s:
            arrives_at += weather.jitter_s * self._dice.random()
        if weather.reset and self._dice.random() < weather.reset:
            pipe.is_lost = True
            self._clock.at(arrives_at, self.break_)
            return
        if weather.loss:
            resends = 0
            while self._dice.random() < weather.loss:
                resends += 1
            if resends > MAX_RESENDS:
                pipe.is_lost = True
                self._clock.at(arrives_at + RESEND_S * 2**MAX_RESENDS, self.break_)
                return
            arrives_at += RESEND_S * (2**resends - 1)
        pipe.last_at = max(arrives_at, pipe.last_at)
        self._clock.at(pipe.last_at, lambda: self._arrive(pipe, message))

    def _arrive(self, pipe: _Pipe, message: Message) -> None:
        if not self.is_open:
            return
        if not pipe.is_read:
            pipe.unread.append(message)
            return
        self._hand_over(pipe, message)

    def _hand_over(self, pipe: _Pipe, message: Message) -> None:
        pipe.unread_bytes -= _size(message)
        pipe.to.take(self, message)
        while pipe.waiting and self.is_open and pipe.unread_bytes < WINDOW_BYTES:
            waiting, when_taken = pipe.waiting.popleft()
            self._fly(pipe, waiting)
            if when_taken is not None:
                when_taken()


def _size(message: Message) -> int:
    match message:
        case Chunk(_, data) | HintMessage(data):
            return OVERHEAD_BYTES + len(data)
        case QuestionMessage(_, payload) | AnswerMessage(_, payload):
            return OVERHEAD_BYTES + len(payload)
        case _:
            return OVERHEAD_BYTES
