"""The door before acceptances: nobody who has no token, or dribbles, keeps out who has one and asks."""

import pytest

from unhush.gossip.proto import knocking
from unhush.gossip.proto.faults import TooManyFrames
from unhush.gossip.proto.knocking import Bench, Knocks, Seat, Seats
from unhush.gossip.proto.shares import Asker


def from_network(number: int, peer: int = 0) -> Asker:
    return Asker(f"peer {number}.{peer}", f"10.0.{number}.0/24")


# -- how often


def test_a_peer_that_keeps_asking_is_at_fault_and_costs_others_nothing() -> None:
    knocks = Knocks()
    for _ in range(6):
        knocks.check("ben", 0.0)
    with pytest.raises(TooManyFrames):
        knocks.check("ben", 0.0)
    knocks.check("carl", 0.0)
    knocks.check("ben", 61.0)


def test_many_peers_at_once_are_not_at_fault_and_not_all_remembered() -> None:
    knocks = Knocks()
    for number in range(5_000):
        knocks.check(f"peer {number}", 0.0)
    assert len(knocks._by_peer) <= 1_024


def test_sixty_judgements_taken_by_few_leave_some_for_networks_that_asked_less() -> None:
    knocks = Knocks()
    taken = sum(knocks.may_judge(from_network(each % 10, each), 0.0) for each in range(600))
    assert 60 <= taken <= 70
    assert not knocks.may_judge(from_network(3, 1_000), 0.0)
    assert knocks.may_judge(from_network(50), 0.0)
    assert knocks.may_judge(Asker("dialled", "10.0.3.0/24", is_known=True), 0.0)


def test_one_network_has_twelve_judgements_and_sixty_looks_a_minute() -> None:
    knocks = Knocks()
    assert sum(knocks.may_judge(from_network(1, each), 0.0) for each in range(100)) == 12
    assert sum(knocks.may_look(from_network(1, each), 0.0) for each in range(100)) == 60
    assert knocks.may_look(from_network(2), 0.0)


def test_looks_used_up_by_a_crowd_leave_some_for_a_network_that_asked_less() -> None:
    knocks = Knocks()
    assert sum(knocks.may_look(from_network(each % 20, each), 0.0) for each in range(2_000)) <= 660
    assert knocks.may_look(from_network(200), 0.0)


# -- whose request is read


class House:
    def __init__(self) -> None:
        self.seats = Seats()
        self.lost: list[Asker] = []

    def come(self, asker: Asker) -> Seat | None:
        return self.seats.sit(asker, lambda: self.lost.append(asker))


def test_a_peer_reads_one_request_at_a_time() -> None:
    house = House()
    seat = house.come(from_network(1))
    assert seat is not None
    assert house.come(from_network(1)) is None
    house.seats.leave(seat)
    house.seats.leave(seat)
    assert house.come(from_network(1)) is not None
    assert house.lost == []


def test_one_network_has_four_seats_and_pushes_out_itself() -> None:
    house = House()
    honest = house.come(from_network(2))
    assert honest is not None
    for peer in range(100):
        assert house.come(from_network(1, peer)) is not None
    assert len(house.seats) == knocking.MAX_READING_PER_BLOCK + 1
    assert house.lost == [from_network(1, peer) for peer in range(96)]
    assert not honest.is_lost


def test_when_all_seats_are_taken_the_oldest_of_the_greediest_gives_way() -> None:
    house = House()
    for each in range(knocking.MAX_READING - 2):
        assert house.come(from_network(each)) is not None
    for peer in range(2):
        assert house.come(from_network(100, peer)) is not None
    assert house.come(from_network(200)) is not None
    assert house.lost == [from_network(100, 0)]
    # And if nobody has more than one, it is the oldest: who has been read for longest.
    assert house.come(from_network(201)) is not None
    assert house.lost[1:] == [from_network(0)]
    assert len(house.seats) == knocking.MAX_READING


# -- who is judged


def test_four_are_judged_two_of_a_network_and_one_of_a_peer() -> None:
    bench = Bench()
    assert [bench.sit(from_network(1, peer)) for peer in range(3)] == [True, True, False]
    assert bench.sit(from_network(2))
    assert not bench.sit(from_network(2))
    assert [bench.sit(from_network(each)) for each in (3, 4)] == [True, False]
    bench.leave(from_network(1))
    assert bench.sit(from_network(4))
