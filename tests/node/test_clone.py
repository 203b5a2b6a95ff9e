"""An old disk image is put back and started: the device that went on elsewhere is never contradicted (PROTOCOL §3).

Each story: Ann posts, her home is copied, she goes on; then the copy takes the
place of the home. What Ben holds of her must never fork, whatever the copy
does first.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest
from tests.support.commands import await_until
from tests.support.liar import Liar, lying
from tests.support.nodes import (
    Thief,
    await_all,
    beside,
    config_of,
    fork_of,
    introduce,
    key_of,
    pages,
    posts_of,
    publish,
    records_of,
)
from tests.support.people import spoil_signature
from tests.support.processes import child

from unhush.gossip.proto.frames import (
    Carries,
    CaughtUp,
    Entries,
    ErrorFrame,
    Frame,
    Item,
    Points,
    Want,
    WantedAccount,
)
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import Cid
from unhush.identity.entry import Entry
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.words import Words
from unhush.node import Node, found_account
from unhush.node.account.secrets import Keys
from unhush.node.config import Home
from unhush.node.errors import WritingRefused
from unhush.storage.keyfile import read_key
from unhush.storage.kinds import Post
from unhush.storage.store import Store

PASSPHRASE = "correct horse"
WORDS = Words(bytes(range(32)))
# What the copy does first.
OFFLINE, AT_ONCE, ALONE = "posts offline, then starts", "starts and posts at once", "starts and posts with nobody there"


class Story:
    """Ann's home, its older copy, and Ben, who follows her and runs all the time."""

    def __init__(self, root: Path, started: ExitStack, *, keeps_root: bool) -> None:
        self._started = started
        self.image = root / "image"
        passphrase = (lambda: PASSPHRASE) if keeps_root else None
        self.config = config_of(root / "ann", passphrase=passphrase)
        self.ann = found_account(self.config, "Ann", words=WORDS, keep_root=keeps_root).account
        found_account(config_of(root / "ben"), "Ben")
        self.ben = started.enter_context(Node.open(config_of(root / "ben")))
        self.ben.follow(self.ann)
        self.ben.start_network()
        self.sent: list[str] = []

    def go_on(self, dice: Random) -> None:
        """Ann posts and is copied; some of what is in the copy has not left yet. She goes on and Ben has it all."""
        with Node.open(self.config) as node:
            self.write(node, "before", dice.randint(1, 5))
            node.start_network()
            self.meet(node)
            self.await_sent()
        with Node.open(self.config) as node:
            self.write(node, "in the copy, sent later", dice.randint(0, 3))
        shutil.copytree(self.config.home, self.image)
        with Node.open(self.config) as node:
            node.start_network()
            self.meet(node)
            self.write(node, "after the copy", dice.choice([1, 2, 5, 120]))
            self.await_sent()
        self.put_back()

    def put_back(self) -> None:
        """The older copy takes the place of the home."""
        shutil.rmtree(self.config.home)
        self.image.rename(self.config.home)
        self.held = {record.cid for record in records_of(self.ben, self.ann)}

    def write(self, node: Node, what: str, number: int) -> None:
        texts = [f"{what} {place}" for place in range(number)]
        publish(node, texts, per_commit=50)
        self.sent += texts

    def meet(self, node: Node) -> None:
        introduce(self.ben, node)

    def await_sent(self) -> None:
        await_until(lambda: self.shown == sorted(self.sent), "Ben has everything that was written")

    @property
    def shown(self) -> list[str]:
        return sorted(posts_of(self.ben, self.ann))

    def check_no_fork(self) -> None:
        report = self.ben.verify()
        assert (report.bad, report.missing, report.forks, beside(self.ben, self.ann)) == (0, 0, 0, 0)

    def last_by(self, key: PublicKey, what: str) -> Cid:
        """The newest post of a device that begins like this, as Ben holds it."""
        texts = {shown.id: shown.text for shown in pages(lambda at: self.ben.person_posts(self.ann, 500, at))}
        log = [each for each in records_of(self.ben, self.ann) if each.entry.header.key == key and each.cid in texts]
        return next(each.cid for each in reversed(log) if texts[each.cid].startswith(what))

    def start(self, home: Path) -> Node:
        return self._started.enter_context(Node.open(config_of(home)))

    def open(self) -> Node:
        return self._started.enter_context(Node.open(self.config))


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Callable[[bool], Story]]:
    with ExitStack() as started:
        yield lambda keeps_root: Story(tmp_path, started, keeps_root=keeps_root)


