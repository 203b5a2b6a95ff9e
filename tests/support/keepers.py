"""A small world of keepers: some honest, three that lie, and readers who know only what reaches them.

An author writes to two devices, revokes one, deletes, signs heads of records that nobody gets, and shows an accuser a
branch that no keeper has. Honest keepers lose bodies, come back from older disks, stop keeping, and keep to one rule
(``Keeper.answer``). Readers get records from one keeper each, statements from anybody, and judge with the machines
under test. Everything is drawn from the seed; the clock is virtual.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from random import Random
from typing import Final

from tests.support.people import NETWORK, Person

from unhush.gossip.proto.contradictions import (
    DELETED,
    Contradiction,
    NoContradiction,
    find_contradiction,
    is_named,
)
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.verdicts import Bodiless, HeldLog, Known, Lack, Origin, Refusal, Told, Verdict, judge
from unhush.identity.building import build_add, build_revoke
from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import encode
from unhush.identity.entry import Entry, Header, UnverifiedEntry, parse_entry, sign_entry
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import Cut, Device, SignedOperation, parse_operation
from unhush.identity.statement import (
    Absent,
    Claim,
    Head,
    Heads,
    MediaPolicy,
    Possession,
    Receipt,
    Statement,
    Withheld,
    digest_operations,
    digest_possession,
    sign_statement,
)
from unhush.identity.trunk import State, find_trunk, fold
from unhush.testing.clock import VirtualClock

START_MS: Final = 1_900_000_000_000
AHEAD_MS: Final = 10 * 60 * 1_000
MAX_SKEW_S: Final = 600.0
DROPPED: Final = 13
WITHHELD: Final = 15
RECORDS: Final = 21
BY_PHONE: Final = 8
STORM_S: Final = 1_200.0
QUIET_S: Final = 3 * 3_600.0
COURT: Final = "order of a court"
NOISE: Final = "a stranger says so"

Row = tuple[UnverifiedEntry, bytes | None]


@cache
def person(number: int) -> Person:
    return Person(f"person {number}", 4_100 + number)


@dataclass
class Disk:
    """What a node has: copied whole when an image is taken, replaced whole when one comes back."""

    operations: dict[Cid, SignedOperation] = field(default_factory=dict)
    logs: dict[PublicKey, dict[int, UnverifiedEntry]] = field(default_factory=dict)
    bodies: dict[Cid, bytes] = field(default_factory=dict)
    reasons: dict[Cid, str] = field(default_factory=dict)  # bodies this node does without, and why
    deleted: set[Cid] = field(default_factory=set)
    receipt: Statement | None = None
    keeps: bool = True

    def copy(self) -> "Disk":
        return Disk(
            dict(self.operations),
            {key: dict(log) for key, log in self.logs.items()},
            dict(self.bodies),
            dict(self.reasons),
            set(self.deleted),
            self.receipt,
            self.keeps,
        )

    def state(self, account: Cid) -> State:
        return state_of(account, frozenset(self.operations), tuple(self.operations.values()))

    def unbroken(self, key: PublicKey, cut: Cut) -> list[UnverifiedEntry]:
        """The entries of a log from the first one up, as far as they are linked and in force."""
        log = self.logs.get(key, {})
        found: list[UnverifiedEntry] = []
        while (entry := log.get(len(found))) is not None and len(found) <= cut[0]:
            if found and entry.header.prev != found[-1].cid:
                break
            found.append(entry)
        return found


_STATES: dict[tuple[Cid, frozenset[Cid]], State] = {}


def state_of(account: Cid, ids: frozenset[Cid], operations: tuple[SignedOperation, ...]) -> State:
    if (account, ids) not in _STATES:
        trunk = find_trunk(account, [parse_operation(op.entry, op.body) for op in operations])
        assert trunk is not None
        _STATES[account, ids] = fold(trunk)
    return _STATES[account, ids]


class Shelf:
    """The newest statement of each kind, as a store keeps them; and pairs that were seen together."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[bytes, bytes], tuple[Statement, Statement]] = {}
        self._of_device: dict[bytes, dict[tuple[str, bytes], Statement]] = {}
        self._seen: set[bytes] = set()

    def take(self, told: list[Statement], now_ms: int) -> None:
        for statement in [each for each in told if each.digest not in self._seen]:
            if statement.expires > now_ms and statement.time <= now_ms + AHEAD_MS:
                self._seen.add(statement.digest)
                self._put(statement)

    def _put(self, statement: Statement) -> None:
        own = self._of_device.setdefault(statement.key.bytes, {})
        subject = statement.claim.type, statement.claim.subject
        held = own.get(subject)
        if held is not None and (held.time, held.digest) >= (statement.time, statement.digest):
            return
        own[subject] = statement
        for each in own.values():
            for receipt, absent in ((statement, each), (each, statement)):
                if isinstance(receipt.claim, Receipt) and is_named(receipt, absent):
                    self.pairs[receipt.digest, absent.digest] = receipt, absent

    def current(self, now_ms: int) -> list[Statement]:
        return [each for own in self._of_device.values() for each in own.values() if each.expires > now_ms]

    def newest_of(self, key: PublicKey, kind: str) -> Statement | None:
        found = [each for (of, _), each in self._of_device.get(key.bytes, {}).items() if of == kind]
        return max(found, key=lambda each: each.time, default=None)


