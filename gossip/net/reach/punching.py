"""Hole punching: two peers that met through a relay dial each other at the same moment, and their routers let it pass.

libp2p's DCUtR, over TCP. Each side tells the other under which address the relay sees it. Both then dial, from the
very port they speak to the relay from: a router that keeps one outer port for one inner port lets the other's packets
in, because ours have just gone out there. Nobody listens on that port; the two dials meet and are one connection
(RFC 9293, simultaneous open). Where it does not come to that, the relayed connection stays.

Who was called through the relay begins, and is the server of the handshake.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio
from libp2p.relay.circuit_v2.pb.dcutr_pb2 import HolePunch
from multiaddr import Multiaddr

from unhush.gossip.errors import NotConnected, RemoteProtocolError, StreamBroken, StreamRefused
from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.net.wire.circuit import CircuitSocket
from unhush.gossip.net.wire.services import contain
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.addresses import Address, Scope, parse_address
from unhush.gossip.proto.pacing import Allowance

log = logging.getLogger(__name__)

DCUTR: Final = "/libp2p/dcutr"

# libp2p's number. The first fails if a router answers with a refusal before ours has opened.
ATTEMPTS: Final = 3

# The relayed connection first carries what there is to say; the relay must have told us where it sees us.
SETTLE_S: Final = 2.0

# The exchange takes three ways through the relay; a dial that meets another does so within a round trip, and a lost
# first packet is sent again after a second.
EXCHANGE_S: Final = 10.0
DIAL_S: Final = 3.0

# Each try sends a few packets to an address a stranger named, so there are few.
TRIES: Final = 12
TRIES_S: Final = 600.0

# Addresses of the other side that are tried, at once.
MAX_ADDRESSES: Final = 2


@dataclass(frozen=True, slots=True)
class Way:
    """From where we dial, and as what others see that."""

    source: tuple[str, int]
    observed: str


class Puncher:
    """Turns relayed connections into direct ones while ``run`` runs; ``find_way`` is told the relay's peer id."""

    def __init__(self, host: Host, *, find_way: Callable[[str], Awaitable[Way | None]]) -> None:
        self._host = host
        self._find_way = find_way
        self._tries = Allowance(TRIES, TRIES_S)
        self._nursery: trio.Nursery | None = None
        host.handle(DCUTR, self._asked)
        host.on_connected(self._came)

    async def run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    def _came(self, peer: ConnectedPeer) -> None:
        if peer.inbound and _relay_of(peer.address) and self._nursery is not None:
            self._nursery.start_soon(contain, partial(self._punch, peer))

    async def _punch(self, peer: ConnectedPeer) -> None:
        await trio.sleep(SETTLE_S)
        for _ in range(ATTEMPTS):
            try:
                with trio.fail_after(EXCHANGE_S):
                    theirs, way, wait_s = await self._agree(peer)
            except (StreamRefused, NotConnected, StreamBroken, trio.TooSlowError) as exc:
                log.debug("no hole punched peer=%s reason=%s", peer.peer_id, exc)
                return
            except RemoteProtocolError as exc:
                self._host.report_fault(peer.peer_id, str(exc))
                return
            await trio.sleep(wait_s)
            if await self._dial(peer.peer_id, theirs, way, is_server=True):
                await self._host.leave_relay(peer.peer_id)
                log.info("connected directly peer=%s", peer.peer_id)
                return
        log.info("no way but the relay peer=%s", peer.peer_id)

    async def _agree(self, peer: ConnectedPeer) -> tuple[list[Address], Way, float]:
        """Exchange addresses; theirs, our way, and how long until our word to begin has arrived there."""
        async with await self._host.open_stream(peer.peer_id, DCUTR) as stream:
            way = await self._way(stream)
            socket = CircuitSocket(stream)
            asked_at = trio.current_time()
            await socket.send(_connect(way))
            theirs = _addresses(await socket.receive(HolePunch), peer.peer_id)
            there_and_back_s = trio.current_time() - asked_at
            await socket.send(HolePunch(type=HolePunch.SYNC))
        return theirs, way, there_and_back_s / 2

    async def _asked(self, stream: Stream) -> None:
        way = await self._way(stream)
        socket = CircuitSocket(stream)
        with trio.fail_after(EXCHANGE_S):
            theirs = _addresses(await socket.receive(HolePunch), stream.peer_id)
            await socket.send(_connect(way))
            if (await socket.receive(HolePunch)).type != HolePunch.SYNC:
                raise RemoteProtocolError("a hole punch that does not begin")
        await self._dial(stream.peer_id, theirs, way, is_server=False)

    async def _way(self, stream: Stream) -> Way:
        way = await self._find_way(relay) if (relay := _relay_of(stream.address)) else None
        if way is None or not self._tries.spend(1, trio.current_time()):
            raise StreamBroken("no hole is punched from here now")
        return way

    async def _dial(self, peer_id: str, theirs: list[Address], way: Way, *, is_server: bool) -> bool:
        is_through = False

        async def try_one(address: Address) -> None:
            nonlocal is_through
            if await self._host.meet(address.text, way.source, peer_id, is_server=is_server):
                is_through = True
                nursery.cancel_scope.cancel()

        with trio.move_on_after(DIAL_S + EXCHANGE_S):
            async with trio.open_nursery() as nursery:
                for address in theirs:
                    nursery.start_soon(try_one, address)
        return is_through


def _relay_of(address: str) -> str:
    match address.split("/"):
        case ["", "p2p", relay, "p2p-circuit", *_]:
            return relay
    return ""


def _connect(way: Way) -> HolePunch:
    return HolePunch(type=HolePunch.CONNECT, ObsAddrs=[Multiaddr(way.observed).to_bytes()])


def _addresses(message: HolePunch, peer_id: str) -> list[Address]:
    """Where the other side says it is seen, of the Internet only. Raises :class:`RemoteProtocolError`."""
    if message.type != HolePunch.CONNECT:
        raise RemoteProtocolError("a hole punch without addresses")
    found: list[Address] = []
    for packed in list(message.ObsAddrs)[:8]:
        try:
            address = parse_address(f"{Multiaddr(packed)}/p2p/{peer_id}")
        except Exception as exc:  # noqa: BLE001  # the parser of multiaddresses raises a dozen kinds
            log.debug("an observed address is none reason=%r", exc)
            continue
        if address.scope is Scope.PUBLIC and not address.is_name and not address.relay:
            found.append(address)
    return found[:MAX_ADDRESSES]
