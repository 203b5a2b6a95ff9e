"""Identity operations: bodies that are refused, inceptions that are made, hostile bytes."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unhush.identity.building import build_inception, build_rotate
from unhush.identity.cid import cid_of, parse_cid
from unhush.identity.codec import Value, decode, encode
from unhush.identity.entry import Entry, Header, decode_body, sign_entry, verify_signature
from unhush.identity.entry import parse_entry as parse_block
from unhush.identity.errors import IdentityError, MalformedOperation, WrongBody
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import Device, Table, find_raw_generation, parse_operation
from unhush.identity.trunk import find_generation
from unhush.identity.words import GENERATIONS, Words

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


# --- the generation of a rotate before its keys are admitted --------------------------


def raw_fields(table: Table) -> dict[str, Value]:
    rows: list[Value] = [{"key": row.key.bytes, "name": row.name} for row in table.devices]
    path: list[Value] = [turn.bytes for turn in table.path]
    return {"root": table.root.bytes, "next": table.next, "path": path, "devices": rows}


def test_the_raw_generation_is_the_one_of_the_rule_on_every_vector() -> None:
    vectors, seen = json.loads((FOLDER / "trunk.json").read_text()), set()
    for scenario in vectors["scenarios"]:
        tables = {
            cid: written for cid in scenario["operations"] if (written := vectors["operations"][cid]).get("table")
        }
        of = {cid: table_of(cid, written) for cid, written in tables.items()}
        incept = of[scenario["account"]]
        for table in of.values():
            if table != incept:
                generation = find_raw_generation(raw_fields(table), incept.next, table.key)
                assert generation == find_generation(incept, table)
                seen.add(generation)
    assert seen >= {-1, 1, 2}


def table_of(cid: str, written: dict[str, Any]) -> Table:
    key, root, *path = (PublicKey(bytes.fromhex(text)) for text in (written["key"], written["root"], *written["path"]))
    return Table(parse_cid(cid), key, root, bytes.fromhex(written["next"]), tuple(path), ())


@pytest.mark.parametrize("generation", [1, 2, 255, 256])
def test_the_raw_generation_of_a_body_is_that_of_the_table_it_parses_to(generation: int) -> None:
    account = incept().entry.account
    made = build_rotate(
        WORDS, generation, account, account, [Device(DEVICE, "laptop")], time_ms=1, salt=SALT, network="main"
    )
    table, born = parse_operation(made.entry, made.body), parse_operation(incept().entry, incept().body)
    assert isinstance(table, Table)
    assert isinstance(born, Table)
    fields = decode_body(made.body)
    assert find_raw_generation(fields, born.next, table.key) == find_generation(born, table) == generation
    assert find_raw_generation(fields, born.next, WORDS.root(generation).public) == -1
    assert find_raw_generation(fields, table.next, table.key) == -1


def test_no_wounded_body_has_another_raw_generation_than_its_table() -> None:
    rng, account, born = random.Random(2), incept().entry.account, parse_operation(incept().entry, incept().body)
    assert isinstance(born, Table)
    made = build_rotate(WORDS, 3, account, account, [Device(DEVICE, "laptop")], time_ms=1, salt=SALT, network="main")
    key, fields = made.entry.header.key, decode_body(made.body)
    values: list[Value] = [None, 1, True, "", b"", bytes(32), DEVICE.bytes, [], {}, [DEVICE.bytes], WORDS.commitment(3)]
    agreed = 0
    for _ in range(3_000):
        wounded = wound(rng, fields, values)
        if not isinstance(wounded, dict):
            continue
        body = encode(wounded)
        entry = made.entry._replace(header=replace(made.entry.header, body=cid_of(body), size=len(body)))
        raw = find_raw_generation(wounded, born.next, key)
        try:
            table = parse_operation(entry, body)
        except MalformedOperation:
            continue
        assert isinstance(table, Table)
        assert raw == find_generation(born, table)
        agreed += 1
    assert agreed > 100


@pytest.mark.parametrize(
    "change",
    [
        {"path": []},
        {"path": None},
        {"path": b"x" * 32},
        {"path": [bytes(32)] * (GENERATIONS + 1)},
        {"path": [None, WORDS.turn(1).public.bytes]},
        {"path": [bytes(31), WORDS.turn(1).public.bytes]},
        {"path": [["x"], WORDS.turn(1).public.bytes]},
        {"next": None},
        {"next": bytes(31)},
        {"next": "x" * 32},
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_malformed_path_or_commitment_has_no_raw_generation(change: dict[str, Value]) -> None:
    fields: dict[str, Value] = {"path": [WORDS.turn(1).public.bytes], "next": WORDS.commitment(1)}
    assert find_raw_generation(fields, WORDS.commitment(0), WORDS.turn(1).public) == 1
    assert find_raw_generation(fields | change, WORDS.commitment(0), WORDS.turn(1).public) == -1
    (name,) = change
    assert find_raw_generation({key: fields[key] for key in fields if key != name}, WORDS.commitment(0), DEVICE) == -1
