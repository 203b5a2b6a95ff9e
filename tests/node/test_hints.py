"""Hints: what one node announces another reads, and nothing else is read."""

import random

import pytest
from tests.support.people import NETWORK, Person, Written

from unhush.gossip.proto.hints import (
    MAX_ENTRIES,
    MAX_HINT_BYTES,
    MAX_OPERATIONS,
    SHARDS,
    MalformedHint,
    all_topics,
    encode_hint,
    parse_hint,
    peek,
    topic_of,
)
from unhush.identity.codec import Value, decode_map, encode
from unhush.storage.arrivals import Arrival

MUTATIONS = 2_000


@pytest.fixture(scope="module")
def bob() -> Person:
    return Person("Bob", seed=2)


@pytest.fixture(scope="module")
def posts(bob: Person) -> list[Written]:
    return bob.posts(MAX_ENTRIES)


def pairs(*written: Written) -> list[tuple[bytes, bytes]]:
    return [(each.entry.block, each.body) for each in written]


def operation(arrival: Arrival) -> tuple[bytes, bytes]:
    assert arrival.body is not None
    return arrival.entry, arrival.body


def message(**fields: Value) -> bytes:
    return encode({name: value for name, value in fields.items() if value is not None})


def test_a_hint_reads_as_it_was_written(bob: Person, posts: list[Written]) -> None:
    data = encode_hint([operation(bob.incept)], pairs(*posts[:3]))

    hint = parse_hint(data, NETWORK)

    assert [(hinted.entry.block, hinted.body) for hinted in hint.records] == pairs(*posts[:3])
    assert [(hinted.entry.block, hinted.body) for hinted in hint.operations] == [operation(bob.incept)]
    assert peek(data) == tuple(each.cid for each in posts[:3])


def test_equal_bodies_serve_every_entry_that_names_one(bob: Person) -> None:
    """Salts make bodies of honest programs differ; a hint with a body for two entries is still one of sense."""
    body = encode({"salt": bytes(16), "text": "same"})
    first, second = bob.write_bytes("post", body), bob.write_bytes("post", body)

    hint = parse_hint(message(entries=[first.entry.block, second.entry.block], bodies=[body]), NETWORK)

    assert [hinted.body for hinted in hint.records] == [body, body]


def test_a_full_hint_of_short_posts_fits(posts: list[Written]) -> None:
    data = encode_hint([], pairs(*posts))
    assert len(data) <= MAX_HINT_BYTES
    assert all(hinted.body is not None for hinted in parse_hint(data, NETWORK).records)


def test_bodies_that_do_not_fit_are_left_out_and_the_hint_still_says_that_they_are(bob: Person) -> None:
    long = [bob.post("x" * 20_000) for _ in range(5)]

    data = encode_hint([], pairs(*long))

    assert len(data) <= MAX_HINT_BYTES
    hint = parse_hint(data, NETWORK)
    assert [hinted.body is not None for hinted in hint.records] == [True, True, True, False, False]


def test_no_hint_is_longer_than_the_longest_whatever_goes_in(bob: Person) -> None:
    dice = random.Random(1)
    for _ in range(20):
        written = [
            bob.post("x" * dice.choice((0, 23, 24, 255, 256, 2_000, 49_000))) for _ in range(dice.randint(1, 80))
        ]
        data = encode_hint([operation(bob.incept)] * dice.randint(0, 6), pairs(*written))
        assert len(data) <= MAX_HINT_BYTES
        assert len(parse_hint(data, NETWORK).records) == min(len(written), MAX_ENTRIES)


def test_every_account_has_one_topic_among_all_of_them(bob: Person) -> None:
    assert len(all_topics(NETWORK)) == SHARDS
    assert topic_of(NETWORK, bob.account) in all_topics(NETWORK)
    assert topic_of("other", bob.account) not in all_topics(NETWORK)


def badly_formed(bob: Person, posts: list[Written]) -> dict[str, bytes]:
    first, other = posts[0], Person("Eve", seed=6)
    block, body = first.entry.block, first.body
    operations: list[Value] = [list(operation(bob.incept))]
    too_many: list[Value] = [block] * (MAX_ENTRIES + 1)
    return {
        "nothing": b"",
        "no map": encode([1]),
        "an empty map": message(),
        "only a body": message(bodies=[body]),
        "a body of none of the entries": message(entries=[block], bodies=[posts[1].body]),
        "more bodies than entries": message(entries=[block], bodies=[body, body]),
        "too many entries": message(entries=too_many),
        "too many operations": message(identity=operations * (MAX_OPERATIONS + 1)),
        "entries that are no list": message(entries=block),
        "entries that are no bytes": message(entries=["text"]),
        "bodies that are no bytes": message(entries=[block], bodies=[1]),
        "an operation without its body": message(identity=[[operation(bob.incept)[0]]]),
        "an operation with another body": message(identity=[[operation(bob.incept)[0], body]]),
        "a post among the operations": message(identity=[[block, body]]),
        "an operation among the entries": message(entries=[operation(bob.incept)[0]], bodies=[bob.incept.body]),
        "a bad signature": message(
            entries=[Person("Mal", seed=9).write_bytes("post", body, is_badly_signed=True).entry.block]
        ),
        "another network": message(entries=[other.write_bytes("post", body, network="main").entry.block]),
        "too long": message(entries=[block], more=b"x" * MAX_HINT_BYTES),
        "more after the end": message(entries=[block]) + b"\x00",
    }


def test_what_no_honest_node_would_say_is_refused(bob: Person, posts: list[Written]) -> None:
    for name, data in badly_formed(bob, posts).items():
        with pytest.raises(MalformedHint):
            pytest.fail(f"{name} was read as {parse_hint(data, NETWORK)}")


def test_unknown_fields_are_skipped(posts: list[Written]) -> None:
    fields = decode_map(encode_hint([], pairs(posts[0]))) | {"later": [1, "x"]}
    assert len(parse_hint(encode(fields), NETWORK).records) == 1


def test_two_thousand_mutated_hints_raise_nothing_but_malformed_hint(bob: Person, posts: list[Written]) -> None:
    dice = random.Random(20_260_101)
    whole = encode_hint([operation(bob.incept)], pairs(*posts[:4]))
    known = {each.cid for each in posts[:4]} | {bob.account}
    refused = 0
    for _ in range(MUTATIONS):
        data = mutated(whole, dice)
        for read in (peek, lambda data: parse_hint(data, NETWORK)):
            try:
                read(data)
            except MalformedHint:
                refused += 1
        try:
            hint = parse_hint(data, NETWORK)
        except MalformedHint:
            continue
        assert {hinted.entry.cid for hinted in (*hint.operations, *hint.records)} <= known
    assert refused > MUTATIONS


def mutated(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(changed))
        match dice.randrange(5):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                changed[at] = dice.choice((0x00, 0x18, 0x1B, 0x5F, 0x7F, 0x9F, 0xBF, 0xD8, 0xF6, 0xFB, 0xFF))
            case 2:
                del changed[at : at + dice.randint(1, 40)]
            case 3:
                changed[at:at] = dice.randbytes(dice.randint(1, 9))
            case _:
                end = min(len(changed), at + dice.randint(1, 200))
                changed[at:at] = changed[at:end]
        if not changed:
            return b""
    return bytes(changed)
