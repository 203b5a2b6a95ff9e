"""Write the test vectors of the identity layer: ``python tests/vectors/make.py [folder]``.

Deterministic, and independent of the code under test: everything is written with
``reference.py``. README.md beside this file says how to read what comes out.
"""

import json
import sys
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b, sha256, sha512
from pathlib import Path
from typing import Any

import reference as ref
from reference import Notation, cid_of, dag_cbor, head, in_order, link, octets, text

HERE = Path(__file__).parent
BLOCK = b"\xa1\x61a\x01"  # something to link to
CID = cid_of(BLOCK)
RAW_CID = cid_of(b"raw bytes", codec=0x55)
LINK = link(ref.cid_bytes(CID))
MAX_INT = 2**63 - 1
NETWORK = "main"


def seed(name: str) -> bytes:
    """A secret for tests: known to everyone."""
    return sha256(b"unhush test vector: " + name.encode()).digest()


def integer(number: int) -> Notation:
    return {"int": str(number)}


def raw(data: bytes) -> Notation:
    return {"bytes": data.hex()}


# --- codec ----------------------------------------------------------------------------


def make_codec() -> object:
    return {"accepted": list(accepted_values()), "rejected": list(rejected_bytes())}


def accepted_values() -> Iterable[dict[str, Any]]:
    numbers = (0, 1, 10, 23, 24, 25, 100, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53, 2**53 + 1, MAX_INT)
    for number in numbers:
        yield accept(f"integer {number}", integer(number))
        yield accept(f"integer {-1 - number}", integer(-1 - number))
    for value in (None, False, True):
        yield accept(f"simple value {json.dumps(value)}", value)
    for name, value in (
        ("empty text", ""),
        ("ASCII text", "unhush"),
        ("text of two, three and four bytes a character", "ü水𐅑"),
        ("text that is not in NFC stays as it is", "u\u0308"),
        ("text with NUL, newline and a byte order mark", "\x00\n\ufeff"),
        ("a noncharacter", "\uffff\U0010ffff"),
        ("text of 23 bytes", "a" * 23),
        ("text of 24 bytes", "a" * 24),
        ("text of 256 bytes", "a" * 256),
    ):
        yield accept(name, value)
    for length in (0, 1, 23, 24, 32, 255, 256):
        yield accept(f"byte string of {length}", raw(bytes(index % 256 for index in range(length))))
    for name, value in (
        ("bytes that look like a link are bytes", raw(b"\x00" + ref.cid_bytes(CID))),
        ("link to a dag-cbor block", {"link": CID}),
        ("link to a raw block", {"link": RAW_CID}),
        ("empty list", []),
        ("list of 23", [None] * 23),
        ("list of 24", [None] * 24),
        ("list of all kinds", [integer(-1), "a", raw(b"a"), True, None, {"link": CID}, [], {"map": []}]),
        ("empty map", {"map": []}),
        ("map keys by length, then bytes", in_order(dict.fromkeys(("", "b", "aa", "ab", "A", "z", "aaa"), None))),
        ("a longer key that begins lower comes later", {"map": [["b", integer(1)], ["aa", integer(2)]]}),
        ("keys with all ASCII controls are ASCII", {"map": [["\x00", None], ["\n", None], ["\x7f", None]]}),
        ("a key of 24 characters", {"map": [["a" * 24, None]]}),
        ("a map of 24", in_order({f"k{index:02}": integer(index) for index in range(24)})),
        ("a null in a map is not an absent field", {"map": [["a", None]]}),
        ("lists to depth 16", nested_list(16)),
        ("maps to depth 16", nested_map(16)),
        ("a scalar below depth 16", nested_list(16, [integer(0)])),
        ("a link below depth 16: it adds no level", nested_list(16, [{"link": CID}])),
    ):
        yield accept(name, value)
    yield {"name": "4,096 items", "bytes": [["990fff", 1], ["00", 4095]], "value": {"repeat": [integer(0), 4095]}}
    yield {"name": "65,536 bytes", "bytes": [["79fffd", 1], ["61", 65533]], "value": {"repeat_text": ["a", 65533]}}


def accept(name: str, value: Notation) -> dict[str, Any]:
    return {"name": name, "bytes": dag_cbor(value).hex(), "value": value}


def nested_list(depth: int, innermost: Notation = ()) -> Notation:
    value: Notation = list(innermost)
    for _ in range(depth - 1):
        value = [value]
    return value


def nested_map(depth: int) -> Notation:
    value: Notation = {"map": []}
    for _ in range(depth - 1):
        value = {"map": [["a", value]]}
    return value


def rejected_bytes() -> Iterable[dict[str, Any]]:
    for reason, cases in REJECTED.items():
        for name, data in cases.items():
            yield {"name": name, "bytes": data if isinstance(data, list) else data.hex(), "reason": reason}


def key_value(key: bytes, value: bytes = b"\x00") -> bytes:
    return head(5, 1) + key + value


def tag42(body: bytes) -> bytes:
    return head(6, 42) + octets(body)


