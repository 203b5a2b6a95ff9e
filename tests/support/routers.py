"""A small Internet in namespaces: a machine with open ports, and two homes, each behind a router that translates.

Made of ``ip`` and ``nft`` with the kernel's own NAT; where those cannot be used, a skip that says why. The outer
addresses are public ones, as nodes treat them differently, but nothing here is connected to anything else.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

OUTSIDE = "8.8.1.1"


@dataclass(frozen=True)
class Internet:
    """The names of its namespaces."""

    outside: str
    first: str
    second: str

    def within(self, machine: str) -> list[str]:
        """What stands before a command that is to run on a machine."""
        return ["ip", "netns", "exec", machine]


@contextmanager
def internet(*, keeps_ports: bool, sends_on: int | None = None) -> Iterator[Internet]:
    """``keeps_ports``: the routers keep one outer port for one inner port; else each far end meets another one.

    ``sends_on``: what comes to this port of a router goes on to the home behind it.
    """
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            _skip(f"there is no {tool} command")
    mark = f"n{os.getpid() % 100_000}"
    with ExitStack() as stack:

        def machine(letter: str) -> str:
            name = f"{mark}{letter}"
            _run("ip", "netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
            _run("ip", "-n", name, "link", "set", "lo", "up")
            return name

        def cable(one: str, at_one: str, other: str, at_other: str, number: int) -> str:
            near, far = f"{mark}i{number}", f"{mark}o{number}"
            _run("ip", "link", "add", near, "netns", one, "type", "veth", "peer", far, "netns", other)
            for place, link, address in ((one, near, at_one), (other, far, at_other)):
                _run("ip", "-n", place, "addr", "add", f"{address}/24", "dev", link)
                _run("ip", "-n", place, "link", "set", link, "up")
            return far

        out = machine("w")
        _forward(out)
        homes = []
        for number in (1, 2):
            router, home = machine(f"r{number}"), machine(f"h{number}")
            outer = cable(out, f"8.8.{number}.1", router, f"8.8.{number}.2", number)
            cable(router, f"192.168.{number}.1", home, f"192.168.{number}.2", number + 2)
            _run("ip", "-n", router, "route", "add", "default", "via", f"8.8.{number}.1")
            _run("ip", "-n", home, "route", "add", "default", "via", f"192.168.{number}.1")
            _forward(router)
            _translate(router, outer, keeps_ports=keeps_ports)
            if sends_on is not None:
                _send_on(router, outer, sends_on, f"192.168.{number}.2")
            homes.append(home)
        yield Internet(out, *homes)


def _forward(machine: str) -> None:
    _run("ip", "netns", "exec", machine, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def _translate(router: str, outer: str, *, keeps_ports: bool) -> None:
    """As a router at home: out goes everything, in comes only what belongs to it, and nothing is refused aloud."""
    rules = f"""
    table ip nat {{
        chain leaving {{
            type nat hook postrouting priority 100;
            oifname "{outer}" masquerade {"" if keeps_ports else "fully-random"};
        }}
    }}
    table ip sieve {{
        chain passing {{
            type filter hook forward priority 0; policy drop;
            ct state established,related accept;
            iifname != "{outer}" accept;
        }}
        chain coming {{
            type filter hook input priority 0; policy accept;
            iifname "{outer}" ct state new drop;
        }}
    }}
    """
    _run("ip", "netns", "exec", router, "nft", "-f", "-", given=rules)


def _send_on(router: str, outer: str, port: int, home: str) -> None:
    rules = f"""
    add chain ip nat arriving {{ type nat hook prerouting priority -100; }}
    add rule ip nat arriving iifname "{outer}" tcp dport {port} dnat to {home}:{port}
    insert rule ip sieve passing ct status dnat accept
    """
    _run("ip", "netns", "exec", router, "nft", "-f", "-", given=rules)


def _run(*command: str, given: str = "") -> None:
    done = subprocess.run(command, input=given, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        _skip(f"{' '.join(command[:6])}: {done.stderr.strip()[:200]}")


def _skip(why: str) -> None:
    print(f"not tried: no routers can be made here: {why}")
    pytest.skip(f"no routers can be made here: {why}")
