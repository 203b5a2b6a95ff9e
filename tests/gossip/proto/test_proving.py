"""Proving: when keepers are challenged, for what, and that an answer is worth what it should be."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import pytest
from tests.support.people import NETWORK, START_MS, Person

from unhush.gossip.proto.contradictions import DELETED
from unhush.gossip.proto.proving import (
    FIRST_AGAIN_S,
    FIRST_S,
    LEAST_S,
    LONGEST_AGAIN_S,
    MAX_PAIRS,
    MAX_UNDER_WAY,
    MOST_S,
    Challenge,
    Outcome,
    Pair,
    Proving,
    Span,
    choose,
    find_covered,
    judge,
)
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import Cid, cid_of
from unhush.identity.statement import (
    NOT_HERE,
    Absent,
    Claim,
    Head,
    MediaPolicy,
    Possession,
    Receipt,
    Statement,
    Withheld,
    digest_possession,
    sign_statement,
)
from unhush.storage.kinds import Post

ANN: Final = Person("Ann", seed=1)
BEN: Final = Person("Ben", seed=2)
OF: Final = ANN.account
PAIR: Final = Pair(OF, BEN.account)
BODY: Final = b"the body of record 13"
NONCE: Final = bytes(range(16))
LOG: Final = [cid_of(b"entry %d" % number) for number in range(40)]
KEY: Final = ANN.key


def say(claim: Claim, *, at_ms: int = START_MS, term_ms: int = 1_000_000, who: Person = BEN) -> Statement:
    return sign_statement(who.device.key, who.account, claim, time=at_ms, expires=at_ms + term_ms, network=NETWORK)


def receipt(upto: int, *withheld: Withheld, at_ms: int = START_MS, of: Cid = OF) -> Statement:
    heads = (Head(KEY, upto, LOG[upto]),)
    return say(Receipt(of, heads, withheld, bytes(32), MediaPolicy.ALL), at_ms=at_ms)


def challenge(given: Statement) -> Challenge:
    return Challenge(OF, BEN.account, KEY, 13, LOG[13], NONCE, given)


@dataclass
class Case:
    given: Statement
    others: tuple[Statement, ...] = ()
    on_branch: Callable[[Head], bool] = lambda head: head.entry == LOG[head.seq]

    def judge(self, *answers: Statement) -> Outcome:
        return judge(challenge(self.given), BODY, answers, receipts=self.others, is_on_branch=self.on_branch).outcome


@pytest.fixture
def case() -> Case:
    return Case(receipt(20))


def possession(digest: bytes, nonce: bytes = NONCE, entry: Cid = LOG[13], of: Cid = OF) -> Statement:
    return say(Possession(of, entry, nonce, digest), at_ms=START_MS + 5)


def absent(
    named: Statement | None, reason: str = NOT_HERE, *, at_ms: int = START_MS + 10, entry: Cid = LOG[13]
) -> Statement:
    return say(Absent(OF, entry, reason, None if named is None else named.digest), at_ms=at_ms)


# --- when


def test_a_first_receipt_is_challenged_within_a_minute_and_then_once_a_day_or_so() -> None:
    proving = Proving(seed=b"1")
    proving.set_pairs({PAIR: None}, 1_000.0)
    due = proving.next_time(1_000.0)
    assert 1_000.0 <= due <= 1_000.0 + FIRST_S
    assert proving.take_due(due) == [PAIR]
    assert proving.take_due(due + 1) == []  # one at a time
    proving.ended(PAIR, Outcome.PROVEN, due + 2)
    gaps = []
    now = due + 2
    for _ in range(200):
        then = proving.next_time(now)
        gaps.append(then - now)
        assert proving.take_due(then - 1) == []
        assert proving.take_due(then) == [PAIR]
        proving.ended(PAIR, Outcome.PROVEN, then)
        now = then
    assert min(gaps) >= LEAST_S
    assert max(gaps) <= MOST_S
    assert max(gaps) - min(gaps) > (MOST_S - LEAST_S) / 2


def test_what_was_proven_before_this_run_is_not_asked_for_at_once() -> None:
    proving = Proving(seed=b"1")
    proving.set_pairs({PAIR: 3_600.0}, 0.0)
    assert proving.next_time(0.0) >= LEAST_S - 3_600.0
    proving.set_pairs({Pair(OF, ANN.account): 7 * 24 * 3_600.0}, 0.0)
    assert proving.next_time(0.0) <= FIRST_S


def test_a_keeper_that_is_away_is_tried_ever_more_seldom_and_at_once_when_a_way_opens() -> None:
    proving, now = Proving(seed=b"1"), 0.0
    proving.set_pairs({PAIR: None}, now)
    waits = []
    for _ in range(16):
        now = proving.next_time(now)
        assert proving.take_due(now) == [PAIR]
        proving.ended(PAIR, Outcome.NOTHING, now)
        waits.append(proving.next_time(now) - now)
    assert waits[0] <= 1.25 * FIRST_AGAIN_S
    assert 0.75 * LONGEST_AGAIN_S <= waits[-1] <= 1.25 * LONGEST_AGAIN_S
    proving.nudge(BEN.account, now)
    assert proving.next_time(now) <= now + FIRST_AGAIN_S


def test_few_are_under_way_at_a_time_and_pairs_are_bound() -> None:
    proving = Proving(seed=b"1")
    pairs = [Pair(cid_of(number.to_bytes(4, "big")), BEN.account) for number in range(2 * MAX_PAIRS)]
    proving.set_pairs(dict.fromkeys(pairs), 0.0)
    assert len(proving._turns) == MAX_PAIRS
    due = proving.take_due(FIRST_S)
    assert len(due) == MAX_UNDER_WAY
    assert proving.next_time(FIRST_S) == float("inf")
    for pair in due:
        proving.ended(pair, Outcome.PROVEN, FIRST_S)
    begun = len(due)
    for second in range(60):
        for pair in proving.take_due(FIRST_S + second):
            begun += 1
            proving.ended(pair, Outcome.PROVEN, FIRST_S + second)
    assert begun <= 121


def test_whoever_keeps_no_more_is_not_asked_any_more() -> None:
    proving = Proving(seed=b"1")
    proving.set_pairs({PAIR: None}, 0.0)
    proving.set_pairs({}, 1.0)
    assert proving.take_due(100.0) == []
    assert proving.next_time(100.0) == float("inf")


# --- for what


def test_every_covered_entry_is_drawn_about_as_often() -> None:
    proving = Proving(seed=b"1")
    spans = [Span(KEY, 0, 3), Span(BEN.key, 10, 15)]
    counts = Counter(choose(spans, proving.number()) for _ in range(10_000))
    assert len(counts) == 10
    assert min(counts.values()) > 800
    assert max(counts.values()) < 1_200
    assert choose([], proving.number()) is None


def test_nonces_never_repeat() -> None:
    proving = Proving(seed=b"1")
    assert len({proving.nonce() for _ in range(1_000)}) == 1_000


def test_covered_is_what_lies_on_an_unbroken_run_below_the_very_head_that_is_named() -> None:
    claim = receipt(20).claim
    assert isinstance(claim, Receipt)
    assert find_covered(claim, {KEY: (LOG[20], Ranges.of([(0, 30)]))}) == [Span(KEY, 0, 20)]
    assert find_covered(claim, {KEY: (LOG[20], Ranges.of([(0, 4), (9, 30)]))}) == [Span(KEY, 9, 20)]
    assert find_covered(claim, {KEY: (LOG[20], Ranges.of([(0, 4)]))}) == []
    assert find_covered(claim, {KEY: (cid_of(b"another branch"), Ranges.of([(0, 30)]))}) == []
    assert find_covered(claim, {}) == []


# --- what an answer is worth


def test_the_right_digest_proves_and_a_wrong_one_fails_and_is_no_evidence(case: Case) -> None:
    right = digest_possession(NONCE, BEN.account, BEN.key, BODY)
    assert case.judge(possession(right)) is Outcome.PROVEN
    wrong = possession(digest_possession(NONCE, BEN.account, BEN.key, b"something else"))
    judged = judge(challenge(case.given), BODY, [wrong], receipts=(), is_on_branch=case.on_branch)
    assert (judged.outcome, judged.evidence) == (Outcome.FAILED, ())


def test_the_answer_of_somebody_else_signed_anew_proves_nothing(case: Case) -> None:
    forwarded = digest_possession(NONCE, ANN.account, ANN.key, BODY)
    assert case.judge(possession(forwarded)) is Outcome.FAILED
    of_another_device = digest_possession(NONCE, BEN.account, ANN.key, BODY)
    assert case.judge(possession(of_another_device)) is Outcome.FAILED


def test_an_answer_to_another_question_is_worth_nothing(case: Case) -> None:
    right = digest_possession(NONCE, BEN.account, BEN.key, BODY)
    assert case.judge() is Outcome.NOTHING
    assert case.judge(possession(right, nonce=bytes(16))) is Outcome.NOTHING
    assert case.judge(possession(right, entry=LOG[12])) is Outcome.NOTHING
    assert case.judge(possession(right, of=BEN.account)) is Outcome.NOTHING
    assert case.judge(absent(case.given, entry=LOG[12])) is Outcome.NOTHING
    assert case.judge(case.given) is Outcome.NOTHING


def test_an_absent_under_a_receipt_that_covers_the_entry_is_a_contradiction_with_both_as_evidence(case: Case) -> None:
    said = absent(case.given)
    judged = judge(challenge(case.given), BODY, [said], receipts=(), is_on_branch=case.on_branch)
    assert judged.outcome is Outcome.CONTRADICTION
    assert judged.evidence == (case.given, said)


def test_who_first_lists_an_entry_as_withheld_contradicts_nothing(case: Case) -> None:
    listed = receipt(20, Withheld(LOG[13], "a court said so"), at_ms=START_MS + 9)
    assert case.judge(listed, absent(listed, "a court said so")) is Outcome.NOTHING


def test_who_lost_its_disk_and_says_so_by_a_shorter_receipt_contradicts_nothing(case: Case) -> None:
    shorter = receipt(12, at_ms=START_MS + 9)
    assert case.judge(shorter, absent(shorter)) is Outcome.NOTHING
    nothing = say(Receipt(OF, (), (), bytes(32), MediaPolicy.NONE), at_ms=START_MS + 9, term_ms=1)
    assert case.judge(nothing, absent(nothing)) is Outcome.NOTHING


def test_an_absent_that_names_a_receipt_we_do_not_have_or_none_accuses_nobody(case: Case) -> None:
    assert case.judge(absent(None)) is Outcome.NOTHING
    assert case.judge(absent(receipt(20, at_ms=START_MS + 9))) is Outcome.NOTHING


def test_what_the_account_took_back_may_be_gone(case: Case) -> None:
    assert case.judge(absent(case.given, DELETED)) is Outcome.NOTHING


def test_an_absent_from_outside_of_the_term_of_the_receipt_accuses_nobody(case: Case) -> None:
    assert case.judge(absent(case.given, at_ms=case.given.expires + 1)) is Outcome.NOTHING
    assert case.judge(absent(case.given, at_ms=START_MS - 1)) is Outcome.NOTHING


def test_a_newer_receipt_counts_only_if_its_head_stands_above_the_entry_here(case: Case) -> None:
    newer = receipt(30, at_ms=START_MS + 5)
    assert case.judge(newer, absent(newer)) is Outcome.CONTRADICTION
    case.on_branch = lambda head: head.seq <= 20
    assert case.judge(newer, absent(newer)) is Outcome.NOTHING


def test_another_device_of_the_keeper_is_not_held_to_the_receipt_of_the_first(case: Case) -> None:
    other = replace(BEN.device, key=Person("Ben's phone", seed=5).device.key)
    said = sign_statement(
        other.key,
        BEN.account,
        Absent(OF, LOG[13], NOT_HERE, case.given.digest),
        time=START_MS + 10,
        expires=START_MS + 20,
        network=NETWORK,
    )
    assert case.judge(said) is Outcome.NOTHING


def test_a_receipt_of_another_account_covers_nothing(case: Case) -> None:
    other = receipt(20, of=BEN.account, at_ms=START_MS + 5)
    assert case.judge(other, absent(other)) is Outcome.NOTHING


def test_the_log_of_a_person_is_covered_as_it_is_written() -> None:
    """The same with entries that are signed: what a receipt names is what a log has."""
    ann = Person("Ann", seed=7)
    written = [ann.write(Post(f"post {number}")) for number in range(5)]
    head = Head(ann.key, 4, written[4].cid)
    claim = Receipt(ann.account, (head,), (), bytes(32), MediaPolicy.NONE)
    assert find_covered(claim, {ann.key: (written[4].cid, Ranges.span(0, 4))}) == [Span(ann.key, 0, 4)]