DIGEST = ref.cid_bytes(CID)[4:]
REJECTED: dict[str, dict[str, Any]] = {
    "floats do not exist here": {
        "half 0.0": bytes.fromhex("f90000"),
        "half 1.0": bytes.fromhex("f93c00"),
        "half -0.0": bytes.fromhex("f98000"),
        "half NaN": bytes.fromhex("f97e00"),
        "half infinity": bytes.fromhex("f97c00"),
        "single 1.0": bytes.fromhex("fa3f800000"),
        "single NaN": bytes.fromhex("fa7fc00000"),
        "double 1.0": bytes.fromhex("fb3ff0000000000000"),
        "double 1.1": bytes.fromhex("fb3ff199999999999a"),
        "double NaN": bytes.fromhex("fb7ff8000000000000"),
        "double NaN with a payload": bytes.fromhex("fb7ff8000000000001"),
        "double minus infinity": bytes.fromhex("fbfff0000000000000"),
        "double in a list": bytes.fromhex("81fb3ff0000000000000"),
        "double in a map": key_value(b"\x61a", bytes.fromhex("fb3ff0000000000000")),
    },
    "no simple values but false, true and null": {
        "undefined": b"\xf7",
        "undefined in a list": b"\x81\xf7",
        "simple 0": b"\xe0",
        "simple 19": b"\xf3",
        "simple 20 (false) in two bytes": b"\xf8\x14",
        "simple 22 (null) in two bytes": b"\xf8\x16",
        "simple 24 in two bytes": b"\xf8\x18",
        "simple 32": b"\xf8\x20",
        "simple 255": b"\xf8\xff",
        "reserved 28": b"\xfc",
        "reserved 29": b"\xfd",
        "reserved 30": b"\xfe",
    },
    "no tags but 42": {
        "tag 0, a date text": b"\xc0" + text("2030-01-01T00:00:00Z"),
        "tag 1, an epoch": b"\xc1\x00",
        "tag 2, a big number": b"\xc2" + octets(b"\x01" + bytes(8)),
        "tag 2, a small big number": b"\xc2\x41\x01",
        "tag 3, a negative big number": b"\xc3" + octets(b"\x01" + bytes(8)),
        "tag 4, a decimal fraction": b"\xc4\x82\x00\x01",
        "tag 5, a big float": b"\xc5\x82\x00\x01",
        "tag 6": b"\xc6\x00",
        "tag 23": b"\xd7\x41\x00",
        "tag 24, embedded CBOR": bytes.fromhex("d8184100"),
        "tag 25 in 256, a string reference": bytes.fromhex("d901008263616161d81900"),
        "tag 28, a shared value": bytes.fromhex("d81c80"),
        "tag 29 in 28, a cycle": bytes.fromhex("d81c81d81d00"),
        "tag 30, a rational": bytes.fromhex("d81e820102"),
        "tag 32, a URI": b"\xd8\x20" + text("https://example.org"),
        "tag 35, a regular expression": b"\xd8\x23" + text("(a+)+$"),
        "tag 36, a MIME message": b"\xd8\x24" + text("a: b"),
        "tag 37, a UUID": b"\xd8\x25" + octets(bytes(16)),
        "tag 41": b"\xd8\x29" + octets(b"\x00" + ref.cid_bytes(CID)),
        "tag 43": b"\xd8\x2b" + octets(b"\x00" + ref.cid_bytes(CID)),
        "tag 52, an IPv4 address": b"\xd8\x34" + octets(bytes(4)),
        "tag 54, an IPv6 address": b"\xd8\x36" + octets(bytes(16)),
        "tag 100, days": b"\xd8\x64\x00",
        "tag 258, a set": bytes.fromhex("d901028100"),
        "tag 260, a network address": b"\xd9\x01\x04" + octets(bytes(4)),
        "tag 261, a network prefix": b"\xd9\x01\x05" + key_value(octets(bytes(4)), b"\x18\x18"),
        "tag 1004, a full date": b"\xd9\x03\xec" + text("2030-01-01"),
        "tag 43000, a complex number": b"\xd9\xa7\xf8\x82\x00\x01",
        "tag 55799, self-described CBOR": bytes.fromhex("d9d9f700"),
        "tag 2^64-1": b"\xdb" + b"\xff" * 8 + b"\x00",
        "a tag with a reserved head": b"\xdc\x00",
    },
    "map keys stand in DAG-CBOR order": {
        "b before a": bytes.fromhex("a2616200616100"),
        "aa before b (bytewise, not length first)": bytes.fromhex("a262616100616200"),
        "a before the empty key": bytes.fromhex("a26161006000"),
        "wrong order in a map in a list": bytes.fromhex("81a2616200616100"),
        "wrong order in the third place": bytes.fromhex("a3616100616300616200"),
        "a before A": bytes.fromhex("a2616100614100"),
    },
    "map keys are unique": {
        "the same key twice": bytes.fromhex("a2616100616100"),
        "the same key twice with two values": bytes.fromhex("a2616100616101"),
        "the empty key twice": bytes.fromhex("a260006000"),
        "the same key twice, apart": bytes.fromhex("a3616100616200616100"),
    },
    "map keys are text": {
        "integer key": key_value(b"\x00"),
        "negative key": key_value(b"\x20"),
        "bytes key": key_value(b"\x41a"),
        "null key": key_value(b"\xf6"),
        "true key": key_value(b"\xf5"),
        "float key": key_value(b"\xf9\x3c\x00"),
        "list key": key_value(b"\x80"),
        "map key": key_value(b"\xa0"),
        "link key": key_value(LINK),
        "integer key beside a text key": bytes.fromhex("a20000616100"),
    },
    "map keys are ASCII": {
        "é": key_value(text("é")),
        "U+0080": key_value(text("\x80")),
        "Cyrillic а": key_value(text("а")),
        "an emoji": key_value(text("🌱")),
        "é after a": head(5, 2) + text("a") + b"\x00" + text("é") + b"\x00",
    },
    "text is UTF-8": {
        "byte ff": b"\x61\xff",
        "a lonely continuation": b"\x61\x80",
        "a cut sequence": b"\x61\xc3",
        "NUL in two bytes": b"\x62\xc0\x80",
        "slash in three bytes": b"\x63\xe0\x80\xaf",
        "a high surrogate": b"\x63\xed\xa0\x80",
        "a low surrogate": b"\x63\xed\xbf\xbf",
        "a surrogate pair in six bytes": b"\x66\xed\xa0\x80\xed\xb0\x80",
        "beyond U+10FFFF": b"\x64\xf4\x90\x80\x80",
        "a five-byte form": b"\x65\xf8\x88\x80\x80\x80",
        "in a key": key_value(b"\x61\xff"),
        "in a list": b"\x81\x61\xff",
    },
    "integers are in -2^63…2^63-1": {
        "2^63": b"\x1b\x80" + bytes(7),
        "2^64-1": b"\x1b" + b"\xff" * 8,
        "-2^63-1": b"\x3b\x80" + bytes(7),
        "-2^64": b"\x3b" + b"\xff" * 8,
        "2^63 in a map": key_value(b"\x61a", b"\x1b\x80" + bytes(7)),
    },
    "heads are minimal": {
        f"{name} in {width} more": head(major, argument, width) + rest
        for name, major, argument, rest in (
            ("integer 0", 0, 0, b""),
            ("integer 23", 0, 23, b""),
            ("integer -1", 1, 0, b""),
            ("empty bytes", 2, 0, b""),
            ("one byte", 2, 1, b"a"),
            ("empty text", 3, 0, b""),
            ("text a", 3, 1, b"a"),
            ("empty list", 4, 0, b""),
            ("list of one", 4, 1, b"\x00"),
            ("empty map", 5, 0, b""),
            ("map of one", 5, 1, b"\x61a\x00"),
        )
        for width in (1, 2, 4, 8)
    }
    | {
        "integer 255 in two bytes": bytes.fromhex("1900ff"),
        "integer 65535 in four bytes": bytes.fromhex("1a0000ffff"),
        "integer 2^32-1 in eight bytes": bytes.fromhex("1b00000000ffffffff"),
        "integer -256 in two bytes": bytes.fromhex("3900ff"),
        "integer -65536 in four bytes": bytes.fromhex("3a0000ffff"),
        "integer -2^32 in eight bytes": bytes.fromhex("3b00000000ffffffff"),
        "byte string of 24 in two": head(2, 24, 2) + bytes(24),
        "text of 24 in two": head(3, 24, 2) + b"a" * 24,
        "list of 24 in two": head(4, 24, 2) + bytes(24),
        "tag 42 in two bytes": head(6, 42, 2) + LINK[2:],
        "tag 42 in four bytes": head(6, 42, 4) + LINK[2:],
        "tag 42 in eight bytes": head(6, 42, 8) + LINK[2:],
        "link bytes with a long head": head(6, 42) + head(2, 37, 2) + LINK[4:],
        "a map key with a long head": key_value(bytes.fromhex("780161")),
        "a value with a long head": key_value(b"\x61a", b"\x18\x00"),
    },
    "no indefinite lengths": {
        "bytes": bytes.fromhex("5f4161ff"),
        "empty bytes": bytes.fromhex("5fff"),
        "text": bytes.fromhex("7f6161ff"),
        "empty text": bytes.fromhex("7fff"),
        "list": bytes.fromhex("9f00ff"),
        "empty list": bytes.fromhex("9fff"),
        "map": bytes.fromhex("bf616100ff"),
        "empty map": bytes.fromhex("bfff"),
        "list in a list": bytes.fromhex("819fff"),
        "text as a key": bytes.fromhex("a17f6161ff00"),
        "bytes of a link": head(6, 42) + b"\x5f" + LINK[2:] + b"\xff",
        "a lonely break": b"\xff",
        "a break in a list": b"\x81\xff",
    },
    "heads 28 to 30 are reserved": {
        f"major type {major}, head {info}": bytes((major << 5 | info,)) for major in range(6) for info in (28, 29, 30)
    },
    "nothing follows the value": {
        "a second integer": b"\x00\x00",
        "a zero byte after an empty map": b"\xa0\x00",
        "a break after a list": b"\x80\xff",
        "a head that is cut short": b"\xf6\x18",
        "a space after text": b"\x61a ",
        "a second link": LINK + LINK,
    },
    "the value is whole": {
        "nothing at all": b"",
        "a head without its byte": b"\x18",
        "a head without its eight bytes": b"\x1b" + bytes(7),
        "bytes that end early": b"\x42a",
        "text that ends early": b"\x62a",
        "a list that ends early": b"\x82\x00",
        "a map without its value": b"\xa1\x61a",
        "a map without its second pair": b"\xa2\x61a\x00",
        "a tag without content": b"\xd8\x2a",
        "a link that ends early": LINK[:-1],
        "bytes of length 2^63": b"\x5b\x80" + bytes(7),
        "text of length 2^64-1": b"\x7b" + b"\xff" * 8,
        "a list of 2^63": b"\x9b\x80" + bytes(7),
        "a list of 2^32-1": b"\x9a" + b"\xff" * 4,
        "a map of 2^63": b"\xbb\x80" + bytes(7),
        "a map of 2^64-1": b"\xbb" + b"\xff" * 8,
    },
    "at most 16 levels": {
        "lists to depth 17": dag_cbor(nested_list(17)),
        "maps to depth 17": dag_cbor(nested_map(17)),
        "a map in 16 lists": dag_cbor(nested_list(16, [{"map": []}])),
        "lists to depth 1,000": [["81", 999], ["80", 1]],
        "lists without an end": [["81", 60000]],
    },
    "at most 4,096 items in a block": {
        "a list of 4,096": [["991000", 1], ["00", 4096]],
        "a map of 2,048": (head(5, 2048) + b"".join(text(f"{i:04}") + b"\x00" for i in range(2048))),
        "a list of 65,520 empty lists": [["99fff0", 1], ["80", 65520]],
    },
    "at most 65,536 bytes in a block": {
        "text of 65,534": [["79fffe", 1], ["61", 65534]],
        "bytes of 2^20": [["5a00100000", 1], ["00", 1 << 20]],
    },
    "a link is 42(h'00' + 36 bytes of a CIDv1)": {
        "tag 42 on text": head(6, 42) + text("a"),
        "tag 42 on the text of a CID": head(6, 42) + text(CID),
        "tag 42 on an integer": head(6, 42) + b"\x00",
        "tag 42 on null": head(6, 42) + b"\xf6",
        "tag 42 on a list of bytes": head(6, 42) + head(4, 1) + LINK[2:],
        "tag 42 on tag 42": head(6, 42) + LINK,
        "empty": tag42(b""),
        "the prefix alone": tag42(b"\x00"),
        "without the prefix": tag42(ref.cid_bytes(CID)),
        "prefix 01": tag42(b"\x01" + ref.cid_bytes(CID)),
        "prefix twice": tag42(b"\x00\x00" + ref.cid_bytes(CID)),
        "one byte too short": tag42(b"\x00" + ref.cid_bytes(CID)[:-1]),
        "one byte too long": tag42(b"\x00" + ref.cid_bytes(CID) + b"\x00"),
        "CIDv0": tag42(b"\x00\x12\x20" + DIGEST),
        "CID version 2": tag42(b"\x00\x02\x71\x12\x20" + DIGEST),
        "codec dag-pb": tag42(b"\x00\x01\x70\x12\x20" + DIGEST),
        "codec dag-json": tag42(b"\x00\x01\xa9\x02\x12\x20" + DIGEST),
        "codec cbor": tag42(b"\x00\x01\x51\x12\x20" + DIGEST),
        "hash sha2-512": tag42(b"\x00\x01\x71\x13\x40" + DIGEST + DIGEST),
        "hash sha3-256": tag42(b"\x00\x01\x71\x16\x20" + DIGEST),
        "hash blake2b-256": tag42(b"\x00\x01\x71\xa0\xe4\x02\x20" + DIGEST),
        "hash identity": tag42(b"\x00\x01\x71\x00\x20" + DIGEST),
        "a digest of 31": tag42(b"\x00\x01\x71\x12\x1f" + DIGEST[:31]),
        "a digest of 31 said to be 32": tag42(b"\x00\x01\x71\x12\x20" + DIGEST[:31]),
        "version in a long varint": tag42(b"\x00\x81\x00\x71\x12\x20" + DIGEST),
    },
}


# --- CIDs -----------------------------------------------------------------------------


