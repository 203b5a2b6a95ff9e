"""The tally: how often each bound was met, by name.

Whatever refuses, drops or shuts out counts it here, so that an operator sees what a node defends itself against.
Counts only grow; they begin at zero with the process.
"""

from collections.abc import Mapping
from enum import StrEnum


class Met(StrEnum):
    """What is counted; the value is its name for people and machines."""

    PEER_FAULT = "peer_faults"
    PEER_BANNED = "peers_banned"


class Tally:
    """Counts of one node; everything happens on the network's loop, reading may from any thread."""

    def __init__(self) -> None:
        self._counts: dict[Met, int] = dict.fromkeys(Met, 0)

    def count(self, met: Met, by: int = 1) -> None:
        self._counts[met] += by

    def read(self) -> Mapping[Met, int]:
        """Every count there is, also those that are zero."""
        return dict(self._counts)
