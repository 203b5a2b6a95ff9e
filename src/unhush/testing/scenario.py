"""A storm and the quiet after it: fifty nodes, one seed, and the question whether everything arrived.

The seed decides who follows whom, who misbehaves and how, whose clock is
wrong, when the network falls apart, who crashes and who writes what; whether
peers tell each other of peers, and whether they compare what they hold. Then
the weather clears, everybody honest is up, and time passes until the oracle is
content: every honest record is with every honest follower whom an honest way
leads to, with equal heads (where peers tell of peers, with every one); what
mentions, answers or follows somebody is with that person, if those who carry
their account can bring it; every honest follower of an author who wrote two
histories knows of it; and no bound was passed on the way.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

from unhush.gossip.proto.addresses import Source
from unhush.gossip.proto.frames import Concerning, ThreadFrame
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.storage.kinds import Post, Reply
from unhush.testing.byzantine import KINDS, Manners
from unhush.testing.errors import NotConverged
from unhush.testing.links import Weather
from unhush.testing.network import VirtualNetwork
from unhush.testing.node import SimNode
from unhush.testing.store import Head

# A clock further off than half of the ten minutes a record may be ahead might keep records out for good reason.
MAX_SKEW_S: Final = 290.0

# In so many storms one honest clock is more than ten minutes ahead: its records are taken only once that has passed.
HASTY_SHARE: Final = 0.08

# In every so manieth storm peers tell each other of peers, and compare what they hold; in some of these a few do not.
EXCHANGE_EVERY: Final = 2
LARGE_EVERY: Final = 50
RECONCILE_EVERY: Final = 3
# Of one block two told of are dialled: in every so manieth storm there are three in each, and one has to give way.
CROWDED_EVERY: Final = 4
OLD_SHARE: Final = 0.15

# Posts that mention somebody or answer them, mostly a stranger; and conversations opened, which is to ask every peer.
MENTION_SHARE: Final = 0.2
ANSWER_SHARE: Final = 0.15
OPENED: Final = 4

# Who follows the author of two histories, beside those who drew them by chance.
WITNESSES: Final = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a storm is; all times are virtual."""

    nodes: int = 50
    byzantine_share: float = 0.2
    posts: int = 60
    storm_s: float = 40.0
    quiet_s: float = 900.0  # the most it may take to arrive
    tick_s: float = 8.0


FIFTY: Final = Plan()
# Where peers tell each other of peers nearly everybody comes to know everybody: seven times as many sessions a node.
SMALL: Final = replace(FIFTY, nodes=12, posts=30)


