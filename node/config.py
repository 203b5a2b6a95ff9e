"""What a node is told when it starts. Nothing here reads the environment; the command line does."""

import ipaddress
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from unhush.gossip.errors import MalformedAddress
from unhush.gossip.proto.addresses import parse_address
from unhush.node.errors import BadConfig
from unhush.storage.keyfile import DEFAULT_SEALING, Sealing
from unhush.storage.room.tiers import USUAL, Limits

# A fixed port, so that an address given to somebody stays true; any free one, for that run, if it is taken.
DEFAULT_PORT: Final = 4470
DEFAULT_LISTEN: Final = (f"/ip4/0.0.0.0/tcp/{DEFAULT_PORT}",)
DEFAULT_WEB: Final = ("127.0.0.1", 4480)
# Who is called to begin with, by network. Of "main" there is nobody yet: whoever runs one for everybody is listed here.
BOOTSTRAP: Final[Mapping[str, tuple[str, ...]]] = {"main": ()}
MAX_WORKERS: Final = 64  # more than any machine has use for: one thread stores what they check
_NETWORK: Final = re.compile(r"[a-z0-9-]{1,32}")
_PORT: Final = re.compile(r"[0-9]{1,5}")


def default_home() -> Path:
    """Where a person's node lives if nobody says otherwise."""
    return Path(platformdirs.user_data_dir("unhush", appauthor=False))


def wall_clock_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Config:
    """A node's settings. Clock and randomness are parameters, so that tests can own them."""

    home: Path
    network: str = "main"
    listen: tuple[str, ...] = DEFAULT_LISTEN
    peers: tuple[str, ...] = ()  # addresses to remember and dial
    relay: bool = False  # bring others to nodes that cannot be reached, within bounds
    # Look for carriers in the DHT. Off unless asked for: it tells strangers which account is at this address, and
    # without peers that use it too there is nobody to ask.
    dht: bool = False
    # Here for a moment: ask everybody, and tell nobody where this node is, nor the DHT what it carries.
    is_guest: bool = False
    lan: bool = True  # be found on the local network, and find others there
    exchange: bool = True  # ask peers for others, and tell them of others
    exempt_loopback: bool = False  # the limits per address do not count this machine and its network
    bootstrap: tuple[str, ...] | None = None  # called while nobody is connected; None: those of the network
    clock_ms: Callable[[], int] = wall_clock_ms
    random_bytes: Callable[[int], bytes] = os.urandom
    passphrase: Callable[[], str] | None = None  # asked once, when a sealed key must be opened
    sealing: Sealing = DEFAULT_SEALING
    limits: Limits = USUAL  # how much is kept of whom
    metrics: bool = False  # the local web server tells programs on this machine the node's figures
    ingest_process: bool = False  # bulk is taken in by a process of its own; guard the main module, as below
    verify_workers: int = 0  # processes that check signatures; a program that asks for them guards its main module

    def __post_init__(self) -> None:
        if not _NETWORK.fullmatch(self.network):
            raise BadConfig(f"a network name is 1 to 32 of a-z 0-9 -, not {self.network[:64]!r}")
        if not 0 <= self.verify_workers <= MAX_WORKERS:
            raise BadConfig(f"from 0 to {MAX_WORKERS} processes check signatures, not {self.verify_workers}")
        for address in self.listen:
            _check_listen(address)
        for address in (*self.peers, *(self.bootstrap or ())):
            check_address(address)


def bootstrap_of(config: Config) -> tuple[str, ...]:
    """Whom a node calls while nobody is connected."""
    return BOOTSTRAP.get(config.network, ()) if config.bootstrap is None else config.bootstrap


def check_address(address: str) -> str:
    """The address of a peer, if it is one we could dial; raises ``BadConfig``."""
    try:
        text = parse_address(address.strip()).text
    except MalformedAddress as exc:
        raise BadConfig(f"{exc}; an address looks like /ip4/192.0.2.7/tcp/4470/p2p/12D3KooW…") from exc
    reason = _why_nobody_is_at(text)
    if reason:
        raise BadConfig(f"nobody can be called at {text}: {reason}")
    return text


def _why_nobody_is_at(address: str) -> str:
    """Why no machine answers at an address that is well written; empty if one may."""
    _, kind, host, *_ = address.split("/")
    if kind not in ("ip4", "ip6"):
        return ""
    ip = ipaddress.ip_address(host.partition("%")[0])
    if ip.is_unspecified:
        return (
            f"{host} stands for every address of the machine that listens there; "
            "name one of them, as the other node prints when it starts"
        )
    if ip.is_multicast:
        return "it is no machine's, but that of a group of them"
    return ""


def _check_listen(address: str) -> None:
    """Port 0 asks for a free one."""
    match address.split("/"):
        case ["", "ip4" | "ip6" as kind, host, "tcp", port] if _PORT.fullmatch(port) and int(port) < 65_536:
            try:
                if ipaddress.ip_address(host).version == int(kind[2:]):
                    return
            except ValueError:
                pass  # said below, as for everything else
    raise BadConfig(f"not an address to listen on: {address[:200]!r}; one looks like /ip4/0.0.0.0/tcp/4470")


@dataclass(frozen=True, slots=True)
class Home:
    """Where the files of one home are."""

    path: Path

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def device_key(self) -> Path:
        return self.path / "device.key"

    @property
    def next_device_key(self) -> Path:
        """A key that is about to take the device key's place."""
        return self.path / "next-device.key"

    @property
    def root_key(self) -> Path:
        return self.path / "root.key"

    @property
    def peer_key(self) -> Path:
        return self.path / "peer.key"

    @property
    def words(self) -> Path:
        return self.path / "words.txt"
