"""Edge cases of Ed25519, made here: three judges that share no line agree on each, and careless ones are caught.

The judges are libsodium through ``identity/keys.py``, OpenSSL through
``cryptography`` (which libp2p brings along; nothing but this test uses it) and
plain integers (``tests/support/edwards.py``). OpenSSL's own verdict knows no
admission of keys and accepts the identity as R, so the rule is put around it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha512
from itertools import count, product
from typing import Final

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tests.support.edwards import (
    BASE,
    NEUTRAL,
    L,
    P,
    challenge,
    decode,
    decode_leniently,
    has_small_scalar,
    in_prime_subgroup,
    is_admissible,
    is_valid,
    is_valid_cofactored,
    is_valid_cofactorless,
    residue,
    torsion,
)

from unhush.identity import keys
from unhush.identity.errors import CryptoSelfTestFailed
from unhush.identity.keys import PublicKey, self_test

MESSAGES: Final = (b"", b"unhush", bytes(range(256)))
SECRETS: Final = (3, 2**200 + 5, L - 2)
IDENTITY: Final = NEUTRAL.encode()


@dataclass(frozen=True, slots=True)
class Case:
    """A key, a message and a signature, and our verdict as it follows from the making."""

    family: str
    key: bytes
    message: bytes
    signature: bytes
    is_valid: bool = False


def scalar(number: int) -> bytes:
    return number.to_bytes(32, "little")


def with_sign(y: int, sign: int) -> bytes:
    return scalar(y | sign << 255)


def nonce(*parts: object) -> int:
    """A scalar that looks random and is the same in every run."""
    return int.from_bytes(sha512(repr(parts).encode()).digest(), "little") % L


# Every encoding of a point of small order that is not the one canonical: y >= p, and x = 0 with its sign set.
OTHER_SMALL: Final = (
    *(with_sign(y, sign) for y, sign in product((P, P + 1), (0, 1))),
    with_sign(1, 1),
    with_sign(P - 1, 1),
)
# The other encodings with y >= p: each of a point of mixed order, whose logarithm nobody knows.
OTHER_MIXED: Final = tuple(
    data
    for y, sign in product(range(P + 2, 2**255), (0, 1))
    if decode_leniently(data := with_sign(y, sign)) is not None
)
OFF_CURVE: Final = tuple(scalar(y) for y in range(2, 40) if decode_leniently(scalar(y)) is None)[:8]


def signed(secret: int, chance: int, message: bytes, *, commitment: bytes, key: bytes) -> bytes:
    """R and the S that fits the parts of prime order."""
    return commitment + scalar((chance + challenge(commitment, key, message) * secret) % L)


def honest() -> Iterator[Case]:
    for secret, message in product(SECRETS, MESSAGES):
        key, chance = (secret * BASE).encode(), nonce("honest", secret, message)
        signature = signed(secret, chance, message, commitment=(chance * BASE).encode(), key=key)
        yield Case("honest", key, message, signature, is_valid=True)
        yield Case("of another message", key, message + b"\x00", signature)


def scalars() -> Iterator[Case]:
    """S + L, S + 2·L… up to 2^256, single high bits, and the numbers about L."""
    for good in list(honest())[::2]:
        commitment, answer = good.signature[:32], int.from_bytes(good.signature[32:], "little")
        for times in range(1, 16):
            yield Case("S + k·L", good.key, good.message, commitment + scalar(answer + times * L))
        for bit in (253, 254, 255):
            yield Case("a high bit of S", good.key, good.message, commitment + scalar(answer | 1 << bit))
        for number in (0, 1, L - 1, L, L + 1, 2 * L, 8 * L, 2**252, 2**253 - 1, 2**255 - 1, 2**256 - 1, L - answer):
            yield Case("another S", good.key, good.message, commitment + scalar(number))


def torsion_table() -> Iterator[Case]:
    """A = a·B + T_i and R = r·B + T_j: with messages for which S·B − h·A is R, and others for which only 8 times is."""
    for secret, on_key, on_commitment in product(SECRETS, range(8), range(8)):
        chance = nonce("table", secret, on_key, on_commitment)
        key = (secret * BASE + torsion()[on_key]).encode()
        commitment = (chance * BASE + torsion()[on_commitment]).encode()
        for fits in (True, False):
            message = find_message(key, on_key, commitment, on_commitment, fits=fits)
            if message is not None:
                signature = signed(secret, chance, message, commitment=commitment, key=key)
                yield Case("torsion table", key, message, signature, is_valid=on_key == on_commitment == 0)


def small_keys() -> Iterator[Case]:
    """A of small order, in every encoding, under R = r·B + T_j and under R of small order (r = 0)."""
    for key, on_commitment, chance in product(
        (*(point.encode() for point in torsion()), *OTHER_SMALL), range(8), (0, nonce("small keys"))
    ):
        point = decode_leniently(key)
        assert point is not None
        commitment = (chance * BASE + torsion()[on_commitment]).encode()
        for fits in (True, False):
            message = find_message(key, torsion().index(point), commitment, on_commitment, fits=fits)
            if message is not None:
                yield Case("a key of small order", key, message, commitment + scalar(chance))


def find_message(key: bytes, on_key: int, commitment: bytes, on_commitment: int, *, fits: bool) -> bytes | None:
    """A message whose h makes T_j + h·T_i neutral (``fits``) or not; None if no h can."""
    if fits not in {(on_commitment + h * on_key) % 8 == 0 for h in range(8)}:
        return None
    return next(
        message
        for number in count()
        if ((on_commitment + challenge(commitment, key, message := b"%d" % number) * on_key) % 8 == 0) is fits
    )


def small_commitments() -> Iterator[Case]:
    """R of small order in every encoding, the identity's among them, with the S that makes S·B − h·A the identity."""
    for secret, message in product(SECRETS, MESSAGES):
        key = (secret * BASE).encode()
        for commitment in (*(point.encode() for point in torsion()), *OTHER_SMALL):
            signature = signed(secret, 0, message, commitment=commitment, key=key)
            yield Case("R of small order", key, message, signature)


