"""A running node: the lock on its home, the ingest thread, the network and the control port, as one thing."""

from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

import unhush
from unhush.gossip.errors import GossipError, ListenFailed
from unhush.gossip.net.network import Network, NetworkConfig
from unhush.gossip.net.seeking import Report
from unhush.identity.keys import PublicKey, SigningKey
from unhush.node.config import DEFAULT_LISTEN, Config, Home, check_address
from unhush.node.control import ControlServer
from unhush.node.errors import NetworkFailed
from unhush.node.intake import Intake
from unhush.node.lock import HomeLock
from unhush.node.room import Housekeeping, Room
from unhush.node.secrets import PEER
from unhush.node.views import NetworkView, PeerInfo
from unhush.storage.contacts import Contact
from unhush.storage.keyfile import read_key, write_key
from unhush.storage.store import Store

AGENT = f"unhush/{unhush.__version__}"


class Running:
    """Starts when made; raises ``HomeInUse`` or ``NetworkFailed`` and then leaves nothing behind."""

    def __init__(self, config: Config, home: Home, store: Store) -> None:
        with ExitStack() as started:
            started.callback(HomeLock(config.home, f"a node is already running on {config.home}").release)
            peer_key = _peer_key(config, home)
            for address in config.peers:
                store.put_contact(Contact(check_address(address), is_configured=True))
            intake = Intake(store)
            intake.start()
            started.callback(intake.stop)
            settings = NetworkConfig(config.network, peer_key.seed, config.listen, AGENT)
            self._network = _start(store, intake, settings)
            started.callback(self._network.stop)
            started.callback(Housekeeping(Room(store)).stop)
            started.callback(ControlServer(config.home, {"network": self._describe}).close)
            self._started = started.pop_all()

    def stop(self) -> None:
        """The last that was started ends first."""
        self._started.close()

    def view(self) -> NetworkView:
        status = self._network.status()
        peers = tuple(PeerInfo(peer.address, peer.peer_id, True, peer.inbound) for peer in status.connected)
        return NetworkView(status.peer_id, status.listen, peers, status.own_checked)

    def own_checked(self) -> int:
        """How many peers have given all they hold of the home's account."""
        return self._network.status().own_checked

    def find(self, root: PublicKey, report: Report) -> None:
        """Ask every peer whose inception this root key signed; ``report`` gets their unchecked answers."""
        self._network.find(root, report)

    def stop_finding(self, root: PublicKey) -> None:
        self._network.stop_finding(root)

    def _describe(self) -> dict[str, Any]:
        return asdict(self.view())


def _peer_key(config: Config, home: Home) -> SigningKey:
    """The key that peers know this machine by, made at its first start; it signs no record, so it is never sealed."""
    if home.peer_key.exists():
        return read_key(home.peer_key, PEER)
    key = SigningKey(config.random_bytes(32))
    write_key(home.peer_key, PEER, key)
    return key


def _start(store: Store, intake: Intake, settings: NetworkConfig) -> Network:
    """Start on the address asked for; the usual port may be taken by another node, then any will do."""
    try:
        try:
            network = Network(store, intake.submit, settings)
            network.start()
        except ListenFailed:
            if settings.listen != DEFAULT_LISTEN:
                raise
            network = Network(store, intake.submit, replace(settings, listen=("/ip4/0.0.0.0/tcp/0",)))
            network.start()
    except GossipError as exc:
        raise NetworkFailed(str(exc)) from exc
    return network
