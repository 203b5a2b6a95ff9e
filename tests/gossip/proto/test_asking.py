"""Single records, conversations and what concerns somebody: asked for, given, offered, and never more than is right."""

from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gossip.proto.conftest import End, Pair, Store, account, item, key, operation, tip_of
from tests.gossip.proto.test_hostile import Victim

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Answered, DeliverGiven, Noted, ReadAsked
from unhush.gossip.proto.config import Own, SessionConfig
from unhush.gossip.proto.events import Ask, AskedRead, Closed, Concerns, OwnChecked, Tick
from unhush.gossip.proto.faults import MalformedFrame
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frame_parsing import parse_frame
from unhush.gossip.proto.frames import (
    Carries,
    Concerning,
    Credit,
    Entries,
    Frame,
    Given,
    Item,
    Need,
    Offer,
    Question,
    Reason,
    ThreadFrame,
)
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid, cid_of, cid_of_digest
from unhush.identity.codec import encode

ANN, CLEO, ROOT = account("ann"), account("cleo"), account("root")
K = key("k")
X = account("x")  # whom a victim carries


def said(count: int, *, by: Cid = CLEO, body_bytes: int = 60) -> list[Item]:
    """Records of a stranger."""
    return [item(key(f"{by}"), seq, body_bytes) for seq in range(count)]


def holding(records: Iterable[Item], *, by: Cid = CLEO, under: Cid = ROOT) -> tuple[Store, list[Cid]]:
    """A store with records of a stranger that answer under a root; the newest is told first."""
    store = Store()
    return store, [store.put_single(by, record, under=under) for record in records]


def asked_of(store: Store, *questions: Question, carries: Iterable[Cid] = ()) -> Pair:
    """B asks A, who has this store."""
    pair = Pair(stores=(store, Store())).open()
    pair.a.interest(carries=carries)
    pair.run()
    for tag, question in enumerate(questions):
        pair.b.feed(Ask(tag, question))
    return pair


def given_to(end: End) -> list[Given]:
    return [sent for sent in end.sent if isinstance(sent, Given)]


def offers_of(end: End) -> list[Offer]:
    return [sent for sent in end.sent if isinstance(sent, Offer)]


def point(cid: Cid) -> bytes:
    return cid.digest[: limits.TIP_BYTES]


# --- questions and answers -------------------------------------------------------------------------------


def test_records_that_are_needed_come_with_what_tells_whose_they_are_and_no_others() -> None:
    store, cids = holding(said(5))
    store.put_op(CLEO, operation("inception"))
    pair = asked_of(store, Need(0, CLEO, (cids[1], cids[3], account("unheard of")))).run()
    assert set(pair.b.store.singles) == {cids[1], cids[3]}
    assert pair.b.store.ops[CLEO] == store.ops[CLEO]
    assert pair.b.answered == [Answered(0, is_complete=True)]


def test_a_question_nobody_can_answer_is_answered_too() -> None:
    pair = asked_of(Store(), Need(0, CLEO, (ROOT,)), ThreadFrame(0, ROOT, ANN)).run()
    assert pair.b.answered == [Answered(0, is_complete=True), Answered(1, is_complete=True)]
    assert pair.b.store.singles == {}


def test_an_answer_counts_as_complete_only_once_it_is_committed() -> None:
    store, cids = holding(said(1))
    pair = asked_of(store, Need(0, CLEO, tuple(cids)))
    pair.b.is_committing = False
    pair.run()
    assert pair.b.ingest
    assert pair.b.answered == []
    pair.b.is_committing = True
    pair.run()
    assert pair.b.answered == [Answered(0, is_complete=True)]


def test_a_conversation_comes_newest_first_by_steps_up_to_a_thousand_records() -> None:
    store, cids = holding(said(limits.MAX_ANSWERS + 100))
    pair = asked_of(store, ThreadFrame(0, ROOT, ANN)).run()
    given_ = given_to(pair.a)
    assert [cid_of(each.entry) for frame in given_ for each in frame.items] == cids[::-1][: limits.MAX_ANSWERS]
    assert all(len(frame.items) <= limits.RECORDS_PER_STEP for frame in given_)
    assert [frame.is_more for frame in given_] == [True] * (len(given_) - 1) + [False]
    assert pair.b.answered == [Answered(0, is_complete=True)]


