"""What only this home knows: lists of accounts, mutes and blocks. Told to nobody, and no part of the journal."""

import pytest
from tests.support.people import Clock, Home, Person, arrivals_of, cids_held, ingest, texts

from unhush.identity.cid import cid_of
from unhush.storage import lists
from unhush.storage.errors import BadListName, ListFull, NotFound
from unhush.storage.kinds import Block, Follow, Post, Repost
from unhush.storage.lists import MAX_LIST_NAME_BYTES, MAX_LISTS, MAX_MEMBERS
from unhush.storage.shunned import Shun
from unhush.storage.snapshot import take
from unhush.storage.store import Store


def home_texts(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return texts(record for _, record in snapshot.home())


# -- lists


def test_a_list_shows_what_its_members_posted_newest_first(store: Store, known_bob: Person, clock: Clock) -> None:
    carol, dave = (Person(name, seed=seed, clock_ms=clock) for name, seed in (("Carol", 3), ("Dave", 4)))
    ingest(store, carol.incept, dave.incept)
    written = []
    for number in range(9):
        clock.advance(number % 2)  # some at the same time
        written.append((known_bob, carol, dave)[number % 3].post(str(number)))
    written.append(known_bob.write(Repost(written[2].cid, dave.account)))
    ingest(store, *arrivals_of(written))
    store.put_list("friends")
    for who in (known_bob.account, carol.account, cid_of(b"nobody of whom anything is held")):
        store.put_list_member("friends", who)

    with store.snapshot() as snapshot:
        whole = [record.cid for _, record in snapshot.list_posts("friends")]
        pages, cursor = take(snapshot.list_posts("friends"), 3)
        while cursor is not None:
            page, cursor = take(snapshot.list_posts("friends", cursor), 3)
            pages += page

    assert set(whole) == {each.cid for number, each in enumerate(written) if number % 3 != 2 or number == 9}
    assert [record.cid for record in pages] == whole


def test_a_cursor_of_a_list_stays_where_it_is_while_people_join_and_leave(
    store: Store, known_bob: Person, clock: Clock
) -> None:
    carol = Person("Carol", seed=3, clock_ms=clock)
    ingest(store, carol.incept, *arrivals_of([known_bob.post(f"bob {time}", time_ms=time) for time in (10, 30, 50)]))
    ingest(store, *arrivals_of([carol.post(f"carol {time}", time_ms=time) for time in (20, 40, 60)]))
    store.put_list("l")
    store.put_list_member("l", known_bob.account)
    with store.snapshot() as snapshot:
        first, cursor = take(snapshot.list_posts("l"), 1)

    store.put_list_member("l", carol.account)
    with store.snapshot() as snapshot:
        joined = texts(record for _, record in snapshot.list_posts("l", cursor))
    store.drop_list_member("l", known_bob.account)
    with store.snapshot() as snapshot:
        left = texts(record for _, record in snapshot.list_posts("l", cursor))

    assert texts(first) == ["bob 50"]
    assert joined == ["carol 40", "bob 30", "carol 20", "bob 10"]
    assert left == ["carol 40", "carol 20"]


def test_lists_are_made_listed_and_forgotten_by_name(store: Store, bob: Person) -> None:
    for name in ("b", "a", "a b", "ä", "a"):
        store.put_list(name)
    store.put_list_member("a", bob.account)
    store.put_list_member("a", bob.account)

    with store.snapshot() as snapshot:
        assert snapshot.lists() == ["a", "a b", "b", "ä"]
        assert snapshot.list_members("a") == [bob.account]
        assert snapshot.list_members("a b") == []

    assert store.drop_list_member("a", bob.account)
    assert not store.drop_list_member("a", bob.account)
    assert store.drop_list("a")
    assert not store.drop_list("a")
    with store.snapshot() as snapshot:
        assert snapshot.lists() == ["a b", "b", "ä"]


def test_a_member_whose_digest_ends_in_nothing_is_no_list(store: Store) -> None:
    ending = next(cid for number in range(10_000) if (cid := cid_of(str(number).encode())).digest.endswith(b"\x00"))
    store.put_list("a")
    store.put_list_member("a", ending)

    with store.snapshot() as snapshot:
        assert snapshot.lists() == ["a"]
        assert snapshot.list_members("a") == [ending]


def test_what_is_said_of_a_list_that_is_not_there_is_refused_by_name(store: Store, bob: Person) -> None:
    store.put_list("lists")
    with pytest.raises(NotFound):
        store.put_list_member("list", bob.account)
    with store.snapshot() as snapshot, pytest.raises(NotFound):
        snapshot.list_members("list")
    with store.snapshot() as snapshot, pytest.raises(NotFound):
        list(snapshot.list_posts("list"))


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "a\nb", "\ud800", "x" * (MAX_LIST_NAME_BYTES + 1)])
def test_what_can_name_no_list_is_refused_by_name(store: Store, name: str) -> None:
    with pytest.raises(BadListName):
        store.put_list(name)
    with pytest.raises(BadListName):
        store.drop_list(name)


def test_lists_and_their_members_are_bounded(store: Store, bob: Person) -> None:
    with store._environment.write() as txn:
        for number in range(MAX_LISTS):
            lists.put_list(txn, f"list {number}")
        for number in range(MAX_MEMBERS):
            lists.put_member(txn, "list 0", cid_of(str(number).encode()))

    with pytest.raises(ListFull):
        store.put_list("one more")
    with pytest.raises(ListFull):
        store.put_list_member("list 0", bob.account)
    store.put_list("list 0")
    store.put_list_member("list 0", cid_of(b"0"))


# -- mutes and blocks


@pytest.mark.parametrize("shun", [Shun.MUTED, Shun.BLOCKED, Shun.MUTED | Shun.BLOCKED])
def test_who_is_shunned_is_in_neither_home_nor_activity_until_that_ends(
    home: Home, known_bob: Person, shun: Shun
) -> None:
    home.publish(Follow(known_bob.account))
    ingest(home.store, known_bob.write(Post("his", mentions=(home.person.account,))).arrival)
    before = cids_held(home.store)

    home.store.put_shun(known_bob.account, shun)
    with home.store.snapshot() as snapshot:
        assert (list(snapshot.home()), list(snapshot.activity())) == ([], [])
        assert snapshot.shun(known_bob.account) == shun
        assert snapshot.shunned() == {known_bob.account: shun}
        account = snapshot.account(known_bob.account)
        assert account is not None
        assert texts(record for _, record in snapshot.posts(account)) == ["his"]
    assert cids_held(home.store) == before

    home.store.put_shun(known_bob.account, Shun.NOT)
    assert home_texts(home.store) == ["his"]
    with home.store.snapshot() as snapshot:
        assert len(list(snapshot.activity())) == 1
        assert snapshot.shunned() == {}


def test_a_published_block_and_one_kept_here_are_told_as_one(home: Home, bob: Person) -> None:
    home.store.put_shun(bob.account, Shun.MUTED)
    home.publish(Block(bob.account))

    with home.store.snapshot() as snapshot:
        assert snapshot.shun(bob.account) == Shun.MUTED | Shun.BLOCKED


def test_nobody_disappears_from_their_own_home(home: Home) -> None:
    home.post("mine")
    home.store.put_shun(home.person.account, Shun.MUTED)
    home.publish(Block(home.person.account))

    assert home_texts(home.store) == ["mine"]
