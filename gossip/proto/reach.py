"""Reach: whether others can connect to this node, judged from what peers say and what has happened.

A peer's word is a hint: it may lie or see us from our own network. So words from the widest scope seen count
(the Internet before the own network), the newest of each peer, and the majority of them; a connection that came
in from there is better than any word.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median
from typing import Final

from unhush.gossip.proto.addresses import Scope, scope_of

# Peers whose last word is kept, the oldest forgotten first.
MAX_VIEWS: Final = 16

# Routers, leases and rules change; after this a word counts no more.
FRESH_S: Final = 3_600.0


class Reach(StrEnum):
    """What is known of it."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class View:
    """How one peer sees us."""

    peer_id: str
    observed: str  # the address it sees us under; empty if it sees none
    reached: bool | None  # whether it could connect to our port; None: it did not try
    skew_ms: int | None  # its clock less ours; None: it does not say
    at: float
    is_chosen: bool = False  # we dialled it: strangers choose to come to us


class Reachability:
    """Collects views; time is an argument."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, View] = OrderedDict()
        self._came_in_at: dict[Scope, float] = {}

    def saw(self, view: View) -> None:
        """A peer answered; what it tried before stays true if it did not try again."""
        before = self._views.pop(view.peer_id, None)
        if view.reached is None and before is not None and view.at - before.at <= FRESH_S:
            view = replace(before, observed=view.observed or before.observed, skew_ms=view.skew_ms)
        self._views[view.peer_id] = view
        if len(self._views) > MAX_VIEWS:
            self._views.popitem(last=False)

    def came_in(self, address: str, now: float) -> None:
        """Somebody connected to us from this address, not through a relay."""
        scope = scope_of(address)
        if scope is not None:
            self._came_in_at[scope] = now

    def views(self, now: float) -> tuple[View, ...]:
        """Every word that still counts, oldest first."""
        return tuple(view for view in self._views.values() if now - view.at <= FRESH_S)

    def scope(self, now: float) -> Scope | None:
        """The widest scope of which anything is known."""
        words = [scope for view in self.views(now) if (scope := scope_of(view.observed)) is not None]
        return max((*words, *self._fresh_arrivals(now)), default=None)

    def verdict(self, now: float) -> Reach:
        """Whether others reach us, as seen from the widest scope known."""
        scope = self.scope(now)
        if scope is None:
            return Reach.UNKNOWN
        if scope in self._fresh_arrivals(now):
            return Reach.OPEN
        words = [view.reached for view in self.views(now) if scope_of(view.observed) == scope]
        yes, no = words.count(True), words.count(False)
        if not yes and not no:
            return Reach.UNKNOWN
        return Reach.OPEN if yes >= no else Reach.CLOSED

    def observed(self, now: float) -> tuple[str, ...]:
        """The hosts under which peers see us, the one most of them name first."""
        hosts = Counter(host for view in self.views(now) if (host := host_of(view.observed)))
        return tuple(host for host, _ in hosts.most_common())

    def outside(self, now: float) -> tuple[str, ...]:
        """The hosts of the Internet at which a peer we chose has reached us."""
        good = [view for view in self.views(now) if view.is_chosen and view.reached]
        return tuple({host_of(view.observed): None for view in good if scope_of(view.observed) is Scope.PUBLIC})

    def skew_ms(self, now: float) -> int | None:
        """How far the clocks of peers are ahead of ours; the middle one, as any of them may be wrong."""
        said = [view.skew_ms for view in self.views(now) if view.skew_ms is not None]
        return int(median(said)) if said else None

    def _fresh_arrivals(self, now: float) -> set[Scope]:
        return {scope for scope, at in self._came_in_at.items() if now - at <= FRESH_S}


@dataclass(frozen=True, slots=True)
class SeenBy:
    """One peer's view of us."""

    peer: str
    observed: str
    reached: bool | None
    skew_ms: int | None
    age_s: int


@dataclass(frozen=True, slots=True)
class RelayUse:
    """What being a relay costs now."""

    reservations: int
    circuits: int
    carried_bytes: int


@dataclass(frozen=True, slots=True)
class ReachView:
    """Whether this node can be reached, as far as is known."""

    reach: str  # open, closed, unknown
    scope: str  # loopback, private, public: from how far that was judged; empty if nothing is known
    observed: tuple[str, ...]  # hosts under which peers see us
    skew_ms: int | None  # how far peers' clocks are ahead of ours
    seen_by: tuple[SeenBy, ...]
    outside: tuple[str, ...]  # addresses that are not of this machine, and lead to it
    relays: tuple[str, ...]  # that keep a place for us
    relay: RelayUse | None  # if we are one
    mesh: int  # peers in our gossip mesh
    rounds: int  # how many times peers were asked since the start


def host_of(address: str) -> str:
    """The IP of ``/ip4|ip6/<host>/…``; empty for anything else."""
    match address.split("/"):
        case ["", "ip4" | "ip6", host, *_] if scope_of(address) is not None:
            return host
    return ""
