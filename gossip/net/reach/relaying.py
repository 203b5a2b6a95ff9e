"""Relaying: being reached through others, and letting others be reached through us.

A node that nobody can connect to keeps a place at one or two of the peers it is connected with, if they are
relays; whoever wants it calls there and is brought to it over that connection. What passes is the two ends' own
encrypted connection. Being a relay is the person's choice, and bounded by ``proto/relays.py``.
"""

import ipaddress
import logging
import time
from collections.abc import Callable
from typing import Final

import trio
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Limit, PeerId, Reservation, Status, StopMessage
from multiaddr import Multiaddr

from unhush.gossip.errors import (
    CircuitRefused,
    NotConnected,
    RemoteProtocolError,
    StreamBroken,
    StreamRefused,
)
from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.net.wire.circuit import ANSWER_TIMEOUT_S, HOP, STOP, CircuitSocket, check
from unhush.gossip.net.wire.services import contain
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.addresses import Address, may_hear_of, parse_address
from unhush.gossip.proto.relays import (
    CIRCUIT_BYTES,
    CIRCUIT_S,
    RESERVATION_S,
    Circuit,
    Refusal,
    RelayBook,
)
from unhush.gossip.proto.tally import Met

log = logging.getLogger(__name__)

# Two, so that one relay may go away; more would be places taken from others.
MAX_RELAYS: Final = 2

# How often it is looked whether a place must be found or renewed.
KEEP_EVERY_S: Final = 15.0

# A peer that is no relay, or has no place, is asked again after this.
ASK_AGAIN_S: Final = 900.0

# A place is renewed when this share of its time is left.
RENEW_SHARE: Final = 0.5
# What a relay says of its time is believed within these.
SHORTEST_RESERVATION_S: Final = 60.0
LONGEST_RESERVATION_S: Final = 86_400.0

# A relay has a few interfaces.
MAX_RELAY_ADDRESSES: Final = 8
# A peer id is written out in base 58, which takes time by the square of its length.
MAX_ID_BYTES: Final = 64

_STATUS: Final = {
    Refusal.TOO_MANY_RESERVATIONS: Status.RESERVATION_REFUSED,
    Refusal.TOO_MANY_CIRCUITS: Status.RESOURCE_LIMIT_EXCEEDED,
    Refusal.TOO_MANY_CALLS: Status.RESOURCE_LIMIT_EXCEEDED,
    Refusal.NO_RESERVATION: Status.NO_RESERVATION,
}

Count = Callable[[Met], None]


