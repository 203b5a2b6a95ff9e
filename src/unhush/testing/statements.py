"""Statements in a virtual network: what each node holds of them, and how they and challenges travel between nodes.

The machines are the real ones (``Telling``, ``Proving`` and ``judge``), and so is every byte and signature; the shelf
is in memory, and what the node signs it signs in the same thread. A node that keeps says so as ``node/keeping`` does:
a receipt once what it holds has no gap, another when that grew.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from unhush.gossip.proto.actions import Purpose, ReadRun, ReadSummary
from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.events import RunRead, SummaryRead
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.frames import Item, KnownPeer, Operation
from unhush.gossip.proto.proving import (
    Challenge,
    Judgement,
    Outcome,
    Pair,
    Proving,
    Span,
    choose,
    find_covered,
    judge,
)
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.statements import (
    MAX_ITEMS,
    NO_EPOCH,
    About,
    Answer,
    Items,
    Prove,
    Question,
    Since,
    Taken,
    Tell,
    ToldStatement,
    Unknown,
    does_want,
    encode_answer,
    encode_question,
    fitting,
    parse_answer,
    parse_question,
    whom_it_concerns,
)
from unhush.gossip.proto.telling import AskAbout, AskSince, Step, Telling, TellPeer
from unhush.identity.cid import Cid
from unhush.identity.errors import IdentityError
from unhush.identity.keys import PublicKey
from unhush.identity.operations import OPEN
from unhush.identity.statement import (
    MAX_TERM_MS,
    NOT_HERE,
    Absent,
    Card,
    Claim,
    Head,
    Heads,
    MediaPolicy,
    Possession,
    Receipt,
    Statement,
    digest_operations,
    digest_possession,
    parse_statement,
    sign_statement,
    verify_statement,
)
from unhush.identity.trunk import find_trunk, fold
from unhush.testing.ledger import find_entry, find_operation
from unhush.testing.links import AnswerMessage, QuestionMessage

if TYPE_CHECKING:
    from unhush.testing.node import SimNode

# As node/keeping/speaking.py and receipting.py.
HEADS_EVERY_S: Final = 10.0
SOON_S: Final = 0.5
RECEIPT_EVERY_S: Final = 60.0
RENEW_S: Final = 24 * 3_600.0
# As gossip/net/keep: a question without an answer is given up.
ANSWER_S: Final = 30.0
MAX_ROUNDS: Final = 16
DRAWS: Final = 8
MAX_AHEAD_MS: Final = 10 * 60 * 1000
_ANY_SIZE: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one challenge."""

    keeper: Cid
    entry: Cid
    at_ms: int
    outcome: Outcome
    why: str
    evidence: tuple[Statement, ...]


@dataclass(slots=True)
class TakenIn:
    """What became of statements that a peer gave."""

    gained: list[tuple[ToldStatement, Statement]] = field(default_factory=list)
    known: list[bytes] = field(default_factory=list)
    is_faulty: bool = False


_Kind: TypeAlias = tuple[str, Cid, PublicKey, Cid, bytes]


