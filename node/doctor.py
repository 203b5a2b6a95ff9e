"""The doctor: says in words how this home and its network are, and what to do about it.

What lives in the running node alone (who reaches it, places at relays, bounds met) is asked of it through the
control port; without one, the doctor says what it cannot know. Nothing is changed here.
"""

import ipaddress
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from unhush.gossip.proto.addresses import Scope, scope_of
from unhush.gossip.proto.reach import Reach, ReachView, RelayUse, SeenBy
from unhush.gossip.proto.tally import EVERYDAY, Met
from unhush.node.config import DEFAULT_PORT, Home
from unhush.node.control import Answer, ask
from unhush.node.errors import NotRunning
from unhush.node.node import Node
from unhush.node.views import PeerInfo

T = TypeVar("T")

# A day of text and pictures of a few dozen people; below the second no more is taken in soon.
LITTLE_ROOM_BYTES: Final = 1024**3
NO_ROOM_BYTES: Final = 200 * 1024**2

# Records from more than ten minutes ahead are held back; a minute shows in what order things stand.
SKEW_NOTED_MS: Final = 60_000
SKEW_BAD_MS: Final = 600_000

# Asking peers anew takes up to eight seconds (``gossip/net/reach/dialback.py``).
LOOK_S: Final = 12.0
POLL_S: Final = 0.2

# Addresses of carriers that put many customers behind one address (RFC 6598).
_SHARED: Final = ipaddress.ip_network("100.64.0.0/10")


class Grade(StrEnum):
    """What a finding asks of the person."""

    FINE = "fine"
    NOTE = "note"  # good to know
    ATTENTION = "attention"  # something should be done


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    grade: Grade
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    """What the running node knows of its network."""

    reach: ReachView
    met: Mapping[str, int]  # bounds met since its start
    neighbours: int = 0  # nodes that announce themselves on the local network
    lan_problem: str = ""  # why it does not look for any


def examine(node: Node, *, look_s: float = LOOK_S) -> tuple[Finding, ...]:
    """Look at everything; asks peers anew and waits up to ``look_s`` for what they say."""
    status = node.status()
    live = _ask_live(node.config.home, look_s) if status.network_running else None
    peers = node.peers()
    return (
        *_look_at_files(node.config.home),
        *_look_at_disk(node.config.home),
        *_look_at_account(status.problem, status.words_waiting),
        *_look_at_network(status.network_running, live, status.listen, peers),
    )


def is_well(findings: tuple[Finding, ...]) -> bool:
    """Whether nothing needs doing."""
    return all(finding.grade is not Grade.ATTENTION for finding in findings)


# -- the home


def _look_at_files(home: Path) -> Iterator[Finding]:
    found = Home(home)
    wrong = [
        (path, wanted)
        for path, wanted in (
            (home, 0o700),
            *((key, 0o600) for key in (found.device_key, found.root_key, found.peer_key, found.words)),
        )
        if not _is_private(path, wanted)
    ]
    for path, wanted in wrong:
        yield Finding(
            "files",
            Grade.ATTENTION,
            f"{path} can be read or changed by others.",
            f"chmod {wanted:o} '{path}'",
        )
    if not wrong:
        yield Finding("files", Grade.FINE, f"The home {home} and its keys are yours alone.")


def _is_private(path: Path, wanted: int) -> bool:
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return True
    return facts.st_uid == os.getuid() and not stat.S_IMODE(facts.st_mode) & ~wanted


