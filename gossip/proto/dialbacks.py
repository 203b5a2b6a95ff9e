"""Dial-back: "can you reach me?", its two messages, and how often anybody may ask.

A node cannot know from inside whether others reach it, so it asks a peer to try. The peer dials no address it
is told: only the one the question came from, at the port that was named, and seldom, so nobody can be made to
knock at strangers' doors. The answer also says from where the question came and what time it is there.

One message each way on ``/unhush/dialback/1``, framed as in sync: ``{port}`` and
``{observed, reached, time_ms}``. ``reached`` is null when the peer did not try.
"""

from dataclasses import dataclass
from typing import Final

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.proto.pacing import Allowance, Allowances
from unhush.identity.codec import decode_map, encode
from unhush.identity.errors import MalformedBytes

PROTOCOL: Final = "/unhush/dialback/1"

# Both messages have about 100 bytes; room for fields of a later version.
MAX_MESSAGE_BYTES: Final = 1_024

# Ports below this belong to other services of the machine that asks, or of those behind the same address; only
# the one that many networks leave open is used by nodes too.
FIRST_PORT: Final = 1_024
ALSO_PORT: Final = 443

# A node asks each peer every half hour and when its person asks; more is somebody looking for open ports.
PER_ADDRESS: Final = 4
PER_ADDRESS_S: Final = 120.0
# Over all who ask: each try is one socket for at most a few seconds.
IN_ALL: Final = 30
IN_ALL_S: Final = 60.0
# Addresses remembered, the one heard from longest ago forgotten first: 1,024 × ~200 bytes.
MAX_ADDRESSES: Final = 1_024

_LAST_TIME_MS: Final = 2**53


@dataclass(frozen=True, slots=True)
class Question:
    """Try to reach me at this port of the address you see me under."""

    port: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the peer saw and found."""

    observed: str  # /ip4|ip6/…/tcp/…, or empty if it sees no address, as through a relay
    reached: bool | None  # None: it did not try
    time_ms: int  # its clock, Unix milliseconds


def encode_question(question: Question) -> bytes:
    return encode({"port": question.port})


def parse_question(payload: bytes) -> Question:
    """Raises :class:`RemoteProtocolError`."""
    match _fields(payload):
        case {"port": int() as port} if not isinstance(port, bool) and 0 < port < 65_536:
            return Question(port)
    raise RemoteProtocolError("a dial-back question names one port")


def encode_answer(answer: Answer) -> bytes:
    return encode({"observed": answer.observed, "reached": answer.reached, "time_ms": answer.time_ms})


def parse_answer(payload: bytes) -> Answer:
    """Raises :class:`RemoteProtocolError`."""
    match _fields(payload):
        case {
            "observed": str() as observed,
            "reached": (bool() | None) as reached,
            "time_ms": int() as time_ms,
        } if not isinstance(time_ms, bool) and 0 <= time_ms < _LAST_TIME_MS and len(observed) <= 100:
            return Answer(observed, reached, time_ms)
    raise RemoteProtocolError("not an answer to a dial-back question")


def may_try(port: int) -> bool:
    """Whether we knock at this port at all."""
    return port >= FIRST_PORT or port == ALSO_PORT


class Patience:
    """How often each address may have us dial it, and all of them together."""

    def __init__(self) -> None:
        self._by_address: Final[Allowances[str]] = Allowances(PER_ADDRESS, PER_ADDRESS_S, MAX_ADDRESSES)
        self._in_all: Final = Allowance(IN_ALL, IN_ALL_S)

    def allows(self, block: str, now: float) -> bool:
        """Take one try for an address (an IPv4 address or an IPv6 /64), if there is one left."""
        allowance = self._by_address.of(block)
        return allowance.has(1, now) and self._in_all.spend(1, now) and allowance.spend(1, now)


def _fields(payload: bytes) -> dict[str, object]:
    try:
        return dict(decode_map(payload, max_bytes=MAX_MESSAGE_BYTES))
    except MalformedBytes as exc:
        raise RemoteProtocolError(f"bad dial-back message: {exc}") from exc
