"""What most tests of the store begin with: a clock, an empty store, a home with an account, and others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from tests.support.people import Clock, Home, Person, ingest, open_home

from unhush.storage.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """An empty store without an account."""
    with open_home(tmp_path / "home", clock) as opened:
        yield opened


@pytest.fixture
def home(store: Store, clock: Clock) -> Home:
    """Ours: the same store, with an account and its profile."""
    return Home(store, Person("Ann", seed=1, clock_ms=clock), clock)


@pytest.fixture
def bob(clock: Clock) -> Person:
    """Somebody else, whom nobody knows yet."""
    return Person("Bob", seed=2, clock_ms=clock)


@pytest.fixture
def known_bob(store: Store, bob: Person) -> Person:
    """The same Bob, whose inception the store holds."""
    ingest(store, bob.incept)
    return bob


@pytest.fixture
def new_store(tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Store]]:
    """As many empty stores as a test asks for."""
    numbers = count(1)
    with ExitStack() as stack:
        yield lambda: stack.enter_context(open_home(tmp_path / f"other-{next(numbers)}", clock))
