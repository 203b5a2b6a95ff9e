"""How much gossip may bring: rates by peer and by account, and a queue that is fair."""

from tests.support.people import Person

from unhush.gossip.proto import admission
from unhush.gossip.proto.admission import Admission
from unhush.gossip.proto.early import FIRST_WAIT_S, LONGEST_WAIT_S, MAX_ACCOUNTS, Early
from unhush.gossip.proto.fairness import FairQueue
from unhush.identity.cid import Cid, cid_of

ANN = Person("Ann", seed=1).account
BEN = Person("Ben", seed=2).account


def account(number: int) -> Cid:
    return cid_of(b"%d" % number)


def test_a_peer_hands_on_500_records_at_once_and_then_50_a_second() -> None:
    door = Admission()
    assert sum(door.takes_from("peer", 1, 0.0) for _ in range(5_000)) == 500
    taken = sum(door.takes_from("peer", 1, tick / 1_000) for tick in range(1, 10_001))
    assert 490 <= taken <= 500, "in ten seconds"
    assert door.takes_from("another", 500, 10.0)


def test_an_account_says_60_records_at_once_and_then_one_a_second() -> None:
    door = Admission()
    assert sum(door.takes_of({ANN: 1}, 0.0) for _ in range(1_000)) == 60
    assert sum(door.takes_of({ANN: 1}, second / 10) for second in range(1, 1_001)) in (99, 100), "in a hundred seconds"
    assert door.takes_of({BEN: 1}, 0.0)


def test_an_account_says_2000_records_a_day_however_it_spreads_them() -> None:
    door = Admission()
    taken = sum(door.takes_of({ANN: 1}, float(second)) for second in range(86_400 // 2))
    # The day's share refills evenly: half a day has the whole and half of it again.
    assert taken <= 3_000
    assert sum(door.takes_of({ANN: 1}, 86_400 / 2 + second) for second in range(100)) <= 3


def test_a_message_as_large_as_can_be_passes_a_full_allowance_and_no_other() -> None:
    door = Admission()
    assert door.takes_of({ANN: 64}, 0.0), "a hint has up to 64 records, a burst is 60"
    assert not door.takes_of({ANN: 1}, 0.5)


def test_a_message_that_one_account_may_not_say_costs_the_others_in_it_nothing() -> None:
    door = Admission()
    assert door.takes_of({ANN: 60}, 0.0)
    for _ in range(100):
        assert not door.takes_of({BEN: 1, ANN: 1}, 0.0)
    assert door.takes_of({BEN: 60}, 0.0)


def test_the_tables_are_bounded_and_forget_who_was_longest_silent() -> None:
    door = Admission()
    for number in range(3 * admission.MAX_ACCOUNTS // 2):
        door.takes_of({account(number): 1}, 0.0)
        door.takes_from(f"peer {number}", 1, 0.0)
    assert len(door._accounts) == len(door._days) == admission.MAX_ACCOUNTS
    assert len(door._peers) == admission.MAX_PEERS


# The queue


def test_a_full_queue_drops_from_whoever_has_most_in_it() -> None:
    queue: FairQueue[int] = FairQueue(512)
    for number in range(512):
        assert queue.push("flood", number) is None
    assert queue.push("honest", -1) == 511, "the newest of the flood"
    assert queue.push("flood", 9_999) == 9_999, "the flood loses its own"
    assert len(queue) == 512
    assert [queue.pop()[1], queue.pop()[1]] == [0, -1], "and the honest one waits for one only"


def test_sources_take_turns() -> None:
    queue: FairQueue[int] = FairQueue(100)
    for source, many in (("a", 5), ("b", 2), ("c", 1)):
        for number in range(many):
            queue.push(source, number)
    assert "".join(queue.pop()[0] for _ in range(len(queue))) == "abcabaaa"
    assert len(queue) == 0


def test_ten_thousand_pushes_of_many_sources_never_pass_the_bound() -> None:
    queue: FairQueue[int] = FairQueue(512)
    for number in range(10_000):
        queue.push(f"source {number % 97}", number)
        assert len(queue) <= 512
    assert {queue.pop()[0] for _ in range(97)} == {f"source {each}" for each in range(97)}


# Early records


def test_who_spoke_too_early_is_asked_again_after_five_minutes_and_then_ever_more_seldom() -> None:
    early = Early()
    now, waits = 0.0, []
    for _ in range(6):
        early.came(ANN, now)
        early.came(ANN, now)
        began, due = now, []
        while not due:
            now += 10
            due = early.take_due(now)
        waits.append(now - began)
        assert due == [ANN]
    assert waits[:2] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S]
    assert max(waits) == LONGEST_WAIT_S


def test_of_those_who_spoke_too_early_256_are_remembered() -> None:
    early = Early()
    were_kept = [early.came(account(number), 0.0) for number in range(1_000)]
    assert were_kept.count(False) == 1_000 - MAX_ACCOUNTS, "of the others it is said that they are forgotten"
    assert len(early.take_due(LONGEST_WAIT_S)) == MAX_ACCOUNTS