def make_cids() -> object:
    good = [
        {"name": name, "codec": codec, "block": block.hex(), "text": cid_of(block, code), "bytes": cid(block, code)}
        for name, block in (("empty map", b"\xa0"), ("map", BLOCK), ("null", b"\xf6"), ("empty", b""))
        for codec, code in (("dag-cbor", 0x71), ("raw", 0x55))
    ]
    last = "abcdefghijklmnopqrstuvwxyz234567".index(CID[-1])
    bad_text = {
        "empty": "",
        "upper case": CID.upper(),
        "the prefix in upper case": "B" + CID[1:],
        "one letter in upper case": CID[:20] + CID[20:].upper(),
        "upper-case base32 with its own prefix": "B" + CID[1:].upper(),
        "without the prefix": CID[1:],
        "one character short": CID[:-1],
        "one character more": CID + "a",
        "padded": CID + "=",
        "padded in place of the end": CID[:-1] + "=",
        "unused bits at the end are not zero": CID[:-1] + "abcdefghijklmnopqrstuvwxyz234567"[last + 1],
        "a space before": " " + CID[:-1],
        "a newline after": CID + "\n",
        "a newline for the last character": CID[:-1] + "\n",
        "digit 0": CID[:10] + "0" + CID[11:],
        "digit 1": CID[:10] + "1" + CID[11:],
        "digit 8": CID[:10] + "8" + CID[11:],
        "dotless i": CID[:10] + "\u0131" + CID[11:],
        "Kelvin sign": CID[:10] + "\u212a" + CID[11:],
        "long s": CID[:10] + "\u017f" + CID[11:],
        "full-width a": CID[:10] + "\uff41" + CID[11:],
        "NUL": CID[:10] + "\x00" + CID[11:],
        "CIDv0": "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        "base58btc": "zdpuAyvkgEDQm9TenwGkd5eNaosSxjgEYd8QatfPetgB1CdEZ",
        "base64url": "u" + "A" * 58,
        "codec dag-pb": "b" + ref.base32(b"\x01\x70\x12\x20" + DIGEST),
        "hash sha3-256": "b" + ref.base32(b"\x01\x71\x16\x20" + DIGEST),
        "version 2": "b" + ref.base32(b"\x02\x71\x12\x20" + DIGEST),
        "digest length 31": "b" + ref.base32(b"\x01\x71\x12\x1f" + DIGEST),
        "sha2-512": "b" + ref.base32(b"\x01\x71\x13\x40" + DIGEST + DIGEST),
        "a path": CID + "/a",
        "a URL": "ipfs://" + CID,
        "a key": key_text(ref.public_key(seed("device"))),
    }
    whole = ref.cid_bytes(CID)
    bad_bytes = {
        "empty": b"",
        "35 bytes": whole[:-1],
        "37 bytes": whole + b"\x00",
        "with the prefix of a link": b"\x00" + whole,
        "CIDv0": b"\x12\x20" + DIGEST,
        "version 0": b"\x00" + whole[1:],
        "version 2": b"\x02" + whole[1:],
        "codec dag-pb": b"\x01\x70" + whole[2:],
        "codec cbor": b"\x01\x51" + whole[2:],
        "hash sha3-256": whole[:2] + b"\x16" + whole[3:],
        "hash identity": whole[:2] + b"\x00" + whole[3:],
        "digest length 31": whole[:3] + b"\x1f" + whole[4:],
        "sha2-512": b"\x01\x71\x13\x40" + DIGEST + DIGEST,
        "its own text": CID.encode(),
    }
    return {
        "good": good,
        "bad_text": [{"name": name, "text": value} for name, value in bad_text.items()],
        "bad_bytes": [{"name": name, "bytes": value.hex()} for name, value in bad_bytes.items()],
    }


def cid(block: bytes, codec: int) -> str:
    return ref.cid_bytes(cid_of(block, codec)).hex()


# --- keys and signatures --------------------------------------------------------------


def key_text(key: bytes) -> str:
    return "k" + ref.base32(key)


def make_keys() -> object:
    good = [
        {"name": name, "seed": seed(name).hex(), "bytes": ref.public_key(seed(name)).hex()}
        for name in ("device", "phone", "root", "turn")
    ]
    for case in good:
        case["text"] = key_text(bytes.fromhex(case["bytes"]))
    key = ref.public_key(seed("device"))
    point = ref.decompress(key)
    assert point is not None
    torsion = ref.torsion()
    bad: list[tuple[str, str, bytes]] = [
        ("a point of small order", f"point {index} of 8", ref.compress(small)) for index, small in enumerate(torsion)
    ]
    bad += [
        ("not in the prime-order subgroup", f"a good key plus point {index} of 8", ref.compress(ref.add(point, small)))
        for index, small in enumerate(torsion)
        if index
    ]
    for above in range(19):
        for sign in (0, 1):
            number = ref.P + above | sign << 255
            bad.append(
                ("not canonical: y is not below p", f"y = p + {above}, sign {sign}", number.to_bytes(32, "little"))
            )
    bad += [
        ("not canonical: x is 0 and has a sign", f"y = {name}", (y | 1 << 255).to_bytes(32, "little"))
        for name, y in (("1", 1), ("-1", ref.P - 1))
    ]
    off_curve = [y for y in range(2, 60) if ref.recover_x(y, 0) is None][:5]
    bad += [("not on the curve", f"y = {y}", y.to_bytes(32, "little")) for y in off_curve]
    return {
        "admissible": good,
        "inadmissible": [{"reason": why, "name": name, "bytes": data.hex()} for why, name, data in bad],
        "bad_text": [{"name": name, "text": value} for name, value in bad_key_texts(key_text(key)).items()],
    }


def bad_key_texts(good: str) -> dict[str, str]:
    last = "abcdefghijklmnopqrstuvwxyz234567".index(good[-1])
    return {
        "empty": "",
        "the prefix alone": "k",
        "without the prefix": good[1:],
        "another prefix": "b" + good[1:],
        "upper case": good.upper(),
        "the prefix in upper case": "K" + good[1:],
        "one letter in upper case": good[:10] + good[10:].upper(),
        "one character short": good[:-1],
        "one character more": good + "a",
        "padded": good + "====",
        "unused bits at the end are not zero": good[:-1] + "abcdefghijklmnopqrstuvwxyz234567"[last + 1],
        "a space before": " " + good,
        "a newline after": good + "\n",
        "a newline for the last character": good[:-1] + "\n",
        "digit 1": good[:10] + "1" + good[11:],
        "Kelvin sign for the prefix": "\u212a" + good[1:],
        "dotless i": good[:10] + "\u0131" + good[11:],
        "hexadecimal": ref.public_key(seed("device")).hex(),
        "a CID": CID,
        "31 bytes": "k" + ref.base32(bytes(31)),
        "33 bytes": "k" + ref.base32(bytes(33)),
        "a point of small order": key_text(ref.compress(ref.torsion()[1])),
        "the identity": key_text(ref.compress(ref.IDENTITY)),
        "all zero": key_text(bytes(32)),
    }


def make_signatures() -> object:
    message, secret = b"unhush", seed("device")
    key, signature = ref.public_key(secret), ref.sign(secret, b"unhush")
    scalar, prefix = ref.secret_scalar(secret)
    commitment, answer = signature[:32], int.from_bytes(signature[32:], "little")
    torsion = ref.torsion()
    identity = ref.compress(ref.IDENTITY)
    cases: list[tuple[str, bytes, bytes, bytes]] = [
        ("good", key, message, signature),
        ("good, of the empty message", key, b"", ref.sign(secret, b"")),
        ("good, of 1,000 bytes", key, bytes(1000), ref.sign(secret, bytes(1000))),
        ("of another message", key, b"unhusH", signature),
        ("of a longer message", key, message + b"\x00", signature),
        ("by another key", ref.public_key(seed("phone")), message, signature),
        ("all zero", key, message, bytes(64)),
        ("empty", key, message, b""),
        ("63 bytes", key, message, signature[:-1]),
        ("65 bytes", key, message, signature + b"\x00"),
        ("S = 0", key, message, commitment + bytes(32)),
        ("S = L", key, message, commitment + ref.L.to_bytes(32, "little")),
        ("S = L - S", key, message, commitment + (ref.L - answer).to_bytes(32, "little")),
        ("R and S exchanged", key, message, signature[32:] + commitment),
        ("R with the other sign", key, message, commitment[:31] + bytes((commitment[31] ^ 0x80,)) + signature[32:]),
        ("of the message hashed first (Ed25519ph)", key, message, sign_prehashed(secret, message)),
    ]
    times = 1
    while answer + times * ref.L < 1 << 256:
        cases.append((f"S + {times} L", key, message, commitment + (answer + times * ref.L).to_bytes(32, "little")))
        times += 1
    cases += [
        (f"bit {bit} turned", key, message, flip(signature, bit))
        for bit in (0, 1, 100, 254, 255, 256, 300, 508, 509, 511)
    ]
    # R of small order with the S that makes S·B − h·A the identity: only the identity's encoding would equal it.
    encodings = [(f"point {index} of 8", ref.compress(small)) for index, small in enumerate(torsion)]
    encodings.append(("the identity with a sign", (1 | 1 << 255).to_bytes(32, "little")))
    encodings.append(("the identity as y = p + 1", (ref.P + 1).to_bytes(32, "little")))
    for name, encoding in encodings:
        fitting = ref.number_of(encoding, key, message) * scalar % ref.L
        cases.append((f"R is {name}, S fits", key, message, encoding + fitting.to_bytes(32, "little")))
    # All eight torsion parts on the key and on R: a cofactored verifier accepts every one.
    nonce = ref.number_of(prefix, message)
    point, fresh = ref.multiply(scalar, ref.BASE), ref.multiply(nonce, ref.BASE)
    for on_key, key_part in enumerate(torsion):
        for on_r, r_part in enumerate(torsion):
            mixed_key, mixed_r = ref.compress(ref.add(point, key_part)), ref.compress(ref.add(fresh, r_part))
            mixed_answer = (nonce + ref.number_of(mixed_r, mixed_key, message) * scalar) % ref.L
            name = f"torsion {on_key} on the key, {on_r} on R"
            cases.append((name, mixed_key, message, mixed_r + mixed_answer.to_bytes(32, "little")))
    # A key of small order: with S = 0 and R = the key many messages would verify for a careless verifier.
    for index, small in enumerate(torsion):
        weak = ref.compress(small)
        cases.append((f"the key is point {index} of 8, R = identity, S = 0", weak, message, identity + bytes(32)))
        cases.append((f"the key is point {index} of 8, R = key, S = 0", weak, message, weak + bytes(32)))
    return [
        {
            "name": name,
            "key": key.hex(),
            "message": message.hex(),
            "signature": signature.hex(),
            "valid": ref.is_valid(key, message, signature),
            "cofactored": len(signature) == 64 and ref.is_valid_cofactored(key, message, signature),
        }
        for name, key, message, signature in cases
    ]


