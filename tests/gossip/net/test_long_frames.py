"""Frames of very many items: parsed beside the loop, so that nobody else waits for it, and judged like any other."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
from tests.support.people import Clock, open_home

from unhush.gossip.net.sync import session as session_module
from unhush.gossip.net.sync.session import Reports, SyncSession
from unhush.gossip.proto import limits
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import InterestsChanged
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frame_parsing import is_long, parse_counted, parse_frame
from unhush.gossip.proto.frames import CaughtUp, Entries, Frame, Hello, Item, Want, WantedAccount
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import cid_of
from unhush.identity.codec import encode
from unhush.identity.keys import PublicKey

IN_PIECES = Ranges.of([(10 * piece, 10 * piece + 3) for piece in range(limits.MAX_RANGES)])
HELLO = encode_frame(Hello("test", "far"))


def want(accounts: int) -> Want:
    return Want(
        tuple(
            WantedAccount(cid_of(b"%d" % each), (), {PublicKey(cid_of(b"key %d" % each).digest): IN_PIECES}, 0, True)
            for each in range(accounts)
        )
    )


class Far:
    """A stream from a peer that says what it has to say and waits."""

    peer_id = "far"

    def __init__(self, *payloads: bytes) -> None:
        self._chunks = list(map(frame, payloads))
        self._deframer = Deframer()
        self.heard: list[Frame | None] = []

    async def read(self) -> bytes:
        if not self._chunks:
            await trio.sleep_forever()
        return self._chunks.pop(0)

    async def write(self, data: bytes) -> None:
        self.heard += map(parse_frame, self._deframer.feed(data))

    async def close(self) -> None:
        """Nothing follows."""


def meet(far: Far, tmp_path: Any, is_enough: Callable[[], object]) -> str | None:
    """A session with somebody, until something came of it; the fault it ended with, if it did."""
    fault: str | None = None

    async def scene() -> None:
        nonlocal fault
        with open_home(tmp_path, Clock()) as store:
            stream: Any = far
            session = SyncSession(
                stream,
                store,
                lambda *_, **__: True,
                config=SessionConfig("test", "test"),
                reports=Reports(*[lambda *_: None] * 6),
            )
            async with trio.open_nursery() as nursery:

                async def run() -> None:
                    nonlocal fault
                    fault = await session.run(InterestsChanged(frozenset(), frozenset()))
                    nursery.cancel_scope.cancel()

                nursery.start_soon(run)
                with trio.fail_after(20):
                    while not is_enough():  # noqa: ASYNC110  # what is waited for has no event
                        await trio.sleep(0.01)
                nursery.cancel_scope.cancel()

    trio.run(scene)
    return fault


def test_others_go_on_while_a_full_want_is_parsed_and_it_is_answered(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def parse_when_others_went_on(payload: bytes) -> tuple[Frame | None, int]:
        has_begun.set()
        assert may_end.wait(20), "the loop stands still"
        return parse_counted(payload)

    monkeypatch.setattr(session_module, "parse_counted", parse_when_others_went_on)
    far = Far(HELLO, encode_frame(want(128)))

    def is_answered() -> bool:
        if has_begun.is_set():
            may_end.set()
        return CaughtUp(1) in far.heard

    assert meet(far, tmp_path, is_answered) is None
    assert has_begun.is_set()


def test_what_is_wrong_in_a_long_frame_ends_the_session_as_a_fault(tmp_path: Any) -> None:
    junk = encode({"type": "want", "accounts": [0] * limits.LONG_FRAME_ITEMS, "drop": []})
    assert is_long(junk)
    assert str(meet(Far(HELLO, junk), tmp_path, lambda: False)).startswith("MalformedFrame: want: ")


def test_a_long_frame_is_no_hello(tmp_path: Any) -> None:
    assert str(meet(Far(encode_frame(want(128))), tmp_path, lambda: False)).startswith("HelloExpected")


def test_no_frame_of_honest_records_is_long_and_a_usual_want_is_not() -> None:
    records = [Item(bytes(200), b"x")] * (limits.RUN_BYTES // 201)
    assert not is_long(encode_frame(Entries(cid_of(b"a"), (), PublicKey(bytes(32)), tuple(records))))
    assert not is_long(encode_frame(want(16)))
    assert is_long(encode_frame(want(128)))
