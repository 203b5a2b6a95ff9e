"""The supervisor: when the network falls over, the network starts again, not the node.

Every guard below is meant to make this unnecessary. What still climbs out of the network's nursery is a
fault nobody thought of; then the peers are gone for a second, and the store, the web page and the person's
own posts never notice.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from unhush.gossip.errors import ListenFailed

log = logging.getLogger(__name__)

FIRST_DELAY_S = 1.0
# A fault that a peer can cause at will costs at most one start a minute.
LONGEST_DELAY_S = 60.0
# A run this long was a good one: the next failure starts from the first delay again.
GOOD_RUN_S = 300.0


async def supervise(run_network: Callable[[], Awaitable[None]]) -> None:
    """Run the network, again after each failure, until it returns or we are cancelled.

    ``run_network`` opens the host and everything upon it, afresh each time. Raises :class:`ListenFailed` if
    the very first start cannot have its address: that is for the person at the keyboard.
    """
    delay_s = FIRST_DELAY_S
    has_failed = False
    while True:
        started_at = trio.current_time()
        try:
            await run_network()
        except Exception as exc:
            if not has_failed and _is_listen_failure(exc):
                raise
            has_failed = True
            if trio.current_time() - started_at >= GOOD_RUN_S:
                delay_s = FIRST_DELAY_S
            log.exception("network fell over; starting again delay_s=%.0f", delay_s)
        else:
            return
        await trio.sleep(delay_s)
        delay_s = min(delay_s * 2, LONGEST_DELAY_S)


def _is_listen_failure(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return any(_is_listen_failure(each) for each in exc.exceptions)
    return isinstance(exc, ListenFailed)
