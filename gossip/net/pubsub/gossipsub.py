"""Gossipsub with a guard: what a peer sends can end its stream, never the node.

Against the stock ``Pubsub`` (each has a test that shows it): bytes that are not protobuf, a malformed
``key`` field and a validator that raises climb to ``trio.run``. Ours also judges messages one after the
other instead of starting a task for each, so that a peer that sends faster than we can judge is slowed by
its own stream; and hands them on at once, without a queue that drops.
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import trio
from libp2p.abc import IHost, INetStream
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.utils import safe_bytes_from_hex
from libp2p.pubsub.validators import signature_validator

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.net.pubsub.recent import RecentMessages
from unhush.gossip.net.pubsub.rpc import (
    MAX_RPC_BYTES,
    MAX_SUBSCRIPTIONS_PER_RPC,
    check_message,
    parse_rpc,
)
from unhush.gossip.net.pubsub.seen import SeenMessages
from unhush.gossip.net.pubsub.sendqueue import SendQueue
from unhush.gossip.net.wire.frameread import read_frame
from unhush.gossip.net.wire.negotiation import SETTLED_S
from unhush.gossip.proto.admission import (
    MAX_PEERS,
    PEER_BURST,
    PEER_PER_S,
    READ_BURST,
    READ_PER_S,
    READ_UNIT_BYTES,
)
from unhush.gossip.proto.pacing import Allowance, Allowances
from unhush.gossip.proto.tally import Met, Tally

log = logging.getLogger(__name__)

# v1.1 has what we need; v1.2's IDONTWANT costs more frames than the duplicates it saves at our sizes.
PROTOCOLS = [PROTOCOL_ID_V11, PROTOCOL_ID]

# The degrees of the gossipsub paper.
DEGREE, DEGREE_LOW, DEGREE_HIGH = 6, 4, 12

# Stock 120 s: a mesh that lost a peer, or an announcement to repair from, would wait two minutes.
HEARTBEAT_S = 1

# How long a pruned peer stays away. In seconds, as gossipsub 1.1 says.
PRUNE_BACKOFF_S = 60
# A peer may ask for longer, within reason.
LONGEST_BACKOFF_S = 600

# Ids that one peer can make us ask for, and bytes it can make us send again, from one heartbeat to the next. Of 1 MiB
# windows three heartbeats long the first is all; the second is one full frame.
MAX_ASKED_IDS = 1_000
MAX_RESENT_BYTES = MAX_RPC_BYTES
# How often one peer may ask for one message; go-libp2p says the same.
MAX_RESENT_TIMES = 3
# Messages of one frame judged before others get their turn: some milliseconds of work.
MESSAGES_PER_TURN = 16
# GRAFT and PRUNE of one peer: sixteen topics joined and left twice at once, and one a second.
CONTROL_BURST = 64
CONTROL_PER_S = 1


class Verdict(Enum):
    """What a validator says of a message."""

    ACCEPT = auto()
    """Good and new: hand it on and forward it."""
    IGNORE = auto()
    """Not for us to forward, and nobody's fault."""
    LATER = auto()
    """Not from this peer now, and nobody's fault: if another brings it, it is judged anew."""
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
    """The router, with our parameters, without its leaks, and with caps on what control messages can make it do."""

    def __init__(self, tally: Tally) -> None:
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
        self.mcache = RecentMessages()
        self._tally = tally
        self._grafts: Allowances[ID] = Allowances(CONTROL_BURST, CONTROL_BURST / CONTROL_PER_S, MAX_PEERS)
        # Since the last heartbeat, by peer: ids asked for, bytes sent again. Of messages: how often sent again.
        self._asked: Counter[ID] = Counter()
        self._resent: Counter[ID] = Counter()
        self._times: Counter[tuple[ID, bytes]] = Counter()

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        await super().publish(msg_forwarder, pubsub_msg)
        # One time stamp per message, read by nothing while adaptive gossip is off, and never removed.
        self.recent_message_deliveries.clear()

    def is_crowded(self, topic: str) -> bool:
        """Whether a neighbour on this topic takes messages more slowly than they come."""
        assert self.pubsub is not None, "the router is attached when it is made"
        queues = self.pubsub.peer_queues
        peers = self.mesh.get(topic) or self.fanout.get(topic) or ()
        return any(isinstance(queue := queues.get(peer), SendQueue) and queue.is_crowded for peer in peers)

    async def handle_ihave(self, ihave_msg: rpc_pb2.ControlIHave, sender_peer_id: ID) -> None:
        room = MAX_ASKED_IDS - self._asked[sender_peer_id]
        if len(ihave_msg.messageIDs) > room:
            self._tally.count(Met.GOSSIP_CONTROL_IGNORED)
            del ihave_msg.messageIDs[max(0, room) :]
        if ihave_msg.messageIDs:
            self._asked[sender_peer_id] += len(ihave_msg.messageIDs)
            await super().handle_ihave(ihave_msg, sender_peer_id)

    async def handle_iwant(self, iwant_msg: rpc_pb2.ControlIWant, sender_peer_id: ID) -> None:
        # Stock sends each message as often as its id stands there: a megabyte of ids is sixty of answers.
        wanted = [each for each in dict.fromkeys(iwant_msg.messageIDs) if self._may_resend(each, sender_peer_id)]
        if len(wanted) < len(iwant_msg.messageIDs):
            self._tally.count(Met.GOSSIP_CONTROL_IGNORED)
        if wanted:
            await super().handle_iwant(rpc_pb2.ControlIWant(messageIDs=wanted), sender_peer_id)

    def _may_resend(self, wire_id: str | bytes, peer_id: ID) -> bool:
        message_id = safe_bytes_from_hex(wire_id)
        message = self.mcache.get(message_id) if message_id is not None else None
        if message is None or message_id is None:
            return False
        size = message.ByteSize()
        asked = (peer_id, message_id)
        if self._times[asked] >= MAX_RESENT_TIMES or self._resent[peer_id] + size > MAX_RESENT_BYTES:
            return False
        self._times[asked] += 1
        self._resent[peer_id] += size
        return True

    async def handle_graft(self, graft_msg: rpc_pb2.ControlGraft, sender_peer_id: ID) -> None:
        if not self._grafts.spend(sender_peer_id, 1, trio.current_time()):
            self._tally.count(Met.GOSSIP_CONTROL_IGNORED)
            return
        topic = graft_msg.topicID
        mesh = self.mesh.get(topic, set())
        if sender_peer_id not in mesh and len(mesh) >= DEGREE_HIGH:
            # Stock takes everybody in and throws some out at the next heartbeat, honest ones as well.
            self._add_back_off(sender_peer_id, topic, False)
            await self.emit_prune(topic, sender_peer_id, False, False)
            return
        await super().handle_graft(graft_msg, sender_peer_id)

    async def handle_prune(self, prune_msg: rpc_pb2.ControlPrune, sender_peer_id: ID) -> None:
        if self._grafts.spend(sender_peer_id, 1, trio.current_time()):
            await super().handle_prune(prune_msg, sender_peer_id)
        else:
            self._tally.count(Met.GOSSIP_CONTROL_IGNORED)

    def _add_back_off(self, peer: ID, topic: str, is_unsubscribe: bool, backoff_duration: int = 0) -> None:
        super()._add_back_off(peer, topic, is_unsubscribe, min(backoff_duration, LONGEST_BACKOFF_S))

    def mesh_heartbeat(self) -> tuple[defaultdict[ID, list[str]], defaultdict[ID, list[str]]]:
        self._asked.clear()
        self._resent.clear()
        self._times = Counter({asked: times for asked, times in self._times.items() if self.mcache.get(asked[1])})
        now = time.time()
        for topic, until in self.back_off.items():
            # Stock forgets a peer's back-off when that peer is looked at again, and most never are.
            self.back_off[topic] = {peer: then for peer, then in until.items() if then > now}
        grafted, pruned = super().mesh_heartbeat()
        for peer, topics in pruned.items():
            for topic in topics:
                self._add_back_off(peer, topic, False)
        return grafted, pruned

    async def _emit_control_msgs(
        self,
        peers_to_graft: dict[ID, list[str]],
        peers_to_prune: dict[ID, list[str]],
        peers_to_gossip: dict[ID, dict[str, list[bytes]]],
    ) -> None:
        """One message for each peer. The stock one repeats to each what was meant for those before it."""
        for peer in {**peers_to_graft, **peers_to_prune, **peers_to_gossip}:
            heard = peers_to_gossip.get(peer, {})
            control = rpc_pb2.ControlMessage(
                graft=[rpc_pb2.ControlGraft(topicID=topic) for topic in peers_to_graft.get(peer, ())],
                prune=[
                    rpc_pb2.ControlPrune(topicID=topic, backoff=PRUNE_BACKOFF_S)
                    for topic in peers_to_prune.get(peer, ())
                ],
                ihave=[rpc_pb2.ControlIHave(topicID=topic, messageIDs=ids) for topic, ids in heard.items()],
            )
            await self.emit_control_message(control, peer)

    def _handle_dropped_rpc(self, peer_id: ID, rpc: rpc_pb2.RPC, reason: str) -> None:
        assert isinstance(self.pubsub, Pubsub), "the router is attached when it is made"
        own_id = self.pubsub.my_id.to_bytes()
        own = sum(message.from_id == own_id for message in rpc.publish)
        if own:
            self._tally.count(Met.OWN_GOSSIP_NOT_SENT, own)
        if own < len(rpc.publish) or not rpc.publish:
            self._tally.count(Met.GOSSIP_NOT_SENT)
        super()._handle_dropped_rpc(peer_id, rpc, reason)