class Node:
    """What everybody has: a disk, a shelf, a clock that is wrong."""

    def __init__(self, world: "World", name: str, number: int, skew_s: float) -> None:
        self.world = world
        self.name = name
        self.person = person(number)
        self.skew_s = skew_s
        self.disk = Disk()
        self.shelf = Shelf()
        self.is_up = True
        self.group = 0

    @property
    def now_ms(self) -> int:
        return START_MS + int((self.world.clock.now + self.skew_s) * 1_000)

    def store(self, rows: list[Row], operations: list[SignedOperation]) -> None:
        """The first entry at a number stays, what became void goes."""
        self.disk.operations |= {op.entry.cid: op for op in operations}
        for entry, body in rows:
            log = self.disk.logs.setdefault(entry.header.key, {})
            held = log.setdefault(entry.header.seq, entry)
            if held.cid != entry.cid:
                continue
            if body is not None and entry.cid not in self.disk.reasons and entry.cid not in self.disk.deleted:
                self.disk.bodies.setdefault(entry.cid, body)
            of = self.world.deletes.get(entry.cid)
            if of is not None and body is not None:
                self.disk.deleted.add(of)
                self.disk.bodies.pop(of, None)
        state = self.disk.state(self.world.account)
        for key, log in self.disk.logs.items():
            cut = state.cut_of(key)
            for seq in [seq for seq in log if cut is None or seq > cut[0]]:
                self.disk.bodies.pop(log.pop(seq).cid, None)

    def say(self, claim: Claim, key: SigningKey | None = None) -> Statement:
        time = self.now_ms
        return self.world.said(
            sign_statement(
                key or self.person.device.key,
                self.person.account,
                claim,
                time=time,
                expires=time + self.world.term_ms,
                network=NETWORK,
            )
        )


