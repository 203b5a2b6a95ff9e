"""The indexes say what a naive fold over the bare set of records says, in whatever order it came."""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bodies import random_body
from tests.support.oracle import actual_view, expected_view
from tests.support.people import (
    Clock,
    Home,
    Person,
    Written,
    arrivals_of,
    cids_held,
    dump,
    ingest,
    open_home,
    texts,
)

from unhush.identity.cid import Cid
from unhush.storage.arrivals import Arrival
from unhush.storage.folds import FOLD_TABLES
from unhush.storage.kinds import Body, Delete, Follow, Post, Profile, Reply
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.store import Store


def agrees_with_the_oracle(store: Store) -> None:
    with store.snapshot() as snapshot:
        records, own = list(snapshot.journal(0)), snapshot.own_account()
    assert actual_view(store) == expected_view(records, own)


@dataclass
class Village:
    """Three people who write records of every kind at random."""

    random: Random
    clock: Clock

    def __post_init__(self) -> None:
        self.people = [Person(f"P{seed}", seed=10 + seed, clock_ms=self.clock) for seed in range(3)]
        self.written: list[tuple[Person, Written]] = []

    def live(self, days: int) -> list[Arrival]:
        for _ in range(days):
            self.clock.advance(self.random.choice((0, 0, 1, 1_000)))
            person = self.random.choice(self.people)
            written = person.write(self._body(person), time_ms=self.clock() - self.random.choice((0, 0, 5_000)))
            self.written.append((person, written))
        return [person.incept for person in self.people] + [written.arrival for _, written in self.written]

    def _body(self, person: Person) -> Body:
        return random_body(
            self.random,
            person.name,
            own=[written.cid for writer, written in self.written if writer is person],
            anything=[written.cid for _, written in self.written],
            people=[anybody.account for anybody in self.people],
        )


def content(store: Store) -> dict[Table, list[object]]:
    """Fold tables with every aid replaced by the id of its record, and account numbers by accounts."""
    tables = dump(store)
    names = {aid: digest for digest, aid in tables[Table.IDS]}
    numbers = {value[:4]: digest for digest, value in tables[Table.ACCOUNTS]}

    def rename(table: Table, key: bytes, value: bytes) -> object:
        match table:
            case Table.POSTS | Table.FOLLOWS | Table.BLOCKS:
                return numbers[key[:4]], key[4:-8], names[key[-8:]]
            case Table.SHELF_COUNTS:
                return numbers[key[:4]], key[4:], value
            case Table.HOME:
                return key[:-8], names[key[-8:]], numbers[value]
            case Table.PROFILES:
                return numbers[key[:4]], key[4:], names[value]
            case Table.REPOSTS | Table.REACTIONS | Table.FOLLOWERS | Table.LABELS | Table.REBUTTALS:
                return key[:-12], numbers[key[-12:-8]], names[key[-8:]]
            case Table.ACTIVITY:
                return key[:-9], names[key[-9:-1]], key[-1:]
            case Table.EDITS:
                return key, names[value]
            case Table.ABOUT | Table.REACTION_COUNTS | Table.MINE:
                return key, value
            case _:
                return key[:-8], names[key[-8:]], value

    return {table: sorted((rename(table, *row) for row in tables[table]), key=repr) for table in FOLD_TABLES}


@pytest.mark.parametrize("seed", range(25))
def test_indexes_equal_the_naive_fold_in_any_order_of_arrival(seed: int, tmp_path: Path) -> None:
    clock = Clock()
    village = Village(Random(seed), clock)
    arrivals = village.live(60)
    views = []
    for order in range(3):
        random = Random(f"{seed} {order}")
        mixed = arrivals[:3] + random.sample(arrivals[3:], len(arrivals) - 3) if order else arrivals
        with open_home(tmp_path / str(order), clock) as store:
            at = 3
            ingest(store, *mixed[:at])
            while at < len(mixed):
                size = random.randrange(1, 12)
                some = mixed[at : at + size] + random.sample(mixed[: at + size], 2)
                bare = [Arrival(arrival.entry, None) for arrival in some if random.random() < 0.2]
                ingest(store, *bare)
                ingest(store, *some)
                at += size
            agrees_with_the_oracle(store)
            views.append((cids_held(store), content(store)))

    assert views[0] == views[1] == views[2]


