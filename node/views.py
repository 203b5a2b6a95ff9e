"""Records, people and states as a person sees them; the same for the page, the command line and programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey


class DeviceState(Enum):
    """What a device may do for an account."""

    OPEN = "open"
    CUT = "cut"  # its records up to the cut stay
    VOID = "void"  # nothing of it stays
    UNLISTED = "unlisted"  # the account does not name it


@dataclass(frozen=True, slots=True)
class ReplyRef:
    """What a post answers."""

    root: Cid
    parent: Cid
    root_account: Cid
    parent_account: Cid


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """A blob that a post carries. Type, sizes and ``alt`` are what its author says of it."""

    cid: Cid
    mime: str
    size: int  # bytes
    alt: str
    width: int | None  # pixels
    height: int | None
    is_local: bool  # all of it is here


@dataclass(frozen=True, slots=True)
class QuoteRef:
    """What a post quotes."""

    entry: Cid
    account: Cid


@dataclass(frozen=True, slots=True)
class ReactionCount:
    """How many people reacted to a record with one emoji, as far as it is known here."""

    emoji: str
    people: int
    is_mine: bool  # you are one of them


@dataclass(frozen=True, slots=True)
class Tally:
    """What people did with a record, as far as it is known here."""

    replies: int = 0
    reposts: int = 0  # people
    quotes: int = 0
    reactions: tuple[ReactionCount, ...] = ()  # the commonest first
    is_reposted: bool = False  # by you


UNTOUCHED: Final = Tally()


@dataclass(frozen=True, slots=True)
class NotGiven:
    """Somebody's word that they do without the text of a record on purpose."""

    entry: Cid
    reason: str  # empty: none is known
    by: Cid | None = None  # None: this node, or nobody knows
    name: str = ""
    is_here: bool = False  # this node does so itself


@dataclass(frozen=True, slots=True)
class KeptBy:
    """How many keepers hold a record, by their signed receipts.

    Proven is a keeper that the author accepted or you follow, whose receipt is fresh, and that has shown since that it
    holds what it says.
    """

    proven: int = 0
    unproven: int = 0  # receipts of others, or not shown to be true yet
    on_this_device_only: bool = False  # your own record, of which nobody else is known to have a copy

    @property
    def words(self) -> str:
        """The same as people say it."""
        if self.on_this_device_only:
            return "on this device only"
        if self.proven:
            return f"kept by {self.proven}" + (f", and {self.unproven} unproven" if self.unproven else "")
        if self.unproven:
            return f"kept by nobody proven, and {self.unproven} unproven"
        return "kept by nobody yet"


@dataclass(frozen=True, slots=True)
class Shown:
    """One record, ready to be shown. ``text`` is CommonMark as written, never sanitised here.

    Of a post the newest edit is shown, under the id of the original.
    """

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
    standing: str = "in force"  # or "contested" (its log forked), "unproven" and "void" (their text is not shown)
    is_local: bool = False  # by this device, and not yet given to any peer that wanted it
    media: tuple[MediaInfo, ...] = ()
    mentions: tuple[Cid, ...] = ()
    version: Cid | None = None  # the edit whose words are shown
    edited_ms: int | None = None  # when that was made
    quote: QuoteRef | None = None
    quoted: "Shown | None" = None  # what it quotes, if that is here
    target: Cid | None = None  # what a repost, reaction, edit, delete, follow, block, label or rebuttal is about
    emoji: str | None = None  # of a reaction
    reposted: "Shown | None" = None  # what a repost repeats, if that is here
    tally: Tally = UNTOUCHED
    shun: str | None = None  # "muted" or "blocked": what you did about its author
    kept_by: KeptBy | None = None  # None where that was not looked up, as in versions of a post
    withheld: NotGiven | None = None  # whose word it is that the text is not given, if it is not here

    @property
    def is_edited(self) -> bool:
        return self.edited_ms is not None


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first; ``next`` is the cursor of what follows, None at the end."""

    items: tuple[Shown, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Branch:
    """A place in the tree of a conversation: a record, or one that is missed where others answer it."""

    id: Cid
    shown: Shown | None  # None for one that is not here
    depth: int  # 1 for what answers the root


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation; ``root`` is None while we lack it, replies are in time order.

    ``branches`` are the same replies as a tree, each followed by what answers it; where the post between is deleted or
    not here, a branch stands for it. ``next`` is the cursor of what follows, None at the end.
    """

    root: Shown | None
    root_id: Cid
    replies: tuple[Shown, ...]
    branches: tuple[Branch, ...] = ()
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Concern:
    """What somebody did with you or a record of yours."""

    shown: Shown  # what they wrote
    reasons: tuple[str, ...]  # of "mention", "reply", "reaction", "repost", "quote", "follow" and "keeper"
    target: Shown | None  # your record that it is about


