"""What happens on a stream a peer opens: negotiate, then run the handler under guard.

The stock host lets anything but a negotiation error climb: a handler that raises, a protocol name that is
not UTF-8. From there it takes down the connection's nursery, the swarm, and ``trio.run``. Here one guard
stands around all of it: what is raised ends the stream, and counts against the peer when it is the peer's
doing.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

import trio
from libp2p.abc import INetStream, INetworkService
from libp2p.custom_types import StreamHandlerFn, TProtocol
from libp2p.exceptions import ParseError
from libp2p.host.basic_host import BasicHost
from libp2p.host.exceptions import StreamFailure
from libp2p.io.exceptions import IncompleteReadError, IOException
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import (
    MultiselectClientError,
    MultiselectCommunicatorError,
    MultiselectError,
)
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.stream_muxer.exceptions import MuxedStreamError

from unhush.gossip.errors import LocalProtocolError, NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.wire.choosing import choose
from unhush.gossip.net.wire.requests import LASTING, Requests
from unhush.gossip.net.wire.stream import MAX_READ_BYTES
from unhush.gossip.net.wire.swarm import NEGOTIATION_TIMEOUT_S
from unhush.gossip.proto.tally import Met, Tally

log = logging.getLogger(__name__)

# Of the 64 streams a connection may have, so that one protocol cannot starve the others.
MAX_STREAMS_PER_PROTOCOL = 8

# So long a new connection belongs to its sync session alone: what a person waits for comes over that. Announcements,
# statements and what libp2p likes to know of a peer begin afterwards; all at once they make each other wait.
SETTLED_S = 0.2

# How long a peer may keep its side open after our handler is done.
LINGER_S = 5.0

# The peer went away, gave up or was slow: nothing to hold against it.
GONE = (
    StreamBroken,
    StreamRefused,
    NotConnected,
    StreamError,
    IncompleteReadError,
    RawConnError,
    IOException,
    MuxedStreamError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
)


class GuardedHost(BasicHost):
    """libp2p's host with the guard around everything a peer can start."""

    def __init__(self, network: INetworkService, *, report_fault: Callable[[str, str], None], tally: Tally) -> None:
        # No observed addresses: we do not advertise what strangers tell us our address is.
        super().__init__(
            network,
            negotiate_timeout=int(NEGOTIATION_TIMEOUT_S),
            disable_identify_address_discovery=True,
        )
        self._report_fault = report_fault
        self._tally = tally
        self._requests = Requests(tally)
        self._open: Counter[tuple[ID, str]] = Counter()

    async def new_stream(self, peer_id: ID, protocol_ids: Sequence[TProtocol]) -> INetStream:
        """A stream to a connected peer; raises ``StreamFailure`` or what the swarm raises."""
        net_stream = await self._network.new_stream(peer_id)
        try:
            with trio.fail_after(NEGOTIATION_TIMEOUT_S):
                protocol = await choose(net_stream, protocol_ids)
        except BaseException as exc:
            with trio.CancelScope(shield=True):
                await _reset(net_stream)
            if isinstance(exc, (MultiselectClientError, MultiselectCommunicatorError, *GONE)):
                raise StreamFailure(f"no stream to {peer_id}: {exc}") from exc
            raise
        net_stream.set_protocol(protocol)
        return net_stream

    async def _swarm_stream_handler(self, net_stream: INetStream) -> None:
        peer_id = net_stream.muxed_conn.peer_id
        try:
            await self._serve(net_stream, peer_id)
        except GONE as exc:
            log.debug("stream ended peer=%s reason=%r", peer_id, exc)
        except LocalProtocolError:
            log.exception("we broke a protocol peer=%s", peer_id)
        except Exception as exc:  # noqa: BLE001  # the guard itself
            log.info("stream failed peer=%s reason=%r", peer_id, exc)
            self._report_fault(str(peer_id), f"stream failed: {exc!r}")
        else:
            await _finish(net_stream)
            return
        await _reset(net_stream)

    async def _serve(self, net_stream: INetStream, peer_id: ID) -> None:
        try:
            protocol, handler = await self.multiselect.negotiate(
                MultiselectCommunicator(net_stream), int(NEGOTIATION_TIMEOUT_S)
            )
        except MultiselectError as exc:
            # The time limit is only in the context: libp2p raises anew without saying from what.
            # A line that is none, or is longer than any, is no going away.
            cause = exc.__cause__
            is_gone = isinstance(cause, MultiselectCommunicatorError) and not isinstance(cause.__cause__, ParseError)
            if is_gone or isinstance(exc.__context__, trio.TooSlowError):
                raise StreamBroken("ended while negotiating") from exc
            raise
        if protocol is None or handler is None:
            raise StreamBroken("no protocol chosen")
        key = (peer_id, str(protocol))
        if self._open[key] >= MAX_STREAMS_PER_PROTOCOL:
            self._tally.count(Met.STREAM_REFUSED)
            raise StreamBroken(f"more than {MAX_STREAMS_PER_PROTOCOL} streams of {protocol}")
        net_stream.set_protocol(protocol)
        self._open[key] += 1
        try:
            await self._handle(handler, net_stream, str(protocol))
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    async def _handle(self, handler: StreamHandlerFn, net_stream: INetStream, protocol: str) -> None:
        if protocol.startswith(LASTING):
            await handler(net_stream)
            return
        place = self._requests.begin(net_stream.muxed_conn.peer_id)
        if place is None:
            raise StreamBroken("too many requests at a time")
        try:
            with place.scope:
                await handler(net_stream)
        finally:
            self._requests.end(place)
        if place.scope.cancelled_caught:
            raise StreamBroken("gave its place to another peer")

    async def _identify_task_entry(self, peer_id: ID, reason: str) -> None:
        # A trio system task: whatever it raises is the end of the process.
        await trio.sleep(SETTLED_S)
        try:
            await super()._identify_task_entry(peer_id, reason)
        except Exception as exc:  # noqa: BLE001  # a guard
            log.debug("identify failed peer=%s reason=%r", peer_id, exc)


async def _finish(net_stream: INetStream) -> None:
    """Close our side, and take what the peer still sends until it closes its own.

    Stock handlers (ping, for one) return without closing, and a stream half closed is a stream held: the
    peer would run out of them.
    """
    try:
        with trio.move_on_after(LINGER_S):
            await net_stream.close()
            while await net_stream.read(MAX_READ_BYTES):
                pass
    except GONE:
        return
    await _reset(net_stream)


async def _reset(net_stream: INetStream) -> None:
    try:
        await net_stream.reset()
    except Exception as exc:  # noqa: BLE001  # resetting a broken stream may raise whatever broke it
        log.debug("reset failed reason=%r", exc)
