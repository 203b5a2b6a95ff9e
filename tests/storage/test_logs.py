"""Logs with holes: in whatever order a log arrives, the store knows exactly what it has and what it lacks."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.people import Clock, Person, Written, arrivals_of, ingest, open_home

from unhush.identity.cid import Cid
from unhush.storage.arrivals import Status
from unhush.storage.kinds import Post
from unhush.storage.store import Store

LENGTH = 12
Runs = tuple[tuple[int, int], ...]


@cache
def whole_log() -> tuple[Person, list[Written]]:
    person = Person("Bob", seed=2)
    return person, person.posts(LENGTH)


def naive_runs(seqs: Iterable[int]) -> Runs:
    """The stretches of a set of numbers, written down one by one."""
    runs: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if runs and runs[-1][1] == seq - 1:
            runs[-1] = (runs[-1][0], seq)
        else:
            runs.append((seq, seq))
    return tuple(runs)


def runs_of(store: Store, person: Person) -> Runs:
    with store.snapshot() as snapshot:
        return snapshot.summary(person.account).logs.get(person.key, ())


def head_of(store: Store, person: Person) -> int | None:
    with store.snapshot() as snapshot:
        found = snapshot.run(person.account, person.key, 0, 2**63 - 1, 1)
    return found[0].entry.header.seq if found else None


def seqs_of(store: Store, person: Person) -> list[int]:
    with store.snapshot() as snapshot:
        return [
            record.entry.header.seq
            for _, key, log in snapshot.logs(person.account)
            for record in snapshot.log_records(log)
            if key == person.key
        ]


batches = st.lists(st.lists(st.integers(0, LENGTH - 1), min_size=1, max_size=LENGTH), min_size=1, max_size=10)


@given(batches)
@settings(deadline=None, max_examples=60)
def test_runs_slots_and_head_are_what_a_naive_count_says_after_every_batch(orders: list[list[int]]) -> None:
    person, log = whole_log()
    held: set[int] = set()
    with TemporaryDirectory() as folder, open_home(Path(folder), Clock()) as store:
        ingest(store, person.incept)
        for order in orders:
            ingest(store, *(log[seq].arrival for seq in order))
            held |= set(order)

            assert runs_of(store, person) == naive_runs(held)
            assert seqs_of(store, person) == sorted(held)
            assert head_of(store, person) == max(held)


@given(st.sets(st.integers(0, LENGTH - 1)), st.sets(st.integers(0, LENGTH - 1)))
@settings(deadline=None, max_examples=40)
def test_runs_to_ask_for_leave_out_what_lacks_its_body(whole: set[int], bodiless: set[int]) -> None:
    person, log = whole_log()
    with TemporaryDirectory() as folder, open_home(Path(folder), Clock()) as store:
        ingest(store, person.incept)
        ingest(store, *(log[seq].arrival for seq in whole), *(log[seq].without_body for seq in bodiless))

        with store.snapshot() as snapshot:
            wanted = snapshot.summary(person.account, bodies_wanted=True).logs.get(person.key, ())

        assert wanted == naive_runs(whole)
        assert runs_of(store, person) == naive_runs(whole | bodiless)


@given(st.sets(st.integers(0, LENGTH - 1), min_size=1), st.integers(0, LENGTH), st.integers(0, LENGTH))
@settings(deadline=None, max_examples=40)
def test_a_run_to_send_is_the_newest_unbroken_one_in_its_bounds(held: set[int], low: int, high: int) -> None:
    person, log = whole_log()
    inside = naive_runs(seq for seq in held if low <= seq <= high)
    expected = list(range(inside[-1][0], inside[-1][1] + 1)) if inside else []
    with TemporaryDirectory() as folder, open_home(Path(folder), Clock()) as store:
        ingest(store, person.incept, *(log[seq].arrival for seq in held))

        with store.snapshot() as snapshot:
            run = snapshot.run(person.account, person.key, low, high, 1_000_000)

    assert [record.entry.header.seq for record in run] == expected


def test_a_run_is_bounded_in_bytes_and_has_one_record_at_least(store: Store, known_bob: Person) -> None:
    written = known_bob.posts(5)
    ingest(store, *arrivals_of(written))
    two = sum(len(record.entry.block) + len(record.body) for record in written[-2:])

    with store.snapshot() as snapshot:
        bounded = snapshot.run(known_bob.account, known_bob.key, 0, 4, two)
        least = snapshot.run(known_bob.account, known_bob.key, 0, 4, 1)

    assert [record.cid for record in bounded] == [record.cid for record in written[-2:]]
    assert [record.cid for record in least] == [written[-1].cid]


def test_logs_of_two_devices_do_not_mix(store: Store, known_bob: Person) -> None:
    phone, added = known_bob.add_device()
    laptop = known_bob.posts(3)
    mobile = [known_bob.write_fields("post", {"text": "m"}, by=phone) for _ in range(2)]

    ingest(store, added, *arrivals_of(laptop), *arrivals_of(mobile))

    with store.snapshot() as snapshot:
        logs = snapshot.summary(known_bob.account).logs
    assert logs == {known_bob.key: ((0, 2),), phone.key.public: ((0, 1),)}


# -- forks


def fork(person: Person, *, at: int, ours: int, theirs: int) -> tuple[list[Written], list[Written], list[Written]]:
    """A log that splits after ``at`` entries: the trunk and two branches."""
    trunk = person.posts(at, "trunk")
    first = person.posts(ours, "first")
    person.fork(trunk[-1] if trunk else None)
    return trunk, first, person.posts(theirs, "second")


def test_a_forked_log_shows_the_branch_seen_first(store: Store, known_bob: Person) -> None:
    trunk, first, second = fork(known_bob, at=3, ours=2, theirs=3)
    ingest(store, *arrivals_of([*trunk, *first]))

    outcomes = ingest(store, *arrivals_of(second))

    assert [outcome.status for outcome in outcomes] == [Status.STORED] * 3
    assert shown(store, known_bob) == [record.cid for record in (*trunk, *first)]
    assert count_beside(store) == 3  # also the one above the shown branch, which it does not continue


def test_the_other_branch_is_the_one_shown_where_it_came_first(store: Store, known_bob: Person) -> None:
    trunk, first, second = fork(known_bob, at=3, ours=2, theirs=2)

    ingest(store, *arrivals_of([*trunk, *second]))
    ingest(store, *arrivals_of(first))

    assert shown(store, known_bob) == [record.cid for record in (*trunk, *second)]


def test_a_fork_of_the_very_first_entry_is_kept_beside(store: Store, known_bob: Person) -> None:
    _, first, second = fork(known_bob, at=0, ours=1, theirs=1)

    ingest(store, *arrivals_of(first))
    ingest(store, *arrivals_of(second))

    assert shown(store, known_bob) == [first[0].cid]
    assert count_beside(store) == 1


def test_posts_of_a_branch_that_is_not_shown_are_in_no_timeline(store: Store, known_bob: Person) -> None:
    trunk, first, second = fork(known_bob, at=1, ours=1, theirs=2)

    ingest(store, *arrivals_of([*trunk, *first]))
    ingest(store, second[0].without_body)
    ingest(store, second[0].arrival)

    with store.snapshot() as snapshot:
        bob = snapshot.account(known_bob.account)
        assert bob is not None
        posts = [record.cid for _, record in snapshot.posts(bob)]
    assert posts == [first[0].cid, trunk[0].cid]


def test_an_entry_that_the_one_above_it_does_not_name_is_kept_beside(store: Store, known_bob: Person) -> None:
    trunk, first, second = fork(known_bob, at=1, ours=2, theirs=1)
    ingest(store, first[1].arrival)

    ingest(store, trunk[0].arrival, second[0].arrival)
    assert shown(store, known_bob) == [trunk[0].cid, first[1].cid]

    ingest(store, first[0].arrival)
    assert shown(store, known_bob) == [record.cid for record in (*trunk, *first)]
    assert count_beside(store) == 1


def test_an_entry_beside_whose_body_came_later_still_vouches(store: Store, known_bob: Person) -> None:
    trunk = [known_bob.post("trunk")]
    first = known_bob.posts(2, "first")
    known_bob.fork(trunk[0])
    bad, good = known_bob.write_badly_signed(Post("beside")), known_bob.post("beside too")
    ingest(store, *arrivals_of([*trunk, *first]), good.without_body)
    ingest(store, good.arrival)

    (outcome,) = ingest(store, bad.arrival)

    assert outcome.status is Status.STORED


def test_sixty_four_entries_beside_a_log_are_kept_and_no_more(store: Store, known_bob: Person) -> None:
    trunk, first, second = fork(known_bob, at=1, ours=70, theirs=70)
    ingest(store, *arrivals_of([*trunk, *first]))

    outcomes = ingest(store, *arrivals_of(second))

    assert [outcome.status for outcome in outcomes].count(Status.STORED) == 64
    assert {outcome.error for outcome in outcomes if outcome.status is Status.IGNORED} == {
        "no room beside the shown branch of its log"
    }
    assert count_beside(store) == 64


def test_a_flood_of_forks_does_not_stop_the_shown_branch(store: Store, known_bob: Person) -> None:
    trunk, first, second = fork(known_bob, at=1, ours=1, theirs=70)
    ingest(store, *arrivals_of([*trunk, *first]))
    ingest(store, *arrivals_of(second))

    known_bob.fork(first[-1])
    (outcome,) = ingest(store, known_bob.post("on it goes").arrival)

    assert outcome.status is Status.STORED


def test_what_is_beside_is_known_when_it_comes_again(store: Store, known_bob: Person) -> None:
    trunk, first, second = fork(known_bob, at=1, ours=1, theirs=1)
    ingest(store, *arrivals_of([*trunk, *first, *second]))

    again = ingest(store, *arrivals_of(second))

    assert [outcome.status for outcome in again] == [Status.KNOWN]


def test_a_wrong_link_voids_nothing_that_was_there(store: Store, known_bob: Person) -> None:
    trunk = known_bob.posts(2)
    known_bob.fork(known_bob.post("never sent"))  # seq 3 names an entry that nobody has
    odd = known_bob.post("odd")
    ingest(store, *arrivals_of(trunk))

    ingest(store, odd.arrival)

    assert shown(store, known_bob)[:2] == [record.cid for record in trunk]


def shown(store: Store, person: Person) -> list[Cid]:
    with store.snapshot() as snapshot:
        return [
            record.cid
            for _, key, log in snapshot.logs(person.account)
            for record in snapshot.log_records(log)
            if key == person.key
        ]


def count_beside(store: Store) -> int:
    with store.snapshot() as snapshot:
        return sum(snapshot.count_beside(log) for _, _, log in snapshot.logs())


def fork_point(store: Store, person: Person) -> int | None:
    with store.snapshot() as snapshot:
        return snapshot.fork_point(person.account, person.key)


def test_a_full_log_keeps_its_lowest_fork_in_whichever_order_the_branches_came(store: Store, known_bob: Person) -> None:
    main = known_bob.posts(300)
    known_bob.fork(main[149])
    high = known_bob.posts(70, "high")
    known_bob.fork(main[9])
    low = known_bob.posts(5, "low")
    ingest(store, *arrivals_of([*main, *high]))
    assert fork_point(store, known_bob) == 150

    ingest(store, *arrivals_of(low))

    assert fork_point(store, known_bob) == 10
    assert count_beside(store) == 64


def test_an_entry_beside_is_not_taken_on_the_word_of_one_that_finds_no_room(store: Store, known_bob: Person) -> None:
    main = known_bob.posts(90)
    known_bob.fork(main[9])
    low = known_bob.posts(63, "low")
    known_bob.fork(main[79])
    bad, voucher = known_bob.write_badly_signed(Post("bad")), known_bob.post("voucher")
    ingest(store, *arrivals_of(main))
    ingest(store, *arrivals_of(low))

    outcomes = ingest(store, bad.arrival, voucher.arrival)

    assert [outcome.status for outcome in outcomes] == [Status.IGNORED, Status.STORED]


def test_a_bad_signature_is_not_held_against_who_may_believe_that_its_voucher_is_here(
    store: Store, known_bob: Person
) -> None:
    """Another branch stands above; or the sender gave the voucher before, and we did not keep it."""
    main = known_bob.posts(5)
    bad = known_bob.write_badly_signed(Post("bad"))
    known_bob.fork(main[-1])
    ours = known_bob.posts(2, "ours")
    ingest(store, *arrivals_of([*main, ours[1]]))

    (beside_ours,) = ingest(store, bad.arrival)
    (alone,) = ingest(store, spoiled(known_bob).arrival)
    (continued,) = ingest(store, spoiled(known_bob).arrival._replace(may_be_vouched=True))

    assert [each.status for each in (beside_ours, alone, continued)] == [
        Status.IGNORED,
        Status.REJECTED,
        Status.IGNORED,
    ]
    assert "SignatureMismatch" in beside_ours.error


def spoiled(person: Person) -> Written:
    """A badly signed record above everything that is held."""
    return person.write_badly_signed(Post("nobody vouches"))
