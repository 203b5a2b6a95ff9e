"""Nodes to test with: on disks of their own, with the network on loopback only."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.commands import ANY_PORT

from unhush.node import Config, Node, found_account


@pytest.fixture
def new_config(tmp_path: Path) -> Callable[[str], Config]:
    """The config of a home that does not exist yet."""
    return lambda name: Config(tmp_path / name, network="test", listen=(ANY_PORT,))


@pytest.fixture
def new_node(new_config: Callable[[str], Config]) -> Iterator[Callable[[str], Node]]:
    """An open node with an account of that name; a second call with the name opens the same home again."""
    with ExitStack() as stack:

        def make(name: str) -> Node:
            config = new_config(name.lower())
            if not config.home.exists():
                found_account(config, name)
            return stack.enter_context(Node.open(config))

        yield make


@pytest.fixture
def ann(new_node: Callable[[str], Node]) -> Node:
    return new_node("Ann")
