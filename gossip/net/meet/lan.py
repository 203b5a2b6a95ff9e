"""The local network: say that we are here, and hear who else is (mDNS and DNS-SD, by the zeroconf library).

zeroconf has threads of its own. What it hears comes over by name, through a
bounded queue; what a name stands for is asked on other threads, and judged here
by :mod:`unhush.gossip.proto.neighbours`. Only the interfaces of local networks
take part, and only while we listen there: a node that listens on loopback or on
the Internet alone is silent. Where there is no multicast, that is said and tried
again; nothing else depends on it.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

import trio
from zeroconf import InterfaceChoice, IPVersion, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from unhush.gossip.errors import MalformedAddress
from unhush.gossip.proto.neighbours import (
    MAX_NEIGHBOURS,
    SERVICE,
    Announcement,
    Answer,
    Neighbours,
    find_announcement,
    read_answer,
)

log = logging.getLogger(__name__)

# How often it is looked whether we listen elsewhere now, and multicast tried again where there was none.
LOOK_EVERY_S: Final = 60.0
# How often neighbours are entered into the address book anew, which may have dropped them.
REFRESH_S: Final = 300.0
# What one neighbour is waited for, and how many at a time: names are cheap to make up.
ASK_S: Final = 3.0
MAX_ASKED: Final = 4
# Names that wait to be asked for.
MAX_HEARD: Final = 2 * MAX_NEIGHBOURS

# A name, and whether it is there or gone. Called on any thread.
Heard = Callable[[str, bool], None]
# An address to be entered as one that its own machine told us.
Enter = Callable[[str], None]


class Wire(Protocol):
    """Multicast, while it is open. All of it blocks."""

    def ask(self, name: str, timeout_s: float) -> Answer | None:
        """What a name stands for; None if nobody says."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...


OpenWire = Callable[[Announcement, Heard], Wire]


class Lan:
    """Announces and listens while it runs."""

    def __init__(
        self,
        *,
        network: str,
        peer_id: str,
        listen: Callable[[], tuple[str, ...]],
        enter: Enter,
        ignored: Callable[[], None] = lambda: None,
        open_wire: "OpenWire | None" = None,
    ) -> None:
        self._network = network
        self._peer_id = peer_id
        self._listen = listen
        self._enter = enter
        self._ignored = ignored
        self._open_wire = open_wire or ZeroconfWire
        self._neighbours = Neighbours()
        self._heard: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._news = trio.Event()
        self._problem = "not started yet"

    @property
    def problem(self) -> str:
        """Why we take no part; empty if we do."""
        return self._problem

    def __len__(self) -> int:
        return len(self._neighbours)

    async def run(self) -> None:
        """Take part until cancelled."""
        while True:
            said = find_announcement(self._network, self._peer_id, self._listen())
            if said is None:
                self._problem = "this node listens on no address of a local network"
            else:
                await self._take_part(said)
            await trio.sleep(LOOK_EVERY_S)

    async def _take_part(self, said: Announcement) -> None:
        """Until we listen elsewhere, or at once if it cannot be."""
        token = trio.lowlevel.current_trio_token()

        def heard(name: str, is_there: bool) -> None:
            if self._put(name, is_there):
                try:
                    token.run_sync_soon(self._wake, idempotent=True)
                except trio.RunFinishedError:
                    log.debug("heard of a neighbour after the end")

        try:
            wire = await trio.to_thread.run_sync(self._open_wire, said, heard)
        except Exception as exc:  # noqa: BLE001  # the library raises a dozen kinds; none is worth the network
            self._problem = f"no multicast here: {exc or type(exc).__name__}"
            log.warning("local network not used reason=%r", exc)
            return
        self._problem = ""
        log.info("announced on the local network addresses=%s port=%d", said.addresses, said.port)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._refresh)
                for _ in range(MAX_ASKED):
                    nursery.start_soon(self._ask, wire)
                await self._while_here(said)
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await _close(wire)

    async def _while_here(self, said: Announcement) -> None:
        is_here = True
        while is_here:
            await trio.sleep(LOOK_EVERY_S)
            is_here = find_announcement(self._network, self._peer_id, self._listen()) == said

    def _put(self, name: str, is_there: bool) -> bool:
        """Queue a name, on whichever thread; False if too many wait."""
        with self._lock:
            if name not in self._heard and len(self._heard) >= MAX_HEARD:
                return False
            self._heard[name] = is_there
            return True

    def _take(self) -> tuple[str, bool] | None:
        with self._lock:
            name = next(iter(self._heard), None)
            return (name, self._heard.pop(name)) if name is not None else None

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def _ask(self, wire: Wire) -> None:
        while True:
            news = self._news
            taken = self._take()
            if taken is None:
                await news.wait()
                continue
            name, is_there = taken
            if not is_there:
                self._neighbours.gone(name)
            elif self._neighbours.minds(name):
                await self._ask_for(wire, name)
            else:
                self._ignored()

    async def _ask_for(self, wire: Wire, name: str) -> None:
        try:
            # Given up at the end: it changes nothing, and would hold the end up.
            answer = await trio.to_thread.run_sync(
                lambda: wire.ask(name, ASK_S),
                abandon_on_cancel=True,  # type: ignore[call-arg]  # the stubs that libp2p brings are older than trio
            )
        except Exception as exc:  # noqa: BLE001  # what anybody nearby may send is read in there
            log.debug("neighbour not asked name=%s reason=%r", name, exc)
        else:
            self._answered(answer)

    def _answered(self, answer: Answer | None) -> None:
        if answer is None:
            return
        addresses = read_answer(answer, network=self._network, own_peer_id=self._peer_id)
        if self._neighbours.heard(answer.name, addresses):
            log.info("neighbour on the local network addresses=%s", addresses)
            self._enter_all(addresses)

    async def _refresh(self) -> None:
        while True:
            await trio.sleep(REFRESH_S)
            self._enter_all(self._neighbours.addresses())

    def _enter_all(self, addresses: tuple[str, ...]) -> None:
        for address in addresses:
            try:
                self._enter(address)
            except MalformedAddress as exc:
                log.debug("address of a neighbour not usable %s", exc)


