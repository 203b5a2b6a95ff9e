"""A thief with a copy of one device's key writes into a divided network, and the owner takes it all back (§3).

Ten nodes in three partitions: who does not know whose address is apart. The
thief goes on after the owner's last honest record and also forks the log before
it, and each partition sees another part of that. One revoke with a cut, and
the partitions meet again.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.commands import await_until
from tests.support.nodes import (
    Thief,
    address_of,
    arrivals_of,
    await_all,
    config_of,
    device_of,
    fork_of,
    hand,
    introduce,
    posts_of,
    publish,
    records_of,
    timeline_of,
)
from tests.support.people import Written

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.words import Words
from unhush.node import Node, found_account
from unhush.node.account.devices import Last
from unhush.node.config import Home
from unhush.node.errors import WritingRefused
from unhush.node.views import DeviceState
from unhush.storage.keyfile import read_key
from unhush.storage.kinds import Body, Delete, Post, Profile, Reply
from unhush.storage.records import Record

WORDS = Words(bytes(range(32)))
HONEST = 30  # records of each of the owner's devices
BEFORE = 11  # the thief's other branch begins so many records before the last honest one
STOLEN = 50  # records in each of his branches
WITHIN_S = 60.0


class Owner:
    """Olga, her laptop, and another device of hers whose key was copied."""

    def __init__(self, root: Path, started: ExitStack) -> None:
        self._root = root
        self._started = started
        config = config_of(root / "laptop")
        self.account = found_account(config, "Olga", words=WORDS).account
        self.laptop = started.enter_context(Node.open(config))

    def add_device(self, name: str) -> Node:
        """Another home of hers, synced with the laptop."""
        if not self.laptop.status().network_running:
            self.laptop.start_network()
        device = self._started.enter_context(Node.open(config_of(self._root / name, peers=(address_of(self.laptop),))))
        self.laptop.devices.add(device.devices.request(name), WORDS)
        device.join(self.account)
        return device

    def follower(self, name: str, history: Iterable[Record]) -> Node:
        """Somebody who follows her and holds some of her records."""
        found_account(config_of(self._root / name), name)
        node = self._started.enter_context(Node.open(config_of(self._root / name)))
        node.follow(self.account)
        hand(node, arrivals_of(history))
        return node

    def rob(self, device: Node, seed: int) -> Thief:
        return Thief(self.account, read_key(Home(device.config.home).device_key, "device"), seed)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    with ExitStack() as started:
        yield Owner(tmp_path, started)


def log_of(node: Node, account: Cid, key: PublicKey) -> list[Record]:
    return [
        record
        for record in records_of(node, account)
        if not record.entry.header.is_identity and record.entry.header.key == key
    ]


def loot(what: str, answers: list[Record]) -> list[Body]:
    """What a thief writes: posts, answers in threads of the owner's, deletes of her posts, another name."""
    bodies: list[Body] = []
    for number in range(STOLEN):
        target = answers[number % len(answers)]
        link = Reply(target.cid, target.cid, target.account, target.account)
        turns: tuple[Body, ...] = (
            Post(f"THIEF {what} {number}"),
            Post(f"THIEF answers {what} {number}", reply=link),
            Delete(target.cid),
            Profile("THIEF"),
        )
        bodies.append(turns[number % len(turns)])
    return bodies


@pytest.mark.timeout(300)
def test_what_a_thief_wrote_in_three_partitions_is_gone_from_all_ten_nodes_after_one_revoke(
    owner: Owner, capsys: pytest.CaptureFixture[str]
) -> None:
    laptop, phone = owner.laptop, owner.add_device("phone")
    publish(phone, [f"phone {number}" for number in range(HONEST)])
    publish(laptop, [f"laptop {number}" for number in range(HONEST)])
    await_all(
        [laptop, phone], lambda node: len(posts_of(node, owner.account)) == 2 * HONEST, "both devices have it all"
    )
    await_until(lambda: phone.status().local_only == 0, "the phone knows that all of it left")
    laptop.stop_network()
    phone.stop_network()
    honest = sorted(posts_of(laptop, owner.account))
    stolen = phone.device()
    history = records_of(laptop, owner.account)
    ours = log_of(laptop, owner.account, stolen)
    last, parting = ours[-1], ours[-1 - BEFORE]
    fork = parting.entry.header.seq + 1
    targets = [record for record in log_of(laptop, owner.account, laptop.device()) if record.kind == "post"]

    after = owner.rob(phone, 1).write(loot("after", targets), last.entry)
    before = owner.rob(phone, 2).write(loot("before", targets), parting.entry)

    # Who holds less of the log's end meets the thief's branch first, and shows it.
    short = [record for record in history if record not in ours or record.entry.header.seq < fork]
    wholes = [owner.follower(f"whole {number}", history) for number in range(5)]
    shorts = [owner.follower(f"short {number}", short) for number in range(3)]
    both = [laptop, wholes[0], wholes[1]]
    one = [phone, wholes[2], wholes[3], shorts[0]]
    other = [wholes[4], shorts[1], shorts[2]]
    everybody = [*both, *one, *other]
    assert len(everybody) == 10
    for node in everybody:
        node.start_network()
    for partition in (both, one, other):
        for node, following in pairwise(partition):
            introduce(node, following)
    began = time.monotonic()
    give(wholes[0], after[:20])
    give(wholes[1], before[:10])
    give(shorts[0], before)
    give(wholes[4], after)

    await_all(
        [*both, *one],
        lambda node: fork_of(node, owner.account, stolen) == fork,
        "everybody who holds both branches marks the fork",
        within_s=WITHIN_S,
    )
    marked_s = time.monotonic() - began
    await_all(other, lambda node: "THIEF after 48" in posts_of(node, owner.account), "the third part has one branch")
    assert [fork_of(node, owner.account, stolen) for node in everybody] == [fork] * 7 + [None] * 3
    assert any("THIEF" in text for node in everybody for text in timeline_of(node))
    assert all(device_of(node, owner.account, stolen).contested for node in (*both, *one))

    began = time.monotonic()
    laptop.devices.revoke(laptop.devices.plan_cut("phone", last.cid), WORDS)
    introduce(laptop, one[1])
    introduce(one[-1], other[0])
    introduce(other[-1], both[1])
    await_all(
        everybody,
        lambda node: sorted(posts_of(node, owner.account)) == honest,
        "all of the owner and nothing of the thief is shown",
        within_s=120,
    )
    healed_s = time.monotonic() - began

    cut = (last.entry.header.seq, last.cid)
    for node in everybody:
        assert sorted(posts_of(node, owner.account)) == honest
        assert not [text for text in timeline_of(node) if "THIEF" in text]
        assert sorted(timeline_of(node)) == honest
        assert all(not node.thread(target.cid).replies for target in targets)
        assert node.person(owner.account).name == "Olga"
        for written in (*before, *after):
            check_hidden(node, written)
        device = device_of(node, owner.account, stolen)
        assert (device.state, device.cut, device.in_force) == (DeviceState.CUT, cut, HONEST)
        assert (device.contested, device.unproven, device.fork) == (0, 0, None)
        assert node.verify().is_clean, node.verify().problems
    assert len({node.devices.identity(owner.account).table for node in everybody}) == 1
    with capsys.disabled():
        sys.stdout.write(
            f"\nthief in 3 partitions of 10 nodes: the fork is marked after {marked_s:.1f} s, "
            f"all ten show the owner's history and nothing of his {healed_s:.1f} s after the revoke\n"
        )


