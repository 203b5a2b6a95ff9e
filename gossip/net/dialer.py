"""The dialler: keeps one connection with each peer the address book wants connected.

It only carries out. Whom to dial and when is for :mod:`unhush.gossip.proto.addresses`; libp2p's own
bootstrap gives a peer up after three failures.
"""

import logging
from collections.abc import Callable, Iterable

import trio

from unhush.gossip.errors import DialFailed, MalformedAddress
from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.proto.addresses import Address, AddressBook, Known, Source

log = logging.getLogger(__name__)

# Dials at a time: an unreachable address takes ten seconds, and must not hold up the others.
MAX_DIALS = 8

# The book is saved at most this often, so that a busy hour of gossip about addresses is one write a minute.
SAVE_INTERVAL_S = 60.0


class Dialer:
    """Dials what is due until cancelled."""

    def __init__(
        self,
        host: Host,
        book: AddressBook,
        *,
        load: Callable[[], Iterable[Known]],
        save: Callable[[tuple[Known, ...]], None],
    ) -> None:
        self._host = host
        self._book = book
        self._load = load
        self._save = save
        self._dialling: dict[str, str] = {}
        self._poked = trio.Event()
        self._saved: tuple[Known, ...] = ()

    def poke(self) -> None:
        """Look again now: the book changed, or the network may be back."""
        self._poked.set()

    def add(self, address: str, source: Source, *, told_by: str | None = None) -> bool:
        """Enter an address and dial it soon; false when we never would. Raises :class:`MalformedAddress`."""
        is_new = self._book.remember(address, source, trio.current_time(), told_by=told_by)
        self.poke()
        return is_new

    async def run(self) -> None:
        """Keep connections. Returns when cancelled."""
        self._fill()
        self._host.on_connected(self._when_connected)
        self._host.on_disconnected(self._when_disconnected)
        for peer in self._host.connected():
            self._when_connected(peer)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_saved)
                while True:
                    self._poked = trio.Event()
                    wait_s = self._start_due(nursery)
                    with trio.move_on_after(wait_s):
                        await self._poked.wait()
        finally:
            self._save_now()

    def _fill(self) -> None:
        now = trio.current_time()
        for known in self._load():
            try:
                # What was learned was judged when it was learned; the teller is not kept, so the rule for an
                # unknown teller applies: public addresses only.
                self._book.remember(known.address, known.source, now)
            except MalformedAddress as exc:
                log.warning("address in the book is not one reason=%s", exc)

    def _start_due(self, nursery: trio.Nursery) -> float:
        """Start every dial that is due; how long until there may be another."""
        now = trio.current_time()
        while len(self._dialling) < MAX_DIALS:
            address = self._book.next_due(now, self._busy())
            if address is None:
                break
            self._dialling[address.peer_id] = address.text
            nursery.start_soon(self._dial, address)
        else:
            # A dial that ends pokes us.
            return float("inf")
        next_at = self._book.next_time(self._busy())
        return float("inf") if next_at is None else max(0.0, next_at - now)

    def _busy(self) -> dict[str, str]:
        return {peer.peer_id: peer.address for peer in self._host.connected()} | self._dialling

    async def _dial(self, address: Address) -> None:
        try:
            await self._host.dial(address.text)
        except DialFailed as exc:
            log.info("dial failed %s", exc)
            self._book.failed(address.peer_id, address.text, trio.current_time())
        finally:
            del self._dialling[address.peer_id]
            self.poke()

    def _when_connected(self, peer: ConnectedPeer) -> None:
        self._book.succeeded(peer.peer_id, trio.current_time())
        self.poke()

    def _when_disconnected(self, peer: ConnectedPeer) -> None:
        self._book.lost(peer.peer_id, trio.current_time())
        self.poke()

    async def _keep_saved(self) -> None:
        while True:
            await trio.sleep(SAVE_INTERVAL_S)
            self._save_now()

    def _save_now(self) -> None:
        known = self._book.remembered()
        if known != self._saved:
            self._save(known)
            self._saved = known
