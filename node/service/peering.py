"""Machines: whom this home remembers, who is connected, whether one answers, and whether all they have is here."""

import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from unhush.node.config import Config, bootstrap_of, check_address
from unhush.node.control import ask
from unhush.node.errors import BadConfig, NobodyAnswered, NoPage, NotFound, NotRunning
from unhush.node.views import NetworkView, PeerInfo, Ping, SyncInfo
from unhush.storage.contacts import Contact
from unhush.storage.store import Store

if TYPE_CHECKING:
    from unhush.node.service.running import Running

# All is here once nothing was missing for so long: a session that opens says within this what its peer carries.
_SETTLED_S: Final = 1.0
# A dial to nowhere takes ten seconds; those under way are waited for no longer.
_DIALS_S: Final = 12.0
_LOOK_EVERY_S: Final = 0.1
# Where no machine is known somebody may still be on the local network, who answers within a second or two.
_LAN_S: Final = 5.0


_HOW_TO_ADD: Final = "add one: unhush peers add MULTIADDR, or take an invite of somebody: unhush accept INVITE"


@dataclass(frozen=True, slots=True)
class Synced:
    """What a look at the peers came to."""

    is_done: bool  # all that connected peers have is here, but for those not waited for
    peers: int  # asked
    wanted: int  # accounts of others followed or kept
    covered: int  # those of them that a connected peer carries
    records: int  # that came meanwhile
    took_s: float
    not_waited_for: tuple[str, ...] = ()  # peers that owe an answer and have said nothing for some seconds


