"""First voice, the story the demonstration tells: an account outlives the machine it was made on."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "first_voice.py"

# What a node on a machine with other things to do may take; the figures themselves are printed.
SLOWEST_P50_MS = 1_000.0
SLOWEST_P99_MS = 10_000.0


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example, loaded by its path: it belongs to no package."""
    spec = importlib.util.spec_from_file_location("first_voice", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "first_voice", module)
    spec.loader.exec_module(module)
    return module


def test_an_account_outlives_the_machine_it_was_made_on(
    story: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []

    figures = story.tell(tmp_path, told.append)

    with capsys.disabled():
        sys.stdout.write(
            f"\nfirst voice: p50 {figures.delay_p50_ms:.1f} ms, p99 {figures.delay_p99_ms:.1f} ms from durable there "
            f"to readable here (one fdatasync: {figures.fdatasync_p50_ms:.2f} ms), recovery "
            f"{figures.recovery_s:.2f} s, story {figures.seconds:.0f} s\n"
        )
    assert (figures.posts, figures.received_live, figures.in_order) == (200, 200, True)
    assert not (tmp_path / "ann").exists()
    assert figures.recovered == 200
    assert {name: figures.verify[name] for name in ("bad", "missing", "forks")} == {"bad": 0, "missing": 0, "forks": 0}
    assert figures.verify["entries"] >= 200
    assert figures.imported == 200
    assert story.is_whole(figures)
    assert 0 < figures.delay_p50_ms < SLOWEST_P50_MS
    assert figures.delay_p99_ms < SLOWEST_P99_MS
    assert len(told) >= 6
