"""A post of words alone is read by its layout, exactly as parsing reads it, and nothing else is."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.identity.codec import Value, encode
from unhush.identity.entry import decode_body
from unhush.identity.errors import MalformedBytes
from unhush.storage.errors import MalformedRecord
from unhush.storage.kinds import POST, Post, parse_body
from unhush.storage.kinds.fields import MAX_TEXT_BYTES
from unhush.storage.kinds.plain import find_plain_text, plain_fields

SALT = bytes(range(16))


def the_long_way(body: bytes) -> Post | None:
    try:
        found = parse_body(POST, decode_body(body))
    except (MalformedBytes, MalformedRecord):
        return None
    return found if isinstance(found, Post) else None


@given(st.text(max_size=400))
def test_words_alone_are_read_as_parsing_reads_them(text: str) -> None:
    body = encode({"salt": SALT, "text": text})
    assert find_plain_text(body) == text
    assert plain_fields(body, text) == decode_body(body)
    assert Post.of_checked_text(text) == Post(text) == the_long_way(body)


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 65, 1_000, MAX_TEXT_BYTES])
def test_every_length_a_text_may_have(size: int) -> None:
    body = encode({"salt": SALT, "text": "a" * size})
    assert find_plain_text(body) == "a" * size


@pytest.mark.parametrize(
    "fields",
    [
        {"salt": SALT, "text": "a" * (MAX_TEXT_BYTES + 1)},
        {"salt": SALT, "text": b"bytes"},
        {"salt": SALT[:15], "text": "short salt"},
        {"salt": SALT, "text": "more", "lang": "de"},
        {"salt": SALT, "tags": ["a"], "text": "more"},
        {"salt": SALT, "tezt": "another key"},
        {"text": "no salt"},
    ],
)
def test_anything_else_goes_the_long_way(fields: dict[str, Value]) -> None:
    assert find_plain_text(encode(fields)) is None


def test_heads_that_are_too_long_and_texts_that_are_none_go_the_long_way() -> None:
    start = encode({"salt": SALT, "text": ""})[:-1]
    for rest in (
        b"\x78\x01a",
        b"\x79\x00\x18" + b"a" * 24,
        b"\x7a\x00\x00\x00\x01a",
        b"\x61\xff",
        b"\x62a",
        b"\x61ab",
        b"",
    ):
        assert find_plain_text(start + rest) is None
        assert the_long_way(start + rest) is None


def test_no_changed_byte_is_read_otherwise_than_by_parsing() -> None:
    dice = random.Random(5)
    whole = [encode({"salt": dice.randbytes(16), "text": "ä€" * dice.randrange(200)}) for _ in range(40)]
    for body in whole:
        for _ in range(100):
            changed = bytearray(body)
            changed[dice.randrange(len(body))] = dice.randrange(256)
            text = find_plain_text(bytes(changed))
            if text is not None:
                assert the_long_way(bytes(changed)) == Post(text)
