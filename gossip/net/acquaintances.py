"""Whom this node knows and how it comes to be connected with them: chooser, dialler and address book, and the store.

Sessions tell what peers carry, gave and know; the store holds the addresses people gave, which other processes may
change while we run.
"""

import logging
import os
from collections.abc import Callable
from typing import assert_never

import trio

from unhush.gossip.errors import MalformedAddress
from unhush.gossip.net.host import Host
from unhush.gossip.net.meet.dialer import Dialer
from unhush.gossip.net.sync.session import SyncSession
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Greeted, PeersAsked, PeersTold
from unhush.gossip.proto.addresses import AddressBook, Known, Source
from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.choosing import Chooser
from unhush.gossip.proto.events import TellPeers
from unhush.gossip.proto.frames import KnownPeer
from unhush.identity.cid import Cid
from unhush.storage.contacts import Contact
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# How often addresses that other processes added or took out are looked for: after commits, and now and then in case
# word of one was lost.
CONTACTS_EVERY_S = 1.0
CONTACTS_AT_LATEST_S = 60.0


class Acquaintances:
    """On the network's loop; ``ask`` asks a connected peer whom it knows."""

    def __init__(
        self,
        host: Host,
        store: Store,
        *,
        seed: bytes,
        exchange: bool,
        is_guest: bool = False,
        ask: Callable[[str], None],
    ) -> None:
        self._host = host
        self._store = store
        self._exchange = exchange
        self._is_guest = is_guest
        self._may_be_contacts = trio.Event()
        self._nursery: trio.Nursery | None = None
        count = host.tally.count
        book = AddressBook(own_peer_id=host.peer_id, seed=seed, count=count)
        self.chooser = Chooser(book, seed=seed + os.urandom(16), count=count)  # another choice in every run
        self._dialer = Dialer(
            host, book, self.chooser, load=self._known, save=self._remember, ask=ask if exchange else lambda _: None
        )

    def start(self) -> None:
        """Read the book, and hear of every connection from now on."""
        self._dialer.start()

    async def run(self) -> None:
        """Keep connections, once started; until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._dialer.run)
                nursery.start_soon(self._find_contacts)
        finally:
            self._nursery = None

    # -- what the person asks for

    def hurry(self) -> None:
        """Look now."""
        self.chooser.hurry(trio.current_time())
        self._dialer.poke()

    def forget(self, peer_id: str) -> None:
        """Dial this peer no more, and end what connects us."""
        self._dialer.forget(peer_id)
        if self._nursery is not None:
            self._nursery.start_soon(self._dialer.let_go, peer_id)

    def want(self, accounts: frozenset[Cid]) -> None:
        """The accounts others write that are to be covered."""
        self.chooser.set_wanted(accounts, trio.current_time())

    def poke(self) -> None:
        """Something changed that the chooser should see."""
        self._dialer.poke()

    # -- what is heard of peers

    def listen(self) -> tuple[str, ...]:
        """Where we can be dialled, for peers to know; our id they know already."""
        if not self._exchange or self._is_guest:
            return ()  # who hears of no address remembers none
        # Of too many those through relays stay: without them nobody gets here.
        ordered = sorted(self._host.addresses(), key=lambda address: "/p2p-circuit/" not in address)
        addresses = (address.rpartition("/p2p/")[0] for address in ordered)
        return tuple(address for address in addresses if len(address) <= limits.MAX_ADDRESS_BYTES)[: limits.MAX_LISTEN]

    def heard(self, session: SyncSession, heard: Greeted | PeersAsked | PeersTold) -> None:
        """A peer says where it listens, asks whom we know, or says whom it knows."""
        now = trio.current_time()
        match heard:
            case Greeted(listen):
                self.chooser.greeted(session.peer_id, listen if self._exchange else (), now)
            case PeersAsked():
                told = self.chooser.tell(session.peer_id, now) if self._exchange else ()
                session.tell(TellPeers(told))
            case PeersTold(peers):
                taken = self.chooser.told(session.peer_id, peers, now)
                log.info("told of peers peer=%s told=%d taken=%d", session.peer_id, len(peers), taken)
            case _:
                assert_never(heard)
        self._dialer.poke()

    def carries(self, session: SyncSession, accounts: frozenset[Cid]) -> None:
        """All the accounts its peer says it carries now."""
        self.chooser.carries(session.peer_id, accounts, trio.current_time())
        self._dialer.poke()

    def gave(self, session: SyncSession, account: Cid, records: int) -> None:
        """Its peer gave records that were new to us."""
        self.chooser.gave(session.peer_id, account, records, trio.current_time())

    def session_ended(self, peer_id: str) -> None:
        self.chooser.session_ended(peer_id, trio.current_time())

    def learn(self, address: str, told_by: str) -> None:
        """The DHT tells of an address."""
        try:
            self._dialer.add(address, Source.LEARNED, told_by=told_by)
        except MalformedAddress as exc:
            log.debug("address of the DHT not usable %s", exc)

    def heard_card(self, address: str, accounts: frozenset[Cid], told_by: str | None) -> None:
        """A card says where somebody is who may carry these accounts; ``told_by``: the peer that gave it."""
        if not self._exchange:
            return
        if told_by is not None:
            carriage = pack_carriage(accounts)
            self.chooser.told(told_by, [KnownPeer(address, carriage)], trio.current_time(), are_met=False)
            self._dialer.poke()
            return
        try:
            self._dialer.add(address, Source.LEARNED)
        except MalformedAddress as exc:
            log.debug("address of a card not usable %s", exc)

    def enter(self, address: str, source: Source, told_by: str) -> None:
        """Raises ``MalformedAddress``."""
        self._dialer.add(address, source, told_by=told_by)

    # -- addresses in the store

    def _known(self) -> list[Known]:
        with self._store.snapshot() as snapshot:
            return [_known(contact) for contact in snapshot.contacts()]

    def _remember(self, known: tuple[Known, ...]) -> None:
        """Called on a thread of its own. What the person chose is in the store already, and theirs to take out."""
        learned = [each for each in known if each.source is Source.LEARNED]
        self._store.put_learned_contacts(
            Contact(each.address, False, is_anchor=each.is_anchor, has_worked=each.has_worked) for each in learned
        )

    async def _find_contacts(self) -> None:
        """Addresses that another process added or took out while we run."""
        token = trio.lowlevel.current_trio_token()
        unsubscribe = self._store.subscribe(lambda: _soon(token, self._contacts_changed))
        # Empty at first: what was added while the dialler was starting may be in neither its book nor our past.
        seen: set[Known] = set()
        try:
            while True:
                await trio.sleep(CONTACTS_EVERY_S)
                self._may_be_contacts = trio.Event()
                now = set(self._known())
                for known in now - seen:
                    try:
                        self._dialer.add(known.address, known.source, told_by=known.told_by)
                    except MalformedAddress as exc:
                        log.warning("address not usable %s", exc)
                for peer_id in _chosen(seen) - _chosen(now):
                    self.forget(peer_id)
                seen = now
                with trio.move_on_after(CONTACTS_AT_LATEST_S):
                    await self._may_be_contacts.wait()
        finally:
            unsubscribe()

    def _contacts_changed(self) -> None:
        self._may_be_contacts.set()


def _known(contact: Contact) -> Known:
    chosen = Source.CONFIGURED if contact.is_configured else Source.INVITED
    return Known(
        contact.address, chosen if contact.is_chosen else Source.LEARNED, contact.is_anchor, contact.has_worked
    )


def _chosen(contacts: set[Known]) -> set[str]:
    """The peers among contacts that a person chose."""
    return {known.address.rpartition("/p2p/")[2] for known in contacts if known.source is not Source.LEARNED}


def _soon(token: trio.lowlevel.TrioToken, act: Callable[[], None]) -> None:
    try:
        token.run_sync_soon(act, idempotent=True)
    except trio.RunFinishedError:
        log.debug("a commit after the network ended")
