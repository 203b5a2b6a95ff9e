"""Floods of valid records. The figure: 5,000 a second for a minute, memory below 350 MB, own posts p99 below 250 ms."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.commands import environment

RATE = 5_000
MAX_RSS_MIB = 350e6 / 2**20
MAX_POST_MS = 250.0
ROOT = Path(__file__).parents[2]


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.support.{module}", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(PYTHONPATH=f"{ROOT}:{ROOT / 'src'}"),
    )


def flooded_for(seconds: int, home: Path) -> dict[str, Any]:
    """What a node says of itself after such a flood."""
    with start("flooder", RATE, seconds) as flooder, start("flooded", home) as node:
        try:
            assert node.stdout is not None
            assert node.stdin is not None
            assert flooder.stdout is not None
            address = json.loads(node.stdout.readline())["address"]
            assert flooder.stdout.readline() == "ready\n"
            node.stdin.write("post\n")
            node.stdin.flush()
            flooder.communicate(f"{address}\n", timeout=5 * seconds + 60)
            out, _ = node.communicate("end\n", timeout=60)
        finally:
            flooder.kill()
            node.kill()
    said: dict[str, Any] = json.loads(out)
    print(said)
    return said


def check(said: dict[str, Any], slowest: str) -> None:
    assert said["peak_rss_mib"] < MAX_RSS_MIB
    assert said[slowest] < MAX_POST_MS
    met = said["met"]
    # Which of the two is met first depends on how fast a busy machine lets the flood through.
    assert met.get("gossip_over_peer_rate", 0) + met.get("gossip_over_account_rate", 0) > 0
    assert "peer_faults" not in met, "valid records are nobody's fault"
    assert said["records"] > 1_000, "and some of them are kept"


def test_a_flood_of_5000_valid_records_a_second_for_3_s_stays_below_350_mb_and_posts_below_250_ms(
    tmp_path: Path,
) -> None:
    check(flooded_for(3, tmp_path), "p90_ms")  # of a hundred posts; the 99th would be one of them


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_flood_of_5000_valid_records_a_second_for_60_s_stays_below_350_mb_and_posts_below_250_ms(
    tmp_path: Path,
) -> None:
    check(flooded_for(60, tmp_path), "p99_ms")
