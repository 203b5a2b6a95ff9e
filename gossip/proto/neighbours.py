"""Neighbours: nodes that announce themselves on the local network, and what of their words we act on.

An announcement (DNS-SD, RFC 6763) says a network's name, a peer id and where it
listens, and nothing of any account. Anybody on the same network can announce
anything, any number of times. So only addresses that belong to a local network are taken,
for no machine of the Internet is to be dialled on a neighbour's word; and only so many
neighbours are minded. Noise proves the peer id once one is dialled.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from unhush.gossip.errors import MalformedAddress
from unhush.gossip.proto.addresses import Scope, parse_address

SERVICE: Final = "_unhush._tcp.local."

# A large office; in a hall of thousands, peers of peers are better than hearing everybody shout.
MAX_NEIGHBOURS: Final = 64
MAX_ADDRESSES: Final = 4
# A name of DNS has no more, and a peer id is one label of it.
MAX_NAME_CHARS: Final = 255
_MAX_LABEL_CHARS: Final = 63

_NET: Final = "net"
_PEER: Final = "peer"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What we say of ourselves."""

    network: str
    peer_id: str
    addresses: tuple[str, ...]
    """IPv4 addresses of local networks, in digits."""
    port: int

    @property
    def name(self) -> str:
        return f"{self.peer_id}.{SERVICE}"

    def properties(self) -> dict[str, str]:
        return {_NET: self.network, _PEER: self.peer_id}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a neighbour said of itself, unchecked."""

    name: str
    properties: Mapping[bytes, bytes | None]
    addresses: tuple[str, ...]
    port: int


def find_announcement(network: str, peer_id: str, listen: Iterable[str]) -> Announcement | None:
    """What there is to announce of where we listen: nothing, if that is on no local network."""
    by_port: dict[int, list[str]] = {}
    for text in listen:
        match text.split("/"):
            case ["", "ip4", host, "tcp", port, "p2p", _] if _is_local(host):
                by_port.setdefault(int(port), []).append(host)
    if not by_port or len(peer_id) > _MAX_LABEL_CHARS:
        return None
    most, hosts = max(by_port.items(), key=lambda each: len(each[1]))
    return Announcement(network, peer_id, tuple(dict.fromkeys(hosts)), most)


def read_answer(answer: Answer, *, network: str, own_peer_id: str) -> tuple[str, ...]:
    """Where to dial a neighbour; nowhere, if it is of another network, ourselves, or says nothing sensible."""
    said = {key.lower(): value for key, value in answer.properties.items()}
    if said.get(_NET.encode()) != network.encode():
        return ()
    try:
        peer_id = (said.get(_PEER.encode()) or b"").decode("ascii")
    except UnicodeDecodeError:
        return ()
    if peer_id == own_peer_id or answer.name.lower() != f"{peer_id}.{SERVICE}".lower():
        return ()
    found = []
    for host in answer.addresses:
        address = f"/ip4/{host}/tcp/{answer.port}/p2p/{peer_id}"
        if _is_local(host) and _is_address(address):
            found.append(address)
    return tuple(dict.fromkeys(found))[:MAX_ADDRESSES]


class Neighbours:
    """Who is announced now, up to a bound."""

    def __init__(self) -> None:
        self._addresses: dict[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    def minds(self, name: str) -> bool:
        """Whether to ask what a name stands for: it is one of ours, and there is room for it."""
        is_one = len(name) <= MAX_NAME_CHARS and name.endswith("." + SERVICE)
        return is_one and (name in self._addresses or len(self._addresses) < MAX_NEIGHBOURS)

    def heard(self, name: str, addresses: Sequence[str]) -> bool:
        """A name stands for these addresses now; False if that is nothing, or there is no room any more."""
        if not addresses or not self.minds(name):
            return False
        self._addresses[name] = tuple(addresses)
        return True

    def gone(self, name: str) -> None:
        """It says goodbye, or has not been heard of for long; its addresses may still be good."""
        self._addresses.pop(name, None)

    def addresses(self) -> tuple[str, ...]:
        """All of them, so that an address book that dropped one has it again."""
        return tuple(address for addresses in self._addresses.values() for address in addresses)


def _is_local(host: str) -> bool:
    """Whether this is the IPv4 address of a machine on a local network (RFC 1918, 3927), as we would write it."""
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return str(address) == host and any(address in network for network in _LOCAL)


_LOCAL: Final = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")))


def _is_address(text: str) -> bool:
    try:
        return parse_address(text).scope is Scope.PRIVATE
    except MalformedAddress:
        return False
