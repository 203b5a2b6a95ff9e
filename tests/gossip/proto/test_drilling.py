"""The drill's model: what is lost, who finds the account again, and the one step that helps most."""

from dataclasses import replace

import pytest

from unhush.gossip.errors import MalformedLosses
from unhush.gossip.proto.decisions import Acquaintance
from unhush.gossip.proto.drilling import MAX_ACTORS, Step, rehearse
from unhush.gossip.proto.rehearsal import Way
from unhush.gossip.proto.situation import Losses, Machine, Situation, machines_around, parse_losses

HOME = Losses(home=True)


def star(followers: int, *, dialable: int, exchanges: bool = True) -> Situation:
    """A home in the middle, of whose followers so many can be dialled."""
    names = [f"f{number}" for number in range(followers)]
    machines = [
        Machine(name, is_carrier=True, is_dialable=number < dialable, links=frozenset({"home"}))
        for number, name in enumerate(names)
    ]
    home = Machine("home", is_carrier=True, is_dialable=True, links=frozenset(names), book=frozenset(names))
    return Situation("home", (home, *machines), exchanges=exchanges)


@pytest.mark.parametrize(
    ("text", "losses"),
    [
        ("home", Losses(home=True)),
        ("home,peer:2,keeper:1,handle,bootstrap", Losses(True, 2, 1, True, True)),
        (" peer:3 , keeper:1 ", Losses(peers=3, keepers=1)),
    ],
)
def test_what_is_lost_is_read(text: str, losses: Losses) -> None:
    assert parse_losses(text) == losses


@pytest.mark.parametrize("text", ["", "house", "peer", "peer:-1", "peer:65", "peer:x", "home,,peer:1", "home;peer:1"])
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(MalformedLosses):
        parse_losses(text)


def test_followers_that_were_told_of_each_other_find_the_account_again() -> None:
    report = rehearse(star(6, dialable=3), HOME)

    assert report.lost == ("home",)
    assert report.share == 1.0
    assert report.author_returns
    assert report.entry in {"f0", "f1", "f2"}
    assert set(report.ways) <= {Way.OPEN, Way.BOOK, Way.TOLD, Way.CALLED, Way.RETURN}
    assert sum(report.ways.values()) == pytest.approx(1.0)
    assert report.half_s is not None


def test_nobody_finds_it_if_nobody_left_can_be_dialled() -> None:
    report = rehearse(star(5, dialable=0), HOME)

    assert (report.share, report.entry) == (0.0, "")
    assert report.advice is not None
    assert report.advice.step in {Step.OPEN_FOLLOWER, Step.ADD_KEEPER}
    assert report.advice.share == 1.0


def test_without_exchange_a_card_is_what_helps() -> None:
    alone = star(6, dialable=2, exchanges=False)
    report = rehearse(alone, HOME)

    assert report.share < 0.5
    with_card = rehearse(replace(alone, card=frozenset({"home", "f0"})), HOME, advise=False)
    assert with_card.share == 1.0
    assert Way.CARD in with_card.ways
    assert report.advice is not None
    assert report.advice.share == 1.0


def test_a_keepers_card_is_told_from_the_accounts_own() -> None:
    alone = star(6, dialable=2, exchanges=False)
    machines = tuple(
        replace(machine, is_keeper=True, own_card=frozenset({"f0"})) if machine.name == "f0" else machine
        for machine in alone.machines
    )
    report = rehearse(replace(alone, machines=machines), HOME, advise=False)

    assert report.entry == "f0"
    assert report.share == 1.0
    assert Way.KEEPER_CARD in report.ways


def test_a_bootstrap_peer_brings_back_who_lost_everybody_and_is_missed_when_lost_too() -> None:
    """All hang on one machine, and came a moment ago, so nobody was told of anybody."""
    names = [f"f{number}" for number in range(5)]
    followers = [
        Machine(name, is_carrier=True, is_dialable=True, links=frozenset({"hub"}), there_s=0.01) for name in names
    ]
    home = Machine("home", is_carrier=True, is_dialable=True, links=frozenset({"hub"}))
    hub = Machine("hub", is_carrier=True, is_dialable=True)
    bootstrap = Machine("bootstrap", is_carrier=False, is_dialable=True)
    situation = Situation("home", (home, hub, *followers, bootstrap), bootstrap=frozenset({"bootstrap"}), is_known=True)
    with_it = rehearse(situation, Losses(peers=1), advise=False)
    without = rehearse(situation, Losses(peers=1, bootstrap=True), advise=False)

    assert with_it.lost == ("hub",)
    assert with_it.share == 1.0
    assert without.share == 0.0


