"""Telling: who is asked when, who is told what, and that no peer can make it talk without end."""

from typing import Final

from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.statements import MAX_ACCOUNTS
from unhush.gossip.proto.telling import (
    ABOUT_AGAIN_S,
    GATHER_S,
    LONGEST_SINCE_S,
    MAX_ASKED,
    MAX_QUEUED,
    MAX_WANTED,
    REST_S,
    SINCE_S,
    TOLD_AT_ONCE,
    WANTED_S,
    AskAbout,
    AskSince,
    Step,
    Telling,
    TellPeer,
)
from unhush.identity.cid import Cid, cid_of

ANN: Final = cid_of(b"ann")
BEN: Final = cid_of(b"ben")


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def telling(*peers: str) -> Telling:
    made = Telling(seed=b"seed")
    for peer in peers:
        made.connected(peer, 0.0)
    return made


def settled(*peers: str, carriage: bytes = b"") -> Telling:
    """Peers that were asked, had nothing, and said what they want."""
    made = telling(*peers)
    for step in made.decide(0.0):
        assert isinstance(step, AskSince)
        made.asked(step, 0.0, gained=0)
    for peer in peers:
        made.heard_filter(peer, carriage)
    return made


def only(steps: list[Step]) -> Step:
    (step,) = steps
    return step


def abouts(steps: list[Step]) -> list[AskAbout]:
    return [step for step in steps if isinstance(step, AskAbout)]


def test_a_peer_is_asked_at_once_on_connecting_and_once_at_a_time() -> None:
    made = telling("a", "b")
    assert made.next_time(0.0) == 0.0
    assert made.decide(0.0) == [AskSince("a"), AskSince("b")]
    assert made.decide(100.0) == []


def test_with_nobody_there_it_never_wakes() -> None:
    made = telling("a")
    made.disconnected("a")
    made.gained(digest(1), (ANN,), 0.0)
    assert made.next_time(5.0) == float("inf")
    assert made.decide(5.0) == []


def test_a_peer_that_has_nothing_is_asked_ever_more_seldom_and_one_that_gives_each_minute() -> None:
    made, now = telling("a"), 0.0
    waits = []
    for _ in range(8):
        step = only(made.decide(now))
        assert isinstance(step, AskSince)
        made.asked(step, now, gained=0)
        waits.append(made.next_time(now) - now)
        now = made.next_time(now)
    assert 0.8 * 2 * SINCE_S <= waits[0] <= 1.2 * 2 * SINCE_S
    assert 0.8 * LONGEST_SINCE_S <= waits[-1] <= 1.2 * LONGEST_SINCE_S
    step = only(made.decide(now))
    assert isinstance(step, AskSince)
    made.asked(step, now, gained=3)
    assert 0.8 * SINCE_S <= made.next_time(now) - now <= 1.2 * SINCE_S


def test_peers_are_not_all_asked_in_the_same_instant() -> None:
    names = [f"peer {number}" for number in range(20)]
    made = settled(*names)
    times = {made._peers[name].since_at for name in names}
    assert len(times) == 20


def test_what_has_more_is_asked_again_soon() -> None:
    made = telling("a")
    step = only(made.decide(0.0))
    assert isinstance(step, AskSince)
    made.asked(step, 0.0, gained=256, is_more=True)
    assert made.next_time(0.0) == REST_S


def test_what_is_gained_is_told_within_a_second_to_those_whose_filter_names_it() -> None:
    made = settled("fan", "stranger", "mute")
    made.heard_filter("fan", pack_carriage([ANN]))
    made.heard_filter("stranger", pack_carriage([BEN]))
    made._peers["mute"].wants = None  # it never asked
    made.gained(digest(1), (ANN,), 10.0)
    made.gained(digest(2), (ANN,), 10.1)
    assert made.decide(10.1) == []
    assert made.next_time(10.1) <= 10.0 + GATHER_S
    assert made.decide(10.0 + GATHER_S) == [TellPeer("fan", (digest(1), digest(2)))]
    made.told(TellPeer("fan", ()), 10.5)
    assert made.decide(11.0) == []


def test_who_carries_everything_is_told_everything() -> None:
    made = settled("all")
    made.gained(digest(1), (BEN,), 10.0)
    assert made.decide(11.0) == [TellPeer("all", (digest(1),))]


def test_nothing_goes_back_to_where_it_came_from_nor_to_who_showed_that_it_has_it() -> None:
    made = settled("giver", "knows", "other")
    made.gained(digest(1), (ANN,), 10.0, source="giver")
    made.has("knows", [digest(1)])
    assert made.decide(11.0) == [TellPeer("other", (digest(1),))]


