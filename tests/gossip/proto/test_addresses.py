"""The address book: whom to dial, when, and whom never."""

import random

import pytest

from unhush.gossip.errors import MalformedAddress
from unhush.gossip.proto import addresses
from unhush.gossip.proto.addresses import Address, AddressBook, Known, Scope, Source, parse_address
from unhush.gossip.proto.tally import Met, Tally

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PUBLIC_TELLER = "/ip4/198.51.0.1/tcp/4001"
# 198.51.100.0/24 and its like are documentation ranges, which count as private; these are public.
PUBLIC = "8.8.{}.{}"


def peer(number: int) -> str:
    return "12D3KooW" + "".join(random.Random(number).choices(ALPHABET, k=44))


def at(host: str, number: int, port: int = 4001) -> str:
    kind = "ip6" if ":" in host else "ip4" if host[0].isdigit() else "dns4"
    return f"/{kind}/{host}/tcp/{port}/p2p/{peer(number)}"


def book() -> AddressBook:
    return AddressBook(own_peer_id=peer(0), seed=b"seed")


def find_due(full: AddressBook, now: float) -> Address | None:
    """Whoever may be dialled: chosen, or told of."""
    return full.next_due(now, {}) or next((address for bucket in full.due_told(now, {}) for address in bucket), None)


def dial_fails(full: AddressBook, now: float) -> Address:
    address = find_due(full, now)
    assert address is not None
    full.failed(address.peer_id, address.text, now)
    return address


def delays(full: AddressBook, count: int) -> list[float]:
    """How long the book waits after each of so many failures."""
    now, waits = 0.0, []
    for _ in range(count):
        dial_fails(full, now)
        due_at = full.next_time({})
        assert due_at is not None
        waits.append(due_at - now)
        now = due_at
    return waits


def test_a_new_address_is_due_at_once() -> None:
    full = book()
    assert full.remember(at("8.8.8.8", 1), Source.CONFIGURED, 5.0)
    due = full.next_due(5.0, {})
    assert due is not None
    assert due.text == at("8.8.8.8", 1)


def test_a_configured_peer_is_retried_from_half_a_second_to_thirty() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.CONFIGURED, 0.0)
    waits = delays(full, 12)
    nominal = [0.5, 1, 2, 4, 8, 16] + [30] * 6
    assert all(0.9 * right <= wait <= right for wait, right in zip(waits, nominal, strict=True))


def test_a_learned_peer_is_retried_from_thirty_seconds_to_an_hour() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.LEARNED, 0.0)
    now = 0.0
    for nominal in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]:
        dial_fails(full, now)
        assert full.find_told(peer(1), now + 0.89 * nominal) is None
        now += nominal
        assert full.find_told(peer(1), now) is not None


def test_the_scatter_depends_on_the_seed_and_nothing_else() -> None:
    def waits(seed: bytes) -> list[float]:
        full = AddressBook(own_peer_id=peer(0), seed=seed)
        full.remember(at("8.8.8.8", 1), Source.CONFIGURED, 0.0)
        return delays(full, 8)

    assert waits(b"one") == waits(b"one")
    assert waits(b"one") != waits(b"two")


def test_success_resets_the_delay() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.CONFIGURED, 0.0)
    delays(full, 8)
    full.succeeded(peer(1), 1000.0)
    full.lost(peer(1), 1000.0 + addresses.STABLE_S)
    due_at = full.next_time({})
    assert due_at is not None
    assert due_at - 1000.0 - addresses.STABLE_S <= 0.5


def test_a_peer_that_accepts_and_hangs_up_is_backed_off_from() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.CONFIGURED, 0.0)
    now, waits = 0.0, []
    for _ in range(8):
        full.succeeded(peer(1), now)
        full.lost(peer(1), now + 0.1)
        due_at = full.next_time({})
        assert due_at is not None
        waits.append(due_at - now)
        now = due_at
    assert waits[-1] > 25


def test_the_other_addresses_of_a_peer_come_before_the_delay() -> None:
    full = book()
    for host in ("8.8.8.8", "8.8.4.4", "1.1.1.1"):
        full.remember(at(host, 1), Source.CONFIGURED, 0.0)
    tried = {dial_fails(full, 0.0).text for _ in range(3)}
    assert len(tried) == 3
    assert full.next_due(0.0, {}) is None