def persist(node: Node, text: str) -> Cid:
    """Post, also through the moment in which the home changes its key."""
    posted: list[Cid] = []

    def is_posted() -> bool:
        try:
            posted.append(node.post(text).id)
        except WritingRefused:
            return False
        return True

    await_until(is_posted, f"{text!r} is written")
    return posted[0]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2, 3, 4))])
@pytest.mark.parametrize(
    "first", [OFFLINE, *(pytest.param(first, marks=pytest.mark.long) for first in (AT_ONCE, ALONE))]
)
def test_an_old_copy_with_the_root_key_goes_on_under_a_new_device_key_and_nothing_forks(
    first: str, seed: int, story: Callable[[bool], Story]
) -> None:
    dice = Random(f"{first} {seed}")
    told = story(True)
    told.go_on(dice)
    copy = told.open()
    old = copy.device()

    if first == OFFLINE:
        told.write(copy, "by the copy", dice.randint(1, 4))
    copy.unlock()
    copy.start_network()
    if first == ALONE:
        told.write(copy, "by the copy", dice.randint(1, 4))
        assert copy.status().local_only
    told.meet(copy)
    if first == AT_ONCE:
        for number in range(4):
            persist(copy, f"at once {number}")
            told.sent.append(f"at once {number}")
    await_until(lambda: copy.device() != old, "the copy has a new key")
    last = persist(copy, "after all")
    told.sent.append("after all")

    told.await_sent()
    told.check_no_fork()
    assert key_of(told.ben, last) == copy.device() != old
    for record in records_of(told.ben, told.ann):
        assert record.cid in told.held or record.entry.header.key != old, "the old key wrote on"
    await_until(lambda: copy.status().local_only == 0, "everything was handed on")
    assert sorted(posts_of(copy, told.ann)) == told.shown
    assert copy.verify().is_clean
    assert copy.verify().forks == 0
    assert copy.status().problem == ""


@pytest.mark.parametrize(
    "first", [OFFLINE, *(pytest.param(first, marks=pytest.mark.long) for first in (AT_ONCE, ALONE))]
)
def test_an_old_copy_without_the_root_key_says_nothing_until_the_words_renew_it(
    first: str, story: Callable[[bool], Story]
) -> None:
    dice = Random(first)
    told = story(False)
    told.go_on(dice)
    copy = told.open()
    old = copy.device()

    if first == OFFLINE:
        told.write(copy, "by the copy", 3)
    copy.start_network()
    if first == ALONE:
        told.write(copy, "by the copy", 3)
    told.meet(copy)
    if first == AT_ONCE:
        told.write(copy, "by the copy", 1)
    await_until(lambda: copy.status().problem, "the copy finds out")

    assert "unhush device renew" in copy.status().problem
    with pytest.raises(WritingRefused, match="unhush device renew"):
        copy.post("not now")
    # Somebody else's news on the same connection is what tells that time has passed there.
    copy.stop_network()
    copy.start_network()
    told.meet(copy)
    assert copy.sync_own(60)
    assert {record.cid for record in records_of(told.ben, told.ann)} == told.held

    device, written = copy.devices.renew(WORDS)

    last = copy.post("after all")
    told.sent.append("after all")
    told.await_sent()
    told.check_no_fork()
    assert key_of(told.ben, last.id) == device.key != old
    assert written == sum(text.startswith("by the copy") for text in told.sent)
    assert {record.cid for record in records_of(told.ben, told.ann)} >= told.held
    assert copy.status().problem == ""
    assert copy.verify().is_clean


