"""Ranges against the naive oracle: sets of integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.gossip.proto.ranges import MAX_SEQ, NOTHING, BadRanges, Ranges

NUMBERS = st.sets(st.integers(0, 60), max_size=40)


def ranges_of(numbers: set[int]) -> Ranges:
    made = NOTHING
    for number in sorted(numbers):
        made = made.add(number)
    return made


def numbers_of(ranges: Ranges) -> set[int]:
    return {number for lo, hi in ranges for number in range(lo, hi + 1)}


def assert_normal(ranges: Ranges) -> None:
    assert Ranges.of(ranges.pairs) == ranges


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=30))
def test_adding_in_any_order_is_what_sets_do(spans: list[tuple[int, int]]) -> None:
    made, oracle = NOTHING, set[int]()
    for lo, length in spans:
        made = made.add(lo, lo + length)
        oracle |= set(range(lo, lo + length + 1))
    assert numbers_of(made) == oracle
    assert_normal(made)


@given(NUMBERS, NUMBERS)
def test_union_and_subtraction_are_what_sets_do(left: set[int], right: set[int]) -> None:
    union = ranges_of(left).union(ranges_of(right))
    rest = ranges_of(left).subtract(ranges_of(right))
    assert numbers_of(union) == left | right
    assert numbers_of(rest) == left - right
    assert_normal(union)
    assert_normal(rest)


@given(NUMBERS, st.integers(-1, 61))
def test_membership_and_count_are_what_sets_do(numbers: set[int], probe: int) -> None:
    made = ranges_of(numbers)
    assert (probe in made) == (probe in numbers)
    assert made.count() == len(numbers)
    assert bool(made) == bool(numbers)


@given(NUMBERS, st.integers(0, 50))
def test_the_newest_are_the_highest_numbers(numbers: set[int], count: int) -> None:
    newest = ranges_of(numbers).newest(count)
    assert numbers_of(newest) == set(sorted(numbers)[max(0, len(numbers) - count) :])
    assert_normal(newest)


@given(NUMBERS, st.integers(1, 12))
def test_shrinking_claims_less_and_keeps_the_most_it_can(numbers: set[int], limit: int) -> None:
    whole = ranges_of(numbers)
    made = whole.shrink_to(limit)
    assert len(made) <= limit
    assert numbers_of(made) <= numbers
    lengths = sorted((hi - lo + 1 for lo, hi in whole), reverse=True)
    assert made.count() == sum(lengths[:limit])
    assert_normal(made)


@given(NUMBERS, st.integers(1, 12))
def test_widening_claims_more_and_adds_the_least_it_can(numbers: set[int], limit: int) -> None:
    whole = ranges_of(numbers)
    made = whole.widen_to(limit)
    assert len(made) <= limit
    assert numbers_of(made) >= numbers
    gaps = sorted(after[0] - before[1] - 1 for before, after in zip(whole.pairs, whole.pairs[1:], strict=False))
    assert made.count() == len(numbers) + sum(gaps[: max(0, len(whole) - limit)])
    assert_normal(made)


def test_a_span_that_ends_before_it_begins_is_nothing() -> None:
    assert Ranges.span(5, 4) is NOTHING
    assert Ranges.span(5, 5).pairs == ((5, 5),)


def test_adjacent_pairs_from_outside_become_one() -> None:
    assert Ranges.of([(0, 3), (4, 9)]).pairs == ((0, 9),)


@pytest.mark.parametrize(
    "pairs",
    [[(2, 1)], [(-1, 3)], [(0, MAX_SEQ + 1)], [(0, 5), (5, 6)], [(4, 5), (0, 1)], [(0, 9), (3, 4)]],
    ids=str,
)
def test_pairs_that_are_no_ranges_are_refused(pairs: list[tuple[int, int]]) -> None:
    with pytest.raises(BadRanges):
        Ranges.of(pairs)


def test_the_last_sequence_number_fits() -> None:
    made = Ranges.of([(0, MAX_SEQ)])
    assert MAX_SEQ in made
    assert made.subtract(Ranges.span(0, MAX_SEQ)) == NOTHING
    assert made.newest(1).pairs == ((MAX_SEQ, MAX_SEQ),)
