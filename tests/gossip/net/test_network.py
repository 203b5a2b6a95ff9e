"""Whole networks on loopback, each with a real store: what the machines decide, the driver carries out."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from tests.support.people import NETWORK, Clock, Home, Person, arrivals_of, ingest, open_home

from unhush.gossip.errors import StreamBroken, StreamRefused
from unhush.gossip.net import sessions
from unhush.gossip.net.host import HostConfig, open_host
from unhush.gossip.net.network import Network, NetworkConfig
from unhush.gossip.net.sessions import MAX_OPENED, SYNC
from unhush.gossip.net.status import SyncState
from unhush.gossip.net.sync import session
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import Concerning, Hello, Operation
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid
from unhush.storage.arrivals import Arrival, Batch, Outcome
from unhush.storage.contacts import Contact
from unhush.storage.kinds import Follow
from unhush.storage.store import Store


class Running:
    """A home and its network; what comes is stored on the network's own thread."""

    def __init__(self, folder: Path, person: Person, started: ExitStack) -> None:
        self.person = person
        clock = Clock()
        self.store: Store = started.enter_context(open_home(folder, clock))
        self.home = Home(self.store, person, clock)
        self._started = started

    def submit(self, batch: Batch, *, is_live: bool, done: Callable[[tuple[Outcome, ...]], None]) -> bool:
        done(self.store.ingest(batch))
        return True

    def start(self, *peers: "Running") -> "Running":
        for peer in peers:
            self.store.put_contact(Contact(peer.network.status().listen[0], is_configured=True))
        seed = self.person.random_bytes(32)
        self.network = Network(
            self.store, self.submit, NetworkConfig(NETWORK, seed, ("/ip4/127.0.0.1/tcp/0",), self.person.name)
        )
        self.network.start()
        self._started.callback(self.network.stop)
        return self

    def follow(self, who: Person) -> None:
        self.home.publish(Follow(who.account))

    def holds(self, cid: Cid) -> bool:
        with self.store.snapshot() as snapshot:
            return snapshot.find_aid(cid) is not None


@pytest.fixture
def make(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[str], Running]]:
    caplog.set_level(logging.CRITICAL, "libp2p")
    with ExitStack() as started:
        yield lambda name: Running(tmp_path / name, Person(name, seed=len(name) * 1_000 + ord(name[0])), started)


