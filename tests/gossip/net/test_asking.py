"""Whom the network asks for what is not here, and how often."""

from collections.abc import Callable
from pathlib import Path

import trio
import trio.testing
from tests.support.people import Clock, Person, ingest, open_home

from unhush.gossip.net.sync.asking import (
    AGAIN_S,
    AT_ONCE,
    GATHER_S,
    MAX_GATHERED,
    MAX_LACKING_ACCOUNTS,
    MOST_PEERS,
    Asker,
)
from unhush.gossip.proto import limits
from unhush.gossip.proto.frames import Need, Question, ThreadFrame
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


def play(folder: Path, peers: dict[str, Peer], scene: Callable[[Asker, Store, list[str]], object]) -> None:
    async def run() -> None:
        with open_home(folder, Clock()) as store:
            done: list[str] = []
            scene(Asker(store, peers), store, done)  # type: ignore[arg-type]  # peers are fakes

    trio.run(run, clock=trio.testing.MockClock())


def asked(peers: dict[str, Peer]) -> list[str]:
    return [name for name, peer in peers.items() if peer.asked]


def test_carriers_are_asked_first_and_a_few_at_once(tmp_path: Path) -> None:
    peers = {f"{number}": Peer(*([ANN] if number in (7, 8) else [])) for number in range(10)}

    def scene(asker: Asker, _: Store, done: list[str]) -> None:
        asker.ask(ThreadFrame(0, ROOT, ANN), [ANN], lambda: done.append("done"), is_urgent=False)
        assert asked(peers) == ["0", "7", "8"]
        assert len(asked(peers)) == AT_ONCE
        peers["0"].answer()
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
        assert [question.ids for question in peers["04"].asked if isinstance(question, Need)] == [(missing.cid,)]
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
    peers = {"a": Peer(ANN)}

    async def run() -> None:
        with open_home(tmp_path, Clock()) as store:
            asker = Asker(store, peers)  # type: ignore[arg-type]  # peers are fakes
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

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_records_without_bodies_without_end_leave_places_for_what_somebody_looks_at(tmp_path: Path) -> None:
    peers = {"a": Peer(ANN)}

    async def run() -> None:
        with open_home(tmp_path, Clock()) as store:
            asker = Asker(store, peers)  # type: ignore[arg-type]  # peers are fakes
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asker.run)
                for number in range(100):
                    asker.lacks(ANN, cid_of(f"{number}".encode()))
                    await trio.sleep(2 * GATHER_S)
                assert len(peers["a"].asked) == MAX_GATHERED < limits.MAX_WAITING_QUESTIONS
                peers["a"].answer()
                asker.lacks(ANN, cid_of(b"one more"))
                await trio.sleep(2 * GATHER_S)
                assert len(peers["a"].asked) == MAX_GATHERED + 1
                nursery.cancel_scope.cancel()

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0.01))
