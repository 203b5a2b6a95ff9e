"""Promises: what is kept is carried, has the room that was promised and no more, and gives way to nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.storage.test_room_collecting import assert_counted_and_rebuildable, is_sound, posts_of, wanted_runs
from tests.storage.test_room_limits import SMALL, long_posts, offer, tier, used, used_by
from tests.support.people import Clock, Home, Person, arrivals_of, ingest, open_home, texts

from unhush.identity.cid import cid_of
from unhush.identity.statement import MediaPolicy
from unhush.storage.arrivals import Status
from unhush.storage.backup import read_backup
from unhush.storage.errors import BadPromise, StoreUnreadable
from unhush.storage.keeping import promises
from unhush.storage.keeping.promises import Promise
from unhush.storage.kinds import Delete, Follow, Keeper, Post
from unhush.storage.repair import repair
from unhush.storage.room.tiers import DAY_MS, KIB, Tier
from unhush.storage.schema import Table
from unhush.storage.store import Store

FULL = "over quota: there is no more room for an account you keep: the budget of the promise is used up"


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with open_home(tmp_path / "home", clock, limits=SMALL) as opened:
        yield opened


def keep(store: Store, person: Person, budget_bytes: int = 30 * KIB, media: MediaPolicy = MediaPolicy.NONE) -> None:
    store.promises.keep(person.account, Promise(budget_bytes, media, 7))


# -- the promise itself


def test_a_promise_is_remembered_changed_and_taken_back(home: Home, bob: Person) -> None:
    held = home.store.promises
    assert held.find(bob.account) is None
    keep(home.store, bob, 1, MediaPolicy.RECENT)
    keep(home.store, bob, 2, MediaPolicy.ALL)
    assert held.all() == {bob.account: Promise(2, MediaPolicy.ALL, 7)}
    with home.store.snapshot() as snapshot:
        assert snapshot.promises() == held.all()
    assert held.drop(bob.account)
    assert not held.drop(bob.account)
    assert held.all() == {}


@pytest.mark.parametrize(("budget", "since"), [(0, 0), (-1, 0), (2**63, 0), (1, -1)])
def test_a_promise_that_cannot_be_is_not_made(budget: int, since: int) -> None:
    with pytest.raises(BadPromise):
        Promise(budget, MediaPolicy.NONE, since)


def test_no_more_is_promised_than_can_be_announced(
    home: Home, bob: Person, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promises, "MAX_PROMISES", 1)
    keep(home.store, bob)
    keep(home.store, bob, 99)
    with pytest.raises(BadPromise, match="keeps 1 accounts already"):
        keep(home.store, Person("Dan", seed=4, clock_ms=clock))


def test_a_damaged_promise_has_a_name(home: Home, bob: Person) -> None:
    keep(home.store, bob)
    with home.store._environment.write() as txn:
        txn.put(Table.PROMISES, bob.account.digest, b"\xa0")
    with pytest.raises(StoreUnreadable, match="promise"):
        home.store.promises.find(bob.account)


def test_promises_survive_a_backup_and_a_repair(home: Home, bob: Person, tmp_path: Path, clock: Clock) -> None:
    keep(home.store, bob)
    held = home.store.promises.all()
    home.store.backup(tmp_path / "backup.tar", now_ms=clock())
    (tmp_path / "again").mkdir()
    read_backup(tmp_path / "backup.tar", tmp_path / "again", network=home.store.network)
    repair(tmp_path / "again", network=home.store.network)
    with open_home(tmp_path / "again", clock) as again:
        assert again.promises.all() == held


# -- carried


def test_what_is_kept_is_carried_and_no_longer_when_it_is_not(home: Home, bob: Person) -> None:
    post = bob.post("words")
    assert ingest(home.store, bob.incept, post.arrival, wanted_only=True)[1].status is Status.IGNORED
    keep(home.store, bob)
    assert [each.status for each in ingest(home.store, bob.incept, post.arrival, wanted_only=True)] == [
        Status.STORED
    ] * 2
    with home.store.snapshot() as snapshot:
        assert snapshot.carried() == {home.person.account, bob.account}
    home.store.promises.drop(bob.account)
    with home.store.snapshot() as snapshot:
        assert snapshot.carried() == {home.person.account}
    assert ingest(home.store, bob.post("more").arrival, wanted_only=True)[0].status is Status.IGNORED


def test_a_home_without_an_account_keeps_too(store: Store, bob: Person) -> None:
    keep(store, bob)
    with store.snapshot() as snapshot:
        assert snapshot.carried() == {bob.account}
    assert ingest(store, bob.incept, bob.post("x").arrival, wanted_only=True)[1].status is Status.STORED
    assert tier(store, bob) is Tier.KEPT


def test_the_home_timeline_shows_nobody_who_is_kept_and_not_followed(home: Home, known_bob: Person) -> None:
    keep(home.store, known_bob)
    ingest(home.store, known_bob.post("kept").arrival)
    home.post("mine")
    with home.store.snapshot() as snapshot:
        assert texts(record for _, record in snapshot.home()) == ["mine"]
    home.publish(Follow(known_bob.account))
    with home.store.snapshot() as snapshot:
        assert sorted(texts(record for _, record in snapshot.home())) == ["kept", "mine"]
    assert_counted_and_rebuildable(home.store)


# -- room


def test_what_is_kept_has_a_tier_of_its_own_and_the_report_shows_it(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    dan = Person("Dan", seed=4, clock_ms=clock)
    ingest(home.store, dan.incept)
    keep(home.store, known_bob)
    home.publish(Follow(dan.account))
    assert [tier(home.store, each) for each in (home.person, known_bob, dan)] == [Tier.OWN, Tier.KEPT, Tier.FOLLOWED]
    report = home.store.describe_room()
    assert report.tiers.accounts[Tier.KEPT] == 1
    assert report.tiers.usage[Tier.KEPT].size_bytes == used(home.store, known_bob)
    (kept,) = report.kept
    assert (kept.account, kept.budget_bytes, kept.size_bytes, kept.is_full) == (
        known_bob.account,
        30 * KIB,
        used(home.store, known_bob),
        False,
    )


def test_beyond_its_budget_nothing_is_taken_and_that_is_said_by_name(home: Home, bob: Person) -> None:
    keep(home.store, bob, 20 * KIB)
    outcomes = offer(home.store, bob, long_posts(bob, 40), step=1)
    refused = [each for each in outcomes if each.status is not Status.STORED]
    assert {each.status for each in refused} == {Status.IGNORED}
    assert {each.error for each in refused} == {f"{FULL}; promise more to have more of it"}
    assert 18 * KIB < used(home.store, bob) <= 20 * KIB
    (kept,) = home.store.describe_room().kept
    assert kept.is_full
    # Whatever gc does, what was promised stays.
    before = used(home.store, bob)
    home.store.collect(is_now=True)
    assert used(home.store, bob) == before
    assert_counted_and_rebuildable(home.store)


def test_a_budget_that_is_less_than_any_stranger_may_take_holds_too(home: Home, bob: Person) -> None:
    """Words of the account; operations say who may speak, and may take as much again."""
    budget = SMALL.stranger_bytes // 2
    keep(home.store, bob, budget)
    outcomes = offer(home.store, bob, long_posts(bob, 40), step=1)
    assert [each.error for each in outcomes if each.status is Status.IGNORED]
    assert 0 < used(home.store, bob) <= budget
    assert home.store.describe_room().kept[0].is_full


def test_a_larger_budget_asks_again_for_what_was_refused(home: Home, bob: Person) -> None:
    log = long_posts(bob, 40)
    keep(home.store, bob, 10 * KIB)
    ingest(home.store, bob.incept, *arrivals_of(log))
    assert wanted_runs(home.store, bob) == ((0, 2**63 - 1),)  # while it is full nothing is asked for
    held = len(posts_of(home.store, bob))
    assert 5 < held < 40
    keep(home.store, bob, 60 * KIB)
    assert wanted_runs(home.store, bob) == ((0, held - 1),)  # the oldest were taken: so far a receipt may reach
    ingest(home.store, *arrivals_of(log))
    assert len(posts_of(home.store, bob)) == 40
    assert not home.store.describe_room().kept[0].is_full


def test_when_much_of_a_full_account_went_more_is_asked_for_again(home: Home, bob: Person, clock: Clock) -> None:
    log = long_posts(bob, 40)
    phone, added = bob.add_device()
    keep(home.store, bob, 30 * KIB)
    ingest(home.store, bob.incept, added, *arrivals_of(log[:20]))
    deletes = [bob.write(Delete(each.cid), by=phone) for each in log[:12]]
    ingest(home.store, *arrivals_of(deletes))
    ingest(home.store, *arrivals_of(log))
    assert home.store.describe_room().kept[0].is_full
    home.store.collect()
    clock.advance(31 * DAY_MS)
    assert home.store.collect().erased == len(deletes)
    held = wanted_runs(home.store, bob)[-1][1] + 1
    assert 20 < held < 40
    assert not home.store.describe_room().kept[0].is_full
    # There is room for these, though the account is larger again than what was too small to be asked for more.
    ingest(home.store, *arrivals_of(log[held : held + 7]))
    assert used(home.store, bob) > 30 * KIB * 3 // 4
    assert not home.store.describe_room().kept[0].is_full


def test_what_was_refused_below_the_newest_is_asked_for_again_as_well(home: Home, bob: Person, clock: Clock) -> None:
    log = long_posts(bob, 40)
    phone, added = bob.add_device()
    keep(home.store, bob, 30 * KIB)
    ingest(home.store, bob.incept, added, *arrivals_of(log[24:]))  # the newest, as peers send them first
    deletes = [bob.write(Delete(each.cid), by=phone) for each in log[24:36]]
    ingest(home.store, *arrivals_of(deletes))
    ingest(home.store, *arrivals_of(log[:24]))
    assert home.store.describe_room().kept[0].is_full
    home.store.collect()
    clock.advance(31 * DAY_MS)
    assert home.store.collect().erased == len(deletes)
    assert 15 * KIB < used(home.store, bob) < 30 * KIB * 3 // 4
    (low, high), (top, _) = wanted_runs(home.store, bob)
    assert (low, top) == (0, 24)
    assert high < 23


def test_what_is_a_large_part_of_its_budget_is_refused_once_and_not_asked_for_again(home: Home, bob: Person) -> None:
    keep(home.store, bob, 80 * KIB)
    first, second = long_posts(bob, 2, size=45_000)
    ingest(home.store, bob.incept, first.arrival)
    assert wanted_runs(home.store, bob) == ((0, 0),)
    (refused,) = ingest(home.store, second.arrival)
    assert refused.error.startswith(FULL)
    assert used(home.store, bob) < 60 * KIB
    assert home.store.describe_room().kept[0].is_full
    assert wanted_runs(home.store, bob) == ((0, 2**63 - 1),)


def test_what_is_full_and_followed_now_may_take_as_much_as_anybody_followed(home: Home, bob: Person) -> None:
    log = long_posts(bob, 40)
    keep(home.store, bob, 10 * KIB)
    offer(home.store, bob, log)
    held = len(posts_of(home.store, bob))
    home.publish(Follow(bob.account))
    assert home.store.describe_room().kept[0].is_full
    home.store.collect()
    assert not home.store.describe_room().kept[0].is_full
    assert wanted_runs(home.store, bob) == ((0, held - 1),)
    ingest(home.store, *arrivals_of(log))
    assert len(posts_of(home.store, bob)) == 40


def test_a_promise_never_makes_the_share_smaller_of_somebody_who_is_followed(home: Home, bob: Person) -> None:
    home.publish(Follow(bob.account))
    keep(home.store, bob, 1 * KIB)
    offer(home.store, bob, long_posts(bob, 40))
    assert len(posts_of(home.store, bob)) == 40
    assert tier(home.store, bob) is Tier.KEPT


def test_a_stranger_who_is_kept_no_longer_is_one_again(home: Home, bob: Person) -> None:
    keep(home.store, bob, 60 * KIB)
    offer(home.store, bob, long_posts(bob, 40))
    home.store.promises.drop(bob.account)
    assert home.store.collect().evicted > 0
    assert used(home.store, bob) <= SMALL.stranger_bytes
    assert is_sound(home.store)


def test_room_for_strangers_is_taken_from_nobody_who_is_kept(home: Home, bob: Person, clock: Clock) -> None:
    keep(home.store, bob, 60 * KIB)
    offer(home.store, bob, long_posts(bob, 40))
    for seed in range(30, 60):
        stranger = Person(f"{seed}", seed=seed, clock_ms=clock)
        offer(home.store, stranger, long_posts(stranger, 8))
    assert home.store.collect().evicted > 0
    assert used_by(home.store, Tier.STRANGER) <= SMALL.strangers_together_bytes
    assert len(posts_of(home.store, bob)) == 40


def test_void_records_of_a_kept_account_are_never_dropped_by_themselves(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    phone, added = known_bob.add_device()
    written = [known_bob.write(Post(f"{number}"), by=phone) for number in range(4)]
    keep(home.store, known_bob)
    ingest(home.store, added, *arrivals_of(written))
    ingest(home.store, known_bob.revoke(phone.key.public, written[1].entry))

    def held() -> int:
        with home.store.snapshot() as snapshot:
            return sum(snapshot.record(each.cid) is not None for each in written)

    for _ in range(3):
        assert home.store.collect().dropped == 0
        clock.advance(31 * DAY_MS)
    assert held() == 4
    home.store.promises.drop(known_bob.account)
    home.store.collect()
    clock.advance(31 * DAY_MS)
    assert home.store.collect().dropped == 2
    assert held() == 2


# -- asking to be kept


def test_who_asks_to_be_kept_is_told_and_it_ends_with_the_last_record_that_says_so(
    home: Home, known_bob: Person
) -> None:
    one, two = (known_bob.write(Keeper(home.person.account)) for _ in range(2))
    other = known_bob.write(Keeper(known_bob.account))
    ingest(home.store, *arrivals_of([one, two, other]))
    with home.store.snapshot() as snapshot:
        account = snapshot.account(known_bob.account)
        assert account is not None
        assert snapshot.accepted_keepers(known_bob.account) == {home.person.account, known_bob.account}
        assert [record.cid for _, record in snapshot.wards(home.person.account)] == [one.cid]
        records = snapshot.keeper_records(account, home.person.account)
        assert [record.cid for record in records] == [one.cid, two.cid]
        assert all(snapshot.concerned(record) == (home.person.account,) for record in records)
        assert {record.cid for record in snapshot.concerning(home.person.account)} == {one.cid, two.cid}
    ingest(home.store, known_bob.write(Delete(one.cid)).arrival)
    with home.store.snapshot() as snapshot:
        assert home.person.account in snapshot.accepted_keepers(known_bob.account)
    ingest(home.store, known_bob.write(Delete(two.cid)).arrival)
    with home.store.snapshot() as snapshot:
        assert snapshot.accepted_keepers(known_bob.account) == {known_bob.account}
        assert list(snapshot.wards(home.person.account)) == []
        assert snapshot.accepted_keepers(cid_of(b"nobody")) == frozenset()
    assert home.store.find_stale() == []
