"""Peer exchange: whom do you know? We ask the peer, and it asks us.

What it answers is hearsay, and is weighed by :mod:`unhush.gossip.proto.choosing`;
whom to tell of is decided there too. Here is only how often, and that an answer
nobody waits for is skipped.
"""

from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import PeersAsked, PeersTold
from unhush.gossip.proto.faults import TooManyFrames
from unhush.gossip.proto.frames import KnownFrame, KnownPeer, PeersFrame
from unhush.gossip.proto.outbox import Outbox


class Exchange:
    """The one question each side may have open."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox: Final = outbox
        self._is_due = False
        self._is_waiting = False
        self._asked_at: float | None = None
        self._was_asked_at: float | None = None
        self._owes_answer = False

    # --- ours --------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask, as soon as that is no nuisance."""
        self._is_due = True

    def flush(self, now: float) -> None:
        if not self._is_due or not self._outbox.has_room:
            return
        if self._asked_at is not None and now < self._asked_at + limits.PEERS_INTERVAL_S:
            return
        if self._outbox.send_paced(PeersFrame(), now):
            self._is_due, self._is_waiting, self._asked_at = False, True, now

    def peer_tells(self, frame: KnownFrame) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._outbox.put(PeersTold(frame.peers))

    # --- the peer's --------------------------------------------------------------------------------------

    def peer_asks(self, now: float) -> None:
        """Have it answered; raises ``TooManyFrames``."""
        if self._was_asked_at is not None and now < self._was_asked_at + limits.MIN_PEERS_INTERVAL_S:
            raise TooManyFrames(f"asked for peers twice within {limits.MIN_PEERS_INTERVAL_S:g} s")
        self._was_asked_at = now
        self._owes_answer = True
        self._outbox.put(PeersAsked())

    def tell(self, peers: tuple[KnownPeer, ...]) -> None:
        """Answer, if it still waits."""
        if self._owes_answer:
            self._owes_answer = False
            self._outbox.send(KnownFrame(peers[: limits.MAX_PEERS_TOLD]))
