"""Meeting people: invites, the local network and bootstrap peers, as one task beside the others of a host."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from unhush.gossip.net.host import Host
from unhush.gossip.net.meet.bootstrapping import keep_bootstrapped
from unhush.gossip.net.meet.inviting import InviteDesk, Inviting
from unhush.gossip.proto.addresses import Source
from unhush.gossip.proto.tally import Met

if TYPE_CHECKING:
    from unhush.gossip.net.meet.lan import Lan

# An address, who it comes from, and the address of who told us.
Enter = Callable[[str, Source, str], object]


@dataclass(frozen=True, slots=True)
class MeetingConfig:
    """How people are met. With nothing in it, none are."""

    desk: InviteDesk | None = None  # invites are heard and told
    lan: bool = False  # announce and listen on the local network
    bootstrap: tuple[str, ...] = ()  # called while nobody is connected


@dataclass(frozen=True, slots=True)
class LanView:
    """The local network as it is now."""

    neighbours: int  # that are announced
    problem: str  # why we take no part; empty if we do


class Meeting:
    """Runs beside a host; ``enter`` puts an address into the book."""

    def __init__(self, host: Host, config: MeetingConfig, *, network: str, seed: bytes, enter: Enter) -> None:
        self._host = host
        self._config = config
        self._network = network
        self._seed = seed
        self._enter = enter
        self._lan: Lan | None = None

    def lan(self) -> LanView:
        """Callable from any thread."""
        if self._lan is None:
            return LanView(0, "switched off" if not self._config.lan else "not started yet")
        return LanView(len(self._lan), self._lan.problem)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._config.desk is not None:
                nursery.start_soon(Inviting(self._host, self._config.desk).run)
            if self._config.lan:
                from unhush.gossip.net.meet.lan import Lan  # lazy: a node that takes no part need not load zeroconf

                self._lan = Lan(
                    network=self._network,
                    peer_id=self._host.peer_id,
                    listen=self._host.direct_addresses,
                    enter=self._neighbour,
                    ignored=lambda: self._host.tally.count(Met.NEIGHBOUR_IGNORED),
                )
                nursery.start_soon(self._lan.run)
            nursery.start_soon(self._bootstrap)

    async def _bootstrap(self) -> None:
        await keep_bootstrapped(self._host, self._config.bootstrap, seed=self._seed)

    def _neighbour(self, address: str) -> None:
        # Its own machine told us, from the local network; so it may be on the local network.
        self._enter(address, Source.LEARNED, address)
