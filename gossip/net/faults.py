"""Who misbehaved, and who is shut out for it.

One fault costs the stream it came on; three within ten minutes shut the peer out for an hour. Peer keys are
free, so this does not stop an attacker; it stops one broken or hostile program from costing us again and
again, and the limits per address (``doorman.py``) bound how fast new keys can be tried.
"""

from collections import OrderedDict, deque

FAULTS_BEFORE_BAN = 3
FAULT_WINDOW_S = 600.0
BAN_S = 3600.0

# Peers remembered, oldest fault forgotten first: 4,096 × ~300 bytes ≈ 1 MiB whatever strangers do.
MAX_PEERS = 4096


class FaultLedger:
    """Counts faults per peer and knows who is banned. Time is an argument."""

    def __init__(self) -> None:
        self._faults: OrderedDict[str, deque[float]] = OrderedDict()
        self._banned_until: OrderedDict[str, float] = OrderedDict()

    def record(self, peer_id: str, now: float) -> bool:
        """Note one fault; true when this is the one that bans."""
        if self.is_banned(peer_id, now):
            return False
        times = self._faults.setdefault(peer_id, deque(maxlen=FAULTS_BEFORE_BAN))
        self._faults.move_to_end(peer_id)
        times.append(now)
        if len(self._faults) > MAX_PEERS:
            self._faults.popitem(last=False)
        if len(times) < FAULTS_BEFORE_BAN or now - times[0] > FAULT_WINDOW_S:
            return False
        del self._faults[peer_id]
        self._banned_until[peer_id] = now + BAN_S
        if len(self._banned_until) > MAX_PEERS:
            self._banned_until.popitem(last=False)
        return True

    def is_banned(self, peer_id: str, now: float) -> bool:
        """Whether connections with this peer are refused now."""
        until = self._banned_until.get(peer_id)
        if until is None:
            return False
        if now >= until:
            del self._banned_until[peer_id]
            return False
        return True
