"""The DHT between real hosts: an account leads to who carries it; whatever is sent, tables stay small."""

import random
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from multiaddr import Multiaddr

from unhush.gossip.errors import RemoteProtocolError, StreamBroken, StreamRefused
from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.net.meet import dht
from unhush.gossip.net.meet.dht import Dht
from unhush.gossip.proto import kademlia
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.kademlia import PROTOCOL, account_key
from unhush.gossip.proto.tally import Met, Tally
from unhush.identity.cid import Cid, cid_of

ANN = cid_of(b"Ann")
SEED = 20_261_121


class One:
    """A host in the DHT, and what it was told."""

    def __init__(self, host: Host, *, is_guest: bool = False) -> None:
        self.host = host
        self.tally = Tally()
        self.learned: list[str] = []
        self.carried: set[Cid] = set()
        self.lacking: set[Cid] = set()
        self.dht = Dht(
            host,
            "test",
            learn=lambda address, _: self.learned.append(address),
            carried=lambda: self.carried,
            lacking=lambda: self.lacking,
            count=self.tally.count,
            is_guest=is_guest,
        )


def test_who_knows_only_one_peer_finds_the_carrier(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b, our_host() as c:
            middle, carrier, seeker = One(a), One(b), One(c)
            for each in (carrier, seeker):
                await each.host.dial(a.addresses()[0])
            carrier.carried = {ANN}
            seeker.lacking = {ANN}
            await carrier.dht.step()
            assert middle.dht.provider_count == 1
            await seeker.dht.step()
            assert seeker.learned == [carrier.host.addresses()[0]]
            # Found is tried.
            assert {peer.peer_id for peer in c.connected()} == {a.peer_id, b.peer_id}
            # It was said for a day, and is not looked for again at once.
            await seeker.dht.step()
            assert len(seeker.learned) == 1

    run(scene)


def test_a_guest_finds_the_carrier_and_stays_in_no_table(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b, our_host() as c:
            middle, carrier, guest = One(a), One(b), One(c, is_guest=True)
            for each in (carrier, guest):
                await each.host.dial(a.addresses()[0])
            carrier.carried = guest.carried = {ANN}
            await carrier.dht.step()
            contacts = middle.dht.contact_count
            guest.lacking = {ANN}
            await guest.dht.step()
            assert guest.learned == [carrier.host.addresses()[0]]
            # Whether it carries or asks, of it nothing is noted: neither as a carrier nor as somebody to ask.
            assert (middle.dht.provider_count, middle.dht.contact_count) == (1, contacts)
            assert carrier.dht.provider_count == 0
            assert c.peer_id not in {each.peer_id for each in middle.dht._contacts.closest(account_key("test", ANN))}
            with pytest.raises(StreamRefused):
                await a.open_stream(c.peer_id, PROTOCOL)

    run(scene)


def test_in_a_chain_of_five_each_learns_of_farther_ones(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with (
            our_host() as h0,
            our_host() as h1,
            our_host() as h2,
            our_host() as h3,
            our_host() as h4,
        ):
            nodes = [One(host) for host in (h0, h1, h2, h3, h4)]
            for before, after in pairwise(nodes):
                await after.host.dial(before.host.addresses()[0])
            for node in nodes:
                await node.dht.seek(cid_of(b"nobody"))
            assert await nodes[-1].dht.provide(ANN) >= 3
            assert await nodes[0].dht.seek(ANN) == 1
            assert set(nodes[0].learned) == set(nodes[-1].host.addresses())

    run(scene)


def test_nobody_speaks_for_somebody_else(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b, our_host() as c:
            middle = One(a)
            await b.dial(a.addresses()[0])
            message = Message(type=Message.ADD_PROVIDER, key=account_key("test", ANN))
            claim = kademlia.Contact(c.peer_id, c.addresses())
            dht._put(message.providerPeers, [claim])
            async with await b.open_stream(a.peer_id, PROTOCOL) as stream:
                await stream.write(frame(message.SerializeToString()))
                await stream.close()
                assert await stream.read() == b""
            assert middle.dht.provider_count == 0

    run(scene)


def test_who_is_on_the_internet_hears_of_no_inner_address_and_tells_none() -> None:
    inner = kademlia.Contact(PEER, (f"/ip4/192.168.1.7/tcp/4470/p2p/{PEER}", f"/ip4/8.8.8.8/tcp/4470/p2p/{PEER}"))
    assert dht._for("/ip4/1.1.1.1/tcp/1", [inner], 8)[0].addresses == (f"/ip4/8.8.8.8/tcp/4470/p2p/{PEER}",)
    message = Message()
    dht._put(message.closerPeers, [inner])
    assert dht._read(message.closerPeers, "/ip4/1.1.1.1/tcp/1")[0].addresses == (f"/ip4/8.8.8.8/tcp/4470/p2p/{PEER}",)
    assert len(dht._read(message.closerPeers, "/ip4/192.168.1.1/tcp/1")[0].addresses) == 2


def test_an_address_through_a_relay_survives_the_way() -> None:
    through = f"/ip4/8.8.8.8/tcp/4470/p2p/{PEER}/p2p-circuit/p2p/{OTHER}"
    message = Message()
    dht._put(message.closerPeers, [kademlia.Contact(OTHER, (through,))])
    assert dht._read(message.closerPeers, "/ip4/1.1.1.1/tcp/1")[0].addresses == (through,)


PEER = "12D3KooWCugzopk9fYBy1pvYVi94Qr2y9PL4CjSpYZUaXir3YWb7"
OTHER = "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq"


def samples() -> list[bytes]:
    key = account_key("test", ANN)
    messages = []
    for kind in Message.MessageType.values():
        message = Message(type=kind, key=key, senderRecord=b"record")
        message.record.CopyFrom(type(message.record)(key=key, value=b"value"))
        contact = kademlia.Contact(PEER, (f"/ip4/8.8.8.8/tcp/4470/p2p/{PEER}",))
        dht._put(message.closerPeers, [contact])
        dht._put(message.providerPeers, [contact])
        messages.append(frame(message.SerializeToString()))
    return messages


def mutated(dice: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(changed) + 1)
        match dice.randrange(4):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << dice.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = dice.randbytes(dice.randint(1, 16))
            case _:
                changed[at:at] = b"\xff" * 8 + b"\x7f"
    return bytes(changed)


class FromMemory:
    """A stream that holds what a stranger sent, and takes what is answered."""

    def __init__(self, peer_id: str, sent: bytes) -> None:
        self.peer_id = peer_id
        self.address = "/ip4/8.8.4.4/tcp/50000"
        self._sent = sent

    async def read(self, max_bytes: int = 65_536) -> bytes:
        await trio.lowlevel.checkpoint()
        taken, self._sent = self._sent[:max_bytes], self._sent[max_bytes:]
        return taken

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()


def test_a_thousand_mutated_messages_end_nobody(
    run: Any, our_host: Any, serves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a real connection, and handed to the same code without one, which is quicker."""
    dice = random.Random(SEED)
    given = samples()
    monkeypatch.setattr(dht, "REQUESTS", 10_000)

    async def scene() -> None:
        async with our_host() as us, our_host() as stranger:
            ours = One(us)
            # Or three of them would end it.
            monkeypatch.setattr(us, "is_banned", lambda peer_id: False)
            faults: list[str] = []
            monkeypatch.setattr(us._libp2p, "_report_fault", lambda peer_id, why: faults.append(why))
            await stranger.dial(us.addresses()[0])
            for number in range(100):
                async with await stranger.open_stream(us.peer_id, PROTOCOL) as stream:
                    await stream.write(mutated(dice, given[number % len(given)]))
                    await stream.close()
                    with trio.move_on_after(5), suppress(StreamBroken):
                        while await stream.read():
                            pass
            assert len(faults) > 20, f"seed {SEED}"
            refused = 0
            for number in range(900):
                junk: Any = FromMemory(OTHER, mutated(dice, given[number % len(given)]))
                try:
                    await ours.dht._serve(junk)
                except (RemoteProtocolError, StreamBroken):
                    refused += 1
            assert refused > 200, f"seed {SEED}"
            assert ours.dht.contact_count == 0
            assert ours.dht.provider_count == 0
            await serves(us)

    run(scene)


def test_a_peer_that_asks_without_end_is_put_off(run: Any, our_host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht, "REQUESTS", 5)

    async def scene() -> None:
        async with our_host() as us, our_host() as stranger:
            ours = One(us)
            theirs = One(stranger)
            await stranger.dial(us.addresses()[0])
            for _ in range(10):
                await theirs.dht.seek(ANN)
            assert ours.tally.read()[Met.DHT_REFUSED] == 5
            assert not us.is_banned(stranger.peer_id)

    run(scene)


def test_who_is_connected_through_a_relay_is_not_asked_as_if_it_had_an_address(
    run: Any, our_host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with our_host() as us:
            ours = One(us)
            through = ConnectedPeer(OTHER, f"/p2p/{PEER}/p2p-circuit", inbound=False)
            gone = ConnectedPeer(PEER, "", inbound=False)
            monkeypatch.setattr(us, "connected", lambda: (through, gone))
            assert await ours.dht.seek(ANN) == 0
            assert await ours.dht.provide(ANN) == 0

    run(scene)


def test_no_place_of_a_neighbour_is_taken(run: Any, our_host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b, our_host() as c:
            _, carrier, seeker = One(a), One(b), One(c)
            for each in (carrier, seeker):
                await each.host.dial(a.addresses()[0])
            await carrier.dht.provide(ANN)
            monkeypatch.setattr(dht, "PLACES_LEFT", 32)
            assert await seeker.dht.seek(ANN) == 1
            assert [peer.peer_id for peer in c.connected()] == [a.peer_id]

    run(scene)


def test_the_stock_dht_is_not_ours_to_name(run: Any, stock_host: Any) -> None:
    """When this fails, libp2p's ``KadDHT`` takes a name of its own, and might be used."""

    async def scene() -> None:
        async with stock_host() as stranger:
            stock = KadDHT(stranger.host, DHTMode.SERVER, protocol_prefix=TProtocol("/unhush"))
            assert stock is not None
            spoken = set(stranger.host.get_mux().get_protocols())
            assert "/unhush/kad/1.0.0" not in spoken

    run(scene)


def test_an_endless_peer_id_or_address_is_not_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In base 58 thirty kilobytes take a second, which everybody would wait for."""
    written: list[int] = []
    monkeypatch.setattr(dht, "ID", lambda data: written.append(len(data)) or OTHER)
    long = Message.Peer(id=b"\x00" * 30_000)
    packed = Multiaddr("/ip4/8.8.8.8/tcp/1").to_bytes()
    usual = Message.Peer(id=b"\x12" * 38, addrs=[packed * 40, packed])
    (contact,) = dht._read([long, usual], "/ip4/8.8.4.4/tcp/1")
    assert written == [38]
    assert contact.addresses == (f"/ip4/8.8.8.8/tcp/1/p2p/{OTHER}",)


def test_an_address_is_a_multiaddress_without_its_peer() -> None:
    message = Message()
    dht._put(message.closerPeers, [kademlia.Contact(PEER, (f"/ip4/8.8.8.8/tcp/4470/p2p/{PEER}",))])
    assert list(message.closerPeers[0].addrs) == [Multiaddr("/ip4/8.8.8.8/tcp/4470").to_bytes()]


def test_what_goes_wrong_within_a_look_up_leaves_the_others_running(
    run: Any, our_host: Any, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr(dht, "EVERY_S", 0.05)
    tried: list[None] = []

    async def scene() -> None:
        async with our_host() as us, trio.open_nursery() as nursery:
            ours = One(us)

            async def fail() -> None:
                await trio.lowlevel.checkpoint()
                tried.append(None)
                raise KeyError("a bug")

            monkeypatch.setattr(ours.dht, "step", fail)
            nursery.start_soon(ours.dht.run)
            await until(lambda: len(tried) >= 2)
            nursery.cancel_scope.cancel()

    run(scene)
