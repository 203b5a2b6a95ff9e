"""What a real store gives to who asks: what is shown, by itself, and never what it should not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.people import NETWORK, Clock, Home, Person, Written, arrivals_of, ingest, open_home

from unhush.gossip.net.sync import concerning
from unhush.gossip.net.sync.concerning import find_concerns, find_newest_concerns, find_own_concerns
from unhush.gossip.net.sync.giving import find_given, find_operations, find_ours
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import ReadAsked
from unhush.gossip.proto.config import Own
from unhush.gossip.proto.events import AskedRead
from unhush.gossip.proto.frames import Concerning, Need, Question, Reason, ThreadFrame
from unhush.identity.cid import Cid, cid_of
from unhush.storage.kinds import Body, Delete, Edit, Follow, Post, Quote, React, Reply, Repost
from unhush.storage.store import Store


@pytest.fixture
def ann() -> Person:
    return Person("Ann", seed=1)


@pytest.fixture
def cleo() -> Person:
    return Person("Cleo", seed=3)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Ben's, who carries Ann."""
    with open_home(tmp_path / "ben", Clock()) as store:
        yield Home(store, Person("Ben", seed=2), Clock())


def ask(store: Store, question: Question, cursor: bytes = b"", most: int = 200, room: int = 10**6) -> AskedRead:
    with store.snapshot() as snapshot:
        return find_given(snapshot, ReadAsked(question, cursor, most, room), NETWORK)


def cids(answer: AskedRead) -> list[Cid]:
    return [cid_of(each.entry) for bundle in answer.bundles for each in bundle.items]


def reply_to(post: Written, text: str, by: Person) -> Written:
    account = post.entry.account
    return by.write(Post(text, reply=Reply(post.cid, post.cid, account, account)))


def point(written: Written) -> bytes:
    return written.cid.digest[: limits.TIP_BYTES]


def test_a_record_is_given_with_its_operations_and_its_profile(home: Home, cleo: Person) -> None:
    post = cleo.post("hello")
    ingest(home.store, cleo.incept, post.arrival)
    (bundle,) = ask(home.store, Need(0, cleo.account, (post.cid, cid_of(b"unheard of")))).bundles
    assert [op.entry for op in bundle.ops] == [cleo.incept.entry]
    assert [each.body for each in bundle.items] == [post.body]
    assert bundle.profile is None
    own = home.first
    (bundle,) = ask(home.store, Need(0, own.account, (own.cid,))).bundles
    assert bundle.profile == bundle.items[0]


def test_a_record_of_another_account_than_said_is_not_given(home: Home, ann: Person, cleo: Person) -> None:
    post = cleo.post("hello")
    ingest(home.store, cleo.incept, post.arrival)
    assert ask(home.store, Need(0, ann.account, (post.cid,))).bundles == ()


def test_what_only_its_successor_vouches_for_is_not_given_alone(home: Home, cleo: Person) -> None:
    bad, good = cleo.write_badly_signed(Post("vouched for")), cleo.post("signed")
    ingest(home.store, cleo.incept, bad.arrival, good.arrival)
    assert cids(ask(home.store, Need(0, cleo.account, (bad.cid, good.cid)))) == [good.cid]


def test_what_is_void_is_not_given_and_what_was_deleted_goes_without_its_body(home: Home, cleo: Person) -> None:
    phone, added = cleo.add_device()
    void = cleo.write(Post("void"), by=phone)
    gone = cleo.post("gone")
    ingest(home.store, cleo.incept, added, void.arrival, gone.arrival, cleo.write(Delete(gone.cid)).arrival)
    ingest(home.store, cleo.revoke(phone.key.public, None))
    (bundle,) = ask(home.store, Need(0, cleo.account, (void.cid, gone.cid))).bundles
    assert [(each.body, each.reason) for each in bundle.items] == [(None, Reason.DELETED)]


def test_a_conversation_is_read_in_steps_that_meet_and_do_not_overlap(home: Home, ann: Person, cleo: Person) -> None:
    root = ann.post("root")
    replies = [reply_to(root, f"{number}", cleo) for number in range(300)]
    ingest(home.store, ann.incept, root.arrival, cleo.incept, *arrivals_of(replies))
    found: list[Cid] = []
    cursor: bytes | None = b""
    steps = 0
    while cursor is not None:
        answer = ask(home.store, ThreadFrame(0, root.cid, ann.account), cursor, most=64)
        found += cids(answer)
        cursor = answer.cursor
        steps += 1
    assert found == [reply.cid for reply in reversed(replies)]
    assert 5 <= steps <= 6
    held = tuple(point(reply) for reply in replies[1:])
    found, cursor = [], b""
    while cursor is not None:
        answer = ask(home.store, ThreadFrame(0, root.cid, ann.account, held), cursor, most=64)
        found, cursor = found + cids(answer), answer.cursor
    assert found == [replies[0].cid]


