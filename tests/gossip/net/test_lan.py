"""The local network by a wire of our own making: floods, silence, errors and changes of place."""

import threading
import time
from collections.abc import Callable
from typing import Final

import trio
import trio.testing

from unhush.gossip.errors import MalformedAddress
from unhush.gossip.net.meet.lan import LOOK_EVERY_S, MAX_HEARD, REFRESH_S, Heard, Lan, Wire
from unhush.gossip.proto.neighbours import MAX_NEIGHBOURS, SERVICE, Announcement, Answer

US: Final = "12D3KooWGjMCmzcMBjXMyGGuPmSUcsVTaDjMrWzyoBdVbfGjUpmj"
LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def peer(number: int) -> str:
    return "12D3KooW" + "".join(LETTERS[number // 24**place % 24] for place in range(3)) + "a" * 41


def name_of(number: int) -> str:
    return f"{peer(number)}.{SERVICE}"


class FakeWire:
    """Answers for every name, and notes what was done with it."""

    def __init__(self, announcement: Announcement, heard: Heard) -> None:
        self.announcement = announcement
        self.heard = heard
        self.asked: list[str] = []
        self.is_closed = False
        self.host = "10.0.0.9"
        self.error: Exception | None = None
        self.close_error: Exception | None = None

    def ask(self, name: str, timeout_s: float) -> Answer | None:
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        properties = {b"net": b"main", b"peer": name.partition(".")[0].encode()}
        return Answer(name, properties, (self.host,), 4470)

    def close(self) -> None:
        self.is_closed = True
        if self.close_error is not None:
            raise self.close_error


class World:
    """A LAN under test: where we listen, what wires were opened, and what reached the address book."""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.wires: list[FakeWire] = []
        self.entered: list[str] = []
        self.listen: tuple[str, ...] = (f"/ip4/10.0.0.5/tcp/4470/p2p/{US}",)
        self.refuse = refuse
        self.ignored = 0
        self.clock = trio.testing.MockClock()
        self.lan = Lan(
            network="main",
            peer_id=US,
            listen=lambda: self.listen,
            enter=self.enter,
            ignored=self.ignore,
            open_wire=self.open,
        )

    def open(self, announcement: Announcement, heard: Heard) -> Wire:
        if self.refuse is not None:
            raise self.refuse
        self.wires.append(FakeWire(announcement, heard))
        return self.wires[-1]

    def enter(self, address: str) -> None:
        self.entered.append(address)

    def ignore(self) -> None:
        self.ignored += 1


def run(test: Callable[[World, trio.Nursery], object], world: World | None = None) -> World:
    """Run a LAN, on a clock that stands until it is moved, beside an async test."""
    world = world or World()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.lan.run)
            await test(world, nursery)  # type: ignore[misc]  # an async function
            nursery.cancel_scope.cancel()

    trio.run(main, clock=world.clock)
    return world


async def settle() -> None:
    """Until threads have had their say; on our clock no time passes."""
    for _ in range(20):
        await trio.to_thread.run_sync(time.sleep, 0.002)


async def wait(world: World, seconds: float) -> None:
    """Let time pass, all at once."""
    world.clock.jump(seconds)
    await settle()


def test_a_neighbour_is_entered_and_entered_again_later_and_the_wire_is_closed_at_the_end() -> None:
    async def test(world: World, _: trio.Nursery) -> None:
        await settle()
        world.wires[0].heard(name_of(1), True)
        await settle()
        assert world.entered == [f"/ip4/10.0.0.9/tcp/4470/p2p/{peer(1)}"]
        assert (len(world.lan), world.lan.problem) == (1, "")
        await wait(world, REFRESH_S + 1)
        assert len(world.entered) == 2
        world.wires[0].heard(name_of(1), False)
        await settle()
        assert len(world.lan) == 0

    world = run(test)
    assert [wire.is_closed for wire in world.wires] == [True]
    assert world.wires[0].announcement == Announcement("main", US, ("10.0.0.5",), 4470)


def test_a_flood_of_names_from_many_threads_is_bounded() -> None:
    async def test(world: World, _: trio.Nursery) -> None:
        await settle()
        wire = world.wires[0]

        def shout(start: int) -> None:
            for number in range(start, start + 500):
                wire.heard(name_of(number), True)
                assert len(world.lan._heard) <= MAX_HEARD

        threads = [threading.Thread(target=shout, args=(500 * at,)) for at in range(6)]
        for thread in threads:
            thread.start()
        await trio.to_thread.run_sync(lambda: [thread.join() for thread in threads])
        await settle()
        for _ in range(10):
            await settle()
        assert len(world.lan) <= MAX_NEIGHBOURS
        assert len(world.entered) <= MAX_NEIGHBOURS

    run(test)


def test_names_of_others_and_public_addresses_are_never_entered() -> None:
    async def test(world: World, _: trio.Nursery) -> None:
        await settle()
        world.wires[0].host = "8.8.8.8"
        for name in (name_of(1), "printer._ipp._tcp.local.", "x" * 5_000, SERVICE):
            world.wires[0].heard(name, True)
        await settle()
        assert world.wires[0].asked == [name_of(1)]
        assert world.ignored == 3
        assert world.entered == []
        assert len(world.lan) == 0

    run(test)


def test_an_answer_that_fails_costs_nothing_else() -> None:
    async def test(world: World, _: trio.Nursery) -> None:
        await settle()
        world.wires[0].error = OSError("network is unreachable")
        world.wires[0].heard(name_of(1), True)
        await settle()
        world.wires[0].error = None
        world.wires[0].heard(name_of(2), True)
        await settle()
        assert [address.rpartition("/")[2] for address in world.entered] == [peer(2)]

    run(test)


def test_whatever_the_library_raises_ends_nothing() -> None:
    """What is not caught here would be the end of the whole network, as often as somebody nearby likes."""

    async def test(world: World, _: trio.Nursery) -> None:
        await settle()
        assert "no multicast here: no adapter" in world.lan.problem
        world.refuse = None
        await wait(world, LOOK_EVERY_S + 1)
        (wire,) = world.wires
        wire.error = UnicodeError("a name that is none")
        wire.heard(name_of(1), True)
        await settle()
        wire.error = None
        wire.heard(name_of(2), True)
        await settle()
        assert [address.rpartition("/")[2] for address in world.entered] == [peer(2)]
        wire.close_error = OSError("network is down")

    run(test, World(RuntimeError("no adapter")))


def test_an_address_that_the_book_refuses_costs_nothing_else() -> None:
    world = World()

    def refuse(address: str) -> None:
        world.entered.append(address)
        raise MalformedAddress("not an address")

    world.lan._enter = refuse

    async def test(world: World, _: trio.Nursery) -> None:
        await settle()
        for number in (1, 2):
            world.wires[0].heard(name_of(number), True)
        await settle()
        assert len(world.entered) == 2

    run(test, world)


def test_without_multicast_it_says_so_and_tries_again() -> None:
    async def test(world: World, _: trio.Nursery) -> None:
        await settle()
        assert "no multicast here: [Errno 19] No such device" in world.lan.problem
        world.refuse = None
        await wait(world, LOOK_EVERY_S + 1)
        assert world.lan.problem == ""

    run(test, World(OSError(19, "No such device")))


def test_who_listens_elsewhere_announces_that_and_who_listens_nowhere_near_is_silent() -> None:
    async def test(world: World, _: trio.Nursery) -> None:
        await settle()
        world.listen = (f"/ip4/192.168.7.5/tcp/4471/p2p/{US}",)
        await wait(world, LOOK_EVERY_S + 1)
        await wait(world, LOOK_EVERY_S + 1)
        assert [wire.announcement.port for wire in world.wires] == [4470, 4471]
        world.listen = (f"/ip4/127.0.0.1/tcp/4471/p2p/{US}",)
        await wait(world, LOOK_EVERY_S + 1)
        await wait(world, LOOK_EVERY_S + 1)
        assert len(world.wires) == 2
        assert "no address of a local network" in world.lan.problem

    world = run(test)
    assert [wire.is_closed for wire in world.wires] == [True, True]


def test_hearing_after_the_end_does_nothing() -> None:
    async def test(world: World, _: trio.Nursery) -> None:
        await settle()

    world = run(test)
    world.wires[0].heard(name_of(1), True)
    assert world.entered == []
