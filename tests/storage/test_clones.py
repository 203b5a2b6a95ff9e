"""An older copy of a home is found out by what it wrote elsewhere, stops, and goes on with a new key."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from tests.storage.renewing import new_publisher, renew, signed
from tests.support.oracle import actual_view, expected_view
from tests.support.people import (
    NETWORK,
    Clock,
    Device,
    Home,
    Person,
    dump,
    ingest,
    open_home,
    publisher_of,
    spoil_signature,
    texts,
)
from tests.support.processes import ROOT

from unhush.identity.cid import Cid
from unhush.storage.accounts import Account
from unhush.storage.arrivals import Arrival, Batch, Status
from unhush.storage.car import CarReader, write_car
from unhush.storage.clones import MAX_HANDED_ON
from unhush.storage.errors import WritingRefused
from unhush.storage.kinds import Body, Delete, Follow, Post, Profile, Reply
from unhush.storage.publish import Publisher
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.store import Store
from unhush.storage.verify import Report, verify_store


@dataclass
class Twins:
    """One home that went on, and an older copy of its folder."""

    person: Person
    clock: Clock
    old: Store
    new: Store
    publish_old: Publisher
    publish_new: Publisher

    def write_old(self, *bodies: Body) -> list[Record]:
        return self.old.publish(self.publish_old, *bodies)

    def write_new(self, *bodies: Body) -> list[Record]:
        return self.new.publish(self.publish_new, *bodies)

    def renew(self) -> tuple[Publisher, list[Record]]:
        return renew(self.old, self.person, self.clock)


def arrivals(records: list[Record]) -> list[Arrival]:
    return [Arrival(record.block, record.body) for record in records]


@pytest.fixture
def make_twins(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Twins]]:
    """``make_twins(handed_on)``: Ann's home with a profile and four posts, and a copy of its folder."""
    with ExitStack() as stack:

        def make(handed_on: int = 4) -> Twins:
            ann = Person("Ann", seed=1, clock_ms=clock)
            with open_home(tmp_path / "new", clock) as store:
                home = Home(store, ann, clock)
                home.publish(*(Post(f"before {number}") for number in range(4)))
                store.put_handed_on(ann.key, ((0, handed_on),) if handed_on >= 0 else ())
            shutil.copytree(tmp_path / "new", tmp_path / "old", ignore=shutil.ignore_patterns("run"))
            old, new = (stack.enter_context(open_home(tmp_path / name, clock)) for name in ("old", "new"))
            return Twins(ann, clock, old, new, publisher_of(ann, clock, seed=11), publisher_of(ann, clock, seed=12))

        yield make


@pytest.fixture
def twins(make_twins: Callable[..., Twins]) -> Twins:
    return make_twins()


def is_found(store: Store) -> bool:
    with store.snapshot() as snapshot:
        return snapshot.clone_found()


def own_posts(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        own = snapshot.own_account()
        account = snapshot.account(own) if own is not None else None
        assert account is not None
        return sorted(texts(record for _, record in snapshot.posts(account)))


def verify(store: Store) -> Report:
    with store.snapshot() as snapshot:
        return verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)


def agrees_with_the_oracle(store: Store) -> bool:
    with store.snapshot() as snapshot:
        shown = {
            record.cid
            for account, key, log in snapshot.logs()
            for record in snapshot.log_records(log)
            if record.entry.header.seq in snapshot.span(account, key)
        }
        return actual_view(store) == expected_view(snapshot.journal(0), snapshot.own_account(), shown)


BEFORE = [f"before {number}" for number in range(4)]


# -- what is a proof and what is not


def test_own_entries_that_are_held_prove_nothing(twins: Twins) -> None:
    with twins.new.snapshot() as snapshot:
        records = list(snapshot.journal(0))
    before = dump(twins.old)

    outcomes = ingest(twins.old, *arrivals(records))

    assert {outcome.status for outcome in outcomes} == {Status.KNOWN}
    assert dump(twins.old) == before
    assert not is_found(twins.old)


def test_an_own_entry_that_is_not_held_proves_a_copy_and_stops_writing(twins: Twins) -> None:
    later = twins.write_new(Post("after"))

    ingest(twins.old, *arrivals(later))

    assert is_found(twins.old)
    with pytest.raises(WritingRefused, match=r"older copy.*unhush device renew"):
        twins.write_old(Post("refused"))
    assert own_posts(twins.old) == ["after", *BEFORE]


