"""The counters behind the gates: doorman, faults, seen messages, frames."""

import pytest
from libp2p.pubsub.pb import rpc_pb2

from unhush.gossip.errors import RemoteProtocolError
from unhush.gossip.net import faults
from unhush.gossip.net.faults import FaultLedger
from unhush.gossip.net.pubsub import rpc, seen
from unhush.gossip.net.pubsub.seen import SeenMessages
from unhush.gossip.net.wire import doorman
from unhush.gossip.net.wire.doorman import Doorman, Ticket
from unhush.gossip.proto import visits
from unhush.gossip.proto.tally import Met, Tally

TOPIC = "/unhush/1/test/0"


def must_knock(door: Doorman, host: str) -> Ticket:
    ticket = door.knock(host)
    assert ticket is not None
    return ticket


# Doorman


def test_one_address_gets_eight_pending_places() -> None:
    door = Doorman(exempt_loopback=False)
    for _ in range(doorman.MAX_PENDING_PER_ADDRESS):
        must_knock(door, "198.51.100.7")
    assert door.knock("198.51.100.7") is None
    assert door.knock("198.51.100.8") is not None


def test_a_pending_place_is_given_back_once() -> None:
    door = Doorman(exempt_loopback=False)
    ticket = must_knock(door, "198.51.100.7")
    ticket.leave()
    ticket.leave()
    assert (door.pending_count, door.live_count) == (0, 0)


def test_one_address_gets_four_live_places() -> None:
    door = Doorman(exempt_loopback=False)
    for _ in range(doorman.MAX_LIVE_PER_ADDRESS):
        assert must_knock(door, "198.51.100.7").admit()
    assert door.knock("198.51.100.7") is None


def test_handshakes_that_end_together_do_not_overfill_an_address() -> None:
    door = Doorman(exempt_loopback=False)
    tickets = [must_knock(door, "198.51.100.7") for _ in range(8)]
    assert [ticket.admit() for ticket in tickets] == [True] * 4 + [False] * 4
    for ticket in tickets:
        ticket.leave()
    assert (door.pending_count, door.live_count) == (0, 0)


def test_a_block_of_256_addresses_gets_sixteen_places() -> None:
    door = Doorman(exempt_loopback=False)
    admitted = [ticket for last in range(40) if (ticket := door.knock(f"198.51.100.{last}")) and ticket.admit()]
    assert len(admitted) == doorman.MAX_LIVE_PER_BLOCK
    assert must_knock(door, "203.0.113.1").admit()


def test_an_ipv6_household_is_one_address() -> None:
    door = Doorman(exempt_loopback=False)
    for last in range(doorman.MAX_PENDING_PER_ADDRESS):
        must_knock(door, f"2001:db8::{last:x}")
    assert door.knock("2001:db8::ffff:1") is None
    assert door.knock("2001:db8:0:1::1") is not None


def test_an_ipv4_address_in_ipv6_clothes_is_the_same_address() -> None:
    door = Doorman(exempt_loopback=False)
    for _ in range(doorman.MAX_PENDING_PER_ADDRESS):
        must_knock(door, "::ffff:198.51.100.7")
    assert door.knock("198.51.100.7") is None


def test_loopback_is_exempt_only_when_configured() -> None:
    strict, lax = Doorman(exempt_loopback=False), Doorman(exempt_loopback=True)
    assert sum(strict.knock("127.0.0.1") is not None for _ in range(50)) == doorman.MAX_PENDING_PER_ADDRESS
    assert sum(lax.knock("127.0.0.1") is not None for _ in range(50)) == 50
    assert sum(lax.knock("192.168.1.9") is not None for _ in range(50)) == 50


def test_exempt_addresses_still_count_in_all() -> None:
    door = Doorman(exempt_loopback=True)
    assert sum(must_knock(door, "127.0.0.1").admit() for _ in range(64)) == 64
    assert door.knock("127.0.0.1") is None
    assert door.knock("203.0.113.1") is None


