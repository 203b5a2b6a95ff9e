"""Ed25519 under our acceptance rule; secrets that do not show."""

import random
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.identity import keys
from unhush.identity.errors import CryptoSelfTestFailed, MalformedKey
from unhush.identity.keys import PublicKey, SigningKey, is_admissible, parse_key, self_test, verify

KEY = SigningKey(bytes(range(32)))

seeds = st.binary(min_size=32, max_size=32)


@given(seed=seeds, message=st.binary(max_size=200))
def test_what_a_key_signs_verifies(seed: bytes, message: bytes) -> None:
    key = SigningKey(seed)
    assert is_admissible(key.public)
    assert verify(key.public, message, key.sign(message))


@given(seed=seeds, message=st.binary(max_size=40))
def test_an_independent_implementation_derives_and_signs_alike(
    seed: bytes, message: bytes, reference: ModuleType
) -> None:
    key = SigningKey(seed)
    assert key.public.bytes == reference.public_key(seed)
    assert key.sign(message) == reference.sign(seed, message)


@given(bit=st.integers(0, 511), message=st.binary(max_size=20))
def test_a_signature_with_one_bit_turned_is_bad(bit: int, message: bytes) -> None:
    signature = int.from_bytes(KEY.sign(message), "little") ^ 1 << bit
    assert not verify(KEY.public, message, signature.to_bytes(64, "little"))


@given(point=st.binary(min_size=32, max_size=32))
def test_random_bytes_are_admitted_as_the_independent_rule_says(point: bytes, reference: ModuleType) -> None:
    assert is_admissible(PublicKey(point)) is reference.is_admissible(point)


@given(key=st.binary(min_size=32, max_size=32), message=st.binary(max_size=100), signature=st.binary(max_size=70))
def test_random_bytes_are_no_signature_and_no_crash(key: bytes, message: bytes, signature: bytes) -> None:
    assert not verify(PublicKey(key), message, signature)


@given(seed=seeds)
def test_a_key_survives_its_text(seed: bytes) -> None:
    key = SigningKey(seed).public
    assert str(key).startswith("k")
    assert len(str(key)) == 53
    assert parse_key(str(key)) == key


def read(text: str) -> tuple[PublicKey | None, str]:
    """The key, or why not; any other error is a failure."""
    try:
        return parse_key(text), ""
    except MalformedKey as error:
        return None, str(error)


def test_of_2_000_wounded_texts_each_is_the_one_text_of_its_key_or_refused() -> None:
    rng, good = random.Random(1), str(KEY.public)
    for _ in range(2_000):
        characters = list(good)
        at = rng.randrange(len(characters))
        characters[at : at + rng.randrange(2)] = rng.choice(
            ["", "a", "k", "=", " ", "\n", "\x1b", "A", "1", "\u0131", "\u212a", "\ud800", "aa"]
        )
        text = "".join(characters)
        key, refusal = read(text)
        assert refusal.isprintable()
        assert key is None or (str(key) == text and is_admissible(key))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_keys_and_seeds_have_32_bytes(length: int) -> None:
    with pytest.raises(MalformedKey):
        PublicKey(bytes(length))
    with pytest.raises(MalformedKey):
        SigningKey(bytes(length))


def test_a_signing_key_does_not_show_its_seed() -> None:
    shown = repr(KEY) + str(KEY) + f"{KEY}"
    assert KEY.seed.hex() not in shown
    assert repr(KEY.seed) not in shown
    assert str(KEY.public) in shown


def test_the_library_on_this_machine_passes_the_self_test() -> None:
    self_test()


def test_a_library_that_accepts_everything_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "verify", lambda key, message, signature: True)
    with pytest.raises(CryptoSelfTestFailed):
        self_test()


def test_a_library_that_accepts_nothing_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "verify", lambda key, message, signature: False)
    with pytest.raises(CryptoSelfTestFailed):
        self_test()


def test_a_cofactored_library_fails_the_self_test(monkeypatch: pytest.MonkeyPatch, reference: ModuleType) -> None:
    def verify_cofactored(key: PublicKey, message: bytes, signature: bytes) -> bool:
        is_identity = signature[:32] == b"\x01" + bytes(31)
        return not is_identity and reference.is_valid_cofactored(key.bytes, message, signature)

    monkeypatch.setattr(keys, "verify", verify_cofactored)

    with pytest.raises(CryptoSelfTestFailed, match="small order"):
        self_test()


def test_a_library_that_admits_every_point_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "is_admissible", lambda key: True)
    with pytest.raises(CryptoSelfTestFailed, match="admits"):
        self_test()
