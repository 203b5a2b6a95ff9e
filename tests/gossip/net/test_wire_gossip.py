"""Floods on gossip: of topics, of control messages, of messages; and what we send ourselves."""

from collections import defaultdict
from typing import Any

import pytest
import trio
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from tests.support.strangers import GOSSIP, Stranger, drain, rpc, stranger, subscribing

from unhush.gossip.net.host import Host, Verdict
from unhush.gossip.net.pubsub import gossipsub, recent, sendqueue
from unhush.gossip.net.pubsub import rpc as frames
from unhush.gossip.net.pubsub.gossipsub import GuardedGossipSub
from unhush.gossip.net.pubsub.recent import RecentMessages
from unhush.gossip.net.pubsub.sendqueue import SendQueue
from unhush.gossip.proto import admission
from unhush.gossip.proto.hints import all_topics
from unhush.gossip.proto.tally import Met, Tally

NETWORK = "test"
TOPICS = sorted(all_topics(NETWORK))
TOPIC = TOPICS[0]


def take_all(got: list[bytes]) -> tuple[Any, Any]:
    return lambda data, peer: Verdict.ACCEPT, lambda data, peer: got.append(data)


async def join(host: Host, got: list[bytes] | None = None) -> list[bytes]:
    got = [] if got is None else got
    await host.join(TOPIC, *take_all(got))
    return got


class Listening:
    """A stranger that takes part in gossip and reads what it is sent."""

    def __init__(self, peer: Stranger) -> None:
        self.peer = peer
        self.frames: list[rpc_pb2.RPC] = []

    async def serve(self, *, reads: bool = True) -> None:
        """Accept the stream the node opens to us; parse what comes on it, or leave it unread."""
        from libp2p.protocol_muxer.multiselect import Multiselect
        from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

        while True:
            stream = await self.peer.muxed.accept_stream()
            chooser = Multiselect({GOSSIP: None})  # type: ignore[dict-item]
            try:
                await chooser.negotiate(MultiselectCommunicator(stream), 2)
            except Exception:
                continue
            if reads:
                await self._read(stream)
            else:
                await trio.sleep_forever()

    async def _read(self, stream: Any) -> None:
        buffer = bytearray()
        while True:
            try:
                buffer += await stream.read(65_536)
            except Exception:
                return
            while (frame := cut(buffer)) is not None:
                self.frames.append(rpc_pb2.RPC.FromString(frame))

    def sent_bytes(self) -> int:
        return sum(message.ByteSize() for frame in self.frames for message in frame.publish)

    def count(self, kind: str) -> int:
        return sum(len(getattr(frame.control, kind)) for frame in self.frames)


def cut(buffer: bytearray) -> bytes | None:
    length = shift = 0
    for at, byte in enumerate(buffer):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if len(buffer) < at + 1 + length:
                return None
            frame = bytes(buffer[at + 1 : at + 1 + length])
            del buffer[: at + 1 + length]
            return frame
    return None


# Topics


