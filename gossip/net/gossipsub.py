"""Gossipsub with a guard: what a peer sends can end its stream, never the node.

Against the stock ``Pubsub`` (each has a test that shows it): bytes that are not protobuf, a malformed
``key`` field and a validator that raises climb to ``trio.run``. Ours also judges messages one after the
other instead of starting a task for each, so that a peer that sends faster than we can judge is slowed by
its own stream; and hands them on at once, without a queue that drops.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from libp2p.abc import IHost, INetStream
from libp2p.exceptions import ParseError
from libp2p.io.exceptions import MessageTooLarge
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.validators import signature_validator
from libp2p.utils.varint import read_varint_prefixed_bytes_limited

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.net.rpc import (
    MAX_RPC_BYTES,
    MAX_SUBSCRIPTIONS_PER_RPC,
    check_message,
    parse_rpc,
)
from unhush.gossip.net.seen import SeenMessages

log = logging.getLogger(__name__)

# v1.1 has what we need; v1.2's IDONTWANT costs more frames than the duplicates it saves at our sizes.
PROTOCOLS = [PROTOCOL_ID_V11, PROTOCOL_ID]

# The degrees of the gossipsub paper.
DEGREE, DEGREE_LOW, DEGREE_HIGH = 6, 4, 12

# Stock 120 s: a mesh that lost a peer, or an announcement to repair from, would wait two minutes.
HEARTBEAT_S = 1

# How long a pruned peer stays away. In seconds, as gossipsub 1.1 says.
PRUNE_BACKOFF_S = 60


class Verdict(Enum):
    """What a validator says of a message."""

    ACCEPT = auto()
    """Good and new: hand it on and forward it."""
    IGNORE = auto()
    """Not for us to forward, and nobody's fault."""
    REJECT = auto()
    """No honest peer forwards this: a fault of whoever sent it."""


Validate = Callable[[bytes, str], Verdict]
Deliver = Callable[[bytes, str], None]


@dataclass(frozen=True, slots=True)
class Topic:
    """Who judges and who receives what arrives on a topic."""

    validate: Validate
    deliver: Deliver


class GuardedGossipSub(GossipSub):
    """The router, with our parameters and without its leak."""

    def __init__(self) -> None:
        super().__init__(
            protocols=PROTOCOLS,
            degree=DEGREE,
            degree_low=DEGREE_LOW,
            degree_high=DEGREE_HIGH,
            heartbeat_interval=HEARTBEAT_S,
            prune_back_off=PRUNE_BACKOFF_S,
            do_px=False,
            adaptive_gossip_enabled=False,
            # Counts our own publications as spam and drops them beyond ten a second. We limit by author and peer.
            spam_protection_enabled=False,
            # Grafts beyond the degree until three addresses are in the mesh: never satisfied on one LAN.
            eclipse_protection_enabled=False,
        )

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        await super().publish(msg_forwarder, pubsub_msg)
        # One time stamp per message, read by nothing while adaptive gossip is off, and never removed.
        self.recent_message_deliveries.clear()


