"""Dial-back between real hosts: who is reached hears so, who is not too, and nobody is made to knock at strangers."""

import socket
from typing import Any

import pytest
import trio
from libp2p.host.autonat import AutoNATService
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.net.host import Host
from unhush.gossip.net.reach.dialback import DialBack
from unhush.gossip.proto import dialbacks
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.tally import Met, Tally

HERE_MS = 1_700_000_000_000


def serve(host: Host, tally: Tally | None = None, *, clock_ms: int = HERE_MS) -> DialBack:
    return DialBack(host, clock_ms=lambda: clock_ms, count=(tally or Tally()).count)


def port_of(host: Host) -> int:
    return int(host.direct_addresses()[0].split("/")[4])


def test_an_open_port_is_reached_and_another_is_not(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as us, our_host() as peer:
            serve(peer, clock_ms=HERE_MS + 90_000)
            ours = serve(us)
            await us.dial(peer.addresses()[0])
            view = await ours.ask(peer.peer_id, port_of(us))
            assert view is not None
            assert view.reached is True
            assert view.observed.startswith("/ip4/127.0.0.1/tcp/")
            assert view.skew_ms is not None
            assert 80_000 < view.skew_ms <= 90_000
            with socket.socket() as closed:
                closed.bind(("127.0.0.1", 0))
                port = closed.getsockname()[1]
            view = await ours.ask(peer.peer_id, port)
            assert view is not None
            assert view.reached is False
            # A try leaves nothing behind.
            assert [each.peer_id for each in us.connected()] == [peer.peer_id]

    run(scene)


def test_somebody_else_at_the_port_is_not_us(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as us, our_host() as peer, our_host() as other:
            serve(peer)
            await us.dial(peer.addresses()[0])
            view = await serve(us).ask(peer.peer_id, port_of(other))
            assert view is not None
            assert view.reached is False

    run(scene)


def test_a_port_that_answers_nothing_is_given_up(run: Any, our_host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unhush.gossip.net.reach.dialback.TRY_TIMEOUT_S", 0.3)

    async def scene() -> None:
        async with our_host() as us, our_host() as peer:
            serve(peer)
            await us.dial(peer.addresses()[0])
            with socket.socket() as silent:
                silent.bind(("127.0.0.1", 0))
                silent.listen()
                view = await serve(us).ask(peer.peer_id, silent.getsockname()[1])
            assert view is not None
            assert view.reached is False

    run(scene)


def test_only_so_many_tries_for_an_address_and_no_port_of_the_system(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as us, our_host() as peer:
            tally = Tally()
            serve(peer, tally)
            ours = serve(us)
            await us.dial(peer.addresses()[0])
            assert (view := await ours.ask(peer.peer_id, 22)) is not None
            assert view.reached is None
            said = [await ours.ask(peer.peer_id, port_of(us)) for _ in range(10)]
            assert [view.reached for view in said if view is not None] == [True] * 4 + [None] * 6
            assert tally.read()[Met.DIALBACK_REFUSED] == 7

    run(scene)


def test_a_machine_is_not_made_to_knock_at_its_own_doors(run: Any, our_host: Any) -> None:
    """A service here that passes connections on makes strangers appear as loopback."""

    async def scene() -> None:
        async with our_host() as us, our_host(exempt_loopback=False) as peer:
            serve(peer)
            await us.dial(peer.addresses()[0])
            view = await serve(us).ask(peer.peer_id, port_of(us))
            assert view is not None
            assert view.reached is None

    run(scene)


def test_a_peer_without_dial_back_still_says_where_it_sees_us(run: Any, our_host: Any, stock_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as us, stock_host() as stranger:
            await us.dial(stranger.address)
            ours = serve(us)
            assert await ours.ask(stranger.peer_id, port_of(us)) is None
            view = await ours.identify(stranger.peer_id)
            assert view is not None
            assert view.observed.startswith("/ip4/127.0.0.1/tcp/")
            assert view.reached is None

    run(scene)


def test_the_stock_autonat_says_yes_to_a_closed_port(run: Any, stock_host: Any) -> None:
    """When this fails, libp2p has cured it, and other programs could be asked as well."""

    async def scene() -> None:
        async with stock_host() as server, stock_host() as client:
            AutoNATService(server.host)
            await client.connect(server.address)
            with socket.socket() as closed:
                closed.bind(("127.0.0.1", 0))
                address = Multiaddr(f"/ip4/127.0.0.1/tcp/{closed.getsockname()[1]}").to_bytes()
            said = await AutoNATService(client.host).query_server(ID.from_string(server.peer_id), [address])
            assert said == (0, address)

    run(scene)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"\xa0", b"\xa1dport\x00", b"\xa1dport\x1a\x00\x01\x11\x70", b"\xa1dport\xf5", b"\xa1dport\x61x"],
)
def test_a_question_is_one_port(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        dialbacks.parse_question(payload)


@pytest.mark.parametrize("payload", [b"", b"\xa0", b"\xff" * 900, b"\xa1dport\x19\x11\x76"])
def test_an_answer_says_all_three(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        dialbacks.parse_answer(payload)


def test_nonsense_and_too_much_are_faults_and_the_host_goes_on(
    run: Any, our_host: Any, stock_host: Any, serves: Any, until: Any
) -> None:
    async def scene() -> None:
        async with our_host() as us, stock_host() as stranger:
            serve(us)
            await stranger.connect(us.addresses()[0])
            for junk in (frame(b"\xff\xff"), frame(b"\xa1dport\x00"), frame(b"x" * 5_000)):
                stream = await stranger.stream(us.peer_id, dialbacks.PROTOCOL)
                await stream.write(junk)
                await trio.sleep(0.05)
            await until(lambda: us.is_banned(stranger.peer_id))
            await serves(us)

    run(scene)
