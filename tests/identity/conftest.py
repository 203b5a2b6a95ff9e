"""What the identity tests share: the independent reference beside the vectors."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """tests/vectors/reference.py: CBOR, CIDs and Ed25519 that share no line with ours."""
    spec = importlib.util.spec_from_file_location("vector_reference", VECTORS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
