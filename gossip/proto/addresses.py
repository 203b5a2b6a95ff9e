"""The address book: whom we know how to reach, and when to try next.

Pure: time is an argument, and the little scatter in it comes from a seed. Three sources differ in how far
they are trusted: the person's configuration, an invite the person accepted, and what peers tell. Told
addresses may not be nearer than the teller: a machine on the Internet has no business sending us to our own
network or to ourselves.
"""

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from unhush.gossip.errors import MalformedAddress

# A peer has a few interfaces; the newest are kept.
MAX_ADDRESSES_PER_PEER = 4

# Told peers lie in buckets by network block, so that one block cannot push out all the others:
# 64 × 64 peers × ~500 bytes = 2 MiB.
BUCKETS = 64
MAX_PEERS_PER_BUCKET = 64

# What the person configured or accepted is limited only against slips (a list pasted twice).
MAX_CHOSEN_PEERS = 1024

# Peers known by hearsay we keep connections with at a time, and how many of them in one /16 or /32.
MAX_TOLD_CONNECTIONS = 16
MAX_TOLD_PER_BLOCK = 2

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


@dataclass(frozen=True, slots=True)
class Known:
    """One address as it is kept between runs."""

    address: str
    source: Source


@dataclass(slots=True)
class _Peer:
    source: Source
    addresses: list[Address]
    due_at: float
    failures: int = 0
    failures_before: int = 0
    connected_at: float | None = None
    turn: int = 0
    tried: set[str] = field(default_factory=set)

    def next_address(self) -> Address:
        return self.addresses[self.turn % len(self.addresses)]


# First delay and longest delay, doubling between.
_BACK_OFF_S = {
    Source.CONFIGURED: (0.5, 30.0),
    # The person is waiting for it now, but may never think of it again.
    Source.INVITED: (0.5, 3600.0),
    Source.LEARNED: (30.0, 3600.0),
}


class AddressBook:
    """Known peers, and when each is to be dialled."""

    def __init__(self, *, own_peer_id: str, seed: bytes) -> None:
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
            return False
        peer = self._chosen.get(address.peer_id) or self._told.get(address.peer_id)
        if peer is None or source > peer.source:
            return self._enter(address, source, now, earlier=peer)
        _add_address(peer, address)
        return True

    def forget(self, peer_id: str) -> None:
        """Drop a peer, whoever named it."""
        self._chosen.pop(peer_id, None)
        if self._told.pop(peer_id, None) is not None:
            for bucket in self._buckets:
                bucket.pop(peer_id, None)

    def remembered(self) -> tuple[Known, ...]:
        """Everything worth keeping for the next run, the most trusted first."""
        peers = (*self._chosen.values(), *self._told.values())
        ordered = sorted(peers, key=lambda peer: (-peer.source, peer.failures))
        return tuple(Known(address.text, peer.source) for peer in ordered for address in peer.addresses)

    def next_due(self, now: float, busy: Mapping[str, str]) -> Address | None:
        """The address to dial now, if any. ``busy`` are peers connected or being dialled, and their addresses."""
        due = [peer for peer_id, peer in self._waiting(busy) if peer.due_at <= now]
        if not due:
            return None
        return min(due, key=lambda peer: (-peer.source, peer.due_at)).next_address()

    def next_time(self, busy: Mapping[str, str]) -> float | None:
        """When :meth:`next_due` will next have something, if ``busy`` stays as it is."""
        return min((peer.due_at for _, peer in self._waiting(busy)), default=None)

    def succeeded(self, peer_id: str, now: float) -> None:
        """A connection with this peer opened, whoever dialled."""
        peer = self._find(peer_id)
        if peer is None or peer.connected_at is not None:
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
        if any(other.text not in peer.tried for other in peer.addresses):
            peer.due_at = now
            return
        peer.tried.clear()
        peer.due_at = now + self._delay(peer_id, peer.source, peer.failures)
        peer.failures += 1

    def _find(self, peer_id: str) -> _Peer | None:
        return self._chosen.get(peer_id) or self._told.get(peer_id)

    def _waiting(self, busy: Mapping[str, str]) -> list[tuple[str, _Peer]]:
        waiting = [(peer_id, peer) for peer_id, peer in self._chosen.items() if peer_id not in busy]
        told_busy = [busy[peer_id] for peer_id in busy if peer_id not in self._chosen]
        if len(told_busy) >= MAX_TOLD_CONNECTIONS:
            return waiting
        crowded = _crowded_blocks(told_busy)
        waiting += [
            (peer_id, peer)
            for peer_id, peer in self._told.items()
            if peer_id not in busy and not _is_crowded(peer.next_address(), crowded)
        ]
        return waiting

    def _enter(self, address: Address, source: Source, now: float, *, earlier: _Peer | None) -> bool:
        peer = _Peer(source, [address], due_at=now)
        if earlier is not None:
            peer.connected_at = earlier.connected_at
            for other in reversed(earlier.addresses):
                _add_address(peer, other)
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
            # Whoever failed most goes; among equals the one known longest, as the others are untried.
            self.forget(max(bucket, key=lambda peer_id: self._told[peer_id].failures))
        bucket[address.peer_id] = None

    def _delay(self, peer_id: str, source: Source, failures: int) -> float:
        first, longest = _BACK_OFF_S[source]
        # 2^20 is beyond any longest delay; the bound keeps the power small.
        delay = min(first * 2.0 ** min(failures, 20), longest)
        scatter = _number(self._seed, f"{peer_id}/{failures}") % 1000 / 1000
        return delay * (1 - JITTER * scatter)