class Keeper(Node):
    """An honest one."""

    def wants(self, seq: int) -> bool:
        return True

    def gives(self, entry: UnverifiedEntry) -> bool:
        return True

    def claim(self) -> Receipt:
        """What is on the disk, and nothing else."""
        heads, withheld = [], []
        state = self.disk.state(self.world.account)
        for key, cut in sorted(state.cuts.items()) if self.disk.keeps else ():
            log = self.disk.unbroken(key, cut)
            if log:
                heads.append(Head(key, log[-1].header.seq, log[-1].cid))
            withheld += [
                Withheld(entry.cid, self.disk.reasons.get(entry.cid, "lost"))
                for entry in log
                if entry.cid not in self.disk.bodies and entry.cid not in self.disk.deleted
            ]
        return Receipt(
            self.world.account,
            tuple(heads),
            tuple(withheld),
            digest_operations(self.disk.operations),
            MediaPolicy.NONE,
        )

    def renew(self, *, must: bool = False) -> None:
        """Sign anew what changed, or what ends soon."""
        held = self.disk.receipt
        claim = self.claim()
        is_old = held is None or held.expires - self.now_ms < self.world.term_ms // 2
        if must or is_old or (held is not None and held.claim != claim):
            self.disk.receipt = self.say(claim)
            self.shelf.take([self.disk.receipt], self.now_ms)

    def covers(self, receipt: Statement, entry: Cid) -> bool:
        """Whether a receipt may cover an entry, by what is on this disk: if in doubt, it does."""
        assert isinstance(receipt.claim, Receipt)
        if any(entry == each for each, _ in receipt.claim.withheld):
            return False
        for head in receipt.claim.heads:
            log = self.disk.logs.get(head.key, {})
            at, name = head.seq, head.entry
            while at >= 0:
                held = log.get(at)
                if name == entry or held is None or held.cid != name:
                    return True
                at, name = at - 1, held.header.prev or name
        return False

    def answer(self, entry: Cid, nonce: bytes) -> list[Statement]:
        """A possession, or an absent: under a receipt that does not cover the entry, if need be a new one."""
        if (body := self.disk.bodies.get(entry)) is not None:
            digest = digest_possession(nonce, self.person.account, self.person.device.key.public, body)
            return [self.say(Possession(self.world.account, entry, nonce, digest))]
        if self.disk.receipt is not None and self.covers(self.disk.receipt, entry):
            self.renew(must=True)
        receipt = self.disk.receipt
        named = receipt.digest if receipt is not None and not self.covers(receipt, entry) else None
        reason = DELETED if entry in self.disk.deleted else self.disk.reasons.get(entry, "unknown")
        absent = self.say(Absent(self.world.account, entry, reason, named))
        self.shelf.take([absent], self.now_ms)
        return [each for each in (receipt, absent) if each is not None]

    def serve(self) -> tuple[list[Row], list[SignedOperation]]:
        rows = [
            (entry, self.disk.bodies.get(entry.cid))
            for log in self.disk.logs.values()
            for entry in log.values()
            if self.gives(entry)
        ]
        return rows, list(self.disk.operations.values())


class Dropper(Keeper):
    """Signs that it has everything, has one record not, and says so when it is asked for it."""

    def gives(self, entry: UnverifiedEntry) -> bool:
        return entry.cid != self.world.dropped

    def answer(self, entry: Cid, nonce: bytes) -> list[Statement]:
        if entry != self.world.dropped or self.disk.receipt is None:
            return super().answer(entry, nonce)
        reason = self.world.dice.choice(["unknown", "", COURT])
        absent = self.say(Absent(self.world.account, entry, reason, self.disk.receipt.digest))
        self.shelf.take([absent], self.now_ms)
        return [self.disk.receipt, absent]


class Staller(Keeper):
    """Stays where it is."""

    def wants(self, seq: int) -> bool:
        return seq < self.world.stalls_at


class Withholder(Keeper):
    """Erases one body for a reason, and says so in its receipts and to whoever asks."""

    def store(self, rows: list[Row], operations: list[SignedOperation]) -> None:
        if any(entry.cid == self.world.withheld for entry, _ in rows):
            self.disk.reasons[self.world.withheld] = COURT
        super().store(rows, operations)


class Stranger(Node):
    """Nobody asked it to keep anything, and it gives reasons for what is missing: so gaps would look explained."""

    def speak(self) -> list[Statement]:
        world = self.world
        claims: list[Claim] = [
            Receipt(world.account, (), (Withheld(world.dropped, NOISE),), bytes(32), MediaPolicy.NONE),
            *(Absent(world.account, entry, NOISE) for entry in (world.dropped, world.withheld, world.newest.cid)),
        ]
        return [self.say(claim) for claim in claims]


