"""The code agrees with tests/vectors/*.json, read as any other language would read them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.notation import value_of

from unhush.identity.building import build_inception
from unhush.identity.cid import Cid, cid_of, cid_of_raw, parse_cid
from unhush.identity.codec import Value, decode, encode
from unhush.identity.entry import (
    Header,
    parse_entry,
    sign_entry,
    signed_message,
    stored_entry,
    verify_signature,
    vouch,
)
from unhush.identity.errors import (
    BadWords,
    MalformedBytes,
    MalformedCid,
    MalformedEntry,
    MalformedKey,
    MalformedOperation,
    SignatureMismatch,
)
from unhush.identity.keys import PublicKey, SigningKey, is_admissible, parse_key, verify
from unhush.identity.operations import NOTHING, OPEN, Cut, Op, Table, parse_operation
from unhush.identity.words import Words, parse_words

FOLDER = Path(__file__).parents[1] / "vectors"


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))


def cases(vectors: list[dict[str, Any]]) -> Any:
    """One test for each vector, named for it."""
    return pytest.mark.parametrize(
        "case",
        [pytest.param(case, id=" / ".join(case[key] for key in ("kind", "name") if key in case)) for case in vectors],
    )


def bytes_of(written: str | list[list[Any]]) -> bytes:
    """Hexadecimal, or pairs of hexadecimal and how often it is repeated."""
    if isinstance(written, str):
        return bytes.fromhex(written)
    return b"".join(bytes.fromhex(part) * times for part, times in written)


def types_of(value: Value) -> object:
    """Tells true from 1, which are equal in Python."""
    if isinstance(value, list):
        return [types_of(item) for item in value]
    if isinstance(value, dict):
        return {key: types_of(item) for key, item in value.items()}
    return type(value)


def test_the_committed_vectors_are_what_their_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", FOLDER / "make.py", tmp_path], check=True, timeout=100)

    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert len(made) == 12
    for name, data in made.items():
        assert (FOLDER / name).read_bytes() == data, f"{name}: run python tests/vectors/make.py"


# --- codec ----------------------------------------------------------------------------

CODEC = load("codec")


def test_at_least_sixty_byte_strings_are_refused() -> None:
    assert len({json.dumps(case["bytes"]) for case in CODEC["rejected"]}) >= 60


@cases(CODEC["accepted"])
def test_accepted_bytes_and_their_value_are_one(case: dict[str, Any]) -> None:
    data, value = bytes_of(case["bytes"]), value_of(case["value"])

    decoded = decode(data)

    assert decoded == value
    assert types_of(decoded) == types_of(value)
    assert encode(value) == data


@cases(CODEC["rejected"])
def test_what_is_not_the_one_encoding_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedBytes):
        decode(bytes_of(case["bytes"]))


# --- CIDs -----------------------------------------------------------------------------

CIDS = load("cids")


@cases(CIDS["good"])
def test_a_block_has_the_cid_of_the_vector(case: dict[str, Any]) -> None:
    make = cid_of if case["codec"] == "dag-cbor" else cid_of_raw
    cid = make(bytes.fromhex(case["block"]))
    assert str(cid) == case["text"]
    assert cid.bytes.hex() == case["bytes"]
    assert cid.is_dag_cbor is (case["codec"] == "dag-cbor")
    assert parse_cid(case["text"]) == Cid(bytes.fromhex(case["bytes"])) == cid


@cases(CIDS["bad_text"])
def test_text_that_is_not_the_one_form_is_no_cid(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedCid):
        parse_cid(case["text"])


@cases(CIDS["bad_bytes"])
def test_bytes_of_another_form_are_no_cid(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedCid):
        Cid(bytes.fromhex(case["bytes"]))


# --- keys and signatures --------------------------------------------------------------

KEYS, SIGNATURES = load("keys"), load("signatures")


@cases(KEYS["admissible"])
def test_an_honest_key_is_admitted_in_both_forms(case: dict[str, Any]) -> None:
    key = PublicKey(bytes.fromhex(case["bytes"]))
    assert is_admissible(key)
    assert str(key) == case["text"]
    assert parse_key(case["text"]) == key == SigningKey(bytes.fromhex(case["seed"])).public


@cases(KEYS["inadmissible"])
def test_a_point_that_is_not_canonical_and_of_prime_order_is_not_admitted(case: dict[str, Any]) -> None:
    key = PublicKey(bytes.fromhex(case["bytes"]))
    assert not is_admissible(key)
    with pytest.raises(MalformedKey):
        parse_key(str(key))


@cases(KEYS["bad_text"])
def test_text_that_is_not_the_one_form_is_no_key(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedKey):
        parse_key(case["text"])


@cases(SIGNATURES)
def test_a_signature_is_judged_by_our_rule(case: dict[str, Any]) -> None:
    key = PublicKey(bytes.fromhex(case["key"]))
    message, signature = bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
    assert (is_admissible(key) and verify(key, message, signature)) is case["valid"]


def test_the_vectors_tell_our_rule_from_a_cofactored_one() -> None:
    differing = [case for case in SIGNATURES if case["cofactored"] and not case["valid"]]
    assert len(differing) >= 63


# --- words ----------------------------------------------------------------------------

WORDS = load("words")


@pytest.mark.parametrize("case", WORDS["good"], ids=lambda case: case["entropy"][:8])
def test_words_are_bip39(case: dict[str, Any]) -> None:
    words = Words(bytes.fromhex(case["entropy"]))
    assert words.text() == case["words"]
    assert parse_words(case["words"]) == words


@cases(WORDS["bad"])
def test_other_words_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(BadWords):
        parse_words(case["words"])


@pytest.mark.parametrize("case", WORDS["derived"], ids=lambda case: case["entropy"][:8])
def test_root_keys_turn_keys_and_commitments_are_those_of_the_vector(case: dict[str, Any]) -> None:
    words = Words(bytes.fromhex(case["entropy"]))
    for generation, expected in case["root_seeds"].items():
        assert words.root(int(generation)).seed.hex() == expected
    for generation, expected in case["root_keys"].items():
        assert words.root(int(generation)).public.bytes.hex() == expected
    for generation, expected in case["turn_seeds"].items():
        assert words.turn(int(generation)).seed.hex() == expected
    for generation, expected in case["turn_keys"].items():
        assert words.turn(int(generation)).public.bytes.hex() == expected
    for generation, expected in case["commitments"].items():
        assert words.commitment(int(generation)).hex() == expected


# --- contexts -------------------------------------------------------------------------

CONTEXTS = load("contexts")


@pytest.mark.parametrize("case", CONTEXTS["good"], ids=lambda case: f"{case['network']}-{case['context']}")
def test_a_signature_covers_network_context_and_exact_bytes(case: dict[str, Any]) -> None:
    key, context = SigningKey(bytes.fromhex(case["seed"])), case["context"].encode()
    block = b"\x82" + bytes.fromhex(case["payload"]) + encode(bytes.fromhex(case["signature"]))

    message = signed_message(block, case["network"], context)

    assert message.hex() == case["message"]
    assert key.sign(message).hex() == case["signature"]
    assert verify(key.public, message, bytes.fromhex(case["signature"]))


def test_a_signature_holds_in_no_other_network_or_context() -> None:
    accepted = 0
    for case in CONTEXTS["good"]:
        for other in CONTEXTS["good"]:
            key = SigningKey(bytes.fromhex(case["seed"])).public
            accepted += verify(key, bytes.fromhex(other["message"]), bytes.fromhex(case["signature"]))
    assert accepted == len(CONTEXTS["good"])


@pytest.mark.parametrize("network", CONTEXTS["bad_networks"], ids=ascii)
def test_a_network_name_is_1_to_32_of_a_small_alphabet(network: str) -> None:
    block = bytes.fromhex(load("entries")["good"][0]["block"])
    with pytest.raises(MalformedEntry):
        signed_message(block, network)
    with pytest.raises(MalformedEntry):
        verify_signature(parse_entry(block), network)


# --- entries --------------------------------------------------------------------------

ENTRIES = load("entries")


@cases(ENTRIES["good"])
def test_a_header_becomes_the_block_of_the_vector_and_back(case: dict[str, Any]) -> None:
    fields, block = value_of(case["header"]), bytes.fromhex(case["block"])
    key = SigningKey(bytes.fromhex(case["seed"]))
    assert isinstance(fields, dict)
    header = Header(**fields | {"key": PublicKey(fields["key"])})

    signed, parsed = sign_entry(key, header, case["network"]), parse_entry(block)

    assert signed.block == block
    assert parsed.header == header
    assert parsed.header.value() == fields
    assert signed_message(block, case["network"]).hex() == case["message"]
    assert block[-64:].hex() == case["signature"]
    assert (str(parsed.cid), str(parsed.account)) == (case["cid"], case["account"])
    assert verify_signature(parsed, case["network"]) == signed


@cases(ENTRIES["bad"])
def test_a_block_that_breaks_a_rule_is_no_entry(case: dict[str, Any]) -> None:
    about_bytes = case["reason"] in ("not strict DAG-CBOR", "at most 1,024 bytes")
    with pytest.raises(MalformedBytes if about_bytes else MalformedEntry):
        parse_entry(bytes.fromhex(case["block"]))


@cases(ENTRIES["verdicts"])
def test_a_well_formed_entry_is_judged_by_its_own_signature(case: dict[str, Any]) -> None:
    parsed = parse_entry(bytes.fromhex(case["block"]))
    if case["valid"]:
        assert verify_signature(parsed, case["network"]).cid == parsed.cid
    else:
        with pytest.raises(SignatureMismatch):
            verify_signature(parsed, case["network"])


@cases(load("chains"))
def test_an_authentic_entry_vouches_for_the_one_before_it_and_no_other(case: dict[str, Any]) -> None:
    by, entry = stored_entry(bytes.fromhex(case["by"])), parse_entry(bytes.fromhex(case["entry"]))
    if case["vouches"]:
        vouched = vouch(entry, by=by)
        assert (vouched.header, vouched.account, vouched.cid, vouched.block) == (
            entry.header,
            entry.account,
            entry.cid,
            entry.block,
        )
    else:
        with pytest.raises(SignatureMismatch):
            vouch(entry, by=by)


# --- operations and accounts ----------------------------------------------------------

OPERATIONS = load("operations")


def cut_of(written: Any) -> Cut:
    match written:
        case "open":
            return OPEN
        case "nothing":
            return NOTHING
        case {"seq": seq, "entry": entry}:
            return seq, parse_cid(entry).bytes
    raise AssertionError(f"unknown cut {written}")


@cases(OPERATIONS["good"])
def test_a_good_operation_says_what_the_vector_says(case: dict[str, Any]) -> None:
    entry = verify_signature(parse_entry(bytes.fromhex(case["block"])), "main")
    expected = case["parsed"]

    operation = parse_operation(entry, bytes.fromhex(case["body"]))

    assert (operation.id, operation.key) == (entry.cid, entry.header.key)
    if isinstance(operation, Table):
        assert [key.bytes.hex() for key in (operation.root, *operation.path)] == [expected["root"], *expected["path"]]
        assert operation.next.hex() == expected["next"]
        assert operation.closed is expected["closed"]
        assert [(row.key.bytes.hex(), row.name, row.cut) for row in operation.devices] == [
            (row["key"], row["name"], cut_of(row["cut"])) for row in expected["devices"]
        ]
    else:
        assert isinstance(operation, Op)
        assert (operation.kind, operation.prev) == (case["kind"], entry.header.prev)
        assert (operation.device.bytes.hex() if operation.device else None) == expected.get("device")
        assert operation.name == expected.get("name", "")
        assert operation.cut == cut_of(expected.get("cut", "nothing"))


@cases(OPERATIONS["bad"])
def test_a_body_that_breaks_its_kind_is_no_operation(case: dict[str, Any]) -> None:
    entry = verify_signature(parse_entry(bytes.fromhex(case["block"])), "main")
    with pytest.raises(MalformedOperation):
        parse_operation(entry, bytes.fromhex(case["body"]))


@pytest.mark.parametrize("case", load("accounts"), ids=lambda case: case["account"][-8:])
def test_words_and_a_device_make_the_account_of_the_vector(case: dict[str, Any]) -> None:
    made = build_inception(
        parse_words(case["words"]),
        device=PublicKey(bytes.fromhex(case["device"])),
        name=case["name"],
        time_ms=case["time"],
        salt=bytes.fromhex(case["salt"]),
        network=case["network"],
    )
    assert made.body.hex() == case["body"]
    assert made.entry.block.hex() == case["block"]
    assert str(made.entry.account) == str(made.entry.cid) == case["account"]
