"""Invites between real nodes on loopback: one text makes two accounts follow each other; all else comes to nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.gossip.proto.test_accepting import acceptance_of
from tests.support.commands import await_until
from tests.support.nodes import config_of
from tests.support.people import Clock, Person

from unhush.gossip.proto.accepting import Acceptance, Code, parse_acceptance
from unhush.gossip.proto.invites import MAX_STARTER, encode_invite, parse_invite
from unhush.identity.cid import Cid, cid_of
from unhush.node import Config, Node, found_account
from unhush.node.errors import (
    BadConfig,
    InviteEnded,
    InviteMistyped,
    MalformedInvite,
    NoAccount,
    NotFound,
    NotRunning,
    WrongNetwork,
)
from unhush.node.people.invites import DAY_S, Desk
from unhush.storage.contacts import Contact
from unhush.storage.invites import Stage

Make = Callable[..., Node]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Nodes that end with the test."""
    with ExitStack() as stack:

        def make_node(name: str, **settings: Any) -> Node:
            config = config_of(tmp_path / name, **({"lan": False} | settings))
            found_account(config, name)
            return stack.enter_context(Node(config))

        yield make_node


def follows(node: Node) -> set[Cid]:
    return {person.account for person in node.follows()}


def request_of(node: Node, inviter: Node) -> Acceptance:
    """What a node wants to tell an inviter, before it has."""
    held = node._store.invites.find_accepted(inviter.account())
    assert held is not None
    return parse_acceptance(held.request)


# -- the way it is meant


def test_one_text_makes_two_accounts_follow_each_other_and_either_can_take_it_back(make: Make) -> None:
    ann, ben = make("Ann"), make("Ben")
    ann.post("before anybody came")
    ann.start_network()
    given = ann.invite()
    read = ben.read_invite(given.link)
    assert (read.account, read.name, read.is_over) == (ann.account(), "Ann", False)
    assert read.fingerprint == ann.devices.identity(ann.account()).fingerprint
    assert ben.follows() == ()

    accepted = ben.accept(given.link, timeout_s=30)

    assert (accepted.state, accepted.followed) == ("mutual", (ann.account(),))
    assert accepted.person.petname == "Ann"
    assert follows(ann) == {ben.account()}
    assert follows(ben) == {ann.account()}
    (open_invite,) = ann.invites()
    assert [person.account for person in open_invite.accepted] == [ben.account()]
    await_until(lambda: ann.person(ann.account()).followers == 1, "Ann sees who follows her")
    await_until(lambda: ben.timeline().items, "Ann's posts arrive")
    await_until(lambda: ann.person(ben.account()).name == "Ben", "Ben's profile arrives")
    await_until(lambda: ben.person(ben.account()).followers == 1, "Ben sees that Ann follows back")
    await_until(lambda: ann.status().local_only == ben.status().local_only == 0, "and nothing is on one device only")
    ann.unfollow(ben.account())
    ben.unfollow(ann.account())
    assert follows(ann) == follows(ben) == set()


def test_an_inviter_who_is_away_is_told_when_both_run_again(make: Make) -> None:
    ann, ben = make("Ann"), make("Ben")
    ann.start_network()
    given = ann.invite()
    port = ann.status().listen[0].rpartition("/p2p/")[0]
    ann.stop_network()

    accepted = ben.accept(given.link, timeout_s=0.5)

    assert accepted.state == "waiting"
    assert follows(ben) == {ann.account()}
    ben.stop_network()
    assert [each.state for each in ben.accepted()] == ["waiting"]
    ann.config = replace(ann.config, listen=(port,))
    ann.start_network()
    ben.start_network()
    await_until(lambda: ben.accepted()[0].state == "mutual", "Ann's node is told")
    assert follows(ann) == {ben.account()}