def until(is_so: Callable[[], bool], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def test_what_a_device_writes_reaches_a_follower_and_how_far_it_went_is_kept(make: Callable[[str], Running]) -> None:
    ann, ben = make("Ann"), make("Ben")
    post = ann.home.post("hello")
    ben.follow(ann.person)
    ann.start()
    ben.start(ann)
    until(lambda: ben.holds(post.cid))
    later = [ann.home.post(f"more {number}") for number in range(5)]
    until(lambda: ben.holds(later[-1].cid))
    ann.network.stop()
    with ann.store.snapshot() as snapshot:
        assert not snapshot.clone_found()
        assert snapshot.handed_on() == ((0, later[-1].entry.header.seq),)


def test_an_older_copy_of_a_home_finds_out_and_hands_nothing_on(make: Callable[[str], Running]) -> None:
    ann, ben = make("Ann"), make("Ben")
    ben.follow(ann.person)
    ingest(ben.store, ann.person.incept)
    # The home went on after the copy was made: to Ben the copy's first post is a fork of what he holds.
    first = ann.home.first
    ann.person.device.head = first.entry
    went_on = ann.person.posts(3)
    ingest(ben.store, Arrival(first.block, first.body), *arrivals_of(went_on))
    mine = ann.home.post("written in the copy")
    ann.start()
    ben.start(ann)

    def is_found() -> bool:
        with ann.store.snapshot() as snapshot:
            return snapshot.clone_found()

    until(is_found)
    time.sleep(1)
    assert not ben.holds(mine.cid)
    with ben.store.snapshot() as snapshot:
        assert snapshot.fork_point(ann.person.account, ann.person.key) is None
    with ann.store.snapshot() as snapshot:
        assert snapshot.handed_on() == ()


def test_an_account_is_found_by_its_root_key_also_by_peers_yet_to_come(make: Callable[[str], Running]) -> None:
    ann, ben = make("Ann"), make("Ben")
    found: list[tuple[tuple[Operation, ...], str]] = []
    root = ann.person.words.root(0).public
    ann.start()
    ben.start()
    ben.network.find(root, lambda ops, peer: found.append((ops, peer)))
    ben.store.put_contact(Contact(ann.network.status().listen[0], is_configured=True))
    until(lambda: bool(found))
    incept = ann.person.incept
    assert found == [((Operation(incept.entry, incept.body or b""),), ann.network.status().peer_id)]

    unknown = Person("Nobody", seed=99).words.root(0).public
    ben.network.find(unknown, lambda ops, peer: found.append((ops, peer)))
    until(lambda: len(found) == 2)
    assert found[1][0] == ()
    ben.network.stop_finding(root)
    ben.network.stop_finding(unknown)


def test_two_homes_with_different_branches_of_a_log_both_come_to_hold_the_proof(make: Callable[[str], Running]) -> None:
    ann, ben = make("Ann"), make("Ben")
    cleo = Person("Cleo", seed=3)
    shared = cleo.posts(40)
    first = cleo.posts(10)
    cleo.fork(shared[-1])
    second = cleo.posts(7, "other")
    for home, branch in ((ann, first), (ben, second)):
        home.follow(cleo)
        ingest(home.store, cleo.incept, *arrivals_of(shared), *arrivals_of(branch))
    ann.start()
    ben.start(ann)

    def fork_of(home: Running) -> int | None:
        with home.store.snapshot() as snapshot:
            return snapshot.fork_point(cleo.account, cleo.key)

    until(lambda: fork_of(ann) == fork_of(ben) == 40)
    assert ann.holds(second[0].cid)
    assert ben.holds(first[0].cid)


def test_an_operation_stored_here_is_pushed_at_once(make: Callable[[str], Running]) -> None:
    ann, ben = make("Ann"), make("Ben")
    post = ann.home.post("hello")
    ben.follow(ann.person)
    ann.start()
    ben.start(ann)
    until(lambda: ben.holds(post.cid))
    _, added = ann.person.add_device()
    (outcome,) = ingest(ann.store, added)
    assert outcome.cid is not None
    cid = outcome.cid
    until(lambda: ben.holds(cid), 5)


def test_what_is_written_alone_waits_to_be_announced_until_somebody_has_answered(
    make: Callable[[str], Running],
) -> None:
    ann, ben = make("Ann"), make("Ben")
    ann.start()
    ann.home.post("to nobody")
    live = ann.network._live
    assert live is not None
    until(lambda: len(live.announcer._unannounced) == 1)
    time.sleep(0.5)
    assert len(live.announcer._unannounced) == 1
    ben.start(ann)
    until(lambda: not live.announcer._unannounced)


def test_what_fails_on_the_network_s_thread_ends_neither_it_nor_trio(make: Callable[[str], Running]) -> None:
    ann = make("ann").start()
    failed = threading.Event()

    def fail(_: object) -> None:
        failed.set()
        raise KeyError("unforeseen")

    ann.network._soon(fail)
    assert failed.wait(10)
    done = threading.Event()
    ann.network._soon(lambda _: done.set())
    assert done.wait(10)
    assert ann.network.status().limits_met.get(Met.NETWORK_RESTARTED, 0) == 0


def test_a_question_to_a_session_that_is_over_is_answered_at_once(make: Callable[[str], Running]) -> None:
    ann, ben = make("ann"), make("ben")
    ann.follow(ben.person)
    ben.start()
    ann.start(ben)
    until(lambda: ann.network.status().figures.sessions == 1)
    live = ann.network._live
    assert live is not None
    (session,) = live.sessions.open.values()
    ben.network.stop()
    until(lambda: session._is_over)
    answers: list[bool] = []
    ann.network._soon(lambda _: session.ask(Concerning(0, ben.person.account), answers.append))
    until(lambda: answers == [False])


def test_a_peer_that_opens_one_session_after_the_other_is_left_waiting(
    make: Callable[[str], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "OPENED_S", 3_600.0)  # or a crowded machine is so slow that more are due
    live = make("ann").start().network._live
    assert live is not None
    host, answers = live._host, list[bool]()

    async def knock() -> None:
        seed = b"k" * 32
        async with open_host(HostConfig(seed, (), "knocker")) as knocker:
            await knocker.dial(host.addresses()[0])
            for _ in range(MAX_OPENED + 5):
                try:
                    stream = await knocker.open_stream(host.peer_id, SYNC)
                    answers.append(bool(await stream.read()))
                    await stream.reset()
                except (StreamBroken, StreamRefused):
                    answers.append(False)

    trio.run(knock)
    assert answers == [True] * MAX_OPENED + [False] * 5
    assert host.tally.read()[Met.STREAM_REFUSED] == 5


def test_a_peer_that_greets_and_says_no_more_is_silent_and_is_not_waited_for(
    make: Callable[[str], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SILENT_S", 0.5)
    network = make("ann").start().network
    live = network._live
    assert live is not None

    def state() -> SyncState:
        return network.status().sync

    async def greet() -> None:
        async with open_host(HostConfig(b"g" * 32, (), "greeter")) as greeter:
            await greeter.dial(live._host.addresses()[0])
            stream = await greeter.open_stream(live._host.peer_id, SYNC)
            await stream.write(frame(encode_frame(Hello(NETWORK, "greeter"))))
            with trio.fail_after(20):
                while state().sessions == 0 or state().waiting:  # noqa: ASYNC110  # of another thread
                    await trio.sleep(0.05)
            assert (state().sessions, state().silent) == (1, (greeter.peer_id,))
            monkeypatch.setattr(session, "SILENT_S", 3_600.0)
            assert (state().waiting, state().silent) == (1, ())

    trio.run(greet)


def test_what_a_neighbour_is_worth_is_what_it_shares_and_gave(make: Callable[[str], Running]) -> None:
    """Who gives way when all places are taken: who only shakes hands first, whom the person chose last."""
    ann, ben, cleo = make("Ann"), make("Ben"), make("Cleo")
    ann.home.post("hello")
    ann.start()
    ben.follow(ann.person)
    ben.start(ann)
    cleo.start(ann)
    live = ann.network._live
    assert live is not None
    ids = [each.network.status().peer_id for each in (ben, cleo)]
    # Ben carries what Ann carries, Cleo has a session and nothing in common.
    until(lambda: [live._worth_of(peer_id) for peer_id in ids] == [2, 1])
    assert live._worth_of("12D3KooWNobody") == 0
    there = ben.network._live
    assert there is not None
    assert there._worth_of(ann.network.status().peer_id) == 4  # chosen
    ann.follow(cleo.person)
    cleo.home.post("something new")
    until(lambda: live._worth_of(ids[1]) == 3)
