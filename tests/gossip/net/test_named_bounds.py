"""Bounds that nothing else runs into, each met once: what is remembered, waited for, begun anew and counted."""

from dataclasses import fields
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from unhush.gossip.net import host as host_module
from unhush.gossip.net.meet import lan as lan_module
from unhush.gossip.net.meet.meeting import Meeting, MeetingConfig
from unhush.gossip.net.sessions import MAX_OPENED, MAX_OPENERS, OPENED_S, Sessions
from unhush.gossip.net.sync.session import Reports, SyncSession
from unhush.gossip.proto import untold
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import Closed, Forked
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import cid_of
from unhush.identity.keys import PublicKey

TOPIC = "/unhush/1/test/0"


class Anything:
    """Stands for what is never asked."""

    peer_id = "a peer"


def test_a_peer_opens_thirty_sessions_a_minute_and_a_thousand_peers_are_remembered() -> None:
    async def scene() -> None:
        nothing: Any = Anything()
        sessions = Sessions(nothing, nothing, nothing, reports=nothing, hooks=nothing)
        assert sum(sessions._may_open("greedy") for _ in range(100)) == MAX_OPENED
        for number in range(3 * MAX_OPENERS):
            assert sessions._may_open(f"peer {number}")
            assert number % 100 or not sessions._may_open("greedy")  # who keeps asking is not forgotten
        assert len(sessions._opened) == MAX_OPENERS
        await trio.sleep(OPENED_S)
        assert sessions._may_open("greedy")

    trio.run(scene, clock=MockClock(autojump_threshold=0))


def test_a_session_that_cannot_keep_up_begins_anew_once_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untold, "MAX_UNTOLD", 100)
    met: list[Met] = []

    def nobody(*_: object) -> None:
        """Is not told."""

    async def scene() -> None:
        reports = Reports(**{each.name: nobody for each in fields(Reports)} | {"met": met.append})
        nothing: Any = Anything()
        session = SyncSession(nothing, nothing, nothing, config=SessionConfig("test", "test"), reports=reports)
        for number in range(100):
            session.tell(forked(number))
        assert met == []
        for number in range(100, 300):
            session.tell(forked(number))
        assert met == [Met.SESSION_BEHIND]
        # It ends, and of all that waited nothing is kept.
        assert isinstance(session._untold.take(), Closed)
        assert session._untold.take() is None

    trio.run(scene)


def forked(number: int) -> Forked:
    return Forked(cid_of(b"Ann"), PublicKey(cid_of(b"%d" % number).digest), 0)


def test_own_announcements_wait_two_seconds_for_a_crowded_neighbour_and_then_go(
    run: Any, our_host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with our_host(topics=frozenset({TOPIC})) as host:
            sent: list[float] = []

            async def publish(_topic: str, _data: bytes) -> None:
                sent.append(trio.current_time())

            monkeypatch.setattr(host._pubsub, "publish", publish)
            monkeypatch.setattr(host._router, "is_crowded", lambda _: True)
            began = trio.current_time()
            await host.publish(TOPIC, b"x")
            assert len(sent) == 1
            assert sent[0] - began >= host_module.PUBLISH_PATIENCE_S == 2.0
            monkeypatch.setattr(host._router, "is_crowded", lambda _: False)
            began = trio.current_time()
            await host.publish(TOPIC, b"x")
            assert sent[1] - began < host_module.PUBLISH_PATIENCE_S

    run(scene)


def test_what_is_passed_over_on_the_local_network_is_counted(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lan:
        """Hears of more than there is room for."""

        def __init__(self, *, ignored: Any, **_: object) -> None:
            self.ignored = ignored

        async def run(self) -> None:
            for _ in range(3):
                self.ignored()

    monkeypatch.setattr(lan_module, "Lan", Lan)

    async def scene() -> None:
        async with our_host() as host, trio.open_nursery() as nursery:
            config = MeetingConfig(lan=True)
            nursery.start_soon(Meeting(host, config, network="test", seed=bytes(32), enter=lambda *_: None).run)
            await until(lambda: host.tally.read()[Met.NEIGHBOUR_IGNORED] == 3)
            nursery.cancel_scope.cancel()

    run(scene)
