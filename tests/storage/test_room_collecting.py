"""gc: what was taken back and what fell out of force goes, in its time, from the tables and from the file."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from tests.support.people import Clock, Home, Person, arrivals_of, cids_held, dump, ingest, open_home, texts

from unhush.identity.cid import Cid
from unhush.storage.arrivals import Arrival, Status
from unhush.storage.kinds import Delete, Edit, Follow, Media, Post, Profile
from unhush.storage.records import BodyState, Record
from unhush.storage.room import collecting, scrubbing
from unhush.storage.room.tiers import DAY_MS
from unhush.storage.room.usage import Usage, size_of
from unhush.storage.schema import Table
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

GRACE_MS = 30 * DAY_MS


def record_of(store: Store, cid: Cid) -> Record:
    with store.snapshot() as snapshot:
        record = snapshot.record(cid)
    assert record is not None
    return record


def served(store: Store, person: Person) -> dict[Cid, bytes | None]:
    """What a peer gets of a log: the body of every entry."""
    with store.snapshot() as snapshot:
        run = snapshot.run(person.account, person.key, 0, 2**62, 10**9)
    return {record.cid: record.body for record in run}


def wanted_runs(store: Store, person: Person) -> tuple[tuple[int, int], ...]:
    """The numbers a peer is told that it need not send."""
    with store.snapshot() as snapshot:
        return snapshot.summary(person.account, bodies_wanted=True).logs[person.key]


def posts_of(store: Store, person: Person) -> list[str]:
    with store.snapshot() as snapshot:
        account = snapshot.account(person.account)
        assert account is not None
        return texts(record for _, record in snapshot.posts(account))[::-1]


def recounted(store: Store) -> dict[Cid, Usage]:
    """Usage as a walk over the journal has it."""
    counted: dict[Cid, Usage] = {}
    with store.snapshot() as snapshot:
        for record in snapshot.rows(0):
            before = counted.get(record.account, Usage(0, 0))
            counted[record.account] = Usage(before.size_bytes + size_of(record), before.records + 1)
    return counted


def is_sound(store: Store) -> bool:
    with store.snapshot() as snapshot:
        report = verify_store(snapshot, network=store.network, check_cid=lambda _name, _block: True)
    return not report.is_damaged


def assert_counted_and_rebuildable(store: Store) -> None:
    before = dump(store)
    with store._environment.read() as txn:
        rows = {bytes(key): value for key, value in txn.scan(Table.USAGE)}
    counted = recounted(store)
    total = Usage(sum(each.size_bytes for each in counted.values()), sum(each.records for each in counted.values()))
    named = {account.digest: used for account, used in counted.items()} | ({b"all": total} if counted else {})
    assert {
        key: Usage(int.from_bytes(row[:8], "big"), int.from_bytes(row[8:], "big")) for key, row in rows.items()
    } == named
    store.rebuild_indexes()
    after = dump(store)
    # Search has to look once more at what it may have looked at before.
    assert {*before.pop(Table.TEXT_DUE)} <= {*after.pop(Table.TEXT_DUE)}
    assert after == before


# -- what was taken back


def test_a_deleted_record_leaves_no_home_with_its_body_from_the_moment_it_is_deleted(home: Home) -> None:
    kept, secret = home.publish(Post("kept"), Post("secret"))
    edit = home.publish(Edit(secret.cid, Post("secret still")))[0]
    assert served(home.store, home.person)[secret.cid] is not None

    home.publish(Delete(secret.cid))

    given = served(home.store, home.person)
    assert given[secret.cid] is None
    assert given[edit.cid] is None
    assert given[kept.cid] == kept.body
    with home.store.snapshot() as snapshot:
        run = snapshot.run(home.person.account, home.person.key, 0, 99, 10**6)
        assert {record.body_state for record in run if record.body is None} == {BodyState.DELETED}
        written = {each.cid: each for _, _, log in snapshot.logs() for each in snapshot.log_records(log)}
    assert written[secret.cid].body is None  # as a file gets it
    assert record_of(home.store, secret.cid).body is not None  # it may come back yet


def test_a_body_is_erased_thirty_days_after_gc_first_saw_it_deleted(
    home: Home, clock: Clock, known_bob: Person
) -> None:
    post = known_bob.post("words")
    ingest(home.store, post.arrival, known_bob.write(Delete(post.cid)).arrival)
    clock.advance(40 * DAY_MS)  # nobody looked

    first = home.store.collect()
    clock.advance(GRACE_MS - 1)
    early = home.store.collect()
    held = record_of(home.store, post.cid).body
    clock.advance(1)
    foreseen = home.store.collect(is_dry=True)
    last = home.store.collect()

    assert (first.erased, first.waiting, early.erased, early.waiting) == (0, 1, 0, 1)
    assert first.next_ms == clock()
    assert held == post.body
    assert (foreseen.erased, foreseen.erased_bytes) == (last.erased, last.erased_bytes) == (1, len(post.body))
    erased = record_of(home.store, post.cid)
    assert (erased.body, erased.body_state) == (None, BodyState.DELETED)
    assert is_sound(home.store)
    assert_counted_and_rebuildable(home.store)


def test_what_was_erased_is_neither_asked_for_nor_taken_in_again(home: Home, clock: Clock, known_bob: Person) -> None:
    post = known_bob.post("first words")
    edit = known_bob.write(Edit(post.cid, Post("other words")))
    delete = known_bob.write(Delete(post.cid))
    ingest(home.store, post.arrival, edit.arrival, delete.arrival)
    home.store.collect()
    clock.advance(GRACE_MS)
    assert home.store.collect().erased == 2

    outcomes = ingest(home.store, post.arrival, edit.arrival)

    assert {outcome.status for outcome in outcomes} == {Status.KNOWN}
    assert record_of(home.store, post.cid).body is None
    assert record_of(home.store, edit.cid).body is None
    assert wanted_runs(home.store, known_bob) == ((0, 2),)
    assert_counted_and_rebuildable(home.store)


def test_a_delete_that_falls_out_of_force_in_time_undoes_itself_and_later_the_body_may_come_again(
    home: Home, clock: Clock, known_bob: Person
) -> None:
    phone, added = known_bob.add_device()
    posts = known_bob.posts(3)
    ingest(home.store, added, *arrivals_of(posts))
    ingest(home.store, *(known_bob.write(Delete(post.cid), by=phone).arrival for post in posts[:2]))
    home.store.collect()
    clock.advance(GRACE_MS - 1)

    ingest(home.store, known_bob.revoke(phone.key.public, None))
    clock.advance(DAY_MS)
    collected = home.store.collect()

    assert collected.erased == 0
    assert posts_of(home.store, known_bob) == ["post 0", "post 1", "post 2"]
    assert wanted_runs(home.store, known_bob) == ((0, 2),)


def test_a_body_that_was_erased_before_its_delete_fell_is_asked_for_again(
    home: Home, clock: Clock, known_bob: Person
) -> None:
    phone, added = known_bob.add_device()
    post = known_bob.post("words")
    edit = known_bob.write(Edit(post.cid, Post("better words")))
    ingest(home.store, added, post.arrival, edit.arrival, known_bob.write(Delete(post.cid), by=phone).arrival)
    home.store.collect()
    clock.advance(GRACE_MS)
    assert home.store.collect().erased == 2

    ingest(home.store, known_bob.revoke(phone.key.public, None))
    lacking = wanted_runs(home.store, known_bob)
    ingest(home.store, post.arrival, edit.arrival)

    assert lacking == ()
    assert wanted_runs(home.store, known_bob) == ((0, 1),)
    assert posts_of(home.store, known_bob) == ["words"]
    with home.store.snapshot() as snapshot:
        shown = snapshot.shown_version(record_of(home.store, post.cid))
    assert shown is not None
    assert shown.text == "better words"
    assert_counted_and_rebuildable(home.store)


def test_a_body_that_was_erased_comes_again_beside_the_cut_that_ends_its_delete(
    home: Home, clock: Clock, known_bob: Person
) -> None:
    phone, added = known_bob.add_device()
    post = known_bob.post("words")
    ingest(home.store, added, post.arrival, known_bob.write(Delete(post.cid), by=phone).arrival)
    home.store.collect()
    clock.advance(GRACE_MS)
    assert home.store.collect().erased == 1

    ingest(home.store, known_bob.revoke(phone.key.public, None), post.arrival)

    assert posts_of(home.store, known_bob) == ["words"]
    assert_counted_and_rebuildable(home.store)


def test_own_bodies_wait_too_unless_their_owner_says_now(home: Home, known_bob: Person) -> None:
    (picture, size), (draft, _) = (home.store.blobs.put(BytesIO(data)) for data in (b"mine", b"of a post to come"))
    (mine,) = home.publish(Post("mine", media=(Media(picture, "image/png", size, ""),)))
    his = known_bob.post("his")
    ingest(home.store, his.arrival, known_bob.write(Delete(his.cid)).arrival)
    home.publish(Delete(mine.cid))

    waits = home.store.collect()
    assert home.store.blobs.has(picture)
    now = home.store.collect(is_now=True)

    assert (waits.erased, waits.waiting) == (0, 2)
    assert (now.erased, now.waiting) == (1, 1)
    assert not home.store.blobs.has(picture), "though it is young"
    assert home.store.blobs.has(draft)
    assert record_of(home.store, mine.cid).body is None
    assert record_of(home.store, his.cid).body == his.body


def test_a_clock_that_ran_ahead_keeps_nothing_longer(home: Home, clock: Clock, known_bob: Person) -> None:
    post = known_bob.post("words")
    ingest(home.store, post.arrival, known_bob.write(Delete(post.cid)).arrival)
    clock.advance(400 * DAY_MS)
    home.store.collect()
    clock.advance(-400 * DAY_MS)
    home.store.collect()
    clock.advance(GRACE_MS)

    assert home.store.collect().erased == 1


# -- what fell out of force


def test_void_records_go_after_thirty_days_and_what_is_only_unproven_stays(
    home: Home, clock: Clock, known_bob: Person
) -> None:
    log = known_bob.posts(6)
    ingest(home.store, *arrivals_of([*log[:1], *log[2:]]))
    ingest(home.store, known_bob.revoke(known_bob.key, log[3].entry))
    home.store.collect()
    clock.advance(GRACE_MS - 1)
    early = home.store.collect()
    clock.advance(1)
    last = home.store.collect()

    assert early.dropped == 0
    assert last.dropped == 2
    held = cids_held(home.store)
    assert held.isdisjoint({log[4].cid, log[5].cid})
    assert {log[0].cid, log[2].cid, log[3].cid} <= held
    assert is_sound(home.store)
    assert_counted_and_rebuildable(home.store)
    ingest(home.store, log[1].arrival)  # the missing run proves the rest
    assert posts_of(home.store, known_bob) == ["post 0", "post 1", "post 2", "post 3"]


def test_void_records_of_the_own_account_never_go(home: Home, clock: Clock) -> None:
    records = home.publish(*(Post(f"mine {number}") for number in range(4)))
    ingest(home.store, home.person.revoke(home.person.key, records[1].entry))
    home.store.collect()
    clock.advance(2 * GRACE_MS)

    assert home.store.collect(is_now=True).dropped == 0
    assert {record.cid for record in records} <= cids_held(home.store)


def test_a_branch_beside_goes_thirty_days_after_a_cut_decided_against_it(
    home: Home, clock: Clock, known_bob: Person
) -> None:
    trunk = known_bob.posts(2)
    ours = known_bob.posts(2, "ours")
    known_bob.fork(trunk[-1])
    theirs = known_bob.posts(2, "theirs")
    ingest(home.store, *arrivals_of([*trunk, *ours]))
    ingest(home.store, *arrivals_of(theirs))
    home.store.collect()
    clock.advance(GRACE_MS)
    contested = home.store.collect()

    ingest(home.store, known_bob.revoke(known_bob.key, ours[-1].entry))
    home.store.collect()
    clock.advance(GRACE_MS)
    decided = home.store.collect()

    assert contested.dropped == 0
    assert decided.dropped == 2
    assert cids_held(home.store).isdisjoint({each.cid for each in theirs})
    assert posts_of(home.store, known_bob) == ["post 0", "post 1", "ours 0", "ours 1"]
    assert_counted_and_rebuildable(home.store)


def test_a_void_record_stays_as_long_as_it_alone_vouches_for_one_in_force(
    home: Home, clock: Clock, known_bob: Person
) -> None:
    below = known_bob.write_badly_signed(Post("below"))
    above = known_bob.post("above")
    ingest(home.store, below.arrival, above.arrival)
    ingest(home.store, known_bob.revoke(known_bob.key, below.entry))
    home.store.collect()
    clock.advance(GRACE_MS)

    assert home.store.collect().dropped == 0
    assert above.cid in cids_held(home.store)
    assert is_sound(home.store)


def test_numbers_of_dropped_records_are_not_given_again(home: Home, clock: Clock, known_bob: Person) -> None:
    log = known_bob.posts(3)
    ingest(home.store, *arrivals_of(log))
    ingest(home.store, known_bob.revoke(known_bob.key, None))
    home.store.collect()
    clock.advance(GRACE_MS)
    before = home.store.last_aid()
    assert home.store.collect().dropped == 3

    assert home.store.last_aid() == before
    assert home.post("next").aid == before + 1


# -- the file


def files_with(folder: Path, words: bytes) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and words in path.read_bytes()
    )


@pytest.mark.parametrize("size", [40, 1_500, 3_000, 20_000])
def test_no_file_of_the_home_holds_a_byte_of_an_erased_body(size: int, tmp_path: Path) -> None:
    clock, random = Clock(), Random(size)
    words = f"secret{size}" + "".join(random.choices("bcdfghjk", k=size))
    with open_home(tmp_path / "home", clock) as store:
        home = Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        secrets: list[Record] = []
        for number in range(40):
            home.publish(*(Post(f"{number} {each} " + "x" * random.randrange(900)) for each in range(5)))
            if number % 8 == 0:
                secrets += home.publish(Post(f"{words} {number}"))
        store.fulltext.catch_up(5)
        assert files_with(tmp_path, words.encode())
        before = cids_held(store)
        home.publish(*(Delete(secret.cid) for secret in secrets))

        collected = store.collect(is_now=True)

        assert collected.erased == len(secrets)
        assert collected.scrubbed > 0
        assert collected.held_back == 0
        for piece in (words[:60], words[-60:], words[len(words) // 2 :][:30]):
            assert files_with(tmp_path, piece.encode()) == []
        assert before < cids_held(store)
        assert is_sound(store)
        assert_counted_and_rebuildable(store)
        home.post("and life goes on")
        assert is_sound(store)
    with open_home(tmp_path / "home", clock) as store:
        assert is_sound(store)


def test_pages_that_an_open_snapshot_reads_are_left_until_it_is_closed(home: Home) -> None:
    (secret,) = home.publish(Post("s3cr3t " + "bcdfg" * 400))
    with home.store.snapshot() as snapshot:
        home.publish(Delete(secret.cid))
        held_back = home.store.collect(is_now=True)
        still = snapshot.record(secret.cid)
        assert files_with(home.store.home, b"s3cr3t")

    done = home.store.collect(is_now=True)

    assert held_back.held_back > 0
    assert still is not None
    assert still.body == secret.body
    assert done.held_back == 0
    assert files_with(home.store.home, b"s3cr3t") == []


class Ended(Exception):
    """A round is ended from outside."""


def test_a_round_that_ends_anywhere_harms_nothing_and_the_next_goes_on(
    home: Home, clock: Clock, known_bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "SLICE_S", 0.0)  # one record at a time
    monkeypatch.setattr(scrubbing, "SLICE_S", 0.0)
    kept, gone = known_bob.posts(6, "kept"), known_bob.posts(6, "gone g0ne")
    ingest(home.store, *arrivals_of([*kept, *gone]), *(known_bob.write(Delete(each.cid)).arrival for each in gone))
    home.store.collect()
    clock.advance(GRACE_MS)
    erased = rounds = 0
    while erased < len(gone) or files_with(home.store.home, b"g0ne"):
        rounds += 1
        steps = iter(range(min(rounds, 3)))

        def pause(steps: Iterator[int] = steps) -> None:
            if next(steps, None) is None:
                raise Ended

        try:
            erased += home.store.collect(pause=pause if rounds < 8 else lambda: None).erased
        except Ended:
            with home.store.snapshot() as snapshot:
                erased = sum(record.body is None for record in snapshot.rows(0))
        assert is_sound(home.store)
        assert_counted_and_rebuildable(home.store)
        assert rounds < 20

    assert rounds > 2
    assert posts_of(home.store, known_bob) == [f"kept {number}" for number in range(6)]


# -- random lives


@pytest.mark.parametrize("seed", range(8))
def test_after_any_life_usage_is_what_the_journal_says_and_a_rebuild_gives_the_same_bytes(
    seed: int, tmp_path: Path
) -> None:
    random, clock = Random(seed), Clock()
    with open_home(tmp_path, clock) as store:
        home = Home(store, Person("Ann", seed=100 + seed, clock_ms=clock), clock)
        people = [Person(f"P{number}", seed=10 * seed + number, clock_ms=clock) for number in range(3)]
        phones = []
        ingest(store, *(person.incept for person in people))
        for person in people:
            phone, added = person.add_device()
            phones.append(phone)
            ingest(store, added)
        written: list[list[Cid]] = [[], [], []]
        offered: list[Arrival] = []
        for _ in range(60):
            who = random.randrange(3)
            person = people[who]
            clock.advance(random.choice((0, 1, DAY_MS)))
            own = written[who]
            match random.randrange(7):
                case 0 if own:
                    body = Delete(random.choice(own))
                case 1 if own:
                    body = Edit(random.choice(own), Post(f"edited {len(own)}"))
                case 2:
                    body = Follow(random.choice(people).account)
                case 3:
                    body = Profile(f"name {len(own)}")
                case 4:
                    home.post("ours")
                    continue
                case _:
                    body = Post(f"post {len(own)}")
            record = person.write(body, by=random.choice((person.device, phones[who])))
            own.append(record.cid)
            offered.append(record.arrival if random.random() < 0.9 else record.without_body)
            if random.random() < 0.3:
                ingest(store, *random.sample(offered, min(len(offered), 5)))
            if random.random() < 0.05:
                ingest(store, person.revoke(phones[who].key.public, phones[who].head))
            if random.random() < 0.1:
                store.collect()
        ingest(store, *offered)
        store.collect()
        clock.advance(GRACE_MS)
        collected = store.collect()

        assert collected.waiting == 0
        assert is_sound(store)
        assert_counted_and_rebuildable(store)