def test_the_proof_outlives_the_process(twins: Twins, clock: Clock) -> None:
    home = twins.old.home
    ingest(twins.old, *arrivals(twins.write_new(Post("after"))))
    twins.old.close()

    with open_home(home, clock) as again:
        assert is_found(again)
        with pytest.raises(WritingRefused, match="unhush device renew"):
            again.publish(twins.publish_old, Post("refused"))


def test_the_same_proof_again_changes_nothing(twins: Twins) -> None:
    later = arrivals(twins.write_new(Post("one"), Post("two")))
    ingest(twins.old, later[1])
    ingest(twins.old, later[0])
    before = dump(twins.old)

    ingest(twins.old, *later)

    assert dump(twins.old) == before


def test_an_entry_that_is_too_early_to_store_is_a_proof_all_the_same(twins: Twins, clock: Clock) -> None:
    clock.advance(3_600_000)
    later = twins.write_new(Post("an hour later"))
    clock.advance(-3_600_000)

    (outcome,) = ingest(twins.old, *arrivals(later))

    assert outcome.status is Status.IGNORED
    assert is_found(twins.old)


def test_a_bad_signature_proves_nothing(twins: Twins) -> None:
    (later,) = twins.write_new(Post("after"))
    spoiled = spoil_signature(later.entry)

    (outcome,) = ingest(twins.old, Arrival(spoiled.block, later.body))

    assert outcome.status is Status.REJECTED
    assert not is_found(twins.old)


def test_what_only_its_successor_vouches_for_is_no_proof_and_the_successor_is(twins: Twins) -> None:
    person = twins.person
    with twins.old.snapshot() as snapshot:
        head = next(iter(snapshot.newest_in_force(found(snapshot.account(person.account)), person.key, 1)))
    person.device.head = head.entry
    bad, good = person.write_badly_signed(Post("bad")), person.post("good")

    ingest(twins.old, bad.arrival, good.arrival)

    with twins.old.snapshot() as snapshot:
        note = snapshot._txn.get(Table.META, b"clone-found")
    assert note is not None
    assert good.cid.bytes in note
    assert head.cid.bytes in note
    assert bad.cid.bytes not in note


def test_entries_of_other_accounts_and_other_keys_prove_nothing(twins: Twins, bob: Person) -> None:
    phone, added = twins.person.add_device()

    ingest(twins.old, bob.incept, bob.post("his").arrival, added, twins.person.write(Post("phone"), by=phone).arrival)

    assert not is_found(twins.old)
    assert own_posts(twins.old) == [*BEFORE, "phone"]


def test_an_imported_file_is_a_proof_too(twins: Twins) -> None:
    twins.write_new(Post("after"))
    file = BytesIO()
    with twins.new.snapshot() as snapshot:
        write_car(file, snapshot, twins.person.account)
    file.seek(0)

    reader = CarReader(file, lambda _cid, _block: True)
    twins.old.ingest(Batch(tuple(reader.arrivals()), "a file", wanted_only=False))

    assert is_found(twins.old)


def test_a_forked_own_log_refuses_to_be_written_and_names_the_command(twins: Twins) -> None:
    twins.write_old(Post("mine"))
    ingest(twins.old, *arrivals(twins.write_new(Post("other"))))
    with twins.old._environment.write() as txn:
        txn.delete(Table.META, b"clone-found")  # as a home that was written before there was such a note

    with pytest.raises(WritingRefused, match=r"forked.*unhush device renew"):
        twins.write_old(Post("refused"))


# -- a new key


def test_what_never_left_is_written_again_and_the_branch_from_elsewhere_is_shown(twins: Twins) -> None:
    twins.write_old(Post("mine 1"), Post("mine 2"))
    later = twins.write_new(*(Post(f"theirs {number}") for number in range(5)))
    ingest(twins.old, *arrivals(later))

    publisher, written = twins.renew()

    assert texts(written) == ["mine 1", "mine 2"]
    assert [record.entry.header.seq for record in written] == [0, 1]
    assert own_posts(twins.old) == sorted([*BEFORE, "mine 1", "mine 2", *(f"theirs {number}" for number in range(5))])
    assert not is_found(twins.old)
    assert verify(twins.old).is_clean
    assert agrees_with_the_oracle(twins.old)
    assert twins.old.publish(publisher, Post("on"))[0].entry.header.seq == 2


