"""The little of CBOR, CIDs and Ed25519 that the vectors need, written straight from the specifications.

It shares no line with the code under test, so that a vector is a second opinion
and not an echo. Slow, not constant-time, and for public test keys only.
"""

from base64 import b32encode
from functools import cache
from hashlib import sha256, sha512
from typing import Any

# --- DAG-CBOR -------------------------------------------------------------------------

Notation = Any  # a value as the vector files write it; see README.md


def head(major: int, argument: int, width: int | None = None) -> bytes:
    """A CBOR head; ``width`` (0, 1, 2, 4 or 8 bytes) forces a longer form than needed."""
    if width is None:
        width = next(
            size for size, top in ((0, 24), (1, 1 << 8), (2, 1 << 16), (4, 1 << 32), (8, 1 << 64)) if argument < top
        )
    info = {0: argument, 1: 24, 2: 25, 4: 26, 8: 27}[width]
    return bytes((major << 5 | info,)) + (argument.to_bytes(width, "big") if width else b"")


def text(value: str) -> bytes:
    raw = value.encode()
    return head(3, len(raw)) + raw


def octets(value: bytes) -> bytes:
    return head(2, len(value)) + value


def link(cid: bytes) -> bytes:
    return head(6, 42) + octets(b"\x00" + cid)


def dag_cbor(value: Notation) -> bytes:
    """The strict bytes of a value in notation; map entries are written in the order given."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(dag_cbor, value))
    ((kind, inner),) = value.items()
    if kind == "int":
        number = int(inner)
        return head(0, number) if number >= 0 else head(1, -1 - number)
    if kind == "bytes":
        return octets(bytes.fromhex(inner))
    if kind == "link":
        return link(cid_bytes(inner))
    assert kind == "map"
    return head(5, len(inner)) + b"".join(text(key) + dag_cbor(item) for key, item in inner)


def in_order(pairs: dict[str, Notation]) -> Notation:
    """A map in notation, its keys in DAG-CBOR order."""
    return {"map": [[key, pairs[key]] for key in sorted(pairs, key=lambda key: (len(key.encode()), key.encode()))]}


# --- CIDs -----------------------------------------------------------------------------

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def base32(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()


def cid_of(block: bytes, codec: int = 0x71) -> str:
    return "b" + base32(bytes((1, codec, 0x12, 32)) + sha256(block).digest())


def cid_bytes(cid: str) -> bytes:
    number = 0
    for character in cid[1:]:
        number = number << 5 | _BASE32.index(character)
    return (number >> 2).to_bytes(36, "big")  # 58 characters are 290 bits


# --- Ed25519 (RFC 8032) ---------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]  # X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z
IDENTITY: Point = (0, 1, 1, 0)


def add(one: Point, two: Point) -> Point:
    a, b = (one[1] - one[0]) * (two[1] - two[0]) % P, (one[1] + one[0]) * (two[1] + two[0]) % P
    c, d = 2 * one[3] * two[3] * _D % P, 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar: int, point: Point) -> Point:
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def recover_x(y: int, sign: int) -> int | None:
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * _ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def compress(point: Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decompress(data: bytes) -> Point | None:
    """The point of a canonical encoding, or None."""
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    if y >= P or (x := recover_x(y, sign)) is None:
        return None
    return x, y, 1, x * y % P


_BASE_Y = 4 * pow(5, -1, P) % P
_BASE_X = recover_x(_BASE_Y, 0)
assert _BASE_X is not None
BASE: Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % P)


def torsion() -> list[Point]:
    """The eight points of small order, as multiples of one of order 8; the first is the identity."""
    y = 2
    while True:
        x = recover_x(y, 0)
        if x is not None:
            found = multiply(L, (x, y, 1, x * y % P))
            if compress(multiply(4, found)) != compress(IDENTITY):
                return [multiply(times, found) for times in range(8)]
        y += 1


def is_admissible(key: bytes) -> bool:
    """A canonical point of the prime-order subgroup, not the identity."""
    point = decompress(key)
    identity = compress(IDENTITY)
    return point is not None and key != identity and compress(multiply(L, point)) == identity


def number_of(*parts: bytes) -> int:
    return int.from_bytes(sha512(b"".join(parts)).digest(), "little") % L


def secret_scalar(seed: bytes) -> tuple[int, bytes]:
    digest = sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254, digest[32:]


@cache
def public_key(seed: bytes) -> bytes:
    return compress(multiply(secret_scalar(seed)[0], BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    scalar, prefix = secret_scalar(seed)
    nonce = number_of(prefix, message)
    commitment, key = compress(multiply(nonce, BASE)), public_key(seed)
    answer = (nonce + number_of(commitment, key, message) * scalar) % L
    return commitment + answer.to_bytes(32, "little")


def is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    """The acceptance rule of PROTOCOL §1, the admission of the key included."""
    if len(signature) != 64 or not is_admissible(key):
        return False
    commitment, answer = signature[:32], int.from_bytes(signature[32:], "little")
    point = decompress(key)
    assert point is not None
    if answer >= L or commitment == compress(IDENTITY):
        return False
    minus = multiply(L - number_of(commitment, key, message), point)
    return compress(add(multiply(answer, BASE), minus)) == commitment


def is_valid_cofactored(key: bytes, message: bytes, signature: bytes) -> bool:
    """What verifiers after ZIP-215 and batch verifiers say; shown where it differs from our rule."""
    point, commitment = decompress(key), decompress(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if point is None or commitment is None or answer >= L:
        return False
    hashed = number_of(signature[:32], key, message)
    left = multiply(8 * answer, BASE)
    right = add(multiply(8, commitment), multiply(8 * hashed, point))
    return compress(left) == compress(right)
