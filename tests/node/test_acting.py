"""Acting on records: what each verb does, what undoes it, and what is refused before anything is signed."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.support.people import Person as Stranger
from tests.support.people import ingest

from unhush.identity.cid import Cid
from unhush.node import Heading, Node, Post, Shown
from unhush.node.errors import (
    MalformedCid,
    MalformedRecord,
    NoAccount,
    NotFound,
    NotYours,
    RecordDeleted,
    UnhushError,
    WrongKind,
)
from unhush.node.views import ReactionCount
from unhush.storage.kinds import Body, Delete, Edit, Profile, React, Reply, Repost
from unhush.storage.kinds import Post as Words

NOBODY = Stranger("Nobody", seed=3).account


@dataclass
class Friend:
    """Somebody else, whose records come into a node as they are written."""

    node: Node
    person: Stranger

    @property
    def account(self) -> Cid:
        return self.person.account

    def writes(self, body: Body) -> Cid:
        written = self.person.write(body)
        ingest(self.node._store, written.arrival)
        return written.cid


@pytest.fixture
def ben(ann: Node) -> Friend:
    person = Stranger("Ben", seed=2)
    ingest(ann._store, person.incept, person.write(Profile("Ben")).arrival)
    ann.follow(person.account)
    return Friend(ann, person)


def texts(items: tuple[Shown, ...]) -> list[str]:
    return [shown.text for shown in items]


# -- edits


def test_an_edit_is_shown_in_place_of_the_post_and_every_version_stays_readable(ann: Node) -> None:
    post = ann.post(Post("first", title="Tide", warning="wet", tags=("sea",)))
    shown = ann.edit(post.id, "second #Salt")
    ann.edit(post.id, "third #salt")

    now = ann.show(post.id)
    assert (now.id, now.text, now.title, now.warning, now.tags) == (
        post.id,
        "third #salt",
        "Tide",
        "wet",
        ("sea", "salt"),
    )
    assert (shown.is_edited, post.is_edited, now.version != shown.version) == (True, False, True)
    assert now.time_ms == post.time_ms
    assert now.edited_ms is not None
    assert texts(ann.timeline().items) == ["third #salt"]
    history = ann.history(post.id)
    assert texts(history) == ["first", "second #Salt", "third #salt"]
    assert [version.kind for version in history] == ["post", "edit", "edit"]
    assert history[-1].id == now.version
    assert ann.history(history[1].id) == history


def test_an_edit_is_undone_by_deleting_it(ann: Node) -> None:
    post = ann.post("first")
    edit = ann.edit(post.id, "second").version
    assert edit is not None
    assert texts(ann.delete(edit)) == ["second"]
    assert ann.show(post.id).text == "first"
    assert not ann.show(post.id).is_edited
    assert texts(ann.history(post.id)) == ["first"]


def test_an_edit_keeps_what_the_post_answers_and_quotes(ann: Node) -> None:
    root = ann.post("root")
    answer = ann.reply(root.id, "answer")
    quote = ann.quote(root.id, "look")
    edited = ann.edit(answer.id, Post("better", lang="en"))
    assert (edited.reply, edited.lang) == (answer.reply, "en")
    assert texts(ann.thread(root.id).replies) == ["better"]
    assert ann.edit(quote.id, "see").quote == quote.quote


def test_an_edit_that_changes_nothing_signs_nothing(ann: Node) -> None:
    post = ann.post("the same")
    before = ann.last_aid()
    assert ann.edit(post.id, "the same") == ann.show(post.id)
    assert ann.last_aid() == before


def test_an_edit_by_its_id_edits_the_post_it_is_of(ann: Node) -> None:
    post = ann.post("first")
    edit = ann.edit(post.id, "second").version
    assert edit is not None
    assert ann.edit(edit, "third").id == post.id


def test_an_edit_by_somebody_else_changes_nothing(ann: Node, ben: Friend) -> None:
    post = ann.post("mine")
    ben.writes(Edit(post.id, Words("his")))
    assert ann.show(post.id).text == "mine"
    assert not ann.show(post.id).is_edited


# -- deletes


def test_deleting_a_post_withdraws_its_versions(ann: Node) -> None:
    post = ann.post("first")
    edit = ann.edit(post.id, "second").version
    assert edit is not None
    (was,) = ann.delete(post.id)
    assert was.text == "second"
    assert ann.timeline().items == ()
    for each in (post.id, edit):
        assert (ann.show(each).is_deleted, ann.show(each).text) == (True, "")
        with pytest.raises(RecordDeleted):
            ann.history(each)


def test_everything_is_undone_by_deleting_the_record_that_did_it(ann: Node, ben: Friend) -> None:
    post = ben.writes(Words("a post"))
    acts = [ann.repost(post), ann.react(post, "🌊"), ann.quote(post, "look")]
    assert (ann.show(post).tally.reposts, len(ann.show(post).tally.reactions), ann.show(post).tally.quotes) == (1, 1, 1)

    undone = ann.delete(*(act.id for act in acts))

    assert [was.kind for was in undone] == ["repost", "react", "post"]
    assert (ann.show(post).tally.reposts, ann.show(post).tally.reactions, ann.show(post).tally.quotes) == (0, (), 0)


def test_several_are_deleted_together_or_not_at_all(ann: Node, ben: Friend) -> None:
    mine, his = ann.post("mine"), ben.writes(Words("his"))
    before = ann.last_aid()
    with pytest.raises(NotYours):
        ann.delete(mine.id, his)
    assert ann.last_aid() == before
    assert not ann.show(mine.id).is_deleted
    assert ann.delete() == ()


# -- reposts, reactions, quotes


def test_a_repost_stands_in_the_timeline_with_what_it_repeats(ann: Node, ben: Friend) -> None:
    post = ben.writes(Words("worth it"))
    repost = ann.repost(post)
    first, second = ann.timeline().items
    assert (first.id, first.kind, first.text) == (repost.id, "repost", "")
    assert first.reposted is not None
    assert (first.reposted.id, first.reposted.text, first.reposted.tally.is_reposted) == (post, "worth it", True)
    assert second.id == post
    assert [person.account for person in ann.reposters(post).items] == [ann.account()]


def test_reposting_twice_is_reposting_once_and_unreposting_ends_it(ann: Node, ben: Friend) -> None:
    post = ben.writes(Words("worth it"))
    first = ann.repost(post)
    aid = ann.last_aid()
    assert ann.repost(post).id == first.id
    assert ann.repost(first.id).id == first.id  # a repost of a repost repeats the post
    assert ann.last_aid() == aid
    ann.unrepost(post)
    assert ann.show(post).tally.reposts == 0
    with pytest.raises(NotFound):
        ann.unrepost(post)
    assert ann.repost(post).id != first.id


def test_reactions_are_counted_by_emoji_and_mine_are_marked(ann: Node, ben: Friend) -> None:
    post = ann.post("hello")
    ben.writes(React(post.id, ann.account(), "🌊"))
    ann.react(post.id, "🌊")
    ann.react(post.id, " 👍🏽 ")
    assert ann.show(post.id).tally.reactions == (ReactionCount("🌊", 2, True), ReactionCount("👍🏽", 1, True))
    assert {person.account for person in ann.reactors(post.id, "🌊").items} == {ben.account, ann.account()}

    ann.unreact(post.id, "🌊")
    assert ann.show(post.id).tally.reactions == (ReactionCount("🌊", 1, False), ReactionCount("👍🏽", 1, True))
    ann.unreact(post.id)
    assert ann.show(post.id).tally.reactions == (ReactionCount("🌊", 1, False),)
    with pytest.raises(NotFound):
        ann.unreact(post.id)


def test_reacting_twice_is_reacting_once_and_says_which_version_was_seen(ann: Node) -> None:
    post = ann.post("first")
    edited = ann.edit(post.id, "second")
    first = ann.react(post.id, "🌊")
    aid = ann.last_aid()
    assert ann.react(post.id, "🌊").id == first.id
    assert ann.last_aid() == aid
    assert (first.target, first.emoji) == (post.id, "🌊")
    with ann._store.snapshot() as snapshot:
        record = snapshot.record(first.id)
        assert record is not None
        body = snapshot.body(record)
    assert isinstance(body, React)
    assert body.saw == edited.version


def test_a_quote_shows_what_it_quotes_as_it_is_now(ann: Node, ben: Friend) -> None:
    post = ben.writes(Words("first"))
    quote = ann.quote(post, "look at this")
    ben.writes(Edit(post, Words("second")))
    shown = ann.show(quote.id)
    assert shown.quoted is not None
    assert (shown.quoted.text, shown.quoted.is_edited) == ("second", True)
    assert ann.show(post).tally.quotes == 1
    assert [each.id for each in ann.quotes(post).items] == [quote.id]
    ben.writes(Delete(post))
    gone = ann.show(quote.id).quoted
    assert gone is not None
    assert (gone.is_deleted, gone.text) == (True, "")


# -- marks in a text


def test_tags_and_people_named_in_a_text_become_the_posts_own(ann: Node, ben: Friend) -> None:
    ann.follow(NOBODY, "Old Friend")
    shown = ann.post(f"#Tide with @ben, @old friend and @{NOBODY}: not `#code`, x#y, #1, \\#no or https://a.example/#z")
    assert shown.tags == ("Tide",)
    assert set(shown.mentions) == {ben.account, NOBODY}
    assert [each.id for each in ann.tagged("#TIDE").items] == [shown.id]
    assert ann.post("@nobody-knows").mentions == ()
    assert ann.post(Post("#plain", tags=("own",))).tags == ("own",)


# -- what is refused


def test_what_means_nothing_is_refused_by_name_and_nothing_is_written(ann: Node, ben: Friend) -> None:
    mine, his = ann.post("mine"), ben.writes(Words("his"))
    gone, follow = ann.post("gone"), ben.writes(Profile("Ben B."))
    ann.delete(gone.id)
    delete = next(shown for shown in ann.events(gone.aid, timeout_s=0) if shown.kind == "delete")
    own_profile = next(shown for shown in ann.events(0, timeout_s=0) if shown.kind == "profile" and shown.is_own)
    unseen = ben.person.write(Words("not here")).cid
    before = ann.last_aid()
    tries: list[tuple[type[UnhushError], Callable[[], object]]] = [
        (NotYours, lambda: ann.edit(his, "other words")),
        (NotYours, lambda: ann.delete(his)),
        (RecordDeleted, lambda: ann.edit(gone.id, "back")),
        (RecordDeleted, lambda: ann.delete(gone.id)),
        (RecordDeleted, lambda: ann.react(gone.id, "🌊")),
        (RecordDeleted, lambda: ann.repost(gone.id)),
        (RecordDeleted, lambda: ann.quote(gone.id, "x")),
        (RecordDeleted, lambda: ann.reply(gone.id, "x")),
        (WrongKind, lambda: ann.delete(delete.id)),
        (WrongKind, lambda: ann.delete(ann.account())),
        (WrongKind, lambda: ann.edit(own_profile.id, "x")),
        (WrongKind, lambda: ann.react(follow, "🌊")),
        (WrongKind, lambda: ann.reply(ann.account(), "x")),
        (MalformedRecord, lambda: ann.post("")),
        (MalformedRecord, lambda: ann.post(" \n\t", heading=Heading(warning="wet"))),
        (MalformedRecord, lambda: ann.post(Post(" ", title=" ", tags=("sea",)))),
        (MalformedRecord, lambda: ann.reply(his, "\n")),
        (MalformedRecord, lambda: ann.quote(his, " ")),
        (MalformedRecord, lambda: ann.edit(mine.id, "")),
        (MalformedRecord, lambda: ann.edit(mine.id, " \n")),
        (MalformedRecord, lambda: ann.edit(mine.id, "x" * 49_153)),
        (MalformedRecord, lambda: ann.react(mine.id, "")),
        (MalformedRecord, lambda: ann.react(mine.id, "\u200d")),
        (MalformedRecord, lambda: ann.react(mine.id, "two words")),
        (MalformedRecord, lambda: ann.react(mine.id, "a\x00")),
        (MalformedRecord, lambda: ann.react(mine.id, "a\u202e")),
        (MalformedRecord, lambda: ann.react(mine.id, "\udcff")),
        (MalformedRecord, lambda: ann.react(mine.id, "🌊" * 9)),
        (MalformedRecord, lambda: ann.unreact(mine.id, "x" * 300)),
        (NotFound, lambda: ann.react(unseen, "🌊")),
        (NotFound, lambda: ann.repost(unseen)),
        (NotFound, lambda: ann.quote(unseen, "x")),
        (NotFound, lambda: ann.edit(unseen, "x")),
        (NotFound, lambda: ann.delete(unseen)),
        (NotFound, lambda: ann.unreact(mine.id, "🌊")),
        (NotFound, lambda: ann.unrepost(mine.id)),
        (NotFound, lambda: ann.history(unseen)),
        (NotFound, lambda: ann.history(own_profile.id)),
        (MalformedCid, lambda: ann.react("x", "🌊")),
        (MalformedCid, lambda: ann.delete(mine.id, "x")),
    ]
    for error, act in tries:
        with pytest.raises(error):
            act()
    assert ann.last_aid() == before
    assert ann.show(mine.id).text == "mine"


def test_a_home_without_an_account_cannot_act(new_config: Callable[[str], object]) -> None:
    with Node.open(new_config("empty")) as node:  # type: ignore[arg-type]  # a Config
        for act in (
            lambda: node.delete(NOBODY),
            lambda: node.repost(NOBODY),
            lambda: node.react(NOBODY, "🌊"),
            lambda: node.edit(NOBODY, "x"),
            lambda: node.unreact(NOBODY),
            lambda: node.mute(NOBODY),
            lambda: node.block(NOBODY),
        ):
            with pytest.raises(NoAccount):
                act()


# -- threads and activity


def test_a_thread_is_a_tree_in_which_gaps_are_marked(ann: Node, ben: Friend) -> None:
    root = ann.post("root")
    first = ann.reply(root.id, "first")
    ann.reply(root.id, "second")
    below = ben.writes(Words("below first", reply=Reply(root.id, first.id, root.account, root.account)))
    lost = ben.person.write(Words("never sent", reply=Reply(root.id, root.id, root.account, root.account))).cid
    ben.writes(Words("below lost", reply=Reply(root.id, lost, root.account, ben.account)))
    ann.delete(first.id)

    thread = ann.thread(below)

    assert thread.root is not None
    assert thread.root.id == root.id
    tree = {(branch.depth, branch.shown.text if branch.shown else None) for branch in thread.branches}
    assert tree == {(1, ""), (2, "below first"), (1, None), (2, "below lost"), (1, "second")}
    assert len(thread.branches) == 5
    at = [branch.id for branch in thread.branches]
    assert at.index(below) == at.index(first.id) + 1
    gap = thread.branches[at.index(first.id)].shown
    assert gap is not None
    assert gap.is_deleted


def test_a_thread_goes_on_from_its_cursor(ann: Node) -> None:
    root = ann.post("root")
    for number in range(5):
        ann.reply(root.id, f"answer {number}")
    first = ann.thread(root.id, limit=3)
    assert first.next is not None
    ann.reply(root.id, "answer 5")
    rest = ann.thread(root.id, after=first.next)
    assert texts(first.replies + rest.replies) == [f"answer {number}" for number in range(6)]
    assert rest.next is None


def test_activity_says_who_did_what_with_whom(ann: Node, ben: Friend) -> None:
    post = ann.post("mine")
    reaction = ben.writes(React(post.id, ann.account(), "🌊"))
    repost = ben.writes(Repost(post.id, ann.account()))
    answer = ben.writes(Words("hm", reply=Reply(post.id, post.id, ann.account(), ann.account())))
    mention = ben.writes(Words("you", mentions=(ann.account(),)))
    ben.writes(Words("nothing to do with you"))

    items = ann.activity().items

    assert {item.shown.id: item.reasons for item in items} == {
        reaction: ("reaction",), repost: ("repost",), answer: ("reply",), mention: ("mention",)
    }  # fmt: skip
    about = {item.shown.id: item.target.id if item.target else None for item in items}
    assert about == {reaction: post.id, repost: post.id, answer: post.id, mention: None}
    page = ann.activity(limit=3)
    assert page.next is not None
    assert [item.shown.id for item in (*page.items, *ann.activity(before=page.next).items)] == [
        item.shown.id for item in items
    ]
    ann.mute(ben.account)
    assert ann.activity().items == ()
