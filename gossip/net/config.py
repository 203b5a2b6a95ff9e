"""What the network is told when it starts."""

from dataclasses import dataclass, field

from unhush.gossip.net.keep.service import KeepConfig
from unhush.gossip.net.meet.meeting import MeetingConfig


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What the network is told when it starts."""

    network: str
    seed: bytes  # of the peer key
    listen: tuple[str, ...]
    agent: str
    is_relay: bool = False  # brings others to those who cannot be reached
    uses_dht: bool = False  # tells strangers that the own account is carried here, and asks them for carriers
    is_guest: bool = False  # here for a moment: tells nobody where it is, nor the DHT what it carries
    exchange: bool = True  # peers are asked for others, and told of others
    exempt_loopback: bool = False  # the limits per address do not count loopback and LAN addresses
    meeting: MeetingConfig = field(default_factory=MeetingConfig)
    keep: KeepConfig = field(default_factory=KeepConfig)
