"""The books of a relay: who may be called through us, which circuits are open, and how much they carried.

Pure: time is an argument. A relay is a favour to strangers, so everything about it is bounded, and what it
costs at most can be worked out from the numbers here. Peer ids cost nothing and addresses something, so places are
counted by block (an IPv4 /24, an IPv6 /48) first; when all are taken, whoever holds most gives way to who holds less.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeVar

from unhush.gossip.proto.pacing import Allowances

T = TypeVar("T", bound=Hashable)

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
# Of them for those who call from one block: the rest stays for others, whatever one does.
BYTES_PER_HOUR_AND_BLOCK: Final = BYTES_PER_HOUR // 2

# A circuit gives way to somebody with just one less only after this: long enough to meet and to punch a hole.
MIN_CIRCUIT_S: Final = 60.0

# Calls a minute, of a peer and of its block: each rings somebody who is behind one of our connections. Who follows a
# few people here calls each again after half a minute at the soonest.
CALLS: Final = 20
CALLS_PER_BLOCK: Final = 60
CALLS_S: Final = 60.0
# Callers, and blocks, of which that is remembered; of 64 connections there are no more than 64 each.
MAX_CALLERS: Final = 1_024


class Refusal(Enum):
    """Why a relay says no."""

    TOO_MANY_RESERVATIONS = auto()
    TOO_MANY_CIRCUITS = auto()
    TOO_MANY_CALLS = auto()
    NO_RESERVATION = auto()


def _nothing() -> None:
    """Until somebody sets what is to happen."""


@dataclass(slots=True, eq=False)
class Circuit:
    """Two peers that speak through us."""

    source: str
    target: str
    block: str  # that the source calls from
    opened_at: float
    left_bytes: int = CIRCUIT_BYTES
    when_cut: Callable[[], None] = _nothing  # it gave way; set by whoever carries it


@dataclass(frozen=True, slots=True)
class _Reservation:
    block: str
    expires_at: float


class RelayBook:
    """What a relay has promised and is doing."""

    def __init__(self) -> None:
        self._reservations: dict[str, _Reservation] = {}  # the longest kept first
        self._displaced: list[str] = []
        self._circuits: dict[Circuit, None] = {}  # the longest open first
        self._calls: Final[Allowances[str]] = Allowances(CALLS, CALLS_S, MAX_CALLERS)  # by peer
        self._calls_of_block: Final[Allowances[str]] = Allowances(CALLS_PER_BLOCK, CALLS_S, MAX_CALLERS)
        self._hour_began: float | None = None
        self._hour_bytes: Counter[str] = Counter()  # by block
        self.carried_bytes = 0

    @property
    def reservation_count(self) -> int:
        return len(self._reservations)

    @property
    def circuit_count(self) -> int:
        return len(self._circuits)

    def reserve(self, peer_id: str, block: str, now: float) -> Refusal | None:
        """Keep a place for a peer that can be called through us; again renews it. See also ``take_displaced``."""
        self._drop_expired(now)
        others = {name: kept for name, kept in self._reservations.items() if name != peer_id}
        by_block = Counter(kept.block for kept in others.values())
        if by_block[block] >= MAX_RESERVATIONS_PER_BLOCK:
            return Refusal.TOO_MANY_RESERVATIONS
        if len(others) >= MAX_RESERVATIONS:
            crowded, most = by_block.most_common(1)[0]
            if most <= by_block[block] + 1:
                return Refusal.TOO_MANY_RESERVATIONS
            oldest = next(name for name, kept in others.items() if kept.block == crowded)
            self.gone(oldest)
            self._displaced.append(oldest)
        self._reservations[peer_id] = _Reservation(block, now + RESERVATION_S)
        return None

    def take_displaced(self) -> tuple[str, ...]:
        """Peers whose place went to others since this was asked last: they believe that they have it still."""
        displaced, self._displaced = tuple(self._displaced), []
        return displaced

    def gone(self, peer_id: str) -> None:
        """The peer is no longer connected: nobody can be brought to it."""
        self._reservations.pop(peer_id, None)

    def open(self, source: str, target: str, block: str, now: float) -> Circuit | Refusal:
        """A peer that calls from ``block`` wants to speak to another; a circuit that gives way for it is cut."""
        self._drop_expired(now)
        if not (self._calls.spend(source, 1, now) and self._calls_of_block.spend(block, 1, now)):
            return Refusal.TOO_MANY_CALLS
        if target not in self._reservations:
            return Refusal.NO_RESERVATION
        if sum(circuit.source == source for circuit in self._circuits) >= MAX_CIRCUITS_FROM:
            return Refusal.TOO_MANY_CIRCUITS
        if not self._has_room(block, now):
            return Refusal.TOO_MANY_CIRCUITS
        circuit = Circuit(source, target, block, now)
        to_target = [each for each in self._circuits if each.target == target]
        if len(to_target) >= MAX_CIRCUITS_TO:
            is_full, rivals = True, to_target
        else:
            is_full, rivals = len(self._circuits) >= MAX_CIRCUITS, list(self._circuits)
        if is_full:
            gives_way = _find_greediest(rivals, circuit)
            if gives_way is None:
                return Refusal.TOO_MANY_CIRCUITS
            self.close(gives_way)
            gives_way.when_cut()
        self._circuits[circuit] = None
        return circuit

    def spend(self, circuit: Circuit, size: int, now: float) -> bool:
        """Account for bytes about to be carried; false if they may not be."""
        if circuit.left_bytes < size or not self._has_room(circuit.block, now):
            return False
        circuit.left_bytes -= size
        self._hour_bytes[circuit.block] += size
        self.carried_bytes += size
        return True

    def close(self, circuit: Circuit) -> None:
        self._circuits.pop(circuit, None)

    def _has_room(self, block: str, now: float) -> bool:
        if self._hour_began is None or now - self._hour_began >= HOUR_S:
            self._hour_began = now
            self._hour_bytes.clear()
        return self._hour_bytes.total() < BYTES_PER_HOUR and self._hour_bytes[block] < BYTES_PER_HOUR_AND_BLOCK

    def _drop_expired(self, now: float) -> None:
        for peer_id in [name for name, kept in self._reservations.items() if kept.expires_at <= now]:
            del self._reservations[peer_id]


def _find_greediest(rivals: list[Circuit], newcomer: Circuit) -> Circuit | None:
    """The oldest circuit of the source that has most in the block that has most; none if the newcomer has as many."""
    block, most, mine = _count_most((each.block for each in rivals), newcomer.block)
    if most <= mine:  # its own block, or one that is no worse: then by peer within its own
        block = newcomer.block
    among = [each for each in rivals if each.block == block]
    source, most_of_peer, mine_of_peer = _count_most((each.source for each in among), newcomer.source)
    if block == newcomer.block:
        most, mine = most_of_peer, mine_of_peer
    if most <= mine:
        return None
    oldest = next(each for each in among if each.source == source)
    is_due = most > mine + 1 or newcomer.opened_at - oldest.opened_at >= MIN_CIRCUIT_S
    return oldest if is_due else None


def _count_most(held: Iterable[T], mine: T) -> tuple[T, int, int]:
    """Who holds most, how much that is, and how much is mine."""
    counts = Counter(held)
    most = counts.most_common(1)
    return (*most[0], counts[mine]) if most else (mine, 0, 0)
