"""Values as the JSON of ``tests/vectors/`` writes them (its README says how)."""

from typing import Any

from unhush.identity.cid import parse_cid
from unhush.identity.codec import Value


def value_of(notation: Any) -> Value:
    if isinstance(notation, list):
        return [value_of(item) for item in notation]
    if not isinstance(notation, dict):
        return notation
    ((kind, inner),) = notation.items()
    match kind:
        case "int":
            return int(inner)
        case "bytes":
            return bytes.fromhex(inner)
        case "link":
            return parse_cid(inner)
        case "map":
            return {key: value_of(item) for key, item in inner}
        case "repeat":
            return [value_of(inner[0])] * inner[1]
        case "repeat_text":
            return inner[0] * inner[1]
    raise AssertionError(f"unknown notation {kind}")
