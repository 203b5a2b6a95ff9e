"""Choosing: whom to be connected with, so that every account followed comes from several peers that do deliver.

Pure, as all of this package. It is told what happens (who connected, what a
peer says it carries, what new records it gave, whom it knows of), and decides
whom to dial, whom to let go and whom to ask for more peers:

- Whom the person named, or an invite, is dialled always, and never let go; of
  very many as many as leave some places to others.
- A few others, taken at random over the buckets of the address book, so that
  who fills the book from one network fills one bucket; and two anchors, the
  best of the last run.
- For an account that fewer than three peers cover: peers remembered to carry it.
- While an account is covered by too few, or by none that ever gave anything
  new of it, one more peer is tried every few seconds (once a minute while
  fewer than three did) and the least useful one let go. Claims
  are free: a peer that carries everything and gives nothing is worth next to
  nothing, and its place goes to the next.
- While all is well, one is still replaced every few minutes. A fresh session
  asks for everything we lack, so this is the pull of heads that no silent or
  censoring neighbourhood can prevent.

Peers that dialled us chose us: they count for an account once they delivered.

Whoever drives it calls ``decide`` after each event and at ``next_time``,
carries every decision out, and reports each ``Dial`` by ``dial_ended``
(after ``connected`` or ``failed``). ``now`` is in seconds, from a clock that
does not step back.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.addresses import (
    BUCKETS,
    Address,
    AddressBook,
    Known,
    Scope,
    Source,
    may_hear_of,
)
from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.chance import Chance
from unhush.gossip.proto.coverage import AIM, Coverage
from unhush.gossip.proto.decisions import Acquaintance, AskPeers, Decision, Dial, LetGo, Standing
from unhush.gossip.proto.frames import KnownPeer
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.remembering import Memories
from unhush.gossip.proto.sightings import as_seen, block_of, find_address
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid

# Of 96 connections in all, 64 are for those who dial us (swarm.py).
MAX_OUTBOUND: Final = 32
# Among those, peers we know by hearsay: always so many, which is what the mesh of a topic needs; and at most.
MIN_TOLD: Final = 8
MAX_TOLD: Final = 16
# However many the person chose, so many places are left to those: friends alone may all be behind one censor, or away.
KEPT_FOR_TOLD: Final = 4
# In one IPv4 /16 or IPv6 /32 of the Internet, the cheapest unit whoever would surround us has to rent.
MAX_PER_BLOCK: Final = 2
ANCHORS: Final = 2

# Dials at a time: an unreachable address takes ten seconds. Some are left for told peers, should the chosen be away.
MAX_DIALS: Final = 8
MAX_CHOSEN_DIALS: Final = 6

# So many peers are looked at for one choice; the book may hold eight times as many, and the network's loop waits.
ENOUGH_OPTIONS: Final = 512

# How often the book is looked through for peers to fill free places; and if none was there.
FILL_S: Final = 1.0
NOBODY_S: Final = 10.0

# One more peer is tried: this often while an account has no peer that ever gave anything of it (so many times, and
# again as time refills them; then as if it had too few that carry it), while it has too few that carry it, while too
# few of those ever gave anything, and thrice in ten minutes while all is well.
EAGER_S: Final = 2.0
EAGER_TRIES: Final = 30
EAGER_REFILL_S: Final = 600.0
NEEDY_S: Final = 15.0
SCARCE_S: Final = 60.0
CALM_S: Final = 200.0

# A new connection is not judged before it had time for a session and an answer.
TRIAL_S: Final = 15.0
# Nor is an anchor at first: it proved itself before.
ANCHOR_TRIAL_S: Final = 600.0
# Whom we let go is not tried again so soon: it was asked, and others were not.
REST_S: Final = 600.0
# Of one network those that are of use may take turns, if one more is said to carry what nobody connected does.
TURN_S: Final = 2 * TRIAL_S
# A peer worth this is one of three that deliver some account: rather one connection more than without it.
USEFUL: Final = 1 / AIM
# And this, if it delivered anything at all: a thousand others may do so too.
OF_SOME_USE: Final = 0.001
# Peers are asked for more of them so often each, one of them at a time, those the person chose first.
ASK_NEEDY_S: Final = limits.PEERS_INTERVAL_S
ASK_CALM_S: Final = 1_800.0
ASK_PACE_S: Final = 0.5
# With fewer in the book it is worth asking, however well all is.
FEW_KNOWN: Final = 64
# Whom we met this long ago we still tell of.
LATELY_S: Final = 3_600.0

# Of each connected peer so many of those it told of, and was told of: two answers long.
MAX_KNOWS: Final = 32

MAX_SAVED: Final = 512  # peers told of that are kept for the next run


@dataclass(slots=True)
class _Link:
    """A connection with a peer."""

    peer_id: str
    address: str
    is_inbound: bool
    since: float
    block: str | None  # that counts among those of the Internet
    has_session: bool = False
    is_leaving: bool = False
    carried: frozenset[Cid] = frozenset()
    carriage: bytes | None = None  # of what it carries, once somebody asked
    asked_at: float | None = None
    rest_s: float = REST_S  # once we let it go
    knows: dict[str, None] = field(default_factory=dict)  # peers it told of, those it named last at the end
    hears: dict[str, None] = field(default_factory=dict)  # and that it was told of


class Chooser:
    """Decides over the connections of one node."""

    def __init__(self, book: AddressBook, *, seed: bytes, count: Callable[[Met], None] = lambda _: None) -> None:
        self._count: Final = count
        self._book: Final = book
        self._chance: Final = Chance(seed)
        self._coverage: Final = Coverage()
        self._links: Final[dict[str, _Link]] = {}
        self._dialling: Final[dict[str, Address]] = {}
        self._memories: Final = Memories(self._links)
        self._anchors: tuple[str, ...] = ()
        self._fill_at = 0.0
        self._has_nobody = False  # to fill a free place with
        self._rotate_at: float | None = None
        self._ask_at = 0.0
        self._eager: Final = Allowance(EAGER_TRIES, EAGER_REFILL_S)

    # --- what we want, and what happens ------------------------------------------------------------------

    def set_wanted(self, accounts: frozenset[Cid], now: float) -> None:
        """The accounts others write that are to be covered."""
        if accounts != self._coverage.wanted and self._coverage.set_wanted(accounts):
            self._hurry(now)

    def set_anchors(self, peer_ids: Iterable[str]) -> None:
        """The peers to dial first: the best of the last run."""
        self._anchors = tuple(islice(peer_ids, ANCHORS))

    def connected(self, peer_id: str, address: str, now: float, *, is_inbound: bool) -> None:
        """A first connection with a peer opened; ``address`` is the far end, without the peer id."""
        dialled = self._dialling.pop(peer_id, None)
        through = dialled.text if dialled is not None and dialled.relay else f"{address}/p2p/{peer_id}"
        self._book.succeeded(peer_id, now, "" if is_inbound else through)
        if peer_id in self._links:
            return
        block = None if is_inbound else block_of(address)
        if not is_inbound and dialled is not None and dialled.relay and dialled.scope is Scope.PUBLIC:
            block = dialled.block  # the relay's: behind one there may be any number
        self._links[peer_id] = _Link(peer_id, address, is_inbound, now, block)
        self._coverage.connected(peer_id, counts_at_once=not is_inbound)
        memory = self._memories.remember(peer_id)
        memory.met_at = now
        if not is_inbound:
            memory.reachable_at = find_address(f"{address}/p2p/{peer_id}") or memory.reachable_at

    def disconnected(self, peer_id: str, now: float) -> None:
        """The last connection with a peer closed."""
        link = self._links.pop(peer_id, None)
        if link is None:
            return
        self._book.succeeded(peer_id, link.since)  # it may have come into the book later than it connected
        self._book.lost(peer_id, now)
        memory = self._memories.remember(peer_id)
        memory.met_at = now
        if link.is_leaving:
            memory.rests_until = now + link.rest_s
        if link.carried:
            self._memories.set_carriage(memory, self._carriage_of(link))
        self._coverage.disconnected(peer_id)
        self._fill_at = min(self._fill_at, now)

    def failed(self, peer_id: str, address: str, now: float) -> None:
        """A dial came to nothing."""
        self._book.failed(peer_id, address, now)

    def dial_ended(self, peer_id: str, now: float) -> None:
        """A dial is over, whatever it came to."""
        self._dialling.pop(peer_id, None)
        self._fill_at = min(self._fill_at, now + FILL_S)

    def forget(self, peer_id: str) -> None:
        """The person does not want this peer any more."""
        self._book.forget(peer_id)
        self._memories.forget(peer_id)
        self._anchors = tuple(anchor for anchor in self._anchors if anchor != peer_id)

    def hurry(self, now: float) -> None:
        """The person asks for a look now."""
        self._book.hurry(now)
        self._hurry(now)

    # --- what peers say and do ---------------------------------------------------------------------------

    def greeted(self, peer_id: str, listen: Iterable[str], now: float) -> None:
        """A session opened. Of where the peer says it listens only the port is believed: the host is the one seen."""
        link = self._links.get(peer_id)
        if link is None:
            return
        link.has_session = True
        for text in islice(listen, limits.MAX_LISTEN):
            address = as_seen(text, peer_id, link.address)
            if address is None:
                if find_address(f"{text}/p2p/{peer_id}") is None:  # others may make sense elsewhere
                    self._count(Met.ADDRESS_REFUSED)
                continue
            self._book.remember(address.text, Source.LEARNED, now, told_by=link.address)
            memory = self._memories.remember(peer_id)
            if memory.reachable_at is None or link.is_inbound:
                memory.reachable_at = address

    def session_ended(self, peer_id: str, now: float) -> None:
        """Its session is over; the connection may stay, but covers nothing."""
        link = self._links.get(peer_id)
        if link is not None and link.has_session:
            link.has_session = False
            self._memories.set_carriage(self._memories.remember(peer_id), self._carriage_of(link))
            self.carries(peer_id, frozenset(), now)

    def carries(self, peer_id: str, accounts: frozenset[Cid], now: float) -> None:
        """All the accounts the peer says it carries now."""
        link = self._links.get(peer_id)
        if link is None:
            return
        link.carried, link.carriage = accounts, None
        self._coverage.carries(peer_id, accounts)
        self._fill_at = min(self._fill_at, now + FILL_S)

    def gave(self, peer_id: str, account: Cid, records: int, now: float) -> None:
        """The peer gave records of an account that were new to us."""
        self._memories.remember(peer_id).records += records
        self._coverage.gave(peer_id, account, now)

    def told(self, peer_id: str, known: Iterable[KnownPeer], now: float, *, are_met: bool = True) -> int:
        """A peer says whom it knows; how many of them may be dialled. ``are_met``: it is or was connected with them."""
        link = self._links.get(peer_id)
        if link is None:
            return 0
        taken = 0
        for each in islice(known, limits.MAX_PEERS_TOLD):
            address = find_address(each.address)
            if address is None:
                self._count(Met.ADDRESS_REFUSED)
                continue
            if not self._book.remember(address.text, Source.LEARNED, now, told_by=link.address or None):
                continue
            taken += 1
            if are_met:
                _note(link.knows, address.peer_id)
            memory = self._memories.remember(address.peer_id)
            if memory.met_at is None:  # else we know better
                self._memories.set_carriage(memory, each.carriage)
        if taken:
            self._fill_at = min(self._fill_at, now)
        return taken

    def tell(self, peer_id: str, now: float) -> tuple[KnownPeer, ...]:
        """Whom we know, for this peer: connected now or met lately, and reachable from where it is."""
        asker = self._links.get(peer_id)
        if asker is None:
            return ()
        may_tell = [
            (address, other_id, memory.carriage)
            for other_id, memory in self._memories.items()
            if other_id != peer_id
            and (address := memory.reachable_at) is not None
            and (other_id in self._links or (memory.met_at is not None and now - memory.met_at < LATELY_S))
            and may_hear_of(asker.address, address)
        ]
        told: list[KnownPeer] = []
        while may_tell and len(told) < limits.MAX_PEERS_TOLD:
            address, other_id, carriage = may_tell.pop(self._chance.draw(len(may_tell)))
            link = self._links.get(other_id)
            if link is not None and link.carried:
                carriage = self._carriage_of(link)
            told.append(KnownPeer(address.text, carriage))
            _note(asker.hears, other_id)
        return tuple(told)

    # --- decisions ---------------------------------------------------------------------------------------

    def decide(self, now: float) -> list[Decision]:
        """What to do now."""
        decisions: list[Decision] = []
        if self._rotate_at is None:
            self._rotate_at = now + self._chance.scattered(EAGER_S)
        self._dial_chosen(decisions, now)
        self._fill(decisions, now)
        self._rotate(decisions, now)
        self._ask(decisions, now)
        return decisions

    def next_time(self, now: float) -> float:
        """When ``decide`` may next have something, if nothing happens before."""
        times = [self._rotate_at if self._rotate_at is not None else now]
        has_place = self._may_dial_chosen() and (self._outbound() < MAX_OUTBOUND or bool(self._told_links()))
        if len(self._dialling) < MAX_CHOSEN_DIALS and has_place:
            chosen = self._book.next_time(self._busy())
            if chosen is not None:
                times.append(chosen)
        if self._has_free_place():
            times.append(self._fill_at)
        times += [max(self._ask_at, self._ask_due(link)) for link in self._links.values() if link.has_session]
        return max(now, min(times))

    @property
    def dialling(self) -> int:
        """How many dials are under way."""
        return len(self._dialling)

    def standings(self) -> dict[str, Standing]:
        """Every connected peer, for people to see; callable from any thread."""
        return {
            peer_id: Standing(peer_id, self._coverage.count(peer_id), memory.records if memory is not None else 0)
            for peer_id in list(self._links)
            for memory in (self._memories.get(peer_id),)
        }

    def is_chosen(self, peer_id: str) -> bool:
        """Whether the person named this peer, or an invite did."""
        return self._book.is_chosen(peer_id)

    def has_given(self, peer_id: str) -> bool:
        """Whether this peer gave something that was new to us."""
        memory = self._memories.get(peer_id)
        return memory is not None and memory.records > 0

    def coverage(self) -> tuple[int, int]:
        """Accounts wanted, and those of them that a connected peer covers; callable from any thread."""
        return len(self._coverage.wanted), self._coverage.count_covered()

    def uncovered(self) -> tuple[Cid, ...]:
        """The accounts wanted that no connected peer covers."""
        return self._coverage.uncovered()

    def acquaintances(self, account: Cid, now: float) -> tuple[Acquaintance, ...]:
        """Everybody in the book and everybody connected, and who of them carries an account."""
        ways = {known.address.rpartition("/p2p/")[2]: known for known in reversed(self._book.remembered())}
        found = []
        for peer_id in dict.fromkeys((*self._links, *ways)):
            link, memory, way = self._links.get(peer_id), self._memories.get(peer_id), ways.get(peer_id)
            reachable = memory.reachable_at if memory is not None else None
            found.append(
                Acquaintance(
                    peer_id,
                    way.address if way is not None else reachable.text if reachable is not None else "",
                    is_connected=link is not None,
                    has_answered=(link is not None and not link.is_inbound) or (way is not None and way.has_worked),
                    is_chosen=self._book.is_chosen(peer_id),
                    carries=account in link.carried if link is not None else self._memories.may_carry(peer_id, account),
                    knows=tuple(link.knows) if link is not None else (),
                    hears=tuple(link.hears) if link is not None else (),
                    connected_s=now - link.since if link is not None else 0.0,
                )
            )
        return tuple(found)

    def remembered(self, now: float) -> tuple[Known, ...]:
        """Everything worth keeping for the next run, the most trusted first."""
        anchors = self.anchors(now)
        return tuple(
            replace(known, is_anchor=True) if known.address.rpartition("/p2p/")[2] in anchors else known
            for known in self._book.remembered(MAX_SAVED)
        )

    def anchors(self, now: float) -> tuple[str, ...]:
        """The two peers by hearsay that are worth most, of different networks."""
        links = self._told_links()
        worths = self._coverage.worths(link.peer_id for link in links)
        ranked = sorted(((worths[link.peer_id], link) for link in links), key=lambda each: -each[0])
        best: list[str] = []
        blocks: set[str | None] = set()
        for worth, link in ranked:  # of equals the one that has been there longest, as the sort keeps their order
            is_tried = worth >= OF_SOME_USE or now - link.since >= ANCHOR_TRIAL_S
            if is_tried and (link.block is None or link.block not in blocks):
                best.append(link.peer_id)
                blocks.add(link.block)
        # Those of before, until there are others: a short run must not lose them.
        best += [anchor for anchor in self._anchors if anchor not in best and anchor in self._book]
        return tuple(best[:ANCHORS])

    def _dial_chosen(self, decisions: list[Decision], now: float) -> None:
        while len(self._dialling) < MAX_CHOSEN_DIALS and self._may_dial_chosen():
            address = self._book.next_due(now, self._busy())
            if address is None:
                return
            if self._outbound() >= MAX_OUTBOUND:
                # Once it is gone there is a place. One at a time: each look lets go of at most one.
                if not any(link.is_leaving for link in self._links.values()):
                    self._let_go(decisions, self._find_least(now, is_forced=True))
                return
            self._dial(decisions, address)

    def _fill(self, decisions: list[Decision], now: float) -> None:
        """Take free places: at random, and for accounts that lack carriers."""
        if now < self._fill_at or not self._has_free_place():
            return
        self._fill_at = now + FILL_S
        options = self._uncrowded(self._due(now))
        self._has_nobody = not options
        if not options:
            self._fill_at = now + NOBODY_S
            return
        room = min(max(1, MIN_TOLD - self._told()), MAX_OUTBOUND - self._outbound())
        for number in range(min(room, MAX_DIALS - len(self._dialling))):
            is_extra = self._told() >= MIN_TOLD
            address = (
                self._take_anchor(options, now)
                or (self._take_carrier(options, self._coverage.short) if is_extra or number % 2 else None)
                or (self._take_any(options) if not is_extra else None)
            )
            if address is None:
                self._fill_at = now + NOBODY_S
                return
            self._dial(decisions, address)

    def _rotate(self, decisions: list[Decision], now: float) -> None:
        """Try one more, in place of the least useful."""
        assert self._rotate_at is not None
        if now < self._rotate_at:
            return
        # Below that there is room for whoever is known, unless all who are left are of networks that have their places.
        is_full = self._told() >= MIN_TOLD or self._has_nobody
        due = self._due(now) if is_full and len(self._dialling) < MAX_DIALS else []
        pace_s = self._pace(now) if due else NOBODY_S if is_full else EAGER_S
        self._rotate_at = now + self._chance.scattered(pace_s)
        if not due:
            return
        options = self._uncrowded(due)
        wanting = self._coverage.ungiven or self._coverage.short or self._coverage.scarce
        # Half of them by what they claim, or by what others claim of them; half whatever anybody claims.
        address = None
        if self._chance.draw(2):
            address = self._take_carrier(options, wanting) or self._take_carrier(self._proven(due), wanting)
            address = address or self._take_carrier(due, wanting)
        address = address or self._take_any(options or due)
        if address is not None and self._make_way(decisions, address, MAX_TOLD if wanting else MIN_TOLD, now):
            self._dial(decisions, address)

    def _pace(self, now: float) -> float:
        if self._coverage.ungiven and self._eager.spend(1, now):
            return EAGER_S
        if self._coverage.ungiven or self._coverage.short:
            return NEEDY_S
        return SCARCE_S if self._coverage.scarce else CALM_S

    def _make_way(self, decisions: list[Decision], address: Address, limit: int, now: float) -> bool:
        """Whether there is a place for this one, after letting go of who is of least use, in its own network if that
        has all its places."""
        if address.block not in self._crowded_blocks():
            return self._make_place(decisions, limit, now)
        least = self._find_least(now, block=address.block)
        if least is None:
            return False
        if least[1] >= USEFUL:
            if not any(self._memories.may_carry(address.peer_id, account) for account in self._coverage.uncovered()):
                return False
            least[0].rest_s = TURN_S
        self._let_go(decisions, least)
        return self._outbound() < MAX_OUTBOUND

    def _make_place(self, decisions: list[Decision], limit: int, now: float) -> bool:
        """Whether there is a place for one more, after letting go of who is of least use."""
        if self._outbound() >= MAX_OUTBOUND:
            self._let_go(decisions, self._find_least(now))
            return False  # until it is gone
        for _ in range(2):  # one makes the place, and when many are no longer needed one more goes each time
            if self._told() < limit:
                break
            least = self._find_least(now)
            if self._told() < MAX_TOLD and (least is None or least[1] >= USEFUL):
                break  # rather one connection more
            if least is None:
                return False
            self._let_go(decisions, least)
        return True

    def _ask(self, decisions: list[Decision], now: float) -> None:
        if now < self._ask_at:
            return
        due = [link for link in self._links.values() if link.has_session and self._ask_due(link) <= now]
        if due:
            chosen = [link for link in due if self._book.is_chosen(link.peer_id)]
            link = (chosen or due)[self._chance.draw(len(chosen or due))]
            link.asked_at = now
            self._ask_at = now + ASK_PACE_S
            decisions.append(AskPeers(link.peer_id))

    def _ask_due(self, link: _Link) -> float:
        if link.asked_at is None:
            return link.since
        is_needy = self._coverage.short or self._coverage.ungiven or len(self._book) < FEW_KNOWN
        return link.asked_at + (ASK_NEEDY_S if is_needy else ASK_CALM_S)

    # --- options -----------------------------------------------------------------------------------------

    def _due(self, now: float) -> list[list[Address]]:
        """Told peers that may be dialled, bucket by bucket, from any bucket on."""
        due = self._book.due_told(now, self._busy(), first_bucket=self._chance.draw(BUCKETS), enough=ENOUGH_OPTIONS)
        return _in_buckets(due, lambda address: self._memories.is_rested(address.peer_id, now))

    def _uncrowded(self, due: list[list[Address]]) -> list[list[Address]]:
        """Without those whose networks have all their places."""
        crowded = self._crowded_blocks()
        return _in_buckets(due, lambda address: address.block not in crowded)

    def _proven(self, due: list[list[Address]]) -> list[list[Address]]:
        """Who gave something before: of a network that has its places anybody may make up as many as they like."""
        return _in_buckets(due, lambda address: self.has_given(address.peer_id))

    def _take_any(self, options: list[list[Address]]) -> Address | None:
        """Any bucket, then any of it: whoever fills one bucket is drawn no more often for that."""
        if not options:
            return None
        bucket = options[self._chance.draw(len(options))]
        return self._take(options, bucket[self._chance.draw(len(bucket))])

    def _take_carrier(self, options: list[list[Address]], accounts: Collection[Cid]) -> Address | None:
        """One that is said to carry one of these accounts."""
        if not accounts:
            return None
        account = next(islice(accounts, self._chance.draw(len(accounts)), None))
        may_carry = self._memories.may_carry
        carriers = [address for bucket in options for address in bucket if may_carry(address.peer_id, account)]
        return self._take(options, carriers[self._chance.draw(len(carriers))]) if carriers else None

    def _take_anchor(self, options: list[list[Address]], now: float) -> Address | None:
        for peer_id in self._anchors:
            address = self._book.find_told(peer_id, now)
            if address is not None and any(address in bucket for bucket in options):
                return self._take(options, address)
        return None

    def _take(self, options: list[list[Address]], address: Address) -> Address:
        """Out of the options, and whoever is now one too many in its network as well."""
        crowded = self._crowded_blocks(address)
        for bucket in options:
            bucket[:] = [other for other in bucket if other.peer_id != address.peer_id and other.block not in crowded]
        options[:] = [bucket for bucket in options if bucket]
        return address

    def _crowded_blocks(self, *more: Address) -> set[str]:
        """Whom the person named is no attacker's choice, nor is one's own network."""
        blocks = [link.block for link in self._told_links() if link.block is not None]
        told = [address for address in self._dialling.values() if not self._book.is_chosen(address.peer_id)]
        blocks += [address.block for address in (*told, *more) if address.scope is Scope.PUBLIC]
        return {block for block in blocks if blocks.count(block) >= MAX_PER_BLOCK}

    # --- connections -------------------------------------------------------------------------------------

    def _busy(self) -> set[str]:
        return self._links.keys() | self._dialling.keys()

    def _outbound(self) -> int:
        return sum(not link.is_inbound for link in self._links.values()) + len(self._dialling)

    def _may_dial_chosen(self) -> bool:
        return self._outbound() - self._told() < MAX_OUTBOUND - KEPT_FOR_TOLD

    def _told(self) -> int:
        """Peers known by hearsay that we dialled, or are dialling."""
        return len(self._told_links()) + sum(not self._book.is_chosen(peer_id) for peer_id in self._dialling)

    def _told_links(self) -> list[_Link]:
        return [
            link
            for link in self._links.values()
            if not (link.is_inbound or link.is_leaving or self._book.is_chosen(link.peer_id))
        ]

    def _has_free_place(self) -> bool:
        if len(self._dialling) >= MAX_DIALS or self._outbound() >= MAX_OUTBOUND:
            return False
        told = self._told()
        return told < MIN_TOLD or (bool(self._coverage.short) and told < MAX_TOLD)

    def _find_least(
        self, now: float, *, is_forced: bool = False, block: str | None = None
    ) -> tuple[_Link, float] | None:
        """The least useful peer by hearsay, of one network if that is said, and its worth; of equals the one that had
        most time to be of use."""
        links = [link for link in self._told_links() if block is None or link.block == block]
        worths = self._coverage.worths(link.peer_id for link in links)
        links = [link for link in links if is_forced or not self._is_on_trial(link, now)]
        least = min(links, key=lambda link: (worths[link.peer_id], link.since), default=None)
        return (least, worths[least.peer_id]) if least is not None else None

    def _is_on_trial(self, link: _Link, now: float) -> bool:
        return now - link.since < (ANCHOR_TRIAL_S if link.peer_id in self._anchors else TRIAL_S)

    def _dial(self, decisions: list[Decision], address: Address) -> None:
        self._dialling[address.peer_id] = address
        decisions.append(Dial(address))

    def _let_go(self, decisions: list[Decision], least: tuple[_Link, float] | None) -> None:
        if least is not None:
            link, _ = least
            link.is_leaving = True
            decisions.append(LetGo(link.peer_id))

    def _hurry(self, now: float) -> None:
        self._fill_at = min(self._fill_at, now)
        if self._rotate_at is not None:
            self._rotate_at = min(self._rotate_at, now + self._chance.scattered(EAGER_S))

    def _carriage_of(self, link: _Link) -> bytes:
        if link.carriage is None:
            link.carriage = pack_carriage(link.carried)
        return link.carriage


def _in_buckets(buckets: Iterable[Iterable[Address]], keeps: Callable[[Address], bool]) -> list[list[Address]]:
    kept = ([address for address in bucket if keeps(address)] for bucket in buckets)
    return [bucket for bucket in kept if bucket]


def _note(names: dict[str, None], name: str) -> None:
    names.pop(name, None)
    names[name] = None
    if len(names) > MAX_KNOWS:
        del names[next(iter(names))]
