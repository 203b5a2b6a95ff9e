"""Ed25519 keys and the one acceptance rule for signatures (PROTOCOL §1).

A key is admitted once, when it enters an identity table: a canonical point of
the prime-order subgroup. A signature is valid iff S < L, R is not the encoding
of the identity, and encode(S·B − h·A) equals the R bytes (cofactorless). The
bundled libsodium judges so today; the rule is ours and ``self_test`` refuses to
run on a library that judges otherwise.
"""

from base64 import b32decode, b32encode
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from unhush.identity.errors import CryptoSelfTestFailed, MalformedKey

KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_KEY_TEXT_CHARS: Final = 53
_IDENTITY_POINT: Final = b"\x01" + bytes(31)


@dataclass(frozen=True, slots=True, order=True)
class PublicKey:
    """The 32 bytes of an Ed25519 public key; its text form is ``k`` and base32 lower case."""

    bytes: bytes

    def __post_init__(self) -> None:
        if len(self.bytes) != KEY_BYTES:
            raise MalformedKey(f"a key has {KEY_BYTES} bytes, this one {len(self.bytes)}")

    def __hash__(self) -> int:
        return hash(self.bytes)

    def __str__(self) -> str:
        return "k" + b32encode(self.bytes).decode().rstrip("=").lower()

    def __repr__(self) -> str:
        return f"PublicKey({self})"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret Ed25519 seed; its repr never shows it."""

    seed: bytes = field(repr=False)
    public: PublicKey = field(init=False)
    _secret: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise MalformedKey(f"a seed has {SEED_BYTES} bytes, this one {len(self.seed)}")
        public, secret = crypto_sign_seed_keypair(self.seed)
        object.__setattr__(self, "public", PublicKey(public))
        object.__setattr__(self, "_secret", secret)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of ``message``."""
        signed: bytes = crypto_sign(message, self._secret)
        return signed[:SIGNATURE_BYTES]


def verify(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` by an admitted ``key`` is valid under our rule."""
    if len(signature) != SIGNATURE_BYTES or signature[:32] == _IDENTITY_POINT:
        return False
    try:
        crypto_sign_open(signature + message, key.bytes)
    except CryptoError:
        return False
    return True


@lru_cache(maxsize=4096)  # a key is asked about once per table that lists it; the cache spares repeats
def is_admissible(key: PublicKey) -> bool:
    """Whether ``key`` is a canonical point of the prime-order subgroup."""
    return bool(crypto_core_ed25519_is_valid_point(key.bytes))


def parse_key(text: str) -> PublicKey:
    """Read the one text form of an admissible key; raises ``MalformedKey``."""
    if len(text) != _KEY_TEXT_CHARS or text[:1] != "k" or not text.isascii() or text != text.lower():
        raise MalformedKey(f"not a key in text: {text[:80]!r}")
    try:
        key = PublicKey(b32decode(text[1:].upper() + "===="))
    except ValueError as exc:
        raise MalformedKey(f"not a key in text: {text!r}") from exc
    if str(key) != text:
        raise MalformedKey(f"not a key in its one text form: {text!r}")
    if not is_admissible(key):
        raise MalformedKey(f"{text} is not a point of the prime-order subgroup")
    return key


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    key: str
    message: bytes
    signature: str
    expected: bool


# Made once from the seed 00 01 … 1f by adding L to S, replacing R by the identity (with S = h·a) in each of
# its encodings that a lenient reader takes, and adding a point of order 8 to R (valid for a cofactored verifier only).
_CASES: Final = (
    _Case(
        "a good signature",
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        b"unhush",
        "885d02bb9d95f8c527465b0371db59b4d48589367efe0a321c22d5cf24d93975"
        "73bfda17bf4a2c4c3ff9537431f08da33a2de61f70fe35f07d7a3c7dc8a53008",
        True,
    ),
    _Case(
        "a signature with S + L",
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        b"unhush",
        "885d02bb9d95f8c527465b0371db59b4d48589367efe0a321c22d5cf24d93975"
        "6093d074d9ad3ea415964b1710ea6cb83a2de61f70fe35f07d7a3c7dc8a53018",
        False,
    ),
    _Case(
        "a signature whose R is the identity",
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        b"unhush",
        "0100000000000000000000000000000000000000000000000000000000000000"
        "60e73cfdfa41b4abb3eaff122cf6e45349eaacbb83f22ac43656a47f6b497b04",
        False,
    ),
    _Case(
        "a signature whose R is the identity with y = p + 1",
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        b"unhush",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
        "838ceaa27578ff4e3ea6dd05dad18967eb956a037d2464684c0c191c54110e0d",
        False,
    ),
    _Case(
        "a signature whose R is the identity with the sign of x = 0 set",
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        b"unhush",
        "0100000000000000000000000000000000000000000000000000000000000080"
        "b0933e9d01431809a046db7a95ed873e39c370319c39f15da3f5418884eabb06",
        False,
    ),
    _Case(
        "a signature whose R has a part of small order",
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        b"unhush",
        "b15bf26424d1b69dd33b7a9e57db5de4a2aadea4a2a051efd9bfd6af74165d2b"
        "230311fe4b7a78bab8c8867e27786c37595b459d6ae05d9ac18ee31e89a28807",
        False,
    ),
    _Case(
        "a signature of another message",
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        b"unhusH",
        "885d02bb9d95f8c527465b0371db59b4d48589367efe0a321c22d5cf24d93975"
        "73bfda17bf4a2c4c3ff9537431f08da33a2de61f70fe35f07d7a3c7dc8a53008",
        False,
    ),
)

# The good key above, alone and with a point of small order added; then points that are nobody's key.
_POINTS: Final = (
    ("a good key", "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8", True),
    ("a key with a part of order 8", "b502ff3d92e31d8190b4aa4ea0414005167fad089c4de9dac8a2fc850fed4f58", False),
    ("a key with a part of order 2", "ea5ef8400c31ef41e28f22e718b43f66981b29cf645af2a0e223799bedaace47", False),
    ("a point of small order", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", False),
    ("the identity", "0100000000000000000000000000000000000000000000000000000000000000", False),
    ("the identity with y = p + 1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", False),
    ("the identity with its sign set", "0100000000000000000000000000000000000000000000000000000000000080", False),
    ("what is not on the curve", "0200000000000000000000000000000000000000000000000000000000000000", False),
)


def self_test() -> None:
    """Judge known edge cases; raises ``CryptoSelfTestFailed`` if the library judges differently."""
    for case in _CASES:
        key = PublicKey(bytes.fromhex(case.key))
        if verify(key, case.message, bytes.fromhex(case.signature)) is not case.expected:
            raise CryptoSelfTestFailed(f"the Ed25519 library judges {case.name} wrongly; unhush will not run on it")
    for name, point, expected in _POINTS:
        if is_admissible(PublicKey(bytes.fromhex(point))) is not expected:
            verb = "refuses" if expected else "admits"
            raise CryptoSelfTestFailed(f"the Ed25519 library {verb} {name}; unhush will not run on it")
