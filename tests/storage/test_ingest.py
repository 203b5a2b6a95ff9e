"""The ingest door: what becomes of every kind of arrival, and that nothing bad leaves a trace."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.support.people import Clock, Home, Person, Written, arrivals_of, dump, ingest

from unhush.identity.codec import decode, encode
from unhush.storage.arrivals import Arrival, Status
from unhush.storage.ingest import MAX_AHEAD_MS
from unhush.storage.kinds import Delete, Follow, Post
from unhush.storage.records import BodyState
from unhush.storage.store import Store


@dataclass(frozen=True)
class Bad:
    """One arrival that must not be stored, and the words that say why."""

    name: str
    make: Callable[[Person], Arrival]
    status: Status
    error: str


def entry_with(person: Person, **changes: object) -> bytes:
    """A well-signed block whose header was changed afterwards (the signature is never reached)."""
    header, signature = decode(person.post("x").entry.block)  # type: ignore[misc]  # a pair
    return encode([{**header, **changes}, signature])  # type: ignore[dict-item]  # wrong on purpose


def entry_without(person: Person, name: str) -> bytes:
    header, signature = decode(person.post("x").entry.block)  # type: ignore[misc]  # a pair
    return encode([{key: value for key, value in header.items() if key != name}, signature])  # type: ignore[union-attr]


def bad_signature(person: Person) -> Arrival:
    return person.write_badly_signed(Post("not mine")).arrival


def of_stranger(person: Person) -> Arrival:
    return Person("Stranger", seed=99, clock_ms=person.clock_ms).post("who am I").arrival


def of_unlisted_device(person: Person) -> Arrival:
    phone, _ = person.add_device()
    return person.write(Post("from my phone"), by=phone).arrival


def of_other_network(person: Person) -> Arrival:
    return person.write_bytes("post", encode({"salt": bytes(16), "text": "x"}), network="other").arrival


def signed_by_another(person: Person) -> Arrival:
    """Bob's key writes into an account that does not list it."""
    other = Person("Carol", seed=3, clock_ms=person.clock_ms)
    other.device.key = person.device.key
    return other.post("I am Carol").arrival


def given_as_anothers(person: Person) -> Arrival:
    arrival = person.post("x").arrival
    return Arrival(arrival.entry, arrival.body, account=person.post("y").cid)


def unreadable_operation(person: Person) -> Arrival:
    return person.operation("identity.add", {"device": {"key": b"short", "name": "x"}})


def badly_signed_operation(person: Person) -> Arrival:
    _, added = person.add_device()
    return Arrival(added.entry[:-1] + bytes([added.entry[-1] ^ 1]), added.body)