def test_a_peer_that_is_busy_is_not_due() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.CONFIGURED, 0.0)
    assert full.next_due(0.0, {peer(1): "/ip4/8.8.8.8/tcp/4001"}) is None
    assert full.next_time({peer(1): ""}) is None


def test_the_person_s_own_choice_comes_first() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.LEARNED, 0.0)
    full.remember(at("8.8.8.9", 2), Source.INVITED, 1.0)
    full.remember(at("8.8.8.10", 3), Source.CONFIGURED, 2.0)
    order = [dial_fails(full, 2.0).peer_id for _ in range(3)]
    assert order == [peer(3), peer(2), peer(1)]


def test_we_are_never_in_our_own_book() -> None:
    assert not book().remember(at("8.8.8.8", 0), Source.CONFIGURED, 0.0)


@pytest.mark.parametrize(
    ("host", "told_by", "is_taken"),
    [
        ("8.8.8.8", "/ip4/8.8.4.4/tcp/1", True),
        ("127.0.0.1", "/ip4/8.8.4.4/tcp/1", False),
        ("192.168.1.2", "/ip4/8.8.4.4/tcp/1", False),
        ("10.0.0.1", "/ip4/8.8.4.4/tcp/1", False),
        ("169.254.169.254", "/ip4/8.8.4.4/tcp/1", False),
        ("100.64.0.1", "/ip4/8.8.4.4/tcp/1", False),
        ("0.0.0.0", "/ip4/8.8.4.4/tcp/1", False),
        ("224.0.0.1", "/ip4/8.8.4.4/tcp/1", False),
        ("::1", "/ip4/8.8.4.4/tcp/1", False),
        ("fe80::1", "/ip4/8.8.4.4/tcp/1", False),
        ("fd00::1", "/ip4/8.8.4.4/tcp/1", False),
        ("::ffff:127.0.0.1", "/ip4/8.8.4.4/tcp/1", False),
        ("::ffff:192.168.1.2", "/ip4/8.8.4.4/tcp/1", False),
        ("2606:4700::1", "/ip6/2606:4700::2/tcp/1", True),
        ("localhost", "/ip4/8.8.4.4/tcp/1", False),
        ("example.org", "/ip4/127.0.0.1/tcp/1", False),
        ("192.168.1.2", "/ip4/192.168.1.9/tcp/1", True),
        ("127.0.0.1", "/ip4/192.168.1.9/tcp/1", False),
        ("127.0.0.1", "/ip4/127.0.0.1/tcp/1", True),
        ("192.168.1.2", "/dns4/example.org/tcp/1", False),
        ("192.168.1.2", "", False),
        ("192.168.1.2", None, False),
        ("8.8.8.8", None, True),
    ],
)
def test_a_teller_can_only_send_us_as_far_out_as_it_is(host: str, told_by: str | None, is_taken: bool) -> None:
    full = book()
    assert full.remember(at(host, 1), Source.LEARNED, 0.0, told_by=told_by) is is_taken
    assert (find_due(full, 0.0) is not None) is is_taken


def test_a_thousand_bad_addresses_cause_no_dial_and_are_counted() -> None:
    tally = Tally()
    full = AddressBook(own_peer_id=peer(0), seed=b"seed", count=tally.count)
    for number in range(1, 1001):
        host = random.Random(number).choice(["127.0.0.{}", "10.1.2.{}", "192.168.7.{}"]).format(number % 255)
        full.remember(at(host, number), Source.LEARNED, 0.0, told_by="/ip4/8.8.8.8/tcp/4001")
    assert find_due(full, 1e9) is None
    assert len(full) == 0
    assert tally.read()[Met.ADDRESS_REFUSED] == 1_000


def test_the_person_may_configure_any_address() -> None:
    full = book()
    for number, host in enumerate(["127.0.0.1", "192.168.1.2", "example.org", "::1"], 1):
        assert full.remember(at(host, number), Source.CONFIGURED, 0.0)


def test_a_bad_address_cannot_hide_behind_a_known_peer() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.LEARNED, 0.0)
    assert not full.remember(at("127.0.0.1", 1), Source.LEARNED, 0.0, told_by="/ip4/8.8.8.8/tcp/1")
    assert {known.address for known in full.remembered()} == {at("8.8.8.8", 1)}


