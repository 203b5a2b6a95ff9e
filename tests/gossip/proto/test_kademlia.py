"""The tables of the DHT stay small whatever strangers do, and a look-up ends."""

import random

from unhush.gossip.proto import kademlia
from unhush.gossip.proto.kademlia import Contact, Contacts, Lookup, Providers, account_key, position
from unhush.identity.cid import cid_of

SEED = 20_261_121


def contact(number: int, block: str = "") -> Contact:
    return Contact(f"peer{number}", (f"address{number}",), block)


def test_100000_strangers_fill_512_places_and_push_nobody_out() -> None:
    contacts = Contacts("us")
    assert contacts.met(contact(-1))
    for number in range(100_000):
        contacts.met(contact(number))
    assert kademlia.MAX_PER_BUCKET < len(contacts) <= kademlia.MAX_CONTACTS
    assert contact(-1) in contacts.closest(b"key", kademlia.MAX_CONTACTS)


def test_one_network_has_two_places_in_a_bucket() -> None:
    contacts = Contacts("us")
    for number in range(1_000):
        contacts.met(contact(number, "203.0.0.0/16"))
    assert len(contacts) <= 2 * 12


def test_a_million_claims_of_one_peer_are_512_and_of_many_peers_16_for_each_of_4096() -> None:
    providers = Providers()
    greedy = sum(providers.add(number.to_bytes(32, "big"), contact(0), 0.0) for number in range(10_000))
    assert greedy == kademlia.MAX_KEYS_PER_PEER
    crowd = sum(providers.add(b"key", contact(number), 0.0) for number in range(1_000))
    assert crowd == kademlia.MAX_PROVIDERS_PER_KEY
    for number in range(1_000):
        for key in range(20):
            providers.add((number * 20 + key).to_bytes(32, "big"), contact(number), 0.0)
    assert len(providers._by_key) == kademlia.MAX_KEYS
    # A day later all of it is gone, little by little.
    for number in range(kademlia.MAX_KEYS):
        providers.add(b"key", contact(number % 16), kademlia.PROVIDED_S + 1)
    assert len(providers) == kademlia.MAX_PROVIDERS_PER_KEY
    assert len(providers._keys_of) == kademlia.MAX_PROVIDERS_PER_KEY


def test_a_look_up_asks_20_and_finds_8_whatever_it_is_told() -> None:
    dice = random.Random(SEED)
    lookup = Lookup(b"key", "us")
    lookup.learn([contact(0)])
    asked = 0
    while (peer := lookup.next()) is not None:
        asked += 1
        lookup.answered(peer.peer_id, [], [contact(dice.randrange(10**9)) for _ in range(20)])
        assert peer.peer_id in lookup.asked
        assert len(lookup.known) <= 64
    assert asked == kademlia.MAX_ASKED
    for teller in range(100):
        lookup.answered(f"{teller}", [contact(number) for number in range(1_000)], [])
    assert len(lookup.found) == kademlia.MAX_FOUND


def test_a_liar_has_two_places_in_a_look_up_and_does_not_end_it() -> None:
    lookup = Lookup(b"key", "us")
    lookup.learn([contact(number) for number in range(20)])
    assert lookup.next() is not None
    for _ in range(5):
        lookup.answered("/ip4/6.6.6.6/tcp/1", [contact(100 + number) for number in range(8)], [])
    assert len(lookup.found) == 2
    # Others of the same network are the same teller; another one is not.
    lookup.answered("/ip4/6.6.1.2/tcp/9", [contact(200)], [])
    assert len(lookup.found) == 2
    assert lookup.next() is not None
    lookup.answered("/ip4/8.8.8.8/tcp/1", [contact(300)], [])
    assert "peer300" in lookup.found


def test_four_tellers_end_a_look_up_and_three_do_not() -> None:
    lookup = Lookup(b"key", "us")
    lookup.learn([contact(number) for number in range(20)])
    for teller in range(4):
        assert lookup.next() is not None
        lookup.answered(f"/ip4/8.{teller}.0.1/tcp/1", [contact(100 + 10 * teller + number) for number in range(8)], [])
    assert len(lookup.found) == kademlia.MAX_FOUND
    assert lookup.next() is None


def test_a_liar_names_five_of_those_that_are_asked_and_the_others_are_asked_too() -> None:
    lookup = Lookup(b"key", "us")
    lookup.learn([contact(number) for number in range(10)])
    near = sorted(range(100, 10_000), key=lambda number: position(f"peer{number}".encode()) ^ position(b"key"))
    for start in range(0, 100, 20):  # nearer than anybody honest, and told under many names of one network
        liars = [contact(number) for number in near[start : start + 20]]
        lookup.answered(f"/ip4/6.6.{start}.1/tcp/1", [], liars)
    asked = set()
    while (peer := lookup.next()) is not None:
        asked.add(peer.peer_id)
    assert asked == {f"peer{number}" for number in (*range(10), *near[: kademlia.MAX_NAMED_PER_TELLER])}
    assert kademlia.MAX_NAMED_PER_TELLER == 5
    more = {peer.peer_id for _ in range(5) for peer in lookup.beyond()}
    assert more == {f"peer{number}" for number in near[5:10]}, "with nobody else to ask, and no more than 20 in all"
    assert len(lookup.asked) == kademlia.MAX_ASKED


