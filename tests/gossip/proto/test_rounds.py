"""Whom one question is put to, and how long anybody is waited for."""

from random import Random

import pytest

from unhush.gossip.proto.rounds import AT_ONCE, PATIENCE_S, Round

PEERS = [f"{number}" for number in range(9)]


def ask_all(round_: Round, now: float) -> list[str]:
    asked = []
    while (peer := round_.next_peer(now)) is not None:
        asked.append(peer)
    return asked


def test_a_few_are_asked_and_each_that_lacks_it_makes_room_for_the_next() -> None:
    round_ = Round(PEERS, 0.0, until_found=True)
    assert ask_all(round_, 0.0) == PEERS[:AT_ONCE]
    for number in range(len(PEERS)):
        assert not round_.is_over(0.0)
        round_.heard(PEERS[number], is_answer=True)
        assert ask_all(round_, 0.0) == PEERS[number + AT_ONCE : number + AT_ONCE + 1]
    assert round_.is_over(0.0)


def test_of_a_conversation_a_few_answers_are_enough() -> None:
    round_ = Round(PEERS, 0.0, until_found=False)
    for peer in ask_all(round_, 0.0):
        assert not round_.is_over(0.0)
        round_.heard(peer, is_answer=True)
    assert ask_all(round_, 0.0) == []
    assert round_.is_over(0.0)


@pytest.mark.parametrize("until_found", [True, False])
def test_in_place_of_silent_peers_others_are_asked(until_found: bool) -> None:
    round_ = Round(PEERS, 0.0, until_found=until_found)
    ask_all(round_, 0.0)
    assert ask_all(round_, PATIENCE_S - 0.1) == []
    assert ask_all(round_, PATIENCE_S) == PEERS[AT_ONCE : 2 * AT_ONCE]
    assert round_.silent(PATIENCE_S) == PEERS[:AT_ONCE]
    round_.heard(PEERS[0], is_answer=False)
    assert round_.silent(PATIENCE_S) == PEERS[1:AT_ONCE]


def test_of_a_conversation_nobody_is_waited_for_after_some_seconds_and_an_answer() -> None:
    round_ = Round(PEERS, 0.0, until_found=False)
    ask_all(round_, 0.0)
    round_.heard("1", is_answer=True)
    assert not round_.is_over(PATIENCE_S - 0.1)
    assert round_.is_over(PATIENCE_S)


@pytest.mark.parametrize("until_found", [True, False])
def test_when_nobody_answered_the_silent_are_hoped_for(until_found: bool) -> None:
    round_ = Round(PEERS[:2], 0.0, until_found=until_found)
    ask_all(round_, 0.0)
    assert not round_.is_over(10 * PATIENCE_S)
    round_.heard("0", is_answer=False)
    round_.heard("1", is_answer=False)
    assert round_.is_over(10 * PATIENCE_S)


@pytest.mark.parametrize("until_found", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_whatever_peers_do_it_ends_and_nobody_is_asked_twice(seed: int, until_found: bool) -> None:
    dice, asked, open_ = Random(seed), [], set()  # type: ignore[var-annotated]
    round_, now = Round(PEERS, 0.0, until_found=until_found), 0.0
    while not round_.is_over(now):
        new = ask_all(round_, now)
        asked += new
        open_ |= set(new)
        for peer in sorted(open_):
            if dice.random() < 0.1:
                round_.heard(peer, is_answer=dice.random() < 0.5)
                open_.discard(peer)
        now += 1
        assert now < 200
    assert len(asked) == len(set(asked))
