"""The roster: which peers are connected, and who wants to know when that changes.

libp2p speaks of connections, of which a peer may have two; above this file there are only peers.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.rcmgr import Direction
from multiaddr import Multiaddr

from unhush.gossip.net.wire.stream import remote_address

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectedPeer:
    """A peer with at least one open connection."""

    peer_id: str
    address: str
    inbound: bool


Callback = Callable[[ConnectedPeer], None]


class Roster(INotifee):
    """Connected peers, in the order they came."""

    def __init__(self) -> None:
        self._peers: dict[str, ConnectedPeer] = {}
        self.when_connected: list[Callback] = []
        self.when_disconnected: list[Callback] = []

    def __contains__(self, peer_id: str) -> bool:
        return peer_id in self._peers

    def peers(self) -> tuple[ConnectedPeer, ...]:
        return tuple(self._peers.values())

    def find(self, peer_id: str) -> ConnectedPeer | None:
        return self._peers.get(peer_id)

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        peer_id = str(conn.muxed_conn.peer_id)
        # A connection may have closed again while others were being told of it.
        if peer_id in self._peers or conn.is_closed:
            return
        assert isinstance(conn, SwarmConn)
        peer = ConnectedPeer(peer_id, remote_address(conn.muxed_conn), conn.direction is Direction.INBOUND)
        self._peers[peer_id] = peer
        tell(self.when_connected, peer)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        peer = conn.muxed_conn.peer_id
        for other in network.get_connections(peer):
            if not other.is_closed:
                self._moved(str(peer), other)
                return
        known = self._peers.pop(str(peer), None)
        if known is not None:
            tell(self.when_disconnected, known)

    def _moved(self, peer_id: str, connection: INetConn) -> None:
        """The peer is still connected; where, may be new."""
        known = self._peers.get(peer_id)
        if known is not None:
            self._peers[peer_id] = replace(known, address=remote_address(connection.muxed_conn))

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        return

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        return

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        return

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        return


def tell(callbacks: Iterable[Callback], peer: ConnectedPeer) -> None:
    """Call all of them; what one raises keeps nobody else from hearing of it."""
    for callback in callbacks:
        try:
            callback(peer)
        except Exception:
            log.exception("callback raised peer=%s", peer.peer_id)
