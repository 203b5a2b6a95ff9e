"""A page over a node by hand, and a browser that is in."""

from collections.abc import Iterator

import pytest
from tests.node.web.client import Client
from tests.node.web.fake import FakeNode

from unhush.node.web import WebServer

NOON_MS = 1_791_892_800_000  # 13 October 2026, 12:00 UTC


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now_ms = NOON_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def node(clock: Clock) -> FakeNode:
    return FakeNode(now_ms=clock.now_ms)


@pytest.fixture
def server(node: FakeNode, clock: Clock) -> Iterator[WebServer]:
    with WebServer(node, clock_ms=clock) as server:
        yield server


@pytest.fixture
def outside(server: WebServer) -> Client:
    """A browser that was not let in."""
    return Client(server)


@pytest.fixture
def client(server: WebServer) -> Client:
    """A browser that is in."""
    client = Client(server)
    assert client.enter().status == 200
    return client
