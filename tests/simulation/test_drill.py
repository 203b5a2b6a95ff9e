"""What a drill predicts is what then happens: random networks of thirty nodes, predicted, destroyed, and looked at.

Predicted twice: from all there is to know, and from what the author's node knows alone. Machines that came seconds ago
have been told things nobody else heard, so from the author's node such networks are only said to lie in a range.
"""

import sys
from collections.abc import Iterator
from typing import Final

import pytest
from tests.support.drilled import HEADER, Drilled, drill_network

WITHIN_POINTS: Final = 5.0
ALWAYS: Final = (2, 3)
LONG: Final = range(20)


def check(drilled: Drilled) -> None:
    assert drilled.off_by <= WITHIN_POINTS, drilled.line()
    if drilled.is_settled:
        assert drilled.home_off_by <= WITHIN_POINTS, drilled.line()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", ALWAYS)
def test_what_is_predicted_is_seen(seed: int) -> None:
    check(drill_network(seed))


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    lines = [HEADER]
    yield lines
    sys.__stdout__.write("\n" + "\n".join(lines) + "\n")  # type: ignore[union-attr]


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", LONG)
def test_what_is_predicted_is_seen_in_twenty_networks(seed: int, table: list[str]) -> None:
    drilled = drill_network(seed)
    table.append(drilled.line())
    check(drilled)