class Shelf:
    """The newest of each statement, in the order gained; survives a crash, as ``storage/keeping`` does."""

    def __init__(self, network: str, name: str) -> None:
        self.epoch: Final = sha256(f"{network}/{name}".encode()).digest()[:8]
        self.proofs: Final[dict[Cid, list[Proof]]] = {}  # of an account, in the order made
        self.cursors: Final[dict[str, tuple[bytes, int]]] = {}
        self._network = network
        self._n = 0
        self._rows: dict[_Kind, tuple[int, ToldStatement, Statement]] = {}
        self._about: dict[Cid, dict[_Kind, None]] = {}

    def take(self, items: Iterable[ToldStatement], now_ms: int, wanted: Callable[[Cid], bool]) -> TakenIn:
        """Keep what is new; ``wanted``: whether statements about an account are of interest here."""
        taken = TakenIn()
        for told in items:
            statement = find_statement(told.block, self._network)
            if statement is None:
                taken.is_faulty = True
                continue
            is_over = statement.expires <= now_ms and not isinstance(statement.claim, Card)
            if is_over or isinstance(statement.claim, Possession) or statement.time > now_ms + MAX_AHEAD_MS:
                continue
            if not wanted(_about(statement)) or not _may_speak(
                statement.account, statement.key, told.ops, self._network
            ):
                continue
            kind = _kind_of(statement)
            held = self._rows.get(kind)
            taken.known.append(statement.digest)
            if held is not None and (held[2].time, held[2].digest) >= (statement.time, statement.digest):
                continue
            self._n += 1
            self._rows.pop(kind, None)
            self._rows[kind] = self._n, told, statement
            self._about.setdefault(_about(statement), {})[kind] = None
            taken.gained.append((told, statement))
        return taken

    def since(self, asked: Since) -> Items:
        after = asked.n if asked.epoch == self.epoch and asked.n <= self._n else 0
        rows = [row for row in self._rows.values() if row[0] > after]
        wanted = [row for row in rows if does_want(asked.carriage, whom_it_concerns(row[2]))]
        chosen = fitting(row[1] for row in wanted)
        is_more = len(chosen) < len(wanted)
        return Items(chosen, self.epoch, wanted[len(chosen) - 1][0] if is_more else self._n, is_more)

    def about(self, account: Cid) -> list[ToldStatement]:
        return [self._rows[kind][1] for kind in self._about.get(account, ())]

    def find(self, digest: bytes) -> ToldStatement | None:
        return next((told for _, told, statement in self._rows.values() if statement.digest == digest), None)

    def last(self, claim: Claim, account: Cid, key: PublicKey) -> Statement | None:
        """The one of the same kind that is held."""
        about = claim.of if isinstance(claim, Receipt | Absent | Possession) else account
        row = self._rows.get((claim.type, account, key, about, claim.subject))
        return row[2] if row is not None else None

    # -- as the snapshots of storage name them

    def cards(self, account: Cid) -> list[Statement]:
        return self._all(account, Card)

    def heads_told(self, account: Cid) -> list[Statement]:
        return self._all(account, Heads)

    def receipts_of(self, account: Cid) -> list[Statement]:
        return self._all(account, Receipt)

    def absents_of(self, account: Cid) -> list[Statement]:
        return self._all(account, Absent)

    def _all(self, account: Cid, type_: type[Claim]) -> list[Statement]:
        held = [self._rows[kind][2] for kind in self._about.get(account, ()) if kind[0] == type_.type]
        return sorted(held, key=lambda each: (-each.time, each.digest))


