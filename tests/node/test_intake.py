"""The ingest thread: one delivery's trouble is nobody else's, and what could not be stored is said to be so."""

import threading
from collections.abc import Iterator

import pytest

from unhush.node.service.intake import Intake
from unhush.storage.arrivals import Arrival, Batch, Outcome, Status
from unhush.storage.errors import StoreFull
from unhush.storage.ingest import Begun
from unhush.storage.store import Store
from unhush.storage.verifying import Verifier

PATIENCE_S = 20.0


class Moody(Store):
    """A store that takes what says "good", is full for "full" and broken for "broken"."""

    def __init__(self, *, has_workers: bool) -> None:
        self._has_workers = has_workers
        self.commits: list[int] = []

    @property
    def has_workers(self) -> bool:
        return self._has_workers

    def begin(self, batch: Batch) -> Begun:
        if any(item.entry == b"odd" for item in batch.items):
            raise ZeroDivisionError("a bug before anything is stored")
        return Begun(batch, {}, [], [], Verifier("test").begin([]))

    def finish(self, begun: Begun) -> tuple[Outcome, ...]:
        return self.ingest(begun.batch)

    def ingest(self, batch: Batch) -> tuple[Outcome, ...]:
        said = {item.entry for item in batch.items}
        if b"full" in said:
            raise StoreFull("the disk is full")
        if b"broken" in said or b"odd" in said:
            raise ZeroDivisionError("a bug")
        self.commits.append(len(batch.items))
        return tuple(Outcome(Status.STORED) for _ in batch.items)


class Report:
    """What a sender was told."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._outcomes: tuple[Outcome, ...] = ()

    def __call__(self, outcomes: tuple[Outcome, ...]) -> None:
        self._outcomes = outcomes
        self._told.set()

    def statuses(self) -> list[Status]:
        assert self._told.wait(PATIENCE_S)
        return [outcome.status for outcome in self._outcomes]


@pytest.fixture(params=[False, True], ids=["alone", "with workers"])
def intake(request: pytest.FixtureRequest) -> Iterator[Intake]:
    made = Intake(Moody(has_workers=request.param))
    yield made
    made.stop()


def give(intake: Intake, *words: bytes) -> Report:
    report = Report()
    assert intake.submit(Batch(tuple(Arrival(word, None) for word in words), "a peer"), is_live=False, done=report)
    return report


def test_a_delivery_that_cannot_be_stored_fails_alone(intake: Intake) -> None:
    before, full, broken, after = (give(intake, *words) for words in ([b"good"], [b"full"] * 2, [b"broken"], [b"good"]))

    intake.start()

    assert before.statuses() == after.statuses() == [Status.STORED]
    assert full.statuses() == [Status.FAILED] * 2
    assert broken.statuses() == [Status.FAILED]


def test_the_thread_outlives_a_store_that_breaks_and_a_report_that_raises(intake: Intake) -> None:
    def ungrateful(_: tuple[Outcome, ...]) -> None:
        raise ZeroDivisionError("a bug of the sender's side")

    intake.start()
    assert intake.submit(Batch((Arrival(b"good", None),), "a peer"), is_live=True, done=ungrateful)
    assert give(intake, b"broken").statuses() == [Status.FAILED]
    assert give(intake, b"odd").statuses() == [Status.FAILED]

    assert give(intake, b"good").statuses() == [Status.STORED]
