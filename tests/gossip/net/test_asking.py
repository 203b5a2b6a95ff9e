"""Whom the network asks for what is not here, and how often."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import trio
import trio.testing
from tests.support.people import Clock, Person, ingest, open_home

from unhush.gossip.net.sync.asking import (
    AGAIN_S,
    GATHER_S,
    MAX_GATHERED,
    MAX_LACKING_ACCOUNTS,
    MOST_PEERS,
    Asker,
)
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Answered, Send
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import Ask, InterestsChanged, Opened, Received, Tick, Written
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import Hello, Need, Question, ThreadFrame
from unhush.gossip.proto.rounds import AT_ONCE, PATIENCE_S
from unhush.gossip.proto.session import Session
from unhush.gossip.proto.tally import Met, Tally
from unhush.identity.cid import Cid, cid_of
from unhush.storage.store import Store

ANN, ROOT, OTHER = (cid_of(name) for name in (b"ann", b"root", b"other"))


class Peer:
    """A session that remembers what it was asked and answers when told."""

    def __init__(self, *carries: Cid) -> None:
        self.peer_carries = frozenset(carries)
        self.asked: list[Question] = []
        self.waiting: list[Callable[[bool], None]] = []

    def ask(self, question: Question, done: Callable[[bool], None]) -> None:
        self.asked.append(question)
        self.waiting.append(done)

    def answer(self) -> None:
        while self.waiting:
            self.waiting.pop()(True)


def play(folder: Path, peers: Mapping[str, Peer], scene: Callable[[Asker, Store, list[str]], object]) -> None:
    async def run() -> None:
        with open_home(folder, Clock()) as store:
            done: list[str] = []
            scene(Asker(store, peers, seed=b"seed"), store, done)  # type: ignore[arg-type]  # peers are fakes

    trio.run(run, clock=trio.testing.MockClock())


def asked(peers: Mapping[str, Peer]) -> list[str]:
    return [name for name, peer in peers.items() if peer.asked]


def test_carriers_are_asked_first_and_a_few_at_once(tmp_path: Path) -> None:
    peers = {f"{number}": Peer(*([ANN] if number in (7, 8) else [])) for number in range(10)}

    def scene(asker: Asker, _: Store, done: list[str]) -> None:
        asker.ask(ThreadFrame(0, ROOT, ANN), [ANN], lambda: done.append("done"), is_urgent=False)
        assert {"7", "8"} < set(asked(peers))
        assert len(asked(peers)) == AT_ONCE
        next(peers[name] for name in asked(peers) if name not in {"7", "8"}).answer()
        peers["7"].answer()
        assert done == []
        peers["8"].answer()
        assert done == ["done"]
        assert len(asked(peers)) == AT_ONCE, "each may hold other answers, and three are enough"

    play(tmp_path, peers, scene)


def test_what_some_peers_lack_others_are_asked_for(tmp_path: Path) -> None:
    peers = {f"{number:02}": Peer() for number in range(20)}
    cleo = Person("Cleo", seed=3)
    here, missing = cleo.post("here"), cleo.post("missing")

    def scene(asker: Asker, store: Store, done: list[str]) -> None:
        asker.ask(Need(0, cleo.account, (here.cid, missing.cid)), [], lambda: done.append("done"), is_urgent=False)
        ingest(store, cleo.incept, here.arrival)
        for expected in (AT_ONCE, 2 * AT_ONCE, MOST_PEERS):
            assert len(asked(peers)) == expected
            for peer in [peer for peer in peers.values() if peer.waiting]:
                peer.answer()
        assert done == ["done"]
        assert {question.ids for peer in peers.values() for question in peer.asked if isinstance(question, Need)} == {
            (here.cid, missing.cid),
            (missing.cid,),
        }
        assert len(asked(peers)) == MOST_PEERS

    play(tmp_path, peers, scene)


def test_the_same_is_asked_once_a_minute_unless_it_is_urgent(tmp_path: Path) -> None:
    peers = {"a": Peer(ANN)}

    def scene(asker: Asker, _: Store, done: list[str]) -> None:
        def ask(question: Question, *, is_urgent: bool = False) -> int:
            before = len(peers["a"].asked)
            asker.ask(question, [ANN], lambda: done.append("done"), is_urgent=is_urgent)
            peers["a"].answer()
            return len(peers["a"].asked) - before

        assert ask(ThreadFrame(0, ROOT, ANN)) == 1
        assert ask(ThreadFrame(0, ROOT, ANN)) == 0
        assert ask(ThreadFrame(0, ROOT, ANN), is_urgent=True) == 1
        assert ask(Need(0, ANN, (OTHER,))) == 1
        assert ask(Need(0, ANN, (OTHER,))) == 0
        assert ask(Need(0, ANN, (OTHER, ROOT))) == 1, "a root is another thing than its conversation"
        last = peers["a"].asked[-1]
        assert isinstance(last, Need)
        assert last.ids == (ROOT,)
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(AGAIN_S)
        assert ask(ThreadFrame(0, ROOT, ANN)) == 1
        assert len(done) == 7

    play(tmp_path, peers, scene)


def test_with_nobody_to_ask_the_answer_is_there_at_once_and_the_next_who_comes_is_asked(tmp_path: Path) -> None:
    peers: dict[str, Peer] = {}

    def scene(asker: Asker, _: Store, done: list[str]) -> None:
        asker.ask(ThreadFrame(0, ROOT, ANN), [ANN], lambda: done.append("done"), is_urgent=False)
        assert done == ["done"]
        peers["a"] = Peer()
        asker.ask(ThreadFrame(0, ROOT, ANN), [ANN], lambda: done.append("done"), is_urgent=False)
        assert peers["a"].asked == [ThreadFrame(0, ROOT, ANN)]

    play(tmp_path, peers, scene)


def test_bodies_that_are_lacking_are_gathered_and_asked_for_together(tmp_path: Path) -> None:
    peers, tally = {"a": Peer(ANN)}, Tally()

    async def run() -> None:
        with open_home(tmp_path, Clock()) as store:
            asker = Asker(store, peers, seed=b"seed", count=tally.count)  # type: ignore[arg-type]  # peers are fakes
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asker.run)
                for number in range(100):
                    asker.lacks(ANN, cid_of(f"{number}".encode()))
                for number in range(2 * MAX_LACKING_ACCOUNTS):
                    asker.lacks(cid_of(f"account {number}".encode()), ROOT)
                await trio.sleep(2 * GATHER_S)
                nursery.cancel_scope.cancel()
        of_ann, *rest = (question for question in peers["a"].asked if isinstance(question, Need))
        assert len(of_ann.ids) == limits.MAX_NEED_IDS
        assert of_ann.ids[-1] == cid_of(b"99"), "the newest of many"
        assert len(rest) == 1, "what another account is said to have written is one record all the same"
        too_many = 100 - limits.MAX_NEED_IDS, 1 + MAX_LACKING_ACCOUNTS
        assert tally.read()[Met.BODY_NOT_ASKED] == sum(too_many)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_records_without_bodies_without_end_leave_places_for_what_somebody_looks_at(tmp_path: Path) -> None:
    peers, tally = {"a": Peer(ANN)}, Tally()

    async def run() -> None:
        with open_home(tmp_path, Clock()) as store:
            asker = Asker(store, peers, seed=b"seed", count=tally.count)  # type: ignore[arg-type]  # peers are fakes
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asker.run)
                for number in range(100):
                    asker.lacks(ANN, cid_of(f"{number}".encode()))
                    await trio.sleep(2 * GATHER_S)
                assert len(peers["a"].asked) == MAX_GATHERED < limits.MAX_WAITING_QUESTIONS
                assert tally.read()[Met.BODY_NOT_ASKED] == 100 - MAX_GATHERED
                peers["a"].answer()
                asker.lacks(ANN, cid_of(b"one more"))
                await trio.sleep(2 * GATHER_S)
                assert len(peers["a"].asked) == MAX_GATHERED + 1
                nursery.cancel_scope.cancel()

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0.01))


class SilentPeer(Peer):
    """A session with somebody who claims to carry an account and answers nothing."""

    def __init__(self, *carries: Cid) -> None:
        super().__init__(*carries)
        self._done: dict[int, Callable[[bool], None]] = {}
        self._machine = Session(SessionConfig("test", "test"))
        self._feed(Opened())
        self._feed(InterestsChanged(self.peer_carries, self.peer_carries))
        self._feed(Received(encode_frame(Hello("test", "silent"))))

    def _feed(self, event: Opened | InterestsChanged | Received | Tick | Ask) -> None:
        for action in self._machine.receive(event, trio.current_time()):
            match action:
                case Send(payload):
                    self._machine.receive(Written(len(payload)), trio.current_time())
                case Answered(tag, is_complete):
                    self._done.pop(tag)(is_complete)

    def ask(self, question: Question, done: Callable[[bool], None]) -> None:
        self.asked.append(question)
        tag = len(self.asked)
        self._done[tag] = done
        self._feed(Ask(tag, question))

    async def tick(self) -> None:
        while True:
            await trio.sleep(1)
            self._feed(Tick())


class QuickPeer(Peer):
    """It answers at once, whatever it has."""

    def ask(self, question: Question, done: Callable[[bool], None]) -> None:
        super().ask(question, done)
        self.answer()


def beside_silent_peers(folder: Path, scene: Callable[[Asker, QuickPeer, list[SilentPeer]], Awaitable[None]]) -> None:
    """Three silent peers claim to carry an account, with the lowest ids, and so does an honest one."""

    async def run() -> None:
        silent = [SilentPeer(ANN) for _ in range(3)]
        honest = QuickPeer(ANN)
        peers = {f"a{number}": peer for number, peer in enumerate(silent)} | {"z": honest}
        with open_home(folder, Clock()) as store:
            asker = Asker(store, peers, seed=b"seed")  # type: ignore[arg-type]  # peers are fakes
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asker.run)
                for peer in silent:
                    nursery.start_soon(peer.tick)
                await scene(asker, honest, silent)
                nursery.cancel_scope.cancel()

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def test_silent_peers_keep_nobody_from_being_asked_however_long_it_goes_on(tmp_path: Path) -> None:
    async def scene(asker: Asker, honest: QuickPeer, silent: list[SilentPeer]) -> None:
        for number in range(30):
            asker.lacks(ANN, cid_of(f"{number}".encode()))
            await trio.sleep(60)
            assert len(honest.asked) == number + 1
        assert asker._gathered == 0

    beside_silent_peers(tmp_path, scene)


def test_who_looks_at_something_waits_some_seconds_for_silent_peers_once(tmp_path: Path) -> None:
    async def scene(asker: Asker, honest: QuickPeer, silent: list[SilentPeer]) -> None:
        done: list[float] = []
        for number in range(4):
            began_at = trio.current_time()
            asker.ask(
                ThreadFrame(0, cid_of(f"root {number}".encode()), ANN),
                [ANN],
                lambda began_at=began_at: done.append(trio.current_time() - began_at),
                is_urgent=True,
            )
            await trio.sleep(3 * PATIENCE_S)
            assert len(honest.asked) == number + 1
        assert len(done) == 4
        assert max(done) <= PATIENCE_S + 2

    beside_silent_peers(tmp_path, scene)


def test_who_was_silent_is_asked_last_and_no_more_so_once_it_answers(tmp_path: Path) -> None:
    slow, others = Peer(ANN), {f"{number}": QuickPeer() for number in range(AT_ONCE)}
    peers = {"slow": slow, **others}

    async def run() -> None:
        with open_home(tmp_path, Clock()) as store:
            asker = Asker(store, peers, seed=b"seed")  # type: ignore[arg-type]  # peers are fakes
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asker.run)
                for expected in (1, 1, 2):
                    asker.ask(ThreadFrame(0, ROOT, ANN), [ANN], lambda: None, is_urgent=True)
                    await trio.sleep(2 * PATIENCE_S)
                    assert len(slow.asked) == expected, "it carries the account, and so is asked first"
                    if all(len(peer.asked) >= 2 for peer in others.values()):
                        slow.answer()
                nursery.cancel_scope.cancel()

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def test_among_equals_chance_chooses_and_not_their_ids(tmp_path: Path) -> None:
    peers = {f"{number:02}": QuickPeer() for number in range(12)}

    def scene(asker: Asker, _: Store, done: list[str]) -> None:
        for number in range(60):
            asker.ask(
                ThreadFrame(0, cid_of(f"{number}".encode()), ANN), [ANN], lambda: done.append("done"), is_urgent=False
            )
        assert len(done) == 60
        assert len(asked(peers)) == 12

    play(tmp_path, peers, scene)
