"""Two nodes on one wire that know nothing of each other find each other; where there is no multicast, that is said."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.commands import PATIENCE_S, Serving, await_until, command, environment
from tests.support.namespaces import Machine, cable

from unhush.node import Config, found_account
from unhush.storage.keyfile import MIN_MEMORY_BYTES, MIN_OPS, Sealing


@contextmanager
def starting_on(machine: Machine, home: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """``unhush run`` on a machine of the wire, not awaited yet."""
    found_account(Config(home, sealing=Sealing(MIN_OPS, MIN_MEMORY_BYTES)), home.name)
    run = ["--home", str(home), "--json", "run", "--web", "off", "--listen", "/ip4/0.0.0.0/tcp/0", *more]
    process = subprocess.Popen(
        machine.command(sys.executable, "-m", "unhush.cli", *run),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(UNHUSH_LOG="info"),
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(PATIENCE_S)


def connected(home: Path) -> set[str]:
    lines = command("--home", home, "--json", "peers").out.splitlines()
    return {peer["peer"] for peer in map(json.loads, lines) if peer["connected"]}


def test_two_processes_on_one_wire_find_each_other_unless_told_not_to(tmp_path: Path) -> None:
    with (
        cable() as (left, right),
        starting_on(left, tmp_path / "ann") as first,
        starting_on(right, tmp_path / "ben") as second,
    ):
        ann, ben = Serving(first), Serving(second)
        await_until(lambda: connected(tmp_path / "ann") == {ben.ready["peer"]}, "Ann's node meets Ben's")
        assert connected(tmp_path / "ben") == {ann.ready["peer"]}
        for node in (ann, ben):
            ended = node.end()
            assert (ended.code, "Traceback" in ended.err) == (0, False), ended.err
            assert "announced on the local network addresses=('10.83.0." in ended.err


@pytest.mark.long
def test_a_node_that_is_told_so_neither_announces_nor_looks(tmp_path: Path) -> None:
    with (
        cable() as (left, right),
        starting_on(left, tmp_path / "ann") as first,
        starting_on(right, tmp_path / "ben", "--no-lan") as second,
    ):
        Serving(first)
        ben = Serving(second)
        with pytest.raises(AssertionError, match="not within"):
            await_until(lambda: connected(tmp_path / "ann"), "they meet", within_s=20)
        assert "local network" not in ben.end().err
