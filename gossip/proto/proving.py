"""Proving: which keeper to challenge when, for which entry, and what an answer is worth.

A receipt is a keeper's word. It is put to the test at times nobody can foresee:
of an entry drawn from all those that the receipt covers and we hold, the keeper
must show that it holds the body now. Silence proves nothing and accuses nobody:
lines break, machines sleep. A keeper contradicts itself only by two statements
of its own: a receipt that covers an entry without listing it as withheld, and
a word that the entry is absent which names this very receipt
(``contradictions.py``). A wrong digest ends a challenge as that does and is
evidence of nothing: it is one statement, and bad memory makes such too.

What a receipt covers is judged with care, because an author may sign two
branches of a log and show us one, the keeper the other: an entry is covered
only if it lies on an unbroken run, held here, below the very head that the
receipt names.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from unhush.gossip.proto.contradictions import DELETED, is_named
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.statements import NONCE_BYTES
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.statement import Absent, Card, Head, Heads, Possession, Receipt, Statement, digest_possession

# After the first receipt of a keeper for an account.
FIRST_S: Final = 60.0
# The same for the home's own account.
OWN_FIRST_S: Final = 3.0
# Between two challenges that were answered: once a day, never at a time that could be known.
LEAST_S: Final = 12 * 3_600.0
MOST_S: Final = 36 * 3_600.0
# After one that came to nothing, doubling: the keeper is away, or no way leads to it now.
FIRST_AGAIN_S: Final = 30.0
LONGEST_AGAIN_S: Final = 6 * 3_600.0

# Keepers of accounts that are minded; beyond it the driver leaves out those that concern the person least.
MAX_PAIRS: Final = 1_024
# Under way in all, each with a stream and maybe a dial; and begun within a minute.
MAX_UNDER_WAY: Final = 4
BEGUN: Final = 60
BEGUN_INTERVAL_S: Final = 60.0

# Answering reads the disk and signs. From one peer: a household of accounts that all kept by us begins anew; in all:
# less than a second of work in a minute.
ANSWERED_PER_PEER: Final = 20
ANSWERED: Final = 120
ANSWERED_INTERVAL_S: Final = 60.0


class Pair(NamedTuple):
    """A keeper of an account, by its own word."""

    of: Cid
    keeper: Cid


class Span(NamedTuple):
    """Consecutive numbers of one log."""

    key: PublicKey
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a keeper is asked for; ``receipt`` covers it."""

    of: Cid
    keeper: Cid
    key: PublicKey
    seq: int
    entry: Cid
    nonce: bytes
    receipt: Statement


class Outcome(StrEnum):
    """What an answer to a challenge is worth."""

    PROVEN = "proven"
    FAILED = "failed"  # a wrong digest: it computed with other bytes
    CONTRADICTION = "contradiction"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome, why, and the keeper's own two statements if they contradict each other."""

    outcome: Outcome
    why: str = ""
    evidence: tuple[Statement, ...] = ()


@dataclass(slots=True)
class _Turn:
    due_at: float
    again_s: float = FIRST_AGAIN_S
    is_under_way: bool = False


class Proving:
    """When to challenge whom; one for each node.

    ``seed`` is a secret of this run: who knows it knows the entries that will be asked for.
    """

    def __init__(self, *, seed: bytes) -> None:
        self._seed: Final = seed
        self._drawn = 0
        self._turns: dict[Pair, _Turn] = {}
        self._begun: Final = Allowance(BEGUN, BEGUN_INTERVAL_S)

    def set_pairs(self, pairs: Mapping[Pair, float | None], now: float, *, own: Cid | None = None) -> None:
        """Whom there is to challenge: those with a fresh receipt, and how many seconds ago each was last proven.

        Who keeps the ``own`` account of this home is asked first: its owner waits to see it.
        """
        turns: dict[Pair, _Turn] = {}
        for pair, proven_s_ago in pairs.items():
            if len(turns) == MAX_PAIRS:
                break
            turn = self._turns.get(pair)
            if turn is None:
                first = now + (OWN_FIRST_S if pair.of == own else FIRST_S) * self._share()
                turn = _Turn(first if proven_s_ago is None else max(first, now - proven_s_ago + self._interval()))
            turns[pair] = turn
        self._turns = turns

    def nudge(self, keeper: Cid, now: float) -> None:
        """A way to this keeper opened: what came to nothing before is tried again."""
        for pair, turn in self._turns.items():
            if pair.keeper == keeper and turn.again_s > FIRST_AGAIN_S:
                turn.due_at = min(turn.due_at, now + FIRST_AGAIN_S * self._share())
                turn.again_s = FIRST_AGAIN_S

    def take_due(self, now: float) -> list[Pair]:
        """Whom to challenge now; each is to be ``ended``."""
        under_way = sum(turn.is_under_way for turn in self._turns.values())
        due: list[Pair] = []
        for pair, turn in self._turns.items():
            if under_way + len(due) >= MAX_UNDER_WAY:
                break
            if not turn.is_under_way and turn.due_at <= now and self._begun.spend(1, now):
                turn.is_under_way = True
                due.append(pair)
        return due

    def ended(self, pair: Pair, outcome: Outcome, now: float) -> None:
        """A challenge is over."""
        turn = self._turns.get(pair)
        if turn is None:
            return
        turn.is_under_way = False
        if outcome is Outcome.NOTHING:
            turn.due_at = now + turn.again_s * (0.75 + self._share() / 2)
            turn.again_s = min(2 * turn.again_s, LONGEST_AGAIN_S)
        else:
            turn.due_at = now + self._interval()
            turn.again_s = FIRST_AGAIN_S

    def next_time(self, now: float) -> float:
        """When ``take_due`` may next have something; infinity if never."""
        if sum(turn.is_under_way for turn in self._turns.values()) >= MAX_UNDER_WAY:
            return float("inf")  # until one is over
        waiting = min((turn.due_at for turn in self._turns.values() if not turn.is_under_way), default=float("inf"))
        # What is due and was not taken waits for the pace.
        return max(now, waiting) if waiting > now else now + 1.0

    def number(self) -> int:
        """Of 64 bits, for ``choose``."""
        return self._number()

    def nonce(self) -> bytes:
        """New for each challenge."""
        self._drawn += 1
        return hashlib.sha256(b"nonce" + self._seed + self._drawn.to_bytes(8, "big")).digest()[:NONCE_BYTES]

    def _interval(self) -> float:
        return LEAST_S + (MOST_S - LEAST_S) * self._share()

    def _share(self) -> float:
        return (self._number() >> 11) / 2**53

    def _number(self) -> int:
        self._drawn += 1
        return int.from_bytes(hashlib.sha256(self._seed + self._drawn.to_bytes(8, "big")).digest()[:8], "big")


