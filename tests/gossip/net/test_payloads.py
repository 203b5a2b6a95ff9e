"""Payloads come one at a time and in order, and none is longer than said, however the stream cuts them."""

from typing import Any

import pytest
import trio

from unhush.gossip.net.wire.payloads import Payloads
from unhush.gossip.proto.faults import FrameTooLarge, MalformedFrame
from unhush.gossip.proto.framing import frame

MOST = 1_000
CUTS = [1, 7, 1_001, 100_000]


class Cut:
    """A stream that gives what was sent in pieces of one size."""

    def __init__(self, sent: bytes, size: int) -> None:
        self._pieces = [sent[at : at + size] for at in range(0, len(sent), size)]

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def read_all(sent: bytes, size: int) -> list[bytes]:
    stream: Any = Cut(sent, size)

    async def read() -> list[bytes]:
        payloads, found = Payloads(stream, MOST), list[bytes]()
        while (payload := await payloads.next()) is not None:
            found.append(payload)
        return found

    return trio.run(read)


@pytest.mark.parametrize("size", CUTS)
def test_payloads_up_to_the_longest_come_in_order(size: int) -> None:
    sent = [b"one", bytes(MOST), b"", b"last"]
    assert read_all(b"".join(map(frame, sent)), size) == sent


@pytest.mark.parametrize("size", CUTS)
def test_one_byte_more_is_refused(size: int) -> None:
    with pytest.raises(FrameTooLarge):
        read_all(frame(b"one") + frame(bytes(MOST + 1)), size)


def test_an_end_within_a_frame_is_one_that_breaks_the_rules() -> None:
    with pytest.raises(MalformedFrame):
        read_all(frame(b"one")[:-1], 100)
