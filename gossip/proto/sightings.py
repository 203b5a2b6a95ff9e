"""Addresses as they are seen: the network of a connection's far end, and where who says so listens."""

import ipaddress
from typing import Final

from unhush.gossip.errors import MalformedAddress
from unhush.gossip.proto.addresses import Address, Scope, may_hear_of, parse_address

# A peer id that stands for any, where only the rest of an address matters.
_ANYBODY: Final = "1" * 46


def find_address(text: str) -> Address | None:
    """The address a text names; none if it is none."""
    try:
        return parse_address(text)
    except MalformedAddress:
        return None


def block_of(far_end: str) -> str | None:
    """The network a connection's far end counts under; none for those of one's own."""
    found = find_address(f"{far_end}/p2p/{_ANYBODY}")
    return found.block if found is not None and found.scope is Scope.PUBLIC else None


def as_seen(listen: str, peer_id: str, far_end: str) -> Address | None:
    """Where a peer listens: the port it names, on the host it was seen at."""
    named = find_address(f"{listen}/p2p/{peer_id}")
    if named is None or named.is_name:
        return None
    if named.relay:
        # Through another peer: that one's host is not where we see this one, but no nearer than this one either.
        return named if may_hear_of(far_end, named) else None
    match named.text.split("/"), far_end.split("/"):
        case ["", kind, _, "tcp", port, *_], ["", seen_kind, host, *_] if kind == seen_kind:
            return find_address(f"/{kind}/{host}/tcp/{port}/p2p/{peer_id}")
        case _:
            return None


def rented_block_of(far_end: str) -> str | None:
    """The IPv4 /24 or IPv6 /48 of a connection's far end, or the relay it leads through; none for a network of ours.

    ``block_of`` tells networks apart of which nobody has many; this is the cheapest unit somebody rents who wants to
    be many.
    """
    match far_end.split("/"):
        case ["", "p2p", relay, *_]:
            return relay
        case ["", "ip4" | "ip6", host, *_]:
            try:
                address = ipaddress.ip_address(host.partition("%")[0])
            except ValueError:
                return ""
            if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            if address.is_private or address.is_link_local:
                return None
            return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))
        case _:
            return ""