R, I = Status.REJECTED, Status.IGNORED  # noqa: E741  # two short words for a long table
BAD = [
    Bad("empty entry", lambda p: Arrival(b"", None), R, "MalformedBytes"),
    Bad("entry of garbage", lambda p: Arrival(b"\xff" * 200, None), R, "MalformedBytes"),
    Bad("entry cut short", lambda p: Arrival(p.post("x").entry.block[:-1], None), R, "MalformedBytes"),
    Bad("entry with a trailing byte", lambda p: Arrival(p.post("x").entry.block + b"\x00", None), R, "MalformedBytes"),
    Bad("entry too long", lambda p: Arrival(encode(["x" * 1_100, bytes(64)]), None), R, "MalformedBytes"),
    Bad("entry that is a map", lambda p: Arrival(encode({"a": 1}), None), R, "MalformedEntry"),
    Bad("signature too short", lambda p: Arrival(encode([{}, bytes(63)]), None), R, "MalformedEntry"),
    Bad("header field missing", lambda p: Arrival(entry_without(p, "size"), None), R, "MalformedEntry"),
    Bad("header field too many", lambda p: Arrival(entry_with(p, extra=1), None), R, "MalformedEntry"),
    Bad("seq negative", lambda p: Arrival(entry_with(p, seq=-1), None), R, "MalformedEntry"),
    Bad("seq 1 without prev", lambda p: Arrival(entry_with(p, seq=1), None), R, "MalformedEntry"),
    Bad("time negative", lambda p: Arrival(entry_with(p, time=-1), None), R, "MalformedEntry"),
    Bad("kind of 65 letters", lambda p: Arrival(entry_with(p, kind="a" * 65), None), R, "MalformedEntry"),
    Bad("kind in capitals", lambda p: Arrival(entry_with(p, kind="POST"), None), R, "MalformedEntry"),
    Bad("key of 31 bytes", lambda p: Arrival(entry_with(p, key=bytes(31)), None), R, "MalformedEntry"),
    Bad("size 0", lambda p: Arrival(entry_with(p, size=0), None), R, "MalformedEntry"),
    Bad("size 65,537", lambda p: Arrival(entry_with(p, size=65_537), None), R, "MalformedEntry"),
    Bad("header changed", lambda p: Arrival(entry_with(p, time=5), None), R, "SignatureMismatch"),
    Bad("bad signature alone", bad_signature, R, "SignatureMismatch"),
    Bad("of another network", of_other_network, R, "SignatureMismatch"),
    Bad("another body", lambda p: Arrival(p.post("x").entry.block, p.post("y").body), R, "WrongBody"),
    Bad("empty body", lambda p: Arrival(p.post("x").entry.block, b""), R, "WrongBody"),
    Bad("body cut short", lambda p: Arrival((w := p.post("x")).entry.block, w.body[:-1]), R, "WrongBody"),
    Bad("badly signed operation", badly_signed_operation, R, "SignatureMismatch"),
    Bad("operation that says nonsense", unreadable_operation, R, "MalformedOperation"),
    Bad("operation of no known kind", lambda p: p.operation("identity.sing", {}), I, "we cannot read"),
    Bad("operation without its body", lambda p: Arrival(p.add_device()[1].entry, None), I, "we cannot read"),
    Bad("operation on no known table", lambda p: p.add_device(on=p.post("x").cid)[1], I, "does not count"),
    Bad("given as another account's", given_as_anothers, R, "WrongAccount"),
    Bad("unknown account", of_stranger, I, "inception is not held"),
    Bad("unlisted device", of_unlisted_device, I, "not listed"),
    Bad("key of another account", signed_by_another, I, "inception is not held"),
    Bad(
        "time 10 minutes and a millisecond ahead",
        lambda p: p.post("x", time_ms=p.clock_ms() + MAX_AHEAD_MS + 1).arrival,
        I,
        "ten minutes ahead",
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_arrival_is_named_and_leaves_no_trace(bad: Bad, store: Store, known_bob: Person) -> None:
    arrival = bad.make(known_bob)
    before = dump(store)

    (outcome,) = ingest(store, arrival)

    assert (outcome.status, outcome.aid) == (bad.status, None)
    assert bad.error in outcome.error
    assert dump(store) == before


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_arrival_does_not_harm_the_good_ones_beside_it(bad: Bad, store: Store, known_bob: Person) -> None:
    good = known_bob.posts(2)
    arrival = bad.make(known_bob)

    first, outcome, second = ingest(store, good[0].arrival, arrival, good[1].arrival)

    assert (first.status, outcome.status, second.status) == (Status.STORED, bad.status, Status.STORED)


def test_a_record_up_to_ten_minutes_ahead_is_stored(store: Store, known_bob: Person, clock: Clock) -> None:
    early = known_bob.post("soon", time_ms=clock() + MAX_AHEAD_MS)

    (outcome,) = ingest(store, early.arrival)

    assert outcome.status is Status.STORED


def test_a_record_too_far_ahead_is_taken_once_its_time_has_come(store: Store, known_bob: Person, clock: Clock) -> None:
    early = known_bob.post("soon", time_ms=clock() + MAX_AHEAD_MS + 1)
    ingest(store, early.arrival)

    clock.advance(1)
    (outcome,) = ingest(store, early.arrival)

    assert outcome.status is Status.STORED


def test_records_nobody_here_follows_are_ignored_when_only_the_wanted_are_taken(home: Home, bob: Person) -> None:
    before = dump(home.store)

    outcomes = ingest(home.store, bob.incept, bob.post("hello").arrival, wanted_only=True)

    assert [outcome.status for outcome in outcomes] == [Status.IGNORED, Status.IGNORED]
    assert all("not carried" in outcome.error for outcome in outcomes)
    assert dump(home.store) == before


def test_records_of_the_followed_and_our_own_are_taken_when_only_the_wanted_are(home: Home, bob: Person) -> None:
    home.publish(Follow(bob.account))
    phone, added = home.person.add_device()

    outcomes = ingest(
        home.store,
        bob.incept,
        bob.post("hello").arrival,
        added,
        home.person.write(Post("from my phone"), by=phone).arrival,
        wanted_only=True,
    )

    assert [outcome.status for outcome in outcomes] == [Status.STORED] * 4


def test_a_home_without_an_account_wants_nothing(store: Store, bob: Person) -> None:
    (outcome,) = ingest(store, bob.incept, wanted_only=True)

    assert outcome.status is Status.IGNORED


def test_outcomes_stand_in_the_order_of_the_batch(store: Store, bob: Person) -> None:
    one, two, three = bob.posts(3)

    outcomes = ingest(store, three.arrival, one.arrival, bob.incept, two.arrival)

    assert [outcome.cid for outcome in outcomes] == [three.cid, one.cid, bob.account, two.cid]
    assert all(outcome.status is Status.STORED for outcome in outcomes)


def test_what_is_held_is_known_and_changes_nothing(store: Store, known_bob: Person) -> None:
    written = known_bob.posts(3)
    stored = ingest(store, *arrivals_of(written))
    before = dump(store)

    again = ingest(store, *arrivals_of(written), known_bob.incept)

    assert [outcome.status for outcome in again] == [Status.KNOWN] * 4
    assert [outcome.aid for outcome in again[:3]] == [outcome.aid for outcome in stored]
    assert dump(store) == before


def test_a_record_twice_in_one_batch_is_stored_once(store: Store, known_bob: Person) -> None:
    post = known_bob.post("twice")

    outcomes = ingest(store, post.arrival, post.arrival)

    assert sorted(outcome.status.value for outcome in outcomes) == ["known", "stored"]
    with store.snapshot() as snapshot:
        assert [record.cid for record in snapshot.journal(0)] == [known_bob.account, post.cid]


def test_a_record_with_and_without_its_body_in_one_batch_ends_with_it(store: Store, known_bob: Person) -> None:
    post = known_bob.post("whole")

    ingest(store, post.arrival, post.without_body)
    other = known_bob.post("whole too")
    ingest(store, other.without_body, other.arrival)

    with store.snapshot() as snapshot:
        records = [record for record in snapshot.journal(0) if record.kind == "post"]
    assert [record.body for record in records] == [post.body, other.body]


# -- authenticity: the signature and the chain


def test_within_a_run_the_chain_vouches_for_a_bad_signature(store: Store, known_bob: Person) -> None:
    bad, good = known_bob.write_badly_signed(Post("one")), known_bob.post("two")

    outcomes = ingest(store, bad.arrival, good.arrival)

    assert [outcome.status for outcome in outcomes] == [Status.STORED, Status.STORED]


def test_an_entry_held_vouches_for_the_one_it_names(store: Store, known_bob: Person) -> None:
    bad, good = known_bob.write_badly_signed(Post("one")), known_bob.post("two")
    ingest(store, good.arrival)

    (outcome,) = ingest(store, bad.arrival)

    assert outcome.status is Status.STORED


def test_an_entry_held_on_another_branch_vouches_for_the_one_it_names(store: Store, known_bob: Person) -> None:
    start = known_bob.post("zero")
    shown = known_bob.posts(2, "shown")
    known_bob.fork(start)
    bad, good = known_bob.write_badly_signed(Post("beside one")), known_bob.post("beside two")
    ingest(store, *arrivals_of([start, *shown]))
    ingest(store, good.arrival)

    (outcome,) = ingest(store, bad.arrival)

    assert outcome.status is Status.STORED


def test_the_newest_of_a_run_needs_a_signature_of_its_own(store: Store, known_bob: Person) -> None:
    good, bad = known_bob.post("one"), known_bob.write_badly_signed(Post("two"))

    outcomes = ingest(store, good.arrival, bad.arrival)

    assert [outcome.status for outcome in outcomes] == [Status.STORED, Status.REJECTED]


def test_an_entry_is_not_vouched_for_across_accounts_or_keys_or_a_gap(store: Store, known_bob: Person) -> None:
    bad = known_bob.write_badly_signed(Post("one"))
    phone, added = known_bob.add_device()
    phone.head = bad.entry  # the phone names an entry of the laptop's log
    across = known_bob.write(Post("two"), by=phone)
    before = ingest(store, added)

    outcomes = ingest(store, bad.arrival, across.arrival)

    assert before[0].status is Status.STORED
    assert outcomes[0].status is Status.REJECTED


def test_what_only_an_entry_not_stored_vouches_for_waits_and_accuses_nobody(
    store: Store, known_bob: Person, clock: Clock
) -> None:
    bad = known_bob.write_badly_signed(Post("one"))
    early = known_bob.post("two", time_ms=clock() + MAX_AHEAD_MS + 1)
    before = dump(store)

    outcomes = ingest(store, bad.arrival, early.arrival)

    assert [outcome.status for outcome in outcomes] == [Status.IGNORED, Status.IGNORED]
    assert dump(store) == before


def test_what_only_a_void_entry_vouches_for_is_not_stored(store: Store, known_bob: Person) -> None:
    bad = known_bob.write_badly_signed(Post("the last that stays"))
    void = known_bob.post("cut off")
    ingest(store, known_bob.revoke(known_bob.key, bad.entry))
    before = dump(store)

    outcomes = ingest(store, bad.arrival, void.arrival)

    assert [outcome.status for outcome in outcomes] == [Status.IGNORED, Status.IGNORED]
    assert dump(store) == before


# -- bodies that are late, missing or malformed


def test_a_body_that_comes_later_fills_the_record(store: Store, known_bob: Person) -> None:
    post = known_bob.post("late")
    (first,) = ingest(store, post.without_body)

    (second,) = ingest(store, post.arrival)

    assert (first.status, second.status) == (Status.STORED, Status.FILLED)
    with store.snapshot() as snapshot:
        record = snapshot.record(post.cid)
    assert record is not None
    assert record.body == post.body


@pytest.mark.parametrize("body", [b"\xff\xff", encode([1, 2]), encode({"text": "no salt"}), encode({"salt": b"short"})])
def test_right_bytes_that_are_no_body_are_held_as_malformed_and_not_asked_for_again(
    body: bytes, store: Store, known_bob: Person
) -> None:
    odd = known_bob.write_bytes("post", body)

    first, *_ = ingest(store, odd.arrival)
    again, *_ = ingest(store, odd.arrival)

    assert (first.status, again.status) == (Status.STORED, Status.KNOWN)
    assert state_of(store, odd) is BodyState.MALFORMED
    assert lacks(store, known_bob) == ()


def test_a_missing_body_that_turns_out_malformed_is_not_asked_for_again(store: Store, known_bob: Person) -> None:
    odd = known_bob.write_bytes("post", b"\xff\xff")
    ingest(store, odd.without_body)

    (outcome,) = ingest(store, odd.arrival)

    assert outcome.status is Status.KNOWN
    assert state_of(store, odd) is BodyState.MALFORMED
    assert lacks(store, known_bob) == ()


@pytest.mark.parametrize("word", [BodyState.DELETED, BodyState.MALFORMED, BodyState.WITHHELD, BodyState.PRESENT])
def test_a_senders_word_for_a_missing_body_keeps_nobody_from_asking_others(
    word: BodyState, store: Store, known_bob: Person
) -> None:
    post = known_bob.post("still wanted")

    ingest(store, Arrival(post.entry.block, None, word))

    assert lacks(store, known_bob) == (0,)
    assert ingest(store, post.arrival)[0].status is Status.FILLED


def test_the_body_of_a_record_its_author_deleted_is_not_asked_for(store: Store, known_bob: Person) -> None:
    post = known_bob.post("gone")
    delete = known_bob.write(Delete(post.cid))

    ingest(store, Arrival(post.entry.block, None, BodyState.DELETED), delete.arrival)

    assert lacks(store, known_bob) == ()


def state_of(store: Store, written: Written) -> BodyState:
    with store.snapshot() as snapshot:
        record = snapshot.record(written.cid)
    assert record is not None
    return record.body_state


def lacks(store: Store, person: Person) -> tuple[int, ...]:
    """The seqs of a log that a peer would be asked for again because of their bodies."""
    with store.snapshot() as snapshot:
        held = snapshot.summary(person.account).logs[person.key]
        whole = snapshot.summary(person.account, bodies_wanted=True).logs[person.key]
    covered = {seq for low, high in whole for seq in range(low, high + 1)}
    return tuple(seq for low, high in held for seq in range(low, high + 1) if seq not in covered)


# -- identity operations in a batch


def test_an_operation_twice_in_one_batch_has_one_row_in_the_journal(store: Store, bob: Person) -> None:
    _, added = bob.add_device()

    ingest(store, bob.incept, bob.incept, added, added)

    with store.snapshot() as snapshot:
        assert [record.cid for record in snapshot.operations(bob.account)] == [
            record.cid for record in snapshot.journal(0)
        ]
        assert snapshot.count_records() == 2


def test_operations_of_several_accounts_may_stand_mixed_in_one_batch(store: Store, bob: Person, clock: Clock) -> None:
    carol = Person("Carol", seed=3, clock_ms=clock)
    added = [bob.add_device()[1], carol.add_device()[1]]

    outcomes = ingest(store, bob.incept, carol.incept, *added)

    assert all(outcome.status is Status.STORED for outcome in outcomes)
    with store.snapshot() as snapshot:
        for outcome in outcomes:
            assert outcome.cid is not None
            record = snapshot.record(outcome.cid)
            assert record is not None, "acknowledged and not in the journal"
            assert record.aid == outcome.aid
        assert len(snapshot.operations(bob.account)) == len(snapshot.operations(carol.account)) == 2


def test_entries_may_stand_before_the_operations_that_allow_them(store: Store, bob: Person) -> None:
    phone, added = bob.add_device()
    post = bob.write(Post("from my phone"), by=phone)

    outcomes = ingest(store, post.arrival, added, bob.incept)

    assert [outcome.status for outcome in outcomes] == [Status.STORED] * 3
