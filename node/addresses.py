"""Which addresses of this machine are worth telling others."""

from collections.abc import Sequence

from unhush.gossip.errors import MalformedAddress
from unhush.gossip.proto.addresses import Scope, parse_address
from unhush.gossip.proto.invites import MAX_ADDRESSES


def best_addresses(given: Sequence[str], listen: Sequence[str]) -> tuple[str, ...]:
    """At most four: those given, then from where most people are. Our own loopback is for tests and for nobody else."""
    by_scope: dict[Scope, list[str]] = {scope: [] for scope in Scope}
    through_relays: list[str] = []
    for each in listen:
        try:
            address = parse_address(each)
        except MalformedAddress:
            continue
        (through_relays if "/p2p-circuit/" in each else by_scope[address.scope]).append(each)
    best = [*given, *by_scope[Scope.PUBLIC], *through_relays, *by_scope[Scope.PRIVATE]]
    return tuple(dict.fromkeys(best or by_scope[Scope.LOOPBACK]))[:MAX_ADDRESSES]