def test_the_branch_from_elsewhere_may_come_newest_first_and_in_part(twins: Twins) -> None:
    twins.write_old(*(Post(f"mine {number}") for number in range(3)))
    later = twins.write_new(*(Post(f"theirs {number}") for number in range(8)))
    for record in later[:2:-1]:
        ingest(twins.old, *arrivals([record]))
    twins.renew()

    ingest(twins.old, *arrivals(later))

    assert own_posts(twins.old) == sorted(
        [*BEFORE, *(f"mine {number}" for number in range(3)), *(f"theirs {number}" for number in range(8))]
    )
    assert verify(twins.old).is_clean
    assert agrees_with_the_oracle(twins.old)


def test_everything_written_again_comes_after_all_that_followers_of_the_journal_have_seen(twins: Twins) -> None:
    mine = twins.write_old(Post("mine"), Delete(Cid(twins.person.account.bytes)))
    theirs = twins.write_new(Post("theirs"))
    ingest(twins.old, *arrivals(theirs))
    last = twins.old.last_aid()

    _, written = twins.renew()

    with twins.old.snapshot() as snapshot:
        news = {record.cid for record in snapshot.journal(last)}
        assert all(snapshot.find_aid(record.cid) is None for record in mine)
    assert {record.cid for record in (*written, *theirs)} <= news


def test_no_local_number_is_given_twice_also_if_the_device_was_listed_before(twins: Twins) -> None:
    key, publisher = new_publisher(twins.clock)
    added = twins.person.add(Device(key), "renewed")
    ingest(twins.old, added)
    twins.write_old(Post("mine 1"), Post("mine 2"))
    last = twins.old.last_aid()

    written = twins.old.renew_device(publisher, signed(added))

    assert min(record.aid for record in written) > last


def test_links_among_what_is_written_again_lead_to_the_new_ids(twins: Twins, bob: Person) -> None:
    ingest(twins.old, bob.incept, bob.post("hello from Bob").arrival)
    twins.clock.advance(1)
    account = twins.person.account
    kept = next(record for record in posts_of(twins.old) if texts([record]) == ["before 0"])
    (root,) = twins.write_old(Post("root"))
    (reply,) = twins.write_old(Post("reply", reply=Reply(root.cid, root.cid, account, account)))
    (deep,) = twins.write_old(Post("deep", reply=Reply(root.cid, reply.cid, account, account)))
    (gone,) = twins.write_old(Post("gone"))
    twins.write_old(Delete(gone.cid), Delete(kept.cid), Profile("Ann again"), Follow(bob.account))
    twins.write_old(Post("to the kept", reply=Reply(kept.cid, kept.cid, account, account)))
    before = (own_posts(twins.old), home_texts(twins.old))
    ingest(twins.old, *arrivals(twins.write_new(Post("theirs"))))

    _, written = twins.renew()

    again = {text: record for record in written for text in texts([record])}
    with twins.old.snapshot() as snapshot:
        assert texts(snapshot.replies(again["root"].cid)) == ["reply", "deep"]
        assert texts(snapshot.replies(kept.cid)) == ["to the kept"]
        body = snapshot.body(again["deep"])
        assert isinstance(body, Post)
        assert body.reply == Reply(again["root"].cid, again["reply"].cid, account, account)
        profile = snapshot.profile(account)
        assert profile is not None
        assert profile.name == "Ann again"
        assert list(snapshot.replies(root.cid)) == []
    assert own_posts(twins.old) == sorted([*before[0], "theirs"])
    assert sorted(home_texts(twins.old)) == sorted([*before[1], "theirs"])
    assert deep.cid not in {record.cid for record in posts_of(twins.old)}
    assert verify(twins.old).is_clean
    assert agrees_with_the_oracle(twins.old)


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_records_that_left_are_not_written_twice(twins: Twins, sent: int) -> None:
    twins.write_old(Post("mine 0"), Post("mine 1"))
    twins.old.put_handed_on(twins.person.key, ((0, 4 + sent),))

    _, written = twins.renew()

    assert texts(written) == [f"mine {number}" for number in range(sent, 2)]
    assert own_posts(twins.old) == [*BEFORE, "mine 0", "mine 1"]
    assert verify(twins.old).is_clean


