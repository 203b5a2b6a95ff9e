"""What waits for a session grows with where things happen, not with how much does."""

from tests.support.people import Person

from unhush.gossip.proto.events import (
    Closed,
    Event,
    Forked,
    Grew,
    HoleSeen,
    InterestsChanged,
    LogGrew,
    Received,
    Refolded,
    Tick,
    Written,
)
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.untold import MAX_UNTOLD, Untold
from unhush.identity.cid import cid_of
from unhush.identity.keys import PublicKey

ANN, BEN = Person("Ann", seed=1), Person("Ben", seed=2)


def grew(person: Person, seq: int) -> Grew:
    return Grew(person.account, person.key, seq, cid_of(b"%d" % seq))


def take_all(untold: Untold) -> list[Event]:
    taken = []
    while (event := untold.take()) is not None:
        taken.append(event)
    return taken


def test_a_bulk_of_100000_records_takes_the_room_of_its_logs() -> None:
    untold = Untold()
    for seq in range(50_000):
        untold.put(grew(ANN, seq))
        untold.put(grew(BEN, 50_000 - seq))
    assert len(untold) == 2
    assert take_all(untold) == [
        LogGrew(ANN.account, ANN.key, Ranges.span(0, 49_999)),
        LogGrew(BEN.account, BEN.key, Ranges.span(1, 50_000)),
    ]


def test_what_grows_while_it_is_being_told_is_told_too() -> None:
    untold = Untold()
    for seq in range(10):
        untold.put(grew(ANN, seq))
    first = untold.take()
    untold.put(grew(ANN, 12))
    untold.put(LogGrew(ANN.account, ANN.key, Ranges.of([(9, 11), (20, 21)])))
    assert first == LogGrew(ANN.account, ANN.key, Ranges.span(0, 9))
    assert take_all(untold) == [LogGrew(ANN.account, ANN.key, Ranges.of([(9, 12), (20, 21)]))]


def test_operations_are_told_each_by_its_id() -> None:
    untold = Untold()
    operations = [Grew(ANN.account, None, 1, cid_of(b"%d" % number)) for number in range(5)]
    for event in operations * 3:
        untold.put(event)
    assert take_all(untold) == operations


def test_what_says_the_same_twice_is_told_once_and_the_newest_counts() -> None:
    untold = Untold()
    old, new = InterestsChanged(frozenset(), frozenset()), InterestsChanged(frozenset([ANN.account]), frozenset())
    for event in (Tick(), old, Tick(), HoleSeen(ANN.account), HoleSeen(ANN.account), Refolded(ANN.account), new):
        untold.put(event)
    for seq in (7, 3, 5):
        untold.put(Forked(ANN.account, ANN.key, seq))
    expected = [Tick(), new, HoleSeen(ANN.account), Refolded(ANN.account), Forked(ANN.account, ANN.key, 3)]
    assert take_all(untold) == expected


def test_frames_and_answers_are_told_one_by_one_in_order() -> None:
    untold = Untold()
    events = [Received(b"1"), Written(1), Received(b"1"), Written(1), Closed()]
    for event in events:
        untold.put(event)
    assert take_all(untold) == events


def test_neither_growth_nor_frames_wait_for_all_of_the_other() -> None:
    untold = Untold()
    for seq in range(1_000):
        untold.put(Grew(ANN.account, PublicKey(seq.to_bytes(32)), 0, ANN.account))
        untold.put(Received(b"frame"))
    told = [isinstance(event, LogGrew) for event in take_all(untold)[:100]]
    assert sum(told) == 50


def test_beyond_65536_pieces_it_is_too_much() -> None:
    untold = Untold()
    for seq in range(0, 2 * MAX_UNTOLD, 2):
        untold.put(grew(ANN, seq) if seq < 100 else Received(b""))
    assert not untold.is_too_much
    untold.put(Tick())
    assert untold.is_too_much
