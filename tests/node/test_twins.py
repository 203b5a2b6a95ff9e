"""Two rotates to one generation, both the owner's: the one that loses leaves nothing behind."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from unhush.identity.keys import SigningKey
from unhush.identity.operations import NOTHING, Device
from unhush.identity.words import Words
from unhush.node import Config, Node, found_account
from unhush.node.account.devices import Last
from unhush.node.account.founding import generate_words
from unhush.node.errors import WritingRefused
from unhush.node.views import DeviceState
from unhush.storage.arrivals import Arrival, Batch


@pytest.fixture
def words(tmp_path: Path) -> Words:
    return generate_words(Config(home=tmp_path / "nowhere"))


@pytest.fixture
def machines(tmp_path: Path, words: Words) -> Iterator[tuple[Node, Node]]:
    """One account on two machines that never hear of each other until ``exchange``."""
    found_account(Config(home=tmp_path / "a"), "Ann", words=words)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with ExitStack() as opened:
        yield (
            opened.enter_context(Node(Config(home=tmp_path / "a"))),
            opened.enter_context(Node(Config(home=tmp_path / "b"))),
        )


def exchange(one: Node, other: Node) -> None:
    sent = [_operations(node) for node in (one, other)]
    for node, arrivals in zip((other, one), sent, strict=True):
        node._store.ingest(Batch(arrivals, "a test", wanted_only=False))


def _operations(node: Node) -> tuple[Arrival, ...]:
    with node._store.snapshot() as snapshot:
        return tuple(Arrival(record.block, record.body) for record in snapshot.operations(node.account()))


def has_lost(node: Node) -> bool:
    with node._store.snapshot() as snapshot:
        return bool(snapshot.lost_operations())


def states(node: Node) -> dict[str, DeviceState]:
    return {device.name: device.state for device in node.devices.identity(node.account()).devices}


def test_adds_and_revokes_on_the_losing_twin_are_signed_again_on_the_winner(
    machines: tuple[Node, Node], words: Words
) -> None:
    machines[0].devices.add_key(Device(SigningKey(os.urandom(32)).public, "tablet"), words)
    exchange(*machines)
    for name, node in zip(("phone", "desk"), machines, strict=True):
        node.devices.rotate(node.devices.plan_rotation(), words)
        node.devices.add_key(Device(SigningKey(os.urandom(32)).public, name), words)
        node.devices.revoke(node.devices.plan_cut("tablet", Last.NOTHING), words)

    exchange(*machines)
    signed = [node.devices.sign_again(words) for node in machines]
    exchange(*machines)

    assert sorted(signed) == [0, 1]  # the revoke stands on the winner already
    expected = {
        "Ann": DeviceState.OPEN,
        "phone": DeviceState.OPEN,
        "desk": DeviceState.OPEN,
        "tablet": DeviceState.VOID,
    }
    assert [states(node) for node in machines] == [expected, expected]
    assert all(node.devices.identity(node.account()).alarms == ("twice",) for node in machines)


def test_the_next_verb_signs_what_was_lost_without_being_asked(machines: tuple[Node, Node], words: Words) -> None:
    for name, node in zip(("phone", "desk"), machines, strict=True):
        node.devices.rotate(node.devices.plan_rotation(), words)
        node.devices.add_key(Device(SigningKey(os.urandom(32)).public, name), words)
    exchange(*machines)

    for node in machines:
        node.devices.add_key(Device(SigningKey(os.urandom(32)).public, "lamp"), words)

    exchange(*machines)
    assert all({"phone", "desk", "lamp"} <= states(node).keys() for node in machines)


def test_the_next_rotate_ends_the_alarm(machines: tuple[Node, Node], words: Words) -> None:
    for node in machines:
        node.devices.rotate(node.devices.plan_rotation(), words)
    exchange(*machines)
    first, second = machines

    first.devices.rotate(first.devices.plan_rotation(), words)
    exchange(first, second)

    assert [node.devices.identity(node.account()).alarms for node in machines] == [(), ()]
    assert [node.devices.identity(node.account()).generation for node in machines] == [2, 2]


def test_what_a_thief_signed_on_the_losing_twin_does_not_come_back_after_a_rotate(
    machines: tuple[Node, Node], words: Words
) -> None:
    """A stolen root key adds a device on our table, which then loses: the rotate that heals it ends that too."""
    for node in machines:
        node.devices.rotate(node.devices.plan_rotation(), words)
    for node in machines:  # whichever loses
        node.devices.add_key(Device(SigningKey(os.urandom(32)).public, "thief"), words)
    exchange(*machines)
    loser = next(node for node in machines if has_lost(node))
    plan = loser.devices.plan_rotation()

    loser.devices.rotate(replace(plan, rows=tuple(row for row in plan.rows if row.name != "thief")), words)
    loser.devices.add_key(Device(SigningKey(os.urandom(32)).public, "lamp"), words)

    assert loser.devices.sign_again(words) == 0
    assert set(states(loser)) == {"Ann", "lamp"}


def test_a_device_whose_add_a_freeze_silenced_is_named_in_the_next_plan(
    machines: tuple[Node, Node], words: Words
) -> None:
    node = machines[0]
    phone = Device(SigningKey(os.urandom(32)).public, "phone")
    node.devices.add_key(phone, words)
    node.devices.freeze(words)

    plan = node.devices.plan_rotation()
    rows = {row.name: row for row in node.devices.describe_rotation(plan)}

    assert phone.key in plan.added
    assert phone.key not in {row.key for row in plan.rows}  # only a person's word lists it again
    assert rows["phone"].state is DeviceState.UNLISTED
    assert rows["phone"].is_added
    node.devices.rotate(replace(plan, rows=(*plan.rows, phone)), words)
    assert states(node) == {"Ann": DeviceState.OPEN, "phone": DeviceState.OPEN}


def test_what_a_freeze_silenced_keeps_its_cut_and_its_name_in_the_next_plan(
    machines: tuple[Node, Node], words: Words
) -> None:
    """A revoked device does not come back whole because a freeze forgot that it had ever been added."""
    node = machines[0]
    tablet, phone = (Device(SigningKey(os.urandom(32)).public, name) for name in ("tablet", "phone"))
    node.devices.add_key(tablet, words)
    node.devices.add_key(phone, words)
    node.devices.revoke(node.devices.plan_cut("tablet", Last.NOTHING), words)
    node.devices.freeze(words)

    plan = node.devices.plan_rotation()

    assert {row.name: row.cut for row in plan.rows}["tablet"] == NOTHING
    assert [row.name for row in plan.silenced] == ["phone"]
    assert plan.to_decide == {phone.key}


def test_a_device_that_was_cut_off_is_told_so_before_it_writes(machines: tuple[Node, Node], words: Words) -> None:
    node = machines[0]
    node.devices.revoke(node.devices.plan_cut("Ann"), words)

    assert "cut off" in node.status().problem
    with pytest.raises(WritingRefused, match="unhush rotate"):
        node.post("hello")