@pytest.mark.parametrize("keeps_root", [True, False])
def test_an_old_copy_in_a_process_of_its_own_does_not_fork_either(
    keeps_root: bool, story: Callable[[bool], Story]
) -> None:
    told = story(keeps_root)
    told.go_on(Random(keeps_root))
    with child("tests.support.living", str(told.config.home), PASSPHRASE if keeps_root else "") as copy:
        address = copy.line().removeprefix("ready ")

        def ask(line: str) -> str:
            copy.say(line)
            return copy.line()

        old = ask("device")
        ask("post alone")
        told.ben.add_peer(address)
        if keeps_root:
            told.sent.append("alone")
            await_until(lambda: ask("device") != old, "the copy has a new key")
            await_until(lambda: not ask("post after all").startswith("refused"), "it writes again")
            told.sent.append("after all")
            told.await_sent()
            assert ask("problem") == ""
        else:
            await_until(lambda: ask("problem"), "the copy finds out")
            assert "unhush device renew" in ask("post not now")
            assert {record.cid for record in records_of(told.ben, told.ann)} == told.held
        copy.say("end")
        copy.finish()
    told.check_no_fork()


def test_what_a_peer_claims_and_forges_of_our_log_changes_nothing(story: Callable[[bool], Story]) -> None:
    told = story(True)
    with Node.open(told.config) as node:
        told.write(node, "before", 10)
    node = told.open()
    node.unlock()
    node.start_network()
    told.meet(node)
    told.await_sent()
    device = node.device()
    signer = read_key(Home(told.config.home).device_key, "device", lambda: PASSPHRASE)
    forger = Forger(node, signer)
    with ExitStack() as lies:
        claimer = lies.enter_context(lying(forger.claim, seed=1))
        above = lies.enter_context(lying(forger.forge_above, seed=2))
        beside_ours = lies.enter_context(lying(forger.forge_beside, seed=3))
        for liar in (claimer, above, beside_ours):
            node.add_peer(liar.address)
        await_until(lambda: any(isinstance(said, Points) for said in claimer.heard), "the claims were looked into")
        await_until(lambda: was_told_off(above) and was_told_off(beside_ours), "both forgers are found out")
        told.write(node, "in spite of them", 5)
        told.await_sent()

    with node._store.snapshot() as snapshot:
        assert not snapshot.clone_found()
    assert node.device() == device
    assert node.status().problem == ""
    assert (node.verify().forks, beside(node, told.ann)) == (0, 0)
    told.check_no_fork()


def was_told_off(liar: Liar) -> bool:
    return any(isinstance(said, ErrorFrame) for said in liar.heard)


class Forger:
    """Claims to hold our log far beyond its end, says it is caught up, and sends entries we never signed."""

    def __init__(self, node: Node, signer: SigningKey) -> None:
        self._account = node.account()
        self._device = signer.public
        self._log = [
            record.entry
            for record in records_of(node, self._account)
            if record.entry.header.key == signer.public and not record.entry.header.is_identity
        ]
        # The real key signs, and a bit of each signature is turned: nearer to the truth a forger cannot come.
        self._thief = Thief(self._account, signer)

    def claim(self, said: Frame | None) -> list[Frame]:
        if said is not None:
            return [CaughtUp(1)] if isinstance(said, Want) else []
        end = len(self._log) + 1_000
        lie = WantedAccount(self._account, logs={self._device: Ranges.span(0, end)}, tips={self._device: b"x" * 16})
        short = WantedAccount(
            self._account, logs={self._device: Ranges.span(0, 5)}, tips={self._device: b"x" * 16}, forks={}
        )
        return [
            Carries((self._account,)),
            Want((lie,)),
            Points(self._account, self._device, dict.fromkeys(range(len(self._log)), b"y" * 16)),
            Points(self._account, self._device, dict.fromkeys(range(0, end, 50), b"z" * 16)),
            Want((short,)),
        ]

    def forge_above(self, said: Frame | None) -> list[Frame]:
        return self._forge(said, self._log[-1])

    def forge_beside(self, said: Frame | None) -> list[Frame]:
        return self._forge(said, self._log[3])

    def _forge(self, said: Frame | None, after: Entry) -> list[Frame]:
        if said is None:
            return [Carries((self._account,))]
        if not isinstance(said, Want):
            return []
        (forged,) = self._thief.write([Post("forged")], after)
        item = Item(spoil_signature(forged.entry).block, forged.body)
        return [Entries(self._account, (), self._device, (item,)), CaughtUp(1)]


