"""Acting on people, and reading some of them by themselves."""

from collections.abc import Callable

import pytest
from tests.support.people import Person as Stranger
from tests.support.people import ingest

from unhush.identity.cid import Cid
from unhush.node import Node, Page, Post, Shown
from unhush.node.errors import BadConfig, BadListName, MalformedCid, NotFound
from unhush.storage.kinds import Body, Follow, Media, Profile, Reply, Repost
from unhush.storage.kinds import Post as Words

PICTURE = Media(Cid(bytes((0x01, 0x55, 0x12, 0x20)) + bytes(32)), "image/webp", 10, "a hut")


class Friend(Stranger):
    """Somebody else, whose records come into a node as they are written."""

    def enter(self, node: Node) -> "Friend":
        self.node = node
        ingest(node._store, self.incept, self.write(Profile(self.name)).arrival)
        return self

    def writes(self, body: Body, *, time_ms: int | None = None) -> Cid:
        written = self.write(body, time_ms=time_ms)
        ingest(self.node._store, written.arrival)
        return written.cid


@pytest.fixture
def ben(ann: Node) -> Friend:
    ben = Friend("Ben", seed=2).enter(ann)
    ann.follow(ben.account)
    return ben


@pytest.fixture
def eve(ann: Node) -> Friend:
    return Friend("Eve", seed=4).enter(ann)


def texts(items: tuple[Shown, ...]) -> list[str]:
    return [shown.text for shown in items]


def everything(turn: Callable[[str | None], Page]) -> list[Shown]:
    items: list[Shown] = []
    page = turn(None)
    while True:
        items += page.items
        if page.next is None:
            return items
        page = turn(page.next)


# -- mutes and blocks


@pytest.mark.parametrize("way", ["mute", "block"])
def test_somebody_muted_or_blocked_is_not_in_home_and_comes_back_at_once(ann: Node, ben: Friend, way: str) -> None:
    ben.writes(Words("by ben #tide", tags=("tide",)))
    since = ann.last_aid()
    ann.post("by ann #tide")
    person = getattr(ann, way)(ben.account)
    ben.writes(Words("more by ben"))

    assert (person.is_muted, person.is_blocked) == (way == "mute", way == "block")
    assert texts(ann.timeline().items) == texts(ann.tagged("tide").items) == ["by ann #tide"]
    assert ann.count_new(since) == 1
    assert texts(tuple(ann.events(since, timeout_s=0, home_only=True))) == ["by ann #tide"]
    assert [each.account for each in ann.shunned()] == [ben.account]
    assert {shown.shun for shown in ann.person_posts(ben.account).items} == {"muted" if way == "mute" else "blocked"}

    getattr(ann, f"un{way}")(ben.account)
    assert len(ann.timeline().items) == 3
    assert ann.shunned() == ()
    with pytest.raises(NotFound):
        getattr(ann, f"un{way}")(ben.account)


def test_what_a_friend_reposts_of_somebody_blocked_is_not_in_home(ann: Node, ben: Friend, eve: Friend) -> None:
    post = eve.writes(Words("by eve"))
    ben.writes(Repost(post, eve.account))
    assert [shown.reposted.text for shown in ann.timeline().items if shown.reposted] == ["by eve"]
    ann.block(eve.account)
    assert ann.timeline().items == ()
    reply = Reply(post, post, eve.account, eve.account)
    ben.writes(Words("to eve", reply=reply))
    assert [shown.shun for shown in (ann.thread(post).root,) if shown] == ["blocked"]


def test_muting_and_blocking_say_nothing_unless_it_is_wanted(ann: Node, ben: Friend) -> None:
    before = ann.last_aid()
    ann.mute(ben.account)
    ann.block(ben.account)
    ann.unmute(ben.account)
    assert ann.person(ben.account).is_blocked
    assert ann.last_aid() == before

    ann.block(ben.account, is_public=True)
    ann.block(ben.account, is_public=True)
    assert [shown.kind for shown in ann.events(before, timeout_s=0)] == ["block"]
    ann.unblock(ben.account)
    assert [shown.kind for shown in ann.events(before, timeout_s=0)] == ["block", "delete"]
    assert not ann.person(ben.account).is_blocked


def test_nobody_mutes_or_blocks_themselves_or_a_record(ann: Node) -> None:
    post = ann.post("x")
    for act in (ann.mute, ann.block, ann.follow):
        with pytest.raises(BadConfig, match="your own account"):
            act(ann.account())
        with pytest.raises(BadConfig, match="is a post"):
            act(post.id)
        with pytest.raises(MalformedCid):
            act("x")
    assert ann.shunned() == ()


# -- who follows whom


def test_followers_are_told_page_by_page_as_far_as_they_are_known(ann: Node, ben: Friend) -> None:
    crowd = [Friend(f"Fan {seed}", seed=seed).enter(ann) for seed in range(20, 25)]
    for fan in crowd:
        fan.writes(Follow(ben.account))
    seen: list[Cid] = []
    after = None
    while True:
        page = ann.followers(ben.account, limit=2, after=after)
        seen += [person.account for person in page.items]
        after = page.next
        if after is None:
            break
    assert sorted(seen) == sorted([ann.account(), *(fan.account for fan in crowd)])
    assert ann.person(ben.account).followers == 6
    with pytest.raises(NotFound):
        ann.followers(ben.account, after="x")


