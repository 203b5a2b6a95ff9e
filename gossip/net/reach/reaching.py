"""Reaching: finds out whether others can connect to this node, and keeps places at relays if they cannot.

What is found is a hint for the dialler and for the person (``node/doctor.py``); no rule depends on it.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import trio

from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.net.reach.dialback import DialBack
from unhush.gossip.net.reach.punching import Puncher, Way
from unhush.gossip.net.reach.relaying import RelayClient, RelayService
from unhush.gossip.net.wire.services import contain
from unhush.gossip.proto.reach import Reach, Reachability, ReachView, RelayUse, SeenBy, View, host_of
from unhush.gossip.proto.tally import Met

log = logging.getLogger(__name__)

# How many peers are asked at a time: enough for a majority, few enough to be no burden.
ASKED: Final = 4

# How often they are asked again; a change of the router's rules is noticed within this.
ASK_EVERY_S: Final = 1_800.0

# A router has an address of either kind.
MAX_OUTSIDE: Final = 2

# After a new peer came it is asked, unless enough have answered; not at once, as several come together.
SETTLE_S: Final = 1.0


class Reaching:
    """One for each host; ``run`` until cancelled."""

    def __init__(
        self, host: Host, *, is_relay: bool, count: Callable[[Met], None], clock_ms: Callable[[], int] | None = None
    ) -> None:
        self._host = host
        self._known = Reachability()
        self._dialback = DialBack(host, clock_ms=clock_ms or _wall_clock_ms, count=count)
        self._client = RelayClient(host, is_needed=self._is_relay_needed)
        self._service = RelayService(host, count=count) if is_relay else None
        self._puncher = Puncher(host, find_way=self._find_way)
        self._rounds = 0
        self._woken = trio.Event()
        host.on_connected(self._came)

    def look(self) -> None:
        """Ask now."""
        self._woken.set()

    async def run(self) -> None:
        for peer in self._host.connected():
            self._came(peer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._client.run)
            nursery.start_soon(self._puncher.run)
            while True:
                with trio.move_on_after(ASK_EVERY_S):
                    await self._woken.wait()
                await trio.sleep(SETTLE_S)
                self._woken = trio.Event()
                await contain(self._ask_some)

    def view(self) -> ReachView:
        """On the network's loop only."""
        now = trio.current_time()
        scope = self._known.scope(now)
        use = None
        if self._service is not None:
            book = self._service.book
            use = RelayUse(book.reservation_count, book.circuit_count, book.carried_bytes)
        return ReachView(
            reach=self._known.verdict(now).value,
            scope=scope.name.lower() if scope is not None else "",
            observed=self._known.observed(now),
            skew_ms=self._known.skew_ms(now),
            seen_by=tuple(_seen_by(view, now) for view in self._known.views(now)),
            outside=self._host.outside,
            relays=self._host.relays,
            relay=use,
            mesh=self._host.mesh_peers(),
            rounds=self._rounds,
        )

    def _came(self, peer: ConnectedPeer) -> None:
        now = trio.current_time()
        if peer.inbound and "/p2p-circuit" not in peer.address:
            self._known.came_in(peer.address, now)
        if len(self._known.views(now)) < ASKED:
            self._woken.set()

    async def _find_way(self, relay_id: str) -> Way | None:
        """Our port of the connection with a relay, and as what the relay sees it now."""
        peer = self._host.find_peer(relay_id)
        source = self._host.left_from(peer) if peer is not None else None
        view = await self._dialback.identify(relay_id) if source is not None else None
        return Way(source, view.observed) if source is not None and view is not None else None

    def _is_relay_needed(self) -> bool:
        if self._service is not None:
            return False
        if not self._host.direct_addresses():
            return True
        return self._known.verdict(trio.current_time()) is Reach.CLOSED

    async def _ask_some(self) -> None:
        direct = [peer for peer in self._host.connected() if "/p2p-circuit" not in peer.address]
        # Whom we dialled ourselves before who came to us: strangers choose to come.
        chosen = sorted(direct, key=lambda peer: peer.inbound)[:ASKED]
        async with trio.open_nursery() as nursery:
            for peer in chosen:
                nursery.start_soon(self._ask, peer)
        self._announce()
        self._rounds += 1
        if self._is_relay_needed():
            self._client.poke()

    def _announce(self) -> None:
        """A router may send on what comes to our port there: then that is an address of ours as well."""
        own = self._host.direct_addresses()
        hosts = {host_of(address) for address in own}
        found = []
        for host in self._known.outside(trio.current_time()):
            kind = "ip6" if ":" in host else "ip4"
            port = _port_for(f"/{kind}/", own)
            if host not in hosts and port is not None:
                found.append(f"/{kind}/{host}/tcp/{port}/p2p/{self._host.peer_id}")
        self._host.outside = tuple(found[:MAX_OUTSIDE])

    async def _ask(self, peer: ConnectedPeer) -> None:
        port = _port_for(peer.address, self._host.direct_addresses())
        view = await self._dialback.ask(peer.peer_id, port) if port is not None else None
        if view is None:
            view = await self._dialback.identify(peer.peer_id)
        if view is not None:
            self._known.saw(replace(view, is_chosen=not peer.inbound))
            log.info("seen by peer=%s observed=%s reached=%s", view.peer_id, view.observed, view.reached)


def _port_for(address: str, listening: tuple[str, ...]) -> int | None:
    """Our port of the kind of address a peer is connected by."""
    kind = address.split("/")[1] if address else ""
    for own in listening:
        match own.split("/"):
            case ["", own_kind, _, "tcp", port, *_] if own_kind == kind:
                return int(port)
    return None


def _seen_by(view: View, now: float) -> SeenBy:
    return SeenBy(view.peer_id, view.observed, view.reached, view.skew_ms, int(now - view.at))


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000