def find_covered(receipt: Receipt, held: Mapping[PublicKey, tuple[Cid, Ranges]]) -> list[Span]:
    """The entries that a receipt surely covers, by what is held here.

    ``held``: for each log the entry that is shown here at the number of the receipt's head, and the numbers held of the
    branch that is shown. Withheld ones are not taken out.
    """
    spans: list[Span] = []
    for head in receipt.heads:
        entry, numbers = held.get(head.key, (None, None))
        if entry != head.entry or numbers is None:
            continue  # another branch, or not held: nothing is known of what lies below
        for low, high in numbers:
            if low <= head.seq <= high:
                spans.append(Span(head.key, low, head.seq))
    return spans


def choose(spans: Sequence[Span], number: int) -> tuple[PublicKey, int] | None:
    """One of these entries by a drawn number, each as likely as any other; None if there are none."""
    total = sum(span.high - span.low + 1 for span in spans)
    if not total:
        return None
    at = number % total
    for span in spans:
        count = span.high - span.low + 1
        if at < count:
            return span.key, span.low + at
        at -= count
    raise AssertionError("drawn below the total")


def judge(
    challenge: Challenge,
    body: bytes,
    answers: Iterable[Statement],
    *,
    receipts: Iterable[Statement],
    is_on_branch: Callable[[Head], bool],
) -> Judgement:
    """What a keeper's answers are worth. All statements given are the keeper's own, by keys that may speak for it.

    ``receipts``: those for the account that are known beside those in ``answers``. ``is_on_branch``: whether a head of
    the log asked for stands, by entries held here, above the entry.
    """
    answers = list(answers)
    known = {each.digest: each for each in (challenge.receipt, *receipts, *answers) if isinstance(each.claim, Receipt)}
    refused = Judgement(Outcome.NOTHING, "no answer")
    for answer in answers:
        claim = answer.claim
        if isinstance(claim, Receipt | Heads | Card) or (claim.of, claim.entry) != (challenge.of, challenge.entry):
            continue
        if isinstance(claim, Possession):
            if claim.nonce != challenge.nonce:
                continue
            if claim.digest == digest_possession(challenge.nonce, challenge.keeper, answer.key, body):
                return Judgement(Outcome.PROVEN)
            return Judgement(Outcome.FAILED, "a wrong digest")
        receipt = known.get(claim.receipt or b"")
        if receipt is not None and _contradict(receipt, answer, challenge, is_on_branch):
            return Judgement(Outcome.CONTRADICTION, f"absent: {claim.reason}", (receipt, answer))
        refused = Judgement(Outcome.NOTHING, f"absent: {claim.reason}")
    return refused


def _contradict(
    receipt: Statement, absent: Statement, challenge: Challenge, is_on_branch: Callable[[Head], bool]
) -> bool:
    """Whether an absent that names a receipt as the newest of its device says what that denies."""
    assert isinstance(receipt.claim, Receipt)
    assert isinstance(absent.claim, Absent)
    return (
        is_named(receipt, absent)
        and receipt.time <= absent.time <= receipt.expires
        and absent.claim.reason != DELETED
        and all(withheld.entry != challenge.entry for withheld in receipt.claim.withheld)
        and any(
            head.key == challenge.key and head.seq >= challenge.seq and is_on_branch(head)
            for head in receipt.claim.heads
        )
    )