def test_words_that_are_not_written_down_come_first_of_all() -> None:
    report = rehearse(replace(star(5, dialable=1), has_words=False, records_here=3, pictures=2), HOME)

    assert not report.author_returns
    assert report.share > 0
    assert (report.records_lost, report.pictures_lost) == (3, 2)
    assert report.advice is not None
    assert report.advice.step is Step.WRITE_WORDS


def test_where_nobody_finds_it_what_lets_them_comes_before_the_words() -> None:
    report = rehearse(replace(star(5, dialable=0), has_words=False, records_here=3), HOME)

    assert report.share == 0
    assert report.advice is not None
    assert report.advice.step in {Step.OPEN_FOLLOWER, Step.ADD_KEEPER}
    assert report.advice.share == 1.0


def test_records_that_are_only_here_are_worth_a_wait() -> None:
    report = rehearse(replace(star(5, dialable=3), records_here=3), HOME)

    assert report.advice is not None
    assert report.advice.step is Step.STAY_ONLINE


def test_where_nothing_is_lost_the_advice_is_for_worse() -> None:
    report = rehearse(star(5, dialable=2), HOME)

    assert report.share == 1.0
    assert report.advice is not None
    assert report.advice.harder_by > 0
    assert report.advice.share > report.advice.share_before


def test_the_best_connected_are_lost_and_keepers_apart_from_peers() -> None:
    situation = star(4, dialable=4)
    more = frozenset({"f2", "f3"})
    machines = tuple(
        replace(m, links=m.links | more) if m.name == "f1" else replace(m, is_keeper=m.name == "f0")
        for m in situation.machines
    )
    report = rehearse(replace(situation, machines=machines), Losses(peers=1, keepers=2), advise=False)

    assert report.lost == ("f1", "f0")
    assert report.share == 1.0  # the home is there
    assert (report.records_lost, report.entry) == (0, "")


def test_one_seed_is_one_drill_and_what_is_unknown_gives_a_range() -> None:
    known = star(6, dialable=2)
    unknown = replace(
        known,
        machines=tuple(replace(m, is_dialable=None) if m.name in {"f1", "f2", "f3"} else m for m in known.machines),
        unplaced=3,
        exchanges=False,
    )
    first, again = (rehearse(unknown, HOME, seed=4, advise=False) for _ in range(2))

    assert first == again
    assert first.is_sample
    assert (first.undialled, first.unplaced) == (3, 3)
    assert first.low <= first.share <= first.high
    assert first.low < first.high


def test_of_very_many_a_sample_is_rehearsed_with_home_and_keepers_in_it() -> None:
    situation = replace(star(2 * MAX_ACTORS, dialable=9), is_known=True)
    machines = tuple(replace(m, is_keeper=m.name == "f77") for m in situation.machines)
    report = rehearse(replace(situation, machines=machines), Losses(home=True, keepers=1), advise=False)

    assert report.lost == ("home", "f77")
    assert report.followers <= MAX_ACTORS


def test_an_account_that_nobody_else_carries_is_said_to_have_nobody() -> None:
    report = rehearse(star(0, dialable=0), HOME)

    assert (report.followers, report.entry) == (0, "")
    assert report.advice is not None
    assert (report.advice.step, report.advice.share) == (Step.ADD_KEEPER, 1.0)


def test_the_machines_around_are_those_that_are_there() -> None:
    def known(peer_id: str, *, is_connected: bool, knows: tuple[str, ...] = ()) -> Acquaintance:
        return Acquaintance(peer_id, f"/somewhere/{peer_id}", is_connected, False, False, True, knows, (), 5.0)

    around = machines_around(
        Machine("home", is_carrier=True),
        [
            known("a", is_connected=True, knows=("b",)),
            known("b", is_connected=False),
            known("gone", is_connected=False),
        ],
        {"b": False, "gone": False},
    )
    names = {machine.name: machine for machine in around}

    assert set(names) == {"home", "a", "b"}
    assert names["home"].links == {"a"}
    assert names["home"].book == {"a", "b"}
    assert names["a"].links == {"b"}
    assert names["a"].is_dialable is None
    assert names["b"].is_dialable is False