def test_the_book_is_bounded_and_one_block_cannot_push_out_the_rest() -> None:
    full = book()
    full.remember(at("1.1.1.1", 1), Source.LEARNED, 0.0)
    full.remember(at("9.9.9.9", 2), Source.CONFIGURED, 0.0)
    for number in range(10, 3000):
        full.remember(at(PUBLIC.format(number // 250, number % 250), number), Source.LEARNED, 0.0)
    # One /16 fills one bucket.
    assert len(full) <= addresses.MAX_PEERS_PER_BUCKET + 2
    assert peer(1) in full
    assert peer(2) in full


def test_the_whole_book_is_bounded() -> None:
    full = book()
    for number in range(1, 12_000):
        dice = random.Random(number)
        host = f"{dice.choice([11, 12, 13, 20, 34])}.{dice.randrange(256)}.{dice.randrange(256)}.1"
        full.remember(at(host, number), Source.LEARNED, 0.0)
    assert len(full) <= addresses.BUCKETS * addresses.MAX_PEERS_PER_BUCKET


def test_among_full_neighbours_the_one_that_failed_goes() -> None:
    full = book()
    for number in range(1, addresses.MAX_PEERS_PER_BUCKET + 1):
        full.remember(at(PUBLIC.format(0, number), number), Source.LEARNED, 0.0)
    full.failed(peer(7), at(PUBLIC.format(0, 7), 7), 0.0)
    full.remember(at(PUBLIC.format(1, 1), 500), Source.LEARNED, 0.0)
    assert peer(7) not in full
    assert peer(500) in full


def test_a_peer_has_at_most_four_addresses_and_the_newest_stay() -> None:
    full = book()
    for last in range(1, 10):
        full.remember(at(f"8.8.8.{last}", 1), Source.CONFIGURED, 0.0)
    assert [known.address for known in full.remembered()] == [at(f"8.8.8.{last}", 1) for last in range(6, 10)]


def test_what_is_told_pushes_out_no_address_that_worked_or_was_given() -> None:
    full = book()
    full.remember(at("9.9.9.9", 1), Source.CONFIGURED, 0.0)
    full.remember(at("9.9.8.8", 2), Source.LEARNED, 0.0)
    full.succeeded(peer(2), 0.0, at("9.9.8.8", 2))
    for last in range(1, 20):
        full.remember(at(f"8.8.8.{last}", 1), Source.LEARNED, 0.0)
        full.remember(at(f"8.8.8.{last}", 2), Source.LEARNED, 0.0)
    kept = {known.address: known.source for known in full.remembered()}
    assert kept[at("9.9.9.9", 1)] is Source.CONFIGURED
    assert kept[at("9.9.8.8", 2)] is Source.LEARNED
    assert len(kept) == 2 * addresses.MAX_ADDRESSES_PER_PEER
    assert kept[at("8.8.8.19", 2)] is Source.LEARNED, "the newest of the untried"


def test_made_up_peers_push_no_peer_out_that_answered() -> None:
    full = book()
    full.remember(at("8.8.0.1", 1), Source.LEARNED, 0.0)
    full.succeeded(peer(1), 0.0, at("8.8.0.1", 1))
    full.lost(peer(1), 100.0)
    full.failed(peer(1), at("8.8.0.1", 1), 200.0)
    for number in range(2, 300):
        full.remember(at(PUBLIC.format(number // 250, number % 250), number), Source.LEARNED, 0.0)
    assert peer(1) in full
    assert len(full) == addresses.MAX_PEERS_PER_BUCKET


def test_of_peers_told_of_those_that_are_not_busy_may_be_dialled() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.LEARNED, 0.0)
    full.remember(at("1.1.1.1", 2), Source.LEARNED, 0.0)
    full.remember(at("9.9.9.9", 3), Source.CONFIGURED, 0.0)
    due = [address.peer_id for bucket in full.due_told(0.0, {peer(1)}) for address in bucket]
    assert due == [peer(2)]


def test_a_learned_peer_that_is_then_configured_is_configured() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.LEARNED, 0.0)
    dial_fails(full, 0.0)
    full.remember(at("8.8.4.4", 1), Source.CONFIGURED, 10.0)
    assert full.next_due(10.0, {}) is not None
    assert set(full.remembered()) == {
        Known(at("8.8.4.4", 1), Source.CONFIGURED),
        Known(at("8.8.8.8", 1), Source.LEARNED),
    }
    assert len(full) == 1


def test_what_is_remembered_fills_another_book() -> None:
    full, other = book(), book()
    full.remember(at("8.8.8.8", 1), Source.LEARNED, 0.0)
    full.remember(at("8.8.4.4", 2), Source.CONFIGURED, 0.0)
    for known in full.remembered():
        other.remember(known.address, known.source, 0.0)
    assert other.remembered() == full.remembered()


def test_a_private_address_that_worked_is_dialled_after_a_restart_and_one_that_did_not_is_not() -> None:
    full, other = book(), book()
    for number in (1, 2):
        full.remember(at(f"192.168.0.{number}", number), Source.LEARNED, 0.0, told_by="/ip4/192.168.0.9/tcp/1")
    full.succeeded(peer(1), 1.0, at("192.168.0.1", 1))
    for known in full.remembered():
        other.remember(known.address, known.source, 0.0, told_by=known.told_by)
    assert peer(1) in other
    assert peer(2) not in other


def test_forgetting_leaves_nothing() -> None:
    full = book()
    full.remember(at("8.8.8.8", 1), Source.LEARNED, 0.0)
    full.remember(at("8.8.4.4", 2), Source.CONFIGURED, 0.0)
    for number in (1, 2, 3):
        full.forget(peer(number))
    assert len(full) == 0
    assert find_due(full, 1e9) is None
    # Late news of a forgotten peer is no error.
    full.failed(peer(1), at("8.8.8.8", 1), 0.0)
    full.lost(peer(2), 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "x" * 10_000,
        "/ip4/8.8.8.8/tcp/4001",
        f"/ip4/8.8.8.8/tcp/0/p2p/{peer(1)}",
        f"/ip4/8.8.8.8/tcp/65536/p2p/{peer(1)}",
        f"/ip4/8.8.8.8/tcp/-1/p2p/{peer(1)}",
        f"/ip4/8.8.8.8/tcp/４/p2p/{peer(1)}",
        f"/ip4/8.8.8.8/udp/1/p2p/{peer(1)}",
        f"/ip4/8.8.8/tcp/1/p2p/{peer(1)}",
        f"/ip4/::1/tcp/1/p2p/{peer(1)}",
        f"/ip6/8.8.8.8/tcp/1/p2p/{peer(1)}",
        f"/dns4/-bad-/tcp/1/p2p/{peer(1)}",
        f"/dns4/a b/tcp/1/p2p/{peer(1)}",
        f"/ip4/8.8.8.8/tcp/1/ws/p2p/{peer(1)}",
        f"/ip4/8.8.8.8/tcp/1/p2p/{peer(1)}/p2p-circuit",
        f"/ip4/8.8.8.8/tcp/1/p2p/{peer(1)}\n",
        "/ip4/8.8.8.8/tcp/1/p2p/short",
    ],
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(MalformedAddress):
        parse_address(text)
    with pytest.raises(MalformedAddress):
        book().remember(text, Source.CONFIGURED, 0.0)


def test_scopes() -> None:
    assert parse_address(at("127.0.0.1", 1)).scope is Scope.LOOPBACK
    assert parse_address(at("192.168.0.1", 1)).scope is Scope.PRIVATE
    assert parse_address(at("8.8.8.8", 1)).scope is Scope.PUBLIC
    assert parse_address(at("example.org", 1)).is_name


@pytest.mark.parametrize(
    ("host", "scope", "block"),
    [
        ("::ffff:8.8.8.8", Scope.PUBLIC, "8.8.0.0/16"),
        ("::ffff:127.0.0.1", Scope.LOOPBACK, "127.0.0.0/16"),
        ("::7f00:1", Scope.LOOPBACK, "127.0.0.0/16"),
        ("::ffff:0:7f00:1", Scope.LOOPBACK, "127.0.0.0/16"),
        ("64:ff9b::808:808", Scope.PUBLIC, "8.8.0.0/16"),
        ("64:ff9b::a00:1", Scope.PRIVATE, "10.0.0.0/16"),
        ("64:ff9b:1::a00:1", Scope.PRIVATE, "64:ff9b::/32"),
        ("2002:c0a8:101::1", Scope.PRIVATE, "192.168.0.0/16"),
        ("fec0::1", Scope.PRIVATE, "fec0::/32"),
        ("::1", Scope.LOOPBACK, "::/32"),
        ("2001:4860:4860::8888", Scope.PUBLIC, "2001:4860::/32"),
    ],
)
def test_what_leads_to_another_address_counts_as_that(host: str, scope: Scope, block: str) -> None:
    address = parse_address(at(host, 1))
    assert (address.scope, address.block) == (scope, block)