class Reader(Node):
    """Gets records from one keeper alone, and judges."""

    source: Keeper

    def pairs(self) -> Iterator[Contradiction]:
        state = self.disk.state(self.world.account)
        entries = {entry.cid: entry for log in self.disk.logs.values() for entry in log.values()}
        for receipt, absent in self.shelf.pairs.values():
            try:
                yield find_contradiction(
                    receipt, absent, find_chain(receipt, absent, entries), cut_of=state.cut_of, network=NETWORK
                )
            except NoContradiction:
                continue

    def verdict(self) -> Verdict:
        state = self.disk.state(self.world.account)
        told, refusals = [], []
        counting = {keeper.person.account for keeper in self.world.keepers}  # the author asked them
        for each in self.shelf.current(self.now_ms):
            match each.claim:
                case Heads(heads) if state.cut_of(each.key) is not None:
                    told += [Told(head, Origin.AUTHOR, str(each.key), each.time) for head in heads]
                case Receipt(_, heads, withheld):
                    told += [Told(head, Origin.KEEPER, str(each.account), each.time) for head in heads]
                    refusals += [
                        Refusal(each.account, each.key, *item, each.time, each.account in counting) for item in withheld
                    ]
                case Absent(_, entry, reason):
                    refusals.append(Refusal(each.account, each.key, entry, reason, each.time, each.account in counting))
        logs = tuple(self.held(key, cut) for key, cut in sorted(state.cuts.items()))
        known = Known(self.world.account, logs, tuple(told), tuple(refusals), tuple(self.pairs()))
        return judge(known, self.now_ms)

    def held(self, key: PublicKey, cut: Cut) -> HeldLog:
        log = self.disk.logs.get(key, {})
        tip = max(log, default=None)
        return HeldLog(
            key,
            cut,
            Ranges.of((seq, seq) for seq in sorted(log)),
            Head(key, tip, log[tip].cid) if tip is not None else None,
            {seq - 1: each.header.prev for seq, each in log.items() if each.header.prev and seq - 1 not in log},
            tuple(
                Bodiless(seq, each.cid, Lack.FINE if each.cid in self.disk.deleted else Lack.UNKNOWN)
                for seq, each in sorted(log.items())
                if each.cid not in self.disk.bodies
            ),
        )


def find_chain(receipt: Statement, absent: Statement, entries: dict[Cid, UnverifiedEntry]) -> list[UnverifiedEntry]:
    """The entries that lead from a head of the receipt to the absent one, if those that are known do."""
    assert isinstance(receipt.claim, Receipt)
    assert isinstance(absent.claim, Absent)
    for head in receipt.claim.heads:
        chain: list[UnverifiedEntry] = []
        at: Cid | None = head.entry
        while at is not None and at != absent.claim.entry and at in entries:
            chain.append(entries[at])
            at = entries[at].header.prev
        if at == absent.claim.entry:
            return chain
    return []


