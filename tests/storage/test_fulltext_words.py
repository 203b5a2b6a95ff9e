"""Words, queries and terms: the rule by which texts are cut, and that nothing typed can break it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unhush.storage.errors import NothingToSearch
from unhush.storage.fulltext.query import MAX_CHARS, MAX_WORDS, Part, parse_query
from unhush.storage.fulltext.terms import Phrase, phrases_of, terms_of
from unhush.storage.fulltext.words import MAX_WORD_CHARS, stands_alone, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("don't x.org/a_b", ["don", "t", "x", "org", "a", "b"]),
        ("Crème BRÛLÉE Straße ŁÓDŹ İstanbul ısı", ["creme", "brulee", "strasse", "lodz", "istanbul", "isi"]),
        ("ﬁne ＡＢＣ ²", ["fine", "abc", "2"]),
        ("ΌΣΟΣ όσος ὅσος", ["οσοσ", "οσοσ", "οσοσ"]),
        ("ёлка Ёлка", ["елка", "елка"]),
        ("東京タワー", ["東", "京", "タ", "ワ", "ー"]),
        ("ｶﾞ ガ ガ", ["ガ", "ガ", "ガ"]),
        ("서울에서", ["서", "울", "에", "서"]),
        ("เมื่อ", ["เ", "ม", "ื", "่", "อ"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("مُحَمَّد كتـاب", ["محمد", "كتاب"]),
        ("שָׁלוֹם", ["שלום"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zero", "width"]),
        ("👩🏽\u200d💻🇩🇪", ["👩", "💻", "🇩", "🇪"]),
        ("a\x00b\ud800c\ue000d\u2028e", ["a", "b", "c", "d", "e"]),
        ("", []),
        ("¿?… -- \"'", []),
    ],
)
def test_a_text_is_cut_into_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_what_is_too_long_for_a_word_is_its_beginning() -> None:
    assert words_of("x" * 50_000 + " é" * 2) == ["x" * MAX_WORD_CHARS, "e", "e"]


@given(st.text())
@example("ŉ ǰ ΐ ﬃ ㌔ ½ ℍ")
def test_words_are_cut_no_further_and_hold_nothing_that_separates(text: str) -> None:
    words = words_of(text)

    assert words_of(" ".join(words)) == words
    assert all(word and not any(char.isspace() or char in "\"*-_'" for char in word) for word in words)
    assert not any(char in "".join(words) for char in ("\ue000", "\ue001", "\ue002", "\ue003"))


@pytest.mark.parametrize(
    ("typed", "wanted", "unwanted"),
    [
        ("Hello world", [Part(("hello",)), Part(("world",))], []),
        ('"Hello world" x', [Part(("hello", "world")), Part(("x",))], []),
        ('“Hello world” „b c"', [Part(("hello", "world")), Part(("b", "c"))], []),
        ('"never closed', [Part(("never", "closed"))], []),
        ('a"b c"d', [Part(("a",)), Part(("b", "c")), Part(("d",))], []),
        ("begin*", [Part(("begin",), is_prefix=True)], []),
        ("be* 東京*", [Part(("be",)), Part(("東", "京"))], []),
        ("x -y -\"z z\"", [Part(("x",))], [Part(("y",)), Part(("z", "z"))]),
        ("don't e-mail", [Part(("don", "t")), Part(("e", "mail"))], []),
        ("a a A", [Part(("a",))], []),
        ("NEAR(a OR c:d", [Part(("near", "a")), Part(("or",)), Part(("c", "d"))], []),
    ],
)  # fmt: skip
def test_what_is_typed_becomes_parts(typed: str, wanted: list[Part], unwanted: list[Part]) -> None:
    query = parse_query(typed)

    assert (list(query.wanted), list(query.unwanted), query.is_cut) == (wanted, unwanted, False)


@pytest.mark.parametrize("typed", ["", " ", '"', '""', "***", "- -", "-only", "\x00\x01", "\ud800", "….,;", "\ue000"])
def test_what_asks_for_nothing_is_refused_with_a_reason(typed: str) -> None:
    with pytest.raises(NothingToSearch, match="nothing to look for"):
        parse_query(typed)


@pytest.mark.parametrize("typed", ["se*", "a* be*", "é*", "se* -other"])
def test_beginnings_that_are_too_short_and_nothing_else_are_refused_with_what_they_need(typed: str) -> None:
    with pytest.raises(NothingToSearch, match="at least 3 letters"):
        parse_query(typed)


@pytest.mark.parametrize("typed", ["sea*", "se* word", "東*", "東京*", '"se*"', "e-m*"])
def test_a_short_beginning_beside_a_word_and_a_character_that_is_a_word_are_looked_for(typed: str) -> None:
    assert parse_query(typed).wanted


@given(st.text(alphabet=st.sampled_from("ab東京é\"“”*-+^:(){}[]'\\/\x00\n\ud800 \ue000😀"), max_size=40))
@example('"' * 5_000)
@example("-" * 5_000)
@example("( " * 5_000)
def test_whatever_is_typed_is_understood_or_refused(typed: str) -> None:
    try:
        query = parse_query(typed)
    except NothingToSearch:
        return
    assert query.wanted


@pytest.mark.parametrize("typed", ["word " * 2_000, "東" * 10_000, "x" * 10_000, '"' + "a b " * 2_500])
def test_a_query_is_bounded_and_says_that_it_was_cut(typed: str) -> None:
    query = parse_query(typed)

    assert query.is_cut
    assert sum(len(part.words) for part in query.wanted) <= MAX_WORDS
    assert len(typed) > MAX_CHARS


def test_runs_of_single_characters_are_kept_as_pairs_and_once_more_each() -> None:
    terms, singles = terms_of(words_of("見る 東京タ python 門"))

    assert terms == ["見る", "る東", "東京", "京タ", "python", "門"]
    assert singles == {"見", "る", "東", "京", "タ"}


@pytest.mark.parametrize(
    ("typed", "phrases"),
    [
        ("word", [Phrase(("word",))]),
        ('"two words"', [Phrase(("two", "words"))]),
        ("wor*", [Phrase(("wor",), is_prefix=True)]),
        ("東", [Phrase(("東",))]),
        ("東京都", [Phrase(("東京", "京都"))]),
        ("python入門", [Phrase(("python", "入門"))]),
        ("n入", [Phrase(("n",)), Phrase(("入",))]),
        ("入n門", [Phrase(("n",)), Phrase(("入",)), Phrase(("門",))]),
    ],
)
def test_a_part_is_looked_for_by_phrases_of_terms(typed: str, phrases: list[Phrase]) -> None:
    (part,) = parse_query(typed).wanted

    assert list(phrases_of(part)) == phrases


@given(st.text(alphabet="ab東京門😀 .", max_size=20), st.data())
def test_a_text_that_has_a_part_has_all_its_phrases(text: str, data: st.DataObject) -> None:
    words = words_of(text)
    if not words:
        return
    low = data.draw(st.integers(0, len(words) - 1))
    part = Part(tuple(words[low : data.draw(st.integers(low + 1, len(words)))]))
    terms, singles = terms_of(words)

    padded = f" {' '.join(terms)} | {' | '.join(sorted(singles))} "

    assert all(f" {' '.join(phrase.terms)} " in padded for phrase in phrases_of(part))


def test_single_characters_stand_alone_and_words_do_not() -> None:
    assert [word for word in ("東", "ก", "한", "😀", "a", "é", "ab", "7", "\ue000") if stands_alone(word)] == [
        "東", "ก", "한", "😀",
    ]  # fmt: skip
