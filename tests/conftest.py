"""For all tests: hypothesis judges behaviour, not speed; and what takes longest begins first."""

import signal
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

# The machines are shared: a slow example says nothing about the code.
settings.register_profile("unhush", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhush")

HERE: Final = Path(__file__).parent

# A file goes to one process. So that all of them end together, these begin first; what is not named takes seconds.
LONGEST: Final = (
    "simulation/test_seeds.py",
    "cli/test_processes.py",
    "node/test_restore.py",
    "node/test_clone.py",
    "cli/test_invites.py",
    "storage/test_standing_oracle.py",
    "storage/test_crash_points.py",
    "identity/test_histories.py",
    "cli/test_peers.py",
    "node/test_founding.py",
    "gossip/net/test_fuzz.py",
    "identity/test_edge_cases.py",
    "node/web/test_rendering.py",
    "node/test_keeping.py",
    "simulation/test_oracle.py",
    "cli/test_drill.py",
    "storage/test_room_limits.py",
    "storage/test_standing.py",
    "storage/test_blobs_images.py",
    "storage/test_stateful.py",
    "node/test_kills.py",
    "simulation/test_drill.py",
    "node/test_first_voice.py",
    "cli/test_secrets.py",
    "gossip/proto/test_hostile.py",
    "node/web/test_media.py",
    "node/test_invites.py",
    "identity/test_vectors.py",
    "gossip/net/test_host.py",
    "node/test_takedown.py",
    "gossip/net/test_keep.py",
    "identity/test_codec.py",
    "gossip/proto/test_forks.py",
    "storage/test_orphans.py",
    "node/test_hostile.py",
    "storage/test_keyfile.py",
    "node/test_equivocation.py",
    "node/test_behind_nat.py",
    "node/test_lan.py",
    "interop/test_libp2p_elsewhere.py",
    "browser/test_lifeboat_in_chromium.py",
)


def pytest_configure() -> None:
    """Ctrl-C reaches the processes we start, even if whoever started us (``make test &``) does not hear it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of files; within a file nothing changes."""
    ranks = {HERE / name: rank for rank, name in enumerate(LONGEST)}
    assert all(path.exists() for path in ranks), "tests/conftest.py names a file that is gone"
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
