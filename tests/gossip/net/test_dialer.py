"""The dialler keeps a connection with each configured peer, whatever happens to it."""

from typing import Any

import pytest
import trio

from unhush.gossip.net.host import HostConfig, open_host
from unhush.gossip.net.meet import dialer as dialer_module
from unhush.gossip.net.meet.dialer import Dialer
from unhush.gossip.proto.addresses import AddressBook, Known, Source
from unhush.gossip.proto.choosing import Chooser
from unhush.storage.errors import StoreFull

OTHER = "12D3KooWCugzopk9fYBy1pvYVi94Qr2y9PL4CjSpYZUaXir3YWb7"


def dialer_of(host: Any, known: list[Known], saved: list[tuple[Known, ...]]) -> Dialer:
    book = AddressBook(own_peer_id=host.peer_id, seed=host.peer_id.encode())
    dialer = Dialer(host, book, Chooser(book, seed=b"seed"), load=lambda: known, save=saved.append)
    dialer.start()
    return dialer


def test_a_configured_peer_is_dialled_and_dialled_again(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b, trio.open_nursery() as nursery:
            dialer = dialer_of(b, [Known(a.addresses()[0], Source.CONFIGURED)], [])
            nursery.start_soon(dialer.run)
            await until(lambda: bool(a.connected()))
            await a.disconnect(b.peer_id)
            await until(lambda: not b.connected())
            await until(lambda: bool(b.connected()))
            nursery.cancel_scope.cancel()

    run(scene)


def test_a_peer_that_comes_up_later_is_found(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        config = HostConfig(b"l" * 32, ("/ip4/127.0.0.1/tcp/0",), "late")
        async with open_host(config) as late:
            address = late.addresses()[0]
        port = address.split("/")[4]
        async with our_host() as b, trio.open_nursery() as nursery:
            nursery.start_soon(dialer_of(b, [Known(address, Source.CONFIGURED)], []).run)
            await trio.sleep(0.7)
            assert not b.connected()
            async with open_host(HostConfig(b"l" * 32, (f"/ip4/127.0.0.1/tcp/{port}",), "late")):
                await until(lambda: bool(b.connected()))
            nursery.cancel_scope.cancel()

    run(scene)


def test_adding_an_address_wakes_it_at_once(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        saved: list[tuple[Known, ...]] = []
        async with our_host() as a, our_host() as b, trio.open_nursery() as nursery:
            dialer = dialer_of(b, [], saved)
            nursery.start_soon(dialer.run)
            await trio.sleep(0.1)
            assert dialer.add(a.addresses()[0], Source.INVITED)
            await until(lambda: bool(b.connected()), 1)
            assert not dialer.add(b.addresses()[0], Source.INVITED)
            nursery.cancel_scope.cancel()
        assert saved[-1] == (Known(a.addresses()[0], Source.INVITED),)

    run(scene)


def test_a_book_with_rubbish_in_it_still_serves(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b, trio.open_nursery() as nursery:
            known = [Known("rubbish", Source.CONFIGURED), Known(a.addresses()[0], Source.CONFIGURED)]
            nursery.start_soon(dialer_of(b, known, []).run)
            await until(lambda: bool(b.connected()))
            nursery.cancel_scope.cancel()

    run(scene)


def test_unreachable_peers_do_not_hold_up_the_others(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b, trio.open_nursery() as nursery:
            nobody = [
                Known(f"/ip4/127.0.0.{last}/tcp/9/p2p/12D3KooW{'1' * 42}{last}", Source.CONFIGURED)
                for last in range(11, 20)
            ]
            nursery.start_soon(dialer_of(b, [*nobody, Known(a.addresses()[0], Source.CONFIGURED)], []).run)
            await until(lambda: bool(b.connected()))
            nursery.cancel_scope.cancel()

    run(scene)


def test_a_full_disk_costs_the_book_and_not_the_network(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialer_module, "SAVE_INTERVAL_S", 0.05)
    tries: list[tuple[Known, ...]] = []

    def fail(known: tuple[Known, ...]) -> None:
        tries.append(known)
        if len(tries) < 3:
            raise StoreFull("no room")

    async def scene() -> None:
        async with our_host() as host, trio.open_nursery() as nursery:
            dialer = dialer_of(host, [Known(f"/ip4/8.8.8.8/tcp/1/p2p/{OTHER}", Source.CONFIGURED)], [])
            monkeypatch.setattr(dialer, "_save", fail)
            nursery.start_soon(dialer.run)
            await until(lambda: len(tries) == 3)
            nursery.cancel_scope.cancel()

    run(scene)
