"""The root keys somebody looks for, from whichever thread, and whom to tell what peers answer."""

import threading
from collections.abc import Callable

from unhush.gossip.errors import GossipError
from unhush.gossip.proto.frames import Operation
from unhush.identity.keys import PublicKey

# A person restores one account; every session asks its peer for each of these.
MAX_SOUGHT = 16

# What a peer answered (nothing, if it knows no such account), and the peer's id. Called on the network's thread.
Report = Callable[[tuple[Operation, ...], str], None]


class Sought:
    """Callable from any thread."""

    def __init__(self) -> None:
        self._reports: dict[PublicKey, Report] = {}
        self._lock = threading.Lock()

    def add(self, root: PublicKey, report: Report) -> None:
        """Raises ``GossipError`` if too many are looked for."""
        with self._lock:
            if root not in self._reports and len(self._reports) >= MAX_SOUGHT:
                raise GossipError(f"more than {MAX_SOUGHT} root keys are looked for at once")
            self._reports[root] = report

    def remove(self, root: PublicKey) -> None:
        with self._lock:
            self._reports.pop(root, None)

    def roots(self) -> tuple[PublicKey, ...]:
        with self._lock:
            return tuple(self._reports)

    def found(self, root: PublicKey, ops: tuple[Operation, ...], peer_id: str) -> None:
        """Tell whoever looks for this root; nobody, if they have stopped."""
        with self._lock:
            report = self._reports.get(root)
        if report is not None:
            report(ops, peer_id)