class Keeping:
    """What a virtual node says and hears beside its sessions."""

    def __init__(self, node: "SimNode", shelf: Shelf) -> None:
        self._node = node
        self._shelf = shelf
        self._clock = node.network.clock
        seed = f"{node.network.seed}/{node.name}/{node.starts}".encode()
        self._telling = Telling(seed=b"telling" + seed)
        self._proving = Proving(seed=b"proving" + seed)
        self._life = node.starts
        self._asked: dict[int, Callable[[Answer | None], None]] = {}
        self._questions = 0
        self._step_at = float("inf")
        self._said_at: dict[tuple[str, Cid], float] = {}
        self._is_saying = False
        self._clock.after(0, self._say_card)
        self._clock.after(RENEW_S, self._renew)
        self._mind()

    # -- what happens to the node

    @property
    def _is_alive(self) -> bool:
        return self._node.is_up and self._node.starts == self._life

    def connected(self, peer_id: str) -> None:
        self._telling.connected(peer_id, self._node.monotonic)
        for pair in self._pairs():
            if peer_id in self._machines(pair.keeper):
                self._proving.nudge(pair.keeper, self._node.monotonic)
        self._step_soon()

    def disconnected(self, peer_id: str) -> None:
        self._telling.disconnected(peer_id)

    def changed(self) -> None:
        """The store gained something, or what is carried or kept changed."""
        self._mind()
        self._say_soon()
        self._step_soon()

    def heard(self, peer_id: str, message: QuestionMessage | AnswerMessage) -> None:
        """A question or an answer came."""
        if isinstance(message, AnswerMessage):
            when_answered = self._asked.pop(message.number, None)
            if when_answered is not None:
                when_answered(self._parse_answer(peer_id, message.payload))
            return
        try:
            answer = self._answer(peer_id, parse_question(message.payload))
        except SyncFault as fault:
            self._at_fault(peer_id, fault)
            return
        if answer is not None and peer_id in self._node.wires:
            payload = encode_answer(answer)
            self._node.wires[peer_id].send(self._node, AnswerMessage(message.number, payload))

    # -- speaking

    def _say(self, claim: Claim) -> ToldStatement:
        node = self._node
        now_ms = node.wall_ms
        before = self._shelf.last(claim, node.account, node.person.key.public)
        time_ms = now_ms if before is None else max(now_ms, before.time + 1)
        if isinstance(claim, Absent):
            receipts = [each for each in self._shelf.receipts_of(claim.of) if each.account == node.account]
            time_ms = max([time_ms, *(each.time for each in receipts)])
        said = sign_statement(
            node.person.key, node.account, claim, time=time_ms, expires=time_ms + MAX_TERM_MS, network=node.network.name
        )
        founding = Operation(node.person.inception.entry.block, node.person.inception.body)
        told = ToldStatement(said.block, (founding,))
        self._take([told], source=None)
        self._said_at[claim.type, _about(said)] = self._clock.now
        return told

    def _say_card(self) -> None:
        if self._is_alive and self._node.is_dialable:
            self._say(Card((self._node.address,), ()))

    def _say_soon(self) -> None:
        if not self._is_saying:
            self._is_saying = True
            self._clock.after(SOON_S, self._say_what_is_new)

    def _say_what_is_new(self) -> None:
        self._is_saying = False
        if not self._is_alive:
            return
        heads = self._heads_of(self._node.account)
        self._say_if_new(Heads(heads, self._identity_of(self._node.account)), HEADS_EVERY_S)
        for of in sorted(self._node.kept):
            claim = self.claim(of)
            if claim.heads:
                self._say_if_new(claim, RECEIPT_EVERY_S)
        for each in [each for each in self._own_receipts() if each.of not in self._node.kept and each.heads]:
            self._say(Receipt(each.of, (), (), each.identity, MediaPolicy.NONE))

    def _say_if_new(self, claim: Heads | Receipt, every_s: float) -> None:
        node = self._node
        last = self._shelf.last(claim, node.account, node.person.key.public)
        if last is not None and last.claim == claim:
            return
        about = claim.of if isinstance(claim, Receipt) else node.account
        due = self._said_at.get((claim.type, about), float("-inf")) + every_s
        if last is not None and due > self._clock.now:
            self._is_saying = True
            self._clock.at(due, self._say_what_is_new)
            return
        self._say(claim)

    def _own_receipts(self) -> list[Receipt]:
        found = [
            statement.claim for _, _, statement in self._shelf._rows.values() if statement.account == self._node.account
        ]
        return [claim for claim in found if isinstance(claim, Receipt)]

    def _renew(self) -> None:
        if not self._is_alive:
            return
        self._clock.after(RENEW_S, self._renew)
        self._say_card()
        self._say(Heads(self._heads_of(self._node.account), self._identity_of(self._node.account)))
        for of in sorted(self._node.kept):
            if (claim := self.claim(of)).heads:
                self._say(claim)

    def claim(self, of: Cid) -> Receipt:
        """What this node's receipt for an account says now."""
        claim = Receipt(of, self._heads_of(of), (), self._identity_of(of), MediaPolicy.ALL)
        return claim if self._node.manners is None else self._node.manners.lists(self, claim)

    def _heads_of(self, account: Cid) -> tuple[Head, ...]:
        """Of the logs that are here without a gap."""
        heads = self._node.store.heads(account)
        return tuple(Head(key, head.seq, head.cid) for key, head in sorted(heads.items()) if head.count == head.seq + 1)

    def _identity_of(self, account: Cid) -> bytes:
        return digest_operations(self._summary(account).ops)

    # -- stepping

    def _step_soon(self) -> None:
        self._step_no_later_than(self._clock.now)

    def _step_no_later_than(self, when: float) -> None:
        if when < self._step_at:
            self._step_at = when
            self._clock.at(when, partial(self._step, when))

    def _step(self, due_at: float) -> None:
        if not self._is_alive or self._step_at != due_at:
            return
        self._step_at = float("inf")
        now = self._node.monotonic
        for step in self._telling.decide(now):
            self._carry_out(step)
        for pair in self._proving.take_due(now):
            self._challenge(pair)
        next_at = min(self._telling.next_time(now), self._proving.next_time(now))
        if next_at < float("inf"):
            self._step_no_later_than(self._clock.now + max(0.05, next_at - now))

    def _carry_out(self, step: Step) -> None:
        match step:
            case AskSince():
                self._ask_since(step, 0, 0)
            case AskAbout(peer_id, accounts):
                self._ask(peer_id, About(accounts), partial(self._answered_about, step))
            case TellPeer(peer_id, digests):
                items = [told for digest in digests if (told := self._shelf.find(digest)) is not None]
                self._ask(peer_id, Tell(tuple(items)), partial(self._told, step))
            case _:
                assert_never(step)

    def _ask_since(self, step: AskSince, rounds: int, gained: int) -> None:
        epoch, n = self._shelf.cursors.get(step.peer_id, (NO_EPOCH, 0))
        self._ask(step.peer_id, Since(epoch, n, self._filter), partial(self._answered_since, step, rounds, gained))

    def _answered_since(self, step: AskSince, rounds: int, gained: int, answer: Answer | None) -> None:
        if not isinstance(answer, Items):
            self._telling.refused(step, self._node.monotonic)
            self._step_soon()
            return
        gained += self._take(answer.items, source=step.peer_id)
        self._shelf.cursors[step.peer_id] = answer.epoch, answer.n
        if answer.is_more and rounds < MAX_ROUNDS:
            self._ask_since(step, rounds + 1, gained)
            return
        self._telling.asked(step, self._node.monotonic, gained=gained, is_more=answer.is_more)
        self._step_soon()

    def _answered_about(self, step: AskAbout, answer: Answer | None) -> None:
        if isinstance(answer, Items):
            self._telling.asked(step, self._node.monotonic, gained=self._take(answer.items, source=step.peer_id))
        else:
            self._telling.refused(step, self._node.monotonic)
        self._step_soon()

    def _told(self, step: TellPeer, answer: Answer | None) -> None:
        if answer is None:
            self._telling.refused(step, self._node.monotonic)
        else:
            self._telling.told(step, self._node.monotonic)
        self._step_soon()

    def _ask(self, peer_id: str, question: Question, when_answered: Callable[[Answer | None], None]) -> None:
        wire = self._node.wires.get(peer_id)
        if wire is None:
            self._clock.after(0, partial(self._give_up, when_answered))
            return
        self._questions += 1
        number = self._questions
        self._asked[number] = when_answered
        wire.send(self._node, QuestionMessage(number, encode_question(question)))
        self._clock.after(ANSWER_S, partial(self._late, number))

    def _late(self, number: int) -> None:
        when_answered = self._asked.pop(number, None)
        if when_answered is not None:
            self._give_up(when_answered)

    def _give_up(self, when_answered: Callable[[Answer | None], None]) -> None:
        if self._is_alive:
            when_answered(None)

    def _parse_answer(self, peer_id: str, payload: bytes) -> Answer | None:
        try:
            return parse_answer(payload)
        except SyncFault as fault:
            self._at_fault(peer_id, fault)
            return None

    def _at_fault(self, peer_id: str, fault: Exception) -> None:
        if self._node.manners is None:
            self._node.network.at_fault(self._node, peer_id, f"{type(fault).__name__}: {fault}")

    # -- answering

    def _answer(self, peer_id: str, question: Question | Unknown) -> Answer | None:
        match question:
            case Since(_, _, carriage):
                self._telling.heard_filter(peer_id, carriage)
                return self._shelf.since(question)
            case About(accounts):
                return Items(fitting(told for account in accounts for told in self._shelf.about(account)))
            case Tell(items):
                return Taken(min(self._take(items, source=peer_id), MAX_ITEMS))
            case Prove():
                if question.of not in self._node.kept:
                    return Items()
                honest = self.show(question)
                manners = self._node.manners
                shown = honest if manners is None else manners.shows(self, question, honest)
                return Items(tuple(shown)) if shown is not None else None
            case Unknown():
                return Items()
            case _:
                assert_never(question)

    def show(self, question: Prove) -> list[ToldStatement]:
        """An honest answer to a challenge."""
        item = self.find_item(question.of, question.entry)
        if item is not None and item.body is not None:
            digest = digest_possession(question.nonce, self._node.account, self._node.person.key.public, item.body)
            return [self._say(Possession(question.of, question.entry, question.nonce, digest))]
        return [self.renew(question.of), self.refuse(question, NOT_HERE)]

    def renew(self, of: Cid) -> ToldStatement:
        """A receipt as of now."""
        return self._say(self.claim(of))

    def refuse(self, question: Prove, reason: str) -> ToldStatement:
        """An absent under the newest receipt of this node, whatever that says."""
        receipts = [each for each in self._shelf.receipts_of(question.of) if each.account == self._node.account]
        return self._say(Absent(question.of, question.entry, reason, receipts[0].digest if receipts else None))

    # -- challenging

    def challenge(self, pair: Pair, seq: int | None = None) -> bool:
        """Challenge a keeper now, for the entry of this number if one is named; False if there is no way to."""
        drawn = self._draw(pair, seq)
        peer_id = self._way_to(pair.keeper)
        if drawn is None or peer_id is None:
            return False
        challenge, body = drawn
        question = Prove(challenge.of, challenge.entry, challenge.nonce)
        self._ask(peer_id, question, partial(self._answered_challenge, challenge, body))
        return True

    def _challenge(self, pair: Pair) -> None:
        if not self.challenge(pair):
            self._proving.ended(pair, Outcome.NOTHING, self._node.monotonic)

    def _way_to(self, keeper: Cid) -> str | None:
        return next((each for each in sorted(self._machines(keeper)) if each in self._node.wires), None)

    def _draw(self, pair: Pair, seq: int | None) -> tuple[Challenge, bytes] | None:
        now_ms = self._node.wall_ms
        receipts = [each for each in self._shelf.receipts_of(pair.of) if each.account == pair.keeper]
        receipt = next((each for each in receipts if each.expires > now_ms), None)
        if receipt is None or not isinstance(receipt.claim, Receipt):
            return None
        held: dict[PublicKey, tuple[Cid, Ranges]] = {}
        for head in receipt.claim.heads:
            item = self._item_at(pair.of, head.key, head.seq)
            entry = find_entry(item.entry) if item is not None else None
            if entry is not None:
                held[head.key] = entry.cid, self._summary(pair.of).logs.get(head.key, Ranges())
        spans = find_covered(receipt.claim, held)
        if seq is not None:
            spans = [Span(span.key, seq, seq) for span in spans if span.low <= seq <= span.high]
        withheld = {each.entry for each in receipt.claim.withheld}
        for _ in range(DRAWS):
            found = choose(spans, self._proving.number())
            item = self._item_at(pair.of, *found) if found is not None else None
            entry = find_entry(item.entry) if item is not None else None
            if found is None or item is None or entry is None or item.body is None or entry.cid in withheld:
                continue
            nonce = self._proving.nonce()
            return Challenge(pair.of, pair.keeper, found[0], found[1], entry.cid, nonce, receipt), item.body
        return None

    def _answered_challenge(self, challenge: Challenge, body: bytes, answer: Answer | None) -> None:
        pair = Pair(challenge.of, challenge.keeper)
        judgement = Judgement(Outcome.NOTHING, "no answer")
        if isinstance(answer, Items):
            judgement = self._judge(challenge, body, answer.items)
            self._take(answer.items, source=None)
        if judgement.outcome is not Outcome.NOTHING:
            proof = Proof(
                challenge.keeper,
                challenge.entry,
                self._node.wall_ms,
                judgement.outcome,
                judgement.why,
                judgement.evidence,
            )
            self._shelf.proofs.setdefault(challenge.of, []).append(proof)
            self._node.note("challenged", challenge.keeper, judgement.outcome)
        self._proving.ended(pair, judgement.outcome, self._node.monotonic)
        self._step_soon()

    def _judge(self, challenge: Challenge, body: bytes, items: Iterable[ToldStatement]) -> Judgement:
        network = self._node.network.name
        answers = []
        for told in items:
            statement = find_statement(told.block, network)
            if statement is None or statement.account != challenge.keeper:
                continue
            if _may_speak(statement.account, statement.key, told.ops, network):
                answers.append(statement)
        receipts = [each for each in self._shelf.receipts_of(challenge.of) if each.account == challenge.keeper]
        return judge(challenge, body, answers, receipts=receipts, is_on_branch=partial(self._is_above, challenge))

    def _is_above(self, challenge: Challenge, head: Head) -> bool:
        item = self._item_at(challenge.of, head.key, head.seq)
        entry = find_entry(item.entry) if item is not None else None
        runs = self._summary(challenge.of).logs.get(head.key, Ranges())
        is_whole = any(low <= challenge.seq and head.seq <= high for low, high in runs)
        return entry is not None and entry.cid == head.entry and is_whole

    # -- taking

    def _take(self, items: Iterable[ToldStatement], *, source: str | None) -> int:
        taken = self._shelf.take(items, self._node.wall_ms, self._is_wanted)
        now = self._node.monotonic
        for _, statement in taken.gained:
            self._telling.gained(statement.digest, whom_it_concerns(statement), now, source=source)
            if isinstance(statement.claim, Card) and source is not None:
                self._learn(statement, statement.claim, source)
            self._node.network.changed = True
        if source is not None:
            self._telling.has(source, taken.known)
            if taken.is_faulty:
                self._at_fault(source, SyncFault("a statement that nobody signed"))
        if taken.gained:
            self._mind()
            self._step_soon()
        return len(taken.gained)

    def _learn(self, statement: Statement, card: Card, source: str) -> None:
        kept = {pair.of for pair in self._pairs() if pair.keeper == statement.account}
        carriage = pack_carriage({statement.account, *kept})
        self._node.told_of(source, [KnownPeer(address, carriage) for address in card.peers])
        self._proving.nudge(statement.account, self._node.monotonic)

    def _is_wanted(self, about: Cid) -> bool:
        return about in self._minded or about in self._telling.wanted() or about == self._node.account

    def _pairs(self) -> list[Pair]:
        """The keepers of what is carried here, by their receipts."""
        now_ms = self._node.wall_ms
        return [
            Pair(of, receipt.account)
            for of in sorted(self._node.store.carried())
            for receipt in self._shelf.receipts_of(of)
            if receipt.account != self._node.account
            and receipt.expires > now_ms
            and isinstance(receipt.claim, Receipt)
            and receipt.claim.heads
        ]

    def _mind(self) -> None:
        pairs = self._pairs()
        self._minded = self._node.store.carried() | {pair.keeper for pair in pairs}
        self._filter = pack_carriage(self._minded)
        now = self._node.monotonic
        self._telling.mind(self._minded, now)
        ago: dict[Pair, float | None] = {}
        for pair in pairs:
            proven = [
                proof.at_ms
                for proof in self._shelf.proofs.get(pair.of, ())
                if proof.keeper == pair.keeper and proof.outcome is Outcome.PROVEN
            ]
            ago[pair] = max(0, self._node.wall_ms - max(proven)) / 1_000 if proven else None
        self._proving.set_pairs(ago, now, own=self._node.account)

    def _machines(self, account: Cid) -> frozenset[str]:
        cards = [each.claim for each in self._shelf.cards(account)]
        return frozenset(
            address.rpartition("/p2p/")[2] for card in cards if isinstance(card, Card) for address in card.peers
        )

    # -- the store

    def _summary(self, account: Cid) -> SummaryRead:
        read = self._node.store.answer(ReadSummary(account, Purpose.SERVE))
        assert isinstance(read, SummaryRead)
        return read

    def _item_at(self, account: Cid, key: PublicKey, seq: int) -> Item | None:
        read = self._node.store.answer(ReadRun(account, key, seq, seq, _ANY_SIZE))
        assert isinstance(read, RunRead)
        return read.items[0] if read.items else None

    def entry_at(self, account: Cid, key: PublicKey, seq: int) -> Cid | None:
        item = self._item_at(account, key, seq)
        entry = find_entry(item.entry) if item is not None else None
        return entry.cid if entry is not None else None

    def find_item(self, account: Cid, cid: Cid) -> Item | None:
        for key, runs in self._summary(account).logs.items():
            for low, high in runs:
                for seq in range(low, high + 1):
                    item = self._item_at(account, key, seq)
                    entry = find_entry(item.entry) if item is not None else None
                    if entry is not None and entry.cid == cid:
                        return item
        return None


@lru_cache(maxsize=65_536)
def find_statement(block: bytes, network: str) -> Statement | None:
    """The statement in these bytes, if the key it names signed it; worked out once for all nodes."""
    try:
        return verify_statement(parse_statement(block), network)
    except IdentityError:
        return None


@lru_cache(maxsize=65_536)
def _may_speak(account: Cid, key: PublicKey, ops: tuple[Operation, ...], network: str) -> bool:
    """Whether the operations beside a statement say so: nobody here ever revokes a device."""
    parsed = [find_operation(op.entry, op.body, network) for op in ops]
    trunk = find_trunk(account, [op for op in parsed if op is not None])
    return trunk is not None and fold(trunk).cut_of(key) == OPEN


def _about(statement: Statement) -> Cid:
    claim = statement.claim
    return claim.of if isinstance(claim, Receipt | Absent | Possession) else statement.account


def _kind_of(statement: Statement) -> _Kind:
    claim = statement.claim
    return (claim.type, statement.account, statement.key, _about(statement), claim.subject)
