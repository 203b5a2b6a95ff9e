"""What a cut hides, what brings it back, and what a fork shows: by example; ``test_standing_oracle`` does the rest."""

from collections.abc import Callable, Sequence
from random import Random
from time import monotonic, process_time
from typing import TypeVar

import pytest
from tests.support.oracle import actual_view, expected_standings, expected_view, indexes_held, indexes_rebuilt
from tests.support.people import (
    NETWORK,
    Clock,
    Device,
    Home,
    Person,
    Written,
    arrivals_of,
    cut_at,
    dump,
    id_of,
    ingest,
    texts,
)

from unhush.identity.cid import RAW_PREFIX
from unhush.identity.keys import SigningKey
from unhush.identity.operations import OPEN
from unhush.identity.operations import Device as Row
from unhush.identity.trunk import Standing
from unhush.storage import logs
from unhush.storage.accounts import Account
from unhush.storage.arrivals import Arrival, Outcome, Status
from unhush.storage.kinds import Delete, Follow, Post, Profile, Reply
from unhush.storage.standing import LAST_SEQ
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

IN_FORCE, CONTESTED, UNPROVEN, VOID = Standing


def account_of(store: Store, person: Person) -> Account:
    with store.snapshot() as snapshot:
        found = snapshot.account(person.account)
    assert found is not None
    return found


def shown_texts(store: Store, person: Person) -> list[str]:
    """What a person posted, as people see it, oldest first."""
    with store.snapshot() as snapshot:
        account = snapshot.account(person.account)
        assert account is not None
        return texts(record for _, record in snapshot.posts(account))[::-1]