def other_encodings() -> Iterator[Case]:
    """Encodings of R and A that are not canonical, or no points at all."""
    for message, secret, data in product(MESSAGES, SECRETS[:1], (*OTHER_MIXED, *OFF_CURVE)):
        good, chance = (secret * BASE).encode(), nonce("other", data)
        yield Case("R not canonical", good, message, signed(secret, chance, message, commitment=data, key=good))
        commitment = (chance * BASE).encode()
        yield Case("A not canonical", data, message, signed(secret, chance, message, commitment=commitment, key=data))


def mirrored() -> Iterator[Case]:
    """Good signatures with the sign of A, R or S turned, alone and together."""
    for good, turns in product(list(honest())[::2], product((False, True), repeat=3)):
        if any(turns):
            key, commitment, answer = good.key, good.signature[:32], int.from_bytes(good.signature[32:], "little")
            key = flip(key) if turns[0] else key
            commitment = flip(commitment) if turns[1] else commitment
            yield Case("mirrored", key, good.message, commitment + scalar(L - answer if turns[2] else answer))


def flip(data: bytes) -> bytes:
    return data[:31] + bytes((data[31] ^ 0x80,))


def lengths() -> Iterator[Case]:
    good = next(honest())
    for signature in (b"", good.signature[:32], good.signature[:63], good.signature + b"\x00", good.signature * 2):
        yield Case("another length", good.key, good.message, signature)


@cache
def edge_cases() -> tuple[Case, ...]:
    families = (
        honest,
        scalars,
        torsion_table,
        small_keys,
        small_commitments,
        other_encodings,
        mirrored,
        lengths,
    )
    return tuple(case for family in families for case in family())


