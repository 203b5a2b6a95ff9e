"""What this device writes is announced once the peers at hand have shown what they hold of it."""

from itertools import pairwise

from unhush.gossip.proto import limits
from unhush.gossip.proto.checks import OwnChecks

PATIENCE = limits.OWN_CHECK_PATIENCE_S


def checks_of(*sessions: str, now: float = 0.0) -> OwnChecks:
    checks = OwnChecks()
    for session in sessions:
        checks.opened(session, now)
    return checks


def test_with_nobody_connected_nothing_is_announced() -> None:
    checks = checks_of()
    assert not checks.may_announce(1_000.0)


def test_one_clean_answer_is_needed_and_enough() -> None:
    checks = checks_of("a")
    assert not checks.may_announce(2 * PATIENCE)
    checks.checked("a", is_clean=True)
    assert checks.may_announce(0.0)


def test_an_answer_about_to_come_is_waited_for_and_not_for_ever() -> None:
    checks = checks_of("a", "b")
    checks.checked("a", is_clean=True)
    assert not checks.may_announce(PATIENCE - 1)
    assert checks.may_announce(PATIENCE)
    checks.opened("c", PATIENCE)
    assert not checks.may_announce(PATIENCE + 1)
    checks.closed("c")
    assert checks.may_announce(PATIENCE + 1)


def test_who_has_answered_is_counted_while_connected() -> None:
    checks = checks_of("a", "b")
    assert checks.count_answered() == 0
    checks.checked("a", is_clean=True)
    assert checks.count_answered() == 1
    checks.closed("a")
    assert checks.count_answered() == 0


def test_a_clean_answer_outlives_its_session() -> None:
    checks = checks_of("a")
    checks.checked("a", is_clean=True)
    checks.closed("a")
    assert not checks.may_announce(1.0)
    checks.opened("b", 1.0)
    assert checks.may_announce(1.0 + PATIENCE)


def test_one_sign_of_another_home_ends_it_for_good() -> None:
    checks = checks_of("a", "b")
    checks.checked("a", is_clean=False)
    checks.checked("b", is_clean=True)
    assert not checks.may_announce(2 * PATIENCE)
    assert checks.is_unclean


def test_who_was_asked_before_the_home_changed_is_not_heard() -> None:
    checks = checks_of("a")
    checks.checked("of the past", is_clean=True)
    assert not checks.may_announce(2 * PATIENCE)
    checks.checked("of the past", is_clean=False)
    assert not checks.is_unclean


def test_strangers_who_come_anew_and_stay_silent_hold_nothing_up_for_longer_than_one_of_them_could() -> None:
    checks = checks_of("follower")
    checks.checked("follower", is_clean=True)
    announced_at = [1]
    for now in range(1, 600):
        if now % 20 == 1:
            checks.closed(now // 20 - 2)
            checks.opened(now // 20, now)
        if checks.may_announce(now):
            announced_at.append(now)
    gaps = [later - before for before, later in pairwise(announced_at)]
    assert max(gaps) <= PATIENCE


def test_who_came_before_anything_could_be_announced_is_waited_for() -> None:
    checks = checks_of("a", "b")
    assert not checks.may_announce(1.0)
    checks.opened("c", 2.0)
    checks.checked("a", is_clean=True)
    assert not checks.may_announce(3.0)
    checks.opened("late", 4.0)
    checks.checked("b", is_clean=True)
    assert not checks.may_announce(5.0)
    checks.checked("c", is_clean=True)
    assert checks.may_announce(6.0)
