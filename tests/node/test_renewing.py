"""A home that turns out to be an older copy renews its key by itself, whatever goes on around it."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.commands import await_until
from tests.support.nodes import Thief, config_of, hand
from tests.support.people import Person

from unhush.node import Node, found_account
from unhush.node.account import renewing
from unhush.node.config import wall_clock_ms
from unhush.node.errors import KeyFileError
from unhush.storage.kinds import Post


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    config = config_of(tmp_path / "ann", passphrase=lambda: "correct horse")
    found_account(config, "Ann", keep_root=True)
    with Node.open(config) as opened:
        opened.unlock()
        opened.start_network()
        yield opened


@pytest.fixture
def prove(node: Node) -> Callable[[], None]:
    """Let the home hear of an entry by its key, of which nobody can tell on what it stands."""

    def show() -> None:
        with node._store.snapshot() as snapshot:
            log = next(log for _, _, log in snapshot.logs(node.account()))
            head = next(iter(snapshot.log_records(log))).entry
        chain = Thief(node.account(), node._keys.device()).write([Post(str(number)) for number in range(50)], head)
        hand(node, [chain[-1].arrival])

    return show


def test_what_others_write_meanwhile_does_not_put_it_off(
    node: Node, prove: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(renewing, "REST_S", 1.0)
    noisy = Person("Noisy", seed=7, clock_ms=wall_clock_ms)
    node.follow(noisy.account)
    hand(node, [noisy.incept])
    before = node.device()
    prove()
    await_until(lambda: "nothing is published" in caplog.text, "the problem is said before anything is waited for")
    assert node.device() == before

    def is_renewed() -> bool:
        hand(node, [noisy.post("more").arrival])
        return node.device() != before

    await_until(is_renewed, "the copy has a new key", within_s=10)


def test_a_root_key_file_that_is_refused_is_said_once_and_looked_at_again(
    node: Node, prove: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(renewing, "REST_S", 0.1)
    monkeypatch.setattr(renewing, "AGAIN_S", 0.05)
    looked: list[bool] = []
    can_open_root = node._keys.can_open_root

    def look() -> bool:
        looked.append(True)
        if len(looked) < 4:
            raise KeyFileError("root.key has mode 0644")
        return can_open_root()

    monkeypatch.setattr(node._keys, "can_open_root", look)
    before = node.device()
    prove()

    await_until(lambda: node.device() != before, "the copy has a new key")

    said = [record for record in caplog.records if "0644" in record.getMessage()]
    assert [record.levelno for record in said] == [logging.ERROR]
