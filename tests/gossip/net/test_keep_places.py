"""Who is served and who gives way: silent streams keep nobody out."""

import pytest

from unhush.gossip.net.keep.places import (
    IDLE_S,
    MAX_SERVED,
    MAX_SERVED_PER_PEER,
    MAX_STRANGERS,
    MAX_STRANGERS_PER_BLOCK,
    Place,
    Places,
)
from unhush.gossip.proto.shares import Asker
from unhush.gossip.proto.sightings import rented_block_of


def stranger(number: int) -> Asker:
    return Asker(f"stranger {number}", f"10.{number}.0.0/24")


def begin(places: Places, asker: Asker, now: float = 0.0, *, is_busy: bool = False) -> Place:
    place = places.begin(asker, now)
    assert place is not None
    if is_busy:
        place.idle_since = None
    return place


def test_eight_silent_peers_keep_no_ninth_out() -> None:
    places = Places()
    held = [begin(places, stranger(each % (MAX_STRANGERS // 2))) for each in range(MAX_STRANGERS)]
    begin(places, stranger(100), 0.1)
    assert [place in places for place in held] == [False] + [True] * (MAX_STRANGERS - 1)
    assert len(places) == MAX_STRANGERS


def test_who_waits_with_one_stream_gives_way_after_a_few_seconds() -> None:
    places = Places()
    held = [begin(places, stranger(each)) for each in range(MAX_STRANGERS)]
    assert places.begin(stranger(100), IDLE_S - 0.1) is None
    begin(places, stranger(100), IDLE_S)
    assert held[0] not in places
    assert held[1] in places


def test_what_is_being_answered_gives_way_only_to_who_holds_less() -> None:
    places = Places()
    held = [begin(places, stranger(each), is_busy=True) for each in range(MAX_STRANGERS)]
    assert places.begin(stranger(100), 60.0) is None
    places.end(held[0])
    second = begin(places, stranger(1), is_busy=True)
    begin(places, stranger(100), 60.0)
    assert held[1] not in places
    assert second in places


def test_a_peer_and_a_network_have_few_places_of_all() -> None:
    places = Places()
    for number in range(MAX_STRANGERS_PER_BLOCK):
        begin(places, Asker(f"one of many {number}", "10.0.0.0/24"), is_busy=True)
    assert places.begin(Asker("one more", "10.0.0.0/24"), 60.0) is None
    for _ in range(MAX_SERVED_PER_PEER):
        begin(places, stranger(1))
    assert places.begin(stranger(1), 60.0) is None


def test_half_of_the_places_is_for_those_we_know() -> None:
    places = Places()
    for number in range(MAX_STRANGERS):
        begin(places, stranger(number), is_busy=True)
    friends = [Asker(f"friend {number}", "10.0.0.0/24", is_known=True) for number in range(MAX_SERVED)]
    for friend in friends[: MAX_SERVED - MAX_STRANGERS]:
        begin(places, friend, is_busy=True)
    assert places.begin(friends[-1], 1.0) is None
    assert places.begin(stranger(100), 60.0) is None
    assert len(places) == MAX_SERVED


def test_strangers_that_wait_give_way_to_friends_before_friends_that_wait() -> None:
    places = Places()
    friends = [begin(places, Asker(f"friend {each}", None, is_known=True)) for each in range(MAX_SERVED - 1)]
    guest = begin(places, stranger(1))
    begin(places, Asker("another friend", None, is_known=True), IDLE_S)
    assert guest not in places
    assert all(friend in places for friend in friends)


@pytest.mark.parametrize(
    ("far_end", "block"),
    [
        ("/ip4/8.8.8.8/tcp/1", "8.8.8.0/24"),
        ("/ip6/::ffff:8.8.8.8/tcp/1", "8.8.8.0/24"),
        ("/ip6/2a00:1450:4001:80b::1/tcp/1", "2a00:1450:4001::/48"),
        ("/ip4/127.0.0.1/tcp/1", None),
        ("/ip4/192.168.1.5/tcp/1", None),
        ("/p2p/Relay/p2p-circuit", "Relay"),
        ("/ip4/what/tcp/1", ""),
        ("", ""),
    ],
)
def test_the_network_of_a_far_end(far_end: str, block: str | None) -> None:
    assert rented_block_of(far_end) == block