def test_who_comes_again_and_again_is_turned_away_before_the_handshake_and_counted() -> None:
    now, tally = 0.0, Tally()
    door = Doorman(exempt_loopback=False, tally=tally, clock=lambda: now)

    def come(host: str) -> bool:
        if (ticket := door.knock(host)) is None:
            return False
        ticket.came()
        assert ticket.admit()
        ticket.leave()
        return True

    assert sum(come("198.51.100.7") for _ in range(30)) == visits.PER_ADDRESS
    assert tally.read()[Met.VISIT_REFUSED] == 20
    assert come("203.0.113.1")
    now = 1.0
    assert [come("198.51.100.7") for _ in range(2)] == [True, False]


def test_an_ipv6_household_comes_as_often_as_one_address() -> None:
    door = Doorman(exempt_loopback=False, clock=lambda: 0.0)
    came = 0
    for last in range(50):
        if ticket := door.knock(f"2001:db8::{last:x}"):
            ticket.came()
            ticket.leave()
            came += 1
    assert came == visits.PER_ADDRESS


def test_sockets_that_say_nothing_use_nothing_up() -> None:
    door = Doorman(exempt_loopback=False, clock=lambda: 0.0)
    for _ in range(1_000):
        must_knock(door, "198.51.100.7").leave()
    assert must_knock(door, "198.51.100.7").admit()


def test_loopback_comes_as_often_as_it_likes_only_when_configured() -> None:
    def count(door: Doorman, host: str) -> int:
        came = 0
        for _ in range(100):
            if ticket := door.knock(host):
                ticket.came()
                ticket.leave()
                came += 1
        return came

    assert count(Doorman(exempt_loopback=True), "127.0.0.1") == 100
    assert count(Doorman(exempt_loopback=False, clock=lambda: 0.0), "127.0.0.1") == visits.PER_ADDRESS


def test_the_doorman_forgets_who_left() -> None:
    door = Doorman(exempt_loopback=False)
    for number in range(10_000):
        ticket = must_knock(door, f"10.{number >> 8}.{number & 255}.1")
        ticket.admit()
        ticket.leave()
    assert not door._pending
    assert not door._live
    assert not door._live_by_block


# Faults


def test_the_third_fault_within_ten_minutes_bans_for_an_hour() -> None:
    ledger = FaultLedger()
    assert [ledger.record("p", now) for now in (0.0, 1.0, 2.0)] == [False, False, True]
    assert ledger.is_banned("p", 2.0)
    assert ledger.is_banned("p", 2.0 + faults.BAN_S - 1)
    assert not ledger.is_banned("p", 2.0 + faults.BAN_S)
    assert not ledger.is_banned("q", 2.0)


def test_faults_long_apart_do_not_ban() -> None:
    ledger = FaultLedger()
    assert not any(ledger.record("p", now * 400.0) for now in range(20))


def test_a_ban_that_ended_starts_from_nothing() -> None:
    ledger = FaultLedger()
    for now in (0.0, 1.0, 2.0):
        ledger.record("p", now)
    later = 3.0 + faults.BAN_S
    assert not ledger.record("p", later)
    assert not ledger.is_banned("p", later)


def test_the_ledger_is_bounded() -> None:
    ledger = FaultLedger()
    for number in range(3 * faults.MAX_PEERS):
        for now in (0.0, 1.0, 2.0):
            ledger.record(f"bad{number}", now)
        ledger.record(f"once{number}", 0.0)
    assert len(ledger._faults) <= faults.MAX_PEERS
    assert len(ledger._banned_until) <= faults.MAX_PEERS


# Seen messages


def test_an_id_is_new_once() -> None:
    cache = SeenMessages(lambda: 0.0)
    assert cache.add(b"a")
    assert not cache.add(b"a")
    assert cache.has(b"a")


