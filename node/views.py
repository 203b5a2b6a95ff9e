"""Records, people and states as a person sees them; the same for the page, the command line and programs."""

from dataclasses import dataclass

from unhush.identity.cid import Cid


@dataclass(frozen=True, slots=True)
class ReplyRef:
    """What a post answers."""

    root: Cid
    parent: Cid
    root_account: Cid
    parent_account: Cid


@dataclass(frozen=True, slots=True)
class Shown:
    """One record, ready to be shown. ``text`` is CommonMark as written, never sanitised here."""

    id: Cid
    aid: int
    account: Cid
    name: str  # what the author calls themselves; empty if unknown
    petname: str | None  # what you call them
    kind: str
    time_ms: int  # where it stands in timelines: min(author's clock, first seen)
    text: str
    title: str | None
    lang: str | None
    warning: str | None
    tags: tuple[str, ...]
    reply: ReplyRef | None
    is_own: bool
    is_deleted: bool = False
    has_body: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first; ``next`` is the cursor of what follows, None at the end."""

    items: tuple[Shown, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation; ``root`` is None while we lack it, replies are in time order."""

    root: Shown | None
    root_id: Cid
    replies: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """An account as you know it."""

    account: Cid
    name: str
    petname: str | None
    bio: str
    is_own: bool
    is_followed: bool
    posts: int  # held here


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A machine: an address remembered, a connection, or both."""

    address: str
    peer: str | None
    connected: bool
    inbound: bool


@dataclass(frozen=True, slots=True)
class NetworkView:
    """The running network of a home: who we are on it, where we listen, who is connected."""

    peer: str
    listen: tuple[str, ...]
    peers: tuple[PeerInfo, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """How this home is."""

    account: Cid | None
    name: str
    words_waiting: str | None  # where the recovery words wait to be written down
    follows: int
    records: int
    peers_connected: int
    network_running: bool
    last_aid: int
    listen: tuple[str, ...] = ()
    peer: str | None = None
