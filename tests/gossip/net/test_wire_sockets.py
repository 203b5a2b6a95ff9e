"""Sockets that say nothing, or begin and do not end. The figure: 1,500 idle ones, 20 of 20 dials are in within 3 s."""

import resource
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
from libp2p.utils import encode_varint_prefixed
from tests.support.strangers import stranger, tcp

from unhush.gossip.net.faults import FAULTS_BEFORE_BAN
from unhush.gossip.net.wire import doorman, swarm
from unhush.gossip.net.wire.doorman import Doorman, Ticket
from unhush.gossip.proto import visits
from unhush.gossip.proto.tally import Met, Tally

GREETING = encode_varint_prefixed(b"/multistream/1.0.0\n") + encode_varint_prefixed(b"/noise\n")
FIRST_MESSAGE = b"\x00\x20\x09" + bytes(31)  # its length, and the simplest of keys

IDLE = 1_500
DIALS = 20
DIAL_S = 3.0


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4_096:
        pytest.skip(f"this machine lets a process have {hard} files; {IDLE} sockets need more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4_096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_with_1500_idle_sockets_20_of_20_honest_dials_are_in_within_3_s(
    run: Any, our_host: Any, many_files: None
) -> None:
    async def scene() -> None:
        async def idle(number: int, address: str) -> None:
            """Come back whenever one is shown out."""
            source = f"127.66.{number // 4 % 6}.{1 + number // 24 % 250}"
            while True:
                with suppress(OSError, trio.BrokenResourceError):
                    socket = await tcp(address, source)
                    opened.add(number)
                    async with socket:
                        while await socket.receive_some(100):
                            pass
                await trio.sleep(2.5)

        opened: set[int] = set()
        async with our_host(exempt_loopback=False) as ours, trio.open_nursery() as nursery:
            address = ours.addresses()[0]
            for number in range(IDLE):
                nursery.start_soon(idle, number, address)
            with trio.fail_after(60):
                while len(opened) < IDLE:  # noqa: ASYNC110
                    await trio.sleep(0.02)
            assert ours._swarm._doorman.pending_count <= doorman.MAX_PENDING
            took = []
            for number in range(DIALS):
                began = trio.current_time()
                with trio.fail_after(DIAL_S):
                    async with stranger(address, source=f"127.1.{number}.1") as honest:
                        stream = await honest.stream("/ipfs/ping/1.0.0")
                        await stream.write(b"x" * 32)
                        assert len(await stream.read(32)) == 32
                took.append(trio.current_time() - began)
                assert ours._swarm._doorman.pending_count > 0, "the idle ones are still there"
            print(f"{DIALS} of {DIALS} dials, the slowest {max(took):.2f} s")
            met = ours.tally.read()
            assert met[Met.SOCKET_REFUSED] + met[Met.HANDSHAKE_CUT] > 0, "there was not room for all"
            nursery.cancel_scope.cancel()

    run(scene)


def test_new_names_from_one_address_come_in_ten_times_and_then_one_a_second(run: Any, our_host: Any) -> None:
    """One address, four at a time, a new peer id each time: each that came in had cost 46 ms of a core."""

    async def scene() -> None:
        came = 0

        async def storm(address: str) -> None:
            nonlocal came
            while True:
                with suppress(Exception):
                    async with stranger(address, source="127.66.1.1") as visitor:
                        stream = await visitor.stream("/ipfs/ping/1.0.0")
                        await stream.write(b"x" * 32)
                        came += bool(await stream.read(32))
                await trio.sleep(0.02)

        async with our_host(exempt_loopback=False) as ours, trio.open_nursery() as nursery:
            address = ours.addresses()[0]
            began = trio.current_time()
            for _ in range(4):
                nursery.start_soon(storm, address)
            with trio.fail_after(30):
                while not ours.tally.read()[Met.VISIT_REFUSED]:  # noqa: ASYNC110
                    await trio.sleep(0.02)
            await trio.sleep(1.5)
            # Those under way when the tenth was finished are finished too, and paid for; some came while four were in.
            assert 0 < came <= visits.PER_ADDRESS + 4 + trio.current_time() - began
            async with stranger(address, source="127.1.1.1") as honest:
                await honest.stream("/ipfs/ping/1.0.0")
            nursery.cancel_scope.cancel()

    run(scene)


async def break_off(address: str, source: str) -> bool:
    """Begin a handshake, have the other side do its sums, and go; whether it did them."""
    async with await tcp(address, source) as socket:
        await socket.send_all(GREETING + FIRST_MESSAGE)
        answer = b""
        while len(answer) <= len(GREETING) + 2 + 32 and (chunk := await socket.receive_some(1_024)):
            answer += chunk
    return len(answer) > len(GREETING) + 2 + 32


