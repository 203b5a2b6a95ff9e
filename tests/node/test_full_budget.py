"""A budget that is full: what the keeper, its page and its figures say, what it signs, and what its ward sees."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.node.web.client import Client
from tests.support.commands import await_until
from tests.support.nodes import introduce, posts_of, publish

from unhush.identity.statement import MediaPolicy, Receipt
from unhush.node import Node
from unhush.node.keeping.sizes import size_text
from unhush.node.keeping.speaking import Speaking
from unhush.node.web import WebServer
from unhush.storage.keeping.promises import Promise
from unhush.storage.keeping.statements import SignedStatement, Took

KIB = 2**10
POST_BYTES = 45_000
# Of the smaller, a post is more than a quarter, so that it is full while much of it is empty.
BUDGETS = (80 * KIB, 1_024 * KIB)


def give(ann: Node, mara: Node, tmp_path: Path, budget_bytes: int) -> int:
    """Let Mara, who keeps Ann, have more than she promised to take; how many records Ann has."""
    count = budget_bytes // POST_BYTES + 2
    publish(ann, (f"{number} " + "x" * POST_BYTES for number in range(count)))
    mara._store.promises.keep(ann.account(), Promise(budget_bytes, MediaPolicy.NONE, 7))
    ann.export_car(tmp_path / "ann.car")
    assert mara.import_car(tmp_path / "ann.car").refused
    return count + 1  # and her profile


def read_pages(node: Node, *paths: str) -> list[str]:
    with WebServer(node) as server:
        client = Client(server)
        assert client.enter().status == 200
        return [client.get(path).page.text for path in paths]


@pytest.mark.parametrize("budget_bytes", BUDGETS)
def test_who_keeps_says_everywhere_that_it_is_full(
    budget_bytes: int, ann: Node, new_node: Callable[[str], Node], tmp_path: Path
) -> None:
    mara, size = new_node("Mara"), size_text(budget_bytes)
    records = give(ann, mara, tmp_path, budget_bytes)
    (kept,) = mara.kept()
    assert kept.is_full
    assert kept.problem.startswith(f"its budget of {size} is full")
    assert kept.used_bytes <= kept.room_bytes == kept.budget_bytes == budget_bytes
    assert 0 < kept.records < records
    assert mara.keeping_figures().full == 1
    assert b"unhush_kept_full 1.0" in mara.metrics()
    for page in read_pages(mara, "/kept", f"/person/{ann.account()}"):
        assert f"Its budget of {size} is full: " in page
        assert f"{size_text(kept.used_bytes)} of {size}" in page
    # More room, and it is said no more.
    mara.keep(ann.account(), "8MiB")
    assert not mara.kept()[0].is_full
    assert mara.import_car(tmp_path / "ann.car").refused == 0
    assert mara.keeping_figures().full == 0
    assert "is full" not in "".join(read_pages(mara, "/kept", f"/person/{ann.account()}"))


@pytest.mark.parametrize("budget_bytes", BUDGETS)
def test_a_receipt_stops_where_the_room_ended_and_its_ward_sees_how_far_it_reaches(
    budget_bytes: int, ann: Node, new_node: Callable[[str], Node], tmp_path: Path
) -> None:
    mara, of = new_node("Mara"), ann.account()
    records = give(ann, mara, tmp_path, budget_bytes)
    spoken = Speaking(mara._store, mara.config, mara._keys)
    spoken._voice.find_speaker()
    said = spoken._receipting.give(of)
    assert said is not None
    assert isinstance(said.claim, Receipt)
    (head,) = said.claim.heads
    with mara._store.snapshot() as snapshot:
        held = snapshot.summary(of).logs[head.key]
        told = SignedStatement(said.block, tuple(snapshot.operations_for(said)))
    assert held == ((0, head.seq),), "the oldest are here, without a gap, and all of them are in the receipt"
    assert ann._store.statements.take([told], ann.config.clock_ms()) == [Took.STORED]
    (keeper,) = ann.keepers()
    assert (keeper.account, keeper.covers, keeper.records) == (mara.account(), head.seq + 1, records)
    assert keeper.covers < keeper.records
    (page,) = read_pages(ann, "/kept")
    assert f"covers {keeper.covers} of {records} records" in page
    newest = ann.timeline().items[0]
    assert newest.kept_by is not None
    assert (newest.kept_by.proven, newest.kept_by.unproven) == (0, 0)


def test_with_room_again_a_running_node_asks_who_is_connected_for_the_rest(
    ann: Node, new_node: Callable[[str], Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.live.INCOMPLETE_EVERY_S", 0.5)
    mara, of = new_node("Mara"), ann.account()
    mara._store.promises.keep(of, Promise(BUDGETS[0], MediaPolicy.NONE, 7))
    for node in (ann, mara):
        node.start_network()
    introduce(mara, ann)
    publish(ann, (f"{number} " + "x" * POST_BYTES for number in range(6)))
    await_until(lambda: mara.kept()[0].is_full, "the budget is full", within_s=30)
    mara.follow(of)  # whom she may have more of than of anybody she only keeps
    time.sleep(1.5)  # so that what is full has been looked at
    assert mara.kept()[0].is_full
    mara.room.collect()
    await_until(lambda: len(posts_of(mara, of)) == 6, "the rest is asked for", within_s=60)


def test_of_somebody_followed_the_room_is_named_that_anybody_followed_has(
    ann: Node, new_node: Callable[[str], Node], tmp_path: Path
) -> None:
    mara, budget_bytes = new_node("Mara"), BUDGETS[0]
    give(ann, mara, tmp_path, budget_bytes)
    mara.follow(ann.account())
    mara.room.collect()
    (kept,) = mara.kept()
    assert (kept.is_full, kept.room_bytes) == (False, mara.config.limits.followed_bytes)
    assert mara.import_car(tmp_path / "ann.car").refused == 0
    (kept,) = mara.kept()
    assert kept.used_bytes > kept.budget_bytes
    for page in read_pages(mara, "/kept", f"/person/{ann.account()}"):
        assert f"{size_text(kept.used_bytes)} of 200 MiB" in page
        assert "you follow them; the budget is 80 KiB" in page
