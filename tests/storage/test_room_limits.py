"""Limits by distance: who is near keeps everything, strangers share a little, and own posts always have room."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.storage.test_room_collecting import assert_counted_and_rebuildable, is_sound, posts_of
from tests.support.people import NETWORK, Clock, Home, Person, Written, arrivals_of, cids_held, ingest, open_home

from unhush.storage.arrivals import Batch, Outcome, Status
from unhush.storage.errors import StoreFull
from unhush.storage.kinds import Delete, Follow, Post, Profile
from unhush.storage.room.tiers import KIB, MIB, USUAL, Limits, Tier, tally, tier_of
from unhush.storage.room.usage import usage_of
from unhush.storage.store import Store

# A thousandth of the usual, and a little more where a record would be too large.
SMALL = Limits(
    followed_bytes=200 * KIB,
    near_bytes=40 * KIB,
    near_together_bytes=400 * KIB,
    stranger_bytes=8 * KIB,
    strangers_together_bytes=128 * KIB,
    reserve_bytes=16 * KIB,
)


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with open_home(tmp_path / "home", clock, limits=SMALL) as opened:
        yield opened


def tier(store: Store, person: Person) -> Tier:
    with store._environment.read() as txn:
        return tier_of(txn, person.account)


def used(store: Store, person: Person) -> int:
    with store._environment.read() as txn:
        return usage_of(txn, person.account).size_bytes


def used_by(store: Store, tier: Tier) -> int:
    with store._environment.read() as txn:
        return tally(txn).usage[tier].size_bytes


def offer(store: Store, person: Person, written: list[Written], *, step: int = 20) -> list[Outcome]:
    """Hand a log over in parts, oldest first."""
    outcomes = list(ingest(store, person.incept))
    for at in range(0, len(written), step):
        outcomes += ingest(store, *arrivals_of(written[at : at + step]))
    return outcomes


def long_posts(person: Person, count: int, size: int = 700) -> list[Written]:
    return [person.post(f"{number} " + "x" * size) for number in range(count)]


def test_the_usual_limits_are_those_of_the_threat_model() -> None:
    assert USUAL.followed_bytes == 200 * MIB
    assert (USUAL.near_bytes, USUAL.stranger_bytes, USUAL.strangers_together_bytes) == (10 * MIB, 256 * KIB, 512 * MIB)
    assert USUAL.reserve_bytes == 16 * MIB


def test_tiers_follow_from_who_follows_whom(home: Home, clock: Clock) -> None:
    friend, theirs, nobody = (
        Person(name, seed=seed, clock_ms=clock) for seed, name in ((21, "F"), (22, "T"), (23, "N"))
    )
    ingest(home.store, friend.incept, theirs.incept, nobody.incept)
    assert [tier(home.store, each) for each in (home.person, friend, theirs)] == [
        Tier.OWN,
        Tier.STRANGER,
        Tier.STRANGER,
    ]

    (follow,) = home.publish(Follow(friend.account))
    ingest(home.store, friend.write(Follow(theirs.account)).arrival, theirs.write(Follow(nobody.account)).arrival)

    assert [tier(home.store, each) for each in (friend, theirs, nobody)] == [Tier.FOLLOWED, Tier.NEAR, Tier.STRANGER]
    home.publish(Delete(follow.cid))
    assert [tier(home.store, each) for each in (friend, theirs)] == [Tier.STRANGER, Tier.STRANGER]


def test_where_nobody_is_at_home_nobody_is_far(store: Store, known_bob: Person) -> None:
    assert tier(store, known_bob) is Tier.FOLLOWED
    offer(store, known_bob, long_posts(known_bob, 40))
    assert used(store, known_bob) > SMALL.stranger_bytes


def test_a_stranger_has_room_for_little_and_what_is_refused_is_nobodys_fault(home: Home, bob: Person) -> None:
    outcomes = offer(home.store, bob, long_posts(bob, 40), step=1)

    refused = [outcome for outcome in outcomes if outcome.status is not Status.STORED]
    assert {outcome.status for outcome in refused} == {Status.IGNORED}
    assert {outcome.error for outcome in refused} == {
        "over quota: there is no more room for a stranger; follow the account to have more of it"
    }
    assert SMALL.stranger_bytes - 2_000 < used(home.store, bob) <= SMALL.stranger_bytes
    assert_counted_and_rebuildable(home.store)


def test_of_a_log_that_does_not_fit_the_newest_is_taken_and_the_rest_not_asked_for(home: Home, bob: Person) -> None:
    log = long_posts(bob, 40)
    ingest(home.store, bob.incept, *arrivals_of(log))

    with home.store.snapshot() as snapshot:
        served = snapshot.summary(bob.account).logs[bob.key]
        wanted = snapshot.summary(bob.account, bodies_wanted=True).logs[bob.key]
    assert served[0][0] > 25
    assert served[-1][1] == 39
    again = ingest(home.store, *arrivals_of(log[:5]))
    assert {outcome.status for outcome in again} == {Status.IGNORED}
    assert wanted == ((0, 39),)


def test_whoever_is_followed_gets_the_room_and_the_history_at_once(home: Home, bob: Person) -> None:
    log = long_posts(bob, 60)
    offer(home.store, bob, log[-5:])
    ingest(home.store, *arrivals_of(log[:-5]))
    with home.store.snapshot() as snapshot:
        before = snapshot.summary(bob.account, bodies_wanted=True).logs[bob.key]

    home.publish(Follow(bob.account))

    with home.store.snapshot() as snapshot:
        after = snapshot.summary(bob.account, bodies_wanted=True).logs[bob.key]
    assert before[0] == (0, 59)
    assert after[0][0] > 50
    assert {outcome.status for outcome in ingest(home.store, *arrivals_of(log[:55]))} <= {Status.STORED, Status.KNOWN}
    assert len(posts_of(home.store, bob)) == 60


def test_own_records_have_no_limit(home: Home) -> None:
    home.publish(*(Post("x" * 4_000) for _ in range(60)))
    outcomes = ingest(home.store, *arrivals_of([]))

    assert outcomes == ()
    assert used(home.store, home.person) > SMALL.followed_bytes
    home.store.collect()
    assert used(home.store, home.person) > SMALL.followed_bytes


def flood(home: Home, accounts: int, posts: int, clock: Clock, first_seed: int = 1_000) -> list[Person]:
    """As many made-up people, each with more than it may have."""
    people = [Person(f"S{seed}", seed=first_seed + seed, clock_ms=clock) for seed in range(accounts)]
    for person in people:
        clock.advance(1_000)
        ingest(home.store, person.incept, *arrivals_of(long_posts(person, posts)))
    return people


def test_made_up_accounts_fill_no_more_than_strangers_may_and_leave_the_followed_alone(
    home: Home, clock: Clock, bob: Person
) -> None:
    """300 accounts offer 10 KiB each; of a stranger 8 are kept, of all together 128."""
    home.publish(Follow(bob.account))
    offer(home.store, bob, long_posts(bob, 100))

    flood(home, 300, 10, clock)

    assert used_by(home.store, Tier.STRANGER) <= SMALL.strangers_together_bytes
    assert used_by(home.store, Tier.STRANGER) > SMALL.strangers_together_bytes // 2
    assert len(posts_of(home.store, bob)) == 100
    assert_counted_and_rebuildable(home.store)


@pytest.mark.long
def test_ten_thousand_accounts_with_a_mebibyte_each(tmp_path: Path, clock: Clock, bob: Person) -> None:
    limits = replace(USUAL, strangers_together_bytes=64 * MIB)
    with open_home(tmp_path / "home", clock, limits=limits) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        home.publish(Follow(bob.account))
        offer(store, bob, long_posts(bob, 200))
        for seed in range(10_000):
            person = Person(f"S{seed}", seed=10_000 + seed, clock_ms=clock)
            ingest(store, person.incept, *arrivals_of(long_posts(person, 26, 40_000)))
            if seed % 500 == 0:
                store.collect()
                assert used_by(store, Tier.STRANGER) <= limits.strangers_together_bytes
        assert used_by(store, Tier.STRANGER) <= limits.strangers_together_bytes
        assert len(posts_of(store, bob)) == 200
        assert_counted_and_rebuildable(store)


# -- eviction


def test_gc_makes_room_by_forgetting_the_strangers_heard_of_least_recently(
    home: Home, clock: Clock, bob: Person
) -> None:
    home.publish(Follow(bob.account))
    offer(home.store, bob, long_posts(bob, 100))
    people = flood(home, 40, 9, clock)
    held = [person for person in people if used(home.store, person)]

    collected = home.store.collect()

    left = [person for person in people if used(home.store, person)]
    assert collected.forgotten > 0
    assert left == held[-len(left) :]
    assert used_by(home.store, Tier.STRANGER) <= SMALL.strangers_together_bytes * 3 // 4
    assert len(posts_of(home.store, bob)) == 100
    late = Person("Late", seed=5_000, clock_ms=clock)
    assert {outcome.status for outcome in offer(home.store, late, long_posts(late, 3))} == {Status.STORED}
    assert is_sound(home.store)
    assert_counted_and_rebuildable(home.store)


def test_a_forgotten_account_may_come_again_and_gets_a_number_nobody_had(home: Home, clock: Clock) -> None:
    people = flood(home, 40, 9, clock)
    home.store.collect()
    with home.store.snapshot() as snapshot:
        gone = next(person for person in people if snapshot.account(person.account) is None)
        numbers = {account.number for each in snapshot.accounts() if (account := snapshot.account(each)) is not None}

    ingest(home.store, gone.incept)

    with home.store.snapshot() as snapshot:
        back = snapshot.account(gone.account)
    assert back is not None
    assert back.number not in numbers
    assert int.from_bytes(back.number, "big") > 41


def test_of_whoever_writes_too_much_the_oldest_goes_and_what_still_acts_stays(
    home: Home, clock: Clock, bob: Person
) -> None:
    home.publish(Follow(bob.account))
    profile = bob.write(Profile("Bob"))
    phone, added = bob.add_device()
    secret = bob.write(Post("secret"), by=phone)
    delete = bob.write(Delete(secret.cid))
    log = []
    for number in range(220):
        clock.advance(1_000)
        log.append(bob.post(f"{number} " + "x" * 700))
    clock.advance(1_000)
    late_secret = bob.write(Post("late secret"), by=phone)
    ingest(home.store, bob.incept, added, secret.arrival, late_secret.arrival)
    offer(home.store, bob, [profile, delete, *log])

    collected = home.store.collect()

    assert collected.evicted > 10
    assert used(home.store, bob) <= SMALL.followed_bytes * 3 // 4
    shown = posts_of(home.store, bob)
    newest = log[-1] if log[-1].cid in cids_held(home.store) else None
    assert "secret" not in shown
    assert {profile.cid, delete.cid} <= cids_held(home.store)
    assert log[0].cid not in cids_held(home.store)
    assert newest is None or shown[-1] in ("late secret", f"219 {'x' * 700}")
    with home.store.snapshot() as snapshot:
        found = snapshot.profile(bob.account)
        wanted = snapshot.summary(bob.account, bodies_wanted=True).logs[bob.key]
    assert found is not None
    assert found.name == "Bob"
    assert wanted[0][0] == 0  # what was evicted is not asked for
    assert {outcome.status for outcome in ingest(home.store, log[0].arrival)} == {Status.IGNORED}
    assert is_sound(home.store)
    assert_counted_and_rebuildable(home.store)


def test_of_people_two_steps_away_those_heard_of_least_recently_go_and_who_may_speak_for_them_stays(
    home: Home, clock: Clock
) -> None:
    friend = Person("Friend", seed=31, clock_ms=clock)
    theirs = [Person(f"N{seed}", seed=2_000 + seed, clock_ms=clock) for seed in range(12)]
    home.publish(Follow(friend.account))
    ingest(home.store, friend.incept, *(friend.write(Follow(each.account)).arrival for each in theirs))
    for person in theirs:
        clock.advance(1_000)
        ingest(home.store, person.incept, *arrivals_of(long_posts(person, 31)))
    before = [used(home.store, person) for person in theirs]

    collected = home.store.collect()

    after = [used(home.store, person) for person in theirs]
    assert sum(before) > SMALL.near_together_bytes * 7 // 8
    assert sum(after) <= SMALL.near_together_bytes * 3 // 4
    emptied = sum(now < 2_000 for now in after)
    assert emptied > 0
    assert [now == then for now, then in zip(after, before, strict=True)] == [False] * emptied + [True] * (12 - emptied)
    assert collected.forgotten == 0
    with home.store.snapshot() as snapshot:
        assert all(snapshot.account(person.account) is not None for person in theirs)
    assert home.store.collect().evicted == 0
    assert_counted_and_rebuildable(home.store)


def test_nothing_is_evicted_from_people_who_keep_within_their_share(home: Home, bob: Person) -> None:
    home.publish(Follow(bob.account))
    offer(home.store, bob, long_posts(bob, 100))
    before = cids_held(home.store)

    collected = home.store.collect()

    assert (collected.evicted, collected.overdrawn, collected.forgotten) == (0, 0, 0)
    assert cids_held(home.store) == before


def test_a_log_under_a_cut_is_evicted_from_below_and_stays_in_force_above(
    home: Home, clock: Clock, bob: Person
) -> None:
    home.publish(Follow(bob.account))
    log = long_posts(bob, 190)
    offer(home.store, bob, log)
    ingest(home.store, bob.revoke(bob.key, log[-1].entry))

    collected = home.store.collect()

    assert collected.evicted > 10
    shown = posts_of(home.store, bob)
    assert len(shown) == 190 - collected.evicted
    assert shown[-1].startswith("189 ")
    assert is_sound(home.store)
    assert_counted_and_rebuildable(home.store)


# -- the reserve


def test_on_a_nearly_full_map_only_own_posts_are_stored(tmp_path: Path, clock: Clock, bob: Person) -> None:
    limits = replace(USUAL, reserve_bytes=512 * KIB)
    with Store(tmp_path, network=NETWORK, clock_ms=clock, map_bytes=8 * MIB, limits=limits) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        home.publish(Follow(bob.account))
        ingest(store, bob.incept)
        outcomes: list[Outcome] = []
        for _ in range(100):
            outcomes = list(store.ingest(Batch(tuple(arrivals_of(long_posts(bob, 5, 30_000))), "a peer")))
            if outcomes[0].status is not Status.STORED:
                break
        posted = home.publish(*(Post("x" * 5_000) for _ in range(20)))

        assert {outcome.status for outcome in outcomes} == {Status.IGNORED}
        assert "kept for your own posts" in outcomes[0].error
        with pytest.raises(StoreFull, match="kept for your own posts"):
            ingest(store, bob.post("from a file").arrival)
        assert {record.cid for record in posted} <= cids_held(store)
        assert is_sound(store)
