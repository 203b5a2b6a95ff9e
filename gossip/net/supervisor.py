"""The supervisor: when the network falls over, the network starts again, not the node.

Every guard below is meant to make this unnecessary. What still climbs out of the network's nursery is a
fault nobody thought of; then the peers are gone for a second, and the store, the web page and the person's
own posts never notice.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from unhush.gossip.errors import ListenFailed

log = logging.getLogger(__name__)

FIRST_DELAY_S = 1.0
# A fault that a peer can cause at will costs at most one start a minute.
LONGEST_DELAY_S = 60.0
# A run this long was a good one: the next failure starts from the first delay again.
GOOD_RUN_S = 300.0


@dataclass(frozen=True, slots=True)
class Outage:
    """The network is down and will start again."""

    reason: str
    for_s: float  # since it fell over, also if it did so again meanwhile
    starts: int  # how often it was started in vain


class Backoff:
    """How long to wait before the next start."""

    def __init__(self) -> None:
        self._delay_s = FIRST_DELAY_S

    def next_delay_s(self, ran_for_s: float) -> float:
        """After a run of so long, which failed."""
        if ran_for_s >= GOOD_RUN_S:
            self._delay_s = FIRST_DELAY_S
        delay_s = self._delay_s
        self._delay_s = min(delay_s * 2, LONGEST_DELAY_S)
        return delay_s


async def supervise(
    run_network: Callable[[], Awaitable[None]], fell_over: Callable[[Exception], None] = lambda _: None
) -> None:
    """Run the network, again after each failure, until it returns or we are cancelled.

    ``run_network`` opens the host and everything upon it, afresh each time; ``fell_over`` is told of each failure.
    Raises :class:`ListenFailed` if the very first start cannot have its address: that is for the person at the
    keyboard.
    """
    backoff = Backoff()
    has_failed = False
    while True:
        started_at = trio.current_time()
        try:
            await run_network()
        except Exception as exc:
            if not has_failed and _is_listen_failure(exc):
                raise
            has_failed = True
            delay_s = backoff.next_delay_s(trio.current_time() - started_at)
            log.exception("network fell over; starting again delay_s=%.0f", delay_s)
            fell_over(exc)
        else:
            return
        await trio.sleep(delay_s)


def in_words(exc: BaseException) -> str:
    """What made the network fall over, for whoever reads the status."""
    while True:
        if isinstance(exc, BaseExceptionGroup) and exc.exceptions:
            exc = exc.exceptions[0]
        elif isinstance(exc, trio.TrioInternalError) and exc.__cause__ is not None:
            exc = exc.__cause__
        else:
            break
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


def _is_listen_failure(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return any(_is_listen_failure(each) for each in exc.exceptions)
    return isinstance(exc, ListenFailed)