class World:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = Random(f"keepers {seed}")
        self.clock = VirtualClock()
        self.loss = self.dice.choice([0.0, 0.1, 0.3])
        self.delay_s = self.dice.choice([0.1, 2.0, 30.0])
        self.term_ms = int(self.dice.choice([1_200, 6 * 3_600, 30 * 24 * 3_600]) * 1_000)
        self.stalls_at = self.dice.randrange(5, DROPPED)
        self.statements: list[Statement] = []  # all that anybody ever signed
        self.entries: dict[Cid, UnverifiedEntry] = {}  # all that was ever written
        self.bodies: dict[Cid, bytes] = {}
        self.deletes: dict[Cid, Cid] = {}
        self.operations: list[SignedOperation] = []
        self.accusations: list[tuple[Reader, Contradiction]] = []
        self.happened: set[str] = set()
        self._make_author()
        skew = partial(self.dice.uniform, -MAX_SKEW_S, MAX_SKEW_S)
        self.author = Node(self, "author", 0, skew())
        self.honest = [Keeper(self, f"honest {number}", 1 + number, skew()) for number in range(3)]
        self.dropper = Dropper(self, "dropper", 4, skew())
        self.staller = Staller(self, "staller", 5, skew())
        self.withholder = Withholder(self, "withholder", 6, skew())
        self.keepers = [*self.honest, self.dropper, self.staller, self.withholder]
        self.readers: dict[str, Reader] = {}
        for number, source in enumerate([self.honest[0], self.dropper, self.staller, self.withholder]):
            reader = self.readers[source.name] = Reader(self, f"reader of {source.name}", 7 + number, skew())
            reader.source = source
        self.stranger = Stranger(self, "stranger", 11, 0.0)
        self.nodes: list[Node] = [self.author, *self.keepers, *self.readers.values()]
        for node in self.nodes:
            node.store([], self.operations[:1])

    # -- the author

    def _make_author(self) -> None:
        who = person(0)
        self.account = who.account
        self.phone = SigningKey(self.dice.randbytes(32))
        self.operations = [who.inception]
        self._heads: dict[PublicKey, Entry] = {}
        self.known_to_keepers: list[Row] = []
        self.dropped = self.withheld = cid_of(b"not written yet")

    def write(
        self, key: SigningKey, kind: str = "post", of: Cid | None = None, *, beside: Entry | None = None
    ) -> Entry:
        fields = {"salt": self.dice.randbytes(16), **({"of": of} if of is not None else {"text": "words"})}
        body = encode(fields)
        head = beside or self._heads.get(key.public)
        header = Header(
            self.account,
            key.public,
            head.header.seq + 1 if head else 0,
            head.cid if head else None,
            self.author.now_ms,
            kind,
            cid_of(body),
            len(body),
            None if head else self.account,
        )
        entry = sign_entry(key, header, NETWORK)
        self.entries[entry.cid] = parse_entry(entry.block)
        self.bodies[entry.cid] = body
        if of is not None:
            self.deletes[entry.cid] = of
        if beside is None:
            self._heads[key.public] = entry
        return entry

    def publish(self, key: SigningKey, kind: str = "post", of: Cid | None = None) -> Entry:
        """Write, and give it to the keepers."""
        entry = self.write(key, kind, of)
        if key.public == person(0).key and kind == "post":  # a delete is withheld by nobody: others rely on it
            self.dropped = entry.cid if entry.header.seq == DROPPED else self.dropped
            self.withheld = entry.cid if entry.header.seq == WITHHELD else self.withheld
        self.known_to_keepers.append((self.entries[entry.cid], self.bodies[entry.cid]))
        self.tell_heads()
        return entry

    def _renew_heads(self) -> None:
        newest = self.author.shelf.newest_of(person(0).key, Heads.type)
        if newest is not None and self.author.now_ms - newest.time > self.term_ms // 2:
            self.tell_heads()

    def tell_heads(self) -> None:
        heads = tuple(Head(key, each.header.seq, each.cid) for key, each in sorted(self._heads.items()))
        claim = Heads(heads, digest_operations(op.entry.cid for op in self.operations))
        self.author.shelf.take([self.author.say(claim)], self.author.now_ms)

    def change_devices(self, make: Callable[..., SignedOperation], *what: object) -> None:
        root = person(0).words.root(0)
        operation = make(
            root, self.account, self.account, *what,
            time_ms=self.author.now_ms, salt=self.dice.randbytes(16), network=NETWORK,
        )  # fmt: skip
        self.operations.append(operation)

    # -- what passes between them

    def said(self, statement: Statement) -> Statement:
        self.statements.append(statement)
        return statement

    def pass_on(self, sender: Node, receiver: Node, act: Callable[[], object]) -> None:
        """Let something arrive, unless it is lost or there is no way."""
        if sender.is_up and sender.group == receiver.group and self.dice.random() >= self.loss:
            self.clock.after(self.dice.uniform(0.01, self.delay_s), lambda: act() if receiver.is_up else None)

    def gossip(self, node: Node) -> None:
        for other in self.dice.sample(self.nodes, 2):
            told = node.shelf.current(node.now_ms)
            self.pass_on(node, other, partial(self._take, other, told))

    def _take(self, node: Node, told: list[Statement]) -> None:
        node.shelf.take(told, node.now_ms)

    def feed(self, keeper: Keeper) -> None:
        """A keeper gets what the author gave out, from him or another; some of it."""
        if not keeper.disk.keeps:
            return
        rows = [row for row in self.known_to_keepers if keeper.wants(row[0].header.seq)]
        some = [row for row in rows if self.dice.random() > self.loss / 2]
        self.pass_on(self.author, keeper, partial(self._fed, keeper, some, list(self.operations)))

    def _fed(self, keeper: Keeper, rows: list[Row], operations: list[SignedOperation]) -> None:
        if keeper.disk.keeps:
            keeper.store(rows, operations)

    def sync(self, reader: Reader) -> None:
        source = reader.source
        if source.is_up:
            self.pass_on(source, reader, partial(reader.store, *source.serve()))

    def challenge(self, reader: Reader) -> None:
        """Ask any keeper for anything that was ever heard of; who accuses has means of his own."""
        keeper = self.dice.choice(self.keepers)
        asked = self.dropped if self.dice.random() < 0.3 else self.dice.choice([*self.entries, self.dropped])
        self.pass_on(reader, keeper, partial(self._challenged, reader, keeper, asked, self.dice.randbytes(16)))

    def _challenged(self, reader: Reader, keeper: Keeper, asked: Cid, nonce: bytes) -> None:
        self.pass_on(keeper, reader, partial(self._take, reader, keeper.answer(asked, nonce)))

    @property
    def newest(self) -> Entry:
        """What the author wrote last."""
        return self._heads[person(0).key]

    def audit(self, reader: Reader) -> None:
        self.accusations += ((reader, each) for each in reader.verdict().accused)

    # -- the storm and the quiet after it

    def run(self) -> None:
        dice, clock = self.dice, self.clock
        laptop = person(0).device.key
        at = 0.0
        clock.at(1.0, partial(self.change_devices, build_add, Device(self.phone.public, "phone")))
        sixteenth = 0.0
        for number in range(RECORDS):
            at += dice.uniform(5.0, STORM_S / RECORDS)
            clock.at(at, partial(self.publish, laptop))
            sixteenth = at if number == WITHHELD else sixteenth
        for number in range(BY_PHONE):
            clock.at(2.0 + dice.uniform(0, STORM_S / 3) * (number + 1) / BY_PHONE, partial(self.publish, self.phone))
        for keeper in self.keepers:
            self._every(20.0, partial(self.feed, keeper))
            self._every(60.0, partial(self._renew, keeper))
        for reader in self.readers.values():
            self._every(40.0, partial(self.sync, reader))
            self._every(15.0, partial(self.challenge, reader))
            self._every(200.0, partial(self.audit, reader))
        self._every(60.0, self._renew_heads)
        for node in self.nodes:
            self._every(45.0, partial(self.gossip, node))
        for name in ("revoke", "delete", "hoard", "branch", "hole"):
            if dice.random() < 0.5:
                clock.at(max(dice.uniform(STORM_S / 3, STORM_S), sixteenth + 1), getattr(self, f"_{name}"))
        for keeper in self.honest:
            self._plan_misfortunes(keeper)
        for _ in range(dice.randrange(3)):
            begin = dice.uniform(0, STORM_S)
            clock.at(begin, self._part)
            clock.at(begin + dice.uniform(10, 300), self._heal)
        clock.run_until(STORM_S)
        self.loss, self.delay_s = 0.0, 0.1
        self._heal()

    def settle(self, is_done: Callable[[], bool]) -> bool:
        """Let time pass until it is so; tells whether it came to be."""
        end = self.clock.now + QUIET_S
        while self.clock.now < end:
            self.clock.run_until(self.clock.now + 120.0)
            self.mislead()
            if is_done():
                return True
        return False

    def mislead(self) -> None:
        """Every reader hears the stranger, who speaks last."""
        said = self.stranger.speak()
        for reader in self.readers.values():
            self._take(reader, said)

    def _every(self, seconds: float, act: Callable[[], object]) -> None:
        def again() -> None:
            act()
            self.clock.after(seconds * self.dice.uniform(0.7, 1.3), again)

        self.clock.after(seconds * self.dice.random(), again)

    def _renew(self, keeper: Keeper) -> None:
        if keeper.is_up:
            keeper.renew()

    def _part(self) -> None:
        for node in self.nodes:
            node.group = self.dice.randrange(2)

    def _heal(self) -> None:
        for node in self.nodes:
            node.group = 0

    # -- misfortunes of honest keepers, and what looks like evidence against them

    def _plan_misfortunes(self, keeper: Keeper) -> None:
        dice, clock = self.dice, self.clock
        kind = dice.choice(["older disk", "older disk", "lost body", "lost entry", "stops keeping", "none"])
        at = dice.uniform(STORM_S / 2, STORM_S)
        match kind:
            case "older disk":
                clock.at(dice.uniform(0, at), lambda: self._take_image(keeper, at))
            case "lost body" | "lost entry":
                clock.at(at, partial(self._lose, keeper, kind))
            case "stops keeping" if keeper is not self.honest[0]:
                clock.at(at, partial(self._stop_keeping, keeper))
        down = dice.uniform(0, STORM_S)
        clock.at(down, lambda: setattr(keeper, "is_up", False))
        clock.at(down + dice.uniform(1, 200), lambda: setattr(keeper, "is_up", True))

    def _take_image(self, keeper: Keeper, comes_back_at: float) -> None:
        image = keeper.disk.copy()

        def come_back() -> None:
            keeper.disk = image
            keeper.shelf = Shelf()
            self.happened.add("older disk")

        self.clock.at(comes_back_at, come_back)

    def _lose(self, keeper: Keeper, kind: str) -> None:
        log = keeper.disk.logs.get(person(0).key, {})
        if log:
            entry = log[self.dice.choice(sorted(log))]
            keeper.disk.bodies.pop(entry.cid, None)
            if kind == "lost entry":
                del log[entry.header.seq]
            self.happened.add(kind)

    def _stop_keeping(self, keeper: Keeper) -> None:
        keeper.disk.keeps = False
        keeper.disk.logs, keeper.disk.bodies = {}, {}
        self.happened.add("stops keeping")

    def _revoke(self) -> None:
        log = [row[0] for row in self.known_to_keepers if row[0].header.key == self.phone.public]
        if log:
            last = log[len(log) // 2]
            self.change_devices(build_revoke, self.phone.public, (last.header.seq, last.cid.bytes))
            self._heads.pop(self.phone.public)
            self.happened.add("revoke")

    def _delete(self) -> None:
        given = [row[0] for row in self.known_to_keepers if row[0].header.key == person(0).key]
        targets = [entry for entry in given if entry.cid not in (self.dropped, self.withheld)]
        if targets:
            self.publish(person(0).device.key, "delete", self.dice.choice(targets).cid)
            self.happened.add("delete")

    def _hoard(self) -> None:
        """Sign a head, and give the record to nobody."""
        now = self._heads[person(0).key]
        self._heads[person(0).key] = self.write(person(0).device.key, beside=now)
        self.tell_heads()
        self._heads[person(0).key] = now
        self.happened.add("hoard")

    def _branch(self) -> None:
        """Sign another history, for accusers alone."""
        log = [row[0] for row in self.known_to_keepers if row[0].header.key == person(0).key]
        base = self.dice.choice(log[:-1] or log)
        entry = Entry(base.header, base.account, base.cid, base.block)
        for _ in range(3):
            entry = self.write(person(0).device.key, beside=entry)
        self.happened.add("branch")

    def _hole(self) -> None:
        """Give two keepers what stands on a record that nobody gets."""
        laptop = person(0).device.key
        above = self.write(laptop, beside=self.write(laptop, beside=self._heads[laptop.public]))
        for keeper in self.honest[1:]:
            if keeper.disk.keeps:
                keeper.store([(self.entries[above.cid], self.bodies[above.cid])], [])
        self.happened.add("hole")


def frame_everybody(world: World) -> set[Cid]:
    """Whom an accuser can name who has seen everything, and shows only what serves him: no revoke, no delete."""
    promised = {each.digest: each for each in world.statements if isinstance(each.claim, Receipt)}
    state = state_of(world.account, frozenset(op.entry.cid for op in world.operations[:2]), tuple(world.operations[:2]))
    named = set()
    for absent in world.statements:
        if not isinstance(absent.claim, Absent):
            continue
        receipt = promised.get(absent.claim.receipt or b"")
        if receipt is None:
            continue
        chain = find_chain(receipt, absent, world.entries)
        try:
            found = find_contradiction(receipt, absent, chain, cut_of=state.cut_of, network=NETWORK)
        except NoContradiction:
            continue
        named.add(found.keeper)
    return named


def frame_by_times(world: World) -> set[Cid]:
    """Whom the times of two statements alone would name: a receipt that covers it, and an absent within its term."""
    receipts: dict[PublicKey, list[Statement]] = {}
    for each in world.statements:
        if isinstance(each.claim, Receipt):
            receipts.setdefault(each.key, []).append(each)
    named: set[Cid] = set()
    for absent in world.statements:
        if not isinstance(absent.claim, Absent) or absent.account in named:
            continue
        for receipt in receipts.get(absent.key, []):
            assert isinstance(receipt.claim, Receipt)
            pointed = absent._replace(claim=replace(absent.claim, receipt=receipt.digest, reason=""))
            chain = find_chain(receipt, absent, world.entries)
            state = state_of(
                world.account, frozenset(op.entry.cid for op in world.operations[:2]), tuple(world.operations[:2])
            )
            try:
                find_contradiction(receipt, pointed, chain, cut_of=state.cut_of, network=NETWORK)
            except NoContradiction:
                continue
            named.add(absent.account)
            break
    return named
