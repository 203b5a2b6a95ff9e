"""Accounts in the store: a bounded set of operations, and what it says about who may write."""

from collections.abc import Callable
from random import Random

import pytest
from tests.support.people import Home, Person, arrivals_of, dump, ingest

from unhush.identity.trunk import MAX_STORED, Alarm
from unhush.storage.accounts import Account
from unhush.storage.arrivals import Status
from unhush.storage.kinds import Post
from unhush.storage.store import Store


def account_of(store: Store, person: Person) -> Account:
    with store.snapshot() as snapshot:
        found = snapshot.account(person.account)
    assert found is not None
    return found


def test_an_inception_makes_an_account_with_its_first_device(store: Store, bob: Person) -> None:
    (outcome,) = ingest(store, bob.incept)

    account = account_of(store, bob)
    assert outcome.status is Status.STORED
    assert dict(account.state.names) == {bob.key: "laptop"}
    assert account.state.generation == 0


def test_an_operation_before_its_inception_makes_no_account(store: Store, bob: Person) -> None:
    _, added = bob.add_device()

    (outcome,) = ingest(store, added)

    assert outcome.status is Status.IGNORED
    with store.snapshot() as snapshot:
        assert snapshot.accounts() == []
        assert snapshot.account(bob.account) is None


def test_an_added_device_may_write(store: Store, known_bob: Person) -> None:
    phone, added = known_bob.add_device()
    post = known_bob.write(Post("from my phone"), by=phone)
    before = ingest(store, post.arrival)

    after = ingest(store, added, post.arrival)

    assert before[0].status is Status.IGNORED
    assert [outcome.status for outcome in after] == [Status.STORED, Status.STORED]


def test_nothing_of_a_revoked_device_is_taken_beyond_its_cut(store: Store, known_bob: Person) -> None:
    log = known_bob.posts(4)
    ingest(store, known_bob.revoke(known_bob.key, log[1].entry))

    outcomes = ingest(store, *arrivals_of(log))

    assert [outcome.status for outcome in outcomes] == [Status.STORED, Status.STORED, Status.IGNORED, Status.IGNORED]
    assert outcomes[2].error == outcomes[3].error == "its device was cut off before it"


def test_an_entry_beside_the_cut_at_its_very_place_is_not_taken(store: Store, known_bob: Person) -> None:
    trunk = known_bob.posts(2)
    known_bob.fork(trunk[0])
    beside = known_bob.post("beside")
    ingest(store, known_bob.revoke(known_bob.key, trunk[1].entry))

    outcomes = ingest(store, trunk[1].arrival, beside.arrival)

    assert [outcome.status for outcome in outcomes] == [Status.STORED, Status.IGNORED]


def test_nothing_at_all_is_taken_of_a_device_cut_to_nothing(store: Store, known_bob: Person) -> None:
    log = known_bob.posts(2)
    ingest(store, known_bob.revoke(known_bob.key, None))

    outcomes = ingest(store, *arrivals_of(log))

    assert {outcome.status for outcome in outcomes} == {Status.IGNORED}


def test_a_rotate_leaves_only_the_devices_it_lists(store: Store, known_bob: Person) -> None:
    phone, added = known_bob.add_device()
    ingest(store, added)

    (outcome,) = ingest(store, known_bob.rotate(1, [phone.key.public]))

    account = account_of(store, known_bob)
    assert outcome.status is Status.STORED
    assert (account.state.generation, set(account.state.cuts)) == (1, {phone.key.public})
    assert ingest(store, known_bob.post("from the old laptop").arrival)[0].status is Status.IGNORED


def test_operations_that_no_longer_count_leave_journal_and_list(store: Store, known_bob: Person) -> None:
    _, added = known_bob.add_device()
    ingest(store, added)

    ingest(store, known_bob.rotate(1, [known_bob.key]))

    with store.snapshot() as snapshot:
        operations = [record.kind for record in snapshot.operations(known_bob.account)]
        assert operations == ["identity.incept", "identity.rotate"]
        assert snapshot.count_records() == 2


def test_an_operation_that_does_not_count_changes_nothing(store: Store, known_bob: Person) -> None:
    ingest(store, known_bob.rotate(2, [known_bob.key]))
    before = dump(store)

    (outcome,) = ingest(store, known_bob.rotate(1, []))

    assert outcome.status is Status.IGNORED
    assert dump(store) == before


def test_two_rotates_of_one_generation_raise_an_alarm(store: Store, known_bob: Person) -> None:
    ingest(store, known_bob.rotate(1, [known_bob.key]), known_bob.rotate(1, []))

    assert Alarm.TWICE in account_of(store, known_bob).state.alarms


def test_a_flood_of_three_hundred_devices_is_kept_to_the_bound_and_raises_an_alarm(
    store: Store, known_bob: Person
) -> None:
    flood = [known_bob.add_device(f"device {number}")[1] for number in range(300)]
    for start in range(0, 300, 50):
        ingest(store, *flood[start : start + 50])

    with store.snapshot() as snapshot:
        held = len(snapshot.operations(known_bob.account))
    assert held == 1 + 65
    assert held <= MAX_STORED
    assert Alarm.FLOODED in account_of(store, known_bob).state.alarms


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_operations_changes_neither_their_set_nor_the_state(
    seed: int, new_store: Callable[[], Store], bob: Person
) -> None:
    one, other = new_store(), new_store()
    log = bob.posts(2)
    operations = [bob.rotate(1, [bob.key]), bob.rotate(2, [bob.key]), bob.rotate(2, [])][: seed % 4]
    operations += [bob.add_device(f"device {number}")[1] for number in range(5)]
    operations += [bob.revoke(bob.key, log[0].entry), bob.operation("identity.freeze", {})]
    ingest(one, bob.incept, *operations)

    ingest(other, bob.incept)
    Random(seed).shuffle(operations)
    for operation in (*operations, *operations):
        ingest(other, operation)

    with one.snapshot() as snapshot, other.snapshot() as another:
        assert another.summary(bob.account).operations == snapshot.summary(bob.account).operations
        assert another.account(bob.account) == snapshot.account(bob.account)


def test_the_homes_own_account_is_there_from_the_first_record(home: Home) -> None:
    with home.store.snapshot() as snapshot:
        assert snapshot.own_account() == home.person.account
        assert snapshot.accounts() == [home.person.account]
        profile = snapshot.profile(home.person.account)
    assert profile is not None
    assert profile.name == "Ann"
