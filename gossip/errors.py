"""What can go wrong between machines.

Two sides are kept apart: a :class:`RemoteProtocolError` is a stranger's fault and may cost them the
connection; a :class:`LocalProtocolError` is ours, is logged loudly and never held against a peer.
"""

from unhush.identity.errors import UnhushError


class GossipError(UnhushError):
    """Root of the gossip family."""


class RemoteProtocolError(GossipError):
    """A peer broke the rules of a protocol."""


class LocalProtocolError(GossipError):
    """We broke the rules of a protocol: a bug of ours."""


class DialFailed(GossipError):
    """No connection came of an address: malformed, refused, unreachable or not who we wanted."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot reach {address}: {reason}")
        self.address = address
        self.reason = reason


class NotConnected(GossipError):
    """There is no open connection to this peer."""

    def __init__(self, peer_id: str) -> None:
        super().__init__(f"not connected to {peer_id}")
        self.peer_id = peer_id


class StreamBroken(GossipError):
    """A stream ended without a proper close: reset, cut, or stuck beyond its time limit."""


class StreamRefused(GossipError):
    """A connected peer would not open a stream of this protocol."""

    def __init__(self, peer_id: str, protocol: str, reason: str) -> None:
        super().__init__(f"{peer_id} opened no {protocol} stream: {reason}")
        self.peer_id = peer_id
        self.protocol = protocol


class PeerSilent(GossipError):
    """A peer that should answer does not, or not what was asked."""

    def __init__(self, peer_id: str, reason: str) -> None:
        super().__init__(f"{peer_id} does not answer: {reason}")
        self.peer_id = peer_id


class CircuitRefused(GossipError):
    """A relay does not bring us where we want to go, or keeps no place for us."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the relay refused: {reason}")


class ListenFailed(GossipError):
    """Not all of the addresses we were told to listen on could be opened."""


class MalformedAddress(GossipError):
    """Text that is not an address we can dial: /ip4|ip6|dns…/tcp/<port>/p2p/<peer id>."""


class MalformedLosses(GossipError):
    """Text that names nothing a drill could take away."""

    def __init__(self, part: str) -> None:
        super().__init__(f"a drill loses home, peer:N, keeper:N, handle or bootstrap (N is 1 to 64), not {part[:64]!r}")


class MalformedInvite(GossipError):
    """Text that is no invite, or says what no invite may."""


class InviteMistyped(MalformedInvite):
    """An invite that was changed or cut on the way: its checksum does not fit."""

    def __init__(self, digits: int = 0, wanted: int = 0) -> None:
        cut = f" ({digits:,} of {wanted:,} characters are here)" if digits < wanted else ""
        super().__init__(f"this invite was mistyped, or changed or cut short on the way{cut}: copy it again, all of it")


class Unproven(RemoteProtocolError):
    """Somebody speaks for an account and does not show that they may."""
