"""For all tests: homes leave nothing behind, and hypothesis judges behaviour, not speed."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests.support.runtime import own_runtime_dir

# The machines are shared: a slow example says nothing about the code.
settings.register_profile("unhush", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhush")


@pytest.fixture(scope="session", autouse=True)
def _own_runtime_dir() -> Iterator[None]:
    with own_runtime_dir():
        yield
