"""Machines in network namespaces, and the wires between them: delay, loss and partitions that real sockets feel.

Each machine has a TUN device; one thread carries their packets, and drops or
delays them. So it needs no traffic control in the kernel, only the right to
make namespaces; where that is missing, the test is skipped and says why.
"""

import errno
import fcntl
import heapq
import os
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Final

import pytest

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_TUN: Final = Path("/dev/net/tun")
_NET: Final = "10.84"
_PACKET_BYTES: Final = 65_536
# Packets on the way: more than any test here sends within a round trip.
_MAX_ON_THE_WAY: Final = 100_000


@dataclass(frozen=True)
class Machine:
    """A network namespace with one address."""

    name: str
    address: str

    def command(self, *arguments: str) -> list[str]:
        """A command, as it is run on this machine."""
        return ["ip", "netns", "exec", self.name, *arguments]


class Wires(threading.Thread):
    """Carries packets between machines. ``parts`` says who hears whom; all in one part at first."""

    def __init__(self, devices: Sequence[int], *, seed: int) -> None:
        super().__init__(name="wires", daemon=True)
        self.loss = 0.0
        self.delay_s = 0.0
        self.carried = self.lost = 0
        self._devices = list(devices)
        self._parts = [0] * len(devices)
        self._dice = Random(seed)
        self._on_the_way: list[tuple[float, int, int, bytes]] = []
        self._numbers = count()
        self._is_ending = False

    def part(self, parts: Sequence[int]) -> None:
        """Machines hear only those whose number here is theirs."""
        assert len(parts) == len(self._devices)
        self._parts = list(parts)

    def end(self) -> None:
        self._is_ending = True
        self.join()

    def run(self) -> None:
        arrivals = select.poll()
        places = {}
        for place, device in enumerate(self._devices):
            os.set_blocking(device, False)
            arrivals.register(device, select.POLLIN)
            places[device] = place
        while not self._is_ending:
            due = self._on_the_way[0][0] - time.monotonic() if self._on_the_way else 0.2
            for device, _ in arrivals.poll(max(0.0, min(due, 0.2)) * 1e3):
                self._take(places[device])
            self._bring()

    def _take(self, sender: int) -> None:
        while True:
            try:
                packet = os.read(self._devices[sender], _PACKET_BYTES)
            except OSError as exc:
                if exc.errno in (errno.EAGAIN, errno.EIO):  # nothing more; not up yet
                    return
                raise
            if len(packet) < 20 or packet[0] >> 4 != 4:
                continue
            receiver = int.from_bytes(packet[18:20]) - 1
            if not 0 <= receiver < len(self._devices) or self._parts[receiver] != self._parts[sender]:
                continue
            if self._dice.random() < self.loss or len(self._on_the_way) >= _MAX_ON_THE_WAY:
                self.lost += 1
                continue
            due = time.monotonic() + self.delay_s
            heapq.heappush(self._on_the_way, (due, next(self._numbers), receiver, packet))

    def _bring(self) -> None:
        now = time.monotonic()
        while self._on_the_way and self._on_the_way[0][0] <= now:
            _, _, receiver, packet = heapq.heappop(self._on_the_way)
            try:
                os.write(self._devices[receiver], packet)
                self.carried += 1
            except OSError:  # its queue is full, or it is gone: lost, as on any wire
                self.lost += 1


@contextmanager
def machines(number: int, *, seed: int = 1) -> Iterator[tuple[list[Machine], Wires]]:
    """So many machines on one net; they are gone afterwards."""
    if shutil.which("ip") is None:
        _skip("there is no ip command")
    if not os.access(_TUN, os.R_OK | os.W_OK):
        _skip(f"{_TUN} cannot be opened")
    with ExitStack() as stack:
        made, devices = [], []
        for place in range(number):
            machine = Machine(f"mesh{os.getpid()}-{place}", f"{_NET}.{(place + 1) >> 8}.{(place + 1) & 255}")
            _run("ip", "netns", "add", machine.name)
            stack.callback(subprocess.run, ["ip", "netns", "del", machine.name], check=False)
            link = f"m{os.getpid()}-{place}"[:15]
            devices.append(_open_device(link, stack))
            _run("ip", "link", "set", link, "netns", machine.name)
            _run(*machine.command("ip", "address", "add", f"{machine.address}/16", "dev", link))
            _run(*machine.command("ip", "link", "set", link, "up"))
            _run(*machine.command("ip", "link", "set", "lo", "up"))
            made.append(machine)
        wires = Wires(devices, seed=seed)
        wires.start()
        stack.callback(wires.end)
        yield made, wires


def _open_device(link: str, stack: ExitStack) -> int:
    device = os.open(_TUN, os.O_RDWR)
    stack.callback(os.close, device)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", link.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError as exc:
        _skip(f"no TUN device: {exc.strerror}")
    return device


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        _skip(f"{' '.join(command[:4])}: {done.stderr.strip()}")


def _skip(why: str) -> None:
    print(f"not tried: no machines of our own can be made here: {why}")
    pytest.skip(f"no machines of our own can be made here: {why}")
