"""Operations that come before their table wait a while, within bounds, and count once it comes."""

import gc
import tracemalloc

import pytest
from tests.support.people import Clock, Home, Person, dump, id_of, ingest

from unhush.identity.cid import Cid, cid_of
from unhush.identity.operations import OPEN
from unhush.storage.accounts import Account
from unhush.storage.arrivals import Arrival, Status
from unhush.storage.kinds import Follow
from unhush.storage.orphans import KEEP_MS, MAX_BYTES, MAX_FOR_ACCOUNT, MAX_ORPHANS, Orphans
from unhush.storage.store import Store


def name(number: int) -> Cid:
    return cid_of(number.to_bytes(8, "big"))


def put(orphans: Orphans, number: int, *, account: int = 0, table: int = 0, now_ms: int = 0, size: int = 400) -> None:
    arrival = Arrival(number.to_bytes(8, "big"), bytes(size))
    orphans.put(name(number), arrival, account=name(-account % 2**32), table=name(table), now_ms=now_ms)


def taken(orphans: Orphans, *, table: int = 0, now_ms: int = 0) -> list[int]:
    return [int.from_bytes(arrival.entry, "big") for arrival in orphans.take(name(table), now_ms)]


# -- in memory


def test_what_waits_is_given_out_once_and_only_for_its_table() -> None:
    orphans = Orphans()
    for number, table in ((1, 7), (2, 8), (3, 7)):
        put(orphans, number, table=table)

    assert taken(orphans, table=7) == [1, 3]
    assert taken(orphans, table=7) == []
    assert taken(orphans, table=8) == [2]
    assert len(orphans) == 0


def test_of_one_account_the_newest_sixty_four_wait() -> None:
    orphans = Orphans()
    put(orphans, 1_000, account=1)
    for number in range(MAX_FOR_ACCOUNT + 10):
        put(orphans, number)

    assert taken(orphans) == [1_000, *range(10, MAX_FOR_ACCOUNT + 10)]


def test_of_all_accounts_the_newest_thousand_and_twenty_four_wait() -> None:
    orphans = Orphans()
    for number in range(MAX_ORPHANS + 10):
        put(orphans, number, account=number)

    assert taken(orphans) == list(range(10, MAX_ORPHANS + 10))


def test_the_same_again_takes_no_second_place() -> None:
    orphans = Orphans()
    for _ in range(3):
        put(orphans, 1)

    assert taken(orphans) == [1]


def test_large_ones_are_bounded_by_their_bytes() -> None:
    orphans = Orphans()
    for number in range(MAX_ORPHANS):
        put(orphans, number, account=number, size=65_536)

    assert len(orphans) == MAX_BYTES // 65_544


def test_nothing_waits_longer_than_ten_minutes() -> None:
    orphans = Orphans()
    put(orphans, 1, now_ms=0)
    put(orphans, 2, now_ms=1)

    assert taken(orphans, now_ms=KEEP_MS) == [2]


@pytest.mark.parametrize("size", [400, 20_000, 65_536])
def test_a_flood_takes_at_most_twenty_megabytes(size: int) -> None:
    assert peak_of_a_flood(5_000, size) < 20 * 2**20


@pytest.mark.long
@pytest.mark.parametrize("size", [400, 65_536])
def test_a_hundred_thousand_take_at_most_twenty_megabytes(size: int) -> None:
    assert peak_of_a_flood(100_000, size) < 20 * 2**20


def peak_of_a_flood(count: int, size: int) -> int:
    orphans = Orphans()
    gc.collect()
    tracemalloc.start()
    for number in range(count):
        put(orphans, number, account=number % 5_000, table=number, size=size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


# -- in the store


def account_of(store: Store, person: Person) -> Account:
    with store.snapshot() as snapshot:
        found = snapshot.account(person.account)
    assert found is not None
    return found


def test_an_add_before_its_rotate_counts_once_the_rotate_comes(store: Store, known_bob: Person) -> None:
    rotate = known_bob.rotate(1, [known_bob.key])
    phone, added = known_bob.add_device(on=id_of(rotate), root=1)
    before = ingest(store, added)

    ingest(store, rotate)

    assert before[0].status is Status.IGNORED
    assert account_of(store, known_bob).state.cut_of(phone.key.public) == OPEN


@pytest.mark.parametrize("order", ["add first", "rotate first"])
def test_all_that_came_before_the_inception_counts_once_that_comes(order: str, store: Store, bob: Person) -> None:
    rotate = bob.rotate(1, [bob.key])
    phone, added = bob.add_device(on=id_of(rotate), root=1)
    for operation in (added, rotate) if order == "add first" else (rotate, added):
        assert ingest(store, operation)[0].status is Status.IGNORED
        with store.snapshot() as snapshot:
            assert snapshot.count_records() == 0

    ingest(store, bob.incept)

    state = account_of(store, bob).state
    assert (state.generation, state.table) == (1, id_of(rotate))
    assert state.cut_of(phone.key.public) == OPEN


def test_an_add_before_the_inception_counts_once_that_comes(store: Store, bob: Person) -> None:
    phone, added = bob.add_device()
    ingest(store, added)

    ingest(store, bob.incept)

    assert account_of(store, bob).state.cut_of(phone.key.public) == OPEN


def test_a_rotate_of_an_account_nobody_knows_waits_however_often_it_comes(home: Home, bob: Person) -> None:
    home.publish(Follow(bob.account))
    rotate = bob.rotate(1, [bob.key])
    before = dump(home.store)

    outcomes = [ingest(home.store, rotate, wanted_only=True)[0].status for _ in range(3)]

    assert outcomes == [Status.IGNORED] * 3
    assert dump(home.store) == before


def test_an_orphan_of_ten_minutes_ago_is_forgotten_also_if_other_tables_came(
    store: Store, known_bob: Person, clock: Clock
) -> None:
    second = known_bob.rotate(2, [known_bob.key])
    phone, added = known_bob.add_device(on=id_of(second), root=2)
    ingest(store, added)
    clock.advance(KEEP_MS - 1)
    ingest(store, known_bob.rotate(1, [known_bob.key]))
    clock.advance(1)

    ingest(store, second)

    assert account_of(store, known_bob).state.cut_of(phone.key.public) is None


def test_orphans_beyond_the_bound_leave_the_newest(store: Store, known_bob: Person) -> None:
    rotate = known_bob.rotate(1, [known_bob.key])
    adds = [known_bob.add_device(f"device {number}", on=id_of(rotate), root=1) for number in range(70)]
    for start in range(0, 70, 10):
        ingest(store, *(added for _, added in adds[start : start + 10]))

    ingest(store, rotate)

    state = account_of(store, known_bob).state
    listed = [state.cut_of(device.key.public) is not None for device, _ in adds]
    assert listed == [False] * 6 + [True] * 64


def test_strangers_orphans_leave_nothing_on_disk(store: Store, known_bob: Person, clock: Clock) -> None:
    before = dump(store)
    strangers = [Person("Stranger", seed=1_000 + number, clock_ms=clock) for number in range(4)]
    for number in range(200):
        ingest(store, strangers[number % 4].add_device(f"{number}")[1])

    assert dump(store) == before
