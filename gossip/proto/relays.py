"""The books of a relay: who may be called through us, which circuits are open, and how much they carried.

Pure: time is an argument. A relay is a favour to strangers, so everything about it is bounded, and what it
costs at most can be worked out from the numbers here.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

# Places for nodes that cannot be reached: as many as may be connected to us at all (``doorman.MAX_LIVE_INBOUND``).
MAX_RESERVATIONS: Final = 64
# Of one IPv4 /24 or IPv6 /48, the cheapest unit somebody rents who wants all places.
MAX_RESERVATIONS_PER_BLOCK: Final = 8
# A place not renewed is free again after this; go-libp2p uses the same hour.
RESERVATION_S: Final = 3_600

# Circuits at a time: two streams and 2 × 256 KiB under way each, so 16 MiB in all.
MAX_CIRCUITS: Final = 32
# One machine follows a few people behind one relay, and one is followed by a few.
MAX_CIRCUITS_FROM: Final = 4
MAX_CIRCUITS_TO: Final = 8
# A circuit is for finding each other and for text. After an hour, or this much, whoever still needs it calls anew.
CIRCUIT_S: Final = 3_600
CIRCUIT_BYTES: Final = 64 * 1024 * 1024

# All circuits together within an hour, both ways: 2.4 Mbit/s in the middle, whatever strangers do.
HOUR_S: Final = 3_600.0
BYTES_PER_HOUR: Final = 1024 * 1024 * 1024


class Refusal(Enum):
    """Why a relay says no."""

    TOO_MANY_RESERVATIONS = auto()
    TOO_MANY_CIRCUITS = auto()
    NO_RESERVATION = auto()


@dataclass(slots=True, eq=False)
class Circuit:
    """Two peers that speak through us."""

    source: str
    target: str
    left_bytes: int = CIRCUIT_BYTES


@dataclass(frozen=True, slots=True)
class _Reservation:
    block: str
    expires_at: float


class RelayBook:
    """What a relay has promised and is doing."""

    def __init__(self) -> None:
        self._reservations: dict[str, _Reservation] = {}
        self._circuits: set[Circuit] = set()
        self._hour_began: float | None = None
        self._hour_bytes = 0
        self.carried_bytes = 0

    @property
    def reservation_count(self) -> int:
        return len(self._reservations)

    @property
    def circuit_count(self) -> int:
        return len(self._circuits)

    def reserve(self, peer_id: str, block: str, now: float) -> Refusal | None:
        """Keep a place for a peer that can be called through us; again renews it."""
        self._drop_expired(now)
        others = [kept for name, kept in self._reservations.items() if name != peer_id]
        is_crowded = Counter(kept.block for kept in others)[block] >= MAX_RESERVATIONS_PER_BLOCK
        if len(others) >= MAX_RESERVATIONS or is_crowded:
            return Refusal.TOO_MANY_RESERVATIONS
        self._reservations[peer_id] = _Reservation(block, now + RESERVATION_S)
        return None

    def gone(self, peer_id: str) -> None:
        """The peer is no longer connected: nobody can be brought to it."""
        self._reservations.pop(peer_id, None)

    def open(self, source: str, target: str, now: float) -> Circuit | Refusal:
        """A peer wants to speak to another."""
        self._drop_expired(now)
        if target not in self._reservations:
            return Refusal.NO_RESERVATION
        sent = sum(1 for circuit in self._circuits if circuit.source == source)
        got = sum(1 for circuit in self._circuits if circuit.target == target)
        if len(self._circuits) >= MAX_CIRCUITS or sent >= MAX_CIRCUITS_FROM or got >= MAX_CIRCUITS_TO:
            return Refusal.TOO_MANY_CIRCUITS
        if not self._has_room(now):
            return Refusal.TOO_MANY_CIRCUITS
        circuit = Circuit(source, target)
        self._circuits.add(circuit)
        return circuit

    def spend(self, circuit: Circuit, size: int, now: float) -> bool:
        """Account for bytes about to be carried; false if they may not be."""
        if circuit.left_bytes < size or not self._has_room(now):
            return False
        circuit.left_bytes -= size
        self._hour_bytes += size
        self.carried_bytes += size
        return True

    def close(self, circuit: Circuit) -> None:
        self._circuits.discard(circuit)

    def _has_room(self, now: float) -> bool:
        if self._hour_began is None or now - self._hour_began >= HOUR_S:
            self._hour_began, self._hour_bytes = now, 0
        return self._hour_bytes < BYTES_PER_HOUR

    def _drop_expired(self, now: float) -> None:
        for peer_id in [name for name, kept in self._reservations.items() if kept.expires_at <= now]:
            del self._reservations[peer_id]