def test_what_lies_below_records_that_left_is_written_again(twins: Twins) -> None:
    """Frames go newest first: a line that breaks after one leaves the older records here."""
    twins.write_old(*(Post(f"mine {number}") for number in range(6)))
    twins.old.put_handed_on(twins.person.key, ((9, 10),))
    with twins.old.snapshot() as snapshot:
        assert snapshot.handed_on() == ((0, 4), (9, 10))
        assert snapshot.count_local() == 4
        assert snapshot.summary(twins.person.account, bodies_wanted=True).logs[twins.person.key] == ((0, 4), (9, 10))
    later = twins.write_new(*(Post(f"theirs {number}") for number in range(3)))
    ingest(twins.old, *arrivals(later))

    _, written = twins.renew()

    assert texts(written) == [f"mine {number}" for number in range(4)]
    assert own_posts(twins.old) == sorted(
        [*BEFORE, *(f"mine {number}" for number in range(6)), *(f"theirs {number}" for number in range(3))]
    )
    assert verify(twins.old).bad == 0
    assert agrees_with_the_oracle(twins.old)


def test_what_left_is_kept_as_runs_of_which_the_longest_stay(twins: Twins) -> None:
    key = twins.person.key
    twins.old.put_handed_on(key, ((6, 6),))
    twins.old.put_handed_on(key, ((5, 5), (8, 9)))
    twins.old.put_handed_on(twins.person.add_device()[0].key.public, ((7, 7),))
    with twins.old.snapshot() as snapshot:
        assert snapshot.handed_on() == ((0, 6), (8, 9))

    twins.old.put_handed_on(key, tuple((seq, seq) for seq in range(20, 20 + 4 * MAX_HANDED_ON, 2)))

    with twins.old.snapshot() as snapshot:
        kept = snapshot.handed_on()
    assert len(kept) == MAX_HANDED_ON
    assert kept[:2] == ((0, 6), (8, 9))


def test_what_the_branch_from_elsewhere_goes_on_from_left_whatever_the_old_image_remembers(
    make_twins: Callable[..., Twins],
) -> None:
    twins = make_twins(handed_on=1)  # the image is older than the word that the rest left
    ingest(twins.old, *arrivals(twins.write_new(Post("theirs 0"), Post("theirs 1"))))

    _, written = twins.renew()

    assert written == []
    assert own_posts(twins.old) == [*BEFORE, "theirs 0", "theirs 1"]
    assert verify(twins.old).is_clean


def test_only_what_stands_above_the_fork_is_written_again(make_twins: Callable[..., Twins]) -> None:
    twins = make_twins(handed_on=-1)
    twins.write_old(Post("mine"))
    ingest(twins.old, *arrivals(twins.write_new(Post("theirs 0"), Post("theirs 1"))))

    _, written = twins.renew()

    assert texts(written) == ["mine"]
    assert own_posts(twins.old) == [*BEFORE, "mine", "theirs 0", "theirs 1"]
    assert verify(twins.old).is_clean


def test_a_cut_at_the_other_branch_does_not_lose_what_was_written_here(twins: Twins) -> None:
    twins.write_old(Post("mine 0"), Post("mine 1"))
    later = twins.write_new(Post("theirs 0"), Post("theirs 1"), Post("theirs 2"))
    ingest(twins.old, *arrivals(later))
    ingest(twins.old, twins.person.revoke(twins.person.key, later[1].entry))
    assert own_posts(twins.old) == [*BEFORE, "theirs 0", "theirs 1"]

    _, written = twins.renew()

    assert texts(written) == ["mine 0", "mine 1"]
    assert own_posts(twins.old) == [*BEFORE, "mine 0", "mine 1", "theirs 0", "theirs 1"]
    assert verify(twins.old).bad == 0
    assert agrees_with_the_oracle(twins.old)


def test_what_a_cut_left_in_force_stays_under_its_old_key(twins: Twins) -> None:
    mine = twins.write_old(Post("mine 0"), Post("mine 1"))
    ingest(twins.old, twins.person.revoke(twins.person.key, mine[0].entry))

    _, written = twins.renew()

    assert written == []  # the owner cut off the rest of what this home wrote: it does not come back by itself
    assert own_posts(twins.old) == [*BEFORE, "mine 0"]
    assert verify(twins.old).is_clean


