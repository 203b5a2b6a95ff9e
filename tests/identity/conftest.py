"""What the identity tests share: the independent reference beside the vectors."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

VECTORS = Path(__file__).parents[1] / "vectors"

# A stalled test machine is no failure: what must be fast has a test that says how fast.
settings.register_profile("unhush", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhush")


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """tests/vectors/reference.py: CBOR, CIDs and Ed25519 that share no line with ours."""
    spec = importlib.util.spec_from_file_location("vector_reference", VECTORS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