def test_an_id_is_forgotten_in_time_however_often_it_is_repeated() -> None:
    now = 0.0
    cache = SeenMessages(lambda: now)
    cache.add(b"a")
    while now < seen.REMEMBER_S - 10:
        now += 5.0
        cache.add(b"a")
    now = seen.REMEMBER_S
    assert not cache.has(b"a")


def test_seen_messages_are_bounded() -> None:
    cache = SeenMessages(lambda: 0.0)
    for number in range(seen.MAX_SEEN + 100):
        cache.add(b"%d" % number)
    assert cache.length() == seen.MAX_SEEN
    assert not cache.has(b"0")


# Frames


def frame(**fields: object) -> bytes:
    return rpc_pb2.RPC(**fields).SerializeToString()  # type: ignore[arg-type]


def test_a_frame_that_is_not_protobuf_is_the_peers_fault() -> None:
    with pytest.raises(RemoteProtocolError):
        rpc.parse_rpc(b"\xff" * 10, {TOPIC})


def test_33_subscriptions_in_a_frame_are_too_many() -> None:
    def subscribing(number: int) -> bytes:
        return frame(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=TOPIC)] * number)

    assert len(rpc.parse_rpc(subscribing(32), {TOPIC}).subscriptions) == 32
    with pytest.raises(RemoteProtocolError):
        rpc.parse_rpc(subscribing(33), {TOPIC})


def test_control_on_other_topics_never_reaches_the_router() -> None:
    names = [f"/other/{number}" for number in range(1000)]
    control = rpc_pb2.ControlMessage(
        graft=[rpc_pb2.ControlGraft(topicID=name) for name in (*names, TOPIC)],
        prune=[rpc_pb2.ControlPrune(topicID=name) for name in names],
        ihave=[rpc_pb2.ControlIHave(topicID=name) for name in names],
    )
    kept = rpc.parse_rpc(frame(control=control), {TOPIC}).control
    assert [entry.topicID for entry in kept.graft] == [TOPIC]
    assert not kept.prune
    assert not kept.ihave


def test_control_floods_on_our_own_topics_are_a_fault() -> None:
    control = rpc_pb2.ControlMessage(graft=[rpc_pb2.ControlGraft(topicID=TOPIC)] * 33)
    with pytest.raises(RemoteProtocolError):
        rpc.parse_rpc(frame(control=control), {TOPIC})


def test_long_lists_of_ids_are_cut_and_peer_exchange_dropped() -> None:
    control = rpc_pb2.ControlMessage(
        ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[b"id"] * 5000)],
        iwant=[rpc_pb2.ControlIWant(messageIDs=[b"id"] * 5000)],
        prune=[rpc_pb2.ControlPrune(topicID=TOPIC, peers=[rpc_pb2.PeerInfo(peerID=b"p")])],
    )
    kept = rpc.parse_rpc(frame(control=control, senderRecord=b"record"), {TOPIC})
    assert len(kept.control.ihave[0].messageIDs) == rpc.MAX_IDS_PER_ENTRY
    assert len(kept.control.iwant[0].messageIDs) == rpc.MAX_IDS_PER_ENTRY
    assert not kept.control.prune[0].peers
    assert not kept.HasField("senderRecord")


@pytest.mark.parametrize(
    "message",
    [
        rpc_pb2.Message(topicIDs=[]),
        rpc_pb2.Message(topicIDs=[TOPIC, TOPIC]),
        rpc_pb2.Message(topicIDs=[TOPIC], data=b"x" * (rpc.MAX_MESSAGE_BYTES + 1)),
        rpc_pb2.Message(topicIDs=[TOPIC], from_id=b"x" * 100, seqno=b"x" * 100),
    ],
)
def test_a_message_must_have_one_topic_and_a_legal_size(message: rpc_pb2.Message) -> None:
    with pytest.raises(RemoteProtocolError):
        rpc.check_message(message)


def test_a_full_message_is_legal() -> None:
    rpc.check_message(rpc_pb2.Message(topicIDs=[TOPIC], data=b"x" * rpc.MAX_MESSAGE_BYTES, seqno=b"12345678"))