def test_an_acceptance_outlives_the_process_that_made_it(make: Make, tmp_path: Path) -> None:
    ann, ben = make("Ann"), make("Ben")
    ann.start_network()
    link = ann.invite().link
    assert ben.accept(link, timeout_s=0).state == "waiting"
    home, account = ben.config.home, ben.account()
    ben.close()
    with Node(config_of(home, lan=False)) as again:
        again.start_network()
        await_until(lambda: again.accepted()[0].state == "mutual", "Ann's node is told")
    assert follows(ann) == {account}


def test_the_addresses_of_an_invite_are_remembered_as_such(make: Make) -> None:
    ann, ben = make("Ann"), make("Ben")
    ann.start_network()
    given = ann.invite()
    ben.accept(given.link, timeout_s=0)
    with ben._store.snapshot() as snapshot:
        assert snapshot.contacts() == [Contact(given.addresses[0], is_configured=False, is_invited=True)]


def test_people_to_begin_with_are_followed_all_some_or_none(make: Make) -> None:
    ann, ben, carl, dora = make("Ann"), make("Ben"), make("Carl"), make("Dora")
    people = [cid_of(bytes([number])) for number in range(3)]
    ann.lists.create("sea")
    for who in (*people, ann.account(), ben.account()):
        ann.lists.add("sea", who)
    ann.start_network()
    link = ann.invite(uses=3, in_list="sea").link
    assert {person.account for person in ben.read_invite(link).starter} == {*people, ben.account()}

    ben.accept(link, timeout_s=0)
    carl.accept(link, starter=(), timeout_s=0)
    some = dora.accept(link, starter=(people[1], cid_of(b"not named")), timeout_s=0)

    assert follows(ben) == {ann.account(), *people}
    assert follows(carl) == {ann.account()}
    assert follows(dora) == {ann.account(), people[1]}
    assert some.followed == (ann.account(), people[1])


def test_somebody_followed_already_stays_so_under_the_name_they_have_here(make: Make) -> None:
    ann, ben = make("Ann"), make("Ben")
    ben.follow(ann.account(), "my sister")
    ann.start_network()
    accepted = ben.accept(ann.invite().link, timeout_s=30)
    assert (accepted.state, accepted.followed, accepted.person.petname) == ("mutual", (), "my sister")
    assert follows(ann) == {ben.account()}


def test_a_name_that_is_somebody_elses_here_is_not_taken_over(make: Make) -> None:
    ann, ben = make("Ann"), make("Ben")
    sister = cid_of(b"the real Ann")
    ben.follow(sister, "ann")
    ann.start_network()
    link = ann.invite().link
    assert ben.read_invite(link).imitates == "ann"
    accepted = ben.accept(link, timeout_s=0)
    assert accepted.person.petname is None
    assert ben.account_of("ann") == sister


def test_several_may_accept_one_that_was_made_for_several(make: Make) -> None:
    ann = make("Ann")
    ann.start_network()
    link = ann.invite(uses=2).link
    first, second, third = make("Ben"), make("Carl"), make("Dora")
    assert [node.accept(link, timeout_s=30).state for node in (first, second)] == ["mutual", "mutual"]
    refused = third.accept(link, timeout_s=30)
    assert (refused.state, refused.why) == ("refused", "used")
    assert follows(ann) == {first.account(), second.account()}


def test_an_invite_that_was_ended_is_refused(make: Make) -> None:
    ann, ben = make("Ann"), make("Ben")
    ann.start_network()
    given = ann.invite()
    ann.cancel_invite(given.id)
    assert ann.invites() == ()
    refused = ben.accept(given.link, timeout_s=30)
    assert (refused.state, refused.why) == ("refused", "unknown")
    assert follows(ann) == set()
    with pytest.raises(NotFound):
        ann.cancel_invite(given.id)
    ben.drop_accepted(ann.account())
    assert ben.accepted() == ()
    with pytest.raises(NotFound):
        ben.drop_accepted(ann.account())


