"""Peers are asked whom they know, not too often, and what nobody asked for is skipped."""

from random import Random

import pytest
from tests.gossip.proto.conftest import End, Pair, account
from tests.gossip.proto.test_hostile import Victim

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Greeted, PeersAsked, PeersTold
from unhush.gossip.proto.carriage import MAX_CARRIAGE_BYTES, is_carriage, may_carry, pack_carriage, says_something
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import AskForPeers, TellPeers
from unhush.gossip.proto.faults import MalformedFrame
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frame_parsing import parse_frame
from unhush.gossip.proto.frames import Hello, KnownFrame, KnownPeer, PeersFrame
from unhush.identity.codec import decode_map, encode

SOMEBODY = KnownPeer("/ip4/8.8.8.8/tcp/4470/p2p/12D3KooW", pack_carriage([account("Ann")]))
ELSEBODY = KnownPeer("/ip6/2606:4700::1/tcp/4470/p2p/12D3KooX")


def asked(end: End) -> int:
    return sum(isinstance(sent, PeersFrame) for sent in end.sent)


def test_a_peer_that_is_asked_tells_whom_it_knows() -> None:
    pair = Pair().open().run()
    pair.b.feed(AskForPeers())
    pair.run()
    assert PeersAsked() in pair.a.about_peers
    pair.a.feed(TellPeers((SOMEBODY, ELSEBODY)))
    pair.run()
    assert pair.b.about_peers[-1] == PeersTold((SOMEBODY, ELSEBODY))


def test_a_question_from_before_the_hello_is_asked_after_it() -> None:
    pair = Pair()
    pair.b.feed(AskForPeers())
    pair.open().run()
    assert PeersAsked() in pair.a.about_peers


def test_each_side_hears_where_the_other_listens() -> None:
    config = SessionConfig("test", "test", listen=("/ip4/192.168.1.2/tcp/4470",))
    pair = Pair(b=config).open().run()
    assert pair.a.about_peers == [Greeted(("/ip4/192.168.1.2/tcp/4470",))]
    assert pair.b.about_peers == [Greeted(())]


def test_nobody_is_asked_twice_within_a_minute() -> None:
    pair = Pair().open().run()
    for _ in range(130):
        pair.b.feed(AskForPeers())
        pair.a.feed(TellPeers((SOMEBODY,)))
        pair.wait(1)
    assert asked(pair.b) == 3
    assert pair.b.closed is None


def test_who_asks_again_at_once_is_refused() -> None:
    victim = Victim()
    victim.hear(PeersFrame())
    assert not victim.is_closed()
    victim.hear(PeersFrame())
    victim.assert_closed("too-many-frames")


def test_an_answer_nobody_waits_for_is_skipped() -> None:
    victim = Victim()
    victim.hear(KnownFrame((SOMEBODY,)))
    assert not victim.is_closed()
    assert not any(isinstance(each, PeersTold) for each in victim.end.about_peers)


def test_nothing_is_told_that_was_not_asked() -> None:
    pair = Pair().open().run()
    pair.a.feed(TellPeers((SOMEBODY,)))
    pair.run()
    assert not any(isinstance(sent, KnownFrame) for sent in pair.a.sent)


def test_at_most_sixteen_are_told() -> None:
    pair = Pair().open().run()
    pair.b.feed(AskForPeers())
    pair.run()
    pair.a.feed(TellPeers((SOMEBODY,) * 40))
    pair.run()
    assert pair.b.about_peers[-1] == PeersTold((SOMEBODY,) * limits.MAX_PEERS_TOLD)


@pytest.mark.parametrize(
    "frame",
    [PeersFrame(), KnownFrame(), KnownFrame((SOMEBODY, ELSEBODY)), Hello("test", "a", listen=("/ip4/1.1.1.1/tcp/1",))],
)
def test_frames_come_back_as_they_went(frame: PeersFrame | KnownFrame | Hello) -> None:
    assert parse_frame(encode_frame(frame)) == frame


def test_a_hello_without_addresses_is_the_hello_of_before() -> None:
    assert "listen" not in decode_map(encode_frame(Hello("test", "a")))


@pytest.mark.parametrize(
    "listen",
    [
        "/ip4/1.1.1.1/tcp/1",
        [1],
        [b"x"],
        [None],
        ["x" * (limits.MAX_ADDRESS_BYTES + 1)],
        ["x"] * (limits.MAX_LISTEN + 1),
    ],
)
def test_a_hello_with_other_addresses_is_malformed(listen: object) -> None:
    fields = decode_map(encode_frame(Hello("test", "a"))) | {"listen": listen}
    with pytest.raises(MalformedFrame):
        parse_frame(encode(fields))  # type: ignore[arg-type]  # what a stranger might send


@pytest.mark.parametrize(
    "peers",
    [
        None,
        [["x"]],
        [["x", "y"]],
        [[b"x", b""]],
        [["x", b"1"]],
        [["x", bytes(17)]],
        [["x", bytes(2 * MAX_CARRIAGE_BYTES)]],
        [["x" * 300, b""]],
        [["x", b""]] * (limits.MAX_PEERS_TOLD + 1),
    ],
)
def test_an_answer_that_breaks_its_rules_is_malformed(peers: object) -> None:
    with pytest.raises(MalformedFrame):
        parse_frame(encode({"type": "known", "peers": peers}))  # type: ignore[dict-item]  # as above


def test_an_answer_of_the_largest_size_is_a_small_frame() -> None:
    largest = KnownPeer("x" * limits.MAX_ADDRESS_BYTES, bytes(MAX_CARRIAGE_BYTES))
    assert len(encode_frame(KnownFrame((largest,) * limits.MAX_PEERS_TOLD))) < 40_000


@pytest.mark.parametrize("count", [1, 12, 100, 1_600])
def test_carriage_names_all_it_holds_and_few_others(count: int) -> None:
    held = [account(f"held {number}") for number in range(count)]
    packed = pack_carriage(held)
    assert is_carriage(packed)
    assert says_something(packed)
    assert all(may_carry(packed, each) for each in held)
    wrong = sum(may_carry(packed, account(f"other {number}")) for number in range(2_000))
    assert wrong <= 60, f"{wrong} of 2,000"


def test_who_carries_nobody_or_nearly_everybody_is_told_of_without_carriage() -> None:
    assert pack_carriage([]) == b""
    assert pack_carriage([account(f"{number}") for number in range(4_000)]) == b""
    assert not may_carry(b"", account("Ann"))


def test_a_full_filter_says_nothing() -> None:
    assert not says_something(b"\xff" * 64)
    assert not says_something(bytes(64))
    dice = Random(1)
    assert says_something(dice.randbytes(64))
