"""What the network says of itself, to whichever thread asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from unhush.gossip.net.host import ConnectedPeer
from unhush.gossip.net.supervisor import Outage
from unhush.gossip.net.wire.metering import Figures
from unhush.gossip.proto.decisions import Standing
from unhush.gossip.proto.tally import Met


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far what connected peers have is here."""

    sessions: int = 0
    waiting: int = 0  # sessions whose peer has something we want that is not here yet, and is not silent
    dialling: int = 0
    wanted: int = 0  # accounts of others that are followed or kept
    covered: int = 0  # those of them that a connected peer carries
    silent: tuple[str, ...] = ()  # peers that owe us an answer and have said nothing for some seconds


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The network as it is now."""

    peer_id: str
    listen: tuple[str, ...]
    connected: tuple[ConnectedPeer, ...]
    own_checked: int = 0  # sessions whose peer has given all it holds of our own account
    outage: Outage | None = None  # it fell over and is being started again
    limits_met: Mapping[Met, int] = field(default_factory=dict)  # since the network was first started
    met_s_ago: Mapping[Met, float] = field(default_factory=dict)  # those met since then, and how long ago
    figures: Figures = field(default_factory=Figures)
    standings: Mapping[str, Standing] = field(default_factory=dict)  # of connected peers
    sync: SyncState = SyncState()
