"""The address book: whom we know how to reach, and when to try next.

Pure: time is an argument, and the little scatter in it comes from a seed. Three sources differ in how far
they are trusted: the person's configuration, an invite the person accepted, and what peers tell. Told
addresses may not be nearer than the teller: a machine on the Internet has no business sending us to our own
network or to ourselves; and they never push out one that worked or that the person gave.

Whom the person chose is dialled whenever it is due. Whom of the others, :mod:`unhush.gossip.proto.choosing` decides.
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache

from unhush.gossip.errors import MalformedAddress
from unhush.gossip.proto.tally import Met

# A peer has a few interfaces; those that worked are kept, of the others the newest.
MAX_ADDRESSES_PER_PEER = 4

# Told peers lie in buckets by network block, so that one block cannot push out all the others:
# 64 × 64 peers × ~500 bytes = 2 MiB.
BUCKETS = 64
MAX_PEERS_PER_BUCKET = 64

# What the person configured or accepted is limited only against slips (a list pasted twice).
MAX_CHOSEN_PEERS = 1024

# Failures after which it no longer counts that a peer once answered: with doubling delays some three hours.
LONG_GONE = 8

# A connection that ends sooner than this was no success: a peer that accepts and hangs up is backed off from.
STABLE_S = 30.0

# The scatter of a delay, so that a thousand nodes do not come back to a restarted peer in the same instant.
JITTER = 0.1

MAX_ADDRESS_CHARS = 256
_PEER_ID = re.compile(r"[1-9A-HJ-NP-Za-km-z]{46,64}\Z")
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


class Source(IntEnum):
    """Who an address comes from; the more trusted, the greater."""

    LEARNED = 0
    INVITED = 1
    CONFIGURED = 2


class Scope(IntEnum):
    """From how far an address makes sense."""

    LOOPBACK = 0
    PRIVATE = 1
    PUBLIC = 2


@dataclass(frozen=True, slots=True)
class Address:
    """An address we can dial: host, port and the peer expected there."""

    text: str
    peer_id: str
    scope: Scope
    block: str
    """IPv4 /16, IPv6 /32, or the name."""
    is_name: bool
    relay: str = ""
    """The address of the peer that brings us there, if it cannot be reached itself; scope and block are its."""


@dataclass(frozen=True, slots=True)
class Known:
    """One address as it is kept between runs.

    ``is_anchor``: its peer is to be dialled first. ``has_worked``: somebody told us of it, and its peer answered there.
    """

    address: str
    source: Source
    is_anchor: bool = False
    has_worked: bool = False

    @property
    def told_by(self) -> str | None:
        """Who speaks for it after a restart: itself, if it worked; else nobody knows any more who told of it."""
        return self.address if self.has_worked else None


@dataclass(slots=True)
class _Way:
    """An address of a peer, and what speaks for it."""

    address: Address
    source: Source
    has_worked: bool = False

    @property
    def trust(self) -> tuple[Source, bool]:
        return self.source, self.has_worked


@dataclass(slots=True)
class _Peer:
    source: Source
    ways: list[_Way]
    due_at: float
    failures: int = 0
    failures_before: int = 0
    connected_at: float | None = None
    turn: int = 0
    tried: set[str] = field(default_factory=set)

    @property
    def dispensability(self) -> tuple[bool, int]:
        is_proven = any(way.has_worked for way in self.ways) and self.failures < LONG_GONE
        return not is_proven, self.failures

    def next_address(self) -> Address:
        return self.ways[self.turn % len(self.ways)].address

    def add(self, new: _Way) -> bool:
        """Take an address; of too many the least trusted goes, and among equals the oldest."""
        for way in self.ways:
            if way.address.text == new.address.text:
                way.source = max(way.source, new.source)
                return True
        self.ways.append(new)
        if len(self.ways) <= MAX_ADDRESSES_PER_PEER:
            return True
        least = min(self.ways, key=lambda way: way.trust)
        self.ways.remove(least)
        return least is not new


# First delay and longest delay, doubling between.
_BACK_OFF_S = {
    Source.CONFIGURED: (0.5, 30.0),
    # The person is waiting for it now, but may never think of it again.
    Source.INVITED: (0.5, 3600.0),
    Source.LEARNED: (30.0, 3600.0),
}


class AddressBook:
    """Known peers, and when each is to be dialled."""

    def __init__(self, *, own_peer_id: str, seed: bytes, count: Callable[[Met], None] = lambda _: None) -> None:
        self._count = count
        self._own_peer_id = own_peer_id
        self._seed = seed
        self._chosen: dict[str, _Peer] = {}
        self._told: dict[str, _Peer] = {}
        self._buckets: list[dict[str, None]] = [{} for _ in range(BUCKETS)]

    def __len__(self) -> int:
        return len(self._chosen) + len(self._told)

    def __contains__(self, peer_id: str) -> bool:
        return peer_id in self._chosen or peer_id in self._told

    def remember(self, text: str, source: Source, now: float, *, told_by: str | None = None) -> bool:
        """Note an address; false when we would never dial it.

        ``told_by`` is the address of the peer an address was learned from. Raises :class:`MalformedAddress`
        for one that cannot be dialled at all.
        """
        address = parse_address(text)
        if address.peer_id == self._own_peer_id:
            return False
        if source is Source.LEARNED and not _may_tell(told_by, address):
            self._count(Met.ADDRESS_REFUSED)
            return False
        peer = self._find(address.peer_id)
        if peer is None or source > peer.source:
            return self._enter(address, source, now, earlier=peer)
        return peer.add(_Way(address, source))

    def is_chosen(self, peer_id: str) -> bool:
        """Whether the person named this peer, or an invite the person accepted."""
        return peer_id in self._chosen

    def forget(self, peer_id: str) -> None:
        """Drop a peer, whoever named it."""
        self._chosen.pop(peer_id, None)
        if self._told.pop(peer_id, None) is not None:
            for bucket in self._buckets:
                bucket.pop(peer_id, None)

    def remembered(self, most_told: int = BUCKETS * MAX_PEERS_PER_BUCKET) -> tuple[Known, ...]:
        """Everything worth keeping for the next run, the most trusted first; of peers told of so many."""
        chosen = sorted(self._chosen.values(), key=lambda peer: (-peer.source, peer.failures))
        told = sorted(self._told.values(), key=lambda peer: peer.dispensability)[:most_told]
        return tuple(
            Known(way.address.text, way.source, has_worked=way.has_worked and way.source is Source.LEARNED)
            for peer in (*chosen, *told)
            for way in peer.ways
        )

    def next_due(self, now: float, busy: Container[str]) -> Address | None:
        """Of the peers the person chose, the address to dial now, if any; ``busy`` are connected or being dialled."""
        due = [peer for peer_id, peer in self._chosen.items() if peer_id not in busy and peer.due_at <= now]
        if not due:
            return None
        return min(due, key=lambda peer: (-peer.source, peer.due_at)).next_address()

    def next_time(self, busy: Container[str]) -> float | None:
        """When :meth:`next_due` will next have something, if ``busy`` stays as it is."""
        return min((peer.due_at for peer_id, peer in self._chosen.items() if peer_id not in busy), default=None)

    def due_told(
        self, now: float, busy: Container[str], *, first_bucket: int = 0, enough: int = BUCKETS * MAX_PEERS_PER_BUCKET
    ) -> list[list[Address]]:
        """Of the peers told of, the addresses that may be dialled now, bucket by bucket, until there are ``enough``."""
        due: list[list[Address]] = []
        for bucket in (*self._buckets[first_bucket:], *self._buckets[:first_bucket]):
            if enough <= 0:
                break
            told = ((peer_id, self._told[peer_id]) for peer_id in bucket if peer_id not in busy)
            addresses = [peer.next_address() for _, peer in told if peer.due_at <= now]
            if addresses:
                due.append(addresses)
                enough -= len(addresses)
        return due

    def find_told(self, peer_id: str, now: float) -> Address | None:
        """The address of a peer told of, if it may be dialled now."""
        peer = self._told.get(peer_id)
        return peer.next_address() if peer is not None and peer.due_at <= now else None

    def hurry(self, now: float) -> None:
        """The person asks for a look now: whoever they chose is due, whatever failed before."""
        for peer in self._chosen.values():
            peer.due_at = min(peer.due_at, now)

    def succeeded(self, peer_id: str, now: float, address: str = "") -> None:
        """A connection with this peer opened, whoever dialled; ``address`` is what was dialled, if we did."""
        peer = self._find(peer_id)
        if peer is None:
            return
        for way in peer.ways:
            way.has_worked |= way.address.text == address
        if peer.connected_at is not None:
            return
        peer.connected_at = now
        peer.failures_before, peer.failures = peer.failures, 0
        peer.tried.clear()

    def lost(self, peer_id: str, now: float) -> None:
        """The last connection with this peer closed."""
        peer = self._find(peer_id)
        if peer is None or peer.connected_at is None:
            return
        if now - peer.connected_at < STABLE_S:
            peer.failures = peer.failures_before + 1
        peer.connected_at = None
        peer.due_at = now + self._delay(peer_id, peer.source, peer.failures)

    def failed(self, peer_id: str, address: str, now: float) -> None:
        """Dialling came to nothing. A peer's other addresses are tried before its delay grows."""
        peer = self._find(peer_id)
        if peer is None:
            return
        peer.tried.add(address)
        peer.turn += 1
        if any(way.address.text not in peer.tried for way in peer.ways):
            peer.due_at = now
            return
        peer.tried.clear()
        peer.due_at = now + self._delay(peer_id, peer.source, peer.failures)
        peer.failures += 1

    def _find(self, peer_id: str) -> _Peer | None:
        return self._chosen.get(peer_id) or self._told.get(peer_id)

    def _enter(self, address: Address, source: Source, now: float, *, earlier: _Peer | None) -> bool:
        peer = _Peer(source, [_Way(address, source)], due_at=now)
        if earlier is not None:
            peer.connected_at = earlier.connected_at
            for way in earlier.ways:
                peer.add(way)
        if source is Source.LEARNED:
            self._put_in_bucket(address)
            self._told[address.peer_id] = peer
            return True
        if address.peer_id not in self._chosen and len(self._chosen) >= MAX_CHOSEN_PEERS:
            return False
        self.forget(address.peer_id)
        self._chosen[address.peer_id] = peer
        return True

    def _put_in_bucket(self, address: Address) -> None:
        bucket = self._buckets[_number(self._seed, address.block) % BUCKETS]
        if len(bucket) >= MAX_PEERS_PER_BUCKET:
            # Whoever failed most goes; among equals the one known longest, as the others are untried. Who answered
            # once and is not long gone stays, or made-up addresses would push out the true ones.
            self.forget(max(bucket, key=lambda peer_id: self._told[peer_id].dispensability))
        bucket[address.peer_id] = None

    def _delay(self, peer_id: str, source: Source, failures: int) -> float:
        first, longest = _BACK_OFF_S[source]
        # 2^20 is beyond any longest delay; the bound keeps the power small.
        delay = min(first * 2.0 ** min(failures, 20), longest)
        scatter = _number(self._seed, f"{peer_id}/{failures}") % 1000 / 1000
        return delay * (1 - JITTER * scatter)


