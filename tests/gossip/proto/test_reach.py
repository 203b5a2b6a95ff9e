"""What peers say of our address becomes one judgement, and a relay's books hold."""

from dataclasses import replace

from unhush.gossip.proto import relays
from unhush.gossip.proto.dialbacks import Patience
from unhush.gossip.proto.reach import FRESH_S, MAX_VIEWS, Reach, Reachability, View
from unhush.gossip.proto.relays import Circuit, Refusal, RelayBook

OUTSIDE = "/ip4/8.8.4.4/tcp/50001"
INSIDE = "/ip4/192.168.1.5/tcp/50001"


def view(peer: str, observed: str, reached: bool | None, *, skew_ms: int | None = 0, at: float = 0.0) -> View:
    return View(peer, observed, reached, skew_ms, at)


def known(*views: View) -> Reachability:
    reach = Reachability()
    for each in views:
        reach.saw(each)
    return reach


def test_nothing_is_known_at_first_and_after_an_hour() -> None:
    reach = known(view("a", OUTSIDE, True))
    assert known().verdict(0) is Reach.UNKNOWN
    assert reach.verdict(FRESH_S) is Reach.OPEN
    assert reach.verdict(FRESH_S + 1) is Reach.UNKNOWN


def test_the_own_network_says_nothing_of_the_internet() -> None:
    lan = (view("a", INSIDE, True), view("b", INSIDE, True))
    assert known(*lan).verdict(0) is Reach.OPEN
    assert known(*lan, view("c", OUTSIDE, False)).verdict(0) is Reach.CLOSED
    assert known(*lan, view("c", OUTSIDE, None)).verdict(0) is Reach.UNKNOWN


def test_the_majority_counts_and_an_arrival_more_than_any_word() -> None:
    reach = known(view("a", OUTSIDE, False), view("b", OUTSIDE, False), view("c", OUTSIDE, True))
    assert reach.verdict(0) is Reach.CLOSED
    reach.came_in("/ip4/192.168.1.9/tcp/1", 0)
    assert reach.verdict(0) is Reach.CLOSED
    reach.came_in("/ip4/1.1.1.1/tcp/1", 0)
    assert reach.verdict(0) is Reach.OPEN


def test_a_peer_that_did_not_try_again_keeps_its_word() -> None:
    reach = known(view("a", OUTSIDE, False), view("a", OUTSIDE, None, at=10))
    assert reach.verdict(10) is Reach.CLOSED


def test_an_address_outside_is_one_at_which_a_peer_we_chose_reached_us() -> None:
    said = view("a", OUTSIDE, True)
    assert known(said).outside(0) == ()
    assert known(replace(said, is_chosen=True)).outside(0) == ("8.8.4.4",)
    assert known(replace(said, is_chosen=True, reached=False)).outside(0) == ()
    assert known(replace(said, is_chosen=True, observed=INSIDE)).outside(0) == ()


def test_only_so_many_views_are_kept_and_the_middle_clock_counts() -> None:
    reach = known(*(view(str(number), OUTSIDE, True, skew_ms=number) for number in range(1_000)))
    assert len(reach.views(0)) == MAX_VIEWS
    assert known(view("a", OUTSIDE, True, skew_ms=9_999_999), *(view(p, OUTSIDE, True) for p in "bc")).skew_ms(0) == 0


def test_a_relay_keeps_64_places_8_of_a_block_and_each_for_an_hour() -> None:
    book = RelayBook()
    given = [book.reserve(f"p{number}", f"block{number // 20}", 0.0) for number in range(200)]
    assert given.count(None) == relays.MAX_RESERVATIONS
    assert [book.reserve(f"p{number}", "block0", 0.0) for number in range(20)].count(None) == 8
    assert book.reserve("late", "elsewhere", 1.0) is Refusal.TOO_MANY_RESERVATIONS
    assert book.reserve("late", "elsewhere", relays.RESERVATION_S) is None
    assert book.reservation_count == 1


def test_a_relay_carries_32_circuits_4_from_and_8_to_one_peer() -> None:
    book = RelayBook()
    for number in range(10):
        assert book.reserve(f"t{number}", f"block{number}", 0.0) is None
    assert book.open("s", "nobody", 0.0) is Refusal.NO_RESERVATION
    assert [isinstance(book.open("s", "t0", 0.0), Circuit) for _ in range(9)].count(True) == relays.MAX_CIRCUITS_FROM
    to_one = [isinstance(book.open(f"s{number}", "t0", 0.0), Circuit) for number in range(20)]
    assert to_one.count(True) == relays.MAX_CIRCUITS_TO - relays.MAX_CIRCUITS_FROM
    for number in range(100):
        book.open(f"s{number}", f"t{number % 9 + 1}", 0.0)
    assert book.circuit_count == relays.MAX_CIRCUITS


def test_a_circuit_and_an_hour_of_all_have_their_bytes() -> None:
    book = RelayBook()
    book.reserve("t", "b", 0.0)
    circuit = book.open("s", "t", 0.0)
    assert isinstance(circuit, Circuit)
    assert book.spend(circuit, relays.CIRCUIT_BYTES, 0.0)
    assert not book.spend(circuit, 1, 0.0)
    book.close(circuit)
    for number in range(relays.BYTES_PER_HOUR // relays.CIRCUIT_BYTES - 1):
        circuit = book.open(f"s{number}", "t", 0.0)
        assert isinstance(circuit, Circuit)
        assert book.spend(circuit, relays.CIRCUIT_BYTES, 0.0)
        book.close(circuit)
    assert book.open("s", "t", 1.0) is Refusal.TOO_MANY_CIRCUITS
    book.reserve("t", "b", relays.HOUR_S)
    assert isinstance(book.open("s", "t", relays.HOUR_S), Circuit)


def test_a_thousand_addresses_get_30_tries_a_minute() -> None:
    patience = Patience()
    assert sum(patience.allows(f"10.0.{n // 250}.{n % 250}/32", 0.0) for n in range(5_000)) == 30
    assert sum(patience.allows("192.0.2.1/32", 60.0) for _ in range(100)) == 4
