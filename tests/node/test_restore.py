"""The laptop is lost: from 24 words and a follower's address the account comes back and goes on (PROTOCOL §3)."""

import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.commands import await_until, serving
from tests.support.liar import lying
from tests.support.nodes import address_of, arrivals_of, beside, config_of, hand, posts_of, publish, records_of
from tests.support.people import Person
from tests.support.processes import Child, child

from unhush.gossip.proto.frames import FindFrame, FoundFrame, Frame, Operation
from unhush.identity.building import build_inception
from unhush.identity.cid import Cid
from unhush.identity.keys import SigningKey
from unhush.identity.words import Words
from unhush.node import Config, Node, found_account
from unhush.node.config import Home, wall_clock_ms
from unhush.node.errors import BadWords, DeviceRefused, NetworkFailed, NoKey, NotFound, SeveralAccounts
from unhush.node.home.maintenance import restore_backup
from unhush.node.views import DeviceState

WORDS = Words(bytes(range(32)))
OTHER_WORDS = Words(bytes(range(1, 33)))


# -- the story, in processes


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(2_000, marks=pytest.mark.timeout(180)),
        pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(600)]),
    ],
)
def test_a_lost_laptop_is_replaced_by_words_and_one_follower(
    records: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, ben = Config(tmp_path / "ann"), Config(tmp_path / "ben")  # of the main network, as the command makes them
    account = found_account(ann, "Ann", words=WORDS).account
    found_account(ben, "Ben")
    texts = [f"post {number}" for number in range(records)]
    with Node.open(ann) as node:
        publish(node, texts)
    with Node.open(ben) as node:
        node.follow(account)
    with ExitStack() as running:
        author = running.enter_context(serving(ann.home))
        follower = running.enter_context(serving(ben.home, "--peer", author.address))
        reader = running.enter_context(Node.open(ben))  # another process on the follower's home
        await_until(lambda: reader.person(account).posts == records, "the follower has everything", within_s=300)
        author.kill()
        shutil.rmtree(ann.home)

        config = config_of(tmp_path / "new", network="main", peers=(follower.address,))
        began = time.monotonic()
        with Node.open(config) as node:
            restored = node.restore(WORDS, name="new laptop")
            restored_s = time.monotonic() - began
            node.post("I am back")
            await_until(lambda: has(reader, "I am back"), "the follower reads the new post")
            on_follower_s = time.monotonic() - began

            assert (restored.account, restored.is_complete, restored.others) == (account, True, ())
            assert restored.device.name == "new laptop"
            assert posts_of(node, account) == [*texts, "I am back"]
            report = node.verify()
            assert (report.is_clean, report.forks) == (True, 0)
            assert report.entries >= records
        assert posts_of(reader, account) == [*texts, "I am back"]
        assert (reader.verify().is_clean, reader.verify().forks) == (True, 0)
        assert follower.process.poll() is None
    with capsys.disabled():
        sys.stdout.write(
            f"\nrestore of {records} records: {restored_s:.2f} s until the account is whole and the device added, "
            f"{on_follower_s:.2f} s until a post of it is read by the follower\n"
        )
    assert on_follower_s < 60


def has(node: Node, text: str) -> bool:
    return any(shown.text == text for shown in node.timeline(limit=10).items)


def test_a_restore_that_is_killed_again_and_again_goes_on_and_makes_one_device(follower: "Follower") -> None:
    follower.write([f"post {number}" for number in range(3_000)])  # some commits long
    home = follower.root / "new"

    def restoring() -> Child:
        return running.enter_context(child("tests.support.restorer", str(home), follower.address, WORDS.text()))

    def come_to(what: str, count: int = 0) -> None:
        killed = restoring()
        while True:
            said = killed.line()
            assert not said.startswith("restored"), f"it ended before {what}"
            _, number, doing = said.split(" ", 2)
            if doing == what and int(number) >= count:
                killed.kill()
                return

    with ExitStack() as running:
        come_to("connecting")
        come_to("asking for the account of these words")
        come_to("fetching", 1)
        come_to("fetching", 200)
        come_to("fetched")
        come_to("adding this device")
        last = restoring()
        while not (said := last.line()).startswith("restored"):
            pass
        key = said.split()[1]
        last.finish()

    await_until(lambda: "back again" in posts_of(follower.node, follower.account), "the follower hears of it")
    with Node.open(config_of(home)) as node:
        assert posts_of(node, follower.account) == [*follower.texts, "back again"]
        report = node.verify()
        assert (report.is_clean, report.forks) == (True, 0)
        assert str(node.device()) == key
        devices = node.devices.identity(follower.account).devices
        assert [device.state for device in devices] == [DeviceState.OPEN] * 2
    assert beside(follower.node, follower.account) == 0
    assert len(follower.node.devices.identity(follower.account).devices) == 2


@pytest.mark.parametrize(
    "wait_s", [0.0, 0.1, *(pytest.param(wait_s, marks=pytest.mark.long) for wait_s in (0.02, 0.3))]
)
def test_a_restore_killed_just_after_it_added_its_device_is_done_by_the_next(
    wait_s: float, follower: "Follower"
) -> None:
    follower.write(["only this"])
    home = follower.root / "new"
    with ExitStack() as running:
        first = running.enter_context(child("tests.support.restorer", str(home), follower.address, WORDS.text()))
        while not first.line().endswith("adding this device"):
            pass
        time.sleep(wait_s)
        first.kill()
        running.enter_context(child("tests.support.restorer", str(home), follower.address, WORDS.text())).finish()
    await_until(lambda: "back again" in posts_of(follower.node, follower.account), "the follower hears of it")
    assert len(follower.node.devices.identity(follower.account).devices) == 2


# -- one node, whose follower runs in this process


class Follower:
    """Ben's running node, which holds an account that nobody else has any more."""

    def __init__(self, root: Path, started: ExitStack) -> None:
        self.root = root
        config = config_of(root / "lost")
        self.account = found_account(config, "Ann", words=WORDS).account
        self.lost = started.enter_context(Node.open(config))
        self.texts: list[str] = []
        found_account(config_of(root / "ben"), "Ben")
        self.node = started.enter_context(Node.open(config_of(root / "ben")))
        self.take(self.lost)
        self.node.start_network()
        self.address = address_of(self.node)

    def take(self, node: Node) -> None:
        """Follow the account of a node and take all there is of it."""
        self.node.follow(node.account())
        hand(self.node, arrivals_of(records_of(node, node.account())))

    def write(self, texts: list[str]) -> None:
        publish(self.lost, texts)
        self.texts += texts
        self.take(self.lost)

    def config(self, *more: str) -> Config:
        """Of a new, empty home that knows the follower's address."""
        return config_of(self.root / "new", peers=(self.address, *more))


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    with ExitStack() as started:
        yield Follower(tmp_path, started)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a peer that may yet come gives up sooner."""
    monkeypatch.setattr("unhush.node.restoring.CONNECT_S", 3.0)
    monkeypatch.setattr("unhush.node.restoring.FIND_S", 3.0)


@pytest.mark.usefixtures("hasty")
def test_words_of_no_account_are_said_to_be_and_leave_the_home_empty_and_usable(follower: Follower) -> None:
    follower.write(["hello"])
    with Node.open(follower.config()) as node:
        with pytest.raises(NotFound, match="no peer that was asked knows an account of these words"):
            node.restore(OTHER_WORDS)
        assert (node.status().account, node.status().records) == (None, 0)
        assert not Home(node.config.home).device_key.exists()

        assert node.restore(WORDS).account == follower.account
        assert posts_of(node, follower.account) == ["hello"]


@pytest.mark.usefixtures("hasty")
def test_a_home_in_which_nothing_was_restored_takes_a_new_account(follower: Follower) -> None:
    with Node.open(follower.config()) as node, pytest.raises(NotFound):
        node.restore(OTHER_WORDS)
    made = found_account(follower.config(), "Somebody else")
    with Node.open(follower.config()) as node:
        assert node.account() == made.account
        assert node.post("works").text == "works"


@pytest.mark.usefixtures("hasty")
def test_a_peer_that_cannot_be_reached_or_does_not_answer_is_said_to_be(tmp_path: Path) -> None:
    nobody = Person("Nobody", seed=8)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It takes the connection and says nothing; the peer id is anybody's.
        address = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}/p2p/{peer_id_of(nobody)}"
        with Node.open(config_of(tmp_path / "new", peers=(address,))) as node:
            with pytest.raises(NetworkFailed, match="no peer could be reached"):
                node.restore(WORDS)
            assert node.status().account is None
    with (
        lying(lambda said: []) as mute,
        Node.open(config_of(tmp_path / "new", peers=(mute.address,))) as node,
        pytest.raises(NotFound, match="no peer that was asked knows"),
    ):
        node.restore(WORDS)


def peer_id_of(person: Person) -> str:
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.peer.id import ID

    return str(ID.from_pubkey(create_new_key_pair(person.random_bytes(32)).public_key))


@pytest.mark.usefixtures("hasty")
def test_what_a_liar_gives_as_the_account_is_not_taken(follower: Follower) -> None:
    follower.write(["hello"])
    liars = Liars(follower)
    with ExitStack() as running:
        addresses = [
            running.enter_context(lying(answer, seed=100 + number)).address
            for number, answer in enumerate(liars.answers())
        ]
        alone = config_of(follower.root / "new", peers=tuple(addresses))
        with Node.open(alone) as node:
            with pytest.raises(NotFound):
                node.restore(WORDS)
            assert (node.status().account, node.status().records) == (None, 0)
        assert liars.asked >= len(addresses)
        with Node.open(replace(alone, peers=(*addresses, follower.address))) as node:
            restored = node.restore(WORDS)
            assert (restored.account, restored.others) == (follower.account, ())
            assert posts_of(node, follower.account) == ["hello"]
            assert node.verify().is_clean


class Liars:
    """What peers may answer who are asked whose inception a root key signed."""

    def __init__(self, follower: Follower) -> None:
        (incept, *_) = records_of(follower.node, follower.account)
        self._true = Operation(incept.block, incept.body or b"")
        self.asked = 0

    def answers(self) -> list[Callable[[Frame | None], list[Frame]]]:
        return [self._giving(*each) for each in self._lies()]

    def _lies(self) -> list[tuple[Operation, ...]]:
        stranger = Person("Stranger", seed=5)
        of_another = Operation(stranger.incept.entry, stranger.incept.body or b"")
        true = self._true
        bad_signature = Operation(true.entry[:-1] + bytes([true.entry[-1] ^ 1]), true.body)
        other_body = Operation(true.entry, of_another.body)
        junk = tuple(Operation(bytes([number]) * 200, b"\xa0" * 10) for number in range(8))
        elsewhere = build_inception(
            WORDS,
            device=SigningKey(bytes(32)).public,
            name="laptop",
            time_ms=wall_clock_ms(),
            salt=bytes(16),
            network="another",
        )
        of_another_network = Operation(elsewhere.entry.block, elsewhere.body)
        return [(of_another,), (bad_signature,), (other_body,), junk, (of_another_network,)]

    def _giving(self, *operations: Operation) -> Callable[[Frame | None], list[Frame]]:
        def answer(said: Frame | None) -> list[Frame]:
            if not isinstance(said, FindFrame):
                return []
            self.asked += 1
            return [FoundFrame(said.root, operations)]

        return answer


def test_of_several_accounts_of_the_same_words_the_person_says_which(follower: Follower) -> None:
    second = config_of(follower.root / "second", clock_ms=lambda: wall_clock_ms() + 5_000)
    newer = found_account(second, "Ann again", words=WORDS).account
    follower.write(["in the first"])
    with Node.open(second) as node:
        node.post("in the second")
        follower.take(node)

    with Node.open(follower.config()) as node, pytest.raises(SeveralAccounts) as refused:
        node.restore(WORDS)
    assert set(refused.value.accounts) == {newer, follower.account}
    with Node.open(config_of(follower.root / "other", peers=(follower.address,))) as node:
        restored = node.restore(WORDS, account=follower.account)
        assert (restored.account, restored.others) == (follower.account, (newer,))
        assert posts_of(node, follower.account) == ["in the first"]


def test_of_several_accounts_of_the_same_words_the_one_that_was_rotated_comes(follower: Follower) -> None:
    """Whoever stole the first root key can found another account beside it, with any date, but never rotate it."""
    second = config_of(follower.root / "second", clock_ms=lambda: wall_clock_ms() - 5_000)
    rotated = found_account(second, "Ann again", words=WORDS).account
    with Node.open(second) as node:
        node.post("in the second")
        node.devices.rotate(node.devices.plan_rotation(), WORDS)
        follower.take(node)

    with Node.open(follower.config()) as node:
        restored = node.restore(WORDS)
        assert (restored.account, restored.others) == (rotated, (follower.account,))
        assert posts_of(node, rotated) == ["in the second"]


def test_an_account_that_these_words_did_not_found_is_not_found(follower: Follower) -> None:
    with Node.open(follower.config()) as node:
        with pytest.raises(NotFound, match="these words did not found"):
            node.restore(WORDS, account=follower.node.account())
        assert node.status().account is None


def test_a_home_with_another_account_is_left_as_it_is(follower: Follower) -> None:
    made = found_account(follower.config(), "Somebody else")
    with Node.open(follower.config()) as node:
        node.post("mine")
        with pytest.raises(BadWords, match=str(made.account)):
            node.restore(WORDS)
        assert node.account() == made.account
        assert posts_of(node, made.account) == ["mine"]
        assert node.post("still mine").is_own


@pytest.mark.usefixtures("hasty")
def test_that_a_home_has_an_account_is_said_before_any_peer_is_asked(tmp_path: Path) -> None:
    config = config_of(tmp_path / "ann")
    found_account(config, "Ann")
    before = {path.name: path.read_bytes() for path in config.home.iterdir() if path.is_file()}
    with Node.open(config) as node, pytest.raises(BadWords, match="not the words of the account of this home"):
        node.restore(WORDS)
    assert {path.name: path.read_bytes() for path in config.home.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("state", ["frozen", "closed"])
def test_an_account_that_lets_no_device_be_added_says_so_and_a_rotate_lists_the_new_one(
    state: str, follower: Follower
) -> None:
    follower.write(["before"])
    if state == "frozen":
        follower.lost.devices.freeze(WORDS)
    else:
        follower.lost.devices.rotate(follower.lost.devices.plan_rotation(), WORDS, close=True)
    follower.take(follower.lost)

    with Node.open(follower.config()) as node:
        with pytest.raises(DeviceRefused, match=f"{state}.*rotate"):
            node.restore(WORDS)
        assert posts_of(node, follower.account) == ["before"]
        node.sync_own(60)
        identity = node.devices.rotate(node.devices.plan_rotation(), WORDS)

        (this,) = [device for device in identity.devices if device.is_this]
        assert this.state is DeviceState.OPEN
        node.post("after")
        await_until(lambda: posts_of(follower.node, follower.account) == ["before", "after"], "the follower hears it")
        assert not follower.node.person(follower.account).alarms


def test_a_restored_home_restores_again_without_a_second_device(follower: Follower) -> None:
    follower.write(["hello"])
    with Node.open(follower.config()) as node:
        first = node.restore(WORDS)
        again = node.restore(WORDS)
    assert again.device.key == first.device.key
    assert ids(follower.node, follower.account) == {first.device.key, *ids(follower.lost, follower.account)}


def ids(node: Node, account: Cid) -> set[object]:
    return {device.key for device in node.devices.identity(account).devices}


def test_a_stranger_who_answers_first_does_not_make_a_restore_end_with_nothing(follower: Follower) -> None:
    follower.write([f"post {number}" for number in range(300)])
    with ExitStack() as running:
        strangers = []
        for number in range(3):
            config = config_of(follower.root / f"stranger {number}")
            found_account(config, f"Stranger {number}")
            strangers.append(running.enter_context(Node.open(config)))
            strangers[-1].start_network()
        with Node.open(follower.config(*map(address_of, strangers))) as node:
            restored = node.restore(WORDS)
            assert restored.is_complete
            assert posts_of(node, follower.account) == follower.texts


def test_of_two_peers_that_have_the_account_the_one_that_knows_more_is_waited_for(follower: Follower) -> None:
    follower.write(["before"])
    config = config_of(follower.root / "late")
    found_account(config, "Late")
    with Node.open(config) as late:
        late.follow(follower.account)
        hand(late, arrivals_of(records_of(follower.lost, follower.account)))
        late.start_network()
        # What the other knows beyond it: a rotate, on whose table alone a device can be added now.
        follower.lost.devices.rotate(follower.lost.devices.plan_rotation(), WORDS)
        follower.write([f"post {number}" for number in range(1_000)])
        with Node.open(follower.config(address_of(late))) as node:
            restored = node.restore(WORDS)
            assert restored.is_complete
            assert posts_of(node, follower.account) == follower.texts
            identity = node.devices.identity(follower.account)
            assert (identity.generation, restored.device.state) == (1, DeviceState.OPEN)
            node.post("back")
            await_until(lambda: "back" in posts_of(follower.node, follower.account), "the follower hears of it")


# -- the home holds the account already


@pytest.fixture
def kept(follower: Follower) -> Config:
    """A home made of a backup of the lost one."""
    follower.write(["one", "two"])
    follower.lost.backup(follower.root / "backup.tar")
    config = config_of(follower.root / "new")
    restore_backup(config, follower.root / "backup.tar")
    return config


def test_a_home_made_of_a_backup_gets_a_new_device_from_the_words_alone(follower: Follower, kept: Config) -> None:
    (old,) = follower.lost.devices.identity(follower.account).devices
    with Node.open(kept) as node:
        with pytest.raises(NoKey, match="unhush restore"):
            node.post("not yet")
        assert "no key" in node.status().problem

        restored = node.restore(WORDS, name="from a backup")

        assert not node.status().network_running
        assert (restored.account, restored.is_complete, restored.device.name) == (
            follower.account,
            True,
            "from a backup",
        )
        assert restored.device.key == node.device() != old.key
        node.post("back")
        assert node.status().problem == ""
        assert posts_of(node, follower.account) == ["one", "two", "back"]
        before = next(each for each in node.devices.identity(follower.account).devices if each.key == old.key)
        assert (before.state, before.in_force, before.fork) == (DeviceState.OPEN, old.in_force, None)
        report = node.verify(deep=True)
        assert (report.is_clean, report.forks) == (True, 0)
        assert node.restore(WORDS).device.key == restored.device.key


@pytest.mark.usefixtures("hasty")
def test_a_home_made_of_a_backup_goes_on_although_no_peer_answers(follower: Follower, kept: Config) -> None:
    follower.node.stop_network()
    with Node.open(replace(kept, peers=(follower.address,))) as node:
        assert node.restore(WORDS).is_complete
        assert node.post("back").is_own


def test_a_home_made_of_a_backup_takes_what_is_newer_before_it_adds_a_device(follower: Follower, kept: Config) -> None:
    """On the table of the backup an add would count no more."""
    follower.lost.devices.rotate(follower.lost.devices.plan_rotation(), WORDS)
    follower.write(["three"])
    with Node.open(replace(kept, peers=(follower.address,))) as node:
        restored = node.restore(WORDS)
        assert restored.device.state is DeviceState.OPEN
        assert node.devices.identity(follower.account).generation == 1
        node.post("back")
        await_until(lambda: "back" in posts_of(follower.node, follower.account), "the follower hears of it")
        assert posts_of(follower.node, follower.account) == ["one", "two", "three", "back"]
        assert (node.verify().is_clean, node.verify().forks) == (True, 0)


def test_a_home_made_of_a_backup_joins_as_a_new_device(follower: Follower, kept: Config) -> None:
    with Node.open(replace(kept, peers=(follower.address,))) as node:
        follower.lost.devices.add(node.devices.request("joined"), WORDS)
        follower.take(follower.lost)
        assert node.join(follower.account).name == "joined"
        assert node.post("back").is_own


def test_an_account_that_was_read_from_a_file_becomes_the_home_s_own(follower: Follower) -> None:
    follower.write(["one"])
    follower.lost.export_car(follower.root / "ann.car")
    with Node.open(config_of(follower.root / "new")) as node:
        node.import_car(follower.root / "ann.car")
        assert node.restore(WORDS).account == node.account() == follower.account
        node.post("back")
        assert posts_of(node, follower.account) == ["one", "back"]


def test_words_of_another_account_make_no_key_in_a_home_made_of_a_backup(kept: Config) -> None:
    with Node.open(kept) as node, pytest.raises(BadWords):
        node.restore(OTHER_WORDS)
    assert not Home(kept.home).device_key.exists()