class GuardedPubsub(Pubsub):
    """Publish and subscribe on a fixed set of topics."""

    def __init__(
        self, host: IHost, router: GuardedGossipSub, *, topics: frozenset[str], report_fault: Callable[[str, str], None]
    ) -> None:
        super().__init__(
            host,
            router,
            strict_signing=True,
            max_subscriptions_per_rpc=MAX_SUBSCRIPTIONS_PER_RPC,
            max_subscriptions_per_peer=MAX_SUBSCRIPTIONS_PER_RPC,
            max_inbound_rpc_size=MAX_RPC_BYTES,
            allowed_topics=topics,
        )
        self.seen_messages.stop()
        # Same verbs, see there.
        self.seen_messages = SeenMessages()  # type: ignore[assignment]
        self._report_fault = report_fault
        self._topics: dict[str, Topic] = {}
        # The stream each peer writes to us on.
        self._inbound: dict[ID, INetStream] = {}

    async def join(self, name: str, topic: Topic) -> None:
        """Take part in a topic. Joining again replaces who judges and receives."""
        self.allowed_topics = (self.allowed_topics or frozenset()) | {name}
        self._topics[name] = topic
        await self.subscribe(name)

    async def stream_handler(self, stream: INetStream) -> None:
        peer_id = stream.muxed_conn.peer_id
        self._inbound[peer_id] = stream
        try:
            await self.continuously_read_stream(stream)
        finally:
            # Unless the peer has opened another meanwhile, on which it announced its topics again.
            if self._inbound.get(peer_id) is stream:
                del self._inbound[peer_id]
                self._forget_all_subscriptions(peer_id)

    def _handle_dead_peer(self, peer_id: ID) -> None:
        """Called when the connection is gone, and when only the stream we write on is.

        In the second case the stock one forgets the peer's topics too, which were announced on the other
        stream and will not be announced again: gossip towards it stops until the peers part.
        """
        known = [topic for topic, peers in self.peer_topics.items() if peer_id in peers]
        super()._handle_dead_peer(peer_id)
        if self._peer_is_connected(peer_id) and peer_id in self._inbound:
            for topic in known:
                self.peer_topics.setdefault(topic, set()).add(peer_id)
            self._peer_subscription_count[peer_id] = len(known)

    async def continuously_read_stream(self, stream: INetStream) -> None:
        peer_id = stream.muxed_conn.peer_id
        while self.manager.is_running:
            try:
                data = await read_varint_prefixed_bytes_limited(stream, self.max_inbound_rpc_size)
            except (MessageTooLarge, ParseError) as exc:
                raise RemoteProtocolError(f"bad gossip frame: {exc}") from exc
            await self._receive(parse_rpc(data, self._topics), peer_id)

    async def _receive(self, rpc: rpc_pb2.RPC, peer_id: ID) -> None:
        for message in rpc.publish:
            if self._is_subscribed_to_msg(message):
                await self.push_msg(peer_id, message)
        for subscription in rpc.subscriptions:
            self.handle_subscription(peer_id, subscription)
        if rpc.HasField("control"):
            await self.router.handle_rpc(rpc, peer_id)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Judge one message; forward and deliver it if it is good. Raises :class:`RemoteProtocolError`."""
        check_message(msg)
        if self._is_msg_seen(msg):
            return
        is_ours = msg_forwarder == self.my_id
        if not is_ours and not _is_signed(msg):
            raise RemoteProtocolError("gossip message without a good signature")
        # Seen from here on, whatever the verdict: the same bytes are not judged twice.
        self._mark_msg_seen(msg)
        if not is_ours:
            if ID(msg.from_id) == self.my_id:
                return
            topic = self._topics[msg.topicIDs[0]]
            match _judge(topic, msg.data, str(msg_forwarder)):
                case Verdict.IGNORE:
                    return
                case Verdict.REJECT:
                    raise RemoteProtocolError("gossip message rejected")
                case Verdict.ACCEPT:
                    _hand_on(topic, msg.data, str(msg_forwarder))
        await self.router.publish(msg_forwarder, msg)


def _is_signed(message: rpc_pb2.Message) -> bool:
    try:
        return signature_validator(message)
    except Exception as exc:
        # The stock validator lets a malformed key raise.
        raise RemoteProtocolError("gossip message with a malformed key") from exc


def _judge(topic: Topic, data: bytes, peer_id: str) -> Verdict:
    try:
        return topic.validate(data, peer_id)
    except Exception:
        # A bug of ours: no reason to hold it against whoever sent the message.
        log.exception("validator raised; message ignored from=%s", peer_id)
        return Verdict.IGNORE


def _hand_on(topic: Topic, data: bytes, peer_id: str) -> None:
    try:
        topic.deliver(data, peer_id)
    except Exception:
        log.exception("receiver raised; message lost from=%s", peer_id)
