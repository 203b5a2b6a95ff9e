"""Marks in a text: what is a tag, who is meant, and what is just text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.people import Person as Stranger

from unhush.node.records.marks import find_marks, fold_name
from unhush.storage.kinds import Post

BEN = Stranger("Ben", seed=2).account
EVE = Stranger("Eve", seed=4).account
PEOPLE = {"ben": BEN, "ben of the sea": EVE}


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("#tide", ("tide",)),
        ("low #tide, (#Sea) and #TIDE.", ("tide", "Sea")),
        ("#Äußerung #日本語 #हिन्दी #snow_ball #two-fold-", ("Äußerung", "日本語", "हिन्दी", "snow_ball", "two-fold")),
        ("#1 #2026 #-- # x", ()),
        ("#2fast", ("2fast",)),
        ("a#b https://a.example/#c \\#d &#39;", ()),
        ("# Heading\n## Other", ()),
        ("`#a` and ``#b ` #c``\n```\n#d\n```\n#e", ("e",)),
        ("~~~\n#a", ()),
        ("#" + "x" * 64, ("x" * 64,)),
        ("#" + "x" * 65, ()),
    ],
)
def test_tags_are_words_behind_a_sign(text: str, tags: tuple[str, ...]) -> None:
    assert find_marks(text, {}).tags == tags


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("@ben", (BEN,)),
        ("@Ben, @BEN!", (BEN,)),
        ("@ben of the sea", (EVE,)),
        ("@ben of  the\nsea", (BEN,)),
        ("@benny @b a@ben.example `@ben`", ()),
        (f"@{EVE}", (EVE,)),
        (f"@{EVE}x @{str(EVE)[:-1]}", ()),
        (f"({BEN}) @{BEN} @{EVE}", (BEN, EVE)),
    ],
)
def test_people_are_meant_by_name_or_id(text: str, mentions: tuple[object, ...]) -> None:
    assert find_marks(text, PEOPLE).mentions == mentions


def test_a_post_has_no_more_marks_than_it_may() -> None:
    marks = find_marks(" ".join(f"#tag{number} @{Stranger('x', seed=number).account}" for number in range(40)), {})
    assert (len(marks.tags), len(marks.mentions)) == (16, 32)


@given(st.text(alphabet="#@`~\\\n ()abenßİ日र्1-_😀\u200d", max_size=200))
def test_whatever_is_written_marks_what_a_post_may_have(text: str) -> None:
    marks = find_marks(text, PEOPLE)
    Post(text, tags=marks.tags, mentions=marks.mentions)
    assert set(marks.mentions) <= {BEN, EVE}


def test_names_fold_alike_however_they_are_written() -> None:
    assert fold_name(" Straße  X ") == fold_name("STRASSE x")