async def be_shut_out(address: str, source: str) -> bool:
    """Shake hands as somebody who is banned; whether that went as far as ever."""
    async with stranger(address, source, seed=7) as banned:
        await banned.muxed.event_closed.wait()
    return True


@pytest.mark.parametrize("visit", [break_off, be_shut_out])
def test_handshakes_that_lead_to_nothing_are_as_many_from_one_address_as_others(
    run: Any, our_host: Any, visit: Any
) -> None:
    async def scene() -> None:
        came = 0

        async with our_host(exempt_loopback=False) as ours:
            address = ours.addresses()[0]
            async with stranger(address, seed=7) as banned:
                for _ in range(FAULTS_BEFORE_BAN):
                    ours.report_fault(banned.peer_id, "nothing")
            began = trio.current_time()
            with trio.fail_after(30):
                while ours.tally.read()[Met.VISIT_REFUSED] < 20:
                    with suppress(Exception), trio.move_on_after(5):
                        came += await visit(address, "127.66.1.1")
                    await trio.sleep(0.02)
            assert 0 < came <= visits.PER_ADDRESS + doorman.MAX_PENDING_PER_ADDRESS + trio.current_time() - began
            async with stranger(address, source="127.1.1.1") as honest:
                await honest.stream("/ipfs/ping/1.0.0")

    run(scene)


@pytest.mark.parametrize(
    "said",
    [b"", GREETING[:5], GREETING, GREETING + FIRST_MESSAGE[:20], GREETING + FIRST_MESSAGE],
    ids=["nothing", "half a greeting", "a greeting", "half a key", "a key"],
)
def test_a_handshake_that_goes_no_further_is_over_in_its_time_and_gives_its_places_back(
    run: Any, our_host: Any, said: bytes
) -> None:
    async def scene() -> None:
        async with our_host(exempt_loopback=False) as ours:
            assert ours._swarm.connection_config.inbound_upgrade_timeout == swarm.HANDSHAKE_TIMEOUT_S == 5.0
            ours._swarm.connection_config.inbound_upgrade_timeout = 0.5

            async def stop() -> None:
                async with await tcp(ours.addresses()[0], "127.66.1.1") as socket:
                    await socket.send_all(said)
                    with suppress(trio.BrokenResourceError):
                        while await socket.receive_some(1_024):
                            pass

            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    for _ in range(doorman.MAX_PENDING_PER_ADDRESS):
                        nursery.start_soon(stop)
            assert ours._swarm._doorman.pending_count == 0
            assert not ours.connected()

    run(scene)


def must_knock(door: Doorman, host: str) -> Ticket:
    ticket = door.knock(host)
    assert ticket is not None
    return ticket


def flooded(door: Doorman) -> list[Ticket]:
    """Every pending place taken from eight blocks."""
    return [must_knock(door, f"198.51.{100 + n % 8}.{1 + n // 8 // 8}") for n in range(doorman.MAX_PENDING)]


def test_when_all_places_are_taken_a_newcomer_gets_that_of_the_oldest_in_the_most_crowded_block() -> None:
    tally = Tally()
    door = Doorman(exempt_loopback=False, tally=tally)
    flood = flooded(door)
    shut: list[Ticket] = []
    for ticket in flood:
        ticket.when_evicted = lambda ticket=ticket: shut.append(ticket)
    honest = must_knock(door, "203.0.113.5")
    assert shut == flood[:1]
    assert door.pending_count == doorman.MAX_PENDING
    assert not flood[0].admit(), "and cannot come in any more"
    assert honest.admit()
    assert tally.read()[Met.HANDSHAKE_CUT] == 1


def test_a_flood_pushes_out_itself_and_nobody_else() -> None:
    door = Doorman(exempt_loopback=False)
    honest = [must_knock(door, f"203.0.{number}.5") for number in range(20)]
    lost: list[Ticket] = []
    for ticket in honest:
        ticket.when_evicted = lambda ticket=ticket: lost.append(ticket)
    for number in range(4_000):
        ticket = door.knock(f"198.51.{number % 4}.{number // 8 % 250}")
        if ticket is not None and number % 3 == 0:
            ticket.leave()
    assert door.pending_count <= doorman.MAX_PENDING
    assert lost == []
    assert all(ticket.admit() for ticket in honest)


def test_the_doorman_forgets_whom_he_showed_out() -> None:
    door = Doorman(exempt_loopback=False)
    tickets = [
        ticket for n in range(2_000) if (ticket := door.knock(f"10.{n % 256}.{n // 256 % 256}.{n % 200}")) is not None
    ]
    for ticket in tickets:
        ticket.leave()
    assert door.pending_count == 0
    assert not door._pending
    assert not door._waiting
    assert not door._waiting_by_block
