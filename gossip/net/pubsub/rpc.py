"""Gossip frames from strangers: parsed, and cut down to what we asked for, before the router sees them.

The stock router keeps state under any topic name a peer cares to write, verifies a signed peer record on
every frame, and starts one task per message, so that a frame of thousands costs thousands of tasks.
"""

from collections.abc import Container

from google.protobuf.message import DecodeError
from libp2p.pubsub.pb import rpc_pb2

from unhush.gossip.errors import RemoteProtocolError

# A message with its envelope (topic, peer id, key, signature) stays below this plus 1 KiB.
MAX_MESSAGE_BYTES = 64 * 1024

# libp2p answers an IWANT with frames of up to 1 MiB, and ours do too: sixteen full messages.
MAX_RPC_BYTES = 1024 * 1024

# A node has sixteen shard topics; room for both joining and leaving all of them at once.
MAX_SUBSCRIPTIONS_PER_RPC = 32

# A frame of 1 MiB holds some 1,500 small posts; IHAVE windows are three seconds long.
MAX_MESSAGES_PER_RPC = 2048
# Control entries name one topic each (IHAVE, GRAFT, PRUNE): once per topic and a few to spare.
MAX_CONTROL_ENTRIES = 32
# go-libp2p announces at most 5,000 ids a heartbeat; we look at the first thousand of each.
MAX_IDS_PER_ENTRY = 1000
# A default id is 38 bytes of peer id and 8 of sequence number.
MAX_ID_BYTES = 128


def parse_rpc(data: bytes, topics: Container[str]) -> rpc_pb2.RPC:
    """Parse a frame and keep of it what concerns our topics. Raises :class:`RemoteProtocolError`."""
    rpc = rpc_pb2.RPC()
    try:
        rpc.ParseFromString(data)
    except DecodeError as exc:
        raise RemoteProtocolError("gossip frame is not protobuf") from exc
    if len(rpc.subscriptions) > MAX_SUBSCRIPTIONS_PER_RPC:
        raise RemoteProtocolError(f"{len(rpc.subscriptions)} subscriptions in one gossip frame")
    if len(rpc.publish) > MAX_MESSAGES_PER_RPC:
        raise RemoteProtocolError(f"{len(rpc.publish)} messages in one gossip frame")
    # We take addresses from our own address book only, so nothing needs this verified.
    rpc.ClearField("senderRecord")
    if rpc.HasField("control"):
        _trim_control(rpc.control, topics)
    return rpc


def check_message(message: rpc_pb2.Message) -> None:
    """Raise :class:`RemoteProtocolError` unless the message has one topic and a legal size."""
    if len(message.topicIDs) != 1:
        raise RemoteProtocolError(f"gossip message with {len(message.topicIDs)} topics")
    if len(message.data) > MAX_MESSAGE_BYTES:
        raise RemoteProtocolError(f"gossip message of {len(message.data)} bytes")
    if len(message.from_id) + len(message.seqno) > MAX_ID_BYTES:
        raise RemoteProtocolError("gossip message with an oversized id")


def _trim_control(control: rpc_pb2.ControlMessage, topics: Container[str]) -> None:
    ihave = [entry for entry in control.ihave if entry.topicID in topics]
    graft = [entry for entry in control.graft if entry.topicID in topics]
    prune = [entry for entry in control.prune if entry.topicID in topics]
    iwant = list(control.iwant)
    if max(len(ihave), len(graft), len(prune), len(iwant)) > MAX_CONTROL_ENTRIES:
        raise RemoteProtocolError("too many control entries in one gossip frame")
    for announced in ihave:
        del announced.messageIDs[MAX_IDS_PER_ENTRY:]
    for wanted in iwant:
        del wanted.messageIDs[MAX_IDS_PER_ENTRY:]
    for pruned in prune:
        # Peer exchange would have us dial what a stranger says.
        pruned.ClearField("peers")
    trimmed = rpc_pb2.ControlMessage(ihave=ihave, iwant=iwant, graft=graft, prune=prune)
    control.CopyFrom(trimmed)