def test_our_branch_is_known_for_ours_also_after_it_was_hidden_and_shown_again(twins: Twins) -> None:
    mine = twins.write_old(Post("mine"))
    ingest(twins.old, *arrivals(twins.write_new(Post("theirs"))))
    person = twins.person
    ingest(twins.old, person.rotate(1, []))
    ingest(twins.old, person.rotate(2, [person.key]))
    key, publisher = new_publisher(twins.clock)
    with twins.old.snapshot() as snapshot:
        table = found(snapshot.account(person.account)).state.table
        assert snapshot.find_aid(mine[0].cid) is not None
    added = person.add(Device(key), on=table, root=2)

    written = twins.old.renew_device(publisher, signed(added))

    assert texts(written) == ["mine"]
    assert own_posts(twins.old) == [*BEFORE, "mine", "theirs"]
    assert verify(twins.old).is_clean


def test_the_other_home_takes_in_what_was_written_again_and_both_show_the_same(twins: Twins) -> None:
    twins.write_old(Post("mine"))
    later = twins.write_new(Post("theirs"))
    ingest(twins.old, *arrivals(later))
    twins.renew()
    with twins.old.snapshot() as snapshot:
        everything = list(snapshot.journal(0))

    ingest(twins.new, *arrivals(everything))

    assert own_posts(twins.new) == own_posts(twins.old) == [*BEFORE, "mine", "theirs"]
    assert not is_found(twins.new)
    assert verify(twins.new).is_clean


# -- refusals


def test_an_operation_that_does_not_open_the_new_key_changes_nothing(twins: Twins) -> None:
    key, publisher = new_publisher(twins.clock)
    on_no_table = signed(twins.person.add(Device(key), on=posts_of(twins.old)[0].cid))
    for_another = signed(twins.person.add_device()[1])
    before = dump(twins.old)

    for operation in (on_no_table, for_another):
        with pytest.raises(WritingRefused, match="not listed"):
            twins.old.renew_device(publisher, operation)

    assert dump(twins.old) == before


def test_the_key_that_writes_already_is_no_new_one(twins: Twins) -> None:
    ingest(twins.old, *arrivals(twins.write_new(Post("theirs"))))
    added = signed(twins.person.add(twins.person.device))

    with pytest.raises(WritingRefused, match="already"):
        twins.old.renew_device(twins.publish_old, added)

    assert is_found(twins.old)


def test_the_old_key_is_refused_afterwards(twins: Twins) -> None:
    twins.renew()

    with pytest.raises(WritingRefused, match="not the one this home writes with"):
        twins.write_old(Post("refused"))


def test_a_home_without_a_device_has_nothing_to_take_over(store: Store, bob: Person, clock: Clock) -> None:
    with pytest.raises(WritingRefused, match="no device"):
        renew(store, bob, clock)


# -- a crash in between


@pytest.mark.parametrize("at", [0, 1, 3, 6])
def test_a_kill_in_between_leaves_the_old_state_or_the_new_one(twins: Twins, clock: Clock, at: int) -> None:
    twins.write_old(*(Post(f"mine {number}") for number in range(5)))
    ingest(twins.old, *arrivals(twins.write_new(Post("theirs"))))
    home, before = twins.old.home, dump(twins.old)
    twins.old.close()

    code = subprocess.run(
        [sys.executable, "-m", "tests.storage.renewing", str(home), str(at)],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ).returncode

    with open_home(home, clock) as again:
        if code == -signal.SIGKILL:
            assert dump(again) == before
            _, written = renew(again, twins.person, clock)
            assert len(written) == 5
        else:
            assert (code, at) == (0, 6)
        assert own_posts(again) == sorted([*BEFORE, *(f"mine {number}" for number in range(5)), "theirs"])
        assert verify(again).is_clean


def posts_of(store: Store) -> list[Record]:
    with store.snapshot() as snapshot:
        own = snapshot.own_account()
        assert own is not None
        return [record for _, record in snapshot.posts(found(snapshot.account(own)))]


def home_texts(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return texts(record for _, record in snapshot.home())


def found(value: Account | None) -> Account:
    assert value is not None
    return value
