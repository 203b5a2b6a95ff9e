"""The log of a run, and its hash: two runs of one seed have the same.

Every chunk that arrives, every record that is stored and every note goes into
the hash. Kept as text are only the notes, and of them the last.
"""

from collections import deque
from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import Final

from unhush.gossip.proto.events import Grew

MAX_NOTES: Final = 4_096

_WHEN_WHO: Final = Struct(">dI")


class Trace:
    """What happened."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self.notes: deque[str] = deque(maxlen=MAX_NOTES)
        self.is_verbose = False  # print every note, too

    def bytes_came(self, now: float, number: int, data: bytes) -> None:
        self._hash.update(_WHEN_WHO.pack(now, number))
        self._hash.update(data)

    def stored(self, now: float, number: int, grown: Iterable[Grew]) -> None:
        self._hash.update(_WHEN_WHO.pack(now, number))
        for each in grown:
            self._hash.update(each.cid.bytes)

    def note(self, now: float, name: str, what: str, *facts: object) -> None:
        """One line."""
        line = f"{now:9.3f} {name} {what} {' '.join(map(str, facts))}".rstrip()
        self._hash.update(line.encode())
        self.notes.append(line)
        if self.is_verbose:
            print(line)  # noqa: T201  # that is what it is for

    def digest(self) -> str:
        """The hash of all so far."""
        return self._hash.hexdigest()