def openssl_verify(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: a key it cannot read
        return False
    return True


def our_rule(verify: Callable[[bytes, bytes, bytes], bool], case: Case) -> bool:
    """Our rule around a verifier that leaves parts of it out."""
    return (
        is_admissible(case.key)
        and has_small_scalar(case.signature)
        and case.signature[:32] != IDENTITY
        and verify(case.key, case.message, case.signature)
    )


def library(case: Case) -> bool:
    key = PublicKey(case.key)
    return keys.is_admissible(key) and keys.verify(key, case.message, case.signature)


def test_three_judges_agree_on_1296_edge_cases() -> None:
    cases = edge_cases()
    for case in cases:
        verdicts = (library(case), our_rule(openssl_verify, case), is_valid(case.key, case.message, case.signature))
        assert verdicts == (case.is_valid,) * 3, case

    assert Counter(case.family for case in cases) == {
        "honest": 9,
        "of another message": 9,
        "S + k·L": 135,
        "a high bit of S": 27,
        "another S": 108,
        "torsion table": 318,
        "a key of small order": 328,
        "R of small order": 126,
        "R not canonical": 84,
        "A not canonical": 84,
        "mirrored": 63,
        "another length": 5,
    }
    assert sum(case.is_valid for case in cases) == 12  # the honest ones, and the three of the table without torsion


def test_of_12_good_signatures_openssl_alone_sees_259_and_a_cofactored_judge_781() -> None:
    """So the cases have teeth: each careless judge would be told from ours."""
    assert sum(openssl_verify(case.key, case.message, case.signature) for case in edge_cases()) == 259
    assert sum(is_valid_cofactored(case.key, case.message, case.signature) for case in edge_cases()) == 781


def test_for_keys_of_mixed_order_the_libraries_agree_without_our_admission() -> None:
    """What would be accepted if such a key were ever admitted: the same by both, so only admission keeps it out."""
    mixed = [case for case in edge_cases() if case.family == "torsion table" and not is_admissible(case.key)]
    verdicts = [
        (
            keys.verify(PublicKey(case.key), case.message, case.signature),
            openssl_verify(case.key, case.message, case.signature),
            is_valid_cofactorless(case.key, case.message, case.signature),
        )
        for case in mixed
    ]

    assert Counter(verdicts) == {(True, True, True): 126, (False, False, False): 168}


def test_no_key_has_a_second_encoding() -> None:
    """Each encoding that is not canonical is of a point of small or mixed order, so the subgroup check covers it."""
    lenient = [decode_leniently(data) for data in (*OTHER_SMALL, *OTHER_MIXED)]

    assert len(lenient) == 26
    assert not any(in_prime_subgroup(point) for point in lenient if point is not None)


# --- careless judges, each of which the self-test must refuse ---------------------------


def zip_215_but_identity(key: bytes, message: bytes, signature: bytes) -> bool:
    return signature[:32] != IDENTITY and is_valid_cofactored(key, message, signature)


def cofactored_and_canonical(key: bytes, message: bytes, signature: bytes) -> bool:
    """A cofactored library that is strict in all else: canonical encodings, nothing of small order."""
    commitment, point = decode(signature[:32]), decode(key)
    if commitment is None or point is None or commitment in torsion() or point in torsion():
        return False
    return is_valid_cofactored(key, message, signature)


def accepts_identity_as_r(key: bytes, message: bytes, signature: bytes) -> bool:
    return is_valid_cofactorless(key, message, signature)


def accepts_other_encodings_of_r(key: bytes, message: bytes, signature: bytes) -> bool:
    if signature[:32] == IDENTITY or len(signature) != 64 or not has_small_scalar(signature):
        return False
    found = residue(key, message, signature)
    return found is not None and found == decode_leniently(signature[:32])


def accepts_large_scalars(key: bytes, message: bytes, signature: bytes) -> bool:
    found = residue(key, message, signature)
    return found is not None and found.encode() == signature[:32] != IDENTITY


def accepts_scalars_below_2_to_253(key: bytes, message: bytes, signature: bytes) -> bool:
    """ref10: three bits of S looked at instead of all."""
    return signature[63] < 32 and accepts_large_scalars(key, message, signature)


JUDGES: Final = (
    is_valid_cofactored,
    zip_215_but_identity,
    cofactored_and_canonical,
    accepts_identity_as_r,
    accepts_other_encodings_of_r,
    accepts_large_scalars,
    accepts_scalars_below_2_to_253,
)


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.__name__)
def test_a_careless_judge_of_signatures_fails_the_self_test(
    judge: Callable[[bytes, bytes, bytes], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "verify", lambda key, message, signature: judge(key.bytes, message, signature))

    with pytest.raises(CryptoSelfTestFailed, match="judges a signature"):
        self_test()


def admits_any_point(key: bytes) -> bool:
    return decode_leniently(key) is not None


def admits_canonical_points(key: bytes) -> bool:
    return decode(key) is not None


def admits_all_but_small_order(key: bytes) -> bool:
    """What verifiers with a list of bad keys do, libsodium's own among them."""
    point = decode(key)
    return point is not None and point not in torsion()


def admits_the_identity(key: bytes) -> bool:
    point = decode(key)
    return point is not None and L * point == NEUTRAL


def admits_other_encodings_of_the_identity(key: bytes) -> bool:
    point = decode_leniently(key)
    return point is not None and key != IDENTITY and L * point == NEUTRAL


def admits_a_part_of_order_2(key: bytes) -> bool:
    point = decode(key)
    return point is not None and point not in torsion() and (2 * L) * point == NEUTRAL


def admits_nothing(_: bytes) -> bool:
    return False


ADMISSIONS: Final = (
    admits_any_point,
    admits_canonical_points,
    admits_all_but_small_order,
    admits_the_identity,
    admits_other_encodings_of_the_identity,
    admits_a_part_of_order_2,
    admits_nothing,
)


@pytest.mark.parametrize("admission", ADMISSIONS, ids=lambda admission: admission.__name__)
def test_a_careless_admission_of_keys_fails_the_self_test(
    admission: Callable[[bytes], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "is_admissible", lambda key: admission(key.bytes))

    with pytest.raises(CryptoSelfTestFailed, match=r"library (admits|refuses)"):
        self_test()


def test_plain_integers_and_openssl_under_our_rule_pass_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "is_admissible", lambda key: is_admissible(key.bytes))
    for judge in (is_valid, openssl_verify_under_our_rule):
        monkeypatch.setattr(
            keys, "verify", lambda key, message, signature, judge=judge: judge(key.bytes, message, signature)
        )
        self_test()


def openssl_verify_under_our_rule(key: bytes, message: bytes, signature: bytes) -> bool:
    return our_rule(openssl_verify, Case("of the self-test", key, message, signature))
