"""Machines to begin with are called while nobody else is there, in turn, ever more rarely."""

from itertools import pairwise

from unhush.gossip.proto.bootstrapping import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    MAX_BOOTSTRAP,
    PATIENCE_S,
    Bootstrap,
)

NOBODY_IS_THERE_S = 4_000


def called(bootstrap: Bootstrap, from_s: int, to_s: int) -> list[tuple[int, str]]:
    calls = ((now, bootstrap.next(float(now))) for now in range(from_s, to_s))
    return [(now, address) for now, address in calls if address is not None]


def test_the_address_book_has_its_turn_first() -> None:
    bootstrap = Bootstrap(["one"], seed=bytes(32), now=0.0)
    assert called(bootstrap, 0, int(PATIENCE_S)) == []
    assert called(bootstrap, int(PATIENCE_S), int(PATIENCE_S) + 1) == [(PATIENCE_S, "one")]


def test_they_take_turns_and_are_called_ever_more_rarely_up_to_a_bound() -> None:
    calls = called(Bootstrap(["one", "two", "three"], seed=bytes(32), now=0.0), 0, NOBODY_IS_THERE_S)
    assert [address for _, address in calls[:6]] == ["one", "two", "three"] * 2
    gaps = [after - before for (before, _), (after, _) in pairwise(calls)]
    assert gaps == sorted(gaps)
    assert gaps[0] == FIRST_DELAY_S
    assert gaps[-1] == LONGEST_DELAY_S


def test_nobody_is_called_while_somebody_is_there_and_all_begins_anew_when_they_leave() -> None:
    bootstrap = Bootstrap(["one"], seed=bytes(32), now=0.0)
    called(bootstrap, 0, NOBODY_IS_THERE_S)
    bootstrap.somebody_is_there(5_000.0)
    assert bootstrap.next_time() == 5_000.0 + PATIENCE_S
    assert [at for at, _ in called(bootstrap, 5_000, 5_010)] == [5_005, 5_007]


def test_not_all_nodes_begin_with_the_first() -> None:
    firsts = {Bootstrap(["one", "two", "three"], seed=bytes((0, 0, 0, n)), now=0.0).next(10.0) for n in range(3)}
    assert firsts == {"one", "two", "three"}


def test_without_addresses_nobody_is_ever_called_and_of_too_many_some_are() -> None:
    assert Bootstrap([], seed=bytes(32), now=0.0).next_time() == float("inf")
    assert Bootstrap([], seed=bytes(32), now=0.0).next(1e9) is None
    many = Bootstrap([str(number) for number in range(10 * MAX_BOOTSTRAP)], seed=bytes(32), now=0.0)
    assert len({address for _, address in called(many, 0, 20_000)}) == MAX_BOOTSTRAP
