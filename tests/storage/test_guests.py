"""Strangers' records: taken in for a reason that holds, with a bound, and never on somebody's mere word."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.people import Clock, Home, Person, Written, cids_held, ingest, open_home

from unhush.identity.cid import Cid, cid_of
from unhush.storage.arrivals import NO_INCEPTION, Arrival, Batch, Outcome, Status, Welcome
from unhush.storage.kinds import Body, Delete, Edit, Follow, Post, Profile, Quote, React, Reply, Repost
from unhush.storage.room.tiers import Limits, Tier
from unhush.storage.store import Store

NOWHERE = cid_of(b"nowhere")
FEW = Limits(stranger_bytes=16_384, strangers_together_bytes=131_072, near_together_bytes=131_072)


@pytest.fixture
def ann() -> Person:
    return Person("Ann", seed=1)


@pytest.fixture
def ben() -> Person:
    """Ann follows him."""
    return Person("Ben", seed=2)


@pytest.fixture
def cleo() -> Person:
    return Person("Cleo", seed=3)


@pytest.fixture
def home(tmp_path: Path, ann: Person, ben: Person) -> Iterator[Home]:
    with open_home(tmp_path / "ann", Clock(), limits=FEW) as store:
        home = Home(store, ann, Clock())
        home.publish(Follow(ben.account))
        ingest(store, ben.incept, wanted_only=True)
        yield home


def give(store: Store, welcome: Welcome, about: Cid | None, *given: Arrival | Written) -> list[Outcome]:
    arrivals = (each.arrival if isinstance(each, Written) else each for each in given)
    batch = Batch(tuple(each._replace(welcome=welcome, about=about) for each in arrivals), "a test")
    return list(store.ingest(batch))


def statuses(outcomes: list[Outcome]) -> list[Status]:
    return [outcome.status for outcome in outcomes]


def test_every_way_to_concern_somebody_carried_is_a_reason(home: Home, ann: Person, cleo: Person) -> None:
    post = home.post("mine")
    bodies: list[Body] = [
        Post("an answer", reply=Reply(post.cid, post.cid, ann.account, ann.account)),
        Post("below", reply=Reply(post.cid, NOWHERE, ann.account, NOWHERE)),
        Post("a quote", quote=Quote(post.cid, ann.account)),
        Post("a mention", mentions=(NOWHERE, ann.account)),
        React(post.cid, ann.account, "🌱"),
        Repost(post.cid, ann.account),
        Follow(ann.account),
    ]
    for body in bodies:
        outcomes = give(home.store, Welcome.CONCERNING, ann.account, cleo.incept, cleo.write(body))
        assert outcomes[1].status is Status.STORED, body
    with home.store.snapshot() as snapshot:
        assert len(list(snapshot.activity())) == len(bodies) - 1  # "below" answers nothing of ours that is here
        assert cleo.account not in snapshot.carried()


def test_a_claim_that_the_record_belies_is_the_senders_fault(
    home: Home, ann: Person, ben: Person, cleo: Person
) -> None:
    unrelated = cleo.post("about nobody")
    of_ben = cleo.write(Post("about Ben", mentions=(ben.account,)))
    profile = cleo.write(Profile("Cleo"))
    for lie in (unrelated, of_ben, profile):
        outcomes = give(home.store, Welcome.CONCERNING, ann.account, cleo.incept, lie)
        assert statuses(outcomes) == [Status.IGNORED, Status.REJECTED]
    assert statuses(give(home.store, Welcome.ANSWERING, NOWHERE, unrelated)) == [Status.REJECTED]
    assert statuses(give(home.store, Welcome.INTRODUCING, None, unrelated)) == [Status.REJECTED]
    assert cleo.account not in cids_held(home.store)


def test_what_concerns_somebody_who_is_not_carried_is_nobodys_fault(home: Home, cleo: Person) -> None:
    dora = Person("Dora", seed=4)
    mention = cleo.write(Post("hello Dora", mentions=(dora.account,)))
    outcomes = give(home.store, Welcome.CONCERNING, dora.account, cleo.incept, mention)
    assert statuses(outcomes) == [Status.IGNORED, Status.IGNORED]


def test_a_stranger_comes_with_who_may_speak_for_them_or_not_at_all(home: Home, ann: Person, cleo: Person) -> None:
    phone, added = cleo.add_device()
    mention = cleo.write(Post("from the phone", mentions=(ann.account,)), by=phone)
    (alone,) = give(home.store, Welcome.CONCERNING, ann.account, mention)
    assert (alone.status, alone.error) == (Status.IGNORED, NO_INCEPTION)
    outcomes = give(home.store, Welcome.CONCERNING, ann.account, cleo.incept, added, mention)
    assert statuses(outcomes) == [Status.STORED] * 3
    # Of a stranger of whom something is here, a later operation is taken as it comes.
    revoked = cleo.revoke(phone.key.public, None)
    assert statuses(give(home.store, Welcome.CONCERNING, ann.account, revoked)) == [Status.STORED]
    with home.store.snapshot() as snapshot:
        assert list(snapshot.activity()) == []


def test_operations_of_strangers_alone_are_not_kept(home: Home, ann: Person, cleo: Person) -> None:
    for welcome in Welcome:
        assert statuses(give(home.store, welcome, ann.account, cleo.incept)) == [Status.IGNORED]
    assert cleo.account not in cids_held(home.store)


def test_a_profile_comes_with_what_its_account_wrote_and_not_without(home: Home, ann: Person, cleo: Person) -> None:
    profile = cleo.write(Profile("Cleo"))
    mention = cleo.write(Post("hello", mentions=(ann.account,)))
    introduced = profile.arrival._replace(welcome=Welcome.INTRODUCING)
    assert statuses(list(home.store.ingest(Batch((introduced,), "a test")))) == [Status.IGNORED]
    given = (
        *(each._replace(welcome=Welcome.CONCERNING, about=ann.account) for each in (cleo.incept, mention.arrival)),
        introduced,
    )
    assert statuses(list(home.store.ingest(Batch(given, "a test")))) == [Status.STORED] * 3
    with home.store.snapshot() as snapshot:
        shown = snapshot.profile(cleo.account)
    assert shown is not None
    assert shown.name == "Cleo"


def test_edits_and_deletes_follow_what_they_change(home: Home, ann: Person, cleo: Person) -> None:
    mention = cleo.write(Post("hello", mentions=(ann.account,)))
    edit, delete = cleo.write(Edit(mention.cid, Post("good day"))), cleo.write(Delete(mention.cid))
    outcomes = give(home.store, Welcome.CONCERNING, ann.account, cleo.incept, edit, delete)
    assert statuses(outcomes) == [Status.IGNORED] * 3, "nothing is here that they would change"
    give(home.store, Welcome.CONCERNING, ann.account, cleo.incept, mention)
    assert statuses(give(home.store, Welcome.CONCERNING, ann.account, edit, delete)) == [Status.STORED] * 2
    with home.store.snapshot() as snapshot:
        assert list(snapshot.activity()) == []


def test_no_edit_comes_in_beside_what_is_not_taken_or_is_somebody_elses(home: Home, ann: Person, cleo: Person) -> None:
    mallory = Person("Mallory", seed=4)
    mention = cleo.write(Post("hello", mentions=(ann.account,)))
    junk = mallory.write(Post("nobody asked", mentions=(NOWHERE,)))
    of_another = mallory.write(Edit(mention.cid, Post("not mine")))
    of_junk = mallory.write(Edit(junk.cid, Post("more of it")))
    outcomes = give(
        home.store, Welcome.CONCERNING, ann.account, cleo.incept, mallory.incept, mention, junk, of_another, of_junk
    )
    assert statuses(outcomes)[2:] == [Status.STORED, Status.REJECTED, Status.IGNORED, Status.REJECTED]
    edit = cleo.write(Edit(mention.cid, Post("good day")))
    assert statuses(give(home.store, Welcome.CONCERNING, ann.account, edit)) == [Status.STORED]


def test_an_edit_comes_in_with_what_it_changes(home: Home, ann: Person, cleo: Person) -> None:
    mention = cleo.write(Post("hello", mentions=(ann.account,)))
    edit = cleo.write(Edit(mention.cid, Post("good day")))
    outcomes = give(home.store, Welcome.CONCERNING, ann.account, cleo.incept, mention, edit)
    assert statuses(outcomes) == [Status.STORED] * 3


def test_an_answer_is_taken_where_it_stands(home: Home, ben: Person, cleo: Person) -> None:
    root = ben.post("root")
    ingest(home.store, root.arrival, wanted_only=True)
    first = cleo.write(Post("first", reply=Reply(root.cid, root.cid, ben.account, ben.account)))
    stray = cleo.write(Post("stray", reply=Reply(NOWHERE, first.cid, NOWHERE, cleo.account)))
    far = cleo.write(Post("far", reply=Reply(NOWHERE, NOWHERE, NOWHERE, NOWHERE)))
    outcomes = give(home.store, Welcome.ANSWERING, root.cid, cleo.incept, first, stray, far)
    assert statuses(outcomes) == [Status.STORED, Status.STORED, Status.STORED, Status.IGNORED]
    later = cleo.write(Post("later", reply=Reply(NOWHERE, first.cid, NOWHERE, cleo.account)))
    assert statuses(give(home.store, Welcome.ANSWERING, root.cid, later)) == [Status.STORED]
    with home.store.snapshot() as snapshot:
        assert len(list(snapshot.replies(root.cid))) == 3


def test_what_was_asked_for_is_taken_and_nothing_without_a_body(home: Home, cleo: Person) -> None:
    post = cleo.post("quoted by somebody")
    outcomes = give(home.store, Welcome.ASKED, None, cleo.incept, post.without_body)
    assert statuses(outcomes) == [Status.IGNORED] * 2
    assert statuses(give(home.store, Welcome.ASKED, None, cleo.incept, post)) == [Status.STORED] * 2


def test_a_bad_signature_is_the_senders_fault(home: Home, ann: Person, cleo: Person) -> None:
    forged = cleo.write_badly_signed(Post("hello", mentions=(ann.account,)))
    outcomes = give(home.store, Welcome.CONCERNING, ann.account, cleo.incept, forged)
    assert outcomes[1].status is Status.REJECTED


def test_made_up_people_fill_their_room_and_nobody_elses(home: Home, ann: Person, ben: Person) -> None:
    """As many as a test has time for, against a room as much smaller: 200 with 2 KiB each where 128 KiB are."""
    kept = [home.post("mine"), *(ben.post(f"followed {number}") for number in range(20))]
    ingest(home.store, *(each.arrival for each in kept if isinstance(each, Written)), wanted_only=True)
    refused = 0
    for first in range(10_000, 10_200, 20):
        sybils = [Person("sybil", seed=seed) for seed in range(first, first + 20)]
        given = [(sybil.incept, sybil.write(Post("x" * 1_024, mentions=(ann.account,)))) for sybil in sybils]
        outcomes = give(home.store, Welcome.CONCERNING, ann.account, *(each for pair in given for each in pair))
        refused += sum(outcome.status is Status.IGNORED for outcome in outcomes[1::2])
    assert 100 < refused < 200
    report = home.store.describe_room()
    assert report.tiers.usage[Tier.STRANGER].size_bytes <= FEW.strangers_together_bytes
    assert {each.cid for each in kept} <= cids_held(home.store)
    assert statuses(list(ingest(home.store, ben.post("still").arrival, wanted_only=True))) == [Status.STORED]


def test_one_stranger_fills_no_more_than_their_own_room(home: Home, ann: Person, cleo: Person) -> None:
    give(home.store, Welcome.CONCERNING, ann.account, cleo.incept, cleo.write(Follow(ann.account)))
    outcomes = [
        give(home.store, Welcome.CONCERNING, ann.account, cleo.write(Post("x" * 900, mentions=(ann.account,))))[0]
        for _ in range(40)
    ]
    assert 5 < sum(outcome.status is Status.STORED for outcome in outcomes) < 16
    assert "room for a stranger" in outcomes[-1].error