def test_a_sealed_key_that_nobody_opened_lets_them_wait(make: Make) -> None:
    asked: list[str] = []

    def passphrase() -> str:
        asked.append("")
        return "a long passphrase of Ann"

    ann, ben = make("Ann", passphrase=passphrase), make("Ben")
    ann.start_network()
    link = ann.invite().link
    asked.clear()
    again = Node.__new__(Node)  # a node whose keys nobody opened, on the same store
    again.__dict__ |= ann.__dict__ | {"_keys": type(ann._keys)(ann.config)}
    ben.accept(link, timeout_s=0)
    acceptance = request_of(ben, ann)
    assert Desk(again).judge(acceptance) is Code.LATER
    assert asked == []
    ann.unlock()
    assert Desk(ann).judge(acceptance) is Code.ACCEPTED


# -- what is refused before anything is done


def test_what_cannot_be_accepted_is_said_to_be_and_changes_nothing(make: Make, tmp_path: Path) -> None:
    ann, ben = make("Ann"), make("Ben")
    ann.start_network()
    link = ann.invite().link
    with pytest.raises(BadConfig, match="your own account"):
        ann.accept(link)
    with pytest.raises(InviteMistyped):
        ben.accept(link[:-1] + ("a" if link[-1] != "a" else "e"))
    with pytest.raises(MalformedInvite):
        ben.accept("hello")
    elsewhere = encode_invite(replace(parse_invite(link), network="main"))
    with pytest.raises(WrongNetwork):
        ben.accept(elsewhere)
    over = encode_invite(replace(parse_invite(link), until_s=1))
    assert ben.read_invite(over).is_over
    with pytest.raises(InviteEnded):
        ben.accept(over)
    (tmp_path / "nobody").mkdir()
    with Node(config_of(tmp_path / "nobody")) as nobody, pytest.raises(NoAccount, match="unhush init"):
        nobody.accept(link)
    assert ben.follows() == ben.accepted() == ben.peers() == ()


def test_what_would_be_no_use_is_not_made(make: Make) -> None:
    ann = make("Ann")
    with pytest.raises(NotRunning, match="unhush run"):
        ann.invite()
    ann.start_network()
    for wrong in ({"uses": 0}, {"uses": 65}, {"expires_s": 1}, {"expires_s": 31 * DAY_S}):
        with pytest.raises(BadConfig):
            ann.invite(**wrong)
    with pytest.raises(NotFound):
        ann.invite(in_list="nothing")
    with pytest.raises(BadConfig):
        ann.invite(addresses=["nonsense"])
    with pytest.raises(BadConfig, match="another machine"):
        ann.invite(addresses=["/ip4/192.0.2.7/tcp/1/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"])
    ann.lists.create("many")
    for number in range(MAX_STARTER + 1):
        ann.lists.add("many", cid_of(bytes([number])))
    with pytest.raises(BadConfig, match="33 people"):
        ann.invite(in_list="many")
    assert ann.invites() == ()


def test_addresses_a_person_names_come_first_and_loopback_only_if_there_is_nothing_else(make: Make) -> None:
    ann = make("Ann")
    ann.start_network()
    peer = ann.status().peer
    assert [each.startswith("/ip4/127.0.0.1/") for each in ann.invite().addresses] == [True]
    named = ann.invite(addresses=["/dns/ann.example/tcp/4470"]).addresses
    assert named == (f"/dns/ann.example/tcp/4470/p2p/{peer}",)


# -- what the inviter's node refuses


@pytest.fixture
def waiting(make: Make) -> tuple[Node, Node, Acceptance, Desk]:
    """Ben has accepted Ann's invite, and Ann's node has not heard of it."""
    ann, ben = make("Ann"), make("Ben")
    ann.start_network()
    link = ann.invite().link
    ann.stop_network()
    ben.accept(link, timeout_s=0)
    return ann, ben, request_of(ben, ann), Desk(ann)


Waiting = tuple[Node, Node, Acceptance, Desk]


