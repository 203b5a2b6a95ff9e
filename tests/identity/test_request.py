"""The code of a device that asks to be added: it survives mail, and no mistake in it goes unnoticed."""

import random
import textwrap
from base64 import b32decode, b32encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.errors import IdentityError, MalformedRequest, WrongNetwork
from unhush.identity.keys import SigningKey
from unhush.identity.request import MAX_REQUEST_CHARS, DeviceRequest, encode_request, parse_request

KEY = SigningKey(b"\x05" * 32)
CODE = encode_request(KEY, "Küche", "main")
PREFIX = "unhush-device-"


def fields_of(code: str) -> dict[str, Value]:
    digits = code.removeprefix(PREFIX).upper()
    return decode_map(b32decode(digits + "=" * (-len(digits) % 8)))


def code_of(fields: dict[str, Value]) -> str:
    return PREFIX + b32encode(encode(fields)).decode().rstrip("=").lower()


def signed(key: SigningKey = KEY, context: bytes = b"unhush/1/main/device-request\x00", **changes: Value) -> str:
    """A code whose signature is right, written from the description and not with the code under test."""
    fields: dict[str, Value] = {"v": 1, "network": "main", "key": key.public.bytes, "name": "phone"}
    fields |= changes
    return code_of({**fields, "sig": key.sign(context + encode(fields))})


def test_a_code_is_one_line_of_lower_case() -> None:
    assert CODE.startswith(PREFIX)
    assert CODE.removeprefix(PREFIX).isalnum()
    assert CODE.lower() == CODE


def test_the_longest_code_leaves_room_for_line_breaks() -> None:
    code = encode_request(KEY, "n" * 64, "a" * 32)
    assert len(code) <= 376
    assert parse_request(textwrap.fill(code, 20), "a" * 32).name == "n" * 64


@given(
    seed=st.binary(min_size=32, max_size=32),
    name=st.text(max_size=64).filter(lambda name: len(name.encode(errors="replace")) <= 64).map(str),
    network=st.from_regex(r"\A[a-z0-9-]{1,32}\Z"),
)
def test_every_request_survives_its_code(seed: bytes, name: str, network: str) -> None:
    key = SigningKey(seed)
    try:
        code = encode_request(key, name, network)
    except MalformedRequest:
        assert any("\ud800" <= character <= "\udfff" for character in name)
        return
    assert parse_request(code, network) == DeviceRequest(key.public, name, network)


@pytest.mark.parametrize(
    "text",
    [
        f"  {CODE}\n",
        textwrap.fill(CODE, 72),
        textwrap.fill(CODE, 72).replace("\n", "\r\n\t"),
        " ".join(CODE),
        CODE.replace("-", " - "),
        CODE.upper(),
        CODE[0].upper() + CODE[1:],
        "\u00a0" + CODE + "\u2003",
    ],
)
def test_white_space_and_case_are_forgiven(text: str) -> None:
    assert parse_request(text, "main") == DeviceRequest(KEY.public, "Küche", "main")


def test_a_code_written_by_the_description_is_read() -> None:
    assert parse_request(signed(), "main") == DeviceRequest(KEY.public, "phone", "main")
    assert encode_request(KEY, "phone", "main") == signed()


def test_every_wrong_letter_is_noticed() -> None:
    rng = random.Random(3)
    for at in range(len(CODE)):
        other = rng.choice([letter for letter in "abcdefghijklmnopqrstuvwxyz234567-" if letter != CODE[at]])
        with pytest.raises(MalformedRequest):
            parse_request(CODE[:at] + other + CODE[at + 1 :], "main")


def test_two_swapped_letters_a_lost_one_and_a_doubled_one_are_noticed() -> None:
    for at in range(len(PREFIX), len(CODE) - 1):
        lost, doubled = CODE[:at] + CODE[at + 1 :], CODE[:at] + CODE[at] + CODE[at:]
        swapped = CODE[:at] + CODE[at + 1] + CODE[at] + CODE[at + 2 :]
        for wrong in (lost, doubled, swapped):
            if wrong != CODE:
                with pytest.raises(MalformedRequest):
                    parse_request(wrong, "main")


