"""What the choice of peers comes to: what is to be done, and what is told of those there are."""

from dataclasses import dataclass
from typing import TypeAlias

from unhush.gossip.proto.addresses import Address


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect to this address, then report ``dial_ended``."""

    address: Address


@dataclass(frozen=True, slots=True)
class LetGo:
    """Close the connections with this peer."""

    peer_id: str


@dataclass(frozen=True, slots=True)
class AskPeers:
    """Ask this peer, over its session, whom it knows."""

    peer_id: str


Decision: TypeAlias = Dial | LetGo | AskPeers


@dataclass(frozen=True, slots=True)
class Standing:
    """What a connected peer is to us: how many accounts we want it carries, and how many new records it gave."""

    peer_id: str
    covers: int
    gave: int


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """A peer we are connected with, or were within the hour, or are told of, for who wants to see the whole of it."""

    peer_id: str
    address: str  # where it says, or others say, that it is dialled; empty if nobody does
    is_connected: bool
    has_answered: bool  # we dialled it, and it was there
    is_chosen: bool
    carries: bool  # the account asked about: its own word while connected, else as others say
    knows: tuple[str, ...]  # peers it told us of: connected with it, or lately
    hears: tuple[str, ...]  # and that we told it of
    connected_s: float = 0.0  # for so long
