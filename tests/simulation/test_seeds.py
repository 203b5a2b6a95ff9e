"""Storms, seed by seed: partitions, loss, churn, skewed clocks, and one node in five misbehaves.

Fifty nodes; where peers tell each other of peers (every other seed) twelve, of which all that are honest must meet.

``UNHUSH_SEEDS=123`` or ``UNHUSH_SEEDS=100-200`` runs these seeds instead of the usual ones. A seed that fails prints
itself, the hash of its trace and its last notes, and fails again in the same way.
"""

import gc
import os
from collections.abc import Iterator

import pytest

from unhush.testing.scenario import run_seed

ALWAYS = range(200)
LONG = range(200, 1_000)
STEP = 5

pytestmark = pytest.mark.timeout(600)  # of a machine that others use too


def seeds(usual: range) -> range:
    asked = os.environ.get("UNHUSH_SEEDS", "")
    first, _, last = asked.partition("-")
    return range(int(first), int(last or first) + 1) if first else usual


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    """Looking for cycles takes a fifth of the time; the nodes of a few storms fit in memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("first", seeds(ALWAYS)[::STEP])
def test_everything_arrives_within_bounds_whatever_the_storm(first: int) -> None:
    run(first, seeds(ALWAYS))


@pytest.mark.long
@pytest.mark.skipif(bool(os.environ.get("UNHUSH_SEEDS")), reason="seeds were named")
@pytest.mark.parametrize("first", LONG[::STEP])
def test_everything_arrives_within_bounds_whatever_the_storm_many_times(first: int) -> None:
    run(first, LONG)


def run(first: int, among: range) -> None:
    arrived = brought = 0
    for seed in range(first, min(first + STEP, among.stop)):
        storm = run_seed(seed)
        arrived += storm.count_required()
        if storm.network.has_exchange:
            assert storm.count_reached() == storm.count_pairs(), f"seed {seed} leaves somebody honest alone"
        if storm.network.reconciles:
            assert storm.network.compared, f"seed {seed} compares nothing"
        brought += storm.count_letters()
    assert arrived, "no storm in which anything had to arrive"
    assert brought, "no storm in which anything had to come of a stranger"
