"""Whose turn it is at ingest: live before bulk, bulk never starved, senders in turn, each with its bound."""

from unhush.node.service.waiting import (
    ASSURED_BYTES,
    BUSY_GROUP_BYTES,
    BUSY_S,
    GROUP_BYTES,
    LIVE_TURNS,
    MAX_SOURCE_BYTES,
    MAX_WAITING_BYTES,
    Delivery,
    Waiting,
)
from unhush.storage.arrivals import Arrival, Batch

KIB = 1024


def delivery(source: str, size_bytes: int = KIB, *, wanted_only: bool = True) -> Delivery:
    return Delivery(Batch((Arrival(b"", None),), source, wanted_only), size_bytes, lambda _: None)


def put(waiting: Waiting, source: str, size_bytes: int = KIB, *, is_live: bool = False, now: float = 0.0) -> bool:
    return waiting.put(delivery(source, size_bytes), is_live=is_live, now=now)


def sources(taken: list[Delivery]) -> list[str]:
    return [each.source for each in taken]


def test_live_goes_before_bulk_that_came_first() -> None:
    waiting = Waiting()
    put(waiting, "history", 64 * KIB)
    put(waiting, "somebody writing", is_live=True)

    assert sources(waiting.take(0.0)) == ["somebody writing"]
    assert sources(waiting.take(0.0)) == ["history"]
    assert waiting.take(0.0) == []
    assert not waiting


def test_bulk_has_its_turn_however_much_is_live() -> None:
    waiting = Waiting()
    put(waiting, "history")
    turns = 0
    while True:
        put(waiting, "flood", is_live=True)
        turns += 1
        if sources(waiting.take(0.0)) == ["history"]:
            break

    assert turns == LIVE_TURNS + 1


def test_live_alone_needs_no_turns() -> None:
    waiting = Waiting()
    for _ in range(3 * LIVE_TURNS):
        put(waiting, "ann", is_live=True)
        assert sources(waiting.take(0.0)) == ["ann"]


def test_one_sender_who_brings_much_does_not_keep_another_waiting() -> None:
    waiting = Waiting()
    for _ in range(20):
        put(waiting, "much", GROUP_BYTES // 4)
    put(waiting, "little", KIB)

    assert "little" in sources(waiting.take(0.0))


def test_what_one_sender_gives_stays_in_order() -> None:
    waiting = Waiting()
    given = [delivery(f"peer {number % 3}") for number in range(30)]
    for each in given:
        waiting.put(each, is_live=False, now=0.0)
    taken = []
    while group := waiting.take(0.0):
        taken += group

    assert len(taken) == len(given)
    for source in {each.source for each in given}:
        ours = [id(each) for each in taken if each.source == source]
        assert ours == [id(each) for each in given if each.source == source]


def test_commits_are_small_while_somebody_writes_and_large_again_after() -> None:
    waiting = Waiting()
    for _ in range(96):
        put(waiting, "history", BUSY_GROUP_BYTES // 4)
    put(waiting, "ann", is_live=True, now=10.0)
    waiting.take(10.0)

    assert sum(each.size_bytes for each in waiting.take(10.1)) == BUSY_GROUP_BYTES
    assert sum(each.size_bytes for each in waiting.take(10.2 + BUSY_S)) == GROUP_BYTES


def test_deliveries_that_are_judged_otherwise_do_not_share_a_commit() -> None:
    waiting = Waiting()
    waiting.put(delivery("peer"), is_live=False, now=0.0)
    waiting.put(delivery("file", wanted_only=False), is_live=False, now=0.0)

    assert sources(waiting.take(0.0)) == ["peer"]
    assert sources(waiting.take(0.0)) == ["file"]


def test_a_sender_with_enough_waiting_is_turned_away_and_others_are_not() -> None:
    waiting = Waiting()
    while put(waiting, "greedy", 64 * KIB):
        assert waiting.size_bytes <= MAX_SOURCE_BYTES
    assert waiting.size_bytes == MAX_SOURCE_BYTES
    assert put(waiting, "modest", 64 * KIB)


def test_when_there_is_no_room_whoever_has_little_waiting_is_let_in() -> None:
    waiting = Waiting()
    crowd = [f"peer {number}" for number in range(MAX_WAITING_BYTES // MAX_SOURCE_BYTES)]
    for source in crowd:
        assert put(waiting, source, MAX_SOURCE_BYTES)

    assert not put(waiting, "late", ASSURED_BYTES + 1)
    assert put(waiting, "late", ASSURED_BYTES)
    assert not put(waiting, "late", KIB)


def test_room_is_free_again_once_it_was_taken() -> None:
    waiting = Waiting()
    assert put(waiting, "peer", MAX_SOURCE_BYTES)
    assert not put(waiting, "peer")
    assert waiting.put(delivery("empty", 0), is_live=True, now=0.0)
    assert waiting.put(delivery("empty", 0), is_live=True, now=0.0)
    while waiting.take(0.0):
        pass

    assert waiting.size_bytes == 0
    assert put(waiting, "peer", MAX_SOURCE_BYTES)


def test_bulk_waits_for_what_its_sender_gave_as_live_before_it_and_nobody_elses_does() -> None:
    """Stored side by side: the operation that comes first must be there first."""
    waiting = Waiting()
    before, after = delivery("ann"), delivery("ann")
    put(waiting, "ann", 2 * KIB)
    waiting.put(before, is_live=True, now=0.0)
    waiting.put(after, is_live=False, now=0.0)
    put(waiting, "ben")

    assert [each.size_bytes for each in waiting.take_bulk(0.0) if each.source == "ann"] == [2 * KIB]
    assert waiting.take_bulk(0.0) == []
    assert waiting.take_live() == [before]
    assert waiting.take_bulk(0.0) == []
    waiting.ended(before)
    assert waiting.take_bulk(0.0) == [after]


def test_a_flood_of_live_records_never_holds_up_bulk_that_was_there_before_it() -> None:
    waiting = Waiting()
    put(waiting, "ann", 2 * KIB)
    for _ in range(100):
        put(waiting, "ann", is_live=True)

    assert sources(waiting.take_bulk(0.0)) == ["ann"]
