"""Receipts: what is claimed is on this disk, whole, whatever was erased, dropped, damaged or killed meanwhile."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from tests.support.claiming import LENGTH, claim, log_of, naive_reach, reach
from tests.support.people import Clock, Home, Person, Written, arrivals_of, ingest, open_home
from tests.support.processes import child

from unhush.identity.cid import Cid, cid_of
from unhush.identity.statement import (
    MAX_TERM_MS,
    Head,
    MediaPolicy,
    Receipt,
    Withheld,
    digest_operations,
    sign_statement,
)
from unhush.storage.keeping import receipts
from unhush.storage.keeping.promises import Promise
from unhush.storage.kinds import Delete, Edit, Media, Post, Profile
from unhush.storage.records import BodyState
from unhush.storage.room.tiers import DAY_MS, Limits
from unhush.storage.schema import Table
from unhush.storage.store import Store

GRACE_MS = Limits().grace_ms


def spoil(store: Store, cid: Cid, at: int = -3) -> None:
    """Turn a bit of a record's row, as a disk does: nothing else changes."""
    with store._environment.write() as txn:
        aid = txn.get(Table.IDS, cid.digest)
        assert aid is not None
        row = bytearray(txn.get(Table.JOURNAL, aid) or b"")
        row[at] ^= 1
        txn.put(Table.JOURNAL, aid, bytes(row))


@pytest.fixture
def written(store: Store, home: Home, known_bob: Person) -> list[Written]:
    """Ten posts of Bob, all held."""
    posts = known_bob.posts(10)
    ingest(store, *arrivals_of(posts))
    return posts


# -- how far


def test_a_whole_log_is_claimed_to_its_newest_entry(home: Home, known_bob: Person, written: list[Written]) -> None:
    made = claim(home.store, known_bob.account)
    assert made.heads == (Head(known_bob.key, 9, written[9].cid),)
    assert (made.of, made.withheld, made.media) == (known_bob.account, (), MediaPolicy.NONE)
    assert made.identity == digest_operations((known_bob.account,))
    assert claim(home.store, home.person.account).heads == (Head(home.person.key, 0, home.first.cid),)


def test_of_an_account_nobody_here_knows_nothing_is_claimed(home: Home) -> None:
    made = claim(home.store, cid_of(b"nobody"))
    assert made == Receipt(cid_of(b"nobody"), (), (), digest_operations(()), MediaPolicy.NONE)


def test_it_reaches_to_the_first_hole_and_from_the_start_only(home: Home, known_bob: Person) -> None:
    posts = known_bob.posts(10)
    ingest(home.store, *arrivals_of(posts[1:4]))
    assert claim(home.store, known_bob.account).heads == ()
    ingest(home.store, posts[0].arrival, *arrivals_of(posts[6:]))
    assert reach(claim(home.store, known_bob.account), known_bob) == 4
    ingest(home.store, posts[4].without_body, posts[5].arrival)
    assert reach(claim(home.store, known_bob.account), known_bob) == 4
    ingest(home.store, posts[4].arrival)
    assert reach(claim(home.store, known_bob.account), known_bob) == 10


def test_each_device_has_its_own_reach_and_one_without_a_say_none(home: Home, known_bob: Person) -> None:
    phone, added = known_bob.add_device()
    tablet, also = known_bob.add_device("tablet")
    by_phone = [known_bob.write(Post(f"{number}"), by=phone) for number in range(6)]
    by_tablet = [known_bob.write(Post(f"{number}"), by=tablet) for number in range(3)]
    ingest(home.store, added, also, *arrivals_of([*known_bob.posts(2), *by_phone, *by_tablet]))
    ingest(home.store, known_bob.revoke(phone.key.public, by_phone[3].entry), known_bob.revoke(tablet.key.public, None))
    found = {head.key: (head.seq, head.entry) for head in claim(home.store, known_bob.account).heads}
    assert found.keys() == {known_bob.key, phone.key.public}
    assert found[phone.key.public] == (3, by_phone[3].cid)


# -- excuses


def test_what_its_author_took_back_and_was_erased_is_covered_without_a_word(
    home: Home, known_bob: Person, written: list[Written], clock: Clock
) -> None:
    edit = known_bob.write(Edit(written[3].cid, Post("other words")))
    delete = known_bob.write(Delete(written[3].cid))
    ingest(home.store, edit.arrival, delete.arrival)
    assert reach(claim(home.store, known_bob.account), known_bob) == 12
    home.store.collect()
    clock.advance(GRACE_MS)
    assert home.store.collect().erased == 2
    made = claim(home.store, known_bob.account)
    assert (reach(made, known_bob), made.withheld) == (12, ())


