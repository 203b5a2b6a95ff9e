"""A running node: the lock on its home, the ingest thread, the network and the control port, as one thing."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any, Final

import unhush
from unhush.gossip.errors import DialFailed, GossipError, ListenFailed
from unhush.gossip.net import pinging
from unhush.gossip.net.keep.service import KeepConfig
from unhush.gossip.net.meet.meeting import MeetingConfig
from unhush.gossip.net.network import Network, NetworkConfig
from unhush.gossip.net.sync.seeking import Report
from unhush.gossip.proto.decisions import Acquaintance, Standing
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey, SigningKey
from unhush.node.account.secrets import PEER, Keys
from unhush.node.config import DEFAULT_LISTEN, Config, Home, bootstrap_of, check_address
from unhush.node.control import Answer, ControlServer
from unhush.node.errors import HomeReadOnly, NetworkFailed, NobodyAnswered
from unhush.node.home.room import Housekeeping, Room
from unhush.node.ids import as_cid
from unhush.node.keeping.auditing import Asked
from unhush.node.keeping.enquiries import Enquiries
from unhush.node.keeping.speaking import Speaking
from unhush.node.lock import HomeLock
from unhush.node.people.invites import Desk
from unhush.node.pictures.fetching import Fetching
from unhush.node.service.bulk import BulkProcess
from unhush.node.service.intake import Intake
from unhush.node.service.seeker import Seeker
from unhush.node.views import LimitMet, NetworkView, OutageInfo, PeerInfo, SyncInfo
from unhush.storage.contacts import Contact
from unhush.storage.keyfile import read_key, write_key
from unhush.storage.store import Store

MAX_TOLD: Final = 1_000  # acquaintances in one answer, of some 400 bytes each
_NO_STANDING: Final = Standing("", 0, 0)  # of a peer that has only just connected
AGENT = f"unhush/{unhush.__version__}"


class Running:
    """Starts when made; raises ``HomeInUse``, ``HomeReadOnly`` or ``NetworkFailed`` and then leaves nothing behind."""

    def __init__(self, config: Config, home: Home, store: Store, keys: Keys, desk: Desk | None = None) -> None:
        if store.is_read_only:
            raise HomeReadOnly(f"{config.home} cannot be written here, and a node has to: it can only be read")
        with ExitStack() as started:
            started.callback(HomeLock(config.home, f"a node is already running on {config.home}").release)
            peer_key = _peer_key(config, home)
            for address in config.peers:
                store.put_contact(Contact(check_address(address), is_configured=True))
            bulk = (
                BulkProcess(config.home, network=config.network, limits=config.limits)
                if config.ingest_process
                else None
            )
            intake = self._intake = Intake(store, bulk)
            intake.start()
            started.callback(intake.stop)
            speaking = self._speaking = Speaking(store, config, keys)
            settings = NetworkConfig(
                config.network,
                peer_key.seed,
                config.listen,
                AGENT,
                is_relay=config.relay,
                exchange=config.exchange,
                exempt_loopback=config.exempt_loopback,
                uses_dht=config.dht,
                is_guest=config.is_guest,
                meeting=MeetingConfig(desk, config.lan, bootstrap_of(config)),
                keep=KeepConfig(speaking, config.clock_ms),
            )
            self._network = _start(store, intake, settings)
            self._is_makeshift = self._network.config.listen != config.listen
            started.callback(self._network.stop)
            speaking.start(self._network)
            started.callback(speaking.stop)
            started.callback(Housekeeping(Room(store)).stop)
            started.callback(Fetching(store, self._network.fetch_blob, clock_ms=config.clock_ms).stop)
            self.seeker = Seeker(store, self._network.ask)
            self._enquiries = Enquiries(self._network.enquire)
            self._make_page_address: Callable[[], str] | None = None
            answers: dict[str, Callable[[], Answer]] = {
                "network": self._describe,
                "reach": self._describe_reach,
                "look": self._look_around,
                "look_now": self._answer_look_now,
                "page": self._answer_page,
            }
            requests: dict[str, Callable[[Answer], Answer]] = {
                "seek": self.seeker.answer_seek,
                "sought": self.seeker.answer_is_done,
                "ping": self._answer_ping,
                "forget": self._answer_forget,
                "enquire": self._enquiries.answer_enquire,
                "enquired": self._enquiries.answer_enquired,
                "acquaintances": self._answer_acquaintances,
            }
            started.callback(ControlServer(config.home, answers, requests).close)
            self._started = started.pop_all()

    def stop(self) -> None:
        """The last that was started ends first."""
        self._started.close()

    def view(self) -> NetworkView:
        status = self._network.status()
        peers = tuple(
            PeerInfo(peer.address, peer.peer_id, True, peer.inbound, standing.covers, standing.gave)
            for peer in status.connected
            for standing in (status.standings.get(peer.peer_id, _NO_STANDING),)
        )
        outage = status.outage
        met = (LimitMet(met, met.words, status.limits_met[met], ago) for met, ago in status.met_s_ago.items())
        return NetworkView(
            status.peer_id,
            status.listen,
            peers,
            status.own_checked,
            OutageInfo(outage.reason, outage.for_s, outage.starts) if outage is not None else None,
            tuple(sorted(met, key=lambda each: each.s_ago)),
            asdict(status.figures) | {"ingest_bytes": self._intake.waiting_bytes},
            SyncInfo(**asdict(status.sync)),
            self._is_makeshift,
            self._speaking.problem,
        )

    def offer_page(self, make_address: Callable[[], str]) -> None:
        """Let other processes of this user have addresses of the local page, made on whichever thread."""
        self._make_page_address = make_address

    def make_page_address(self) -> str | None:
        """A one-time address of the local page; None if there is none."""
        return self._make_page_address() if self._make_page_address is not None else None

    def own_checked(self) -> int:
        """How many peers have given all they hold of the home's account."""
        return self._network.status().own_checked

    def fetch_blob(self, blob: Cid, account: Cid, timeout_s: float) -> bool:
        """Ask peers for a blob now; whether it came in time."""
        ended, outcome = threading.Event(), [False]

        def done(is_here: bool) -> None:
            outcome[0] = is_here
            ended.set()

        return self._network.fetch_blob(blob, account, done) and ended.wait(timeout_s) and outcome[0]

    def find(self, root: PublicKey, report: Report) -> None:
        """Ask every peer whose inception this root key signed; ``report`` gets their unchecked answers."""
        self._network.find(root, report)

    def stop_finding(self, root: PublicKey) -> None:
        self._network.stop_finding(root)

    def acquaintances(self, account: Cid) -> tuple[Acquaintance, ...]:
        """Whom this node knows, and who of them carries an account."""
        return self._network.acquaintances(account)

    def enquire(self, account: Cid, missing: tuple[Cid, ...]) -> Callable[[], Asked]:
        """Ask peers and keepers about an account; what is returned says how far it is."""
        return self._enquiries.begin(account, missing)

    def look_now(self) -> None:
        """Dial whoever is chosen, and look for whoever is needed, without waiting."""
        self._network.hurry()

    def forget_peer(self, peer: str) -> None:
        self._network.forget_peer(peer)

    def ping(self, peer_id: str) -> float:
        """How many milliseconds a connected peer takes to answer; raises ``NobodyAnswered``."""
        try:
            return self._network.ping(peer_id) * 1_000
        except GossipError as exc:
            raise NobodyAnswered(str(exc)) from exc

    def _answer_look_now(self) -> dict[str, Any]:
        self.look_now()
        return {"looking": True}

    def _answer_acquaintances(self, question: Answer) -> dict[str, Any]:
        found = self.acquaintances(as_cid(str(question.get("account"))))
        # The control port has room for some thousands; those connected come first.
        return {"acquaintances": [asdict(each) for each in found[:MAX_TOLD]]}

    def _answer_page(self) -> dict[str, Any]:
        return {"address": self.make_page_address()}

    def _answer_ping(self, question: Answer) -> dict[str, Any]:
        try:
            return {"ms": self.ping(str(question.get("peer")))}
        except NobodyAnswered as exc:
            return {"silent": str(exc)}

    def _answer_forget(self, question: Answer) -> dict[str, Any]:
        self.forget_peer(str(question.get("peer")))
        return {"forgotten": True}

    def _describe(self) -> dict[str, Any]:
        return asdict(self.view())

    def _describe_reach(self) -> dict[str, Any]:
        reach = self._network.reach()
        return {
            "reach": asdict(reach) if reach is not None else None,
            "met": self._network.status().limits_met,
            "lan": asdict(self._network.lan()),
        }

    def _look_around(self) -> dict[str, Any]:
        self._network.look_around()
        return {"asked": True}


def ping_address(address: str) -> float:
    """How many milliseconds whoever is at an address takes to answer; raises ``NobodyAnswered``."""
    try:
        return pinging.ping_address(address, AGENT) * 1_000
    except GossipError as exc:
        raise NobodyAnswered(str(exc)) from exc


def why_unreachable(address: str) -> str:
    """Why no connection comes of an address; empty if one does, or nobody said anything in time: that may yet come."""
    try:
        pinging.ping_address(address, AGENT)
    except DialFailed as exc:
        return str(exc)
    except GossipError:
        pass
    return ""


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