def test_a_conversation_of_long_posts_ends_at_a_megabyte() -> None:
    store, _ = holding(said(100, body_bytes=50_000))
    pair = asked_of(store, ThreadFrame(0, ROOT, ANN)).run()
    size = sum(len(encode_frame(frame)) for frame in given_to(pair.a))
    assert limits.MAX_GIVEN_BYTES // 2 < size <= limits.MAX_GIVEN_BYTES
    assert pair.b.closed is None
    assert pair.b.answered == [Answered(0, is_complete=True)]


def test_of_a_conversation_only_what_is_not_held_comes() -> None:
    store, cids = holding(said(10))
    held = tuple(point(cid) for cid in cids[2:])
    pair = asked_of(store, ThreadFrame(0, ROOT, ANN, held)).run()
    assert set(pair.b.store.singles) == set(cids[:2])


def test_what_concerns_an_account_is_told_by_who_carries_it_alone() -> None:
    for carries, told in (([ANN], 3), ([], 0)):
        store, _ = holding(said(3), under=ANN)
        pair = asked_of(store, Concerning(0, ANN), carries=carries).run()
        assert len(pair.b.store.singles) == told
        assert pair.b.answered == [Answered(0, is_complete=True)]


def test_what_concerns_an_account_that_is_not_carried_is_not_even_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[ReadAsked] = []
    find = Store._asked

    def note(self: Store, read: ReadAsked) -> AskedRead:
        looked_up.append(read)
        return find(self, read)

    monkeypatch.setattr(Store, "_asked", note)
    store, _ = holding(said(3), under=ANN)
    pair = asked_of(store, Concerning(0, ANN)).run()
    assert pair.b.answered == [Answered(0, is_complete=True)]
    assert looked_up == []


def test_who_carries_our_account_is_asked_what_concerns_us_and_again_after_a_while() -> None:
    own = SessionConfig("test", "test", own=Own(ANN, K))
    pair = Pair(b=own).open().run()
    assert pair.b.ours_asked == 0
    pair.a.interest(carries=[ANN])
    pair.run()
    assert pair.b.ours_asked == 1
    pair.a.interest(carries=[])
    pair.run()
    pair.a.interest(carries=[ANN])
    pair.wait(1)
    assert pair.b.ours_asked == 1
    pair.wait(limits.CONCERNING_INTERVAL_S)
    assert pair.b.ours_asked == 2


def test_many_questions_go_out_only_as_fast_as_they_are_answered() -> None:
    store, cids = holding(said(40))
    pair = asked_of(store, *(Need(0, CLEO, (cid,)) for cid in cids))
    assert len([sent for sent in pair.b.sent if isinstance(sent, Need)]) == limits.MAX_QUESTIONS
    pair.run()
    assert [answered.tag for answered in pair.b.answered] == list(range(40))
    assert set(pair.b.store.singles) == set(cids)
    assert pair.a.closed is None


def test_more_questions_than_may_wait_are_said_not_to_be_answered() -> None:
    end = Pair().open().run().b
    for tag in range(100):
        end.feed(Ask(tag, Need(0, CLEO, (account(f"{tag}"),))))
    refused = [answered.tag for answered in end.answered]
    assert refused == list(range(limits.MAX_WAITING_QUESTIONS + limits.MAX_QUESTIONS, 100))


def test_a_question_from_before_the_hello_is_not_answered() -> None:
    pair = Pair()
    pair.b.feed(Ask(7, Need(0, CLEO, (ROOT,))))
    assert pair.b.answered == [Answered(7, is_complete=False)]


def test_a_question_is_given_up_in_time_and_its_answer_is_still_taken() -> None:
    store, cids = holding(said(1))
    pair = asked_of(store, Need(0, CLEO, tuple(cids)))
    pair.a.is_writing = False
    pair.wait(limits.QUESTION_S + 1)
    assert pair.b.answered == [Answered(0, is_complete=False)]
    pair.a.is_writing = True
    pair.run()
    assert set(pair.b.store.singles) == set(cids)
    assert pair.b.answered == [Answered(0, is_complete=False)]
    assert pair.b.closed is None


def needs_of(end: End) -> int:
    return sum(isinstance(sent, Need) for sent in end.sent)