def test_of_10000_topics_at_most_16_are_kept(run: Any, our_host: Any, serves: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host(topics=frozenset(TOPICS)) as ours, stranger(ours.addresses()[0]) as peer:
            stream = await peer.stream(GOSSIP)
            names = [f"/other/{number}" for number in range(10_000 - len(TOPICS))] + TOPICS
            for at in range(0, len(names), 32):
                await stream.write(subscribing(*names[at : at + 32]))
            await until(lambda: bool(ours._pubsub.peer_topics.get(TOPICS[-1])))
            assert len(ours._pubsub.peer_topics) <= 16
            assert sum(ours._pubsub._peer_subscription_count.values()) <= 16
            assert not ours.tally.read()[Met.PEER_FAULT]
            await serves(ours)

    run(scene)


def test_33_subscriptions_in_a_frame_cost_the_stream(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host(topics=frozenset(TOPICS)) as ours, stranger(ours.addresses()[0]) as peer:
            stream = await peer.stream(GOSSIP)
            await stream.write(subscribing(*TOPICS, *TOPICS, TOPIC))
            with trio.fail_after(5):
                await drain(stream)
            assert ours.tally.read()[Met.PEER_FAULT] == 1

    run(scene)


# Control


def test_a_megabyte_of_ids_asked_for_again_and_again_is_answered_with_1_mib_a_heartbeat(
    run: Any, our_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock sends the message as often as its id stands there: 60 MB for this frame."""

    async def scene() -> None:
        async with our_host() as ours, stranger(ours.addresses()[0]) as peer, trio.open_nursery() as nursery:
            await join(ours)
            hearing = Listening(peer)
            nursery.start_soon(hearing.serve)
            stream = await peer.stream(GOSSIP)
            await until(lambda: bool(ours._pubsub.peers))
            await ours.publish(TOPIC, b"x" * 60_000)
            (wanted,) = ours._router.mcache.msgs
            ask = rpc(control=rpc_pb2.ControlMessage(iwant=[rpc_pb2.ControlIWant(messageIDs=[wanted] * 1_000)]))
            for _ in range(20):
                await stream.write(ask)
            await until(lambda: hearing.sent_bytes() >= gossipsub.MAX_RESENT_TIMES * 60_000)
            await trio.sleep(0.3)
            assert hearing.sent_bytes() <= (gossipsub.MAX_RESENT_TIMES + 1) * 61_000
            assert ours.tally.read()[Met.GOSSIP_CONTROL_IGNORED] >= 20
            nursery.cancel_scope.cancel()

    run(scene)


def test_what_different_messages_add_up_to_is_bounded_too() -> None:
    router = GuardedGossipSub(Tally())
    ids = []
    for number in range(100):
        message = rpc_pb2.Message(from_id=b"p", seqno=b"%d" % number, data=b"x" * 60_000, topicIDs=[TOPIC])
        router.mcache.put(message)
        ids.append(b"p%d" % number)
    asker = ID(b"asker")
    assert sum(router._may_resend(each, asker) for each in router.mcache.msgs) == gossipsub.MAX_RESENT_BYTES // 60_013


def test_of_ids_announced_a_thousand_a_heartbeat_are_asked_for(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours, stranger(ours.addresses()[0]) as peer, trio.open_nursery() as nursery:
            await join(ours)
            hearing = Listening(peer)
            nursery.start_soon(hearing.serve)
            stream = await peer.stream(GOSSIP)
            await until(lambda: bool(ours._pubsub.peers))
            began = trio.current_time()
            for number in range(30):
                ids = [b"%08d" % (1_000 * number + each) for each in range(1_000)]
                await stream.write(
                    rpc(control=rpc_pb2.ControlMessage(ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=ids)]))
                )
            await until(lambda: ours.tally.read()[Met.GOSSIP_CONTROL_IGNORED] > 20)
            await trio.sleep(0.2)
            asked = sum(len(iwant.messageIDs) for frame in hearing.frames for iwant in frame.control.iwant)
            heartbeats = 2 + (trio.current_time() - began) / gossipsub.HEARTBEAT_S
            assert 0 < asked <= gossipsub.MAX_ASKED_IDS * heartbeats
            nursery.cancel_scope.cancel()

    run(scene)


def test_10000_grafts_and_prunes_are_answered_64_times_and_then_once_a_second(
    run: Any, our_host: Any, until: Any
) -> None:
    async def scene() -> None:
        async with our_host() as ours, stranger(ours.addresses()[0]) as peer, trio.open_nursery() as nursery:
            await join(ours)
            hearing = Listening(peer)
            nursery.start_soon(hearing.serve)
            stream = await peer.stream(GOSSIP)
            await stream.write(subscribing(TOPIC))
            await until(lambda: bool(ours._pubsub.peers))
            # Out of the mesh, and in again before the back-off is over.
            in_and_out = rpc(
                control=rpc_pb2.ControlMessage(
                    graft=[rpc_pb2.ControlGraft(topicID=TOPIC)] * 32, prune=[rpc_pb2.ControlPrune(topicID=TOPIC)] * 32
                )
            )
            began = trio.current_time()
            for _ in range(157):
                await stream.write(in_and_out)
            await until(lambda: ours.tally.read()[Met.GOSSIP_CONTROL_IGNORED] > 9_000)
            took = trio.current_time() - began
            assert hearing.count("prune") <= gossipsub.CONTROL_BURST + took + 1
            assert peer.id not in ours._router.mesh[TOPIC], "whoever left stays away for a while"
            nursery.cancel_scope.cancel()

    run(scene)


def test_a_full_mesh_takes_nobody_in_and_says_when_to_come_back() -> None:
    told: list[tuple[str, ID]] = []

    async def scene() -> None:
        router = GuardedGossipSub(Tally())
        members = {ID(b"member %d" % number) for number in range(gossipsub.DEGREE_HIGH)}
        router.mesh[TOPIC] = set(members)

        async def emit(topic: str, to_peer: ID, do_px: bool, is_unsubscribe: bool) -> None:
            told.append((topic, to_peer))

        router.emit_prune = emit  # type: ignore[method-assign]
        newcomer = ID(b"newcomer")
        await router.handle_graft(rpc_pb2.ControlGraft(topicID=TOPIC), newcomer)
        assert router.mesh[TOPIC] == members
        assert told == [(TOPIC, newcomer)]
        assert router._check_back_off(newcomer, TOPIC)

    trio.run(scene)


def test_a_back_off_is_at_most_ten_minutes_and_forgotten_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    router = GuardedGossipSub(Tally())
    for number in range(1_000):
        router._add_back_off(ID(b"peer %d" % number), TOPIC, False, 2**63)
    assert max(router.back_off[TOPIC].values()) <= now + gossipsub.LONGEST_BACKOFF_S
    now += gossipsub.LONGEST_BACKOFF_S + 1
    router.mesh_heartbeat()
    assert router.back_off[TOPIC] == {}


def test_each_peer_is_told_at_a_heartbeat_what_concerns_it_and_nothing_else() -> None:
    """Stock repeats to each peer what it told those before it, which after three peers breaks our own limit."""

    async def scene() -> None:
        router = GuardedGossipSub(Tally())
        said: dict[ID, rpc_pb2.ControlMessage] = {}

        async def emit(control: rpc_pb2.ControlMessage, to_peer: ID) -> None:
            said[to_peer] = control

        router.emit_control_message = emit  # type: ignore[method-assign]
        peers = [ID(b"peer %d" % number) for number in range(5)]
        graft = {peer: list(TOPICS) for peer in peers}
        prune = {peers[0]: [TOPIC]}
        heard = {peers[1]: {TOPIC: [b"id"]}, ID(b"else"): {TOPIC: [b"id"]}}
        await router._emit_control_msgs(graft, prune, heard)
        assert {peer: len(control.graft) for peer, control in said.items()} == defaultdict(
            int, dict.fromkeys(peers, 16)
        ) | {ID(b"else"): 0}
        for control in said.values():
            frames.parse_rpc(rpc_pb2.RPC(control=control).SerializeToString(), set(TOPICS))
        assert [len(said[peer].prune) for peer in peers] == [1, 0, 0, 0, 0]
        assert said[peers[0]].prune[0].backoff == gossipsub.PRUNE_BACKOFF_S
        assert [len(said[peer].ihave) for peer in peers] == [0, 1, 0, 0, 0]

    trio.run(scene)


# Messages


def test_of_5000_messages_at_once_a_peer_gets_500_judged_and_then_50_a_second(
    run: Any, our_host: Any, until: Any
) -> None:
    async def scene() -> None:
        async with our_host() as ours, stranger(ours.addresses()[0]) as peer:
            got = await join(ours)
            stream = await peer.stream(GOSSIP)
            good = [peer.message(TOPIC, b"%d" % number) for number in range(5_000)]
            began = trio.current_time()
            for at in range(0, 5_000, 100):
                await stream.write(rpc(publish=good[at : at + 100]))
            await until(lambda: ours.tally.read()[Met.GOSSIP_OVER_PEER_RATE] >= 4_000, 10)
            took = trio.current_time() - began
            assert admission.PEER_BURST <= len(got) <= admission.PEER_BURST + admission.PEER_PER_S * took + 1
            assert ours.connected(), "a flood is no crime"

    run(scene)


def test_what_one_peer_brings_too_fast_is_taken_from_another(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with (
            our_host() as ours,
            stranger(ours.addresses()[0]) as flood,
            stranger(ours.addresses()[0]) as honest,
        ):
            got = await join(ours)
            author = honest.message(TOPIC, b"news")
            one, other = await flood.stream(GOSSIP), await honest.stream(GOSSIP)
            late = Verdict.LATER
            verdicts = {flood.peer_id: late, honest.peer_id: Verdict.ACCEPT}
            await ours.join(TOPIC, lambda data, peer: verdicts[peer], lambda data, peer: got.append(data))
            await one.write(rpc(publish=[author]))
            await trio.sleep(0.2)
            assert got == []
            await other.write(rpc(publish=[author]))
            await until(lambda: got == [b"news"])

    run(scene)


def test_reading_from_a_peer_pauses_when_it_sends_5000_messages_more_than_a_thousand_a_second(
    run: Any, our_host: Any, until: Any
) -> None:
    async def scene() -> None:
        async with our_host() as ours, stranger(ours.addresses()[0]) as peer:
            await join(ours)
            stream = await peer.stream(GOSSIP)
            frame = rpc(publish=[rpc_pb2.Message(from_id=b"p", seqno=b"1", data=b"", topicIDs=["/no"])] * 2_000)
            async with trio.open_nursery() as nursery:

                async def send() -> None:
                    for _ in range(6):
                        await stream.write(frame)

                nursery.start_soon(send)
                await until(lambda: ours.tally.read()[Met.GOSSIP_READING_PAUSED] >= 1)
                nursery.cancel_scope.cancel()

    run(scene)


def test_of_recent_messages_16_mib_are_kept() -> None:
    kept = RecentMessages()
    for number in range(1_000):
        kept.put(rpc_pb2.Message(from_id=b"p", seqno=b"%d" % number, data=bytes(60_000), topicIDs=[TOPIC]))
        assert kept.size_bytes <= recent.MAX_RECENT_BYTES
    window = kept.window(TOPIC)
    assert len(window) == len(kept.msgs) == recent.MAX_RECENT_BYTES // 60_020
    assert kept.get(b"p999") is not None
    assert kept.get(b"p0") is None
    for _ in range(recent.HISTORY):
        kept.shift()
    assert (kept.size_bytes, len(kept.msgs)) == (0, 0)


# What we send


def test_for_a_peer_that_does_not_read_1_mib_waits_and_the_rest_is_counted(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours, stranger(ours.addresses()[0]) as peer, trio.open_nursery() as nursery:
            await join(ours)
            hearing = Listening(peer)
            nursery.start_soon(lambda: hearing.serve(reads=False))
            stream = await peer.stream(GOSSIP)
            await stream.write(subscribing(TOPIC))
            await until(lambda: peer.id in ours._router.mesh[TOPIC])
            for _ in range(60):
                await ours._pubsub.publish(TOPIC, b"x" * 60_000)
            queue = ours._pubsub.peer_queues[peer.id]
            assert isinstance(queue, SendQueue)
            assert queue._waiting_bytes <= sendqueue.MAX_QUEUED_BYTES
            assert ours.tally.read()[Met.OWN_GOSSIP_NOT_SENT] >= 60 - 30, "no announcement is dropped without a word"
            nursery.cancel_scope.cancel()

    run(scene)


def test_announcements_wait_for_a_neighbour_that_is_only_a_little_slow(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours, stranger(ours.addresses()[0]) as peer, trio.open_nursery() as nursery:
            await join(ours)
            hearing = Listening(peer)
            nursery.start_soon(hearing.serve)
            stream = await peer.stream(GOSSIP)
            await stream.write(subscribing(TOPIC))
            await until(lambda: peer.id in ours._router.mesh[TOPIC])
            for number in range(600):
                await ours.publish(TOPIC, b"%03d" % number + b"x" * 2_000)
            await until(lambda: sum(len(frame.publish) for frame in hearing.frames) >= 600, 20)
            assert ours.tally.read()[Met.OWN_GOSSIP_NOT_SENT] == 0
            nursery.cancel_scope.cancel()

    run(scene)
