"""Publishing: one device, one unbroken log, through restarts, clock jumps and other processes."""

import threading
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.people import (
    NETWORK,
    Clock,
    Home,
    Person,
    cids_held,
    dump,
    ingest,
    open_home,
    publisher_of,
)
from tests.support.processes import child

from unhush.identity.entry import decode_body, parse_entry, verify_signature
from unhush.identity.keys import SigningKey
from unhush.storage.arrivals import Arrival, Status
from unhush.storage.errors import WritingRefused
from unhush.storage.kinds import Post, Profile
from unhush.storage.publish import Publisher
from unhush.storage.records import Record
from unhush.storage.store import Store
from unhush.storage.verify import verify_store


def own_log(store: Store, person: Person) -> list[Record]:
    with store.snapshot() as snapshot:
        return [
            record
            for _, key, log in snapshot.logs(person.account)
            for record in snapshot.log_records(log)
            if key == person.key
        ]


def is_unbroken(records: list[Record]) -> bool:
    seqs = [record.entry.header.seq for record in records]
    links = all(after.entry.header.prev == before.cid for before, after in pairwise(records))
    return links and seqs == list(range(len(records)))


def test_a_log_grows_without_a_break_across_restarts(tmp_path: Path, clock: Clock) -> None:
    person = Person("Ann", seed=1, clock_ms=clock)
    with open_home(tmp_path, clock) as store:
        home = Home(store, person, clock)
        home.post("one")
    for number in range(3):
        with open_home(tmp_path, clock) as store:
            store.publish(publisher_of(person, clock, seed=number), Post(f"after restart {number}"))
            log = own_log(store, person)

    assert is_unbroken(log)
    assert len(log) == 5


def test_time_never_falls_along_a_log(home: Home, clock: Clock) -> None:
    for jump in (0, 500, -100_000, 1, -1, 99_000, 10_000):
        clock.advance(jump)
        home.post("x")

    times = [record.entry.header.time for record in own_log(home.store, home.person)]
    assert times == sorted(times)
    assert times[-1] == clock()


def test_what_is_published_is_what_others_accept(home: Home, tmp_path: Path, clock: Clock) -> None:
    records = [home.first, *home.publish(Post("one"), Post("two", title="Title"), Profile("Ann again"))]

    for record in records:
        verify_signature(parse_entry(record.block), NETWORK)
        assert record.body is not None
        assert len(decode_body(record.body)["salt"]) == 16  # type: ignore[arg-type]  # bytes
    with open_home(tmp_path / "other", clock) as other:
        with home.store.snapshot() as snapshot:
            arrivals = [(record.block, record.body) for record in snapshot.journal(0)]
        ingest(other, *(Arrival(*arrival) for arrival in arrivals))
        assert cids_held(other) == cids_held(home.store)


def test_two_equal_posts_are_two_records(home: Home) -> None:
    first, second = home.publish(Post("same"), Post("same"))

    assert first.cid != second.cid
    assert first.entry.header.body != second.entry.header.body


def test_the_first_entry_of_a_log_names_the_standing_table(home: Home) -> None:
    second = home.post("x")

    assert home.first.entry.header.identity == home.person.account
    assert second.entry.header.identity is None


def test_several_records_are_published_together_or_not_at_all(home: Home) -> None:
    before = dump(home.store)

    with pytest.raises(AttributeError):
        home.publish(Post("good"), None)  # type: ignore[arg-type]  # wrong on purpose, in the middle

    assert dump(home.store) == before


def test_without_an_account_nothing_can_be_written(store: Store, clock: Clock) -> None:
    person = Person("Ann", seed=1)

    with pytest.raises(WritingRefused, match="no account"):
        store.publish(publisher_of(person, clock), Post("x"))


def test_a_home_has_one_account_and_keeps_it(home: Home, clock: Clock) -> None:
    other = Person("Eve", seed=5)
    before = dump(home.store)

    with pytest.raises(WritingRefused, match="already"):
        home.store.found_account(publisher_of(other, clock), other.inception, Profile("Eve"))

    assert dump(home.store) == before


def test_a_device_that_is_not_listed_may_not_write(home: Home, clock: Clock) -> None:
    stranger = Publisher(SigningKey(bytes(32)), network=NETWORK, clock_ms=clock, random_bytes=bytes)

    with pytest.raises(WritingRefused, match="not listed"):
        home.store.publish(stranger, Post("x"))


def test_a_device_that_was_cut_off_may_not_write(home: Home) -> None:
    record = home.post("last")
    ingest(home.store, home.person.revoke(home.person.key, record.entry))

    with pytest.raises(WritingRefused, match="cut off"):
        home.post("one more")


def test_what_comes_back_from_elsewhere_is_known(home: Home) -> None:
    record = home.post("mine")

    (outcome,) = ingest(home.store, Arrival(record.block, record.body))

    assert (outcome.status, outcome.aid) == (Status.KNOWN, record.aid)


def test_threads_publishing_at_once_make_one_log(home: Home, clock: Clock) -> None:
    def write(seed: int) -> None:
        publisher = publisher_of(home.person, clock, seed=seed)
        for number in range(25):
            home.store.publish(publisher, Post(f"{seed} {number}"))

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    log = own_log(home.store, home.person)
    assert len(log) == 101
    assert is_unbroken(log)


def test_two_processes_publishing_at_once_make_one_log_and_lose_nothing(home: Home) -> None:
    arguments = ("tests.support.writer", str(home.store.home), "1", "posts=40")
    with child(*arguments) as one, child(*arguments) as other:
        for writer in (one, other):
            assert writer.line() == "ready"
        for writer in (one, other):
            writer.say("go")
        ours = [str(home.post(f"ours {number}").cid) for number in range(20)]
        theirs = [line.removeprefix("own ") for writer in (one, other) for line in writer.finish()]

    log = own_log(home.store, home.person)
    assert is_unbroken(log)
    assert {str(record.cid) for record in log} == {*ours, *theirs, str(home.first.cid)}
    with home.store.snapshot() as snapshot:
        assert verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True).is_clean


def test_a_post_from_a_fast_clock_stands_by_the_authors_time(home: Home, clock: Clock) -> None:
    clock.advance(50_000)
    first = home.post("fast")
    clock.advance(-50_000)
    second = home.post("slow again")

    assert first.shown_at_ms == second.shown_at_ms == first.entry.header.time
