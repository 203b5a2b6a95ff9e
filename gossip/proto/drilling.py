"""A drill: what a loss would mean for an account, and what one thing would help most.

Values in, report out. What is known of the machines around an account is a
:class:`Situation`; what is not (who can be dialled, whom a follower never seen knows) is drawn, several times, so
the report has a range. Each drawn world first lives for a while, so that address books fill as they do
(:mod:`unhush.gossip.proto.rehearsal`); then what was named is taken out, the author comes back through one
machine that is left, and writes. A follower has found the account again once it has that.

Every single improvement is tried in the same worlds; the one after which most is well is the advice. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from statistics import median
from typing import Final

from unhush.gossip.proto.rehearsal import Actor, Dice, Way, World
from unhush.gossip.proto.situation import Losses, Machine, Situation

# How often the unknown is drawn for the report, and for each improvement that is compared.
SAMPLES: Final = 5
SAMPLES_EACH: Final = 3
# Peers have asked each other for peers thrice by then, once a minute.
WARM_S: Final = 180.0
EDITIONS: Final = 3
# Where all is known, connections are open and what is there is everywhere within this.
SETTLED_S: Final = 0.5
# The author restores an account of a thousand records within this (docs/keeping.md); who has not heard so long after
# that does not find it by itself.
RETURN_S: Final = 4.0
HORIZON_S: Final = 300.0
# Peers ask each other once a minute; if nobody found anything for so long, nobody will soon.
QUIET_S: Final = 90.0
# A world of so many takes a second. Of more followers a sample is rehearsed.
MAX_ACTORS: Final = 50
# A follower of whom no machine is known is connected with so many carriers, at most.
MAX_DRAWN_LINKS: Final = 3
# Peers say once a minute whom they know. Of who came since, nobody said anything: somebody brought them, the home or
# another. How many have a link more than is known, nobody can say: none in the first sample, all in the last.
UNHEARD_S: Final = 60.0
# Addresses that fit a card (1,000 bytes).
CARD_ADDRESSES: Final = 8
# When nothing is lost by what was named, more is taken until this share finds it no longer; so much more at most.
ENOUGH: Final = 0.9
MAX_HARDER: Final = 5
# Less is no gain.
LEAST_GAIN: Final = 0.01


class Step(StrEnum):
    """What a person can do."""

    WRITE_WORDS = "write_words"
    STAY_ONLINE = "stay_online"  # until what is only here has left
    ADD_KEEPER = "add_keeper"
    OPEN_FOLLOWER = "open_follower"  # ask one to let others in
    PUBLISH_CARD = "publish_card"
    EXCHANGE = "exchange"  # switch it on
    KEEP_PICTURES = "keep_pictures"  # ask a keeper to keep all of them


@dataclass(frozen=True, slots=True)
class Advice:
    """The one step after which most is well."""

    step: Step
    share: float  # of followers that would find the account then
    share_before: float
    about: str = ""  # the machine it concerns
    harder_by: int = 0  # so many more machines would have to be lost for it to matter


@dataclass(frozen=True, slots=True)
class Report:
    """What would come of it."""

    lost: tuple[str, ...]
    followers: float  # that are left, on average over the samples
    share: float  # of those that find the account again, 0 to 1
    low: float  # in the worst sample
    high: float
    ways: Mapping[Way, float]  # by which, as a share of those that find it
    half_s: float | None  # until half of those had what the author wrote next, from the loss
    last_s: float | None
    entry: str  # the machine the author comes back through; empty if none is left, or none is needed
    author_returns: bool
    records_lost: int
    pictures_lost: int  # that no keeper left promised to carry
    strangers: int  # machines left by which somebody new could find the account
    handle_leads: bool  # invites and pages that name the home still lead somewhere
    undialled: int  # machines of which nobody knows whether they can be dialled
    unplaced: int
    unheard: int  # machines that came so lately that nobody told of them yet
    samples: int
    advice: Advice | None = None

    @property
    def is_sample(self) -> bool:
        """Whether something had to be drawn."""
        return bool(self.undialled or self.unplaced or self.unheard)


def rehearse(situation: Situation, losses: Losses, *, seed: int = 0, advise: bool = True) -> Report:
    """Let it happen, in a world of its own."""
    report = _predict(situation, losses, seed, SAMPLES)
    return replace(report, advice=_find_advice(situation, losses, seed)) if advise else report


# --- one prediction --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sample:
    followers: int
    found: list[tuple[float, Way]] = field(default_factory=list)

    @property
    def share(self) -> float:
        return len(self.found) / self.followers if self.followers else 1.0


def _predict(situation: Situation, losses: Losses, seed: int, samples: int) -> Report:
    situation = _bounded(situation, seed)
    lost = _choose_lost(situation, losses, seed)
    entry = _find_entry(situation, lost) if losses.home else ""
    drawn = [
        _run_sample(situation, lost, losses, Dice(f"{seed}/{number}"), entry=entry, luck=number / (samples - 1))
        for number in range(samples)
    ]
    shares = [sample.share for sample in drawn]
    found = [each for sample in drawn for each in sample.found]
    times = sorted(seconds for seconds, _ in found)
    left = [machine for machine in situation.machines if machine.name not in lost]
    return Report(
        lost=lost,
        followers=sum(sample.followers for sample in drawn) / samples,
        share=sum(shares) / samples,
        low=min(shares),
        high=max(shares),
        ways={
            way: sum(each is way for _, each in found) / len(found) for way in Way if any(e is way for _, e in found)
        },
        half_s=median(times) if times else None,
        last_s=times[-1] if times else None,
        entry=entry,
        author_returns=not losses.home or situation.has_words,
        records_lost=situation.records_here if losses.home else 0,
        pictures_lost=_pictures_lost(situation, left) if losses.home else 0,
        strangers=sum(machine.is_carrier and machine.is_dialable is True for machine in left),
        handle_leads=not losses.handle and situation.home not in lost,
        undialled=sum(machine.is_carrier and machine.is_dialable is None for machine in situation.machines),
        unplaced=situation.unplaced,
        unheard=0 if situation.is_known else sum(machine.there_s < UNHEARD_S for machine in situation.machines),
        samples=samples,
    )


def _pictures_lost(situation: Situation, left: Iterable[Machine]) -> int:
    """Beyond what the keeper that is left and promised most carries: which ones each carries nobody says."""
    return situation.pictures - min(situation.pictures, max((m.pictures for m in left if m.is_keeper), default=0))


def _choose_lost(situation: Situation, losses: Losses, seed: int) -> tuple[str, ...]:
    """The best connected first, of equals those that let others in; then the seed decides."""
    degrees = _degrees(situation)
    turn = {name: at for at, name in enumerate(Dice(f"{seed}/lost").shuffled(degrees))}
    ranked = sorted(
        (machine for machine in situation.machines if machine.name != situation.home),
        key=lambda machine: (-degrees[machine.name], machine.is_dialable is not True, turn[machine.name]),
    )
    peers = (machine for machine in ranked if not machine.is_keeper and machine.name not in situation.bootstrap)
    keepers = (machine for machine in ranked if machine.is_keeper)
    lost = [situation.home] if losses.home else []
    lost += [machine.name for machine in (*islice(peers, losses.peers), *islice(keepers, losses.keepers))]
    if losses.bootstrap:
        lost += sorted(situation.bootstrap.difference(lost))
    return tuple(lost)


def _degrees(situation: Situation) -> dict[str, int]:
    around: dict[str, set[str]] = {machine.name: set() for machine in situation.machines}
    for one, other in _pairs(situation.machines):
        around[one].add(other)
        around[other].add(one)
    return {name: len(others) for name, others in around.items()}


def _pairs(machines: Iterable[Machine]) -> Iterator[tuple[str, str]]:
    """Every link once, in an order that is always the same."""
    names = {machine.name for machine in machines}
    pairs = {(min(m.name, other), max(m.name, other)) for m in machines for other in m.links if other in names}
    return iter(sorted(pairs))


def _find_entry(situation: Situation, lost: Iterable[str]) -> str:
    """Through whom the author comes back: a keeper that can be dialled, else the best connected follower that can."""
    degrees = _degrees(situation)
    gone = set(lost)
    left = [m for m in _with_address(situation) if m.name not in gone and m.is_dialable is not False]
    best = max(left, key=lambda m: (m.is_dialable is True, m.is_keeper, degrees[m.name], m.name), default=None)
    return best.name if best is not None else ""


def _with_address(situation: Situation) -> list[Machine]:
    """Carriers of which the home has an address that its person can write down."""
    home = next(machine for machine in situation.machines if machine.name == situation.home)
    known = home.book | home.chosen
    return [machine for machine in situation.machines if machine.is_carrier and machine.name in known]


def _run_sample(
    situation: Situation, lost: tuple[str, ...], losses: Losses, dice: Dice, *, entry: str, luck: float
) -> _Sample:
    actors = _draw_actors(situation, dice, luck)
    carriers = [actor.name for actor in actors if actor.is_carrier and actor.name not in {*lost, situation.home}]
    dialable = {actor.name for actor in actors if actor.is_dialable}
    world = _let_live(situation, actors, str(dice.below(1 << 60)))
    world.lose(lost)
    sample = _Sample(len(carriers))
    writer = situation.home
    if losses.home:
        if entry not in dialable:  # it was a guess; the author has another address if there is one
            others = (machine.name for machine in _with_address(situation) if machine.name in carriers)
            entry = next((name for name in dice.shuffled(others) if name in dialable), "")
        if not entry:
            return sample
        writer = "\0the author's new machine"
        was_dialable = situation.home in dialable
        world.add([Actor(writer, was_dialable, is_carrier=True, chosen=(entry,), exchanges=situation.exchanges)])
        world.run(RETURN_S)
    world.publish(writer)
    world.run(HORIZON_S, lambda: world.gained_at < world.now - QUIET_S or all(map(world.has_newest, carriers)))
    for name in carriers:
        how = world.found(name)
        if how is not None and world.has_newest(name):
            seconds, way = how
            is_way_back = losses.home and name == entry
            sample.found.append((seconds, Way.RETURN if is_way_back else way))
    return sample


def _let_live(situation: Situation, actors: list[Actor], seed: str) -> World:
    """A world that comes to where things stand: who came lately comes late."""
    there_s = {machine.name: machine.there_s for machine in situation.machines}
    comes_at = {actor.name: max(0.0, WARM_S - there_s.get(actor.name, WARM_S)) for actor in actors}
    comes_at[situation.home] = 0.0
    # A link is made by whoever comes last of the two.
    links: dict[str, list[str]] = {actor.name: [] for actor in actors}
    for actor in actors:
        for other in actor.links:
            is_later = comes_at[actor.name] >= comes_at[other]
            links[actor.name if is_later else other].append(other if is_later else actor.name)
    waiting = sorted((comes_at[actor.name], at) for at, actor in enumerate(actors))
    if situation.is_known:
        world = World(actors, seed=seed, is_quiet=True)
        world.publish(situation.home)
        world.run(SETTLED_S)
        return world
    world = World((), seed=seed)
    for number in range(EDITIONS):
        end = WARM_S * (number + 1) / EDITIONS
        while waiting and waiting[0][0] < end:
            when = waiting[0][0]
            world.run(when - world.now)
            come = [actors[at] for at in (waiting.pop(0)[1] for _ in range(sum(each[0] == when for each in waiting)))]
            world.add([replace(actor, links=tuple(links[actor.name])) for actor in come])
            if when == 0:
                world.publish(situation.home)
        world.run(end - world.now)
        world.publish(situation.home)
    return world


def _draw_actors(situation: Situation, dice: Dice, luck: float) -> list[Actor]:
    """Make of what is known a world where everything is; ``luck``, 0 to 1: how well linked those are who just came."""
    tried = [machine.is_dialable for machine in situation.machines if machine.is_dialable is not None]
    usual = (sum(tried) + 1) / (len(tried) + 2)
    machines = [
        machine if machine.is_dialable is not None else replace(machine, is_dialable=dice.is_so(usual))
        for machine in situation.machines
    ]
    if not situation.is_known:
        machines = _with_unheard_links(situation, machines, dice, luck)
    known = [machine.name for machine in machines if machine.is_carrier and machine.is_dialable]
    for number in range(situation.unplaced):
        met = dice.shuffled(known)[: 1 + dice.below(MAX_DRAWN_LINKS)]
        name = f"\0follower {number}"
        machines.append(Machine(name, is_carrier=True, is_dialable=dice.is_so(usual), links=frozenset(met)))
    dialable = {machine.name for machine in machines if machine.is_dialable}
    dialled: dict[str, list[str]] = {machine.name: [] for machine in machines}
    for one, other in _pairs(machines):
        # Who cannot be dialled did the dialling.
        is_ones = other in dialable and (one not in dialable or dice.is_so(0.5))
        dialled[one if is_ones else other].append(other if is_ones else one)
    bootstrap = tuple(sorted(situation.bootstrap))
    card = dict.fromkeys(sorted(situation.card), Way.CARD)
    for machine in machines:
        if machine.is_keeper:
            card = dict.fromkeys(sorted(machine.own_card), Way.KEEPER_CARD) | card
    tells = {machine.name: machine.hears for machine in machines if machine.hears is not None}
    return [
        Actor(
            machine.name,
            bool(machine.is_dialable),
            machine.is_carrier,
            block=machine.block,
            links=tuple(dialled[machine.name]),
            chosen=tuple(sorted(machine.chosen)),
            book=tuple(sorted(machine.book)),
            cards=card if machine.is_carrier else {},
            bootstrap=bootstrap if machine.name not in situation.bootstrap else (),
            uses_dht=situation.uses_dht and machine.name == situation.home,
            exchanges=situation.exchanges,
            tells=tells if machine.name == situation.home else {},
        )
        for machine in machines
    ]


def _with_unheard_links(situation: Situation, machines: list[Machine], dice: Dice, luck: float) -> list[Machine]:
    """Links of machines that came too lately for anybody to have told of them."""
    there = [machine.name for machine in machines if machine.is_dialable and machine.name != situation.home]
    drawn = []
    for machine in machines:
        others = [name for name in there if name != machine.name]
        if machine.there_s < UNHEARD_S and others and dice.is_so(luck):
            other = others[dice.below(len(others))]
            drawn.append(replace(machine, links=machine.links | {other}))
        else:
            drawn.append(machine)
    return drawn


def _bounded(situation: Situation, seed: int) -> Situation:
    """At most ``MAX_ACTORS``: home, keepers and bootstrap peers, then the best connected; followers never seen last."""
    if len(situation.machines) + situation.unplaced <= MAX_ACTORS:
        return situation
    degrees = _degrees(situation)
    turn = {name: at for at, name in enumerate(Dice(f"{seed}/who").shuffled(degrees))}
    ranked = sorted(
        situation.machines,
        key=lambda m: (
            m.name != situation.home,
            not (m.is_keeper or m.name in situation.bootstrap),
            not m.is_carrier,
            turn[m.name],
        ),
    )
    total = len(situation.machines) + situation.unplaced
    unplaced = situation.unplaced * MAX_ACTORS // total
    kept = {machine.name for machine in ranked[: MAX_ACTORS - unplaced]}
    return replace(
        situation,
        machines=tuple(machine for machine in situation.machines if machine.name in kept),
        unplaced=unplaced,
        bootstrap=situation.bootstrap & kept,
        card=situation.card & kept,
    )


# --- what would help -------------------------------------------------------------------------------------------


def _find_advice(situation: Situation, losses: Losses, seed: int) -> Advice | None:
    """The best of the steps for this loss; if it costs nothing, for the least that would."""
    before = _predict(situation, losses, seed, SAMPLES_EACH)
    advice = _best_step(situation, losses, seed, before)
    if advice is not None or before.share < 1:
        return advice
    for more in range(1, MAX_HARDER + 1):
        harder = replace(losses, peers=losses.peers + more, keepers=losses.keepers + (more + 1) // 2)
        worse = _predict(situation, harder, seed, SAMPLES_EACH)
        if worse.share < ENOUGH and worse.followers:
            advice = _best_step(situation, harder, seed, worse)
            by = len(worse.lost) - len(before.lost)
            return replace(advice, harder_by=by) if advice is not None else None
    return None


def _best_step(situation: Situation, losses: Losses, seed: int, before: Report) -> Advice | None:
    best, most = None, _worth(before)
    for step, changed, about in _steps(situation, before):
        after = _predict(changed, losses, seed, SAMPLES_EACH)
        worth = _worth(after)
        if worth > most:
            best, most = Advice(step, after.share, before.share, about), worth
    return best


def _worth(report: Report) -> tuple[bool, bool, bool, int, bool, bool]:
    """What matters, in this order: not to be lost to all that carry it, a voice that goes on, whether anybody hears
    it, who, what was said and shown.
    """
    return (
        not report.followers or report.share > 0,
        report.author_returns,
        report.followers > 0,
        round(report.share / LEAST_GAIN),
        report.records_lost == 0,
        report.pictures_lost == 0,
    )


def _steps(situation: Situation, before: Report) -> Iterator[tuple[Step, Situation, str]]:
    """Every step that is not taken yet, what is easiest first."""
    if not situation.has_words:
        yield Step.WRITE_WORDS, replace(situation, has_words=True), ""
    if situation.records_here:
        yield Step.STAY_ONLINE, replace(situation, records_here=0), ""
    if not situation.exchanges:
        yield Step.EXCHANGE, replace(situation, exchanges=True), ""
    if not situation.card:
        yield Step.PUBLISH_CARD, replace(situation, card=_card_of(situation)), ""
    keeper = next((m for m in situation.machines if m.is_keeper and m.name not in before.lost), None)
    if situation.pictures and keeper is not None:
        changed = _with(situation, keeper.name, lambda m: replace(m, pictures=situation.pictures))
        yield Step.KEEP_PICTURES, changed, keeper.name
    degrees = _degrees(situation)
    closed = [m for m in situation.machines if m.is_carrier and not m.is_dialable and m.name not in before.lost]
    closed = [m for m in closed if m.name != situation.home]
    if closed:
        about = max(closed, key=lambda m: (m.is_dialable is False, degrees[m.name], m.name)).name
        yield Step.OPEN_FOLLOWER, _with(situation, about, lambda m: replace(m, is_dialable=True)), about
    new = Machine(
        "\0a new keeper",
        is_carrier=True,
        is_keeper=True,
        is_dialable=True,
        links=frozenset({situation.home}),
        pictures=situation.pictures,
    )
    card = situation.card | {new.name} if situation.card else situation.card
    known = _with(situation, situation.home, lambda m: replace(m, book=m.book | {new.name}))
    yield Step.ADD_KEEPER, replace(known, machines=(*known.machines, new), card=card), ""


def _card_of(situation: Situation) -> frozenset[str]:
    """The home, and carriers that can be dialled, keepers first."""
    degrees = _degrees(situation)
    open_ones = [m for m in situation.machines if m.is_carrier and m.is_dialable and m.name != situation.home]
    ranked = sorted(open_ones, key=lambda m: (not m.is_keeper, -degrees[m.name], m.name))
    return frozenset({situation.home, *(machine.name for machine in ranked[: CARD_ADDRESSES - 1])})


def _with(situation: Situation, name: str, change: Callable[[Machine], Machine]) -> Situation:
    machines = tuple(change(machine) if machine.name == name else machine for machine in situation.machines)
    return replace(situation, machines=machines)
