"""Voices: which keys may speak for an account by its operations, and which operations show that.

To parse and fold a few tables takes ten milliseconds, and anybody can come with
the largest there are. A voice follows from the bytes of the operations alone, so
one process remembers it under their digest, of those asked for last.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import OPEN
from unhush.identity.trunk import Trunk, fold

# Keys of all voices remembered together: some 10 MiB at most, and 64 strangers with the largest tables fit.
MAX_KEYS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Voice:
    """What is asked of an account's operations whenever a statement of it is read."""

    open: frozenset[PublicKey]
    tables: tuple[Cid, ...]  # the inception, and the table that stands
    signs: tuple[Cid, ...]  # a freeze, a second table of the generation
    said: Mapping[PublicKey, tuple[Cid, ...]]  # what was said of single devices

    def needed(self, key: PublicKey) -> list[Cid]:
        """The operations on which it depends whether this key may speak, those that matter most first."""
        return list(dict.fromkeys((*self.tables, *self.said.get(key, ()), *self.signs)))


def make_voice(trunk: Trunk) -> Voice:
    """What the operations that count say."""
    said = {
        key: tuple(op.id for op in (trunk.adds.get(key), trunk.revokes.get(key)) if op is not None)
        for key in trunk.adds.keys() | trunk.revokes.keys()
    }
    return Voice(
        frozenset(key for key, cut in fold(trunk).cuts.items() if cut == OPEN),
        (trunk.incept.id, trunk.table.id),
        tuple(op.id for op in (trunk.freeze, trunk.rival) if op is not None),
        said,
    )


def digest_rows(rows: Iterable[bytes]) -> bytes:
    """A digest of these bytes in this order."""
    return hashlib.sha256(b"".join(hashlib.sha256(row).digest() for row in rows)).digest()


class Voices:
    """Those asked for last; used from any thread."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Cid, bytes], Voice | None] = OrderedDict()
        self._keys = 0

    def find(self, account: Cid, digest: bytes, make: Callable[[], Voice | None]) -> Voice | None:
        """The voice of an account whose operations have this digest; made if it is not remembered."""
        at = account, digest
        with self._lock:
            if at in self._known:
                self._known.move_to_end(at)
                return self._known[at]
        voice = make()
        with self._lock:
            if at not in self._known:
                self._known[at] = voice
                self._keys += _size_of(voice)
            while self._keys > self._max_keys:
                self._keys -= _size_of(self._known.popitem(last=False)[1])
        return voice

    def __len__(self) -> int:
        with self._lock:
            return len(self._known)


def _size_of(voice: Voice | None) -> int:
    return 1 + (len(voice.open) + len(voice.said) if voice is not None else 0)