def test_questions_a_peer_leaves_unanswered_take_no_place_from_others() -> None:
    store, cids = holding(said(limits.MAX_QUESTIONS + 1))
    pair = asked_of(store, *(Need(0, CLEO, (cid,)) for cid in cids[:-1]))
    pair.a.is_writing = False
    pair.wait(limits.QUESTION_S + 1)
    assert [answered.tag for answered in pair.b.answered] == list(range(limits.MAX_QUESTIONS))
    pair.b.feed(Ask(limits.MAX_QUESTIONS, Need(0, CLEO, (cids[-1],))))
    assert needs_of(pair.b) == limits.MAX_QUESTIONS + 1
    pair.a.is_writing = True
    pair.run()
    assert pair.b.answered[-1] == Answered(limits.MAX_QUESTIONS, is_complete=True)
    assert set(pair.b.store.singles) == set(cids), "what comes late is taken too"
    assert pair.a.closed is pair.b.closed is None


def test_every_question_to_a_peer_that_never_answers_comes_to_an_end_and_it_is_not_asked_for_ever() -> None:
    victim, most = Victim(), limits.MAX_QUESTIONS + limits.MAX_LATE_QUESTIONS
    for tag in range(40):
        victim.end.feed(Ask(tag, Need(0, CLEO, (account(f"{tag}"),))))
        victim.settle()
    for _ in range(3 * int(limits.QUESTION_S)):
        victim.now += 1
        victim.end.feed(Tick())
        victim.settle()
    assert sorted(victim.end.answered, key=lambda each: each.tag) == [Answered(tag, False) for tag in range(40)]
    asked = needs_of(victim.end)
    assert asked <= most
    noted = Counter(each.met for each in victim.end.noted)
    assert noted == {Met.QUESTION_UNANSWERED: asked, Met.QUESTION_NOT_ASKED: 40 - asked}


def test_a_peer_that_owes_sixteen_answers_is_asked_no_more_until_one_comes() -> None:
    victim, most = Victim(), limits.MAX_QUESTIONS + limits.MAX_LATE_QUESTIONS
    for tag in range(most):
        victim.end.feed(Ask(tag, Need(0, CLEO, (account(f"{tag}"),))))
        victim.settle()
        if tag % limits.MAX_QUESTIONS == limits.MAX_QUESTIONS - 1:
            victim.now += limits.QUESTION_S
            victim.end.feed(Tick())
    assert needs_of(victim.end) == most
    victim.end.feed(Ask(most, Need(0, CLEO, (ROOT,))))
    assert victim.end.answered[-1] == Answered(most, is_complete=False), "at once"
    victim.hear(Given(1))
    assert not victim.is_closed()
    victim.end.feed(Ask(most + 1, Need(0, CLEO, (ROOT,))))
    assert needs_of(victim.end) == most + 1


def test_a_long_answer_waits_for_credit_and_none_of_it_is_lost() -> None:
    store, _ = holding(said(40, body_bytes=20_000))
    small = SessionConfig("test", "test", window_bytes=limits.MIN_WINDOW_BYTES)
    pair = Pair(b=small, stores=(store, Store())).open().run()
    pair.b.is_committing = False
    pair.b.feed(Ask(0, ThreadFrame(0, ROOT, ANN)))
    pair.run()
    sent = sum(max(len(encode_frame(frame)), limits.MIN_ENTRIES_COST) for frame in given_to(pair.a))
    assert 0 < sent <= limits.MIN_WINDOW_BYTES
    pair.b.is_committing = True
    pair.run()
    assert pair.b.answered == [Answered(0, is_complete=True)]
    assert len(pair.b.store.singles) == 40
    receiving, _ = pair.b.session._open_halves()
    assert receiving.deliveries._given + receiving.deliveries._due == limits.MIN_WINDOW_BYTES, "credit leaked"


def test_the_largest_record_beside_the_most_operations_passes_the_smallest_window() -> None:
    store, cids = holding(said(3, body_bytes=limits.MAX_BODY_BYTES))
    for number in range(3):
        store.put_op(CLEO, operation(f"{number}", 32_000))
    small = SessionConfig("test", "test", window_bytes=limits.MIN_WINDOW_BYTES)
    pair = Pair(b=small, stores=(store, Store())).open().run()
    pair.b.feed(Ask(0, Need(0, CLEO, tuple(cids))))
    pair.run()
    assert set(pair.b.store.singles) == set(cids)


