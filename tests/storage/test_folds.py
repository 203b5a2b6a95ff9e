"""Folds, one by one: what each kind of record changes in what people see, in whatever order records come."""

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.support.oracle import TextReader
from tests.support.people import Clock, Home, Person, Written, arrivals_of, ingest, open_home, texts

from unhush.identity.cid import Cid, cid_of_raw
from unhush.storage.errors import NotFound
from unhush.storage.folds.activity import Reason
from unhush.storage.folds.places import Place, parse_place
from unhush.storage.folds.reactions import EmojiCount
from unhush.storage.folds.tags import fold_tag
from unhush.storage.folds.timeline import Shelf
from unhush.storage.kinds import (
    Block,
    Body,
    Delete,
    Edit,
    Follow,
    Label,
    Media,
    Post,
    Quote,
    React,
    Rebuttal,
    Reply,
    Repost,
)
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot, take
from unhush.storage.store import Store


def in_every_order(clock: Clock, known: list[Person], written: list[Written]) -> Iterator[Store]:
    for order in permutations(written):
        with TemporaryDirectory() as folder, open_home(Path(folder), clock) as store:
            ingest(store, *(person.incept for person in known))
            for record in order:
                ingest(store, record.arrival)
            yield store


def shown(store: Store, cid: Cid) -> str | None:
    """What a post says now."""
    with store.snapshot() as snapshot:
        record = snapshot.record(cid)
        post = snapshot.shown_version(record) if record is not None else None
        return post.text if post is not None else None


def answer_to(parent: Written, of: Person, root: Written | None = None) -> Reply:
    return Reply((root or parent).cid, parent.cid, of.account, of.account)


def ask(store: Store, question: Callable[[Snapshot], Iterator[tuple[object, Record]]]) -> list[str]:
    with store.snapshot() as snapshot:
        return texts(record for _, record in question(snapshot))


# -- threads


def test_a_reply_is_shown_under_the_root_of_its_parent_whichever_comes_first(bob: Person, clock: Clock) -> None:
    root, other = bob.posts(2)
    parent = bob.write(Post("parent", reply=answer_to(root, bob)))
    stray = bob.write(Post("stray", reply=answer_to(parent, bob, root=other)))
    for store in in_every_order(clock, [bob], [root, other, parent, stray]):
        assert ask(store, lambda snapshot: snapshot.thread(root.cid)) == ["parent", "stray"]
        assert ask(store, lambda snapshot: snapshot.thread(other.cid)) == []
        assert ask(store, lambda snapshot: snapshot.answers(parent.cid)) == ["stray"]


def test_an_answer_to_a_root_is_shown_under_it_whatever_root_it_names(bob: Person, clock: Clock) -> None:
    root, other = bob.posts(2)
    stray = bob.write(Post("stray", reply=answer_to(root, bob, root=other)))
    for store in in_every_order(clock, [bob], [root, other, stray]):
        assert ask(store, lambda snapshot: snapshot.thread(root.cid)) == ["stray"]
        assert ask(store, lambda snapshot: snapshot.thread(other.cid)) == []


def test_what_a_deleted_parent_said_of_its_root_is_gone_with_it(bob: Person, clock: Clock) -> None:
    root, other = bob.posts(2)
    parent = bob.write(Post("parent", reply=answer_to(root, bob)))
    stray = bob.write(Post("stray", reply=answer_to(parent, bob, root=other)))
    delete = bob.write(Delete(parent.cid))
    for store in in_every_order(clock, [bob], [root, parent, stray, delete]):
        assert ask(store, lambda snapshot: snapshot.thread(root.cid)) == []
        assert ask(store, lambda snapshot: snapshot.thread(other.cid)) == ["stray"]


def test_a_thread_is_paged_without_repeating_or_skipping(store: Store, known_bob: Person, clock: Clock) -> None:
    root = known_bob.post("root")
    early = [known_bob.write(Post(f"{number}", reply=answer_to(root, known_bob))) for number in range(4)]
    ingest(store, *arrivals_of([root, *early]))
    with store.snapshot() as snapshot:
        first, cursor = take(snapshot.thread(root.cid), 2)

    late = [known_bob.write(Post("late", reply=answer_to(root, known_bob)), time_ms=time) for time in (1, clock())]
    ingest(store, *arrivals_of(late))

    assert texts(first) == ["0", "1"]
    assert ask(store, lambda snapshot: snapshot.thread(root.cid, cursor)) == ["2", "3", "late"]