def test_every_part_of_a_code_alone_is_refused() -> None:
    for end in range(len(CODE)):
        with pytest.raises(MalformedRequest):
            parse_request(CODE[:end], "main")


def test_a_code_for_another_network_says_which() -> None:
    with pytest.raises(WrongNetwork, match=r"'main'.*'test'") as caught:
        parse_request(CODE, "test")
    assert (caught.value.theirs, caught.value.ours) == ("main", "test")


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(signed(context=b"unhush/1/main/entry\x00"), id="context of entries"),
        pytest.param(signed(context=b"unhush/1/test/device-request\x00"), id="context of another network"),
        pytest.param(signed(context=b""), id="no context"),
        pytest.param(code_of({**fields_of(CODE), "key": SigningKey(bytes(32)).public.bytes}), id="another key"),
        pytest.param(code_of({**fields_of(CODE), "name": "Kuche"}), id="another name"),
        pytest.param(code_of({**fields_of(CODE), "sig": bytes(64)}), id="signature of zeros"),
        pytest.param(code_of({**fields_of(CODE), "sig": b""}), id="no signature"),
        pytest.param(signed(network="NO"), id="no network name"),
        pytest.param(signed(network=""), id="empty network"),
        pytest.param(signed(name="n" * 65), id="long name"),
        pytest.param(signed(name=b"phone"), id="name of bytes"),
        pytest.param(signed(v=0), id="version 0"),
        pytest.param(signed(v=True), id="version true"),
        pytest.param(signed(v="1"), id="version in text"),
        pytest.param(signed(more=1), id="one field more"),
        pytest.param(code_of({key: item for key, item in fields_of(CODE).items() if key != "name"}), id="no name"),
        pytest.param(code_of({**fields_of(CODE), "key": bytes(32)}), id="inadmissible key"),
        pytest.param(signed(network=["main"]), id="network in a list"),
        pytest.param(PREFIX, id="nothing"),
        pytest.param(PREFIX + "aa", id="one byte"),
        pytest.param(CODE + "=", id="padding"),
        pytest.param(CODE + "\u0131", id="no ASCII"),
        pytest.param(CODE.replace("k", "\u212a"), id="a Kelvin sign for k"),
        pytest.param(CODE + CODE, id="two codes"),
        pytest.param("k" * 53, id="a key"),
        pytest.param("", id="empty"),
    ],
)
def test_what_no_device_wrote_is_refused(code: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        parse_request(code, "main")
    assert str(caught.value).isprintable()


def test_a_code_of_a_newer_version_asks_for_an_update() -> None:
    with pytest.raises(MalformedRequest, match="newer version"):
        parse_request(signed(v=2, more=[]), "main")


def test_long_text_is_refused_unread() -> None:
    with pytest.raises(MalformedRequest, match="1024"):
        parse_request(CODE + " " * MAX_REQUEST_CHARS, "main")


@pytest.mark.parametrize(("name", "network"), [("n" * 65, "main"), ("\ud800", "main"), ("n", "No"), ("n", "")])
def test_a_code_nobody_would_read_is_not_made(name: str, network: str) -> None:
    with pytest.raises(MalformedRequest):
        encode_request(KEY, name, network)


def test_of_5_000_wounded_codes_each_is_refused_by_our_errors() -> None:
    rng, data = random.Random(8), encode(fields_of(CODE))
    for _ in range(5_000):
        at = rng.randrange(len(data))
        wounded = data[:at] + rng.randbytes(rng.randrange(3)) + data[at + rng.randrange(3) :]
        if wounded == data:
            continue
        text = PREFIX + b32encode(wounded).decode().rstrip("=").lower()
        with pytest.raises(IdentityError) as caught:
            parse_request(text, "main")
        assert isinstance(caught.value, MalformedRequest)
