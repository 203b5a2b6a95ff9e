"""Running libp2p's services so that a failing task is that task's end, not the node's.

A stock service manager collects whatever any of its tasks raises and takes the service, and with it
``trio.run``, down. It also searches its whole tree of tasks each time it starts one, which costs more the
more connections there are. Ours starts tasks directly and keeps what they raise to a log line.
"""

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.tools.anyio_service import Service
from libp2p.tools.anyio_service.trio_manager import TrioManager

log = logging.getLogger(__name__)

# A daemon task (the gossip heartbeat) that raised is started again after this; a second is one heartbeat.
DAEMON_RESTART_S = 1.0


class GuardedManager(TrioManager):
    """A manager none of whose tasks can end the service by raising."""

    def run_task(
        self,
        async_fn: Callable[..., Awaitable[Any]],
        *args: Any,
        daemon: bool = False,
        name: str | None = None,
        _internal: bool = False,
    ) -> None:
        if self._task_nursery is None:
            raise trio.ClosedResourceError(f"{self._service} is not running")
        if _internal:
            # The service's own run(): what climbs out of it is for the supervisor.
            self._task_nursery.start_soon(functools.partial(async_fn, *args), name=name)
        elif daemon:
            self._task_nursery.start_soon(_keep_alive, functools.partial(async_fn, *args), name=name)
        else:
            self._task_nursery.start_soon(contain, functools.partial(async_fn, *args), name=name)


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """Run a service while the block lasts. What its ``run`` raises cancels the block and comes out here."""
    async with trio.open_nursery() as nursery:
        manager = GuardedManager(service)
        service._manager = manager
        nursery.start_soon(manager.run)
        await manager.wait_started()
        try:
            yield
        finally:
            manager.cancel()
            with trio.CancelScope(shield=True):
                await manager.wait_finished()


async def contain(task: Callable[[], Awaitable[Any]]) -> None:
    """Do something for which the network shall not fall: what it raises is logged as our mistake, and left."""
    try:
        await task()
    except Exception:
        log.exception("network task failed; carrying on task=%r", task)


async def _keep_alive(task: Callable[[], Awaitable[Any]]) -> None:
    while True:
        await contain(task)
        await trio.sleep(DAEMON_RESTART_S)