# -- edits


def test_the_newest_edit_by_time_and_id_is_shown_in_every_order(bob: Person, clock: Clock) -> None:
    post = bob.post("original", time_ms=1)
    edits = [bob.write(Edit(post.cid, Post(f"edit {time}")), time_ms=time) for time in (5, 9, 7)]
    for store in in_every_order(clock, [bob], [post, *edits]):
        assert shown(store, post.cid) == "edit 9"
        with store.snapshot() as snapshot:
            record = snapshot.record(post.cid)
            assert record is not None
            texts_of = [version.post.text for version in snapshot.versions(record)]
        assert texts_of == ["original", "edit 5", "edit 7", "edit 9"]


def test_deleting_an_edit_shows_the_version_before_it(bob: Person, clock: Clock) -> None:
    post = bob.post("original")
    edit = bob.write(Edit(post.cid, Post("changed", tags=("new",))))
    delete = bob.write(Delete(edit.cid))
    for store in in_every_order(clock, [bob], [post, edit, delete]):
        assert shown(store, post.cid) == "original"
        assert ask(store, lambda snapshot: snapshot.tagged("new")) == []


def test_deleting_a_post_withdraws_its_edits(bob: Person, clock: Clock) -> None:
    post = bob.post("original")
    edit = bob.write(Edit(post.cid, Post("changed", tags=("new",))))
    delete = bob.write(Delete(post.cid))
    for store in in_every_order(clock, [bob], [post, edit, delete]):
        assert shown(store, post.cid) is None
        assert ask(store, lambda snapshot: snapshot.tagged("new")) == []
        with store.snapshot() as snapshot:
            for cid in (post.cid, edit.cid):
                record = snapshot.record(cid)
                assert record is not None
                assert snapshot.is_deleted(record)
                assert snapshot.versions(record) == []


def test_nobody_edits_what_another_wrote(bob: Person, clock: Clock) -> None:
    carol = Person("Carol", seed=3, clock_ms=clock)
    post = carol.post("hers")
    edit = bob.write(Edit(post.cid, Post("his")))
    for store in in_every_order(clock, [bob, carol], [post, edit]):
        assert shown(store, post.cid) == "hers"


def test_an_edit_moves_a_post_between_shelves_and_tags_and_keeps_what_it_answers(
    store: Store, known_bob: Person
) -> None:
    root, quoted = known_bob.posts(2)
    blob = Media(cid_of_raw(b"x"), "image/png", 1, "")
    plain = known_bob.write(Post("plain", tags=("old",), quote=Quote(quoted.cid, known_bob.account)))
    reply = known_bob.write(Post("reply", reply=answer_to(root, known_bob)))
    edits = [
        known_bob.write(Edit(plain.cid, Post("an article", title="title", tags=("new",), media=(blob,)))),
        known_bob.write(Edit(reply.cid, Post("another reply", title="title"))),
    ]
    ingest(store, *arrivals_of([plain, reply, *edits]))

    with store.snapshot() as snapshot:
        account = snapshot.account(known_bob.account)
        assert account is not None
        shelves = {shelf: [record.cid for _, record in snapshot.shelves(account, [shelf])] for shelf in Shelf}
        tagged = {tag: [record.cid for _, record in snapshot.tagged(tag)] for tag in ("old", "new")}
        quotes = [record.cid for _, record in snapshot.quotes(quoted.cid)]
        thread = [record.cid for record in snapshot.replies(root.cid)]
    assert shelves == {
        Shelf.POSTS: [],
        Shelf.REPLIES: [reply.cid],
        Shelf.ARTICLES: [plain.cid],
        Shelf.REPOSTS: [],
        Shelf.MEDIA: [plain.cid],
    }
    assert tagged == {"old": [], "new": [plain.cid]}
    assert (quotes, thread) == ([plain.cid], [reply.cid])


# -- shelves