def parse_address(text: str) -> Address:
    """Read ``/ip4|ip6|dns|dns4|dns6/<host>/tcp/<port>/p2p/<peer id>``. Raises :class:`MalformedAddress`."""
    parts = text.split("/") if len(text) <= MAX_ADDRESS_CHARS else []
    match parts:
        case ["", kind, host, "tcp", port, "p2p", peer_id] if _PEER_ID.match(peer_id) and _is_port(port):
            pass
        case _:
            raise MalformedAddress(f"not an address: {text[:MAX_ADDRESS_CHARS]!r}")
    if kind in ("dns", "dns4", "dns6") and _DNS_NAME.match(host):
        return Address(text, peer_id, Scope.PUBLIC, host.lower(), is_name=True)
    ip = _parse_ip(kind, host)
    if ip is None:
        raise MalformedAddress(f"not an address: {text!r}")
    return Address(text, peer_id, _scope(ip), _block(ip), is_name=False)


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


def _scope(ip: _IP) -> Scope:
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback or ip.is_unspecified or ip.is_multicast:
        return Scope.LOOPBACK
    return Scope.PUBLIC if ip.is_global else Scope.PRIVATE


def _block(ip: _IP) -> str:
    return str(ipaddress.ip_network((ip, 16 if ip.version == 4 else 32), strict=False))


def _may_tell(told_by: str | None, address: Address) -> bool:
    # A name may lead anywhere once it is looked up, so names are taken from the person only.
    if address.is_name:
        return False
    if told_by is None:
        return address.scope is Scope.PUBLIC
    return address.scope >= _teller_scope(told_by)


def _teller_scope(told_by: str) -> Scope:
    """The scope of a connection's address, which may lack the peer id."""
    match told_by.split("/"):
        case ["", kind, host, *_] if (ip := _parse_ip(kind, host)) is not None:
            return _scope(ip)
        case _:
            return Scope.PUBLIC


def _crowded_blocks(addresses: list[str]) -> set[str]:
    seen: dict[str, int] = {}
    for text in addresses:
        match text.split("/"):
            case ["", kind, host, *_] if (ip := _parse_ip(kind, host)) is not None:
                seen[_block(ip)] = seen.get(_block(ip), 0) + 1
    return {block for block, count in seen.items() if count >= MAX_TOLD_PER_BLOCK}


def _is_crowded(address: Address, crowded: set[str]) -> bool:
    # One's own network is one block and not an attacker's choice.
    return address.scope is Scope.PUBLIC and address.block in crowded


def _add_address(peer: _Peer, address: Address) -> None:
    others = [known for known in peer.addresses if known.text != address.text]
    if len(others) == len(peer.addresses):
        peer.addresses = [*others, address][-MAX_ADDRESSES_PER_PEER:]


def _number(seed: bytes, text: str) -> int:
    return int.from_bytes(hashlib.sha256(seed + text.encode()).digest()[:8], "big")
