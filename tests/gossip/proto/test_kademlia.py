"""The tables of the DHT stay small whatever strangers do, and a look-up ends."""

import random

from unhush.gossip.proto import kademlia
from unhush.gossip.proto.kademlia import Contact, Contacts, Lookup, Providers, account_key
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
        lookup.answered("here", [], [contact(dice.randrange(10**9)) for _ in range(20)])
        assert peer.peer_id in lookup.asked
        assert len(lookup.known) <= 64
    assert asked == kademlia.MAX_ASKED
    lookup.answered("here", [contact(number) for number in range(1_000)], [])
    assert len(lookup.found) == kademlia.MAX_FOUND


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
            lookup.answered("here", providers.of(key, 0.0), contacts.closest(key))
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
