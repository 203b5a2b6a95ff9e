"""The DHT on the wire: answering, asking, telling what we carry, and finding who carries what we lack.

The messages are libp2p's (``kad-dht``), the protocol's name is ours, so this node takes part in no other DHT.
libp2p's own ``KadDHT`` is not used (decision 0034): it speaks ``/ipfs/kad/1.0.0`` whatever it is told, dials any
address a stranger names, and keeps fifty thousand values for whoever sends them. We keep no values at all.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final

import trio
from google.protobuf.message import DecodeError
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from unhush.gossip.errors import (
    DialFailed,
    MalformedAddress,
    NotConnected,
    RemoteProtocolError,
    StreamBroken,
    StreamRefused,
)
from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.net.wire.payloads import Payloads
from unhush.gossip.net.wire.services import contain
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.addresses import Scope, may_hear_of, parse_address
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.kademlia import (
    AT_A_TIME,
    CLOSEST,
    MAX_ADDRESSES,
    MAX_FOUND,
    MAX_KEYS_PER_PEER,
    PROTOCOL,
    REPUBLISH_S,
    Contact,
    Contacts,
    Lookup,
    Providers,
    account_key,
)
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.sightings import block_of, rented_block_of
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid

log = logging.getLogger(__name__)

# Twenty contacts with four addresses each have about 12 kB.
MAX_MESSAGE_BYTES: Final = 32_768
# A look-up asks one thing; more on one stream is for others' programs.
MAX_REQUESTS: Final = 8
ANSWER_S: Final = 5.0
# A dial, and the question after it.
ASK_S: Final = 12.0

# Requests of one peer: a look-up is one, telling what it carries is two for each account.
REQUESTS: Final = 200
REQUESTS_S: Final = 60.0

# Look-ups: an account nobody carries is looked for again after half an hour, and all together this often.
SEEK_AGAIN_S: Final = 1_800.0
SEEKS: Final = 20
SEEKS_S: Final = 600.0
MAX_SOUGHT: Final = 1_024

# Of what was found so many are dialled at once; the others are in the address book.
TRIED: Final = 2

# Peers told of an account we carry: if three of four go away within the day, two are left.
TOLD: Final = 8

# How often it is looked whether something is due, and how long after a telling that reached nobody.
EVERY_S: Final = 5.0
RETRY_S: Final = 60.0

# Dials of ours that the DHT leaves for others: it is a hint, and may not take the places of neighbours.
PLACES_LEFT: Final = 8

_HASH_BYTES: Final = 32
# Of a peer id, and of an address: both are written out in base 58, which takes time by the square of their length.
MAX_ID_BYTES: Final = 64
MAX_PACKED_BYTES: Final = 256


class Dht:
    """One for each host; ``run`` until cancelled. ``learn`` gets each address found, and where its teller is.

    A guest asks and nothing else: it tells nobody what it carries nor where it is, and answers nobody. So nothing of it
    stays in the tables of others.
    """

    def __init__(
        self,
        host: Host,
        network: str,
        *,
        learn: Callable[[str, str], None],
        carried: Callable[[], Iterable[Cid]],
        lacking: Callable[[], Iterable[Cid]],
        count: Callable[[Met], None],
        is_guest: bool = False,
    ) -> None:
        self._host = host
        self._is_guest = is_guest
        self._network = network
        self._learn = learn
        self._carried = carried
        self._lacking = lacking
        self._count = count
        self._contacts = Contacts(host.peer_id)
        self._providers = Providers()
        self._told_at: dict[Cid, float] = {}  # when what we carry is to be told again
        self._sought_at: OrderedDict[Cid, float] = OrderedDict()
        self._seeks = Allowance(SEEKS, SEEKS_S)
        self._patience: dict[str, Allowance] = {}
        if not is_guest:
            host.handle(PROTOCOL, self._serve)
        host.on_disconnected(self._gone)

    @property
    def contact_count(self) -> int:
        return len(self._contacts)

    @property
    def provider_count(self) -> int:
        return len(self._providers)

    async def run(self) -> None:
        while True:
            await trio.sleep(EVERY_S)
            await contain(self.step)

    async def step(self) -> None:
        """Tell and look for what is due."""
        if not self._places():
            return
        now = trio.current_time()
        carried = sorted(self._carried())[:MAX_KEYS_PER_PEER] if not self._is_guest else []
        self._told_at = {account: at for account, at in self._told_at.items() if account in set(carried)}
        for account in carried:
            if self._told_at.get(account, now) <= now:
                reached = await self.provide(account)
                self._told_at[account] = trio.current_time() + (REPUBLISH_S if reached else RETRY_S)
        for account in self._lacking():
            if self._may_seek(account):
                await self.seek(account)

    def _may_seek(self, account: Cid) -> bool:
        now = trio.current_time()
        at = self._sought_at.get(account)
        if (at is not None and now - at < SEEK_AGAIN_S) or not self._seeks.spend(1, now):
            return False
        self._sought_at[account] = now
        self._sought_at.move_to_end(account)
        if len(self._sought_at) > MAX_SOUGHT:
            self._sought_at.popitem(last=False)
        return True

    # -- asking

    async def seek(self, account: Cid) -> int:
        """Look for carriers of an account and hand their addresses to ``learn``; how many peers were found."""
        lookup = await self._look_up(account_key(self._network, account), Message.GET_PROVIDERS)
        for contact, told_by in list(lookup.found.values())[:MAX_FOUND]:
            for address in contact.addresses:
                self._learn(address, told_by)
        if not lookup.asked - lookup.gone:
            # Nobody of the DHT is connected yet.
            self._sought_at[account] = trio.current_time() - SEEK_AGAIN_S + RETRY_S
        tried = [contact for contact, _ in lookup.found.values() if not self._is_connected(contact.peer_id)][:TRIED]
        for contact in tried:
            # Whether it is worth keeping, the chooser sees from what it carries.
            await self._reach(contact)
        log.info("looked for account=%s asked=%d found=%d", account, len(lookup.asked), len(lookup.found))
        return len(lookup.found)

    async def provide(self, account: Cid) -> int:
        """Tell the peers nearest to an account that we carry it; how many took it."""
        key = account_key(self._network, account)
        lookup = await self._look_up(key, Message.FIND_NODE)
        message = Message(type=Message.ADD_PROVIDER, key=key)
        _put(message.providerPeers, [self._own()])
        told = 0
        for contact in lookup.nearest()[:TOLD]:
            # No answer is expected; that the stream opened and closed is all there is to know.
            told += await self._with(contact, lambda peer_id, _at: self._send(peer_id, message)) or 0
        return told

    async def _look_up(self, key: bytes, kind: Message.MessageType) -> Lookup:
        lookup = Lookup(key, self._host.peer_id, salt=secrets.token_bytes(16))
        lookup.learn(self._contacts.closest(key))
        lookup.learn(map(_as_contact, self._places()))
        while batch := (
            [contact for _ in range(AT_A_TIME) if (contact := lookup.next()) is not None] or lookup.beyond()
        ):
            async with trio.open_nursery() as nursery:
                for contact in batch:
                    nursery.start_soon(self._ask, lookup, contact, Message(type=kind, key=key))
        return lookup

    async def _ask(self, lookup: Lookup, contact: Contact, request: Message) -> None:
        async def exchange(peer_id: str, at: str) -> bool:
            # So that who answers can send others to us.
            if not self._is_guest:
                _put(request.closerPeers, [self._own()])
            answer = await self._exchange(peer_id, request)
            told = (_read(answer.providerPeers, at), _read(answer.closerPeers, at))
            lookup.answered(at, *told)
            self._met(contact, at)
            return True

        if not await self._with(contact, exchange):
            lookup.failed(contact.peer_id)
            self._contacts.failed(contact.peer_id)

    async def _with(self, contact: Contact, act: Callable[[str, str], Awaitable[bool]]) -> bool:
        """Do something with a peer, over the connection there is or one made for it; false if it came to nothing."""
        is_ours = False
        try:
            with trio.fail_after(ASK_S):
                if not self._is_connected(contact.peer_id):
                    is_ours = await self._reach(contact)
                peer = self._host.find_peer(contact.peer_id)
                return peer is not None and await act(peer.peer_id, peer.address)
        except (StreamRefused, NotConnected, StreamBroken, trio.TooSlowError) as exc:
            log.debug("not in the DHT peer=%s reason=%s", contact.peer_id, exc)
        except RemoteProtocolError as exc:
            self._host.report_fault(contact.peer_id, str(exc))
        finally:
            if is_ours:
                with trio.CancelScope(shield=True):
                    await self._host.disconnect(contact.peer_id)
        return False

    async def _reach(self, contact: Contact) -> bool:
        for address in contact.addresses:
            if self._host.free_places() <= PLACES_LEFT:
                return False
            try:
                await self._host.dial(address)
            except DialFailed as exc:
                log.debug("contact not reached %s", exc)
                continue
            return True
        return False

    async def _send(self, peer_id: str, message: Message) -> bool:
        async with await self._host.open_stream(peer_id, PROTOCOL) as stream:
            await stream.write(frame(message.SerializeToString()))
            await stream.close()
            # The other side closes once it has taken the message.
            return not await stream.read()

    async def _exchange(self, peer_id: str, message: Message) -> Message:
        async with await self._host.open_stream(peer_id, PROTOCOL) as stream:
            await stream.write(frame(message.SerializeToString()))
            await stream.close()
            if (answer := await _receive(Payloads(stream, MAX_MESSAGE_BYTES))) is None:
                raise StreamBroken("no answer of the DHT")
            return answer

    # -- answering

    async def _serve(self, stream: Stream) -> None:
        payloads = Payloads(stream, MAX_MESSAGE_BYTES)
        for _ in range(MAX_REQUESTS):
            with trio.fail_after(ANSWER_S):
                request = await _receive(payloads)
            if request is None:
                return
            if not self._has_patience(stream.peer_id):
                self._count(Met.DHT_REFUSED)
                raise StreamBroken("too many requests of the DHT")
            answer = self._answer(request, stream)
            if answer is not None:
                await stream.write(frame(answer.SerializeToString()))

    def _has_patience(self, peer_id: str) -> bool:
        allowance = self._patience.setdefault(peer_id, Allowance(REQUESTS, REQUESTS_S))
        return allowance.spend(1, trio.current_time())

    def _answer(self, request: Message, stream: Stream) -> Message | None:
        at = stream.address
        if len(request.key) != _HASH_BYTES and request.type != Message.PING:
            raise RemoteProtocolError("a DHT key has 32 bytes")
        for own in _read(request.closerPeers, at):
            if own.peer_id == stream.peer_id:
                self._met(own, at)
        answer = Message(type=request.type, key=request.key)
        match request.type:
            case Message.PING:
                return answer
            case Message.ADD_PROVIDER:
                self._add_provider(request, stream)
                return None
            case Message.GET_PROVIDERS:
                held = self._providers.of(request.key, trio.current_time(), self._is_connected)
                _put(answer.providerPeers, _for(at, held, MAX_FOUND))
            case Message.FIND_NODE:
                pass
            case _:
                raise RemoteProtocolError("a DHT request that is not for us: no values are kept here")
        near = (contact for contact in self._contacts.closest(request.key) if contact.peer_id != stream.peer_id)
        _put(answer.closerPeers, _for(at, near, CLOSEST))
        return answer

    def _add_provider(self, request: Message, stream: Stream) -> None:
        """Each peer speaks for itself only."""
        block = _seen_in(stream.address)
        for named in _read(request.providerPeers, stream.address):
            if named.peer_id != stream.peer_id or not named.addresses:
                continue
            provider = replace(named, block=block)
            if not self._providers.add(request.key, provider, trio.current_time()):
                self._count(Met.DHT_REFUSED)

    # -- whom we know

    def _is_connected(self, peer_id: str) -> bool:
        return self._host.find_peer(peer_id) is not None

    def _gone(self, peer: ConnectedPeer) -> None:
        self._patience.pop(peer.peer_id, None)

    def _met(self, contact: Contact, at: str) -> None:
        if not self._contacts.met(Contact(contact.peer_id, contact.addresses, _seen_in(at))):
            log.debug("no place for a contact peer=%s at=%s", contact.peer_id, at)

    def _own(self) -> Contact:
        return Contact(self._host.peer_id, self._host.addresses()[-MAX_ADDRESSES:])

    def _places(self) -> list[ConnectedPeer]:
        """Whom we could ask without dialling, at addresses that others can use; who is in the DHT, trying tells."""
        direct = (peer for peer in self._host.connected() if "/p2p-circuit" not in peer.address)
        return [peer for peer in direct if peer.address and not peer.inbound]


async def _receive(payloads: Payloads) -> Message | None:
    """The next message, or None at the end. Raises :class:`RemoteProtocolError`, :class:`StreamBroken`."""
    payload = await payloads.next()
    if payload is None:
        return None
    message = Message()
    try:
        message.ParseFromString(payload)
    except DecodeError as exc:
        raise RemoteProtocolError("a DHT message that is none") from exc
    return message


def _seen_in(at: str) -> str:
    """The network a peer is in, or the relay it comes through: where it is, not where it says it is."""
    return block_of(at) or rented_block_of(at) or ""


def _as_contact(peer: ConnectedPeer) -> Contact:
    return Contact(peer.peer_id, (f"{peer.address}/p2p/{peer.peer_id}",))


def _for(asker: str, contacts: Iterable[Contact], limit: int) -> list[Contact]:
    """What may be told to a peer connected from ``asker``: nobody's inner addresses to those outside."""
    told = []
    for contact in contacts:
        heard = tuple(address for address in contact.addresses if may_hear_of(asker, parse_address(address)))
        if heard:
            told.append(Contact(contact.peer_id, heard))
        if len(told) == limit:
            break
    return told