@pytest.mark.parametrize("seed", range(10))
def test_the_home_timeline_equals_the_naive_fold_while_we_follow_and_unfollow(
    seed: int, home: Home, clock: Clock
) -> None:
    random = Random(seed)
    village = Village(random, clock)
    arrivals = village.live(40)
    random.shuffle(arrivals)
    follows: list[Record] = []
    at = 0
    while at < len(arrivals):
        size = random.randrange(1, 8)
        ingest(home.store, *arrivals[at : at + size])
        at += size
        match random.randrange(4):
            case 0:
                follows += home.publish(Follow(random.choice(village.people).account))
            case 1 if follows:
                home.publish(Delete(follows.pop(random.randrange(len(follows))).cid))
            case 2:
                home.post(f"own {at}")
            case _:
                clock.advance(1)
        agrees_with_the_oracle(home.store)


@given(st.permutations(range(6)))
@settings(deadline=None, max_examples=40)
def test_a_post_deleted_by_its_author_is_gone_in_every_order(order: list[int]) -> None:
    clock = Clock()
    bob = Person("Bob", seed=2, clock_ms=clock)
    post, other = bob.posts(2)
    delete = bob.write(Delete(post.cid))
    of_delete = bob.write(Delete(delete.cid))  # deleting a delete does nothing
    of_inception = bob.write(Delete(bob.account))  # nor does deleting an identity operation
    last = bob.post("last")
    written = [post, other, delete, of_delete, of_inception, last]
    with TemporaryDirectory() as folder, open_home(Path(folder), clock) as store:
        ingest(store, bob.incept)
        for place in order:
            ingest(store, written[place].arrival)

        with store.snapshot() as snapshot:
            account = snapshot.account(bob.account)
            assert account is not None
            assert {record.cid for _, record in snapshot.posts(account)} == {other.cid, last.cid}
            deleted = {record.cid for record in snapshot.journal(0) if snapshot.is_deleted(record)}
        assert deleted == {post.cid}


def test_nobody_can_delete_what_another_wrote(home: Home, known_bob: Person) -> None:
    post = home.post("mine")

    ingest(home.store, known_bob.write(Delete(post.cid)).arrival)

    assert home_texts(home.store) == ["mine"]


def test_a_delete_that_came_first_holds_only_for_its_own_account(store: Store, known_bob: Person, clock: Clock) -> None:
    carol = Person("Carol", seed=3, clock_ms=clock)
    post = carol.post("hers")

    ingest(store, known_bob.write(Delete(post.cid)).arrival)
    ingest(store, carol.incept, post.arrival)

    with store.snapshot() as snapshot:
        account = snapshot.account(carol.account)
        assert account is not None
        assert [record.cid for _, record in snapshot.posts(account)] == [post.cid]


def test_unfollowing_empties_the_home_and_following_again_fills_it(home: Home, known_bob: Person) -> None:
    ingest(home.store, *arrivals_of(known_bob.posts(3)))
    home.post("mine")
    (follow,) = home.publish(Follow(known_bob.account))
    assert len(home_texts(home.store)) == 4

    home.publish(Delete(follow.cid))
    assert home_texts(home.store) == ["mine"]

    home.publish(Follow(known_bob.account))
    assert len(home_texts(home.store)) == 4


def test_a_follow_holds_until_every_record_of_it_is_deleted(home: Home, known_bob: Person) -> None:
    ingest(home.store, known_bob.post("hello").arrival)
    first, second = home.publish(Follow(known_bob.account), Follow(known_bob.account))

    home.publish(Delete(first.cid))
    assert home_texts(home.store) == ["hello"]

    home.publish(Delete(second.cid))
    assert home_texts(home.store) == []


def test_whoever_is_followed_is_carried_and_listed_once(home: Home, bob: Person) -> None:
    first, second = home.publish(Follow(bob.account), Follow(bob.account))
    with home.store.snapshot() as snapshot:
        me = snapshot.account(home.person.account)
        assert me is not None
        assert list(snapshot.follows(me)) == [bob.account]
        assert [record.cid for record in snapshot.follow_records(me, bob.account)] == [first.cid, second.cid]
        assert snapshot.carried() == {home.person.account, bob.account}

    home.publish(Delete(first.cid), Delete(second.cid))
    with home.store.snapshot() as snapshot:
        assert snapshot.carried() == {home.person.account}


