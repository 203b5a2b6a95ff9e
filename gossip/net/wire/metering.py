"""What flows and waits in a running network, counted and measured for whoever asks.

What was refused is in the tally (``gossip/proto/tally.py``); here is what is
normal: bytes, sessions, queues.
"""

from dataclasses import dataclass


class Meter:
    """Bytes over all sockets since the process began, encryption included."""

    __slots__ = ("bytes_in", "bytes_out")

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """One look at a running network."""

    sessions: int = 0  # sync sessions open
    bytes_in: int = 0
    bytes_out: int = 0
    unread_bytes: int = 0  # arrived, and not read by what they are for yet
    credit_bytes: int = 0  # what peers may still be sent, over all sessions
    hints_waiting: int = 0  # gossip messages between the mesh and ingest
    mesh_peers: int = 0  # neighbours in the mesh of a topic or more
