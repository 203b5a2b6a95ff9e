"""Calling bootstrap peers while nobody is connected; when and whom, :mod:`unhush.gossip.proto.bootstrapping` says.

The connection is made here and not by the dialler: these are not in the address book, which would keep calling them.
"""

import logging
from collections.abc import Sequence

import trio

from unhush.gossip.errors import DialFailed
from unhush.gossip.net.host import Host
from unhush.gossip.proto.bootstrapping import Bootstrap

log = logging.getLogger(__name__)

# How often it is looked whether anybody is connected.
LOOK_EVERY_S = 1.0


async def keep_bootstrapped(host: Host, addresses: Sequence[str], *, seed: bytes) -> None:
    """Until cancelled; returns at once without addresses."""
    bootstrap = Bootstrap(addresses, seed=seed, now=trio.current_time())
    if bootstrap.next_time() == float("inf"):
        return
    while True:
        if host.connected():
            bootstrap.somebody_is_there(trio.current_time())
        elif (address := bootstrap.next(trio.current_time())) is not None:
            try:
                await host.dial(address)
                log.info("bootstrap peer called address=%s", address)
            except DialFailed as exc:
                log.info("bootstrap peer not reached %s", exc)
        await trio.sleep(LOOK_EVERY_S)