def test_a_repetition_is_accepted_and_does_nothing_even_after_an_unfollow(waiting: Waiting) -> None:
    ann, ben, acceptance, desk = waiting
    assert desk.judge(acceptance) is Code.ACCEPTED
    records = ann.status().records
    assert [desk.judge(acceptance) for _ in range(3)] == [Code.ACCEPTED] * 3
    assert ann.status().records == records
    ann.unfollow(ben.account())
    assert desk.judge(acceptance) is Code.ACCEPTED
    assert follows(ann) == set()


def test_a_crash_between_use_and_follow_is_made_good_by_asking_again(waiting: Waiting) -> None:
    ann, ben, acceptance, desk = waiting
    follow = ann.follow
    ann.follow = lambda *_: (_ for _ in ()).throw(BadConfig("the disk is full"))  # type: ignore[method-assign]
    assert desk.judge(acceptance) is Code.LATER
    ann.follow = follow  # type: ignore[method-assign]
    assert desk.judge(acceptance) is Code.ACCEPTED
    assert follows(ann) == {ben.account()}


def test_a_wrong_token_and_a_forged_account_are_refused_and_use_nothing_up(waiting: Waiting) -> None:
    ann, ben, acceptance, desk = waiting
    carl = Person("Carl", seed=3)
    theirs = replace(acceptance_of(carl, inviter=ann.account(), token=acceptance.token), account=ben.account())
    assert desk.judge(replace(acceptance, token=bytes(16))) is Code.UNKNOWN
    for forged in (
        theirs,
        replace(acceptance, account=carl.account),
        replace(acceptance, account=ann.account()),
        replace(acceptance, signature=bytes(64)),
        replace(acceptance, operations=()),
        acceptance_of(carl, inviter=ben.account(), token=acceptance.token),
    ):
        assert desk.judge(forged) is Code.UNPROVEN
    assert ann.invites()[0].accepted == ()
    assert ann.follows() == ()
    assert desk.judge(acceptance) is Code.ACCEPTED


def test_somebody_blocked_is_told_nothing_and_not_followed(waiting: Waiting) -> None:
    ann, ben, acceptance, desk = waiting
    ann.block(ben.account())
    assert desk.judge(acceptance) is Code.UNKNOWN
    assert ann.follows() == ()


def test_after_its_time_an_invite_brings_nobody(make: Make) -> None:
    clock = Clock()
    ann, ben = make("Ann", clock_ms=clock), make("Ben", clock_ms=clock)
    ann.start_network()
    given = ann.invite(expires_s=3600)
    ann.stop_network()
    ben.accept(given.link, timeout_s=0)
    acceptance = request_of(ben, ann)
    assert len(Desk(ben).waiting()) == 1
    clock.advance(3600 * 1000)
    assert Desk(ann).judge(acceptance) is Code.EXPIRED
    assert Desk(ben).waiting() == ()
    assert [each.state for each in ben.accepted()] == ["over"]
    assert ann.follows() == ann.invites() == ()


def test_an_answer_is_kept_for_the_acceptance_it_was_given_to(waiting: Waiting) -> None:
    ann, ben, _, _ = waiting
    (telling,) = Desk(ben).waiting()
    Desk(ben).answered(replace(telling, request=b"an earlier one"), Code.USED)
    assert ben.accepted()[0].state == "waiting"
    Desk(ben).answered(telling, Code.LATER)
    assert ben.accepted()[0].state == "waiting"
    Desk(ben).answered(telling, Code.ACCEPTED)
    held = ben._store.invites.find_accepted(ann.account())
    assert held is not None
    assert (held.stage, held.request) == (Stage.MUTUAL, b"")


# -- bootstrap peers


def test_a_bootstrap_peer_is_called_while_nobody_is_there(make: Make) -> None:
    ann = make("Ann")
    ann.start_network()
    ben = make("Ben", bootstrap=ann.status().listen)
    ben.start_network()
    await_until(lambda: ben.status().peers_connected == 1, "Ben's node calls it")
    with pytest.raises(BadConfig, match="an address looks like"):
        Config(ben.config.home, bootstrap=("nonsense",))