def test_a_peer_that_asks_for_a_long_time_gets_answers_at_the_pace_of_our_loop() -> None:
    store, _ = holding(said(1), under=ANN)
    pair = asked_of(store, carries=[ANN])
    for tag in range(60):
        pair.b.feed(Ask(tag, Concerning(0, ANN)))
        pair.run()
    at_once = len(pair.b.answered)
    assert at_once == limits.STEPS_ALLOWANCE // 6
    for _ in range(60):
        pair.wait(1)
    assert at_once < len(given_to(pair.a)) <= 2 * at_once + 1
    assert pair.a.closed is None


# --- who answers what was not asked ----------------------------------------------------------------------


def asking(question: Question) -> Victim:
    victim = Victim()
    victim.end.feed(Ask(0, question))
    victim.settle()
    assert victim.end.sent[-1] == type(question)(1, *list(_fields(question))[1:])
    return victim


def _fields(question: Question) -> Iterable[Any]:
    return (getattr(question, name) for name in question.__slots__)


def test_an_answer_nobody_asked_for_is_a_fault() -> None:
    victim = Victim()
    victim.hear(Given(1, CLEO, (), tuple(said(1))))
    victim.assert_closed("unasked")


def test_more_after_the_end_of_an_answer_is_a_fault() -> None:
    victim = asking(ThreadFrame(0, ROOT, ANN))
    victim.hear(Given(1))
    assert victim.end.answered == [Answered(0, is_complete=True)]
    victim.hear(Given(1))
    victim.assert_closed("unasked")


def test_a_record_that_was_not_named_is_a_fault() -> None:
    one, other = said(2)
    victim = asking(Need(0, CLEO, (cid_of(one.entry),)))
    victim.hear(Given(1, CLEO, (), (other,)))
    victim.assert_closed("unasked")
    assert not victim.end.ingest


def test_a_needed_record_of_another_account_is_a_fault() -> None:
    (one,) = said(1)
    victim = asking(Need(0, CLEO, (cid_of(one.entry),)))
    victim.hear(Given(1, X, (), (one,)))
    victim.assert_closed("unasked")