def give(node: Node, stolen: list[Written]) -> None:
    hand(node, [record.arrival for record in stolen])


def check_hidden(node: Node, written: Written) -> None:
    """If a node holds a record of the thief, it shows nothing of what it says."""
    with node._store.snapshot() as snapshot:
        if snapshot.record(written.cid) is None:
            return
    shown = node.show(written.cid)
    assert (shown.text, shown.standing) == ("", "void")


@pytest.mark.parametrize(
    "deletes",
    [
        pytest.param(500, marks=pytest.mark.timeout(180)),
        pytest.param(5_000, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_a_thief_s_deletes_are_undone_on_every_follower(
    deletes: int, owner: Owner, capsys: pytest.CaptureFixture[str]
) -> None:
    laptop, tablet = owner.laptop, owner.add_device("tablet")
    kept = tablet.post("from the tablet itself")
    publish(laptop, [f"laptop {number}" for number in range(deletes)])
    await_until(lambda: len(posts_of(laptop, owner.account)) == deletes + 1, "the laptop has the tablet's post")
    tablet.close()
    history = records_of(laptop, owner.account)
    honest = sorted(posts_of(laptop, owner.account))
    targets = [record for record in log_of(laptop, owner.account, laptop.device()) if record.kind == "post"]
    (last,) = log_of(laptop, owner.account, tablet_key(laptop, owner))
    followers = [owner.follower(f"follower {number}", history) for number in range(3)]
    for node in followers:
        node.start_network()
    for node, following in pairwise([laptop, *followers]):
        introduce(node, following)

    thief = owner.rob(tablet, 3)
    give(followers[-1], thief.write([Delete(target.cid) for target in targets], last.entry))
    everybody = [laptop, *followers]
    gone_s = await_all(
        everybody, lambda node: posts_of(node, owner.account) == [kept.text], "everything is deleted", within_s=300
    )

    laptop.devices.revoke(laptop.devices.plan_cut("tablet", last.cid), WORDS)
    back_s = await_all(
        everybody, lambda node: sorted(posts_of(node, owner.account)) == honest, "everything is back", within_s=300
    )

    for node in everybody:
        assert sorted(timeline_of(node)) == honest
        assert not any(node.show(target.cid).is_deleted for target in targets[::10])
        assert node.verify().is_clean
    with capsys.disabled():
        sys.stdout.write(
            f"\n{deletes} deletes of a thief: all is gone on 4 nodes after {gone_s:.1f} s, "
            f"all is back {back_s:.1f} s after the revoke\n"
        )


def tablet_key(laptop: Node, owner: Owner) -> PublicKey:
    return next(each.key for each in laptop.devices.identity(owner.account).devices if each.name == "tablet")


def test_a_device_of_which_nothing_is_to_stay_leaves_nothing_anywhere(owner: Owner) -> None:
    laptop, tablet = owner.laptop, owner.add_device("tablet")
    laptop.post("mine")
    tablet.post("not worth keeping")
    await_until(lambda: len(posts_of(laptop, owner.account)) == 2, "the laptop has both")
    follower = owner.follower("follower", records_of(laptop, owner.account))
    follower.start_network()
    introduce(follower, laptop)
    assert len(posts_of(follower, owner.account)) == 2

    laptop.devices.revoke(laptop.devices.plan_cut("tablet", Last.NOTHING), WORDS)

    await_all(
        [laptop, tablet, follower], lambda node: posts_of(node, owner.account) == ["mine"], "only the laptop's stays"
    )
    with pytest.raises(WritingRefused, match="cut off"):
        tablet.post("no more")
    assert tablet_state(tablet, owner) is DeviceState.VOID


def tablet_state(node: Node, owner: Owner) -> DeviceState:
    return next(each.state for each in node.devices.identity(owner.account).devices if each.name == "tablet")