class Peering:
    """The part of a node that deals with machines."""

    config: Config
    _store: Store
    _running: "Running | None"
    _lingers: bool

    @abstractmethod
    def start_network(self) -> None: ...

    @abstractmethod
    def _network_view(self) -> NetworkView | None: ...

    def peers(self) -> tuple[PeerInfo, ...]:
        """Addresses remembered, and connections of the node that runs on this home, here or elsewhere."""
        view = self._network_view()
        connected = view.peers if view is not None else ()
        peers = {peer.peer for peer in connected}
        known = [
            PeerInfo(address, peer_of(address), connected=False, inbound=False)
            for address in self._remembered()
            if peer_of(address) not in peers
        ]
        return (*connected, *known)

    def add_peer(self, address: str) -> None:
        """Remember an address and dial it when a node runs; raises ``BadConfig``."""
        self._store.put_contact(Contact(check_address(address), is_configured=True))

    def offer_page(self, make_address: Callable[[], str]) -> None:
        """Let other processes of this user ask the running node for one-time addresses of its local page."""
        if self._running is not None:
            self._running.offer_page(make_address)

    def make_page_address(self) -> str:
        """A one-time address of the local page of the node that runs on this home.

        Raises ``NotRunning``, ``NoPage`` if it serves none.
        """
        running = self._running
        address = running.make_page_address() if running is not None else ask(self.config.home, "page").get("address")
        if not isinstance(address, str):
            raise NoPage("the node that runs here serves no page: it was started with --web off")
        return address

    def forget_peer(self, peer: str) -> tuple[str, ...]:
        """Forget an address, or all addresses of a peer, and end what connects us; the addresses forgotten.

        It may be met again, if others tell of it. Raises ``NotFound``.
        """
        remembered = self._remembered()
        forgotten = tuple(address for address in remembered if peer in (address, peer_of(address)))
        peer_id = peer_of(peer)
        view = self._network_view()
        if not forgotten and (peer != peer_id or view is None or all(each.peer != peer_id for each in view.peers)):
            raise NotFound(f"no machine {peer[:256]} is known")
        for address in forgotten:
            self._store.drop_contact(address)
        if view is not None and not any(peer_of(address) == peer_id for address in set(remembered) - set(forgotten)):
            running = self._running
            if running is not None:
                running.forget_peer(peer_id)
            else:
                ask(self.config.home, "forget", peer=peer_id)
        return forgotten

    def ping_peer(self, peer: str) -> Ping:
        """How long a machine takes to answer, named by an address or, if it is known, by its id.

        An address is dialled anew, whether or not the machine is connected. By its id a machine is asked over the
        running node's connection if there is one, else at each address known of it. Raises ``BadConfig``,
        ``NotFound``, ``NobodyAnswered``.
        """
        if "/" not in peer:
            view = self._network_view()
            for each in view.peers if view is not None else ():
                if each.peer == peer:
                    return Ping(each.address, peer, self._ping_connected(peer), was_connected=True)
        ways = self._ways_to(peer)
        from unhush.node.service.running import ping_address  # lazy: the network costs a second and 80 MB

        last: NobodyAnswered | None = None
        for address in ways:
            try:
                return Ping(address, peer_of(address), ping_address(address))
            except NobodyAnswered as exc:
                last = exc
        raise last or NobodyAnswered(f"{peer} does not answer")

    def sync(
        self, timeout_s: float = 60.0, on_progress: Callable[[SyncInfo], None] = lambda _: None, *, wait: bool = True
    ) -> Synced:
        """Look now, and wait until all that connected peers have is here, or time is up.

        A peer that owes an answer and says nothing for some seconds is not waited for, if others gave all they have.
        Without a running node the network runs until ``close``. ``on_progress`` hears of every change. Without
        ``wait`` the running node is only told to look. Raises ``NobodyAnswered`` if no peer did, ``NotRunning`` if
        there is nobody to tell, ``NetworkFailed``, ``NoAccount``. While nobody is known, only the local network is
        waited for, some seconds.
        """
        began, records = time.monotonic(), self._count_records()
        is_anybody_known = self.knows_anybody()
        self._look_now(may_start=wait)
        settled_at: float | None = None
        seen = SyncInfo()
        while wait:
            view = self._network_view()
            now = time.monotonic()
            state = view.sync if view is not None else SyncInfo()
            if state != seen:
                seen = state
                on_progress(state)
            settled_at = (settled_at or now) if state.is_quiet else None
            has_dialled = not state.dialling or now - began > _DIALS_S
            if settled_at is not None and now - settled_at >= _SETTLED_S and has_dialled:
                return self._synced(state, began, records, is_done=True)
            if not is_anybody_known and not (view is not None and view.peers) and now - began > _LAN_S:
                raise NobodyAnswered(f"no machine is known yet, and none is on the local network; {_HOW_TO_ADD}")
            if now - began > timeout_s:
                if not state.sessions:
                    raise NobodyAnswered(f"no machine answered within {timeout_s:g} s")
                return self._synced(state, began, records, is_done=False)
            time.sleep(_LOOK_EVERY_S)
        return self._synced(seen, began, records, is_done=False)

    def knows_anybody(self) -> bool:
        """Whether there is any machine to call."""
        return bool(self._remembered() or self.config.peers or bootstrap_of(self.config))

    def _look_now(self, *, may_start: bool) -> None:
        running = self._running
        if running is not None:
            running.look_now()
            return
        try:
            ask(self.config.home, "look_now")
        except NotRunning:
            if not may_start:
                raise
            if not (self.knows_anybody() or self.config.lan):
                raise NobodyAnswered(f"no machine is known yet; {_HOW_TO_ADD}") from None
            self.start_network()
            self._lingers = True

    def _synced(self, state: SyncInfo, began: float, records: int, *, is_done: bool) -> Synced:
        came = max(0, self._count_records() - records)
        took_s = time.monotonic() - began
        return Synced(is_done, state.sessions, state.wanted, state.covered, came, took_s, state.silent)

    def _ways_to(self, peer: str) -> tuple[str, ...]:
        """The addresses of a machine."""
        try:
            return (check_address(peer),)
        except BadConfig:
            if "/" in peer:
                raise
        ways = tuple(address for address in self._remembered() if peer_of(address) == peer)
        if not ways:
            raise NotFound(f"no machine {peer[:256]} is known")
        return ways

    def _ping_connected(self, peer_id: str) -> float:
        running = self._running
        if running is not None:
            return running.ping(peer_id)
        answer = ask(self.config.home, "ping", peer=peer_id)
        if "ms" not in answer:
            raise NobodyAnswered(str(answer.get("silent", "no answer")))
        return float(answer["ms"])

    def _remembered(self) -> tuple[str, ...]:
        with self._store.snapshot() as snapshot:
            return tuple(contact.address for contact in snapshot.contacts())

    def _count_records(self) -> int:
        with self._store.snapshot() as snapshot:
            return snapshot.count_records()


def peer_of(address: str) -> str:
    """The peer an address leads to; of an id, that id."""
    return address.rpartition("/p2p/")[2]
