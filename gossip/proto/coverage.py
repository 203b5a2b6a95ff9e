"""Coverage: which connected peers carry the accounts we want, and which of them deliver.

Carrying is a peer's claim; delivering is having been the first to give a
record. Whoever decides over connections reads here what is lacking, and what
each peer is worth.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from unhush.identity.cid import Cid

# Peers that carry an account, so that one may lie and one may sleep.
AIM: Final = 3

# The largest list of claims is worth less than any gift.
CLAIM_WORTH: Final = 1e-9

# What a peer gave counts until others gave more of that account so often. Gifts so close together are one.
STALE_GIFTS: Final = 32
GIFT_S: Final = 5.0

# Peers whose gifts are remembered, connected or not, and accounts of each; those that gave last stay.
MAX_GIVERS: Final = 4_096
MAX_GIVEN: Final = 256


@dataclass(slots=True)
class _Peer:
    """A connected peer; ``counts_at_once`` if it covers what it carries before it gave any of it."""

    counts_at_once: bool
    carried: frozenset[Cid] = frozenset()
    covers: frozenset[Cid] = frozenset()


class Coverage:
    """Over the accounts wanted and the peers connected."""

    def __init__(self) -> None:
        self.wanted: frozenset[Cid] = frozenset()
        # Accounts that too few carry, of which too few gave anything, and nobody did. Dicts as sets that keep their
        # order, so that one seed makes one choice.
        self.short: Final[dict[Cid, None]] = {}
        self.scarce: Final[dict[Cid, None]] = {}
        self.ungiven: Final[dict[Cid, None]] = {}
        self._peers: Final[dict[str, _Peer]] = {}
        self._carriers: Final[dict[Cid, set[str]]] = {}
        self._givers: Final[dict[Cid, set[str]]] = {}
        # How often an account got something new, and when last; and how often it had when a peer gave of it last.
        self._gifts: Final[dict[Cid, int]] = {}
        self._given_at: Final[dict[Cid, float]] = {}
        self._gave: Final[dict[str, dict[Cid, int]]] = {}

    def set_wanted(self, accounts: frozenset[Cid]) -> bool:
        """Let these be the accounts wanted; whether there are new ones among them."""
        gone, new = self.wanted - accounts, accounts - self.wanted
        self.wanted = accounts
        for account in _in_order(new):
            self._carriers[account], self._givers[account] = set(), set()
            self._note(account)
        for peer_id, peer in self._peers.items():
            self._count(peer_id, peer)
        for account in gone:
            for peers in (self._carriers, self._givers):
                del peers[account]
            for members in (self.short, self.scarce, self.ungiven):
                members.pop(account, None)
            self._gifts.pop(account, None)
            self._given_at.pop(account, None)
        return bool(new)

    def connected(self, peer_id: str, *, counts_at_once: bool) -> None:
        """A peer is there. One that need not be believed, because it chose us, counts once it gave something."""
        self._peers[peer_id] = _Peer(counts_at_once)

    def disconnected(self, peer_id: str) -> None:
        self.carries(peer_id, frozenset())
        self._peers.pop(peer_id, None)

    def carries(self, peer_id: str, accounts: frozenset[Cid]) -> None:
        """All the accounts a peer says it carries."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.carried = accounts
            self._count(peer_id, peer)

    def gave(self, peer_id: str, account: Cid, now: float) -> None:
        """A peer gave something of an account that was new to us."""
        if account not in self.wanted:
            return
        if account not in self._gifts or now >= self._given_at[account] + GIFT_S:
            self._gifts[account] = self._gifts.get(account, 0) + 1
            self._given_at[account] = now
        self._remember(peer_id, account)
        if account in self._covers_of(peer_id):
            self._carriers[account].add(peer_id)
            self._givers[account].add(peer_id)
        for giver in [giver for giver in self._givers[account] if not self._is_giver(giver, account)]:
            self._givers[account].discard(giver)
            if not self._peers[giver].counts_at_once:
                self._carriers[account].discard(giver)
        self._note(account)

    def worths(self, peer_ids: Iterable[str]) -> dict[str, float]:
        """What peers are worth: each a share of every account it delivers, less the more peers do.

        Of what they only claim next to nothing, and only where too few even claim it: who claims everything is worth
        nothing once two others do.
        """
        worths = {peer_id: self._worth_of_gifts(peer_id) for peer_id in peer_ids}
        for account in self.short:
            for peer_id in self._carriers[account]:
                if peer_id in worths:
                    worths[peer_id] += CLAIM_WORTH / len(self._carriers[account])
        return worths

    def count(self, peer_id: str) -> int:
        """How many of the accounts wanted a peer carries; callable from any thread."""
        return len(self._covers_of(peer_id))

    def count_covered(self) -> int:
        """The accounts wanted that some peer covers; callable from any thread."""
        return sum(1 for peers in list(self._carriers.values()) if peers)

    def uncovered(self) -> tuple[Cid, ...]:
        """The accounts wanted that no peer covers."""
        return tuple(account for account in self.short if not self._carriers[account])

    def _worth_of_gifts(self, peer_id: str) -> float:
        covers = self._covers_of(peer_id)
        givers = (self._givers[account] for account in self._gave.get(peer_id, ()) if account in covers)
        return sum(1 / len(peers) for peers in givers if peer_id in peers)

    def _covers_of(self, peer_id: str) -> frozenset[Cid]:
        peer = self._peers.get(peer_id)
        return peer.covers if peer is not None else frozenset()

    def _count(self, peer_id: str, peer: _Peer) -> None:
        """Count a peer where it carries what is wanted."""
        covers = self.wanted & peer.carried
        before, peer.covers = peer.covers, covers
        for account in _in_order(before - covers):
            self._carriers[account].discard(peer_id)
            self._givers[account].discard(peer_id)
            self._note(account)
        for account in _in_order(covers - before):
            is_giver = self._is_giver(peer_id, account)
            if is_giver:
                self._givers[account].add(peer_id)
            if is_giver or peer.counts_at_once:
                self._carriers[account].add(peer_id)
            self._note(account)

    def _is_giver(self, peer_id: str, account: Cid) -> bool:
        gave = self._gave.get(peer_id, {}).get(account)
        return gave is not None and self._gifts.get(account, 0) - gave < STALE_GIFTS

    def _remember(self, peer_id: str, account: Cid) -> None:
        gave = self._gave.pop(peer_id, {})
        self._gave[peer_id] = gave  # at the end, as who gave last
        gave.pop(account, None)
        gave[account] = self._gifts[account]
        if len(gave) > MAX_GIVEN:
            del gave[next(iter(gave))]
        if len(self._gave) > MAX_GIVERS:
            oldest = next((other for other in self._gave if other not in self._peers and other != peer_id), None)
            if oldest is not None:
                del self._gave[oldest]

    def _note(self, account: Cid) -> None:
        _put(self.short, account, is_in=len(self._carriers[account]) < AIM)
        _put(self.scarce, account, is_in=len(self._givers[account]) < AIM)
        _put(self.ungiven, account, is_in=not self._givers[account])


def _in_order(accounts: frozenset[Cid]) -> list[Cid]:
    """One order in every run, whatever the hashes."""
    return sorted(accounts, key=_BYTES)


_BYTES: Final = attrgetter("bytes")


def _put(members: dict[Cid, None], account: Cid, *, is_in: bool) -> None:
    if is_in:
        members[account] = None
    else:
        members.pop(account, None)