def test_shelves_read_together_are_in_one_order_and_share_their_cursors(
    store: Store, known_bob: Person, clock: Clock
) -> None:
    blob = Media(cid_of_raw(b"x"), "image/png", 1, "")
    target = known_bob.post("0")
    bodies: list[Body] = [
        Post("1", reply=answer_to(target, known_bob)),
        Post("2", title="title"),
        Repost(target.cid, known_bob.account),
        Post("4", media=(blob,)),
        Post("5", reply=answer_to(target, known_bob), media=(blob,)),
    ]
    written = [target]
    for body in bodies:
        clock.advance(1)
        written.append(known_bob.write(body))
    ingest(store, *arrivals_of(written))

    def read(*shelves: Shelf, limit: int = 99) -> list[int]:
        with store.snapshot() as snapshot:
            account = snapshot.account(known_bob.account)
            assert account is not None
            found: list[int] = []
            cursor = None
            while True:
                page, cursor = take(snapshot.shelves(account, shelves, cursor), limit)
                found += [[each.cid for each in written].index(record.cid) for record in page]
                if cursor is None:
                    return found

    assert read(Shelf.POSTS) == [4, 0]
    assert read(Shelf.POSTS, Shelf.REPLIES, Shelf.MEDIA) == [5, 4, 1, 0]
    assert read(Shelf.POSTS, Shelf.REPLIES, Shelf.MEDIA, limit=1) == [5, 4, 1, 0]
    assert read(*Shelf) == [5, 4, 3, 2, 1, 0]
    assert read() == []
    with store.snapshot() as snapshot:
        account = snapshot.account(known_bob.account)
        assert account is not None
        assert snapshot.count_posts(account) == 5


def test_reposts_of_people_followed_are_in_the_home(home: Home, known_bob: Person, clock: Clock) -> None:
    carol = Person("Carol", seed=3, clock_ms=clock)
    post = carol.post("hers")
    repost = known_bob.write(Repost(post.cid, carol.account))
    ingest(home.store, carol.incept, post.arrival, repost.arrival)
    home.publish(Follow(known_bob.account))

    with home.store.snapshot() as snapshot:
        assert [record.cid for _, record in snapshot.home()] == [repost.cid]


# -- tags


@pytest.mark.parametrize(
    ("written", "asked"), [("Straße", "STRASSE"), ("ｅｖｅｎｔ", "Event"), ("ﬁn", "FIN"), ("日本", "日本"), ("", "")]
)
def test_a_tag_is_found_however_it_is_written(store: Store, known_bob: Person, written: str, asked: str) -> None:
    ingest(store, known_bob.write(Post("tagged", tags=(written, written.upper()))).arrival)

    assert ask(store, lambda snapshot: snapshot.tagged(asked)) == ["tagged"]
    assert ask(store, lambda snapshot: snapshot.tagged(asked + "x")) == []


def test_folding_a_tag_twice_changes_nothing() -> None:
    for code in (*range(0x20, 0xD800), *range(0xE000, 0x1F700)):
        folded = fold_tag(chr(code))
        assert fold_tag(folded) == folded


def test_the_longest_tag_that_grows_most_when_folded_is_kept(store: Store, known_bob: Person) -> None:
    tag = "\ufdfa" * 21  # 63 bytes, 693 when folded

    ingest(store, known_bob.write(Post("tagged", tags=(tag,))).arrival)

    assert ask(store, lambda snapshot: snapshot.tagged(tag)) == ["tagged"]


# -- reactions and reposts


def test_an_account_counts_once_however_often_it_reacts_and_reposts(store: Store, known_bob: Person) -> None:
    post = known_bob.post("post")
    acts = [
        known_bob.write(body)
        for body in (
            React(post.cid, known_bob.account, "+"),
            React(post.cid, known_bob.account, "+"),
            React(post.cid, known_bob.account, "++"),
            Repost(post.cid, known_bob.account),
            Repost(post.cid, known_bob.account),
        )
    ]
    ingest(store, *arrivals_of([post, *acts]))

    def counted() -> tuple[list[EmojiCount], int, int]:
        with store.snapshot() as snapshot:
            counts = snapshot.counts(post.cid)
            return snapshot.reactions(post.cid), counts.reactions, counts.reposts

    assert counted() == ([EmojiCount("+", 1), EmojiCount("++", 1)], 2, 1)

    ingest(store, known_bob.write(Delete(acts[0].cid)).arrival, known_bob.write(Delete(acts[3].cid)).arrival)
    assert counted() == ([EmojiCount("+", 1), EmojiCount("++", 1)], 2, 1)

    ingest(store, known_bob.write(Delete(acts[1].cid)).arrival, known_bob.write(Delete(acts[4].cid)).arrival)
    assert counted() == ([EmojiCount("++", 1)], 1, 0)