def test_posts_with_nobody_to_ask_stay_here_until_a_peer_comes(story: Callable[[bool], Story]) -> None:
    told = story(False)
    node = told.open()
    node.start_network()
    posts = [node.post(f"to nobody {number}") for number in range(3)]
    told.sent += [post.text for post in posts]
    assert all(post.is_local for post in posts)
    assert all(shown.is_local for shown in node.timeline().items)
    assert node.status().local_only == 4  # the profile is one

    told.meet(node)

    told.await_sent()
    await_until(lambda: node.status().local_only == 0, "it is noted that they left")
    assert not any(shown.is_local for shown in node.timeline().items)


def test_threads_that_post_while_the_key_changes_lose_nothing(story: Callable[[bool], Story]) -> None:
    told = story(True)
    told.go_on(Random(7))
    copy = told.open()
    copy.unlock()
    copy.start_network()
    texts = [[f"thread {thread} post {number}" for number in range(5)] for thread in range(3)]
    told.sent += [text for mine in texts for text in mine]
    threads = [threading.Thread(target=lambda mine=mine: [persist(copy, text) for text in mine]) for mine in texts]
    for thread in threads:
        thread.start()
    told.meet(copy)
    for thread in threads:
        thread.join(60)
    told.await_sent()
    told.check_no_fork()


@pytest.mark.parametrize("round_", [0, *(pytest.param(round_, marks=pytest.mark.long) for round_ in (1, 2))])
def test_a_follower_who_comes_back_shows_first_what_he_holds_of_old(
    round_: int, story: Callable[[bool], Story]
) -> None:
    told = story(True)
    told.go_on(Random(round_))
    told.ben.unfollow(told.ann)
    copy = told.open()
    copy.unlock()
    old = copy.device()
    copy.start_network()
    told.meet(copy)
    await_until(lambda: copy.status().peers_connected, "the copy is connected")
    persist(copy, "to a peer that does not carry it")
    told.sent.append("to a peer that does not carry it")
    time.sleep(0.3 * round_)  # whether what Ben says before he follows again is heard, or not

    told.ben.follow(told.ann)

    await_until(lambda: copy.device() != old, "the copy has a new key")
    told.await_sent()
    told.check_no_fork()


def test_an_old_copy_among_strangers_announces_nothing_before_a_follower_can_come(
    story: Callable[[bool], Story], tmp_path: Path
) -> None:
    told = story(True)
    told.go_on(Random(1))
    found_account(config_of(tmp_path / "stranger"), "Stranger")
    copy = told.open()
    copy.unlock()
    old = copy.device()
    with Node.open(config_of(tmp_path / "stranger")) as stranger:
        stranger.start_network()
        introduce(stranger, told.ben)
        await_until(lambda: stranger.status().peers_connected, "the stranger knows Ben")
        copy.start_network()
        introduce(copy, stranger)
        await_until(lambda: stranger.status().peers_connected == 2, "the stranger knows the copy")
        told.write(copy, "by way of the stranger", 3)
        time.sleep(2.0)  # longer than the mesh needs
        assert copy.status().local_only
        assert {record.cid for record in records_of(told.ben, told.ann)} == told.held

        told.meet(copy)

        await_until(lambda: copy.device() != old, "the copy has a new key")
        told.await_sent()
    told.check_no_fork()


def test_a_running_node_goes_on_when_another_process_renews_its_home(story: Callable[[bool], Story]) -> None:
    told = story(False)
    told.go_on(Random(3))
    with child("tests.support.living", str(told.config.home), "") as running:
        told.ben.add_peer(running.line().removeprefix("ready "))

        def ask(line: str) -> str:
            running.say(line)
            return running.line()

        ask("post before it finds out")
        await_until(lambda: ask("problem"), "the copy finds out")
        with Node.open(told.config) as command:
            device, _ = command.devices.renew(WORDS)

        assert not ask("post after all").startswith("refused")
        assert ask("device") == str(device.key)
        told.sent += ["before it finds out", "after all"]
        told.await_sent()
        running.say("end")
        running.finish()
    told.check_no_fork()