def test_who_holds_an_answer_is_told_what_became_of_it(home: Home, ann: Person, cleo: Person) -> None:
    root = ann.post("root")
    kept, edited, gone = (reply_to(root, text, cleo) for text in ("kept", "edited", "gone"))
    edit, delete = cleo.write(Edit(edited.cid, Post("better"))), cleo.write(Delete(gone.cid))
    written = (kept, edited, gone, edit, delete)
    ingest(home.store, ann.incept, root.arrival, cleo.incept, *arrivals_of(written))
    held = tuple(point(reply) for reply in (kept, edited, gone))
    answer = ask(home.store, ThreadFrame(0, root.cid, ann.account, held))
    assert set(cids(answer)) == {edit.cid, delete.cid}
    assert (
        set(cids(ask(home.store, ThreadFrame(0, root.cid, ann.account, (*held, point(edit), point(delete)))))) == set()
    )
    # Many changes fill the first step; the next goes on with the conversation.
    first = ask(home.store, ThreadFrame(0, root.cid, ann.account, held), most=1)
    assert len(cids(first)) == 1
    assert first.cursor is not None
    assert ask(home.store, ThreadFrame(0, root.cid, ann.account, held), first.cursor).cursor is None


def test_all_that_concerns_an_account_is_told_of_it(home: Home, ann: Person, cleo: Person) -> None:
    post = ann.post("mine")
    bodies: list[Body] = [
        Post("an answer", reply=Reply(post.cid, post.cid, ann.account, ann.account)),
        Post("a quote", quote=Quote(post.cid, ann.account)),
        Post("a mention", mentions=(ann.account,)),
        React(post.cid, ann.account, "🌱"),
        Repost(post.cid, ann.account),
        Follow(ann.account),
    ]
    concerning = [cleo.write(body) for body in bodies]
    others = [cleo.post("nothing to do with her"), cleo.write(Follow(cid_of(b"somebody")))]
    ingest(home.store, ann.incept, post.arrival, cleo.incept, *arrivals_of([*concerning, *others]))
    answer = ask(home.store, Concerning(0, ann.account))
    assert cids(answer) == [each.cid for each in reversed(concerning)]
    assert answer.cursor is None
    held = tuple(point(each) for each in concerning[1:])
    assert cids(ask(home.store, Concerning(0, ann.account, held))) == [concerning[0].cid]
    assert ask(home.store, Concerning(0, cid_of(b"unheard of"))).bundles == ()
    with home.store.snapshot() as snapshot:
        found = find_concerns(snapshot, list(snapshot.journal(0)))
    assert {each.cid for each in found if ann.account in each.about} == {each.cid for each in concerning}


def test_what_is_known_already_is_named_when_asking(home: Home, cleo: Person) -> None:
    own = home.first.account
    post = home.post("mine")
    reply = cleo.write(Post("an answer", reply=Reply(post.cid, post.cid, own, own)))
    liked = cleo.write(React(post.cid, own, "🌱"))
    ingest(home.store, cleo.incept, reply.arrival, liked.arrival)
    with home.store.snapshot() as snapshot:
        assert find_ours(snapshot) == (point(liked), point(reply))
        assert snapshot.answers_held(post.cid, 10) == [reply.cid]
        assert snapshot.answers_held(post.cid, 0) == []


def test_what_this_device_wrote_lately_is_told_oldest_first(home: Home, ann: Person) -> None:
    mentions = home.publish(*(Post(f"{number}", mentions=(ann.account,)) for number in range(30)))
    home.post("about nobody")
    with home.store.snapshot() as snapshot:
        own, device = snapshot.own_account(), snapshot.own_device()
        assert own is not None
        assert device is not None
        found = find_own_concerns(snapshot, Own(own, device))
    assert [each.cid for each in found] == [record.cid for record in mentions[10:]]


def test_what_came_last_and_concerns_somebody_is_found_whoever_wrote_it(
    home: Home, ann: Person, cleo: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    mentions = [cleo.write(Post(f"{number}", mentions=(ann.account,))) for number in range(4)]
    with home.store.snapshot() as snapshot:
        assert find_newest_concerns(snapshot) == ()
    ingest(home.store, cleo.incept, *arrivals_of([*mentions, cleo.post("about nobody")]))
    with home.store.snapshot() as snapshot:
        assert [each.cid for each in find_newest_concerns(snapshot)] == [each.cid for each in mentions]
        monkeypatch.setattr(concerning, "_LAST_ROWS", 3)
        assert [each.cid for each in find_newest_concerns(snapshot)] == [each.cid for each in mentions[-2:]]


def test_of_many_operations_those_go_that_judge_the_devices_in_question(home: Home, cleo: Person) -> None:
    added = [cleo.add_device(f"{number}") for number in range(20)]
    ingest(home.store, cleo.incept, *(each for _, each in added))
    keys = frozenset(device.key.public for device, _ in added[7:9])
    with home.store.snapshot() as snapshot:
        found = find_operations(snapshot, cleo.account, keys, 3, 10**6)
        assert find_operations(snapshot, cleo.account, keys, 64, 10) == []
    assert found[0].entry == cleo.incept.entry
    assert {each.entry for each in found[1:]} == {each.entry for _, each in added[7:9]}
