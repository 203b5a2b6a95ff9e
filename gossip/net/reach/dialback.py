"""Asking peers whether they reach us, and trying the same for them. The rules are in ``proto/dialbacks.py``."""

import ipaddress
import logging
from collections.abc import Callable
from typing import Final

import trio
from libp2p.identity.identify.identify import parse_identify_response
from multiaddr import Multiaddr

from unhush.gossip.errors import NotConnected, RemoteProtocolError, StreamBroken, StreamRefused
from unhush.gossip.net.host import Host
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto import dialbacks
from unhush.gossip.proto.addresses import Scope, scope_of
from unhush.gossip.proto.dialbacks import Answer, Patience, Question
from unhush.gossip.proto.framing import Deframer, frame
from unhush.gossip.proto.reach import View
from unhush.gossip.proto.tally import Met

log = logging.getLogger(__name__)

# A port that answers does so at once; one that is filtered never does.
TRY_TIMEOUT_S: Final = 4.0
# The other side's try, and a round trip.
ASK_TIMEOUT_S: Final = 8.0

# What a peer says of itself: a key, some addresses and protocols.
IDENTIFY: Final = "/ipfs/id/1.0.0"
MAX_IDENTIFY_BYTES: Final = 65_536
# An address in it; reading a long one takes time by the square of its length.
MAX_PACKED_BYTES: Final = 256


class DialBack:
    """Both sides of ``/unhush/dialback/1`` on one host."""

    def __init__(self, host: Host, *, clock_ms: Callable[[], int], count: Callable[[Met], None]) -> None:
        self._host = host
        self._clock_ms = clock_ms
        self._count = count
        self._patience = Patience()
        host.handle(dialbacks.PROTOCOL, self._serve)

    async def ask(self, peer_id: str, port: int) -> View | None:
        """How a peer sees us, and whether it reaches us at this port; ``None`` if it does not say.

        A peer that breaks the rules is reported to the host.
        """
        try:
            with trio.fail_after(ASK_TIMEOUT_S):
                async with await self._host.open_stream(peer_id, dialbacks.PROTOCOL) as stream:
                    asked_at = trio.current_time()
                    ours_ms = self._clock_ms()
                    await stream.write(frame(dialbacks.encode_question(Question(port))))
                    await stream.close()
                    answer = dialbacks.parse_answer(await _receive(stream))
        except (StreamRefused, NotConnected, StreamBroken, trio.TooSlowError) as exc:
            log.debug("no dial-back peer=%s reason=%s", peer_id, exc)
            return None
        except RemoteProtocolError as exc:
            self._host.report_fault(peer_id, str(exc))
            return None
        now = trio.current_time()
        # It read its clock some time between the question and the answer; a try in between may take seconds.
        took_ms = int((now - asked_at) * 1000)
        skew_ms = _beyond(answer.time_ms, ours_ms, ours_ms + took_ms)
        return View(peer_id, answer.observed, answer.reached, skew_ms, now)

    async def identify(self, peer_id: str) -> View | None:
        """Under which address a peer sees us that knows no dial-back; any libp2p program says."""
        data = b""
        try:
            with trio.fail_after(ASK_TIMEOUT_S):
                async with await self._host.open_stream(peer_id, IDENTIFY) as stream:
                    while (part := await stream.read()) and len(data) <= MAX_IDENTIFY_BYTES:
                        data += part
            packed = parse_identify_response(data[:MAX_IDENTIFY_BYTES]).observed_addr
            observed = str(Multiaddr(packed[:MAX_PACKED_BYTES]))
        except (StreamRefused, NotConnected, StreamBroken, trio.TooSlowError) as exc:
            log.debug("no identify peer=%s reason=%s", peer_id, exc)
            return None
        except Exception as exc:  # noqa: BLE001  # the parsers of protobuf and of multiaddresses raise a dozen kinds
            log.debug("identify is not usable peer=%s reason=%r", peer_id, exc)
            return None
        if scope_of(observed) is None:
            return None
        return View(peer_id, observed, None, None, trio.current_time())

    async def _serve(self, stream: Stream) -> None:
        with trio.fail_after(ASK_TIMEOUT_S):
            question = dialbacks.parse_question(await _receive(stream))
        observed = stream.address if scope_of(stream.address) is not None else ""
        reached = await self._try(stream.peer_id, observed, question.port)
        await stream.write(frame(dialbacks.encode_answer(Answer(observed, reached, self._clock_ms()))))

    async def _try(self, peer_id: str, observed: str, port: int) -> bool | None:
        match observed.split("/"):
            case ["", "ip4" | "ip6", host, *_]:
                pass
            case _:
                return None
        # A service of this machine that passes connections on would make us knock at our own doors.
        is_ourselves = scope_of(observed) is Scope.LOOPBACK and not self._host.exempt_loopback
        if is_ourselves or not dialbacks.may_try(port) or not self._patience.allows(_block(host), trio.current_time()):
            self._count(Met.DIALBACK_REFUSED)
            return None
        try:
            with trio.fail_after(TRY_TIMEOUT_S):
                return await self._host.is_reached_at(host, port, peer_id)
        except trio.TooSlowError:
            return False


async def _receive(stream: Stream) -> bytes:
    """One framed message; raises :class:`RemoteProtocolError`, :class:`StreamBroken`."""
    deframer, seen = Deframer(), 0
    while chunk := await stream.read(dialbacks.MAX_MESSAGE_BYTES):
        seen += len(chunk)
        if seen > dialbacks.MAX_MESSAGE_BYTES:
            raise RemoteProtocolError("a dial-back message is too long")
        for payload in deframer.feed(chunk):
            return payload
    raise StreamBroken("a dial-back stream ended within a message")


def _block(host: str) -> str:
    ip = ipaddress.ip_address(host.partition("%")[0])
    return str(ipaddress.ip_network((ip, 32 if ip.version == 4 else 64), strict=False))


def _beyond(value: int, low: int, high: int) -> int:
    """How far a value lies outside of a span."""
    return value - high if value > high else min(0, value - low)
