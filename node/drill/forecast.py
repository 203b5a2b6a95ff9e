"""The drill: the present state around an account, read from this home, and what a loss would make of it.

What the running node knows of its network is asked of it: whom it knows, who of them carries the account, whom each
told it of. Addresses that were never dialled from here are tried now, by a host made for that. Cards say whose
machines those are, receipts of keepers that count who keeps. The rest is :mod:`unhush.gossip.proto.drilling`; nothing
is changed here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from unhush.gossip.errors import MalformedAddress, MalformedLosses
from unhush.gossip.proto.addresses import Scope, parse_address
from unhush.gossip.proto.decisions import Acquaintance
from unhush.gossip.proto.drilling import Report, rehearse
from unhush.gossip.proto.situation import Machine, Situation, machines_around, parse_losses
from unhush.identity.cid import Cid
from unhush.identity.statement import Card, MediaPolicy, Receipt
from unhush.node.config import bootstrap_of
from unhush.node.control import Answer, ask
from unhush.node.errors import BadConfig, NobodyAnswered, NotFound, NotRunning
from unhush.node.ids import as_cid
from unhush.node.names import clean_name, short_id
from unhush.node.node import Node
from unhush.node.service.peering import peer_of
from unhush.storage.folds.blobrefs import blobs_of
from unhush.storage.keeping.receipts import RECENT_MS
from unhush.storage.snapshot import Snapshot

# Addresses tried before a drill, so many at a time; a dial to nowhere takes four seconds.
MAX_TRIED: Final = 48
TRIED_AT_ONCE: Final = 8
TRIES: Final = 2  # a busy machine may be late once
# Followers looked at by name; a world of more is a sample anyhow.
MAX_FOLLOWERS: Final = 2_000
# Records looked through for pictures.
MAX_RECORDS: Final = 200_000
_STEP: Final = 2_000

UNKNOWN_HOME: Final = "\0the author's machine"


@dataclass(frozen=True, slots=True)
class Drilled:
    """What came of a drill."""

    account: Cid
    is_own: bool
    is_running: bool  # without a running node little is known of who is there
    situation: Situation
    report: Report
    names: Mapping[str, str]  # what to call a machine: whose it is, else the end of its peer id
    addresses: Mapping[str, str]  # of a machine, where it is known
    ours: frozenset[str] = frozenset()  # machines of whoever asks, this one among them
    uncounted: int = 0  # who gave a receipt and is no keeper here: not asked for, or not proven


def drill(node: Node, lose: str = "home", *, account: Cid | str | None = None, seed: int = 0) -> Drilled:
    """Rehearse a loss; tries addresses for some seconds. Raises ``BadConfig``, ``NoAccount``."""
    try:
        losses = parse_losses(lose)
    except MalformedLosses as exc:
        raise BadConfig(str(exc)) from exc
    who = as_cid(account) if account is not None else node.account()
    known, is_running = _acquaintances(node, who)
    with node._store.snapshot() as snapshot:
        facts = _Facts(snapshot, who)
    situation = _situation(node, facts, known, _try_addresses(known))
    addresses = {each.peer_id: each.address for each in known if each.address} | facts.addresses
    report = rehearse(situation, losses, seed=seed)
    here = _here(node, facts)
    names = {machine.name: _name(node, facts, machine.name) for machine in situation.machines} | {here: "this machine"}
    ours = frozenset({here, *(facts.machines_of.get(facts.own, ()) if facts.own is not None else ())})
    return Drilled(who, who == facts.own, is_running, situation, report, names, addresses, ours, facts.uncounted)


class _Facts:
    """What the store says of an account: who follows and keeps it, and where cards say they are."""

    def __init__(self, snapshot: Snapshot, account: Cid) -> None:
        self.account: Final = account
        self.followers = [
            record.account
            for _, record in islice(snapshot.followers(account), MAX_FOLLOWERS)
            if record.account != account
        ]
        self.keepers: dict[Cid, MediaPolicy] = {}
        self.uncounted = 0
        for view in snapshot.keepers_of(account, snapshot.now_ms()):
            if view.receipt is None or not isinstance(view.receipt.claim, Receipt):
                continue
            # Anybody can sign a receipt, under as many names as they like; nobody may believe to be safe by that.
            if view.is_trusted and view.is_proven:
                self.keepers[view.keeper] = view.receipt.claim.media
            else:
                self.uncounted += 1
        self.own = snapshot.own_account()
        self.addresses: dict[str, str] = {}
        self.machines_of: dict[Cid, tuple[str, ...]] = {}
        for who in dict.fromkeys((account, *self.keepers, *self.followers, *([self.own] if self.own else []))):
            self.machines_of[who] = tuple(self._on_cards(snapshot, who))
        self.pictures, self.recent_pictures = _count_pictures(snapshot, account)

    def _on_cards(self, snapshot: Snapshot, who: Cid) -> Iterable[str]:
        for statement in snapshot.cards(who):
            claim = statement.claim
            for address in claim.peers if isinstance(claim, Card) else ():
                try:
                    peer_id = parse_address(address).peer_id
                except MalformedAddress:
                    continue
                self.addresses.setdefault(peer_id, address)
                yield peer_id

    @property
    def whose(self) -> dict[str, Cid]:
        """Of a machine, the account on whose card it is."""
        return {machine: who for who, machines in reversed(self.machines_of.items()) for machine in machines}

    def pictures_of(self, media: MediaPolicy) -> int:
        return {MediaPolicy.ALL: self.pictures, MediaPolicy.RECENT: self.recent_pictures}.get(media, 0)


def _count_pictures(snapshot: Snapshot, account: Cid) -> tuple[int, int]:
    """Files that records of an account name, in all, and of these what ``90d`` promises."""
    recent = set(blobs_of(snapshot.profile(account)))  # promised however old they are
    everything = set(recent)
    since, looked = 0, 0
    now_ms = snapshot.now_ms()
    while looked < MAX_RECORDS:
        records, cursor = snapshot.journal_naming_blobs(since, _STEP)
        if cursor == since:
            break
        since, looked = cursor, looked + _STEP
        for record in records:
            if record.account == account and record.body is not None:
                named = blobs_of(snapshot.body(record))
                everything.update(named)
                if record.entry.header.time >= now_ms - RECENT_MS:
                    recent.update(named)
    return len(everything), len(recent)


# --- what the network knows ------------------------------------------------------------------------------------


def _acquaintances(node: Node, account: Cid) -> tuple[tuple[Acquaintance, ...], bool]:
    """Whom the running node knows; without one, the addresses that are written down."""
    running = node._running
    if running is not None:
        return running.acquaintances(account), True
    try:
        return _parse(ask(node.config.home, "acquaintances", account=str(account))), True
    except NotRunning:
        with node._store.snapshot() as snapshot:
            contacts = list(snapshot.contacts())
        return tuple(
            Acquaintance(peer_of(each.address), each.address, False, False, each.is_chosen, False, (), ())
            for each in {peer_of(contact.address): contact for contact in contacts}.values()
        ), False


def _parse(answer: Answer) -> tuple[Acquaintance, ...]:
    try:
        return tuple(_parse_one(each) for each in answer["acquaintances"])
    except (KeyError, TypeError, ValueError) as exc:
        raise NotRunning("the node on this home is of another version") from exc


def _parse_one(each: Mapping[str, Any]) -> Acquaintance:
    return Acquaintance(
        peer_id=str(each["peer_id"]),
        address=str(each["address"]),
        is_connected=bool(each["is_connected"]),
        has_answered=bool(each["has_answered"]),
        is_chosen=bool(each["is_chosen"]),
        carries=bool(each["carries"]),
        knows=tuple(map(str, each["knows"])),
        hears=tuple(map(str, each["hears"])),
        connected_s=float(each["connected_s"]),
    )


def _try_addresses(known: Iterable[Acquaintance]) -> dict[str, bool]:
    """Whether somebody answers there who is not connected because we dialled them; those connected are tried first."""
    untried = [each for each in known if each.address and not (each.is_connected and each.has_answered)]
    if not untried:
        return {}
    from unhush.node.service.running import ping_address  # lazy: the network costs a second and 80 MB

    untried.sort(key=lambda each: (not each.carries, not each.is_connected))

    def answers(address: str) -> bool:
        for _ in range(TRIES):
            try:
                ping_address(address)
            except NobodyAnswered:
                continue
            return True
        return False

    with ThreadPoolExecutor(TRIED_AT_ONCE) as pool:
        tried = untried[:MAX_TRIED]
        return dict(
            zip(
                (each.peer_id for each in tried),
                pool.map(answers, (each.address for each in tried)),
                strict=True,
            )
        )


# --- the situation ---------------------------------------------------------------------------------------------


def _situation(node: Node, facts: _Facts, known: tuple[Acquaintance, ...], answered: Mapping[str, bool]) -> Situation:
    status = node.status()
    is_own = facts.account == facts.own
    here = _here(node, facts)
    came_in = any(each.is_connected and not each.has_answered for each in known)
    this = Machine(here, is_carrier=True, is_dialable=True if came_in else None)
    machines = {machine.name: machine for machine in machines_around(this, known, answered)}
    home = here if is_own else _home_of(facts, machines, here)
    if home not in machines:
        machines[home] = Machine(home, is_carrier=True, links=frozenset({here}))
    machines[home] = replace(machines[home], is_carrier=True)
    if not is_own:
        # Whom its author can call nobody says: taken to be whoever could tell them, this machine among them.
        reached = {each.peer_id for each in known if each.address} | facts.addresses.keys() | {here}
        machines[home] = replace(machines[home], book=machines[home].book | (reached & machines.keys()) - {home})

    keeping: defaultdict[str, int] = defaultdict(int)
    for keeper, media in facts.keepers.items():
        for name in _machines_of(facts, keeper, machines) or (f"\0keeper {keeper}",):
            keeping[name] = max(keeping[name], facts.pictures_of(media))
    for name, pictures in keeping.items():
        if name != home:
            machine = machines.get(name, Machine(name, is_carrier=True, links=frozenset({here})))
            card = frozenset(facts.machines_of.get(facts.whose.get(name, facts.account), ()))
            machines[name] = replace(machine, is_carrier=True, is_keeper=True, pictures=pictures, own_card=card)
    placed = 0
    for follower in facts.followers:
        names = _machines_of(facts, follower, machines)
        placed += bool(names) or follower == facts.own
        for name in names:
            machines[name] = replace(machines[name], is_carrier=True)
    named = facts.whose
    ours = {home, here}
    unnamed = sum(m.is_carrier and m.name not in named and m.name not in ours for m in machines.values())
    bootstrap = {peer_of(address) for address in bootstrap_of(node.config)}
    for name in bootstrap - machines.keys():
        machines[name] = Machine(name, is_carrier=False)
    card = frozenset(facts.machines_of[facts.account]) & machines.keys()
    return Situation(
        home,
        tuple(machines[name] for name in sorted(machines)),
        unplaced=max(0, len(facts.followers) - placed - unnamed),
        exchanges=node.config.exchange,
        uses_dht=node.config.dht,
        bootstrap=frozenset(bootstrap),
        card=card,
        has_words=not is_own or status.words_waiting is None,
        records_here=status.local_only if is_own else 0,
        pictures=facts.pictures,
    )


def _here(node: Node, facts: _Facts) -> str:
    """This machine: by the id it runs under, else one that its card names."""
    mine = facts.machines_of.get(facts.own) if facts.own is not None else None
    return node.status().peer or (mine or ("\0this machine",))[0]


def _machines_of(facts: _Facts, who: Cid, machines: Mapping[str, Machine]) -> tuple[str, ...]:
    """Those on its cards that are there."""
    return tuple(name for name in facts.machines_of.get(who, ()) if name in machines)


def _home_of(facts: _Facts, machines: Mapping[str, Machine], here: str) -> str:
    """Where somebody else writes: a machine on their card, or one that nobody here knows."""
    found = (name for name in _machines_of(facts, facts.account, machines) if name != here)
    return next(found, UNKNOWN_HOME)


def _name(node: Node, facts: _Facts, machine: str) -> str:
    who = facts.whose.get(machine)
    if machine.startswith("\0"):
        return machine[1:]
    if who is None:
        return f"…{machine[-8:]}"
    if who == facts.own:
        return f"your machine …{machine[-8:]}"
    try:
        called = clean_name(node.person(who).name) or short_id(who)
    except NotFound:  # known by what it signed about somebody else, and nothing more
        called = short_id(who)
    return f"{called} (…{machine[-8:]})"


def is_far(address: str) -> bool:
    """Whether an address makes sense elsewhere than on this machine."""
    try:
        return parse_address(address).scope is not Scope.LOOPBACK
    except MalformedAddress:
        return False