# Peers tell of the same addresses again and again.
@lru_cache(maxsize=4_096)
def parse_address(text: str) -> Address:
    """Read ``/ip4|ip6|dns|dns4|dns6/<host>/tcp/<port>/p2p/<peer id>``, after which may come ``/p2p-circuit/p2p/<peer
    id>`` of who is reached through that peer. Raises :class:`MalformedAddress`."""
    parts = text.split("/") if len(text) <= MAX_ADDRESS_CHARS else []
    match parts:
        case ["", kind, host, "tcp", port, "p2p", peer_id] if _PEER_ID.match(peer_id) and _is_port(port):
            pass
        case [*way, "p2p-circuit", "p2p", peer_id] if _PEER_ID.match(peer_id) and len(way) == 7:
            relay = parse_address("/".join(way))
            return replace(relay, text=text, peer_id=peer_id, relay=relay.text)
        case _:
            raise MalformedAddress(f"not an address: {text[:MAX_ADDRESS_CHARS]!r}")
    if kind in ("dns", "dns4", "dns6") and _DNS_NAME.match(host):
        return Address(text, peer_id, Scope.PUBLIC, host.lower(), is_name=True)
    ip = _parse_ip(kind, host)
    if ip is None:
        raise MalformedAddress(f"not an address: {text!r}")
    return Address(text, peer_id, _scope(ip), _block(ip), is_name=False)


