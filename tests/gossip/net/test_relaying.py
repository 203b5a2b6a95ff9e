"""Circuits between real hosts: who cannot be dialled is reached through a relay that reads nothing of it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, PeerId, Reservation, Status, StopMessage
from libp2p.relay.circuit_v2.pb.dcutr_pb2 import HolePunch
from multiaddr import Multiaddr

from unhush.gossip.errors import DialFailed, NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import ConnectedPeer, Host, Stream
from unhush.gossip.net.reach import punching, relaying
from unhush.gossip.net.reach.punching import DCUTR, Puncher, Way
from unhush.gossip.net.reach.relaying import RelayClient, RelayService
from unhush.gossip.net.wire.circuit import HOP, STOP, CircuitSocket
from unhush.gossip.net.wire.swarm import MAX_RELAYED, MAX_RELAYED_PER_RELAY
from unhush.gossip.proto import relays
from unhush.gossip.proto.addresses import parse_address
from unhush.gossip.proto.tally import Met, Tally

NOBODY = "12D3KooWCugzopk9fYBy1pvYVi94Qr2y9PL4CjSpYZUaXir3YWb7"
SECRET = b"for the two of us only " * 40


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)


def a_relay(host: Host, tally: Tally | None = None) -> RelayService:
    return RelayService(host, count=(tally or Tally()).count)


async def ask_through(host: Host, peer_id: str, data: bytes) -> bytes:
    async with await host.open_stream(peer_id, "/echo") as stream:
        await stream.write(data)
        await stream.close()
        back = b""
        while part := await stream.read():
            back += part
        return back


async def settled(client: RelayClient, host: Host, until: Callable[..., Awaitable[None]]) -> str:
    """The address of a host through its relay."""
    client.poke()
    await until(lambda: bool(host.relays))
    return host.addresses()[-1]


Scene = Callable[[], Awaitable[None]]


def test_who_cannot_be_dialled_is_reached_and_the_relay_reads_nothing(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    carry = CircuitSocket.carry

    async def overhear(self: CircuitSocket) -> bytes:
        data = await carry(self)
        seen.append(data)
        return data

    monkeypatch.setattr(CircuitSocket, "carry", overhear)

    async def scene() -> None:
        async with our_host() as relay, our_host(listen=()) as hidden, our_host() as caller, trio.open_nursery() as n:
            service = a_relay(relay)
            client = RelayClient(hidden, is_needed=lambda: True)
            n.start_soon(client.run)
            hidden.handle("/echo", echo)
            await hidden.dial(relay.addresses()[0])
            address = await settled(client, hidden, until)
            assert parse_address(address).peer_id == hidden.peer_id
            assert address == f"{relay.addresses()[0]}/p2p-circuit/p2p/{hidden.peer_id}"

            assert await caller.dial(address) == hidden.peer_id
            assert await ask_through(caller, hidden.peer_id, SECRET) == SECRET
            through = f"/p2p/{relay.peer_id}/p2p-circuit"
            assert {peer.peer_id: peer.address for peer in caller.connected()}[hidden.peer_id] == through
            peer = next(each for each in hidden.connected() if each.peer_id == caller.peer_id)
            assert (peer.address, peer.inbound) == (through, True)

            passed = b"".join(seen)
            assert len(passed) > 2 * len(SECRET)
            assert SECRET[:23] not in passed
            assert service.book.carried_bytes == len(passed)

            await caller.disconnect(hidden.peer_id)
            await until(lambda: service.book.circuit_count == 0, 10)
            await until(lambda: [each.peer_id for each in hidden.connected()] == [relay.peer_id])
            # And again: nothing of the first stands in the way.
            await caller.dial(address)
            assert await ask_through(caller, hidden.peer_id, b"again") == b"again"
            n.cancel_scope.cancel()

    run(scene)


def test_a_megabyte_passes_both_ways(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as relay, our_host(listen=()) as hidden, our_host() as caller, trio.open_nursery() as n:
            a_relay(relay)
            client = RelayClient(hidden, is_needed=lambda: True)
            n.start_soon(client.run)

            async def send_much(stream: Stream) -> None:
                got = 0
                while part := await stream.read():
                    got += len(part)
                await stream.write(b"x" * got)

            hidden.handle("/echo", send_much)
            await hidden.dial(relay.addresses()[0])
            await caller.dial(await settled(client, hidden, until))
            assert len(await ask_through(caller, hidden.peer_id, bytes(1_000_000))) == 1_000_000
            n.cancel_scope.cancel()

    run(scene)


def test_a_relay_cannot_answer_for_somebody_else(run: Any, our_host: Any) -> None:
    """It takes the call itself: the handshake shows that it is not who was called."""

    async def scene() -> None:
        async with our_host() as liar, our_host() as somebody, our_host() as caller:

            async def take_it(stream: Stream) -> None:
                socket = CircuitSocket(stream)
                await socket.receive(HopMessage)
                await socket.send(HopMessage(type=HopMessage.STATUS, status=Status.OK))
                await liar.answer(socket)

            liar.handle(HOP, take_it)
            with pytest.raises(DialFailed):
                await caller.dial(f"{liar.addresses()[0]}/p2p-circuit/p2p/{somebody.peer_id}")
            assert [peer.peer_id for peer in caller.connected()] == [liar.peer_id]

    run(scene)


def test_nobody_is_brought_to_who_has_no_place(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as relay, our_host() as target, our_host() as caller:
            a_relay(relay)
            await target.dial(relay.addresses()[0])
            with pytest.raises(DialFailed, match="no_reservation"):
                await caller.dial(f"{relay.addresses()[0]}/p2p-circuit/p2p/{target.peer_id}")
            with pytest.raises(DialFailed, match="not supported"):
                await caller.dial(f"{target.addresses()[0]}/p2p-circuit/p2p/{NOBODY}")

    run(scene)


def test_a_call_from_who_keeps_no_place_for_us_is_not_taken(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as us, our_host() as stranger:
            RelayClient(us, is_needed=lambda: False)
            await stranger.dial(us.addresses()[0])
            socket = CircuitSocket(await stranger.open_stream(us.peer_id, STOP))
            await socket.send(StopMessage(type=StopMessage.CONNECT, peer=PeerId(id=b"\x00")))
            answer = await socket.receive(StopMessage)
            assert answer.status == Status.PERMISSION_DENIED

    run(scene)


def test_a_relay_gives_64_places_and_4_circuits_to_one_caller(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "MAX_RESERVATIONS", 1)

    async def scene() -> None:
        async with our_host() as relay, our_host(listen=()) as hidden, our_host() as caller, trio.open_nursery() as n:
            tally = Tally()
            service = a_relay(relay, tally)
            client = RelayClient(hidden, is_needed=lambda: True)
            n.start_soon(client.run)
            await hidden.dial(relay.addresses()[0])
            await settled(client, hidden, until)
            await caller.dial(relay.addresses()[0])
            socket = CircuitSocket(await caller.open_stream(relay.peer_id, HOP))
            await socket.send(HopMessage(type=HopMessage.RESERVE))
            assert (await socket.receive(HopMessage)).status == Status.RESERVATION_REFUSED
            said = []
            for _ in range(6):
                call = CircuitSocket(await caller.open_stream(relay.peer_id, HOP))
                target = PeerId(id=bytes(hidden._swarm.self_id.to_bytes()))
                await call.send(HopMessage(type=HopMessage.CONNECT, peer=target))
                said.append((await call.receive(HopMessage)).status)
            assert said == [Status.OK] * 4 + [Status.RESOURCE_LIMIT_EXCEEDED] * 2
            assert service.book.circuit_count == 4
            assert tally.read()[Met.RELAY_FULL] == 3
            await caller.disconnect(relay.peer_id)
            await until(lambda: service.book.circuit_count == 0)
            n.cancel_scope.cancel()

    run(scene)


def test_callers_beyond_what_is_taken_through_relays_are_counted(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as me:
            me._swarm._relayed["a relay"] = MAX_RELAYED_PER_RELAY
            await me._swarm.answer_through(None, None, "a relay")
            me._swarm._relayed["others"] = MAX_RELAYED - MAX_RELAYED_PER_RELAY
            await me._swarm.answer_through(None, None, "one more")
            assert me.tally.read()[Met.RELAYED_REFUSED] == 2
            me._swarm._relayed.clear()

    run(scene)


def test_a_circuit_ends_when_its_bytes_are_spent(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with our_host() as relay, our_host(listen=()) as hidden, our_host() as caller, trio.open_nursery() as n:
            tally = Tally()
            a_relay(relay, tally)
            client = RelayClient(hidden, is_needed=lambda: True)
            n.start_soon(client.run)
            hidden.handle("/echo", echo)
            await hidden.dial(relay.addresses()[0])
            address = await settled(client, hidden, until)
            monkeypatch.setattr(relays.Circuit.__init__, "__defaults__", (40_000, lambda: None))
            await caller.dial(address)
            with pytest.raises((StreamBroken, StreamRefused, NotConnected)):  # noqa: PT012  # whichever meets it first
                for _ in range(100):
                    await ask_through(caller, hidden.peer_id, bytes(1_000))
            await until(lambda: len(caller.connected()) == 1, 10)
            assert tally.read()[Met.CIRCUIT_CUT] == 1
            assert len(hidden.connected()) == 1
            n.cancel_scope.cancel()

    run(scene)


def test_when_the_relay_goes_its_address_goes_and_another_is_found(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as first, our_host() as second, our_host(listen=()) as hidden, trio.open_nursery() as n:
            a_relay(first)
            a_relay(second)
            client = RelayClient(hidden, is_needed=lambda: True)
            n.start_soon(client.run)
            await hidden.dial(first.addresses()[0])
            await settled(client, hidden, until)
            assert hidden.relays == (first.addresses()[0],)
            await hidden.dial(second.addresses()[0])
            await first.disconnect(hidden.peer_id)
            await until(lambda: hidden.relays == (second.addresses()[0],))
            n.cancel_scope.cancel()

    run(scene)


async def anywhere(relay_id: str) -> Way:
    await trio.lowlevel.checkpoint()
    return Way(("127.0.0.1", 0), "/ip4/8.8.8.8/tcp/4470")


@pytest.mark.parametrize(
    ("told", "tried"),
    [
        (["/ip4/8.8.8.8/tcp/4470"], 1),
        (["/ip4/127.0.0.1/tcp/22", "/ip4/192.168.1.1/tcp/80", "/ip4/100.64.0.1/tcp/80", "/dns4/a.example/tcp/80"], 0),
        ([f"/ip4/8.8.8.8/tcp/4470/p2p/{NOBODY}/p2p-circuit"], 0),
        ([f"/ip4/8.8.8.{number}/tcp/4470" for number in range(50)], 2),
    ],
)
def test_of_the_addresses_told_to_meet_at_only_two_of_the_internet_are_tried(told: list[str], tried: int) -> None:
    message = HolePunch(type=HolePunch.CONNECT, ObsAddrs=[Multiaddr(each).to_bytes() for each in told])
    assert len(punching._addresses(message, NOBODY)) == tried


def test_nobody_is_met_who_did_not_come_through_a_relay(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as us, our_host() as stranger:
            Puncher(us, find_way=anywhere)
            await stranger.dial(us.addresses()[0])
            # It may be cut before its protocol is agreed on.
            with pytest.raises((StreamBroken, StreamRefused)):
                async with await stranger.open_stream(us.peer_id, DCUTR) as stream:
                    await CircuitSocket(stream).receive(HolePunch)

    run(scene)


@pytest.mark.parametrize("protocol", [HOP, STOP])
def test_nonsense_is_a_fault_and_the_host_goes_on(  # noqa: PLR0917  # fixtures
    protocol: str, run: Any, our_host: Any, stock_host: Any, serves: Any, until: Any
) -> None:
    async def scene() -> None:
        async with our_host() as us, stock_host() as stranger:
            a_relay(us)
            RelayClient(us, is_needed=lambda: False)
            await stranger.connect(us.addresses()[0])
            for junk in (b"\xff\xff\xff\xff\x7f", b"\x05\xff\xff\xff\xff\xff", b"\x04\x08\x02\x08\x02"):
                stream = await stranger.stream(us.peer_id, protocol)
                await stream.write(junk)
                await trio.sleep(0.05)
            await until(lambda: us.is_banned(stranger.peer_id))
            await serves(us)

    run(scene)


def test_a_call_for_an_endless_peer_id_is_a_fault(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as relay, our_host() as caller:
            a_relay(relay)
            await caller.dial(relay.addresses()[0])
            async with await caller.open_stream(relay.peer_id, HOP) as stream:
                await CircuitSocket(stream).send(HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=b"\x00" * 4_000)))
                await until(lambda: relay.tally.read().get(Met.PEER_FAULT) == 1)

    run(scene)


@pytest.mark.parametrize(
    ("seen_at", "said", "found"),
    [
        ("/ip4/8.8.4.4/tcp/50000", ["/ip4/192.168.1.1/tcp/80", "/dns4/a.example/tcp/80"], None),
        ("/ip4/8.8.4.4/tcp/50000", ["/ip4/127.0.0.1/tcp/22", "/ip4/8.8.8.8/tcp/4470"], "/ip4/8.8.8.8/tcp/4470"),
        ("/ip4/192.168.1.7/tcp/50000", ["/ip4/127.0.0.1/tcp/22", "/ip4/192.168.1.7/tcp/9"], "/ip4/192.168.1.7/tcp/9"),
    ],
)
def test_a_relay_that_called_us_sends_nobody_to_what_is_nearer_than_itself(
    seen_at: str, said: list[str], found: str | None
) -> None:
    """What it says becomes our address, and goes into invites."""
    relay = ConnectedPeer(NOBODY, seen_at, inbound=True)
    packed = [Multiaddr(f"{each}/p2p/{NOBODY}").to_bytes() for each in said]
    address = relaying._address_of(relay, Reservation(addrs=packed))
    assert address == (f"{found}/p2p/{NOBODY}" if found is not None else None)


def test_a_place_is_renewed_before_it_ends(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "LONGEST_RESERVATION_S", 0.4)
    monkeypatch.setattr(relaying, "SHORTEST_RESERVATION_S", 0.4)
    monkeypatch.setattr(relaying, "KEEP_EVERY_S", 0.05)
    renewals: list[str] = []
    reserve = relays.RelayBook.reserve

    def note(self: relays.RelayBook, peer_id: str, block: str, now: float) -> relays.Refusal | None:
        renewals.append(peer_id)
        return reserve(self, peer_id, block, now)

    monkeypatch.setattr(relays.RelayBook, "reserve", note)

    async def scene() -> None:
        async with our_host() as relay, our_host(listen=()) as hidden, trio.open_nursery() as n:
            a_relay(relay)
            n.start_soon(RelayClient(hidden, is_needed=lambda: True).run)
            await hidden.dial(relay.addresses()[0])
            await until(lambda: len(renewals) >= 3)
            assert set(renewals) == {hidden.peer_id}
            assert hidden.relays == (relay.addresses()[0],)
            n.cancel_scope.cancel()

    run(scene)
