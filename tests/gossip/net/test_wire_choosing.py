"""Agreeing on a stream's protocol: what can be said at once is, any other answer is an error."""

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.protocol_muxer.exceptions import MultiselectClientError, MultiselectCommunicatorError

from unhush.gossip.net.wire.choosing import choose

HELLO = b"\x13/multistream/1.0.0\n"
ONE, TWO = TProtocol("/one/1"), TProtocol("/two/1")


class Far:
    """The other side of a stream, by hand."""

    def __init__(self, *answers: bytes) -> None:
        self.heard: list[bytes] = []
        self._answers = b"".join(answers)

    async def write(self, data: bytes) -> None:
        self.heard.append(data)

    async def read(self, n: int | None = None) -> bytes:
        count = len(self._answers) if n is None else n
        chunk, self._answers = self._answers[:count], self._answers[count:]
        return chunk


def line(text: str) -> bytes:
    return bytes([len(text) + 1]) + text.encode() + b"\n"


def chosen(far: Far, *protocols: TProtocol) -> str:
    return trio.run(choose, far, protocols)


def test_a_protocol_is_named_before_anything_is_answered() -> None:
    far = Far(HELLO, line(ONE))
    assert chosen(far, ONE, TWO) == ONE
    assert far.heard == [HELLO + line(ONE)]


def test_the_next_is_named_when_one_is_not_spoken() -> None:
    far = Far(HELLO, line("na"), line(TWO))
    assert chosen(far, ONE, TWO) == TWO
    assert far.heard == [HELLO + line(ONE), line(TWO)]


@pytest.mark.parametrize(
    "answers",
    [
        (HELLO, line("na")),
        (HELLO, line(TWO)),
        (line("/multistream/2.0.0"), line(ONE)),
        (HELLO,),
        (HELLO, b"\xff\xff\x7f"),
        (),
    ],
    ids=["none spoken", "another", "no multistream", "no answer", "a line without end", "nothing"],
)
def test_any_other_answer_is_an_error(answers: tuple[bytes, ...]) -> None:
    with pytest.raises((MultiselectClientError, MultiselectCommunicatorError)):
        chosen(Far(*answers), ONE)
