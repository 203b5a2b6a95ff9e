"""Acceptances of invites: nobody speaks for an account that is not theirs, and nothing said is good elsewhere."""

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.people import NETWORK, Person

from unhush.gossip.errors import Unproven
from unhush.gossip.proto.accepting import (
    MAX_OPERATIONS,
    MAX_REQUEST_BYTES,
    Acceptance,
    Code,
    check_acceptance,
    encode_acceptance,
    encode_answer,
    hash_token,
    parse_acceptance,
    parse_answer,
    sign_acceptance,
)
from unhush.gossip.proto.faults import MalformedFrame
from unhush.gossip.proto.frames import Operation
from unhush.identity.cid import Cid
from unhush.identity.codec import decode_map, encode
from unhush.identity.entry import parse_entry, verify_signature
from unhush.identity.operations import Op, Table, parse_operation
from unhush.storage.arrivals import Arrival
from unhush.storage.kinds import Follow, Post

TOKEN: Final = bytes(range(16))
ANN: Final = Person("Ann", seed=1)


def travelling(arrival: Arrival) -> Operation:
    assert arrival.body is not None
    return Operation(arrival.entry, arrival.body)


def acceptance_of(person: Person, *, inviter: Cid = ANN.account, token: bytes = TOKEN) -> Acceptance:
    return Acceptance(
        token=token,
        account=person.account,
        key=person.key,
        signature=sign_acceptance(
            person.device.key, token=token, account=person.account, inviter=inviter, network=person.network
        ),
        operations=(travelling(person.incept),),
        follow=travelling(person.write(Follow(inviter)).arrival),
    )


def keeping(person: Person) -> Acceptance:
    """One that also says yes to keeping."""
    acceptance = acceptance_of(person)
    signature = sign_acceptance(
        person.device.key, token=TOKEN, account=person.account, inviter=ANN.account, network=person.network, keeps=True
    )
    return replace(acceptance, signature=signature, keeps=True)


@pytest.fixture
def ben() -> Person:
    return Person("Ben", seed=2)


def check(acceptance: Acceptance, *held: Table | Op) -> None:
    check_acceptance(acceptance, inviter=ANN.account, network=NETWORK, held=held)


def parsed(person: Person, arrival: Arrival) -> Table | Op:
    assert arrival.body is not None
    return parse_operation(verify_signature(parse_entry(arrival.entry), person.network), arrival.body)


def test_an_account_that_signs_is_believed_and_what_it_says_survives_the_wire(ben: Person) -> None:
    acceptance = acceptance_of(ben)
    check(acceptance)
    assert parse_acceptance(encode_acceptance(acceptance)) == acceptance


def test_a_device_that_was_added_is_believed_with_its_add_alone(ben: Person) -> None:
    first = acceptance_of(ben)
    phone, add = ben.add_device()
    ben.device = phone
    with pytest.raises(Unproven, match="no device"):
        check(acceptance_of(ben))
    said = acceptance_of(ben)
    check(replace(said, operations=(*said.operations, travelling(add))))
    check(replace(said, operations=(), follow=first.follow), parsed(ben, ben.incept), parsed(ben, add))


def test_a_device_that_was_cut_off_since_cannot_hide_it(ben: Person) -> None:
    acceptance = acceptance_of(ben)
    revoke = parsed(ben, ben.revoke(ben.key, None))
    with pytest.raises(Unproven, match="no device"):
        check(acceptance, revoke)
    rotated = parsed(ben, ben.rotate(1, []))
    with pytest.raises(Unproven, match="no device"):
        check(acceptance, rotated)


def test_a_thief_of_a_token_speaks_for_nobody_else(ben: Person) -> None:
    carl = Person("Carl", seed=3)
    theirs, mine = acceptance_of(carl), acceptance_of(ben)
    for forged in (
        replace(mine, account=carl.account),
        replace(mine, account=carl.account, operations=theirs.operations, follow=theirs.follow),
        replace(mine, key=carl.key),
        replace(theirs, signature=mine.signature),
        replace(theirs, signature=bytes(64)),
        replace(mine, operations=theirs.operations),
        replace(mine, operations=()),
        replace(mine, follow=theirs.follow),
    ):
        with pytest.raises(Unproven):
            check(forged)


def test_what_was_said_is_good_for_no_other_token_inviter_or_network(ben: Person) -> None:
    said = acceptance_of(ben)
    with pytest.raises(Unproven, match="signature"):
        check(replace(said, token=bytes(16)))
    with pytest.raises(Unproven, match="signature"):
        check_acceptance(said, inviter=ben.account, network=NETWORK, held=())
    with pytest.raises(Unproven, match="signature"):
        check_acceptance(said, inviter=ANN.account, network="main", held=())
    elsewhere = acceptance_of(Person("Ben", seed=2, network="other"))
    with pytest.raises(Unproven):
        check(elsewhere)


