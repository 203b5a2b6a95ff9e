"""Operations that are made: what others accept, and nothing else."""

from typing import Any

import pytest

from unhush.identity.building import build_add, build_freeze, build_inception, build_revoke, build_rotate
from unhush.identity.cid import cid_of
from unhush.identity.entry import parse_entry, verify_signature
from unhush.identity.errors import MalformedOperation, SignatureMismatch
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import (
    FREEZE,
    MAX_ROWS,
    NOTHING,
    OPEN,
    REVOKE,
    Device,
    Op,
    SignedOperation,
    Table,
    parse_operation,
)
from unhush.identity.trunk import find_generation
from unhush.identity.words import GENERATIONS, Words

WORDS = Words(bytes(range(32)))
ROOT = WORDS.root(0)
LAPTOP, PHONE = (SigningKey(bytes((number,)) * 32).public for number in (1, 2))
HOW: dict[str, Any] = {"time_ms": 7, "salt": bytes(16), "network": "test"}
BORN = build_inception(WORDS, device=LAPTOP, name="laptop", **HOW)
ACCOUNT = BORN.entry.account
LAST = cid_of(b"an entry")
CUT = (5, LAST.bytes)


def read(made: SignedOperation) -> Table | Op:
    """As a stranger reads it: from bytes, signature first."""
    return parse_operation(verify_signature(parse_entry(made.entry.block), "test"), made.body)


def incept() -> Table:
    table = read(BORN)
    assert isinstance(table, Table)
    return table


def rotate(generation: int, *devices: Device, words: Words = WORDS, **more: Any) -> SignedOperation:
    return build_rotate(words, generation, ACCOUNT, ACCOUNT, devices, **HOW | more)


def keys(count: int) -> list[PublicKey]:
    return [SigningKey(number.to_bytes(32, "big")).public for number in range(1, count + 1)]


def test_an_add_opens_a_device_on_the_table_it_names() -> None:
    made = build_add(ROOT, ACCOUNT, LAST, Device(PHONE, "phone"), **HOW)
    op = read(made)
    assert op == Op(made.entry.cid, ROOT.public, LAST, "identity.add", PHONE, "phone")
    assert (made.entry.account, made.entry.header.seq, made.entry.header.time) == (ACCOUNT, 1, 7)


@pytest.mark.parametrize("cut", [CUT, NOTHING, (0, LAST.bytes), (2**63 - 1, LAST.bytes)], ids=str)
def test_a_revoke_cuts_where_it_says(cut: tuple[int, bytes]) -> None:
    made = build_revoke(ROOT, ACCOUNT, ACCOUNT, PHONE, cut, **HOW)
    assert read(made) == Op(made.entry.cid, ROOT.public, ACCOUNT, REVOKE, PHONE, "", cut)


def test_a_freeze_names_its_table_and_no_device() -> None:
    made = build_freeze(ROOT, ACCOUNT, LAST, **HOW)
    assert read(made) == Op(made.entry.cid, ROOT.public, LAST, FREEZE)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("generation", [1, 2, 16, 255, 256])
def test_a_rotate_stands_on_the_chain_of_its_account(generation: int, closed: bool) -> None:
    rows = (Device(LAPTOP, "laptop", CUT), Device(PHONE, ""), Device(ROOT.public, "x", NOTHING))

    table = read(rotate(generation, *rows, closed=closed))

    assert isinstance(table, Table)
    assert find_generation(incept(), table) == generation
    assert (table.key, table.root) == (WORDS.turn(generation).public, WORDS.root(generation).public)
    assert (table.devices, table.closed) == (rows, closed)


def test_closed_is_absent_unless_the_account_closes() -> None:
    assert b"closed" not in rotate(1).body
    assert b"closed" in rotate(1, closed=True).body


def test_a_rotate_may_leave_no_device_at_all() -> None:
    table = read(rotate(1))
    assert isinstance(table, Table)
    assert table.devices == ()


def test_the_largest_rotate_fits() -> None:
    rows = [Device(key, "n" * 64, (2**63 - 1, LAST.bytes)) for key in keys(MAX_ROWS)]
    table = read(rotate(GENERATIONS, *rows, closed=True))
    assert isinstance(table, Table)
    assert list(table.devices) == rows


def test_a_rotate_by_other_words_parses_and_leads_nowhere() -> None:
    table = read(rotate(1, words=Words(bytes(32))))
    assert isinstance(table, Table)
    assert find_generation(incept(), table) == -1


def test_nothing_made_for_one_network_holds_on_another() -> None:
    made = build_freeze(ROOT, ACCOUNT, ACCOUNT, **HOW)
    with pytest.raises(SignatureMismatch):
        verify_signature(parse_entry(made.entry.block), "main")


SMALL_ORDER = PublicKey(bytes(32))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: rotate(257), "no rotations left"),
        (lambda: rotate(0), "generation 0"),
        (lambda: rotate(-1), "generation -1"),
        (lambda: rotate(1, *(Device(key, "") for key in keys(257))), "room for 256 devices, not for 257"),
        (lambda: rotate(1, Device(PHONE, "a"), Device(PHONE, "b")), "twice"),
        (lambda: rotate(1, Device(PHONE, "n" * 65)), "64 bytes, this one 65"),
        (lambda: rotate(1, Device(PHONE, "ü" * 33)), "64 bytes, this one 66"),
        (lambda: rotate(1, Device(PHONE, "\ud800")), "half a character"),
        (lambda: rotate(1, Device(SMALL_ORDER, "")), "not an admissible key"),
        (lambda: rotate(1, Device(PHONE, "", (3, b"no entry"))), "names no entry"),
        (lambda: rotate(1, Device(PHONE, "", (2**63, LAST.bytes))), "out of range"),
        (lambda: rotate(1, Device(PHONE, "", (-2, LAST.bytes))), "a cut is a seq and an entry"),
        (lambda: rotate(1, salt=bytes(15)), "salt"),
        (lambda: rotate(1, time_ms=-1), "time"),
        (lambda: rotate(1, network="No"), "network"),
        (lambda: build_revoke(ROOT, ACCOUNT, ACCOUNT, PHONE, OPEN, **HOW), "open end"),
        (lambda: build_revoke(ROOT, ACCOUNT, ACCOUNT, PHONE, (-1, LAST.bytes), **HOW), "a cut is a seq"),
        (lambda: build_revoke(ROOT, ACCOUNT, ACCOUNT, SMALL_ORDER, NOTHING, **HOW), "not an admissible key"),
        (lambda: build_add(ROOT, ACCOUNT, ACCOUNT, Device(PHONE, "", CUT), **HOW), "no cut"),
        (lambda: build_add(ROOT, ACCOUNT, ACCOUNT, Device(PHONE, "", NOTHING), **HOW), "no cut"),
        (lambda: build_add(ROOT, ACCOUNT, ACCOUNT, Device(PHONE, "n" * 65), **HOW), "64 bytes"),
        (lambda: build_add(ROOT, ACCOUNT, ACCOUNT, Device(SMALL_ORDER, "n"), **HOW), "not an admissible key"),
        (lambda: build_freeze(ROOT, ACCOUNT, ACCOUNT, time_ms=0, salt=b"", network="test"), "salt"),
    ],
)
def test_what_others_would_refuse_is_not_made(make: Any, says: str) -> None:
    with pytest.raises(MalformedOperation, match=says):
        make()


def test_words_derive_the_chain_once(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Words(b"\x07" * 32)
    expected = words.commitment(0)
    monkeypatch.setattr(Words, "_derive", None)
    assert words.commitment(0) == expected
    assert len(words.path(GENERATIONS)) == GENERATIONS
