"""A process for bulk: what it says of a batch is what the store says, and when it dies nothing is lost."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.commands import await_until
from tests.support.people import Person, arrivals_of

from unhush.node import Config, Node, found_account
from unhush.node.service.bulk import BulkProcess, ProcessGone
from unhush.node.service.intake import Intake
from unhush.storage.arrivals import Arrival, Batch, Outcome, Status
from unhush.storage.room.tiers import USUAL

POSTS = 300
PATIENCE_S = 60.0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Node]:
    config = Config(tmp_path / "home")
    found_account(config, "Ann")
    with Node.open(config) as node:
        yield node


@pytest.fixture
def bulk(home: Node) -> Iterator[BulkProcess]:
    made = BulkProcess(home.config.home, network=home.config.network, limits=USUAL)
    yield made
    made.close()


@pytest.fixture
def bob(home: Node) -> Person:
    person = Person("Bob", seed=2, network=home.config.network, clock_ms=lambda: time.time_ns() // 1_000_000)
    home.follow(person.account)
    return person


def batch_of(bob: Person, count: int) -> Batch:
    return Batch((bob.incept, *arrivals_of(bob.post(f"post {number}") for number in range(count))), "a peer")


def test_it_stores_and_says_what_became_of_each(home: Node, bulk: BulkProcess, bob: Person) -> None:
    batch = batch_of(bob, 5)
    broken = Arrival(b"\x00" * 40, b"")

    outcomes = bulk.ingest(Batch((*batch.items, broken), "a peer"))

    assert [outcome.status for outcome in outcomes] == [Status.STORED] * 6 + [Status.REJECTED]
    assert outcomes[-1].error
    assert [outcome.status for outcome in bulk.ingest(batch)] == [Status.KNOWN] * 6
    assert home.person(bob.account).posts == 5


def test_whoever_follows_the_journal_here_hears_of_what_it_stored(home: Node, bulk: BulkProcess, bob: Person) -> None:
    before = home.last_aid()
    heard = threading.Event()
    threading.Thread(
        target=lambda: home.wait_for_news(before, PATIENCE_S) > before and heard.set(), daemon=True
    ).start()

    bulk.ingest(batch_of(bob, 1))

    assert heard.wait(PATIENCE_S)


def test_a_process_that_was_killed_says_so(home: Node, bulk: BulkProcess, bob: Person) -> None:
    assert bulk.pid is not None
    os.kill(bulk.pid, signal.SIGKILL)

    with pytest.raises(ProcessGone):
        bulk.ingest(batch_of(bob, 1))


class Told:
    """What senders heard, delivery by delivery."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def __call__(self, outcomes: tuple[Outcome, ...]) -> None:
        self.outcomes += outcomes


def test_nothing_is_lost_when_it_is_killed_in_the_middle(home: Node, bulk: BulkProcess, bob: Person) -> None:
    intake = Intake(home._store, bulk)
    intake.start()
    told = Told()
    items = batch_of(bob, POSTS).items
    pieces = [items[at : at + 10] for at in range(0, len(items), 10)]
    assert bulk.pid is not None
    for number, piece in enumerate(pieces):
        assert intake.submit(Batch(piece, "a peer"), is_live=False, done=told)
        if number == len(pieces) // 2:
            await_until(lambda: told.outcomes, "the first were stored")
            os.kill(bulk.pid, signal.SIGKILL)

    await_until(lambda: len(told.outcomes) == len(items), "all were told of")
    intake.stop()

    assert {outcome.status for outcome in told.outcomes} <= {Status.STORED, Status.KNOWN}
    assert home.person(bob.account).posts == POSTS


def test_live_records_need_not_wait_for_bulk_and_bulk_never_overtakes_them(
    home: Node, bulk: BulkProcess, bob: Person
) -> None:
    """The account's operation comes as a small delivery; what follows it is worth nothing before it."""
    intake = Intake(home._store, bulk)
    items = batch_of(bob, 20).items
    told = Told()
    assert intake.submit(Batch(items[:1], "a peer"), is_live=True, done=told)
    assert intake.submit(Batch(items[1:], "a peer"), is_live=False, done=told)
    intake.start()

    await_until(lambda: len(told.outcomes) == len(items), "all were told of")
    intake.stop()

    assert [outcome.status for outcome in told.outcomes] == [Status.STORED] * len(items)
