"""Identity operations: bodies that are refused, inceptions that are made, hostile bytes."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unhush.identity.cid import cid_of
from unhush.identity.codec import Value, decode, encode
from unhush.identity.entry import Entry, Header, sign_entry, verify_signature
from unhush.identity.entry import parse_entry as parse_block
from unhush.identity.errors import IdentityError, MalformedOperation, WrongBody
from unhush.identity.keys import SigningKey
from unhush.identity.operations import Table, build_inception, parse_operation
from unhush.identity.words import Words

FOLDER = Path(__file__).parents[1] / "vectors"
WORDS = Words(bytes(range(32)))
DEVICE = SigningKey(b"\x01" * 32).public
SALT = bytes(16)


def incept(**changes: Any) -> Any:
    wanted: dict[str, Any] = {"device": DEVICE, "name": "laptop", "time_ms": 1, "salt": SALT, "network": "main"}
    return build_inception(WORDS, **wanted | changes)


def test_an_inception_is_an_authentic_table_with_one_open_device() -> None:
    made = incept()

    table = parse_operation(verify_signature(parse_block(made.entry.block), "main"), made.body)

    assert isinstance(table, Table)
    assert table.id == made.entry.account == made.entry.cid
    assert (table.key, table.root, table.next) == (WORDS.root(0).public, WORDS.root(0).public, WORDS.commitment(0))
    assert [(row.key, row.name) for row in table.devices] == [(DEVICE, "laptop")]


def test_each_input_of_an_inception_changes_the_account() -> None:
    made = [
        incept(),
        incept(name="phone"),
        incept(time_ms=2),
        incept(salt=b"\x01" * 16),
        incept(device=SigningKey(b"\x02" * 32).public),
        incept(network="test"),
        build_inception(Words(bytes(32)), device=DEVICE, name="laptop", time_ms=1, salt=SALT, network="main"),
    ]
    assert len({operation.entry.account for operation in made}) == len(made)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a" * 65},
        {"name": "ü" * 33},
        {"salt": bytes(15)},
        {"salt": bytes(17)},
        {"time_ms": -1},
        {"network": "No"},
    ],
    ids=str,
)
def test_an_inception_that_others_would_refuse_is_not_made(change: dict[str, Any]) -> None:
    with pytest.raises(IdentityError):
        incept(**change)


def test_a_body_that_is_not_the_named_one_is_a_wrong_body() -> None:
    made = incept()
    with pytest.raises(WrongBody):
        parse_operation(made.entry, made.body + b"\x00")
    with pytest.raises(WrongBody):
        parse_operation(made.entry, b"")


def test_a_post_is_no_operation() -> None:
    key, body = SigningKey(b"\x01" * 32), encode({"salt": SALT})
    post = sign_entry(key, Header(cid_of(b""), key.public, 0, None, 0, "post", cid_of(body), len(body)), "main")
    with pytest.raises(MalformedOperation):
        parse_operation(post, body)


def wound(rng: random.Random, value: Value, values: list[Value]) -> Value:
    """The value with one part of it, at any depth, gone or exchanged."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        if rng.random() < 0.1:
            return {key: item for key, item in value.items() if key != name}
        return value | {name: wound(rng, value[name], values)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], wound(rng, value[at], values), *value[at + 1 :]]
    return rng.choice(values)


def test_of_5_000_wounded_bodies_each_is_an_operation_or_refused_by_our_errors() -> None:
    rng = random.Random(1)
    vectors = json.loads((FOLDER / "operations.json").read_text())["good"]
    accepted = json.loads((FOLDER / "codec.json").read_text())["accepted"]
    shallow = [case["bytes"] for case in accepted if "depth" not in case["name"]]
    values = [decode(bytes.fromhex(data)) for data in shallow if isinstance(data, str)]
    originals = [
        (parse_block(bytes.fromhex(case["block"])), decode(bytes.fromhex(case["body"])))
        for case in vectors
        if len(case["body"]) < 6_000  # the largest tables take long and differ in nothing else
    ]
    read = 0
    for _ in range(5_000):
        entry, fields = rng.choice(originals)
        body = encode(wound(rng, fields, values))
        if rng.random() < 0.3:
            body = body[: rng.randrange(len(body))] + bytes((rng.randrange(256),)) + body[rng.randrange(len(body)) :]
        header = replace(entry.header, body=cid_of(body), size=len(body))
        try:
            parse_operation(Entry(header, entry.account, entry.cid, entry.block), body)
        except MalformedOperation as error:
            refusal = str(error)
        else:
            refusal, read = "", read + 1
        assert refusal.isprintable()
    assert 0 < read < 2_500
