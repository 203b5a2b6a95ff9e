"""A local network of its own: two machines, a cable between them, and nothing else; where that cannot be, a skip."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Machine:
    """A network namespace with one address."""

    name: str
    address: str

    def command(self, *arguments: str) -> list[str]:
        """A command, as it is run on this machine."""
        return ["ip", "netns", "exec", self.name, *arguments]


@contextmanager
def cable() -> Iterator[tuple[Machine, Machine]]:
    """Two machines on one wire that carries multicast; they are gone afterwards."""
    if shutil.which("ip") is None:
        _skip("there is no ip command")
    ends = tuple(Machine(f"lan{os.getpid()}{letter}", f"10.83.0.{at}") for at, letter in ((1, "a"), (2, "b")))
    with ExitStack() as stack:
        for machine in ends:
            _run("ip", "netns", "add", machine.name)
            stack.callback(subprocess.run, ["ip", "netns", "del", machine.name], check=False)
        first, second = (f"v{machine.name}"[:15] for machine in ends)
        _run("ip", "link", "add", first, "netns", ends[0].name, "type", "veth", "peer", second, "netns", ends[1].name)
        for machine, link in zip(ends, (first, second), strict=True):
            _run(*machine.command("ip", "address", "add", f"{machine.address}/24", "dev", link))
            _run(*machine.command("ip", "link", "set", link, "up"))
            _run(*machine.command("ip", "link", "set", "lo", "up"))
            _run(*machine.command("ip", "route", "add", "224.0.0.0/4", "dev", link))
        yield ends[0], ends[1]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        _skip(f"{' '.join(command[:4])}: {done.stderr.strip()}")


def _skip(why: str) -> None:
    print(f"not tried: no network of its own can be made here: {why}")
    pytest.skip(f"no network of its own can be made here: {why}")