async def _close(wire: Wire) -> None:
    try:
        await trio.to_thread.run_sync(wire.close)
    except Exception as exc:  # noqa: BLE001  # the network it says goodbye to may be gone
        log.debug("the local network was left without goodbye reason=%r", exc)


class ZeroconfWire:
    """The library; raises ``OSError`` or its own ``Error`` where there is no multicast."""

    def __init__(self, said: Announcement, heard: Heard) -> None:
        interfaces: list[str | int] = list(said.addresses)
        self._zeroconf = Zeroconf(interfaces or InterfaceChoice.All, ip_version=IPVersion.V4Only)
        try:
            info = ServiceInfo(
                SERVICE,
                said.name,
                port=said.port,
                properties=said.properties(),
                server=f"{said.peer_id[-20:]}.local.",
                parsed_addresses=list(said.addresses),
            )
            # A peer id is nobody else's: to ask first whether the name is free costs a second, and a machine that comes
            # back would find itself in its neighbours' memory.
            self._zeroconf.register_service(info, cooperating_responders=True)
            self._browser = ServiceBrowser(self._zeroconf, SERVICE, handlers=[_handler(heard)])
        except BaseException:
            self._zeroconf.close()
            raise

    def ask(self, name: str, timeout_s: float) -> Answer | None:
        info = self._zeroconf.get_service_info(SERVICE, name, timeout=int(timeout_s * 1000))
        if info is None or info.port is None:
            return None
        return Answer(name, info.properties, tuple(info.parsed_addresses(IPVersion.V4Only)), info.port)

    def close(self) -> None:
        self._zeroconf.close()


def _handler(heard: Heard) -> Callable[..., None]:
    # The library calls it with names, some of which say nothing new.
    def changed(*, name: str, state_change: ServiceStateChange, **_: object) -> None:
        heard(name, state_change is not ServiceStateChange.Removed)

    return changed
