"""The supervisor starts the network again, and only the network."""

from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from unhush.gossip.errors import ListenFailed
from unhush.gossip.net import supervisor
from unhush.gossip.net.supervisor import supervise


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await body()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_network_that_falls_over_is_started_again_with_growing_delays() -> None:
    starts: list[float] = []

    async def network() -> None:
        starts.append(trio.current_time())
        if len(starts) < 12:
            raise KeyError("unforeseen")

    run(lambda: supervise(network))
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses[:4] == pytest.approx([1, 2, 4, 8])
    assert max(pauses) == pytest.approx(supervisor.LONGEST_DELAY_S)


def test_a_good_run_forgives_earlier_failures() -> None:
    starts: list[float] = []

    async def network() -> None:
        starts.append(trio.current_time())
        if len(starts) == 6:
            await trio.sleep(supervisor.GOOD_RUN_S)
        if len(starts) < 8:
            raise KeyError("unforeseen")

    run(lambda: supervise(network))
    assert starts[6] - starts[5] == pytest.approx(supervisor.GOOD_RUN_S + 1)


def test_a_failure_deep_in_nurseries_is_a_failure_too() -> None:
    starts = 0

    async def network() -> None:
        nonlocal starts
        starts += 1
        if starts > 1:
            return
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(trio.sleep_forever)
            inner.start_soon(fail)

    async def fail() -> None:
        raise OSError("deep down")

    run(lambda: supervise(network))
    assert starts == 2


def test_cancellation_passes() -> None:
    starts = 0

    async def network() -> None:
        nonlocal starts
        starts += 1
        await trio.sleep_forever()

    async def body() -> None:
        with trio.move_on_after(1):
            await supervise(network)

    run(body)
    assert starts == 1


def test_an_address_in_use_at_the_first_start_is_for_the_person() -> None:
    async def network() -> None:
        raise ExceptionGroup("", [ListenFailed("port taken")])

    with pytest.raises(ExceptionGroup):
        run(lambda: supervise(network))


def test_an_address_in_use_at_a_restart_is_waited_for() -> None:
    starts = 0

    async def network() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise KeyError("unforeseen")
        if starts == 2:
            raise ListenFailed("not yet free")

    run(lambda: supervise(network))
    assert starts == 3