@dataclass(frozen=True, slots=True)
class Activity:
    """Newest first; ``next`` is the cursor of what follows, None at the end."""

    items: tuple[Concern, ...]
    next: str | None


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
    alarms: tuple[str, ...] = ()  # "twice", "frozen", "flooded": reasons for the account's owner to rotate
    contested: int = 0  # records after a fork
    unproven: int = 0  # records hidden until what proves them has come
    cut_devices: int = 0  # devices of the account that were cut off
    avatar: Cid | None = None  # a blob; it may not be here
    followers: int = 0  # known here
    is_muted: bool = False
    is_blocked: bool = False


@dataclass(frozen=True, slots=True)
class People:
    """Accounts in an order of this home; ``next`` is the cursor of what follows, None at the end."""

    items: tuple[Person, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class ListInfo:
    """A list of people to read by itself; nobody else hears of it."""

    name: str
    members: int


@dataclass(frozen=True, slots=True)
class KeptInfo:
    """An account this home promises to carry for everyone. Times are Unix milliseconds."""

    account: Cid
    name: str  # what you call them, or else what they call themselves
    budget_bytes: int
    room_bytes: int  # the budget, or what anybody you follow may take, if that is more
    used_bytes: int  # by its records here; pictures come on top
    media: str  # "none", "90d" or "all"
    since_ms: int
    records: int  # held here
    receipt_ms: int | None  # when the newest receipt was signed
    until_ms: int | None  # how long that is good
    is_full: bool = False  # something was refused for want of room, and no more is asked for
    problem: str = ""  # why there is no fresh receipt, or why it cannot cover what comes


@dataclass(frozen=True, slots=True)
class KeeperInfo:
    """Somebody who keeps an account, or was asked to. Times are Unix milliseconds."""

    account: Cid  # the keeper
    name: str
    is_accepted: bool  # the owner of the account asked for it
    is_followed: bool  # by you
    receipt_ms: int | None  # when its newest receipt was signed; None: it has signed none that is known here
    until_ms: int | None
    covers: int  # records held here that its receipt covers
    records: int  # records of the account held here
    is_proven: bool
    proven_ms: int | None  # when it last answered a challenge as it should
    why: str = ""  # it is not proven
    withheld: tuple[NotGiven, ...] = ()  # what its receipts say that it does without

    @property
    def counts(self) -> bool:
        """Whether it is one of "kept by so many"."""
        return self.is_proven and (self.is_accepted or self.is_followed)


@dataclass(frozen=True, slots=True)
class KeepingOffer:
    """Somebody who asks this node to keep their account."""

    account: Cid
    name: str
    since_ms: int
    is_kept: bool  # this node has promised it


@dataclass(frozen=True, slots=True)
class CardInfo:
    """Where an account says it is reached, by the newest card of each of its devices."""

    account: Cid
    peers: tuple[str, ...]
    urls: tuple[str, ...]
    said_ms: int | None  # when the newest was signed; None: no card of it is known here
    unsaid: tuple[str, ...] = ()  # of the own: asked for here, and on no card of this device yet


@dataclass(frozen=True, slots=True)
class WithheldInfo:
    """A body this node does without on purpose, and says so."""

    id: Cid
    account: Cid | None  # whose record; None if the entry is not here
    name: str
    reason: str
    since_ms: int
    replaced: str = ""  # the reason that this one took the place of, just now
    pictures: int = 0  # files that went with the body, just now


@dataclass(frozen=True, slots=True)
class KeptSummary:
    """How safe all records of the own account are that are here."""

    records: int = 0
    by_one: int = 0  # of them, those that one proven keeper or more holds
    by_two: int = 0
    least: int = 0  # keepers of the record that fewest hold; 0 without records
    keepers: int = 0  # proven


@dataclass(frozen=True, slots=True)
class KeepingFigures:
    """What this home keeps for others, counted for who watches it."""

    accounts: int = 0
    used_bytes: int = 0
    budget_bytes: int = 0
    full: int = 0  # accounts whose budget is
    without_receipt: int = 0  # accounts of which no fresh receipt is signed
    receipt_age_s: float = 0.0  # of the oldest that is fresh
    proofs_ok: int = 0  # keepers of these and of the own account that last showed what they hold
    proofs_failed: int = 0  # those that last did not


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device of an account, as far as it is known here."""

    key: PublicKey
    name: str
    state: DeviceState
    is_this: bool  # this home writes with it
    is_added: bool  # by an add since the standing table
    cut: tuple[int, Cid] | None  # the last record in force, if it was cut off there
    in_force: int  # records held, by what they are worth
    contested: int
    unproven: int
    void: int
    fork: int | None  # where its log forks, if it is open and does
    newest_ms: int | None  # the time of the newest record shown


@dataclass(frozen=True, slots=True)
class IdentityInfo:
    """Who may speak for an account, how far, and what is wrong with it."""

    account: Cid
    fingerprint: tuple[str, ...]  # eight words, to read out
    generation: int
    table: Cid
    root: PublicKey
    is_closed: bool
    alarms: tuple[str, ...]  # "twice", "frozen", "flooded"
    devices: tuple[DeviceInfo, ...]
    is_complete: bool  # nothing that a cut left in force is missing here

    @property
    def contested(self) -> int:
        return sum(device.contested for device in self.devices)

    @property
    def unproven(self) -> int:
        return sum(device.unproven for device in self.devices)


@dataclass(frozen=True, slots=True)
class OperationInfo:
    """One stored identity operation, and what it does or why it does nothing."""

    id: Cid
    kind: str
    time_ms: int  # as its signer claims; no rule reads it
    signer: PublicKey
    on: Cid | None  # the table it stands on, or replaces
    device: PublicKey | None
    name: str
    cut: tuple[int, Cid] | None
    generation: int | None  # of tables
    counts: bool
    why: str


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A machine: an address remembered, a connection, or both."""

    address: str
    peer: str | None
    connected: bool
    inbound: bool
    covers: int = 0  # accounts this home follows or keeps, of those it says it carries
    gave: int = 0  # records it brought that were new here, since the network started


@dataclass(frozen=True, slots=True)
class SyncInfo:
    """How far what connected peers have is here."""

    sessions: int = 0
    waiting: int = 0  # peers that have something that is not here yet, and are not silent
    dialling: int = 0
    wanted: int = 0  # accounts of others followed or kept
    covered: int = 0  # those of them that a connected peer carries
    silent: tuple[str, ...] = ()  # peers that owe an answer and have said nothing for some seconds

    @property
    def is_quiet(self) -> bool:
        """Whether a peer has given all it has, and none is waited for."""
        return self.sessions > len(self.silent) and not self.waiting

    @property
    def is_done(self) -> bool:
        """Whether all that connected peers have is here, but for silent ones, and nobody is about to be connected."""
        return self.is_quiet and not self.dialling


@dataclass(frozen=True, slots=True)
class Ping:
    """A peer that answered."""

    address: str  # dialled for it, or the far end of the connection there was
    peer: str
    ms: float
    was_connected: bool = False  # it answered over the connection there was


@dataclass(frozen=True, slots=True)
class OutageInfo:
    """The network fell over and is being started again; all else of the node works meanwhile."""

    reason: str
    for_s: float
    starts: int  # made in vain since


@dataclass(frozen=True, slots=True)
class LimitMet:
    """A bound that held: how often since the node started, and how long ago it last did."""

    name: str
    words: str
    count: int
    s_ago: float


@dataclass(frozen=True, slots=True)
class NetworkView:
    """The running network of a home: who we are on it, where we listen, who is connected."""

    peer: str
    listen: tuple[str, ...]
    peers: tuple[PeerInfo, ...]
    own_checked: int = 0  # peers that have given all they hold of our account
    outage: OutageInfo | None = None
    limits_met: tuple[LimitMet, ...] = ()  # those that were; the rest never were
    figures: Mapping[str, int] = field(default_factory=dict)  # what flows and waits, by name
    sync: SyncInfo = SyncInfo()
    is_makeshift: bool = False  # the usual port was taken: where we listen is good until this node ends
    silent: str = ""  # why this node signs no heads, cards and receipts now


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
    identity: IdentityInfo | None = None
    problem: str = ""  # why this device may sign nothing now, and the command to run
    local_only: int = 0  # own records that no peer has been given yet
    outage: OutageInfo | None = None
    limits_met: tuple[LimitMet, ...] = ()
    keeps_root: bool = False  # the root key is kept here, sealed
    kept: KeptSummary = KeptSummary()  # the own account, by others
    promises: int = 0  # accounts this home keeps for others
    silent: str = ""  # why the running node signs no heads, cards and receipts now