class RelayClient:
    """Keeps places at relays while ``is_needed`` says so, and answers who calls through them."""

    def __init__(self, host: Host, *, is_needed: Callable[[], bool]) -> None:
        self._host = host
        self._is_needed = is_needed
        self._places: dict[str, tuple[str, float]] = {}  # relay's peer id: its address, when to renew
        self._asked_at: dict[str, float] = {}
        self._poked = trio.Event()
        host.handle(STOP, self._called)
        host.on_disconnected(self._lost)

    def poke(self) -> None:
        """Look again now."""
        self._poked.set()

    async def run(self) -> None:
        """Keep places until cancelled."""
        while True:
            self._poked = trio.Event()
            with trio.move_on_after(KEEP_EVERY_S):
                await self._poked.wait()
            if self._is_needed():
                await contain(self._keep)
            else:
                # Places that are not renewed end by themselves, and who holds our address through one still gets in.
                self._drop_overdue()

    async def _keep(self) -> None:
        now = trio.current_time()
        for peer in self._host.connected():
            place = self._places.get(peer.peer_id)
            if place is not None and place[1] > now:
                continue
            if place is None and (len(self._places) >= MAX_RELAYS or not self._may_ask(peer, now)):
                continue
            await self._reserve(peer)
        self._announce()

    def _may_ask(self, peer: ConnectedPeer, now: float) -> bool:
        asked_at = self._asked_at.get(peer.peer_id)
        # A way through a way is none.
        return "/p2p-circuit" not in peer.address and (asked_at is None or now - asked_at >= ASK_AGAIN_S)

    async def _reserve(self, peer: ConnectedPeer) -> None:
        now = trio.current_time()
        connected = {each.peer_id for each in self._host.connected()}
        self._asked_at = {peer_id: at for peer_id, at in self._asked_at.items() if peer_id in connected}
        self._asked_at[peer.peer_id] = now
        self._places.pop(peer.peer_id, None)
        try:
            with trio.fail_after(ANSWER_TIMEOUT_S):
                answer = await self._ask(peer.peer_id)
        except (StreamRefused, NotConnected, StreamBroken, CircuitRefused, trio.TooSlowError) as exc:
            log.debug("no place at a relay peer=%s reason=%s", peer.peer_id, exc)
            return
        except RemoteProtocolError as exc:
            self._host.report_fault(peer.peer_id, str(exc))
            return
        address = _address_of(peer, answer.reservation)
        if address is None:
            return
        given_s = float(answer.reservation.expire) - time.time()
        lasts_s = min(max(given_s, SHORTEST_RESERVATION_S), LONGEST_RESERVATION_S)
        self._places[peer.peer_id] = (address, now + lasts_s * RENEW_SHARE)
        log.info("place at a relay relay=%s", address)

    async def _ask(self, relay_id: str) -> HopMessage:
        async with await self._host.open_stream(relay_id, HOP) as stream:
            socket = CircuitSocket(stream)
            await socket.send(HopMessage(type=HopMessage.RESERVE))
            answer = await socket.receive(HopMessage)
            check(answer)
            return answer

    def _drop_overdue(self) -> None:
        now = trio.current_time()
        for peer_id in [peer_id for peer_id, (_, renew_at) in self._places.items() if renew_at <= now]:
            del self._places[peer_id]
        self._announce()

    def _lost(self, peer: ConnectedPeer) -> None:
        if self._places.pop(peer.peer_id, None) is not None:
            self._announce()
            self.poke()

    def _announce(self) -> None:
        self._host.relays = tuple(address for address, _ in self._places.values())

    async def _called(self, stream: Stream) -> None:
        """A relay brings somebody."""
        socket = CircuitSocket(stream)
        with trio.fail_after(ANSWER_TIMEOUT_S):
            request = await socket.receive(StopMessage)
        if request.type != StopMessage.CONNECT:
            raise RemoteProtocolError("a relay that brings nobody")
        is_known = stream.peer_id in self._places and "/p2p-circuit" not in stream.address
        status = Status.OK if is_known else Status.PERMISSION_DENIED
        await socket.send(StopMessage(type=StopMessage.STATUS, status=status))
        if not is_known:
            return
        try:
            await self._host.answer(socket)
        except Exception as exc:
            # A caller who breaks off or cannot shake hands is not the relay's fault.
            raise StreamBroken(f"nobody came of a call through a relay: {exc}") from exc