def test_who_reacted_and_who_follows_is_paged_by_account(store: Store, bob: Person, clock: Clock) -> None:
    post = bob.post("post")
    crowd = [Person(f"P{number}", seed=50 + number, clock_ms=clock) for number in range(5)]
    acts = [
        person.write(body)
        for person in crowd
        for body in (React(post.cid, bob.account, "+"), React(post.cid, bob.account, "+"), Follow(bob.account))
    ]
    ingest(store, bob.incept, *(person.incept for person in crowd), *arrivals_of(acts))

    with store.snapshot() as snapshot:
        first, cursor = take(snapshot.reacted(post.cid, "+"), 2)
        rest, end = take(snapshot.reacted(post.cid, "+", cursor), 9)
        followers = [record.account for _, record in snapshot.followers(bob.account)]
        counts = snapshot.counts(bob.account)

    people = [person.account for person in crowd]
    assert [record.account for record in first + rest] == people
    assert end is None
    assert followers == people
    assert counts.followers == 5


@pytest.mark.parametrize("text", ["", "-1", "x", "1.0", "4294967296", "9" * 5_000, "٣"])
def test_what_is_no_place_is_refused_by_name(text: str) -> None:
    with pytest.raises(NotFound):
        parse_place(text)


def test_a_place_reads_back_from_its_text() -> None:
    assert parse_place(str(Place(2**32 - 1))) == Place(2**32 - 1)


# -- labels and blocks


def test_labels_and_rebuttals_are_found_and_undone(store: Store, known_bob: Person) -> None:
    post = known_bob.post("post")
    labels = [known_bob.write(Label(on, "spam", "because")) for on in (post.cid, known_bob.account)]
    rebuttal = known_bob.write(Rebuttal(labels[0].cid, "it is not"))
    ingest(store, *arrivals_of([post, *labels, rebuttal]))

    with store.snapshot() as snapshot:
        assert [label for _, label in snapshot.labels(post.cid)] == [Label(post.cid, "spam", "because")]
        assert [record.cid for record, _ in snapshot.labels(known_bob.account)] == [labels[1].cid]
        assert [body.text for _, body in snapshot.rebuttals(labels[0].cid)] == ["it is not"]

    ingest(store, *arrivals_of([known_bob.write(Delete(each.cid)) for each in (*labels, rebuttal)]))
    with store.snapshot() as snapshot:
        assert list(snapshot.labels(post.cid)) == []
        assert list(snapshot.labels(known_bob.account)) == []
        assert list(snapshot.rebuttals(labels[0].cid)) == []


def test_a_published_block_hides_from_the_home_until_it_is_deleted(home: Home, known_bob: Person) -> None:
    ingest(home.store, known_bob.post("his").arrival)
    _, block = home.publish(Follow(known_bob.account), Block(known_bob.account))
    with home.store.snapshot() as snapshot:
        me = snapshot.account(home.person.account)
        assert me is not None
        assert [record.cid for record in snapshot.block_records(me, known_bob.account)] == [block.cid]
    assert ask(home.store, lambda snapshot: snapshot.home()) == []

    home.publish(Delete(block.cid))
    assert ask(home.store, lambda snapshot: snapshot.home()) == ["his"]


# -- activity


def reasons(store: Store) -> list[tuple[Cid, tuple[Reason, ...]]]:
    with store.snapshot() as snapshot:
        return [(concern.record.cid, concern.reasons) for _, concern in snapshot.activity()]