def test_telling_is_bound_in_rate_and_what_waits_in_number() -> None:
    made = settled("a")
    for number in range(3 * MAX_QUEUED):
        made.gained(digest(number), (ANN,), 10.0)
    assert made.not_told == 2 * MAX_QUEUED
    told, now = 0, 11.0
    while now < 71.0:
        for step in made.decide(now):
            assert isinstance(step, TellPeer)
            told += len(step.digests)
            made.told(step, now)
        made.gained(digest(int(now * 1_000)), (ANN,), now)
        now += 0.5
    assert told <= 2 * TOLD_AT_ONCE
    assert told > MAX_QUEUED


def test_who_refused_is_told_no_more_until_it_asks_again() -> None:
    made = settled("a")
    made.gained(digest(1), (ANN,), 10.0)
    step = only(made.decide(11.0))
    made.refused(step, 11.0)
    made.gained(digest(2), (ANN,), 12.0)
    assert made.decide(13.0) == []
    made.heard_filter("a", b"")
    made.gained(digest(3), (ANN,), 14.0)
    assert made.decide(15.0) == [TellPeer("a", (digest(3),))]


def test_an_account_newly_minded_is_asked_about_and_those_of_the_beginning_are_not() -> None:
    made = settled("a", "b")
    made.mind(frozenset({ANN}), 1.0)
    assert made.decide(1.0) == []
    made.mind(frozenset({ANN, BEN}), 2.0)
    assert made.decide(2.0) == [AskAbout("a", (BEN,)), AskAbout("b", (BEN,))]
    for step in (AskAbout("a", (BEN,)), AskAbout("b", (BEN,))):
        made.asked(step, 2.5, gained=1)
    made.mind(frozenset({ANN, BEN}), 3.0)
    assert made.decide(3.0) == []


def test_who_connects_later_is_asked_too_for_a_while() -> None:
    made = settled("a")
    made.mind(frozenset(), 0.0)
    made.want(BEN, 1.0)
    made.asked(abouts(made.decide(1.0))[0], 1.0, gained=0)
    made.connected("late", 30.0)
    since = only(made.decide(30.0))
    assert isinstance(since, AskSince)
    made.asked(since, 30.0, gained=0)
    assert abouts(made.decide(30.0)) == [AskAbout("late", (BEN,))]
    made.connected("too late", WANTED_S + 10.0)
    assert abouts(made.decide(WANTED_S + 10.0)) == []


def test_only_so_many_peers_are_asked_about_one_account_and_not_again_at_once() -> None:
    names = [f"peer {number}" for number in range(3 * MAX_ASKED)]
    made = settled(*names)
    made.want(ANN, 1.0)
    made.want(ANN, 1.0 + ABOUT_AGAIN_S / 2)
    steps = abouts(made.decide(1.0 + ABOUT_AGAIN_S / 2))
    assert len(steps) == MAX_ASKED
    for step in steps:
        made.asked(step, 7.0, gained=0)
    assert abouts(made.decide(8.0)) == []
    made.want(ANN, 1.0 + ABOUT_AGAIN_S)
    assert len(abouts(made.decide(1.0 + ABOUT_AGAIN_S))) == MAX_ASKED


def test_wants_are_bound_and_batched() -> None:
    made = settled("a")
    accounts = [cid_of(number.to_bytes(4, "big")) for number in range(2 * MAX_WANTED)]
    for account in accounts:
        made.want(account, 1.0)
    assert len(made._wanted) == MAX_WANTED
    asked: list[Cid] = []
    now = 1.0
    while now < 60.0:
        for step in abouts(made.decide(now)):
            assert len(step.accounts) <= MAX_ACCOUNTS
            asked += step.accounts
            made.asked(step, now, gained=0)
        now += 0.5
    assert 20 * MAX_ACCOUNTS <= len(asked) <= 41 * MAX_ACCOUNTS
    assert len(set(asked)) == len(asked)


def test_one_seed_makes_one_history() -> None:
    def history() -> list[tuple[float, list[Step]]]:
        made, now, steps = telling("a", "b"), 0.0, []
        for _ in range(30):
            decided = made.decide(now)
            steps.append((now, decided))
            for step in decided:
                assert isinstance(step, AskSince)
                made.asked(step, now, gained=0)
            now = made.next_time(now)
        return steps

    assert history() == history()