class Scenario:
    """One seed's storm."""

    def __init__(
        self, seed: int, plan: Plan | None = None, *, on_network: Callable[[VirtualNetwork], None] = lambda _: None
    ) -> None:
        """Without a plan it is of the size that is usual for the seed."""
        self.seed = seed
        self.plan = plan or plan_of(seed)
        self.dice = Random(f"scenario {seed}")  # noqa: S311  # a seed must give the same again
        self.network = VirtualNetwork(
            seed,
            weather=self._weather(),
            tick_s=self.plan.tick_s,
            disk_s=self.dice.choice((0.0, 0.0, 0.02)),
            has_gossip=self.dice.random() < 0.15,
            has_exchange=_has_exchange(seed),
            reconciles=seed % RECONCILE_EVERY == 1,
            per_block=2 if _has_exchange(seed) and seed % CROWDED_EVERY != 1 else 3,
        )
        self.letters: dict[Cid, tuple[SimNode, SimNode]] = {}  # honest records, who wrote them and whom they concern
        self.network.when_at_fault = self._blamed
        self._others = Random(f"scenario {seed}, the rest")  # noqa: S311
        self.written: dict[Cid, SimNode] = {}  # honest posts and their authors
        self.honest: list[SimNode] = []
        self.byzantine: list[SimNode] = []
        self.twins: dict[str, SimNode] = {}
        self._has_hasty = self.dice.random() < HASTY_SHARE
        self._edges: list[tuple[SimNode, SimNode]] = []
        self._ways: dict[str, list[SimNode]] = {}
        self.follows: dict[str, list[SimNode]] = {}
        on_network(self.network)
        self._populate()
        self._choose_follows()
        self._introduce()
        self._plan_storm()

    # --- what happens ------------------------------------------------------------------------------------

    def _weather(self) -> Weather:
        dice = self.dice
        return Weather(
            delay_s=dice.choice((0.005, 0.03, 0.15)),
            jitter_s=dice.choice((0.0, 0.02, 0.1)),
            loss=dice.choice((0.0, 0.02, 0.2)),
            reset=dice.choice((0.0, 0.0, 0.003)),
            bytes_per_s=dice.choice((float("inf"), 1e6, 1e5)),
        )

    def _populate(self) -> None:
        dice, plan = self.dice, self.plan
        bad = set(dice.sample(range(plan.nodes), round(plan.nodes * plan.byzantine_share)))
        for number in range(plan.nodes):
            skew_s = self._draw_skew(is_first=not self.honest)
            if number not in bad:
                self.honest.append(self.network.node(f"h{number}", skew_s=skew_s, reconciles=self._draw_reconciles()))
                continue
            manners = self._draw_manners(number)
            name = f"{type(manners).__name__}{number}"
            reconciles = self._draw_reconciles()
            node = self.network.node(name, skew_s=skew_s, manners=manners, reconciles=reconciles)
            self.byzantine.append(node)
        self._draw_twin()

    def _draw_reconciles(self) -> bool:
        return self.network.reconciles and self._others.random() >= OLD_SHARE

    def _draw_skew(self, *, is_first: bool) -> float:
        """Mostly none; in some storms one clock is so far ahead that nobody may store what it dates."""
        if self._has_hasty:
            return self.dice.uniform(610, 660) if is_first else 0.0
        return self.dice.uniform(-MAX_SKEW_S, MAX_SKEW_S) if self.dice.random() < 0.3 else 0.0

    def _draw_manners(self, number: int) -> Manners:
        kind = self.dice.choice(KINDS)
        return kind(self.seed * 1_000 + number)

    def _draw_twin(self) -> None:
        """One byzantine author writes two histories, from two nodes."""
        author = self.dice.choice(self.byzantine)
        author.manners, author.own = Manners(self.seed), None
        for number in range(self.dice.randint(0, 3)):
            author.post(f"before {number}")
        twin = self.network.node("twin", twin_of=author, manners=Manners(self.seed))
        for node in (author, twin):
            node.post(f"the history of {node.name}")
        self.twins[author.name] = twin

    def _choose_follows(self) -> None:
        dice = self.dice
        everybody = [*self.honest, *self.byzantine]
        for node in everybody:
            self.follows[node.name] = [each for each in dice.sample(everybody, dice.randint(1, 3)) if each is not node]
            for author in self.follows[node.name]:
                if dice.random() < 0.2:
                    self._wrote(node, node.follow(author), author)
                else:
                    node.carry(author)
        for name in self.twins:
            author = self.network.nodes[name]
            for node in dice.sample(self.honest, WITNESSES):
                if author not in self.follows[node.name]:
                    self.follows[node.name].append(author)
                    node.carry(author)

    def _introduce(self) -> None:
        dice = self.dice
        everybody = [*self.honest, *self.byzantine]
        followers: dict[str, list[SimNode]] = {node.name: [] for node in everybody}
        for node in everybody:
            for author in self.follows[node.name]:
                followers[author.name].append(node)
        for node in [*everybody, *self.twins.values()]:
            if dice.random() < 0.5:
                self._know(node, dice.choice(everybody), Source.CONFIGURED)
            for author in self.follows.get(node.name, ()):
                if dice.random() < 0.6:  # the invite they came by
                    invites = [author, self.twins.get(author.name, author)]
                    self._know(node, dice.choice(invites), Source.INVITED)
                else:  # somebody else who reads the same
                    self._know(node, dice.choice(followers[author.name]), Source.CONFIGURED)
        if self.network.has_exchange:
            self._join_honest()

    def _join_honest(self) -> None:
        """Where peers tell of peers nobody honest shall be alone: what is apart is joined by one who knows another."""
        first, *others = self.honest
        together = self._joined([first.name], {node.name for node in self.honest})
        for node in others:
            if node.name not in together:
                friends = [each for each in self.honest if each.name in together]
                self._know(node, self._others.choice([first, *friends]), Source.INVITED)
                together |= {node.name} | self._joined([node.name], {each.name for each in self.honest})

    def _know(self, node: SimNode, other: SimNode, source: Source) -> None:
        if other is not node:
            node.learn(other.address, source)
            self._edges.append((node, other))

    def _plan_storm(self) -> None:
        dice, plan, network = self.dice, self.plan, self.network
        for number in range(plan.posts):
            author = dice.choice([*self.honest, *self.byzantine])
            network.at(dice.uniform(0, plan.storm_s), partial(self._post, author, number))
        for _ in range(dice.randint(0, 2)):
            begin = dice.uniform(0, plan.storm_s - 10)
            network.at(begin, self._fall_apart)
            network.at(begin + dice.choice((3, 20, 45)), network.heal)
        for _ in range(dice.randint(0, 10)):
            node = dice.choice(self.honest)
            at = dice.uniform(0, plan.storm_s)
            network.at(at, node.crash)
            network.at(at + dice.choice((0.5, 5, 30)), node.start)
        for _ in range(OPENED):
            network.at(self._others.uniform(1, plan.storm_s), self._open_conversation)
        network.at(plan.storm_s, self._calm_down)

    def _post(self, author: SimNode, number: int) -> None:
        mentioned = self.dice.choice(self.honest)
        is_mention = self.dice.random() < MENTION_SHARE and mentioned is not author
        answered = self._draw_answered(author) if not is_mention else None
        mentions = (mentioned.account,) if is_mention else ()
        cid = author.publish(Post(f"post {number}", mentions=mentions, reply=self._reply_to(answered)))
        if author.manners is None:
            self.written[cid] = author
            if is_mention:
                self._wrote(author, cid, mentioned)
            elif answered is not None:
                self._wrote(author, cid, self.written[answered])

    def _draw_answered(self, author: SimNode) -> Cid | None:
        posts = [cid for cid, other in self.written.items() if other is not author]
        return self._others.choice(posts) if posts and self._others.random() < ANSWER_SHARE else None

    def _reply_to(self, post: Cid | None) -> Reply | None:
        if post is None:
            return None
        account = self.written[post].account
        return Reply(post, post, account, account)

    def _wrote(self, author: SimNode, record: Cid, about: SimNode) -> None:
        if author.manners is None and about.manners is None:
            self.letters[record] = author, about

    def _open_conversation(self) -> None:
        node = self._others.choice(self.honest)
        posts = list(self.written)
        if node.is_up and posts:
            post = self._others.choice(posts)
            account = self.written[post].account
            node.ask(ThreadFrame(0, post, account, ()))
            node.ask(Concerning(0, account, ()))

    def _fall_apart(self) -> None:
        nodes = list(self.network.nodes.values())
        self.dice.shuffle(nodes)
        cut = self.dice.randint(1, len(nodes) - 1)
        other = self.dice.randint(1, len(nodes) - 1)
        self.network.partition(nodes[: min(cut, other)], nodes[max(cut, other) :])

    def _calm_down(self) -> None:
        self.network.heal()
        self.network.set_weather(Weather(delay_s=0.02))
        for node in self.honest:
            node.start()

    def _blamed(self, node: SimNode, other: SimNode, why: str) -> None:
        if other.manners is None:
            raise NotConverged(f"{node.name} blames {other.name}, which is honest: {why}")

    # --- what must come of it ----------------------------------------------------------------------------

    def run(self) -> None:
        """Raises ``NotConverged`` or ``LimitExceeded``."""
        self.network.run(self.plan.storm_s + 1)
        if not self.network.run(self.plan.quiet_s, self._is_done_now):
            missing = list(self.missing())
            raise NotConverged(f"seed {self.seed}: {len(missing)} missing, such as: {'; '.join(missing[:5])}")

    def _is_done_now(self) -> bool:
        """Asked after each event, so it looks only when something was stored."""
        if not self.network.changed:
            return False
        self.network.changed = False
        return next(self.missing(), None) is None

    def missing(self) -> Iterator[str]:
        """What has not arrived where it must."""
        for author in self.network.nodes.values():
            for follower in self._reached(author):
                if author.manners is None:
                    yield from self._missing_of(author, follower)
                elif author.name in self.twins and not follower.store.forks(author.account):
                    yield f"{follower.name} does not know of the two histories of {author.name}"
        for record, (author, about) in self.letters.items():
            if not about.has(record) and self._is_brought(author, about):
                yield f"{about.name} does not have what {author.name} wrote to it"

    def count_required(self) -> int:
        """How many pairs of an author and a follower the oracle holds to it."""
        return sum(len(self._reached(author)) for author in self.network.nodes.values())

    def count_reached(self) -> int:
        """How many pairs of an honest author and an honest follower the oracle holds to it."""
        return sum(len(self._reached(author)) for author in self.honest)

    def count_pairs(self) -> int:
        """How many pairs of an honest author and an honest follower there are, to be reached or not."""
        return sum(author.manners is None for node in self.honest for author in self.follows[node.name])

    def _missing_of(self, author: SimNode, follower: SimNode) -> Iterator[str]:
        theirs, ours = author.store.heads(author.account), follower.store.heads(author.account)
        if ours != theirs:
            yield f"{follower.name} holds {_say(ours)} of {author.name}, which wrote {_say(theirs)}"

    def _reached(self, author: SimNode) -> list[SimNode]:
        """The honest followers to whom a way leads, each step of it between honest nodes that carry the account and
        one of which was told of the other; where peers tell each other of peers, any honest way will do."""
        found = self._ways.get(author.name)
        if found is None:
            found = self._ways[author.name] = self._find_reached(author)
        return found

    def _find_reached(self, author: SimNode) -> list[SimNode]:
        followers = {node.name for node in self.honest if author in self.follows[node.name]}
        begun = [author.name] if author.manners is None else []
        if author.name in self.twins:
            both = self._joined([author.name], followers) & self._joined([self.twins[author.name].name], followers)
            return [node for node in self.honest if node.name in both]
        allowed = {node.name for node in self.honest} if self.network.has_exchange else followers
        reached = self._joined(begun, allowed)
        return [node for node in self.honest if node.name in reached and node.name in followers]

    def _is_brought(self, author: SimNode, about: SimNode) -> bool:
        """Whether what one wrote to the other is bound to come: a way leads from who wrote it, or who follows that
        account and carries the other's, by way of those who carry the other's.

        What is of a clock too far ahead is left where it is and not offered again.
        """
        if author.skew_s > MAX_SKEW_S:
            return False
        carriers = {each.name for each in self.honest if each is about or about in self.follows[each.name]}
        begun = [author.name, *(each.name for each in self._reached(author) if each.name in carriers)]
        return about.name in begun or about.name in self._joined(begun, carriers)

    def count_letters(self) -> int:
        """How many records the oracle wants to see with those whom they concern."""
        return sum(self._is_brought(author, about) for author, about in self.letters.values())

    def _joined(self, begun: list[str], allowed: set[str]) -> set[str]:
        """Who of those allowed is joined to one of these, by way of others that are allowed."""
        reached: set[str] = set()
        while begun:
            at = begun.pop()
            for a, b in self._edges:
                for here, there in ((a.name, b.name), (b.name, a.name)):
                    if here == at and there in allowed and there not in reached:
                        reached.add(there)
                        begun.append(there)
        return reached


def _say(heads: Mapping[PublicKey, Head]) -> str:
    return ", ".join(f"{head.count} records up to {head.seq}" for head in heads.values()) or "nothing"


def plan_of(seed: int) -> Plan:
    """Storms in which peers tell each other of peers are smaller, but for one now and then."""
    return SMALL if _has_exchange(seed) and seed % LARGE_EVERY != LARGE_EVERY - 1 else FIFTY


def _has_exchange(seed: int) -> bool:
    return seed % EXCHANGE_EVERY == 1


def run_seed(seed: int, plan: Plan | None = None) -> Scenario:
    """Run one storm; what is wrong is raised, with the last notes of the run beside it."""
    scenario = Scenario(seed, plan)
    try:
        scenario.run()
    except Exception as exc:
        exc.add_note(f"seed {seed}, trace {scenario.network.trace.digest()}")
        exc.add_note("\n".join(list(scenario.network.trace.notes)[-40:]))
        raise
    return scenario