class GuardedPubsub(Pubsub):
    """Publish and subscribe on a fixed set of topics."""

    def __init__(self, host: IHost, router: GuardedGossipSub, *, topics: frozenset[str], tally: Tally) -> None:
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
        self._seen = SeenMessages()
        # Same verbs, see there.
        self.seen_messages = self._seen  # type: ignore[assignment]
        self._tally = tally
        self._handing: Allowances[ID] = Allowances(PEER_BURST, PEER_BURST / PEER_PER_S, MAX_PEERS)
        self._topics: dict[str, Topic] = {}
        # The stream each peer writes to us on.
        self._inbound: dict[ID, INetStream] = {}

    async def join(self, name: str, topic: Topic) -> None:
        """Take part in a topic. Joining again replaces who judges and receives."""
        self.allowed_topics = (self.allowed_topics or frozenset()) | {name}
        self._topics[name] = topic
        await self.subscribe(name)

    async def _handle_new_peer(self, peer_id: ID) -> None:
        await trio.sleep(SETTLED_S)
        await super()._handle_new_peer(peer_id)

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
        pace = Allowance(READ_BURST, READ_BURST / READ_PER_S)
        while self.manager.is_running:
            data = await read_frame(stream, self.max_inbound_rpc_size, self._tally)
            rpc = parse_rpc(data, self._topics)
            await self._receive(rpc, peer_id)
            cost = 1 + len(rpc.publish) + len(data) // READ_UNIT_BYTES
            if not pace.spend(cost, trio.current_time()):
                # The peer is slowed by its own stream.
                self._tally.count(Met.GOSSIP_READING_PAUSED)
                await trio.sleep(cost / READ_PER_S)

    async def _receive(self, rpc: rpc_pb2.RPC, peer_id: ID) -> None:
        for number, message in enumerate(rpc.publish):
            if self._is_subscribed_to_msg(message):
                await self.push_msg(peer_id, message)
            if number % MESSAGES_PER_TURN == MESSAGES_PER_TURN - 1:
                await trio.lowlevel.checkpoint()
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
        if not is_ours and not self._handing.spend(msg_forwarder, 1, trio.current_time()):
            # Before anything costly. Not marked as seen: who brings it within their rate is heard.
            self._tally.count(Met.GOSSIP_OVER_PEER_RATE)
            return
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
                case Verdict.LATER:
                    self._seen.forget(self.get_message_id(msg))
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
