"""Allowances: so much at once, so much over time; and of many, only so many are remembered."""

from unhush.gossip.proto.pacing import Allowance, Allowances


def test_it_refills_evenly_and_never_beyond_what_may_be_had_at_once() -> None:
    allowance = Allowance(10, 5.0)
    assert allowance.spend(10, 0.0)
    assert not allowance.spend(1, 0.25)
    assert allowance.spend(1, 0.5)
    assert not allowance.has(11, 1_000.0)
    assert allowance.has(10, 1_000.0)


def test_what_is_owed_is_paid_before_there_is_more() -> None:
    allowance = Allowance(10, 10.0)
    allowance.charge(15, 0.0)
    assert not allowance.has(1, 5.5)
    assert allowance.has(1, 6.0)


def test_a_clock_that_steps_back_earns_nothing_and_costs_nothing() -> None:
    allowance = Allowance(10, 10.0)
    assert allowance.spend(10, 100.0)
    assert not allowance.has(1, 0.0)
    assert allowance.has(0, 0.0)


def test_who_speaks_often_is_not_forgotten_for_those_who_speak_once() -> None:
    allowances: Allowances[int] = Allowances(10, 10.0, 100)
    assert allowances.spend(0, 10, 0.0)
    for number in range(1, 1_000):
        allowances.spend(number, 1, 0.0)
        assert not allowances.spend(0, 10, 0.0)
    assert len(allowances) == 100


def test_to_be_looked_at_is_not_to_be_heard_of() -> None:
    allowances: Allowances[str] = Allowances(10, 10.0, 2)
    assert allowances.find("a") is None
    assert len(allowances) == 0
    allowances.spend("a", 10, 0.0)
    allowances.spend("b", 1, 0.0)
    assert allowances.find("a") is allowances.of("a")
    allowances.find("b")
    allowances.spend("c", 1, 0.0)
    assert allowances.find("a") is not None
    assert allowances.find("b") is None
