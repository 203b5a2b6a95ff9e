"""Holdings and named receipts: what somebody who judges an account is told of this disk, and what waits as evidence."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.people import Clock, Home, Person, ingest, open_home

from unhush.identity.statement import Absent, Head, MediaPolicy, Receipt, Statement, sign_statement
from unhush.storage.keeping.clearing import MOST
from unhush.storage.keeping.holdings import Holding
from unhush.storage.keeping.rows import Type
from unhush.storage.keeping.speakers import Operation
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.kinds import Delete, Follow
from unhush.storage.store import Store

DAY_MS = 24 * 3_600 * 1_000
TERM_MS = 30 * DAY_MS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def author(clock: Clock) -> Person:
    return Person("author", 61, clock_ms=clock)


@pytest.fixture
def store(tmp_path: Path, clock: Clock, author: Person) -> Iterator[Store]:
    with open_home(tmp_path / "home", clock) as store:
        home = Home(store, Person("reader", 62), clock)
        home.publish(Follow(author.account))
        yield store


def holding(store: Store, author: Person) -> Holding:
    with store.snapshot() as snapshot:
        (found,) = snapshot.holdings(author.account)
    return found


def test_holes_name_what_is_missing_and_bodies_say_why(store: Store, author: Person) -> None:
    written = author.posts(10)
    delete = author.write(Delete(written[8].cid))
    rows = [each.arrival for each in written if each.seq not in (3, 4, 6, 8)]
    ingest(store, author.incept, *rows[:-1], written[6].without_body, written[8].without_body, rows[-1], delete.arrival)
    store.withheld.add(written[1].cid, "order of a court", 1)
    found = holding(store, author)
    assert found.runs == ((0, 2), (5, 10))
    assert found.named == {4: written[4].cid}
    assert found.tip is not None
    assert (found.tip.seq, found.tip.cid, found.tip_time) == (10, delete.cid, delete.entry.header.time)
    lacking = {each.seq: (each.is_fine, each.reason) for each in found.lacking}
    assert lacking == {8: (True, None), 6: (False, None), 1: (False, "order of a court")}


def test_below_a_cut_everything_held_counts_and_beyond_it_nothing(store: Store, author: Person) -> None:
    written = author.posts(10)
    ingest(store, author.incept, *(each.arrival for each in written if each.seq != 3))
    ingest(store, author.revoke(author.key, written[6].entry))
    found = holding(store, author)
    assert (found.runs, found.cut) == (((0, 2), (4, 6)), (6, written[6].cid.bytes))
    assert found.named == {3: written[3].cid}


def test_a_fork_is_told(store: Store, author: Person) -> None:
    written = author.posts(4)
    author.fork(written[1])
    other = author.post("another history")
    ingest(store, author.incept, *(each.arrival for each in written), other.arrival)
    assert holding(store, author).fork == 2


def test_of_an_account_that_is_not_known_nothing_is_held(store: Store) -> None:
    with store.snapshot() as snapshot:
        assert snapshot.holdings(Person("nobody", 63).account) == []


# --- receipts that absents name


def say(store: Store, keeper: Person, claim: Receipt | Absent, now_ms: int, *, ago_ms: int) -> Statement:
    time_ms = now_ms - ago_ms
    said = sign_statement(
        keeper.device.key, keeper.account, claim, time=time_ms, expires=time_ms + TERM_MS, network=keeper.network
    )
    ops = (Operation(keeper.inception.entry.block, keeper.inception.body),)
    assert store.statements.take([SignedStatement(said.block, ops)], now_ms) == [Took.STORED]
    return said


def kept(store: Store, author: Person) -> set[bytes]:
    with store.snapshot() as snapshot:
        return {each.digest for each in snapshot.receipts_kept(author.account)}


def test_a_receipt_that_an_absent_names_stays_when_another_takes_its_place(
    store: Store, author: Person, clock: Clock
) -> None:
    keeper, written = Person("keeper", 64), author.posts(3)
    ingest(store, author.incept, *(each.arrival for each in written))

    def receipt(seq: int, ago_ms: int) -> Statement:
        claim = Receipt(author.account, (Head(author.key, seq, written[seq].cid),), (), bytes(32), MediaPolicy.NONE)
        return say(store, keeper, claim, clock.now_ms, ago_ms=ago_ms)

    unnamed = receipt(0, 9_000)
    named = receipt(1, 8_000)
    assert kept(store, author) == {named.digest}
    absent = say(store, keeper, Absent(author.account, written[1].cid, "", named.digest), clock.now_ms, ago_ms=7_000)
    newest = receipt(2, 6_000)
    assert kept(store, author) == {named.digest, newest.digest}
    with store.snapshot() as snapshot:
        assert [each.digest for each in snapshot.receipts_of(author.account)] == [newest.digest]
    told = [each.block for each in store.statements.about(author.account)]
    assert sorted(told) == sorted([named.block, absent.block, newest.block])
    assert unnamed.block not in told
    # Another absent for the same entry, under the newest: the old pair has had its time.
    say(store, keeper, Absent(author.account, written[1].cid, "", newest.digest), clock.now_ms, ago_ms=5_000)
    assert kept(store, author) == {newest.digest}
    clock.advance(TERM_MS)
    assert store.statements.sweep(clock.now_ms) == 3
    assert kept(store, author) == set()


def test_few_such_receipts_are_kept(store: Store, author: Person, clock: Clock) -> None:
    keeper, written = Person("keeper", 64), author.posts(MOST[Type.NAMED] + 4)
    ingest(store, author.incept, *(each.arrival for each in written))
    for number, each in enumerate(written):
        claim = Receipt(author.account, (Head(author.key, each.seq, each.cid),), (), bytes(32), MediaPolicy.NONE)
        receipt = say(store, keeper, claim, clock.now_ms, ago_ms=9_000 - 2 * number)
        absent = Absent(author.account, each.cid, "", receipt.digest)
        say(store, keeper, absent, clock.now_ms, ago_ms=8_999 - 2 * number)
    assert len(kept(store, author)) == MOST[Type.NAMED]