def test_what_is_withheld_is_listed_with_its_reason_from_that_moment(
    home: Home, known_bob: Person, written: list[Written]
) -> None:
    assert claim(home.store, known_bob.account).withheld == ()
    home.store.withheld.add(written[4].cid, "order of a court", 1)
    made = claim(home.store, known_bob.account)
    assert (reach(made, known_bob), made.withheld) == (10, (Withheld(written[4].cid, "order of a court"),))
    home.store.withheld.drop(written[4].cid)
    assert reach(claim(home.store, known_bob.account), known_bob) == 4
    ingest(home.store, written[4].arrival)
    assert (reach(made := claim(home.store, known_bob.account), known_bob), made.withheld) == (10, ())


def test_what_nobody_gave_is_listed_as_others_called_it_and_what_may_come_ends_the_claim(
    home: Home, known_bob: Person
) -> None:
    posts = known_bob.posts(3)
    broken = known_bob.write_bytes("post", b"\x00")
    last = known_bob.post("last")
    ingest(
        home.store,
        posts[0].without_body._replace(reason=BodyState.DELETED),
        posts[1].without_body._replace(reason=BodyState.WITHHELD),
        posts[2].arrival,
        broken.arrival,
        last.without_body,
    )
    made = claim(home.store, known_bob.account)
    assert reach(made, known_bob) == 4
    assert [entry for entry, _ in made.withheld] == [posts[0].cid, posts[1].cid, broken.cid]
    assert all(reason for _, reason in made.withheld)


def test_what_was_taken_back_before_it_came_is_listed(home: Home, known_bob: Person) -> None:
    post = known_bob.post("never came")
    ingest(home.store, post.without_body, known_bob.write(Delete(post.cid)).arrival)
    made = claim(home.store, known_bob.account)
    assert (reach(made, known_bob), [entry for entry, _ in made.withheld]) == (2, [post.cid])


def test_a_receipt_that_lists_much_reaches_less_far_and_can_always_be_signed(
    home: Home, known_bob: Person, written: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "MAX_WITHHELD", 3)
    for each in written[2:7]:
        home.store.withheld.add(each.cid, "", 1)
    made = claim(home.store, known_bob.account)
    assert (reach(made, known_bob), len(made.withheld)) == (5, 3)
    monkeypatch.undo()
    reason = "x" * 300
    posts = known_bob.posts(200)
    ingest(home.store, *(each.without_body for each in posts))
    with home.store._environment.write() as txn:
        for each in [*written, *posts]:
            txn.put(Table.WITHHELD, each.cid.digest, bytes(8) + reason.encode())
    made = claim(home.store, known_bob.account)
    assert 100 < len(made.withheld) < 200
    key = home.person.device.key
    sign_statement(key, home.person.account, made, time=0, expires=MAX_TERM_MS, network="test")


# -- believed, and not for ever


def test_a_row_that_turned_is_not_claimed_by_a_new_process(
    home: Home, known_bob: Person, written: list[Written], clock: Clock
) -> None:
    spoil(home.store, written[6].cid)
    assert reach(claim(home.store, known_bob.account), known_bob) == 6
    spoil(home.store, written[2].cid, at=20)  # in the entry
    assert reach(claim(home.store, known_bob.account), known_bob) == 6
    home.store._checks = receipts.Checks()
    assert reach(claim(home.store, known_bob.account), known_bob) == 2


def test_what_was_hashed_is_hashed_again_after_a_day(
    home: Home, known_bob: Person, written: list[Written], clock: Clock
) -> None:
    assert reach(claim(home.store, known_bob.account), known_bob) == 10
    spoil(home.store, written[6].cid)
    clock.advance(receipts.BELIEVED_MS - 1)
    ingest(home.store, known_bob.post("more").arrival)
    assert reach(claim(home.store, known_bob.account), known_bob) == 11  # believed, and what is new looked at
    clock.advance(1)
    assert reach(claim(home.store, known_bob.account), known_bob) == 6


def test_who_saw_that_something_is_not_there_has_all_of_it_hashed_again(
    home: Home, known_bob: Person, written: list[Written]
) -> None:
    claim(home.store, known_bob.account)
    spoil(home.store, written[6].cid)
    with home.store.snapshot() as snapshot:
        assert reach(snapshot.claim_receipt(known_bob.account, is_anew=True), known_bob) == 6