def test_somebody_followed_before_anything_of_them_came_is_in_the_home(home: Home, bob: Person) -> None:
    home.publish(Follow(bob.account))

    ingest(home.store, bob.incept, bob.post("at last").arrival, wanted_only=True)

    assert home_texts(home.store) == ["at last"]


def test_unfollowing_oneself_keeps_ones_own_posts(home: Home) -> None:
    home.post("mine")
    (follow,) = home.publish(Follow(home.person.account))

    home.publish(Delete(follow.cid))

    assert home_texts(home.store) == ["mine"]


def test_whom_others_follow_does_not_change_our_home(home: Home, known_bob: Person, clock: Clock) -> None:
    carol = Person("Carol", seed=3, clock_ms=clock)

    ingest(home.store, carol.incept, known_bob.write(Follow(carol.account)).arrival, carol.post("x").arrival)

    assert home_texts(home.store) == []


def test_the_newest_profile_by_time_and_id_is_shown_in_any_order(store: Store, known_bob: Person, clock: Clock) -> None:
    times = (5, 9, 9, 7)
    profiles = [known_bob.write(Profile(f"name {place}"), time_ms=time) for place, time in enumerate(times)]
    winner = max(profiles[1:3], key=lambda profile: profile.cid)

    ingest(store, *arrivals_of(reversed(profiles)))

    assert profile_name(store, known_bob.account) == f"name {profiles.index(winner)}"


def test_deleting_the_newest_profile_brings_back_the_one_before(store: Store, known_bob: Person) -> None:
    known_bob.write(Profile("never sent"), time_ms=1)
    known_bob.fork(None)
    old, new = (known_bob.write(Profile(name), time_ms=time) for name, time in (("old", 1), ("new", 2)))
    ingest(store, old.arrival, new.arrival)

    ingest(store, known_bob.write(Delete(new.cid)).arrival)
    assert profile_name(store, known_bob.account) == "old"

    ingest(store, known_bob.write(Delete(old.cid)).arrival)
    assert profile_name(store, known_bob.account) is None


def test_a_deleted_reply_leaves_its_thread(store: Store, known_bob: Person) -> None:
    root = known_bob.post("root")
    to = Reply(root.cid, root.cid, known_bob.account, known_bob.account)
    replies = [known_bob.write(Post(f"reply {number}", reply=to)) for number in range(3)]
    ingest(store, *arrivals_of([root, *replies]))

    ingest(store, known_bob.write(Delete(replies[1].cid)).arrival)

    with store.snapshot() as snapshot:
        assert texts(snapshot.replies(root.cid)) == ["reply 0", "reply 2"]


def test_replies_are_found_before_their_root_is_held(store: Store, known_bob: Person) -> None:
    root = known_bob.post("root")
    reply = known_bob.write(Post("reply", reply=Reply(root.cid, root.cid, known_bob.account, known_bob.account)))

    ingest(store, reply.arrival)

    with store.snapshot() as snapshot:
        assert texts(snapshot.replies(root.cid)) == ["reply"]


def test_a_body_that_breaks_its_kinds_rules_is_kept_and_in_no_index(store: Store, known_bob: Person) -> None:
    odd = known_bob.write_fields("post", {"text": 7})
    unknown = known_bob.write_fields("org.example.recipe", {"eggs": 2})

    ingest(store, odd.arrival, unknown.arrival)

    with store.snapshot() as snapshot:
        account = snapshot.account(known_bob.account)
        assert account is not None
        assert list(snapshot.posts(account)) == []
        held = list(snapshot.journal(1))
        assert [(record.cid, record.body) for record in held] == [(w.cid, w.body) for w in (odd, unknown)]
        assert [snapshot.body(record) for record in held] == [None, None]


def test_a_post_from_the_future_stands_where_it_was_first_seen(store: Store, known_bob: Person, clock: Clock) -> None:
    early = known_bob.post("early", time_ms=clock() + 60_000)
    ingest(store, early.arrival)

    with store.snapshot() as snapshot:
        record = snapshot.record(early.cid)

    assert record is not None
    assert record.shown_at_ms == clock()


def home_texts(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return texts(record for _, record in snapshot.home())


def profile_name(store: Store, account: Cid) -> str | None:
    with store.snapshot() as snapshot:
        profile = snapshot.profile(account)
    return profile.name if profile is not None else None
