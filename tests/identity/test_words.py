"""The 24 words: forgiving to a hand that types, silent about what was typed."""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.identity.errors import BadWords
from unhush.identity.words import GENERATIONS, Words, commit, fingerprint, parse_words

GOOD = (
    "void come effort suffer camp survey warrior heavy shoot primary clutch crush "
    "open amazing screen patrol group space point ten exist slush involve unfold"
)
LIST = GOOD.split()
WORDS = parse_words(GOOD)


def refusal_of(text: str) -> tuple[str, str]:
    """The message, and all that a traceback in a log would show of exceptions and causes."""
    with pytest.raises(BadWords) as caught:
        parse_words(text)
    error: BaseException | None = caught.value
    shown = ""
    while error is not None:
        shown += "".join(traceback.format_exception_only(error))
        error = error.__cause__ or error.__context__
    return str(caught.value), shown


@given(entropy=st.binary(min_size=32, max_size=32))
def test_every_entropy_survives_its_words(entropy: bytes) -> None:
    words = Words(entropy)
    assert len(words.text().split(" ")) == 24
    assert parse_words(words.text()) == words


def test_all_zero_entropy_is_23_times_abandon_and_art() -> None:
    assert Words(bytes(32)).text() == "abandon " * 23 + "art"


@pytest.mark.parametrize(
    "text", [GOOD.upper(), GOOD.title(), f"\n {GOOD}\t\n", GOOD.replace(" ", "\n"), "  ".join(LIST)]
)
def test_case_and_white_space_do_not_matter(text: str) -> None:
    assert parse_words(text) == WORDS


@pytest.mark.parametrize("count", [0, 1, 12, 23, 25, 48])
def test_a_wrong_count_says_how_many_words_there_are(count: int) -> None:
    message, _ = refusal_of(" ".join((LIST * 2)[:count]))
    assert "24 words" in message
    assert str(count) in message


@pytest.mark.parametrize("position", [1, 12, 24])
def test_an_unknown_word_is_named_by_its_position(position: int) -> None:
    words = [*LIST]
    words[position - 1] = "unhushed"
    message, _ = refusal_of(" ".join(words))
    assert f"word {position} " in message


def test_swapped_words_are_a_wrong_checksum() -> None:
    message, _ = refusal_of(" ".join([LIST[1], LIST[0], *LIST[2:]]))
    assert "checksum" in message
    assert "swapped" in message


def test_the_three_mistakes_have_three_messages() -> None:
    messages = {
        refusal_of(" ".join(words))[0].rstrip("0123456789")
        for words in (LIST[:-1], [*LIST[:-1], "unhushed"], [*LIST[:-1], LIST[0]])
    }
    assert len(messages) == 3


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(LIST[:-1], id="count"),
        pytest.param([*LIST[:5], "camqing", *LIST[6:]], id="unknown"),
        pytest.param([LIST[1], LIST[0], *LIST[2:]], id="swapped"),
        pytest.param(["unhushed"] * 24, id="all unknown"),
    ],
)
def test_no_error_repeats_a_word_that_was_typed(words: list[str]) -> None:
    _, shown = refusal_of(" ".join(words))
    # "point" and "open" may stand in prose; none of ours does.
    spoken = {part.strip("().,:'\"").lower() for part in shown.split()}
    assert not spoken & set(words)


def test_words_do_not_show_their_entropy() -> None:
    shown = repr(WORDS) + str(WORDS) + f"{WORDS}"
    assert WORDS.entropy.hex() not in shown
    assert repr(WORDS.entropy) not in shown
    assert not {part.lower() for part in shown.split()} & set(LIST)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_words_stand_for_32_bytes(length: int) -> None:
    with pytest.raises(BadWords):
        Words(bytes(length))


def test_every_generation_has_its_own_root_and_turn_key() -> None:
    seeds = [WORDS.root(generation).seed for generation in range(GENERATIONS + 1)]
    seeds += [WORDS.turn(generation).seed for generation in range(1, GENERATIONS + 1)]
    assert len(set(seeds)) == 2 * GENERATIONS + 1


@pytest.mark.parametrize("generation", [-1, 257, 2**32])
def test_there_is_no_root_key_beyond_256(generation: int) -> None:
    with pytest.raises(ValueError, match="generation"):
        WORDS.root(generation)


@pytest.mark.parametrize("generation", [-1, 0, 257])
def test_there_is_no_turn_key_0_and_none_beyond_256(generation: int) -> None:
    with pytest.raises(ValueError, match="generation"):
        WORDS.turn(generation)


def test_each_commitment_holds_the_next_turn_key_and_the_next_commitment() -> None:
    assert WORDS.commitment(GENERATIONS) == bytes(32)
    for generation in (0, 1, 100, 255):
        following = WORDS.commitment(generation + 1)
        assert WORDS.commitment(generation) == commit(WORDS.turn(generation + 1).public, following)


def test_hostile_text_is_refused_and_nothing_else() -> None:
    for text in (
        "\x00" * 30,
        "\ud800 " * 24,
        "é " * 24,
        "İ " * 24,
        "\u3000".join(LIST[:-1]),
        "zoo " * 10_000,
        "🌱" * 24,
    ):
        with pytest.raises(BadWords):
            parse_words(text)


@pytest.mark.parametrize("generation", [-1, 257])
def test_there_is_no_commitment_and_no_path_beyond_256(generation: int) -> None:
    for ask in (WORDS.commitment, WORDS.path):
        with pytest.raises(ValueError, match="generation"):
            ask(generation)


def test_the_path_is_all_turn_keys_up_to_the_generation() -> None:
    assert WORDS.path(0) == ()
    assert WORDS.path(3) == tuple(WORDS.turn(generation).public for generation in (1, 2, 3))
    assert len(WORDS.path(GENERATIONS)) == GENERATIONS


def test_what_words_remember_shows_nowhere_and_changes_no_comparison() -> None:
    fresh, used = Words(bytes(32)), Words(bytes(32))
    used.commitment(0)
    assert (fresh, hash(fresh), repr(fresh)) == (used, hash(used), repr(used))


def test_a_fingerprint_is_the_first_88_bits_in_words_of_bip39() -> None:
    # The words of BIP-39 are the same 11-bit groups, so 24 words of an entropy begin with its fingerprint.
    assert list(fingerprint(WORDS.entropy)) == LIST[:8]
    assert fingerprint(bytes(32)) == ("abandon",) * 8
    assert fingerprint(b"\xff" * 32) == ("zoo",) * 8


@given(digest=st.binary(min_size=32, max_size=32), bit=st.integers(0, 255))
def test_each_of_the_first_88_bits_changes_a_fingerprint_and_no_other_does(digest: bytes, bit: int) -> None:
    turned = (int.from_bytes(digest) ^ 1 << 255 - bit).to_bytes(32)
    changed = [
        at for at, pair in enumerate(zip(fingerprint(digest), fingerprint(turned), strict=True)) if len({*pair}) > 1
    ]
    assert changed == ([bit // 11] if bit < 88 else [])


@pytest.mark.parametrize("length", [0, 31, 36])
def test_a_fingerprint_is_of_a_digest_and_not_of_a_cid(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        fingerprint(bytes(length))