def test_where_all_are_of_one_network_the_nearest_are_found_all_the_same() -> None:
    dice = random.Random(SEED)
    nodes = {f"peer{number}": Contacts(f"peer{number}") for number in range(200)}
    everybody = [contact(number) for number in range(200)]
    for contacts in nodes.values():
        for other in dice.sample(everybody, len(everybody)):
            contacts.met(other)
    for number in range(20):
        key = f"key{number}".encode()
        lookup = Lookup(key, "us")
        lookup.learn(dice.sample(everybody, 2))
        while batch := [peer for _ in range(3) if (peer := lookup.next()) is not None] or lookup.beyond():
            for peer in batch:
                lookup.answered("/ip4/6.6.1.1/tcp/1", [], nodes[peer.peer_id].closest(key))
        near = sorted(nodes, key=lambda name: position(name.encode()) ^ position(key))[: kademlia.CLOSEST]
        assert len(lookup.asked & set(near)) >= 10


def test_one_network_has_two_places_among_what_is_found() -> None:
    lookup = Lookup(b"key", "us")
    for teller in range(8):
        lookup.answered(f"/ip4/8.{teller}.0.1/tcp/1", [contact(teller, "6.6.0.0/16")], [])
    assert len(lookup.found) == 2


def test_which_two_of_a_tellers_carriers_are_taken_is_chance() -> None:
    taken = set()
    for search in range(100):
        lookup = Lookup(b"key", "us", salt=bytes([search]) * 16)
        lookup.answered("here", [contact(number) for number in range(8)], [])
        taken |= lookup.found.keys()
    assert len(taken) == 8


def block(number: int) -> str:
    return f"10.{number}.0.0/16"


def test_16_sybils_of_one_network_have_two_places_and_the_carrier_has_its_own() -> None:
    providers = Providers()
    assert [providers.add(b"key", contact(number, "6.6.0.0/16"), 0.0) for number in range(16)].count(True) == 2
    honest = contact(100, "8.8.0.0/16")
    assert providers.add(b"key", honest, 1.0)
    assert providers.of(b"key", 1.0)[0] == honest


def test_sybils_in_pairs_make_room_for_other_networks_but_not_for_their_own() -> None:
    providers = Providers()
    assert all(providers.add(b"key", contact(number, block(number // 2)), 0.0) for number in range(16))
    assert not providers.add(b"key", contact(50, block(3)), 1.0)
    newcomers = [contact(100 + number, block(100 + number)) for number in range(8)]
    assert all(providers.add(b"key", each, 1.0) for each in newcomers)
    assert set(newcomers) < set(providers.of(b"key", 1.0))
    # Now each network has one: who said so in time stays.
    assert not providers.add(b"key", contact(200, block(200)), 1.0)
    assert len(providers) == kademlia.MAX_PROVIDERS_PER_KEY == len(providers._keys_of)


def test_who_does_not_say_it_again_after_half_a_day_gives_way_and_who_does_stays() -> None:
    providers = Providers()
    for number in range(16):
        providers.add(b"key", contact(number, block(number)), 0.0)
    later = kademlia.REPUBLISH_S + 1_800
    assert providers.add(b"key", contact(0, block(0)), later)
    assert not providers.add(b"key", contact(100, block(100)), later)  # half an hour late is in time
    assert providers.add(b"key", contact(100, block(100)), later + 3_600)
    found = providers.of(b"key", later + 3_600)
    assert contact(0, block(0)) in found
    assert contact(1, block(1)) not in found


def test_those_we_are_connected_with_are_named_first_and_then_the_newest() -> None:
    providers = Providers()
    for number in range(4):
        providers.add(b"key", contact(number, block(number)), float(number))
    named = providers.of(b"key", 5.0, {"peer1"}.__contains__)
    assert [each.peer_id for each in named] == ["peer1", "peer3", "peer2", "peer0"]


def test_in_500_nodes_each_account_is_found() -> None:
    """On paper: each node knows whom it met when it came, and tables are what they are."""
    dice = random.Random(SEED)
    nodes = {f"peer{number}": (Contacts(f"peer{number}"), Providers()) for number in range(500)}

    def look_up(start: str, key: bytes) -> Lookup:
        lookup = Lookup(key, start)
        lookup.learn(nodes[start][0].closest(key))
        while (peer := lookup.next()) is not None:
            contacts, providers = nodes[peer.peer_id]
            contacts.met(Contact(start, ("somewhere",)))
            nodes[start][0].met(peer)
            lookup.answered(peer.peer_id, providers.of(key, 0.0), contacts.closest(key))
        return lookup

    names = list(nodes)
    for number, name in enumerate(names[1:], 1):
        nodes[name][0].met(Contact(names[dice.randrange(number)], ("somewhere",)))
        look_up(name, name.encode())
    found = 0
    for number in range(50):
        key = account_key("test", cid_of(str(number).encode()))
        carrier, seeker = dice.sample(names, 2)
        for near in look_up(carrier, key).nearest()[:8]:
            nodes[near.peer_id][1].add(key, Contact(carrier, ("somewhere",)), 0.0)
        found += carrier in look_up(seeker, key).found
    assert found == 50, f"seed {SEED}: {found} of 50"


def test_another_network_has_other_keys() -> None:
    assert account_key("main", cid_of(b"a")) != account_key("test", cid_of(b"a"))