def _look_at_disk(home: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(home).free
    text = f"{free // 1024**2} MiB are free on the disk of this home."
    if free < NO_ROOM_BYTES:
        yield Finding("disk", Grade.ATTENTION, text, "make room; what takes it here: unhush storage, unhush gc")
    elif free < LITTLE_ROOM_BYTES:
        yield Finding("disk", Grade.NOTE, text, "what takes room here: unhush storage")
    else:
        yield Finding("disk", Grade.FINE, text)


def _look_at_account(problem: str, words_waiting: str | None) -> Iterator[Finding]:
    if problem:
        yield Finding("account", Grade.ATTENTION, f"Nothing is published from here: {problem}")
    if words_waiting:
        yield Finding(
            "words",
            Grade.ATTENTION,
            f"The recovery words wait in {words_waiting}.",
            "write them on paper, then: unhush id check",
        )


# -- the network


def _look_at_network(
    is_running: bool, live: Live | None, listen: tuple[str, ...], peers: tuple[PeerInfo, ...]
) -> Iterator[Finding]:
    connected = [peer for peer in peers if peer.connected]
    if not is_running:
        yield Finding(
            "node",
            Grade.ATTENTION,
            "No node runs on this home, so nobody can reach it, and what others see of it cannot be known.",
            "unhush run",
        )
        yield from _look_at_peers(connected, len(peers), is_running=False)
        return
    if live is None:
        yield Finding(
            "node",
            Grade.ATTENTION,
            "The running node does not say how its network is: it is of another version, or its network is down.",
            "start it again: unhush run",
        )
        return
    yield Finding("node", Grade.FINE, "The node is running.")
    listen = tuple(address for address in listen if address not in live.reach.outside)
    yield from _look_at_listening(listen)
    yield from _look_at_peers(connected, len(peers), is_running=True)
    yield from _look_at_reach(live.reach, listen, has_peers=bool(connected))
    yield from _look_at_relays(live.reach)
    yield from _look_at_clock(live.reach)
    yield from _look_at_lan(live, connected)
    yield from _look_at_mesh(live.reach.mesh, connected)
    yield from _look_at_limits(live.met)


def _look_at_listening(listen: tuple[str, ...]) -> Iterator[Finding]:
    own = [address for address in listen if scope_of(address) is not None]
    scopes = {scope_of(address) for address in own}
    shown = ", ".join(address.partition("/p2p/")[0] for address in own)
    if not own:
        yield Finding(
            "listening",
            Grade.ATTENTION,
            "The node listens nowhere: others reach it only through a relay.",
            f"unhush run --listen /ip4/0.0.0.0/tcp/{DEFAULT_PORT}",
        )
    elif scopes == {Scope.LOOPBACK}:
        yield Finding(
            "listening",
            Grade.ATTENTION,
            f"The node listens on {shown}: only programs on this machine can connect.",
            f"unhush run --listen /ip4/0.0.0.0/tcp/{_port(own) or DEFAULT_PORT}",
        )
    elif Scope.PUBLIC in scopes:
        yield Finding(
            "listening", Grade.FINE, f"The node listens on {shown}; an address of the Internet is among them."
        )
    else:
        yield Finding(
            "listening", Grade.FINE, f"The node listens on {shown}: addresses of this machine and its own network."
        )


def _look_at_peers(connected: list[PeerInfo], known: int, *, is_running: bool) -> Iterator[Finding]:
    if not known:
        yield Finding(
            "peers",
            Grade.ATTENTION,
            "No machine is known yet.",
            "take an invite of somebody, or add an address: unhush peers add MULTIADDR",
        )
    elif is_running and not connected:
        yield Finding(
            "peers",
            Grade.ATTENTION,
            f"{_many(known, 'address is', 'addresses are')} known, and none is connected.",
            "is this machine online? Whether one answers: unhush peers ping MULTIADDR; fresh ones help: "
            "unhush peers add MULTIADDR",
        )
    elif is_running:
        inbound = sum(1 for peer in connected if peer.inbound)
        yield Finding(
            "peers",
            Grade.FINE,
            f"{_many(len(connected), 'peer is', 'peers are')} connected, of them {inbound} came to us; "
            f"{_many(known - len(connected), 'more address is', 'more addresses are')} known.",
        )
    else:
        yield Finding("peers", Grade.FINE, f"{_many(known, 'address is', 'addresses are')} known.")


def _look_at_reach(reach: ReachView, listen: tuple[str, ...], *, has_peers: bool) -> Iterator[Finding]:
    hosts = [host for address in listen if (host := _host(address))]
    port = _port(listen)
    from_where = _FROM[reach.scope]
    yield from _look_at_nat(reach, hosts)
    if not has_peers and not reach.seen_by:
        yield Finding("reach", Grade.NOTE, "Whether others reach this node cannot be known without a peer to ask.")
    elif reach.reach == Reach.OPEN:
        at = f" at {reach.observed[0]}" if reach.observed else ""
        if reach.scope == "public":
            ways = f" Its address there: {', '.join(reach.outside)}." if reach.outside else ""
            yield Finding("reach", Grade.FINE, f"Others reach this node {from_where}{at}.{ways}")
        else:
            yield Finding(
                "reach",
                Grade.NOTE,
                f"Others reach this node {from_where}{at}; whether they do from the Internet, no peer there has said.",
            )
    elif reach.reach == Reach.CLOSED:
        yield Finding(
            "reach",
            Grade.NOTE if reach.relays else Grade.ATTENTION,
            f"Peers tried port {port} {from_where}, and it does not answer.",
            _how_to_open(reach, hosts, port),
        )
    else:
        yield Finding(
            "reach",
            Grade.NOTE,
            "Whether others reach this node is not known: no peer could try it.",
            f"if they should, TCP port {port} must be open to them",
        )


def _look_at_nat(reach: ReachView, hosts: list[str]) -> Iterator[Finding]:
    outside = [host for host in reach.observed if scope_of(f"/ip{6 if ':' in host else 4}/{host}") is Scope.PUBLIC]
    if not outside:
        return
    if any(host in hosts for host in outside):
        yield Finding("nat", Grade.FINE, f"Peers see this machine under its own address {outside[0]}: no NAT.")
        return
    shared = next((host for host in hosts if ":" not in host and ipaddress.ip_address(host) in _SHARED), None)
    if shared is not None:
        yield Finding(
            "nat",
            Grade.NOTE,
            f"Peers see {outside[0]}, and this machine has {shared}: the provider shares one address among many.",
            "no setting here opens a port; IPv6 from the provider, or a relay, does",
        )
        return
    ways = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
    yield Finding("nat", Grade.NOTE, f"Peers see this machine as {outside[0]}{ways}: a router translates (NAT).")


def _how_to_open(reach: ReachView, hosts: list[str], port: int | None) -> str:
    allow = f"sudo ufw allow {port}/tcp (or: sudo firewall-cmd --permanent --add-port={port}/tcp)"
    if reach.scope != "public" or any(host in hosts for host in reach.observed):
        return f"let TCP port {port} through the firewall: {allow}"
    inner = next((host for host in hosts if scope_of(f"/ip4/{host}") is Scope.PRIVATE), "this machine")
    return f"in the router, forward TCP port {port} to {inner}; and in a firewall here: {allow}"


def _look_at_relays(reach: ReachView) -> Iterator[Finding]:
    if reach.relays:
        named = ", ".join(address.rpartition("/p2p/")[0] for address in reach.relays)
        yield Finding("relay", Grade.FINE, f"Whoever cannot connect directly comes through a relay: {named}.")
    elif reach.reach == Reach.CLOSED:
        yield Finding(
            "relay",
            Grade.ATTENTION,
            "No relay keeps a place for this node: others get what you write only where it connects itself.",
            "somebody with an open port helps with: unhush run --relay; then: unhush peers add MULTIADDR",
        )
    if (use := reach.relay) is not None:
        yield Finding(
            "relay",
            Grade.FINE if reach.reach != Reach.CLOSED else Grade.ATTENTION,
            f"This node is a relay: {_many(use.reservations, 'place', 'places')} kept, "
            f"{_many(use.circuits, 'circuit', 'circuits')}, "
            f"{use.carried_bytes // 1024} KiB carried since its start.",
            "it cannot be reached itself, so it is of no use as one" if reach.reach == Reach.CLOSED else "",
        )


def _look_at_clock(reach: ReachView) -> Iterator[Finding]:
    if (skew := reach.skew_ms) is None:
        yield Finding("clock", Grade.NOTE, "No peer has said what time it is.")
        return
    text = f"This clock is {abs(skew) / 1000:.0f} s {'behind' if skew > 0 else 'ahead of'} those of peers."
    if abs(skew) >= SKEW_BAD_MS:
        yield Finding(
            "clock", Grade.ATTENTION, f"{text} What you write is held back or stands in the wrong place.", _SET_CLOCK
        )
    elif abs(skew) >= SKEW_NOTED_MS:
        yield Finding("clock", Grade.NOTE, text, _SET_CLOCK)
    else:
        yield Finding("clock", Grade.FINE, "This clock agrees with those of peers.")


def _look_at_lan(live: Live, connected: list[PeerInfo]) -> Iterator[Finding]:
    near = sum(1 for peer in connected if scope_of(peer.address) in (Scope.PRIVATE, Scope.LOOPBACK))
    text = f"{_many(near, 'peer is', 'peers are')} on this machine or in its own network"
    if live.lan_problem:
        yield Finding("lan", Grade.NOTE, f"{text}; this node does not look for any there: {live.lan_problem}.")
    else:
        others = _many(live.neighbours, "other node is", "other nodes are")
        yield Finding("lan", Grade.FINE, f"{text}; {others} announced there.")


def _look_at_mesh(mesh: int, connected: list[PeerInfo]) -> Iterator[Finding]:
    if connected:
        yield Finding(
            "gossip",
            Grade.FINE if mesh else Grade.NOTE,
            f"{_many(mesh, 'peer takes', 'peers take')} part in gossip with this node"
            + ("." if mesh else ": news comes by sync alone."),
        )


def _look_at_limits(met: Mapping[str, int]) -> Iterator[Finding]:
    counted = {name: count for name, count in met.items() if count}
    if not counted:
        yield Finding("limits", Grade.FINE, "No bound was met since the node started.")
        return
    known = {each.value: each for each in Met}
    said = (f"{count} × {known[name].words if name in known else name}" for name, count in sorted(counted.items()))
    if counted.keys() <= EVERYDAY:
        yield Finding("limits", Grade.FINE, f"Only bounds that every node meets, since it started: {', '.join(said)}.")
        return
    yield Finding("limits", Grade.NOTE, f"Since the node started: {', '.join(said)}.")


_SET_CLOCK: Final = "let it be set from the network: timedatectl set-ntp true"
_FROM: Final = {
    "loopback": "from this machine",
    "private": "from its own network",
    "public": "from the Internet",
    "": "",
}


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _host(address: str) -> str:
    match address.split("/"):
        case ["", "ip4" | "ip6", host, *_] if scope_of(address) is not None:
            return host
    return ""


def _port(addresses: list[str] | tuple[str, ...]) -> int | None:
    for address in addresses:
        match address.split("/"):
            case ["", "ip4" | "ip6", _, "tcp", port, *_] if port.isdigit() and scope_of(address) is not None:
                return int(port)
    return None


# -- the running node


def _ask_live(home: Path, look_s: float) -> Live | None:
    """Have the node ask its peers, and wait until they have answered or time is up."""
    try:
        before = parse_live(ask(home, "reach"))
        ask(home, "look")
        deadline = time.monotonic() + look_s
        now = before
        while now.reach.rounds == before.reach.rounds and time.monotonic() < deadline:
            time.sleep(POLL_S)
            now = parse_live(ask(home, "reach"))
    except NotRunning:
        return None
    return now


def parse_live(answer: Answer) -> Live:
    """Read an answer to "reach"; raises ``NotRunning`` for one of another version, or of a network that is down."""
    try:
        view = answer["reach"]
        reach = ReachView(
            reach=str(view["reach"]),
            scope=_one_of(_FROM, view["scope"]),
            observed=tuple(map(str, view["observed"])),
            skew_ms=_optional(int, view["skew_ms"]),
            seen_by=tuple(_parse_seen(each) for each in view["seen_by"]),
            outside=tuple(map(str, view["outside"])),
            relays=tuple(map(str, view["relays"])),
            relay=_optional(_parse_use, view["relay"]),
            mesh=int(view["mesh"]),
            rounds=int(view["rounds"]),
        )
        met = {str(name): int(count) for name, count in answer["met"].items()}
        return Live(reach, met, int(answer["lan"]["neighbours"]), str(answer["lan"]["problem"]))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise NotRunning("the node on this home is of another version") from exc


def _parse_seen(each: Mapping[str, Any]) -> SeenBy:
    return SeenBy(
        str(each["peer"]),
        str(each["observed"]),
        _optional(bool, each["reached"]),
        _optional(int, each["skew_ms"]),
        int(each["age_s"]),
    )


def _parse_use(use: Mapping[str, Any]) -> RelayUse:
    return RelayUse(int(use["reservations"]), int(use["circuits"]), int(use["carried_bytes"]))


def _optional(parse: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else parse(value)


def _one_of(known: Mapping[str, str], value: Any) -> str:
    if value not in known:
        raise ValueError(f"not known: {value!r}")
    return str(value)