def test_whatever_others_do_to_ours_is_activity_and_what_they_do_elsewhere_is_not(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    me, him = home.person.account, known_bob.account
    mine, his = home.post("mine"), known_bob.post("his")
    acts: list[tuple[Written, tuple[Reason, ...]]] = []
    for body, why in (
        (Post("hello", mentions=(me,)), (Reason.MENTION,)),
        (Post("reply", reply=Reply(mine.cid, mine.cid, him, him)), (Reason.REPLY,)),
        (Post("all", mentions=(me,), reply=Reply(mine.cid, mine.cid, me, me)), (Reason.MENTION, Reason.REPLY)),
        (Post("quote", quote=Quote(mine.cid, me)), (Reason.QUOTE,)),
        (Repost(mine.cid, him), (Reason.REPOST,)),
        (React(mine.cid, him, "+"), (Reason.REACTION,)),
        (Follow(me), (Reason.FOLLOW,)),
        (Post("elsewhere", reply=Reply(his.cid, his.cid, me, me)), ()),
        (React(his.cid, me, "+"), ()),
        (Repost(his.cid, me), ()),
        (Follow(him), ()),
    ):
        clock.advance(1)
        acts.append((known_bob.write(body), why))
    ingest(home.store, his.arrival, *arrivals_of([written for written, _ in acts]))
    home.publish(React(mine.cid, me, "+"), Repost(mine.cid, me), Post("own", mentions=(me,)))

    assert reasons(home.store) == [(written.cid, why) for written, why in reversed(acts) if why]

    ingest(home.store, *arrivals_of([known_bob.write(Delete(written.cid)) for written, _ in acts]))
    assert reasons(home.store) == []


def test_what_named_a_record_of_ours_before_it_came_back_is_activity(tmp_path: Path, clock: Clock, bob: Person) -> None:
    ann = Person("Ann", seed=1, clock_ms=clock)
    mine = ann.post("mine")
    react = bob.write(React(mine.cid, ann.account, "+"))
    with open_home(tmp_path, clock) as store:
        store.adopt_account(ann.account, bob.key)
        ingest(store, ann.incept, bob.incept, react.arrival)
        assert reasons(store) == []

        ingest(store, mine.arrival)
        assert reasons(store) == [(react.cid, (Reason.REACTION,))]

        ingest(store, ann.write(Delete(mine.cid)).arrival)
        assert reasons(store) == []


def test_activity_is_paged_from_a_cursor_that_new_acts_do_not_move(home: Home, known_bob: Person, clock: Clock) -> None:
    mine = home.post("mine")

    def react() -> Written:
        clock.advance(1)
        return known_bob.write(Post("x", mentions=(home.person.account,), quote=Quote(mine.cid, mine.account)))

    acts = [react() for _ in range(5)]
    ingest(home.store, *arrivals_of(acts))
    with home.store.snapshot() as snapshot:
        first, cursor = take(snapshot.activity(), 2)

    ingest(home.store, react().arrival)
    with home.store.snapshot() as snapshot:
        second, end = take(snapshot.activity(cursor), 9)

    assert [concern.record.cid for concern in first + second] == [act.cid for act in reversed(acts)]
    assert end is None


# -- a home whose account changes


def test_a_home_that_becomes_somebody_elses_shows_what_they_follow(store: Store, clock: Clock, bob: Person) -> None:
    ann = Person("Ann", seed=1, clock_ms=clock)
    his = bob.write(Post("his", mentions=(ann.account,)))
    ingest(store, ann.incept, bob.incept, ann.write(Follow(bob.account)).arrival, his.arrival)
    assert ask(store, lambda snapshot: snapshot.home()) == []

    store.adopt_account(ann.account, bob.key)

    assert ask(store, lambda snapshot: snapshot.home()) == ["his"]
    assert reasons(store) == [(his.cid, (Reason.MENTION,))]


# -- full text


def test_full_text_looks_again_at_what_changes_without_a_new_number(home: Home, bob: Person) -> None:
    phone, add = bob.add_device()
    reader = TextReader(home.store)
    post, other = bob.post("original"), bob.post("other")
    ingest(home.store, bob.incept, add, *arrivals_of([post, other]))

    def read() -> set[str]:
        reader.catch_up()
        assert reader.texts == reader.expected()
        return set(reader.texts.values())

    assert read() == {"original", "other"}
    edit = bob.write(Edit(post.cid, Post("changed")))
    ingest(home.store, edit.arrival)
    assert read() == {"changed", "other"}
    ingest(home.store, bob.write(Delete(post.cid), by=phone).arrival)
    assert read() == {"other"}
    ingest(home.store, bob.revoke(phone.key.public, None))  # the delete is void now
    assert read() == {"changed", "other"}
    ingest(home.store, bob.write(Delete(edit.cid)).arrival)
    assert read() == {"original", "other"}
    ingest(home.store, bob.revoke(bob.key, post.entry))  # everything after the first post is void
    assert read() == {"original"}


def test_a_follow_that_ends_within_a_batch_ends_for_what_follows_in_it(
    tmp_path: Path, clock: Clock, bob: Person
) -> None:
    ann = Person("Ann", seed=1, clock_ms=clock)
    phone, add = bob.add_device()
    follow = ann.write(Follow(bob.account))
    with open_home(tmp_path, clock) as store:
        store.adopt_account(ann.account, bob.key)
        ingest(store, ann.incept, bob.incept, add, follow.arrival, bob.post("before").arrival)
        assert ask(store, lambda snapshot: snapshot.home()) == ["before"]

        ingest(
            store,
            bob.post("in between").arrival,
            ann.write(Delete(follow.cid)).arrival,
            bob.write(Post("after"), by=phone).arrival,
        )

        assert ask(store, lambda snapshot: snapshot.home()) == []
