"""Strangers who promise everything: what they sign changes no drill and no figure."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image
from tests.support.nodes import config_of
from tests.support.people import Person
from tests.support.saying import say

from unhush.identity.cid import cid_of
from unhush.identity.statement import MediaPolicy, Receipt
from unhush.node import Node, found_account
from unhush.node.drill.forecast import drill
from unhush.storage.keeping.statements import Took


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with ExitStack() as stack:
        config = config_of(tmp_path / "Ann")
        found_account(config, "Ann")
        node = stack.enter_context(Node.open(config))
        picture = tmp_path / "picture.png"
        Image.new("RGB", (20, 20)).save(picture)
        node.post("A gull.", media=[node.attach(picture, "a gull")])
        yield node


def promise(node: Node, number: int) -> Person:
    """Somebody nobody knows says that they keep all of it."""
    now_ms = int(time.time() * 1000)
    keeper = Person(f"keeper {number}", seed=number, clock_ms=lambda: now_ms)
    with node._store.snapshot() as snapshot:
        claim = Receipt(node.account(), snapshot.heads_held(node.account()), (), bytes(32), MediaPolicy.ALL)
    took = node._store.statements.take([say(keeper, claim, time=now_ms, ops=(keeper.incept,))], now_ms)
    assert took == [Took.STORED]
    return keeper


def prove(node: Node, keeper: Person, *, ok: bool) -> None:
    node._store.proofs.note(node.account(), keeper.account, cid_of(b"any"), int(time.time() * 1000), ok, "")


def test_a_drill_counts_no_keeper_that_nobody_asked_or_that_has_shown_nothing(node: Node) -> None:
    before = drill(node)
    assert before.report.pictures_lost == 1
    assert before.uncounted == 0
    strangers = [promise(node, number) for number in (900, 901, 902)]
    prove(node, strangers[0], ok=True)  # whoever makes up a keeper can have it answer
    node.offer_keeping(strangers[1].account)  # and this one was asked, and has shown nothing
    among = drill(node)
    assert among.report.pictures_lost == 1
    assert among.situation.machines == before.situation.machines
    assert among.uncounted == 3
    prove(node, strangers[1], ok=True)
    counted = drill(node)
    assert sum(machine.is_keeper for machine in counted.situation.machines) == 1
    assert counted.report.pictures_lost == 0
    assert counted.uncounted == 2


def test_figures_count_the_proofs_of_trusted_keepers_alone(node: Node) -> None:
    stranger, keeper = promise(node, 900), promise(node, 901)
    prove(node, stranger, ok=False)
    figures = node.keeping_figures()
    assert (figures.proofs_ok, figures.proofs_failed) == (0, 0)
    node.offer_keeping(keeper.account)
    prove(node, keeper, ok=True)
    figures = node.keeping_figures()
    assert (figures.proofs_ok, figures.proofs_failed) == (1, 0)
    prove(node, keeper, ok=False)
    assert node.keeping_figures().proofs_failed == 1