def flip(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(len(data), "little")


def sign_prehashed(secret: bytes, message: bytes) -> bytes:
    scalar, prefix = ref.secret_scalar(secret)
    hashed, tag = sha512(message).digest(), b"SigEd25519 no Ed25519 collisions\x01\x00"
    nonce = ref.number_of(tag, prefix, hashed)
    commitment = ref.compress(ref.multiply(nonce, ref.BASE))
    answer = (nonce + ref.number_of(tag, commitment, ref.public_key(secret), hashed) * scalar) % ref.L
    return commitment + answer.to_bytes(32, "little")


# --- words, derived keys, commitments -------------------------------------------------

# From the vectors published with BIP-39 (those of 24 words).
BIP39 = {
    "00" * 32: "abandon " * 23 + "art",
    "7f" * 32: "legal winner thank year wave sausage worth useful " * 2
    + "legal winner thank year wave sausage worth title",
    "80" * 32: "letter advice cage absurd amount doctor acoustic avoid " * 2
    + "letter advice cage absurd amount doctor acoustic bless",
    "ff" * 32: "zoo " * 23 + "vote",
    "68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c": "hamster diagram private dutch cause delay "
    "private meat slide toddler razor book happy fancy gospel tennis maple dilemma loan word shrug inflict delay "
    "length",
    "9f6a2878b2520799a44ef18bc7df394e7061a224d2c33cd015b157d746869863": "panda eyebrow bullet gorilla call smoke "
    "muffin taste mesh discover soft ostrich alcohol speed nation flash devote level hobby quick inner drive ghost "
    "inside",
    "066dca1a2bb7e8a1db2832148ce9933eea0f3ac9548d793112d9a95c9407efad": "all hour make first leader extend hole "
    "alien behind guard gospel lava path output census museum junior mass reopen famous sing advance salt reform",
    "f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f": "void come effort suffer camp survey warrior "
    "heavy shoot primary clutch crush open amazing screen patrol group space point ten exist slush involve unfold",
}
ENTROPY = bytes.fromhex("f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f")


def make_words() -> object:
    good = BIP39[ENTROPY.hex()].split()
    swapped = [good[1], good[0], *good[2:]]
    bad = {
        "wrong checksum: two words swapped": swapped,
        "wrong checksum: the last word is another": [*good[:-1], "zoo"],
        "wrong checksum: all abandon": ["abandon"] * 24,
        "unknown word": [*good[:4], "campp", *good[5:]],
        "unknown word: only its first four letters": [*good[:2], "effo", *good[3:]],
        "unknown word: of another language": [*good[:2], "ábaco", *good[3:]],
        "count: none": [],
        "count: 12": ("abandon " * 11 + "about").split(),
        "count: 23": good[:-1],
        "count: 25": [*good, "zoo"],
    }
    derived = [ENTROPY, bytes(32)]
    return {
        "good": [{"entropy": entropy, "words": words} for entropy, words in BIP39.items()],
        "bad": [{"name": name, "words": " ".join(words)} for name, words in bad.items()],
        "derived": [
            {
                "entropy": entropy.hex(),
                "root_seeds": {str(g): root_seed(entropy, g).hex() for g in (0, 1, 2, 255, 256)},
                "root_keys": {str(g): ref.public_key(root_seed(entropy, g)).hex() for g in (0, 1, 2, 255, 256)},
                "turn_seeds": {str(g): turn_seed(entropy, g).hex() for g in (1, 2, 3, 255, 256)},
                "turn_keys": {str(g): ref.public_key(turn_seed(entropy, g)).hex() for g in (1, 2, 3, 255, 256)},
                "commitments": {str(g): c.hex() for g, c in enumerate(commitments(entropy)) if g in CHOSEN},
            }
            for entropy in derived
        ],
    }


CHOSEN = (0, 1, 2, 128, 254, 255, 256)


def root_seed(entropy: bytes, generation: int) -> bytes:
    data = generation.to_bytes(4, "big")
    return blake2b(data, digest_size=32, key=entropy, person=b"unhush-root").digest()


def turn_seed(entropy: bytes, generation: int) -> bytes:
    data = generation.to_bytes(4, "big")
    return blake2b(data, digest_size=32, key=entropy, person=b"unhush-turn").digest()


@cache
def commitments(entropy: bytes) -> list[bytes]:
    """C_0 … C_256."""
    chain = [bytes(32)]
    for generation in range(256, 0, -1):
        turn = ref.public_key(turn_seed(entropy, generation))
        chain.append(sha256(b"unhush/1/next\x00" + turn + chain[-1]).digest())
    return chain[::-1]


# --- entries --------------------------------------------------------------------------


def message_of(payload: bytes, network: str = NETWORK, context: str = "entry") -> bytes:
    return b"unhush/1/" + network.encode() + b"/" + context.encode() + b"\x00" + payload


def header(**changes: Any) -> dict[str, Notation]:
    """A good header of a device log in notation; a change to ``...`` removes the field."""
    fields: dict[str, Notation] = {
        "account": {"link": CID},
        "key": raw(ref.public_key(seed("device"))),
        "seq": integer(7),
        "prev": {"link": cid_of(b"\xf5")},
        "time": integer(1_900_000_000_000),
        "kind": "post",
        "body": {"link": cid_of(b"\xa0")},
        "size": integer(1),
    } | changes
    return {name: value for name, value in fields.items() if value is not ...}


def sign_block(payload: bytes, secret: bytes, network: str = NETWORK, context: str = "entry") -> bytes:
    return b"\x82" + payload + octets(ref.sign(secret, message_of(payload, network, context)))


def block_of(fields: dict[str, Notation], secret: str = "device", network: str = NETWORK) -> bytes:
    return sign_block(dag_cbor(in_order(fields)), seed(secret), network)


START = {"seq": integer(0), "prev": None}
ROOT = raw(ref.public_key(seed("root")))
OF_IDENTITY: dict[str, Any] = {"key": ROOT, "seq": integer(1)}
INCEPTION: dict[str, Any] = {"account": None, "key": ROOT, "seq": integer(0), "prev": None, "kind": "identity.incept"}

GOOD_HEADERS: dict[str, tuple[str, dict[str, Notation]]] = {
    "an entry within a log": ("device", header()),
    "the first entry of a log": ("device", header(**START)),
    "with a hint of the table": ("device", header(identity={"link": cid_of(b"\xf4")})),
    "the largest numbers": ("device", header(seq=integer(MAX_INT), time=integer(MAX_INT), size=integer(65536))),
    "time 0": ("device", header(time=integer(0))),
    "a kind of 1 character": ("device", header(kind="a")),
    "a kind of 64 characters": ("device", header(kind="a" * 64)),
    "a foreign kind": ("device", header(kind="org.example.recipe-2")),
    "a kind of dots and hyphens": ("device", header(kind="-.-")),
    "a kind that only begins like identity": ("device", header(kind="identity", identity={"link": CID})),
    "an inception": ("root", header(**INCEPTION)),
    "a rotate": ("turn", header(**OF_IDENTITY | {"key": raw(ref.public_key(seed("turn"))), "kind": "identity.rotate"})),
    "an add": ("root", header(**OF_IDENTITY, kind="identity.add")),
    "a revoke": ("root", header(**OF_IDENTITY, kind="identity.revoke")),
    "a freeze": ("root", header(**OF_IDENTITY, kind="identity.freeze")),
    "an identity operation of a later version": ("root", header(**OF_IDENTITY, kind="identity.later")),
}

_RAW_LINK = {"link": RAW_CID}
BAD_HEADERS: dict[str, dict[str, dict[str, Notation]]] = {
    "seq is 0 iff prev is null": {
        "seq 0 with a prev": header(seq=integer(0)),
        "seq 1 without a prev": header(seq=integer(1), prev=None),
        "seq 7 without a prev": header(prev=None),
    },
    "seq is 1 in identity operations with a prev, 0 in the inception": {
        "add with seq 0": header(**OF_IDENTITY | {"seq": integer(0)}, kind="identity.add"),
        "add with seq 2": header(**OF_IDENTITY | {"seq": integer(2)}, kind="identity.add"),
        "add without prev, seq 0": header(**OF_IDENTITY | START, kind="identity.add"),
        "add without prev, seq 1": header(**OF_IDENTITY, kind="identity.add", prev=None),
        "inception with seq 1": header(**INCEPTION | {"seq": integer(1)}),
        "inception with a prev": header(**INCEPTION | {"prev": {"link": CID}}),
        "inception with a prev and seq 1": header(**INCEPTION | {"prev": {"link": CID}, "seq": integer(1)}),
        "inception with an account": header(**INCEPTION | {"account": {"link": CID}}),
    },
    "only the inception names no account": {
        "post without account": header(account=None),
        "first post without account": header(**START, account=None),
        "add without account": header(**OF_IDENTITY, kind="identity.add", account=None),
    },
    "no hint of a table in identity.*": {
        "add with identity": header(**OF_IDENTITY, kind="identity.add", identity={"link": CID}),
        "inception with identity": header(**INCEPTION, identity={"link": CID}),
        "unknown operation with identity": header(**OF_IDENTITY, kind="identity.later", identity={"link": CID}),
    },
    "an optional field is absent, never null": {"identity null": header(identity=None)},
    "exactly the known fields": {
        **{f"without {name}": header(**{name: ...}) for name in header()},
        "an unknown field": header(extra=None),
        "a field in upper case": header(Kind="post"),
        "an empty field name": header(**{"": None}),
        "no field at all": {},
    },
    "each field has its type": {
        "account as bytes": header(account=raw(ref.cid_bytes(CID))),
        "account as text": header(account=CID),
        "account 0": header(account=integer(0)),
        "key null": header(key=None),
        "key as text": header(key="a" * 32),
        "key of 31": header(key=raw(bytes(31))),
        "key of 33": header(key=raw(bytes(33))),
        "key empty": header(key=raw(b"")),
        "key as a link": header(key={"link": CID}),
        "seq null": header(seq=None),
        "seq true": header(seq=True),
        "seq false": header(**START | {"seq": False}),
        "seq as text": header(seq="7"),
        "prev false": header(prev=False),
        "prev as bytes": header(prev=raw(ref.cid_bytes(CID))),
        "prev 0 in a first entry": header(**START | {"prev": integer(0)}),
        "identity as bytes": header(identity=raw(ref.cid_bytes(CID))),
        "identity as a list": header(identity=[]),
        "time true": header(time=True),
        "time null": header(time=None),
        "time as text": header(time="now"),
        "kind null": header(kind=None),
        "kind as bytes": header(kind=raw(b"post")),
        "kind as a list": header(kind=["post"]),
        "body null": header(body=None),
        "body as bytes": header(body=raw(b"\xa0")),
        "body as a map": header(body={"map": []}),
        "size true": header(size=True),
        "size null": header(size=None),
        "size as a list": header(size=[integer(1)]),
    },
    "numbers are in range": {
        "seq -1": header(seq=integer(-1)),
        "seq -2^63": header(seq=integer(-(2**63))),
        "time -1": header(time=integer(-1)),
        "size 0": header(size=integer(0)),
        "size -1": header(size=integer(-1)),
        "size 65,537": header(size=integer(65537)),
        "size 2^63-1": header(size=integer(MAX_INT)),
    },
    "kind is 1 to 64 of a-z 0-9 . -": {
        "empty": header(kind=""),
        "65 characters": header(kind="a" * 65),
        "upper case": header(kind="Post"),
        "a space": header(kind="a post"),
        "an underscore": header(kind="a_post"),
        "a slash": header(kind="a/b"),
        "a newline after": header(kind="post\n"),
        "NUL after": header(kind="post\x00"),
        "umlaut": header(kind="pöst"),
        "Arabic digit": header(kind="post\u0661"),
        "full-width letter": header(kind="\uff50ost"),
    },
    "account, prev, identity and body are dag-cbor links": {
        "raw account": header(account=_RAW_LINK),
        "raw prev": header(prev=_RAW_LINK),
        "raw identity": header(identity=_RAW_LINK),
        "raw body": header(body=_RAW_LINK),
    },
}


def make_entries() -> object:
    good = []
    for name, (secret, fields) in GOOD_HEADERS.items():
        payload = dag_cbor(in_order(fields))
        block = sign_block(payload, seed(secret))
        entry_cid = cid_of(block)
        account = fields["account"]
        good.append(
            {
                "name": name,
                "seed": seed(secret).hex(),
                "header": in_order(fields),
                "network": NETWORK,
                "message": message_of(payload).hex(),
                "signature": block[-64:].hex(),
                "block": block.hex(),
                "cid": entry_cid,
                "account": entry_cid if account is None else account["link"],
            }
        )
    bad = [
        {"name": name, "reason": reason, "block": block_of(fields).hex()}
        for reason, cases in BAD_HEADERS.items()
        for name, fields in cases.items()
    ]
    bad += [{"name": name, "reason": reason, "block": block.hex()} for name, reason, block in bad_blocks()]
    return {"good": good, "bad": bad, "verdicts": list(verdicts())}


def bad_blocks() -> Iterable[tuple[str, str, bytes]]:
    payload = dag_cbor(in_order(header()))
    signature = ref.sign(seed("device"), message_of(payload))
    pair = "an entry is [header, signature of 64 bytes]"
    yield "the header alone", pair, payload
    yield "a list of the header alone", pair, b"\x81" + payload
    yield "a third element", pair, b"\x83" + payload + octets(signature) + b"\xf6"
    yield "signature first", pair, b"\x82" + octets(signature) + payload
    yield "a signature of 63", pair, b"\x82" + payload + octets(signature[:-1])
    yield "a signature of 65", pair, b"\x82" + payload + octets(signature + b"\x00")
    yield "the signature as text", pair, b"\x82" + payload + text("a" * 64)
    yield "no signature", pair, b"\x82" + payload + b"\xf6"
    yield "the header as a list", pair, b"\x82\x80" + octets(signature)
    yield "the header as bytes", pair, b"\x82" + octets(payload) + octets(signature)
    yield "a map", pair, b"\xa0"
    strict = "not strict DAG-CBOR"
    yield "nothing", strict, b""
    yield "a byte after", strict, b"\x82" + payload + octets(signature) + b"\x00"
    yield "cut short", strict, (b"\x82" + payload + octets(signature))[:-1]
    yield "the pair with a long head", strict, b"\x98\x02" + payload + octets(signature)
    yield "the signature with a long head", strict, b"\x82" + payload + b"\x59\x00\x40" + signature
    yield "an indefinite pair", strict, b"\x9f" + payload + octets(signature) + b"\xff"
    jumbled = dag_cbor({"map": [[name, header()[name]] for name in sorted(header())]})
    yield "keys in alphabetical order", strict, sign_block(jumbled, seed("device"))
    doubled = head(5, 9) + text("key") + octets(bytes(32)) + payload[1:]
    yield "a key twice", strict, sign_block(doubled, seed("device"))
    long = dag_cbor(in_order(header(kind="a" * 800)))
    yield "1,025 bytes and more", "at most 1,024 bytes", sign_block(long, seed("device"))


def verdicts() -> Iterable[dict[str, Any]]:
    """Well-formed blocks whose own signature is judged."""
    fields = header()
    payload = dag_cbor(in_order(fields))
    good = block_of(fields)
    yield verdict("its own signature", good, True)
    yield verdict("read on another network", good, False, network="test")
    yield verdict("signed and read on a test network", block_of(fields, network="test"), True, network="test")
    yield verdict("signed on a test network, read on main", block_of(fields, network="test"), False)
    yield verdict(
        "signed in the context of statements", sign_block(payload, seed("device"), context="statement"), False
    )
    yield verdict("signed by another key", block_of(fields, "phone"), False)
    yield verdict("signed without a context", b"\x82" + payload + octets(ref.sign(seed("device"), payload)), False)
    whole = ref.sign(seed("device"), message_of(b"\x82" + payload))
    yield verdict("signed with the head of the pair", b"\x82" + payload + octets(whole), False)
    other = dag_cbor(in_order(header(seq=integer(8))))
    yield verdict("the signature of another header", b"\x82" + other + good[-66:], False)
    yield verdict("all zero", b"\x82" + payload + octets(bytes(64)), False)
    key = header(key=raw(ref.compress(ref.torsion()[1])))
    identity = octets(ref.compress(ref.IDENTITY) + bytes(32))
    yield verdict("a key of small order", b"\x82" + dag_cbor(in_order(key)) + identity, False)
    # What one string says must not be sayable in another: the slash and the NUL part the domain tag.
    yield verdict(
        "network and context run together",
        sign_block(payload, seed("device"), network="main-entry", context=""),
        False,
        network="main",
    )


def verdict(name: str, block: bytes, valid: bool, network: str = NETWORK) -> dict[str, Any]:
    return {"name": name, "block": block.hex(), "network": network, "valid": valid}


def make_chains() -> object:
    """Whether an authentic entry (``by``) makes another authentic by naming it as ``prev``."""
    first = header(**START)
    forged = b"\x82" + dag_cbor(in_order(first)) + octets(bytes(64))
    good = block_of(first)
    cases: list[tuple[str, bytes, bytes, bool]] = []

    def case(name: str, entry: bytes, vouches: bool, secret: str = "device", **changes: Any) -> None:
        by = block_of(header(**{"seq": integer(1), "prev": {"link": cid_of(entry)}} | changes), secret)
        cases.append((name, by, entry, vouches))

    case("the entry after it", good, True)
    case("an entry whose own signature is bad", forged, True)
    case("a later kind, time and hint", good, True, kind="follow", time=integer(0), identity={"link": CID})
    seventh = block_of(header())
    case("seq 8 vouches for seq 7", seventh, True, seq=integer(8))
    highest = block_of(header(seq=integer(MAX_INT - 1)))
    case("the highest seq", highest, True, seq=integer(MAX_INT))
    case("two seqs further", good, False, seq=integer(2))
    case("the same seq", seventh, False, seq=integer(7))
    case("a lower seq", seventh, False, seq=integer(6))
    case("another account", good, False, account={"link": cid_of(b"\x01")})
    case("another key", good, False, "phone", key=raw(ref.public_key(seed("phone"))))
    case("another entry in prev", good, False, prev={"link": cid_of(b"\x01")})
    case("the body in prev", good, False, prev={"link": cid_of(b"\xa0")})
    twin = b"\x82" + dag_cbor(in_order(first)) + octets(bytes(63) + b"\x01")
    case("the same header with another signature", twin, False, prev={"link": cid_of(good)})
    on_root = header(**START, key=ROOT)
    case(
        "an identity operation vouches for nothing",
        block_of(on_root, "root"),
        False,
        "root",
        key=ROOT,
        kind="identity.add",
    )
    add = block_of(header(**OF_IDENTITY, kind="identity.add"), "root")
    case("an identity operation is never vouched for", add, False, "root", key=ROOT, seq=integer(2))
    inception = block_of(header(**INCEPTION), "root")
    case("nor is the inception", inception, False, "root", key=ROOT, account={"link": cid_of(inception)})
    cases.append(("itself", good, good, False))
    cases.append(("the entry before it", good, block_of(header(seq=integer(1), prev={"link": cid_of(good)})), False))
    return [
        {"name": name, "network": NETWORK, "by": by.hex(), "entry": entry.hex(), "vouches": vouches}
        for name, by, entry, vouches in cases
    ]


def make_contexts() -> object:
    """What a signature covers, for both contexts and several networks."""
    payload = dag_cbor(in_order({"type": "heads"}))
    good = [
        {
            "network": network,
            "context": context,
            "payload": payload.hex(),
            "message": message_of(payload, network, context).hex(),
            "seed": seed("device").hex(),
            "signature": ref.sign(seed("device"), message_of(payload, network, context)).hex(),
        }
        for network in ("main", "test", "a", "0", "-", "my-network-7", "n" * 32)
        for context in ("entry", "statement")
    ]
    bad = ["", "n" * 33, "Main", "my network", "my_network", "a/b", "a.b", "main\n", "main\x00", "é", "\u0661"]
    return {"good": good, "bad_networks": bad}


# --- operations and accounts ----------------------------------------------------------

SALT = bytes(range(16))
PHONE = ref.public_key(seed("phone"))
CUT_ENTRY = cid_of(b"\xf5")


def operation(kind: str, body: Notation, secret: bytes, **changes: Any) -> dict[str, str]:
    data = body if isinstance(body, bytes) else dag_cbor(body)
    named = {
        "body": {"link": cid_of(data)},
        "size": integer(len(data)),
        "kind": kind,
        "key": raw(ref.public_key(secret)),
    }
    fields = header(**{"seq": integer(1)} | named | changes)
    return {"block": sign_block(dag_cbor(in_order(fields)), secret).hex(), "body": data.hex()}


def body_of(**fields: Notation) -> Notation:
    merged = {"salt": raw(SALT)} | fields
    return in_order({name: value for name, value in merged.items() if value is not ...})


def device(key: bytes = PHONE, name: Notation = "phone", **more: Notation) -> Notation:
    row = {"key": raw(key), "name": name} | more
    return in_order({field: value for field, value in row.items() if value is not ...})


def cut(seq: int = 3, entry: Notation = ...) -> Notation:
    return in_order({"seq": integer(seq), "entry": {"link": CUT_ENTRY} if entry is ... else entry})


START_CHANGES = {"account": None, "seq": integer(0), "prev": None}
ROOT_SEED, TURN_SEED = root_seed(ENTROPY, 0), turn_seed(ENTROPY, 1)
ROOT_KEY, NEXT_ROOT = ref.public_key(ROOT_SEED), ref.public_key(root_seed(ENTROPY, 1))
TURN_KEY = ref.public_key(TURN_SEED)
CHAIN = commitments(ENTROPY)
SMALL = raw(ref.compress(ref.torsion()[1]))
NOT_CANONICAL = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"


def incept(**fields: Notation) -> Notation:
    table = {"root": raw(ROOT_KEY), "next": raw(CHAIN[0]), "devices": [device()]}
    return body_of(**table | fields)


def rotate(**fields: Notation) -> Notation:
    table = {"root": raw(NEXT_ROOT), "next": raw(CHAIN[1]), "path": [raw(TURN_KEY)], "devices": [device()]}
    return body_of(**table | fields)


def many_devices(count: int) -> list[Notation]:
    return [device(ref.public_key(seed(f"device {index}")), f"d{index}") for index in range(count)]


def make_operations() -> object:
    row = {"key": PHONE.hex(), "name": "phone", "cut": "open"}
    at = {"seq": 3, "entry": CUT_ENTRY}
    table = {"root": ROOT_KEY.hex(), "next": CHAIN[0].hex(), "path": [], "devices": [row], "closed": False}
    turned = {
        "root": NEXT_ROOT.hex(),
        "next": CHAIN[1].hex(),
        "path": [TURN_KEY.hex()],
        "devices": [row],
        "closed": False,
    }
    full = [{"key": ref.public_key(seed(f"device {i}")).hex(), "name": f"d{i}", "cut": "open"} for i in range(256)]
    long_name = "ü" * 32
    rows_of = {"devices": [device(cut=cut()), device(ROOT_KEY, "", cut=None)]}
    parsed_rows = [row | {"cut": at}, {"key": ROOT_KEY.hex(), "name": "", "cut": "nothing"}]
    good = [
        ("inception", "identity.incept", incept(), table),
        ("inception without devices", "identity.incept", incept(devices=[]), table | {"devices": []}),
        ("inception with an unknown field", "identity.incept", incept(later=[None]), table),
        (
            "inception with the fields that only a rotate has",
            "identity.incept",
            incept(closed=None, path=[raw(TURN_KEY)]),
            table,
        ),
        ("inception that says it is closed", "identity.incept", incept(closed=True), table),
        ("inception with 256 devices", "identity.incept", incept(devices=many_devices(256)), table | {"devices": full}),
        ("rotate", "identity.rotate", rotate(), turned),
        ("rotate with cuts", "identity.rotate", rotate(**rows_of), turned | {"devices": parsed_rows}),
        ("rotate that closes", "identity.rotate", rotate(closed=True), turned | {"closed": True}),
        ("rotate that says it does not close", "identity.rotate", rotate(closed=False), turned),
        (
            "rotate of generation 256",
            "identity.rotate",
            rotate(path=[raw(TURN_KEY)] * 256),
            turned | {"path": [TURN_KEY.hex()] * 256},
        ),
        ("add", "identity.add", body_of(device=device()), {"device": PHONE.hex(), "name": "phone"}),
        (
            "add with a name of 64 bytes",
            "identity.add",
            body_of(device=device(name=long_name)),
            {"device": PHONE.hex(), "name": long_name},
        ),
        (
            "add with an unknown field",
            "identity.add",
            body_of(device=device(later=None), later=None),
            {"device": PHONE.hex(), "name": "phone"},
        ),
        (
            "revoke with a cut",
            "identity.revoke",
            body_of(device=raw(PHONE), cut=cut()),
            {"device": PHONE.hex(), "cut": at},
        ),
        (
            "revoke from the start",
            "identity.revoke",
            body_of(device=raw(PHONE), cut=None),
            {"device": PHONE.hex(), "cut": "nothing"},
        ),
        ("freeze", "identity.freeze", body_of(), {}),
        ("freeze with an unknown field", "identity.freeze", body_of(why="thief"), {}),
    ]
    return {
        "good": [
            {"name": name, "kind": kind, **operation(kind, body, signer(kind), **changes(kind)), "parsed": parsed}
            for name, kind, body, parsed in good
        ],
        "bad": [
            {"name": name, "kind": kind, "reason": reason, **operation(kind, body, signer(kind), **changes(kind))}
            for kind, reasons in BAD_BODIES.items()
            for reason, cases in reasons.items()
            for name, body in cases.items()
        ],
    }


def signer(kind: str) -> bytes:
    return TURN_SEED if kind == "identity.rotate" else ROOT_SEED


def changes(kind: str) -> dict[str, Notation]:
    return START_CHANGES if kind == "identity.incept" else {}


def bad_keys(make: Any) -> dict[str, Notation]:
    return {
        "a key of small order": make(SMALL),
        "a key that is not canonical": make({"bytes": NOT_CANONICAL}),
        "a key of 31 bytes": make(raw(PHONE[:31])),
        "a key as text": make(key_text(PHONE)),
        "a key that is null": make(None),
        "a key that is a link": make({"link": CID}),
    }


def bad_rows(make: Any) -> dict[str, dict[str, Notation]]:
    """Malformed rows {key, name} of a table or an add."""
    return {
        "keys are admissible": bad_keys(lambda key: make(in_order({"key": key, "name": "phone"}))),
        "a row has a key and a name of at most 64 bytes": {
            "no key": make(in_order({"name": "phone"})),
            "no name": make(in_order({"key": raw(PHONE)})),
            "name null": make(device(name=None)),
            "name as bytes": make(device(name=raw(b"phone"))),
            "a name of 65 bytes": make(device(name="a" * 65)),
            "a name of 33 characters, 66 bytes": make(device(name="ü" * 33)),
            "a row that is the key": make(raw(PHONE)),
            "a row that is a list": make([raw(PHONE), "phone"]),
            "a row that is null": make(None),
        },
    }


def bad_cuts(make: Any) -> dict[str, Notation]:
    return {
        "a number": make(integer(3)),
        "false": make(False),
        "a link": make({"link": CUT_ENTRY}),
        "a list": make([integer(3), {"link": CUT_ENTRY}]),
        "an empty map": make({"map": []}),
        "no entry": make(in_order({"seq": integer(3)})),
        "no seq": make(in_order({"entry": {"link": CUT_ENTRY}})),
        "seq -1": make(cut(-1)),
        "seq true": make(in_order({"seq": True, "entry": {"link": CUT_ENTRY}})),
        "seq null": make(in_order({"seq": None, "entry": {"link": CUT_ENTRY}})),
        "entry null": make(cut(entry=None)),
        "entry as bytes": make(cut(entry=raw(ref.cid_bytes(CUT_ENTRY)))),
    }


def bad_bodies(make: Any) -> dict[str, dict[str, Notation]]:
    return {
        "a body is a strict map with a salt of 16 bytes": {
            "no salt": make(salt=...),
            "salt of 15": make(salt=raw(SALT[:15])),
            "salt of 17": make(salt=raw(SALT + b"\x00")),
            "salt as text": make(salt="a" * 16),
            "salt null": make(salt=None),
            "a list": [make()],
            "null": b"\xf6",
            "not strict": b"\xb8" + head(0, len(make()["map"])) + dag_cbor(make())[1:],
            "not CBOR": b"\xff",
        }
    }


def bad_tables(make: Any) -> dict[str, dict[str, Notation]]:
    return {
        **bad_bodies(make),
        **bad_rows(lambda row: make(devices=[row])),
        "root is an admissible key": {"no root": make(root=...), **bad_keys(lambda key: make(root=key))},
        "next is 32 bytes": {
            "no next": make(next=...),
            "null": make(next=None),
            "31 bytes": make(next=raw(bytes(31))),
            "33 bytes": make(next=raw(bytes(33))),
            "text": make(next="a" * 32),
            "a link": make(next={"link": CID}),
        },
        "devices is a list of at most 256, each once": {
            "no devices": make(devices=...),
            "null": make(devices=None),
            "a map": make(devices={"map": []}),
            "a device twice": make(devices=[device(), device()]),
            "a device twice under two names": make(devices=[device(), device(name="tablet")]),
            "257 devices": make(devices=many_devices(257)),
        },
    }


BAD_BODIES: dict[str, dict[str, dict[str, Notation]]] = {
    "identity.incept": {
        **bad_tables(incept),
        "an inception is signed by the root it names": {"another root": incept(root=raw(NEXT_ROOT))},
        "an inception cuts nothing": {
            "a row with a cut": incept(devices=[device(cut=cut())]),
            "a row with a null cut": incept(devices=[device(cut=None)]),
        },
    },
    "identity.rotate": {
        **bad_tables(rotate),
        "closed is true or false": {
            "null": rotate(closed=None),
            "1": rotate(closed=integer(1)),
            "text": rotate(closed="yes"),
        },
        "path is a list of 1 to 256 admissible keys": {
            "no path": rotate(path=...),
            "null": rotate(path=None),
            "empty": rotate(path=[]),
            "257 keys": rotate(path=[raw(TURN_KEY)] * 257),
            "one key, not in a list": rotate(path=raw(TURN_KEY)),
            **bad_keys(lambda key: rotate(path=[key, raw(TURN_KEY)])),
        },
        "a cut is {seq, entry} or null": bad_cuts(lambda value: rotate(devices=[device(cut=value)])),
    },
    "identity.add": {
        **bad_bodies(lambda **fields: body_of(**{"device": device()} | fields)),
        **bad_rows(lambda row: body_of(device=row)),
        "an add names a device, and never a cut": {
            "no device": body_of(),
            "a row with a cut": body_of(device=device(cut=cut())),
            "a row with a null cut": body_of(device=device(cut=None)),
        },
    },
    "identity.revoke": {
        **bad_bodies(lambda **fields: body_of(**{"device": raw(PHONE), "cut": None} | fields)),
        "device is an admissible key": {
            "no device": body_of(cut=None),
            "a row in place of the key": body_of(device=device(), cut=None),
            **bad_keys(lambda key: body_of(device=key, cut=None)),
        },
        "a revoke says where it cuts": {"no cut": body_of(device=raw(PHONE))},
        "a cut is {seq, entry} or null": bad_cuts(lambda value: body_of(device=raw(PHONE), cut=value)),
    },
    "identity.freeze": bad_bodies(body_of),
    "identity.later": {"an operation of a later version is not understood": {"whatever it says": body_of()}},
}


def make_accounts() -> object:
    """From words to an account: the inception to the last byte."""
    made = []
    for entropy, name, time, network in (
        (ENTROPY, "laptop", 1_900_000_000_000, "main"),
        (ENTROPY, "laptop", 1_900_000_000_000, "test"),
        (bytes(32), "", 0, "main"),
        (bytes(32), "Großmutters Küchentablet 🌱", MAX_INT, "my-network-7"),
    ):
        root, own = root_seed(entropy, 0), ref.public_key(seed("device"))
        chain = commitments(entropy)
        body = dag_cbor(body_of(root=raw(ref.public_key(root)), next=raw(chain[0]), devices=[device(own, name)]))
        fields = header(
            **START_CHANGES,
            key=raw(ref.public_key(root)),
            kind="identity.incept",
            time=integer(time),
            body={"link": cid_of(body)},
            size=integer(len(body)),
        )
        block = sign_block(dag_cbor(in_order(fields)), root, network)
        made.append(
            {
                "words": BIP39[entropy.hex()],
                "device": own.hex(),
                "name": name,
                "time": time,
                "salt": SALT.hex(),
                "network": network,
                "body": body.hex(),
                "block": block.hex(),
                "account": cid_of(block),
            }
        )
    return made


# --- blobs ----------------------------------------------------------------------------

CHUNK_BYTES = 262_144


def make_blobs() -> object:
    return {"good": [make_blob(*case) for case in good_blobs()], "bad": list(bad_manifests())}


def good_blobs() -> Iterable[tuple[str, list[tuple[str, int]]]]:
    yield "no bytes", []
    yield "a few bytes", [("756e68757368", 1)]
    yield "the longest raw block", [("00", CHUNK_BYTES)]
    yield "the shortest manifest", [("00", CHUNK_BYTES), ("01", 1)]
    yield "two whole chunks", [("00", CHUNK_BYTES), ("01", CHUNK_BYTES)]
    yield "chunks that are the same", [("ff", 3 * CHUNK_BYTES + 5)]
    yield "the most there can be", [("7a", 1_024 * CHUNK_BYTES)]


def make_blob(name: str, written: list[tuple[str, int]]) -> dict[str, Any]:
    data = b"".join(bytes.fromhex(part) * times for part, times in written)
    made: dict[str, Any] = {"name": name, "bytes": [list(part) for part in written], "size": len(data)}
    if len(data) <= CHUNK_BYTES:
        return made | {"cid": cid_of(data, codec=0x55)}
    chunks = [cid_of(data[at : at + CHUNK_BYTES], codec=0x55) for at in range(0, len(data), CHUNK_BYTES)]
    block = manifest(len(data), chunks)
    # The longest has a thousand links to one chunk; written out they would fill this file.
    return made | {"cid": cid_of(block)} | ({"manifest": block.hex()} if len(chunks) < 10 else {})


def manifest(size: int, chunks: list[str]) -> bytes:
    return dag_cbor({"map": [["size", integer(size)], ["chunks", [{"link": chunk} for chunk in chunks]]]})


def bad_manifests() -> Iterable[dict[str, str]]:
    two, links = CHUNK_BYTES + 1, [{"link": RAW_CID}, {"link": RAW_CID}]
    for name, value in (
        ("no map", links),
        ("no size", {"map": [["chunks", links]]}),
        ("no chunks", {"map": [["size", integer(two)]]}),
        ("a third key", {"map": [["size", integer(two)], ["type", "a"], ["chunks", links]]}),
        ("a size that fits into one block", {"map": [["size", integer(CHUNK_BYTES)], ["chunks", links[:1]]]}),
        ("a size below zero", {"map": [["size", integer(-1)], ["chunks", []]]}),
        ("a size that is true", {"map": [["size", True], ["chunks", links]]}),
        ("a size for three chunks", {"map": [["size", integer(2 * CHUNK_BYTES + 1)], ["chunks", links]]}),
        ("a size for one chunk", {"map": [["size", integer(two)], ["chunks", links[:1]]]}),
        ("a size above the bound", {"map": [["size", integer(MAX_INT)], ["chunks", links]]}),
        ("a dag-cbor chunk", {"map": [["size", integer(two)], ["chunks", [*links[:1], {"link": CID}]]]}),
        ("a chunk that is bytes", {"map": [["size", integer(two)], ["chunks", [*links[:1], raw(b"chunk")]]]}),
        ("keys in another order", {"map": [["chunks", links], ["size", integer(two)]]}),
    ):
        yield {"name": name, "bytes": dag_cbor(value).hex()}
    yield {"name": "a byte behind the end", "bytes": manifest(two, [RAW_CID, RAW_CID]).hex() + "00"}


# --- statements -----------------------------------------------------------------------

STATED_AT = 1_900_000_000_000
TERM = 30 * 24 * 3_600 * 1_000
STATED = {"account": {"link": CID}, "time": integer(STATED_AT), "expires": integer(STATED_AT + TERM)}


def stated(kind: Notation, **changes: Notation) -> dict[str, Notation]:
    fields = STATED | {"type": kind, "key": raw(ref.public_key(seed("device")))} | changes
    return {name: value for name, value in fields.items() if value is not ...}


def head_of(name: str = "device", seq: int = 7, entry: str = CID) -> Notation:
    return [raw(ref.public_key(seed(name))), integer(seq), {"link": entry}]


def where(peers: list[Notation], urls: list[Notation]) -> Notation:
    return in_order({"peers": peers, "urls": urls})


PEERS = ["/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"]
DIGEST_OF = raw(sha256(b"operations").digest())
CLAIMS: dict[str, dict[str, Notation]] = {
    "heads": {"heads": [head_of(), head_of("phone", 0)], "identity": DIGEST_OF},
    "card": {"where": where(PEERS, ["https://example.org/someone"])},
    "receipt": {
        "of": {"link": CID},
        "heads": [head_of()],
        "withheld": [[{"link": CID}, "order of a court"]],
        "identity": DIGEST_OF,
        "media": "90d",
    },
    "absent": {"of": {"link": CID}, "entry": {"link": CID}, "reason": "order of a court"},
    "possession": {
        "of": {"link": CID},
        "entry": {"link": CID},
        "nonce": raw(bytes(range(16))),
        "digest": raw(
            sha256(
                b"unhush/1/possession\0"
                + bytes(range(16))
                + ref.cid_bytes(CID)
                + ref.public_key(seed("device"))
                + BLOCK
            ).digest()
        ),
    },
}


def make_statements() -> object:
    good = [
        {"name": name, "statement": in_order(fields), "network": network, **signed_statement(fields, network)}
        for name, fields, network in good_statements()
    ]
    bad = [
        {"reason": reason, "name": name, "block": (made if isinstance(made, bytes) else statement_block(made)).hex()}
        for reason, made_of in bad_statements().items()
        for name, made in made_of.items()
    ]
    return {"good": good, "bad": bad, "operations": digests_of_operations()}


def signed_statement(fields: dict[str, Notation], network: str) -> dict[str, str]:
    block = statement_block(fields, network)
    message = message_of(dag_cbor(in_order(fields)), network, "statement")
    return {
        "seed": seed("device").hex(),
        "message": message.hex(),
        "block": block.hex(),
        "digest": sha256(block).hexdigest(),
    }


def statement_block(fields: dict[str, Notation], network: str = NETWORK) -> bytes:
    return sign_block(dag_cbor(in_order(fields)), seed("device"), network, "statement")


def good_statements() -> Iterable[tuple[str, dict[str, Notation], str]]:
    for kind, claim in CLAIMS.items():
        yield f"a {kind}", stated(kind, **claim), NETWORK
    yield "heads of another network", stated("heads", **CLAIMS["heads"]), "my-network-7"
    yield "the shortest term", stated("heads", **CLAIMS["heads"], expires=integer(STATED_AT + 1)), NETWORK
    yield "the first millisecond", stated("card", **CLAIMS["card"], time=integer(0), expires=integer(1)), NETWORK
    yield "no heads", stated("heads", heads=[], identity=DIGEST_OF), NETWORK
    yield "a card of 1,000 bytes", card_of(1_000), NETWORK
    yield "a card that says nowhere", stated("card", where=where([], [])), NETWORK
    for media in ("none", "all"):
        yield f"a receipt with media {media}", stated("receipt", **CLAIMS["receipt"] | {"media": media}), NETWORK
    reason = "ü" * 150
    yield "the longest reason", stated("absent", **CLAIMS["absent"] | {"reason": reason}), NETWORK
    yield "no reason", stated("absent", **CLAIMS["absent"] | {"reason": ""}), NETWORK
    yield "an absent under a receipt", stated("absent", **CLAIMS["absent"] | {"receipt": DIGEST_OF}), NETWORK


def entries_of(count: int) -> list[str]:
    return [cid_of(b"\x19" + number.to_bytes(2, "big")) for number in range(count)]


def bad_statements() -> dict[str, dict[str, Any]]:
    def absent(**changes: Notation) -> dict[str, Notation]:
        return stated("absent", **CLAIMS["absent"] | changes)

    def heads(*heads_: Notation, **changes: Notation) -> dict[str, Notation]:
        return stated("heads", **{"heads": list(heads_), "identity": DIGEST_OF} | changes)

    def receipt(**changes: Notation) -> dict[str, Notation]:
        return stated("receipt", **CLAIMS["receipt"] | changes)

    good = statement_block(absent())
    payload = dag_cbor(in_order(absent()))
    many = [
        [raw(sha256(bytes([number // 256, number % 256])).digest()), integer(0), {"link": CID}] for number in range(257)
    ]
    withheld = [[{"link": each}, ""] for each in entries_of(257)]
    return {
        "a pair of a map and 64 bytes": {
            "no pair": payload,
            "three items": b"\x83" + payload + octets(bytes(64)) + b"\xf6",
            "a short signature": b"\x82" + payload + octets(bytes(63)),
            "a signature in text": b"\x82" + payload + text("a" * 64),
            "a list in place of the map": b"\x82\x80" + octets(bytes(64)),
        },
        "strict DAG-CBOR": {
            "a byte behind the end": good + b"\x00",
            "a byte too few": good[:-1],
            "keys in another order": b"\x82" + dag_cbor({"map": in_order(absent())["map"][::-1]}) + octets(bytes(64)),
        },
        "the common fields": {
            **{f"no {name}": absent(**{name: ...}) for name in ("account", "key", "time", "expires", "type")},
            "a type that is a number": absent(type=integer(1)),
            "an account that is null": absent(account=None),
            "a raw account": absent(account={"link": RAW_CID}),
            "a key of 31 bytes": absent(key=raw(bytes(31))),
            "a key in text": absent(key="k"),
            "a time that is true": absent(time=True, expires=integer(2)),
            "an end that is true": absent(time=integer(0), expires=True),
            "a field more": absent(more=integer(1)),
            "a time below zero": absent(time=integer(-1), expires=integer(1)),
        },
        "it ends after its time, at most 30 days later": {
            "it ends at its time": absent(expires=integer(STATED_AT)),
            "it ends before its time": absent(expires=integer(STATED_AT - 1)),
            "a millisecond too late": absent(expires=integer(STATED_AT + TERM + 1)),
        },
        "a type of version 1": {"a later one": absent(type="oath"), "no letters": absent(type="")},
        "heads": {
            "no list": heads(heads=None),
            "no identity": heads(identity=...),
            "an identity of 31 bytes": heads(identity=raw(bytes(31))),
            "a key twice": heads(head_of(), head_of(seq=8)),
            "a head of two": heads(head_of()[:2]),
            "a head of four": heads([*head_of(), None]),
            "a number below zero": heads(head_of(seq=-1)),
            "a number that is true": heads([head_of()[0], True, head_of()[2]]),
            "a raw entry": heads(head_of(entry=RAW_CID)),
            "a short key": heads([raw(bytes(31)), *head_of()[1:]]),
            "257 heads": heads(*many),
        },
        "cards": {
            "no place": stated("card"),
            "a place that is a list": stated("card", where=[[], []]),
            "no urls": stated("card", where={"map": [["peers", []]]}),
            "a place more": stated("card", where=in_order({"peers": [], "urls": [], "fax": []})),
            "a peer that is no multiaddr": card(["example.org:4001"]),
            "a peer with a space": card(["/ip4/192.0.2.1 /tcp/1"]),
            "a peer with a line break": card(["/ip4/192.0.2.1\n"]),
            "a peer of bytes": card([raw(b"/ip4")]),
            "a peer twice": card(["/ip4/192.0.2.1/tcp/1"] * 2),
            "seventeen peers": card([f"/{number}" for number in range(17)]),
            "a URL of another scheme": card(urls=["javascript:alert(1)"]),
            "a URL with a letter beyond ASCII": card(urls=["https://exämple.org"]),
            "a URL with nothing behind the scheme": card(urls=["https://"]),
            "1,001 bytes": card_of(1_001),
        },
        "receipts": {
            **{f"no {name}": receipt(**{name: ...}) for name in ("of", "heads", "withheld", "identity", "media")},
            "media that nobody knows": receipt(media="some"),
            "media that is a list": receipt(media=[]),
            "a raw account": receipt(of={"link": RAW_CID}),
            "withheld that is a map": receipt(withheld={"map": []}),
            "withheld without a reason": receipt(withheld=[[{"link": CID}]]),
            "withheld with two reasons": receipt(withheld=[[{"link": CID}, "", ""]]),
            "withheld twice": receipt(withheld=[[{"link": CID}, "a"], [{"link": CID}, "b"]]),
            "a raw entry withheld": receipt(withheld=[[{"link": RAW_CID}, ""]]),
            "a reason of 301 bytes": receipt(withheld=[[{"link": CID}, "a" * 301]]),
            "257 withheld": receipt(withheld=withheld),
        },
        "absents": {
            "a raw entry": absent(entry={"link": RAW_CID}),
            "an account in text": absent(of=CID),
            "a reason of 301 bytes": absent(reason="ü" * 150 + "a"),
            "a reason of bytes": absent(reason=raw(b"because")),
            "a receipt of 31 bytes": absent(receipt=raw(bytes(31))),
            "a receipt that is null": absent(receipt=None),
        },
        "possessions": {
            name: stated("possession", **CLAIMS["possession"] | changes)
            for name, changes in {
                "a nonce of 15 bytes": {"nonce": raw(bytes(15))},
                "a nonce of 17 bytes": {"nonce": raw(bytes(17))},
                "a digest of 31 bytes": {"digest": raw(bytes(31))},
                "a digest in text": {"digest": "a" * 32},
            }.items()
        },
    }


def card(peers: Iterable[Notation] = (), urls: Iterable[Notation] = ()) -> dict[str, Notation]:
    return stated("card", where=where(list(peers), list(urls)))


def card_of(size: int) -> dict[str, Notation]:
    """A card whose block has so many bytes."""
    urls = ["https://" + "a" * 300, "https://" + "b" * 300]
    missing = size - len(statement_block(card(urls=urls)))
    return card(urls=[urls[0], urls[1] + "b" * missing])


def digests_of_operations() -> list[dict[str, Any]]:
    three = entries_of(3)
    return [
        {
            "name": name,
            "ids": ids,
            "digest": sha256(b"".join(sorted(ref.cid_bytes(each)[4:] for each in set(ids)))).hexdigest(),
        }
        for name, ids in (
            ("none", []),
            ("one", three[:1]),
            ("three", three),
            ("their order means nothing", three[::-1]),
        )
    ]


FILES = {
    "codec.json": make_codec,
    "cids.json": make_cids,
    "keys.json": make_keys,
    "signatures.json": make_signatures,
    "words.json": make_words,
    "contexts.json": make_contexts,
    "entries.json": make_entries,
    "chains.json": make_chains,
    "operations.json": make_operations,
    "accounts.json": make_accounts,
    "blobs.json": make_blobs,
    "statements.json": make_statements,
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, make in FILES.items():
        (folder / name).write_text(json.dumps(make(), indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