def test_an_answer_without_end_is_a_fault_once_it_is_too_much() -> None:
    victim = asking(ThreadFrame(0, ROOT, ANN))
    records = said(64)
    for number in range(1 + limits.MAX_ANSWERS // 64):
        assert not victim.is_closed(), number
        victim.hear(Given(1, CLEO, (), tuple(records), is_more=True))
        commit_all(victim)
    victim.assert_closed("unasked")
    victim = asking(ThreadFrame(0, ROOT, ANN))
    for _ in range(1 + limits.MAX_GIVEN_BYTES // 250_000):
        assert not victim.is_closed()
        for record in said(5, body_bytes=50_000):
            victim.hear(Given(1, CLEO, (), (record,), is_more=True))
            commit_all(victim)
    victim.assert_closed("unasked")


def test_answers_beyond_the_credit_given_are_a_fault() -> None:
    victim = Victim()
    for tag in range(8):
        victim.end.feed(Ask(tag, ThreadFrame(0, account(f"{tag}"), ANN)))
    victim.settle()
    big = tuple(said(5, body_bytes=50_000))
    for number in range(1, 9):
        for _ in range(4):
            if not victim.is_closed():
                victim.hear(Given(number, CLEO, (), big, is_more=True))  # and none of it is committed
    victim.assert_closed("credit-exceeded")


def test_what_ingest_finds_to_be_a_lie_ends_the_session() -> None:
    from unhush.gossip.proto.events import Committed

    (one,) = said(1)
    victim = asking(Need(0, CLEO, (cid_of(one.entry),)))
    victim.hear(Given(1, CLEO, (), (one,)))
    (delivery,) = victim.end.ingest
    assert isinstance(delivery, DeliverGiven)
    assert delivery.reason == Need(1, CLEO, (cid_of(one.entry),))
    victim.end.feed(Committed(delivery.delivery_id, is_faulty=True))
    victim.settle()
    victim.assert_closed("rejected")


def test_a_peer_that_asks_more_than_eight_things_at_once_beside_eight_late_ones_is_refused() -> None:
    victim = Victim()  # which has no credit to answer with
    most = limits.MAX_QUESTIONS + limits.MAX_LATE_QUESTIONS
    for n in range(1, most + 1):
        victim.hear(Need(n, X, (account(f"{n}"),)))
    assert not victim.is_closed()
    victim.hear(Need(most + 1, X, (X,)))
    victim.assert_closed("too-many-questions")


def test_questions_whose_numbers_do_not_grow_are_refused() -> None:
    for second in (0, 4, 5):
        victim = Victim()
        victim.hear(Need(5, X, (X,)), ThreadFrame(second, X, X))
        victim.assert_closed("too-many-questions")


def test_nothing_is_given_without_credit() -> None:
    victim = Victim()
    cid = victim.end.store.put_single(X, said(1, by=X)[0])
    victim.hear(Need(1, X, (cid,)))
    assert given_to(victim.end) == []
    victim.hear(Credit(limits.MIN_SENDING_CREDIT))
    assert [cid_of(each.entry) for frame in given_to(victim.end) for each in frame.items] == [cid]


# --- offers ----------------------------------------------------------------------------------------------


def offering(*, carried: Iterable[Cid] = (ANN,), wanted: Iterable[Cid] = ()) -> Pair:
    """A has something to offer to B, who carries some accounts."""
    pair = Pair().open()
    pair.a.interest(carries=[CLEO, ANN])
    pair.b.interest(carries=carried, interests=wanted)
    return pair.run()


def concern(end: End, record: Item, *about: Cid, by: Cid = CLEO) -> Cid:
    cid = end.store.put_single(by, record)
    end.feed(Concerns(cid, by, key(f"{by}"), about or (ANN,)))
    return cid


def test_what_concerns_an_account_that_the_peer_carries_is_offered_once() -> None:
    pair = offering()
    (record,) = said(1)
    cid = concern(pair.a, record)
    concern(pair.a, record)
    pair.run()
    concern(pair.a, record)
    pair.run()
    assert offers_of(pair.a) == [Offer(ANN, CLEO, (), (record,))]
    assert set(pair.b.store.singles) == {cid}
    pair.a.feed(Closed())
    assert set(pair.a.session.at_peer) == {cid}, "what need not be offered again in the next session"


def test_it_is_offered_with_whoever_of_those_it_concerns_the_peer_carries() -> None:
    pair = offering()
    concern(pair.a, said(1)[0], account("dora"), ANN)
    pair.run()
    assert [offer.about for offer in offers_of(pair.a)] == [ANN]


def test_what_concerns_nobody_there_waits_until_somebody_is_carried() -> None:
    pair = offering(carried=[])
    cid = concern(pair.a, said(1)[0])
    pair.run()
    assert offers_of(pair.a) == []
    pair.b.interest(carries=[ANN])
    pair.run()
    assert set(pair.b.store.singles) == {cid}


def test_of_what_concerns_nobody_there_the_oldest_is_forgotten_which_counts_if_it_is_missed() -> None:
    pair = offering(carried=[])
    dora, emil = account("dora"), account("emil")
    records = said(limits.MAX_WAITING_OFFERS + 3)
    for record, about in zip(records, [dora, dora, emil, *[ANN] * limits.MAX_WAITING_OFFERS], strict=True):
        concern(pair.a, record, about)
    assert pair.a.noted == [], "it may never be of use to this peer"
    pair.b.interest(carries=[ANN])
    pair.run()
    assert pair.a.noted == [], "what concerns this one is here"
    pair.b.interest(carries=[ANN, dora])
    pair.run()
    pair.b.interest(carries=[ANN])
    pair.run()
    pair.b.interest(carries=[ANN, dora])
    pair.run()
    assert pair.a.noted == [Noted(Met.OFFER_FORGOTTEN)]


def test_whom_records_concerned_that_are_forgotten_is_remembered_up_to_a_bound() -> None:
    pair = offering(carried=[])
    for number in range(3):
        about = [account(f"{number} {each}") for each in range(limits.MAX_MISSED)]
        concern(pair.a, said(number + 1)[number], *about)
    for record in said(limits.MAX_WAITING_OFFERS + 3)[3:]:
        concern(pair.a, record)
    asking = pair.a.session._asking
    assert asking is not None
    assert list(asking._missed) == about


def test_of_many_changes_within_a_second_none_is_lost() -> None:
    """What waits is offered to several accounts, though their changes are passed on together, a taking away last."""
    pair = offering(carried=[])
    for number in range(limits.CARRIAGE_AT_ONCE + 1):
        pair.b.interest(carries=[account(f"{number}")])
        pair.run()
    first, second, third = (concern(pair.a, record, account(name)) for record, name in zip(said(3), "xyz", strict=True))
    for carried in ("x", "xyz", "xy"):
        pair.b.interest(carries=map(account, carried))
        pair.run()
    assert offers_of(pair.a) == []
    pair.now += 1.0
    pair.a.feed(Tick())
    pair.run()
    assert {cid_of(offer.items[0].entry) for offer in offers_of(pair.a)} == {first, second}
    pair.b.interest(carries=map(account, "xyz"))
    pair.now += 1.0
    pair.a.feed(Tick())
    pair.run()
    assert {cid_of(offer.items[0].entry) for offer in offers_of(pair.a)} == {first, second, third}


def test_nothing_is_offered_that_the_peer_gets_because_it_wants_it_or_gave_it() -> None:
    pair = offering(carried=[ANN, CLEO], wanted=[CLEO])
    concern(pair.a, said(1)[0])
    pair.run()
    assert offers_of(pair.a) == []

    pair = offering()
    (record,) = said(1)
    concern(pair.a, record)
    pair.run()
    pair.b.feed(Concerns(cid_of(record.entry), CLEO, key(f"{CLEO}"), (ANN,)))
    pair.run()
    assert offers_of(pair.b) == []


def test_of_our_own_log_nothing_is_offered_or_given_before_the_peer_has_shown_what_it_holds() -> None:
    own = SessionConfig("test", "test", own=Own(CLEO, key(f"{CLEO}")))
    for is_clean in (True, False):
        pair = Pair(own, stores=(Store(), Store()))
        pair.a.store.clone_found = not is_clean
        (mine,) = said(1)
        cid = cid_of(mine.entry)
        pair.open()
        pair.a.interest(carries=[CLEO])
        pair.b.interest(carries=[ANN])
        ends = pair.a, pair.b
        pair.run_until(lambda: all(end.session.peer for end in ends))  # noqa: B023
        concern(pair.a, mine)
        assert offers_of(pair.a) == []
        pair.b.feed(Ask(0, Need(0, CLEO, (cid,))))
        pair.wait(limits.OWN_CHECK_GRACE_S + 1)
        assert (cid in pair.b.store.singles) is is_clean
        assert (0 in pair.a.handed_on) is is_clean
        if is_clean:
            pair.a.feed(OwnChecked(is_clean=False))
            second = item(key(f"{CLEO}"), 1)
            concern(pair.a, second)
            pair.run()
            assert cid_of(second.entry) not in pair.b.store.singles


def test_offers_keep_a_pace_that_the_peer_takes() -> None:
    pair = offering()
    cids = [concern(pair.a, record) for record in said(200)]
    pair.run()
    assert len(offers_of(pair.a)) == limits.OFFERS_SENT_AT_ONCE
    for _ in range(180):
        pair.wait(1)
    assert pair.b.noted == []
    assert set(pair.b.store.singles) >= set(cids[:190])


def test_the_oldest_offers_go_where_too_many_wait() -> None:
    pair = offering()
    for record in said(limits.MAX_WAITING_OFFERS + limits.OFFERS_SENT_AT_ONCE + 10):
        concern(pair.a, record)
    assert {noted.met for noted in pair.a.noted} == {Met.OFFER_NOT_SENT}
    assert len(pair.a.noted) <= 2 * limits.OFFERS_SENT_AT_ONCE


def test_a_record_too_long_for_an_offer_is_not_offered() -> None:
    pair = offering()
    concern(pair.a, said(1, body_bytes=limits.OFFER_BYTES)[0])
    pair.run()
    assert offers_of(pair.a) == []
    concern(pair.a, item(key(f"{CLEO}"), 9))
    pair.run()
    assert len(offers_of(pair.a)) == 1


def offer(number: int, *, about: Cid = X) -> Offer:
    return Offer(about, CLEO, (), (item(key("flood"), number),))


def commit_all(victim: Victim) -> int:
    count = len(victim.end.ingest)
    while victim.end.ingest:
        victim.end.commit()
        victim.settle()
    return count


def test_a_flood_of_offers_is_passed_over_and_then_ends_the_session() -> None:
    victim = Victim()
    committed = 0
    for number in range(limits.OFFERS_PATIENCE):
        victim.hear(offer(number))
        committed += commit_all(victim)
        assert not victim.is_closed(), number
    assert committed == limits.OFFERS_AT_ONCE
    assert victim.end.noted == [Noted(Met.OFFER_IGNORED)] * (limits.OFFERS_PATIENCE - limits.OFFERS_AT_ONCE)
    victim.hear(offer(limits.OFFERS_PATIENCE))
    victim.assert_closed("too-many-offers")


def test_many_records_in_one_offer_count_as_many_offers() -> None:
    victim = Victim()
    many = limits.OFFERS_AT_ONCE // 2 + 1
    for start in (0, many):
        items = tuple(item(key("flood"), start + number) for number in range(many))
        victim.hear(Offer(X, CLEO, (), items))
    assert commit_all(victim) == 1
    assert victim.end.noted == [Noted(Met.OFFER_IGNORED)]


def test_one_offer_a_second_is_always_welcome() -> None:
    victim = Victim()
    for number in range(300):
        victim.now += 1
        victim.hear(offer(number))
        victim.end.feed(Tick())
        victim.settle()
        assert commit_all(victim) == 1
    assert victim.end.noted == []


def test_an_offer_about_somebody_we_do_not_carry_is_passed_over() -> None:
    victim = Victim()
    victim.hear(offer(0, about=ANN))
    assert not victim.end.ingest
    assert not victim.is_closed()


def test_an_offer_of_more_than_its_bytes_is_a_fault() -> None:
    victim = Victim()
    victim.hear(Offer(X, CLEO, (), tuple(said(2, body_bytes=40_000))))
    victim.assert_closed("malformed")


def test_an_offer_says_whom_it_is_to_concern() -> None:
    victim = Victim()
    victim.hear(offer(0))
    (delivery,) = victim.end.ingest
    assert isinstance(delivery, DeliverGiven)
    assert delivery.reason == X


def test_answers_and_whole_logs_share_the_line() -> None:
    store, cids = holding(said(100))
    store.fill(X, K, range(2_000), body_bytes=2_000)
    pair = Pair(stores=(store, Store()))
    pair.a.interest(carries=[X])
    pair.b.interest(interests=[X])
    pair.open().run_until(lambda: pair.b.delivered)
    pair.b.feed(Ask(0, ThreadFrame(0, ROOT, ANN)))
    pair.run_until(lambda: pair.b.answered)
    assert set(pair.b.store.singles) == set(cids)
    assert len(pair.b.store.logs[X][K]) < 2_000
    pair.run()
    assert len(pair.b.store.logs[X][K]) == 2_000
    assert any(isinstance(sent, Entries) for sent in pair.a.sent)


@pytest.mark.parametrize("seed", range(30))
def test_in_whatever_order_things_happen_everybody_gets_what_was_asked_and_offered(seed: int) -> None:
    rng = Random(seed)
    store, cids = holding(said(rng.randrange(1, 150), body_bytes=rng.choice((60, 3_000))))
    window = rng.choice((limits.MIN_WINDOW_BYTES, limits.DEFAULT_WINDOW_BYTES))
    pair = Pair(b=SessionConfig("test", "test", window_bytes=window), stores=(store, Store())).open()
    pair.a.interest(carries=[ANN])
    pair.run(rng)
    pair.b.feed(Ask(0, ThreadFrame(0, ROOT, ANN)))
    pair.b.feed(Ask(1, Need(0, CLEO, tuple(rng.sample(cids, min(len(cids), 9))))))
    dora = account("dora")
    offered = [concern(pair.a, record, ANN, by=dora) for record in said(5, by=dora)]
    for _ in range(rng.randrange(40)):
        if pending := pair.a.pending() + pair.b.pending():
            rng.choice(pending)()
    pair.b.interest(carries=[ANN])
    pair.run(rng)
    assert set(pair.b.store.singles) == {*cids, *offered}
    assert sorted(answered.tag for answered in pair.b.answered) == [0, 1]
    receiving, _ = pair.b.session._open_halves()
    assert receiving.deliveries._given + receiving.deliveries._due == window, "credit leaked"


# --- frames ----------------------------------------------------------------------------------------------

CID = st.binary(min_size=32, max_size=32).map(cid_of_digest)
INT = st.integers(0, 2**63 - 1)
TIPS = st.lists(st.binary(min_size=limits.TIP_BYTES, max_size=limits.TIP_BYTES), max_size=4).map(tuple)
ENTRY = st.binary(min_size=1, max_size=80)
ITEM = st.one_of(
    st.builds(Item, ENTRY, st.binary(max_size=80)), st.builds(Item, ENTRY, st.none(), st.sampled_from(Reason))
)
ITEMS = st.lists(ITEM, min_size=1, max_size=4).map(tuple)
OPS = st.lists(st.builds(type(operation("x")), ENTRY, st.binary(max_size=80)), max_size=3).map(tuple)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Need, INT, CID, st.lists(CID, min_size=1, max_size=5, unique=True).map(tuple)),
    st.builds(ThreadFrame, INT, CID, CID, TIPS),
    st.builds(Concerning, INT, CID, TIPS),
    st.builds(Given, INT),
    st.builds(Given, INT, CID, OPS, ITEMS, st.booleans(), st.none() | ITEM),
    st.builds(Offer, CID, CID, OPS, ITEMS, st.none() | ITEM),
)


