"""Telling: whom to ask for statements, what to ask, and whom to tell of what was gained here.

Pure, as all of this package. Three ways a statement travels:

- ``since``: a peer is asked for what it gained since we asked last, at once on
  connecting and then every minute, ever more seldom while it has nothing.
- ``tell``: what is gained here is told within a second to those connected peers
  whose filter, which came with their own ``since``, says that they want it. Never
  to whoever gave it to us.
- ``about``: for an account that is newly minded, or that somebody asks for, a
  few peers are asked by name: a count that has passed says no more of it.

Whoever drives it calls ``decide`` after each event and at ``next_time``,
carries every step out, and says what became of it (``asked``, ``told`` or
``refused``). ``now`` is in seconds, from a clock that does not step back.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.statements import MAX_ACCOUNTS, MAX_ITEMS, does_want
from unhush.identity.cid import Cid

# What is pushed comes within a second, so asking is for what was lost on the way.
SINCE_S: Final = 60.0
LONGEST_SINCE_S: Final = 600.0
# A peer that has more than one conversation takes is asked for the rest after this.
REST_S: Final = 2.0
JITTER: Final = 0.2

# What is gained together is told together; well below the second that a person waits.
GATHER_S: Final = 0.25
# Statements told to one peer: all the receipts of a screenful of accounts at once, then four a second.
TOLD_AT_ONCE: Final = 256
TOLD_INTERVAL_S: Final = 60.0
# That wait for one peer. What is forgotten it gets by its next ``since``.
MAX_QUEUED: Final = 256

# Peers asked about one account: half of them may lie, and any one suffices.
MAX_ASKED: Final = 8
# Accounts that peers are still to be asked about; the oldest are forgotten first, and so are all after an hour.
MAX_WANTED: Final = 1_024
WANTED_S: Final = 3_600.0
# The same account is not asked about again sooner, whoever wants it.
ABOUT_AGAIN_S: Final = 10.0
# Questions of this kind to one peer.
ABOUTS: Final = 20
ABOUTS_INTERVAL_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class AskSince:
    """Ask this peer what it gained; then ``asked`` or ``refused``."""

    peer_id: str


@dataclass(frozen=True, slots=True)
class AskAbout:
    """Ask this peer about accounts; then ``asked`` or ``refused``."""

    peer_id: str
    accounts: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class TellPeer:
    """Tell this peer these statements, by their digests; then ``told`` or ``refused``."""

    peer_id: str
    digests: tuple[bytes, ...]


Step: TypeAlias = AskSince | AskAbout | TellPeer


@dataclass(slots=True)
class _Peer:
    since_at: float
    delay_s: float = SINCE_S
    wants: bytes | None = None  # its filter, once it asked
    is_asking: bool = False
    is_telling: bool = False
    queue: dict[bytes, None] = field(default_factory=dict)
    tell_at: float = 0.0
    tells: Allowance = field(default_factory=lambda: Allowance(TOLD_AT_ONCE, TOLD_INTERVAL_S))
    abouts: Allowance = field(default_factory=lambda: Allowance(ABOUTS, ABOUTS_INTERVAL_S))
    about_at: float = 0.0

    def wants_of(self, accounts: Iterable[Cid]) -> bool:
        return self.wants is not None and does_want(self.wants, accounts)


@dataclass(slots=True)
class _Wanted:
    since: float
    asked: set[str] = field(default_factory=set)


class Telling:
    """Of one node, for all its peers."""

    def __init__(self, *, seed: bytes) -> None:
        self._seed: Final = seed
        self._drawn = 0
        self._peers: Final[dict[str, _Peer]] = {}
        self._minded: frozenset[Cid] | None = None
        self._wanted: Final[dict[Cid, _Wanted]] = {}
        self.not_told = 0  # dropped for want of room, since it began

    # --- what happens ------------------------------------------------------------------------------------

    def connected(self, peer_id: str, now: float) -> None:
        """A first connection with a peer opened."""
        if peer_id not in self._peers:
            self._peers[peer_id] = _Peer(since_at=now)

    def disconnected(self, peer_id: str) -> None:
        """The last connection with it closed."""
        self._peers.pop(peer_id, None)

    def mind(self, accounts: frozenset[Cid], now: float) -> None:
        """These are the accounts whose statements are wanted here now: those carried, and their keepers."""
        before, self._minded = self._minded, accounts
        if before is None:
            return  # the first ``since`` brings all of them
        for account in sorted(accounts - before):
            self.want(account, now)
        for account in before - accounts:
            self._wanted.pop(account, None)

    def want(self, account: Cid, now: float) -> None:
        """Somebody needs to know about this account."""
        wanted = self._wanted.get(account)
        if wanted is not None and now - wanted.since < ABOUT_AGAIN_S:
            return
        self._wanted.pop(account, None)
        self._wanted[account] = _Wanted(now)
        if len(self._wanted) > MAX_WANTED:
            del self._wanted[next(iter(self._wanted))]

    def wanted(self) -> frozenset[Cid]:
        """The accounts that peers are asked about now."""
        return frozenset(self._wanted)

    def heard_filter(self, peer_id: str, carriage: bytes) -> None:
        """A peer asked ``since``, and said whose statements it wants."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.wants = carriage

    def gained(self, digest: bytes, about: Collection[Cid], now: float, *, source: str | None = None) -> None:
        """A statement is new here; ``about``: who made it and whom it names; ``source``: the peer that gave it."""
        for peer_id, peer in self._peers.items():
            if peer_id == source or not peer.wants_of(about):
                continue
            if not peer.queue:
                peer.tell_at = max(peer.tell_at, now + GATHER_S)
            peer.queue[digest] = None
            if len(peer.queue) > MAX_QUEUED:
                del peer.queue[next(iter(peer.queue))]
                self.not_told += 1

    def has(self, peer_id: str, digests: Iterable[bytes]) -> None:
        """A peer showed that it has these: it need not be told."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            for digest in digests:
                peer.queue.pop(digest, None)

    # --- what became of the steps ------------------------------------------------------------------------

    def asked(self, step: AskSince | AskAbout, now: float, *, gained: int, is_more: bool = False) -> None:
        """A peer answered: so much of it was new here, and it may have more."""
        peer = self._peers.get(step.peer_id)
        if peer is None:
            return
        peer.is_asking = False
        if isinstance(step, AskSince):
            peer.delay_s = SINCE_S if gained else min(2 * peer.delay_s, LONGEST_SINCE_S)
            peer.since_at = now + (REST_S if is_more else self._scattered(peer.delay_s))

    def told(self, step: TellPeer, now: float) -> None:
        """A peer took what it was told."""
        peer = self._peers.get(step.peer_id)
        if peer is not None:
            peer.is_telling = False
            peer.tell_at = now + GATHER_S

    def refused(self, step: Step, now: float) -> None:
        """It did not answer, or does not speak of statements at all; what it was to be told it may ask for."""
        peer = self._peers.get(step.peer_id)
        if peer is None:
            return
        if isinstance(step, TellPeer):
            peer.is_telling = False
            peer.wants = None  # until it asks again
            peer.queue.clear()
            return
        peer.is_asking = False
        if isinstance(step, AskSince):
            peer.delay_s = min(2 * peer.delay_s, LONGEST_SINCE_S)
            peer.since_at = now + self._scattered(peer.delay_s)

    # --- decisions ---------------------------------------------------------------------------------------

    def decide(self, now: float) -> list[Step]:
        """What to do now."""
        for account in [each for each, wanted in self._wanted.items() if now - wanted.since >= WANTED_S]:
            del self._wanted[account]
        steps: list[Step] = []
        for peer_id, peer in self._peers.items():
            if not peer.is_asking:
                step = self._ask(peer_id, peer, now)
                if step is not None:
                    peer.is_asking = True
                    steps.append(step)
            if peer.queue and not peer.is_telling and peer.tell_at <= now:
                chosen = self._take_told(peer, now)
                if chosen:
                    peer.is_telling = True
                    steps.append(TellPeer(peer_id, chosen))
        return steps

    def next_time(self, now: float) -> float:
        """When ``decide`` may next have something, if nothing happens before; infinity while nobody is there."""
        times = [float("inf")]
        for peer_id, peer in self._peers.items():
            if not peer.is_asking:
                times.append(peer.since_at)
                if self._wanted_of(peer_id):
                    times.append(peer.about_at)
            if peer.queue and not peer.is_telling:
                times.append(peer.tell_at)
        return max(now, min(times))

    def _ask(self, peer_id: str, peer: _Peer, now: float) -> Step | None:
        if peer.since_at <= now:
            return AskSince(peer_id)
        accounts = self._wanted_of(peer_id) if peer.about_at <= now else ()
        if not accounts:
            return None
        if not peer.abouts.spend(1, now):
            peer.about_at = now + ABOUTS_INTERVAL_S / ABOUTS
            return None
        for account in accounts:
            self._wanted[account].asked.add(peer_id)
        return AskAbout(peer_id, accounts)

    def _wanted_of(self, peer_id: str) -> tuple[Cid, ...]:
        """What this peer is to be asked about: not what enough others were."""
        chosen: list[Cid] = []
        for account, wanted in self._wanted.items():
            if len(wanted.asked) < MAX_ASKED and peer_id not in wanted.asked:
                chosen.append(account)
                if len(chosen) == MAX_ACCOUNTS:
                    break
        return tuple(chosen)

    def _take_told(self, peer: _Peer, now: float) -> tuple[bytes, ...]:
        chosen: list[bytes] = []
        while peer.queue and len(chosen) < MAX_ITEMS and peer.tells.spend(1, now):
            digest = next(iter(peer.queue))
            del peer.queue[digest]
            chosen.append(digest)
        if not chosen:
            peer.tell_at = now + 1.0
        return tuple(chosen)

    def _scattered(self, seconds: float) -> float:
        self._drawn += 1
        drawn = hashlib.sha256(self._seed + self._drawn.to_bytes(8, "big")).digest()
        return seconds * (1 - JITTER + 2 * JITTER * (int.from_bytes(drawn[:4], "big") / 2**32))