def scope_of(address: str) -> Scope | None:
    """The scope of ``/ip4|ip6/<host>/…``, with or without a peer id; ``None`` for a name or a way through a relay."""
    match address.split("/"):
        case ["", kind, host, *rest] if "p2p-circuit" not in rest and (ip := _parse_ip(kind, host)) is not None:
            return _scope(ip)
    return None


_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def _parse_ip(kind: str, host: str) -> _IP | None:
    try:
        match kind:
            case "ip4":
                return ipaddress.IPv4Address(host)
            case "ip6":
                return ipaddress.IPv6Address(host)
            case _:
                return None
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    return _PORT.match(text) is not None and 0 < int(text) < 65536


# IPv6 that leads to IPv4 addresses, of which the last 32 bits say which; and IPv6 for one's own network alone, that
# the library counts as public (RFC 4291, 6052, 8215, 3879).
_CARRIES_IPV4 = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
_INNER = tuple(map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "fec0::/10")))


def _meant(ip: _IP) -> _IP:
    """The IPv4 address an IPv6 one stands for, if it does: that is where a packet ends up."""
    if isinstance(ip, ipaddress.IPv6Address) and not (ip.is_loopback or ip.is_unspecified):
        if any(ip in network for network in _CARRIES_IPV4):
            return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        return ip.sixtofour or ip
    return ip