@given(FRAMES)
def test_a_frame_survives_the_trip(frame: Frame) -> None:
    assert parse_frame(encode_frame(frame)) == frame


_RECORD: list[Any] = [b"e", b"b"]
NEED: dict[str, Any] = {"type": "need", "n": 1, "account": X, "ids": [X]}
THREAD: dict[str, Any] = {"type": "thread", "n": 1, "root": X, "account": X, "held": []}
GIVEN: dict[str, Any] = {"type": "given", "n": 1, "account": X, "items": [_RECORD], "more": False}
OFFER: dict[str, Any] = {"type": "offer", "about": X, "account": X, "items": [_RECORD]}
MALFORMED: dict[str, dict[str, Any]] = {
    "a need of nothing": NEED | {"ids": []},
    "a need of one record twice": NEED | {"ids": [X, X]},
    "a need of 65 records": NEED | {"ids": [account(f"{n}") for n in range(65)]},
    "a need without a number": NEED | {"n": None},
    "a need with number true": NEED | {"n": True},
    "a need below nothing": NEED | {"n": -1},
    "a need of nobody": NEED | {"account": None},
    "a need of a text": NEED | {"ids": ["x"]},
    "a thread without a root": THREAD | {"root": None},
    "a thread that holds a long digest": THREAD | {"held": [bytes(32)]},
    "a thread that holds a text": THREAD | {"held": ["x" * 16]},
    "a thread that holds too much": THREAD | {"held": [bytes(16)] * (limits.MAX_HELD + 1)},
    "a thread that holds null": THREAD | {"held": None},
    "concerning nobody": {"type": "concerning", "n": 1},
    "given without more": {name: value for name, value in GIVEN.items() if name != "more"},
    "given with more of a number": GIVEN | {"more": 1},
    "given of nothing": GIVEN | {"items": []},
    "given to nobody and more": {"type": "given", "n": 1, "more": True},
    "given records of nobody": {"type": "given", "n": 1, "more": False, "items": [_RECORD]},
    "given a profile of nobody": {"type": "given", "n": 1, "more": False, "profile": _RECORD},
    "given too many at once": GIVEN | {"items": [_RECORD] * (limits.MAX_GIVEN_ITEMS + 1)},
    "given too many operations": GIVEN | {"ops": [_RECORD] * (limits.MAX_GIVEN_OPS + 1)},
    "given an operation without body": GIVEN | {"ops": [[b"e", None]]},
    "given a profile that is none": GIVEN | {"profile": 7},
    "given with a null account": GIVEN | {"account": None},
    "an offer about nobody": OFFER | {"about": None},
    "an offer of nothing": OFFER | {"items": []},
    "an offer without items": {"type": "offer", "about": X, "account": X},
    "an offer of an empty entry": OFFER | {"items": [[b"", b"b"]]},
    "an offer about a raw block": OFFER | {"about": Cid(b"\x01\x55\x12\x20" + bytes(32))},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_breaks_a_rule_is_refused(name: str) -> None:
    with pytest.raises(MalformedFrame):
        parse_frame(encode(MALFORMED[name]))


def test_a_malformed_question_ends_the_session() -> None:
    victim = Victim()
    victim.hear_bytes(encode(NEED | {"ids": []}))
    victim.assert_closed("malformed")


def test_the_points_of_a_question_are_those_of_a_want() -> None:
    (record,) = said(1)
    assert tip_of(record.entry) == point(cid_of(record.entry))


def test_what_the_peer_carries_may_change_without_end() -> None:
    victim = Victim()
    for number in range(50):
        victim.hear(Carries((ANN,)))
        victim.end.feed(Concerns(account(f"{number}"), CLEO, K, (ANN,)))
        victim.hear(Carries((), (ANN,)))
    assert not victim.is_closed()
