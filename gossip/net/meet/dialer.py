"""The dialler: carries out what the chooser decides, and keeps the address book over restarts.

Whom to dial, whom to let go and whom to ask for more peers is for :mod:`unhush.gossip.proto.choosing`; libp2p's
own bootstrap gives a peer up after three failures.
"""

import logging
from collections.abc import Callable, Iterable
from typing import assert_never

import trio

from unhush.gossip.errors import DialFailed, MalformedAddress
from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.proto.addresses import Address, AddressBook, Known, Source, parse_address
from unhush.gossip.proto.choosing import Chooser
from unhush.gossip.proto.decisions import AskPeers, Dial, LetGo
from unhush.storage.errors import StorageError

log = logging.getLogger(__name__)

# The book is saved at most this often, so that a busy hour of gossip about addresses is one write a minute.
SAVE_INTERVAL_S = 60.0

# Looks follow each other no closer than this, unless something happened in between.
MIN_WAIT_S = 0.05


class Dialer:
    """Connects, lets go and asks as the chooser says, until cancelled."""

    def __init__(
        self,
        host: Host,
        book: AddressBook,
        chooser: Chooser,
        *,
        load: Callable[[], Iterable[Known]],
        save: Callable[[tuple[Known, ...]], None],
        ask: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._host = host
        self._book = book
        self._chooser = chooser
        self._load = load
        self._save = save
        self._ask = ask
        self._poked = trio.Event()
        self._saved: tuple[Known, ...] = ()

    def poke(self) -> None:
        """Look again now: something changed that the chooser should see."""
        self._poked.set()

    def add(self, address: str, source: Source, *, told_by: str | None = None) -> bool:
        """Enter an address; false when we would never dial it. Raises :class:`MalformedAddress`."""
        is_new = self._book.remember(address, source, trio.current_time(), told_by=told_by)
        self.poke()
        return is_new

    def forget(self, peer_id: str) -> None:
        """Take a peer out of the book."""
        self._chooser.forget(peer_id)
        self.poke()

    def start(self) -> None:
        """Read the book, and hear of every connection from now on."""
        self._fill()
        self._host.on_connected(self._when_connected)
        self._host.on_disconnected(self._when_disconnected)
        for peer in self._host.connected():
            self._when_connected(peer)

    async def run(self) -> None:
        """Keep connections, once started. Returns when cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_saved)
                while True:
                    self._poked = trio.Event()
                    self._decide(nursery)
                    now = trio.current_time()
                    with trio.move_on_after(max(MIN_WAIT_S, self._chooser.next_time(now) - now)):
                        await self._poked.wait()
        finally:
            with trio.CancelScope(shield=True):
                await self._save_now()

    def _fill(self) -> None:
        now = trio.current_time()
        anchors: list[str] = []
        for known in self._load():
            try:
                # What was learned was judged when it was learned; the teller is not kept, so of what never worked
                # the rule for an unknown teller applies: public addresses only.
                if self._book.remember(known.address, known.source, now, told_by=known.told_by) and known.is_anchor:
                    anchors.append(parse_address(known.address).peer_id)
            except MalformedAddress as exc:
                log.warning("address in the book is not one reason=%s", exc)
        self._chooser.set_anchors(dict.fromkeys(anchors))

    def _decide(self, nursery: trio.Nursery) -> None:
        for decision in self._chooser.decide(trio.current_time()):
            match decision:
                case Dial(address):
                    nursery.start_soon(self._dial, address)
                case LetGo(peer_id):
                    log.info("letting go peer=%s", peer_id)
                    nursery.start_soon(self.let_go, peer_id)
                case AskPeers(peer_id):
                    self._ask(peer_id)
                case _:
                    assert_never(decision)

    async def _dial(self, address: Address) -> None:
        try:
            await self._host.dial(address.text)
        except DialFailed as exc:
            log.info("dial failed %s", exc)
            self._chooser.failed(address.peer_id, address.text, trio.current_time())
        finally:
            self._chooser.dial_ended(address.peer_id, trio.current_time())
            self.poke()

    async def let_go(self, peer_id: str) -> None:
        """End every connection with a peer."""
        try:
            await self._host.disconnect(peer_id)
        except Exception as exc:  # noqa: BLE001  # libp2p's close raises whatever the socket did
            log.debug("closing failed peer=%s reason=%r", peer_id, exc)

    def _when_connected(self, peer: ConnectedPeer) -> None:
        self._chooser.connected(peer.peer_id, peer.address, trio.current_time(), is_inbound=peer.inbound)
        self.poke()

    def _when_disconnected(self, peer: ConnectedPeer) -> None:
        self._chooser.disconnected(peer.peer_id, trio.current_time())
        self.poke()

    async def _keep_saved(self) -> None:
        while True:
            await trio.sleep(SAVE_INTERVAL_S)
            await self._save_now()

    async def _save_now(self) -> None:
        known = self._chooser.remembered(trio.current_time())
        if known == self._saved:
            return
        try:
            # A commit waits for the disk, and for other writers.
            await trio.to_thread.run_sync(self._save, known)
        except StorageError as exc:  # a full disk; no address is worth the network
            log.error("addresses are not kept error=%s", exc)
        else:
            self._saved = known