def home_texts(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return sorted(texts(record for _, record in snapshot.home()))


def profile_name(store: Store, person: Person) -> str | None:
    with store.snapshot() as snapshot:
        profile = snapshot.profile(person.account)
    return profile.name if profile is not None else None


def standings(store: Store, written: Sequence[Written]) -> list[Standing | None]:
    """What each is worth; None if it is not held."""
    with store.snapshot() as snapshot:
        records = [snapshot.record(each.cid) for each in written]
        return [snapshot.standing(record) if record is not None else None for record in records]


def statuses(outcomes: Sequence[Outcome]) -> set[Status]:
    return {outcome.status for outcome in outcomes}


def check_all(store: Store) -> None:
    """Everything the store says against the naive oracle, for the accounts as they are."""
    with store.snapshot() as snapshot:
        records = list(snapshot.journal(0))
        accounts = {cid: snapshot.account(cid) for cid in snapshot.accounts()}
        states = {cid: account.state for cid, account in accounts.items() if account is not None}
        worth = expected_standings(records, states)
        assert {cid: snapshot.standing(held(snapshot.record(cid))) for cid in worth} == worth
        in_slots = {record.cid for _, _, log in snapshot.logs() for record in snapshot.log_records(log)}
        shown = {
            record.cid
            for record in records
            if record.cid in worth
            and (
                record.cid in in_slots
                if states[record.account].cut_of(record.entry.header.key) == OPEN
                else worth[record.cid] is IN_FORCE
            )
        }
        for account in accounts.values():
            for device in snapshot.devices(held(account)):
                own = [worth[r.cid] for r in records if r.cid in worth and r.entry.header.key == device.key]
                assert (device.in_force, device.contested, device.unproven, device.void) == tuple(
                    own.count(each) for each in Standing
                )
        own_account = snapshot.own_account()
        report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
    assert report.bad == 0, report.problems
    assert actual_view(store) == expected_view(records, own_account, shown)
    assert indexes_held(store) == indexes_rebuilt(store, shown)


T = TypeVar("T")


def held(value: T | None) -> T:
    assert value is not None
    return value


def fork(person: Person, shared: int, *, left: int, right: int) -> tuple[list[Written], list[Written], list[Written]]:
    """A log that splits after ``shared`` entries; the left branch is written first."""
    stem = person.posts(shared, "stem")
    one = person.posts(left, "left")
    person.fork(stem[-1] if stem else None)
    return stem, one, person.posts(right, "right")


# -- a cut and what it hides


def test_a_cut_hides_what_stands_beyond_it_and_a_rotate_that_opens_the_device_brings_it_back(
    store: Store, known_bob: Person
) -> None:
    posts = known_bob.posts(6)
    ingest(store, *arrivals_of(posts))
    before = shown_texts(store, known_bob)

    ingest(store, known_bob.revoke(known_bob.key, posts[2].entry))
    assert shown_texts(store, known_bob) == [f"post {number}" for number in range(3)]
    assert standings(store, posts) == [IN_FORCE] * 3 + [VOID] * 3
    check_all(store)

    ingest(store, known_bob.rotate(1, [known_bob.key]))
    assert shown_texts(store, known_bob) == before
    assert standings(store, posts) == [IN_FORCE] * 6
    check_all(store)


def test_what_comes_back_is_seen_by_whoever_follows_the_journal_and_nothing_else_is(
    store: Store, known_bob: Person
) -> None:
    posts = known_bob.posts(6)
    ingest(store, *arrivals_of(posts))
    ingest(store, known_bob.revoke(known_bob.key, posts[2].entry))
    last = store.last_aid()

    rotate = known_bob.rotate(1, [known_bob.key])
    ingest(store, rotate)

    with store.snapshot() as snapshot:
        news = [record.cid for record in snapshot.journal(last)]
        first_seen = {held(snapshot.record(post.cid)).seen_at_ms for post in posts}
    assert news == [id_of(rotate), *(post.cid for post in posts[3:])]
    assert len(first_seen) == 1


def test_an_operation_and_all_that_follows_from_it_are_one_commit(
    store: Store, known_bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = known_bob.posts(6)
    ingest(store, *arrivals_of(posts))
    before = dump(store)
    real, calls = logs.runs, []

    def fail(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("the power fails")

    monkeypatch.setattr("unhush.storage.judging.indexes.unindex", fail)
    with pytest.raises(RuntimeError, match="power"):
        ingest(store, known_bob.revoke(known_bob.key, posts[2].entry))

    assert logs.runs is real
    assert dump(store) == before


def test_a_cut_hides_posts_replies_profiles_and_follows_and_undoes_deletes(
    store: Store, known_bob: Person, clock: Clock
) -> None:
    carol = Person("Carol", seed=3, clock_ms=clock)
    root = known_bob.post("root")
    old_name = known_bob.write(Profile("old"))
    last = known_bob.post("last that stays")
    clock.advance(1)
    to = Reply(root.cid, root.cid, known_bob.account, known_bob.account)
    beyond = [
        known_bob.write(Post("reply", reply=to)),
        known_bob.write(Profile("new")),
        known_bob.write(Follow(carol.account)),
        known_bob.write(Delete(root.cid)),
        known_bob.post("beyond"),
    ]
    ingest(store, carol.incept, *arrivals_of([root, old_name, last, *beyond]))
    assert shown_texts(store, known_bob) == ["last that stays", "reply", "beyond"]
    assert profile_name(store, known_bob) == "new"
    before = actual_view(store)

    ingest(store, known_bob.revoke(known_bob.key, last.entry))

    assert shown_texts(store, known_bob) == ["root", "last that stays"]
    assert profile_name(store, known_bob) == "old"
    with store.snapshot() as snapshot:
        assert list(snapshot.replies(root.cid)) == []
        assert list(snapshot.follows(account_of(store, known_bob))) == []
        assert not snapshot.is_deleted(held(snapshot.record(root.cid)))
    check_all(store)

    ingest(store, known_bob.rotate(1, [known_bob.key]))
    assert actual_view(store) == before
    check_all(store)


def test_our_own_follows_that_go_empty_the_home_and_fill_it_when_they_come_back(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    ann = home.person
    phone, added = ann.add_device()
    ingest(home.store, *arrivals_of(known_bob.posts(2, "Bob")), added)
    first = ann.write(Post("from the phone"), by=phone)
    follow = ann.write(Follow(known_bob.account), by=phone)
    ingest(home.store, first.arrival, follow.arrival)
    assert home_texts(home.store) == ["Bob 0", "Bob 1", "from the phone"]

    ingest(home.store, ann.revoke(phone.key.public, first.entry))
    assert home_texts(home.store) == ["from the phone"]
    with home.store.snapshot() as snapshot:
        assert snapshot.carried() == {ann.account}
    check_all(home.store)

    ingest(home.store, ann.rotate(1, [ann.key, phone.key.public]))
    assert home_texts(home.store) == ["Bob 0", "Bob 1", "from the phone"]
    check_all(home.store)


def test_an_unfollow_that_goes_follows_again(home: Home, known_bob: Person) -> None:
    ann = home.person
    phone, added = ann.add_device()
    ingest(home.store, *arrivals_of(known_bob.posts(2, "Bob")), added)
    follow = ann.write(Follow(known_bob.account), by=phone)
    unfollow = ann.write(Delete(follow.cid), by=phone)
    ingest(home.store, follow.arrival, unfollow.arrival)
    assert home_texts(home.store) == []

    ingest(home.store, ann.revoke(phone.key.public, follow.entry))

    assert home_texts(home.store) == ["Bob 0", "Bob 1"]
    check_all(home.store)


def test_the_posts_of_somebody_followed_leave_the_home_with_the_cut(home: Home, known_bob: Person) -> None:
    home.publish(Follow(known_bob.account))
    posts = known_bob.posts(4, "Bob")
    ingest(home.store, *arrivals_of(posts))

    ingest(home.store, known_bob.revoke(known_bob.key, posts[1].entry))

    assert home_texts(home.store) == ["Bob 0", "Bob 1"]
    check_all(home.store)


def test_the_lower_of_two_cuts_wins_in_any_order(new_store: Callable[[], Store], bob: Person) -> None:
    posts = bob.posts(5)
    high, low = bob.revoke(bob.key, posts[3].entry), bob.revoke(bob.key, posts[1].entry)

    for order in ((high, low), (low, high)):
        store = new_store()
        ingest(store, bob.incept, *arrivals_of(posts))
        for revoke in order:
            ingest(store, revoke)
        assert shown_texts(store, bob) == ["post 0", "post 1"]
        check_all(store)


def test_a_cut_to_nothing_hides_all(store: Store, known_bob: Person) -> None:
    posts = known_bob.posts(3)
    ingest(store, *arrivals_of(posts))

    ingest(store, known_bob.revoke(known_bob.key, None))

    assert shown_texts(store, known_bob) == []
    assert standings(store, posts) == [VOID] * 3
    check_all(store)


def test_a_device_dropped_by_a_rotate_has_no_say_until_another_lists_it(store: Store, known_bob: Person) -> None:
    phone, added = known_bob.add_device()
    posts = [known_bob.write(Post(f"phone {number}"), by=phone) for number in range(3)]
    laptop = known_bob.post("laptop")
    ingest(store, added, *arrivals_of(posts), laptop.arrival)

    ingest(store, known_bob.rotate(1, [known_bob.key]))
    assert shown_texts(store, known_bob) == ["laptop"]
    assert standings(store, posts) == [VOID] * 3
    check_all(store)

    ingest(store, known_bob.rotate(2, [Row(phone.key.public, "kept", cut_at(posts[1].entry))]))
    assert shown_texts(store, known_bob) == ["phone 0", "phone 1"]
    check_all(store)

    ingest(store, known_bob.rotate(3, [phone.key.public, known_bob.key]))
    assert sorted(shown_texts(store, known_bob)) == ["laptop", "phone 0", "phone 1", "phone 2"]
    check_all(store)


def test_five_thousand_deletes_of_a_thief_are_undone_by_a_cut_before_them(store: Store, known_bob: Person) -> None:
    posts = known_bob.posts(5_000)
    thief = [known_bob.write(Delete(post.cid)) for post in posts]
    for start in range(0, 5_000, 500):
        ingest(store, *arrivals_of(posts[start : start + 500]))
    for start in range(0, 5_000, 500):
        ingest(store, *arrivals_of(thief[start : start + 500]))
    assert shown_texts(store, known_bob) == []

    started = monotonic()
    ingest(store, known_bob.revoke(known_bob.key, posts[-1].entry))
    print(f"undone in {monotonic() - started:.2f} s")

    with store.snapshot() as snapshot:
        assert snapshot.count_posts(account_of(store, known_bob)) == 5_000
        deleted = [record for record in snapshot.journal(0) if snapshot.is_deleted(record)]
    assert deleted == []


def test_a_delete_by_another_device_survives_the_cut_of_the_first(store: Store, known_bob: Person) -> None:
    phone, added = known_bob.add_device()
    post, last = known_bob.posts(2)
    twice = [known_bob.write(Delete(post.cid)), known_bob.write(Delete(post.cid), by=phone)]
    ingest(store, added, *arrivals_of([post, last, *twice]))

    ingest(store, known_bob.revoke(known_bob.key, last.entry))
    assert shown_texts(store, known_bob) == ["post 1"]

    ingest(store, known_bob.revoke(phone.key.public, None))
    assert shown_texts(store, known_bob) == ["post 0", "post 1"]
    check_all(store)


# -- forks


def test_a_fork_is_contested_from_its_point_on_and_shows_the_branch_seen_first(store: Store, known_bob: Person) -> None:
    stem, left, right = fork(known_bob, 2, left=3, right=2)
    ingest(store, *arrivals_of(stem), *arrivals_of(right))

    ingest(store, *arrivals_of(left))

    assert shown_texts(store, known_bob) == ["stem 0", "stem 1", "right 0", "right 1"]
    assert standings(store, [*stem, *left, *right]) == [IN_FORCE] * 2 + [CONTESTED] * 5
    with store.snapshot() as snapshot:
        assert snapshot.fork_point(known_bob.account, known_bob.key) == 2
        proof = snapshot.branches(known_bob.account, known_bob.key)
        assert {record.cid for record in proof} == {right[0].cid, *(each.cid for each in left)}
        assert [record.entry.header.seq for record in proof] == [2, 2, 3, 4]
        assert [snapshot.is_beside(record) for record in proof].count(True) == 3
        summary = snapshot.summary(known_bob.account)
        assert summary.forks == {known_bob.key: 2}
        assert summary.tips[known_bob.key] == (3, right[1].cid.digest[:16])
        assert snapshot.points(known_bob.account, known_bob.key, [1, 2, 4]) == {
            1: stem[1].cid.digest[:16],
            2: right[0].cid.digest[:16],
        }
    check_all(store)


def test_a_cut_at_the_other_branch_switches_to_it_when_all_of_it_is_held(store: Store, known_bob: Person) -> None:
    stem, left, right = fork(known_bob, 2, left=4, right=5)
    ingest(store, *arrivals_of([*stem, *left]))
    ingest(store, *arrivals_of(right))

    ingest(store, known_bob.revoke(known_bob.key, right[3].entry))

    assert shown_texts(store, known_bob) == [each for n in range(2) for each in [f"stem {n}"]] + [
        f"right {number}" for number in range(4)
    ]
    assert standings(store, [*stem, *right, *left]) == [IN_FORCE] * 6 + [VOID] * 5
    with store.snapshot() as snapshot:
        assert snapshot.branches(known_bob.account, known_bob.key) == []
        assert snapshot.fork_point(known_bob.account, known_bob.key) is None
        assert snapshot.summary(known_bob.account).logs[known_bob.key] == ((0, 5),)
        assert snapshot.summary(known_bob.account).forks == {}
        served = snapshot.run(known_bob.account, known_bob.key, 0, LAST_SEQ, 2**20)
        assert [record.cid for record in served] == [each.cid for each in [*stem, *right[:4]]]
    check_all(store)

    ingest(store, known_bob.rotate(1, [known_bob.key]))
    assert standings(store, [*stem, *right, *left]) == [IN_FORCE] * 2 + [CONTESTED] * 9
    check_all(store)


ORDERS = ["ascending", "descending", "shuffled", "one batch"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("missing", [3, 70, 200])
def test_a_cut_at_a_branch_of_which_only_part_is_held_is_unproven_until_the_run_is_fetched(
    order: str, missing: int, store: Store, known_bob: Person
) -> None:
    stem, left, right = fork(known_bob, 2, left=missing + 2, right=missing + 4)
    end, run = right[-2:], right[:-2]
    ingest(store, *arrivals_of([*stem, *left]), *arrivals_of(end))
    revoke = known_bob.revoke(known_bob.key, end[1].entry)

    ingest(store, revoke)
    assert shown_texts(store, known_bob) == [f"right {missing + 2}", f"right {missing + 3}"]
    assert standings(store, [*stem, *end]) == [UNPROVEN] * 2 + [IN_FORCE] * 2
    with store.snapshot() as snapshot:
        assert snapshot.incomplete_accounts() == frozenset()  # carried ones: this home carries none
        assert snapshot.is_incomplete(account_of(store, known_bob))
        assert snapshot.summary(known_bob.account).logs[known_bob.key] == ((missing + 4, missing + 5),)
        wanted = snapshot.summary(known_bob.account, bodies_wanted=True)
        assert wanted.logs[known_bob.key] == ((missing + 4, LAST_SEQ),)
    check_all(store)

    give_until_at_rest(store, run, order)

    assert shown_texts(store, known_bob) == ["stem 0", "stem 1", *(f"right {n}" for n in range(missing + 4))]
    with store.snapshot() as snapshot:
        assert not snapshot.is_incomplete(account_of(store, known_bob))
    check_all(store)


def give_until_at_rest(store: Store, run: list[Written], order: str) -> None:
    """In batches of eight, and again what was not kept, as re-asking sync does."""
    batches = [run[start : start + 8] for start in range(0, len(run), 8)]
    match order:
        case "descending":
            batches.reverse()
        case "shuffled":
            Random(len(run)).shuffle(batches)
        case "one batch":
            batches = [run]
    for _ in range(len(batches) + 1):
        before = store.last_aid()
        for each in batches:
            ingest(store, *arrivals_of(each))
        if store.last_aid() == before:
            return
    raise AssertionError("the store never comes to rest")


def test_the_missing_run_comes_into_view_in_one_ingest_if_it_is_given_newest_first(
    store: Store, known_bob: Person
) -> None:
    stem, left, right = fork(known_bob, 1, left=150, right=150)
    ingest(store, *arrivals_of([*stem, *left]), known_bob.revoke(known_bob.key, right[-1].entry))

    outcomes = ingest(store, *arrivals_of(right))

    assert statuses(outcomes) == {Status.STORED}
    assert shown_texts(store, known_bob) == ["stem 0", *(f"right {number}" for number in range(150))]


def test_after_a_cut_that_is_gone_again_its_branch_goes_on_with_what_is_held_of_it(
    store: Store, known_bob: Person
) -> None:
    stem, left, right = fork(known_bob, 2, left=6, right=6)
    ingest(store, *arrivals_of([*stem, *left]))
    ingest(store, *arrivals_of(right[:3]))
    ingest(store, known_bob.revoke(known_bob.key, right[0].entry))

    ingest(store, known_bob.rotate(1, [known_bob.key]))
    assert shown_texts(store, known_bob) == ["stem 0", "stem 1", *(f"right {number}" for number in range(3))]
    check_all(store)

    ingest(store, *arrivals_of(right[3:]))
    assert shown_texts(store, known_bob) == ["stem 0", "stem 1", *(f"right {number}" for number in range(6))]
    assert standings(store, left) == [CONTESTED] * 6
    check_all(store)


def test_a_branch_goes_on_with_what_was_held_beside_when_what_lay_between_comes(
    store: Store, known_bob: Person
) -> None:
    stem, left, right = fork(known_bob, 2, left=6, right=6)
    ingest(store, *arrivals_of([*stem, *left]))
    ingest(store, right[0].arrival, right[2].arrival, right[3].arrival)
    ingest(store, known_bob.revoke(known_bob.key, right[0].entry))
    ingest(store, known_bob.rotate(1, [known_bob.key]))
    last = store.last_aid()

    ingest(store, right[1].arrival)

    assert shown_texts(store, known_bob) == ["stem 0", "stem 1", *(f"right {number}" for number in range(4))]
    with store.snapshot() as snapshot:
        assert [record.cid for record in snapshot.journal(last)] == [each.cid for each in right[1:4]]
    check_all(store)


def test_an_entry_that_a_cut_waited_for_has_the_number_that_was_said(store: Store, known_bob: Person) -> None:
    posts = known_bob.posts(4)
    ingest(store, known_bob.revoke(known_bob.key, posts[3].entry))

    outcomes = ingest(store, *arrivals_of(posts))

    with store.snapshot() as snapshot:
        assert [outcome.aid for outcome in outcomes] == [snapshot.find_aid(post.cid) for post in posts]
        assert snapshot.last_aid() == snapshot.count_records()


# -- what comes after a cut


def test_what_a_cut_made_void_is_not_taken_in(store: Store, known_bob: Person) -> None:
    stem, left, right = fork(known_bob, 2, left=3, right=3)
    ingest(store, known_bob.revoke(known_bob.key, left[1].entry), *arrivals_of([*stem, *left[:2]]))
    before = dump(store)

    outcomes = ingest(store, *arrivals_of(right), left[2].arrival)

    assert statuses(outcomes) == {Status.IGNORED}
    assert dump(store) == before


def test_an_awaited_entry_is_stored_also_when_sixty_four_stand_beside(store: Store, known_bob: Person) -> None:
    stem, left, right = fork(known_bob, 1, left=100, right=100)
    ingest(store, *arrivals_of(right), stem[0].arrival)
    for start in range(0, 100, 10):
        ingest(store, *arrivals_of(left[start : start + 10]))
    with store.snapshot() as snapshot:
        ((_, _, log),) = snapshot.logs(known_bob.account)
        assert snapshot.count_beside(log) == logs.MAX_BESIDE
    ingest(store, known_bob.revoke(known_bob.key, left[-1].entry))

    for each in left[::-1]:
        ingest(store, each.arrival)

    assert shown_texts(store, known_bob) == ["stem 0", *(f"left {number}" for number in range(100))]
    check_all(store)


def test_a_body_that_comes_for_what_became_void_shows_nothing_until_it_is_back(store: Store, known_bob: Person) -> None:
    posts = known_bob.posts(3)
    ingest(store, posts[0].arrival, posts[1].without_body, posts[2].without_body)
    ingest(store, known_bob.revoke(known_bob.key, posts[1].entry))

    outcomes = ingest(store, posts[1].arrival, posts[2].arrival)
    assert [outcome.status for outcome in outcomes] == [Status.FILLED, Status.IGNORED]
    assert shown_texts(store, known_bob) == ["post 0", "post 1"]

    ingest(store, known_bob.rotate(1, [known_bob.key]))
    assert shown_texts(store, known_bob) == ["post 0", "post 1"]
    assert ingest(store, posts[2].arrival)[0].status is Status.FILLED
    assert shown_texts(store, known_bob) == ["post 0", "post 1", "post 2"]
    check_all(store)


def test_a_body_that_comes_for_what_is_unproven_shows_nothing_until_it_is_proven(
    store: Store, known_bob: Person
) -> None:
    posts = known_bob.posts(4)
    ingest(store, posts[0].without_body, known_bob.revoke(known_bob.key, posts[3].entry))

    assert ingest(store, posts[0].arrival)[0].status is Status.FILLED
    assert shown_texts(store, known_bob) == []

    ingest(store, *arrivals_of(posts[1:]))
    assert shown_texts(store, known_bob) == [f"post {number}" for number in range(4)]
    check_all(store)


def test_a_cut_that_names_an_entry_under_another_codec_names_nothing(store: Store, known_bob: Person) -> None:
    stem, left, right = fork(known_bob, 1, left=2, right=2)
    ingest(store, *arrivals_of([*stem, *left]))
    ingest(store, *arrivals_of(right))
    seq, entry = cut_at(right[1].entry)

    ingest(store, known_bob.revoke(known_bob.key, (seq, RAW_PREFIX + entry[len(RAW_PREFIX) :])))

    assert shown_texts(store, known_bob) == []
    assert set(standings(store, [*stem, *left, *right])) == {UNPROVEN}
    check_all(store)


def test_a_cut_that_names_an_operation_names_no_entry(store: Store, known_bob: Person) -> None:
    """A root key may be listed as a device; what it signed as a root is no entry of its log."""
    root = Device(known_bob.words.root(0))
    added = known_bob.add(root)
    written = [known_bob.write(Post(f"root {number}"), by=root) for number in range(2)]
    ingest(store, added, *arrivals_of(written))

    ingest(store, known_bob.revoke(root.key.public, (1, id_of(added).bytes)))

    assert standings(store, written) == [UNPROVEN, UNPROVEN]
    check_all(store)


def test_what_only_a_branch_beside_vouches_for_is_good(store: Store, known_bob: Person) -> None:
    first = known_bob.post("stem 0")
    bad = known_bob.write_badly_signed(Post("stem 1"))
    stem = known_bob.post("stem 2")
    left = known_bob.posts(1, "left")
    known_bob.fork(stem)
    right = [known_bob.post("missing"), known_bob.post("right 1")]
    ingest(store, *arrivals_of([first, bad, stem, *left]), right[1].arrival)

    ingest(store, known_bob.revoke(known_bob.key, right[1].entry))
    check_all(store)

    ingest(store, known_bob.rotate(1, [known_bob.key]))
    check_all(store)


# -- numbers for people and peers


def test_a_summary_says_what_is_served_and_what_need_not_be_sent_to_us(store: Store, known_bob: Person) -> None:
    posts = known_bob.posts(6)
    ingest(store, *arrivals_of(posts[:3]), posts[3].without_body, *arrivals_of(posts[4:]))
    key = known_bob.key

    def runs(*, bodies_wanted: bool) -> tuple[tuple[int, int], ...]:
        with store.snapshot() as snapshot:
            return snapshot.summary(known_bob.account, bodies_wanted=bodies_wanted).logs[key]

    assert runs(bodies_wanted=False) == ((0, 5),)
    assert runs(bodies_wanted=True) == ((0, 2), (4, 5))

    ingest(store, known_bob.revoke(key, posts[4].entry))
    assert runs(bodies_wanted=False) == ((0, 4),)
    assert runs(bodies_wanted=True) == ((0, 2), (4, LAST_SEQ))

    ingest(store, known_bob.revoke(key, posts[3].entry))
    assert runs(bodies_wanted=False) == ((0, 3),)
    assert runs(bodies_wanted=True) == ((0, 2), (4, LAST_SEQ))

    ingest(store, known_bob.revoke(key, None))
    assert runs(bodies_wanted=False) == ()
    assert runs(bodies_wanted=True) == ((0, LAST_SEQ),)

    ingest(store, known_bob.rotate(1, []))
    assert runs(bodies_wanted=False) == ()
    assert runs(bodies_wanted=True) == ((0, LAST_SEQ),)


def test_an_account_with_a_cut_log_of_which_nothing_is_held_is_incomplete(store: Store, known_bob: Person) -> None:
    phone = Device(known_bob.device.key)
    last = known_bob.post("somewhere")
    ingest(store, known_bob.rotate(1, [Row(phone.key.public, "kept", cut_at(last.entry))]))

    with store.snapshot() as snapshot:
        assert snapshot.is_incomplete(account_of(store, known_bob))

    ingest(store, last.arrival)
    with store.snapshot() as snapshot:
        assert not snapshot.is_incomplete(account_of(store, known_bob))


def test_carried_accounts_with_something_missing_are_named(home: Home, known_bob: Person) -> None:
    posts = known_bob.posts(3)
    home.publish(Follow(known_bob.account))
    ingest(home.store, posts[2].arrival, known_bob.revoke(known_bob.key, posts[2].entry))
    with home.store.snapshot() as snapshot:
        assert snapshot.incomplete_accounts() == {known_bob.account}

    ingest(home.store, *arrivals_of(posts))
    with home.store.snapshot() as snapshot:
        assert snapshot.incomplete_accounts() == frozenset()


def test_the_newest_in_force_stand_under_the_cut(store: Store, known_bob: Person) -> None:
    posts = known_bob.posts(6)
    ingest(store, *arrivals_of(posts), known_bob.revoke(known_bob.key, posts[3].entry))

    with store.snapshot() as snapshot:
        newest = snapshot.newest_in_force(account_of(store, known_bob), known_bob.key, 2)

    assert [record.cid for record in newest] == [posts[3].cid, posts[2].cid]


# -- operations that are not this account's


def of_another_account(bob: Person, carol: Person) -> Arrival:
    """Carol's root speaks about Bob's device, in Bob's account."""
    mallory = Person("Bob", seed=bob.seed, clock_ms=bob.clock_ms)
    mallory.words = carol.words
    return mallory.revoke(bob.key, None)


def of_another_table(bob: Person, carol: Person) -> Arrival:
    return bob.revoke(bob.key, None, on=carol.account)


def of_another_network(bob: Person, carol: Person) -> Arrival:
    other = Person("Bob", seed=bob.seed, network="other", clock_ms=bob.clock_ms)
    other.inception = bob.inception
    return other.revoke(bob.key, None)


def given_as_anothers(bob: Person, carol: Person) -> Arrival:
    revoke = bob.revoke(bob.key, None)
    return Arrival(revoke.entry, revoke.body, account=carol.account)


def by_a_false_turn_key(bob: Person, carol: Person) -> Arrival:
    mallory = Person("Bob", seed=bob.seed, clock_ms=bob.clock_ms)
    mallory.words = carol.words
    return mallory.rotate(1, [])


@pytest.mark.parametrize(
    ("make", "status", "error"),
    [
        (of_another_account, Status.IGNORED, "does not count"),
        (of_another_table, Status.IGNORED, "does not count"),
        (of_another_network, Status.REJECTED, "SignatureMismatch"),
        (given_as_anothers, Status.REJECTED, "WrongAccount"),
        (by_a_false_turn_key, Status.IGNORED, "do not lead to the inception"),
    ],
)
def test_an_operation_that_is_not_this_accounts_changes_nothing(
    make: Callable[[Person, Person], Arrival], status: Status, error: str, store: Store, known_bob: Person
) -> None:
    carol = Person("Carol", seed=3, clock_ms=known_bob.clock_ms)
    ingest(store, carol.incept, *arrivals_of(known_bob.posts(2)), *arrivals_of(carol.posts(2)))
    before = dump(store)

    (outcome,) = ingest(store, make(known_bob, carol))

    assert (outcome.status, outcome.aid) == (status, None)
    assert error in outcome.error
    assert dump(store) == before


# -- a stolen root key


def stolen_root(store: Store, bob: Person, count: int) -> float:
    """Give that many valid operations of a thief, in batches of 64; how many a second of this process deals with."""
    random = Random(count)
    seconds = 0.0
    for start in range(0, count, 64):
        some = [_operation_of_a_thief(bob, random) for _ in range(min(64, count - start))]
        started = process_time()
        ingest(store, *some)
        seconds += process_time() - started
    return count / seconds


def _operation_of_a_thief(bob: Person, random: Random) -> Arrival:
    match random.randrange(4):
        case 0:
            return bob.add_device(f"device {random.random()}")[1]
        case 1:
            return bob.revoke(bob.key, (random.randrange(2**40), bob.account.bytes))
        case 2:
            return bob.freeze()
        case _:
            return bob.revoke(Device(SigningKey(bob.random_bytes(32))).key.public, None)


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_stolen_root_fills_no_disk_and_a_rotate_heals_within_one_ingest(
    count: int, store: Store, known_bob: Person
) -> None:
    posts = known_bob.posts(50)
    ingest(store, *arrivals_of(posts))

    print(f"{stolen_root(store, known_bob, count):,.0f} operations a second")

    with store.snapshot() as snapshot:
        assert len(snapshot.operations(known_bob.account)) <= 390
        assert snapshot.count_records() <= 390 + 50
    assert shown_texts(store, known_bob) == []

    ingest(store, known_bob.rotate(1, [known_bob.key]))
    with store.snapshot() as snapshot:
        assert len(snapshot.operations(known_bob.account)) == 2
    assert shown_texts(store, known_bob) == [f"post {number}" for number in range(50)]
    check_all(store)


# -- how long it takes


@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_a_long_log_is_cut_at_its_middle_and_brought_back(count: int, store: Store, known_bob: Person) -> None:
    posts = known_bob.posts(count)
    for start in range(0, count, 500):
        ingest(store, *arrivals_of(posts[start : start + 500]))
    account = account_of(store, known_bob)

    def seconds(operation: Arrival, expected: int) -> float:
        started = monotonic()
        ingest(store, operation)
        passed = monotonic() - started
        with store.snapshot() as snapshot:
            assert snapshot.count_posts(account) == expected
        return passed

    middle = posts[count // 2 - 1].entry
    cut = seconds(known_bob.revoke(known_bob.key, middle), count // 2)
    back = seconds(known_bob.rotate(1, [known_bob.key]), count)
    gone = seconds(known_bob.rotate(2, []), 0)

    print(f"{count:,} posts: cut at the middle {cut:.2f} s, brought back {back:.2f} s, dropped {gone:.2f} s")
    assert max(cut, back, gone) < 60
