"""What is remembered of peers, connected or not: so many of them, and so many bytes of what they are said to carry."""

from collections.abc import Container, ItemsView
from dataclasses import dataclass
from typing import Final

from unhush.gossip.proto.addresses import Address
from unhush.gossip.proto.carriage import may_carry, says_something
from unhush.identity.cid import Cid

# The longest not heard of go first. 4,096 × 2 KiB would be 8 MiB.
MAX_REMEMBERED: Final = 4_096
MAX_CARRIAGE_TOTAL: Final = 4_194_304


@dataclass(slots=True)
class Memory:
    """What we know of a peer."""

    carriage: bytes = b""
    met_at: float | None = None
    rests_until: float = 0.0
    reachable_at: Address | None = None
    records: int = 0


class Memories:
    """By peer id; those ``kept`` are never forgotten to make room."""

    def __init__(self, kept: Container[str]) -> None:
        self._kept: Final = kept
        self._memories: Final[dict[str, Memory]] = {}  # those heard of last at the end
        self._carriage_bytes = 0

    def get(self, peer_id: str) -> Memory | None:
        return self._memories.get(peer_id)

    def items(self) -> ItemsView[str, Memory]:
        return self._memories.items()

    def remember(self, peer_id: str) -> Memory:
        """What is known of a peer of which something is heard now."""
        memory = self._memories.pop(peer_id, None) or Memory()
        self._memories[peer_id] = memory
        while len(self._memories) > MAX_REMEMBERED or self._carriage_bytes > MAX_CARRIAGE_TOTAL:
            oldest = next((other for other in self._memories if other not in self._kept and other != peer_id), None)
            if oldest is None:
                break
            self.forget(oldest)
        return memory

    def forget(self, peer_id: str) -> None:
        memory = self._memories.pop(peer_id, None)
        if memory is not None:
            self._carriage_bytes -= len(memory.carriage)

    def set_carriage(self, memory: Memory, carriage: bytes) -> None:
        """What a peer carries, as a filter."""
        self._carriage_bytes += len(carriage) - len(memory.carriage)
        memory.carriage = carriage

    def may_carry(self, peer_id: str, account: Cid) -> bool:
        """Whether a peer is said to carry an account; a filter that says so of everything says nothing."""
        memory = self._memories.get(peer_id)
        return memory is not None and says_something(memory.carriage) and may_carry(memory.carriage, account)

    def is_rested(self, peer_id: str, now: float) -> bool:
        """Whether a peer we let go may be tried again."""
        memory = self._memories.get(peer_id)
        return memory is None or now >= memory.rests_until
