"""edwards25519 in plain integers (RFC 8032, section 5.1): the curve, and verdicts that differ on purpose.

It reads encodings leniently where asked, as ZIP-215 verifiers do, so that a
test can show where strict and lenient judges part. Slow, not constant-time,
and for test keys only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha512
from typing import Final

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_ONE: Final = pow(2, (P - 1) // 4, P)
_SIGN_BIT: Final = 1 << 255


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve as (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z."""

    x: int
    y: int
    z: int
    t: int

    def __add__(self, other: "Point") -> "Point":
        a = (self.y - self.x) * (other.y - other.x) % P
        b = (self.y + self.x) * (other.y + other.x) % P
        c = 2 * D * self.t * other.t % P
        d = 2 * self.z * other.z % P
        e, f, g, h = b - a, d - c, d + c, b + a
        return Point(e * f % P, g * h % P, f * g % P, e * h % P)

    def __neg__(self) -> "Point":
        return Point(-self.x % P, self.y, self.z, -self.t % P)

    def __rmul__(self, scalar: int) -> "Point":
        """The scalar is not reduced: a point may have a part of small order."""
        result = NEUTRAL
        for doubled in doublings(self, scalar.bit_length()):
            if scalar & 1:
                result += doubled
            scalar >>= 1
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Point):
            return NotImplemented
        return (self.x * other.z - other.x * self.z) % P == 0 and (self.y * other.z - other.y * self.z) % P == 0

    def __hash__(self) -> int:
        return hash(self.encode())

    def encode(self) -> bytes:
        """The one canonical encoding."""
        inverse = pow(self.z, -1, P)
        return (self.y * inverse % P | (self.x * inverse % P & 1) << 255).to_bytes(32, "little")


def affine(x: int, y: int) -> Point:
    return Point(x, y, 1, x * y % P)


def doublings(point: Point, times: int) -> Iterator[Point]:
    """``point``, twice ``point``, four times ``point``…; those of the base are kept, being asked for often."""
    if point is BASE:
        yield from _base_doublings()[:times]
        return
    for _ in range(times):
        yield point
        point += point


@cache
def _base_doublings() -> tuple[Point, ...]:
    found = [BASE]
    while len(found) < 512:
        found.append(found[-1] + found[-1])
    return tuple(found)


def root(square: int) -> int | None:
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * _ROOT_OF_MINUS_ONE % P
    return None if (x * x - square) % P else x


def decode_leniently(data: bytes) -> Point | None:
    """Any encoding of a point: y may be p or more, and the sign of x = 0 may be set (ZIP-215)."""
    number = int.from_bytes(data, "little")
    y, sign = number % _SIGN_BIT % P, number >> 255
    x = root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)
    if x is None:
        return None
    return affine(-x % P if x & 1 != sign else x, y)


def decode(data: bytes) -> Point | None:
    """The point whose one canonical encoding this is."""
    point = decode_leniently(data)
    return point if point is not None and point.encode() == data else None


NEUTRAL: Final = affine(0, 1)
_BASE_Y: Final = 4 * pow(5, -1, P) % P
BASE: Final = decode(_BASE_Y.to_bytes(32, "little")) or NEUTRAL
assert BASE != NEUTRAL


@cache
def torsion() -> tuple[Point, ...]:
    """The eight points of small order as 0…7 times one of order 8."""
    candidates = (decode_leniently(y.to_bytes(32, "little")) for y in range(2, 100))
    generator = next(found for point in candidates if point is not None and 4 * (found := L * point) != NEUTRAL)
    return tuple(times * generator for times in range(8))


@cache
def in_prime_subgroup(point: Point) -> bool:
    return point != NEUTRAL and L * point == NEUTRAL


def is_admissible(key: bytes) -> bool:
    """PROTOCOL §1: a canonical point of the prime-order subgroup."""
    point = decode(key)
    return point is not None and in_prime_subgroup(point)


def challenge(commitment: bytes, key: bytes, message: bytes) -> int:
    """The h of a signature."""
    return int.from_bytes(sha512(commitment + key + message).digest(), "little") % L


def residue(key: bytes, message: bytes, signature: bytes) -> Point | None:
    """S·B − h·A with a leniently read A: what R must be."""
    point = decode_leniently(key)
    if point is None or len(signature) != 64:
        return None
    return int.from_bytes(signature[32:], "little") * BASE + challenge(signature[:32], key, message) * -point


def has_small_scalar(signature: bytes) -> bool:
    return int.from_bytes(signature[32:], "little") < L


def is_valid_cofactorless(key: bytes, message: bytes, signature: bytes) -> bool:
    """S < L, and S·B − h·A encodes to the bytes of R; the key is taken as it comes."""
    if len(signature) != 64 or not has_small_scalar(signature):
        return False
    found = residue(key, message, signature)
    return found is not None and found.encode() == signature[:32]


def is_valid_cofactored(key: bytes, message: bytes, signature: bytes) -> bool:
    """ZIP-215: encodings read leniently, both sides times 8."""
    if len(signature) != 64 or not has_small_scalar(signature):
        return False
    found, commitment = residue(key, message, signature), decode_leniently(signature[:32])
    return found is not None and commitment is not None and 8 * found == 8 * commitment


def is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    """The acceptance rule of PROTOCOL §1, the admission of the key included."""
    return is_admissible(key) and signature[:32] != NEUTRAL.encode() and is_valid_cofactorless(key, message, signature)
