"""Search through a node: what is shown of hits, catching up on the way, and the thread of a running node."""

import time
from collections.abc import Callable

import pytest

from unhush.node import Node, Post
from unhush.node.errors import MalformedCid, NothingToSearch, StoreFull
from unhush.node.records.searching import Indexing
from unhush.storage.fulltext.engine import Engine
from unhush.storage.fulltext.fulltext import FullText

PATIENCE_S = 20.0


def wait_until(is_true: Callable[[], bool]) -> None:
    due = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < due
        time.sleep(0.02)


def test_a_search_gives_views_as_the_timeline_does_and_a_cursor(ann: Node) -> None:
    shown = [ann.post(f"word {number}") for number in range(3)]

    page = ann.search("word", limit=2)
    rest = ann.search("word", limit=2, before=page.next)

    assert [*page.items, *rest.items] == list(ann.timeline().items)
    assert [item.id for item in page.items] == [shown[2].id, shown[1].id]
    assert (rest.next, page.behind, page.is_cut) == (None, 0, False)


def test_a_search_takes_what_a_search_takes(ann: Node) -> None:
    ann.post(Post("word", tags=("Tag",)))
    own = ann.account()

    assert len(ann.search("WORD", by=str(own), tag="tag", since=0, until=2**70, ranked=True).items) == 1
    assert ann.search("word", by=own, until=0).items == ()
    assert ann.search("word " * 3_000).is_cut
    with pytest.raises(NothingToSearch):
        ann.search('"')
    with pytest.raises(MalformedCid):
        ann.search("word", by="nobody")


def test_a_search_indexes_what_is_new_unless_somebody_follows(ann: Node) -> None:
    index = ann._store.fulltext
    ann.post("word")
    assert ann.search("word").items
    assert index.behind() == 0

    with index.following():
        ann.post("word")
        assert len(ann.search("word").items) == 2
        assert index.behind() > 0
    ann.search("word")
    assert index.behind() == 0


def test_a_search_answers_while_nothing_can_be_indexed(ann: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreFull("no room")

    monkeypatch.setattr(Engine, "put", fail)
    ann.post("word")

    assert len(ann.search("word").items) == 1


def test_a_running_node_indexes_what_comes(ann: Node) -> None:
    index = ann._store.fulltext
    ann.post("word")
    indexing = Indexing(ann._store)
    try:
        wait_until(lambda: index.behind() == 0)
        assert index.is_followed()
        ann.post("word too")
        wait_until(lambda: index.behind() == 0)
    finally:
        indexing.stop()
    assert not index.is_followed()
    assert index.check().posts == 2


def test_indexing_goes_on_after_a_failure_that_is_said_once(
    ann: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("unhush.node.records.searching.AGAIN_S", 0.01)
    real, calls = FullText.catch_up, []

    def fail_at_first(index: FullText, *arguments: object, **named: object) -> bool:
        calls.append(1)
        if len(calls) < 4:
            raise StoreFull("no room")
        return real(index, *arguments, **named)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(FullText, "catch_up", fail_at_first)
    ann.post("word")
    indexing = Indexing(ann._store)
    try:
        wait_until(lambda: ann._store.fulltext.behind() == 0)
    finally:
        indexing.stop()

    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "posts are not indexed for search: no room"
    ]
