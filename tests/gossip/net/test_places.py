"""Inbound places when they are all taken: who is of no use gives way, most neighbours that are of use never do."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from unhush.gossip.net.wire import doorman
from unhush.gossip.net.wire.doorman import CROWDED_TRIAL_S, MAX_KEPT, MAX_LIVE_INBOUND, TRIAL_S, Doorman, Ticket
from unhush.gossip.proto.tally import Met, Tally


class House:
    """A doorman with a clock of its own, and who has been sent away."""

    def __init__(self, worths: dict[str, int] | None = None) -> None:
        self.now = 0.0
        self.tally = Tally()
        self.worths = worths if worths is not None else {}
        self.gone: list[str] = []
        self.door = Doorman(exempt_loopback=False, tally=self.tally, clock=lambda: self.now)
        self.door.worth = lambda peer_id: self.worths.get(peer_id, 0)

    def come(self, peer_id: str, address: str) -> bool:
        ticket = self.door.knock(address)
        if ticket is None:
            return False
        ticket.when_evicted = lambda: self.gone.append(peer_id)
        return ticket.admit(peer_id)

    def fill(self, blocks: int = MAX_LIVE_INBOUND) -> list[str]:
        """Every place taken, by peers spread evenly over so many blocks."""
        names = [f"p{number}" for number in range(MAX_LIVE_INBOUND)]
        for number, name in enumerate(names):
            assert self.come(name, f"10.0.{number % blocks}.{number // blocks}")
        return names

    def pass_s(self, seconds: float) -> None:
        self.now += seconds


def test_idle_peers_give_way_the_oldest_first_once_they_had_their_time() -> None:
    house = House()
    names = house.fill()
    house.pass_s(TRIAL_S - 1)
    assert not house.come("early", "192.0.2.1")
    house.pass_s(1)
    assert [house.come(f"new{number}", f"192.0.{number}.1") for number in range(5)] == [True] * 5
    assert house.gone == names[:5]
    assert house.door.live_count == MAX_LIVE_INBOUND
    assert house.tally.read()[Met.PEER_REPLACED] == 5
    # And those have their time too.
    house.pass_s(TRIAL_S - 1)
    for number in range(200):
        house.pass_s(0.001)
        house.come(f"later{number}", f"198.51.{number}.1")
    assert not {f"new{number}" for number in range(5)} & set(house.gone)


def test_neighbours_of_use_stay_however_many_come() -> None:
    useful = {f"p{number}": 1 + number % 4 for number in range(0, MAX_LIVE_INBOUND, 2)}
    house = House(useful)
    house.fill()
    came = 0
    for number in range(1_000):
        house.pass_s(TRIAL_S / 16)
        came += house.come(f"sybil{number}", f"172.16.{number % 250}.{number // 250}")
    assert came > 400
    assert not useful.keys() & set(house.gone)


def test_of_many_that_claim_to_be_of_use_some_give_way() -> None:
    """Claims are free: who filled every place with them still leaves room for others."""
    house = House({f"p{number}": 2 for number in range(MAX_LIVE_INBOUND)} | {"p63": 3})
    names = house.fill()
    house.pass_s(TRIAL_S)
    assert sum(house.come(f"new{number}", f"192.0.{number}.1") for number in range(60)) == MAX_LIVE_INBOUND - MAX_KEPT
    assert house.gone == names[MAX_KEPT - 1 : -1]  # p63 gave something, so it is among those that are kept


def test_whoever_holds_most_places_has_less_time() -> None:
    house = House()
    house.fill(blocks=4)
    house.pass_s(CROWDED_TRIAL_S - 1)
    assert not house.come("honest", "192.0.2.1")
    house.pass_s(1)
    assert house.come("honest", "192.0.2.1")
    assert not house.come("one more of the crowd", "10.0.1.99")
    assert len(house.gone) == 1


def test_a_flood_of_sockets_is_weighed_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.fill()
    weighed: list[object] = []
    find = Doorman._find_useless

    def counted(door: Doorman, newcomer: str | None) -> Ticket | None:
        weighed.append(newcomer)
        return find(door, newcomer)

    monkeypatch.setattr(Doorman, "_find_useless", counted)
    for number in range(1_000):
        house.pass_s(0.01)
        assert not house.come("flood", f"172.16.{number % 250}.1")
    assert len(weighed) <= 11


def test_a_newcomer_comes_into_a_full_house_of_idle_peers(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over real sockets: those replaced are disconnected, and who is of use is still there."""
    monkeypatch.setattr(doorman, "MAX_LIVE_INBOUND", 3)
    monkeypatch.setattr(doorman, "MAX_KEPT", 2)
    monkeypatch.setattr(doorman, "TRIAL_S", 0.0)

    async def scene() -> None:
        async with our_host() as host, AsyncExitStack() as others:
            idle = [await others.enter_async_context(our_host(listen=())) for _ in range(3)]
            for each in idle:
                await each.dial(host.addresses()[0])
            useful = idle[0].peer_id
            host.weigh(lambda peer_id: int(peer_id == useful))
            for _ in range(3):
                newcomer = await others.enter_async_context(our_host(listen=()))
                await newcomer.dial(host.addresses()[0])
                await until(lambda newcomer=newcomer: newcomer.peer_id in {peer.peer_id for peer in host.connected()})
            await until(lambda: len(host.connected()) == 3)
            assert useful in {peer.peer_id for peer in host.connected()}
            await until(lambda: not idle[1].connected() and not idle[2].connected())
            assert host.tally.read()[Met.PEER_REPLACED] == 3

    run(scene)
