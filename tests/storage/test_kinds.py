"""Kinds: every bound of the protocol, just inside and just outside, for building and for reading."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.identity.cid import Cid, cid_of, cid_of_raw
from unhush.identity.codec import Value, decode_map, encode
from unhush.storage.errors import MalformedRecord
from unhush.storage.kinds import (
    Block,
    Body,
    Delete,
    Edit,
    Follow,
    Imported,
    Label,
    Media,
    Post,
    Profile,
    Quote,
    React,
    Rebuttal,
    Reply,
    Repost,
    parse_body,
)

A, B = cid_of(b"a"), cid_of(b"b")
RAW = cid_of_raw(b"a")
REPLY = Reply(A, B, A, B)
REPLY_FIELDS: dict[str, Value] = {"root": A, "parent": B, "root_account": A, "parent_account": B}
MEDIA_FIELDS: dict[str, Value] = {"cid": RAW, "mime": "image/png", "size": 1, "alt": ""}
IMPORTED_FIELDS: dict[str, Value] = {"source": "x", "url": "x", "id": "x", "created": 1}

BUILDS: dict[str, tuple[Callable[[int], Body], int]] = {
    "text in bytes": (lambda size: Post("x" * size), 49_152),
    "text in bytes of two each": (lambda size: Post("ä" * (size // 2) + "x" * (size % 2)), 49_152),
    "title": (lambda size: Post("", title="x" * size), 300),
    "warning": (lambda size: Post("", warning="x" * size), 300),
    "language": (lambda size: Post("", lang="x" * size), 35),
    "tag": (lambda size: Post("", tags=("x" * size,)), 64),
    "tags": (lambda size: Post("", tags=("x",) * size), 16),
    "mentions": (lambda size: Post("", mentions=(A,) * size), 32),
    "name": (lambda size: Profile("x" * size), 200),
    "bio": (lambda size: Profile("", "x" * size), 5_000),
    "links": (lambda size: Profile("", links=("x",) * size), 8),
    "link": (lambda size: Profile("", links=("x" * size,)), 2_048),
    "handles": (lambda size: Profile("", handles=("x",) * size), 8),
    "handle": (lambda size: Profile("", handles=("x" * size,)), 320),
    "media": (lambda size: Post("", media=(Media(RAW, "", 0, ""),) * size), 8),
    "mime": (lambda size: Post("", media=(Media(RAW, "x" * size, 0, ""),)), 255),
    "alt": (lambda size: Post("", media=(Media(RAW, "", 0, "x" * size),)), 5_000),
    "source": (lambda size: Post("", imported=Imported("x" * size, "", "", 0)), 300),
    "url": (lambda size: Post("", imported=Imported("", "x" * size, "", 0)), 2_048),
    "id": (lambda size: Post("", imported=Imported("", "", "x" * size, 0)), 300),
    "text of an edit": (lambda size: Edit(A, Post("x" * size)), 49_152),
    "emoji": (lambda size: React(A, B, "x" * size), 32),
    "value": (lambda size: Label(A, "x" * size), 64),
    "reason": (lambda size: Label(A, "", "x" * size), 49_152),
    "rebuttal": (lambda size: Rebuttal(A, "x" * size), 49_152),
}


@pytest.mark.parametrize(("build", "most"), BUILDS.values(), ids=BUILDS.keys())
def test_a_bound_holds_at_its_last_byte_when_building(build: Callable[[int], Body], most: int) -> None:
    build(most)

    with pytest.raises(MalformedRecord):
        build(most + 1)


@pytest.mark.parametrize(("build", "most"), BUILDS.values(), ids=BUILDS.keys())
def test_what_is_at_its_bound_reads_back_the_same(build: Callable[[int], Body], most: int) -> None:
    body = build(most)

    assert parse_body(body.kind, decode_map(encode(body.fields()))) == body


PARSES: dict[str, tuple[str, Callable[[int], Mapping[str, Value]], int]] = {
    "text": ("post", lambda size: {"text": "x" * size}, 49_152),
    "title": ("post", lambda size: {"text": "", "title": "x" * size}, 300),
    "warning": ("post", lambda size: {"text": "", "warning": "x" * size}, 300),
    "tag": ("post", lambda size: {"text": "", "tags": ["x" * size]}, 64),
    "tags": ("post", lambda size: {"text": "", "tags": ["x"] * size}, 16),
    "mentions": ("post", lambda size: {"text": "", "mentions": [A] * size}, 32),
    "media": ("post", lambda size: {"text": "", "media": [MEDIA_FIELDS] * size}, 8),
    "name": ("profile", lambda size: {"name": "x" * size, "bio": ""}, 200),
    "bio": ("profile", lambda size: {"name": "", "bio": "x" * size}, 5_000),
    "links": ("profile", lambda size: {"name": "", "bio": "", "links": ["x"] * size}, 8),
    "handles": ("profile", lambda size: {"name": "", "bio": "", "handles": ["x"] * size}, 8),
}


@pytest.mark.parametrize(("kind", "make", "most"), PARSES.values(), ids=PARSES.keys())
def test_a_bound_holds_at_its_last_byte_when_reading(
    kind: str, make: Callable[[int], Mapping[str, Value]], most: int
) -> None:
    assert parse_body(kind, make(most)) is not None

    with pytest.raises(MalformedRecord):
        parse_body(kind, make(most + 1))


WRONG: list[tuple[str, dict[str, Value]]] = [
    ("post", {}),
    ("post", {"text": None}),
    ("post", {"text": b"bytes"}),
    ("post", {"text": 1}),
    ("post", {"text": "", "title": 1}),
    ("post", {"text": "", "title": None}),
    ("post", {"text": "", "lang": ["en"]}),
    ("post", {"text": "", "warning": True}),
    ("post", {"text": "", "tags": "tag"}),
    ("post", {"text": "", "tags": [1]}),
    ("post", {"text": "", "tags": None}),
    ("post", {"text": "", "mentions": {}}),
    ("post", {"text": "", "mentions": ["bob"]}),
    ("post", {"text": "", "mentions": [RAW]}),
    ("post", {"text": "", "media": "picture"}),
    ("post", {"text": "", "media": [1]}),
    ("post", {"text": "", "reply": None}),
    ("post", {"text": "", "reply": A}),
    ("post", {"text": "", "reply": {}}),
    ("profile", {"bio": ""}),
    ("profile", {"name": 1, "bio": ""}),
    ("profile", {"name": "", "bio": 1}),
    ("profile", {"name": "", "bio": "", "links": "x"}),
    ("profile", {"name": "", "bio": "", "handles": 1}),
    ("follow", {}),
    ("follow", {"who": "bob"}),
    ("follow", {"who": RAW}),
    ("follow", {"who": None}),
    ("keeper", {}),
    ("keeper", {"who": RAW}),
    ("delete", {}),
    ("delete", {"of": RAW}),
    ("delete", {"of": b"x"}),
    ("edit", {"text": ""}),
    ("edit", {"of": A}),
    ("edit", {"of": RAW, "text": ""}),
    ("repost", {"of": A}),
    ("repost", {"account": A}),
    ("repost", {"of": RAW, "account": A}),
    ("react", {"to": A, "account": B}),
    ("react", {"to": A, "account": B, "emoji": 1}),
    ("react", {"to": A, "account": B, "emoji": "", "saw": RAW}),
    ("react", {"to": A, "account": B, "emoji": "", "saw": None}),
    ("block", {"who": RAW}),
    ("profile", {"name": "", "links": [1]}),
    ("profile", {"name": "", "handles": [RAW]}),
    ("profile", {"name": "", "avatar": "x"}),
    ("profile", {"name": "", "banner": None}),
    ("label", {"on": A}),
    ("label", {"on": RAW, "value": ""}),
    ("label", {"on": A, "value": "", "reason": 1}),
    ("rebuttal", {"label": A}),
    ("rebuttal", {"label": RAW, "text": ""}),
    ("post", {"text": "", "quote": A}),
    ("post", {"text": "", "quote": {"entry": A}}),
    ("post", {"text": "", "quote": {"entry": RAW, "account": A}}),
    ("post", {"text": "", "imported": "x"}),
]

NO_PARTS: dict[str, Value] = {"cid": "x", "mime": 1, "size": -1, "alt": None, "width": 0, "height": None}
WRONG += [("post", {"text": "", "media": [{**MEDIA_FIELDS, name: no}]}) for name, no in NO_PARTS.items()]
WRONG += [("post", {"text": "", "media": [{**MEDIA_FIELDS, name: True}]}) for name in ("size", "width", "height")]
WRONG += [
    ("post", {"text": "", "media": [{key: value for key, value in MEDIA_FIELDS.items() if key != name}]})
    for name in MEDIA_FIELDS
]
WRONG += [
    ("post", {"text": "", "imported": {key: value for key, value in IMPORTED_FIELDS.items() if key != name}})
    for name in IMPORTED_FIELDS
]
WRONG += [("post", {"text": "", "imported": {**IMPORTED_FIELDS, "created": -1}})]


NO_RECORDS: tuple[Value, ...] = (None, RAW, "bob")
WRONG += [("post", {"text": "", "reply": {**REPLY_FIELDS, name: no}}) for name in REPLY_FIELDS for no in NO_RECORDS]


@pytest.mark.parametrize(("kind", "fields"), WRONG, ids=str)
def test_a_body_with_a_wrong_field_breaks_the_rules_of_its_kind(kind: str, fields: dict[str, Value]) -> None:
    with pytest.raises(MalformedRecord):
        parse_body(kind, fields)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Follow(RAW),
        lambda: Delete(RAW),
        lambda: Post("", mentions=(RAW,)),
        lambda: Reply(RAW, A, A, A),
        lambda: Reply(A, A, A, RAW),
        lambda: Post("\ud800"),
        lambda: Profile("\udfff"),
        lambda: Edit(RAW, Post("")),
        lambda: Edit(A, Post("", reply=REPLY)),
        lambda: Edit(A, Post("", quote=Quote(A, B))),
        lambda: Quote(RAW, A),
        lambda: Repost(A, RAW),
        lambda: React(RAW, A, ""),
        lambda: React(A, B, "", RAW),
        lambda: React(A, B, "\ud800"),
        lambda: Block(RAW),
        lambda: Label(RAW, ""),
        lambda: Rebuttal(RAW, ""),
        lambda: Media(RAW, "", -1, ""),
        lambda: Media(RAW, "", 0, "", width=0),
        lambda: Imported("", "", "", -1),
    ],
)
def test_what_others_would_not_accept_cannot_be_built(build: Callable[[], object]) -> None:
    with pytest.raises(MalformedRecord):
        build()


def test_an_unknown_kind_is_nothing_to_us_and_no_error() -> None:
    assert parse_body("org.example.recipe", {"eggs": 2}) is None


def test_unknown_fields_are_passed_over() -> None:
    assert parse_body("post", {"text": "x", "org.example.mood": "fine"}) == Post("x")


def test_an_edit_leaves_what_is_answered_and_quoted_whatever_it_says() -> None:
    quote: dict[str, Value] = {"entry": A, "account": B}
    edit = parse_body("edit", {"of": A, "text": "new", "reply": REPLY_FIELDS, "quote": quote})

    assert edit == Edit(A, Post("new"))
    assert edit.version_of(Post("old", tags=("x",), reply=REPLY)) == Post("new", reply=REPLY)


links = st.binary(max_size=4).map(cid_of)
blobs = links | st.binary(max_size=4).map(cid_of_raw)
short = st.text(max_size=16)
numbers = st.integers(1, 2**63 - 1)
media = st.builds(Media, blobs, short, st.integers(0, 2**63 - 1), short, st.none() | numbers, st.none() | numbers)


def posts(*, is_edit: bool) -> st.SearchStrategy[Post]:
    return st.builds(
        Post,
        st.text(max_size=200),
        title=st.none() | short,
        lang=st.none() | st.text(max_size=8),
        reply=st.none() if is_edit else st.none() | st.builds(Reply, links, links, links, links),
        tags=st.lists(short, max_size=16).map(tuple),
        mentions=st.lists(links, max_size=32).map(tuple),
        warning=st.none() | short,
        quote=st.none() if is_edit else st.none() | st.builds(Quote, links, links),
        media=st.lists(media, max_size=8).map(tuple),
        imported=st.none() | st.builds(Imported, short, short, short, numbers),
    )


bodies: st.SearchStrategy[Body] = st.one_of(
    posts(is_edit=False),
    st.builds(Edit, links, posts(is_edit=True)),
    st.builds(
        Profile,
        short,
        st.text(max_size=200),
        st.none() | blobs,
        st.none() | blobs,
        st.lists(short, max_size=8).map(tuple),
        st.lists(short, max_size=8).map(tuple),
    ),
    st.builds(Follow, links),
    st.builds(Block, links),
    st.builds(Delete, links),
    st.builds(Repost, links, links),
    st.builds(React, links, links, st.text(max_size=8), st.none() | links),
    st.builds(Label, links, short, st.none() | short),
    st.builds(Rebuttal, links, short),
)


@given(bodies)
def test_whatever_can_be_built_reads_back_equal_from_its_bytes(body: Body) -> None:
    assert parse_body(body.kind, decode_map(encode({"salt": bytes(16), **body.fields()}))) == body


def test_the_largest_post_fits_a_body() -> None:
    raw: tuple[Cid, ...] = (A,) * 32
    media = (Media(RAW, "image/webp", 2**63 - 1, "x" * 1_000, 65_535, 65_535),) * 8
    body = Post("x" * 49_152, "x" * 300, "x" * 35, REPLY, ("x" * 64,) * 16, raw, "x" * 300, Quote(A, B), media)

    assert len(encode({"salt": bytes(16), **body.fields()})) <= 65_536