class RelayService:
    """Brings callers to those who keep a place here."""

    def __init__(self, host: Host, *, count: Count) -> None:
        self._host = host
        self._count = count
        self.book = RelayBook()
        host.handle(HOP, self._serve)
        host.on_disconnected(lambda peer: self.book.gone(peer.peer_id))

    async def _serve(self, stream: Stream) -> None:
        socket = CircuitSocket(stream)
        with trio.fail_after(ANSWER_TIMEOUT_S):
            request = await socket.receive(HopMessage)
        if "/p2p-circuit" in stream.address:
            # libp2p's rule: no circuits over circuits.
            await _say(socket, Status.PERMISSION_DENIED)
        elif request.type == HopMessage.RESERVE:
            await self._reserve(socket)
        elif request.type == HopMessage.CONNECT:
            await self._bring(socket, request)
        else:
            raise RemoteProtocolError("a relay request that asks for nothing")

    async def _reserve(self, socket: CircuitSocket) -> None:
        peer_id = socket.stream.peer_id
        refusal = self.book.reserve(peer_id, _block_of(socket.stream.address), trio.current_time())
        if refusal is not None:
            self._count(Met.RELAY_FULL)
            await _say(socket, _STATUS[refusal])
            return
        answer = HopMessage(type=HopMessage.STATUS, status=Status.OK, limit=_limit())
        answer.reservation.CopyFrom(
            Reservation(expire=int(time.time()) + RESERVATION_S, addrs=[*map(_packed, self._host.direct_addresses())])
        )
        await socket.send(answer)
        for displaced in self.book.take_displaced():
            # Disconnected it knows that its place is gone, and looks for another.
            self._count(Met.RELAY_FULL)
            await self._host.disconnect(displaced)

    async def _bring(self, socket: CircuitSocket, request: HopMessage) -> None:
        source = socket.stream.peer_id
        if len(request.peer.id) > MAX_ID_BYTES:
            raise RemoteProtocolError("a call for nobody")
        try:
            target = str(ID(request.peer.id))
        except Exception as exc:
            raise RemoteProtocolError("a call for nobody") from exc
        circuit = self.book.open(source, target, _block_of(socket.stream.address), trio.current_time())
        if isinstance(circuit, Refusal):
            if circuit is not Refusal.NO_RESERVATION:
                self._count(Met.RELAY_FULL)
            await _say(socket, _STATUS[circuit])
            return
        scope = trio.CancelScope()
        circuit.when_cut = scope.cancel
        with scope:
            await self._connect(circuit, socket)
        if scope.cancelled_caught:
            self._count(Met.CIRCUIT_CUT)
            await socket.stream.reset()

    async def _connect(self, circuit: Circuit, socket: CircuitSocket) -> None:
        try:
            far = await self._ring(circuit.source, circuit.target)
            if far is None:
                await _say(socket, Status.CONNECTION_FAILED)
                return
            await socket.send(HopMessage(type=HopMessage.STATUS, status=Status.OK, limit=_limit()))
            try:
                await self._carry(circuit, socket, far)
            finally:
                with trio.CancelScope(shield=True):
                    await far.stream.reset()
            # Closed on both sides already, or cut: the guard above us has nothing to wait for.
            await socket.stream.reset()
        finally:
            self.book.close(circuit)

    async def _ring(self, source: str, target: str) -> CircuitSocket | None:
        """Ask the target whether it takes the call."""
        try:
            with trio.fail_after(ANSWER_TIMEOUT_S):
                stream = await self._host.open_stream(target, STOP)
        except (StreamRefused, NotConnected, trio.TooSlowError) as exc:
            log.debug("call not delivered target=%s reason=%s", target, exc)
            return None
        far = CircuitSocket(stream)
        try:
            with trio.fail_after(ANSWER_TIMEOUT_S):
                peer = PeerId(id=ID.from_string(source).to_bytes())
                await far.send(StopMessage(type=StopMessage.CONNECT, peer=peer, limit=_limit()))
                answer = await far.receive(StopMessage)
            if answer.type == StopMessage.STATUS and answer.status == Status.OK:
                return far
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await stream.reset()
            raise
        except (StreamBroken, trio.TooSlowError) as exc:
            log.debug("call not taken target=%s reason=%s", target, exc)
        except RemoteProtocolError as exc:
            # The target's fault, not the caller's whose stream this is.
            self._host.report_fault(target, str(exc))
        await stream.reset()
        return None

    async def _carry(self, circuit: Circuit, near: CircuitSocket, far: CircuitSocket) -> None:
        with trio.move_on_after(CIRCUIT_S) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, circuit, near, far, nursery.cancel_scope)
                nursery.start_soon(self._pump, circuit, far, near, nursery.cancel_scope)
        if limit.cancelled_caught:
            self._count(Met.CIRCUIT_CUT)

    async def _pump(
        self, circuit: Circuit, source: CircuitSocket, target: CircuitSocket, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await source.carry():
                if not self.book.spend(circuit, len(data), trio.current_time()):
                    self._count(Met.CIRCUIT_CUT)
                    scope.cancel()
                    return
                await target.stream.write(data)
            await target.stream.close()
        except StreamBroken as exc:
            log.debug("circuit ended reason=%s", exc)
            scope.cancel()


def _limit() -> Limit:
    return Limit(duration=CIRCUIT_S, data=CIRCUIT_BYTES)


async def _say(socket: CircuitSocket, status: Status.ValueType) -> None:
    await socket.send(HopMessage(type=HopMessage.STATUS, status=status))


def _block_of(address: str) -> str:
    """What a peer's address counts under: an IPv4 /24, an IPv6 /48."""
    match address.split("/"):
        case ["", "ip4" | "ip6", host, *_]:
            ip = ipaddress.ip_address(host.partition("%")[0])
            return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))
    return ""


def _packed(address: str) -> bytes:
    packed: bytes = Multiaddr(address).to_bytes()
    return packed


def _address_of(relay: ConnectedPeer, reservation: Reservation) -> str | None:
    """Where others find the relay: where we found it, else the farthest seen of those it says."""
    if not relay.inbound:
        return f"{relay.address}/p2p/{relay.peer_id}"
    good: list[Address] = []
    for packed in list(reservation.addrs)[:MAX_RELAY_ADDRESSES]:
        try:
            address = parse_address(str(Multiaddr(packed)))
        except Exception as exc:  # noqa: BLE001  # the parser of multiaddresses raises a dozen kinds
            log.debug("a relay's address is none reason=%s", exc)
            continue
        # Whoever wants us will dial this: so no name, and nothing nearer than the relay is.
        if address.peer_id == relay.peer_id and not address.relay and may_hear_of(relay.address, address):
            good.append(address)
    return max(good, key=lambda address: address.scope).text if good else None