def test_a_clock_that_was_set_back_makes_nothing_believed(
    home: Home, known_bob: Person, written: list[Written], clock: Clock
) -> None:
    claim(home.store, known_bob.account)
    spoil(home.store, written[6].cid)
    clock.advance(-DAY_MS)
    assert reach(claim(home.store, known_bob.account), known_bob) == 6


def test_only_what_is_new_is_hashed(
    home: Home, known_bob: Person, written: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(home.store, known_bob.account)
    looked_at: list[int] = []
    find = receipts.serving.find_records
    monkeypatch.setattr(
        receipts.serving,
        "find_records",
        lambda txn, aids: looked_at.extend(aids) or find(txn, aids),  # type: ignore[func-returns-value]
    )
    ingest(home.store, *arrivals_of(known_bob.posts(3)))
    assert reach(claim(home.store, known_bob.account), known_bob) == 13
    assert len(looked_at) == 3


def test_a_large_account_is_hashed_in_parts_and_then_claimed_at_once(
    home: Home, known_bob: Person, written: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "MOST_AT_ONCE", 4)
    looked_at: list[int] = []
    find = receipts.serving.find_records
    monkeypatch.setattr(
        receipts.serving,
        "find_records",
        lambda txn, aids: looked_at.extend(aids) or find(txn, aids),  # type: ignore[func-returns-value]
    )

    def hash_all(*, is_anew: bool = False) -> list[int]:
        parts, is_done = [], False
        while not is_done:
            with home.store.snapshot() as snapshot:
                is_done = snapshot.hash_some(known_bob.account, is_anew=is_anew and not parts)
            parts.append(len(looked_at))
            looked_at.clear()
        return parts

    assert hash_all() == [4, 4, 2]
    assert reach(claim(home.store, known_bob.account), known_bob) == 10
    assert looked_at == []
    assert hash_all() == [0]
    spoil(home.store, written[6].cid)
    assert hash_all(is_anew=True) == [4, 4]
    assert reach(claim(home.store, known_bob.account), known_bob) == 6
    with home.store.snapshot() as snapshot:
        assert snapshot.hash_some(cid_of(b"nobody"))


def test_damaged_operations_leave_nothing_to_claim(home: Home, known_bob: Person, written: list[Written]) -> None:
    spoil(home.store, known_bob.account)
    assert claim(home.store, known_bob.account).heads == ()


def test_a_log_that_leads_to_another_row_is_hashed_again(home: Home, known_bob: Person, written: list[Written]) -> None:
    claim(home.store, known_bob.account)
    with home.store._environment.write() as txn:
        keys = [key for key, row in txn.scan(Table.SLOTS) if row[8:] == written[5].cid.digest]
        row = txn.get(Table.SLOTS, keys[0])
        assert row is not None
        txn.put(Table.SLOTS, keys[0], bytes(7) + b"\x01" + row[8:])
    assert reach(claim(home.store, known_bob.account), known_bob) == 5


def test_what_was_evicted_is_claimed_no_longer(tmp_path: Path, clock: Clock, known_bob: Person) -> None:
    limits = Limits(stranger_bytes=8_000)
    with open_home(tmp_path / "small", clock, limits=limits) as store:
        Home(store, Person("Ann", seed=1, clock_ms=clock), clock)
        store.promises.keep(known_bob.account, Promise(2**30, MediaPolicy.NONE, 0))
        ingest(store, known_bob.incept, *arrivals_of([known_bob.post("x" * 700) for _ in range(20)]))
        assert reach(claim(store, known_bob.account), known_bob) == 20
        store.promises.drop(known_bob.account)
        assert store.collect().evicted
        assert claim(store, known_bob.account).heads == ()


# -- media


def test_no_more_pictures_are_claimed_than_are_here(home: Home, known_bob: Person, clock: Clock) -> None:
    here, recent, old = (home.store.blobs.put(BytesIO(data))[0] for data in (b"here", b"recent", b"old"))
    for blob in (recent, old):
        assert home.store.blobs.folder.remove(blob.digest)

    def with_picture(blob: Cid, time_ms: int) -> Written:
        return known_bob.write(Post("", media=(Media(blob, "image/png", 4, ""),)), time_ms=time_ms)

    def claimed(promised: MediaPolicy) -> MediaPolicy:
        home.store.promises.keep(known_bob.account, Promise(2**30, promised, 0))
        return claim(home.store, known_bob.account).media

    ingest(home.store, with_picture(here, clock()).arrival)
    assert [claimed(each) for each in MediaPolicy] == list(MediaPolicy)
    ingest(home.store, with_picture(old, clock() - 91 * DAY_MS).arrival)
    assert [claimed(each) for each in MediaPolicy] == [MediaPolicy.NONE, MediaPolicy.RECENT, MediaPolicy.RECENT]
    post = with_picture(recent, clock() - 89 * DAY_MS)
    ingest(home.store, post.arrival)
    assert [claimed(each) for each in MediaPolicy] == [MediaPolicy.NONE] * 3
    ingest(home.store, known_bob.write(Delete(post.cid)).arrival)
    home.store.collect()
    clock.advance(GRACE_MS)
    home.store.collect()  # nobody names it any more
    assert claimed(MediaPolicy.RECENT) is MediaPolicy.RECENT


def test_the_pictures_of_the_profile_that_stands_are_claimed_as_recent_however_old_it_is(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    first, portrait, banner = (home.store.blobs.put(BytesIO(data))[0] for data in (b"first", b"portrait", b"banner"))

    def claimed(promised: MediaPolicy) -> MediaPolicy:
        home.store.promises.keep(known_bob.account, Promise(2**30, promised, 0))
        return claim(home.store, known_bob.account).media

    for avatar, days in ((first, 200), (portrait, 100)):
        profile = Profile("Bob", avatar=avatar, banner=banner)
        ingest(home.store, known_bob.write(profile, time_ms=clock() - days * DAY_MS).arrival)
    assert [claimed(each) for each in MediaPolicy] == list(MediaPolicy)
    home.store.blobs.folder.remove(first.digest)
    assert [claimed(each) for each in MediaPolicy] == [MediaPolicy.NONE, MediaPolicy.RECENT, MediaPolicy.RECENT]
    for blob, data in ((portrait, b"portrait"), (banner, b"banner")):
        home.store.blobs.folder.remove(blob.digest)
        assert [claimed(each) for each in MediaPolicy] == [MediaPolicy.NONE] * 3
        home.store.blobs.put(BytesIO(data))
        assert claimed(MediaPolicy.RECENT) is MediaPolicy.RECENT
    home.store.blobs.folder.remove(portrait.digest)
    ingest(home.store, known_bob.write(Profile("Bob"), time_ms=clock() - 99 * DAY_MS).arrival)
    assert claimed(MediaPolicy.RECENT) is MediaPolicy.RECENT, "nobody is shown it any more"


def test_a_picture_is_read_and_hashed_before_it_is_claimed_and_again_the_next_day(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    blobs = [home.store.blobs.put(BytesIO(bytes([number]) * 600_000))[0] for number in range(3)]
    home.store.promises.keep(known_bob.account, Promise(2**30, MediaPolicy.ALL, 0))
    posts = [known_bob.write(Post("", media=(Media(blob, "image/png", 600_000, ""),))) for blob in blobs]
    ingest(home.store, *arrivals_of(posts))
    assert claim(home.store, known_bob.account).media is MediaPolicy.ALL

    def turn_a_bit(blob: Cid) -> None:
        chunk = home.store.blobs._manifest(blob).chunks[-1]
        folder = home.store.blobs.folder
        data = folder.read(chunk.digest, max_bytes=2**20)
        assert data is not None
        folder.remove(chunk.digest)
        folder.write(chunk.digest, bytes([data[0] ^ 1]) + data[1:])

    turn_a_bit(blobs[1])
    assert claim(home.store, known_bob.account).media is MediaPolicy.ALL, "believed for a day"
    clock.advance(receipts.BELIEVED_MS)
    assert claim(home.store, known_bob.account).media is MediaPolicy.NONE
    assert not home.store.blobs.has(blobs[1]), "put aside, to be fetched again"
    home.store.blobs.put(BytesIO(bytes([1]) * 600_000))
    assert claim(home.store, known_bob.account).media is MediaPolicy.ALL


def test_pictures_are_hashed_in_parts_that_end(
    home: Home, known_bob: Person, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "MOST_BYTES_AT_ONCE", 1_000)
    monkeypatch.setattr(receipts, "MAX_BLOBS", 3)
    blobs = [home.store.blobs.put(BytesIO(bytes([number]) * 1_000))[0] for number in range(3)]
    home.store.promises.keep(known_bob.account, Promise(2**30, MediaPolicy.ALL, 0))

    def parts() -> int:
        for count in range(1, 9):
            with home.store.snapshot() as snapshot:
                if snapshot.hash_some(known_bob.account):
                    return count
        raise AssertionError("there is no end to it")

    def show(blob: Cid) -> None:
        ingest(home.store, known_bob.write(Post("", media=(Media(blob, "image/png", 1_000, ""),))).arrival)

    for blob in blobs:
        show(blob)
    assert parts() == 4
    assert parts() == 1
    assert claim(home.store, known_bob.account).media is MediaPolicy.ALL
    show(home.store.blobs.put(BytesIO(b"one more than is remembered"))[0])
    assert parts() == 1
    assert claim(home.store, known_bob.account).media is MediaPolicy.NONE, "what is not hashed is not claimed"
    clock.advance(receipts.BELIEVED_MS)
    assert parts() == 4


# -- against a slow look at everything


def test_a_claim_is_what_a_look_at_every_row_gives(home: Home, clock: Clock, new_store: Callable[[], Store]) -> None:
    random = Random(5)
    for seed in range(80, 92):
        store, person = new_store(), Person("P", seed=seed, clock_ms=clock)
        written = person.posts(25)
        ingest(store, person.incept)
        excused: set[Cid] = set()
        waiting = random.sample(written, len(written)) if random.random() < 0.5 else list(written)
        for each in waiting:
            ingest(store, each.without_body if random.random() < 0.1 else each.arrival)
            action = random.random()
            if action < 0.1:
                target = random.choice(written).cid
                store.withheld.add(target, "why", 1)
                excused.add(target)
            elif action < 0.15 and excused:
                target = excused.pop()
                store.withheld.drop(target)
            elif action < 0.2:
                ingest(store, random.choice(written).arrival)
            made = claim(store, person.account)
            assert reach(made, person) == naive_reach(store, written, excused)
            listed = {entry for entry, _ in made.withheld}
            assert listed == {each.cid for each in written[: reach(made, person)]} & excused


# -- disks and processes that fail


def lived_in(path: Path, clock: Clock, person: Person) -> list[Written]:
    with open_home(path, clock) as store:
        store.promises.keep(person.account, Promise(2**30, MediaPolicy.NONE, 0))
        written = log_of(person)
        ingest(store, person.incept, *arrivals_of(written))
        store.withheld.add(written[7].cid, "why", 1)
    return written


def check_claimed(path: Path, clock: Clock, person: Person, count: int, seed: int) -> None:
    lived_in(path, clock, person)
    with child("tests.support.flipper", str(path), str(seed), str(count), "claim") as flipper:
        found = [json.loads(flipper.line(60.0)) for _ in range(count)]
        flipper.finish()
    print(f"{count} bits: reached {sorted(each.get('reach', -1) for each in found)}")
    assert [each for each in found if each.get("wrong", 0)] == []
    assert [each for each in found if each["end"].startswith("!")] == []
    assert any(0 <= each.get("reach", -1) < LENGTH for each in found)  # some bits hit what would have been claimed
    assert any(each.get("reach") == LENGTH for each in found)


def test_no_turned_bit_makes_a_receipt_claim_what_is_not_there(tmp_path: Path, clock: Clock, bob: Person) -> None:
    check_claimed(tmp_path / "home", clock, bob, 30, 3)


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_no_bit_of_a_thousand_makes_a_receipt_claim_what_is_not_there(
    tmp_path: Path, clock: Clock, bob: Person
) -> None:
    check_claimed(tmp_path / "home", clock, bob, 1_000, 4)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_killed_process_claimed_is_on_the_disk(tmp_path: Path, clock: Clock, seed: int) -> None:
    home, random = tmp_path / f"home-{seed}", Random(seed)
    with child("tests.support.claiming", str(home)) as claiming:
        assert claiming.line() == "ready"
        said = [claiming.line() for _ in range(random.randrange(2, 25))]
        said += claiming.kill()
    bob = Person("Bob", seed=2, clock_ms=clock)
    written = log_of(bob)
    with open_home(home, clock) as store:
        excused = set(store.withheld.all())
        made = claim(store, bob.account)
        assert reach(made, bob) == naive_reach(store, written, excused)
        for line in said:
            _, seq, entry, _ = line.split()
            assert str(written[int(seq)].cid) == entry
            assert int(seq) < reach(made, bob)
