"""What a ``Range`` header asks for (RFC 9110, section 14): one stretch of bytes, or all of them."""

import re
from typing import Final

_ONE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


class Unsatisfiable(Exception):
    """A stretch that lies behind the end."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None means all of them, as for what is not understood.

    Raises ``Unsatisfiable``.
    """
    found = _ONE.fullmatch(header.strip()) if header else None
    if found is None:
        return None  # several stretches at once too: to send everything is always right
    first, last = found[1], found[2]
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    elif last:
        start, stop = max(0, size - int(last)), size
    else:
        return None
    if start >= stop:
        raise Unsatisfiable
    return start, stop