def test_a_record_that_follows_nobody_or_somebody_else_is_none(ben: Person) -> None:
    said = acceptance_of(ben)
    for arrival in (
        ben.write(Follow(ben.account)).arrival,
        ben.write(Post("I follow Ann")).arrival,
        ben.write_fields("follow", {"who": ANN.account.bytes}).arrival,
        ben.write_bytes("follow", b"\xff").arrival,
        ben.write_bytes("follow", encode({"who": ANN.account, "salt": bytes(16)}), is_badly_signed=True).arrival,
    ):
        with pytest.raises(Unproven):
            check(replace(said, follow=travelling(arrival)))
    with pytest.raises(Unproven):
        check(replace(said, follow=replace(said.follow, body=said.follow.body + b"\x00")))
    with pytest.raises(Unproven):
        check(replace(said, follow=Operation(b"", b"")))


def test_operations_that_are_none_or_of_others_are_not_believed(ben: Person) -> None:
    said = acceptance_of(ben)
    other = travelling(Person("Carl", seed=3).incept)
    broken = replace(said.operations[0], entry=said.operations[0].entry[:-1] + b"\x00")
    for wrong in (other, broken, said.follow, Operation(b"\x00" * 100, b"")):
        with pytest.raises(Unproven):
            check(replace(said, operations=(*said.operations, wrong)))


def test_what_is_kept_of_a_token_is_not_the_token() -> None:
    assert TOKEN not in hash_token(TOKEN)
    assert len({hash_token(bytes([number]) * 16) for number in range(50)}) == 50


# -- frames


def fields(ben: Person) -> dict[str, Any]:
    return dict(decode_map(encode_acceptance(acceptance_of(ben)), max_bytes=MAX_REQUEST_BYTES))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "answer"},
        {"token": bytes(15)},
        {"token": bytes(17)},
        {"account": b"x"},
        {"key": bytes(31)},
        {"sig": bytes(63)},
        {"sig": "x" * 64},
        {"ops": {}},
        {"ops": [[b"", b""]] * (MAX_OPERATIONS + 1)},
        {"ops": [[b""]]},
        {"ops": [[b"", None]]},
        {"ops": [b""]},
        {"follow": []},
        {"follow": None},
        {"follow": [b"", b"", b""]},
    ],
    ids=str,
)
def test_a_request_that_breaks_a_rule_is_the_sender_s_fault(ben: Person, changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrame):
        parse_acceptance(encode(fields(ben) | changes))


def test_unknown_fields_are_passed_over_and_missing_ones_are_not(ben: Person) -> None:
    whole = fields(ben)
    assert parse_acceptance(encode(whole | {"more": 1})) == parse_acceptance(encode(whole))
    for name in whole:
        with pytest.raises(MalformedFrame):
            parse_acceptance(encode({key: value for key, value in whole.items() if key != name}))


@given(st.binary(max_size=200))
def test_noise_is_no_request_and_no_answer(noise: bytes) -> None:
    for parse in (parse_acceptance, parse_answer):
        with pytest.raises(MalformedFrame):
            parse(noise)


def test_a_request_that_is_too_long_is_neither_made_nor_read(ben: Person) -> None:
    said = acceptance_of(ben)
    long = replace(said, operations=(Operation(b"", bytes(MAX_REQUEST_BYTES)),))
    with pytest.raises(ValueError, match="at most"):
        encode_acceptance(long)
    with pytest.raises(ValueError, match="at most"):
        encode_acceptance(replace(said, operations=said.operations * (MAX_OPERATIONS + 1)))
    with pytest.raises(MalformedFrame):
        parse_acceptance(bytes(MAX_REQUEST_BYTES + 1))


def test_every_answer_survives_the_wire_and_an_unknown_one_means_later() -> None:
    for code in Code:
        assert parse_answer(encode_answer(code)) is code
    assert parse_answer(encode({"type": "answer", "code": "tomorrow"})) is Code.LATER
    with pytest.raises(MalformedFrame):
        parse_answer(encode({"type": "answer", "code": 1}))
    with pytest.raises(MalformedFrame):
        parse_answer(encode({"type": "answer", "code": "x" * 1_000}))


def test_that_somebody_keeps_is_signed_so_nobody_on_the_way_says_it_for_them(ben: Person) -> None:
    said = keeping(ben)
    check(said)
    assert parse_acceptance(encode_acceptance(said)) == said
    for changed in (replace(acceptance_of(ben), keeps=True), replace(said, keeps=False)):
        with pytest.raises(Unproven):
            check(changed)
