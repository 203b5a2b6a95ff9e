"""One seed, one run: to the byte, in every process."""

import os
import subprocess
import sys

from unhush.testing.scenario import Plan, Scenario

SMALL = Plan(nodes=16, posts=20, storm_s=20.0)
PATIENCE_S = 60.0
PROGRAM = (
    "from unhush.testing.scenario import Plan, Scenario\n"
    "scenario = Scenario(5, Plan(nodes=16, posts=20, storm_s=20.0))\n"
    "scenario.run()\n"
    "print(scenario.network.trace.digest())"
)


def trace_of(seed: int) -> str:
    scenario = Scenario(seed, SMALL)
    scenario.run()
    return scenario.network.trace.digest()


def test_the_same_seed_leaves_the_same_trace() -> None:
    assert trace_of(5) == trace_of(5)
    assert trace_of(7) == trace_of(7)  # in which nodes compare


def test_another_seed_leaves_another_trace() -> None:
    assert trace_of(5) != trace_of(6)


def test_the_trace_does_not_depend_on_how_a_process_hashes() -> None:
    traces = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        traces.add(done.stdout.strip())
    assert traces == {trace_of(5)}
