"""libp2p's streams with fewer steps: locks that cost nothing while they are free, and fewer window updates.

libp2p takes six locks for each piece that is read or written, and next to none of them is ever held. Taking one of
trio's is a checkpoint, and a checkpoint is a turn of the loop: a system call, and the interpreter given to whichever
thread waits for it. For a post that comes or goes, half of all turns of the loop were these.
"""

from types import TracebackType
from typing import Any, Final

import trio
from libp2p.io.abc import Reader
from libp2p.io.utils import read_exactly
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.yamux.yamux import YamuxStream

# Every so many steps that might have been a checkpoint one is, or whoever sends a thousand small frames at once would
# have the loop to itself for as long as they last. They take some 50 µs each.
STEPS: Final = 16

# Reads of a multiplexer in a row that may be no checkpoint either: of frames that nobody answers or waits for, an
# encrypted packet holds five thousand, and they would have the loop to themselves for 50 ms.
READS: Final = 64

# On a slow line half a window takes longer than a sender waits for room (``Stream.write``), so there so much is enough
# once this time has passed. Gossip that trickles seldom comes to it.
SLOW_BYTES: Final = 4_096
SLOW_S: Final = 1.0


class ReadyLock:
    """As ``trio.Lock`` in an ``async with``, but taking it while nobody holds it is seldom a checkpoint."""

    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._steps = 0

    async def __aenter__(self) -> None:
        self._steps = (self._steps + 1) % STEPS
        if self._steps and not self._lock.locked():
            self._lock.acquire_nowait()
        else:
            await self._lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class _Writers:
    """In place of a lock for readers and writers where only writers ever come."""

    def __init__(self) -> None:
        self._lock = ReadyLock()

    def write_lock(self) -> ReadyLock:
        return self._lock


class LightYamuxStream(YamuxStream):
    """Says that there is room again once half the window was read, as the specification has it, or every second.

    The stock one says so after every read, or with its switch ``PY_YAMUX_RELEASE_ON_READ`` off after every second one:
    a frame to encrypt for each message or two of gossip that never come near the window.
    """

    # ``Any``: they are declared as trio's.
    window_lock: Any
    close_lock: Any
    rw_lock: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.window_lock = ReadyLock()
        self.close_lock = ReadyLock()
        self.rw_lock = _Writers()
        self._unreleased = 0
        self._released_at = trio.current_time()

    async def _auto_tune_and_send_window_update(self, *, bytes_read: int = 0) -> None:
        self._unreleased += bytes_read
        if self._unreleased < self._grow_threshold() and not self._is_slow:
            return
        released, self._unreleased = self._unreleased, 0
        self._released_at = trio.current_time()
        await super()._auto_tune_and_send_window_update(bytes_read=released)

    @property
    def _is_slow(self) -> bool:
        return self._unreleased >= SLOW_BYTES and trio.current_time() - self._released_at >= SLOW_S


class FairReads:
    """In place of ``read_exactly``: a turn for everybody else now and then, though all that is asked for be there."""

    def __init__(self) -> None:
        self._reads = 0

    async def __call__(self, reader: Reader, n: int) -> bytes:
        self._reads += 1
        if self._reads % READS == 0:
            await trio.lowlevel.checkpoint()
        return await read_exactly(reader, n)


class LightNetStream(NetStream):
    """Its state is looked at without a turn of the loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._state_lock: Any = ReadyLock()