def _read(peers: Iterable[Message.Peer], told_by: str) -> list[Contact]:
    """The peers in a message, with those of their addresses that the teller may tell. What is none is left out."""
    contacts = []
    for peer in list(peers)[:CLOSEST]:
        if len(peer.id) > MAX_ID_BYTES:
            continue
        try:
            peer_id = str(ID(peer.id))
        except Exception as exc:  # noqa: BLE001  # as below
            log.debug("a peer id of the DHT is none reason=%r", exc)
            continue
        addresses, block = [], ""
        for packed in list(peer.addrs)[:MAX_ADDRESSES]:
            if len(packed) > MAX_PACKED_BYTES:
                continue
            try:
                address = parse_address(f"{Multiaddr(packed)}/p2p/{peer_id}")
            except MalformedAddress:
                continue
            except Exception as exc:  # noqa: BLE001  # the parser of multiaddresses raises a dozen kinds
                log.debug("an address of the DHT is none reason=%r", exc)
                continue
            if may_hear_of(told_by, address):
                addresses.append(address.text)
                block = block or (address.block if address.scope is Scope.PUBLIC else "")
        contacts.append(Contact(peer_id, tuple(addresses), block))
    return contacts


def _put(field: "Iterable[Message.Peer]", contacts: Iterable[Contact]) -> None:
    for contact in contacts:
        packed = [Multiaddr(address.rpartition("/p2p/")[0]).to_bytes() for address in contact.addresses]
        field.add(id=ID.from_string(contact.peer_id).to_bytes(), addrs=packed)  # type: ignore[attr-defined]  # protobuf's container