@pytest.mark.parametrize("place", [pytest.param("renew_device", marks=pytest.mark.long), "use_next_device"])
def test_a_renewal_that_a_crash_cut_short_is_finished_and_makes_one_key(
    place: str, story: Callable[[bool], Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = story(False)
    told.go_on(Random(4))
    with Node.open(told.config) as copy:
        copy.start_network()
        told.meet(copy)
        await_until(lambda: copy.status().problem, "the copy finds out")
        with monkeypatch.context() as crash:
            crash.setattr({"renew_device": Store, "use_next_device": Keys}[place], place, die)
            with pytest.raises(Crash):
                copy.devices.renew(WORDS)
    with Node.open(told.config) as again:
        again.start_network()
        told.meet(again)
        if place == "renew_device":
            assert again.sync_own(60)
            again.devices.renew(WORDS)
        posted = again.post("after all")
        told.sent.append("after all")
        told.await_sent()
        assert key_of(again, posted.id) == again.device()
        assert len(again.devices.identity(told.ann).devices) == 2
        assert again.status().problem == ""
        assert not Home(told.config.home).next_device_key.exists()
    told.check_no_fork()


class Crash(Exception):
    """As if the power had gone."""


def die(*_: object) -> NoReturn:
    raise Crash


def test_a_fork_that_happened_all_the_same_stops_the_device_and_a_cut_cures_it(
    story: Callable[[bool], Story], tmp_path: Path
) -> None:
    told = story(False)
    told.go_on(Random(5))
    # Cleo knows only what the copy knows: what she shows does not tell that Ann went on.
    found_account(config_of(tmp_path / "cleo"), "Cleo")
    cleo = told.start(tmp_path / "cleo")
    copy = told.open()
    cleo.follow(told.ann)
    cleo.start_network()
    copy.start_network()
    introduce(copy, cleo)
    old = copy.device()
    told.write(copy, "by the copy", 2)
    await_until(lambda: "by the copy 1" in posts_of(cleo, told.ann), "Cleo takes it")

    introduce(copy, told.ben)
    introduce(cleo, told.ben)

    await_until(lambda: copy.status().problem, "the copy finds out")
    with pytest.raises(WritingRefused, match="unhush device renew"):
        copy.post("not now")
    marked = await_all(
        [copy, told.ben, cleo], lambda node: fork_of(node, told.ann, old) is not None, "all mark the fork"
    )
    assert marked < 60
    assert len({fork_of(node, told.ann, old) for node in (copy, told.ben, cleo)}) == 1

    # The owner keeps what she wrote on the device that went on.
    last = told.last_by(old, "after the copy")
    copy.devices.renew(WORDS)
    copy.devices.revoke(copy.devices.plan_cut(str(old), last), WORDS)
    copy.post("after all")
    kept = sorted([*(text for text in told.sent if not text.startswith("by the copy")), "after all"])
    await_all([copy, told.ben, cleo], lambda node: sorted(posts_of(node, told.ann)) == kept, "all show the same branch")
    assert {fork_of(node, told.ann, old) for node in (copy, told.ben, cleo)} == {None}


def test_an_old_copy_that_does_not_know_its_passphrase_yet_renews_once_it_does(story: Callable[[bool], Story]) -> None:
    told = story(True)
    told.go_on(Random(6))
    copy = told.open()
    old = copy.device()
    copy.start_network()
    told.meet(copy)
    await_until(lambda: copy.status().problem, "the copy finds out")
    assert copy.device() == old

    persist(copy, "after all")

    told.sent.append("after all")
    told.await_sent()
    assert copy.device() != old
    told.check_no_fork()


def test_what_others_hold_of_an_old_copy_is_not_signed_again(story: Callable[[bool], Story]) -> None:
    """The proof is the newest entry, and comes first; only the oldest tells that the rest is held elsewhere."""
    told = story(True)
    with Node.open(told.config) as node:
        told.write(node, "in the copy, sent later", 3)
    shutil.copytree(told.config.home, told.image)
    with Node.open(told.config) as node:
        told.write(node, "after the copy", 1_000)
        node.start_network()
        told.meet(node)
        told.await_sent()
    told.put_back()
    copy = told.open()
    old = copy.device()
    told.write(copy, "by the copy", 2)
    copy.start_network()
    told.meet(copy)
    await_until(lambda: copy.device() != old, "the copy has a new key")
    told.await_sent()
    assert len(told.shown) == len(set(told.shown))
    told.check_no_fork()