def _scope(ip: _IP) -> Scope:
    ip = _meant(ip)
    if isinstance(ip, ipaddress.IPv6Address) and any(ip in network for network in _INNER):
        return Scope.PRIVATE
    if ip.is_loopback or ip.is_unspecified or ip.is_multicast:
        return Scope.LOOPBACK
    return Scope.PUBLIC if ip.is_global else Scope.PRIVATE


def _block(ip: _IP) -> str:
    ip = _meant(ip)
    return str(ipaddress.ip_network((ip, 16 if ip.version == 4 else 32), strict=False))


def may_hear_of(asker: str, address: Address) -> bool:
    """Whether an address means anything to a peer that is connected from ``asker``; else it is none of its business."""
    return not address.is_name and address.scope >= _teller_scope(asker)


def _may_tell(told_by: str | None, address: Address) -> bool:
    # A name may lead anywhere once it is looked up, so names are taken from the person only.
    if address.is_name:
        return False
    if told_by is None:
        return address.scope is Scope.PUBLIC
    return address.scope >= _teller_scope(told_by)


@lru_cache(maxsize=256)
def _teller_scope(told_by: str) -> Scope:
    """The scope of a connection's address, which may lack the peer id."""
    match told_by.split("/"):
        case ["", kind, host, *_] if (ip := _parse_ip(kind, host)) is not None:
            return _scope(ip)
        case _:
            return Scope.PUBLIC


def _number(seed: bytes, text: str) -> int:
    return int.from_bytes(hashlib.sha256(seed + text.encode()).digest()[:8], "big")
