"""How often one address may come, whatever it calls itself: a few at once, then one a second."""

from unhush.gossip.proto import visits
from unhush.gossip.proto.visits import Visits

BLOCK = "198.51.100.0/24"


def come(known: Visits, address: str, block: str, now: float) -> bool:
    if not known.may_come(address, block, now):
        return False
    known.came(address, block, now)
    return True


def test_ten_come_at_once_and_then_one_a_second() -> None:
    known = Visits()
    assert sum(come(known, "198.51.100.7", BLOCK, 0.0) for _ in range(50)) == visits.PER_ADDRESS == 10
    came = sum(come(known, "198.51.100.7", BLOCK, tick / 10) for tick in range(1, 601))
    assert 59 <= came <= 60
    assert come(known, "203.0.113.7", "203.0.113.0/24", 60.0)


def test_256_addresses_of_one_network_come_as_often_as_a_few() -> None:
    known = Visits()
    assert sum(come(known, f"198.51.100.{last}", BLOCK, 0.0) for last in range(256)) == visits.PER_BLOCK == 32
    assert 119 <= sum(come(known, f"198.51.100.{tick % 256}", BLOCK, tick / 10) for tick in range(1, 601)) <= 120


def test_who_was_turned_away_costs_no_memory_and_nobody_waits_longer_for_asking() -> None:
    known = Visits()
    for number in range(10_000):
        assert known.may_come(f"10.{number >> 8}.{number & 255}.1", f"10.{number >> 8}.{number & 255}.0/24", 0.0)
    assert not known._by_address
    while come(known, "198.51.100.7", BLOCK, 0.0):
        pass
    for _ in range(1_000):
        assert not known.may_come("198.51.100.7", BLOCK, 0.5)
    assert known.may_come("198.51.100.7", BLOCK, 1.0)


def test_handshakes_that_end_together_are_paid_for_afterwards() -> None:
    known = Visits()
    for _ in range(18):
        known.came("198.51.100.7", BLOCK, 0.0)
    assert not known.may_come("198.51.100.7", BLOCK, 8.5)
    assert known.may_come("198.51.100.7", BLOCK, 9.5)


def test_only_so_many_addresses_are_remembered() -> None:
    known = Visits()
    for number in range(10_000):
        known.came(f"address {number}", f"block {number}", 0.0)
    assert len(known._by_address) == len(known._by_block) == visits.MAX_REMEMBERED
