"""What peers say of our address becomes one judgement, and a relay's books hold."""

from dataclasses import replace
from functools import partial

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
    given = [book.reserve(f"p{number}", f"block{number // 20}", 0.0) for number in range(160)]
    assert given.count(None) == relays.MAX_RESERVATIONS
    assert [book.reserve(f"p{number}", "block0", 0.0) for number in range(20)].count(None) == 8
    assert book.reserve("late", "block1", 1.0) is Refusal.TOO_MANY_RESERVATIONS
    assert book.reserve("late", "elsewhere", relays.RESERVATION_S) is None
    assert book.reservation_count == 1


def opened(book: RelayBook, source: str, target: str, block: str = "b", now: float = 0.0) -> Circuit:
    circuit = book.open(source, target, block, now)
    assert isinstance(circuit, Circuit)
    return circuit


def a_full_relay(sources_per_block: int, blocks: int) -> tuple[RelayBook, list[Circuit]]:
    """All circuits taken, four by each source, to ten targets in turn."""
    book = RelayBook()
    for number in range(10):
        assert book.reserve(f"t{number}", f"block{number}", 0.0) is None
    held = [
        opened(book, f"s{block}.{source}", f"t{(block * sources_per_block + source + turn) % 10}", f"greedy{block}")
        for block in range(blocks)
        for source in range(sources_per_block)
        for turn in range(relays.MAX_CIRCUITS_FROM)
    ]
    assert book.circuit_count == relays.MAX_CIRCUITS
    return book, held


def test_a_relay_carries_32_circuits_4_from_and_8_to_one_peer() -> None:
    book = RelayBook()
    for number in range(10):
        assert book.reserve(f"t{number}", f"block{number}", 0.0) is None
    assert book.open("s", "nobody", "b", 0.0) is Refusal.NO_RESERVATION
    from_one = [isinstance(book.open("s", f"t{number % 2}", "b", 0.0), Circuit) for number in range(9)]
    assert from_one.count(True) == relays.MAX_CIRCUITS_FROM
    for number in range(50):
        book.open(f"s{number}", "t0", f"block{number}", 0.0)
        assert sum(circuit.target == "t0" for circuit in book._circuits) <= relays.MAX_CIRCUITS_TO
    for number in range(100):
        book.open(f"s{number}", f"t{number % 9 + 1}", f"block{number}", 0.0)
    assert book.circuit_count == relays.MAX_CIRCUITS


def test_eight_peers_with_all_circuits_give_way_to_everybody_else() -> None:
    book, held = a_full_relay(sources_per_block=1, blocks=8)
    cut: list[Circuit] = []
    for circuit in held:
        circuit.when_cut = partial(cut.append, circuit)
    for number in range(8):
        opened(book, f"honest{number}", f"t{number}", f"home{number}")
    assert len(cut) == 8
    assert {circuit.source for circuit in cut} == {circuit.source for circuit in held}  # from each the same
    assert book.circuit_count == relays.MAX_CIRCUITS


def test_many_peers_of_one_block_count_as_one() -> None:
    book, held = a_full_relay(sources_per_block=8, blocks=1)
    mine = [opened(book, f"honest{number}", f"t{number % 10}", f"home{number}") for number in range(20)]
    assert sum(circuit in book._circuits for circuit in mine) == 20
    assert sum(circuit in book._circuits for circuit in held) == relays.MAX_CIRCUITS - 20
    assert book.open("s0.0", "t0", "greedy0", 0.0) is Refusal.TOO_MANY_CIRCUITS  # there is nobody who has more


def test_who_has_as_many_waits_and_with_one_less_for_a_minute() -> None:
    book = RelayBook()
    for number in range(4):
        book.reserve(f"t{number}", f"block{number}", 0.0)
    held = [opened(book, f"s{number}", f"t{number % 4}", f"home{number}") for number in range(relays.MAX_CIRCUITS)]
    assert book.open("late", "t0", "elsewhere", relays.MIN_CIRCUIT_S - 1) is Refusal.TOO_MANY_CIRCUITS
    assert book.open("s1", "t1", "home1", relays.MIN_CIRCUIT_S) is Refusal.TOO_MANY_CIRCUITS
    opened(book, "late", "t0", "elsewhere", relays.MIN_CIRCUIT_S)
    assert held[0] not in book._circuits


def test_a_peer_calls_20_times_a_minute_and_its_block_60_times() -> None:
    book = RelayBook()
    book.reserve("t", "b", 0.0)

    def calls(source: str, block: str) -> int:
        said = [book.open(source, "t", block, 0.0) for _ in range(100)]
        for each in said:
            if isinstance(each, Circuit):
                book.close(each)
        return sum(each is not Refusal.TOO_MANY_CALLS for each in said)

    assert [calls(f"s{number}", "one") for number in range(5)] == [20, 20, 20, 0, 0]
    assert calls("s9", "other") == 20
    opened(book, "s9", "t", "other", relays.CALLS_S)


def test_the_most_crowded_block_gives_its_oldest_place_away() -> None:
    book = RelayBook()
    for number in range(relays.MAX_RESERVATIONS):
        assert book.reserve(f"p{number}", f"block{number // 8}", 0.0) is None
    assert book.reserve("mine", "home", 0.0) is None
    assert book.take_displaced() == ("p0",)
    assert book.take_displaced() == ()
    assert book.open("s", "p0", "x", 0.0) is Refusal.NO_RESERVATION
    assert book.reserve("mine", "home", 1.0) is None
    assert book.reserve("p1", "block0", 1.0) is None
    assert (book.reservation_count, book.take_displaced()) == (relays.MAX_RESERVATIONS, ())


def test_a_circuit_and_an_hour_of_all_have_their_bytes() -> None:
    book = RelayBook()
    book.reserve("t", "b", 0.0)
    circuit = opened(book, "s", "t")
    assert book.spend(circuit, relays.CIRCUIT_BYTES, 0.0)
    assert not book.spend(circuit, 1, 0.0)
    book.close(circuit)
    for number in range(1, relays.BYTES_PER_HOUR // relays.CIRCUIT_BYTES):
        circuit = opened(book, f"s{number}", "t", f"block{number}")
        assert book.spend(circuit, relays.CIRCUIT_BYTES, 0.0)
        book.close(circuit)
    assert book.open("s", "t", "elsewhere", 1.0) is Refusal.TOO_MANY_CIRCUITS
    book.reserve("t", "b", relays.HOUR_S)
    opened(book, "s", "t", "b", relays.HOUR_S)


def test_one_block_leaves_half_of_the_hour_to_others() -> None:
    book = RelayBook()
    book.reserve("t", "b", 0.0)
    carried = 0
    for number in range(20):
        circuit = book.open(f"s{number}", "t", "greedy", 0.0)
        if isinstance(circuit, Circuit):
            carried += relays.CIRCUIT_BYTES * book.spend(circuit, relays.CIRCUIT_BYTES, 0.0)
            book.close(circuit)
    assert carried == relays.BYTES_PER_HOUR_AND_BLOCK
    assert book.spend(opened(book, "honest", "t", "home"), relays.CIRCUIT_BYTES, 0.0)


def test_a_thousand_addresses_get_30_tries_a_minute() -> None:
    patience = Patience()
    assert sum(patience.allows(f"10.0.{n // 250}.{n % 250}/32", 0.0) for n in range(5_000)) == 30
    assert sum(patience.allows("192.0.2.1/32", 60.0) for _ in range(100)) == 4