def test_whom_somebody_follows_is_told_page_by_page(ann: Node, ben: Friend) -> None:
    others = [Stranger(f"Other {seed}", seed=seed).account for seed in range(30, 35)]
    for other in others:
        ben.writes(Follow(other))
    seen: list[Cid] = []
    after = None
    while True:
        page = ann.follows_of(ben.account, limit=2, after=after)
        seen += [person.account for person in page.items]
        after = page.next
        if after is None:
            break
    assert seen == sorted(others, key=lambda account: account.digest)
    assert ann.follows_of(others[0]).items == ()
    with pytest.raises(NotFound):
        ann.follows_of(ben.account, after="x")


def test_people_are_meant_by_id_petname_or_the_name_only_one_of_them_has(ann: Node, ben: Friend, eve: Friend) -> None:
    assert ann.account_of(str(eve.account)) == eve.account
    assert ann.account_of("BEN") == ben.account
    with pytest.raises(MalformedCid):
        ann.account_of("eve")
    twin = Friend("Ben", seed=9).enter(ann)
    ann.follow(twin.account)
    with pytest.raises(MalformedCid):
        ann.account_of("ben")
    ann.follow(twin.account, "Other  Ben")
    assert ann.account_of("other ben") == twin.account


def test_your_own_name_is_you_unless_somebody_else_is_meant_by_it(ann: Node) -> None:
    own, name = ann.account(), ann.person(ann.account()).name
    assert ann.account_of(f" {name.upper()} ") == own
    with pytest.raises(BadConfig, match="this is your own account"):
        ann.keep(name)
    with pytest.raises(BadConfig, match="this is you"):
        ann.offer_keeping(name)
    twin = Friend(name, seed=9).enter(ann)
    ann.follow(twin.account)
    assert ann.account_of(name) == twin.account


# -- timelines of some


def test_an_account_is_read_by_shelves(ann: Node, ben: Friend) -> None:
    post = ben.writes(Words("post"))
    ben.writes(Words("article", title="Tide"))
    ben.writes(Words("picture", media=(PICTURE,)))
    ben.writes(Words("reply", reply=Reply(post, post, ben.account, ben.account)))
    ben.writes(Repost(post, ben.account))
    expected = {
        "posts": ["picture", "post"],
        "articles": ["article"],
        "replies": ["reply"],
        "media": ["picture"],
        "reposts": [""],
        None: ["", "reply", "picture", "article", "post"],
    }
    for only, found in expected.items():
        assert texts(ann.timeline(of=ben.account, only=only).items) == found
        assert texts(ann.timeline(only=only).items) == found
        assert [shown.text for shown in everything(lambda at, only=only: ann.timeline(1, at, only=only))] == found  # type: ignore[misc]
    with pytest.raises(BadConfig, match="media"):
        ann.timeline(only="likes")


def test_a_cursor_stays_good_while_others_write(ann: Node, ben: Friend) -> None:
    for number in range(6):
        ann.post(f"post {number}")
    page = ann.timeline(3)
    ann.post("new")
    ben.writes(Words("old"), time_ms=1_000)
    assert texts(ann.timeline(3, page.next).items) == ["post 2", "post 1", "post 0"]


def test_a_list_is_read_by_itself_and_told_to_nobody(ann: Node, ben: Friend, eve: Friend) -> None:
    ben.writes(Words("by ben"))
    eve.writes(Words("by eve"))
    before = ann.last_aid()
    ann.lists.create("sea")
    ann.lists.add("sea", eve.account)
    ann.lists.add("sea", str(ben.account))
    ann.lists.create("sea")
    assert [(each.name, each.members) for each in ann.lists.all()] == [("sea", 2)]
    assert {person.account for person in ann.lists.members("sea")} == {ben.account, eve.account}
    assert sorted(texts(ann.timeline(in_list="sea").items)) == ["by ben", "by eve"]
    assert ann.timeline(in_list="sea", only="articles").items == ()

    ann.lists.remove("sea", eve.account)
    assert texts(ann.timeline(in_list="sea").items) == ["by ben"]
    ann.block(ben.account)
    assert ann.timeline(in_list="sea").items == ()
    ann.lists.drop("sea")
    assert ann.lists.all() == ()
    assert ann.last_aid() == before


def test_what_is_no_list_is_refused(ann: Node, ben: Friend) -> None:
    post = ann.post(Post("x"))
    for name in ("", " ", "a\nb", "x" * 101, "\udcff"):
        with pytest.raises(BadListName):
            ann.lists.create(name)
    for act in (
        lambda: ann.lists.add("none", ben.account),
        lambda: ann.lists.remove("none", ben.account),
        lambda: ann.lists.drop("none"),
        lambda: ann.lists.members("none"),
        lambda: ann.timeline(in_list="none"),
    ):
        with pytest.raises(NotFound):
            act()
    ann.lists.create("sea")
    with pytest.raises(BadConfig):
        ann.lists.add("sea", post.id)
    with pytest.raises(NotFound):
        ann.lists.remove("sea", ben.account)
    with pytest.raises(BadConfig):
        ann.timeline(of=ben.account, in_list="sea")
    assert ann.lists.members("sea") == ()
